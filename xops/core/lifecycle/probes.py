"""Probes: what is looked at from outside while an apply goes on, for its record."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

INTERVAL_SECONDS = 1.0


@dataclass(frozen=True)
class Probe:
    """One thing that should answer all the time.

    Attributes:
        name: for example `K3S API`.
        look: asks it once; None if it answered as it should, else what was wrong. It takes a few
            seconds at most, and raises nothing.
    """

    name: str
    look: Callable[[], str | None]


@dataclass
class Availability:
    """What a probe has seen. `longest_outage_seconds` counts from the first look that failed."""

    name: str
    looks: int = 0
    failed: int = 0
    longest_outage_seconds: float = 0.0
    last_failure: str | None = None
    _down_since: float | None = field(default=None, repr=False)

    def add(self, failure: str | None, now: float) -> None:
        """One more look, at a moment of a clock that only goes forward."""
        self.looks += 1
        if failure is None:
            self._down_since = None
            return
        self.failed += 1
        self.last_failure = failure
        self._down_since = now if self._down_since is None else self._down_since
        outage = now - self._down_since
        self.longest_outage_seconds = max(self.longest_outage_seconds, outage)

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        return {
            "name": self.name,
            "looks": self.looks,
            "failed": self.failed,
            "longest_outage_seconds": round(self.longest_outage_seconds, 1),
            "last_failure": self.last_failure,
        }

    def __str__(self) -> str:
        if not self.looks:
            return "was not looked at"
        answered = f"answered {self.looks - self.failed} of {self.looks} looks"
        if not self.failed:
            return answered
        return f"{answered}, out for {self.longest_outage_seconds:.0f} s at most: " + str(
            self.last_failure
        )


@contextmanager
def watch_availability(
    probes: Sequence[Probe], interval: float = INTERVAL_SECONDS
) -> Iterator[list[Availability]]:
    """Look at each probe again and again until the block ends; what was seen so far.

    Each has a thread of its own, so that one that hangs does not stop the others. They only look:
    the apply stays on the main thread.
    """
    seen = [Availability(probe.name) for probe in probes]
    ended = threading.Event()

    def keep_looking(probe: Probe, found: Availability) -> None:
        while not ended.wait(interval if found.looks else 0.0):
            found.add(probe.look(), time.monotonic())

    threads = [
        threading.Thread(target=keep_looking, args=pair, name=f"probe {pair[0].name}", daemon=True)
        for pair in zip(probes, seen, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        ended.set()
        for thread in threads:
            thread.join()
