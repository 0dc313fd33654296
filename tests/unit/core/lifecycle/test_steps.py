"""The order of the steps: what follows what, who is asked, what is on record and tried again."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

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
from xops.core.lifecycle.gate import Decision, IdentityKind, PolicyInForce, Question
from xops.core.lifecycle.probes import Probe
from xops.core.lifecycle.steps import ATTEMPTS, OutcomeStatus, UnsettledError, run_lifecycle
from xops.core.lifecycle.watching import Progress
from xops.core.plan.model import Action, Change, Plan
from xops.core.plan.values import Json

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
        return False


@dataclass
class Recorder:
    """Steps whose facts are a list of changes, of which an apply does those of one stage.

    It notes all; also the watcher and the person who approves.
    """

    attempts: ClassVar[int] = ATTEMPTS
    settles: bool = False
    changes: tuple[Change, ...] = (CHANGE,)
    rules: ApprovalPolicy = ApprovalPolicy()  # noqa: RUF009 - frozen
    approves: bool = True
    makes_store: bool = False
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
        return Made(Plan(subject="k3s/unit", target="hosts", changes=self.changes))

    def makes_evidence_store(self, planned: Made) -> bool:
        return self.makes_store

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
    assert list(outcome.duration_seconds) == ["plan"]
    (record,) = steps.records()
    assert (record.kind, record.digest) == ("plan", outcome.plan.digest)
    assert outcome.evidence == "memory://k3s/unit/00000001.json"


def test_who_may_not_write_records_may_plan_all_the_same() -> None:
    steps = Recorder(store=MemoryStore(fails=[denied()]))
    outcome = steps.carried_out(apply=False)
    assert (outcome.status, outcome.evidence) == (OutcomeStatus.PLANNED, None)
    assert "the plan is not on record" in steps.notes[0]


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


def test_by_policy_each_stage_is_approved_by_itself() -> None:
    steps = Recorder(changes=(FIRST, SECOND), rules=ApprovalPolicy(each_stage=True))
    steps.carried_out()
    assert [question.plan.changes for question in steps.asked] == [(FIRST,), (SECOND,)]


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
    assert "apply" not in steps.order


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

    steps.carried_out()
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
    assert steps.log.find_open() == []


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

    with pytest.raises(ApprovalRequired, match="asked for again after: applying: the host is busy"):
        run_lifecycle(steps, approve, steps, apply=True, run=RUN, sleep=steps.slept.append)


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
    import time

    give_up = time.monotonic() + 5
    while not look():
        assert time.monotonic() < give_up
        time.sleep(0.001)
