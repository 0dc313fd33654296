"""What a step is told of the cost of its plan."""

from datetime import date
from decimal import Decimal

import pytest

from xops.core.errors import PermanentError
from xops.core.money import Money
from xops.core.plan.cost import BudgetVerdict, CostEffect
from xops.finops.prices.book import FILE, PriceBook
from xops.finops.pricing.assumptions import Assumptions
from xops.finops.pricing.pricer import TerraformPricer

PRICER = TerraformPricer(PriceBook.load(FILE), Assumptions.load(), date(2026, 11, 29))
GATEWAY = {"address": "aws_nat_gateway.a", "mode": "managed", "type": "aws_nat_gateway"}
DOCUMENT = {
    "format_version": "1.2",
    "planned_values": {"root_module": {"resources": [{**GATEWAY, "values": {}}]}},
}


def price(budget: str, *, is_emulated: bool) -> CostEffect:
    limit = Money(amount=Decimal(budget))
    return PRICER.price(DOCUMENT, region="ap-southeast-2", budget=limit, is_emulated=is_emulated)


def test_a_plan_that_makes_something_costs_more_afterwards() -> None:
    effect = price("45", is_emulated=False)
    assert effect.before.expected.amount == 0
    assert effect.after.expected.amount == Decimal("0.059") * 730 + Decimal("0.059") * 20
    assert (effect.verdict, effect.excess) == (BudgetVerdict.WITHIN, None)


def test_over_the_budget_it_says_by_how_much_and_on_an_emulator_nothing_is_spent() -> None:
    assert price("4", is_emulated=False).excess == (
        "44.25 USD a month is 40.25 USD over the budget of 4.00 USD"
    )
    emulated = price("4", is_emulated=True)
    assert (emulated.verdict, emulated.excess) == (BudgetVerdict.OVER, None)


@pytest.mark.parametrize(
    "odd", [{"format_version": "2.0"}, {"planned_values": None}, {"errored": True}]
)
def test_a_document_that_cannot_be_priced_is_no_cost_of_nothing(odd: dict[str, object]) -> None:
    limit = Money(amount=Decimal(1))
    with pytest.raises(PermanentError, match="pricing the plan"):
        PRICER.price(DOCUMENT | odd, region="ap-southeast-2", budget=limit, is_emulated=False)
