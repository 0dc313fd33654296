"""Who is shown what happens while it happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from xops.core.plan.model import Plan


@dataclass(frozen=True)
class Progress:
    """How far an apply has come.

    Attributes:
        message: what was done or is being done, one line.
        done, total: how many of how many; `total` is 0 while that is not known.
        unit: what is counted: resources, hosts, services.
        seconds: how long the step took; None while it goes on.
    """

    message: str
    done: int = 0
    total: int = 0
    unit: str = ""
    seconds: float | None = None

    @property
    def percent(self) -> float | None:
        """How far, 0 to 100; None while the total is not known."""
        return min(100.0 * self.done / self.total, 100.0) if self.total else None

    def __str__(self) -> str:
        counted = f"{self.done}/{self.total} " if self.total else ""
        taken = f" ({self.seconds:.1f} s)" if self.seconds is not None else ""
        return f"{counted}{self.message}{taken}"


class Watcher(Protocol):
    """Who is shown what happens while it happens."""

    def plan_ready(self, plan: Plan) -> None:
        """A plan was made; nothing was changed yet."""

    def progress(self, progress: Progress) -> None:
        """An apply or its verification has come further."""

    def note(self, message: str) -> None:
        """Something worth a line happened."""
