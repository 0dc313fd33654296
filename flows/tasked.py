"""A lifecycle as a Prefect run: each step a task, so that the UI shows it; gate and artifacts.

The tasks are called, not submitted: only the main thread hears a cancellation, and the tools must
hear it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prefect import get_client, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled
from prefect.tasks import Task

from flows import gate
from flows.reporting import show_outcome
from xops.core.errors import TemporaryError
from xops.core.lifecycle import steps as lifecycle
from xops.core.lifecycle.steps import Approval, Planned, Status, Steps, Verification, Watcher
from xops.core.plan.model import Plan

# A run that was killed holds its slot until the lease ends; the state's own lock is the real guard.
_LEASE_SECONDS = 60.0


def is_temporary(task: Task[Any, Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Only what says that trying again is right is tried again."""
    try:
        state.result()
    except TemporaryError:
        return True
    except Exception:  # noqa: BLE001 - any other failure, whatever it is, is not retried
        return False
    return False


@task(name="plan", cache_policy=NO_CACHE, persist_result=False)
def _plan[Made: Planned](steps: Steps[Made, Any]) -> Made:
    return steps.plan()


def _make_slot(slot: str) -> None:
    """Make the limit of one for what has none yet: a cluster file that no deployment names."""
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(slot)
        except ObjectNotFound:
            client.upsert_global_concurrency_limit_by_name(slot, 1)


@task(name="apply", cache_policy=NO_CACHE, persist_result=False)
def _apply[Made: Planned](steps: Steps[Made, Any], planned: Made, slot: str) -> dict[str, Any]:
    _make_slot(slot)
    with concurrency(
        slot, strict=True, lease_duration=_LEASE_SECONDS, raise_on_lease_renewal_failure=False
    ):
        return steps.apply(planned)


@task(name="verify", cache_policy=NO_CACHE, persist_result=False)
def _verify[Seen: Verification](steps: Steps[Any, Seen], outputs: Mapping[str, Any]) -> Seen | None:
    return steps.verify(outputs)


@task(name="record", cache_policy=NO_CACHE, persist_result=False)
def _record(steps: Steps[Any, Any], kind: str, digest: str, facts: Mapping[str, Any]) -> str:
    return steps.record(kind, digest, facts)


@dataclass(frozen=True)
class Tasked[Made: Planned, Seen: Verification]:
    """Steps as tasks; the apply runs alone under the slot of what it changes."""

    steps: Steps[Made, Seen]
    slot: str

    @property
    def kind(self) -> str:
        """As `Steps.kind`."""
        return self.steps.kind

    def plan(self) -> Made:
        """As `Steps.plan`."""
        return _plan(self.steps)

    def policy(self, plan: Plan) -> Approval | None:
        """As `Steps.policy`."""
        return self.steps.policy(plan)

    def apply(self, planned: Made) -> dict[str, Any]:
        """As `Steps.apply`."""
        return _apply(self.steps, planned, self.slot)

    def outputs(self) -> dict[str, Any]:
        """As `Steps.outputs`."""
        return self.steps.outputs()

    def verify(self, outputs: Mapping[str, Any]) -> Seen | None:
        """As `Steps.verify`."""
        return _verify(self.steps, outputs)

    def record(self, kind: str, digest: str, facts: Mapping[str, Any]) -> str:
        """As `Steps.record`."""
        return _record(self.steps, kind, digest, facts)


def carry_out[Made: Planned, Seen: Verification](
    steps: Steps[Made, Seen], slot: str, watcher: Watcher, *, apply: bool
) -> dict[str, Any] | State[Any]:
    """The lifecycle with the gate, artifacts and events of a Prefect run; the outcome as JSON."""
    outcome = lifecycle.carry_out(Tasked(steps, slot), gate.ask, watcher, apply=apply)
    show_outcome(outcome)
    if outcome.status is Status.REJECTED and outcome.approval:
        return Cancelled(message=f"plan {outcome.plan.label} rejected by {outcome.approval.by}")
    return outcome.to_json()
