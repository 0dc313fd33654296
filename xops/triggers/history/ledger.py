"""The history of verdicts: append-only, in SQLite or PostgreSQL, each entry sealed by a hash.

An entry holds what was read, the states before and after, and the hashes of the facts and rules
it follows from; both documents are kept beside it, so that any verdict can be recomputed. The
hash of an entry covers that of the entry before it. The database itself refuses to change or
delete an entry.

A week is entered once. A week that was unknown may be entered again when it is known: as another
revision, together with the weeks after it. Notices wait in an outbox until they were sent.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, Self
from uuid import UUID

import sqlalchemy as sql
from pydantic import AwareDatetime
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from xops.core.errors import PermanentError, TemporaryError
from xops.core.files import settings
from xops.core.files.validation import Model
from xops.triggers.facts import digest
from xops.triggers.machine import Reading, State

VARIABLE = "XOPS_TRIGGERS_HISTORY"
"""The environment variable that holds the database's URL, which may hold a password."""

_WAIT_SECONDS = 30.0

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
_outbox = sql.Table(
    "xops_trigger_outbox",
    _tables,
    sql.Column("id", sql.String(36), primary_key=True),
    sql.Column("sequence", sql.Integer, nullable=False),
    sql.Column("body", sql.Text, nullable=False),
    sql.Column("sent_at", sql.String(40)),
)

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

_UNREACHABLE = f"See that the database runs and that {VARIABLE} names it; then run it again."


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

    def sealed(self) -> Self:
        """The entry with its hash."""
        return self.model_copy(update={"hash": self.seal()})

    def seal(self) -> str:
        """SHA-256 (hex) of all but the hash itself."""
        return digest(self.model_dump(mode="json", exclude={"hash"}))


class Notice(Model):
    """An event to be emitted once: `id` is the same however often it is sent."""

    id: UUID
    name: str
    trigger: str
    payload: dict[str, Any]


class Ledger:
    """The history within one transaction, in which nobody else appends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._prepare()

    def _prepare(self) -> None:
        if sql.inspect(self._connection).has_table(_outbox.name):
            return
        _tables.create_all(self._connection)
        for guard in _GUARDS[self._connection.dialect.name]:
            self._connection.exec_driver_sql(guard)

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
        made = entry.model_copy(update={"sequence": number, "previous": previous}).sealed()
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
        name = digest(document)
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

    def post(self, notice: Notice, sequence: int) -> None:
        """Put a notice into the outbox, unless it was put there before."""
        known = sql.select(_outbox.c.id).where(_outbox.c.id == str(notice.id))
        if self._connection.execute(known).first() is None:
            row = {"id": str(notice.id), "sequence": sequence, "body": notice.model_dump_json()}
            self._connection.execute(_outbox.insert().values(row))

    def pending(self) -> list[Notice]:
        """The notices that were not sent, oldest first."""
        unsent = sql.select(_outbox.c.body).where(_outbox.c.sent_at.is_(None))
        bodies = self._connection.execute(unsent.order_by(_outbox.c.sequence)).scalars()
        return [Notice.model_validate_json(body) for body in bodies]

    def sent(self, notice: UUID, at: datetime) -> None:
        """Take a notice out of the outbox: it was sent."""
        row = _outbox.update().where(_outbox.c.id == str(notice))
        self._connection.execute(row.values(sent_at=at.isoformat()))


def _entry(row: Any) -> Entry:
    return Entry.model_validate_json(row.body)


class History:
    """The store. Every use of it is one transaction that excludes all others."""

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)

    def __str__(self) -> str:
        return self._url.render_as_string(hide_password=True)

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
            PermanentError: it refuses what is asked of it.
        """
        with self._translated():
            if self._url.get_backend_name() == "sqlite":
                return self._in_sqlite(work)
            return self._in_postgresql(work)

    def _in_sqlite[Result](self, work: Callable[[Ledger], Result]) -> Result:
        if self._url.database:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        engine = sql.create_engine(
            self._url, poolclass=NullPool, connect_args={"timeout": _WAIT_SECONDS}
        )
        event.listen(engine, "connect", _no_implicit_begin)
        event.listen(engine, "begin", _begin_immediate)
        with engine.begin() as connection:
            return work(Ledger(connection))

    def _in_postgresql[Result](self, work: Callable[[Ledger], Result]) -> Result:
        from xops.triggers import postgresql

        try:
            return postgresql.transact(self._url, _WAIT_SECONDS, lambda c: work(Ledger(c)))
        except postgresql.ServerError as error:
            text = str(error).splitlines()[0]
            if _passes(error.sqlstate):
                raise self._unreachable(text) from error
            raise self._refused(text) from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            text = str(error.orig or error).splitlines()[0]
            if _may_pass(error):
                raise self._unreachable(text) from error
            raise self._refused(text) from error
        except SQLAlchemyError as error:
            raise self._refused(str(error).splitlines()[0]) from error
        except OSError as error:  # no connection, or none in time
            raise self._unreachable(str(error) or type(error).__name__) from error

    def _unreachable(self, found: str) -> TemporaryError:
        return TemporaryError(f"opening the history {self}", found, _UNREACHABLE)

    def _refused(self, found: str) -> PermanentError:
        remedy = "See that the account may create tables and insert, and that nobody changed them."
        return PermanentError(f"using the history {self}", found, remedy)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _not_a_url() from error
    if parsed.get_backend_name() not in _GUARDS:
        raise _not_a_url()
    is_server = parsed.get_backend_name() == "postgresql"
    return parsed.set(drivername="postgresql+asyncpg") if is_server else parsed


def _not_a_url() -> PermanentError:
    return PermanentError(
        "opening the history",
        f"{VARIABLE} is no URL of a SQLite or PostgreSQL database",
        "Write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE.",
    )


def _may_pass(error: DBAPIError) -> bool:
    """Whether it is about reaching the database, or about waiting for others."""
    state = str(getattr(error.orig, "sqlstate", "") or "")
    return isinstance(error, OperationalError) or _passes(state)


def _passes(sqlstate: str) -> bool:
    """Lock not available, connection, rollback, resources, operator.

    Source: PostgreSQL's manual, appendix A.
    """
    return sqlstate == "55P03" or sqlstate[:2] in ("08", "40", "53", "57")


def _no_implicit_begin(connection: Any, _record: object) -> None:
    # The driver would begin a transaction only at the first write: too late to exclude others.
    connection.isolation_level = None


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
