"""The inbox on SQLite and on PostgreSQL: every test runs on both."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.github.inbox.samples import NOW
from tests.postgres_server import Postgres
from xops.core.database.concurrent import ConcurrentDatabase
from xops.github.inbox.address import VARIABLE
from xops.github.inbox.inbox import Inbox
from xops.github.inbox.tables import TABLES


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/github/inbox.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.emptied_database()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def open_at(url: str, clock: Callable[[], datetime] | None = None) -> Inbox:
    """An inbox as another process would open it."""
    database = ConcurrentDatabase(url, TABLES, title="inbox", variable=VARIABLE)
    return Inbox(database, clock)


Use = Callable[[Callable[[Inbox], Awaitable[None]]], None]


@pytest.fixture
def use(url: str, clock: Clock) -> Use:
    """`use(story)` lets a story happen to an inbox that goes by `clock`."""

    async def happen(story: Callable[[Inbox], Awaitable[None]]) -> None:
        async with open_at(url, clock) as inbox:
            await story(inbox)

    return lambda story: asyncio.run(happen(story))
