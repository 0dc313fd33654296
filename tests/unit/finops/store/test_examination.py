"""What typed rows hold, and which may not be kept."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.cost_exports import Row, charge, charges, write_parquet
from xops.core.errors import InputError
from xops.finops.store.engine import open_engine
from xops.finops.store.examination import (
    Total,
    Typed,
    add_up,
    carries,
    examine,
    late_usage,
    share_in_common,
    tag_keys,
)

MAY = datetime(2026, 5, 1, tzinfo=UTC)
JUNE = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    opened = open_engine(spill=tmp_path_factory.mktemp("spill"), memory="500MB")
    yield opened
    opened.disconnect()


def examined(engine: Any, tmp_path: Path, rows: list[Row], month: str | None = "2026-05") -> Any:
    part = write_parquet(tmp_path / "part.parquet", rows)
    return examine(engine, Typed(part, "s3://costs/x"), month)


def test_totals_are_by_month_and_currency(engine: Any, tmp_path: Path) -> None:
    rows = [*charges(), charge("2026-06"), charge(BillingCurrency="AUD", EffectiveCost=Decimal(0))]
    assert examined(engine, tmp_path, rows, None) == {
        "2026-05": [
            Total(currency="AUD", rows=1, billed=Decimal(1), effective=Decimal(0)),
            Total(currency="USD", rows=3, billed=Decimal(3), effective=Decimal(3)),
        ],
        "2026-06": [Total(currency="USD", rows=1, billed=Decimal(1), effective=Decimal(1))],
    }


def test_a_month_without_a_row_has_no_total(engine: Any, tmp_path: Path) -> None:
    assert examined(engine, tmp_path, []) == {}


def test_credits_and_corrections_of_other_months_are_kept(engine: Any, tmp_path: Path) -> None:
    """A refund of April in May's bill is May's charge."""
    april = MAY - timedelta(days=3)
    rows = [
        charge(cost="-5.00", ChargeCategory="Credit"),
        charge(cost="-1.00", ChargeClass="Correction", ChargePeriodStart=april),
        charge(ChargeCategory="Tax", ChargePeriodStart=april),
        charge(ChargeCategory="Purchase", ChargePeriodStart=JUNE, ChargePeriodEnd=JUNE),
    ]
    (total,) = examined(engine, tmp_path, rows)["2026-05"]
    assert (total.rows, total.billed) == (4, Decimal(-4))


@pytest.mark.parametrize(
    ("changed", "column", "expected"),
    [
        ({"BilledCost": None}, "BilledCost", "1 rows have none"),
        ({"EffectiveCost": None}, "EffectiveCost", "1 rows have none"),
        ({"BillingCurrency": None}, "BillingCurrency", "1 rows have none"),
        ({"BillingCurrency": "usd"}, "BillingCurrency", "none of ISO 4217"),
        ({"BillingPeriodStart": None}, "BillingPeriodStart", "1 rows have none"),
        ({"BillingPeriodStart": MAY.replace(day=2)}, "BillingPeriodStart", "no calendar month"),
        ({"BillingPeriodEnd": JUNE.replace(day=2)}, "BillingPeriodStart", "no calendar month"),
        ({"BillingPeriodStart": MAY.replace(year=9999)}, "BillingPeriodStart", "another century"),
        ({"BillingPeriodEnd": MAY.replace(year=1)}, "BillingPeriodStart", "another century"),
        (
            {"ChargePeriodStart": JUNE, "ChargePeriodEnd": JUNE},
            "ChargePeriodStart",
            "usage that begins after the end",
        ),
        (
            {"ChargeCategory": "Tax", "ChargePeriodEnd": MAY.replace(year=9999)},
            "ChargePeriodStart",
            "charge period of another century",
        ),
        ({"ChargePeriodEnd": MAY - timedelta(days=1)}, "ChargePeriodEnd", "end before they begin"),
        ({"Tags": "environment=prod"}, "Tags", "no object of JSON"),
        ({"Tags": '["environment"]'}, "Tags", "no object of JSON"),
        ({"SkuPriceDetails": "{"}, "SkuPriceDetails", "no object of JSON"),
    ],
)
def test_rows_that_would_make_a_sum_wrong_are_refused(
    engine: Any, tmp_path: Path, changed: Row, column: str, expected: str
) -> None:
    with pytest.raises(InputError) as refused:
        examined(engine, tmp_path, [*charges(), charge(**changed)])
    found = {finding.path: finding.message for finding in refused.value.findings}
    assert expected in found[column]


def test_rows_of_another_month_are_refused(engine: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 rows are of 2026-06, not 2026-05"):
        examined(engine, tmp_path, [*charges(), charge("2026-06")])


def test_the_last_moment_of_a_month_is_of_it(engine: Any, tmp_path: Path) -> None:
    last = JUNE - timedelta(microseconds=1)
    row = charge(ChargePeriodStart=last, ChargePeriodEnd=JUNE)
    assert examined(engine, tmp_path, [row])["2026-05"][0].rows == 1


def test_usage_that_is_billed_late_is_kept_and_counted(engine: Any, tmp_path: Path) -> None:
    """As in the sample data of the FOCUS project: an hour of September on October's bill."""
    late = charge(ChargePeriodStart=MAY - timedelta(hours=2), ChargePeriodEnd=MAY)
    assert examined(engine, tmp_path, [*charges(), late])["2026-05"][0].rows == 4
    assert late_usage(engine, [tmp_path / "part.parquet"]) == 1
    assert late_usage(engine, []) == 0


def test_keys_of_tags_are_found(engine: Any, tmp_path: Path) -> None:
    rows = [charge(Tags='{"user:owner": "x"}'), charge(Tags=None), charge(Tags='{"a b": null}')]
    part = write_parquet(tmp_path / "part.parquet", rows)
    keys = tag_keys(engine, [part])
    assert keys == {"user:owner", "a b"}
    assert carries(keys, "owner")
    assert not carries(keys, "environment")
    assert tag_keys(engine, []) == frozenset()


def test_the_share_in_common_counts_each_charge_once(engine: Any, tmp_path: Path) -> None:
    twice = write_parquet(tmp_path / "a.parquet", [charge(), charge(), charge(day=2)])
    once = write_parquet(tmp_path / "b.parquet", [charge(), charge(day=9)])
    empty = write_parquet(tmp_path / "c.parquet", [])
    assert share_in_common(engine, [twice], [once]) == Decimal("0.5")
    assert share_in_common(engine, [once], [once]) == 1
    assert share_in_common(engine, [once], [empty]) == 0


def test_a_sum_of_totals_keeps_every_digit() -> None:
    """Python's own context keeps 28 digits, and the engine's decimals have 38."""
    long, short = (Decimal(text) for text in ("12345678901234567890.123456789012", "1E-12"))
    totals = [
        Total(currency="USD", rows=1, billed=one, effective=one.copy_negate())
        for one in (long, short)
    ]
    (found,) = add_up(totals)
    assert str(found.billed) == "12345678901234567890.123456789013"
    assert str(found.effective) == "-12345678901234567890.123456789013"
