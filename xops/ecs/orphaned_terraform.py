"""A Terraform that goes on after its run was killed: it is named and waited for, never stopped.

It is in a session of its own, so that the death of its run does not reach it: it ends its apply,
writes the state and gives the state's lock back. A plan made meanwhile would meet that lock, and
one made of its half-written state would be wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from xops.core.errors import TemporaryError
from xops.core.process import FileHolder
from xops.ecs import run_folder
from xops.ecs.terraform_events import EventStream, TerraformStep

PATIENCE = 900
"""Seconds that it is waited for in one attempt."""

_POLL_SECONDS = 0.5
_SAY_SECONDS = 30.0


class TerraformAtWorkError(TemporaryError):
    """A Terraform whose run was killed still works on this environment, on this machine."""


@dataclass(frozen=True)
class OrphanedTerraform:
    """What is known of it.

    Attributes:
        run: the folder of the run that started it.
        process: None where we may not look into it.
        verb: what it does: plan, apply, destroy.
        progress: the last that its log tells, None if nothing yet.
    """

    run: Path
    process: FileHolder | None
    verb: str
    progress: TerraformStep | None

    def works(self) -> bool:
        """Whether it still does: a cheap look, where its process is known."""
        if self.process is not None and not self.process.process.alive():
            return False
        return self.process is not None or run_folder.terraform_at_work(self.run)

    def describe(self, now: datetime) -> str:
        """Which process, since when, how far."""
        return f"terraform {self.verb} of run {self.run.name} ({self._process(now)}){self._far()}"

    def _process(self, now: datetime) -> str:
        if self.process is None:
            return "in a process of another user"
        minutes, seconds = divmod(max(0, int((now - self.process.started).total_seconds())), 60)
        since = f"{self.process.started:%Y-%m-%d %H:%M:%S} UTC"
        return f"process {self.process.process.pid}, since {since}: {minutes} min {seconds} s"

    def _far(self) -> str:
        if self.progress is None:
            return ""
        of = "" if self.progress.total is None else f" of {self.progress.total}"
        return f", {self.progress.done}{of} resources done, last: {self.progress.message}"


def find(own: Path) -> OrphanedTerraform | None:
    """The first Terraform of a run that is over, or of an earlier attempt of this one.

    Args:
        own: the folder of this run; those of the environment's others lie beside it.
    """
    for run in [*run_folder.killed_runs(own), own]:
        if run_folder.terraform_at_work(run):
            return look(run)
    return None


def wait(
    own: Path,
    say: run_folder.Say,
    patience: float = PATIENCE,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until no such Terraform works any longer, and say so while that lasts.

    Args:
        own: the folder of this run.
        say: takes a line for people.
        patience: seconds.
        sleep: waits.

    Raises:
        TerraformAtWorkError: it works longer than that.
    """
    started = said = time.monotonic()
    found = find(own)
    if found is None:
        return
    say(f"{found.describe(datetime.now(UTC))}; its run is over, so it is waited for")
    while found is not None:
        now = time.monotonic()
        if now - started >= patience:
            raise _at_work(look(found.run), patience)
        if now - said >= _SAY_SECONDS:
            said = now
            say(f"still waiting for {look(found.run).describe(datetime.now(UTC))}")
        sleep(_POLL_SECONDS)
        found = found if found.works() else find(own)
    say(f"it has ended after {time.monotonic() - started:.0f} s; now the plan is made")


def _at_work(found: OrphanedTerraform, patience: float) -> TerraformAtWorkError:
    return TerraformAtWorkError(
        "waiting for Terraform, whose run was killed",
        f"after {patience:.0f} s: {found.describe(datetime.now(UTC))}",
        "Let it end: it writes the state and gives the lock back by itself. Then run this again."
        " If it hangs, send it one SIGINT, never SIGKILL.",
        retry_after=0,  # it has been waited for already
    )


def look(run: Path) -> OrphanedTerraform:
    """What is known of the Terraform that works in this run's folder."""
    holders = run_folder.terraform_holders(run)
    logs = sorted((run / "logs").glob("*.log"), key=lambda log: log.stat().st_mtime)
    verb = logs[-1].stem if logs else "command"
    return OrphanedTerraform(run, holders[0] if holders else None, verb, _progress(run, verb))


def _progress(run: Path, verb: str) -> TerraformStep | None:
    """The last step in its log; how many there are was told by the plan before it."""
    planned = EventStream()
    _feed(planned, run / "logs" / "plan.log")
    seen: list[TerraformStep] = []
    _feed(EventStream(seen.append, planned.total), run / "logs" / f"{verb}.log")
    return seen[-1] if seen else None


def _feed(stream: EventStream, log: Path) -> None:
    if log.exists():
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            stream.feed(line)
