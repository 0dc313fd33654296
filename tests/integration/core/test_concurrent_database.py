"""A database that is used all the time, while its server restarts, hangs or refuses."""

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from itertools import chain
from pathlib import Path

import pytest
import sqlalchemy as sql
from sqlalchemy.engine import Connection

from tests.integration.core.conftest import MakeTables
from tests.mounts import small_file_system
from tests.postgres_server import Postgres, running_postgres
from xops.core.database.concurrent import ConcurrentDatabase
from xops.core.database.tables import Tables
from xops.core.errors import InputError, PermanentError, TemporaryError

ADD = sql.text("INSERT INTO boxes (name) VALUES (:name)")
LONG = secrets.token_hex(2000)
"""No database can compress it."""


@pytest.fixture
def tables(boxes: MakeTables) -> Tables:
    return Tables("boxes", sql.MetaData(), boxes(1).versions, many_writers=True)


@pytest.fixture(scope="module")
def restarted() -> Iterator[Postgres]:
    """A server that the tests of this file stop and start."""
    with running_postgres() as server:
        yield server


@asynccontextmanager
async def opened(
    url: str, tables: Tables, wait_seconds: float = 8
) -> AsyncIterator[ConcurrentDatabase]:
    async with ConcurrentDatabase(
        url, tables, title="boxes", variable="BOXES", wait_seconds=wait_seconds
    ) as database:
        yield database


async def add(database: ConcurrentDatabase, *names: str) -> None:
    rows = [{"name": name} for name in names]
    await database.transact(lambda connection: connection.execute(ADD, rows))


async def names(database: ConcurrentDatabase) -> list[str]:
    def work(connection: Connection) -> list[str]:
        return list(connection.execute(sql.text("SELECT name FROM boxes ORDER BY name")).scalars())

    return await database.read(work)


def test_a_transaction_that_fails_writes_nothing(url: str, tables: Tables) -> None:
    def fail(connection: Connection) -> None:
        connection.execute(ADD, {"name": "half"})
        raise LookupError

    async def once() -> list[str]:
        async with opened(url, tables) as database:
            with pytest.raises(LookupError):
                await database.transact(fail)
            return await names(database)

    assert asyncio.run(once()) == []


def test_transactions_at_once_all_count(url: str, tables: Tables) -> None:
    async def once() -> list[str]:
        async with opened(url, tables) as database, opened(url, tables) as other:
            each = [add(one, f"{n:03}") for n in range(0, 100, 2) for one in (database,)]
            more = [add(other, f"{n:03}") for n in range(1, 100, 2)]
            await asyncio.gather(*each, *more, names(database), names(other))
            return await names(other)

    assert asyncio.run(once()) == [f"{n:03}" for n in range(100)]


def test_readers_wait_for_no_writer(url: str, tables: Tables) -> None:
    async def once() -> list[str]:
        async with opened(url, tables) as database:
            await add(database, "before")
            reading = asyncio.Event()
            loop = asyncio.get_running_loop()

            def write_slowly(connection: Connection) -> None:
                connection.execute(ADD, {"name": "later"})
                if connection.dialect.name == "sqlite":
                    asyncio.run_coroutine_threadsafe(reading.wait(), loop).result()
                else:
                    sql.util.await_only(reading.wait())

            writing = asyncio.create_task(database.transact(write_slowly))
            try:
                found = await asyncio.gather(*(names(database) for _ in range(10)))
            finally:
                reading.set()
                await writing
            return [*chain(*found), *await names(database)]

    assert asyncio.run(once()) == [*["before"] * 10, "before", "later"]


def test_a_task_that_is_cancelled_leaves_a_database_that_works(url: str, tables: Tables) -> None:
    async def once() -> None:
        async with opened(url, tables) as database:
            await add(database, "before")
            for _ in range(20):
                task = asyncio.create_task(add(database, "perhaps"))
                await asyncio.sleep(0)
                task.cancel()
            await add(database, "after")
            found = await names(database)
            assert {"before", "after"} <= set(found)
            assert set(found) <= {"before", "after", "perhaps"}

    asyncio.run(once())


def test_a_restart_between_two_calls_is_not_noticed_and_a_stop_is(
    restarted: Postgres, tables: Tables
) -> None:
    url = restarted.new_database()

    async def once() -> list[str]:
        async with opened(url, tables) as database:
            await asyncio.gather(*(add(database, f"{n}") for n in range(3)))
            await asyncio.to_thread(restarted.stop)
            await asyncio.to_thread(restarted.start)
            await asyncio.gather(*(add(database, f"{n}") for n in range(3, 5)))
            await asyncio.to_thread(restarted.stop)
            with pytest.raises(TemporaryError):
                await add(database, "lost")
            await asyncio.to_thread(restarted.start)
            await asyncio.gather(*(add(database, f"{n}") for n in range(5, 10)))
            return await names(database)

    assert asyncio.run(once()) == [f"{n}" for n in range(10)]


