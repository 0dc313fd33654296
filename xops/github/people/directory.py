"""Who is one person. Git knows names and addresses, GitHub knows logins; people have several.

Identities become one person where they share a login or an address, after each repository's
`.mailmap` has replaced addresses, where the alias file says so, and where evidence tells whose an
address is that is on no account (`xops.github.people.merging`). A name alone merges nobody: two
people may have the same. What cannot be told is left open (`xops.github.people.headcount`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from itertools import pairwise

from xops.core.errors import Finding, InputError
from xops.github.people.aliases import Alias, Aliases
from xops.github.people.identities import (
    Activity,
    Identity,
    email_key,
    keys_of,
    login_key,
    private_account,
    shown_key,
)
from xops.github.people.machines import (
    Machines,
    behaves_like_a_machine,
    called_like_a_machine,
    is_a_persons,
)
from xops.github.people.merging import Evidence, Groups, of_colleagues
from xops.github.people.names import is_full, normal


@dataclass(frozen=True)
class Person:
    """One person: a name to show, every login and address, and when he or she was active.

    Attributes:
        name: to show.
        identities: logins and addresses.
        active: when, sorted.
        names: all that he or she writes.
        account: whether GitHub knows an account of his or hers.
        declared: whether the alias file says who it is.
        merged: why the identities are one person's.
        associations: GitHub's `authorAssociation`s, as far as it tells any.
        doubts: why it may be no person at all; empty if nothing says so.
        mark: the same for all identities of the person, and another for everybody else.
    """

    name: str
    identities: tuple[str, ...]
    active: tuple[datetime, ...]
    names: frozenset[str] = frozenset()
    account: bool = False
    declared: bool = False
    merged: tuple[str, ...] = ()
    associations: frozenset[str] = frozenset()
    doubts: tuple[str, ...] = ()
    mark: str = ""

    def within(self, start: datetime, end: datetime) -> bool:
        """Whether there was activity in [start, end)."""
        return bisect_left(self.active, start) < bisect_left(self.active, end)

    def last_seen(self, before: datetime) -> date | None:
        """The day (in the zone of `before`) of the last activity before a moment."""
        earlier = bisect_left(self.active, before)
        return self.active[earlier - 1].astimezone(before.tzinfo).date() if earlier else None


@dataclass(frozen=True)
class Machine(Person):
    """A machine, and why it is one."""

    why: str = ""


@dataclass
class _Seen:
    """What was seen of one key."""

    active: list[datetime] = field(default_factory=list)
    names: Counter[str] = field(default_factory=Counter)
    associations: set[str] = field(default_factory=set)
    doubts: set[str] = field(default_factory=set)
    machines: set[str] = field(default_factory=set)
    subjects: list[str] = field(default_factory=list)
    reviews: bool = False
    requests: bool = False


class Directory:
    """Gathers activities and tells the people behind them.

    Args:
        aliases: identities that are merged whatever else is known.
        bots: logins, addresses and names of machines besides those that are known as such; `*` and
            `?` match as in a shell.
    """

    def __init__(self, aliases: Aliases | None = None, bots: Iterable[str] = ()) -> None:
        self._aliases: tuple[Alias, ...] = aliases.people if aliases else ()
        self._rules = Machines(bots, aliases.identities if aliases else frozenset())
        self._seen: dict[str, _Seen] = defaultdict(_Seen)
        self._keys: dict[Identity, tuple[str, ...]] = {}
        self._numbers: dict[str, set[str]] = defaultdict(set)
        self._certain: set[Evidence] = set()
        self._links: set[Evidence] = set()
        self._machines: dict[str, list[tuple[datetime, str, str]]] = defaultdict(list)
        self._of_machines: set[str] = set()

    def is_bot(self, who: Identity) -> bool:
        """Whether a machine did it."""
        return bool(self._rules.reason(who))

    def add(self, activity: Activity) -> None:
        """Take an activity into account: a machine's and that of nobody known counts for nobody."""
        who, keys = activity.who, self._keys_of(activity.who)
        if not keys:
            return
        if why := self._rules.reason(who):
            name = who.name or who.account or who.email
            self._machines[keys[0]].append((activity.at, name, why))
            if self._rules.reason(replace(who, name="")):  # whatever name it writes next time
                self._of_machines.update(keys)
            return
        self._seen[keys[0]].active.append(activity.at)
        for seen in (self._seen[key] for key in keys):
            if who.name:
                seen.names[who.name] += 1
            if activity.association:
                seen.associations.add(activity.association)

    def link(self, one: Identity, other: Identity, why: str) -> None:
        """Two identities may be one person's, for a reason in words.

        It joins them only if they are not two accounts', and if nothing speaks for somebody else.
        """
        ends = [key for who in (one, other) for key in self._keys_of(who)[:1]]
        if len(set(ends)) < 2:
            return
        machines = [self.is_bot(who) for who in (one, other)]
        if not any(machines):
            self._links.add(Evidence(ends[0], ends[1], why))
        elif not all(machines):
            person, machine = sorted(ends, key=lambda end: machines[ends.index(end)])
            self._seen[person].machines.add(f"may be {shown_key(machine)}, a machine: {why}")

    def reviewed(self, who: Identity) -> None:
        """Somebody reviewed a pull request of another."""
        for key in self._keys_of(who):
            self._seen[key].reviews = True

    def requested(self, who: Identity) -> None:
        """Somebody had a pull request merged."""
        for key in self._keys_of(who):
            self._seen[key].requests = True

    def committed(self, who: Identity, subject: str) -> None:
        """Somebody is the author of a commit whose message begins so."""
        if not self.is_bot(who):
            for key in self._keys_of(who)[:1]:
                self._seen[key].subjects.append(subject)

    def people(self) -> list[Person]:
        """Everybody who was active, by name."""
        groups = self._groups()
        people = [
            self._person(groups, keys)
            for keys in groups.members().values()
            if not self._are_a_machines(keys)
        ]
        return sorted((p for p in people if p.active), key=lambda p: (p.name.lower(), p.identities))

    def marks(self, identities: Iterable[Identity]) -> list[str]:
        """The mark of each; two of one person have the same, active or not."""
        keys = [key for who in identities for key in self._keys_of(who)[:1]]
        groups = self._groups(keys)
        return [groups.root(key) for key in keys]

    def machines(self) -> list[Machine]:
        """Every machine that was active, by name."""
        found: list[Machine] = []
        for keys in self._groups(tuple(self._machines)).members().values():
            if self._are_a_machines(keys):
                found.append(self._machine(keys))
            elif named := [key for key in keys if key in self._machines]:
                found.append(self._machine(named))
        return sorted(found, key=lambda machine: (machine.name.lower(), machine.identities))

    def _are_a_machines(self, keys: Sequence[str]) -> bool:
        declared = {key for alias in self._aliases for key in _keys(alias)}
        return not self._of_machines.isdisjoint(keys) and declared.isdisjoint(keys)

    def _machine(self, keys: Sequence[str]) -> Machine:
        told = [one for key in keys for one in self._machines.get(key, ())]
        others = [at for key in keys if key in self._of_machines for at in self._seen[key].active]
        _, name, why = max(told)
        return Machine(
            name=name,
            identities=tuple(map(shown_key, keys)),
            active=tuple(sorted([*(at for at, _, _ in told), *others])),
            why=why,
        )

    def _keys_of(self, who: Identity) -> tuple[str, ...]:
        """By what an identity is known; what it tells of itself is noted the first time."""
        if (found := self._keys.get(who)) is None:
            found = self._keys[who] = tuple(dict.fromkeys(keys_of(who)))
            self._note(who, found)
        return found

    def _note(self, who: Identity, keys: Sequence[str]) -> None:
        for other in keys[1:]:
            why = f"commits of the account {who.login} bear {who.email}"
            self._certain.add(Evidence(keys[0], other, why))
        number, login = private_account(who.email)
        if number:
            self._numbers[number].add(login_key(login))
        if not self.is_bot(who) and (doubt := self._rules.doubt(who)):
            for key in keys:
                self._seen[key].doubts.add(doubt)

    def _renamed(self) -> Iterator[Evidence]:
        for number, logins in self._numbers.items():
            for one, other in pairwise(sorted(logins)):
                why = f"account {number} was called {shown_key(one)} and {shown_key(other)}"
                yield Evidence(one, other, why)

    @staticmethod
    def _ends(evidence: Iterable[Evidence]) -> set[str]:
        return {key for one in evidence for key in (one.one, one.other)}

    def _groups(self, more: Sequence[str] = ()) -> Groups:
        names = {key: list(seen.names) for key, seen in self._seen.items()}
        certain = [*self._declared(), *sorted(self._certain), *self._renamed()]
        keys = names.keys() | self._ends([*certain, *self._links])
        of_aliases = (key for alias in self._aliases for key in _keys(alias))
        groups = Groups([*keys, *more, *of_aliases], names)
        for one in certain:
            groups.join(one)
        groups.join_by_evidence(self._links)
        groups.join_by_evidence(of_colleagues(groups, names, shown_key))
        return groups

    def _declared(self) -> Iterator[Evidence]:
        for alias in self._aliases:
            keys = _keys(alias)
            for other in keys[1:]:
                yield Evidence(keys[0], other, f"the alias file says so of {alias.name}")

    def _person(self, groups: Groups, keys: Sequence[str]) -> Person:
        seen = [self._seen[key] for key in keys if key in self._seen]
        names = sum((one.names for one in seen), Counter[str]())
        identities = tuple(map(shown_key, keys))
        account = any(key.startswith("login:") for key in keys)
        declared = [alias.name for alias in self._aliases if not set(_keys(alias)).isdisjoint(keys)]
        return Person(
            name=min(declared, default="") or _shown_name(names) or identities[-1],
            identities=identities,
            active=tuple(sorted(at for one in seen for at in one.active)),
            names=frozenset([*names, *declared]),
            account=account,
            declared=bool(declared),
            merged=groups.why(keys[0]),
            associations=frozenset(text for one in seen for text in one.associations),
            doubts=() if declared else _doubts(seen, identities, account=account),
            mark=groups.root(keys[0]),
        )


