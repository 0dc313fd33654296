"""What a plan costs a month, and whether that is within the budget: unknown never is."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from pydantic import ValidationError

from tests.plans import COSTS
from tests.soak import examples
from xops.core.money import Money
from xops.core.plan.cost import BudgetVerdict, CostEffect, CostRange, PriceBasis


def money(amount: str, currency: str = "USD") -> Money:
    return Money(amount=Decimal(amount), currency=currency)


def month(low: str, expected: str, high: str, currency: str = "USD") -> CostRange:
    values = (money(each, currency) for each in (low, expected, high))
    return CostRange(**dict(zip(("low", "expected", "high"), values, strict=True)))


def test_a_range_is_in_order() -> None:
    assert str(month("1", "2", "3")) == "2.00 USD (1.00 USD to 3.00 USD)"
    assert month("2", "2", "2.0").low == money("2")
    for wrong in (("2", "1", "3"), ("1", "4", "3"), ("3", "3", "1")):
        with pytest.raises(ValidationError, match="not in order"):
            month(*wrong)


def test_a_range_has_one_currency() -> None:
    with pytest.raises(ValidationError, match="no rate is given"):
        CostRange(low=money("1"), expected=money("2"), high=money("3", "AUD"))


@pytest.mark.parametrize(
    ("after", "budget"),
    [
        (month("1", "2", "3", "AUD"), None),
        (month("1", "2", "3"), money("9", "AUD")),
        (month("1", "2", "3", "AUD"), money("9")),
    ],
)
def test_an_effect_has_one_currency(after: CostRange, budget: Money | None) -> None:
    with pytest.raises(ValidationError, match="several currencies, which no rate joins: AUD, USD"):
        CostEffect(before=month("1", "2", "3"), after=after, budget=budget)


@pytest.mark.parametrize(
    ("expected", "budget", "unpriced", "verdict"),
    [
        ("180", "180", (), BudgetVerdict.WITHIN),
        ("180.01", "180", (), BudgetVerdict.OVER),
        ("0", "0", (), BudgetVerdict.WITHIN),
        ("0", "0", ("nat",), BudgetVerdict.UNKNOWN),
        ("1", "180", ("nat",), BudgetVerdict.UNKNOWN),
        ("181", "180", ("nat",), BudgetVerdict.OVER),
        ("1", None, (), BudgetVerdict.UNKNOWN),
        ("1", None, ("nat",), BudgetVerdict.UNKNOWN),
    ],
)
def test_the_verdict(
    expected: str, budget: str | None, unpriced: tuple[str, ...], verdict: BudgetVerdict
) -> None:
    effect = CostEffect(
        before=month("0", "0", "0"),
        after=month("0", expected, "1000"),
        unpriced=unpriced,
        budget=None if budget is None else money(budget),
    )

    assert effect.verdict is verdict
    assert effect.incomplete is bool(unpriced)


@examples(50)
@given(COSTS)
def test_what_is_unknown_is_never_within(effect: CostEffect) -> None:
    if effect.verdict is BudgetVerdict.WITHIN:
        assert not effect.unpriced
        assert effect.budget is not None
        assert effect.after.expected <= effect.budget


def costing(
    expected: str, budget: str | None, *unpriced: str, is_emulated: bool = False
) -> CostEffect:
    return CostEffect(
        before=month("0", "0", "0"),
        after=month("0", expected, "1000"),
        unpriced=unpriced,
        budget=None if budget is None else money(budget),
        is_emulated=is_emulated,
    )


@pytest.mark.parametrize(
    ("effect", "excess"),
    [
        (costing("180", "180"), None),
        (costing("200", None), None),
        (costing("200", "180", is_emulated=True), None),
        (costing("1", "180", "nat", is_emulated=True), None),
        (
            costing("180.004", "180"),
            "180.00 USD a month is less than a cent (0.004) over the budget of 180.00 USD",
        ),
        (
            costing("180.01", "180"),
            "180.01 USD a month is 0.01 USD over the budget of 180.00 USD",
        ),
        (
            costing("200", "180", "nat"),
            "200.00 USD a month is 20.00 USD over the budget of 180.00 USD",
        ),
        (
            costing("1", "180", "nat"),
            "1.00 USD a month and 1 unpriced line: unknown whether that is within the budget of"
            " 180.00 USD",
        ),
    ],
)
def test_what_a_person_lets_pass_names_the_budget(effect: CostEffect, excess: str | None) -> None:
    assert effect.excess == excess


@pytest.mark.parametrize(
    ("now", "approved", "is_covered"),
    [
        (costing("100", "180"), None, True),
        (costing("200", "180"), None, False),
        (costing("200", "180"), costing("100", "180"), False),
        (costing("200", "180"), costing("200", "180"), True),
        (costing("190", "180"), costing("200", "180"), True),
        (costing("201", "180"), costing("200", "180"), False),
        (costing("200", "170"), costing("200", "180"), False),
        (costing("200", "180", "nat"), costing("200", "180"), False),
        (costing("200", "180"), costing("200", "180", "nat"), True),
        (costing("200", "180", is_emulated=True), None, True),
    ],
)
def test_an_approval_covers_no_more_than_the_cost_it_was_given_for(
    now: CostEffect, approved: CostEffect | None, is_covered: bool
) -> None:
    why = now.why_uncovered(approved)
    assert (why is None) is is_covered
    assert is_covered or (why and str(now.budget) in why)


@examples(50)
@given(COSTS)
def test_an_approval_covers_its_own_plan(effect: CostEffect) -> None:
    assert effect.why_uncovered(effect) is None


def test_a_cost_says_what_its_prices_are_worth() -> None:
    oldest = PriceBasis(confidence="memory", seen_on=date(2017, 12, 18), old=("alb", "kms key"))
    assert str(oldest) == (
        "memory at the weakest, the oldest seen on 2017-12-18, 2 items to be looked up anew"
    )
    assert str(PriceBasis(confidence="seen")) == "seen at the weakest, one of them of no known day"


def test_a_cost_in_one_line() -> None:
    assert str(costing("200", "180")) == ("0.00 USD -> 200.00 USD a month, budget 180.00 USD: over")
    assert str(costing("200", None, is_emulated=True)) == (
        "0, an emulator; on AWS it would be 0.00 USD -> 200.00 USD a month"
    )
