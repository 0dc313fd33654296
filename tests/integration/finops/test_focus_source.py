"""Files are read to their end, or refused with where they are damaged and nothing of content."""

import gzip
import io
import os
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from tests.unit.finops.focus.datasets import CLEAN, NAMES, USAGE, csv_text, write_csv
from xops.core.errors import Finding, InputError
from xops.finops.focus.source import Format, open_exports
from xops.finops.focus.validation import Case, validate

SECRET = "hunter2"


def _findings(file: Path) -> list[Finding]:
    with pytest.raises(InputError) as caught:
        validate(Case([file]))
    assert SECRET not in str(caught.value)
    assert {finding.source for finding in caught.value.findings} == {str(file)}
    return list(caught.value.findings)


GOOD = csv_text([USAGE])
DAMAGED = {
    "empty": (b"", None, "is empty"),
    "a cell too many": (f"BilledCost,Tags\n1,2\n1,2,{SECRET}\n".encode(), 3, "has 3 cells, not 2"),
    "a cell too few": (f"BilledCost,Tags\n1,2\n{SECRET}\n".encode(), 3, "has 1 cells, not 2"),
    "an open quote": (f'BilledCost,Tags\n1,"{SECRET}\n'.encode(), 2, "a quote is opened"),
    "no UTF-8": (b"BilledCost,Tags\n1," + SECRET.encode() + b"\xff\n", 2, "is not UTF-8"),
    "a column twice": (b"Tags,Tags\n1,2\n", 1, "named twice"),
    "a column twice in other letters": (b"Tags,tags\n1,2\n", 1, "named twice"),
    "another delimiter": (b"BilledCost\tTags\n1\t2\n", 1, "divided by '\\t': FOCUS has commas"),
    "a header too long": (b"x," * (1 << 19) + b"Tags\n", 1, "a first line of more than 1 MiB"),
    "a line too long": (b"Tags\n" + b"x" * (5 << 20) + b"\n", 2, "is longer than 4 MiB"),
    "a column without a name": (b"Tags,\n1,2\n", 1, "not at all"),
    "half a gzip file": (gzip.compress(GOOD.encode() * 900)[:600], None, "is no whole gzip file"),
    "no gzip file": (b"\x1f\x8bwhat", 1, "has no header"),
    "half a parquet file": (b"PAR1" + SECRET.encode() * 9, None, "is no whole parquet file"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_told_with_its_line(name: str, tmp_path: Path) -> None:
    content, line, problem = DAMAGED[name]
    file = tmp_path / "damaged"
    file.write_bytes(content)
    (finding,) = _findings(file)
    assert problem in finding.message
    assert finding.line == line or line is None


def test_a_damaged_page_of_a_parquet_file_is_told_with_column_and_rows(tmp_path: Path) -> None:
    file = tmp_path / "damaged.parquet"
    numbers = {"BilledCost": range(5000), "ListCost": range(5000)}
    pq.write_table(pa.table(numbers), file, compression="zstd", row_group_size=2000)
    where = pq.read_metadata(file).row_group(1).column(1)
    content = bytearray(file.read_bytes())
    begin = where.dictionary_page_offset or where.data_page_offset
    content[begin : begin + where.total_compressed_size] = b"U" * where.total_compressed_size
    file.write_bytes(content)
    (finding,) = _findings(file)
    assert (finding.path, finding.message) == ("ListCost", "is damaged between rows 2001 and 4000")


def test_what_a_file_is_stands_in_its_first_bytes(tmp_path: Path) -> None:
    packed = tmp_path / "export.parquet"
    packed.write_bytes(gzip.compress(GOOD.encode()))
    with open_exports([packed]) as (_, exports):
        assert exports[0].format is Format.GZIP_CSV
    assert validate(Case([packed])).violated == []


@pytest.mark.parametrize("name", ["a*.csv", "[a].csv", "it's?.csv"])
def test_a_name_is_one_file_and_no_pattern(name: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [USAGE] * 5)
    assert validate(Case([write_csv(tmp_path / name, [USAGE])])).rows == 1


def test_null_is_nothing_or_the_word(tmp_path: Path) -> None:
    file = tmp_path / "null.csv"
    text = csv_text(list(CLEAN)).replace(",,", ",NULL,").replace(",,", ",NULL,")
    file.write_text(text)
    assert validate(Case([file])).violated == []


def test_a_mark_of_the_byte_order_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    file = tmp_path / "bom.csv"
    file.write_text(csv_text([USAGE]), encoding="utf-8-sig")
    outcome = validate(Case([file]))
    assert (outcome.rows, outcome.violated) == (1, [])


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (finding,) = _findings(pipe)
    assert "pipe" in finding.message or "regular" in finding.message


def test_rows_of_any_order_of_columns_are_read(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "order.csv", list(CLEAN), tuple(reversed(NAMES)))
    assert validate(Case([file])).violated == []


def _parquet_bytes() -> bytes:
    out = io.BytesIO()
    rows = [{name: row.get(name) for name in NAMES} for row in CLEAN]
    pq.write_table(pa.Table.from_pylist(rows), out, compression="zstd")
    return out.getvalue()


WHOLE = {
    "parquet": _parquet_bytes(),
    "csv": csv_text(list(CLEAN)).encode(),
    "gzip csv": gzip.compress(csv_text(list(CLEAN)).encode(), mtime=0),
}


@examples(25)
@given(data=st.data(), name=st.sampled_from(sorted(WHOLE)))
def test_whatever_is_wrong_with_a_file_it_is_refused_or_read(
    data: st.DataObject, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(WHOLE[name])
    places = st.integers(0, len(content) - 1)
    for place in data.draw(st.lists(places, max_size=5), label="changed"):
        content[place] = data.draw(st.integers(0, 255), label="to")
    end = data.draw(st.one_of(st.just(len(content)), places), label="end")
    file = tmp_path_factory.mktemp("any") / "export"
    file.write_bytes(content[:end])
    with suppress(InputError):
        validate(Case([file]))


def test_what_a_folder_is_called_is_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "BilledCost=100"
    folder.mkdir()
    assert validate(Case([write_csv(folder / "a.csv", list(CLEAN))])).violated == []
    (folder / "a.parquet").write_bytes(WHOLE["parquet"])
    assert validate(Case([folder / "a.parquet"])).violated == []


def test_a_file_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "a.csv", [USAGE])
    with pytest.raises(InputError, match="is given twice"):
        validate(Case([file, tmp_path / "." / "a.csv"]))


@pytest.mark.parametrize("name", ["rowid", "file_row_number"])
def test_a_column_that_is_called_as_one_of_the_engine_s_is_one_of_the_file_s(
    name: str, tmp_path: Path
) -> None:
    rows = [{one: row.get(one) for one in NAMES} | {name: "x"} for row in CLEAN]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for one in (write_csv(tmp_path / "a.csv", rows, (*NAMES, name)), tmp_path / "a.parquet"):
        outcome = validate(Case([one]))
        assert outcome.rows == len(CLEAN)
        assert [told.rule.id for told in outcome.violated] == ["(dataset).custom-names"]


def test_a_file_of_many_columns_is_read(tmp_path: Path) -> None:
    more = tuple(f"x_{number}" for number in range(10_000))
    file = write_csv(tmp_path / "wide.csv", list(CLEAN), (*NAMES, *more))
    assert validate(Case([file])).violated == []


@pytest.mark.parametrize("twice", ["BilledCost", "billedcost"])
def test_a_parquet_file_has_no_column_twice(twice: str, tmp_path: Path) -> None:
    table = pa.Table.from_pylist([dict(USAGE)])
    pq.write_table(table.add_column(0, twice, [["7"]]), tmp_path / "a.parquet")
    (finding,) = _findings(tmp_path / "a.parquet")
    assert "named twice" in finding.message
