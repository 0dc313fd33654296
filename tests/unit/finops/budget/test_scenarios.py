"""The published arithmetic, to the cent."""

from decimal import Decimal

import pytest

from xops.core.money import Money
from xops.core.plan.cost import BudgetVerdict
from xops.finops.budget.scenarios import BUSINESS_HOURS, Case, Scenario, TaskSize, scenarios
from xops.finops.prices.book import FILE, PriceBook

BOOK = PriceBook.load(FILE)


def case(budget: str = "180", region: str = "ap-southeast-2") -> Case:
    tasks = {"open_webui": TaskSize.of(2048, 4096), "crew": TaskSize.of(1024, 2048)}
    return Case(tasks, region, Money(amount=Decimal(budget)))


def found(name: str, budget: str = "180", book: PriceBook = BOOK) -> Scenario:
    (scenario,) = (one for one in scenarios(case(budget), book) if one.name == name)
    return scenario


def cents(money: Money) -> str:
    return f"{money.amount:.2f}"


@pytest.mark.parametrize(
    ("name", "compute", "total", "verdict"),
    [
        ("on_demand_minimum", "207.48", "267.42", "over"),
        ("second_replica_on_spot", "114.82", "174.76", "within"),
        ("second_replica_on_spot_by_the_hour", "114.82", "170.06", "within"),
        ("k3s_medium", "92.86", "112.45", "within"),
        ("k3s_large", "185.71", "205.30", "over"),
        ("k3s_medium_with_load_balancer", "92.86", "130.84", "within"),
    ],
)
def test_what_a_month_comes_to(name: str, compute: str, total: str, verdict: str) -> None:
    scenario = found(name)
    assert cents(scenario.compute.total) == compute
    assert cents(scenario.bill.total) == total
    assert scenario.verdict == verdict


def test_the_fixed_lines_come_to_59_94() -> None:
    assert cents(found("on_demand_minimum").fixed.total) == "59.94"


@pytest.mark.parametrize(
    ("name", "hours", "an_hour"),
    [
        ("full_peak_hours", 169, "0.66318"),
        ("full_peak_hours_with_addresses", 157, "0.71318"),
    ],
)
def test_so_many_whole_hours_of_all_tasks_fit_380(name: str, hours: int, an_hour: str) -> None:
    scenario = found(name, "380")
    assert scenario.figures == {"hours": hours, "usd_an_hour": an_hour}
    assert scenario.bill.total <= scenario.budget
    assert scenario.bill.total + Money(amount=Decimal(an_hour)) > scenario.budget


def test_no_hour_of_all_tasks_fits_where_the_fewest_do_not() -> None:
    scenario = found("full_peak_hours")
    assert scenario.figures["hours"] == 0
    assert scenario.verdict is BudgetVerdict.OVER


@pytest.mark.parametrize("name", ["full_peak_hours", "full_peak_hours_with_addresses"])
def test_a_month_has_no_more_hours_than_its_own(name: str) -> None:
    assert found(name, "10000").figures["hours"] == 730


@pytest.mark.parametrize("item", ["fargate arm64 vCPU", "alb"])
@pytest.mark.parametrize("name", ["full_peak_hours", "full_peak_hours_with_addresses"])
def test_how_many_hours_fit_is_unknown_where_something_has_no_price(name: str, item: str) -> None:
    without = PriceBook(tuple(row for row in BOOK.rows if row.item != item))
    scenario = found(name, "380", without)
    assert scenario.figures == {"hours": "unknown", "usd_an_hour": "unknown"}
    assert "unknown hours" in scenario.summary


def test_business_hours_are_260_a_month() -> None:
    assert BUSINESS_HOURS == 260


def test_every_scenario_says_what_it_rests_on() -> None:
    for scenario in scenarios(case(), BOOK):
        assert len(scenario.assumptions) >= 2
        assert any("30 GB" in line or "10 GB" in line for line in scenario.assumptions)
        on_spot = any("spot" in line.usage.item for line in scenario.bill.lines)
        assert on_spot is any("Spot" in line for line in scenario.assumptions)


# What is not known


@pytest.mark.parametrize("item", ["kms key", "alb"])
def test_a_line_without_a_price_is_unknown_and_never_within(item: str) -> None:
    without = PriceBook(tuple(row for row in BOOK.rows if row.item != item))
    scenario = found("second_replica_on_spot", "180", without)
    assert scenario.verdict is BudgetVerdict.UNKNOWN
    assert scenario.to_json()["unpriced"] == [item]


def test_it_is_over_as_soon_as_what_has_a_price_is() -> None:
    without = PriceBook(tuple(row for row in BOOK.rows if row.item != "kms key"))
    assert found("on_demand_minimum", "180", without).verdict is BudgetVerdict.OVER


def test_a_region_that_nobody_has_seen_has_no_verdict() -> None:
    for scenario in scenarios(case(region="eu-west-1"), BOOK):
        assert scenario.verdict is BudgetVerdict.UNKNOWN
        assert scenario.bill.unpriced


def test_amounts_are_exact_for_machines() -> None:
    told = found("second_replica_on_spot").to_json()
    assert Decimal(told["compute"]) + Decimal(told["fixed"]) == Decimal(told["total"])
    assert sum(Decimal(line["amount"]) for line in told["lines"]) == Decimal(told["total"])
    assert told["confidence"] == "estimate"
    assert told["prices_seen_on"] is None
