"""Exports that nobody here made: read to their end, and held against the rules as others would.

XOPS_TEST_FOCUS names a folder of them, such as a checkout of the FOCUS project's sample data.
XOPS_TEST_FOCUS_VALIDATOR names a Python that has the official validator (focus-validator 2.2.1), to
compare with. Neither is required: what is left out is told in one line each.
"""

import csv
import gzip
import json
import logging
import os
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.integration.finops.focus_official_rules import explain_difference, find_equal
from xops.core.files.settings import ROOT
from xops.finops.focus.applicability import profiles
from xops.finops.focus.columns import FOCUS_COLUMNS, Version
from xops.finops.focus.outcome import Checked, State, Validation
from xops.finops.focus.source import Format, open_exports
from xops.finops.focus.validation import Case, validate

FOLDER = os.environ.get("XOPS_TEST_FOCUS")
VALIDATOR = os.environ.get("XOPS_TEST_FOCUS_VALIDATOR")
ENDINGS = (".csv", ".csv.gz", ".parquet")
SCRIPT = ROOT / "bench" / "official_focus.py"
BROKEN = {State.VIOLATED, State.WAIVED}

LOG = logging.getLogger(__name__)

pytestmark = pytest.mark.timeout(600)


def _is_export(file: Path) -> bool:
    """Whether it is one, and not what Git LFS leaves in its place."""
    with file.open("rb") as stream:
        return file.name.endswith(ENDINGS) and not stream.read(20).startswith(
            b"version https://git"
        )


FILES = sorted(filter(_is_export, filter(Path.is_file, Path(FOLDER).rglob("*")))) if FOLDER else []


@pytest.fixture
def exports() -> list[Path]:
    # An expected failure and no skip: with XOPS_REQUIRE_ALL a skip is a failure.
    if not FOLDER:
        pytest.xfail("left out: XOPS_TEST_FOCUS names no folder of real exports")
    assert FILES, f"{FOLDER} has no {', '.join(ENDINGS)}"
    return FILES


def _open(file: Path) -> Any:
    with file.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return gzip.open(file, "rt", newline="") if packed else file.open(newline="")


def _records(file: Path) -> list[dict[str, str]]:
    with _open(file) as stream:
        return list(csv.DictReader(stream))


def _shown(outcome: Validation) -> list[Checked]:
    return [one for one in outcome.checked if one.state in BROKEN and one.unit == "rows"]


def test_real_exports_are_read_whole_and_examples_are_where_they_are_said_to_be(
    exports: list[Path],
) -> None:
    for file in exports:
        outcome = validate(Case([file], without=profiles()["aws"].without))
        LOG.info("%s: %d rows, score %s", file, outcome.rows, outcome.score)
        if file.suffix == ".parquet":
            assert outcome.rows == pq.read_metadata(file).num_rows
            continue
        records = _records(file)
        assert outcome.rows == len(records)
        for one in _shown(outcome):
            assert one.first is not None
            assert one.first.row is not None
            assert one.violations + one.waived <= len(records)
            there = records[one.first.row - 1][one.rule.column]
            assert (one.first.value or "") == ("" if there == "NULL" else there[:80])


def test_the_official_validator_finds_what_is_found_here(
    exports: list[Path], tmp_path: Path
) -> None:
    if not VALIDATOR:
        pytest.xfail("left out: XOPS_TEST_FOCUS_VALIDATOR names no Python with focus-validator")
    for file in exports:
        typed = _in_types(file, tmp_path / "typed.parquet")
        outcome = validate(Case([typed], version=Version.V1_2, waive=False))
        official = _run_official(typed)
        compared, differ = _compare(outcome, official)
        LOG.info("%s: %d rules compared, these differ: %s", file, compared, differ)
        assert {name: why for name, why in differ.items() if why is None} == {}


def _in_types(file: Path, to: Path) -> Path:
    """The same rows in the types of their columns: what a text means is left out of this."""
    with open_exports([file]) as (engine, (export,)):
        assert export.format in Format
        kept = [one.name for one in FOCUS_COLUMNS if one.name in export.names]
        query = f"SELECT {', '.join(kept)} FROM charges"  # noqa: S608
        engine.execute(f"COPY ({query}) TO '{to}' (FORMAT parquet)")
    return to


def _run_official(file: Path) -> dict[str, Any]:
    argv = [str(VALIDATOR), str(SCRIPT), str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    rules: dict[str, Any] = json.loads(done.stdout)["rules"]
    return rules


def _compare(outcome: Validation, official: dict[str, Any]) -> tuple[int, dict[str, str | None]]:
    """How many rules were compared, and why those differ that do."""
    ours = {one.rule.id: one for one in outcome.checked}
    present = [name for name in ours if name.endswith(".present")]
    there = {ours[name].rule.column for name in present if ours[name].state is State.HELD}
    compared = 0
    differ: dict[str, str | None] = {}
    for name, rule in official.items():
        equal = find_equal(rule)
        if equal is None or rule["skipped"] or equal.split(".")[0] not in there:
            continue
        compared += 1
        found = ours.get(equal)
        if found is None or (found.state in BROKEN) is rule["ok"]:
            differ[name] = explain_difference(name, rule)
    return compared, differ
