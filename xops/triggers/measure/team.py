"""The people behind the repositories: how many were active, at the end of any week, and who.

A count is a number only if nothing about it is open. Else it lies between bounds: nobody is told
from who may be somebody's second identity, a machine by its behaviour, or an outsider whose
membership GitHub may conceal.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from typing import Literal

from xops.core.files.canonical_json import digest_of
from xops.github.members import Membership
from xops.github.people import machines
from xops.github.people.aliases import Aliases
from xops.github.people.directory import Directory, Person, roster_size
from xops.github.people.headcount import Headcount
from xops.github.people.identities import Identity
from xops.github.people.names import is_full, normal
from xops.github.repositories import RepositorySnapshot
from xops.triggers.facts import UNBOUNDED, WEEK, Bounds, Engineers, LeftOut, People
from xops.triggers.policy import Policy

DAYS28 = timedelta(days=28)
DAYS90 = timedelta(days=90)

_RULES = 1
"""Counted up whenever people are counted by other rules than before."""

_LISTED = 50

type _Counted = Literal["days28", "days90", "members"]
_INSIDERS = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})


@dataclass(frozen=True)
class _Standing:
    """Whether somebody counts: for certain, perhaps (`doubts`), or not (`left_out`)."""

    person: Person
    doubts: tuple[str, ...] = ()
    left_out: str = ""


class Team:
    """How many people were active, at the end of any week.

    Args:
        snapshots: the repositories as they were read.
        directory: tells who is one person.
        policy: who counts.
        since: from when on the repositories were read.
        members: of the organisations and teams of `people.members_of`.
    """

    def __init__(
        self,
        snapshots: Sequence[RepositorySnapshot],
        directory: Directory,
        policy: Policy,
        since: datetime,
        members: Sequence[Membership] = (),
    ) -> None:
        self._since = since
        roster = policy.people.roster
        self._roster = None if roster is None else roster_size(roster, "triggers.yaml")
        self._unread = "; ".join(_unread(snapshots))
        self._members = members
        self._directory = directory
        self._deleted = sorted(at for one in snapshots for at in _by_deleted_accounts(one))
        for snapshot in snapshots:
            _take(snapshot, directory, mailmap=policy.people.mailmap)
        judge = _Outsiders(snapshots, members).standing if not policy.people.outsiders else _all_in
        standing = [judge(person) for person in directory.people()]
        self._counted = [one for one in standing if not one.left_out]
        self._left_out: list[tuple[Person, str]] = [
            *((one, f"a machine: {one.why}") for one in directory.machines()),
            *((one.person, one.left_out) for one in standing if one.left_out),
        ]
        self._headcount = Headcount(
            [one.person for one in self._counted], [bool(one.doubts) for one in self._counted]
        )

    def engineers(self, end: datetime) -> Engineers:
        """The counts at a moment, with bounds where one is unknown."""
        counts: dict[_Counted, Bounds] = {
            "days28": self._active(end, DAYS28),
            "days90": self._active(end, DAYS90),
        }
        if self._members:
            counts["members"] = self._size_of_members() if self._is_of_today(end) else UNBOUNDED
        people, left_out = tuple(self._active_people(end)), self._not_counted(end)
        return Engineers(
            **{measure: _exact(found) for measure, found in counts.items()},
            roster=self._roster,
            bounds={name: found for name, found in counts.items() if _exact(found) is None},
            people=people,
            left_out=left_out[:_LISTED],
            left_out_more=len(left_out[_LISTED:]),
            reason="; ".join(self._reasons(end, sum(bool(one.doubtful) for one in people))),
        )

    def _is_of_today(self, end: datetime) -> bool:
        """Whether the week that ended then is the last one: nobody tells former members."""
        return all(one.read_at - WEEK < end <= one.read_at for one in self._members)

    def _active(self, end: datetime, days: timedelta) -> Bounds:
        start = end - days
        found = self._headcount.between(max(start, self._since), end)
        most = found.at_most + self._by_deleted_accounts(start, end)
        unknown = self._unread or start < self._since
        return Bounds(at_least=found.at_least, at_most=None if unknown else most)

    def _by_deleted_accounts(self, start: datetime, end: datetime) -> int:
        """How much was done in [start, end) of which GitHub no longer tells by whom."""
        return bisect_left(self._deleted, end) - bisect_left(self._deleted, start)

    def _size_of_members(self) -> Bounds:
        """Between what the number of members lies, each person once, without machines."""
        listed = [who for membership in self._members for who in membership.members]
        people = set(self._directory.marks([w for w in listed if not self._directory.is_bot(w)]))
        doubtful = {one.person.mark for one in self._counted if one.person.doubts}
        whole = all(membership.whole for membership in self._members)
        return Bounds(at_least=len(people - doubtful), at_most=len(people) if whole else None)

    def _reasons(self, end: datetime, doubtful: int) -> Iterator[str]:
        if self._unread:
            yield self._unread
        if end - DAYS90 < self._since:
            yield "not read so far back"
        if doubtful:
            yield f"{doubtful} of those who were active are doubtful"
        if deleted := self._by_deleted_accounts(max(end - DAYS90, self._since), end):
            yield f"{deleted} merged pull requests and reviews are of accounts that were deleted"
        if self._is_of_today(end):
            yield from (one.reason for one in self._members if one.reason)
        else:
            yield "GitHub tells who is a member today, not who was one"

    def _active_people(self, end: datetime) -> Iterator[People]:
        active = self._headcount.active(max(end - DAYS90, self._since), end)
        others = self._headcount.others(active)
        for index in active:
            standing = self._counted[index]
            person = standing.person
            may_be = "has the full name of" if person.account else "is on no account, may be"
            second = [f"{may_be} {others[index]}"] if index in others else []
            if (several := self._headcount.sharing(index)) > 1:
                second.append(f"bears names of {several} people")
            yield People(
                name=person.name,
                identities=person.identities,
                last_seen=person.last_seen(end),
                merged=person.merged,
                doubtful="; ".join([*standing.doubts, *second]),
            )

    def _not_counted(self, end: datetime) -> tuple[LeftOut, ...]:
        """Machines and outsiders that were active, the latest first."""
        start = max(end - DAYS90, self._since)
        found = [
            LeftOut(name=who.name, identities=who.identities, last_seen=who.last_seen(end), why=why)
            for who, why in self._left_out
            if who.within(start, end)
        ]
        return tuple(sorted(found, key=lambda one: (one.last_seen, one.name), reverse=True))


class _Outsiders:
    """Tells who contributes from outside, as far as GitHub says.

    `MEMBER` is said only of those who show their membership, or to whom may see it. Whoever is
    called `CONTRIBUTOR` or `NONE` may conceal one, unless all members are known.
    """

    def __init__(
        self, snapshots: Sequence[RepositorySnapshot], members: Sequence[Membership]
    ) -> None:
        self._members = {who.login.lower() for one in members for who in one.members}
        known = {one.organisation for one in members if one.whole}
        # Only a person's repositories have an owner who works on them, and those have no members.
        known |= {_owner(one) for one in snapshots if _has(one, "OWNER")}
        self._concealed = sorted({_owner(one) for one in snapshots if one.problem is None} - known)

    def standing(self, person: Person) -> _Standing:
        """Whether somebody counts."""
        identities = {identity.lower() for identity in person.identities}
        if person.associations & _INSIDERS or identities & self._members:
            return _all_in(person)
        said = ", ".join(sorted(person.associations))
        if not said:
            doubt = "GitHub does not say whether he or she is an outsider"
            return _Standing(person, (*person.doubts, doubt))
        if not self._concealed:
            return _Standing(person, left_out=f"an outsider: GitHub says {said}")
        doubt = (
            f"GitHub says {said}, and may conceal a membership of {', '.join(self._concealed)}:"
            " name it in people.members_of"
        )
        return _Standing(person, (*person.doubts, doubt))


def _all_in(person: Person) -> _Standing:
    return _Standing(person, person.doubts)


def _owner(snapshot: RepositorySnapshot) -> str:
    return snapshot.name.partition("/")[0].lower()


def _has(snapshot: RepositorySnapshot, association: str) -> bool:
    return any(one.association == association for one in snapshot.activities())


def _unread(snapshots: Sequence[RepositorySnapshot]) -> Iterator[str]:
    for one in snapshots:
        if problem := one.problem or one.people_problem:
            yield f"{one.name}: {problem.found}"


def _by_deleted_accounts(snapshot: RepositorySnapshot) -> Iterator[datetime]:
    """When somebody did something of whom nothing is left; a squash commit still has an author."""
    squashed = {oid for oid, commit in snapshot.records.commits.items() if commit.squash_author}
    for request in snapshot.records.pull_requests.values():
        if not request.author.known and request.merge_commit not in squashed:
            yield request.merged_at
        yield from (review.at for review in request.reviews if not review.who.known)


def _take(snapshot: RepositorySnapshot, directory: Directory, *, mailmap: bool) -> None:
    """Show a directory all that people did in a repository."""
    for activity in snapshot.activities(mailmap=mailmap):
        directory.add(activity)
    for one, other, why in snapshot.links(mailmap=mailmap):
        directory.link(one, other, why)

    def proper(who: Identity) -> Identity:
        return snapshot.mailmap.proper(who) if mailmap else who

    for request in snapshot.records.pull_requests.values():
        directory.requested(proper(request.author))
        for review in request.reviews:
            if review.who.account != request.author.account:
                directory.reviewed(proper(review.who))
    for oid, commit in snapshot.records.commits.items():
        people = [proper(who) for who in commit.people]
        if people and not commit.merge:
            directory.committed(people[0], commit.subject)
        for one, other in _namesakes(people):
            directory.link(one, other, f"commit {oid[:9]} of {snapshot.name} names both")


def _namesakes(people: Sequence[Identity]) -> Iterator[tuple[Identity, Identity]]:
    """Identities of one full name in one commit: nobody is the co-author of himself."""
    for one, other in combinations(people, 2):
        if is_full(one.name) and normal(one.name) == normal(other.name):
            yield one, other


def _exact(bounds: Bounds) -> int | None:
    return bounds.at_least if bounds.at_least == bounds.at_most else None


def without_people(engineers: Engineers) -> Engineers:
    """The counts without the people, who would stand in every week again."""
    return engineers.model_copy(update={"people": None, "left_out": (), "left_out_more": 0})


def machines_digest(policy: Policy) -> str:
    """SHA-256 (hex) of the rules by which machines are told.

    Raises:
        InputError: the alias file is wrong.
    """
    aliases = Aliases.load(policy.people.aliases)
    bots = policy.github.bots if policy.github else ()
    return digest_of(
        {
            "rules": machines.RULES,
            "known": sorted(machines.KNOWN),
            "declared": sorted({bot.strip().lower() for bot in bots}),
            "people": sorted(filter(machines.named_like_a_machine, aliases.identities)),
        }
    )


def people_digest(policy: Policy) -> str:
    """SHA-256 (hex) of the rules by which people are counted; who is declared is no rule.

    Raises:
        InputError: the alias file is wrong.
    """
    people = policy.people
    aliases = [
        [alias.name, sorted(one.lower() for one in (*alias.logins, *alias.emails))]
        for alias in Aliases.load(people.aliases).people
    ]
    return digest_of(
        {
            "rules": _RULES,
            "aliases": sorted(aliases),
            "mailmap": people.mailmap,
            "members_of": sorted(name.lower() for name in people.members_of),
            "outsiders": people.outsiders,
        }
    )
