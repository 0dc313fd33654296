"""Tables that grow version by version, and an outbox, in a real SQLite."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sql
from sqlalchemy.engine import Connection

from xops.core.database import Database, Schema, SchemaStep
from xops.core.errors import InputError, PermanentError
from xops.core.outbox import Outbox, outbox_table

NOW = datetime(2026, 11, 28, tzinfo=UTC)
_tables = sql.MetaData()
MAIL = outbox_table("mail", _tables)


def statement(text: str) -> Callable[[Connection], None]:
    def apply(connection: Connection) -> None:
        connection.execute(sql.text(text))

    return apply


FIRST = SchemaStep("boxes", statement("CREATE TABLE boxes (name TEXT)"))
SECOND = SchemaStep("a colour each", statement("ALTER TABLE boxes ADD colour TEXT DEFAULT 'red'"))
BROKEN = SchemaStep("nothing that works", statement("ALTER TABLE gone ADD x TEXT"))


def database(folder: Path, *steps: SchemaStep) -> Database:
    schema = Schema("boxes", steps, first_table="boxes")
    return Database(f"sqlite:///{folder}/db", schema, title="boxes", variable="BOXES")


def colours(connection: Connection) -> list[str]:
    return list(connection.execute(sql.text("SELECT colour FROM boxes")).scalars())


def test_steps_that_are_missing_are_applied_once(tmp_path: Path) -> None:
    database(tmp_path, FIRST).transact(statement("INSERT INTO boxes (name) VALUES ('a')"))
    newer = database(tmp_path, FIRST, SECOND)
    assert newer.transact(colours) == ["red"]
    assert newer.transact(colours) == ["red"]
    with pytest.raises(PermanentError, match="version 2; this release knows versions up to 1"):
        database(tmp_path, FIRST).transact(colours)


def test_a_step_that_fails_changes_nothing(tmp_path: Path) -> None:
    database(tmp_path, FIRST).transact(statement("INSERT INTO boxes (name) VALUES ('a')"))
    with pytest.raises(Exception, match="no such table: gone"):
        database(tmp_path, FIRST, SECOND, BROKEN).transact(colours)
    assert database(tmp_path, FIRST, SECOND).transact(colours) == ["red"]


def test_two_users_of_one_database_have_versions_of_their_own(tmp_path: Path) -> None:
    database(tmp_path, FIRST, SECOND).transact(colours)
    mail = mailbox(tmp_path)
    assert mail.transact(lambda connection: Outbox(connection, MAIL).pending()) == []
    assert database(tmp_path, FIRST, SECOND).transact(colours) == []


def mailbox(folder: Path) -> Database:
    schema = Schema("mail", (SchemaStep("an outbox", _tables.create_all),), first_table="mail")
    return Database(f"sqlite:///{folder}/db", schema, title="mail", variable="MAIL")


def test_a_message_is_posted_once_and_waits_until_it_was_sent(tmp_path: Path) -> None:
    mail = mailbox(tmp_path)
    first, second = uuid4(), uuid4()

    def post(*messages: tuple[UUID, str]) -> None:
        def work(connection: Connection) -> None:
            for message, body in messages:
                Outbox(connection, MAIL).post(message, body)

        mail.transact(work)

    def pending() -> list[str]:
        return mail.transact(lambda connection: Outbox(connection, MAIL).pending())

    post((first, "1"), (second, "2"))
    post((first, "1 again"))
    assert pending() == ["1", "2"]
    mail.transact(lambda connection: Outbox(connection, MAIL).mark_sent(first, NOW))
    post((first, "1 again"))
    assert pending() == ["2"]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("db.example.com", "is no URL"),
        ("mysql://db.example.com/x", "of the kind 'mysql'"),
        ("postgresql://xops:canary@127.0.0.1:abc/x", "is no URL"),
        ("postgresql://xops:canary@127.0.0.1:1/x?nope=1", "does not take: nope"),
        ("postgresql://xops:canary@127.0.0.1:1/x?statement_cache_size=1", "does not take"),
        ("sqlite:///x?uri=true", "does not take: uri"),
    ],
)
def test_a_url_that_no_driver_takes_is_bad_input(url: str, found: str) -> None:
    with pytest.raises(InputError, match=found) as caught:
        Database(url, Schema("boxes", (), first_table="boxes"), title="boxes", variable="BOXES")
    assert "variable BOXES" in str(caught.value)
    assert "canary" not in str(caught.value)
