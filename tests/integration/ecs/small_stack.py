"""Stream 1's steps on a stack of `terraform_data`: everything is real, and takes seconds.

The second resource lasts until `release` exists in the stack's folder, which is in its run's.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from xops.aws.access import Aws
from xops.core.files import settings
from xops.core.lifecycle.watching import Progress
from xops.core.plan.fingerprint import FingerprintKey
from xops.core.plan.model import Plan
from xops.ecs.environment import Environment
from xops.ecs.run_folder import RunFolder
from xops.ecs.stream1 import EcsPlan, Stream1
from xops.ecs.terraform import Terraform
from xops.ecs.terraform_discovery import find_binary
from xops.ecs.terraform_errors import COMMAND

STACK = """
terraform {
  backend "s3" {}
}
resource "terraform_data" "first" { input = "SIZE" }
resource "terraform_data" "slow" {
  triggers_replace = ["SIZE"]
  input = terraform_data.first.output
  provisioner "local-exec" {
    command = "touch waiting; for n in $(seq 600); do [ -e release ] || sleep 0.1; done"
  }
}
check "size" {
  assert {
    condition     = terraform_data.first.input != "small"
    error_message = "The size is small."
  }
}
output "size" { value = terraform_data.slow.output }
"""


@dataclass
class Heard:
    """Watches, and keeps what was said; may be told what to do at a step of Terraform."""

    notes: list[str] = field(default_factory=list)
    at_step: Callable[[Progress], None] = lambda progress: None

    def plan_ready(self, plan: Plan) -> None: ...

    def note(self, message: str) -> None:
        self.notes.append(message)

    def progress(self, progress: Progress) -> None:
        self.at_step(progress)


KEY = FingerprintKey("k" * 32)

_NUMBERS = itertools.count(1)

Open = Callable[..., Stream1]


def own_environment() -> Environment:
    """`local` with a bucket of its own, so that each test's account is empty."""
    environment = Environment.load("local", environ={})
    bucket = f"small-{os.getpid()}-{next(_NUMBERS)}"
    return environment.model_copy(
        update={"state": environment.state.model_copy(update={"bucket": bucket})}
    )


def open_small(aws: Aws, environment: Environment, size: str = "large") -> Stream1:
    """As `Stream1.open`, with the small stack in the place of terraform/."""
    folder = RunFolder.create(settings.home() / "runs" / environment.name)
    stack = folder.path / "terraform" / "stacks" / "stream1"
    stack.mkdir(parents=True)
    (stack / "main.tf").write_text(STACK.replace("SIZE", size))
    terraform = Terraform(
        binary=find_binary(os.environ),
        stack=stack,
        work=folder.path,
        data=folder.path / "data",
        environ=aws.terraform_environ(),
        lock_timeout=0,
        command=COMMAND.replace("NAME", environment.name),
    )
    stream = Stream1(environment, aws, terraform, "123456789012", "arn", folder, Heard(), KEY)
    stream.write_facts()
    return stream


def apply(stream: Stream1, planned: EcsPlan) -> dict[str, Any]:
    """All stages of a plan, as the lifecycle goes through them; the outputs."""
    while planned.plan.stages:
        outputs = stream.apply(planned, planned.plan.stages[0])
        if not planned.plan.stages[1:]:
            return outputs
        planned = stream.plan()
    return stream.outputs()


@pytest.fixture
def open_stream(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """`open_stream(size=...)`: a new run of this test's own environment."""
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
    environment = own_environment()

    def opened(size: str = "large", *, released: bool = True, **values: Any) -> Stream1:
        stream = replace(open_small(aws, environment, size), **values)
        if released:
            release(stream.folder.path)
        return stream

    yield opened
    for folder in (tmp_path / "home" / "runs" / "local").glob("*"):
        release(folder)


def release(folder: Path) -> None:
    """Let the slow resource of the run with this folder end."""
    (folder / "terraform" / "stacks" / "stream1" / "release").touch()


def notes(stream: Stream1) -> list[str]:
    """What this run has said."""
    assert isinstance(stream.watcher, Heard)
    return stream.watcher.notes
