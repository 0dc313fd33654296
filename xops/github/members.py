"""Who belongs to organisations and teams, as GitHub says today.

A team's members include those of the teams below it, and whoever may not see the team is told that
there is none. An organisation's members may conceal it: whoever may not see that, is shown a
shorter list and no error. So it is asked whether the credential may. Source: GitHub, "REST API
endpoints for organization members", "... for team members".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from xops.core.errors import XopsError
from xops.github.client import Client
from xops.github.errors import (
    ForbiddenError,
    LimitError,
    NotVisibleError,
    PartialAnswerError,
    RefusedError,
    UnavailableError,
)
from xops.github.people.identities import Identity

MEMBERS_NEEDED = (
    "Give the credential Members: read of the organisation (a classic token: read:org)."
)
"""What to do where members cannot be read, or not all of them."""

_UNREADABLE = (
    ForbiddenError, LimitError, NotVisibleError, PartialAnswerError, RefusedError, UnavailableError,
)  # fmt: skip


@dataclass(frozen=True)
class Membership:
    """The members of one organisation or team.

    Attributes:
        source: as it was asked for, `organisation` or `organisation/team`.
        read_at: when. GitHub does not tell who was a member before.
        members: those that were read.
        problem: why they could not be read; None if they could.
        whole: whether these are all, also those who conceal it.
    """

    source: str
    read_at: datetime
    members: tuple[Identity, ...] = ()
    problem: XopsError | None = None
    whole: bool = False

    @property
    def organisation(self) -> str:
        """The organisation in lower case, if it is not just a team of one."""
        return "" if "/" in self.source else self.source.lower()

    @property
    def reason(self) -> str:
        """Why not all members are known; empty if they are."""
        if self.problem is not None:
            return f"{self.problem.attempted}: {self.problem.found}. {MEMBERS_NEEDED}"
        if self.whole:
            return ""
        return f"{self.source}: members who conceal it are not shown. {MEMBERS_NEEDED}"


def count_members(client: Client, names: Sequence[str], now: datetime) -> tuple[Membership, ...]:
    """Read the members of organisations (`acme`) and teams (`acme/platform`).

    One that cannot be read has its problem; the others are read all the same.

    Args:
        client: the connection.
        names: which.
        now: when this is.

    Raises:
        AccessError: the credential is refused.
    """
    return tuple(_membership(client, name, now) for name in names)


def _membership(client: Client, name: str, now: datetime) -> Membership:
    organisation, _, team = name.partition("/")
    try:
        members = _members(client, name)
        first = members[0].login if members else ""
        whole = bool(team) or _sees_all(client, organisation, first)
    except _UNREADABLE as error:
        return Membership(name, now, problem=error)
    return Membership(name, now, members, whole=whole)


def _members(client: Client, name: str) -> tuple[Identity, ...]:
    organisation, _, team = name.partition("/")
    attempted = f"listing the members of {name}"
    within = f"/orgs/{organisation}/teams/{team}" if team else f"/orgs/{organisation}"
    rows = list(client.pages(f"{within}/members", attempted))
    with client.translate_errors(attempted):
        return tuple(Identity(login=row["login"], bot=row.get("type") == "Bot") for row in rows)


def _sees_all(client: Client, organisation: str, member: str) -> bool:
    """Whether the credential sees who conceals it: only then it is told of a membership."""
    if not member:  # every organisation has an owner
        return False
    path = f"/orgs/{organisation}/memberships/{member}"
    try:
        client.get(path, f"asking whether the members of {organisation} are shown")
    except (ForbiddenError, NotVisibleError):
        return False
    return True
