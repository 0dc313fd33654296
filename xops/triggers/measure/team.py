"""The people behind the repositories: how many were active, at the end of any week."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from xops.github.people import Directory, Person, roster_size
from xops.github.repositories import RepositorySnapshot
from xops.triggers.facts import Engineers, People
from xops.triggers.policy import Policy

DAYS28 = timedelta(days=28)
DAYS90 = timedelta(days=90)


class Team:
    """How many people were active, at the end of any week."""

    def __init__(
        self,
        snapshots: Sequence[RepositorySnapshot],
        directory: Directory,
        policy: Policy,
        since: datetime,
    ) -> None:
        self._since = since
        roster = policy.people.roster
        self._roster = None if roster is None else roster_size(roster, "triggers.yaml")
        unread = [f"{one.name}: {one.problem.found}" for one in snapshots if one.problem]
        self._reason = "; ".join(unread)
        for snapshot in snapshots:
            mailmap = policy.people.mailmap
            for activity in snapshot.activities(mailmap=mailmap):
                directory.add(activity)
        self._people = directory.people()

    def engineers(self, end: datetime) -> Engineers:
        """The counts at a moment. A count is unknown if not all of its days were read."""
        short = end - DAYS90 < self._since
        reason = self._reason or ("not read so far back" if short else "")
        return Engineers(
            days28=self._active(end, DAYS28),
            days90=self._active(end, DAYS90),
            roster=self._roster,
            people=None if self._reason else self._active_people(end),
            reason=reason,
        )

    def _active(self, end: datetime, days: timedelta) -> int | None:
        start = end - days
        if self._reason or start < self._since:
            return None
        return sum(person.within(start, end) for person in self._people)

    def _active_people(self, end: datetime) -> tuple[People, ...]:
        start = max(end - DAYS90, self._since)
        return tuple(_person(person, end) for person in self._people if person.within(start, end))


def _person(person: Person, end: datetime) -> People:
    return People(name=person.name, identities=person.identities, last_seen=person.last_seen(end))


def without_people(engineers: Engineers) -> Engineers:
    """The counts without the people, who would stand in every week again."""
    return engineers.model_copy(update={"people": None})
