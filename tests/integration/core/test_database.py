"""Tables that grow revision by revision, and an outbox, in a real SQLite and a real PostgreSQL."""

import asyncio
import logging
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sql
from sqlalchemy.engine import Connection

from tests.integration.core.conftest import MakeTables
from tests.postgres_server import Postgres
from xops.core.database.concurrent import ConcurrentDatabase
from xops.core.database.exclusive import Database
from xops.core.database.moments import Moment
from xops.core.database.tables import Tables
from xops.core.errors import InputError, PermanentError, TemporaryError
from xops.core.outbox import Message, Outbox, outbox_table

NOW = datetime(2026, 11, 28, tzinfo=UTC)
MAIL = outbox_table("mail", sql.MetaData())
ADD = "INSERT INTO boxes (name) VALUES ('a')"


def statement(text: str) -> Callable[[Connection], None]:
    def apply(connection: Connection) -> None:
        connection.execute(sql.text(text))

    return apply


def database(url: str, tables: Tables) -> Database:
    return Database(url, tables, title="boxes", variable="BOXES")


def concurrently[Result](url: str, tables: Tables, work: Callable[[Connection], Result]) -> Result:
    async def once() -> Result:
        async with ConcurrentDatabase(url, tables, title="boxes", variable="BOXES") as opened:
            return await opened.transact(work)

    return asyncio.run(once())


def colours(connection: Connection) -> list[str]:
    return list(connection.execute(sql.text("SELECT colour FROM boxes")).scalars())


def test_revisions_that_are_missing_are_applied_once(url: str, boxes: MakeTables) -> None:
    database(url, boxes(1)).transact(statement(ADD))
    newer = database(url, boxes(2))
    assert newer.transact(colours) == ["red"]
    assert newer.transact(colours) == ["red"]
    assert newer.transact(boxes(2).revision) == "0002"


def test_the_other_way_in_brings_tables_up_to_date_as_well(url: str, boxes: MakeTables) -> None:
    concurrently(url, boxes(1), statement(ADD))
    assert concurrently(url, boxes(2), colours) == ["red"]
    assert database(url, boxes(2)).transact(colours) == ["red"]


def test_tables_of_a_newer_release_are_refused_both_ways(url: str, boxes: MakeTables) -> None:
    database(url, boxes(2)).transact(colours)
    older, refusal = boxes(1), "version 2; this release knows versions up to 1"
    with pytest.raises(PermanentError, match=refusal):
        database(url, older).transact(colours)
    with pytest.raises(PermanentError, match=refusal):
        concurrently(url, older, colours)


def test_a_revision_that_fails_changes_nothing(url: str, boxes: MakeTables) -> None:
    database(url, boxes(1)).transact(statement(ADD))
    for transact in (database(url, boxes(3)).transact, lambda w: concurrently(url, boxes(3), w)):
        with pytest.raises(PermanentError, match="gone"):
            transact(colours)
        assert database(url, boxes(1)).transact(boxes(1).revision) == "0001"
    assert database(url, boxes(2)).transact(colours) == ["red"]


BEFORE_ALEMBIC = (
    "CREATE TABLE boxes (name TEXT, colour TEXT DEFAULT 'red')",
    ADD,
    "CREATE TABLE xops_schema_versions (name VARCHAR(40) PRIMARY KEY, version INTEGER NOT NULL)",
    "INSERT INTO xops_schema_versions VALUES ('boxes', 2), ('others', 7)",
)


def execute(url: str, *statements: str, tmp_path: Path) -> None:
    """On a database in which no release has made anything."""
    nothing = tmp_path / "nothing"
    nothing.mkdir(exist_ok=True)
    (nothing / "r0000_nothing.py").write_text(NOTHING)

    def work(connection: Connection) -> None:
        for text in statements:
            connection.execute(sql.text(text))

    database(url, Tables("nothing", sql.MetaData(), nothing)).transact(work)


NOTHING = '''"""Nothing."""

revision = "0000"
down_revision = None


def upgrade() -> None:
    """Do nothing."""
'''


