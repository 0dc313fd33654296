"""Planning an environment as a pull request would have it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from xops.core.errors import ApprovalRequired, XopsError
from xops.core.evidence.log import RecordKind
from xops.core.lifecycle.approval_policy import VERIFIED_WAYS
from xops.core.lifecycle.gate import Approval, Decision, Gate, Question
from xops.core.lifecycle.steps import Planned, Steps
from xops.core.lifecycle.watching import Watcher
from xops.core.plan.model import Plan
from xops.core.rendering import Markdown
from xops.github.pull_request.api import PullRequestApi
from xops.github.pull_request.facts import Holder, ShownPlan
from xops.github.pull_request.handling.look import Look, told
from xops.github.pull_request.handling.work import Work
from xops.github.pull_request.report import EnvironmentReport, EnvironmentState

logger = logging.getLogger("xops.lifecycle")


def plan(look: Look, name: str) -> Work:
    """Take the lock of an environment and plan it; what is in the way is a report as well.

    Raises:
        TemporaryError: the database does not answer.
    """
    facts, subject = look.facts, look.subject(name)
    shown = look.hub.shown.find(facts.repository, facts.number, subject)
    if holder := _take_lock(look, subject):
        return Work(name, EnvironmentReport(name, EnvironmentState.LOCKED, holder=holder))
    try:
        environment = look.environments.load(name, look.branch)
        _note_policy(look, name)
        watcher = look.run.watch(subject, f"-pull-request-{facts.number}")
        with environment.open(watcher, look.rules.pull_requests.isolation) as steps:
            work = _planned(look, name, KeptPlan(steps), watcher, shown)
        return replace(work, environment=environment)
    except XopsError as error:
        logger.error("%s", error)
        failed = EnvironmentReport(name, EnvironmentState.PLAN_FAILED, reason=told(error))
        return Work(name, failed, shown)


def _planned(
    look: Look, name: str, steps: KeptPlan, watcher: Watcher, shown: ShownPlan | None
) -> Work:
    outcome = look.run.carry_out(
        steps,
        look.environments.slot(name),
        watcher,
        apply=False,
        approve=_ask_nobody,
        delivery=look.delivery,
    )
    plan = outcome.plan
    if plan.is_empty:
        return Work(name, steps.report_applied(name, plan, shown), shown)
    state = EnvironmentState.PLANNED if look.facts.draft else EnvironmentState.WAITING
    found = EnvironmentReport(name, state, plan, evidence=outcome.evidence or "")
    return Work(name, found, shown, steps.find_approval(plan, shown))


def _note_policy(look: Look, name: str) -> None:
    if keys := look.environments.policy_changes(name, look.branch):
        note = Markdown.of(
            "Policy in the file of {name} holds once this is merged: {keys}.",
            name=Markdown.code(name),
            keys=", ".join(keys),
        )
        look.note(note)


# Locks


def _take_lock(look: Look, subject: str) -> Holder | None:
    """Take the lock where the course says so; who else holds it, if that is still open."""
    if not look.course.take_locks:
        return None
    facts, locks = look.facts, look.hub.locks
    mine = (subject, facts.repository, facts.number, facts.head_sha)
    holder = locks.take(*mine, now=datetime.now(UTC))
    if holder is None or _is_open(look, holder):
        return holder
    locks.release_from(holder.subject, holder.repository, holder.number)
    return locks.take(*mine, now=datetime.now(UTC))


def _is_open(look: Look, holder: Holder) -> bool:
    """Whether it still holds it by right: a delivery of its end may have been lost."""
    try:
        found = PullRequestApi(look.hub.client, holder.repository).read(holder.number)
    except XopsError as error:
        logger.warning("whether the holder of %s is open: %s", holder.subject, error)
        return True
    return found.is_open


# What is on record of a plan


class KeptPlan:
    """Steps that keep the plan that was made: an approval may cover it.

    Everything else of them is their own.
    """

    def __init__(self, steps: Steps[Any, Any]) -> None:
        self._steps = steps
        self._planned: Planned | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._steps, name)

    def plan(self) -> Planned:
        """As the steps do."""
        self._planned = self._steps.plan()
        return self._planned

    def find_approval(self, plan: Plan, shown: ShownPlan | None) -> Approval | None:
        """The approval of the plan that was shown, if this one is what is left of it."""
        if shown is None or shown.digest == plan.digest or self._planned is None:
            return None
        gate = Gate(self._steps.log, self._steps.policy, _ask_nobody, way=VERIFIED_WAYS[0])
        try:
            found, _ = gate.find_approval(plan, self._planned.explains)
        except XopsError as error:
            logger.warning("approvals on record: %s", error)
            return None
        return Approval.model_validate(found.body["approval"]) if found else None

    def report_applied(self, name: str, plan: Plan, shown: ShownPlan | None) -> EnvironmentReport:
        """Nothing is left to do: since a run has applied it that could not report it, maybe."""
        unchanged = EnvironmentReport(name, EnvironmentState.UNCHANGED, plan)
        if shown is None or not shown.digest:
            return unchanged
        log = self._steps.log
        with suppress(XopsError):
            for record in log.newest_first(RecordKind.APPLY):
                approval = record.body.get("approval") or {}
                if approval.get("digest") == shown.digest and record.body["status"] == "applied":
                    return replace(
                        unchanged,
                        state=EnvironmentState.APPLIED,
                        evidence=log.address(record),
                        approved_by=tuple(approval["by"].split(", ")),
                    )
        return unchanged


def _ask_nobody(question: Question) -> Sequence[Decision]:
    plan = question.plan
    raise ApprovalRequired(
        f"applying the plan of {plan.subject} ({plan.label})",
        "nobody is asked while it is only planned",
        "Review it on the pull request.",
    )
