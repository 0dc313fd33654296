"""Gated runs in every state, on a real Prefect server with a real worker."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Scheduled

from flows import slot
from tests.prefect_servers import home
from tests.waiting import PATIENCE, Eventually
from xops.core.errors import TemporaryError
from xops.core.evidence.log import EvidenceLog, verify_chain
from xops.core.evidence.stores import FolderStore
from xops.core.files.settings import ROOT
from xops.core.lifecycle.runs import close_ended
from xops.local.stack import POOL, Stack
from xops.prefect_server import runs
from xops.prefect_server.evidence import how_run_ended

pytestmark = pytest.mark.xdist_group("prefect")

DEADLINE = 90.0 * PATIENCE
YES = {"decision": "approve", "approver": "Anna Example", "reason": ""}
NO = {"decision": "reject", "approver": "Ben Example", "reason": "not before the weekend"}


@pytest.fixture(scope="module")
def deployment(prefect_stack: Stack) -> Iterator[UUID]:
    with home(prefect_stack.home):
        prefect_stack.worker.launch()
        prefect_stack.worker.wait()
        with runs.client(prefect_stack.profile) as connected:
            yield connected.create_deployment(
                connected.create_flow_from_name("gated"),
                name="test",
                entrypoint="tests/integration/local/gated_flow.py:gated",
                work_pool_name=POOL,
                pull_steps=[
                    {"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}
                ],
            )


@pytest.fixture
def prefect(prefect_stack: Stack) -> Iterator[SyncPrefectClient]:
    with home(prefect_stack.home), runs.client(prefect_stack.profile) as connected:
        yield connected


class Gated:
    """Runs of the flow on one subject, and what is on record about it."""

    def __init__(self, prefect: SyncPrefectClient, deployment: UUID, folder: Path) -> None:
        self.prefect, self.deployment, self.folder = prefect, deployment, folder
        self.subject = f"gated/{uuid4().hex[:8]}"
        self.leave("one", "two", "three")

    def leave(self, *targets: str) -> None:
        (self.folder / "left.json").write_text(json.dumps(targets))

    def left(self) -> list[str]:
        found: list[str] = json.loads((self.folder / "left.json").read_text())
        return found

    def start(self, **parameters: Any) -> UUID:
        given = {"folder": str(self.folder), "subject": self.subject, **parameters}
        run = self.prefect.create_flow_run_from_deployment(self.deployment, parameters=given)
        return run.id

    def run(self, identity: UUID) -> FlowRun:
        return self.prefect.read_flow_run(identity)

    def until(self, identity: UUID, *names: str) -> FlowRun:
        give_up = time.monotonic() + DEADLINE
        while (run := self.run(identity)).state_name not in names:
            final = run.state is not None and run.state.is_final()
            assert not final, f"ended as {run.state}"
            assert time.monotonic() < give_up, f"is {run.state}"
            time.sleep(0.25)
        return run

    def asked(self, times: int, identity: UUID) -> None:
        """Wait until the run is suspended for the question of that number."""
        give_up = time.monotonic() + DEADLINE
        while self.kinds().count("question") < times:
            state = self.run(identity).state
            over = time.monotonic() > give_up or (state is not None and state.is_final())
            assert not over, f"{self.kinds()}, {state}: {self.said(identity)}"
            time.sleep(0.25)
        self.until(identity, "Suspended")

    def said(self, identity: UUID) -> list[str]:
        wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[identity]))
        return [row.message for row in self.prefect.read_logs(wanted)]

    def answer(self, identity: UUID, answer: dict[str, str]) -> None:
        """As a person does, who sees the form: a run is suspended a moment before that is there."""
        give_up = time.monotonic() + DEADLINE
        while True:
            ended = self.prefect.resume_flow_run(identity, run_input=answer)
            if ended.status is SetStateStatus.ACCEPT:
                return
            assert time.monotonic() < give_up, ended
            time.sleep(0.25)

    @property
    def log(self) -> EvidenceLog:
        return EvidenceLog(FolderStore(self.folder / "evidence"), self.subject)

    def kinds(self) -> list[str]:
        return [self.log.read(key).kind for key in self.log.list_keys()]


@pytest.fixture
def gated(prefect: SyncPrefectClient, deployment: UUID, tmp_path: Path) -> Gated:
    return Gated(prefect, deployment, tmp_path)


def approve(gated: Gated) -> UUID:
    run = gated.start()
    gated.asked(1, run)
    gated.answer(run, YES)
    return run


def approved(gated: Gated) -> None:
    run = approve(gated)
    message = gated.until(run, "Applied").state.message  # type: ignore[union-attr]
    assert message is not None
    assert "applied: " in message
    assert "approved by Anna Example" in message
    assert gated.kinds() == ["question", "approval", "intent", "apply"]


def rejected_then_retried(gated: Gated) -> None:
    run = gated.start()
    gated.asked(1, run)
    gated.answer(run, NO)
    ended = gated.until(run, "Rejected")
    assert ended.state is not None
    assert (ended.state.type, "rejected by Ben Example" in str(ended.state.message)) == (
        StateType.COMPLETED,
        True,
    )
    assert gated.left() == ["one", "two", "three"]
    gated.prefect.set_flow_run_state(run, Scheduled(), force=True)
    gated.asked(2, run)
    gated.answer(run, YES)
    gated.until(run, "Applied")


def applied_then_retried(gated: Gated) -> None:
    """An approval is used once: the same plan, come up again, asks again."""
    run = approve(gated)
    gated.until(run, "Applied")
    gated.leave("one", "two", "three")
    gated.prefect.set_flow_run_state(run, Scheduled(), force=True)
    gated.asked(2, run)
    assert gated.left() == ["one", "two", "three"]
    gated.answer(run, NO)
    gated.until(run, "Rejected")


def half_done_then_run_again(gated: Gated) -> None:
    (gated.folder / "fails").write_text("half")
    run = approve(gated)
    gated.until(run, "Failed")
    assert gated.left() == ["three", "two"] or len(gated.left()) == 2
    again = gated.start()
    gated.until(again, "Applied")
    assert gated.kinds().count("question") == 1


def killed_then_run_again(gated: Gated) -> None:
    (gated.folder / "fails").write_text("killed")
    run = approve(gated)
    gated.until(run, "Crashed", "Failed")
    again = gated.start()
    gated.until(again, "Applied")
    assert gated.kinds().count("question") == 1
    assert "closed" in gated.kinds()


def another_plan_than_the_approved_one(gated: Gated) -> None:
    run = gated.start()
    gated.asked(1, run)
    gated.leave("one", "two", "three", "another")
    gated.answer(run, YES)
    gated.asked(2, run)
    assert len(gated.left()) == 4
    gated.answer(run, YES)
    gated.until(run, "Applied")


def rescheduled_without_an_answer(gated: Gated) -> None:
    run = gated.start()
    gated.asked(1, run)
    gated.prefect.set_flow_run_state(run, Scheduled(), force=True)
    gated.asked(2, run)
    assert len(gated.left()) == 3
    gated.answer(run, YES)
    gated.until(run, "Applied")


def cancelled_while_it_waits(gated: Gated) -> None:
    run = gated.start()
    gated.asked(1, run)
    gated.prefect.set_flow_run_state(run, Cancelled(message="by hand"), force=True)
    gated.until(run, "Cancelled")
    again = gated.start(apply=False)
    gated.until(again, "Planned")
    assert gated.kinds() == ["question", "closed", "plan"]
    assert gated.log.find_open() == []


def lapsed(gated: Gated) -> None:
    run = gated.start(wait_seconds=1)
    gated.asked(1, run)
    time.sleep(1.5)
    closed = close_ended(gated.log, how_run_ended, "")
    assert [record.body["found"] for record in closed] == ["nobody answered"]
    assert gated.log.find_open() == []


MATRIX = [
    approved, rejected_then_retried, applied_then_retried, half_done_then_run_again,
    killed_then_run_again, another_plan_than_the_approved_one, rescheduled_without_an_answer,
    cancelled_while_it_waits, lapsed,
]  # fmt: skip


@pytest.mark.timeout(240)
@pytest.mark.parametrize("case", MATRIX, ids=lambda case: case.__name__)
def test_the_approval_matrix(gated: Gated, case: Callable[[Gated], None]) -> None:
    case(gated)
    assert verify_chain(gated.log) == []


@pytest.mark.timeout(240)
def test_a_run_that_waits_for_its_slot_says_for_whom(
    prefect: SyncPrefectClient, deployment: UUID, tmp_path: Path, eventually: Eventually
) -> None:
    """It waited without a word, and without end where the slot had leaked."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first, second = (Gated(prefect, deployment, tmp_path / name) for name in ("first", "second"))
    (first.folder / "fails").write_text("slow")
    holds = approve(first)
    eventually(lambda: (first.folder / "applying").exists(), 120)
    waits = approve(second)

    def said() -> list[str]:
        return [line for line in second.said(waits) if "waiting up to" in line]

    eventually(said, 120)  # a run of its own has to start for it
    assert "for the slot gated, which is held by run gated since" in said()[0]
    (first.folder / "release").touch()
    first.until(holds, "Applied")
    second.until(waits, "Applied")


def test_a_run_waits_for_its_slot_for_a_while_and_says_who_had_it(
    prefect_stack: Stack, prefect: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(slot.VARIABLE, "2")
    known = {PREFECT_API_URL: prefect_stack.api, PREFECT_API_AUTH_STRING: prefect_stack.secret}
    prefect.upsert_global_concurrency_limit_by_name("taken", 1)
    prefect.increment_concurrency_slots(["taken"], 1, "concurrency")
    with (
        temporary_settings(known),
        pytest.raises(TemporaryError, match="the slot taken: it was held for 2 s") as caught,
        slot.held("taken"),
    ):
        pytest.fail("it was let in")
    assert "a run that Prefect does not name" in caught.value.found
    prefect.delete_global_concurrency_limit_by_name("taken")
