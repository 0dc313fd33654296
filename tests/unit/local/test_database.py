"""Which database the embedded stack chooses, and what its servers are told of it."""

from pathlib import Path

import pytest

from xops.core.errors import InputError
from xops.local import postgresql
from xops.local.database import VARIABLE, Kind, choose
from xops.local.stack import running_stack, stack

HOME = Path("/srv/xops")
ASTRAY = {
    "DATABASE_URL": "postgresql://db.example.com/app",
    "PGHOST": "db.example.com",
    "PGDATA": "/srv/another",
    "PGSERVICE": "another",
    "PREFECT_API_URL": "https://prefect.example.com/api",
    "PREFECT_API_KEY": "canary",
    "PREFECT_API_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:////srv/another.db",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:////srv/another.db",
    "PREFECT_SERVER_DATABASE_HOST": "db.example.com",
    "PREFECT_HOME": "/srv/another",
    "PREFECT_PROFILE": "another",
}
"""What a person may have set for other software."""


def test_variables_for_other_software_choose_nothing() -> None:
    assert choose(ASTRAY, HOME) == choose({}, HOME)
    assert choose({VARIABLE: ""}, HOME) == choose({}, HOME)


def test_they_do_not_reach_the_servers() -> None:
    found, plain = stack({**ASTRAY, "PATH": "/bin"}), stack({"PATH": "/bin"})
    assert {**found.server.environ, "DATABASE_URL": ""} == {
        **plain.server.environ,
        "DATABASE_URL": "",  # of which Prefect knows nothing
    }
    assert dict(found.postgresql.environ) == dict(plain.postgresql.environ)
    told = found.server.environ
    assert told["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == found.database.url
    assert not [name for name in told if name.startswith("PG")]


def test_the_worker_keeps_what_runs_may_need_and_no_database_of_the_servers() -> None:
    environ = {**ASTRAY, VARIABLE: "postgresql://xops:canary@db.example.com/prefect"}
    told = stack(environ).worker.environ
    assert told["PGHOST"] == "db.example.com"  # the history of triggers may be in a PostgreSQL
    assert "canary" not in "".join(told.values())
    assert told["PREFECT_API_URL"].startswith("http://127.0.0.1:")


def test_a_server_of_ones_own_is_used_and_its_password_not_shown() -> None:
    own = choose({VARIABLE: "postgresql://xops:canary@db.example.com/prefect?ssl=require"}, HOME)
    assert own.kind is Kind.OWN
    assert own.url == "postgresql+asyncpg://xops:canary@db.example.com/prefect?ssl=require"
    assert own.found == (
        "postgresql://xops:***@db.example.com/prefect?ssl=require (XOPS_DATABASE_URL)"
    )
    assert "canary" not in repr(own)
    assert [service.name for service in stack({VARIABLE: own.url}).services] == [
        "aws", "prefect", "receiver", "dispatcher", "worker", "watch"
    ]  # fmt: skip


def test_a_sqlite_file_of_ones_own_is_told_by_its_whole_path() -> None:
    own = choose({VARIABLE: "sqlite:///runs.db"}, HOME)
    assert own.url == f"sqlite+aiosqlite:///{Path.cwd()}/runs.db"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("db.example.com", "is no URL"),
        ("mysql://db.example.com/prefect", "of the kind 'mysql'"),
        ("postgresql://xops:canary@db.example.com", "names no database"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///runs.db?nope=1", "options that its driver does not take: nope"),
        ("postgresql://xops:canary@db.example.com/prefect?nope=1&ssl=require", "take: nope"),
        ("postgresql://xops:canary@db.example.com/prefect?command_timeout=1", "command_timeout"),
        ("postgresql://xops:canary@db.example.com/prefect?port=abc", "port that is no number"),
        ("postgresql://xops:canary@db.example.com:abc/prefect", "is no URL"),
    ],
)
def test_what_prefect_cannot_use_is_refused(given: str, found: str) -> None:
    with pytest.raises(InputError, match=found) as caught:
        choose({VARIABLE: given}, HOME)
    assert VARIABLE in str(caught.value)
    assert "canary" not in str(caught.value)


def test_who_only_ends_the_stack_is_not_asked_for_a_database() -> None:
    found = running_stack({VARIABLE: "nonsense"})
    assert found.postgresql in found.services


def test_where_the_wheel_has_no_build_it_is_sqlite_and_said_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.path", [])
    monkeypatch.setattr("sys.path_importer_cache", {})
    found = choose({}, HOME)
    assert found.kind is Kind.SQLITE
    assert found.url == f"sqlite+aiosqlite:///{HOME}/prefect/prefect.db"
    assert "there is no PostgreSQL for" in found.found
    assert VARIABLE in found.remedy


def test_the_socket_is_short_however_long_the_home_is() -> None:
    home = Path("/srv") / ("ü" * 200)
    address = postgresql.socket_folder(home) / ".s.PGSQL.5432"
    assert len(str(address).encode()) < 107
    assert address != postgresql.socket_folder(HOME) / ".s.PGSQL.5432"
