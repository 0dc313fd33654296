"""Shapes of the project's environments, and what they are priced with."""

from decimal import Decimal

from xops.core.money import Money
from xops.ecs.environment import Environment
from xops.finops.budget.feasibility import Feasibility, Rates, prove
from xops.finops.budget.promise import Promise
from xops.finops.budget.shape import Shape, WeeklyHours
from xops.finops.prices.book import FILE, PriceBook
from xops.finops.pricing.assumptions import Assumptions

BOOK = PriceBook.load(FILE)
RATES = Rates(BOOK, Assumptions.load())
PROMISE = Promise(tasks=2, on_demand=1, hours=WeeklyHours())


def shape_of(name: str) -> Shape:
    """As committed."""
    return Shape.of(Environment.load(name, environ={}).terraform_variables())


def proof_of(name: str, budget: str | None = None, rates: Rates = RATES) -> Feasibility:
    """What is found for an environment as committed, or for another budget."""
    loaded = Environment.load(name, environ={})
    amount = loaded.budget.amount if budget is None else Decimal(budget)
    promise = Promise.of(loaded.promise.model_dump())
    return prove(shape_of(name), promise, Money(amount=amount), rates)
