"""Questions to a table of costs, on DuckDB as the platform sets it up."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.charges import HOUR, charge, table
from tests.soak import examples
from xops.core.errors import InputError
from xops.finops.analysis import queries
from xops.finops.analysis.periods import Grain, Period, moment, week_name
from xops.finops.analysis.queries import CostTable, Dimension, rows
from xops.finops.configuration import CostConfiguration
from xops.finops.store.engine import open_engine, view

SYDNEY, UTC_ZONE = ZoneInfo("Australia/Sydney"), ZoneInfo("UTC")
MARCH = Period(date(2026, 3, 1), date(2026, 4, 1))

Open = Callable[[Iterable[Mapping[str, Any]]], CostTable]


@pytest.fixture(scope="module")
def costs_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """A table of costs in Sydney's days."""
    engine = open_engine(spill=Path(tmp_path_factory.mktemp("spill")))
    number = iter(range(10**6))

    def opened(charges: Iterable[Mapping[str, Any]]) -> CostTable:
        name = f"charges_{next(number)}"
        engine.con.register(name, table(charges))
        return CostTable(view(engine, f"{name}_as_table", f"FROM {name}"), SYDNEY)

    yield opened
    engine.disconnect()


def hours(period: Period, zone: ZoneInfo) -> list[dict[str, Any]]:
    """A charge of 1 for each hour of a period."""
    first, last = moment(period.start, zone), moment(period.end, zone)
    count = (last - first) // HOUR
    return [charge(first + number * HOUR, "1", HOUR) for number in range(count)]


@pytest.mark.parametrize(("day", "count"), [("2026-04-05", 25), ("2026-10-04", 23)])
def test_a_day_on_which_clocks_change_has_its_own_hours(
    costs_of: Open, day: str, count: int
) -> None:
    changed = date.fromisoformat(day)
    around = Period(changed - timedelta(days=2), changed + timedelta(days=3))
    found = rows(queries.by(costs_of(hours(around, SYDNEY)), Grain.DAY, [], around))
    assert [row["effective_cost"] for row in found] == [24, 24, count, 24, 24]
    assert [row["period"] for row in found] == list(around)


def test_weeks_begin_on_monday_in_the_zone(costs_of: Open) -> None:
    sunday_in_utc = datetime(2026, 3, 15, 13, 30, tzinfo=UTC)  # Monday, 0:30 in Sydney
    costs = costs_of([charge(sunday_in_utc, "1", HOUR)])
    [found] = rows(queries.by(costs, Grain.WEEK, [], MARCH))
    [in_utc] = rows(queries.by(replace(costs, zone=UTC_ZONE), Grain.WEEK, [], MARCH))
    assert found["period"] == date(2026, 3, 16)
    assert in_utc["period"] == date(2026, 3, 9)


def test_a_year_with_53_weeks(costs_of: Open) -> None:
    around = Period(date(2026, 12, 21), date(2027, 1, 11))
    charges = [charge(day) for day in around]
    found = rows(queries.by(costs_of(charges), Grain.WEEK, [], around))
    assert [(week_name(row["period"]), int(row["effective_cost"])) for row in found] == [
        ("2026-W52", 7), ("2026-W53", 7), ("2027-W01", 7),
    ]  # fmt: skip


def test_a_charge_of_a_whole_day_is_of_that_day_in_every_zone(costs_of: Open) -> None:
    costs = costs_of([charge(date(2026, 3, 10))])
    for name in ("Australia/Sydney", "America/Los_Angeles", "UTC"):
        [found] = rows(queries.by(replace(costs, zone=ZoneInfo(name)), Grain.DAY, [], MARCH))
        assert found["period"] == date(2026, 3, 10)


def test_months_are_billing_periods_whatever_the_zone(costs_of: Open) -> None:
    late = datetime(2026, 3, 31, 20, tzinfo=UTC)  # April in Sydney
    costs = costs_of([charge(late, "5", HOUR), charge(date(2026, 4, 1), "7")])
    found = rows(queries.by(costs, Grain.MONTH, [], Period(date(2026, 3, 1), date(2026, 5, 1))))
    assert [(row["period"], row["billed_cost"]) for row in found] == [
        (date(2026, 3, 1), 5), (date(2026, 4, 1), 7),
    ]  # fmt: skip


AMOUNTS = st.decimals(-(10**9), 10**9, places=12)


@examples(25)
@given(st.lists(AMOUNTS, min_size=1, max_size=30))
def test_sums_keep_every_digit(costs_of: Open, amounts: list[Decimal]) -> None:
    costs = costs_of([charge(date(2026, 3, 10), amount) for amount in amounts])
    [found] = rows(queries.by(costs, Grain.DAY, [], MARCH))
    assert found["effective_cost"] == found["billed_cost"] == sum(amounts)
    assert str(found["effective_cost"].as_tuple().exponent) == "-12"
    framed = queries.frame(queries.by(costs, Grain.DAY, [], MARCH))
    assert str(framed["effective_cost"].dtype) == "decimal128(38, 12)[pyarrow]"


