"""What a report reads of a store of charges: a few sums, each once, then no engine any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import ibis

from xops.core.errors import Finding, InputError
from xops.finops.analysis import queries
from xops.finops.analysis.periods import Grain, Period, moment
from xops.finops.analysis.queries import CostTable, Dimension
from xops.finops.analysis.series import CostRow, Days
from xops.finops.configuration import CostConfiguration
from xops.finops.report.model.values import Label
from xops.finops.store.cost_store import CostStore
from xops.finops.store.engine import open_engine

MONTHS_BEFORE = 6
"""Whole months that are looked at, besides the one that goes on."""

HISTORY_DAYS = 180
"""So many days say what is usual; the same as of the commands that look at costs."""

COVERED_DAYS = 30
"""Of which the tags are looked at."""

_MOST_RESOURCES = 50

BUDGETS_IN = "USD"
"""The currency of prices and budgets."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Readings:
    """Charges as a report needs them.

    Attributes:
        months: billing periods that the store holds, as YYYY-MM.
        calendar: which days of those months are known.
        days: which of the last `HISTORY_DAYS` are known.
        monthly: billed and effective cost by billing period, environment, service and category.
        usage: effective cost of what was used, by day, of the days in `days`.
        once: by day and environment what was spent besides usage: purchases, adjustments, and
            corrections of months before. No tax and no credits: no budget counts them.
        covered: how much of what was used on the last days bears each tag, by its key.
        covered_usage: all of what was used then.
        without_owner: the dearest resources without that tag.
        quantities: what was used in a whole month, by environment and then by usage type.
        left_out: other currencies, of which nothing is told.
    """

    label: Label
    currency: str
    today: date
    months: tuple[str, ...]
    calendar: Days
    days: Days
    monthly: tuple[Row, ...]
    usage: tuple[CostRow, ...]
    once: Mapping[tuple[date, str | None], Decimal]
    covered_days: Period
    covered: Mapping[str, Decimal]
    covered_usage: Decimal
    without_owner: tuple[Row, ...]
    quantities: Mapping[str, Sequence[Row]]
    left_out: tuple[str, ...] = ()

    @property
    def month(self) -> Period:
        """The month of the last day before the report."""
        return Period.month(self.today - timedelta(days=1))

    @property
    def last_whole_month(self) -> Period | None:
        """The newest one of which every day is known; None where there is none."""
        return newest_whole_month(self.calendar, self.today)

    @property
    def environments(self) -> list[str]:
        """Those that charges name."""
        return sorted({row.environment for row in self.usage if row.environment is not None})


def newest_whole_month(days: Days, today: date) -> Period | None:
    """The last month of which every day is known, looking back a year at most."""
    month = Period.month(today - timedelta(days=1))
    for _ in range(12):
        if all(days.state(day) == "complete" for day in month):
            return month
        month = Period.month(month.start - timedelta(days=1))
    return None


def read(
    store: CostStore,
    configuration: CostConfiguration,
    today: date,
    spill: Path,
    told: Callable[[str], None],
) -> Readings:
    """Read the months that a report looks at.

    Args:
        store: whose charges.
        configuration: how they are told apart.
        today: days before it count; charges that begin later are left out.
        spill: where the engine puts what does not fit into memory.
        told: hears what is being read.

    Raises:
        InputError: the store has nothing.
        PermanentError, TemporaryError: as the store says.
    """
    with store.reading():
        months = [month for month in store.months() if _looked_at(month, today)]
        if not months:
            raise _nothing(store, today)
        label = label_of([str(one.label) for one in store.partitions(months)])
        engine = open_engine(spill=spill)
        try:
            currency, *left_out = _by_preference(store.currencies(months))
            table = store.table(engine, months, currency)
            until = ibis.literal(moment(today, ZoneInfo("UTC")))
            table = table.filter(table.ChargePeriodStart < until)
            # An invoice's months and days are of UTC.
            in_utc = configuration.model_copy(update={"timezone": "UTC"})
            costs = CostTable.configured(table, in_utc)
            found = _read(replace(costs, currency=currency), label, months, today, told)
            return replace(found, left_out=tuple(left_out))
        finally:
            engine.disconnect()


