"""Engines for SQLite: when their transactions begin, and what they do for it to last."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sql
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from xops.core.database.address import Address
from xops.core.database.tables import Tables

READING = "xops_reading"
"""The execution option of a connection that only reads."""


def sqlite_engine(address: Address, tables: Tables, wait_seconds: float, **pool: Any) -> Engine:
    """An engine whose transactions exclude other writers from their beginning on.

    Args:
        wait_seconds: how long the transactions of others are waited for.
        pool: how `sqlalchemy.create_engine` keeps connections.
    """
    address.make_private_file()
    engine = sql.create_engine(address.url, connect_args={"timeout": wait_seconds}, **pool)
    event.listen(engine, "connect", _for_many_writers if tables.many_writers else _for_one)
    event.listen(engine, "begin", _begin)
    return engine


def _for_one(connection: Any, _record: object) -> None:
    # The driver would begin a transaction only at the first write: too late to exclude others.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")  # what was committed outlasts a power cut


def _for_many_writers(connection: Any, record: object) -> None:
    _for_one(connection, record)
    # Each of them waits for who writes, even if nothing is to be changed.
    if _ask(connection, "page_count") == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if _ask(connection, "journal_mode") != "wal":
        connection.execute("PRAGMA journal_mode = WAL")


def _ask(connection: Any, name: str) -> object:
    cursor = connection.execute(f"PRAGMA {name}")
    try:
        return cursor.fetchone()[0]
    finally:
        cursor.close()


def _begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get(READING, False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
