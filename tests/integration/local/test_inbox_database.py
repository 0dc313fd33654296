"""The database of the inbox in the embedded PostgreSQL, and the account that owns nothing else."""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.prefect_servers import home
from xops.local import postgresql
from xops.local.down import stop_servers
from xops.local.stack import Stack, stack


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("home")
    with home(folder):
        found = stack()
    try:
        found.postgresql.launch()
        found.postgresql.wait()
        yield found
    finally:
        stop_servers(found)


def ask(running: Stack, statement: str, *, user: str, database: str) -> Any:
    """The value that one statement gives."""

    async def fetch() -> Any:
        sockets = str(postgresql.socket_folder(running.home))
        connection = await asyncpg.connect(host=sockets, port=5432, user=user, database=database)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def as_owner(running: Stack, statement: str) -> Any:
    return ask(running, statement, user="xops", database="postgres")


def as_inbox(running: Stack, statement: str, database: str = postgresql.INBOX) -> Any:
    return ask(running, statement, user=postgresql.INBOX, database=database)


@pytest.fixture
def inbox(running: Stack) -> Stack:
    postgresql.create_inbox(running.home)
    return running


def test_it_is_made_once_and_kept(inbox: Stack) -> None:
    as_inbox(inbox, "create table if not exists kept (word text)")
    postgresql.create_inbox(inbox.home)
    assert as_inbox(inbox, "select count(*) from kept") == 0


def test_what_faces_the_network_reads_nothing_of_prefect_s(inbox: Stack) -> None:
    for database in ("postgres", "template1"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
            as_inbox(inbox, "select 1", database)
    rights = "rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
    row = f"select array[{rights}] from pg_roles where rolname = current_user"  # noqa: S608
    assert as_inbox(inbox, row) == [False] * 5
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        as_inbox(inbox, "set session authorization xops")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        as_inbox(inbox, "copy (select 1) to program 'true'")


def test_it_cannot_keep_prefect_out_by_taking_all_connections(inbox: Stack) -> None:
    most = as_inbox(inbox, "select rolconnlimit from pg_roles where rolname = current_user")
    assert 0 < most < int(as_owner(inbox, "show max_connections")) / 2


def test_a_start_that_was_cut_short_is_gone_on_with(inbox: Stack) -> None:
    as_owner(inbox, f"drop database {postgresql.INBOX} with (force)")
    postgresql.create_inbox(inbox.home)
    assert as_inbox(inbox, "select 1") == 1
