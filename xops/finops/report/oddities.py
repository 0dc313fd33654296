"""The parts of the report about what is odd and about what cannot be told apart. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import numpy as np

from xops.finops.analysis import anomalies
from xops.finops.analysis.baseline import FEWEST_DAYS, band
from xops.finops.analysis.series import DailySeries, grouped
from xops.finops.report.model.trust import (
    Anomaly,
    Coverage,
    Gap,
    SeriesDay,
    TagCoverage,
    UntaggedResource,
    Watch,
)
from xops.finops.report.model.values import Known, Label, Unknown
from xops.finops.report.readings import BUDGETS_IN, Readings
from xops.finops.report.spent import Changes, Scope, used

TOLD_DAYS = 35
"""Anomalies that ended longer ago are history."""

_DRAWN_DAYS = 84
_NOTHING = Decimal(0)
_DAY = timedelta(days=1)


def watch(readings: Readings, scope: Scope, changes: Changes) -> Watch | Unknown:
    """Each service of each environment against what is usual for it, and all of them as a line."""
    rows = used(readings, scope)
    if not rows:
        return Unknown(f"no usage is known of {scope}")
    if (known := len(readings.days.delivered)) < FEWEST_DAYS:
        return Unknown(f"{known} days are known, {FEWEST_DAYS} are needed to say what is usual")
    found = anomalies.find_in(rows, readings.days, changes.known)
    recent = [one for one in found if one.period.end > readings.today - TOLD_DAYS * _DAY]
    [whole] = grouped(rows, lambda _: None, readings.days).values()
    return Watch(
        tuple(_band(whole)[-_DRAWN_DAYS:]),
        tuple(_told(one, readings.label) for one in recent),
        _note(changes),
    )


def _note(changes: Changes) -> str:
    said = (
        f"Of the last {TOLD_DAYS} days, each service of each environment by its weekdays; the line"
        " is all of them together."
    )
    if changes.unknown:
        said += f" Whether a change of ours explains one is not wholly known: {changes.unknown}."
    return said


def _told(one: anomalies.Anomaly, label: Label) -> Anomaly:
    causes = ", ".join(f"{each.usage_type} {each.amount:+z,.2f}" for each in one.causes[:3])
    is_new = one.kind is anomalies.Kind.NEW
    return Anomaly(
        one.period.start, one.period.end - _DAY, str(one.subject), _KINDS[one.kind], one.cost,
        Unknown("it is new") if is_new else Known(one.expected, label.derived),
        causes or "no usage type stands out", label,
        planned=", ".join(f"plan {each.digest[:12]}, {each.who}" for each in one.planned),
    )  # fmt: skip


_KINDS = {
    anomalies.Kind.RISE: "rise",
    anomalies.Kind.DROP: "drop",
    anomalies.Kind.NEW: "new service",
}


def _band(series: DailySeries) -> list[SeriesDay]:
    """The known days, each with the bounds within which it would not have been odd."""
    lows, highs = band(series.for_statistics())
    return [
        SeriesDay(day, cost, _cents(low), _cents(high))
        for day, cost, low, high in zip(series.days, series.costs, lows, highs, strict=True)
        if cost is not None
    ]


def _cents(amount: float) -> Decimal | None:
    return None if np.isnan(amount) else Decimal(float(amount)).quantize(Decimal("0.01"))


def coverage(readings: Readings) -> Coverage | Unknown:
    """How much of what was used bears each tag, over all environments."""
    usage, tags = readings.covered_usage, readings.covered
    if not usage:
        return Unknown(f"nothing was used in {readings.covered_days}")
    return Coverage(
        readings.covered_days.start,
        readings.label,
        tuple(TagCoverage(name, amount, usage - amount) for name, amount in tags.items()),
        tuple(name for name, amount in tags.items() if not amount),
        tuple(
            UntaggedResource(
                row["resource"] or row["resource_type"] or "(no resource)",
                row["service"] or "no service",
                row["effective_cost"],
            )
            for row in readings.without_owner
        ),
    )


def gaps(readings: Readings) -> Iterator[Gap]:
    """Days that were not delivered, and charges that are compared with nothing."""
    if readings.left_out:
        yield Gap(f"charges in {', '.join(readings.left_out)}", "they are left out")
    if readings.currency != BUDGETS_IN:
        reason = f"charges are in {readings.currency}, budgets and prices in {BUDGETS_IN}"
        yield Gap("all budgets", reason)
    if missing := readings.days.missing:
        shown = ", ".join(map(str, missing[:5])) + (" and others" if len(missing) > 5 else "")
        yield Gap(f"{len(missing)} days", f"nothing was delivered for {shown}")
    last = max(readings.days.delivered, default=None)
    newest = readings.days.provisional.start - _DAY
    if last is None or last < newest - timedelta(days=2):
        since = "at all" if last is None else f"after {last}"
        yield Gap("the newest days", f"nothing was delivered {since}: is the ingest running?")
