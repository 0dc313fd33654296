"""The report's data: exact, labelled in each row, and no formulas for spreadsheets."""

import csv
import io
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hostile import HOSTILE
from tests.unit.finops.report.samples import known, report
from xops.core.rendering import visible
from xops.finops.report import files
from xops.finops.report.model.planning import StreamCost, Streams
from xops.finops.report.model.values import AtLeast, Label
from xops.finops.report.names import file_name
from xops.finops.report.tables import Kind, Table, tables

MADE = report()
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "  =1", "\t=1", "=cmd|' /C calc'!A0", "\r=1",
            "\uff1d1", "\uff0b1", "\uff0d1", "\uff20A", "\u3000=1")  # fmt: skip
AMOUNTS = st.integers(-(10**21), 10**21).map(lambda units: Decimal(units).scaleb(-12))


def named(name: str, **changes: Any) -> Table:
    return next(table for table in tables(report(**changes)) if table.name == name)


def rows_of(table: Table) -> list[list[str]]:
    return list(csv.reader(io.StringIO(files.csv_text(table), newline="")))


def one_cell(text: str) -> str:
    table = Table("t", (("a", Kind.TEXT),), ((text,),))
    return rows_of(table)[1][0] if text else ""


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_of_others_is_a_formula(text: str) -> None:
    assert one_cell(text).startswith(("'", "\\"))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_cell_of_others_is_one_line_without_controls(text: str) -> None:
    cell = one_cell(text)
    assert cell in (visible(text), f"'{visible(text)}")
    assert cell.isprintable()


@settings(max_examples=20)
@given(st.lists(AMOUNTS, min_size=1, max_size=20))
def test_amounts_are_kept_exactly_in_every_format(amounts: list[Decimal]) -> None:
    table = Table("t", (("billed", Kind.MONEY),), tuple((amount,) for amount in amounts))
    assert [Decimal(row[0]) for row in rows_of(table)[1:]] == amounts
    assert [Decimal(row["billed"]) for row in table.records()] == amounts
    assert files.arrow(table, MADE)["billed"].to_pylist() == amounts


def test_a_negative_amount_is_a_number_and_no_formula() -> None:
    assert rows_of(named("costs"))[2][4] == "-0.5"


def test_every_row_of_amounts_has_its_currency_and_its_label() -> None:
    labels = {str(label) for label in Label}
    for table in tables(report()):
        names = [name for name, _ in table.columns]
        if Kind.MONEY not in [kind for _, kind in table.columns]:
            continue
        for row in table.rows:
            cells = dict(zip(names, row, strict=True))
            assert cells["currency"] == "USD", table.name
            assert cells["label"] in labels, table.name


def test_an_amount_that_is_unknown_is_empty_with_its_reason() -> None:
    rows = named("services").records()
    lost = [row for row in rows if row["amount"] is None]
    assert [row["unknown_because"] for row in lost] == ["no export of that month"]


def test_an_amount_known_in_part_says_what_it_lacks() -> None:
    part = AtLeast(Decimal(5), Label.ESTIMATED, "no price for efs")
    row = StreamCost("a", "", part, Decimal(1), known("1", Label.ESTIMATED))
    told = named("streams", streams=Streams((row,), None, None, ())).records()[0]
    assert told["unknown_because"] == "at least: no price for efs"
    assert told["invoice"] == "5"


def test_a_partial_month_is_marked_in_the_data() -> None:
    found = {row["month"]: row["partial_to"] for row in named("services").records()}
    assert found == {"2026-01": None, "2026-02": None, "2026-03": "2026-03-15"}


def test_json_holds_the_same_as_the_tables() -> None:
    made = report()
    told = json.loads(json.dumps(files.to_json(made)))
    assert told["tables"] == {table.name: table.records() for table in tables(made)}
    assert told["exit_code"] == 10
    assert told["exchange"]["rate"] == "1.52"
    assert told["cost_of_this_report"] == {"calls": 0, "usd": "0"}


def test_parquet_says_whose_numbers_they_are() -> None:
    table = files.arrow(named("costs"), report())
    assert table.schema.metadata[b"xops.label"] == b"sample"
    assert table.schema.field("billed").type == pa.decimal128(38, 12)


@given(st.text(max_size=200))
def test_a_name_of_others_names_no_other_file(name: str) -> None:
    made = file_name(name)
    assert len(made) <= 80
    assert not set(made) & set("/\\.\0 ")
