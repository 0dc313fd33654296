"""Run folders where several runs start at once, and where a run or its Terraform dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.processes import running
from tests.waiting import look_until_found
from xops.core.errors import PermanentError
from xops.ecs import run_folder
from xops.ecs.run_folder import DAYS, KEPT, RunFolder, prune

RUNS = 8
OWN = "20270101T000000.000000-9"
"""The run that asks about others."""
HOLDER = """
import sys
from pathlib import Path
from xops.ecs.run_folder import RunFolder
folder = RunFolder(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""
# A tool that is started as Terraform is, and goes on after this process is killed. What it has
# started itself, as Terraform does with providers, outlives even the tool.
STARTS_A_TOOL = """
import sys
from pathlib import Path
from xops.core import process
from xops.ecs.run_folder import RunFolder, terraform_lock
folder = RunFolder(Path(sys.argv[1]))
script = "sleep 60 & echo $$ $! > pids; while [ ! -e release ]; do sleep 0.05; done; kill $!"
with terraform_lock(folder.path) as lock:
    argv = ["/bin/sh", "-c", script]
    process.run(
        process.Command(argv, cwd=folder.path, env={"PATH": "/bin:/usr/bin"}, deadline=60,
                        inherits=(lock,))
    )
"""


def ignore(message: str) -> None:
    """A line that nobody reads."""


def old_run(parent: Path, name: str, *, finished: bool = True) -> Path:
    """A folder as runs leave it: a copy of terraform/, logs, and its mark."""
    for part in ("terraform/stacks/stream1/main.tf", "terraform/modules/ecs/main.tf",
                 "logs/plan.log", "environment.tfvars.json"):  # fmt: skip
        file = parent / name / part
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(part)
    if finished:
        assert run_folder.mark_finished(parent / name)
    return parent / name


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    for number in range(60):
        old_run(tmp_path, f"20260101T000000.{number:06d}-{number}")
    return tmp_path


def names(parent: Path) -> list[str]:
    return sorted(folder.name for folder in parent.iterdir())


def test_runs_that_start_at_once_prune_the_same_folders_without_an_error(parent: Path) -> None:
    together = threading.Barrier(RUNS)

    def start(_number: int) -> RunFolder:
        together.wait()
        created = RunFolder.create(parent)
        prune(parent, ignore)
        return created

    with ThreadPoolExecutor(RUNS) as pool:
        created = list(pool.map(start, range(RUNS)))
    assert len(names(parent)) == KEPT + RUNS
    assert {folder.path.name for folder in created} <= set(names(parent))


def test_the_oldest_finished_ones_go_first_and_are_named(parent: Path) -> None:
    oldest, newest = names(parent)[:-KEPT], names(parent)[-KEPT:]
    said: list[str] = []
    prune(parent, said.append)
    assert names(parent) == newest
    assert len(said) == 1
    assert all(name in said[0] for name in oldest)


def test_a_finished_one_goes_by_age_though_there_are_few(tmp_path: Path) -> None:
    old, young = old_run(tmp_path, "20260101T000000-1"), old_run(tmp_path, "20260102T000000-2")
    long_ago = (datetime.now(UTC) - timedelta(days=DAYS, minutes=1)).timestamp()
    os.utime(old / "finished", (long_ago, long_ago))
    prune(tmp_path, ignore)
    assert names(tmp_path) == [young.name]


def test_its_folder_is_its_own(tmp_path: Path) -> None:
    created = RunFolder.create(tmp_path / "runs")
    assert created.path.stat().st_mode & 0o777 == 0o700
    assert names(tmp_path / "runs") == [created.path.name]


@contextmanager
def held_by_a_run(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with running([sys.executable, "-c", HOLDER, str(folder)], **pipes) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"held\n"
        yield run


LATER = datetime.now(UTC) + timedelta(days=10 * DAYS)


def test_a_folder_that_a_live_run_holds_stays_whatever_its_age(tmp_path: Path) -> None:
    held = tmp_path / "20260101T000000.000000-1"
    with held_by_a_run(held) as run:
        assert run_folder.mark_finished(held)  # as it does at its end, before it lets go
        prune(tmp_path, ignore, LATER)
        assert names(tmp_path) == [held.name]
        run.kill()
        run.wait()
    prune(tmp_path, ignore, LATER)
    assert names(tmp_path) == []


def test_a_killed_run_is_known_and_its_folder_stays_until_another_has_taken_over(
    tmp_path: Path,
) -> None:
    killed = tmp_path / "20260101T000000.000000-1"
    with held_by_a_run(killed) as run:
        assert run_folder.killed_runs(tmp_path / OWN) == []
        run.kill()
        run.wait()
    assert run_folder.killed_runs(tmp_path / OWN) == [killed]
    prune(tmp_path, ignore, LATER)
    assert killed.is_dir()

    said: list[str] = []
    run_folder.close_killed_runs(tmp_path / OWN, said.append)
    assert killed.name in said[0]
    assert run_folder.killed_runs(tmp_path / OWN) == []
    prune(tmp_path, ignore, LATER)
    assert not killed.exists()


@pytest.mark.parametrize(
    "part", ["terraform/stacks/stream1/errored.tfstate", "unstored/record.json"]
)
def test_what_is_nowhere_else_holds_its_folder(tmp_path: Path, part: str) -> None:
    folder = old_run(tmp_path, "20260101T000000.000000-1", finished=False)
    (folder / part).parent.mkdir(exist_ok=True)
    (folder / part).write_text("{}")
    run_folder.close_killed_runs(tmp_path / OWN, ignore)
    assert run_folder.killed_runs(tmp_path / OWN) == [folder]
    assert run_folder.needed(folder) == [folder / part]

    (folder / "finished").touch()
    prune(tmp_path, ignore, LATER)
    assert folder.is_dir()
    (folder / part).unlink()
    prune(tmp_path, ignore, LATER)
    assert not folder.exists()


def test_a_killed_run_on_another_target_is_left_to_the_runs_there(tmp_path: Path) -> None:
    for name, target in (("1", "aws"), ("2", "embedded"), (OWN, "embedded")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(f'{{"target": "{target}"}}')
    (tmp_path / "3").mkdir()  # an earlier release's does not say
    own = tmp_path / OWN
    (own / "finished").touch()
    assert run_folder.killed_runs(own) == [tmp_path / "2", tmp_path / "3"]
    run_folder.close_killed_runs(own, ignore)
    assert not (tmp_path / "1" / "finished").exists()


class Stop(BaseException):
    """As Prefect's TerminationSignal."""


@pytest.mark.parametrize(
    ("error", "finished"),
    [(None, True), (PermanentError("a", "b", "c"), True), (KeyboardInterrupt(), False),
     (Stop(), False), (OSError(), False)],
)  # fmt: skip
def test_a_run_that_was_interrupted_is_not_called_finished(
    tmp_path: Path, error: BaseException | None, finished: bool
) -> None:
    folder = RunFolder.create(tmp_path)
    with nullcontext() if error is None else pytest.raises(type(error)), folder:
        if error is not None:
            raise error
    path = folder.path
    del folder
    assert (run_folder.killed_runs(tmp_path / OWN) == []) is finished
    assert (path / "finished").exists() is finished


def test_what_is_no_folder_of_a_run_is_left_alone(tmp_path: Path) -> None:
    parent, elsewhere = tmp_path / "runs", old_run(tmp_path, "elsewhere")
    parent.mkdir()
    (parent / "notes.txt").write_text("mine")
    (parent / "link").symlink_to(elsewhere, target_is_directory=True)
    run_folder.close_killed_runs(parent / OWN, ignore)
    prune(parent, ignore, LATER)
    assert names(parent) == ["link", "notes.txt"]
    assert (elsewhere / "logs" / "plan.log").is_file()


# A tool that outlives its run


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[tuple[Path, int, int]]:
    """The folder of a run that was killed, its tool, and what the tool has started."""
    folder = tmp_path / "20260101T000000.000000-1"
    with running([sys.executable, "-c", STARTS_A_TOOL, str(folder)]) as run:
        look_until_found(lambda: (folder / "pids").exists() and (folder / "pids").read_text(), 30)
        tool, child = map(int, (folder / "pids").read_text().split())
        run.kill()
        run.wait()
    yield folder, tool, child
    (folder / "release").touch()
    for left in (tool, child):
        look_until_found(partial(_end, left))


def _end(pid: int) -> bool:
    """Whether this process, which the test has started, is gone; it is killed if it is not."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


def test_the_kernel_tells_that_a_tool_outlives_its_run(
    orphan: tuple[Path, int, int],
) -> None:
    folder, tool, _child = orphan
    assert run_folder.killed_runs(folder.parent / OWN) == [folder]
    assert run_folder.terraform_at_work(folder)
    first = run_folder.terraform_holders(folder)[0]
    assert (first.process.pid, first.leads) == (tool, True)
    assert abs(first.started.timestamp() - time.time()) < 60
    run_folder.close_killed_runs(folder.parent / OWN, ignore)
    assert run_folder.killed_runs(folder.parent / OWN) == [folder]

    (folder / "release").touch()
    look_until_found(lambda: not run_folder.terraform_at_work(folder))
    run_folder.close_killed_runs(folder.parent / OWN, ignore)
    assert run_folder.killed_runs(folder.parent / OWN) == []


def test_what_a_killed_tool_leaves_running_is_no_tool_at_work(
    orphan: tuple[Path, int, int],
) -> None:
    folder, tool, child = orphan
    os.kill(tool, signal.SIGKILL)
    look_until_found(lambda: not run_folder.terraform_at_work(folder))
    assert child in [holder.process.pid for holder in run_folder.terraform_holders(folder)]
