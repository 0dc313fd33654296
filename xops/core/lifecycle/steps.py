"""The order of every step that changes something: plan -> gate -> apply -> verify -> record.

`run_lifecycle` is the same for all steps, for the Prefect flows and for the shell; who approves,
and how progress is shown, is the caller's. What is about to be done is on record before it is done,
and how it ended afterwards, however it ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import Field, asdict, dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Any, ClassVar, Protocol

from xops.core.errors import (
    ApprovalRequired,
    NotRecordedError,
    PermanentError,
    StalePlanError,
    TemporaryError,
    XopsError,
)
from xops.core.evidence.log import EvidenceLog, Record, RecordKind
from xops.core.lifecycle.gate import Approval, Approver, Gate, PolicyInForce, not_recorded
from xops.core.lifecycle.probes import Availability, Probe, watch_availability
from xops.core.lifecycle.runs import RunEnd, close_ended, how_command_ended
from xops.core.lifecycle.watching import Watcher
from xops.core.plan.model import Plan
from xops.core.plan.values import Json

ATTEMPTS = 3
"""How often a change that may be repeated is planned anew after a temporary error."""


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
    availability: Sequence[Availability] = ()
    evidence: str | None = None
    duration_seconds: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON values only; the plan carries its digest."""
        durations = self.duration_seconds.items()
        return {
            "status": str(self.status),
            "subject": self.subject,
            "target": self.target,
            "plan": self.plan.model_dump(mode="json"),
            "approval": self.approval.model_dump(mode="json") if self.approval else None,
            "outputs": dict(self.outputs),
            "verification": asdict(self.verification) if self.verification else None,
            "availability": [seen.to_json() for seen in self.availability],
            "evidence": self.evidence,
            "duration_seconds": {step: round(taken, 2) for step, taken in durations},
        }

    def message(self) -> str:
        """One line: what became of it, and by whose decision."""
        by = f" by {self.approval.by}" if self.approval else ""
        said = {
            OutcomeStatus.PLANNED: f"planned, nothing was changed: {self.plan.summary()}",
            OutcomeStatus.UNCHANGED: f"unchanged: {self.plan.summary()}",
            OutcomeStatus.APPLIED: f"applied: {self.plan.summary()}, approved{by}",
            OutcomeStatus.REJECTED: f"rejected{by}: {self.plan.summary()}",
        }[self.status]
        reason = self.approval.reason if self.approval else ""
        return f"{said}: {reason}" if reason else said


class Planned(Protocol):
    """A step's own plan; what a person sees of it is `plan`."""

    @property
    def plan(self) -> Plan:
        """The changes and their digest."""
        ...

    def explains(self, references: tuple[str, ...], value: Json) -> bool:
        """Whether a value is one that these references have by now (`xops.core.plan.coverage`)."""
        ...


class Steps[PlanT: Planned, VerificationT: Verification](Protocol):
    """The steps that `run_lifecycle` puts in order."""

    @property
    def attempts(self) -> int:
        """How often it is planned after temporary errors; 1 where a repeat is not harmless."""
        ...

    @property
    def settles(self) -> bool:
        """Whether another plan after the last stage shows that nothing is left."""
        ...

    @property
    def kind(self) -> RecordKind:
        """What the record of an outcome is: `apply` or `destroy`."""
        ...

    @property
    def log(self) -> EvidenceLog:
        """The records about the subject."""
        ...

    @property
    def policy(self) -> PolicyInForce:
        """Which plans wait for a person, by which file."""
        ...

    def facts(self) -> dict[str, Any]:
        """What every record says about who acts and where."""
        ...

    def plan(self) -> PlanT:
        """Read the facts and plan; changes nothing.

        Raises:
            PermanentError: what was asked for is refused whatever the plan would be.
        """
        ...

    def makes_evidence_store(self, planned: PlanT) -> bool:
        """Whether records must wait because this very plan makes what will hold them."""
        ...

    def apply(self, planned: PlanT, stage: str) -> dict[str, Any]:
        """Apply one stage of exactly this plan; the outputs.

        Raises:
            TemporaryError: also where the facts have changed since; it is then planned anew.
        """
        ...

    def outputs(self) -> dict[str, Any]:
        """The outputs as they are now, where there is nothing to apply."""
        ...

    def probes(self) -> Sequence[Probe]:
        """What is looked at from outside while it is applied."""
        ...

    def verify(self, outputs: Mapping[str, Any]) -> VerificationT | None:
        """Look at the outcome from outside; None where nothing is left to look at."""
        ...