@pytest.mark.parametrize(
    ("tags", "environment"),
    [
        ({"environment": "prod"}, "prod"),
        ({"user:environment": "prod"}, "prod"),
        ({"user_environment": "prod"}, "prod"),
        ({"environment": ""}, None),
        ({"Environment": "prod"}, None),
        ({"other": '","environment":"prod'}, None),
        ({"environment": 'p"r\\o{d}é'}, 'p"r\\o{d}é'),
        ({}, None),
        (None, None),
    ],
)
def test_tags_are_read_from_json(
    costs_of: Open, tags: dict[str, str] | None, environment: str | None
) -> None:
    costs = costs_of([charge(date(2026, 3, 10), tags=tags)])
    [found] = rows(queries.by(costs, Grain.DAY, [Dimension.ENVIRONMENT], MARCH))
    assert found["environment"] == environment


def test_keys_of_tags_may_hold_points_and_colons(costs_of: Open) -> None:
    tags = {"acme.io/env:name": "prod", "acme": "wrong"}
    costs = costs_of([charge(date(2026, 3, 10), tags=tags)])
    named = replace(costs, tags={**costs.tags, Dimension.ENVIRONMENT: "acme.io/env:name"})
    [found] = rows(queries.by(named, Grain.DAY, [Dimension.ENVIRONMENT], MARCH))
    assert found["environment"] == "prod"


@pytest.mark.parametrize("key", ['x"]', "x'", "a[0]", "*", ""])
def test_a_key_that_could_be_a_path_is_refused(costs_of: Open, key: str) -> None:
    with pytest.raises(InputError, match="no key of a tag"):
        replace(costs_of([]), tags={Dimension.OWNER: key})


def test_an_account_stands_in_for_a_tag_that_is_not_there(costs_of: Open) -> None:
    costs = costs_of([
        charge(date(2026, 3, 10), "1", SubAccountId="3"),
        charge(date(2026, 3, 10), "2", SubAccountId="3", tags={"environment": "test"}),
        charge(date(2026, 3, 10), "4", SubAccountId="9"),
    ])  # fmt: skip
    named = replace(costs, accounts={"3": "prod"})
    found = rows(queries.by(named, Grain.DAY, [Dimension.ENVIRONMENT], MARCH))
    assert {row["environment"]: int(row["effective_cost"]) for row in found} == {
        "prod": 1, "test": 2, None: 4,
    }  # fmt: skip
    assert int(rows(queries.coverage(named.of_environment("prod"), MARCH))[0]["usage"]) == 1


def test_only_one_currency_is_added_up_and_the_others_are_named(costs_of: Open) -> None:
    costs = costs_of([
        charge(date(2026, 3, 10), "1"), charge(date(2026, 3, 10), "9", BillingCurrency="AUD"),
    ])  # fmt: skip
    [found] = rows(queries.by(costs, Grain.DAY, [], MARCH))
    assert found["effective_cost"] == 1
    assert [row["currency"] for row in rows(queries.currencies(costs))] == ["AUD", "USD"]


def test_usage_is_told_from_tax_credits_purchases_and_corrections(costs_of: Open) -> None:
    day = date(2026, 3, 10)
    costs = costs_of([
        charge(day, "8"),
        charge(day, "-5", ChargeCategory="Credit"),
        charge(day, "0.8", ChargeCategory="Tax"),
        charge(day, "30", ChargeCategory="Purchase"),
        charge(day, "-2", ChargeClass="Correction"),
    ])  # fmt: skip
    assert [row.cost for row in queries.usage_rows(costs, MARCH)] == [8]
    assert queries.charged_once(costs, MARCH) == {None: 28}
    by_category = rows(queries.by(costs, Grain.DAY, [Dimension.CATEGORY], MARCH))
    assert len(by_category) == 4
    assert sum(row["effective_cost"] for row in by_category) == Decimal("31.8")


def test_spot_and_on_demand_are_told_apart(costs_of: Open) -> None:
    costs = costs_of([
        charge(date(2026, 3, 10), "3"),
        charge(date(2026, 3, 10), "1", PricingCategory="Dynamic"),
    ])  # fmt: skip
    found = rows(queries.by(costs, Grain.DAY, [Dimension.PURCHASE], MARCH))
    assert [(row["purchase"], int(row["effective_cost"])) for row in found] == [
        ("Dynamic", 1), ("Standard", 3),
    ]  # fmt: skip


