"""The steps of Stream 1 as `xops.core.lifecycle.steps` puts them in order, and drift detection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

from xops.core.errors import PermanentError
from xops.core.lifecycle import steps as lifecycle
from xops.core.lifecycle import watching
from xops.core.lifecycle.gate import Approval
from xops.core.plan.model import Plan
from xops.ecs.environment import Environment
from xops.ecs.services import ServiceState
from xops.ecs.stream1 import Planned, Stream1, Verification
from xops.ecs.terraform_events import Progress

Outcome = lifecycle.Outcome[Verification]


class Watcher(watching.Watcher, Protocol):
    """Who is shown what happens while it happens."""

    def progress(self, progress: Progress) -> None:
        """Terraform has started or finished something."""

    def services(self, states: Sequence[ServiceState]) -> None:
        """The services were looked at."""


@dataclass(frozen=True)
class EcsSteps:
    """One environment's steps: bring it to what its file says, or with `destroy` remove it."""

    stream: Stream1
    watcher: Watcher
    destroy: bool = False

    @property
    def kind(self) -> str:
        """As `Steps.kind`."""
        return "destroy" if self.destroy else "apply"

    def plan(self) -> Planned:
        """As `Stream1.plan`.

        Raises:
            PermanentError: a protected environment is not destroyed.
        """
        if self.destroy:
            _refuse_protected(self.stream.environment)
        return self.stream.plan(destroy=self.destroy, on_progress=self.watcher.progress)

    def policy(self, plan: Plan) -> Approval | None:
        """Approved by the environment's file, where it does not name these changes."""
        environment = self.stream.environment
        if environment.approval.needed(plan):
            return None
        by = f"policy of deployments/environments/{environment.name}.yaml"
        return Approval(by, "approval.required_for does not name these changes", plan.digest)

    def apply(self, planned: Planned) -> dict[str, Any]:
        """As `Stream1.apply`."""
        return self.stream.apply(planned, self.watcher.progress)

    def outputs(self) -> dict[str, Any]:
        """As `Stream1.outputs`."""
        return self.stream.outputs()

    def verify(self, outputs: Mapping[str, Any]) -> Verification | None:
        """As `Stream1.verify`; nothing is left to look at after a destroy."""
        return None if self.destroy else self.stream.verify(outputs, self.watcher.services)

    def record(self, kind: str, digest: str, facts: Mapping[str, Any]) -> str:
        """As `Stream1.record`."""
        return self.stream.record(kind, digest, facts)


def _refuse_protected(environment: Environment) -> None:
    if environment.deletion_protection:
        raise PermanentError(
            f"destroying {environment.subject}",
            "deletion_protection is true in its environment file",
            "If its data may really go, set it to false there, apply that, then destroy;"
            " in prod and peak it cannot be set to false: see docs/runbooks/destroy-protected.md.",
        )


class DriftStatus(StrEnum):
    """How the environment compares with its configuration."""

    IN_SYNC = "in_sync"
    DRIFTED = "drifted"
    NOT_PROVISIONED = "not_provisioned"


@dataclass(frozen=True)
class Drift:
    """What an apply would change now. Nothing is compared where nothing was ever applied."""

    status: DriftStatus
    environment: str
    target: str
    plan: Plan
    evidence: str | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "plan": self.plan.model_dump(mode="json")}


def detect_drift(stream: Stream1, watcher: Watcher) -> Drift:
    """Plan only, and keep a record of what differs."""
    planned = stream.plan(on_progress=watcher.progress)
    if not stream.terraform.state_list():
        status = DriftStatus.NOT_PROVISIONED
    else:
        status = DriftStatus.IN_SYNC if planned.plan.is_empty else DriftStatus.DRIFTED
    planned.saved.path.unlink()
    environment = stream.environment
    drift = Drift(status, environment.name, str(environment.target), planned.plan)
    if status is DriftStatus.NOT_PROVISIONED:
        return drift
    watcher.plan_ready(planned.plan)
    return replace(drift, evidence=stream.record("drift", planned.plan.digest, drift.to_json()))