def _by_preference(found: Sequence[str]) -> list[str]:
    """The currency of budgets first; amounts of several do not add up."""
    return sorted(found, key=lambda currency: (currency != BUDGETS_IN, currency)) or [BUDGETS_IN]


def _looked_at(month: str, today: date) -> bool:
    last = first = Period.month(today - timedelta(days=1)).start
    for _ in range(MONTHS_BEFORE):
        first = Period.month(first - timedelta(days=1)).start
    return f"{first:%Y-%m}" <= month <= f"{last:%Y-%m}"


def _nothing(store: CostStore, today: date) -> InputError:
    held = store.months()
    found = f"the newest month in it is {held[-1]}" if held else "it holds no charges"
    return InputError(
        f"reading the costs before {today}",
        [Finding(str(store.folder), "", found)],
        "Take some in: `xops costs ingest`; or look at made-up ones: `xops costs report --sample`.",
    )


def label_of(found: Sequence[str]) -> Label:
    """What all of it may be called: made up as soon as some of it is, actual if all of it is."""
    for label in (Label.SAMPLE, Label.ESTIMATED):
        if str(label) in found:
            return label
    return Label.ACTUAL


def _read(
    costs: CostTable, label: Label, months: list[str], today: date, told: Callable[[str], None]
) -> Readings:
    all_months = Period(date.fromisoformat(f"{months[0]}-01"), today)
    history = Period.ending(today, HISTORY_DAYS)
    told("which days are known")
    calendar = queries.known_days(costs, all_months)
    days = queries.known_days(costs, history)
    told("what was billed by month")
    by_month = (Dimension.ENVIRONMENT, Dimension.SERVICE, Dimension.CATEGORY)
    monthly = queries.rows(queries.by(costs, Grain.MONTH, by_month, all_months))
    told("what was used by day")
    usage = queries.usage_rows(costs, history)
    daily = queries.by(costs, Grain.DAY, (Dimension.ENVIRONMENT, Dimension.CATEGORY), history)
    told("which tags charges bear")
    covered_days = Period.ending(today, COVERED_DAYS)
    [covered] = queries.rows(queries.coverage(costs, covered_days))
    without = queries.untagged_resources(costs, covered_days).limit(_MOST_RESOURCES)
    return Readings(
        label=label,
        currency=costs.currency,
        today=today,
        months=tuple(months),
        calendar=calendar,
        days=days,
        monthly=tuple(monthly),
        usage=tuple(usage),
        once=_once(queries.rows(daily), usage),
        covered_days=covered_days,
        covered={key: covered[tag.value] for tag, key in costs.tags.items()},
        covered_usage=covered["usage"],
        without_owner=tuple(queries.rows(without)),
        quantities=_quantities(costs, newest_whole_month(calendar, today), usage),
    )


def _quantities(
    costs: CostTable, month: Period | None, usage: Sequence[CostRow]
) -> dict[str, Sequence[Row]]:
    if month is None:
        return {}
    return {
        name: queries.rows(queries.quantities(costs.of_environment(name), month))
        for name in sorted({row.environment for row in usage if row.environment is not None})
    }


def _once(daily: Sequence[Row], usage: Sequence[CostRow]) -> dict[tuple[date, str | None], Decimal]:
    """What is left of the days' costs without usage, tax and credits."""
    found: dict[tuple[date, str | None], Decimal] = {}
    for row in daily:
        if row["category"] not in queries.NOT_SPENT:
            key = (row["period"], row["environment"])
            found[key] = found.get(key, Decimal(0)) + row["effective_cost"]
    for one in usage:
        found[one.day, one.environment] -= one.cost
    return {key: amount for key, amount in found.items() if amount}
