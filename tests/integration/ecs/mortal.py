"""One apply of the small stack, approved by whoever is asked, killed where it is told.

`python -m tests.integration.ecs.mortal ENDPOINT BUCKET MOMENT` prints how many questions were asked
and how it ended. MOMENT is one of `MOMENTS`, a number of seconds, or `never`.
"""

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NoReturn

from tests.embedded_aws import reaching
from tests.integration.ecs.small_stack import open_small, release
from xops.aws.access import Aws
from xops.aws.target import Target
from xops.core.evidence.log import EvidenceLog, Record
from xops.core.evidence.settings import BucketEvidence
from xops.core.lifecycle.gate import Decision, IdentityKind, Question
from xops.core.lifecycle.runs import command_run
from xops.core.lifecycle.steps import run_lifecycle
from xops.core.lifecycle.watching import Progress
from xops.ecs.environment import Environment
from xops.ecs.stream1 import BUCKET_STAGE, EcsPlan, EcsVerification, Stream1

RECORDS = (
    "question", "answer", "intent for the bucket", "intent for Terraform", "outcome",
)  # fmt: skip
"""The records of a first apply, in their order; it is killed before and after each is kept."""

MOMENTS = (
    "planned", "bucket made", "at Terraform's first step", "applied", "verified",
    *(f"{side} {record}" for record in RECORDS for side in ("before", "after")),
)  # fmt: skip


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


@dataclass
class MortalLog(EvidenceLog):
    """The log; the process dies before or after a record of that number is kept."""

    moment: str = ""
    kept: int = 0

    def append(self, *arguments: Any, **values: Any) -> Record:
        self._die("before")
        record = super().append(*arguments, **values)
        self._die("after")
        return record

    def wait(self, *arguments: Any, **values: Any) -> tuple[Record, str]:
        self._die("before")
        found = super().wait(*arguments, **values)
        self._die("after")
        return found

    def _die(self, side: str) -> None:
        # Where there is no store yet, a record is refused by it first and waits then.
        if self.kept < len(RECORDS) and self.moment == f"{side} {RECORDS[self.kept]}":
            die()
        self.kept += side == "after"


@dataclass(frozen=True)
class Mortal(Stream1):
    """The small stack; nothing of it is a service, so that its verification looks at none."""

    moment: str = ""

    @cached_property
    def log(self) -> EvidenceLog:
        found = super().log
        return MortalLog(found.store, found.subject, found.waiting, moment=self.moment)

    def plan(self) -> EcsPlan:
        return self._after("planned", super().plan())

    def apply(self, planned: EcsPlan, stage: str) -> dict[str, Any]:
        moment = "bucket made" if stage == BUCKET_STAGE else "applied"
        return self._after(moment, super().apply(planned, stage))

    def verify(self, outputs: Mapping[str, Any]) -> EcsVerification | None:
        return self._after("verified", None)

    def _after[Result](self, moment: str, result: Result) -> Result:
        if moment == self.moment:
            die()
        return result


def main(endpoint: str, bucket: str, moment: str) -> None:
    aws = Aws(Target.EMBEDDED, "ap-southeast-2", reaching(endpoint))
    environment = Environment.load("test", environ={})
    state = environment.state.model_copy(update={"bucket": bucket})
    evidence = BucketEvidence(store="bucket")
    environment = environment.model_copy(update={"state": state, "evidence": evidence})
    small = open_small(aws, environment)
    release(small.folder.path)
    values = {each.name: getattr(small, each.name) for each in fields(Stream1)}
    stream = Mortal(**values, moment=moment)
    asked: list[Question] = []

    def approve(question: Question) -> Sequence[Decision]:
        asked.append(question)
        return (Decision("the test", "mortal.py", IdentityKind.ACCOUNT),)

    def at_step(progress: Progress) -> None:
        if moment == "at Terraform's first step" and progress.unit == "resources":
            die()

    stream.watcher.at_step = at_step  # type: ignore[attr-defined]
    if moment[0].isdigit():
        threading.Timer(float(moment), die).start()
    with stream.folder:
        outcome = run_lifecycle(stream, approve, stream.watcher, apply=True, run=command_run())
    sys.stdout.write(f"{len(asked)} {outcome.status} {len(stream.terraform.state_list())}\n")
    os._exit(0)  # the timer of a moment that never came


if __name__ == "__main__":
    main(*sys.argv[1:])
