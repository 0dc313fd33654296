"""Who is in the teams of a policy, in both databases."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.github_data import Team
from tests.github_server import GitHubServer
from tests.integration.github.pull_request.conftest import FAULTS
from tests.postgres_server import Postgres
from xops.core.database.exclusive import Database
from xops.core.errors import XopsError
from xops.github.client import Client
from xops.github.errors import (
    ForbiddenError,
    NotVisibleError,
    RefusedError,
)
from xops.github.inbox.address import VARIABLE
from xops.github.inbox.connection import open_tables
from xops.github.inbox.tables import team_members
from xops.github.policy import People
from xops.github.pull_request import teams
from xops.github.pull_request.teams import CACHED_FOR, TeamDirectory, forget

PLATFORM = People(teams=("Acme/platform",), logins=("Zoe",))
MEMBERS = "GET /orgs/acme/teams/.*"


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 2, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "sqlite":
        return open_tables({VARIABLE: f"sqlite:///{tmp_path / 'inbox.db'}"})
    server: Postgres = request.getfixturevalue("postgres")
    return open_tables({VARIABLE: server.new_database()})


@pytest.fixture
def directory(client: Client, database: Database, clock: Clock) -> TeamDirectory:
    return TeamDirectory(client, database, clock)


@pytest.fixture(autouse=True)
def acme(github: GitHubServer) -> None:
    github.organisation(
        "Acme",
        "Alice",
        "bob",
        "carol",
        "Zoe",
        platform=Team(members=["Alice", "bob"], pending=["mallory"]),
        network=Team(members=["carol"], parent="platform"),
        empty=Team(),
    )


def read(github: GitHubServer) -> int:
    return sum(one.path.startswith("/orgs/") for one in github.requests)


def test_all_whom_a_policy_means_are_known_by_lower_case_logins(directory: TeamDirectory) -> None:
    assert directory.members(PLATFORM) == {"alice", "bob", "carol", "zoe"}


def test_nobody_is_meant_by_an_empty_policy(github: GitHubServer, directory: TeamDirectory) -> None:
    assert directory.members(People()) == frozenset()
    assert read(github) == 0


def test_who_is_invited_is_no_member_yet(directory: TeamDirectory) -> None:
    assert "mallory" not in directory.members(PLATFORM)


def test_a_team_of_hundreds_is_read_to_its_end(
    github: GitHubServer, directory: TeamDirectory
) -> None:
    github.organisations["acme"].teams["platform"].members = [f"p{n}" for n in range(250)]
    assert len(directory.members(People(teams=("acme/platform",)))) == 251


def test_a_team_without_members_is_empty(directory: TeamDirectory) -> None:
    assert directory.members(People(teams=("acme/empty",))) == frozenset()


# For ten minutes.


def test_members_are_read_once_in_ten_minutes(
    github: GitHubServer, client: Client, database: Database, directory: TeamDirectory, clock: Clock
) -> None:
    directory.members(PLATFORM)
    clock.now += CACHED_FOR - timedelta(seconds=1)
    assert directory.members(PLATFORM) == {"alice", "bob", "carol", "zoe"}
    assert TeamDirectory(client, database, clock).members(People(teams=("acme/platform",)))
    assert read(github) == 1
    clock.now += timedelta(seconds=1)
    github.organisations["acme"].teams["platform"].members.remove("bob")
    assert directory.members(PLATFORM) == {"alice", "carol", "zoe"}
    assert read(github) == 2


def test_a_clock_that_was_set_back_keeps_nobody(
    github: GitHubServer, directory: TeamDirectory, clock: Clock
) -> None:
    directory.members(PLATFORM)
    clock.now -= timedelta(days=1)
    directory.members(PLATFORM)
    assert read(github) == 2


@pytest.mark.parametrize(
    ("organisation", "team", "again"),
    [
        ("ACME", "Platform", 1),
        ("acme", "", 1),
        ("acme", "network", 0),
        ("acm", "", 0),
        ("acm_", "", 0),
        ("%", "", 0),
        ("other", "platform", 0),
    ],
)
def test_what_is_forgotten_is_read_anew(
    github: GitHubServer,
    database: Database,
    directory: TeamDirectory,
    organisation: str,
    team: str,
    again: int,
) -> None:
    directory.members(PLATFORM)
    forget(database, organisation, team)
    directory.members(PLATFORM)
    assert read(github) == 1 + again


def test_what_was_never_read_can_be_forgotten(database: Database) -> None:
    forget(database, "acme", "platform")
    forget(database, "acme")


def test_the_table_is_the_one_that_the_inbox_makes() -> None:
    assert teams._members.name == team_members.name
    wanted = {column.name: type(column.type) for column in team_members.columns}
    assert {column.name: type(column.type) for column in teams._members.columns} == wanted


# What is not there.


@pytest.mark.parametrize("team", ["acme/none", "none/platform"])
def test_a_team_that_is_not_there_is_an_error_that_names_the_remedy(
    directory: TeamDirectory, team: str
) -> None:
    with pytest.raises(NotVisibleError, match=rf"{team}[\s\S]*Members: read"):
        directory.members(People(teams=("acme/platform", team)))


def test_a_team_that_may_not_be_seen_is_an_error(
    github: GitHubServer, directory: TeamDirectory
) -> None:
    github.organisations["acme"].conceals = True
    with pytest.raises(NotVisibleError, match="Members: read"):
        directory.members(PLATFORM)


def test_an_error_is_not_kept(github: GitHubServer, directory: TeamDirectory) -> None:
    github.fail(operation=MEMBERS, status=404)
    with pytest.raises(NotVisibleError):
        directory.members(PLATFORM)
    assert "bob" in directory.members(PLATFORM)


@pytest.mark.parametrize(("fault", "error"), FAULTS)
def test_a_fault_is_told(
    github: GitHubServer, directory: TeamDirectory, fault: dict[str, Any], error: type[XopsError]
) -> None:
    github.fail(operation=MEMBERS, **fault)
    with pytest.raises(error):
        directory.members(PLATFORM)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: [{**row, "login": None} for row in body],
        lambda body: [{}],
        lambda body: [None],
        lambda body: {},
    ],
)
def test_an_answer_of_another_shape_is_refused(
    github: GitHubServer, directory: TeamDirectory, change: Callable[[Any], Any]
) -> None:
    github.change = change
    with pytest.raises(RefusedError):
        directory.members(PLATFORM)


def test_a_list_that_leaves_people_out_is_refused(
    github: GitHubServer, directory: TeamDirectory
) -> None:
    github.partial_lists = True
    with pytest.raises(ForbiddenError, match="single sign-on"):
        directory.members(PLATFORM)


def test_before_what_cannot_be_taken_back_it_is_asked_anew(
    github: GitHubServer, directory: TeamDirectory
) -> None:
    assert "bob" in directory.members(PLATFORM)
    github.act.leave_team("Acme", "platform", "bob")
    assert "bob" in directory.members(PLATFORM)  # that delivery was lost

    assert "bob" not in directory.members(PLATFORM, anew=True)
    assert "bob" not in directory.members(PLATFORM)
