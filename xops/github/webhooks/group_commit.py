"""Deliveries that come at once are kept in one transaction: a commit costs what its fsync costs.

While one transaction is on its way, those that come wait for the next, which takes all of them.
Each is answered after its own transaction is durable. Who has waited too long, or finds the queue
full, is told that the store is down: GitHub has that in its list, and it is delivered again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from xops.core.errors import TemporaryError, XopsError
from xops.github.delivery import Delivery
from xops.github.inbox.inbox import DeliveryState

Entry = tuple[Delivery, DeliveryState, str]
"""A delivery, its state, and why it leads to nothing."""

MOST_WAITING = 1_000
MOST_TOGETHER = 200
PATIENCE_SECONDS = 4.0
"""How long one waits, well below the ten seconds after which GitHub gives up."""


class Store(Protocol):
    """Where deliveries are kept; the inbox."""

    async def add(self, deliveries: Sequence[Entry]) -> list[bool]:
        """Keep them in one transaction; of each, whether it was new."""
        ...


@dataclass(frozen=True)
class _Waiting:
    entry: Entry
    kept: asyncio.Future[bool]


class GroupCommit:
    """Keeps deliveries, those of a moment together.

    Args:
        store: keeps them.
        most_waiting: in the queue.
        patience: seconds that one waits.
    """

    def __init__(
        self,
        store: Store,
        most_waiting: int = MOST_WAITING,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._store = store
        self._most_waiting = most_waiting
        self._patience = patience
        self._queue: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._transaction: asyncio.Future[list[bool]] | None = None

    def __len__(self) -> int:
        """How many wait for a transaction."""
        return len(self._queue)

    async def add(self, entry: Entry) -> bool:
        """Keep a delivery durably.

        Returns:
            Whether it was new.

        Raises:
            TemporaryError: the store is down, or has too much to do. It may be kept all the same.
            XopsError: as the store says.
        """
        if len(self._queue) >= self._most_waiting:
            raise _unavailable(f"{len(self._queue)} others wait for the same")
        loop = asyncio.get_running_loop()
        kept: asyncio.Future[bool] = loop.create_future()
        self._queue.append(_Waiting(entry, kept))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        end = loop.call_later(self._patience, self._give_up, kept)
        try:
            return await kept
        finally:
            end.cancel()

    def _give_up(self, kept: asyncio.Future[bool]) -> None:
        _tell(kept, False, _unavailable(f"it took more than {self._patience:.0f} s"))

    async def _work(self) -> None:
        while self._queue:
            count = min(len(self._queue), MOST_TOGETHER)
            taken = [self._queue.popleft() for _ in range(count)]
            # Nobody waits for one that has given up; should it be kept, nobody minds.
            await self._keep([one for one in taken if not one.kept.done()])

    async def _keep(self, waiting: list[_Waiting]) -> None:
        task = self._transaction = asyncio.ensure_future(
            self._store.add([one.entry for one in waiting])
        )
        await asyncio.wait({task}, timeout=self._patience)
        if task.cancel():
            await asyncio.wait({task}, timeout=self._patience)
        error = _error_of(task)
        if error and len(waiting) > 1 and not isinstance(error, TemporaryError):
            for one in waiting:  # one of them may be at fault, and the others are not
                if not one.kept.done():
                    await self._keep([one])
            return
        news = [False] * len(waiting) if error else task.result()
        for one, is_new in zip(waiting, news, strict=True):
            _tell(one.kept, is_new, error)


def _error_of(task: asyncio.Future[list[bool]]) -> BaseException | None:
    if not task.done() or task.cancelled():
        return _unavailable("the transaction took too long and was given up")
    return task.exception()


def _tell(kept: asyncio.Future[bool], is_new: bool, error: BaseException | None) -> None:
    if kept.done():
        return
    if error:
        kept.set_exception(error)
    else:
        kept.set_result(is_new)


def _unavailable(found: str) -> XopsError:
    return TemporaryError(
        "keeping a delivery in the inbox",
        found,
        "Look at the database of XOPS_GITHUB_DATABASE; GitHub has the delivery in its list, and"
        " the reconciler has it delivered again.",
    )
