"""A question to the store that anybody may lead to: asked rarely, and not waited for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

FRESH_SECONDS = 1.0
PATIENCE_SECONDS = 2.0


class Probe[Found]:
    """A question of which the answer is remembered for a second, whatever it was.

    Args:
        ask: the question.
        fresh: seconds that an answer is taken for true.
        patience: seconds that an answer is waited for. One that is late is still waited for by
            the next who asks: a store that hangs has one question of ours, and not hundreds.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[Found]],
        fresh: float = FRESH_SECONDS,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._ask = ask
        self._fresh = fresh
        self._patience = patience
        self._task: asyncio.Task[Found] | None = None
        self._answered_at = 0.0

    async def look(self) -> Found | None:
        """The answer; None if there is none in time, or an error."""
        task = self._current()
        await asyncio.wait({task}, timeout=self._patience)
        if not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result()

    def _current(self) -> asyncio.Task[Found]:
        task = self._task
        is_old = time.monotonic() - self._answered_at > self._fresh
        if task is None or (task.done() and is_old):
            task = self._task = asyncio.ensure_future(self._asked())
        return task

    async def _asked(self) -> Found:
        try:
            return await self._ask()
        finally:
            self._answered_at = time.monotonic()
