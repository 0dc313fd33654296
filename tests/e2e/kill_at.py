"""Carries out an apply and kills itself with SIGKILL at the boundary it is told.

`python tests/e2e/kill_at.py ENVIRONMENT BOUNDARY`, the boundary one of `BOUNDARIES`.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from xops.core.plan import Plan
from xops.ecs.environment import Environment
from xops.ecs.lifecycle import Approval, carry_out
from xops.ecs.services import ServiceState
from xops.ecs.stream1 import Planned, Stream1, Verification
from xops.ecs.terraform_events import Progress, ProgressHandler

BOUNDARIES = ("planned", "applying", "applied", "verified", "recorded")


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


@dataclass
class Mortal:
    """`Stream1`'s steps; the process dies when the named boundary is reached."""

    stream: Stream1
    boundary: str

    @property
    def environment(self) -> Environment:
        return self.stream.environment

    def plan(self, *, destroy: bool, on_progress: ProgressHandler) -> Planned:
        return self._after("planned", self.stream.plan(destroy=destroy, on_progress=on_progress))

    def apply(self, planned: Planned, on_progress: ProgressHandler) -> dict[str, Any]:
        def watch(progress: Progress) -> None:
            if self.boundary == "applying" and progress.event == "apply_start":
                die()

        return self._after("applied", self.stream.apply(planned, watch))

    def outputs(self) -> dict[str, Any]:
        return self.stream.outputs()

    def verify(
        self,
        outputs: Mapping[str, Any],
        on_progress: Callable[[Sequence[ServiceState]], None],
    ) -> Verification:
        return self._after("verified", self.stream.verify(outputs, on_progress))

    def record(self, kind: str, digest: str, facts: Mapping[str, Any]) -> str:
        return self._after("recorded", self.stream.record(kind, digest, facts))

    def _after[Result](self, boundary: str, result: Result) -> Result:
        if boundary == self.boundary:
            die()
        return result


class Silent:
    """Watches without a word."""

    def plan_ready(self, plan: Plan) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def services(self, states: Sequence[ServiceState]) -> None: ...

    def note(self, message: str) -> None: ...


def approve(plan: Plan) -> Approval:
    return Approval("the test", "kill_at.py", plan.digest)


if __name__ == "__main__":
    name, boundary = sys.argv[1:]
    assert boundary in BOUNDARIES
    steps = Mortal(Stream1.open(Environment.load(name)), boundary)
    carry_out(steps, approve, Silent(), apply=True)