def test_coverage_says_what_bears_each_tag(costs_of: Open) -> None:
    costs = costs_of([
        charge(date(2026, 3, 10), "6", tags={"environment": "prod", "owner": "platform"}),
        charge(date(2026, 3, 10), "3", tags={"environment": "prod"}),
        charge(date(2026, 3, 10), "1"),
        charge(date(2026, 3, 10), "9", ChargeCategory="Tax"),
    ])  # fmt: skip
    [found] = rows(queries.coverage(costs, MARCH))
    assert {name: int(amount) for name, amount in found.items()} == {
        "usage": 10, "environment": 9, "application": 0, "owner": 6,
    }  # fmt: skip


def test_resources_without_an_owner_come_with_the_dearest_first(costs_of: Open) -> None:
    costs = costs_of([
        charge(date(2026, 3, 10), "1", ResourceId="cheap"),
        charge(date(2026, 3, 10), "5", ResourceId="dear"),
        charge(date(2026, 3, 11), "5", ResourceId="dear"),
        charge(date(2026, 3, 10), "7", ResourceId="owned", tags={"owner": "platform"}),
        charge(date(2026, 3, 10), "2"),
    ])  # fmt: skip
    found = rows(queries.untagged_resources(costs, MARCH))
    assert [(row["resource"], int(row["effective_cost"])) for row in found] == [
        ("dear", 10), (None, 2), ("cheap", 1),
    ]  # fmt: skip


def test_periods_are_compared_by_their_difference(costs_of: Open) -> None:
    later = Period(date(2026, 3, 9), date(2026, 3, 16))
    new = charge(date(2026, 3, 10), "4", ServiceName="RDS")
    charges = [charge(day, "2") for day in later.before()] + [charge(day, "1") for day in later]
    found = rows(
        queries.compare(costs_of([*charges, new]), later.before(), later, [Dimension.SERVICE])
    )
    told = [(row["service"], int(row["before"]), int(row["after"])) for row in found]
    assert told == [("Amazon Elastic Container Service", 14, 7), ("RDS", 0, 4)]
    assert [row["difference"] for row in found] == [-7, 4]


def test_a_partial_period_is_not_compared_with_a_whole_one(costs_of: Open) -> None:
    with pytest.raises(ValueError, match="has 31 days"):
        queries.compare(costs_of([]), MARCH, Period(MARCH.end, date(2026, 4, 10)), [])


def test_a_quantity_that_one_row_does_not_say_is_unknown(costs_of: Open) -> None:
    costs = costs_of([
        charge(date(2026, 3, 10), "1", PricingQuantity=Decimal("24.5")),
        charge(date(2026, 3, 11), "1", PricingQuantity=Decimal("24.5")),
        charge(date(2026, 3, 10), "1", x_UsageType="x", PricingQuantity=Decimal(1)),
        charge(date(2026, 3, 11), "1", x_UsageType="x", PricingQuantity=None),
    ])  # fmt: skip
    found = rows(queries.quantities(costs, MARCH))
    assert {row["usage_type"]: row["quantity"] for row in found} == {
        "APS2-Fargate-ARM-vCPU-Hours:perCPU": 49, "x": None,
    }  # fmt: skip
    assert [row["effective_cost"] for row in found] == [2, 2]


def test_days_without_rows_are_missing_and_the_last_ones_provisional(costs_of: Open) -> None:
    known = [day for day in MARCH if day.day not in (1, 2, 12, 30, 31)]
    found = queries.known_days(costs_of([charge(day) for day in known]), MARCH)
    assert found.missing == [date(2026, 3, 12)]
    assert found.period.start == date(2026, 3, 3)
    assert list(found.provisional) == [date(2026, 3, 30), date(2026, 3, 31)]


def test_an_empty_table_knows_no_day_and_sums_to_nothing(costs_of: Open) -> None:
    costs = costs_of([])
    assert queries.known_days(costs, MARCH).period.length == 0
    assert queries.usage_rows(costs, MARCH) == []
    assert rows(queries.coverage(costs, MARCH))[0]["usage"] == 0
    assert rows(queries.by(costs, Grain.WEEK, list(Dimension), MARCH)) == []


def test_the_file_says_zone_and_tags(costs_of: Open, tmp_path: Path) -> None:
    file = tmp_path / "costs.yaml"
    file.write_text("apiVersion: xops/v1\ntimezone: Europe/Paris\ntags: {environment: stage}\n")
    configuration = CostConfiguration.load(file, {})
    found = CostTable.configured(costs_of([]).table, configuration)
    assert str(found.zone) == "Europe/Paris"
    assert found.tags[Dimension.ENVIRONMENT] == "stage"
