"""What the release before (commit f9ea4ca) has left: a record that it wrote and the files of a run.

Made by its `xops ecs apply -e local`; the machine's name and the time of the folder are others.
"""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from xops.core.evidence.log import EvidenceLog, RecordKind, verify_chain
from xops.core.evidence.stores import FolderStore
from xops.core.plan.coverage import find_uncovered
from xops.core.plan.model import Plan
from xops.ecs import run_folder
from xops.ecs.run_folder import RunFolder

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
    log = EvidenceLog(FolderStore(tmp_path), "ecs/local", clock=lambda: LATER)
    later = log.append(RecordKind.APPLY, "f" * 64, {})
    assert kept.read_bytes() == before
    assert [tmp_path / key for key in log.list_keys()] == [kept, tmp_path / later.key]
    assert [record.digest for record in log.newest_first()] == [
        "f" * 64,
        json.loads(before)["digest"],
    ]
    assert verify_chain(log) == []


def test_a_record_s_plan_covers_itself_and_not_what_is_planned_with_sources(kept: Path) -> None:
    """Nothing in it says which sources it was made with: that is asked again."""
    plan = Plan.model_validate(json.loads(kept.read_text())["plan"])
    assert find_uncovered(plan, plan, lambda *_: False) == ()
    now = plan.model_copy(update={"inputs": {"terraform/main.tf": "0" * 64}})
    assert str(find_uncovered(plan, now, lambda *_: False)[0]) == (
        "terraform/main.tf: is not what was approved"
    )


def test_a_runs_folder_is_left_alone_until_a_later_run_has_taken_over(runs: Path) -> None:
    RunFolder.create(runs)
    run_folder.prune(runs, print, LATER)
    files = {
        str(file.relative_to(runs / RUN)) for file in (runs / RUN).rglob("*") if file.is_file()
    }
    assert files == set((SAMPLES / "run-folder.txt").read_text().split())


def test_a_runs_folder_goes_whole_when_its_time_has_come(runs: Path) -> None:
    created = RunFolder.create(runs)
    run_folder.close_killed_runs(created.path, print)
    run_folder.prune(runs, print, LATER)
    assert list(runs.iterdir()) == [created.path]
