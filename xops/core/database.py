"""A database of xOps' own, in SQLite or PostgreSQL: one exclusive transaction a use.

Who uses it says what its tables are as a `Schema`: steps from one version of them to the next. A
database that an earlier release made is brought up to date within the first transaction.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from xops.core.errors import Finding, InputError, PermanentError, TemporaryError

logger = logging.getLogger(__name__)

WAIT_SECONDS = 30.0

_LOCK = 0x786F7073
"""The advisory lock of xOps in a PostgreSQL database: "xops"."""

_OPTIONS = {
    "sqlite": frozenset[str](),
    "postgresql": frozenset(
        (
            "host", "port", "ssl", "passfile", "service", "servicefile", "target_session_attrs",
            "krbsrvname", "gsslib", "prepared_statement_cache_size",
        )
    ),
}  # fmt: skip
"""The databases that can be used, and the options of their drivers that a URL can hold: asyncpg
takes numbers for others, of which a URL has none."""

_NUMBERS = ("port", "prepared_statement_cache_size")

_versions = sql.Table(
    "xops_schema_versions",
    sql.MetaData(),
    sql.Column("name", sql.String(40), primary_key=True),
    sql.Column("version", sql.Integer, nullable=False),
)


@dataclass(frozen=True)
class SchemaStep:
    """From one version of the tables to the next.

    Attributes:
        summary: what it does, for the log.
        apply: does it, within the transaction in which it is found to be missing.
    """

    summary: str
    apply: Callable[[Connection], None]


@dataclass(frozen=True)
class Schema:
    """The tables of one user of a database. Their version is the number of steps that made them.

    Attributes:
        name: under which the version is noted.
        steps: the first makes the tables.
        first_table: a table of the first step. If it is there and no version is noted, the tables
            are of version 1: releases before versions were noted made them.
    """

    name: str
    steps: tuple[SchemaStep, ...]
    first_table: str

    def bring_up_to_date(self, connection: Connection) -> None:
        """Apply the steps that are missing, and note the version.

        Raises:
            PermanentError: a newer release made the tables.
        """
        noted = self.noted_version(connection)
        found = noted if noted is not None else self._unnoted_version(connection)
        wanted = len(self.steps)
        if found > wanted:
            raise PermanentError(
                f"opening the tables of {self.name}",
                f"they are of version {found}; this release knows versions up to {wanted}",
                "Use the newer release of xOps that made them.",
            )
        for number, step in enumerate(self.steps[found:], found + 1):
            logger.info("tables of %s, version %d: %s", self.name, number, step.summary)
            step.apply(connection)
        if noted != wanted:
            self._note(connection, noted, wanted)

    def noted_version(self, connection: Connection) -> int | None:
        """The version that the database notes; None if it notes none."""
        if not sql.inspect(connection).has_table(_versions.name):
            return None
        wanted = sql.select(_versions.c.version).where(_versions.c.name == self.name)
        version: int | None = connection.execute(wanted).scalar()
        return version

    def _unnoted_version(self, connection: Connection) -> int:
        return int(sql.inspect(connection).has_table(self.first_table))

    def _note(self, connection: Connection, noted: int | None, version: int) -> None:
        _versions.create(connection, checkfirst=True)
        logger.info("tables of %s: version %d is noted (was %s)", self.name, version, noted)
        if noted is None:
            connection.execute(_versions.insert().values(name=self.name, version=version))
        else:
            row = _versions.update().where(_versions.c.name == self.name)
            connection.execute(row.values(version=version))


def parse_url(given: str) -> URL:
    """The URL of a SQLite or PostgreSQL database.

    Raises:
        ValueError: it is none, with what it is instead. No part of it that may be a password is
            said.
    """
    try:
        parsed = make_url(given)
    except (ArgumentError, ValueError):  # the latter: a port that is no number
        raise ValueError("is no URL") from None
    if "@" in (parsed.host or ""):  # a part of the password would count as the host's name
        raise ValueError("has an @ in its password: write it as %40")
    backend = parsed.get_backend_name()
    if backend not in _OPTIONS:
        raise ValueError(f"names a database of the kind {backend!r}")
    if unknown := sorted(parsed.query.keys() - _OPTIONS[backend]):
        raise ValueError(f"has options that its driver does not take: {', '.join(unknown)}")
    for name in _NUMBERS:
        if not all(part.isdecimal() for part in parsed.normalized_query.get(name, ())):
            raise ValueError(f"has an option {name} that is no number")
    return parsed


class Database:
    """One database. Every use of it is one transaction that excludes all others.

    Args:
        url: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE.
        schema: its tables.
        title: what is in it, for messages: "history".
        variable: the environment variable that names it, for messages.
        wait_seconds: how long the connection and the transactions of others are waited for.

    Raises:
        InputError: the URL names no such database.
    """

    def __init__(
        self,
        url: str,
        schema: Schema,
        *,
        title: str,
        variable: str,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._title = title
        self._variable = variable
        self._url = self._parse(url)
        self._schema = schema
        self._wait_seconds = wait_seconds

    def __str__(self) -> str:
        return self._url.render_as_string(hide_password=True)

    def transact[Result](self, work: Callable[[Connection], Result]) -> Result:
        """Do `work` in one transaction: all that it writes, or nothing.

        The tables are brought up to date first.

        Raises:
            TemporaryError: the database does not answer, or is locked for too long.
            PermanentError: it refuses what is asked of it, or a newer release made its tables.
        """

        def on_current_tables(connection: Connection) -> Result:
            self._schema.bring_up_to_date(connection)
            return work(connection)

        with self._translate_errors():
            if self._url.get_backend_name() == "sqlite":
                return self._in_sqlite(on_current_tables)
            return self._in_postgresql(on_current_tables)

    def _in_sqlite[Result](self, work: Callable[[Connection], Result]) -> Result:
        if self._url.database:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        engine = sql.create_engine(
            self._url, poolclass=NullPool, connect_args={"timeout": self._wait_seconds}
        )
        event.listen(engine, "connect", _no_implicit_begin)
        event.listen(engine, "begin", _begin_immediate)
        with engine.begin() as connection:
            return work(connection)

    def _in_postgresql[Result](self, work: Callable[[Connection], Result]) -> Result:
        # The driver takes a second to import: only where it is needed.
        from asyncpg.exceptions import (  # type: ignore[import-untyped]
            ClientConfigurationError,
            PostgresError,
        )

        try:
            return asyncio.run(_transact(self._url, self._wait_seconds, work))
        except ClientConfigurationError as error:
            raise self._not_a_url(f"has an option that is wrong: {error}") from error
        except PostgresError as error:  # only while it connects; SQLAlchemy wraps those after
            found = str(error).splitlines()[0]
            if _may_pass(error.sqlstate or ""):
                raise self._unreachable(found) from error
            raise self._refused(found) from error

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            found = str(error.orig or error).splitlines()[0]
            state = str(getattr(error.orig, "sqlstate", "") or "")
            if isinstance(error, OperationalError) or _may_pass(state):
                raise self._unreachable(found) from error
            raise self._refused(found) from error
        except SQLAlchemyError as error:
            raise self._refused(str(error).splitlines()[0]) from error
        except OSError as error:  # no connection, or none in time
            raise self._unreachable(str(error) or type(error).__name__) from error

    def _unreachable(self, found: str) -> TemporaryError:
        remedy = f"See that the database runs and that {self._variable} names it; run it again."
        return TemporaryError(f"opening the {self._title} {self}", found, remedy)

    def _refused(self, found: str) -> PermanentError:
        remedy = "See that the account may create tables and insert, and that nobody changed them."
        return PermanentError(f"using the {self._title} {self}", found, remedy)

    def _parse(self, url: str) -> URL:
        try:
            parsed = parse_url(url)
        except ValueError as error:
            raise self._not_a_url(str(error)) from None
        is_server = parsed.get_backend_name() == "postgresql"
        # asyncpg is there anyway, Prefect brings it; another driver would be one more to keep.
        return parsed.set(drivername="postgresql+asyncpg") if is_server else parsed

    def _not_a_url(self, found: str) -> InputError:
        return InputError(
            f"opening the {self._title}",
            [Finding(f"variable {self._variable}", "", found)],
            "Write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE.",
        )


async def _transact[Result](
    url: URL, wait_seconds: float, work: Callable[[Connection], Result]
) -> Result:
    from sqlalchemy.ext.asyncio import create_async_engine

    connect: dict[str, Any] = {"timeout": wait_seconds}
    engine = create_async_engine(url, poolclass=NullPool, connect_args=connect)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{wait_seconds:.0f}s'")
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        return await connection.run_sync(work)


def _may_pass(sqlstate: str) -> bool:
    """Whether it is about the connection, locks, rollbacks, resources or an operator.

    Source: PostgreSQL's manual, appendix A.
    """
    return sqlstate == "55P03" or sqlstate[:2] in ("08", "40", "53", "57")


def _no_implicit_begin(connection: Any, _record: object) -> None:
    # The driver would begin a transaction only at the first write: too late to exclude others.
    connection.isolation_level = None


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