class UnsettledError(PermanentError):
    """A stage was applied, and planning again shows that something of it is still to be done."""


def run_lifecycle[PlanT: Planned, VerificationT: Verification](
    steps: Steps[PlanT, VerificationT],
    approve: Approver,
    watcher: Watcher,
    *,
    apply: bool,
    run: dict[str, Any],
    how_ended: RunEnd = how_command_ended,
    author: str | None = None,
    way: str = "",
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome[VerificationT]:
    """Plan, and with `apply` bring it about: gate, apply, verify, record.

    A temporary error is waited out and everything is planned again from live facts, as often as the
    steps allow; what is left of an approved plan needs no second approval.

    Args:
        steps: of one subject.
        approve: asks a person.
        watcher: is shown what happens.
        apply: whether more than a plan is asked for.
        run: which run this is, for the records.
        how_ended: tells how other runs have ended, whose records are open.
        author: whose change it is, where that is known and verified.
        way: how `approve` hears of decisions, as `Gate.way`.
        sleep: waits.
    """
    cause: TemporaryError | None = None
    changed = False
    for attempt in range(1, steps.attempts + 1):
        gate_of = partial(Gate, approver=approve, run=run, author=author, way=way)
        one = _Attempt(steps, gate_of, watcher, run, how_ended, changed=changed)
        try:
            return one.carry_out(apply=apply)
        except TemporaryError as error:
            if attempt == steps.attempts:
                raise
            cause = error
            changed = one.changed
            watcher.note(f"{error}\n  trying again in {error.retry_after:.0f} s")
            sleep(error.retry_after)
        except ApprovalRequired as error:
            if cause is None:
                raise
            found = f"{error.found}. It is asked for again after: {cause.attempted}: {cause.found}"
            raise ApprovalRequired(error.attempted, found, error.remedy) from cause
    raise AssertionError("unreachable: the last attempt returns or raises")


class _Attempt[PlanT: Planned, VerificationT: Verification]:
    """One way from live facts to an outcome, with its records."""

    def __init__(
        self,
        steps: Steps[PlanT, VerificationT],
        gate_of: Callable[..., Gate],
        watcher: Watcher,
        run: dict[str, Any],
        how_ended: RunEnd,
        *,
        changed: bool,
    ) -> None:
        self.changed = changed  # whether this run may have changed something, now or before
        self._steps, self._watcher, self._run, self._gate_of = steps, watcher, run, gate_of
        self._how_ended = how_ended
        self._log = steps.log
        self._seconds: dict[str, float] = {}
        self._intents: list[Record] = []
        self._done: list[str] = []

    def carry_out(self, *, apply: bool) -> Outcome[VerificationT]:
        """Plan; with `apply` all that follows."""
        seen = self._read_log(required=apply)
        try:
            planned = self._plan()
        except XopsError as error:
            if apply and error.is_refusal:
                self._record_refusal(error)
            raise
        plan = planned.plan
        self._close_ended(plan)
        outcome: Outcome[VerificationT] = Outcome(
            OutcomeStatus.PLANNED, plan.subject, plan.target, plan, duration_seconds=self._seconds
        )
        if not apply:
            return replace(outcome, evidence=self._record_plan(planned))
        if plan.is_empty:
            return self._end(self._look(outcome))
        gate = self._gate_of(
            log=self._log,
            policy=self._steps.policy,
            may_wait=self._steps.makes_evidence_store(planned),
        )
        approval = self._pass(gate, planned)
        outcome = replace(outcome, approval=approval)
        if not approval.approved:
            rejected = self._log.address(gate.used) if gate.used else None
            return replace(outcome, status=OutcomeStatus.REJECTED, evidence=rejected)
        return self._bring_about(outcome, planned, gate, seen)

    def _read_log(self, *, required: bool) -> Record | None:
        """Bring in what waits; the last record, without which there is no apply."""
        try:
            for record in self._log.store_waiting():
                self._watcher.note(f"brought into the evidence: {self._log.address(record)}")
        except XopsError as error:
            self._watcher.note(f"records wait for the evidence store still: {error}")
        try:
            return self._log.last()
        except XopsError as error:
            attempted = f"reading the evidence of {self._log.subject}; nothing was changed"
            if required:
                raise NotRecordedError(attempted, str(error.found), error.remedy) from error
            self._watcher.note(str(error))
            return None

    def _close_ended(self, plan: Plan) -> None:
        """Close what runs have left open that ended without a word. It is nobody's condition."""
        try:
            for record in close_ended(self._log, self._how_ended, f"now: {plan.summary()}"):
                self._watcher.note(
                    f"{record.body['kind_closed']} of an earlier run: {record.body['found']}"
                )
        except XopsError as error:
            self._watcher.note(f"records of earlier runs stay open: {error}")

    def _plan(self) -> PlanT:
        with self._timed("plan"):
            planned = self._steps.plan()
        self._watcher.plan_ready(planned.plan)
        return planned

    def _record_plan(self, planned: PlanT) -> str | None:
        """That it was shown: a digest's first characters are taken for a plan on record only."""
        kind, digest, body = RecordKind.PLAN, planned.plan.digest, self._body(planned.plan)
        try:
            if self._steps.makes_evidence_store(planned):
                return self._log.wait(kind, digest, body)[1]
            return self._log.address(self._log.append(kind, digest, body))
        except XopsError as error:
            self._watcher.note(f"the plan is not on record: {error}")
            return None

    def _pass(self, gate: Gate, planned: PlanT) -> Approval:
        return gate.pass_plan(_approved_at_once(planned.plan, gate), planned.explains)

    # Apply, verify, record

    def _bring_about(
        self, outcome: Outcome[VerificationT], planned: PlanT, gate: Gate, seen: Record | None
    ) -> Outcome[VerificationT]:
        with watch_availability(self._steps.probes()) as availability:
            outcome = replace(outcome, availability=availability)
            try:
                outputs = self._apply_stages(planned, gate, seen, outcome.approval)
                verified = self._verify(replace(outcome, outputs=outputs))
            except BaseException as error:
                # A cancelled run must leave a true record too, whatever it is cancelled with.
                if self._intents:
                    self._record_failure(outcome, error)
                raise
        return self._end(replace(verified, status=OutcomeStatus.APPLIED))

    def _apply_stages(
        self, planned: PlanT, gate: Gate, seen: Record | None, approval: Approval | None
    ) -> dict[str, Any]:
        """One stage after the other, each from live facts; the outputs of the last."""
        while True:
            stage = planned.plan.stages[0]
            if stage in self._done:
                raise _unsettled(planned.plan, stage)
            part = _approved_at_once(planned.plan, gate)
            self._record_intent(part, stage, gate, seen, approval)
            with self._timed("apply"):
                outputs = self._steps.apply(planned, stage)
            self._done.append(stage)
            if not (planned.plan.stages[1:] or self._steps.settles):
                return outputs
            gate.may_wait = False  # what holds the records was made by now, if it was missing
            seen = self._read_log(required=True)
            planned = self._plan()
            if planned.plan.is_empty:
                return self._steps.outputs()
            approval = self._pass(gate, planned)
            if not approval.approved:
                raise PermanentError(
                    f"applying what is left of {planned.plan.subject}",
                    f"rejected by {approval.by}: {approval.reason or 'no reason was given'}",
                    "What was done stays done; `plan` shows what is left.",
                )

    def _record_intent(
        self,
        plan: Plan,
        stage: str,
        gate: Gate,
        seen: Record | None,
        approval: Approval | None,
    ) -> None:
        body = self._body(plan) | {"stage": stage}
        body["approval"] = approval.model_dump(mode="json") if approval else None
        closes = [record.id for record in self._intents]
        try:
            intent = self._log.append(
                RecordKind.INTENT,
                plan.digest,
                body,
                opens=True,
                closes=closes,
                guard=gate.may_still(seen),
            )
        except StalePlanError:
            raise
        except XopsError as error:
            if not gate.may_wait:
                raise not_recorded(RecordKind.INTENT, plan, error) from error
            intent = self._log.wait(RecordKind.INTENT, plan.digest, body, opens=True)[0]
        self._intents.append(intent)

    def _record_refusal(self, error: XopsError) -> None:
        """That an apply was asked for which no plan can bring about, without a plan's digest.

        It is a refusal only if no earlier attempt of this run has changed something.
        """
        kind = self._steps.kind if self.changed else RecordKind.REFUSED
        body = {
            **self._steps.facts(),
            "run": self._run,
            "policy": self._steps.policy.provenance.to_json(),
            "subject": self._log.subject,
            "status": "failed" if self.changed else "refused",
            "error": _error_json(error),
        }
        try:
            record = self._log.append(kind, "", body)
        except XopsError as second:
            self._watcher.note(f"the refusal is not on record: {second}")
            return
        self._watcher.note(f"evidence of the refusal: {self._log.address(record)}")

    def _look(self, outcome: Outcome[VerificationT]) -> Outcome[VerificationT]:
        """Nothing is to be changed: the outputs as they are, verified all the same."""
        outputs = self._steps.outputs()
        return self._verify(replace(outcome, status=OutcomeStatus.UNCHANGED, outputs=outputs))

    def _verify(self, outcome: Outcome[VerificationT]) -> Outcome[VerificationT]:
        with self._timed("verify"):
            verification = self._steps.verify(outcome.outputs)
        return replace(outcome, verification=verification)

    def _record_failure(self, outcome: Outcome[VerificationT], error: BaseException) -> None:
        refused = isinstance(error, XopsError) and error.is_refusal
        self.changed = self.changed or bool(self._done) or not refused
        if not self.changed:
            kind, status, said = RecordKind.REFUSED, "refused", "refusal"
        else:
            status = "failed" if isinstance(error, Exception) else "interrupted"
            kind, said = self._steps.kind, "failure"
        facts = {**outcome.to_json(), "status": status, "error": _error_json(error)}
        address = self._record_outcome(kind, outcome, facts, closes=self._own())
        self._watcher.note(f"evidence of the {said}: {address}")

    def _end(self, outcome: Outcome[VerificationT]) -> Outcome[VerificationT]:
        """Record the outcome: nothing is left to be done, so every intent and approval ends."""
        opened = (RecordKind.INTENT, RecordKind.APPROVAL, RecordKind.QUESTION)
        closes = [record.id for record in self._find_open(*opened)]
        ended = [*self._own(), *closes]
        address = self._record_outcome(self._steps.kind, outcome, outcome.to_json(), closes=ended)
        return replace(outcome, evidence=address)

    def _record_outcome(
        self,
        kind: RecordKind,
        outcome: Outcome[VerificationT],
        facts: Mapping[str, Any],
        *,
        closes: Sequence[str],
    ) -> str | None:
        """Its address. A store that fails never hides the outcome: the record waits."""
        digest = outcome.plan.digest
        body = self._body(outcome.plan) | dict(facts)
        closes = list(dict.fromkeys(closes))
        try:
            return self._log.address(self._log.append(kind, digest, body, closes=closes))
        except XopsError as error:
            try:
                waits = self._log.wait(kind, digest, body, closes=closes)[1]
            except XopsError as second:
                self._watcher.note(f"the outcome is not on record: {error}\n  {second}")
                return None
            self._watcher.note(f"the outcome waits in {waits}; the next run brings it in: {error}")
            return waits

    def _own(self) -> list[str]:
        return [record.id for record in self._intents]

    def _find_open(self, *kinds: RecordKind) -> list[Record]:
        try:
            return self._log.find_open(*kinds)
        except XopsError:
            return []  # the record that is to close them will say what is wrong

    def _body(self, plan: Plan) -> dict[str, Any]:
        return {
            **self._steps.facts(),
            "plan": plan.model_dump(mode="json"),
            "run": self._run,
            "policy": self._steps.policy.provenance.to_json(),
        }

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        taken = time.monotonic() - started
        self._seconds[step] = self._seconds.get(step, 0.0) + taken


def _approved_at_once(plan: Plan, gate: Gate) -> Plan:
    """What one approval is asked for: all of it, or by policy the stage that is next."""
    return plan.of_stage(plan.stages[0]) if gate.policy.rules.each_stage else plan


def _error_json(error: BaseException) -> dict[str, Any]:
    if isinstance(error, XopsError):
        return error.to_json()
    return {"error": type(error).__name__, "found": str(error)}


def _unsettled(plan: Plan, stage: str) -> UnsettledError:
    targets = ", ".join(change.target for change in plan.changes if change.stage == stage)
    where = f" ({stage})" if stage else ""
    return UnsettledError(
        f"looking at {plan.subject}{where} after the apply",
        f"this still differs: {targets}",
        "Find out what else changes it, then run it again.",
    )
