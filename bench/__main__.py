"""What xOps costs on top of the bare tool, and how long a person waits.

Each row compares with a baseline on the same machine in the same run: machines are noisy, so that
ratios hold where seconds do not. Nothing here passes or fails; the targets are printed beside.

    provision-ecs, apply    the flow run, against `terraform apply -auto-approve` of the same stack
    provision-ecs, no-op    the flow run, against `terraform plan` of the unchanged stack
    xops ecs apply, no-op   the same from a shell, Python's start included
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from xops.core.settings import ROOT
from xops.ecs import terraform_discovery
from xops.ecs.environment import Environment
from xops.ecs.stream1 import Stream1
from xops.local import runs

ROUNDS = 3
"""Pairs measured of what takes seconds; what takes minutes is measured once."""

XOPS = str(Path(sys.executable).with_name("xops"))
out = Console()


@dataclass
class Row:
    """One comparison: seconds of ours and of the baseline, pair by pair."""

    name: str
    baseline: str
    target: float | None = None
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """The median of the pairs' ratios; None without a baseline."""
        pairs = zip(self.ours, self.theirs, strict=False)
        ratios = [ours / theirs for ours, theirs in pairs]
        return statistics.median(ratios) if ratios else None

    def cells(self) -> list[str]:
        """The row as printed."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}x"
        target = "" if self.target is None else f"<= {self.target:.2f}x"
        theirs = f"{statistics.median(self.theirs):.1f}" if self.theirs else ""
        return [
            self.name,
            f"{statistics.median(self.ours):.1f}",
            self.baseline,
            theirs,
            ratio,
            target,
        ]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Home:
    """An embedded stack of its own below one folder."""

    folder: Path
    aws_port: int
    prefect_port: int

    @property
    def environ(self) -> dict[str, str]:
        """The environment of its commands."""
        return {
            **os.environ,
            "XOPS_HOME": str(self.folder),
            "XOPS_AWS_PORT": str(self.aws_port),
            "XOPS_PREFECT_PORT": str(self.prefect_port),
        }

    def xops(self, *arguments: str) -> float:
        """Run the command; the seconds it took."""
        return timed([XOPS, *arguments], ROOT, self.environ)

    def stream(self) -> Stream1:
        """`local` on its embedded AWS, which is started, with the state's bucket in place.

        The bare tool needs the bucket as well, so neither side is timed for making it.
        """
        self.xops("ecs", "plan", "-e", "local")
        os.environ["XOPS_HOME"] = str(self.folder)
        endpoint = {"XOPS_AWS_ENDPOINT": f"http://127.0.0.1:{self.aws_port}"}
        stream = Stream1.open(Environment.load("local"), {**self.environ, **endpoint})
        stream.bucket.apply(stream.bucket.changes())
        return stream


@contextmanager
def home() -> Iterator[Home]:
    """A stack that is stopped and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="xops-bench-") as folder:
        stack = Home(Path(folder), free_port(), free_port())
        try:
            yield stack
        finally:
            stack.xops("down")


def timed(
    argv: list[str], cwd: Path, environ: dict[str, str], accepted: tuple[int, ...] = (0,)
) -> float:
    """Run a command to its end; the seconds it took.

    Raises:
        SystemExit: it failed; its output is the message.
    """
    started = time.monotonic()
    done = subprocess.run(argv, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    taken = time.monotonic() - started
    if done.returncode not in accepted:
        sys.exit(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return taken


class Bare:
    """Terraform by hand on the same stack, with an embedded AWS of its own."""

    def __init__(self, stack: Home) -> None:
        stream = stack.stream()
        stream.plan()  # leaves an initialised data folder, the variables and the configuration
        self._terraform = stream.terraform
        self._environ = stream.terraform._environment()
        self._variables = stream.terraform.work / "environment.tfvars.json"

    def _run(self, *arguments: str, accepted: tuple[int, ...] = (0,)) -> float:
        argv = [*self._terraform.binary.argv, *arguments, f"-var-file={self._variables}"]
        return timed(argv, self._terraform.stack, self._environ, accepted)

    def apply(self) -> float:
        """`terraform apply` from nothing."""
        return self._run("apply", "-auto-approve", "-input=false", "-json")

    def plan(self) -> float:
        """`terraform plan` of an unchanged stack."""
        return self._run("plan", "-input=false", "-json", "-detailed-exitcode")


class Flow:
    """provision-ecs through the Prefect server and its worker."""

    def __init__(self, stack: Home) -> None:
        self._api = f"http://127.0.0.1:{stack.prefect_port}/api"

    def run(self) -> float:
        """One run with apply; the seconds from its start to its end as Prefect measured them."""
        parameters = {"request": {"environment": "local"}, "apply": True}
        number = runs.start(self._api, "provision-ecs/ecs", parameters)
        runs.follow(self._api, number, lambda step: None)
        with runs.client(self._api) as prefect:
            run = prefect.read_flow_run(number)
        if run.start_time is None or run.end_time is None:
            sys.exit(f"the run {run.name} has ended, but the server does not say when")
        return float((run.end_time - run.start_time).total_seconds())


def say(message: str) -> None:
    """Progress, on stderr."""
    sys.stderr.write(f"bench: {message}\n")


def measured(row: Row, ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> Row:
    """Measure in turn, baseline first."""
    for number in range(1, rounds + 1):
        row.theirs.append(theirs())
        row.ours.append(ours())
        say(f"{row.name}, pair {number}: {row.ours[-1]:.1f} s, baseline {row.theirs[-1]:.1f} s")
    return row


def main() -> None:
    """Measure everything and print the table, then the same as one line of JSON."""
    binary = terraform_discovery.find_binary(os.environ)
    say(f"Terraform {binary.version} from {binary.source}; about ten minutes")
    rows: list[Row] = []
    with home() as hand, home() as stack:
        bare = Bare(hand)
        stack.stream()
        bring_up = "import sys; from xops.local import stack, up; up.bring_up(stack.stack(), print)"
        timed([sys.executable, "-c", bring_up], ROOT, stack.environ)
        flow = Flow(stack)
        apply = Row("provision-ecs, apply", "terraform apply", 1.10)
        rows.append(measured(apply, flow.run, bare.apply, 1))
        no_op = Row("provision-ecs, no-op", "terraform plan", 1.25)
        rows.append(measured(no_op, flow.run, bare.plan, ROUNDS))
        shell = Row("xops ecs apply, no-op", "terraform plan")
        rows.append(
            measured(shell, lambda: stack.xops("ecs", "apply", "-e", "local"), bare.plan, ROUNDS)
        )
        again = Row("make run ONCE=1, everything up", "")
        again.ours = [stack.xops("up", "--once")]
        stack.xops("down")
        first = Row("make run ONCE=1, nothing up, warm caches", "")
        first.ours = [stack.xops("up", "--once")]
        rows += [again, first]
    unit = Row("unit suite", "")
    unit.ours = [timed([sys.executable, "-m", "pytest", "-q", "tests/unit"], ROOT, {**os.environ})]
    show([*rows, unit])


def show(rows: list[Row]) -> None:
    """The table for people and one line of JSON for machines."""
    table = Table()
    for title in ("what", "seconds", "baseline", "seconds", "ratio", "target"):
        table.add_column(title, justify="left" if title in ("what", "baseline") else "right")
    for row in rows:
        table.add_row(*row.cells())
    out.print(table)
    out.print(json.dumps([{**vars(row), "ratio": row.ratio} for row in rows]), soft_wrap=True)


if __name__ == "__main__":
    main()
