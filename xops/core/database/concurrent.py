"""A database that a process uses all the time, beside others: short transactions on connections
that are kept open.

PostgreSQL is reached by an async engine with a pool, which connects again after a server was
restarted. SQLite, which has no network to wait for, runs in threads: one that writes, so that the
writers of this process queue instead of polling for the lock of the file, and some that read
meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, Self

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from xops.core.database.address import Address
from xops.core.database.exclusive import Database
from xops.core.database.sqlite import READING, sqlite_engine
from xops.core.database.tables import Tables
from xops.core.errors import PermanentError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

WAIT_SECONDS = 8.0
"""GitHub waits ten seconds for an answer."""

CONNECTIONS = 5

_READERS = 3

_PAGES = 1000
"""Of 4 KiB: what is vacuumed in one transaction."""


class ConcurrentDatabase:
    """One database, used from one event loop.

    Args:
        url: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE.
        tables: what is kept in it.
        title: what is in it, for messages: "inbox".
        variable: the environment variable that names it, for messages.
        wait_seconds: how long a connection, a statement and the transactions of others are waited
            for, each.
        connections: to PostgreSQL, at most.

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
        connections: int = CONNECTIONS,
    ) -> None:
        self._address = Address.parse(url, title, variable)
        self._tables = tables
        self._exclusive = Database(url, tables, title=title, variable=variable)
        self._pool: _Pool = (
            _SqliteThreads(self._address, tables, wait_seconds)
            if self._address.is_sqlite
            else _PostgresPool(self._address, wait_seconds, connections)
        )
        self._prepared: object = None
        self._preparing = asyncio.Lock()

    def __str__(self) -> str:
        return str(self._address)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def prepare(self) -> None:
        """Bring the tables up to date now instead of at the first use.

        Raises:
            TemporaryError: the database does not answer.
            PermanentError: a newer release made its tables, or the account may not.
        """
        with self._translate_errors():
            await self._prepare()

    async def transact[Result](self, work: Callable[[Connection], Result]) -> Result:
        """Do `work` in one transaction: all that it writes, or nothing; durable when it returns.

        Others go on meanwhile; on PostgreSQL also those who write: lock rows that must not change.

        Raises:
            TemporaryError: the database does not answer, has no room, or is locked for too long.
            PermanentError: it refuses what is asked of it, or a newer release made its tables.
        """
        with self._translate_errors():
            await self._prepare()
            return await self._pool.write(work)

    async def read[Result](self, work: Callable[[Connection], Result]) -> Result:
        """Do `work`, which only reads, in one transaction; it waits for nobody who writes.

        Raises:
            TemporaryError: the database does not answer.
            PermanentError: it refuses what is asked of it, or a newer release made its tables.
        """
        with self._translate_errors():
            await self._prepare()
            return await self._pool.read(work)

    async def give_room_back(self) -> None:
        """Shrink the file by what was deleted.

        PostgreSQL's autovacuum does that by itself: there it is no work.

        Raises:
            TemporaryError: others read or write for too long.
        """
        with self._translate_errors():
            await self._pool.give_room_back()

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def _prepare(self) -> None:
        opened = self._pool.opened()
        if opened is not None and opened == self._prepared:
            return
        async with self._preparing:
            if await self._pool.read(self._tables.revision) != self._tables.newest:
                # Which may take longer than an answer may, and Alembic a second to be imported.
                await asyncio.to_thread(self._exclusive.transact, _nothing)
            self._prepared = self._pool.opened()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            with self._address.translate_errors():
                yield
        except PermanentError:
            self._prepared = None  # somebody may have put another database in its place
            raise


def _nothing(_: Connection) -> None:
    """All that is to be done is what comes before it."""


class _Pool(Protocol):
    def opened(self) -> object:
        """What tells the database that is open from any other; None if none is."""

    async def read[Result](self, work: Callable[[Connection], Result]) -> Result: ...

    async def write[Result](self, work: Callable[[Connection], Result]) -> Result: ...

    async def give_room_back(self) -> None: ...

    async def close(self) -> None: ...


