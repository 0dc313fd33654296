"""The engine: bounded, in UTC, without a network; money stays decimal."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from xops.core.errors import InputError
from xops.finops.store.engine import MONEY, divide, named, open_engine, quoted


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    opened = open_engine(spill=tmp_path_factory.mktemp("spill"), memory="500MB")
    yield opened
    opened.disconnect()


def setting(engine: Any, name: str) -> Any:
    return engine.raw_sql(f"SELECT current_setting('{name}')").fetchall()[0][0]


def test_it_is_bounded_and_in_utc(engine: Any) -> None:
    assert setting(engine, "memory_limit") == "476.8 MiB"
    assert Path(setting(engine, "temp_directory")).is_dir()
    assert setting(engine, "threads") == 2
    assert setting(engine, "TimeZone") == "UTC"
    assert setting(engine, "preserve_insertion_order") is False


def test_nothing_is_fetched_from_a_network(engine: Any) -> None:
    assert setting(engine, "autoload_known_extensions") is False
    assert setting(engine, "autoinstall_known_extensions") is False
    with pytest.raises(duckdb.Error, match="requires the extension httpfs"):
        engine.raw_sql("SELECT * FROM 'https://127.0.0.1:1/costs.parquet'")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/spill: cannot be made: Not a directory"):
        open_engine(spill=tmp_path / "file" / "spill")


def test_the_engines_own_division_of_decimals_is_one_of_doubles(engine: Any) -> None:
    """Why there is `divide`."""
    kinds = engine.raw_sql(f"SELECT typeof(1.1::{MONEY} / 3), typeof(1.1::{MONEY} / 3::{MONEY})")
    assert kinds.fetchall() == [("DOUBLE", "DOUBLE")]


def quotients(engine: Any, rows: list[tuple[Decimal, int]]) -> pa.Table:
    columns = {
        "cost": pa.array([cost for cost, _ in rows], pa.decimal128(38, 12)),
        "days": pa.array([days for _, days in rows], pa.int64()),
    }
    table = ibis.memtable(pa.table(columns))
    return engine.to_pyarrow(table.mutate(share=divide(table.cost, table.days)))


def test_a_quotient_stays_decimal(engine: Any) -> None:
    found = quotients(engine, [(Decimal("10"), 3), (Decimal("-1"), 8)])
    assert found.schema.field("share").type == pa.decimal128(38, 12)
    assert found["share"].to_pylist() == [Decimal("3.333333333333"), Decimal("-0.125")]


def test_a_quotient_by_nothing_is_unknown(engine: Any) -> None:
    assert quotients(engine, [(Decimal("10"), 0)])["share"].to_pylist() == [None]


@examples(25)
@given(
    st.lists(
        st.tuples(
            st.decimals(min_value=-1_000_000_000, max_value=1_000_000_000, places=2),
            st.integers(min_value=1, max_value=10_000),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_a_quotient_holds_to_a_millionth(engine: Any, rows: list[tuple[Decimal, int]]) -> None:
    found = quotients(engine, rows)["share"].to_pylist()
    for (cost, days), share in zip(rows, found, strict=True):
        assert abs(share - cost / days) < Decimal("0.000001")


@given(st.text(max_size=30).filter(lambda text: "\0" not in text))
def test_any_text_can_stand_in_a_statement(engine: Any, text: str) -> None:
    found = engine.raw_sql(f"SELECT {quoted(text)} AS {named(text or 'x')}")
    assert found.fetchall() == [(text,)]
