"""The order of the steps: what follows what, who is asked, what is on record and tried again."""

import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from psutil import Process

from tests.stores import MemoryStore, denied
from xops.core.errors import (
    ApprovalRequired,
    ExitCode,
    NotRecordedError,
    PermanentError,
    StalePlanError,
    TemporaryError,
)
from xops.core.evidence.log import EvidenceLog, Record, RecordKind, verify_chain
from xops.core.evidence.waiting import WaitingFolder
from xops.core.files.provenance import Provenance
from xops.core.lifecycle import steps as lifecycle
from xops.core.lifecycle.approval_policy import ApprovalPolicy
from xops.core.lifecycle.drift import DriftStatus, detect_drift
from xops.core.lifecycle.gate import Approval, Decision, IdentityKind, PolicyInForce, Question
from xops.core.lifecycle.probes import Availability, Probe
from xops.core.lifecycle.runs import close_ended, how_command_ended
from xops.core.lifecycle.steps import ATTEMPTS, OutcomeStatus, UnsettledError, run_lifecycle
from xops.core.lifecycle.watching import Progress
from xops.core.money import Money
from xops.core.plan.cost import CostEffect, CostRange
from xops.core.plan.model import Action, Change, Plan
from xops.core.plan.values import Json, unknown

CHANGE = Change(action=Action.CREATE, target="a host: a file", after={"mode": "0600"})
OTHER = Change(action=Action.CREATE, target="another host: a file", after={"mode": "0600"})
FIRST = CHANGE.model_copy(update={"stage": "servers"})
SECOND = OTHER.model_copy(update={"stage": "agents"})
RUN = {"by": "command", "pid": 1}
NOON = datetime(2026, 3, 11, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Looked:
    healthy: bool = True

    def rows(self) -> dict[str, str]:
        return {"healthy": str(self.healthy)}


@dataclass(frozen=True)
class Made:
    plan: Plan

    def explains(self, references: tuple[str, ...], value: Json) -> bool:
        return (references, value) == (("a host",), "made")


@dataclass
class UnreadableStore(MemoryStore):
    """A store that can stop to give what it holds."""

    closed: bool = False

    def keys(self, prefix: str) -> list[str]:
        if self.closed:
            raise denied()
        return super().keys(prefix)


@dataclass
class Recorder:
    """Steps whose facts are a list of changes, of which an apply does those of one stage.

    It notes all; also the watcher and the person who approves.
    """

    attempts: ClassVar[int] = ATTEMPTS
    settles: bool = False
    changes: tuple[Change, ...] = (CHANGE,)
    cost: CostEffect | None = None
    rules: ApprovalPolicy = ApprovalPolicy()  # noqa: RUF009 - frozen
    approves: bool = True
    makes_store: bool = False
    provisioned: bool = True
    waiting: Path | None = None
    fails: dict[str, list[BaseException]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    store: MemoryStore = field(default_factory=MemoryStore)
    kind: RecordKind = RecordKind.APPLY
    looks: Sequence[Probe] = ()
    on_apply: Callable[[], None] = lambda: None

    def _called(self, step: str) -> None:
        self.calls.append(step)
        if errors := self.fails.get(step):
            raise errors.pop(0)

    @property
    def policy(self) -> PolicyInForce:
        return PolicyInForce(self.rules, Provenance("prod.yaml", "f" * 64))

    @property
    def log(self) -> EvidenceLog:
        places = (WaitingFolder(self.waiting, "k3s/unit"),) if self.waiting else ()
        return EvidenceLog(self.store, "k3s/unit", places, lambda: NOON)

    def facts(self) -> dict[str, Any]:
        return {"who": "me@here"}

    def plan(self) -> Made:
        self._called("plan")
        return Made(Plan(subject="k3s/unit", target="hosts", changes=self.changes, cost=self.cost))

    def makes_evidence_store(self, planned: Made) -> bool:
        assert planned.plan.changes == self.changes
        return self.makes_store

    def is_provisioned(self, planned: Made) -> bool:
        assert planned.plan.changes == self.changes
        return self.provisioned

    def apply(self, planned: Made, stage: str) -> dict[str, Any]:
        self._called(f"apply {planned.plan.label} {stage}".rstrip())
        self.on_apply()
        self._called("apply")
        self.changes = tuple(row for row in self.changes if row.stage != stage)
        return {"api": "https://applied"}

    def outputs(self) -> dict[str, Any]:
        self._called("outputs")
        return {"api": "https://found"}

    def probes(self) -> Sequence[Probe]:
        return self.looks

    def verify(self, outputs: Mapping[str, Any]) -> Looked | None:
        self._called(f"verify {outputs['api']}")
        self._called("verify")
        return Looked()

    def plan_ready(self, plan: Plan) -> None:
        assert plan.changes == self.changes
        self._called("shown")

    def progress(self, progress: Progress) -> None: ...

    def note(self, message: str) -> None:
        self.notes.append(message)

    def approve(self, question: Question) -> Sequence[Decision]:
        self.asked.append(question)
        self._called("asked")
        return (Decision("a person", "by hand", IdentityKind.ACCOUNT, self.approves),)

    def carried_out(self, *, apply: bool = True, run: Any = RUN) -> lifecycle.Outcome[Looked]:
        return run_lifecycle(
            self, self.approve, self, apply=apply, run=run, sleep=self.slept.append
        )

    @property
    def order(self) -> list[str]:
        return [call for call in self.calls if " " not in call]

    def records(self, *kinds: RecordKind) -> list[Record]:
        return list(reversed(list(self.log.newest_first(*kinds))))

    def kinds(self) -> list[str]:
        return [record.kind for record in self.records()]


def busy(after: float = 3.0) -> TemporaryError:
    return TemporaryError("applying", "the host is busy", "Wait.", retry_after=after)


def broken() -> PermanentError:
    return PermanentError("applying", "the disk is full", "Free some.")


def test_unless_told_to_apply_it_is_a_plan_that_is_on_record_as_shown() -> None:
    steps = Recorder()
    outcome = steps.carried_out(apply=False)

    assert steps.calls == ["plan", "shown"]
    assert (outcome.status, outcome.approval) == (OutcomeStatus.PLANNED, None)
    assert (outcome.subject, outcome.target) == ("k3s/unit", "hosts")
    assert list(outcome.duration_seconds) == ["plan"]
    (record,) = steps.records()
    assert (record.kind, record.digest) == ("plan", outcome.plan.digest)
    assert outcome.evidence == "memory://k3s/unit/00000001.json"


def test_who_may_not_write_records_may_plan_all_the_same() -> None:
    steps = Recorder(store=MemoryStore(fails=[denied()]))
    outcome = steps.carried_out(apply=False)
    assert (outcome.status, outcome.evidence) == (OutcomeStatus.PLANNED, None)
    assert "the plan is not on record" in steps.notes[0]


def priced() -> CostEffect:
    amount = Money(amount=Decimal("46.50"))
    month = CostRange(low=amount, expected=amount, high=amount)
    return CostEffect(before=month, after=month)


def test_a_plan_with_its_cost_is_on_record_as_it_is() -> None:
    steps = Recorder(cost=priced())
    outcome = steps.carried_out(apply=False)

    assert Plan.model_validate(steps.records()[0].body["plan"]) == outcome.plan


def test_a_plan_waits_for_the_store_that_its_apply_would_make(tmp_path: Path) -> None:
    store = MemoryStore(is_there=False)
    steps = Recorder(cost=priced(), makes_store=True, waiting=tmp_path, store=store)
    outcome = steps.carried_out(apply=False)

    assert outcome.evidence is not None
    kept = json.loads(Path(outcome.evidence).read_text())
    assert (kept["kind"], kept["digest"]) == ("plan", outcome.plan.digest)
    assert (kept["who"], kept["run"]) == ("me@here", RUN)
    assert Plan.model_validate(kept["plan"]) == outcome.plan


def test_a_plan_is_shown_before_anybody_is_asked_and_approved_before_it_is_applied() -> None:
    steps = Recorder()
    outcome = steps.carried_out()

    assert steps.order == ["plan", "shown", "asked", "apply", "verify"]
    assert "verify https://applied" in steps.calls
    assert outcome.status is OutcomeStatus.APPLIED
    assert outcome.approval is not None
    assert (outcome.approval.by, outcome.approval.digest) == ("a person", outcome.plan.digest)
    assert outcome.outputs == {"api": "https://applied"}
    assert outcome.verification == Looked()
    assert outcome.evidence == "memory://k3s/unit/00000004.json"
    assert list(outcome.duration_seconds) == ["plan", "apply", "verify"]
    assert steps.kinds() == ["question", "approval", "intent", "apply"]
    assert steps.log.find_open() == []


def test_the_intent_is_on_record_before_anything_is_changed() -> None:
    steps = Recorder()
    seen: list[list[str]] = []
    steps.on_apply = lambda: seen.append(steps.kinds())
    steps.carried_out()
    assert seen == [["question", "approval", "intent"]]


@pytest.mark.parametrize("makes_store", [False, True], ids=["stored", "waiting"])
def test_what_is_about_to_be_done_is_open_until_the_next_is(
    makes_store: bool, tmp_path: Path
) -> None:
    store = MemoryStore(is_there=not makes_store)
    steps = Recorder(
        changes=(FIRST, SECOND), makes_store=makes_store, waiting=tmp_path, store=store
    )
    seen: list[list[str]] = []

    def look() -> None:
        seen.append([row.body["stage"] for row in steps.log.find_open(RecordKind.INTENT)])
        store.is_there = True

    steps.on_apply = look
    steps.carried_out()
    assert seen == [["servers"], ["agents"]]


def test_every_record_says_which_run_it_is_of() -> None:
    steps = Recorder()
    steps.carried_out()
    assert [record.body["run"] for record in steps.records()] == [RUN] * 4


def test_what_the_policy_lets_pass_asks_nobody() -> None:
    steps = Recorder(rules=ApprovalPolicy(required_for=("destroy",)))
    outcome = steps.carried_out()

    assert steps.asked == []
    assert outcome.approval is not None
    assert outcome.approval.identity is IdentityKind.POLICY
    assert steps.kinds() == ["intent", "apply"]


def test_what_a_person_rejects_is_not_applied_and_is_on_record() -> None:
    steps = Recorder(approves=False)
    outcome = steps.carried_out()

    assert steps.order == ["plan", "shown", "asked"]
    assert outcome.status is OutcomeStatus.REJECTED
    assert outcome.evidence == "memory://k3s/unit/00000002.json"
    assert outcome.message().startswith("rejected by a person: k3s/unit: 1 to create")


def test_what_is_rejected_before_there_is_a_store_waits_for_it(tmp_path: Path) -> None:
    store = MemoryStore(is_there=False)
    steps = Recorder(approves=False, makes_store=True, waiting=tmp_path, store=store)

    outcome = steps.carried_out()

    assert outcome.status is OutcomeStatus.REJECTED
    assert outcome.evidence == "waits for the store"
    assert steps.kinds() == ["question", "approval"]
    assert steps.records()[1].body["approval"]["approved"] is False
    assert store.objects == {}


def test_who_cannot_ask_anybody_is_told_so_as_it_is() -> None:
    nobody = ApprovalRequired("applying", "nobody can be asked", "Approve it.")
    steps = Recorder(fails={"asked": [nobody]})
    with pytest.raises(ApprovalRequired) as error:
        steps.carried_out()
    assert error.value is nobody


def test_with_nothing_to_change_it_is_verified_all_the_same() -> None:
    steps = Recorder(changes=())
    outcome = steps.carried_out()

    assert steps.order == ["plan", "shown", "outputs", "verify"]
    assert (outcome.status, outcome.approval) == (OutcomeStatus.UNCHANGED, None)
    assert steps.kinds() == ["apply"]


def test_the_record_is_bound_to_the_digest_and_says_all() -> None:
    steps = Recorder(kind=RecordKind.DESTROY)
    outcome = steps.carried_out()

    body = steps.records(RecordKind.DESTROY)[0].body
    assert (body["kind"], body["digest"], body["status"]) == (
        "destroy",
        outcome.plan.digest,
        "applied",
    )
    assert body["plan"]["digest"] == outcome.plan.digest
    assert body["approval"]["by"] == "a person"
    assert body["verification"] == {"healthy": True}
    assert (body["who"], body["run"]) == ("me@here", RUN)
    assert body["policy"]["file"] == "prod.yaml"
    assert set(body["duration_seconds"]) == {"plan", "apply", "verify"}
    assert json.loads(json.dumps(outcome.to_json())) == outcome.to_json()


def test_an_outcome_says_what_became_of_it_and_by_whose_decision() -> None:
    plan = Plan(subject="k3s/unit", target="hosts", changes=(CHANGE,))
    approval = Approval(by="a person", how="by hand", digest=plan.digest)
    why = approval.model_copy(update={"reason": "not today"})
    does = plan.summary()

    def message(status: OutcomeStatus, by: Approval | None) -> str:
        outcome: lifecycle.Outcome[Looked] = lifecycle.Outcome(status, "s", "t", plan, by)
        return outcome.message()

    assert message(OutcomeStatus.PLANNED, None) == f"planned, nothing was changed: {does}"
    assert message(OutcomeStatus.UNCHANGED, None) == f"unchanged: {does}"
    assert message(OutcomeStatus.APPLIED, None) == f"applied: {does}, approved"
    assert message(OutcomeStatus.APPLIED, approval) == f"applied: {does}, approved by a person"
    assert message(OutcomeStatus.REJECTED, approval) == f"rejected by a person: {does}"
    assert message(OutcomeStatus.REJECTED, why) == f"rejected by a person: {does}: not today"


def test_an_outcome_in_json_has_all_of_it() -> None:
    plan = Plan(subject="k3s/unit", target="hosts", changes=(CHANGE,))
    outcome = lifecycle.Outcome(
        OutcomeStatus.APPLIED,
        "k3s/unit",
        "hosts",
        plan,
        outputs={"api": "x"},
        verification=Looked(),
        availability=[Availability("API")],
        evidence="memory://1",
        duration_seconds={"plan": 1.2345},
    )

    assert outcome.to_json() == {
        "status": "applied",
        "subject": "k3s/unit",
        "target": "hosts",
        "plan": plan.model_dump(mode="json"),
        "approval": None,
        "outputs": {"api": "x"},
        "verification": {"healthy": True},
        "availability": [Availability("API").to_json()],
        "evidence": "memory://1",
        "duration_seconds": {"plan": 1.23},
    }


# Stages


def test_stages_are_applied_one_after_the_other_each_from_live_facts() -> None:
    steps = Recorder(changes=(FIRST, SECOND))
    outcome = steps.carried_out()

    assert steps.order == ["plan", "shown", "asked", "apply", "plan", "shown", "apply", "verify"]
    assert [call.split()[-1] for call in steps.calls if call.startswith("apply ")] == [
        "servers",
        "agents",
    ]
    assert outcome.plan.changes == (FIRST, SECOND)
    intents = steps.records(RecordKind.INTENT)
    assert [intent.body["stage"] for intent in intents] == ["servers", "agents"]
    assert intents[1].body["approval"]["id"] == intents[0].body["approval"]["id"]
    assert steps.log.find_open() == []


def test_what_the_steps_of_all_stages_took_is_added_up() -> None:
    steps, spent = Recorder(changes=(FIRST, SECOND)), list[float]()

    def work() -> None:
        began = time.monotonic()
        while (taken := time.monotonic() - began) < 0.001:
            pass
        spent.append(taken)

    steps.on_apply = work
    began = time.monotonic()
    took = steps.carried_out().duration_seconds

    assert took["apply"] >= sum(spent)
    assert min(took.values()) >= 0
    assert sum(took.values()) <= time.monotonic() - began


def test_by_policy_each_stage_is_approved_by_itself() -> None:
    steps = Recorder(changes=(FIRST, SECOND), rules=ApprovalPolicy(each_stage=True))
    steps.carried_out()
    assert [question.plan.changes for question in steps.asked] == [(FIRST,), (SECOND,)]


@pytest.mark.parametrize("reason", ["", "not today"])
def test_a_later_stage_that_is_rejected_ends_it_and_says_what_stays(reason: str) -> None:
    steps = Recorder(changes=(FIRST, SECOND), rules=ApprovalPolicy(each_stage=True))
    ask = steps.approve

    def approve(question: Question) -> Sequence[Decision]:
        (decision,) = ask(question)
        is_first = len(steps.asked) == 1
        return [replace(decision, approved=is_first, reason="" if is_first else reason)]

    with pytest.raises(PermanentError) as error:
        run_lifecycle(steps, approve, steps, apply=True, run=RUN)

    assert error.value.attempted == "applying what is left of k3s/unit"
    assert error.value.found == f"rejected by a person: {reason or 'no reason was given'}"
    assert error.value.remedy == "What was done stays done; `plan` shows what is left."
    assert steps.changes == (SECOND,)


def test_a_value_that_a_stage_has_made_was_approved_with_the_plan() -> None:
    made = SECOND.model_copy(update={"after": {"token": unknown(["a host"])}})
    steps = Recorder(changes=(FIRST, made))

    def make() -> None:
        later = made.model_copy(update={"after": {"token": "made"}})
        steps.changes = tuple(later if row is made else row for row in steps.changes)

    steps.on_apply = make
    assert steps.carried_out().status is OutcomeStatus.APPLIED
    assert len(steps.asked) == 1


def test_where_another_plan_shows_that_nothing_is_left_it_is_made() -> None:
    steps = Recorder(settles=True)
    outcome = steps.carried_out()
    assert steps.order == [
        "plan", "shown", "asked", "apply", "plan", "shown", "outputs", "verify",
    ]  # fmt: skip
    assert outcome.outputs == {"api": "https://found"}


def test_a_stage_that_is_not_done_after_its_apply_is_an_error() -> None:
    steps = Recorder(settles=True)
    keeps = steps.changes

    def put_back(step: str) -> None:
        steps.calls.append(step)
        steps.changes = keeps

    steps._called = put_back  # type: ignore[method-assign]
    with pytest.raises(UnsettledError, match="this still differs: a host: a file"):
        steps.carried_out()
    assert steps.records(RecordKind.APPLY)[0].body["status"] == "failed"


@pytest.mark.parametrize(("stage", "where"), [("", ""), ("servers", " (servers)")])
def test_what_is_not_done_after_its_apply_is_named(stage: str, where: str) -> None:
    rows = [row.model_copy(update={"stage": stage}) for row in (CHANGE, OTHER)]
    steps = Recorder(settles=True, changes=(*rows, CHANGE.model_copy(update={"stage": "later"})))
    keeps, called = steps.changes, steps._called

    def put_back(step: str) -> None:
        called(step)
        steps.changes = keeps

    steps._called = put_back  # type: ignore[method-assign]
    with pytest.raises(UnsettledError) as error:
        steps.carried_out()
    assert error.value.attempted == f"looking at k3s/unit{where} after the apply"
    assert error.value.found == "this still differs: a host: a file, another host: a file"
    assert error.value.remedy == "Find out what else changes it, then run it again."


# Failures


@pytest.mark.parametrize("step", ["apply", "verify"])
def test_a_failure_is_recorded_and_raised(step: str) -> None:
    steps = Recorder(fails={step: [broken()]})
    with pytest.raises(PermanentError, match="the disk is full"):
        steps.carried_out()

    body = steps.records(RecordKind.APPLY)[0].body
    assert (body["status"], body["error"]["error"]) == ("failed", "PermanentError")
    assert body["approval"]["by"] == "a person"
    assert steps.notes == ["evidence of the failure: memory://k3s/unit/00000004.json"]
    assert steps.slept == []


def stale() -> StalePlanError:
    return StalePlanError("applying", "it has changed since", "Look again.", retry_after=0)


@pytest.mark.parametrize("kind", [RecordKind.APPLY, RecordKind.DESTROY])
def test_what_was_refused_before_anything_was_changed_is_no_failed_apply(kind: RecordKind) -> None:
    steps = Recorder(fails={"apply": [stale()] * ATTEMPTS}, kind=kind)
    with pytest.raises(StalePlanError):
        steps.carried_out()

    assert steps.records(kind) == []
    refused = steps.records(RecordKind.REFUSED)
    assert [record.body["status"] for record in refused] == ["refused"] * ATTEMPTS
    assert refused[0].body["error"]["found"] == "it has changed since"
    assert steps.notes[0] == "evidence of the refusal: memory://k3s/unit/00000004.json"
    assert steps.log.find_open(RecordKind.INTENT) == []
    assert len(steps.log.find_open(RecordKind.APPROVAL)) == 1  # it covers the next attempt


def test_what_was_refused_after_an_earlier_stage_is_a_failed_apply() -> None:
    steps = Recorder(changes=(FIRST, SECOND))

    def refuse_the_second() -> None:
        if steps.changes == (SECOND,) and not steps.slept:
            raise stale()

    steps.on_apply = refuse_the_second
    outcome = steps.carried_out()

    assert outcome.status is OutcomeStatus.APPLIED
    statuses = [record.body["status"] for record in steps.records(RecordKind.APPLY)]
    assert statuses == ["failed", "applied"]
    assert steps.records(RecordKind.REFUSED) == []


class RefusedError(PermanentError):
    is_refusal: ClassVar[bool] = True


def no_quorum() -> RefusedError:
    return RefusedError("planning", "too few are up", "Bring them back.")


def test_an_apply_that_no_plan_can_bring_about_is_on_record() -> None:
    steps = Recorder(fails={"plan": [no_quorum()]})
    with pytest.raises(RefusedError):
        steps.carried_out()

    (record,) = steps.records()
    assert (record.kind, record.digest, record.body["status"]) == ("refused", "", "refused")
    assert record.body["error"]["found"] == "too few are up"
    assert steps.asked == []
    with pytest.raises(RefusedError):
        Recorder(fails={"plan": [no_quorum()]}).carried_out(apply=False)


def test_a_refusal_after_an_attempt_that_changed_something_is_a_failed_apply() -> None:
    lost = TemporaryError("copying", "the connection was lost", "Run it again.", retry_after=5)
    steps = Recorder(fails={"apply": [lost]})

    def refuse_from_now_on() -> None:
        steps.fails["plan"] = [no_quorum()]

    steps.on_apply = refuse_from_now_on
    with pytest.raises(RefusedError):
        steps.carried_out()

    assert steps.records(RecordKind.REFUSED) == []
    said = [record.body["error"]["found"] for record in steps.records(RecordKind.APPLY)]
    assert said == ["the connection was lost", "too few are up"]


def test_before_anything_was_touched_there_is_nothing_to_record() -> None:
    steps = Recorder(fails={"plan": [broken()]})
    with pytest.raises(PermanentError):
        steps.carried_out()
    assert steps.records() == []


class Cancelled(BaseException):
    """As Prefect and Ctrl-C end a run."""


@pytest.mark.parametrize("error", [Cancelled("by a person"), KeyboardInterrupt()])
def test_a_run_that_is_cancelled_has_a_record_too(error: BaseException) -> None:
    steps = Recorder(fails={"apply": [error]})
    with pytest.raises(type(error)):
        steps.carried_out()
    body = steps.records(RecordKind.APPLY)[0].body
    assert (body["status"], body["error"]["error"]) == ("interrupted", type(error).__name__)


def test_a_defect_is_recorded_as_what_it_is_and_raised() -> None:
    steps = Recorder(fails={"apply": [ZeroDivisionError("a defect")]})
    with pytest.raises(ZeroDivisionError):
        steps.carried_out()
    assert steps.records(RecordKind.APPLY)[0].body["error"] == {
        "error": "ZeroDivisionError",
        "found": "a defect",
    }


# Without a record there is no apply; with one that cannot be completed it counts all the same


def test_no_intent_no_apply() -> None:
    steps = Recorder(store=MemoryStore(fails=[None, None, denied()]))
    with pytest.raises(NotRecordedError, match="nothing was changed") as caught:
        steps.carried_out()
    assert caught.value.exit_code == ExitCode.NOT_RECORDED
    assert caught.value.attempted.startswith("recording the intent of k3s/unit (")
    assert "apply" not in steps.order


def test_records_that_cannot_be_read_keep_an_apply_from_beginning_and_no_plan() -> None:
    steps = Recorder(store=UnreadableStore(closed=True))
    with pytest.raises(NotRecordedError) as caught:
        steps.carried_out()
    assert caught.value.attempted == "reading the evidence of k3s/unit; nothing was changed"
    assert (caught.value.found, caught.value.remedy) == (denied().found, denied().remedy)
    assert steps.order == []

    assert steps.carried_out(apply=False).status is OutcomeStatus.PLANNED
    assert steps.notes[0] == str(denied())
    assert steps.notes[1] == f"records of earlier runs stay open: {denied()}"


def test_records_that_cannot_be_read_between_two_stages_end_an_apply() -> None:
    store = UnreadableStore()
    steps = Recorder(changes=(FIRST, SECOND), store=store)
    steps.on_apply = lambda: setattr(store, "closed", True)
    with pytest.raises(NotRecordedError):
        steps.carried_out()
    assert steps.order == ["plan", "shown", "asked", "apply"]


def test_once_the_store_should_be_there_no_record_waits_for_it_any_more(tmp_path: Path) -> None:
    store = MemoryStore(is_there=False)
    steps = Recorder(changes=(FIRST, SECOND), makes_store=True, waiting=tmp_path, store=store)
    with pytest.raises(NotRecordedError, match="there is no such bucket"):
        steps.carried_out()
    assert steps.order.count("apply") == 1
    assert "records wait for the evidence store still: " in "".join(steps.notes)


def test_a_store_that_fails_after_the_apply_hides_nothing_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    store = MemoryStore(fails=[None, None, None, denied()])
    steps = Recorder(store=store, waiting=tmp_path)
    outcome = steps.carried_out()

    assert outcome.status is OutcomeStatus.APPLIED
    assert steps.order.count("apply") == 1
    assert outcome.evidence is not None
    assert Path(outcome.evidence).is_file()
    assert "waits in" in steps.notes[0]
    assert steps.log.find_open() == []

    steps.carried_out()
    assert "brought into the evidence: memory://k3s/unit/00000004.json" in steps.notes
    assert steps.kinds() == ["question", "approval", "intent", "apply", "apply"]
    assert [record.body["status"] for record in steps.records(RecordKind.APPLY)] == [
        "applied",
        "unchanged",
    ]
    assert verify_chain(steps.log) == []


def test_a_temporary_failure_of_the_store_does_not_apply_again(tmp_path: Path) -> None:
    store = MemoryStore(fails=[None, None, None, busy()])
    steps = Recorder(store=store, waiting=tmp_path)
    assert steps.carried_out().status is OutcomeStatus.APPLIED
    assert steps.order.count("apply") == 1


def test_the_failure_of_the_apply_stays_the_error_where_its_record_fails_too() -> None:
    store = MemoryStore(fails=[None, None, None, denied()])
    steps = Recorder(store=store, fails={"apply": [broken()]})
    with pytest.raises(PermanentError, match="the disk is full"):
        steps.carried_out()


def test_where_no_record_can_wait_either_the_outcome_stays_and_both_are_said(
    tmp_path: Path,
) -> None:
    store = MemoryStore(fails=[None, None, None, denied()])
    steps = Recorder(store=store, waiting=tmp_path / "waiting")
    steps.on_apply = lambda: (tmp_path / "waiting").write_text("a file")  # type: ignore[assignment]
    outcome = steps.carried_out()

    assert (outcome.status, outcome.evidence) == (OutcomeStatus.APPLIED, None)
    assert steps.notes[0].startswith(f"the outcome is not on record: {denied()}\n  ")


def test_on_a_first_apply_the_records_wait_for_the_store_that_its_first_stage_makes(
    tmp_path: Path,
) -> None:
    steps = Recorder(
        changes=(FIRST, SECOND),
        makes_store=True,
        waiting=tmp_path,
        store=MemoryStore(is_there=False),
    )

    def make_the_store() -> None:
        steps.store.is_there, steps.makes_store = True, False

    steps.on_apply = make_the_store
    outcome = steps.carried_out()

    assert steps.kinds() == ["question", "approval", "intent", "intent", "apply"]
    assert outcome.evidence == "memory://k3s/unit/00000005.json"
    assert steps.log.find_open() == []
    assert not list(tmp_path.rglob("*.json"))


# Killed, and run again


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


@pytest.mark.parametrize("number", range(1, 5))
def test_killed_at_every_record_one_more_run_ends_the_same_and_asks_once(number: int) -> None:
    """The process ends before or after each record is kept; nothing of ours runs afterwards."""
    for after in (False, True):
        steps = Recorder(changes=(FIRST, SECOND))
        alive = True

        def kill(key: str, steps: Recorder = steps, after: bool = after) -> None:
            nonlocal alive
            if not alive or not key.endswith(f"{number:08d}.json"):
                return
            alive = False
            steps.store.before_put = lambda _: (_ for _ in ()).throw(Killed)
            if not after:
                raise Killed

        steps.store.before_put = kill
        with pytest.raises(Killed):
            steps.carried_out()
        asked = len(steps.asked)
        steps.store.before_put = lambda key: None

        outcome = steps.carried_out(run={"by": "command", "pid": 2})
        assert outcome.status in (OutcomeStatus.APPLIED, OutcomeStatus.UNCHANGED)
        assert steps.changes == ()
        answered = RecordKind.APPROVAL in steps.kinds()[: number if after else number - 1]
        assert len(steps.asked) == asked + (0 if answered else 1)
        assert verify_chain(steps.log) == []
        assert steps.log.find_open() == []


def test_of_two_runs_at_the_same_moment_the_second_plans_again() -> None:
    first = Recorder(rules=ApprovalPolicy(required_for=("destroy",)))
    second = Recorder(rules=first.rules, store=first.store)
    second.fails = {}
    overtaken = False

    def overtake(key: str) -> None:
        nonlocal overtaken
        if not overtaken:
            overtaken = True
            second.carried_out(run={"by": "command", "pid": 2})

    first.store.before_put = overtake
    outcome = first.carried_out()
    assert first.slept == [0]
    assert [note for note in first.notes if "another run has acted" in note]
    assert outcome.status is OutcomeStatus.APPLIED
    assert issubclass(StalePlanError, TemporaryError)


def test_what_a_dead_run_has_left_open_is_closed_by_the_next() -> None:
    steps = Recorder()
    steps.log.append(
        RecordKind.QUESTION, "a" * 64, {"run": {"by": "prefect", "id": "1"}}, opens=True
    )
    run_lifecycle(
        steps, steps.approve, steps, apply=False, run=RUN, how_ended=lambda run: "it was cancelled"
    )
    closed = steps.records(RecordKind.CLOSED)[0].body
    assert (closed["end"], closed["found"]) == ("it was cancelled", "nobody answered")
    assert steps.notes == ["question of an earlier run: nobody answered"]
    assert steps.log.find_open() == []


def test_only_what_runs_have_left_open_that_ended_is_closed() -> None:
    steps = Recorder()
    alive, dead = {"by": "prefect", "id": "1"}, {"by": "prefect", "id": "2"}
    opened = [
        steps.log.append(kind, "a" * 64, body, opens=True)
        for kind, body in (
            (RecordKind.QUESTION, {"run": alive}),
            (RecordKind.QUESTION, {"run": dead}),
            (RecordKind.INTENT, {"run": dead}),
            (RecordKind.INTENT, {}),
            (RecordKind.APPROVAL, {"run": dead}),
        )
    ]
    ended = {json.dumps(dead): "killed", json.dumps({}): "unknown"}

    closed = close_ended(steps.log, lambda run: ended.get(json.dumps(dict(run))), "now: x")

    told = [(row.body["closed"], row.body["end"], row.body["found"]) for row in closed]
    assert told == [
        (opened[1].id, "killed", "nobody answered"),
        (opened[2].id, "killed", "outcome unknown, now: x"),
        (opened[3].id, "unknown", "outcome unknown, now: x"),
    ]
    assert [row.body["kind_closed"] for row in closed] == ["question", "intent", "intent"]
    assert [record.id for record in steps.log.find_open()] == [opened[0].id, opened[4].id]


def test_a_command_of_the_release_before_whose_process_is_gone_has_ended() -> None:
    run = {"by": "command", "host": socket.gethostname(), "started": Process().create_time()}

    assert how_command_ended({**run, "pid": Process().pid}) is None
    assert how_command_ended({**run, "pid": 2**31 - 1}) == "its process is gone"  # over every limit


def test_how_the_subject_is_found_stands_for_the_outcome_that_nobody_saw() -> None:
    steps = Recorder(approves=False)
    steps.log.append(RecordKind.INTENT, "a" * 64, {"run": {}}, opens=True)
    outcome = run_lifecycle(
        steps, steps.approve, steps, apply=False, run=RUN, how_ended=lambda run: "it was killed"
    )
    found = steps.records(RecordKind.CLOSED)[0].body["found"]
    assert found == f"outcome unknown, now: {outcome.plan.summary()}"


# Trying again


@pytest.mark.parametrize("step", ["plan", "apply", "verify"])
def test_what_is_temporary_is_waited_out_and_planned_anew_without_a_second_question(
    step: str,
) -> None:
    steps = Recorder(fails={step: [busy(3.0), busy(4.0)]})
    outcome = steps.carried_out()

    assert outcome.status in (OutcomeStatus.APPLIED, OutcomeStatus.UNCHANGED)
    assert steps.slept == [3.0, 4.0]
    assert steps.order.count("plan") == 3
    assert len(steps.asked) == 1
    assert [note for note in steps.notes if "trying again in 3 s" in note]


def test_it_is_given_up_after_some_attempts() -> None:
    steps = Recorder(fails={"apply": [busy() for _ in range(9)]})
    with pytest.raises(TemporaryError):
        steps.carried_out()

    assert steps.order.count("plan") == ATTEMPTS
    assert len(steps.slept) == ATTEMPTS - 1
    assert len(steps.records(RecordKind.APPLY)) == ATTEMPTS


def test_a_step_whose_repeat_does_harm_is_tried_once() -> None:
    class Once(Recorder):
        attempts: ClassVar[int] = 1

    steps = Once(fails={"apply": [busy()]})
    with pytest.raises(TemporaryError):
        steps.carried_out()
    assert steps.order.count("apply") == 1


def test_a_plan_that_has_become_another_is_approved_anew() -> None:
    steps = Recorder(fails={"apply": [busy()]})

    def somebody_else() -> None:
        steps.changes = (CHANGE, OTHER)

    steps.on_apply = somebody_else
    outcome = steps.carried_out()

    assert [question.plan.changes for question in steps.asked] == [(CHANGE,), (CHANGE, OTHER)]
    assert steps.asked[1].reasons == ("another host: a file: was not part of the approved plan",)
    assert outcome.approval is not None
    assert outcome.approval.digest == outcome.plan.digest


def test_no_second_question_hides_why_it_is_asked() -> None:
    steps = Recorder(fails={"apply": [busy()]})
    steps.on_apply = lambda: setattr(steps, "changes", (CHANGE, OTHER))
    nobody = ApprovalRequired("applying", "nobody has approved it", "Approve it.")
    ask = steps.approve

    def approve(question: Question) -> Sequence[Decision]:
        if question.reasons:
            raise nobody
        return ask(question)

    with pytest.raises(ApprovalRequired) as error:
        run_lifecycle(steps, approve, steps, apply=True, run=RUN, sleep=steps.slept.append)
    assert error.value.attempted == nobody.attempted
    assert error.value.found == (
        "nobody has approved it. It is asked for again after: applying: the host is busy"
    )
    assert error.value.remedy == nobody.remedy


# Drift


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ((), DriftStatus.IN_SYNC, "in sync: nothing differs"),
        ((CHANGE,), DriftStatus.DRIFTED, "drifted: {summary}"),
    ],
)
def test_what_differs_is_shown_and_on_record(
    changes: tuple[Change, ...], status: DriftStatus, message: str
) -> None:
    steps = Recorder(changes=changes)
    drift = detect_drift(steps, steps)
    plan = Plan(subject="k3s/unit", target="hosts", changes=changes)

    (record,) = steps.records()
    assert (record.kind, record.digest) == (RecordKind.DRIFT, plan.digest)
    assert (record.body["who"], record.body["status"]) == ("me@here", status)
    assert Plan.model_validate(record.body["plan"]) == plan
    assert steps.calls == ["plan", "shown"]
    assert drift.message() == message.format(summary=plan.summary())
    assert drift.to_json() == {
        "status": status.value,
        "subject": "k3s/unit",
        "target": "hosts",
        "plan": plan.model_dump(mode="json"),
        "evidence": "memory://k3s/unit/00000001.json",
    }


