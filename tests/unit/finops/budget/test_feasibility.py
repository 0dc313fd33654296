"""Whether a budget can be met, and what was found about those of ADR-005."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.finops.budget.shapes import BOOK, PROMISE, RATES, proof_of, shape_of
from xops.core.money import Money
from xops.core.plan.cost import BudgetVerdict
from xops.finops.budget.changes import Lever, single_changes
from xops.finops.budget.feasibility import Option, Rates, prove, spot_break_even
from xops.finops.budget.feasibility_json import feasibility_to_json
from xops.finops.budget.own_plan import price_own
from xops.finops.budget.peak import scale_up
from xops.finops.budget.shape import WeeklyHours
from xops.finops.prices.book import PriceBook
from xops.finops.prices.terms import Terms
from xops.finops.pricing.bill import Bill, Usage
from xops.finops.pricing.schedules import Bounds

PROD = proof_of("prod")
WHOLE = RATES.assumptions.model_validate(
    RATES.assumptions.model_dump(by_alias=True)
    | {
        name: {"low": "0", "expected": "0", "high": "0"}
        for name in ("insights_metrics", "file_system_read_gb", "file_system_written_gb")
    }
)
MORE = [
    BOOK.rows[0].model_copy(
        update={"item": item, "region": "ap-southeast-2", "usd": Decimal("0.05")}
    )
    for item in ("backup efs", "efs elastic read", "efs elastic write")
]
PRICED = Rates(PriceBook((*BOOK.rows, *MORE)), WHOLE)
"""With a price for everything, as after a refresh."""


def cents(money: Money) -> str:
    return f"{money.amount:.2f}"


# What was found


def test_the_180_of_the_decision_are_not_reachable_by_what_keeps_the_promise() -> None:
    assert PROD.keeps_promise
    assert (cents(PROD.own.total), PROD.own.verdict) == ("312.17", BudgetVerdict.OVER)
    assert PROD.cheapest_change is None
    assert PROD.is_reachable is False
    assert PROD.over_by is not None
    assert (cents(PROD.cheapest.total), cents(PROD.over_by)) == ("181.55", "1.55")
    assert PROD.spot_break_even == Decimal("74.18")
    assert PROD.largest is None


def test_each_single_change_of_prod_is_told_with_what_it_saves() -> None:
    assert [(one.lever, cents(PROD.own.total - one.total)) for one in PROD.changes] == [
        (Lever.PURCHASE, "72.62"),
        (Lever.SIZE, "69.16"),
        (Lever.HOURS, "66.69"),
        (Lever.SIZE, "34.58"),
        (Lever.EGRESS, "33.30"),
        (Lever.ZONES, "3.65"),
    ]


def test_fewer_zones_are_beyond_the_promise_and_still_not_within() -> None:
    """What has no price could take it over: 2.10 are left for it."""
    (zones,) = (one for one in PROD.beyond if one.lever is Lever.ZONES)
    assert (cents(zones.total), zones.verdict) == ("177.90", BudgetVerdict.UNKNOWN)


def test_380_hang_on_what_has_no_price() -> None:
    peak = proof_of("peak")
    assert cents(peak.own.total) == "519.65"
    assert peak.is_reachable is None
    assert peak.cheapest_change is not None
    assert peak.cheapest_change.lever is Lever.PURCHASE
    assert cents(peak.cheapest_change.total) == "301.79"
    assert peak.largest is not None
    assert peak.largest.tasks == {"open_webui": 6, "crew": 8}
    assert peak.largest.peak_hours == 260


def test_with_a_price_for_everything_the_answer_is_yes_or_no() -> None:
    assert proof_of("peak", rates=PRICED).is_reachable is True
    assert proof_of("prod", rates=PRICED).is_reachable is False
    assert cents(proof_of("prod", rates=PRICED).cheapest.total) == "182.05"  # 10 GB of backup


@pytest.mark.parametrize("name", ["test", "local"])
def test_where_nothing_fits_the_budget_that_is_needed_is_said(name: str) -> None:
    found = proof_of(name)
    assert found.is_reachable is False
    assert found.spot_break_even is None
    told = feasibility_to_json(found)
    assert told["reachable"] is False
    assert Decimal(told["budget_needed"]) - Decimal(told["over_by"]) == found.budget.amount


# Rules


def test_one_cent_decides() -> None:
    needed = proof_of("prod", rates=PRICED).cheapest.total.amount
    assert proof_of("prod", str(needed), PRICED).is_reachable is True
    assert proof_of("prod", str(needed - Decimal("0.01")), PRICED).is_reachable is False


def test_no_change_breaks_the_promise_and_none_is_no_change() -> None:
    for name in ("prod", "peak", "sit", "test"):
        shape = shape_of(name)
        promise = proof_of(name).promise
        for one in single_changes(shape, promise):
            assert promise.is_kept_by(one.shape)
            assert one.shape != shape


def test_a_change_that_brings_what_has_no_price_is_no_saving() -> None:
    """Endpoints only look cheaper than they are: nobody has seen what their data costs."""
    without = PriceBook(tuple(row for row in BOOK.rows if row.item != "vpc endpoint"))
    found = proof_of("prod", rates=Rates(without, RATES.assumptions))
    assert all("endpoints" not in one.summary for one in found.changes)
    assert found.cheapest.shape.egress == "public_ip"


def test_the_cheapest_leaves_zones_and_sizes_alone() -> None:
    shape = PROD.cheapest.shape
    assert shape.zones == 3
    assert {name: one.cpu for name, one in shape.services.items()} == {
        "open_webui": 2048,
        "crew": 1024,
    }


def test_a_plan_that_keeps_less_is_told_as_such() -> None:
    found = prove(shape_of("test"), PROMISE, Money(amount=Decimal(1000)), RATES)
    assert not found.keeps_promise
    assert found.cheapest.total > found.own.total
    assert all(PROMISE.is_kept_by(one.shape) for one in found.changes)


def test_the_largest_plan_fits_and_no_task_more_does() -> None:
    found = proof_of("prod", "200", PRICED).largest
    assert found is not None
    assert found.total <= Money(amount=Decimal(200))
    assert sum(found.tasks.values()) > 4
    # One more task of the smaller service costs 12 hours of business days on Spot.
    more = Money(amount=Decimal("3.70") + Decimal("1.30"))
    assert found.total + more > Money(amount=Decimal(200))


def test_a_larger_budget_never_fits_less() -> None:
    found = [proof_of("prod", str(budget), PRICED).largest for budget in (183, 190, 200, 220, 300)]
    fitting = [one for one in found if one is not None]
    tasks = [sum(one.tasks.values()) for one in fitting]
    assert len(fitting) == len(found)
    assert tasks == sorted(tasks)
    assert tasks[0] < tasks[-1] == 14
    assert [one.peak_hours or 0 for one in fitting] == sorted(
        one.peak_hours or 0 for one in fitting
    )


# Spot's break-even


def bill(spot_hours: int, on_demand_hours: int = 0) -> Bill:
    usages = [
        Usage("fargate spot arm64 vCPU", Decimal(spot_hours), "a"),
        Usage("fargate arm64 vCPU", Decimal(on_demand_hours), "b"),
    ]
    return Bill.of(usages, BOOK, "ap-southeast-2")


@given(st.integers(1, 5000), st.integers(0, 5000), st.integers(0, 400))
def test_the_bill_fits_at_the_discount_and_not_a_hundredth_below(
    spot: int, on_demand: int, budget: int
) -> None:
    limit = Money(amount=Decimal(budget))
    found = spot_break_even(bill(spot, on_demand), limit, BOOK, "ap-southeast-2")
    rate, fixed = Decimal("0.03885"), Decimal("0.03885") * on_demand

    def total(percent: Decimal) -> Decimal:
        return fixed + spot * rate * (1 - percent / 100)

    if found is None:
        assert fixed > budget
    else:
        assert total(found) <= budget
        assert found == 0 or total(found - Decimal("0.01")) > budget


def test_a_bill_without_spot_fits_or_does_not() -> None:
    for budget, answer in ((100, Decimal(0)), (1, None)):
        limit = Money(amount=Decimal(budget))
        assert spot_break_even(bill(0, 1000), limit, BOOK, "ap-southeast-2") == answer


def test_spot_is_held_against_on_demand_and_not_against_what_is_committed_to() -> None:
    committed = Terms(savings_plan_percent=Decimal(20)).apply(BOOK)
    found = proof_of("prod", "155", Rates(committed, RATES.assumptions, BOOK))
    spot = found.cheapest.bill.where(lambda usage: usage.item.startswith("fargate spot ")).total
    listed, rest = spot.amount / Decimal("0.3"), (found.cheapest.total - spot).amount

    def total(percent: Decimal) -> Decimal:
        return rest + listed * (1 - percent / 100)

    assert found.spot_break_even is not None
    assert total(found.spot_break_even) <= 155 < total(found.spot_break_even - Decimal("0.01"))


# Peak hours


def own() -> Option:
    return PROD.own


def test_all_tasks_for_some_hours_are_added_to_the_month() -> None:
    """4 of 6 more on demand and Spot by 1 to 3, as the file says."""
    found = scale_up(own(), 100, BOOK)
    assert cents(found.added) == "31.50"
    assert found.total == own().total + found.added
    assert found.verdict is BudgetVerdict.OVER


def test_no_hour_adds_nothing() -> None:
    assert scale_up(own(), 0, BOOK).added == Money(amount=Decimal(0))


NIGHTS = WeeklyHours(start="19:00", end="07:00")


@pytest.mark.parametrize("hours", [None, NIGHTS])
@pytest.mark.parametrize("name", ["test", "sit", "prod"])
def test_all_tasks_for_the_whole_month_cost_what_they_cost_without_a_schedule(
    name: str, hours: WeeklyHours | None
) -> None:
    """Outside business hours there are fewer tasks that run anyway."""
    shape = shape_of(name)
    scheduled = {
        called: replace(
            one, schedule=one.schedule and replace(one.schedule, hours=hours or one.schedule.hours)
        )
        for called, one in shape.services.items()
    }
    always = {
        called: replace(one, bounds=Bounds(one.busiest.most, one.busiest.most), schedule=None)
        for called, one in shape.services.items()
    }
    month = replace(
        proof_of(name).own,
        shape=replace(shape, services=scheduled),
        priced=price_own(replace(shape, services=scheduled), BOOK, RATES.assumptions),
    )
    all_of_them = price_own(replace(shape, services=always), BOOK, RATES.assumptions)
    assert cents(scale_up(month, 730, BOOK).total) == cents(all_of_them.after[1].total)


def test_public_tasks_bring_their_addresses() -> None:
    public = replace(own(), shape=replace(own().shape, egress="public_ip"))
    more = scale_up(public, 100, BOOK).added - scale_up(own(), 100, BOOK).added
    assert cents(more) == "5.00"  # 10 tasks, 100 hours


def test_amounts_are_exact_for_machines() -> None:
    told = feasibility_to_json(PROD)
    plan = told["cheapest_plan"]
    assert Fraction(plan["compute"]) + Fraction(plan["fixed"]) == Fraction(plan["total"])
    assert told["spot_break_even_percent"] == "74.18"
    assert [Decimal(one["saving"]) for one in told["single_changes"]] == sorted(
        (Decimal(one["saving"]) for one in told["single_changes"]), reverse=True
    )
