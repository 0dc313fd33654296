"""The history of verdicts: append-only, in SQLite or PostgreSQL, each entry sealed by a hash.

An entry holds what was read, the states before and after, and the hashes of the facts, the rules
and the series it follows from; the documents are kept beside it, so that any verdict can be
recomputed. The hash of an entry covers that of the entry before it. The database itself refuses to
change or delete an entry.

A week is entered once in each series. A week that was unknown may be entered again when it is
known: as another revision, together with the weeks after it. Events wait in an outbox until they
were sent.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, Self
from uuid import UUID

import sqlalchemy as sql
from pydantic import AwareDatetime, Field, ValidationError
from sqlalchemy.engine import Connection

from xops.core.database.exclusive import WAIT_SECONDS, Database
from xops.core.database.tables import Tables
from xops.core.errors import PermanentError
from xops.core.files import settings
from xops.core.files.canonical_json import canonical_json, digest_of
from xops.core.files.validation import Model
from xops.core.outbox import Outbox, outbox_table
from xops.triggers.machine import Reading, State

VARIABLE = "XOPS_TRIGGERS_HISTORY"
"""The environment variable that holds the database's URL, which may hold a password."""

RESTORE = (
    "See all that was changed with `xops triggers verify`, and restore the database from a backup"
    " that was made before."
)
"""What to do about a history that somebody changed."""

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

_history = sql.Table(
    "xops_trigger_history",
    _tables,
    sql.Column("id", sql.String(36), primary_key=True),
)
"""One row: what tells this history apart from any other, and stays its own in a backup."""

TABLES = Tables(
    "triggers",
    _tables,
    Path(__file__).parent / "migrations" / "versions",
    first_table=_outbox.name,
)
"""The tables. The first release made those of revision 0001, and noted no version."""


class Transition(Model):
    """What happened to an activation. Its id is minted here, once, and stands until it ends."""

    activation: UUID
    number: int = Field(ge=1, description="Of the trigger's activations, in their order.")
    event: Literal["activated", "changed", "deactivated"]
    since: date = Field(description="The period in which the activation began.")
    subjects: tuple[str, ...] = Field(default=(), description="Clouds or sites from now on.")
    reason: str


