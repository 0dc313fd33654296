"""What befalls an ingest: a full disk, another one at the same time, an end in the middle."""

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.cost_exports import Row, charge, charges, deliver
from tests.mounts import small_file_system
from tests.soak import ROUNDS
from xops.core.errors import DiskFullError, TemporaryError
from xops.finops.store.cost_store import CostStore
from xops.finops.store.sources import Folder

NOW = datetime(2026, 6, 2, tzinfo=UTC)
MONTHS = ["2026-03", "2026-04", "2026-05"]

KILLED = """
import os, shutil, signal, sys
from datetime import UTC, datetime
from pathlib import Path
import ibis.backends.duckdb  # once, and not in every child
from xops.finops.store.cost_store import CostStore
from xops.finops.store.sources import Folder

STEPS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")
before, top, stride = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])


def ingest(folder, step):
    taken = 0

    def count(event, arguments):
        nonlocal taken
        if event in STEPS and any(str(folder) in str(one) for one in arguments):
            taken += 1
            if taken == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    CostStore.open(folder).ingest(Folder(top), "aws", now=datetime(2026, 6, 3, tzinfo=UTC))


step, ended = 1, signal.SIGKILL
while ended == signal.SIGKILL:
    folder = shutil.copytree(before, before.parent / "killed" / str(step))
    if not (child := os.fork()):
        ingest(folder, step)
        os._exit(0)
    _, ended = os.waitpid(child, 0)
    step += stride
sys.exit(ended)
"""
"""Copies of a store in which an ingest ended itself before a step on the disk: before the first,
and so on to the last, which has a copy that is whole."""


def incompressible(count: int) -> list[Row]:
    chance = random.Random(7)  # noqa: S311
    return [charge(ResourceId=chance.randbytes(600).hex(), day=1 + n % 28) for n in range(count)]


def contents(store: CostStore) -> list[tuple[str, str, Decimal]]:
    return [(one.month, one.content, one.totals[0].billed) for one in store.partitions()]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    top = deliver(tmp_path, {"2026-05": charges()})
    with small_file_system(folder, "1m"):
        store = CostStore.open(folder / "store")
        store.ingest(Folder(top), "aws", now=NOW)
        before = contents(store)
        deliver(tmp_path, {"2026-05": incompressible(2_500)})
        with pytest.raises(DiskFullError, match="no room left on the disk") as full:
            store.ingest(Folder(top), "aws", now=NOW)
        assert "what was there before is as it was" in full.value.remedy
        assert contents(store) == before
        assert not list((store.folder / ".incoming").iterdir())
        deliver(tmp_path, {"2026-05": charges(count=4)})
        store.ingest(Folder(top), "aws", now=NOW)
        assert [one.rows for one in store.partitions()] == [4]


def test_a_second_ingest_is_refused_while_the_first_goes_on(
    store: CostStore, tmp_path: Path
) -> None:
    top = deliver(tmp_path, {"2026-05": charges()})
    impatient = CostStore(store.folder, wait_seconds=0.2)
    refused: list[TemporaryError] = []

    def meanwhile(message: str, percent: float | None) -> None:
        if not refused:
            with pytest.raises(TemporaryError, match="another run holds it") as found:
                impatient.ingest(Folder(top), "aws", now=NOW)
            refused.append(found.value)

    store.ingest(Folder(top), "aws", now=NOW, told=meanwhile)
    assert refused
    assert [one.rows for one in store.partitions()] == [3]


def test_a_second_ingest_waits_and_finds_it_done(store: CostStore, tmp_path: Path) -> None:
    top = deliver(tmp_path, {month: charges(month) for month in MONTHS})
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: store.ingest(Folder(top), "aws", now=NOW), range(4)))
    assert sorted(len(one.changes) for one in done) == [0, 0, 0, 3]
    assert [one.month for one in store.partitions()] == MONTHS


def test_a_report_that_reads_is_waited_for(store: CostStore, tmp_path: Path) -> None:
    top = deliver(tmp_path, {"2026-05": charges()})
    store.ingest(Folder(top), "aws", now=NOW)
    impatient = CostStore(store.folder, wait_seconds=0.1)
    refused = pytest.raises(TemporaryError, match="changing the store")
    with store.reading(), store.reading(), refused:
        impatient.ingest(Folder(top), "aws", now=NOW)
    impatient.ingest(Folder(top), "aws", now=NOW)


def test_what_a_killed_run_left_does_not_count_and_goes_away(
    store: CostStore, tmp_path: Path
) -> None:
    top = deliver(tmp_path, {"2026-05": charges()})
    store.ingest(Folder(top), "aws", now=NOW)
    month = store.folder / "billing_period=2026-05"
    left = [
        month / "aws" / f"part-{'0' * 16}-0001.parquet",
        month / "other" / f"part-{'1' * 16}-0001.parquet",
        month / ".manifest.json.abc",
        store.folder / ".incoming" / "x" / "1.parquet",
    ]
    for file in left:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"half a fi")
    assert [one.rows for one in store.partitions()] == [3]
    store.ingest(Folder(top), "aws", now=NOW)
    assert not [file for file in left if file.exists()]
    assert not (month / "other").exists()


def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(
    store: CostStore, tmp_path: Path
) -> None:
    top = deliver(tmp_path, {month: charges(month) for month in MONTHS})
    store.ingest(Folder(top), "aws", now=NOW)
    deliver(tmp_path, {month: charges(month, count=20) for month in MONTHS}, files=2)
    stride = "1" if ROUNDS > 1 else "3"
    command = [sys.executable, "-c", KILLED, str(store.folder), str(top), stride]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *killed, whole = sorted((tmp_path / "killed").iterdir(), key=lambda one: int(one.name))
    assert len(killed) > 5
    for folder in killed:
        half = CostStore.open(folder)
        found = half.partitions()
        assert [one.month for one in found] == MONTHS
        assert {one.rows for one in found} <= {3, 20}  # each as before or as after
        half.ingest(Folder(top), "aws", now=NOW)
        assert contents(half) == contents(CostStore.open(whole))
