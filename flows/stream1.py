"""What the flows on Stream 1 share: the request's form, and each step as a Prefect task.

The tasks are called, not submitted: only the main thread hears a cancellation, and Terraform
must hear it too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.concurrency.sync import concurrency
from prefect.states import Cancelled
from prefect.tasks import Task, exponential_backoff
from pydantic import BaseModel, ConfigDict, Field

from blocks import EcsEnvironment
from flows import gate
from flows.reporting import RunWatcher, show_outcome
from xops.core.errors import TemporaryError
from xops.ecs import environment, lifecycle
from xops.ecs.environment import Environment
from xops.ecs.lifecycle import Status
from xops.ecs.services import ServiceState
from xops.ecs.stream1 import Planned, Stream1, Verification
from xops.ecs.terraform_events import ProgressHandler

# A run that was killed holds its slot until the lease ends; the state's lock is the real guard.
_LEASE_SECONDS = 60.0


class EcsRequest(BaseModel):
    """Which environment, and where it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: Literal["local", "test", "sit", "prod", "peak"] = Field(
        default="local", description="One of deployments/environments/*.yaml."
    )
    target: Literal["as the file says", "embedded", "localstack", "aws"] = Field(
        default="as the file says", description="Where it runs."
    )

    def open(self) -> Stream1:
        """The environment as its file and its block document say, and the way to its target."""
        block = EcsEnvironment.named(self.environment)
        chosen = None if self.target == "as the file says" else self.target
        return Stream1.open(block.load_environment(chosen), block.environ())


def is_temporary(task: Task[Any, Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Only what says that trying again is right is tried again."""
    try:
        state.result()
    except TemporaryError:
        return True
    except Exception:  # noqa: BLE001 - any other failure, whatever it is, is not retried
        return False
    return False


@task(
    name="read-facts",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=3,
    retry_delay_seconds=exponential_backoff(5),
    retry_condition_fn=is_temporary,
)
def read_facts(request: EcsRequest) -> Stream1:
    """Which environment, who we are on its target, which Terraform, which providers."""
    return request.open()


@task(name="plan", cache_policy=NO_CACHE, persist_result=False)
def _plan(stream: Stream1, destroy: bool, on_progress: ProgressHandler) -> Planned:
    return stream.plan(destroy=destroy, on_progress=on_progress)


@task(name="apply", cache_policy=NO_CACHE, persist_result=False)
def _apply(stream: Stream1, planned: Planned, on_progress: ProgressHandler) -> dict[str, Any]:
    with concurrency(
        environment.slot(stream.environment.name),
        strict=True,
        lease_duration=_LEASE_SECONDS,
        raise_on_lease_renewal_failure=False,
    ):
        return stream.apply(planned, on_progress)


@task(name="verify", cache_policy=NO_CACHE, persist_result=False)
def _verify(
    stream: Stream1,
    outputs: Mapping[str, Any],
    on_progress: Callable[[Sequence[ServiceState]], None],
) -> Verification:
    return stream.verify(outputs, on_progress)


@task(name="record", cache_policy=NO_CACHE, persist_result=False)
def _record(stream: Stream1, kind: str, digest: str, facts: Mapping[str, Any]) -> str:
    return stream.record(kind, digest, facts)


@dataclass(frozen=True)
class TaskedSteps:
    """`Stream1`'s steps, each run as a task so that the UI shows it."""

    stream: Stream1

    @property
    def environment(self) -> Environment:
        """Whose stack."""
        return self.stream.environment

    def plan(self, *, destroy: bool, on_progress: ProgressHandler) -> Planned:
        """As `Stream1.plan`."""
        return _plan(self.stream, destroy, on_progress)

    def apply(self, planned: Planned, on_progress: ProgressHandler) -> dict[str, Any]:
        """As `Stream1.apply`, alone on this environment's state."""
        return _apply(self.stream, planned, on_progress)

    def outputs(self) -> dict[str, Any]:
        """As `Stream1.outputs`."""
        return self.stream.outputs()

    def verify(
        self,
        outputs: Mapping[str, Any],
        on_progress: Callable[[Sequence[ServiceState]], None],
    ) -> Verification:
        """As `Stream1.verify`."""
        return _verify(self.stream, outputs, on_progress)

    def record(self, kind: str, digest: str, facts: Mapping[str, Any]) -> str:
        """As `Stream1.record`."""
        return _record(self.stream, kind, digest, facts)


def carry_out(request: EcsRequest, *, apply: bool, destroy: bool) -> dict[str, Any] | State[Any]:
    """The lifecycle with the gate, artifacts and events of a Prefect run; the outcome as JSON."""
    steps = TaskedSteps(read_facts(request))
    subject = steps.environment.subject
    watcher = RunWatcher(subject)
    outcome = lifecycle.carry_out(steps, gate.ask, watcher, apply=apply, destroy=destroy)
    show_outcome(subject, outcome)
    if outcome.status is Status.REJECTED and outcome.approval:
        return Cancelled(message=f"plan {outcome.plan.label} rejected by {outcome.approval.by}")
    return outcome.to_json()
