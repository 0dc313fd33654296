"""Deliveries that come at once are kept together, and nobody waits for ever."""

import asyncio
from datetime import UTC, datetime

import pytest

from tests.webhooks import MemoryInbox
from xops.core.errors import PermanentError, TemporaryError
from xops.github.delivery import project
from xops.github.inbox.inbox import DeliveryState
from xops.github.webhooks.group_commit import MOST_TOGETHER, Entry, GroupCommit

NOW = datetime(2026, 11, 30, tzinfo=UTC)
DOWN = TemporaryError("keeping", "the database is down", "Wait.")


def entry(number: int = 0) -> Entry:
    id = f"00000000-0000-0000-0000-{number:012x}"
    return project("star", id, None, b"{}", NOW), DeliveryState.RECEIVED, ""


async def refusals(commit: GroupCommit, count: int) -> list[bool | BaseException]:
    added = (commit.add(entry(number)) for number in range(count))
    return await asyncio.gather(*added, return_exceptions=True)


def test_those_that_come_while_one_is_kept_are_kept_together() -> None:
    async def run() -> None:
        inbox = MemoryInbox()
        commit = GroupCommit(inbox)
        assert await refusals(commit, 50) == [True] * 50
        assert sum(inbox.transactions) == 50
        assert len(inbox.transactions) <= 2
        assert len(commit) == 0

    asyncio.run(run())


def test_a_transaction_is_no_larger_than_is_good_for_it() -> None:
    async def run() -> None:
        inbox = MemoryInbox()
        assert await refusals(GroupCommit(inbox), 2 * MOST_TOGETHER + 1) == [True] * 401
        assert max(inbox.transactions) == MOST_TOGETHER

    asyncio.run(run())


def test_of_the_same_delivery_at_once_one_is_new() -> None:
    async def run() -> None:
        commit = GroupCommit(MemoryInbox())
        news = await asyncio.gather(*(commit.add(entry()) for _ in range(20)))
        assert sum(news) == 1

    asyncio.run(run())


def test_a_store_that_is_down_is_told_to_all_and_asked_again_by_the_next() -> None:
    async def run() -> None:
        inbox = MemoryInbox()
        inbox.error = DOWN
        commit = GroupCommit(inbox)
        assert await refusals(commit, 10) == [DOWN] * 10
        inbox.error = None
        assert await commit.add(entry())

    asyncio.run(run())


def test_one_that_the_store_refuses_does_not_take_others_with_it() -> None:
    class Picky(MemoryInbox):
        async def add(self, deliveries: object) -> list[bool]:
            assert isinstance(deliveries, list)
            if any(one[0] == entry(3)[0] for one in deliveries):
                self.error = PermanentError("keeping", "it is refused", "Look at it.")
            try:
                return await super().add(deliveries)
            finally:
                self.error = None

    async def run() -> None:
        found = await refusals(GroupCommit(Picky()), 6)
        assert [isinstance(one, PermanentError) for one in found] == [n == 3 for n in range(6)]

    asyncio.run(run())


def test_a_store_that_refuses_and_then_hangs_holds_up_nobody_who_comes_later() -> None:
    class Hanging(MemoryInbox):
        async def add(self, deliveries: object) -> list[bool]:
            assert isinstance(deliveries, list)
            if len(deliveries) > 1:
                raise PermanentError("keeping", "it is refused", "Look at it.")
            return await super().add(deliveries)

    async def run() -> None:
        inbox = Hanging()
        inbox.held = asyncio.Event()
        commit = GroupCommit(inbox, patience=0.05)
        await refusals(commit, 50)
        inbox.held.set()
        assert await commit.add(entry(99))
        assert set(inbox.rows) == {entry(99)[0].id}

    asyncio.run(run())


def test_when_the_queue_is_full_the_next_is_refused_at_once() -> None:
    async def run() -> None:
        inbox = MemoryInbox()
        inbox.held = asyncio.Event()
        commit = GroupCommit(inbox, most_waiting=5)
        first = asyncio.create_task(commit.add(entry()))
        while not inbox.transactions:
            await asyncio.sleep(0)
        rest = [asyncio.create_task(commit.add(entry(number))) for number in range(1, 6)]
        await asyncio.sleep(0)
        assert len(commit) == 5
        with pytest.raises(TemporaryError, match="5 others wait"):
            await commit.add(entry(9))
        inbox.held.set()
        assert await asyncio.gather(first, *rest) == [True] * 6

    asyncio.run(run())


def test_nobody_waits_longer_than_the_bound_and_a_store_that_hangs_is_let_go() -> None:
    async def run() -> None:
        inbox = MemoryInbox()
        inbox.held = asyncio.Event()
        commit = GroupCommit(inbox, patience=0.02)
        found = await refusals(commit, 3)
        assert all(isinstance(one, TemporaryError) for one in found)
        inbox.held.set()
        assert await commit.add(entry(7))

    asyncio.run(run())


def test_who_has_given_up_is_not_kept_later() -> None:
    async def run() -> None:
        inbox = MemoryInbox()
        inbox.held = asyncio.Event()
        commit = GroupCommit(inbox)
        first = asyncio.create_task(commit.add(entry()))
        while not inbox.transactions:
            await asyncio.sleep(0)
        second = asyncio.create_task(commit.add(entry(1)))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        inbox.held.set()
        assert await first
        assert set(inbox.rows) == {entry()[0].id}

    asyncio.run(run())


def test_a_fault_of_ours_is_not_hidden() -> None:
    async def run() -> None:
        inbox = MemoryInbox()
        inbox.error = ZeroDivisionError()
        with pytest.raises(ZeroDivisionError):
            await GroupCommit(inbox).add(entry())

    asyncio.run(run())
