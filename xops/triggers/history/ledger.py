"""The history of verdicts: append-only, in SQLite or PostgreSQL, each entry sealed by a hash.

An entry holds what was read, the states before and after, and the hashes of the facts and rules
it follows from; both documents are kept beside it, so that any verdict can be recomputed. The
hash of an entry covers that of the entry before it. The database itself refuses to change or
delete an entry.

A week is entered once. A week that was unknown may be entered again when it is known: as another
revision, together with the weeks after it. Events wait in an outbox until they were sent.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, Literal, Self
from uuid import UUID

import sqlalchemy as sql
from pydantic import AwareDatetime
from sqlalchemy.engine import Connection

from xops.core.database import WAIT_SECONDS, Database, Schema, SchemaStep
from xops.core.files import settings
from xops.core.files.canonical_json import digest_of
from xops.core.files.validation import Model
from xops.core.outbox import Outbox, outbox_table
from xops.triggers.machine import Reading, State

VARIABLE = "XOPS_TRIGGERS_HISTORY"
"""The environment variable that holds the database's URL, which may hold a password."""

_tables = sql.MetaData()
_documents = sql.Table(
    "xops_trigger_documents",
    _tables,
    sql.Column("hash", sql.String(64), primary_key=True),
    sql.Column("kind", sql.String(10), nullable=False),
    sql.Column("body", sql.LargeBinary, nullable=False),
)
_entries = sql.Table(
    "xops_trigger_entries",
    _tables,
    sql.Column("sequence", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("trigger_name", sql.String(41), nullable=False),
    sql.Column("kind", sql.String(10), nullable=False),
    sql.Column("period", sql.String(10), nullable=False),
    sql.Column("revision", sql.Integer, nullable=False),
    sql.Column("hash", sql.String(64), nullable=False, unique=True),
    sql.Column("body", sql.Text, nullable=False),
    sql.UniqueConstraint("trigger_name", "kind", "period", "revision"),
)
_outbox = outbox_table("xops_trigger_outbox", _tables)

_GUARDS = {
    "sqlite": tuple(
        f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}"
        " BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END"
        for table in ("xops_trigger_entries", "xops_trigger_documents")
        for verb in ("UPDATE", "DELETE")
    ),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION xops_trigger_refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'the history is append-only'; END $$",
        *(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION xops_trigger_refuse()"
            for table in ("xops_trigger_entries", "xops_trigger_documents")
        ),
    ),
}


def _create_tables(connection: Connection) -> None:
    _tables.create_all(connection)
    for guard in _GUARDS[connection.dialect.name]:
        connection.exec_driver_sql(guard)


SCHEMA = Schema(
    "triggers",
    (SchemaStep("entries, documents and the outbox of events", _create_tables),),
    first_table=_outbox.name,
)
"""The tables as they are since the first release: it noted no version."""


class Entry(Model):
    """One line of the history. `kind` decision is a person's word, made within `period`."""

    sequence: int
    recorded_at: AwareDatetime
    as_of: date
    trigger: str
    kind: Literal["reading", "decision"]
    period: date
    revision: int
    reading: Reading | None
    before: State
    after: State
    facts: str
    policy: str
    previous: str
    hash: str = ""

    def with_hash(self) -> Self:
        """The entry with its hash."""
        return self.model_copy(update={"hash": self.compute_hash()})

    def compute_hash(self) -> str:
        """SHA-256 (hex) of all but the hash itself."""
        return digest_of(self.model_dump(mode="json", exclude={"hash"}))


class TriggerEvent(Model):
    """What is to be emitted once: `id` is the same however often it is sent."""

    id: UUID
    name: str
    trigger: str
    payload: dict[str, Any]


