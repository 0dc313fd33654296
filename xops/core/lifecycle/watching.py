"""Who is shown what happens while it happens."""

from __future__ import annotations

from typing import Protocol

from xops.core.plan.model import Plan


class Watcher(Protocol):
    """Who is shown what happens while it happens."""

    def plan_ready(self, plan: Plan) -> None:
        """A plan was made; nothing was changed yet."""

    def note(self, message: str) -> None:
        """Something worth a line happened."""
