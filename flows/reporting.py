"""What a run shows while it runs: artifacts for people, events for automations, log lines."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.events import emit_event

from xops.core.lifecycle import Outcome, Status
from xops.core.plan import Plan
from xops.core.plan_view import markdown
from xops.ecs.services import ServiceState
from xops.ecs.terraform_events import Progress

# Two loggers: `xops up` repeats the first to the person, and shows the second as progress.
lifecycle = logging.getLogger("xops.lifecycle")
terraform = logging.getLogger("xops.terraform")

_UPDATE_SECONDS = 2.0


class RunWatcher:
    """Shows the lifecycle of one environment in the run that carries it out."""

    def __init__(self, subject: str) -> None:
        self._key = subject.replace("/", "-")
        self._subject = subject
        self._artifact: UUID | None = None
        self._updated = 0.0
        self._services = ""

    def plan_ready(self, plan: Plan) -> None:
        """The plan as an artifact, before anything is changed."""
        lifecycle.info("plan: %s", plan.summary())
        create_markdown_artifact(
            markdown(plan), key=f"plan-{self._key}", description=plan.summary()
        )
        emit(self._subject, "planned", {"digest": plan.digest, "empty": plan.is_empty})

    def progress(self, progress: Progress) -> None:
        """Each step of an apply as a log line; the progress artifact at most every 2 s."""
        if not progress.event.startswith("apply_") or not progress.total:
            return
        if progress.event != "apply_progress":
            terraform.info("%d/%d %s", progress.done, progress.total, progress.message)
        now = time.monotonic()
        last = progress.done == progress.total
        if last or now - self._updated >= _UPDATE_SECONDS:
            self._updated = now
            self._show(100.0 * progress.done / progress.total, progress)

    def _show(self, percent: float, progress: Progress) -> None:
        description = f"{progress.done}/{progress.total} {progress.message}"
        if self._artifact is None:
            created = create_progress_artifact(
                percent, key=f"apply-{self._key}", description=description
            )
            self._artifact = cast("UUID", created)  # a coroutine only in an async flow
        else:
            update_progress_artifact(self._artifact, percent, description=description)

    def services(self, states: Sequence[ServiceState]) -> None:
        """The services whenever something about them changed."""
        seen = "; ".join(map(str, states))
        if seen != self._services:
            self._services = seen
            lifecycle.info("services: %s", seen)

    def note(self, message: str) -> None:
        """A warning in the log."""
        lifecycle.warning("%s", message)


def show_outcome(outcome: Outcome[Any]) -> None:
    """The evidence as an artifact, and the event that automations wait for."""
    subject, approval, seen = outcome.subject, outcome.approval, outcome.verification
    rows = {
        "status": outcome.status,
        "target": outcome.target,
        "digest": outcome.plan.digest,
        "approved by": f"{approval.by} ({approval.how})" if approval else "nothing to approve",
        "evidence": outcome.evidence or "none: nothing was applied",
        **{f"seconds: {step}": f"{taken:.1f}" for step, taken in outcome.seconds.items()},
        **(seen.rows() if seen else {"verification": "nothing was looked at"}),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    create_markdown_artifact(
        f"|  |  |\n|---|---|\n{table}",
        key=f"evidence-{subject.replace('/', '-')}",
        description=f"{subject}: {outcome.status}",
    )
    if outcome.status is not Status.PLANNED:  # that was said when the plan was ready
        emit(subject, str(outcome.status), {"digest": outcome.plan.digest})


def emit(subject: str, what: str, payload: dict[str, Any]) -> None:
    """Emit `xops.<step>.<what>` about a subject. Events inform; evidence is what counts."""
    emit_event(
        event=f"xops.{subject.split('/')[0]}.{what}",
        resource={"prefect.resource.id": f"xops.{subject}", "prefect.resource.name": subject},
        payload=payload,
    )
