"""Who is in the teams that policy names, as GitHub says, ten minutes old at most.

A team's members include those of the teams below it; who is invited and has not accepted is none.
Whoever may not see a team is told that there is none, so that a team that cannot be read is an
error, never an empty one.

GitHub frees a login when somebody takes another one, and anybody may take it then. Teams follow
people through that; logins that policy names do not. So teams are the better list. Source: GitHub,
"REST API endpoints for team members", "Changing your username".
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from xops.core.database.moments import Moment
from xops.github.errors import ForbiddenError, NotVisibleError
from xops.github.policy import People
from xops.github.pull_request.rows import User

if TYPE_CHECKING:  # githubkit takes a second to import
    from xops.core.database.exclusive import Database
    from xops.github.client import Client

CACHED_FOR = timedelta(minutes=10)
"""GitHub's events of memberships make it shorter; where none comes, this is the limit."""

_NEEDED = "give the credential Members: read of the organisation (a classic token: read:org)"

_members = sql.table(
    "xops_github_team_members",
    sql.column("team", sql.Text()),
    sql.column("logins", sql.JSON()),
    sql.column("read_at", Moment()),
)
"""As `xops.github.inbox` makes it, which is above."""


class TeamDirectory:
    """The members of teams.

    Args:
        client: with a credential that may read the members of the organisations.
        database: holds what was read.
        clock: this machine's.
    """

    def __init__(
        self,
        client: Client,
        database: Database,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._database = database
        self._clock = clock

    def members(self, people: People, *, anew: bool = False) -> frozenset[str]:
        """The logins, in lower case, of all whom a policy means.

        Args:
            people: of the policy.
            anew: ask GitHub, whatever is known: before what cannot be taken back.

        Raises:
            NotVisibleError, ForbiddenError: a team is not there, or the credential may not see it.
            AccessError, LimitError, UnavailableError, RefusedError.
            TemporaryError, PermanentError: the database does not answer, or refuses.
        """
        found = {login.lower() for login in people.logins}
        for team in people.teams:
            found |= self._of_team(team.lower(), anew=anew)
        return frozenset(found)

    def _of_team(self, team: str, *, anew: bool) -> frozenset[str]:
        now = self._clock()
        cached = self._database.transact(lambda connection: _read(connection, team, now))
        if cached is not None and not anew:
            return cached
        logins = self._ask(team)
        self._database.transact(lambda connection: _keep(connection, team, logins, now))
        return logins

    def _ask(self, team: str) -> frozenset[str]:
        organisation, _, slug = team.partition("/")
        attempted = f"listing the members of {team}"
        try:
            path = f"/orgs/{organisation}/teams/{slug}/members"
            rows = list(self._client.pages(path, attempted))
        except NotVisibleError as error:
            remedy = f"Correct the team in deployments/github.yaml, or {_NEEDED}."
            raise NotVisibleError(attempted, error.found, remedy) from error
        except ForbiddenError as error:
            remedy = f"{error.remedy} For teams {_NEEDED}."
            raise ForbiddenError(attempted, error.found, remedy) from error
        with self._client.translate_errors(attempted):
            return frozenset(User.of(row).login.lower() for row in rows)


def forget(database: Database, organisation: str, team: str = "") -> None:
    """Have the members of a team, or of all teams of an organisation, read anew.

    Args:
        database: holds what was read.
        organisation: its login.
        team: its slug; all of them if empty.

    Raises:
        TemporaryError, PermanentError: the database does not answer, or refuses.
    """
    name = f"{organisation}/{team}".lower()
    concerned = (
        _members.c.team == name if team else _members.c.team.startswith(name, autoescape=True)
    )
    database.transact(lambda connection: connection.execute(sql.delete(_members).where(concerned)))


def _read(connection: Connection, team: str, now: datetime) -> frozenset[str] | None:
    wanted = sql.select(_members.c.logins, _members.c.read_at).where(_members.c.team == team)
    row = connection.execute(wanted).one_or_none()
    if row is None:
        return None
    # A clock that was set back must not keep what was read for longer.
    fresh = now - CACHED_FOR < row.read_at <= now
    return frozenset(map(str, row.logins)) if fresh else None


def _keep(connection: Connection, team: str, logins: Collection[str], now: datetime) -> None:
    connection.execute(sql.delete(_members).where(_members.c.team == team))
    row = {"team": team, "logins": sorted(logins), "read_at": now}
    connection.execute(sql.insert(_members).values(row))
