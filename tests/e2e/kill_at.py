"""Carries out an apply and kills itself with SIGKILL at the boundary it is told.

`python -m tests.e2e.kill_at ENVIRONMENT BOUNDARY`, the boundary one of `BOUNDARIES`.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn

from xops.core.evidence.log import EvidenceLog, Record, RecordKind
from xops.core.lifecycle.gate import Decision, IdentityKind, Question
from xops.core.lifecycle.runs import command_run
from xops.core.lifecycle.steps import run_lifecycle
from xops.core.lifecycle.watching import Progress
from xops.core.plan.model import Plan
from xops.ecs.environment import Environment
from xops.ecs.stream1 import EcsPlan, EcsVerification, Stream1

BOUNDARIES = ("planned", "intended", "applying", "applied", "verified", "recorded")


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


class MortalLog(EvidenceLog):
    """The log; the process dies when a record of the boundary's kind is kept."""

    boundary: str = ""

    def append(self, kind: RecordKind, *arguments: Any, **values: Any) -> Record:
        record = super().append(kind, *arguments, **values)
        kinds = {"intended": RecordKind.INTENT, "recorded": RecordKind.APPLY}
        if kinds.get(self.boundary) is kind:
            die()
        return record


@dataclass(frozen=True)
class Mortal(Stream1):
    """`Stream1`; the process dies when the named boundary is reached."""

    boundary: str = ""

    @cached_property
    def log(self) -> EvidenceLog:
        found = super().log
        mortal = MortalLog(found.store, found.subject, found.waiting)
        mortal.boundary = self.boundary
        return mortal

    def plan(self) -> EcsPlan:
        return self._after("planned", super().plan())

    def apply(self, planned: EcsPlan, stage: str) -> dict[str, Any]:
        return self._after("applied", super().apply(planned, stage))

    def verify(self, outputs: Mapping[str, Any]) -> EcsVerification | None:
        return self._after("verified", super().verify(outputs))

    def _after[Result](self, boundary: str, result: Result) -> Result:
        if boundary == self.boundary:
            die()
        return result


@dataclass(frozen=True)
class Silent:
    """Watches without a word; the process dies when Terraform applies, if that is its boundary."""

    boundary: str

    def plan_ready(self, plan: Plan) -> None: ...

    def progress(self, progress: Progress) -> None:
        if self.boundary == "applying" and progress.unit == "resources":
            die()

    def note(self, message: str) -> None: ...


def approve(question: Question) -> Sequence[Decision]:
    return (Decision("the test", "kill_at.py", IdentityKind.ACCOUNT),)


if __name__ == "__main__":
    name, boundary = sys.argv[1:]
    assert boundary in BOUNDARIES
    opened = Mortal.open(Environment.load(name), Silent(boundary))
    run_lifecycle(
        replace(opened, boundary=boundary),
        approve,
        opened.watcher,
        apply=True,
        run=command_run(),
    )
