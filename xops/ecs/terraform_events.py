"""The lines of `terraform -json`, as progress and errors.

Format: developer.hashicorp.com/terraform/internals/machine-readable-ui.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from xops.core.errors import PermanentError
from xops.ecs.terraform_errors import Diagnostic


@dataclass(frozen=True)
class Progress:
    """How far a plan or an apply has come.

    Attributes:
        done: resources finished.
        total: resources to do, None while it is not known.
        address: the resource that this event is about.
        event: what happened to it, in Terraform's words (`apply_start`, `apply_complete`, ...).
        message: Terraform's own line for people.
    """

    done: int
    total: int | None
    address: str
    event: str
    message: str


ProgressHandler = Callable[[Progress], None]


class EventStream:
    """Reads the lines of `terraform -json`: progress goes out, errors are kept.

    The format's major version must be 1; unknown event types and lines that are not JSON are
    passed over, as Terraform's documentation of the machine-readable UI asks.
    """

    _STARTED = ("apply_start", "refresh_start")
    _ENDED = ("apply_complete", "apply_errored", "refresh_complete")

    def __init__(
        self, on_progress: ProgressHandler | None = None, total: int | None = None
    ) -> None:
        self.errors: list[Diagnostic] = []
        self.total = total
        self.done = 0
        self._on_progress = on_progress

    def feed(self, line: str) -> None:
        """Take one line."""
        if not line.startswith("{"):
            return
        try:
            event = json.loads(line)
        except ValueError:
            return
        kind = event.get("type", "")
        if kind == "version" and not str(event.get("ui")).startswith("1."):
            raise PermanentError(
                "reading Terraform's output",
                f"its format has version {event.get('ui', 'unknown')}",
                "Use a Terraform whose machine-readable format has major version 1.",
            )
        if kind == "diagnostic" and event["diagnostic"]["severity"] == "error":
            self.errors.append(diagnostic(event["diagnostic"]))
        elif kind in ("planned_change", "change_summary"):
            self._count(kind, event)
        elif kind in (*self._STARTED, *self._ENDED, "apply_progress"):
            self._progress(kind, event)

    def _count(self, kind: str, event: Mapping[str, Any]) -> None:
        if kind == "change_summary" and event["changes"]["operation"] == "plan":
            changes = event["changes"]
            self.total = changes["add"] + changes["change"] + changes["remove"]

    def _progress(self, kind: str, event: Mapping[str, Any]) -> None:
        # A data source that is read during the apply is no step: the plan did not count it.
        if kind == "apply_complete" and event["hook"].get("action") != "read":
            self.done += 1
        if self._on_progress is not None:
            address = event["hook"]["resource"]["addr"]
            message = event.get("@message", "")
            self._on_progress(Progress(self.done, self.total, address, kind, message))


def diagnostic(row: Mapping[str, Any]) -> Diagnostic:
    """A diagnostic in Terraform's JSON, in a stream or in the report of `validate`."""
    return Diagnostic(
        row["severity"], row["summary"], row.get("detail", "").strip(), row.get("address", "")
    )
