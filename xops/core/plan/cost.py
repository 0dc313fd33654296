"""What a plan does to the monthly cost, and whether that is within the budget. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, model_validator

from xops.core.money import Money

_SHOWN = Decimal("0.005")
"""What is above is shown as a cent at least."""


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


class PriceBasis(BaseModel):
    """What the prices are worth that a cost rests on: its weakest and its oldest.

    Attributes:
        confidence: of the weakest, in the price book's words.
        seen_on: the day of the oldest; None as soon as one has none.
        old: items whose prices are to be looked up anew.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    confidence: str
    seen_on: date | None = None
    old: tuple[str, ...] = ()

    def __str__(self) -> str:
        day = (
            f"the oldest seen on {self.seen_on}" if self.seen_on else "one of them of no known day"
        )
        count = len(self.old)
        old = f", {count} item{'s' * (count > 1)} to be looked up anew" if count else ""
        return f"{self.confidence} at the weakest, {day}{old}"


class CostEffect(BaseModel):
    """The monthly cost before and after. A line without a price makes it incomplete.

    Attributes:
        unpriced: what has no price after it, a line each.
        unpriced_before: what has none and is gone after it: no saving is known of that.
        is_emulated: whether the target is an emulator: nothing is spent there, and the amounts are
            what it would cost on AWS.
        basis: what the prices are worth; None where nothing has one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: CostRange
    after: CostRange
    unpriced: tuple[str, ...] = ()
    unpriced_before: tuple[str, ...] = ()
    budget: Money | None = None
    is_emulated: bool = False
    basis: PriceBasis | None = None

    @model_validator(mode="after")
    def _in_one_currency(self) -> Self:
        amounts = (self.before.expected, self.after.expected, self.budget)
        found = sorted({amount.currency for amount in amounts if amount})
        if len(found) > 1:
            raise ValueError(f"in several currencies, which no rate joins: {', '.join(found)}")
        return self

    def __str__(self) -> str:
        budget = f", budget {self.budget}: {self.verdict}" if self.budget else ""
        found = f"{self.before.expected} -> {self.after.expected} a month{budget}"
        return f"0, an emulator; on AWS it would be {found}" if self.is_emulated else found

    @property
    def incomplete(self) -> bool:
        """Whether something of what it comes to has no price."""
        return bool(self.unpriced)

    @property
    def verdict(self) -> BudgetVerdict:
        """As `judge`; unknown without a budget."""
        if self.budget is None:
            return BudgetVerdict.UNKNOWN
        return judge(self.after.expected, self.budget, incomplete=self.incomplete)

    @property
    def excess(self) -> str | None:
        """What a person lets pass who approves of it, with the budget; None: nothing of that kind.

        Where it cannot be told whether it is over, it is taken for over: unknown is not within.
        """
        if self.budget is None or self.is_emulated or self.verdict is BudgetVerdict.WITHIN:
            return None
        cost = f"{self.after.expected} a month"
        if self.verdict is BudgetVerdict.OVER:
            return f"{cost} is {self._over(self.budget)} over the budget of {self.budget}"
        count = len(self.unpriced)
        return (
            f"{cost} and {count} unpriced line{'s' * (count > 1)}: unknown whether that is within"
            f" the budget of {self.budget}"
        )

    def _over(self, budget: Money) -> str:
        over = self.after.expected - budget
        return str(over) if over.amount > _SHOWN else f"less than a cent ({over.amount:f})"

    def why_uncovered(self, approved: CostEffect | None) -> str | None:
        """Why an approval of that does not let this pass; None where it does."""
        if self.excess is None:
            return None
        if approved is None or approved.excess is None:
            return f"{self.excess}, which was not so when it was approved"
        worse = (
            self.after.expected > approved.after.expected
            or (approved.budget is not None and self.budget is not None
                and self.budget < approved.budget)
            or not set(self.unpriced) <= set(approved.unpriced)
        )  # fmt: skip
        return f"{self.excess}; approved was: {approved.excess}" if worse else None


class Pricer(Protocol):
    """Says what a Terraform plan costs. Steps get one from flows and commands."""

    def price(
        self, document: Mapping[str, Any], *, region: str, budget: Money, is_emulated: bool
    ) -> CostEffect:
        """The monthly cost before and after.

        Args:
            document: what `terraform show -json PLANFILE` printed.
            region: where it runs.
            budget: a month's.
            is_emulated: whether the target is an emulator.
        """
        ...
