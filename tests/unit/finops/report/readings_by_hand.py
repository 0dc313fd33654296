"""Charges of a few services, as they are read of a store."""

from collections.abc import Collection
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from xops.finops.analysis.periods import Period
from xops.finops.analysis.series import CostRow, Days
from xops.finops.report.model.values import Label
from xops.finops.report.readings import HISTORY_DAYS, Readings

TODAY = date(2026, 3, 16)
FIRST = date(2026, 1, 1)
A_DAY = {"prod": Decimal("6.25"), "test": Decimal("1.5"), None: Decimal("0.4")}
ECS = "Amazon Elastic Container Service"


def known(missing: Collection[date] = (), first: date = FIRST, today: date = TODAY) -> Days:
    """All days from the first on, but for some."""
    return Days.of(Period(first, today), {*Period(first, today)} - {*missing})


def usage(today: date = TODAY, first: date = FIRST) -> list[CostRow]:
    return [
        CostRow(day, environment, ECS, "APS2-Fargate-ARM-vCPU-Hours:perCPU", amount)
        for day in Period(first, today)
        for environment, amount in A_DAY.items()
    ]


def monthly(rows: list[CostRow]) -> list[dict[str, Any]]:
    """By billing period; with a tax in each, which names no environment, and a credit."""
    sums: dict[tuple[date, str | None], Decimal] = {}
    for row in rows:
        key = (row.day.replace(day=1), row.environment)
        sums[key] = sums.get(key, Decimal(0)) + row.cost
    found = [
        _row(month, environment, "Usage", total) for (month, environment), total in sums.items()
    ]
    for month in sorted({month for month, _ in sums}):
        found.append(_row(month, None, "Tax", Decimal("10.005")))
        found.append(_row(month, "prod", "Credit", Decimal("-5")))
    return found


def _row(month: date, environment: str | None, category: str, amount: Decimal) -> dict[str, Any]:
    return {
        "period": month, "environment": environment, "service": ECS, "category": category,
        "billed_cost": amount, "effective_cost": amount,
    }  # fmt: skip


def readings(today: date = TODAY, missing: Collection[date] = (), **changes: Any) -> Readings:
    rows = [row for row in usage(today) if row.day not in missing]
    history = Period.ending(today, HISTORY_DAYS)
    found = Readings(
        label=Label.ACTUAL,
        currency="USD",
        today=today,
        months=tuple(sorted({f"{row.day:%Y-%m}" for row in rows})),
        calendar=known(missing, today=today),
        days=known(missing, max(FIRST, history.start), today),
        monthly=tuple(monthly(rows)),
        usage=tuple(rows),
        once={},
        covered_days=Period.ending(today, 30),
        covered={"environment": Decimal(230), "owner": Decimal(0)},
        covered_usage=Decimal(240),
        without_owner=(),
        quantities={},
    )
    return replace(found, **changes)
