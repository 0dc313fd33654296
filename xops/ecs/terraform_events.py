"""The lines of `terraform -json`, as progress and errors.

Format: developer.hashicorp.com/terraform/internals/machine-readable-ui.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from xops.core.errors import PermanentError
from xops.ecs.terraform_errors import Diagnostic


@dataclass(frozen=True)
class TerraformStep:
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


CHECK_FAILED = "Check block assertion failed"
"""Terraform's own summary of a `check` that does not hold."""

ProgressHandler = Callable[[TerraformStep], None]


class EventStream:
    """Reads the lines of `terraform -json`: progress goes out, errors and warnings are kept.

    The format's major version must be 1; unknown event types and lines that are not JSON are
    passed over, as Terraform's documentation of the machine-readable UI asks.
    """

    _STARTED = ("apply_start", "refresh_start")
    _ENDED = ("apply_complete", "apply_errored", "refresh_complete")

    def __init__(
        self, on_progress: ProgressHandler | None = None, total: int | None = None
    ) -> None:
        self.errors: list[Diagnostic] = []
        self.warnings: list[Diagnostic] = []
        self.total = total
        self.done = 0
        self._on_progress = on_progress

    def feed(self, line: str) -> None:
        """Take one line."""
        if not line.startswith("{"):
            return
        step = None
        # Of another shape than is documented: as unknown as what is no JSON.
        with suppress(ValueError, RecursionError, LookupError, TypeError, AttributeError):
            step = self._take(json.loads(line))
        if step is not None and self._on_progress is not None:
            self._on_progress(step)

    def _take(self, event: Mapping[str, Any]) -> TerraformStep | None:
        kind = event.get("type", "")
        if kind == "version" and not str(event.get("ui")).startswith("1."):
            raise PermanentError(
                "reading Terraform's output",
                f"its format has version {event.get('ui', 'unknown')}",
                "Use a Terraform whose machine-readable format has major version 1.",
            )
        if kind == "diagnostic":
            found = diagnostic(event["diagnostic"])
            (self.errors if found.severity == "error" else self.warnings).append(found)
        elif kind in ("planned_change", "change_summary"):
            self._count(kind, event)
        elif kind in (*self._STARTED, *self._ENDED, "apply_progress"):
            return self._progress(kind, event)
        return None

    def _count(self, kind: str, event: Mapping[str, Any]) -> None:
        if kind == "change_summary" and event["changes"]["operation"] == "plan":
            changes = event["changes"]
            self.total = sum(int(changes[key]) for key in ("add", "change", "remove"))

    def _progress(self, kind: str, event: Mapping[str, Any]) -> TerraformStep:
        # A data source that is read during the apply is no step: the plan did not count it.
        if kind == "apply_complete" and event["hook"].get("action") != "read":
            self.done += 1
        address = str(event["hook"]["resource"]["addr"])
        message = str(event.get("@message", ""))
        return TerraformStep(self.done, self.total, address, kind, message)


def diagnostic(row: Mapping[str, Any]) -> Diagnostic:
    """A diagnostic in Terraform's JSON, in a stream or in the report of `validate`."""
    return Diagnostic(
        str(row["severity"]),
        str(row["summary"]),
        str(row.get("detail", "")).strip(),
        str(row.get("address") or _check_address(row)),
    )


_CHECK_BLOCK = re.compile(r'check "([^"]+)"')


def _check_address(row: Mapping[str, Any]) -> str:
    """The address of the `check` block that it is about: only its source text names that."""
    context = (row.get("snippet") or {}).get("context") or ""
    block = _CHECK_BLOCK.fullmatch(context)
    return f"check.{block[1]}" if block else ""


def failed_checks(document: Mapping[str, Any]) -> list[Diagnostic]:
    """The `check` blocks that do not hold, as `terraform show -json` lists them.

    A condition that only the apply can tell is not among them.
    """
    return [
        Diagnostic("warning", CHECK_FAILED, problem["message"], instance["address"]["to_display"])
        for check in document.get("checks", [])
        if check["address"]["kind"] == "check"
        for instance in check.get("instances", [])
        if instance["status"] in ("fail", "error")
        for problem in instance.get("problems") or [{"message": f"status {instance['status']}"}]
    ]


def in_one_order(found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Each of them once: Terraform evaluates side by side and tells in any order."""
    return tuple(sorted(set(found), key=lambda row: (row.address, row.summary, row.detail)))