class Ledger:
    """The history within one transaction, in which nobody else appends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._outbox = Outbox(connection, _outbox)

    def last(self) -> Entry | None:
        """The latest entry of any trigger."""
        newest = sql.select(_entries).order_by(_entries.c.sequence.desc()).limit(1)
        return next(map(_entry, self._connection.execute(newest)), None)

    def entry(self, sequence: int) -> Entry | None:
        """The entry of that number."""
        wanted = sql.select(_entries).where(_entries.c.sequence == sequence)
        return next(map(_entry, self._connection.execute(wanted)), None)

    def entries(self, trigger: str | None = None) -> list[Entry]:
        """All entries, or those of one trigger, in the order in which they were made."""
        wanted = sql.select(_entries).order_by(_entries.c.sequence)
        if trigger is not None:
            wanted = wanted.where(_entries.c.trigger_name == trigger)
        return [_entry(row) for row in self._connection.execute(wanted)]

    def append(self, entry: Entry) -> Entry:
        """Seal an entry to the one before it and keep it.

        Args:
            entry: its `sequence` and `previous` are filled in.
        """
        last = self.last()
        number, previous = (last.sequence + 1, last.hash) if last else (1, "")
        made = entry.model_copy(update={"sequence": number, "previous": previous}).with_hash()
        row = {
            "sequence": made.sequence,
            "trigger_name": made.trigger,
            "kind": made.kind,
            "period": made.period.isoformat(),
            "revision": made.revision,
            "hash": made.hash,
            "body": made.model_dump_json(),
        }
        self._connection.execute(_entries.insert().values(row))
        return made

    def keep(self, kind: Literal["facts", "policy"], document: Any) -> str:
        """Keep a JSON document under its hash, once; the hash."""
        name = digest_of(document)
        if self.document(name) is None:
            body = zlib.compress(json.dumps(document, ensure_ascii=False).encode())
            row = {"hash": name, "kind": kind, "body": body}
            self._connection.execute(_documents.insert().values(row))
        return name

    def document(self, name: str) -> Any | None:
        """The document of that hash, or None."""
        wanted = sql.select(_documents.c.body).where(_documents.c.hash == name)
        body = self._connection.execute(wanted).scalar()
        return None if body is None else json.loads(zlib.decompress(body))

    def post(self, event: TriggerEvent) -> None:
        """Put an event into the outbox, unless it was put there before."""
        self._outbox.post(event.id, event.model_dump_json())

    def pending(self) -> list[TriggerEvent]:
        """The events that were not sent, oldest first."""
        return [TriggerEvent.model_validate_json(body) for body in self._outbox.pending()]

    def mark_sent(self, event: UUID, at: datetime) -> None:
        """Take an event out of the outbox: it was sent."""
        self._outbox.mark_sent(event, at)

    def documents(self) -> Iterator[tuple[str, Any]]:
        """Each document that is kept, with the hash it is kept under."""
        for row in self._connection.execute(sql.select(_documents)):
            yield row.hash, json.loads(zlib.decompress(row.body))


def _entry(row: Any) -> Entry:
    return Entry.model_validate_json(row.body)


class History:
    """The store. Every use of it is one transaction that excludes all others.

    Args:
        url: of a SQLite or PostgreSQL database.
        wait_seconds: how long a connection and the transactions of others are waited for.

    Raises:
        PermanentError: the URL names no such database.
    """

    def __init__(self, url: str, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._database = Database(
            url, SCHEMA, title="history", variable=VARIABLE, wait_seconds=wait_seconds
        )

    def __str__(self) -> str:
        return str(self._database)

    @classmethod
    def open(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The history that XOPS_TRIGGERS_HISTORY names, else a file in xOps' home folder."""
        environ = os.environ if environ is None else environ
        file = settings.home() / "triggers" / "history.sqlite"
        return cls(environ.get(VARIABLE) or f"sqlite:///{file}")

    def transact[Result](self, work: Callable[[Ledger], Result]) -> Result:
        """Do `work` in one transaction: all that it appends, or nothing.

        Raises:
            TemporaryError: the database does not answer, or is locked for too long.
            PermanentError: it refuses what is asked of it, or a newer release made its tables.
        """
        return self._database.transact(lambda connection: work(Ledger(connection)))

    def pending_events(self) -> list[TriggerEvent]:
        """The events that wait to be sent, oldest first."""
        return self.transact(lambda ledger: ledger.pending())

    def mark_sent(self, event: UUID, now: datetime) -> None:
        """Say that an event was sent."""
        self.transact(lambda ledger: ledger.mark_sent(event, now))
