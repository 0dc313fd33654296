"""Environments on their way through a run, and how the run ends by them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from xops.core.lifecycle.gate import Approval
from xops.core.plan.model import Plan
from xops.github.pull_request.course import Course
from xops.github.pull_request.facts import ShownPlan
from xops.github.pull_request.handling.environments import BranchEnvironment
from xops.github.pull_request.report import EnvironmentReport, EnvironmentState


@dataclass
class Work:
    """One environment on its way through the run.

    Attributes:
        name: of its file.
        report: how far it has come.
        shown: the plan that people were shown last.
        approval: on record, of a plan of which this one is what is left.
        environment: as it was planned; None where it was not.
        released: whether this run applies it.
    """

    name: str
    report: EnvironmentReport
    shown: ShownPlan | None = None
    approval: Approval | None = None
    environment: BranchEnvironment | None = None
    released: bool = False

    @property
    def plan(self) -> Plan | None:
        """The plan that there is something to do in; None where there is none."""
        plan = self.report.plan
        return None if plan is None or plan.is_empty else plan


@dataclass(frozen=True)
class Ending:
    """How the run ends: in a word, in a line, and whether it failed."""

    name: str
    message: str
    failed: bool = False
    reports: tuple[EnvironmentReport, ...] = field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        """JSON values only: of each environment how far it came, and by what plan."""
        environments = {
            each.name: {
                "state": str(each.state),
                "digest": each.plan.digest if each.plan else None,
                "evidence": each.evidence,
                "approved_by": list(each.approved_by),
            }
            for each in self.reports
        }
        return {"status": self.name, "message": self.message, "environments": environments}


def ending_of(course: Course, reports: Sequence[EnvironmentReport]) -> Ending:
    """How a run ends that has come to its end: as the environment with which most is left to do."""
    if not reports:
        said = course.refusal or course.waits or course.green
        return Ending("Completed", said or "there is nothing to do any more")
    worst = min((each.state for each in reports), key=_URGENT.index)
    message = "; ".join(f"{each.name}: {each.state}" for each in reports)
    failed = worst in (EnvironmentState.PLAN_FAILED, EnvironmentState.APPLY_FAILED)
    return Ending(_NAMES[worst], message, failed, tuple(reports))


_NAMES = {
    EnvironmentState.APPLY_FAILED: "Apply failed",
    EnvironmentState.PLAN_FAILED: "Plan failed",
    EnvironmentState.LOCKED: "Locked",
    EnvironmentState.WAITING: "Waiting for a review",
    EnvironmentState.APPROVED: "Approved",
    EnvironmentState.PLANNED: "Planned",
    EnvironmentState.APPLIED: "Applied",
    EnvironmentState.APPLYING: "Applying",
    EnvironmentState.UNCHANGED: "Unchanged",
}
_URGENT = list(_NAMES)
"""What a run ends as: the first of these that one of its environments is in."""
