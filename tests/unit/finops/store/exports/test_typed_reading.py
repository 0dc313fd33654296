"""Files of exports as typed rows: what is exact, what is refused, and where."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cost_exports import (
    charge,
    charges,
    csv_text,
    write_aws_parquet,
    write_csv,
    write_parquet,
)
from tests.soak import examples
from xops.core.errors import InputError
from xops.finops.focus.columns import Version, arrow_schema
from xops.finops.focus.sample import is_sample
from xops.finops.store.engine import open_engine
from xops.finops.store.exports.typed_reading import DataFile, write_typed

MAY = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    opened = open_engine(spill=tmp_path_factory.mktemp("spill"), memory="500MB")
    yield opened
    opened.disconnect()


def read(engine: Any, file: Path) -> pa.Table:
    part = file.parent / "part.parquet"
    part.unlink(missing_ok=True)
    write_typed(engine, DataFile(file, f"s3://costs/{file.name}"), part)
    return pq.read_table(part)


def refusal(engine: Any, file: Path) -> list[tuple[str, str, int | None]]:
    with pytest.raises(InputError) as refused:
        read(engine, file)
    assert {one.source for one in refused.value.findings} == {f"s3://costs/{file.name}"}
    return [(one.path, one.message, one.line) for one in refused.value.findings]


def edited(tmp_path: Path, **cells: str) -> Path:
    """A CSV of three rows, of which the second has other cells."""
    rows = list(csv.DictReader(io.StringIO(csv_text(charges()))))
    rows[1] |= cells
    return write_csv(tmp_path / "x.csv.gz", rows)


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.parquet"])
def test_every_column_has_its_type(engine: Any, tmp_path: Path, name: str) -> None:
    write = write_parquet if name.endswith("parquet") else write_csv
    found = read(engine, write(tmp_path / name, charges()))
    kinds = [(field.name, field.type) for field in found.schema]
    assert kinds == [(field.name, field.type) for field in arrow_schema()]
    assert found["BilledCost"].to_pylist() == [Decimal(1)] * 3
    assert found["ChargePeriodStart"][0].as_py() == MAY
    assert found["CommitmentDiscountId"].null_count == 3


def test_awss_own_parquet_is_read_exactly(engine: Any, tmp_path: Path) -> None:
    """Doubles, milliseconds without a zone, tags as a map, columns that FOCUS does not know."""
    rows = [charge(cost="0.1"), charge(cost="93644058.68"), charge(cost="-0.0000001", Tags=None)]
    found = read(engine, write_aws_parquet(tmp_path / "x.snappy.parquet", rows))
    assert found["BilledCost"].to_pylist() == [
        Decimal("0.1"), Decimal("93644058.68"), Decimal("-0.0000001"),
    ]  # fmt: skip
    assert found["Tags"].to_pylist() == [
        '{"environment":"prod","service":"crew","owner":"ai"}',
        '{"environment":"prod","service":"crew","owner":"ai"}',
        None,
    ]
    assert found["ChargePeriodStart"][0].as_py() == MAY
    assert "x_Discounts" not in found.schema.names
    assert found["InvoiceId"].null_count == 3  # of FOCUS 1.2


@pytest.mark.parametrize("version", [Version.V1_0, Version.V1_1])
def test_what_an_older_version_has_no_column_of_is_null(
    engine: Any, tmp_path: Path, version: Version
) -> None:
    found = read(engine, write_csv(tmp_path / "x.csv", charges(), version))
    assert found["InvoiceId"].null_count == found.num_rows == 3


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-05-01T00:00:00Z", MAY),
        ("2026-05-01T00:00:00.000Z", MAY),
        ("2026-05-01 00:00:00", MAY),
        ("2026-05-01T10:00:00+10:00", MAY),
        ("2026-04-05T02:30:00+11:00", datetime(2026, 4, 4, 15, 30, tzinfo=UTC)),
        ("2026-04-05T02:30:00+10:00", datetime(2026, 4, 4, 16, 30, tzinfo=UTC)),
    ],
)
def test_points_in_time_are_kept_in_utc(
    engine: Any, tmp_path: Path, written: str, meant: datetime
) -> None:
    """Half past two was twice on that day in Sydney: they stay two points in time."""
    found = read(engine, edited(tmp_path, ChargePeriodStart=written))
    assert meant in found["ChargePeriodStart"].to_pylist()


@pytest.mark.parametrize(
    ("column", "cell", "expected"),
    [
        ("BilledCost", "1,5", "'1,5' is not a number"),
        ("BilledCost", "abc", "'abc' is not a number"),
        ("ListUnitPrice", "nan", "'nan' is not a number"),
        ("BilledCost", "1e30", "'1e30' is not a number"),
        ("BilledCost", "$1", "'$1' is not a number"),
        ("ChargePeriodStart", "yesterday", "'yesterday' is not a point in time"),
        ("ChargePeriodEnd", "2026-02-30T00:00:00Z", "is not a point in time"),
        ("BillingPeriodStart", "45000", "is not a point in time"),
    ],
)
def test_the_first_bad_cell_of_a_csv_is_named(
    engine: Any, tmp_path: Path, column: str, cell: str, expected: str
) -> None:
    ((path, message, line),) = refusal(engine, edited(tmp_path, **{column: cell}))
    assert (path, line) == (column, 3)
    assert expected in message


def test_a_long_bad_cell_is_cut(engine: Any, tmp_path: Path) -> None:
    ((_, message, _),) = refusal(engine, edited(tmp_path, BilledCost="x" * 5000))
    assert len(message) < 200


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("a,b\n", "missing columns"),
        (csv_text(charges(count=1)).splitlines()[1] + ",more\n", "too many columns"),
        ('"never ends\n', "unterminated quote"),
    ],
)
def test_a_row_that_is_none_is_named(engine: Any, tmp_path: Path, rows: str, expected: str) -> None:
    file = tmp_path / "x.csv"
    file.write_text(csv_text(charges()) + rows)
    found = refusal(engine, file)
    assert any(expected in message for _, message, _ in found), found
    assert any(line == 5 for _, _, line in found), found


def test_an_empty_cell_of_a_csv_and_null_are_no_value(engine: Any, tmp_path: Path) -> None:
    found = read(engine, edited(tmp_path, ListUnitPrice="", ResourceId="NULL", RegionId="Null"))
    assert found["ListUnitPrice"].null_count == 3
    assert found["ResourceId"].to_pylist().count(None) == 1
    assert "Null" in found["RegionId"].to_pylist()


BODY = csv_text(charges()).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + BODY,
        BODY.replace(b"\n", b"\r\n"),
        BODY.rstrip(b"\n"),
        BODY.replace(b"payer", b'"pay\ner"'),
    ],
    ids=["byte order mark", "line ends of Windows", "no last line end", "lines in a cell"],
)
def test_what_programs_write_differently_is_read(engine: Any, tmp_path: Path, body: bytes) -> None:
    (tmp_path / "x.csv").write_bytes(body)
    assert read(engine, tmp_path / "x.csv")["BilledCost"].to_pylist() == [Decimal(1)] * 3


@pytest.mark.parametrize(
    ("cell", "expected"),
    [(b"gr\xf6\xdfe", "not utf-8"), (b"p" * (5 << 20), "line size over maximum")],
    ids=["latin", "long"],
)
def test_a_cell_that_is_no_text_is_named(
    engine: Any, tmp_path: Path, cell: bytes, expected: str
) -> None:
    (tmp_path / "x.csv").write_bytes(BODY.replace(b"payer", cell, 1))
    ((_, message, line),) = refusal(engine, tmp_path / "x.csv")
    assert expected in message
    assert line == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "no header of names in UTF-8"),
        (b"BilledCost,BilledCost\n", "has columns twice: BilledCost"),
        (b"BilledCost,billedcost\n", "has columns twice: BilledCost, billedcost"),
        (b"BilledCost;Tags\n", "divided by ';': FOCUS has commas there"),
        (b"x," * (1 << 19) + b"Tags\n", "has a first line of more than 1 MiB"),
        (b"BilledCost,Tags,\n", "has a column without a name, the 3. of its first line"),
    ],
)
def test_a_csv_without_a_header_is_refused(
    engine: Any, tmp_path: Path, body: bytes, expected: str
) -> None:
    (tmp_path / "x.csv").write_bytes(body)
    assert expected in refusal(engine, tmp_path / "x.csv")[0][1]


def test_every_column_that_is_missing_is_named(engine: Any, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("BilledCost,ServiceName\n1,x\n")
    found = [path for path, _, _ in refusal(engine, tmp_path / "x.csv")]
    assert {"BillingCurrency", "ChargePeriodStart", "EffectiveCost"} <= set(found)
    assert "InvoiceId" not in found


@pytest.mark.parametrize("name", ["x.csv.gz", "x.parquet"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_named(engine: Any, tmp_path: Path, name: str, kept: float) -> None:
    write = write_parquet if name.endswith("parquet") else write_csv
    file = write(tmp_path / name, charges(count=28))
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * kept)])
    ((path, message, _),) = refusal(engine, file)
    assert path == ""
    assert any(word in message for word in ("cannot be read", "no parquet file", "is empty"))


@pytest.mark.parametrize("name", ["x.csv.gz", "x.parquet"])
def test_a_file_that_is_something_else_is_named(engine: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"just text\n" * 100)
    assert refusal(engine, tmp_path / name)


def test_a_bad_value_of_a_parquet_file_is_named_with_its_row(engine: Any, tmp_path: Path) -> None:
    file = write_aws_parquet(tmp_path / "x.parquet", charges(count=5))
    table = pq.read_table(file)
    costs = [1.0, 2.0, float("nan"), float("inf"), 5.0]
    position = table.schema.get_field_index("BilledCost")
    pq.write_table(table.set_column(position, "BilledCost", [costs]), file)
    ((path, message, _),) = refusal(engine, file)
    assert path == "BilledCost"
    assert message.startswith("row 3: 'nan' is not a number")


def test_a_parquet_column_of_another_kind_is_named(engine: Any, tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "x.parquet", charges())
    table = pq.read_table(file)
    for name, values in (("SubAccountId", [1, 2, 3]), ("ChargePeriodStart", [1.0, 2.0, 3.0])):
        table = table.set_column(table.schema.get_field_index(name), name, [values])
    pq.write_table(table, file)
    assert refusal(engine, file) == [
        ("ChargePeriodStart", "is a column of double, not of datetime", None),
        ("SubAccountId", "is a column of int64, not of string", None),
    ]


def test_made_up_charges_stay_marked(engine: Any, tmp_path: Path) -> None:
    read(engine, write_parquet(tmp_path / "x.parquet", charges(), sample=True))
    assert is_sample(tmp_path / "part.parquet")
    read(engine, write_parquet(tmp_path / "x.parquet", charges()))
    assert not is_sample(tmp_path / "part.parquet")


@examples(15)
@given(
    st.lists(st.decimals(min_value=-(10**9), max_value=10**9, places=12), min_size=1, max_size=20)
)
def test_no_digit_of_an_amount_is_lost(
    engine: Any, tmp_path_factory: pytest.TempPathFactory, amounts: list[Decimal]
) -> None:
    rows = [charge(BilledCost=amount) for amount in amounts]
    folder = tmp_path_factory.mktemp("amounts")
    for file in (write_csv(folder / "x.csv", rows), write_parquet(folder / "x.parquet", rows)):
        assert sorted(read(engine, file)["BilledCost"].to_pylist()) == sorted(amounts)


@pytest.mark.parametrize("kept", [True, False])
def test_a_usage_type_is_where_the_export_has_it(engine: Any, tmp_path: Path, kept: bool) -> None:
    rows = [{**charge(), "SkuMeter": "APS2-LCUUsage", "x_UsageType": "APS2-LoadBalancerUsage"}]
    table = pq.read_table(write_parquet(tmp_path / "all.parquet", rows))
    file = tmp_path / "x.parquet"
    pq.write_table(table if kept else table.drop_columns(["x_UsageType"]), file)
    wanted = "APS2-LoadBalancerUsage" if kept else "APS2-LCUUsage"
    assert read(engine, file).column("x_UsageType").to_pylist() == [wanted]


@pytest.mark.parametrize("name", ["*.csv", "*.parquet", "[ab].csv", "?.parquet"])
def test_a_name_is_one_file_and_no_pattern(engine: Any, tmp_path: Path, name: str) -> None:
    write = write_parquet if name.endswith("parquet") else write_csv
    write(tmp_path / f"a{Path(name).suffix}", charges(cost="50"))
    found = read(engine, write(tmp_path / name, charges()))
    assert found["BilledCost"].to_pylist() == [Decimal(1)] * 3


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_what_a_folder_is_called_is_no_column(engine: Any, tmp_path: Path, name: str) -> None:
    write = write_parquet if name.endswith("parquet") else write_csv
    found = read(engine, write(tmp_path / "BilledCost=100" / name, charges()))
    assert found["BilledCost"].to_pylist() == [Decimal(1)] * 3


def test_a_column_of_a_parquet_file_in_other_letters_is_another_of_its_name(
    engine: Any, tmp_path: Path
) -> None:
    """The engine would take the first of the two, whichever that is."""
    table = pq.read_table(write_parquet(tmp_path / "x.parquet", charges()))
    pq.write_table(table.add_column(0, "billedcost", [[7, 7, 7]]), tmp_path / "x.parquet")
    assert "has columns twice" in refusal(engine, tmp_path / "x.parquet")[0][1]
