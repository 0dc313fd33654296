"""The order of the steps: facts -> plan -> gate -> apply -> verify -> record.

`carry_out` is the same for the Prefect flows and for the shell; who approves, and how progress is
shown, is the caller's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

from xops.core.errors import PermanentError, TemporaryError, XopsError
from xops.core.plan import Plan
from xops.ecs.environment import Environment
from xops.ecs.services import ServiceState
from xops.ecs.stream1 import Planned, Stream1, Verification
from xops.ecs.terraform_events import Progress, ProgressHandler

ATTEMPTS = 3
"""How often a change is planned anew after a temporary error before it is given up."""


class Status(StrEnum):
    """How a request ended."""

    PLANNED = "planned"
    UNCHANGED = "unchanged"
    APPLIED = "applied"
    REJECTED = "rejected"


@dataclass(frozen=True)
class Approval:
    """Who let a plan pass: `by` names a person or the policy, `digest` the plan they saw."""

    by: str
    how: str
    digest: str
    approved: bool = True
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a request ended, for people and for `--json`."""

    status: Status
    environment: str
    target: str
    plan: Plan
    approval: Approval | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    verification: Verification | None = None
    evidence: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON values only; the plan carries its digest."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["plan"] = self.plan.model_dump(mode="json")
        for name in ("approval", "verification"):
            values[name] = asdict(values[name]) if values[name] else None
        values["seconds"] = {step: round(taken, 2) for step, taken in self.seconds.items()}
        return {**values, "outputs": dict(self.outputs)}


class Watcher(Protocol):
    """Who is shown what happens while it happens."""

    def plan_ready(self, plan: Plan) -> None:
        """A plan was made; nothing was changed yet."""

    def progress(self, progress: Progress) -> None:
        """Terraform has started or finished something."""

    def services(self, states: Sequence[ServiceState]) -> None:
        """The services were looked at."""

    def note(self, message: str) -> None:
        """Something worth a line happened."""


Approver = Callable[[Plan], Approval]


class Steps(Protocol):
    """The steps that `carry_out` puts in order; `Stream1`, or tasks around it."""

    @property
    def environment(self) -> Environment:
        """Whose stack."""
        ...

    def plan(self, *, destroy: bool, on_progress: ProgressHandler) -> Planned:
        """Read the facts and plan."""
        ...

    def apply(self, planned: Planned, on_progress: ProgressHandler) -> dict[str, Any]:
        """Apply exactly this plan; the outputs."""
        ...

    def verify(
        self,
        outputs: Mapping[str, Any],
        on_progress: Callable[[Sequence[ServiceState]], None],
    ) -> Verification:
        """Look at the outcome from outside."""
        ...

    def outputs(self) -> dict[str, Any]:
        """The outputs as they are now."""
        ...

    def record(self, kind: str, digest: str, facts: Mapping[str, Any]) -> str:
        """Keep the evidence; its address."""
        ...


def carry_out(
    steps: Steps,
    approve: Approver,
    watcher: Watcher,
    *,
    apply: bool,
    destroy: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Plan, and with `apply` bring it about: gate, apply, verify, record.

    A temporary error is waited out and everything is planned again from live facts, `ATTEMPTS`
    times in all; a plan that comes out differently is approved anew.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _attempt(steps, approve, watcher, apply=apply, destroy=destroy)
        except TemporaryError as error:
            if attempt == ATTEMPTS:
                raise
            watcher.note(f"{error}\n  trying again in {error.retry_after:.0f} s")
            sleep(error.retry_after)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _attempt(
    steps: Steps, approve: Approver, watcher: Watcher, *, apply: bool, destroy: bool
) -> Outcome:
    seconds: dict[str, float] = {}
    environment = steps.environment
    if destroy:
        _refuse_protected(environment)
    with _timed(seconds, "plan"):
        planned = steps.plan(destroy=destroy, on_progress=watcher.progress)
    plan = planned.plan
    watcher.plan_ready(plan)
    outcome = Outcome(
        Status.PLANNED, environment.name, str(environment.target), plan, seconds=seconds
    )
    if not apply:
        return outcome
    if not plan.is_empty:
        outcome = replace(outcome, approval=_gate(environment, plan, approve))
        if outcome.approval and not outcome.approval.approved:
            return replace(outcome, status=Status.REJECTED)
    kind = "destroy" if destroy else "apply"
    try:
        outcome = _bring_about(steps, planned, outcome, watcher, destroy=destroy)
    except XopsError as error:
        facts = {**outcome.to_json(), "status": "failed", "error": error.to_json()}
        watcher.note(f"evidence of the failure: {steps.record(kind, plan.digest, facts)}")
        raise
    return replace(outcome, evidence=steps.record(kind, plan.digest, outcome.to_json()))


def _bring_about(
    steps: Steps, planned: Planned, outcome: Outcome, watcher: Watcher, *, destroy: bool
) -> Outcome:
    seconds: dict[str, float] = dict(outcome.seconds)
    nothing = planned.plan.is_empty
    with _timed(seconds, "apply"):
        outputs = steps.outputs() if nothing else steps.apply(planned, watcher.progress)
    verification = None
    if not destroy:
        with _timed(seconds, "verify"):
            verification = steps.verify(outputs, watcher.services)
    return replace(
        outcome,
        status=Status.UNCHANGED if nothing else Status.APPLIED,
        outputs=outputs,
        verification=verification,
        seconds=seconds,
    )


def _gate(environment: Environment, plan: Plan, approve: Approver) -> Approval:
    if not environment.approval.needed(plan):
        by = f"policy of deployments/environments/{environment.name}.yaml"
        return Approval(by, "approval.required_for does not name these changes", plan.digest)
    return approve(plan)


def _refuse_protected(environment: Environment) -> None:
    if environment.deletion_protection:
        raise PermanentError(
            f"destroying {environment.subject}",
            "deletion_protection is true in its environment file",
            "If its data may really go, set it to false there, apply that, then destroy;"
            " in prod and peak it cannot be set to false: see docs/runbooks/destroy-protected.md.",
        )


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[step] = time.monotonic() - started


class DriftStatus(StrEnum):
    """How the environment compares with its configuration."""

    IN_SYNC = "in_sync"
    DRIFTED = "drifted"
    NOT_PROVISIONED = "not_provisioned"


@dataclass(frozen=True)
class Drift:
    """What an apply would change now. Nothing is compared where nothing was ever applied."""

    status: DriftStatus
    environment: str
    target: str
    plan: Plan
    evidence: str | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "plan": self.plan.model_dump(mode="json")}


def detect_drift(stream: Stream1, watcher: Watcher) -> Drift:
    """Plan only, and keep a record of what differs."""
    planned = stream.plan(on_progress=watcher.progress)
    if not stream.terraform.state_list():
        status = DriftStatus.NOT_PROVISIONED
    else:
        status = DriftStatus.IN_SYNC if planned.plan.is_empty else DriftStatus.DRIFTED
    planned.saved.path.unlink()
    environment = stream.environment
    drift = Drift(status, environment.name, str(environment.target), planned.plan)
    if status is DriftStatus.NOT_PROVISIONED:
        return drift
    watcher.plan_ready(planned.plan)
    return replace(drift, evidence=stream.record("drift", planned.plan.digest, drift.to_json()))
