"""What the flows on Stream 1 share: the request's form, and how its environment is opened."""

from __future__ import annotations

from typing import Any, Literal

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.tasks import exponential_backoff
from pydantic import BaseModel, ConfigDict, Field

from blocks import EcsEnvironment
from flows import lifecycle_tasks
from flows.lifecycle_tasks import is_temporary
from flows.progress import EcsWatcher
from xops.ecs import environment
from xops.ecs.lifecycle import EcsSteps
from xops.ecs.stream1 import Stream1


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


def run_stream1(request: EcsRequest, *, apply: bool, destroy: bool) -> dict[str, Any] | State[Any]:
    """Plan, gate, apply, verify and record one environment; the outcome as JSON."""
    stream = read_facts(request)
    watcher = EcsWatcher(stream.environment.subject)
    steps = EcsSteps(stream, watcher, destroy)
    return lifecycle_tasks.run_lifecycle(
        steps, environment.slot(stream.environment.name), watcher, apply=apply
    )
