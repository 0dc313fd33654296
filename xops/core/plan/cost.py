"""What a plan does to the monthly cost, and whether that is within the budget. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from xops.core.money import Money


class CostRange(BaseModel):
    """A month's cost: the least, what is expected, and the most that the bounds allow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: Money
    expected: Money
    high: Money

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= self.expected <= self.high:
            raise ValueError(f"not in order: {self.low}, {self.expected}, {self.high}")
        return self

    def __str__(self) -> str:
        return f"{self.expected} ({self.low} to {self.high})"


class BudgetVerdict(StrEnum):
    """How the cost after an apply compares with the budget."""

    WITHIN = "within"
    OVER = "over"
    UNKNOWN = "unknown"
    """There is no budget, or a line without a price could take it over."""


def judge(expected: Money, budget: Money, *, incomplete: bool) -> BudgetVerdict:
    """Over as soon as what has a price is over, whatever has none."""
    if expected > budget:
        return BudgetVerdict.OVER
    return BudgetVerdict.UNKNOWN if incomplete else BudgetVerdict.WITHIN


class CostEffect(BaseModel):
    """The monthly cost before and after. A line without a price makes it incomplete."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: CostRange
    after: CostRange
    unpriced: tuple[str, ...] = ()
    budget: Money | None = None

    @model_validator(mode="after")
    def _in_one_currency(self) -> Self:
        amounts = (self.before.expected, self.after.expected, self.budget)
        found = sorted({amount.currency for amount in amounts if amount})
        if len(found) > 1:
            raise ValueError(f"in several currencies, which no rate joins: {', '.join(found)}")
        return self

    @property
    def incomplete(self) -> bool:
        """Whether something of it has no price."""
        return bool(self.unpriced)

    @property
    def verdict(self) -> BudgetVerdict:
        """As `judge`; unknown without a budget."""
        if self.budget is None:
            return BudgetVerdict.UNKNOWN
        return judge(self.after.expected, self.budget, incomplete=self.incomplete)
