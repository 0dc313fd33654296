"""Carries out an apply and kills itself with SIGKILL at the boundary it is told.

`python tests/e2e/kill_at.py ENVIRONMENT BOUNDARY`, the boundary one of `BOUNDARIES`.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from xops.core.lifecycle.gate import Approval
from xops.core.lifecycle.steps import run_lifecycle
from xops.core.plan.model import Plan
from xops.ecs.environment import Environment
from xops.ecs.services import ServiceState
from xops.ecs.stream1 import EcsPlan, EcsVerification, Stream1
from xops.ecs.terraform_events import Progress

BOUNDARIES = ("planned", "applying", "applied", "verified", "recorded")


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


@dataclass(frozen=True)
class Mortal(Stream1):
    """`Stream1`; the process dies when the named boundary is reached."""

    boundary: str = ""

    def plan(self) -> EcsPlan:
        return self._after("planned", super().plan())

    def apply(self, planned: EcsPlan) -> dict[str, Any]:
        return self._after("applied", super().apply(planned))

    def verify(self, outputs: Mapping[str, Any]) -> EcsVerification | None:
        return self._after("verified", super().verify(outputs))

    def record(self, kind: str, digest: str, facts: Mapping[str, Any]) -> str:
        return self._after("recorded", super().record(kind, digest, facts))

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
        if self.boundary == "applying" and progress.event == "apply_start":
            die()

    def services(self, states: Sequence[ServiceState]) -> None: ...

    def note(self, message: str) -> None: ...


def approve(plan: Plan) -> Approval:
    return Approval("the test", "kill_at.py", plan.digest)


if __name__ == "__main__":
    name, boundary = sys.argv[1:]
    assert boundary in BOUNDARIES
    opened = Mortal.open(Environment.load(name), Silent(boundary))
    run_lifecycle(replace(opened, boundary=boundary), approve, opened.watcher, apply=True)
