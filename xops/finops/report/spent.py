"""The parts of the report about what was spent, from what was read. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from xops.core.money import Money
from xops.finops.analysis import forecast
from xops.finops.analysis.anomalies import PlannedChange
from xops.finops.analysis.periods import Period
from xops.finops.analysis.series import CostRow, Days, grouped
from xops.finops.report.model import spending
from xops.finops.report.model.spending import (
    Change,
    DayCost,
    DayRow,
    EnvironmentBudget,
    Mover,
    Movers,
    Spend,
    SpendRow,
)
from xops.finops.report.model.values import Amount, Known, Month, Unknown
from xops.finops.report.readings import Readings

UNALLOCATED = "unallocated"
"""For what names no environment."""

_APART = {"Tax": "Tax", "Credit": "Credits"}
"""Categories that are lines of their own, whatever the service."""

_NOTHING = Decimal(0)
_DAY = timedelta(days=1)
_METHOD = "weekday pattern of the last weeks, 80 % interval"


@dataclass(frozen=True)
class Scope:
    """What the report is about.

    Attributes:
        environment: the only one; None: all that there are.
        last_month: whether budgets are those of the month before, which is over.
    """

    environment: str | None = None
    last_month: bool = False

    def __str__(self) -> str:
        return self.environment or "all environments"

    def holds(self, environment: str | None) -> bool:
        """Whether a charge of that environment belongs to it."""
        return self.environment is None or self.environment == environment


def cost_rows(readings: Readings, scope: Scope) -> tuple[spending.CostRow, ...]:
    """Charges by billing period, environment, service and category."""
    return tuple(
        spending.CostRow(
            f"{row['period']:%Y-%m}", row["environment"], row["service"] or "no service",
            row["category"], row["billed_cost"], row["effective_cost"],
        )
        for row in readings.monthly
        if scope.holds(row["environment"])
    )  # fmt: skip


def day_rows(readings: Readings, scope: Scope) -> tuple[DayRow, ...]:
    """What was used by day, environment and service."""
    amounts: dict[tuple[date, str, str], Decimal] = {}
    for row in used(readings, scope):
        key = (row.day, row.environment or "", row.service or "no service")
        amounts[key] = amounts.get(key, _NOTHING) + row.cost
    return tuple(
        DayRow(day, environment or None, service, amount)
        for (day, environment, service), amount in sorted(amounts.items())
    )


def used(readings: Readings, scope: Scope) -> list[CostRow]:
    """The usage that belongs to the scope."""
    return [row for row in readings.usage if scope.holds(row.environment)]


def month(name: str, days: Days) -> Month:
    """A billing period, and how far it is known."""
    whole = Period.month(date.fromisoformat(f"{name}-01"))
    ends = min(whole.end, days.provisional.start)
    looked_at = Period(whole.start, max(ends, whole.start))
    missing = sum(days.state(day) != "complete" for day in looked_at)
    if ends == whole.end:
        return Month(name, None, missing)
    delivered = [day for day in days.delivered if day in whole]
    return Month(name, max(delivered, default=whole.start - _DAY), missing)


def spend(readings: Readings, scope: Scope) -> Spend | Unknown:
    """Billed cost by month and service; taxes and credits are lines of their own."""
    rows = cost_rows(readings, scope)
    if not rows:
        return Unknown(f"no charge names the environment {scope.environment}")
    months = tuple(month(name, readings.calendar) for name in readings.months)
    sums: dict[str, dict[str, Decimal]] = {}
    for row in rows:
        line = sums.setdefault(_APART.get(row.category, row.service), {})
        line[row.month] = line.get(row.month, _NOTHING) + row.billed
    ordered = sorted(sums.items(), key=lambda each: (-sum(each[1].values()), each[0]))
    ordered.sort(key=lambda each: each[0] in _APART.values())
    lines = {name: _by_month(line, months, readings) for name, line in ordered}
    totals = {
        each.name: sum((line.get(each.name, _NOTHING) for line in sums.values()), _NOTHING)
        for each in months
    }
    found = tuple(SpendRow(name, amounts) for name, amounts in lines.items())
    return Spend(months, found, _by_month(totals, months, readings))


def _by_month(
    line: Mapping[str, Decimal], months: Sequence[Month], readings: Readings
) -> tuple[Amount, ...]:
    """An amount for each month; unknown where it has no charge of anything."""
    with_charges = {f"{row['period']:%Y-%m}" for row in readings.monthly}
    return tuple(
        _known(line.get(each.name, _NOTHING), readings)
        if each.name in with_charges
        else Unknown("nothing was delivered for it")
        for each in months
    )


def _known(amount: Decimal, readings: Readings) -> Amount:
    return Known(amount, readings.label)


def budgets(
    readings: Readings, limits: Sequence[tuple[str, Money]], scope: Scope
) -> tuple[EnvironmentBudget, ...]:
    """Each environment in the month that goes on.

    Args:
        readings: what was read.
        limits: each environment's budget.
        scope: an environment that is asked for is told of even if no charge names it; the others
            only if one does.
    """
    known = readings.environments
    names = [name for name, _ in limits if name in known or name == scope.environment]
    names += [name for name in known if name not in names]
    allowed = dict(limits)
    return tuple(
        _budget(readings, name, allowed.get(name), scope) for name in names if scope.holds(name)
    )


def _budget(readings: Readings, name: str, budget: Money | None, scope: Scope) -> EnvironmentBudget:
    period = readings.month
    if scope.last_month:
        period = Period.month(period.start - _DAY)
    comparable = budget is not None and budget.currency == readings.currency
    this_month = month(f"{period.start:%Y-%m}", readings.calendar)
    spent: Amount
    ends: spending.Forecast | Unknown
    if name in readings.environments:
        spent, ends = _spent(readings, name, period)
    else:
        spent = ends = Unknown(
            "no charge names it: it is not provisioned, or its tag is not activated"
        )
    return EnvironmentBudget(
        name, this_month, period.end - _DAY, budget if comparable else None, spent, ends,
        _days_of(readings, name, period),
    )  # fmt: skip


def _spent(
    readings: Readings, name: str, period: Period
) -> tuple[Amount, spending.Forecast | Unknown]:
    rows = [row for row in readings.usage if row.environment == name]
    [series] = grouped(rows, lambda _: name, readings.days).values()
    found = forecast.forecast_month(series, period, _once(readings, name, period))
    spent = _known(found.actual, readings)
    if not any(day in readings.days.delivered for day in period):
        spent = Unknown(f"nothing was delivered for {period.start:%Y-%m} yet")
    if isinstance(found, forecast.UnknownForecast):
        return spent, Unknown(found.reason)
    ends = spending.Forecast(found.low, found.expected, found.high, readings.label.derived, _METHOD)
    return spent, ends


def _once(readings: Readings, name: str, period: Period) -> Decimal:
    amounts = (readings.once.get((day, name), _NOTHING) for day in period)
    return sum(amounts, _NOTHING)


def _days_of(readings: Readings, name: str, period: Period) -> tuple[DayCost, ...]:
    """Each day up to the last with costs: what was used, and what was charged once."""
    amounts = {day: _once(readings, name, Period.day(day)) for day in period}
    for row in readings.usage:
        if row.environment == name and row.day in period:
            amounts[row.day] += row.cost
    last = max((day for day in readings.days.delivered if day in period), default=None)
    return tuple(DayCost(day, amounts[day]) for day in period if last and day <= last)


@dataclass(frozen=True)
class Changes:
    """What was applied, as the evidence records it.

    Attributes:
        unknown: where other changes may be, and why nobody looked there; empty if all are known.
    """

    known: Sequence[PlannedChange] = ()
    unknown: str = ""


def movers(readings: Readings, scope: Scope, changes: Changes) -> Movers | Unknown:
    """The last whole ISO week against the one before; unknown where a day of them is missing."""
    later = Period.week(readings.days.provisional.start - timedelta(days=7))
    earlier = later.before()
    unknown = [day for day in (*earlier, *later) if readings.days.state(day) != "complete"]
    if unknown:
        return Unknown(f"{len(unknown)} days of the last two whole weeks are not known")
    rows = _moved(used(readings, scope), earlier, later, scope)
    return Movers(
        later.start,
        readings.label,
        tuple(rows),
        tuple(_changes(changes.known, earlier, later, scope)),
        changes.unknown,
    )


def _moved(rows: Iterable[CostRow], earlier: Period, later: Period, scope: Scope) -> list[Mover]:
    sums: dict[str, list[Decimal]] = {}
    for row in rows:
        pair = sums.setdefault(_subject(row, scope), [_NOTHING, _NOTHING])
        for place, week in enumerate((earlier, later)):
            if row.day in week:
                pair[place] += row.cost
    found = [Mover(name, *pair) for name, pair in sums.items() if any(pair)]
    return sorted(found, key=lambda one: (-abs(one.change), one.name))


def _subject(row: CostRow, scope: Scope) -> str:
    service = row.service or "no service"
    return service if scope.environment else f"{row.environment or UNALLOCATED}: {service}"


def _changes(
    changes: Sequence[PlannedChange], earlier: Period, later: Period, scope: Scope
) -> Iterator[Change]:
    both = Period(earlier.start, later.end)
    for one in changes:
        if one.period.overlaps(both) and scope.holds(one.subject):
            yield Change(one.period.start, one.subject, f"plan {one.digest[:12]} applied", one.who)
