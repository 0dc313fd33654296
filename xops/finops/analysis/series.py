"""What something cost day by day, and which of these days are known. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Self

import numpy as np
from numpy.typing import NDArray

from xops.finops.analysis.periods import Period

Floats = NDArray[np.float64]

DELAY_DAYS = 2
"""So many days before today are not delivered whole: AWS's cost data are about a day late.

Source: AWS Cost Management user guide; a day begins in UTC, so that a second one may be concerned.
"""


@dataclass(frozen=True)
class Days:
    """What is known of a period, whatever the subject.

    Attributes:
        period: the days asked for, up to and without the day of the question.
        delivered: those for which there are rows, of anything.
        provisional: the last days, for which more rows are to be expected.
    """

    period: Period
    delivered: frozenset[date]
    provisional: Period

    @classmethod
    def of(cls, period: Period, delivered: Collection[date], delay: int = DELAY_DAYS) -> Self:
        """With the last `delay` days of the period as provisional ones."""
        first = max(period.start, period.end - timedelta(days=delay))
        return cls(period, frozenset(delivered), Period(first, period.end))

    @property
    def missing(self) -> list[date]:
        """Days of which nobody knows what they cost, as nothing was delivered; never cost 0."""
        whole = Period(self.period.start, self.provisional.start)
        return [day for day in whole if day not in self.delivered]

    def state(self, day: date) -> str:
        """`complete`, `provisional`, `missing`, or `outside` where nobody asked for it."""
        if day not in self.period:
            return "outside"
        if day in self.provisional:
            return "provisional"
        return "complete" if day in self.delivered else "missing"


@dataclass(frozen=True)
class DailySeries:
    """Costs of consecutive days from `start` on, in one currency.

    Attributes:
        costs: one a day; None where nobody knows. Negative where more came back than was charged.
        provisional: what is known so far of the days after these.
    """

    start: date
    costs: tuple[Decimal | None, ...]
    provisional: tuple[Decimal, ...] = ()

    @classmethod
    def of(cls, amounts: Mapping[date, Decimal], days: Days) -> Self:
        """Of amounts by day. A day that was delivered and names no amount cost nothing."""
        nothing = Decimal(0)
        whole = Period(days.period.start, days.provisional.start)
        return cls(
            whole.start,
            tuple(amounts.get(day, nothing) if day in days.delivered else None for day in whole),
            tuple(amounts.get(day, nothing) for day in days.provisional),
        )

    @property
    def end(self) -> date:
        """The day after the last complete one."""
        return self.start + timedelta(days=len(self.costs))

    @property
    def days(self) -> Period:
        """The complete days."""
        return Period(self.start, self.end)

    def on(self, day: date) -> Decimal | None:
        """What a complete day cost; None where nobody knows."""
        return self.costs[(day - self.start).days] if day in self.days else None

    def total(self, period: Period) -> Decimal:
        """What the known days of a period cost, provisional ones with what is known of them."""
        listed = enumerate((*self.costs, *self.provisional))
        known = ((self.start + timedelta(days=index), cost) for index, cost in listed)
        return sum((cost for day, cost in known if cost is not None and day in period), Decimal(0))

    def missing(self, period: Period) -> list[date]:
        """The days before `end` of which nobody knows what they cost; all before `start` are."""
        return [day for day in period if day < self.end and self.on(day) is None]

    def since_first(self) -> DailySeries:
        """Without the unknown and free days before the first one that cost something."""
        first = next((index for index, cost in enumerate(self.costs) if cost), len(self.costs))
        start = self.start + timedelta(days=first)
        return DailySeries(start, self.costs[first:], self.provisional)

    def for_statistics(self) -> Floats:
        """The complete days as floats, which no total is made from; NaN where nobody knows."""
        return np.array([np.nan if cost is None else float(cost) for cost in self.costs])


@dataclass(frozen=True)
class CostRow:
    """What something cost on a day; None for what the lines of the bill do not name."""

    day: date
    environment: str | None
    service: str | None
    usage_type: str | None
    cost: Decimal


def grouped[Key](
    rows: Iterable[CostRow], key: Callable[[CostRow], Key], days: Days
) -> dict[Key, DailySeries]:
    """A series for each value of `key`, in the order in which they come."""
    amounts: dict[Key, list[tuple[date, Decimal]]] = {}
    for row in rows:
        amounts.setdefault(key(row), []).append((row.day, row.cost))
    return {name: DailySeries.of(sums(found), days) for name, found in amounts.items()}


def sums(rows: Iterable[tuple[date, Decimal]]) -> dict[date, Decimal]:
    """Amounts of the same day added up."""
    found: dict[date, Decimal] = {}
    for day, amount in rows:
        found[day] = found.get(day, Decimal(0)) + amount
    return found


def weekdays(start: date, count: int) -> NDArray[np.int64]:
    """The weekdays of so many days from `start` on; Monday is 0."""
    return (start.weekday() + np.arange(count)) % 7
