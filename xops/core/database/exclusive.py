"""A database that is used for a moment now and then: one exclusive transaction a use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import URL, Connection
from sqlalchemy.pool import NullPool

from xops.core.database.address import Address
from xops.core.database.sqlite import sqlite_engine
from xops.core.database.tables import Tables
from xops.core.database.upkeep import bring_up_to_date

WAIT_SECONDS = 30.0

_LOCK = 0x786F7073
"""The advisory lock of xOps in a PostgreSQL database: "xops"."""


class Database:
    """One database. Every use of it is one transaction that excludes all others.

    Args:
        url: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE.
        tables: what is kept in it.
        title: what is in it, for messages: "history".
        variable: the environment variable that names it, for messages.
        wait_seconds: how long the connection and the transactions of others are waited for.

    Raises:
        InputError: the URL names no such database.
    """

    def __init__(
        self,
        url: str,
        tables: Tables,
        *,
        title: str,
        variable: str,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._address = Address.parse(url, title, variable)
        self._tables = tables
        self._wait_seconds = wait_seconds

    def __str__(self) -> str:
        return str(self._address)

    def transact[Result](self, work: Callable[[Connection], Result]) -> Result:
        """Do `work` in one transaction: all that it writes, or nothing.

        The tables are brought up to date first.

        Raises:
            TemporaryError: the database does not answer, or is locked for too long.
            PermanentError: it refuses what is asked of it, or a newer release made its tables.
        """

        def on_current_tables(connection: Connection) -> Result:
            bring_up_to_date(self._tables, connection)
            return work(connection)

        with self._address.translate_errors():
            if self._address.is_sqlite:
                return self._in_sqlite(on_current_tables)
            return asyncio.run(
                _in_postgresql(self._address.url, self._wait_seconds, on_current_tables)
            )

    def _in_sqlite[Result](self, work: Callable[[Connection], Result]) -> Result:
        engine = sqlite_engine(self._address, self._tables, self._wait_seconds, poolclass=NullPool)
        with engine.begin() as connection:
            return work(connection)


async def _in_postgresql[Result](
    url: URL, wait_seconds: float, work: Callable[[Connection], Result]
) -> Result:
    # The driver takes a second to import: only where it is needed.
    from sqlalchemy.ext.asyncio import create_async_engine

    connect: dict[str, Any] = {"timeout": wait_seconds}
    engine = create_async_engine(url, poolclass=NullPool, connect_args=connect)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{wait_seconds:.0f}s'")
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        return await connection.run_sync(work)
