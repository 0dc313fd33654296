"""What `xops down` waits for where no server runs: commands and Terraforms that use the stack."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.prefect_servers import home
from tests.processes import running
from tests.waiting import look_until_found
from xops.core.process import ServiceProcess
from xops.ecs import run_folder
from xops.local import down
from xops.local.stack import Stack, stack

RUN = """
import sys
from pathlib import Path
from uuid import uuid4
from xops.ecs.run_folder import RunFolder
folder = RunFolder.create(Path(sys.argv[1]))
print(folder.path, flush=True)
input()
"""


@contextmanager
def run_of(place: Path, environment: str, target: str | None) -> Iterator[int]:
    """A command that goes on in its run's folder; its process."""
    argv = [sys.executable, "-c", RUN, str(place / "runs" / environment)]
    with running(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        folder = Path(command.stdout.readline().decode().strip())
        if target is not None:
            facts = {"target": target, "state": "s3://bucket/key"}
            (folder / run_folder.FACTS).write_text(json.dumps(facts))
        yield command.pid
        command.communicate()


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Stack]:
    with home(tmp_path / "home"):
        yield stack()


@pytest.mark.parametrize("target", ["embedded", None])
def test_a_command_on_the_embedded_aws_is_waited_for_and_named(
    found: Stack, target: str | None
) -> None:
    said: list[str] = []
    with run_of(found.home, "test", target) as pid:
        with pytest.raises(down.StillAtWorkError) as caught:
            down.stop(found, 0.5, said.append)
        assert caught.value.left == [f"environment test: a command (process {pid})"]
    assert down.stop(found, 60, said.append) == []


def test_a_command_on_a_real_account_is_not(found: Stack) -> None:
    with run_of(found.home, "prod", "aws"), run_of(found.home, "sit", "localstack"):
        assert down.stop(found, 60, print) == []


def test_where_nothing_goes_on_nothing_is_waited_for(found: Stack) -> None:
    started = time.monotonic()
    assert down.stop(found, 60, print) == []
    assert time.monotonic() - started < 5


# Counts what it is sent, and has a tool in a session of its own.
ENGINE = """# stands where the engine of prefect does
import pathlib, signal, subprocess, sys
folder = pathlib.Path(sys.argv[1])
def heard(number, frame):
    with (folder / "heard").open("a") as file:
        file.write("TERM ")
    if not (folder / "deaf").exists():
        tool.kill()
signal.signal(signal.SIGTERM, heard)
tool = subprocess.Popen(["sleep", "600"], start_new_session=True)
(folder / "tool").write_text(str(tool.pid))
tool.wait()
"""


@contextmanager
def prefect_run(found: Stack, folder: Path) -> Iterator[ServiceProcess]:
    """A run whose server and worker are gone; its tool."""
    variables = {"XOPS_HOME": str(found.home), "PREFECT__FLOW_RUN_ID": str(uuid4())}
    argv = [sys.executable, "-c", ENGINE, str(folder)]
    with running(argv, env={**os.environ, **variables}, start_new_session=True):
        look_until_found(lambda: (folder / "tool").exists() and (folder / "tool").read_text())
        tool = ServiceProcess.find(int((folder / "tool").read_text()))
        assert tool is not None
        try:
            yield tool
        finally:
            tool.ask_to_end()


def test_a_run_without_server_and_worker_is_interrupted_once(found: Stack, tmp_path: Path) -> None:
    said: list[str] = []
    with prefect_run(found, tmp_path) as tool:
        assert down.stop(found, 60, said.append) == []
        assert not tool.alive()
    assert (tmp_path / "heard").read_text().split() == ["TERM"]
    assert [line.split()[0] for line in said] == ["interrupting"]


def test_a_run_that_does_not_end_is_ended_and_its_tool_is_left_and_named(
    found: Stack, tmp_path: Path
) -> None:
    (tmp_path / "deaf").touch()
    with prefect_run(found, tmp_path) as tool:
        with pytest.raises(down.StillAtWorkError) as caught:
            down.stop(found, 2, lambda _: None)
        [left] = caught.value.left
        assert left.startswith(f"sleep (process {tool.pid}, since ")
        assert tool.alive()
    assert (tmp_path / "heard").read_text().split()[0] == "TERM"


def test_a_run_of_another_installation_is_left_alone(found: Stack, tmp_path: Path) -> None:
    with home(tmp_path / "another"):
        other = stack()
    with prefect_run(other, tmp_path) as tool:
        assert down.stop(found, 60, print) == []
        assert tool.alive()
    assert not (tmp_path / "heard").exists()
