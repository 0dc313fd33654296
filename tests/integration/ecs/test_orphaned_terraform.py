"""A run is killed in the middle of its apply and its Terraform goes on."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.ecs.small_stack import Open, apply, notes, open_stream, release
from tests.processes import running
from tests.waiting import look_until_found
from xops.aws.access import Aws
from xops.ecs import run_folder
from xops.ecs.orphaned_terraform import TerraformAtWorkError

__all__ = ["open_stream"]

Eventually = Callable[..., object]

# Applies `large` in a process of its own, which the test kills.
APPLY = """
import sys
from tests.embedded_aws import reaching
from tests.integration.ecs.small_stack import apply, open_small
from xops.aws.access import Aws
from xops.aws.target import Target
from xops.ecs.environment import Environment
endpoint, bucket = sys.argv[1:]
environment = Environment.load("local", environ={})
state = environment.state.model_copy(update={"bucket": bucket})
environment = environment.model_copy(update={"state": state})
aws = Aws(Target.EMBEDDED, environment.region, reaching(endpoint))
stream = open_small(aws, environment)
print(stream.folder.path, flush=True)
with stream.folder:
    apply(stream, stream.plan())
"""


@dataclass(frozen=True)
class Killed:
    """The run that was killed."""

    folder: Path

    @property
    def terraform(self) -> int:
        """Its Terraform's process."""
        return run_folder.terraform_holders(self.folder)[0].process.pid


@pytest.fixture
def killed(aws: Aws, open_stream: Open, endpoint: str, eventually: Eventually) -> Iterator[Killed]:
    bucket = open_stream().bucket.name
    argv = [sys.executable, "-c", APPLY, endpoint, bucket]
    with running(argv, stdout=subprocess.PIPE, cwd=Path.cwd()) as run:
        assert run.stdout is not None
        folder = Path(run.stdout.readline().decode().strip())
        eventually((folder / "terraform/stacks/stream1/waiting").exists, 60)
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
    yield Killed(folder)
    release(folder)
    eventually(lambda: not run_folder.terraform_at_work(folder), 60)


def test_the_next_run_names_it_waits_for_it_and_plans_on_what_it_has_made(
    killed: Killed, open_stream: Open
) -> None:
    stream = open_stream("large")
    terraform = killed.terraform
    said = notes(stream)

    def release_when_told() -> None:
        look_until_found(lambda: said, 60)
        release(killed.folder)

    with ThreadPoolExecutor(1) as beside, stream.folder:
        beside.submit(release_when_told)
        planned = stream.plan()

    assert planned.plan.is_empty
    assert killed.folder.name in said[0]
    assert f"terraform apply of run {killed.folder.name} (process {terraform}, since " in said[0]
    assert "1 of 2 resources done, last: terraform_data.slow: " in said[0]
    assert "it has ended" in said[1]
    assert "was killed or interrupted; nothing of it is left to do" in said[2]
    assert (killed.folder / "finished").exists()


def test_one_that_does_not_end_is_a_temporary_error_and_nothing_is_unlocked(
    killed: Killed, open_stream: Open
) -> None:
    stream = open_stream("large", patience=1.0)
    lock = f"{stream.environment.state.key}.tflock"
    with pytest.raises(TerraformAtWorkError, match=f"process {killed.terraform}") as caught:
        stream.plan()
    assert caught.value.exit_code == 5
    assert stream.bucket.read(lock) is not None
    assert run_folder.terraform_at_work(killed.folder)

    with pytest.raises(TerraformAtWorkError):
        stream.unlock("an id that is not even asked about")
    assert stream.bucket.read(lock) is not None


def test_terraform_itself_killed_is_no_terraform_at_work_but_a_lock(
    killed: Killed, open_stream: Open, eventually: Eventually
) -> None:
    """Power loss, as far as one machine can show it: its lock and its provisioner stay."""
    os.kill(killed.terraform, signal.SIGKILL)
    eventually(lambda: not run_folder.terraform_at_work(killed.folder))
    stream = open_stream("large", patience=0.0)
    with pytest.raises(Exception, match="is locked by"):
        stream.plan()
    assert notes(stream) == []
    assert not (killed.folder / "finished").exists()


def test_the_run_of_a_live_process_is_not_waited_for(open_stream: Open) -> None:
    """Its Terraform holds the state's lock, which tells who it is."""
    live = open_stream("large", released=False)
    with run_folder.terraform_lock(live.folder.path):
        other = open_stream("large", patience=0.0)
        assert other.plan().plan.changes


def test_a_terraform_that_an_earlier_attempt_left_is_waited_for(
    open_stream: Open, eventually: Eventually
) -> None:
    """A deadline passed: it was interrupted once and still finishes, in this run's own folder."""
    stream = open_stream("large", patience=0.0)
    script = "trap '' INT; touch waiting; while [ ! -e release ]; do sleep 0.05; done"
    with run_folder.terraform_lock(stream.folder.path) as lock:
        tool = subprocess.Popen(
            ["/bin/sh", "-c", script],
            cwd=stream.terraform.stack,
            pass_fds=(lock,),
            start_new_session=True,
        )
    (stream.terraform.stack / "release").unlink()
    try:
        with pytest.raises(TerraformAtWorkError, match=f"process {tool.pid}"):
            stream.plan()
    finally:
        release(stream.folder.path)
        tool.wait(20)
    assert stream.plan().plan.changes


def test_warnings_and_failed_checks_are_kept_with_the_plan(open_stream: Open) -> None:
    stream = open_stream("small")
    planned = stream.plan()
    _assert_warned(planned.saved.warnings)
    apply(stream, planned)

    unchanged = open_stream("small").plan()
    assert unchanged.plan.is_empty
    _assert_warned(unchanged.saved.warnings)
    assert "check.size" not in {row.address for row in open_stream("large").plan().saved.warnings}


def _assert_warned(warnings: tuple[object, ...]) -> None:
    told = [str(row) for row in warnings]
    assert "check.size: Check block assertion failed: The size is small." in told
    assert any("Value for undeclared variable" in row for row in told)
    assert len(set(told)) == len(told)
