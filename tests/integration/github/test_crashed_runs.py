"""Deliveries whose runs crashed, on a real inbox: which of them are dispatched again."""

import asyncio
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from xops.github.crashed_runs import MOST_REPLAYS, Replayed, replay_crashed
from xops.github.delivery import Delivery
from xops.github.inbox.address import VARIABLE
from xops.github.inbox.connection import open_inbox
from xops.github.inbox.inbox import DeliveryState, InboxRow

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ONE, TWO, THREE = (f"0000000{number}-0000-0000-0000-000000000000" for number in (1, 2, 3))


class Ended:
    """Runs of which these have crashed."""

    def __init__(self, *crashed: str) -> None:
        self._crashed = set(crashed)

    def crashed(self, ids: Collection[str]) -> set[str]:
        return self._crashed & set(ids)


@pytest.fixture
def environ(tmp_path: Path) -> Mapping[str, str]:
    return {VARIABLE: f"sqlite:///{tmp_path}/inbox.db"}


def dispatch(
    environ: Mapping[str, str], id_: str, runs: Mapping[str, str], at: datetime = NOW
) -> None:
    """A delivery that has led to these runs."""

    async def story() -> None:
        delivery = Delivery(id=id_, event="push", body_sha256="0" * 64, received_at=at)
        async with open_inbox(environ) as inbox:
            await inbox.add([(delivery, DeliveryState.RECEIVED, "")])
            await lead_to(environ, id_, runs)

    asyncio.run(story())


async def lead_to(environ: Mapping[str, str], id_: str, runs: Mapping[str, str]) -> None:
    async with open_inbox(environ) as inbox:
        for deployment, run in runs.items():
            await inbox.note_run(id_, deployment, run)
        await inbox.settle(id_, DeliveryState.DISPATCHED, "")


def found(environ: Mapping[str, str], id_: str) -> InboxRow:
    async def look() -> InboxRow | None:
        async with open_inbox(environ) as inbox:
            return await inbox.find(id_)

    row = asyncio.run(look())
    assert row is not None
    return row


def test_a_delivery_whose_run_crashed_is_dispatched_once_more(environ: Mapping[str, str]) -> None:
    dispatch(environ, ONE, {"handle/it": "a"})
    dispatch(environ, TWO, {"handle/it": "b"})
    assert replay_crashed(environ, Ended("a"), NOW) == Replayed(again=(ONE,))
    again, other = found(environ, ONE), found(environ, TWO)
    assert (again.state, again.replays, again.runs) == (DeliveryState.RECEIVED, 1, {})
    assert (other.state, other.replays) == (DeliveryState.DISPATCHED, 0)
    # A turn that is repeated finds nothing more: it waits for the run that is to come.
    assert replay_crashed(environ, Ended("a"), NOW) == Replayed()


def test_one_that_crashes_each_time_is_left_to_a_person(environ: Mapping[str, str]) -> None:
    dispatch(environ, ONE, {"handle/it": "run-0"})
    for number in range(MOST_REPLAYS):
        assert replay_crashed(environ, Ended(f"run-{number}"), NOW).again == (ONE,)
        asyncio.run(lead_to(environ, ONE, {"handle/it": f"run-{number + 1}"}))
    last = Ended(f"run-{MOST_REPLAYS}")
    assert replay_crashed(environ, last, NOW) == Replayed(left=(ONE,))
    assert found(environ, ONE).replays == MOST_REPLAYS


def test_what_another_run_of_the_same_delivery_has_done_is_not_done_twice(
    environ: Mapping[str, str],
) -> None:
    dispatch(environ, ONE, {"handle/it": "a", "count/it": "b"})
    assert replay_crashed(environ, Ended("a"), NOW) == Replayed(left=(ONE,))
    assert replay_crashed(environ, Ended("a", "b"), NOW) == Replayed(again=(ONE,))


def test_what_is_old_or_led_to_no_run_is_left_alone(environ: Mapping[str, str]) -> None:
    dispatch(environ, ONE, {"handle/it": "a"}, NOW - timedelta(days=4))
    dispatch(environ, TWO, {})
    assert replay_crashed(environ, Ended("a"), NOW) == Replayed()
    assert found(environ, ONE).state is DeliveryState.DISPATCHED
