"""The order of every step that changes something: plan -> gate -> apply -> verify -> record.

`run_lifecycle` is the same for all steps, for the Prefect flows and for the shell; who approves,
and how progress is shown, is the caller's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import Field, asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from xops.core.errors import TemporaryError, XopsError
from xops.core.lifecycle.gate import Approval, Approver
from xops.core.lifecycle.watching import Watcher
from xops.core.plan.model import Plan

ATTEMPTS = 3
"""How often a change is planned anew after a temporary error before it is given up."""


class OutcomeStatus(StrEnum):
    """How a request ended."""

    PLANNED = "planned"
    UNCHANGED = "unchanged"
    APPLIED = "applied"
    REJECTED = "rejected"


class Verification(Protocol):
    """What was seen from outside after an apply; a dataclass of each step's own."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def rows(self) -> dict[str, str]:
        """What was seen, as a person reads it: a line for each thing looked at."""
        ...


@dataclass(frozen=True)
class Outcome[VerificationT: Verification]:
    """How a request ended, for people and for `--json`."""

    status: OutcomeStatus
    subject: str
    target: str
    plan: Plan
    approval: Approval | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    verification: VerificationT | None = None
    evidence: str | None = None
    duration_seconds: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON values only; the plan carries its digest."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["plan"] = self.plan.model_dump(mode="json")
        for name in ("approval", "verification"):
            values[name] = asdict(values[name]) if values[name] else None
        durations = self.duration_seconds.items()
        values["duration_seconds"] = {step: round(taken, 2) for step, taken in durations}
        return {**values, "outputs": dict(self.outputs)}


class Planned(Protocol):
    """A step's own plan; what a person sees of it is `plan`."""

    @property
    def plan(self) -> Plan:
        """The changes and their digest."""
        ...


class Steps[PlanT: Planned, VerificationT: Verification](Protocol):
    """The steps that `run_lifecycle` puts in order."""

    @property
    def kind(self) -> str:
        """What the record is called: `apply` or `destroy`."""
        ...

    def plan(self) -> PlanT:
        """Read the facts and plan; changes nothing.

        Raises:
            PermanentError: what was asked for is refused whatever the plan would be.
        """
        ...

    def policy(self, plan: Plan) -> Approval | None:
        """The approval that the policy gives by itself; None if a person must decide."""
        ...

    def apply(self, planned: PlanT) -> dict[str, Any]:
        """Apply exactly this plan; the outputs.

        Raises:
            TemporaryError: also where the facts have changed since; it is then planned anew.
        """
        ...

    def outputs(self) -> dict[str, Any]:
        """The outputs as they are now, where there is nothing to apply."""
        ...

    def verify(self, outputs: Mapping[str, Any]) -> VerificationT | None:
        """Look at the outcome from outside; None where nothing is left to look at."""
        ...

    def record(self, kind: str, digest: str, facts: Mapping[str, Any]) -> str:
        """Keep the evidence; its address."""
        ...


def run_lifecycle[PlanT: Planned, VerificationT: Verification](
    steps: Steps[PlanT, VerificationT],
    approve: Approver,
    watcher: Watcher,
    *,
    apply: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome[VerificationT]:
    """Plan, and with `apply` bring it about: gate, apply, verify, record.

    A temporary error is waited out and everything is planned again from live facts, `ATTEMPTS`
    times in all; a plan that comes out differently is approved anew.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _attempt(steps, approve, watcher, apply=apply)
        except TemporaryError as error:
            if attempt == ATTEMPTS:
                raise
            watcher.note(f"{error}\n  trying again in {error.retry_after:.0f} s")
            sleep(error.retry_after)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _attempt[PlanT: Planned, VerificationT: Verification](
    steps: Steps[PlanT, VerificationT], approve: Approver, watcher: Watcher, *, apply: bool
) -> Outcome[VerificationT]:
    seconds: dict[str, float] = {}
    with _timed(seconds, "plan"):
        planned = steps.plan()
    plan = planned.plan
    watcher.plan_ready(plan)
    outcome: Outcome[VerificationT] = Outcome(
        OutcomeStatus.PLANNED, plan.subject, plan.target, plan, duration_seconds=seconds
    )
    if not apply:
        return outcome
    if not plan.is_empty:
        outcome = replace(outcome, approval=steps.policy(plan) or approve(plan))
        if outcome.approval and not outcome.approval.approved:
            return replace(outcome, status=OutcomeStatus.REJECTED)
    try:
        outcome = _bring_about(steps, planned, outcome)
    except XopsError as error:
        facts = {**outcome.to_json(), "status": "failed", "error": error.to_json()}
        watcher.note(f"evidence of the failure: {steps.record(steps.kind, plan.digest, facts)}")
        raise
    return replace(outcome, evidence=steps.record(steps.kind, plan.digest, outcome.to_json()))


def _bring_about[PlanT: Planned, VerificationT: Verification](
    steps: Steps[PlanT, VerificationT], planned: PlanT, outcome: Outcome[VerificationT]
) -> Outcome[VerificationT]:
    seconds: dict[str, float] = dict(outcome.duration_seconds)
    nothing = planned.plan.is_empty
    with _timed(seconds, "apply"):
        outputs = steps.outputs() if nothing else steps.apply(planned)
    with _timed(seconds, "verify"):
        verification = steps.verify(outputs)
    return replace(
        outcome,
        status=OutcomeStatus.UNCHANGED if nothing else OutcomeStatus.APPLIED,
        outputs=outputs,
        verification=verification,
        duration_seconds=seconds,
    )


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[step] = time.monotonic() - started
