"""What was spent: by month, by day, by week, against budgets. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

from xops.core.money import Money
from xops.finops.report.model.values import Amount, Label, Month, Unknown

_CENT = Decimal("0.01")


@dataclass(frozen=True)
class CostRow:
    """A billing period's cost of a service in an environment, by charge category.

    Attributes:
        environment: None where the rows of the bill name none.
        billed: what is on the invoice: the sum of all rows is that of the store.
        effective: with what was paid in advance spread over its use.
    """

    month: str
    environment: str | None
    service: str
    category: str
    billed: Decimal
    effective: Decimal


@dataclass(frozen=True)
class DayRow:
    """What was used of a service in an environment on a day: its effective cost."""

    day: date
    environment: str | None
    service: str
    amount: Decimal


@dataclass(frozen=True)
class SpendRow:
    """What something cost in each month of its table."""

    name: str
    amounts: tuple[Amount, ...]


@dataclass(frozen=True)
class Spend:
    """Costs by month.

    Attributes:
        rows: services by what they cost together, the dearest first; taxes and credits are rows.
        totals: of each month, as the store sums them.
    """

    months: tuple[Month, ...]
    rows: tuple[SpendRow, ...]
    totals: tuple[Amount, ...]


@dataclass(frozen=True)
class DayCost:
    """What a day cost in all."""

    day: date
    amount: Decimal


@dataclass(frozen=True)
class Forecast:
    """Where a month ends: with 80 % between `low` and `high`.

    Attributes:
        method: how it was made, for people.
    """

    low: Decimal
    expected: Decimal
    high: Decimal
    label: Label
    method: str


class BudgetState(StrEnum):
    """How an environment stands against its month's budget."""

    WITHIN = "within budget"
    FORECAST_OVER = "forecast over budget"
    OVER = "over budget"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class EnvironmentBudget:
    """One environment in the newest month.

    Attributes:
        budget: None where its file gives none in the report's currency.
        days: what each day of the month cost, as far as there are costs.
    """

    environment: str
    month: Month
    month_end: date
    budget: Money | None
    spent: Amount
    forecast: Forecast | Unknown
    days: tuple[DayCost, ...]

    @property
    def state(self) -> BudgetState:
        """Over as soon as what is spent is; else by what is expected at the month's end."""
        if self.budget is None or isinstance(self.spent, Unknown):
            return BudgetState.UNKNOWN
        if self.spent.amount > self.budget.amount:
            return BudgetState.OVER
        if not self.month.is_partial:
            return BudgetState.WITHIN
        if isinstance(self.forecast, Unknown):
            return BudgetState.UNKNOWN
        is_over = self.forecast.expected > self.budget.amount
        return BudgetState.FORECAST_OVER if is_over else BudgetState.WITHIN

    @property
    def headline(self) -> str:
        """What is spent of what, and where the month ends."""
        if isinstance(self.spent, Unknown):
            return f"{self.environment}: unknown: {self.spent.reason}"
        allowed = f" of {self.budget.amount:z,.2f}" if self.budget else ", without a budget"
        said = f"{self.environment}: {self.spent.amount:z,.2f}{allowed} in {self.month}"
        if isinstance(self.forecast, Unknown):
            return f"{said}; its end is unknown: {self.forecast.reason}"
        low, high = self.forecast.low, self.forecast.high
        ends = f"{self.forecast.expected:z,.2f} ({self.forecast.label})"
        return f"{said}; ends at {ends}, 80 % {low:z,.2f} to {high:z,.2f}"

    @property
    def share(self) -> int | None:
        """How many percent of the budget are spent, 100 at most; None where either is not known."""
        if self.budget is None or isinstance(self.spent, Unknown) or not self.budget.amount:
            return None
        return int(min(max(self.spent.amount / self.budget.amount, Decimal(0)), Decimal(1)) * 100)

    @property
    def days_left(self) -> int:
        """Of the month, after the last day with costs."""
        return 0 if self.month.through is None else (self.month_end - self.month.through).days


@dataclass(frozen=True)
class Mover:
    """What something cost in two weeks that follow each other."""

    name: str
    before: Decimal
    after: Decimal

    @property
    def change(self) -> Decimal:
        """More is above 0."""
        return self.after - self.before


@dataclass(frozen=True)
class Change:
    """A record of our own evidence in the time that is looked at."""

    at: date
    subject: str
    what: str
    who: str


@dataclass(frozen=True)
class Movers:
    """The last whole week against the one before it.

    Attributes:
        week: its Monday.
        changes: those of ours that are known.
        unknown_changes: where others may be, and why nobody looked there; empty if all are known.
    """

    week: date
    label: Label
    rows: tuple[Mover, ...]
    changes: tuple[Change, ...]
    unknown_changes: str = ""

    @property
    def before(self) -> Decimal:
        """Of all, in the week before."""
        return sum((row.before for row in self.rows), Decimal(0))

    @property
    def after(self) -> Decimal:
        """Of all, in the week."""
        return sum((row.after for row in self.rows), Decimal(0))

    @property
    def moved(self) -> tuple[Mover, ...]:
        """Those that changed by a cent at least."""
        return tuple(row for row in self.rows if abs(row.change) >= _CENT)

    @property
    def week_before(self) -> date:
        """Its Monday."""
        return self.week - timedelta(days=7)
