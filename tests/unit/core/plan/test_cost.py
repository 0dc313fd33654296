"""What a plan costs a month, and whether that is within the budget: unknown never is."""

from decimal import Decimal

import pytest
from hypothesis import given
from pydantic import ValidationError

from tests.plans import COSTS
from tests.soak import examples
from xops.core.money import Money
from xops.core.plan.cost import BudgetVerdict, CostEffect, CostRange


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
