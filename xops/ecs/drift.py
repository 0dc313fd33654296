"""Drift of Stream 1: how an environment compares with its configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from xops.core.plan.model import Plan
from xops.ecs.stream1 import Stream1


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


def detect_drift(stream: Stream1) -> Drift:
    """Plan only, show what differs, and keep a record of it."""
    planned = stream.plan()
    if not stream.terraform.state_list():
        status = DriftStatus.NOT_PROVISIONED
    else:
        status = DriftStatus.IN_SYNC if planned.plan.is_empty else DriftStatus.DRIFTED
    planned.saved.path.unlink()
    environment = stream.environment
    drift = Drift(status, environment.name, str(environment.target), planned.plan)
    if status is DriftStatus.NOT_PROVISIONED:
        return drift
    stream.watcher.plan_ready(planned.plan)
    return replace(drift, evidence=stream.record("drift", planned.plan.digest, drift.to_json()))
