"""Receivers and dispatchers as processes of their own, which are killed at any moment."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.github.inbox.conftest import open_at
from tests.integration.github.inbox.samples import guid
from tests.integration.github.inbox.worker import BATCH
from tests.soak import ROUNDS
from xops.core.files.settings import ROOT
from xops.github.inbox.inbox import Inbox

ALL = 1_000_000
"""More than a process adds before it is killed."""


@contextmanager
def worker(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "tests.integration.github.inbox.worker", *map(str, arguments)]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def told(process: subprocess.Popen[str], lines: int | None = None) -> list[str]:
    """The ids of so many lines that it prints, or of all until it ends."""
    assert process.stdout
    if lines is None:
        return process.stdout.read().split()
    return [id_ for _ in range(lines) for id_ in process.stdout.readline().split()]


def kept(url: str) -> set[str]:
    async def story() -> set[str]:
        async with open_at(url) as inbox:
            return {row.delivery.id for row in await inbox.latest(limit=ALL)}

    return asyncio.run(story())


@pytest.mark.timeout(120 * ROUNDS)
def test_what_was_acknowledged_outlives_a_kill(url: str) -> None:
    acknowledged: set[str] = set()
    for turn in range(2 * ROUNDS):
        with worker("add", url, turn * ALL, (turn + 1) * ALL) as process:
            acknowledged.update(told(process, 5 + turn % 7))
            process.kill()
            acknowledged.update(told(process))
        found = kept(url)
        assert acknowledged <= found
        # What was killed between insert and commit is not there by halves.
        assert len(found) % BATCH == 0


def test_processes_that_add_the_same_deliveries_are_told_once_that_they_are_new(url: str) -> None:
    with worker("add", url, 0, 300) as one, worker("add", url, 0, 300) as other:
        new = told(one) + told(other)
    assert Counter(new) == Counter(guid(name) for name in range(300))


def test_processes_that_claim_at_once_never_hold_the_same_delivery(url: str) -> None:
    with worker("add", url, 0, 300) as adding:
        told(adding)
    with worker("claim", url) as one, worker("claim", url) as other:
        held = told(one) + told(other)
        ends = {one.wait(60), other.wait(60)}
    assert ends == {0}
    counted = Counter(held)
    assert set(counted.values()) == {1}

    async def rest(inbox: Inbox) -> list[str]:
        return [row.delivery.id for row in await inbox.claim(300, 60)]

    async def story() -> list[str]:
        async with open_at(url) as inbox:
            return await rest(inbox)

    # On PostgreSQL each may have passed over rows that the other was claiming.
    assert counted + Counter(asyncio.run(story())) == Counter(guid(name) for name in range(300))


def test_what_a_killed_dispatcher_held_is_claimed_when_its_lease_is_over(url: str) -> None:
    with worker("add", url, 0, 20) as adding:
        told(adding)
    with worker("claim", url) as dispatcher:
        told(dispatcher, 1)

    async def story() -> None:
        async with open_at(url) as inbox:
            held = {row.delivery.id for row in await inbox.latest() if row.next_attempt_at}
            assert held
            waits = {row.delivery.id for row in await inbox.claim(100, 0)}
            assert waits == {guid(name) for name in range(20)} - held
            later = [row.next_attempt_at for row in await inbox.latest() if row.next_attempt_at]
            # By a clock that has gone on until then.
            async with open_at(url, clock=lambda: max(later)) as next_one:
                assert {row.delivery.id for row in await next_one.claim(100, 60)} >= held

    asyncio.run(story())
