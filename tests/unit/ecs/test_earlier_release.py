"""What the release before (commit f9ea4ca) has left: a record that it wrote and the files of a run.

Made by its `xops ecs apply -e local`; the machine's name and the time of the folder are others.
"""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from xops.core.evidence.records import record
from xops.core.evidence.stores import FolderStore
from xops.core.plan.model import Plan
from xops.ecs.run_folder import KEPT, RunFolder

LATER = datetime(2030, 1, 1, tzinfo=UTC)
SAMPLES = Path(__file__).parent / "samples" / "earlier"
RECORD = SAMPLES / "20261128T200705.892314Z-404fc355f3cd-apply.json.gz"
RUN = "20200101T200231.795661-23448"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The record where it was kept."""
    file = tmp_path / "ecs" / "local" / RECORD.stem
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.decompress(RECORD.read_bytes()))
    return file


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The run's folder where it was kept: no lock, and a plan that was never applied."""
    for name in (SAMPLES / "run-folder.txt").read_text().split():
        file = tmp_path / "runs" / RUN / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return tmp_path / "runs"


def test_a_record_names_the_plan_that_it_holds(kept: Path) -> None:
    body = json.loads(kept.read_text())
    plan = Plan.model_validate(body["plan"])
    assert plan.digest == body["digest"]
    assert plan.label in kept.name
    assert len(plan.changes) == 120
    assert set(body["seconds"]) == {"plan", "apply", "verify"}


def test_a_record_is_left_alone_and_the_next_stands_behind_it(kept: Path, tmp_path: Path) -> None:
    before = kept.read_bytes()
    later = Path(record(FolderStore(tmp_path), "ecs/local", "apply", "f" * 64, {}, LATER))
    assert kept.read_bytes() == before
    assert sorted(kept.parent.iterdir()) == [kept, later]


def test_a_runs_folder_is_left_alone_while_it_is_among_the_newest(runs: Path) -> None:
    created = RunFolder.create(runs)
    files = {
        str(file.relative_to(runs / RUN)) for file in (runs / RUN).rglob("*") if file.is_file()
    }
    assert files == set((SAMPLES / "run-folder.txt").read_text().split())
    assert sorted(runs.iterdir())[-1] == created.path


def test_a_runs_folder_goes_whole_when_its_time_has_come(runs: Path) -> None:
    for number in range(KEPT - 1):
        (runs / f"20200102T000000.{number:06}-1").mkdir()
    created = RunFolder.create(runs)
    assert len(list(runs.iterdir())) == KEPT
    assert not (runs / RUN).exists()
    assert created.path.is_dir()
