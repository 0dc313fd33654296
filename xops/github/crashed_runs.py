"""Deliveries whose runs crashed: they are dispatched once more, since nobody else would notice.

A run whose worker was killed tells nothing to the pull request that waits for it. Everything that
such a run acts on is read live, so that one more is how it goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from xops.github.inbox.connection import open_inbox
from xops.github.inbox.inbox import DeliveryState, InboxRow

MOST_REPLAYS = 2
"""After so many, whoever replays it is to be a person: its runs crash for a reason of their own."""

_KEPT = timedelta(days=3)
"""What has waited for longer has been seen by somebody, or is of no use."""

_MOST_ROWS = 500
"""Deliveries that one turn looks at, the newest."""


class RunStates(Protocol):
    """Tells how runs have ended."""

    def crashed(self, ids: Collection[str]) -> set[str]:
        """Those of the runs that have ended without a word: their process is gone.

        Raises:
            TemporaryError: the server does not answer.
        """


@dataclass(frozen=True)
class Replayed:
    """What one turn has found, by delivery.

    Attributes:
        again: those that are dispatched once more.
        left: those that are not, since they crash each time or another run of theirs has not.
    """

    again: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def replay_crashed(environ: Mapping[str, str], runs: RunStates, now: datetime) -> Replayed:
    """Dispatch those deliveries once more of which every run has crashed.

    Args:
        environ: names the inbox.
        runs: tells how they ended.
        now: with its zone; deliveries of more than three days before are left alone.

    Raises:
        TemporaryError: the inbox or the server of the runs does not answer.
    """
    return asyncio.run(_replay_crashed(environ, runs, now))


async def _replay_crashed(environ: Mapping[str, str], runs: RunStates, now: datetime) -> Replayed:
    async with open_inbox(environ) as inbox:
        latest = await inbox.latest(DeliveryState.DISPATCHED, _MOST_ROWS)
        rows = [row for row in latest if row.runs and now - row.delivery.received_at < _KEPT]
        asked = {run for row in rows for run in row.runs.values()}
        crashed = await asyncio.to_thread(runs.crashed, asked) if asked else set()
        hit = [row for row in rows if crashed.intersection(row.runs.values())]
        again = [row for row in hit if _is_to_be_replayed(row, crashed)]
        for row in again:
            await inbox.replay(row.delivery.id)
    left = (row.delivery.id for row in hit if row not in again)
    return Replayed(tuple(row.delivery.id for row in again), tuple(left))


def _is_to_be_replayed(row: InboxRow, crashed: Collection[str]) -> bool:
    """A replay starts every run of a delivery: one that has done its work is not done twice."""
    return row.replays < MOST_REPLAYS and all(run in crashed for run in row.runs.values())
