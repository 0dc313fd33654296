"""Run folders where several runs start at once, and where a run dies."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from xops.ecs.run_folder import KEPT, RunFolder, prune

RUNS = 8
HOLDER = """
import sys
from pathlib import Path
from xops.ecs.run_folder import RunFolder
folder = RunFolder(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def old_run(parent: Path, name: str) -> Path:
    """A folder as earlier releases left it: a copy of terraform/, logs, no lock."""
    for part in ("terraform/stacks/stream1/main.tf", "terraform/modules/ecs/main.tf",
                 "logs/plan.log", "environment.tfvars.json"):  # fmt: skip
        file = parent / name / part
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(part)
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
        return RunFolder.create(parent)

    with ThreadPoolExecutor(RUNS) as pool:
        created = list(pool.map(start, range(RUNS)))
    assert all(folder.path.is_dir() for folder in created)
    prune(parent, KEPT)
    assert len(names(parent)) == KEPT
    assert {folder.path.name for folder in created} <= set(names(parent))


def test_the_oldest_go_first(parent: Path) -> None:
    newest = names(parent)[-(KEPT - 1) :]
    created = RunFolder.create(parent)
    assert names(parent) == [*newest, created.path.name]
    assert created.path.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_a_live_run_holds_stays(tmp_path: Path) -> None:
    held = tmp_path / "20260101T000000.000000-1"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(held)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        try:
            assert run.stdout is not None
            assert run.stdout.readline() == "held\n"
            old_run(tmp_path, "20260102T000000.000000-2")
            prune(tmp_path, 0)
            assert names(tmp_path) == [held.name]
        finally:
            run.kill()
    prune(tmp_path, 0)
    assert names(tmp_path) == []


def test_a_folder_is_free_when_its_run_is_over(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    prune(tmp_path, 0)
    assert folder.path.is_dir()
    del folder
    prune(tmp_path, 0)
    assert names(tmp_path) == []


def test_what_is_no_folder_of_a_run_is_left_alone(tmp_path: Path) -> None:
    parent, elsewhere = tmp_path / "runs", old_run(tmp_path, "elsewhere")
    parent.mkdir()
    (parent / "notes.txt").write_text("mine")
    (parent / "link").symlink_to(elsewhere, target_is_directory=True)
    prune(parent, 0)
    assert names(parent) == ["link", "notes.txt"]
    assert (elsewhere / "logs" / "plan.log").is_file()
