"""What the handling of a pull request needs of others: environments, and the run that it is in.

A step has the environments, and a flow has the run; neither is known here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from xops.core.lifecycle.approval_policy import ApprovalPolicy
from xops.core.lifecycle.gate import Approver
from xops.core.lifecycle.steps import Outcome, Steps
from xops.core.lifecycle.watching import Watcher
from xops.github.policy import Isolation

POLICY_FILE = "deployments/github.yaml"
ENVIRONMENTS = "deployments/environments"
TERRAFORM = "terraform"


@dataclass(frozen=True)
class Branch:
    """Files of a pull request in folders of this machine.

    Attributes:
        base, head: what the base has, and what the merge would make of it.
        base_commit: what `base` is of.
    """

    base: Path
    head: Path
    base_commit: str

    @property
    def base_environments(self) -> Path:
        """The folder of the environments' files in the base: those that were reviewed."""
        return self.base / ENVIRONMENTS

    @property
    def head_environments(self) -> Path:
        """The folder of the environments' files as the merge would make them."""
        return self.head / ENVIRONMENTS

    @property
    def terraform(self) -> Path:
        """Its Terraform as the merge would make it."""
        return self.head / TERRAFORM


class BranchEnvironment(Protocol):
    """One environment as the pull request would have it, under the policy of its base."""

    def open(
        self, watcher: Watcher, isolation: Isolation | None
    ) -> AbstractContextManager[Steps[Any, Any]]:
        """Open its steps, for the block.

        Args:
            watcher: is shown what happens.
            isolation: how it is planned; None to apply what was approved.
        """


class Environments(Protocol):
    """The environments of a step."""

    def names(self, folder: Path) -> Sequence[str]:
        """Those that have a file in a folder, in alphabetical order."""

    def subject(self, name: str) -> str:
        """The name of one in plans, evidence and locks: `ecs/test`."""

    def slot(self, name: str) -> str:
        """The concurrency limit that lets one change at a time at its state."""

    def approval_rules(self, name: str, folder: Path) -> ApprovalPolicy:
        """Which changes wait for whom, by its file in a folder.

        Raises:
            InputError: no such environment, or everything that is wrong with it.
        """

    def policy_changes(self, name: str, branch: Branch) -> Sequence[str]:
        """Keys of policy that the branch changes in its file: they hold once it is merged."""

    def load(self, name: str, branch: Branch) -> BranchEnvironment:
        """One that the base has a file of.

        Raises:
            InputError: no such environment, or everything that is wrong with it.
        """


class CarryOut(Protocol):
    """Carries the lifecycle of one subject out, as a part of the run."""

    def __call__(
        self,
        steps: Steps[Any, Any],
        slot: str,
        watcher: Watcher,
        *,
        apply: bool,
        approve: Approver,
        author: str | None = None,
        way: str = "",
        delivery: str = "",
    ) -> Outcome[Any]:
        """As `xops.core.lifecycle.steps.run_lifecycle`, with the apply alone under its slot.

        Args:
            steps: of the subject.
            slot: of its state.
            watcher: is shown what happens.
            apply, approve, author, way: as there.
            delivery: of GitHub, that has started the run; the records name it.
        """


@dataclass(frozen=True)
class RunContext:
    """The run that a pull request is handled in.

    Attributes:
        carry_out: carries lifecycles out.
        watch: makes who is shown one: of a subject, and what else the keys of its artifacts name.
        url: where people look at the run; empty where nobody can.
    """

    carry_out: CarryOut
    watch: Callable[[str, str], Watcher]
    url: str = ""
