"""The report's numbers as tables of data: exact, with currency and label in every row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from xops.finops.report.model.planning import Streams
from xops.finops.report.model.report import Report
from xops.finops.report.model.spending import Forecast, Movers, Spend
from xops.finops.report.model.trust import Coverage, Watch
from xops.finops.report.model.values import Amount, Known, Label, number, reason


class Kind(StrEnum):
    """What a column holds; any cell may be empty."""

    TEXT = "text"
    MONEY = "money"
    DAY = "day"


Cell = str | Decimal | date | None


@dataclass(frozen=True)
class Table:
    """One table, which becomes one file of each format."""

    name: str
    columns: tuple[tuple[str, Kind], ...]
    rows: tuple[tuple[Cell, ...], ...]

    def records(self) -> list[dict[str, Any]]:
        """For machines: exact decimals as texts, days as ISO 8601."""
        names = [name for name, _ in self.columns]
        return [dict(zip(names, map(_for_json, row), strict=True)) for row in self.rows]


def tables(report: Report) -> list[Table]:
    """All of them; one of which nothing is known has no rows."""
    return [
        _costs(report),
        _days(report),
        _services(report),
        _budgets(report),
        _movers(report),
        _reconciliation(report),
        _replicas(report),
        _scenarios(report),
        _anomalies(report),
        _streams(report),
        _coverage(report),
        _prices(report),
        _gaps(report),
    ]


_T, _M, _D = Kind.TEXT, Kind.MONEY, Kind.DAY
_MARKED = (("currency", _T), ("label", _T), ("unknown_because", _T))
"""What every row of amounts ends with."""


def _mark(currency: str, label: Label | str, *amounts: Amount) -> tuple[Cell, ...]:
    reasons = filter(None, map(reason, amounts))
    return (currency, str(label), "; ".join(dict.fromkeys(reasons)) or None)


def _for_json(cell: Cell) -> Any:
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    return cell.isoformat() if isinstance(cell, date) else cell


def _table(
    name: str, columns: Sequence[tuple[str, Kind]], rows: Iterator[tuple[Cell, ...]]
) -> Table:
    return Table(name, tuple(columns), tuple(rows))


def _costs(report: Report) -> Table:
    columns = (("month", _T), ("environment", _T), ("service", _T), ("category", _T),
               ("billed", _M), ("effective", _M), *_MARKED)  # fmt: skip
    return _table("costs", columns, (
        (row.month, row.environment, row.service, row.category, row.billed, row.effective,
         *_mark(report.currency, report.label))
        for row in report.costs
    ))  # fmt: skip


def _days(report: Report) -> Table:
    columns = (("day", _D), ("environment", _T), ("service", _T), ("amount", _M), *_MARKED)
    return _table("days", columns, (
        (row.day, row.environment, row.service, row.amount, *_mark(report.currency, report.label))
        for row in report.days
    ))  # fmt: skip


def _services(report: Report) -> Table:
    columns = (("month", _T), ("partial_to", _D), ("service", _T), ("amount", _M), *_MARKED)
    spend = report.spend
    rows = (
        (month.name, month.through, row.name, number(amount),
         *_mark(report.currency, report.label, amount))
        for row in spend.rows
        for month, amount in zip(spend.months, row.amounts, strict=True)
    ) if isinstance(spend, Spend) else iter(())  # fmt: skip
    return _table("services", columns, rows)


def _budgets(report: Report) -> Table:
    columns = (("environment", _T), ("month", _T), ("partial_to", _D), ("spent", _M),
               ("budget", _M), ("forecast_low", _M), ("forecast", _M), ("forecast_high", _M),
               ("forecast_label", _T), ("state", _T), *_MARKED)  # fmt: skip

    def rows() -> Iterator[tuple[Cell, ...]]:
        for row in report.budgets:
            ends = row.forecast
            values: tuple[Cell, ...] = (None, None, None, None)
            unknown: list[Amount] = [row.spent]
            if isinstance(ends, Forecast):
                values = (ends.low, ends.expected, ends.high, str(ends.label))
            else:
                unknown.append(ends)
            yield (
                row.environment, row.month.name, row.month.through, number(row.spent),
                row.budget.amount if row.budget else None, *values, str(row.state),
                *_mark(report.currency, report.label, *unknown),
            )  # fmt: skip

    return _table("budgets", columns, rows())


def _movers(report: Report) -> Table:
    columns = (("week", _D), ("what", _T), ("week_before", _M), ("last_week", _M), ("change", _M),
               *_MARKED)  # fmt: skip
    found = report.movers
    rows = (
        (found.week, row.name, row.before, row.after, row.change,
         *_mark(report.currency, found.label))
        for row in found.rows
    ) if isinstance(found, Movers) else iter(())  # fmt: skip
    return _table("movers", columns, rows)


def _reconciliation(report: Report) -> Table:
    columns = (("environment", _T), ("month", _T), ("what", _T), ("planned", _M),
               ("planned_label", _T), ("actual", _M), ("price", _M), ("quantity", _M),
               ("mix", _M), *_MARKED)  # fmt: skip
    return _table("reconciliation", columns, (
        (found.environment, found.month.name, row.name, row.planned, str(Label.ESTIMATED),
         row.actual, row.price,
         row.quantity, row.mix, *_mark(report.currency, report.label))
        for found in report.reconciliations
        for row in found.variances
    ))  # fmt: skip


def _replicas(report: Report) -> Table:
    columns = (("environment", _T), ("tasks_of_each_service", _T), ("on_demand", _M),
               ("others_on_spot", _M), ("budget", _M), *_MARKED)  # fmt: skip
    return _table("replicas", columns, (
        (curve.environment, str(point.replicas), number(point.on_demand), number(point.spot),
         curve.budget.amount,
         *_mark(curve.budget.currency, Label.ESTIMATED, point.on_demand, point.spot))
        for curve in report.curves
        for point in curve.points
    ))  # fmt: skip


def _scenarios(report: Report) -> Table:
    columns = (("environment", _T), ("scenario", _T), ("compute", _M), ("fixed", _M),
               ("total", _M), ("budget", _M), ("verdict", _T), ("confidence", _T),
               *_MARKED)  # fmt: skip
    return _table("scenarios", columns, (
        (plan.environment, row.name, row.compute, row.fixed, row.total, plan.budget.amount,
         row.verdict, row.confidence, *_mark(plan.budget.currency, Label.ESTIMATED))
        for plan in report.plans
        for row in plan.scenarios
    ))  # fmt: skip


def _anomalies(report: Report) -> Table:
    columns = (("first", _D), ("last", _D), ("what", _T), ("kind", _T), ("amount", _M),
               ("expected", _M), ("expected_label", _T),
               ("cause", _T), ("explained_by", _T), *_MARKED)  # fmt: skip
    found = report.watch
    rows = (
        (row.first, row.last, row.series, row.kind, row.amount, number(row.expected),
         str(row.expected.label) if isinstance(row.expected, Known) else None, row.cause,
         row.planned or None, *_mark(report.currency, row.label, row.expected))
        for row in found.anomalies
    ) if isinstance(found, Watch) else iter(())  # fmt: skip
    return _table("anomalies", columns, rows)


def _streams(report: Report) -> Table:
    columns = (("way", _T), ("invoice", _M), ("hours", _M), ("labour", _M), ("together", _M),
               *_MARKED)  # fmt: skip
    found = report.streams
    rows = (
        (row.name, number(row.invoice), row.hours, number(row.labour), number(row.total),
         *_mark("USD", Label.ESTIMATED, row.invoice, row.labour))
        for row in found.rows
    ) if isinstance(found, Streams) else iter(())  # fmt: skip
    return _table("streams", columns, rows)


def _coverage(report: Report) -> Table:
    columns = (("tag", _T), ("since", _D), ("tagged", _M), ("untagged", _M), *_MARKED)
    found = report.coverage
    rows = (
        (row.tag, found.since, row.tagged, row.untagged, *_mark(report.currency, found.label))
        for row in found.tags
    ) if isinstance(found, Coverage) else iter(())  # fmt: skip
    return _table("coverage", columns, rows)


def _prices(report: Report) -> Table:
    columns = (("item", _T), ("region", _T), ("seen_on", _D), ("confidence", _T), ("old", _T))
    return _table("prices", columns, (
        (row.item, row.region, row.seen_on, row.confidence, "old" if row.is_old else None)
        for row in report.prices.rows
    ))  # fmt: skip


def _gaps(report: Report) -> Table:
    columns = (("what", _T), ("reason", _T))
    return _table("gaps", columns, ((gap.what, gap.reason) for gap in report.gaps))
