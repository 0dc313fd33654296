"""Environments of Stream 1 as a pull request would have them, for its handling."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from blocks import EcsEnvironment
from blocks.documents import find
from xops.core.lifecycle.approval_policy import ApprovalPolicy
from xops.core.lifecycle.steps import Steps
from xops.core.lifecycle.watching import Watcher
from xops.ecs import environment as environments
from xops.ecs.environment import Environment
from xops.ecs.isolation import Isolation
from xops.ecs.stream1 import Stream1
from xops.finops.pricing.pricer import TerraformPricer
from xops.github import policy
from xops.github.pull_request.handling.environments import Branch
from xops.prefect_server.evidence import WaitingArtifacts


class OpenSteps(Protocol):
    """Opens the steps of one environment, for the block."""

    def __call__(
        self, environment: Environment, watcher: Watcher, source: Path, isolation: Isolation | None
    ) -> AbstractContextManager[Steps[Any, Any]]:
        """Open them.

        Args:
            environment: as the pull request would have it, under the policy of its base.
            watcher: is shown what happens.
            source: the branch's terraform/.
            isolation: how it is planned; None to apply what was approved.
        """


@contextmanager
def open_stream1(
    environment: Environment, watcher: Watcher, source: Path, isolation: Isolation | None
) -> Iterator[Stream1]:
    """Stream 1 from the files of a branch, where this installation has the environment run."""
    block = find(EcsEnvironment, environment.name)
    stream = Stream1.open(
        environment,
        watcher,
        block.environ() if block else dict(os.environ),
        waiting=(WaitingArtifacts(environment.subject),),
        pricer=TerraformPricer.load(),
        source=source,
        isolation=isolation,
    )
    with stream.folder:
        yield stream


def target_of_block(name: str) -> str | None:
    """Where this installation has an environment run; None: where its file says."""
    block = find(EcsEnvironment, name)
    return block.target if block else None


@dataclass(frozen=True)
class OpenableEnvironment:
    """An environment of a branch, whose steps can be opened."""

    environment: Environment
    source: Path
    open_steps: OpenSteps

    def open(
        self, watcher: Watcher, isolation: policy.Isolation | None
    ) -> AbstractContextManager[Steps[Any, Any]]:
        """As `xops.github.pull_request.handling.environments.BranchEnvironment`."""
        wanted = Isolation(isolation.sandbox, isolation.role_arn) if isolation else None
        return self.open_steps(self.environment, watcher, self.source, wanted)


@dataclass(frozen=True)
class EcsEnvironments:
    """As `xops.github.pull_request.handling.environments.Environments`, by what ECS knows.

    Attributes:
        open_steps: opens one.
        target_of: where one runs here, if not where its file says.
    """

    open_steps: OpenSteps = open_stream1
    target_of: Callable[[str], str | None] = target_of_block

    def names(self, folder: Path) -> Sequence[str]:
        """As `xops.ecs.environment.names`."""
        return environments.names(folder)

    def subject(self, name: str) -> str:
        """As `xops.ecs.environment.subject`."""
        return environments.subject(name)

    def slot(self, name: str) -> str:
        """As `xops.ecs.environment.slot`."""
        return environments.slot(name)

    def approval_rules(self, name: str, folder: Path) -> ApprovalPolicy:
        """Those of its file: no variable of this process lies over it."""
        return Environment.load(name, folder=folder, environ={}).approval

    def policy_changes(self, name: str, branch: Branch) -> Sequence[str]:
        """As `xops.ecs.environment.policy_changes`."""
        base, head = branch.base_environments, branch.head_environments
        return environments.policy_changes(name, base=base, head=head)

    def load(self, name: str, branch: Branch) -> OpenableEnvironment:
        """As `Environment.of_pull_request`."""
        environment = Environment.of_pull_request(
            name,
            base=branch.base_environments,
            head=branch.head_environments,
            base_commit=branch.base_commit,
            target=self.target_of(name),
        )
        return OpenableEnvironment(environment, branch.terraform, self.open_steps)
