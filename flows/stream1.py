"""What the flows on Stream 1 share: the request's form, and how its environment is opened."""

from __future__ import annotations

from typing import Any, Literal

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.tasks import exponential_backoff
from pydantic import Field

from blocks import EcsEnvironment
from flows import lifecycle_tasks
from flows.form import Form
from flows.lifecycle_tasks import is_temporary
from flows.progress import RunWatcher
from xops.core.lifecycle.watching import Watcher
from xops.ecs import environment
from xops.ecs.environment import EnvironmentName
from xops.ecs.stream1 import Stream1
from xops.finops.pricing.pricer import TerraformPricer
from xops.prefect_server.evidence import WaitingArtifacts


class EcsRequest(Form):
    """Which environment, and where it runs."""

    environment: EnvironmentName = Field(
        default="local",
        title="Environment",
        description="Which environment of Stream 1. Each has a file in deployments/environments.",
    )
    target: Literal["as the file says", "embedded", "localstack", "aws"] = Field(
        default="as the file says",
        title="Target",
        description="Where it runs. An emulator (embedded, localstack) is always permitted, any"
        " other target if the environment's file names it.",
    )

    @property
    def subject(self) -> str:
        """As `Environment.subject`, before the file is read."""
        return environment.subject(self.environment)

    def open(self, watcher: Watcher, *, destroy: bool) -> Stream1:
        """The environment as its file and its block document say, and the way to its target."""
        block = EcsEnvironment.named(self.environment)
        chosen = None if self.target == "as the file says" else self.target
        found = block.load_environment(chosen)
        waiting = (WaitingArtifacts(self.subject),)
        return Stream1.open(
            found,
            watcher,
            block.environ(),
            destroy=destroy,
            waiting=waiting,
            pricer=TerraformPricer.load(),
        )


@task(
    name="read-facts",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=3,
    retry_delay_seconds=exponential_backoff(5),
    retry_condition_fn=is_temporary,
)
def read_facts(request: EcsRequest, watcher: Watcher, *, destroy: bool = False) -> Stream1:
    """Which environment, who we are on its target, which Terraform, which providers."""
    return request.open(watcher, destroy=destroy)


def run_stream1(request: EcsRequest, *, apply: bool, destroy: bool) -> State[Any]:
    """Plan, gate, apply, verify and record one environment; the outcome as JSON."""
    watcher = RunWatcher(request.subject)
    stream = read_facts(request, watcher, destroy=destroy)
    slot = environment.slot(request.environment)
    with stream.folder:
        return lifecycle_tasks.run_lifecycle(stream, slot, watcher, apply=apply)
