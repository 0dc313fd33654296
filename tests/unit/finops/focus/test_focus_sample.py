"""Sample exports say that they are, are the same each time, and hold what was planted."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xops.finops.focus.columns import arrow_schema
from xops.finops.focus.sample import Planted, is_sample, planted, write_sample
from xops.finops.prices.book import PriceBook

UNTIL = date(2026, 11, 20)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_sample(tmp_path_factory.mktemp("sample"), months=2, until=UNTIL)


@pytest.fixture(scope="module")
def rows(files: list[Path]) -> list[dict[str, Any]]:
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_a_sample_is_marked_as_one_and_has_the_platform_s_columns(files: list[Path]) -> None:
    assert [file.name for file in files] == [
        "focus-sample-2026-10.parquet",
        "focus-sample-2026-11.parquet",
    ]
    for file in files:
        assert is_sample(file)
        assert pq.read_schema(file).remove_metadata() == arrow_schema()


def test_a_file_of_anybody_is_no_sample(tmp_path: Path) -> None:
    pq.write_table(pa.table({"BilledCost": [1]}), tmp_path / "real.parquet")
    assert not is_sample(tmp_path / "real.parquet")


def test_the_same_seed_makes_the_same_rows_and_another_makes_others(
    files: list[Path], tmp_path: Path
) -> None:
    again = write_sample(tmp_path / "again", months=2, until=UNTIL)
    other = write_sample(tmp_path / "other", months=2, until=UNTIL, seed=8)
    assert [pq.read_table(file) for file in again] == [pq.read_table(file) for file in files]
    assert pq.read_table(other[0]) != pq.read_table(files[0])


def test_months_before_the_last_are_whole_and_invoiced(rows: list[dict[str, Any]]) -> None:
    days = {row["ChargePeriodStart"].date() for row in rows if row["ChargeCategory"] == "Usage"}
    assert days == {date(2026, 10, 1) + timedelta(days=number) for number in range(31 + 19)}
    invoices = {row["BillingPeriodStart"].month: row["InvoiceId"] for row in rows}
    assert invoices == {10: "SAMPLE-2026-10", 11: None}


def test_what_is_used_costs_what_the_price_book_says(rows: list[dict[str, Any]]) -> None:
    price = PriceBook.load().find("fargate arm64 vCPU", "ap-southeast-2")
    assert price is not None
    found = [row for row in rows if row["x_UsageType"] == "APS2-Fargate-ARM-vCPU-Hours:perCPU"]
    priced = [row for row in found if row["PricingQuantity"] is not None]
    assert {row["ListUnitPrice"] for row in priced} == {price.usd}
    assert all(row["BilledCost"] == price.usd * row["PricingQuantity"] for row in priced)


def test_spot_is_dynamic_and_nothing_else_is(rows: list[dict[str, Any]]) -> None:
    dynamic = {row["x_UsageType"] for row in rows if row["PricingCategory"] == "Dynamic"}
    spot = {name for row in rows if "SpotUsage" in (name := row["x_UsageType"] or "")}
    assert dynamic == spot != set()


def test_there_are_a_credit_or_refund_a_tax_and_rows_without_tags(
    rows: list[dict[str, Any]],
) -> None:
    taxes = [row for row in rows if row["ChargeCategory"] == "Tax"]
    assert len(taxes) == 2 * 3
    refunds = [row for row in rows if row["ChargeClass"] == "Correction"]
    assert [row["BilledCost"] for row in refunds] == [Decimal("-2.5")]
    usage = [row for row in rows if row["ChargeCategory"] == "Usage"]
    untagged = sum(row["Tags"] is None for row in usage)
    assert 0.1 < untagged / len(usage) < 0.5


def _daily(rows: list[dict[str, Any]], one: Planted) -> dict[date, Decimal]:
    days: dict[date, Decimal] = {}
    for row in rows:
        named = (row["SubAccountName"], row["ServiceName"], row["x_UsageType"])
        is_it = named == (f"xops-{one.environment}", one.service, one.usage_type)
        if is_it and row["ChargeCategory"] == "Usage" and row["ChargeClass"] is None:
            day = row["ChargePeriodStart"].date()
            days[day] = days.get(day, Decimal()) + row["BilledCost"]
    return days


def test_a_spike_a_new_service_and_a_drop_are_planted(rows: list[dict[str, Any]]) -> None:
    spike, new, drop = planted(UNTIL)
    traffic = _daily(rows, spike)
    before = spike.first - timedelta(days=7)
    assert traffic[spike.first] > 5 * traffic[before]
    assert min(_daily(rows, new)) == new.first
    tasks = _daily(rows, drop)
    assert tasks[drop.first] < tasks[drop.first - timedelta(days=1)]