def test_what_was_acknowledged_outlives_a_server_that_restarts_during_calls(
    restarted: Postgres, tables: Tables
) -> None:
    url = restarted.new_database()
    acknowledged: list[str] = []

    async def write(database: ConcurrentDatabase, who: int, stop: asyncio.Event) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                await add(database, f"{who}-{number}")
            except TemporaryError:
                await asyncio.sleep(0.01)
            else:
                acknowledged.append(f"{who}-{number}")

    async def once() -> list[str]:
        async with opened(url, tables) as database:
            await database.prepare()
            stop = asyncio.Event()
            writers = [asyncio.create_task(write(database, who, stop)) for who in range(6)]
            for _ in range(3):
                reached = len(acknowledged) + 50
                while len(acknowledged) < reached:
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(restarted.stop)
                await asyncio.to_thread(restarted.start)
            reached = len(acknowledged) + 50
            while len(acknowledged) < reached:
                await asyncio.sleep(0.01)
            stop.set()
            await asyncio.gather(*writers)
            return await names(database)

    found = asyncio.run(once())
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))


def test_a_server_that_hangs_is_given_up_in_time(restarted: Postgres, tables: Tables) -> None:
    url = restarted.new_database()

    async def once() -> list[str]:
        async with opened(url, tables, wait_seconds=1) as database:
            await add(database, "before")
            with restarted.frozen():
                started = asyncio.get_running_loop().time()
                with pytest.raises(TemporaryError):
                    await add(database, "never")
                assert asyncio.get_running_loop().time() - started < 8
            await add(database, "after")
            return await names(database)

    found = asyncio.run(once())
    assert {"before", "after"} <= set(found)


def test_a_server_that_is_not_there_may_come_later(tables: Tables) -> None:
    async def once() -> None:
        async with opened("postgresql://xops:canary@127.0.0.1:1/postgres", tables) as database:
            with pytest.raises(TemporaryError) as caught:
                await database.prepare()
            assert "canary" not in str(caught.value)

    asyncio.run(once())


@pytest.mark.parametrize(
    ("account", "name", "error", "found"),
    [
        ("xops:wrong-canary", "postgres", PermanentError, "password authentication failed"),
        ("xops:canary", "nothing", PermanentError, "does not exist"),
        ("xops:canary", "postgres?ssl=canary", InputError, "has an option that is wrong"),
    ],
)
def test_a_server_that_refuses_is_no_matter_of_time(
    postgres: Postgres, tables: Tables, account: str, name: str, error: type[Exception], found: str
) -> None:
    async def once() -> None:
        async with opened(postgres.url(account, name), tables) as database:
            with pytest.raises(error, match=found):
                await database.prepare()

    asyncio.run(once())


def test_commits_are_durable_whatever_the_database_says(postgres: Postgres, tables: Tables) -> None:
    url = postgres.new_database()
    postgres.sql(f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = off")
    setting = sql.text("SHOW synchronous_commit")

    async def once() -> object:
        async with opened(url, tables) as database:
            return await database.transact(lambda each: each.execute(setting).scalar())

    assert asyncio.run(once()) == "on"


async def fill(database: ConcurrentDatabase) -> None:
    """Add until there is no room; a thousand times four thousand characters have none."""
    for start in range(0, 1000, 10):
        await add(database, *(f"{start + n:04}{LONG}" for n in range(10)))


async def meet_a_full_disk(url: str, tables: Tables, folder: Path) -> None:
    async with opened(url, tables) as database:
        await add(database, "first")
        ballast = folder / "ballast"
        ballast.write_bytes(b"x" * 100_000)
        with pytest.raises(
            TemporaryError, match=r"(full|No space left|extend file).*\n.*Free room"
        ):
            await fill(database)
        found = await names(database)
        assert found[-1] == "first"
        assert (len(found) - 1) % 10 == 0
        ballast.unlink()
        await add(database, *[f"after{n}" for n in range(10)])
        assert len(await names(database)) == len(found) + 10


def test_a_full_disk_writes_nothing_by_halves_and_passes(tables: Tables, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    with small_file_system(folder, "1m"):
        asyncio.run(meet_a_full_disk(f"sqlite:///{folder}/db", tables, folder))


def test_a_full_disk_of_the_server_does_so_as_well(postgres: Postgres, tables: Tables) -> None:
    with postgres.database_on_small_disk("1m") as (url, folder):
        asyncio.run(meet_a_full_disk(url, tables, folder))


def test_room_is_not_given_back_while_somebody_else_writes(tables: Tables, tmp_path: Path) -> None:
    file = tmp_path / "boxes.db"

    async def story() -> None:
        async with opened(f"sqlite:///{file}", tables, wait_seconds=0.05) as database:
            await add(database, *(f"{number}{LONG}" for number in range(300)))
            delete = sql.text("DELETE FROM boxes")
            await database.transact(lambda connection: connection.execute(delete))
            with closing(sqlite3.connect(file, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(TemporaryError, match="database is locked"):
                    await database.give_room_back()
            await database.give_room_back()

    asyncio.run(story())


def test_a_file_that_was_deleted_is_made_anew(tables: Tables, tmp_path: Path) -> None:
    async def once() -> list[str]:
        async with opened(f"sqlite:///{tmp_path}/made/db", tables) as database:
            await add(database, "before")
            for file in (tmp_path / "made").iterdir():
                file.unlink()
            await add(database, "after")
            return await names(database)

    assert asyncio.run(once()) == ["after"]

    async def again() -> list[str]:
        async with opened(f"sqlite:///{tmp_path}/made/db", tables) as database:
            return await names(database)

    assert asyncio.run(again()) == ["after"]


def test_a_database_that_was_never_used_is_closed(url: str, tables: Tables) -> None:
    async def once() -> None:
        async with opened(url, tables):
            pass

    asyncio.run(once())
