"""Which identities are one person: what is certain, and what follows from evidence.

What is certain: GitHub names the account of an address; somebody declares it. Evidence joins an
address that is on no account to somebody. It never makes one person of two accounts, and where it
speaks for two, it joins nobody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from xops.github.people.names import are_different, company_domain, is_full, normal


@dataclass(frozen=True, order=True)
class Evidence:
    """Two keys that are one person's, and why."""

    one: str
    other: str
    why: str


class Groups:
    """Keys, joined.

    Args:
        keys: each a group of its own at first.
        names: what names were seen with a key.
    """

    def __init__(self, keys: Iterable[str], names: Mapping[str, Iterable[str]]) -> None:
        self._parent = {key: key for key in keys}
        self._names = {key: set(names.get(key, ())) for key in self._parent}
        self._account = {key: key.startswith("login:") for key in self._parent}
        self._why: dict[str, list[str]] = {key: [] for key in self._parent}

    def root(self, key: str) -> str:
        """The group of a key, by one of its keys."""
        while (parent := self._parent[key]) != key:
            self._parent[key] = self._parent[parent]
            key = parent
        return key

    def join(self, evidence: Evidence) -> None:
        """Make one group of two; why is kept if they were two."""
        one, other = sorted((self.root(evidence.one), self.root(evidence.other)))
        if one == other:
            return
        self._parent[other] = one
        self._names[one] |= self._names.pop(other)
        self._account[one] |= self._account.pop(other)
        self._why[one] += [*self._why.pop(other), evidence.why]

    def join_by_evidence(self, evidence: Iterable[Evidence]) -> None:
        """Join addresses on no account to those for whom the evidence speaks, and to each other.

        The order of the evidence changes nothing.
        """
        telling = [one for one in sorted(evidence) if self._tells(one)]
        accounts = self._accounts_beside(telling)
        clear = [
            one
            for one in telling
            if max(len(accounts[self.root(key)]) for key in (one.one, one.other)) < 2
        ]
        for one in clear:
            if self._account[self.root(one.one)] != self._account[self.root(one.other)]:
                self.join(one)
        self._join_unlinked(clear)

    def members(self) -> dict[str, list[str]]:
        """The keys of each group, sorted, by its root."""
        found: dict[str, list[str]] = {}
        for key in sorted(self._parent):
            found.setdefault(self.root(key), []).append(key)
        return found

    def why(self, key: str) -> tuple[str, ...]:
        """Why the identities of a group are one person's."""
        return tuple(dict.fromkeys(sorted(self._why[self.root(key)])))

    def _tells(self, evidence: Evidence) -> bool:
        """Whether it may join two groups: not two accounts, and not two different people's."""
        one, other = self.root(evidence.one), self.root(evidence.other)
        if one == other or (self._account[one] and self._account[other]):
            return False
        return not are_different(self._names[one], self._names[other])

    def _accounts_beside(self, evidence: Iterable[Evidence]) -> dict[str, set[str]]:
        """The accounts for which evidence speaks, for each group without one."""
        found: dict[str, set[str]] = defaultdict(set)
        for one in evidence:
            ends = self.root(one.one), self.root(one.other)
            for end, beyond in (ends, ends[::-1]):
                if self._account[beyond]:
                    found[end].add(beyond)
        return found

    def _join_unlinked(self, evidence: Iterable[Evidence]) -> None:
        """Join what hangs together, where at most one account is among it."""
        found = [one for one in evidence if self.root(one.one) != self.root(one.other)]
        ends = {self.root(key) for one in found for key in (one.one, one.other)}
        together = Groups(ends, {})
        for one in found:
            together.join(Evidence(self.root(one.one), self.root(one.other), ""))
        accounts: dict[str, int] = defaultdict(int)
        for end in ends:
            accounts[together.root(end)] += self._account[end]
        few = {end for end in ends if accounts[together.root(end)] < 2}
        for one in [one for one in found if self.root(one.one) in few]:
            self.join(one)


def of_colleagues(
    groups: Groups, names: Mapping[str, Iterable[str]], shown: Callable[[str], str]
) -> list[Evidence]:
    """Evidence in names: the same full name, with addresses of one organisation.

    Where two accounts have the same, there are two people, and it tells nothing.

    Args:
        groups: the keys.
        names: what names were seen with a key.
        shown: a key as it is told.
    """
    same: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key in sorted(names):
        domain = company_domain(shown(key)) if key.startswith("email:") else ""
        for name in {normal(one) for one in names[key] if domain and is_full(one)}:
            same[name, domain].append(key)
    return [
        Evidence(one, other, f"{shown(one)} and {shown(other)} have one name and one mail domain")
        for keys in same.values()
        for one, other in combinations(keys, 2)
        if groups.root(one) != groups.root(other)
    ]
