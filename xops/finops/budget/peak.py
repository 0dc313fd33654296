"""What happens to the month if all tasks run for some hours. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from xops.core.money import Money
from xops.core.plan.cost import BudgetVerdict, judge
from xops.finops.budget.feasibility import Option, peak_hour
from xops.finops.prices.book import PriceBook
from xops.finops.pricing.bill import Bill


@dataclass(frozen=True)
class Peak:
    """So many hours of all tasks that scaling allows.

    Attributes:
        before: the month without them.
        bill: what they add.
    """

    hours: int
    before: Option
    bill: Bill

    @property
    def added(self) -> Money:
        """What they cost."""
        return self.bill.total

    @property
    def total(self) -> Money:
        """The month with them."""
        return self.before.total + self.added

    @property
    def verdict(self) -> BudgetVerdict:
        """As `judge`."""
        missing = bool(self.before.priced.unpriced or self.bill.unpriced)
        return judge(self.total, self.before.budget, incomplete=missing)

    def to_json(self) -> dict[str, Any]:
        """For machines; amounts are exact."""
        return {
            "hours": self.hours,
            "added": str(self.added.amount),
            "total": str(self.total.amount),
            "budget": str(self.before.budget.amount),
            "verdict": self.verdict,
            "lines": [line.to_json() for line in self.bill.lines],
        }


def scale_up(option: Option, hours: int, book: PriceBook) -> Peak:
    """All tasks for so many hours, those of business hours first, on top of the fewest."""
    usages = peak_hour(option.shape, Decimal(hours))
    return Peak(hours, option, Bill.of(usages, book, option.shape.region))
