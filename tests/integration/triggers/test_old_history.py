"""Histories that release 0.1.0 wrote go on: their entries, hashes and outbox are as they were.

Both files of `data` hold the same: three weeks of evaluations with an active trigger and a mandate
in force, a decision, an unknown week that became known, one event that was sent and one that waits.
"""

import asyncio
import logging
import shutil
from pathlib import Path
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]
import pytest
import sqlalchemy as sql
from sqlalchemy.engine import Connection

from tests.integration.triggers.conftest import Postgres
from tests.unit.triggers.samples import NOW, facts, mandate, policy
from xops.core.database import Database
from xops.core.errors import PermanentError
from xops.triggers.history.ledger import SCHEMA, History
from xops.triggers.history.record import ACTIVATED, evaluate_and_record, recorded_readings
from xops.triggers.history.verification import explain, verify
from xops.triggers.machine import Phase

DATA = Path(__file__).parent / "data"
LAST_HASH = "64831b88729a9a4e30a63f2d38f764c4adcc2c65c3a2a28945af268dddbe4ea5"
MANDATES = [mandate("2025-09-20", "2026-09-20")]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A copy of what the release wrote."""
    if request.param == "sqlite":
        shutil.copy(DATA / "history-0.1.0.sqlite", tmp_path / "history.sqlite")
        return f"sqlite:///{tmp_path}/history.sqlite"
    server: Postgres = request.getfixturevalue("postgres")
    name = f"old{uuid4().hex}"
    dump = (DATA / "history-0.1.0.sql").read_text()
    asyncio.run(execute(server.url(), f"CREATE DATABASE {name}"))
    asyncio.run(execute(server.url(database=name), dump))
    return server.url(database=name)


async def execute(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


def noted(url: str) -> int | None:
    database = Database(url, SCHEMA, title="history", variable="URL")
    return database.transact(SCHEMA.noted_version)


def test_entries_hashes_and_outbox_are_as_they_were(url: str) -> None:
    history = History(url)
    found = verify(history)
    assert (found.entries, found.documents, found.problems) == (18, 5, ())
    last = history.transact(lambda ledger: ledger.last())
    assert last
    assert last.hash == LAST_HASH
    (event,) = history.pending_events()
    assert (event.name, event.trigger) == (ACTIVATED, "second_cloud")
    assert [row.value for row in recorded_readings(history).readings["iac_prs"]] == [6, 6, 6, 4, 3]
    entries = history.transact(lambda ledger: ledger.entries())
    for entry in entries:
        assert explain(history, entry.trigger, entry.period).agrees


def test_it_goes_on_where_it_was(url: str) -> None:
    history = History(url)
    known = facts([6, 6, 6, 4, 3], mandates=MANDATES)
    again = evaluate_and_record(history, policy(), known, known.as_of, NOW)
    assert "nothing is new" in again.recorded
    entries = history.transact(lambda ledger: ledger.entries())
    assert policy().digest in {entry.policy for entry in entries}
    assert known.digest in {entry.facts for entry in entries}
    more = facts([6, 6, 6, 4, 3, 3], mandates=MANDATES)
    later = evaluate_and_record(history, policy(), more, more.as_of, NOW)
    assert later.recorded == "3 entries were added"
    assert later.triggers[0].phase is Phase.COOLING
    assert later.triggers[0].decided
    assert verify(history).problems == ()
    (event,) = history.pending_events()
    history.mark_sent(event.id, NOW)
    assert history.pending_events() == []


def test_its_version_is_noted_once_and_said(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "xops.core.database")
    verify(History(url))
    assert caplog.messages == ["tables of triggers: version 1 is noted (was None)"]
    assert noted(url) == 1
    verify(History(url))
    assert len(caplog.messages) == 1


def test_tables_of_a_newer_release_are_left_alone(url: str) -> None:
    noted(url)

    def raise_version(connection: Connection) -> None:
        connection.execute(sql.text("UPDATE xops_schema_versions SET version = 9"))

    Database(url, SCHEMA, title="history", variable="URL").transact(raise_version)
    with pytest.raises(PermanentError, match="version 9; this release knows versions up to 1"):
        verify(History(url))