class _SqliteThreads:
    def __init__(self, address: Address, tables: Tables, wait_seconds: float) -> None:
        self._address, self._tables, self._wait_seconds = address, tables, wait_seconds
        self._opened: tuple[int, int] | None = None
        self._writer = ThreadPoolExecutor(1, "xops-sqlite-writer")
        self._readers = ThreadPoolExecutor(_READERS, "xops-sqlite-reader")

    @cached_property
    def _engine(self) -> Engine:
        return sqlite_engine(
            self._address, self._tables, self._wait_seconds, pool_size=_READERS + 1, max_overflow=0
        )

    def opened(self) -> tuple[int, int] | None:
        """The file, as the kernel knows it. One that was deleted or replaced is no longer used."""
        file = self._address.file
        if file is None:
            return 0, 0
        found = file.stat() if file.exists() else None
        opened = None if found is None else (found.st_dev, found.st_ino)
        if self._opened not in (None, opened):
            self._forget_connections()
        self._opened = opened
        return opened

    def _forget_connections(self) -> None:
        if "_engine" in vars(self):
            vars(self).pop("_engine").dispose()

    async def read[Result](self, work: Callable[[Connection], Result]) -> Result:
        return await _in_thread(self._readers, lambda: self._transact(work, reading=True))

    async def write[Result](self, work: Callable[[Connection], Result]) -> Result:
        return await _in_thread(self._writer, lambda: self._transact(work, reading=False))

    async def give_room_back(self) -> None:
        # Piece by piece: whoever wants to write meanwhile waits for one of them.
        while await _in_thread(self._writer, self._vacuum_some):
            pass

    async def close(self) -> None:
        # What was begun is ended: its caller may have told somebody that it is durable.
        for threads in (self._writer, self._readers):
            await asyncio.to_thread(threads.shutdown)
        self._forget_connections()

    def _transact[Result](self, work: Callable[[Connection], Result], *, reading: bool) -> Result:
        engine = self._engine.execution_options(**{READING: reading})
        with engine.begin() as connection:
            return work(connection)

    def _vacuum_some(self) -> int:
        """Cut free pages off the end of the file; how many are left."""
        raw = self._engine.raw_connection()
        try:
            cursor = raw.cursor()
            before = _pragma(cursor, "freelist_count")
            # A row for each page.
            cursor.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
            left = _pragma(cursor, "freelist_count")
            # The log, which now holds the pages that were moved, into the file.
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            raw.close()
        # A file that was made otherwise cannot be cut; its free pages are used again.
        return left if left < before else 0


def _pragma(cursor: Any, name: str) -> int:
    return int(cursor.execute(f"PRAGMA {name}").fetchone()[0])


async def _in_thread[Result](threads: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
    return await asyncio.get_running_loop().run_in_executor(threads, work)


class _PostgresPool:
    def __init__(self, address: Address, wait_seconds: float, connections: int) -> None:
        self._address, self._wait_seconds, self._connections = address, wait_seconds, connections

    @cached_property
    def _engine(self) -> AsyncEngine:
        from sqlalchemy.ext.asyncio import create_async_engine

        engine = create_async_engine(
            self._address.url,
            pool_size=self._connections,
            max_overflow=0,
            pool_timeout=self._wait_seconds,
            connect_args={"timeout": self._wait_seconds, "command_timeout": self._wait_seconds},
        )
        event.listen(engine.sync_engine, "connect", _commit_durably)
        event.listen(engine.sync_engine, "checkout", _refuse_if_closed)
        return engine

    def opened(self) -> object:
        return self._address  # a server that was replaced closes its connections

    async def read[Result](self, work: Callable[[Connection], Result]) -> Result:
        return await self.write(work)  # its readers wait for no writer anyway

    async def write[Result](self, work: Callable[[Connection], Result]) -> Result:
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def give_room_back(self) -> None:
        """Nothing: autovacuum does."""

    async def close(self) -> None:
        if "_engine" in vars(self):
            await self._engine.dispose()


def _refuse_if_closed(_: object, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Let the pool connect again if the server has closed a connection, as one that restarts does.

    The driver has heard of that by itself: asking the server each time takes three round trips.
    """
    connection: Any = record.driver_connection
    if connection.is_closed():
        raise DisconnectionError


def _commit_durably(connection: Any, _record: object) -> None:
    """Undo a setting of the role or the server by which a commit may be lost in a crash."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') = 'off'"
    )
    cursor.close()
    connection.commit()
