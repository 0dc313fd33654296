"""What a run shows while it runs: artifacts for people, events for automations, log lines.

Prefect's UI reads descriptions of artifacts as Markdown. Tables and pictures are Markdown as well:
of a table artifact it cuts off what does not fit a cell.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.events import emit_event

from xops.core.lifecycle.drift import Drift, DriftStatus
from xops.core.lifecycle.steps import Outcome, OutcomeStatus
from xops.core.lifecycle.watching import Progress
from xops.core.plan.model import Plan
from xops.core.plan.view import markdown
from xops.core.rendering import Markdown, Plain

# Two loggers: `xops up` repeats the first to the person, and shows the second as progress.
lifecycle = logging.getLogger("xops.lifecycle")
progress_log = logging.getLogger("xops.progress")

ARTIFACT_WIDTH = 76
"""Characters of a line of code that the page of an artifact shows at 1440 pixels."""

_UPDATE_SECONDS = 2.0
_WHOLE = 100.0


class RunWatcher:
    """Shows the lifecycle of one subject in the run that carries it out.

    Args:
        subject: what events are about.
        part: of the keys of artifacts, where they are of something else than what the subject is:
            of what a pull request would make of it.
    """

    def __init__(self, subject: str, part: str = "") -> None:
        self._key = f"{subject.replace('/', '-')}{part}"
        self._subject = subject
        self._artifact: UUID | None = None
        self._updated = 0.0
        self._told = ""

    def plan_ready(self, plan: Plan) -> None:
        """The plan as an artifact, before anything is changed."""
        lifecycle.info("plan: %s", plan.summary())
        show_markdown(f"plan-{self._key}", markdown(plan, ARTIFACT_WIDTH), _in_short(plan))
        emit(self._subject, "planned", {"digest": plan.digest, "empty": plan.is_empty})

    def note(self, message: str) -> None:
        """A warning in the log."""
        lifecycle.warning("%s", message)

    def progress(self, progress: Progress) -> None:
        """Each step as a log line, once, and in the progress artifact."""
        line = str(progress)
        if line == self._told:
            return
        self._told = line
        progress_log.info("%s", line)
        percent = progress.percent
        self._show(0.0 if percent is None else percent, Markdown.render(line))

    def _show(self, percent: float, description: Markdown) -> None:
        """The progress artifact, updated at most every 2 s but for its end."""
        now = time.monotonic()
        if percent < _WHOLE and now - self._updated < _UPDATE_SECONDS:
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


def show_outcome(outcome: Outcome[Any]) -> None:
    """The evidence as an artifact, and the event that automations wait for.

    A run that only plans shows its plan: the artifact of the last evidence stays what it is.
    """
    if outcome.status is OutcomeStatus.PLANNED:  # that was said when the plan was ready
        return
    subject, seen = outcome.subject, outcome.verification
    rows = {
        "status": str(outcome.status),
        "target": outcome.target,
        "digest": outcome.plan.digest,
        **({"cost": str(outcome.plan.cost)} if outcome.plan.cost else {}),
        **_approval_rows(outcome),
        "evidence": outcome.evidence or "not on record: see the log",
        **{f"during the apply: {each.name}": str(each) for each in outcome.availability},
        **{f"seconds: {step}": f"{taken:.1f}" for step, taken in outcome.duration_seconds.items()},
        **(seen.rows() if seen else {}),
    }
    show_markdown(
        f"evidence-{subject.replace('/', '-')}",
        Markdown.table(("", ""), rows.items()),
        Markdown.of("{status}: {plan}", status=outcome.status, plan=_in_short(outcome.plan)),
    )
    emit(subject, str(outcome.status), {"digest": outcome.plan.digest})


def _in_short(plan: Plan) -> Markdown:
    """What a plan does, for the card of an artifact, which has room for some forty characters.

    What is lost comes first.
    """
    counts = [f"{count} {action}" for action, count in plan.counts().items() if count]
    return Markdown.render(", ".join(reversed(counts)) or "nothing to change")


def _approval_rows(outcome: Outcome[Any]) -> dict[str, str]:
    approval = outcome.approval
    if approval is None:
        return {"approval": "nothing to approve"}
    verb = "approved by" if approval.approved else "rejected by"
    rows = {verb: f"{approval.by} ({approval.identity}): {approval.how}"}
    return {**rows, "reason": approval.reason} if approval.reason else rows


def show_drift(drift: Drift) -> None:
    """The event that automations wait for, where something differs."""
    lifecycle.info("%s: %s", drift.subject, drift.message())
    if drift.status is DriftStatus.DRIFTED:
        emit(drift.subject, "drifted", {"digest": drift.plan.digest})


def show_markdown(key: str, text: Markdown, description: Markdown) -> None:
    """One artifact of the run."""
    create_markdown_artifact(text, key=key, description=description)


def show_png(key: str, picture: bytes, description: Markdown) -> None:
    """A picture of the run. Below an image artifact the UI would write its whole address."""
    data = base64.b64encode(picture).decode()
    show_markdown(key, Markdown.of("![](data:image/png;base64,{data})", data=data), description)


def emit(subject: str, what: str, payload: dict[str, Any]) -> None:
    """Emit `xops.<step>.<what>` about a subject. Events inform; evidence is what counts."""
    emit_named(f"xops.{subject.split('/')[0]}.{what}", f"xops.{subject}", subject, payload)


def emit_named(
    event: str, resource: str, name: str, payload: dict[str, Any], identity: UUID | None = None
) -> None:
    """Emit an event about a resource, with an identity of its own if it is to be found again."""
    emit_event(
        event=event,
        resource={"prefect.resource.id": resource, "prefect.resource.name": Plain.render(name)},
        payload=_plain(payload),
        id=identity,
    )


def _plain(value: Any) -> Any:
    """The same JSON with harmless texts."""
    if isinstance(value, Mapping):
        return {Plain.render(str(key)): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return Plain.lines(value) if isinstance(value, str) else value
