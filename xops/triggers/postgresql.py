"""One transaction in PostgreSQL. Apart, since its driver takes a second to import."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from asyncpg.exceptions import PostgresError  # type: ignore[import-untyped]
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

_LOCK = 0x786F7073
"""The advisory lock of the history: "xops"."""


class ServerError(Exception):
    """The server refused the connection; `sqlstate` says why."""

    def __init__(self, message: str, sqlstate: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


def transact[Result](url: URL, wait: float, work: Callable[[Connection], Result]) -> Result:
    """Do `work` in one transaction that excludes all others of the history.

    Args:
        url: of the driver asyncpg, the one that Prefect brings.
        wait: seconds, for the connection and for others to end.
        work: on a connection as SQLAlchemy has it in plain code.

    Raises:
        ServerError, DBAPIError, OSError.
    """
    try:
        return asyncio.run(_transact(url, wait, work))
    except PostgresError as error:  # only while it connects; SQLAlchemy wraps those after
        raise ServerError(str(error), error.sqlstate or "") from error


async def _transact[Result](url: URL, wait: float, work: Callable[[Connection], Result]) -> Result:
    connect: dict[str, Any] = {"timeout": wait}
    engine = create_async_engine(url, poolclass=NullPool, connect_args=connect)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{wait:.0f}s'")
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        return await connection.run_sync(work)
