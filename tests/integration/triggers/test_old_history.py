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

from tests.postgres_server import Postgres
from tests.unit.triggers.samples import NOW, POLICY, facts, mandate, origin, policy
from xops.core.database.exclusive import Database
from xops.core.errors import PermanentError
from xops.triggers.history.activations import ACTIVATED, DEACTIVATED
from xops.triggers.history.ledger import TABLES, History
from xops.triggers.history.record import evaluate_and_record, recorded_readings
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


def noted(url: str) -> str | None:
    database = Database(url, TABLES, title="history", variable="URL")
    return database.transact(TABLES.revision)


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


ANNOUNCED = {
    "iac_prs": "9dc255df-8e41-596f-b95e-85c493e69a62",
    "second_cloud": "a405bbcf-4e4f-51c5-8d34-54bab47ac493",
}
"""Under which ids that release told of what is active in it."""


def test_its_activations_keep_the_ids_they_were_announced_with_until_they_end(url: str) -> None:
    history = History(url)
    more = facts([6, 6, 6, 4, 3, 3], mandates=MANDATES)
    found = evaluate_and_record(history, policy(), more, more.as_of, NOW)
    active = {row.trigger: (str(row.activation), row.number) for row in found.active}
    assert active == {name: (id_, 1) for name, id_ in ANNOUNCED.items()}
    assert found.triggers[0].former is None
    assert explain(history, "iac_prs").agrees
    # Facts that say what they were measured from are another series: the old one is shown.
    values = [6, 6, 6, 4, 3, 3, 0, 0, 0]
    measured = facts(values, mandates=MANDATES, origin=origin("acme/a"))
    found = evaluate_and_record(history, policy(), measured, measured.as_of, NOW)
    (cloud,) = found.active
    assert (cloud.trigger, str(cloud.activation)) == ("second_cloud", ANNOUNCED["second_cloud"])
    former = found.triggers[0].former
    assert former
    assert former.state == "cooling (2 of 4)"
    assert former.changed == (
        "the facts say what they were measured from, which those of test did not",
    )
    (end,) = found.ended
    assert str(end.activation) == ANNOUNCED["iac_prs"]
    (_, event) = history.pending_events()
    assert (event.name, event.payload["activation"]) == (DEACTIVATED, ANNOUNCED["iac_prs"])
    again = facts([*values, 9, 9, 9], mandates=[], origin=origin("acme/a"))
    found = evaluate_and_record(history, policy(), again, again.as_of, NOW)
    assert [(row.trigger, row.number) for row in found.active] == [("iac_prs", 2)]
    assert {str(end.activation) for end in found.ended} == set(ANNOUNCED.values())
    assert verify(history).problems == ()


def test_its_activations_are_the_default_policys_and_nobody_elses(url: str) -> None:
    history = History(url)
    quiet = facts([0] * 6, mandates=[], origin=origin("payments/api"))
    other = evaluate_and_record(history, policy(name="payments"), quiet, quiet.as_of, NOW)
    assert (other.active, other.ended) == ((), ())
    assert other.triggers[0].former is None
    assert len(history.pending_events()) == 1
    known = facts([6, 6, 6, 4, 3, 3], mandates=MANDATES)
    mine = evaluate_and_record(history, policy(), known, known.as_of, NOW)
    assert {str(row.activation) for row in mine.active} == set(ANNOUNCED.values())
    assert mine.triggers[0].decided
    fewer = policy(triggers={"team_size": POLICY["triggers"]["team_size"]})
    ended = evaluate_and_record(history, fewer, known, known.as_of, NOW).ended
    assert {str(end.activation) for end in ended} == set(ANNOUNCED.values())
    assert verify(history).problems == ()


def test_its_version_is_noted_once_and_said(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "xops.core.database")
    caplog.clear()  # where Prefect was imported, lines of before were heard as well
    verify(History(url))
    assert caplog.messages == [
        "tables of triggers: taken over as version 1",
        "tables of triggers, version 2: The history's own id",
    ]
    assert noted(url) == "0002"
    verify(History(url))
    assert len(caplog.messages) == 2


def test_tables_whose_version_was_noted_before_alembic_are_taken_over_as_they_are(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    history = History(url)
    own = history.transact(lambda ledger: ledger.history_id())
    rewrite(url, "DROP TABLE xops_triggers_revision", *NOTED)
    caplog.set_level(logging.INFO, "xops.core.database")
    caplog.clear()  # where Prefect was imported, lines of before were heard as well
    assert history.transact(lambda ledger: ledger.history_id()) == own
    assert caplog.messages == ["tables of triggers: taken over as version 2"]
    assert (noted(url), earlier_note(url)) == ("0002", 2)
    assert verify(history).problems == ()


NOTED = (
    "CREATE TABLE xops_schema_versions (name VARCHAR(40) PRIMARY KEY, version INTEGER NOT NULL)",
    "INSERT INTO xops_schema_versions VALUES ('triggers', 2)",
)
"""What the release before Alembic has left in a database."""


def earlier_note(url: str) -> int:
    database = Database(url, TABLES, title="history", variable="URL")
    wanted = sql.text("SELECT version FROM xops_schema_versions WHERE name = 'triggers'")
    return database.transact(lambda connection: int(connection.execute(wanted).scalar_one()))


def rewrite(url: str, *statements: str) -> None:
    def work(connection: Connection) -> None:
        for statement in statements:
            connection.execute(sql.text(statement))

    Database(url, TABLES, title="history", variable="URL").transact(work)


@pytest.mark.parametrize(
    "newer",
    [
        ("UPDATE xops_triggers_revision SET version_num = '0009'",),
        ("DROP TABLE xops_triggers_revision", *NOTED,
         "UPDATE xops_schema_versions SET version = 9"),
    ],
    ids=["noted by Alembic", "noted before Alembic"],
)  # fmt: skip
def test_tables_of_a_newer_release_are_left_alone(url: str, newer: tuple[str, ...]) -> None:
    rewrite(url, *newer)
    with pytest.raises(PermanentError, match="version 9; this release knows versions up to 2"):
        verify(History(url))
