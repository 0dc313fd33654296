"""Many rows for measuring: as many as asked for, in each format, and without a fault."""

from datetime import date
from pathlib import Path

import pytest

from xops.finops.focus.applicability import profiles
from xops.finops.focus.sample import is_sample, write_rows, write_sample
from xops.finops.focus.source import Format, open_exports
from xops.finops.focus.validation import Case, validate


@pytest.mark.parametrize(
    ("ending", "written"),
    [("parquet", Format.PARQUET), ("csv", Format.CSV), ("csv.gz", Format.GZIP_CSV)],
)
def test_many_rows_conform(ending: str, written: Format, tmp_path: Path) -> None:
    file = tmp_path / f"rows.{ending}"
    write_rows(file, 12_345)
    with open_exports([file]) as (_, exports):
        assert exports[0].format is written
    outcome = validate(Case([file], without=profiles()["aws"].without))
    assert (outcome.rows, outcome.violated, outcome.not_run) == (12_345, [], [])
    if written is Format.PARQUET:
        assert is_sample(file)


def test_the_sample_conforms(tmp_path: Path) -> None:
    files = write_sample(tmp_path, months=3, until=date(2026, 11, 20))
    outcome = validate(Case(files, without=profiles()["aws"].without))
    assert (outcome.violated, outcome.not_run, outcome.advice) == ([], [], [])
    assert outcome.score == 1.0