def test_tables_that_were_noted_before_alembic_are_taken_over(
    url: str, boxes: MakeTables, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    execute(url, *BEFORE_ALEMBIC, tmp_path=tmp_path)
    caplog.set_level(logging.INFO, "xops.core.database")
    caplog.clear()  # where Prefect was imported, lines of before were heard as well
    assert database(url, boxes(2)).transact(colours) == ["red"]
    assert caplog.messages == ["tables of boxes: taken over as version 2"]
    noted = sql.text("SELECT name, version FROM xops_schema_versions ORDER BY name")
    found = database(url, boxes(2)).transact(lambda each: each.execute(noted).all())
    assert [tuple(row) for row in found] == [("boxes", 2), ("others", 7)]


def test_an_earlier_release_is_told_that_the_tables_have_changed(
    url: str, boxes: MakeTables, tmp_path: Path
) -> None:
    earlier = [text.replace("('boxes', 2)", "('boxes', 1)") for text in BEFORE_ALEMBIC]
    earlier[0] = "CREATE TABLE boxes (name TEXT)"
    execute(url, *earlier, tmp_path=tmp_path)
    assert concurrently(url, boxes(2), colours) == ["red"]
    noted = sql.text("SELECT version FROM xops_schema_versions WHERE name = 'boxes'")
    assert database(url, boxes(2)).transact(lambda each: each.execute(noted).scalar()) == 2


def test_tables_of_the_first_release_that_noted_nothing_are_taken_over(
    url: str, boxes: MakeTables, tmp_path: Path
) -> None:
    execute(url, "CREATE TABLE boxes (name TEXT)", ADD, tmp_path=tmp_path)
    assert database(url, boxes(2)).transact(colours) == ["red"]


def test_tables_noted_by_a_newer_release_before_alembic_are_refused(
    url: str, boxes: MakeTables, tmp_path: Path
) -> None:
    execute(url, *BEFORE_ALEMBIC, tmp_path=tmp_path)
    with pytest.raises(PermanentError, match="version 2; this release knows versions up to 1"):
        database(url, boxes(1)).transact(colours)


def test_two_users_of_one_database_have_revisions_of_their_own(url: str, boxes: MakeTables) -> None:
    database(url, boxes(2)).transact(colours)
    crates = boxes(1, "crates")
    database(url, crates).transact(statement("DROP TABLE boxes"))
    assert database(url, crates).transact(crates.revision) == "0001"
    assert database(url, boxes(2)).transact(boxes(2).revision) == "0002"


_CURRENT = """
import asyncio, sys
import sqlalchemy as sql
from pathlib import Path
from xops.core.database.concurrent import ConcurrentDatabase
from xops.core.database.exclusive import Database
from xops.core.database.tables import Tables

url, folder = sys.argv[1:]
tables = Tables("boxes", sql.MetaData(), Path(folder))
count = lambda connection: connection.execute(sql.text("SELECT count(*) FROM boxes")).scalar()
print(Database(url, tables, title="boxes", variable="BOXES").transact(count))

async def once():
    async with ConcurrentDatabase(url, tables, title="boxes", variable="BOXES") as opened:
        print(await opened.transact(count))

asyncio.run(once())
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("alembic", "mako")))
"""


def test_tables_that_are_current_are_used_without_alembic(url: str, boxes: MakeTables) -> None:
    tables = boxes(2)
    database(url, tables).transact(statement(ADD))
    assert python(_CURRENT, url, str(tables.versions)) == ["1", "1", "[]"]


def python(program: str, *arguments: str) -> list[str]:
    """The lines that a process of its own prints."""
    made = subprocess.run(
        [sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True
    )
    return made.stdout.splitlines()


_AT_ONCE = """
import asyncio, sys
import sqlalchemy as sql
from pathlib import Path
from xops.core.database.concurrent import ConcurrentDatabase
from xops.core.database.exclusive import Database
from xops.core.database.tables import Tables

url, folder, way = sys.argv[1:]
tables = Tables("boxes", sql.MetaData(), Path(folder), many_writers=True)
add = lambda connection: connection.execute(sql.text("INSERT INTO boxes (name) VALUES ('a')"))
work = lambda connection: add(connection).rowcount
print("ready", flush=True)
sys.stdin.readline()
if way == "exclusive":
    print(Database(url, tables, title="boxes", variable="BOXES").transact(work))
else:

    async def once():
        async with ConcurrentDatabase(url, tables, title="boxes", variable="BOXES") as opened:
            print(await opened.transact(work))

    asyncio.run(once())
"""


def test_processes_that_make_the_tables_at_once_do_not_collide(url: str, boxes: MakeTables) -> None:
    tables = boxes(2)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _AT_ONCE, url, str(tables.versions), way],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for way in ("exclusive", "concurrent") * 2
    ]  # fmt: skip
    try:
        for process in started:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        ends = [process.communicate(timeout=60) for process in started]
    finally:
        for process in started:
            process.kill()
    assert ends == [("1\n", "")] * len(started)
    assert database(url, tables).transact(colours) == ["red"] * len(started)


def test_threads_of_one_process_make_tables_of_different_databases_at_once(
    tmp_path: Path, boxes: MakeTables
) -> None:
    tables = boxes(2)

    def make(number: int) -> list[str]:
        url = f"sqlite:///{tmp_path}/{number}.db"
        database(url, tables).transact(statement(ADD))
        return database(url, tables).transact(colours)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(make, range(24))) == [["red"]] * 24


def test_tasks_of_one_loop_make_tables_of_different_databases_at_once(
    postgres: Postgres, boxes: MakeTables
) -> None:
    tables, urls = boxes(2), [postgres.new_database() for _ in range(4)]

    async def make(url: str) -> list[str]:
        async with ConcurrentDatabase(url, tables, title="boxes", variable="BOXES") as opened:
            await opened.transact(statement(ADD))
            return await opened.transact(colours)

    async def all_of_them() -> list[list[str]]:
        return await asyncio.gather(*map(make, urls))

    assert asyncio.run(all_of_them()) == [["red"]] * 4