def _doubts(seen: Sequence[_Seen], identities: Sequence[str], *, account: bool) -> tuple[str, ...]:
    """Why all that was seen of somebody may be a machine's."""
    subjects = [subject for one in seen for subject in one.subjects]
    names = [name for one in seen for name in one.names]
    named = any(map(is_a_persons, names))
    takes_part = any(one.reviews or (one.requests and named) for one in seen)
    behaviour = behaves_like_a_machine(subjects, takes_part=takes_part)
    told: list[str] = []
    if not named:
        called = called_like_a_machine(identities)
        told += sorted({doubt for one in seen for doubt in one.doubts}) or filter(None, [called])
    if not account:  # people commit to pull requests of machines
        told += sorted({doubt for one in seen for doubt in one.machines})[:1]
    return (*told, *([behaviour] if behaviour else []))


def _shown_name(names: Counter[str]) -> str:
    def rank(name: str) -> tuple[bool, bool, int, str]:
        return not is_a_persons(name), not is_full(name), -names[name], name

    return min(names, key=rank, default="")


def _keys(alias: Alias) -> list[str]:
    return [*map(login_key, alias.logins), *map(email_key, alias.emails)]


def roster_size(roster: tuple[str, ...], source: str) -> int:
    """How many people a roster declares.

    Raises:
        InputError: somebody is declared twice, or a name is empty.
    """
    names = [normal(name) for name in roster]
    wrong = [
        Finding(source, f"people.roster.{index}", f"{roster[index]} is declared twice")
        if name
        else Finding(source, f"people.roster.{index}", "names nobody")
        for index, name in enumerate(names)
        if not name or name in names[:index]
    ]
    if wrong:
        raise InputError("reading the roster", wrong)
    return len(names)
