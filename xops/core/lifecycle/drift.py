"""Drift: how a subject compares with its configuration, for every step that changes something."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from xops.core.evidence.log import RecordKind
from xops.core.lifecycle.steps import Planned, Steps, Verification
from xops.core.lifecycle.watching import Watcher
from xops.core.plan.model import Plan


class DriftStatus(StrEnum):
    """How a subject compares with its configuration."""

    IN_SYNC = "in_sync"
    DRIFTED = "drifted"
    NOT_PROVISIONED = "not_provisioned"


@dataclass(frozen=True)
class Drift:
    """What an apply would change now. Nothing is compared where nothing was ever applied."""

    status: DriftStatus
    subject: str
    target: str
    plan: Plan
    evidence: str | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "status": str(self.status), "plan": self.plan.model_dump(mode="json")}

    def message(self) -> str:
        """One line."""
        return {
            DriftStatus.IN_SYNC: "in sync: nothing differs",
            DriftStatus.DRIFTED: f"drifted: {self.plan.summary()}",
            DriftStatus.NOT_PROVISIONED: "not provisioned: there is nothing to compare",
        }[self.status]


class ComparedSteps[PlanT: Planned, VerificationT: Verification](
    Steps[PlanT, VerificationT], Protocol
):
    """The steps of a subject that can be compared with its configuration."""

    def is_provisioned(self, planned: PlanT) -> bool:
        """Whether there is anything to compare, as the facts of the plan say."""
        ...


def detect_drift[PlanT: Planned, VerificationT: Verification](
    steps: ComparedSteps[PlanT, VerificationT],
    watcher: Watcher,
) -> Drift:
    """Plan only, show what differs, and keep a record of it.

    Args:
        steps: of the subject.
        watcher: is shown what differs.
    """
    planned = steps.plan()
    plan = planned.plan
    if not steps.is_provisioned(planned):
        return Drift(DriftStatus.NOT_PROVISIONED, plan.subject, plan.target, plan)
    status = DriftStatus.IN_SYNC if plan.is_empty else DriftStatus.DRIFTED
    watcher.plan_ready(plan)
    body = {**steps.facts(), "status": str(status), "plan": plan.model_dump(mode="json")}
    record = steps.log.append(RecordKind.DRIFT, plan.digest, body)
    return Drift(status, plan.subject, plan.target, plan, steps.log.address(record))
