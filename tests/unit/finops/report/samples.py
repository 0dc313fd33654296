"""A report made by hand, with a text of others wherever one may stand."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from xops.core.money import Money
from xops.finops.report.model.planning import (
    Plans,
    PriceAge,
    Prices,
    Reconciliation,
    ReplicaCurve,
    ReplicaPoint,
    ScenarioRow,
    StreamCost,
    Streams,
    Variance,
)
from xops.finops.report.model.report import Question, Report
from xops.finops.report.model.spending import (
    Change,
    CostRow,
    DayCost,
    DayRow,
    EnvironmentBudget,
    Forecast,
    Mover,
    Movers,
    Spend,
    SpendRow,
)
from xops.finops.report.model.trust import (
    Anomaly,
    Coverage,
    ReportCost,
    Restatement,
    SeriesDay,
    TagCoverage,
    UntaggedResource,
    Watch,
)
from xops.finops.report.model.values import Exchange, Known, Label, Month, Unknown

TODAY = date(2026, 3, 16)
S, E = Label.SAMPLE, Label.ESTIMATED


def usd(text: str) -> Money:
    return Money(amount=Decimal(text))


def known(text: str, label: Label = S) -> Known:
    return Known(Decimal(text), label)


def environment(name: str, spent: str, budget: str | None, expected: str) -> EnvironmentBudget:
    days = tuple(
        DayCost(date(2026, 3, 1) + timedelta(days=n), Decimal(spent) / 15) for n in range(15)
    )
    end = Decimal(expected)
    return EnvironmentBudget(
        name,
        Month("2026-03", date(2026, 3, 15)),
        date(2026, 3, 31),
        usd(budget) if budget else None,
        known(spent),
        Forecast(end * Decimal("0.93"), end, end * Decimal("1.08"), S, "last weeks' weekdays"),
        days,
    )


def report(text: str = "Amazon Elastic Container Service", **changes: Any) -> Report:
    """One in which this text of others stands wherever there may be one."""
    months = (*tuple(Month(f"2026-0{n}") for n in (1, 2)), Month("2026-03", date(2026, 3, 15)))
    rows = (
        SpendRow(text, (known("181.20"), known("176.431"), known("96.10"))),
        SpendRow("Elastic Load Balancing", (known("36.1"), known("35.2"), known("18.55"))),
        SpendRow("Credits", (known("-10"), known("0"), Unknown("no export of that month"))),
    )
    values: dict[str, Any] = {
        "as_of": TODAY,
        "environment": None,
        "label": S,
        "currency": "USD",
        "timezone": "Australia/Sydney",
        "exchange": Exchange("AUD", Decimal("1.52"), date(2026, 3, 13), text),
        "gst_percent": Decimal(10),
        "costs": (
            CostRow("2026-03", text, text, "Usage", Decimal("1.25"), Decimal("1.2")),
            CostRow("2026-03", None, "=1+1", "Credit", Decimal("-0.5"), Decimal(0)),
        ),
        "days": (DayRow(date(2026, 3, 1), text, text, Decimal("1.2")),),
        "spend": Spend(months, rows, (known("207.30"), known("211.631"), known("114.65"))),
        "budgets": (
            environment("test", "18.2", "45", "38"),
            environment("sit", "61", "120", "126"),
            environment("prod", "188.4", "180", "381"),
            environment(text, "1", None, "2"),
        ),
        "movers": Movers(
            date(2026, 3, 9),
            S,
            (
                Mover(text, Decimal("40.2"), Decimal("55.9")),
                Mover("Elastic Load Balancing", Decimal("8.1"), Decimal("8.0")),
                Mover("AmazonCloudWatch", Decimal("3.3"), Decimal("1.2")),
            ),
            (Change(date(2026, 3, 10), "ecs/prod", text, text),),
        ),
        "reconciliations": (
            Reconciliation(
                "prod",
                Month("2026-02"),
                known("174.76", E),
                usd("180"),
                known("211.63"),
                (
                    Variance(
                        text,
                        Decimal("100"),
                        Decimal("110"),
                        Decimal("0"),
                        Decimal("12"),
                        Decimal("-2"),
                    ),
                    Variance(
                        "ALB",
                        Decimal("74.76"),
                        Decimal("101.63"),
                        Decimal("1.5"),
                        Decimal("20"),
                        Decimal("5.37"),
                    ),
                ),
                Decimal("-1"),
                (text,),
            ),
        ),
        "curves": (
            ReplicaCurve(
                "prod",
                usd("180"),
                tuple(
                    ReplicaPoint(
                        n, known(str(56 + 107 * n), E), known(str(56 + 107 + 35 * (n - 1)), E)
                    )
                    for n in range(1, 7)
                ),
                (text,),
            ),
        ),
        "plans": (
            Plans(
                "prod",
                usd("180"),
                (
                    ScenarioRow(
                        "on_demand_minimum",
                        text,
                        Decimal("207.48"),
                        Decimal("59.94"),
                        Decimal("267.42"),
                        "over",
                        "estimate",
                    ),
                ),
                (text,),
            ),
        ),
        "watch": Watch(
            tuple(
                SeriesDay(
                    TODAY - timedelta(days=n),
                    Decimal(10 + (n % 7) + (25 if n == 9 else 0)),
                    Decimal(8),
                    Decimal(18),
                )
                for n in range(60, 0, -1)
            ),
            (
                Anomaly(
                    TODAY - timedelta(days=9),
                    TODAY - timedelta(days=9),
                    text,
                    "spike",
                    Decimal(37),
                    known("12"),
                    text,
                    S,
                ),
                Anomaly(
                    TODAY - timedelta(days=3),
                    TODAY - timedelta(days=2),
                    "prod / ALB",
                    "new service",
                    Decimal(3),
                    Unknown("it is new"),
                    "LCU",
                    S,
                    planned=text or "a change",
                ),
            ),
        ),
        "streams": Streams(
            (
                StreamCost(
                    "ECS: second_replica_on_spot",
                    text,
                    known("174.76", E),
                    None,
                    Unknown("no hours are set"),
                ),
                StreamCost(
                    "K3S: k3s_medium", text, known("112.45", E), Decimal(6), known("540", E)
                ),
            ),
            Decimal(90),
            None,
            (text,),
        ),
        "coverage": Coverage(
            date(2026, 2, 14),
            S,
            (
                TagCoverage("environment", Decimal("190"), Decimal("10")),
                TagCoverage(text, Decimal("120"), Decimal("80")),
            ),
            (text,),
            (UntaggedResource(text, text, Decimal("4.20")),),
        ),
        "prices": Prices(
            (
                PriceAge("fargate arm64 vCPU", "ap-southeast-2", date(2026, 3, 1), "seen", False),
                PriceAge(text, "global", None, "memory", True),
            ),
            "memory",
            None,
        ),
        "cost": ReportCost(0, Decimal(0), "exports"),
        "restatements": (
            Restatement("2026-01", date(2026, 3, 3), Decimal("201.1"), Decimal("207.3")),
        ),
        "gaps": (),
        "questions": (
            Question(
                "What did yesterday cost?", text, "xops costs report --environment prod", "movers"
            ),
        ),
    }
    return Report(**{**values, **changes})
