"""The order of the steps: what follows what, who is asked, what is recorded and tried again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from xops.core.errors import PermanentError, TemporaryError
from xops.core.lifecycle import steps as lifecycle
from xops.core.lifecycle.gate import Approval
from xops.core.lifecycle.steps import ATTEMPTS, OutcomeStatus, run_lifecycle
from xops.core.plan.model import Action, Change, Plan

CHANGE = Change(action=Action.CREATE, target="a host: a file", after={"mode": "0600"})
OTHER = Change(action=Action.CREATE, target="another host: a file", after={"mode": "0600"})


@dataclass(frozen=True)
class Looked:
    healthy: bool = True

    def rows(self) -> dict[str, str]:
        return {"healthy": str(self.healthy)}


@dataclass(frozen=True)
class Made:
    plan: Plan


@dataclass
class Recorder:
    """Steps that do nothing and note all; also the watcher and the person who approves."""

    changes: tuple[Change, ...] = (CHANGE,)
    policy_says: str | None = None
    approves: bool = True
    fails: dict[str, list[Exception]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    records: list[Mapping[str, Any]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    kind: str = "apply"

    def _called(self, step: str) -> None:
        self.calls.append(step)
        if errors := self.fails.get(step):
            raise errors.pop(0)

    def plan(self) -> Made:
        self._called("plan")
        return Made(Plan(subject="k3s/unit", target="hosts", changes=self.changes))

    def policy(self, plan: Plan) -> Approval | None:
        self._called("policy")
        return Approval(self.policy_says, "policy", plan.digest) if self.policy_says else None

    def apply(self, planned: Made) -> dict[str, Any]:
        self._called(f"apply {planned.plan.label}")
        self._called("apply")
        return {"api": "https://applied"}

    def outputs(self) -> dict[str, Any]:
        self._called("outputs")
        return {"api": "https://found"}

    def verify(self, outputs: Mapping[str, Any]) -> Looked | None:
        self._called(f"verify {outputs['api']}")
        self._called("verify")
        return Looked()

    def record(self, kind: str, digest: str, facts: Mapping[str, Any]) -> str:
        self._called("record")
        self.records.append({"kind": kind, "digest": digest, **facts})
        return f"record {len(self.records)}"

    def plan_ready(self, plan: Plan) -> None:
        self._called("shown")

    def note(self, message: str) -> None:
        self.notes.append(message)

    def approve(self, plan: Plan) -> Approval:
        self._called("asked")
        return Approval("a person", "by hand", plan.digest, approved=self.approves)

    def carried_out(self, *, apply: bool = True) -> lifecycle.Outcome[Looked]:
        return run_lifecycle(self, self.approve, self, apply=apply, sleep=self.slept.append)

    @property
    def order(self) -> list[str]:
        return [call for call in self.calls if " " not in call]


def busy(after: float = 3.0) -> TemporaryError:
    return TemporaryError("applying", "the host is busy", "Wait.", retry_after=after)


def broken() -> PermanentError:
    return PermanentError("applying", "the disk is full", "Free some.")


def label(*changes: Change) -> str:
    return Plan(subject="k3s/unit", target="hosts", changes=changes).label


def test_unless_told_to_apply_it_is_a_plan() -> None:
    steps = Recorder()
    outcome = steps.carried_out(apply=False)

    assert steps.calls == ["plan", "shown"]
    assert (outcome.status, outcome.approval, outcome.evidence) == (
        OutcomeStatus.PLANNED,
        None,
        None,
    )
    assert list(outcome.duration_seconds) == ["plan"]


def test_a_plan_is_shown_before_anybody_is_asked_and_approved_before_it_is_applied() -> None:
    steps = Recorder()
    outcome = steps.carried_out()

    assert steps.order == ["plan", "shown", "policy", "asked", "apply", "verify", "record"]
    assert f"apply {label(CHANGE)}" in steps.calls
    assert "verify https://applied" in steps.calls
    assert outcome.status is OutcomeStatus.APPLIED
    assert outcome.approval == Approval("a person", "by hand", outcome.plan.digest)
    assert outcome.outputs == {"api": "https://applied"}
    assert outcome.verification == Looked()
    assert outcome.evidence == "record 1"
    assert list(outcome.duration_seconds) == ["plan", "apply", "verify"]


def test_what_the_policy_lets_pass_asks_nobody() -> None:
    steps = Recorder(policy_says="the policy")
    outcome = steps.carried_out()

    assert "asked" not in steps.calls
    assert outcome.approval is not None
    assert outcome.approval.by == "the policy"


def test_what_a_person_rejects_is_not_applied() -> None:
    steps = Recorder(approves=False)
    outcome = steps.carried_out()

    assert steps.order == ["plan", "shown", "policy", "asked"]
    assert outcome.status is OutcomeStatus.REJECTED


def test_with_nothing_to_change_it_is_verified_all_the_same() -> None:
    steps = Recorder(changes=())
    outcome = steps.carried_out()

    assert steps.order == ["plan", "shown", "outputs", "verify", "record"]
    assert "verify https://found" in steps.calls
    assert (outcome.status, outcome.approval) == (OutcomeStatus.UNCHANGED, None)


def test_the_record_is_bound_to_the_digest_and_says_all() -> None:
    steps = Recorder(kind="destroy")
    outcome = steps.carried_out()

    (record,) = steps.records
    assert (record["kind"], record["digest"]) == ("destroy", outcome.plan.digest)
    assert record["status"] == "applied"
    assert record["plan"]["digest"] == outcome.plan.digest
    assert record["approval"]["by"] == "a person"
    assert record["verification"] == {"healthy": True}
    assert set(record["duration_seconds"]) == {"plan", "apply", "verify"}
    assert json.loads(json.dumps(outcome.to_json())) == outcome.to_json()


# Failures


@pytest.mark.parametrize("step", ["apply", "verify"])
def test_a_failure_is_recorded_and_raised(step: str) -> None:
    steps = Recorder(fails={step: [broken()]})
    with pytest.raises(PermanentError, match="the disk is full"):
        steps.carried_out()

    (record,) = steps.records
    assert (record["status"], record["error"]["error"]) == ("failed", "PermanentError")
    assert record["approval"]["by"] == "a person"
    assert steps.notes == ["evidence of the failure: record 1"]
    assert steps.slept == []


@pytest.mark.parametrize("step", ["plan", "asked"])
def test_before_anything_was_touched_there_is_nothing_to_record(step: str) -> None:
    steps = Recorder(fails={step: [broken()]})
    with pytest.raises(PermanentError):
        steps.carried_out()

    assert steps.records == []


def test_a_defect_is_not_dressed_up_as_a_failure() -> None:
    steps = Recorder(fails={"apply": [ZeroDivisionError()]})
    with pytest.raises(ZeroDivisionError):
        steps.carried_out()

    assert steps.records == []


# Trying again


@pytest.mark.parametrize("step", ["plan", "apply", "verify"])
def test_what_is_temporary_is_waited_out_and_planned_anew(step: str) -> None:
    steps = Recorder(fails={step: [busy(3.0), busy(4.0)]})
    outcome = steps.carried_out()

    assert outcome.status is OutcomeStatus.APPLIED
    assert steps.slept == [3.0, 4.0]
    assert steps.order.count("plan") == 3
    assert [note for note in steps.notes if "trying again in 3 s" in note]


def test_it_is_given_up_after_some_attempts() -> None:
    steps = Recorder(fails={"apply": [busy() for _ in range(9)]})
    with pytest.raises(TemporaryError):
        steps.carried_out()

    assert steps.order.count("plan") == ATTEMPTS
    assert len(steps.slept) == ATTEMPTS - 1
    assert len(steps.records) == ATTEMPTS


def test_a_plan_that_has_become_another_is_approved_anew() -> None:
    """The approval is of a digest; it does not carry over to what came out later."""
    steps = Recorder(fails={"apply": [busy()]})
    seen: list[str] = []

    def approve(plan: Plan) -> Approval:
        seen.append(plan.label)
        steps.changes = (CHANGE, OTHER)
        return steps.approve(plan)

    outcome = run_lifecycle(steps, approve, steps, apply=True, sleep=steps.slept.append)

    assert seen == [label(CHANGE), label(CHANGE, OTHER)]
    assert [call for call in steps.calls if call.startswith("apply ")] == [
        f"apply {label(CHANGE)}",
        f"apply {label(CHANGE, OTHER)}",
    ]
    assert outcome.approval is not None
    assert outcome.approval.digest == outcome.plan.digest
