"""Stream 1: what xOps costs on top of the bare tool, and how long a person waits.

provision-ecs, apply    the flow run, against `terraform apply -auto-approve` of the same stack;
                        each pair on two empty accounts
provision-ecs, no-op    the flow run, against `terraform plan` of the unchanged stack
xops ecs apply, no-op   the same from a shell, Python's start included
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.rows import ROUNDS, XOPS, Row, measured, say, timed
from xops.core.errors import ExitCode
from xops.core.files.settings import ROOT
from xops.core.lifecycle.watching import Progress
from xops.core.plan.model import Plan
from xops.ecs import terraform_discovery
from xops.ecs.environment import Environment
from xops.ecs.stream1 import Stream1
from xops.local.stack import running_stack
from xops.prefect_server import runs


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
    github_port: int

    @property
    def environ(self) -> dict[str, str]:
        """The environment of its commands."""
        return {
            **os.environ,
            "XOPS_HOME": str(self.folder),
            "XOPS_AWS_PORT": str(self.aws_port),
            "XOPS_PREFECT_PORT": str(self.prefect_port),
            "XOPS_GITHUB_PORT": str(self.github_port),
        }

    def xops(self, *arguments: str, accepted: tuple[int, ...] = (ExitCode.DONE,)) -> float:
        """Run the command; the seconds it took."""
        return timed([XOPS, *arguments], ROOT, self.environ, accepted)

    def stream(self) -> Stream1:
        """`local` on its embedded AWS, which is started; nothing is applied yet.

        The bare tool needs the state's bucket and `terraform init` as well, so neither side is
        timed for them.
        """
        self.xops("ecs", "plan", "-e", "local", accepted=(ExitCode.FINDINGS,))
        os.environ["XOPS_HOME"] = str(self.folder)
        endpoint = {"XOPS_AWS_ENDPOINT": f"http://127.0.0.1:{self.aws_port}"}
        stream = Stream1.open(Environment.load("local"), Silent(), {**self.environ, **endpoint})
        stream.bucket.apply(stream.bucket.changes(exists=stream.bucket.exists()))
        stream.plan()  # leaves an initialised data folder, the variables and the configuration
        return stream


class Silent:
    """Watches without a word."""

    def plan_ready(self, plan: Plan) -> None:
        """As `Watcher.plan_ready`."""

    def note(self, message: str) -> None:
        """As `Watcher.note`."""

    def progress(self, progress: Progress) -> None:
        """As `Watcher.progress`."""


@contextmanager
def home() -> Iterator[Home]:
    """A stack that is stopped and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="xops-bench-") as folder:
        stack = Home(Path(folder), free_port(), free_port(), free_port())
        try:
            yield stack
        finally:
            stack.xops("down")


class Bare:
    """Terraform by hand on the same stack, with an embedded AWS of its own."""

    def __init__(self, stack: Home) -> None:
        stream = stack.stream()
        self._terraform = stream.terraform
        self._environ = stream.terraform._prepare_environment()
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
        os.environ["XOPS_HOME"] = str(stack.folder)
        self._profile = running_stack(stack.environ).profile

    def run(self) -> float:
        """One run with apply; the seconds from its start to its end as Prefect measured them."""
        parameters = {"request": {"environment": "local"}, "apply": True}
        number = runs.start(self._profile, "provision-ecs/provision-ecs", parameters)
        runs.follow(self._profile, number, lambda step: None)
        with runs.client(self._profile) as prefect:
            run = prefect.read_flow_run(number)
        if run.start_time is None or run.end_time is None:
            sys.exit(f"the run {run.name} has ended, but the server does not say when")
        return float((run.end_time - run.start_time).total_seconds())


def measure() -> list[Row]:
    """Measure everything about Stream 1, and how long the unit suite takes."""
    binary = terraform_discovery.find_binary(os.environ)
    say(f"Terraform {binary.version} from {binary.source}; about twenty minutes")
    rows = [Row("provision-ecs, apply", "terraform apply", 1.05)]
    for number in range(ROUNDS):
        with home() as hand, home() as stack:
            bare, flow = _ready(hand, stack)
            measured(rows[0], flow.run, bare.apply, 1)
            if number == ROUNDS - 1:
                rows += _no_ops(stack, flow, bare)
    unit = Row("unit suite", "")
    unit.ours = [timed([sys.executable, "-m", "pytest", "-q", "tests/unit"], ROOT, {**os.environ})]
    return [*rows, unit]


def _ready(hand: Home, stack: Home) -> tuple[Bare, Flow]:
    """Both sides on an empty account, each with its servers up and Terraform initialised."""
    bare = Bare(hand)
    stack.stream()
    bring_up = "import sys; from xops.local import stack, up; up.bring_up(stack.stack(), print)"
    timed([sys.executable, "-c", bring_up], ROOT, stack.environ)
    return bare, Flow(stack)


def _no_ops(stack: Home, flow: Flow, bare: Bare) -> list[Row]:
    by_flow = Row("provision-ecs, no-op", "terraform plan", 1.15)
    by_command = Row("xops ecs apply, no-op", "terraform plan", 1.15)
    return [
        measured(by_flow, flow.run, bare.plan, ROUNDS),
        measured(by_command, lambda: stack.xops("ecs", "apply", "-e", "local"), bare.plan, ROUNDS),
    ]
