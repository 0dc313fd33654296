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

from xops.core.lifecycle.steps import Outcome, OutcomeStatus
from xops.core.plan.model import Plan
from xops.core.plan.view import markdown
from xops.ecs.services import ServiceState
from xops.ecs.terraform_events import Progress

# Two loggers: `xops up` repeats the first to the person, and shows the second as progress.
lifecycle = logging.getLogger("xops.lifecycle")
terraform = logging.getLogger("xops.terraform")

_UPDATE_SECONDS = 2.0


class RunWatcher:
    """Shows the lifecycle of one subject in the run that carries it out."""

    def __init__(self, subject: str) -> None:
        self._key = subject.replace("/", "-")
        self._subject = subject
        self._artifact: UUID | None = None
        self._updated = 0.0

    def plan_ready(self, plan: Plan) -> None:
        """The plan as an artifact, before anything is changed."""
        lifecycle.info("plan: %s", plan.summary())
        create_markdown_artifact(
            markdown(plan), key=f"plan-{self._key}", description=plan.summary()
        )
        emit(self._subject, "planned", {"digest": plan.digest, "empty": plan.is_empty})

    def note(self, message: str) -> None:
        """A warning in the log."""
        lifecycle.warning("%s", message)

    def show(self, percent: float, description: str, *, last: bool = False) -> None:
        """The progress artifact, updated at most every 2 s."""
        now = time.monotonic()
        if not last and now - self._updated < _UPDATE_SECONDS:
            return
        self._updated = now
        # Hosts tell their steps from within an event loop, where Prefect would return a coroutine.
        sync: dict[str, Any] = {"_sync": True}
        if self._artifact is None:
            key = f"apply-{self._key}"
            created = create_progress_artifact(percent, key=key, description=description, **sync)
            self._artifact = cast("UUID", created)
        else:
            update_progress_artifact(self._artifact, percent, description=description, **sync)


class EcsWatcher(RunWatcher):
    """Terraform's steps and the services on top."""

    def __init__(self, subject: str) -> None:
        super().__init__(subject)
        self._services = ""

    def progress(self, progress: Progress) -> None:
        """Each step of an apply as a log line and in the progress artifact."""
        if not progress.event.startswith("apply_") or not progress.total:
            return
        if progress.event != "apply_progress":
            terraform.info("%d/%d %s", progress.done, progress.total, progress.message)
        self.show(
            100.0 * progress.done / progress.total,
            f"{progress.done}/{progress.total} {progress.message}",
            last=progress.done == progress.total,
        )

    def services(self, states: Sequence[ServiceState]) -> None:
        """The services whenever something about them changed."""
        seen = "; ".join(map(str, states))
        if seen != self._services:
            self._services = seen
            lifecycle.info("services: %s", seen)


class K3sWatcher(RunWatcher):
    """Steps of hosts on top: how many are known is told by the plan."""

    def __init__(self, subject: str) -> None:
        super().__init__(subject)
        self._hosts: list[str] = []
        self._up: set[str] = set()

    def plan_ready(self, plan: Plan) -> None:
        """As `RunWatcher.plan_ready`; the hosts that change are what there is to do."""
        super().plan_ready(plan)
        self._hosts = sorted({change.target.partition(":")[0] for change in plan.changes})

    def step(self, host: str, what: str, seconds: float | None) -> None:
        """A step of a host as a log line with its seconds."""
        if seconds is not None:
            lifecycle.info("%s: %s (%.1f s)", host, what, seconds)
        if what == "node":
            self._up.add(host)
        done = 100.0 * len(self._up) / max(len(self._hosts), 1)
        self.show(min(done, 100.0), f"{host}: {what}", last=what == "node")


def show_outcome(outcome: Outcome[Any]) -> None:
    """The evidence as an artifact, and the event that automations wait for."""
    subject, approval, seen = outcome.subject, outcome.approval, outcome.verification
    rows = {
        "status": outcome.status,
        "target": outcome.target,
        "digest": outcome.plan.digest,
        "approved by": f"{approval.by} ({approval.how})" if approval else "nothing to approve",
        "evidence": outcome.evidence or "none: nothing was applied",
        **{f"seconds: {step}": f"{taken:.1f}" for step, taken in outcome.duration_seconds.items()},
        **(seen.rows() if seen else {"verification": "nothing was looked at"}),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    create_markdown_artifact(
        f"|  |  |\n|---|---|\n{table}",
        key=f"evidence-{subject.replace('/', '-')}",
        description=f"{subject}: {outcome.status}",
    )
    if outcome.status is not OutcomeStatus.PLANNED:  # that was said when the plan was ready
        emit(subject, str(outcome.status), {"digest": outcome.plan.digest})


def emit(subject: str, what: str, payload: dict[str, Any]) -> None:
    """Emit `xops.<step>.<what>` about a subject. Events inform; evidence is what counts."""
    emit_event(
        event=f"xops.{subject.split('/')[0]}.{what}",
        resource={"prefect.resource.id": f"xops.{subject}", "prefect.resource.name": subject},
        payload=payload,
    )