class Entry(Model):
    """One line of the history.

    A `reading` is of a series, which is what it was measured from and by what rule. A `decision` is
    a person's word, made within `period`. A `transition` is of an activation.
    """

    sequence: int
    recorded_at: AwareDatetime
    as_of: date
    trigger: str
    kind: Literal["reading", "decision", "transition"]
    period: date
    revision: int
    reading: Reading | None
    before: State
    after: State
    facts: str
    policy: str
    policy_name: str = ""
    series: str = Field(default="", description="Hash of the document that says the series.")
    transition: Transition | None = None
    activation: UUID | None = Field(
        default=None, description="Of a decision: the activation that it is about."
    )
    previous: str
    hash: str = ""


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

    def history_id(self) -> UUID:
        """What tells this history apart from any other: random, minted with its tables."""
        return UUID(self._connection.execute(sql.select(_history.c.id)).scalar_one())

    def last(self) -> Entry | None:
        """The latest entry of any trigger."""
        newest = sql.select(_entries).order_by(_entries.c.sequence.desc()).limit(1)
        return next(map(_entry, self._connection.execute(newest)), None)

    def entries(self, trigger: str | None = None) -> list[Entry]:
        """All entries, or those of one trigger, in the order in which they were made."""
        wanted = sql.select(_entries).order_by(_entries.c.sequence)
        if trigger is not None:
            wanted = wanted.where(_entries.c.trigger_name == trigger)
        return [_entry(row) for row in self._connection.execute(wanted)]

    def count(self) -> int:
        """How many entries there are."""
        wanted = sql.select(sql.func.count()).select_from(_entries)
        return int(self._connection.execute(wanted).scalar() or 0)

    def last_day(self, names: Collection[str]) -> date | None:
        """The day of the latest entry of a policy of one of those names; "" is of none."""
        newest = sql.select(_entries.c.body).order_by(_entries.c.sequence.desc())
        bodies = map(json.loads, self._connection.execute(newest).scalars())
        days = (row["as_of"] for row in bodies if row.get("policy_name", "") in names)
        return next(map(date.fromisoformat, days), None)

    def append(self, entry: Entry) -> Entry:
        """Seal an entry to the one before it and keep it.

        Args:
            entry: its `sequence` and `previous` are filled in.
        """
        newest = sql.select(_entries.c.sequence, _entries.c.hash)
        last = self._connection.execute(
            newest.order_by(_entries.c.sequence.desc()).limit(1)
        ).first()
        number, previous = (last.sequence + 1, last.hash) if last else (1, "")
        numbered = entry.model_copy(update={"sequence": number, "previous": previous, "hash": ""})
        body = numbered.model_dump(mode="json")
        hash_ = _hash_of(body)
        made = numbered.model_copy(update={"hash": hash_})
        text = canonical_json({**body, "hash": hash_})
        self._connection.execute(_entries.insert().values(**_columns(made), body=text))
        return made

    def chain_problems(self) -> Iterator[str]:
        """What was changed: each entry's hash over its body as it was written, and their order."""
        previous, expected = "", 1
        for row in self._connection.execute(sql.select(_entries).order_by(_entries.c.sequence)):
            yield from _problems_of(row, previous, expected)
            previous, expected = row.hash, row.sequence + 1

    def refuse_if_changed(self, attempted: str) -> None:
        """Refuse to build on a history that somebody changed.

        Raises:
            PermanentError: the chain of its entries is broken.
        """
        problems = list(self.chain_problems())
        if problems:
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise PermanentError(attempted, "; ".join(problems[:3]) + more, RESTORE)

    def keep(self, kind: Literal["facts", "policy", "series"], document: Any) -> str:
        """Keep a JSON document under its hash, once; the hash."""
        name = digest_of(document)
        if self.document(name) is None:
            body = zlib.compress(json.dumps(document, ensure_ascii=False).encode())
            row = {"hash": name, "kind": kind, "body": body}
            self._connection.execute(_documents.insert().values(row))
        return name

    def document(self, name: str) -> Any | None:
        """The document of that hash, or None.

        Raises:
            PermanentError: it was changed after it was kept.
        """
        wanted = sql.select(_documents.c.body).where(_documents.c.hash == name)
        body = self._connection.execute(wanted).scalar()
        if body is None:
            return None
        if problem := _problem_of_document(name, body):
            raise PermanentError("reading the history", problem, RESTORE)
        return json.loads(zlib.decompress(body))

    def trigger_names(self) -> list[str]:
        """The names of all triggers that have an entry."""
        wanted = sql.select(_entries.c.trigger_name).distinct()
        return sorted(self._connection.execute(wanted).scalars())

    def announced(self, name: str, trigger: str) -> list[TriggerEvent]:
        """The events of that name for a trigger, sent or not, oldest first."""
        bodies = self._connection.execute(sql.select(_outbox.c.body).order_by(_outbox.c.sequence))
        events = (TriggerEvent.model_validate_json(body) for body in bodies.scalars())
        return [row for row in events if (row.name, row.trigger) == (name, trigger)]

    def post(self, event: TriggerEvent) -> None:
        """Put an event into the outbox, unless it was put there before."""
        self._outbox.post(event.id, event.model_dump_json())

    def pending(self) -> list[TriggerEvent]:
        """The events that were not sent, oldest first."""
        waiting = self._outbox.pending()
        return [TriggerEvent.model_validate_json(message.body) for message in waiting]

    def mark_sent(self, event: UUID, at: datetime) -> None:
        """Take an event out of the outbox: it was sent."""
        self._outbox.mark_sent(event, at)

    def document_problems(self) -> Iterator[tuple[str, str]]:
        """The hash of each document that is kept, and what is wrong with it; "" is nothing."""
        for row in self._connection.execute(sql.select(_documents)):
            yield row.hash, _problem_of_document(row.hash, row.body)


def _columns(entry: Entry) -> dict[str, Any]:
    """What the database knows of an entry besides its body."""
    return {
        "sequence": entry.sequence,
        "trigger_name": entry.trigger,
        "kind": entry.kind,
        "period": entry.period.isoformat(),
        "revision": entry.revision,
        "hash": entry.hash,
    }


def _hash_of(body: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of all of an entry but the hash itself."""
    return digest_of({key: value for key, value in body.items() if key != "hash"})


def _problems_of(row: Any, previous: str, expected: int) -> Iterator[str]:
    try:
        body = json.loads(row.body)
    except ValueError:
        body = None
    if not isinstance(body, dict) or not _fits(row, body):
        yield f"entry {row.sequence} was changed after it was made"
    if row.sequence != expected:
        yield f"entry {row.sequence} does not follow the one before it: {expected} is missing"
    elif isinstance(body, dict) and body.get("previous") != previous:
        yield f"entry {row.sequence} does not follow the one before it"


def _fits(row: Any, body: Mapping[str, Any]) -> bool:
    """Whether body, hash and the columns by which an entry is found are of one make."""
    columns = {"sequence": row.sequence, "trigger": row.trigger_name, "kind": row.kind,
               "period": row.period, "revision": row.revision, "hash": row.hash}  # fmt: skip
    told = {key: body.get(key) for key in columns}
    return told == columns and _hash_of(body) == row.hash


def _problem_of_document(name: str, body: bytes) -> str:
    try:
        found = digest_of(json.loads(zlib.decompress(body)))
    except (zlib.error, ValueError):
        return f"document {name} cannot be read"
    return "" if found == name else f"document {name} was changed after it was kept"


def _entry(row: Any) -> Entry:
    try:
        return Entry.model_validate_json(row.body)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, issue["loc"])) for issue in error.errors())
        raise PermanentError(
            "reading the history",
            f"this release cannot read entry {row.sequence}: {wrong}",
            "Use the newer release of xOps that wrote it; `xops triggers verify` says whether"
            " somebody changed it instead.",
        ) from None


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
            url, TABLES, title="history", variable=VARIABLE, wait_seconds=wait_seconds
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
