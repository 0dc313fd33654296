"""How many people there are, if not all of them can be told apart: at least, and at most.

Assumed is that two accounts are two people, that what was merged is one person's, and that two full
names without a word in common are two people's. An address on no account may be anybody else's
second identity, and an account that of another account with the same full name, unless the alias
file says whose it is. So at least there are those who certainly are people and certainly not each
other; at most everybody is a person, and what bears full names of several people is as many.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice

from xops.github.people.directory import Person
from xops.github.people.machines import is_a_persons
from xops.github.people.names import fewest_people, is_full, normal, telling_words, words

_NAMED = 3


@dataclass(frozen=True)
class Range:
    """Between what a number lies, both included."""

    at_least: int
    at_most: int


class Headcount:
    """Counts people.

    Args:
        people: all who count, or may have to.
        uncertain: for each of them, whether he or she may not count at all.
    """

    def __init__(self, people: Sequence[Person], uncertain: Sequence[bool]) -> None:
        self._people = people
        self._uncertain = _mask(index for index, may_not in enumerate(uncertain) if may_not)
        self._accounts = _mask(index for index, one in enumerate(people) if one.account)
        self._may_be = list(_may_be(people))
        self._sharing = list(map(_sharing, people))
        self._marks = [_marks(person) for person in people]
        self._alike: dict[str, int] = defaultdict(int)
        for index, marks in enumerate(self._marks):
            for mark in marks:
                self._alike[mark] |= 1 << index

    def active(self, start: datetime, end: datetime) -> list[int]:
        """Who was active in [start, end), by their places."""
        return [index for index, one in enumerate(self._people) if one.within(start, end)]

    def between(self, start: datetime, end: datetime) -> Range:
        """How many were active in [start, end)."""
        active = self.active(start, end)
        return Range(self._fewest(active), sum(self._sharing[index] for index in active))

    def others(self, active: Sequence[int]) -> Mapping[int, str]:
        """Whose second identity each of them may be, in words; only those who may be one.

        An account is only held against other accounts: what is doubtful of an address on none is
        told of the address.

        Args:
            active: who was active then. Whoever was not makes nobody doubtful.
        """
        among = self._uncertain | _mask(active)
        return {index: told for index in active if (told := self._other(index, among))}

    def _other(self, index: int, among: int) -> str:
        found = self._may_be[index] & among
        if self._people[index].account:
            found &= self._accounts
        named = [_called(self._people[other]) for other in self._likeliest(index, found)]
        more = found.bit_count() - len(named)
        return ", ".join(named) + (f" or {more} more" if more else "")

    def sharing(self, index: int) -> int:
        """How many people's full names one of them bears; 1 for most."""
        return self._sharing[index]

    def _likeliest(self, index: int, found: int) -> Iterator[int]:
        """Some of those found: who is most alike, then by name."""
        likeness: Counter[int] = Counter()
        for mark, weight in self._marks[index].items():
            for other in _indexes(self._alike[mark] & found):
                likeness[other] = max(likeness[other], weight)
        alike = sorted(likeness, key=lambda other: (-likeness[other], other))
        rest = (other for other in _indexes(found) if other not in likeness)
        return islice(chain(alike, rest), _NAMED)

    def _fewest(self, active: Sequence[int]) -> int:
        """As many as are found who certainly are people, and no two of them one."""
        certain = [index for index in active if not self._uncertain >> index & 1]
        among = _mask(certain)
        beside = {index: (self._may_be[index] & among).bit_count() for index in certain}
        accounts = sorted(certain, key=lambda index: (not self._people[index].account, index))
        clearest = sorted(certain, key=lambda index: (beside[index], index))
        return max(self._apart(accounts), self._apart(clearest))

    def _apart(self, certain: Sequence[int]) -> int:
        """How many of them are nobody's second identity, taken in this order."""
        chosen = 0
        for index in certain:
            blocked = chosen if self._people[index].account else chosen | self._uncertain
            if not self._may_be[index] & blocked:
                chosen |= 1 << index
        return chosen.bit_count()


def _sharing(person: Person) -> int:
    return 1 if person.declared else fewest_people(list(filter(is_a_persons, person.names)))


def _may_be(people: Sequence[Person]) -> Iterator[int]:
    """For each the others with whom he or she may be one, as a set of bits."""
    everybody = _mask(range(len(people)))
    unlinked = _mask(index for index, one in enumerate(people) if not one.account)
    declared = _mask(index for index, one in enumerate(people) if one.declared)
    told = [telling_words(person.names) for person in people]
    untold = _mask(index for index, spoken in enumerate(told) if not spoken)
    by_word: dict[str, int] = defaultdict(int)
    for index, spoken in enumerate(told):
        for word in spoken:
            by_word[word] |= 1 << index
    namesakes = _namesakes(people)
    for index, person in enumerate(people):
        found = untold if told[index] else everybody
        for word in told[index]:
            found |= by_word[word]
        if person.account or person.declared:
            found &= unlinked & ~declared
        yield (found | namesakes.get(index, 0)) & ~(1 << index)


def _namesakes(people: Sequence[Person]) -> Mapping[int, int]:
    """For each account those of the same full name: somebody's second one, or a renamed one."""
    by_name: dict[str, int] = defaultdict(int)
    for index, person in enumerate(people):
        if person.account and not person.declared:
            for name in {normal(name) for name in person.names if is_full(name)}:
                by_name[name] |= 1 << index
    found: dict[int, int] = defaultdict(int)
    for alike in by_name.values():
        for index in _indexes(alike):
            found[index] |= alike
    return found


def _mask(indexes: Iterator[int] | Sequence[int]) -> int:
    found = 0
    for index in indexes:
        found |= 1 << index
    return found


def _indexes(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _called(person: Person) -> str:
    identity = person.identities[-1]
    return person.name if person.name.lower() == identity else f"{person.name} ({identity})"


def _marks(person: Person) -> dict[str, int]:
    """By what somebody may be known again, and how much it tells: name, address, a word."""
    found = {f"word {word}": 1 for name in person.names for word in words(name)}
    found |= {f"begins {text.partition('@')[0]}": 2 for text in person.identities}
    return found | {f"name {normal(name)}": 3 for name in person.names}