def test_what_was_never_applied_is_compared_with_nothing() -> None:
    steps = Recorder(provisioned=False)
    drift = detect_drift(steps, steps)

    assert (drift.status, drift.evidence) == (DriftStatus.NOT_PROVISIONED, None)
    assert (drift.subject, drift.target, drift.plan.changes) == ("k3s/unit", "hosts", (CHANGE,))
    assert drift.message() == "not provisioned: there is nothing to compare"
    assert (steps.calls, steps.records()) == (["plan"], [])


def test_the_cost_of_what_differs_is_on_record_and_in_json() -> None:
    steps = Recorder(cost=priced())
    drift = detect_drift(steps, steps)

    assert Plan.model_validate(steps.records()[0].body["plan"]) == drift.plan
    assert json.loads(json.dumps(drift.to_json())) == drift.to_json()


# Progress


@pytest.mark.parametrize(
    ("progress", "text", "percent"),
    [
        (Progress("apply"), "apply", None),
        (Progress("a host", done=0, total=3), "0/3 a host", 0.0),
        (Progress("a host", done=3, total=12, seconds=0.0), "3/12 a host (0.0 s)", 25.0),
        (Progress("a host", done=4, total=3, seconds=1.25), "4/3 a host (1.2 s)", 100.0),
    ],
    ids=str,
)
def test_progress_says_how_many_of_how_many_and_how_long(
    progress: Progress, text: str, percent: float | None
) -> None:
    assert str(progress) == text
    assert progress.percent == percent


# Probes


def test_what_was_seen_during_the_apply_is_in_the_record() -> None:
    looks = 0

    def look() -> str | None:
        nonlocal looks
        looks += 1
        return None

    steps = Recorder(looks=[Probe("the API", look)])
    steps.on_apply = lambda: _wait_for(lambda: looks > 0)
    outcome = steps.carried_out()

    (seen,) = outcome.availability
    assert (seen.name, seen.failed) == ("the API", 0)
    assert seen.looks >= 1
    assert steps.records(RecordKind.APPLY)[0].body["availability"][0]["name"] == "the API"


def _wait_for(look: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 5
    while not look():
        assert time.monotonic() < give_up
        time.sleep(0.001)