@pytest.fixture
def mail(url: str, tmp_path: Path) -> Database:
    folder = tmp_path / "mail"
    folder.mkdir()
    columns = "id VARCHAR(36) PRIMARY KEY, sequence INTEGER, body TEXT, sent_at VARCHAR(40)"
    (folder / "r0000_outbox.py").write_text(
        NOTHING.replace("Do nothing.", "Make it.").replace(
            '"""Make it."""', f'op.execute("CREATE TABLE mail ({columns})")'
        ).replace("\nrevision", "\nfrom alembic import op\n\nrevision")
    )  # fmt: skip
    return Database(url, Tables("mail", MAIL.metadata, folder), title="mail", variable="MAIL")


def test_a_message_is_posted_once_and_waits_until_it_was_sent(mail: Database) -> None:
    first, second = uuid4(), uuid4()

    def post(*messages: tuple[UUID, str]) -> None:
        def work(connection: Connection) -> None:
            for message, body in messages:
                Outbox(connection, MAIL).post(message, body)

        mail.transact(work)

    def pending(limit: int | None = None) -> list[Message]:
        return mail.transact(lambda connection: list(Outbox(connection, MAIL).pending(limit)))

    assert pending() == []
    post((first, "1"), (second, "2"))
    post((first, "1 again"))
    assert pending() == [Message(first, "1"), Message(second, "2")]
    assert pending(1) == [Message(first, "1")]
    mail.transact(lambda connection: Outbox(connection, MAIL).mark_sent(first, NOW))
    post((first, "1 again"))
    assert pending() == [Message(second, "2")]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("db.example.com", "is no URL"),
        ("mysql://db.example.com/x", "of the kind 'mysql'"),
        ("postgresql://xops:canary@127.0.0.1:abc/x", "is no URL"),
        ("postgresql://xops:canary@127.0.0.1:1/x?nope=1", "does not take: nope"),
        ("postgresql://xops:canary@127.0.0.1:1/x?statement_cache_size=1", "does not take"),
        ("sqlite:///x?uri=true", "does not take: uri"),
    ],
)
@pytest.mark.parametrize("way", [Database, ConcurrentDatabase])
def test_a_url_that_no_driver_takes_is_bad_input(
    way: type[Database] | type[ConcurrentDatabase], given: str, found: str, boxes: MakeTables
) -> None:
    with pytest.raises(InputError, match=found) as caught:
        way(given, boxes(1), title="boxes", variable="BOXES")
    assert "variable BOXES" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_file_and_its_folder_are_their_owners_alone(tmp_path: Path, boxes: MakeTables) -> None:
    tables = Tables("boxes", sql.MetaData(), boxes(1).versions, many_writers=True)
    url = f"sqlite:///{tmp_path}/made/db"

    async def look() -> set[int]:
        async with ConcurrentDatabase(url, tables, title="boxes", variable="BOXES") as opened:
            await opened.transact(statement(ADD))
            return {file.stat().st_mode & 0o777 for file in (tmp_path / "made").iterdir()}

    assert asyncio.run(look()) == {0o600}  # the log as well
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700


def test_a_file_that_is_no_database_stays_one(tmp_path: Path, boxes: MakeTables) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("notes of a person, which are no database" * 40)
    before = file.read_bytes()
    for transact in (
        database(f"sqlite:///{file}", boxes(1)).transact,
        lambda work: concurrently(f"sqlite:///{file}", boxes(1), work),
    ):
        with pytest.raises(PermanentError, match="not a database"):
            transact(colours)
    assert file.read_bytes() == before


def test_a_lock_of_somebody_else_may_be_gone_later(tmp_path: Path, boxes: MakeTables) -> None:
    url = f"sqlite:///{tmp_path}/db"
    database(url, boxes(1)).transact(statement(ADD))
    other = sqlite3.connect(tmp_path / "db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def once() -> None:
        async with ConcurrentDatabase(
            url, boxes(1), title="boxes", variable="BOXES", wait_seconds=0
        ) as opened:
            with pytest.raises(TemporaryError, match="locked"):
                await opened.transact(statement(ADD))
            other.close()
            await opened.transact(statement(ADD))

    asyncio.run(once())


def test_moments_keep_their_zone_and_microseconds(url: str, boxes: MakeTables) -> None:
    table = sql.Table("moments", sql.MetaData(), sql.Column("at", Moment))
    at = datetime.fromisoformat("2026-11-29T10:00:00.123456+10:30")

    def work(connection: Connection) -> datetime | None:
        table.create(connection)
        connection.execute(table.insert().values(at=at))
        found: datetime | None = connection.execute(sql.select(table.c.at)).scalar()
        return found

    found = database(url, boxes(1)).transact(work)
    assert found == at
    assert found.tzinfo is UTC


def test_a_moment_without_a_zone_is_refused(url: str, boxes: MakeTables) -> None:
    table = sql.Table("moments", sql.MetaData(), sql.Column("at", Moment))
    insert = table.insert().values(at=datetime(2026, 11, 29))  # noqa: DTZ001
    with pytest.raises(PermanentError, match="no time zone"):
        database(url, boxes(1)).transact(lambda connection: connection.execute(insert))
