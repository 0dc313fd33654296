"""What a report tells automations: budgets that are exceeded or will be, and what is odd. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from xops.finops.report.model.report import Report
from xops.finops.report.model.spending import BudgetState, EnvironmentBudget, Forecast
from xops.finops.report.model.trust import Anomaly, Watch
from xops.finops.report.model.values import Label, Unknown, number
from xops.finops.report.names import file_name
from xops.finops.report.wording import money

BUDGET_EXCEEDED = "xops.costs.budget_exceeded"
FORECAST_EXCEEDED = "xops.costs.forecast_exceeded"
ANOMALY = "xops.costs.anomaly"


@dataclass(frozen=True)
class CostEvent:
    """One event.

    Attributes:
        resource: what it is about, for Prefect.
        subject: the same for people.
        identity: equal for what is told again by a later report.
        payload: amounts are exact decimals as texts.
    """

    name: str
    resource: str
    subject: str
    identity: str
    payload: dict[str, Any]


def events(report: Report) -> Iterator[CostEvent]:
    """Once a month for a budget, once for an anomaly; none of made-up costs."""
    if report.label is Label.SAMPLE:
        return
    for row in report.budgets:
        if row.state is BudgetState.OVER:
            yield _of_budget(BUDGET_EXCEEDED, row, report)
        elif row.state is BudgetState.FORECAST_OVER:
            yield _of_budget(FORECAST_EXCEEDED, row, report)
    if isinstance(report.watch, Watch):
        yield from (_of_anomaly(one, report) for one in report.watch.unexplained)


def _of_budget(name: str, row: EnvironmentBudget, report: Report) -> CostEvent:
    ends, spent = row.forecast, number(row.spent)
    payload = {
        "environment": row.environment,
        "month": row.month.name,
        "spent": None if spent is None else f"{spent:f}",
        "budget": f"{row.budget.amount:f}" if row.budget else None,
        "expected": f"{ends.expected:f}" if isinstance(ends, Forecast) else None,
        "currency": report.currency,
        "label": str(report.label),
        "summary": row.headline,
    }
    identity = f"{name} {row.environment} {row.month.name}"
    return CostEvent(name, _resource(row.environment), row.environment, identity, payload)


def _of_anomaly(one: Anomaly, report: Report) -> CostEvent:
    usual = None if isinstance(one.expected, Unknown) else f"{one.expected.amount:f}"
    payload = {
        "series": one.series,
        "kind": one.kind,
        "first": one.first.isoformat(),
        "last": one.last.isoformat(),
        "amount": f"{one.amount:f}",
        "expected": usual,
        "cause": one.cause,
        "currency": report.currency,
        "label": str(one.label),
        "summary": f"{one.kind} from {one.first} to {one.last}: {money(one.amount)}, expected"
        f" {money(one.expected)}; {one.cause}",
    }
    identity = f"{ANOMALY} {one.series} {one.kind} {one.first}"
    return CostEvent(ANOMALY, _resource(one.series), one.series, identity, payload)


def _resource(name: str) -> str:
    """The id of a resource: names of environments and services may be anybody's."""
    return f"xops.costs.{file_name(name)}"
