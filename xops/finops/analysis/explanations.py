"""What a day cost and why, what changed within a week and by whom, what has no owner. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Any

import numpy as np

from xops.finops.analysis.anomalies import (
    Cause,
    PlannedChange,
    Subject,
    deviations_of_usage_types,
)
from xops.finops.analysis.baseline import baseline
from xops.finops.analysis.periods import Period
from xops.finops.analysis.series import CostRow, DailySeries, Days, grouped

_CENT = Decimal("0.01")
_MOST_CAUSES = 10
_PERCENT_DIGITS = Decimal("0.1")


@dataclass(frozen=True)
class SubjectDay:
    """A subject's part in a day.

    Attributes:
        usual: what it costs on such a weekday; None: too little is known of it.
    """

    subject: Subject
    cost: Decimal
    usual: Decimal | None

    @property
    def above_usual(self) -> Decimal | None:
        """How much more it cost; None where nobody knows what is usual."""
        return None if self.usual is None else self.cost - self.usual

    def to_json(self) -> dict[str, Any]:
        """For machines: exact decimals as texts."""
        above = self.above_usual
        return {
            "environment": self.subject.environment,
            "service": self.subject.service,
            "cost": f"{self.cost:f}",
            "usual": None if self.usual is None else f"{self.usual:f}",
            "above_usual": None if above is None else f"{above:f}",
        }


@dataclass(frozen=True)
class ExplainedDay:
    """What a day cost and why.

    Attributes:
        state: `complete`, `provisional` (more is to come), or `missing` (nobody knows).
        total: None where the day is missing.
        usual: what such a weekday costs; None: too little is known.
        subjects: the largest difference from what is usual first.
        causes: usage types that cost more or less than usual, the largest difference first.
        changes: made on purpose, that take effect on that day.
    """

    day: date
    state: str
    total: Decimal | None
    usual: Decimal | None
    subjects: tuple[SubjectDay, ...]
    causes: tuple[Cause, ...]
    changes: tuple[PlannedChange, ...]

    def to_json(self) -> dict[str, Any]:
        """For machines: exact decimals as texts."""
        return {
            "day": str(self.day),
            "state": self.state,
            "total": None if self.total is None else f"{self.total:f}",
            "usual": None if self.usual is None else f"{self.usual:f}",
            "subjects": [one.to_json() for one in self.subjects],
            "causes": [one.to_json() for one in self.causes],
            "changes": [one.to_json() for one in self.changes],
        }


def explain_day(
    day: date, rows: Iterable[CostRow], days: Days, changes: Iterable[PlannedChange] = ()
) -> ExplainedDay:
    """What a day cost and why.

    Args:
        rows: of that day and of the weeks before, which say what is usual.
        days: what is known of them.
    """
    meant = tuple(one for one in changes if day in one.period)
    if day not in days.delivered:
        return ExplainedDay(day, "missing", None, None, (), (), meant)
    until = Period(days.period.start, Period.day(day).end)
    rows = [row for row in rows if row.day in until]
    known = Days(until, days.delivered, Period(until.end, until.end))
    subjects = [
        SubjectDay(subject, series.total(Period.day(day)), _usual(series))
        for subject, series in grouped(rows, _subject, known).items()
    ]
    whole = grouped(rows, lambda _: "all", known)
    total = sum((one.cost for one in subjects), Decimal(0))
    usual = _usual(whole["all"]) if whole else None
    return ExplainedDay(
        day, days.state(day), total, usual,
        tuple(sorted(subjects, key=_by_difference)),
        tuple(_causes(rows, day, known)) if usual is not None else (), meant,
    )  # fmt: skip


def _subject(row: CostRow) -> Subject:
    return Subject(row.environment, row.service)


def _usual(series: DailySeries) -> Decimal | None:
    """What is usual for the last day of a series."""
    expected, _ = baseline(series.for_statistics())
    last = float(expected[-1])
    return None if np.isnan(last) else Decimal(last).quantize(_CENT, ROUND_HALF_EVEN)


def _by_difference(one: SubjectDay) -> tuple[Decimal, str]:
    difference = one.cost if one.above_usual is None else one.above_usual
    return -abs(difference), str(one.subject)


def _causes(rows: Sequence[CostRow], day: date, days: Days) -> list[Cause]:
    parts = grouped(rows, lambda row: row.usage_type or "unnamed", days)
    found = deviations_of_usage_types(parts, Period.day(day))
    return [one for one in found if abs(one.amount) >= _CENT][:_MOST_CAUSES]


@dataclass(frozen=True)
class Mover:
    """Something whose cost changed from one period to the next.

    Attributes:
        changes: made on purpose in its environment since the first of the days compared.
    """

    names: Mapping[str, str | None]
    before: Decimal
    after: Decimal
    changes: tuple[PlannedChange, ...] = ()

    @property
    def difference(self) -> Decimal:
        """How much more it costs."""
        return self.after - self.before

    def to_json(self) -> dict[str, Any]:
        """For machines: exact decimals as texts."""
        return {
            **self.names,
            "before": f"{self.before:f}",
            "after": f"{self.after:f}",
            "difference": f"{self.difference:f}",
            "changes": [one.to_json() for one in self.changes],
        }


@dataclass(frozen=True)
class Movers:
    """What changed from one period to the next, which is as long.

    Attributes:
        movers: the largest difference first; what did not change is left out.
        missing: days of either that nobody knows, so that the difference is unknown too.
    """

    earlier: Period
    later: Period
    movers: tuple[Mover, ...]
    missing: tuple[date, ...]

    @property
    def difference(self) -> Decimal | None:
        """Of all of them together; None while a day is missing."""
        if self.missing:
            return None
        return sum((one.difference for one in self.movers), Decimal(0))

    def to_json(self) -> dict[str, Any]:
        """For machines: exact decimals as texts; sums of the days that are known."""
        whole = self.difference
        unknown = {"difference": None} if self.missing else {}
        return {
            "earlier": {"from": str(self.earlier.start), "until": str(self.earlier.end)},
            "later": {"from": str(self.later.start), "until": str(self.later.end)},
            "difference": None if whole is None else f"{whole:f}",
            "movers": [one.to_json() | unknown for one in self.movers],
            "missing": [str(day) for day in self.missing],
        }


_WEEK = timedelta(days=7)


def last_weeks(days: Days) -> tuple[Period, Period]:
    """The seven last complete days and the seven before them: each weekday once on both sides."""
    later = Period.ending(days.provisional.start, _WEEK.days)
    return later.before(), later


def movers(
    rows: Iterable[Mapping[str, Any]],
    earlier: Period,
    later: Period,
    days: Days,
    changes: Iterable[PlannedChange] = (),
) -> Movers:
    """What changed, and by whose change.

    Args:
        rows: of `queries.compare` for these periods; changes are found by their `environment`.
    """
    changes = list(changes)
    both = Period(earlier.start, later.end)
    missing = [day for day in both if day not in days.delivered]
    found = [_mover(row, both, changes) for row in rows if row["before"] != row["after"]]
    return Movers(earlier, later, tuple(found), tuple(missing))


_FIGURES = ("before", "after", "difference")


def _mover(row: Mapping[str, Any], both: Period, changes: Sequence[PlannedChange]) -> Mover:
    names = {name: value for name, value in row.items() if name not in _FIGURES}
    environment = row.get("environment") or ""
    return Mover(
        names, row["before"], row["after"],
        tuple(change for change in changes if change.explains(environment, both)),
    )  # fmt: skip


@dataclass(frozen=True)
class TagCoverage:
    """How much of what was used bears a tag.

    Attributes:
        usage: all of it.
        tagged: of it what bears the tag.
    """

    tag: str
    usage: Decimal
    tagged: Decimal

    @property
    def untagged(self) -> Decimal:
        """What bears none, or an empty one."""
        return self.usage - self.tagged

    @property
    def percent(self) -> Decimal | None:
        """Of the usage, downwards: all is only what is all; None where nothing was used."""
        if not self.usage:
            return None
        return (self.tagged * 100 / self.usage).quantize(_PERCENT_DIGITS, ROUND_FLOOR)

    def to_json(self) -> dict[str, Any]:
        """For machines: exact decimals as texts."""
        return {
            "tag": self.tag,
            "usage": f"{self.usage:f}",
            "tagged": f"{self.tagged:f}",
            "untagged": f"{self.untagged:f}",
            "percent": None if self.percent is None else str(self.percent),
        }


@dataclass(frozen=True)
class Resource:
    """Something that was used without a tag; None for what the bill does not name."""

    resource: str | None
    resource_type: str | None
    service: str | None
    environment: str | None
    account: str | None
    cost: Decimal

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return vars(self) | {"cost": f"{self.cost:f}"}


@dataclass(frozen=True)
class Untagged:
    """What has no owner, and how much of the costs can be told apart at all.

    Attributes:
        coverage: of each tag.
        resources: without an owner, the dearest first.
    """

    period: Period
    coverage: tuple[TagCoverage, ...]
    resources: tuple[Resource, ...]

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "from": str(self.period.start),
            "until": str(self.period.end),
            "coverage": [one.to_json() for one in self.coverage],
            "resources": [one.to_json() for one in self.resources],
        }


def untagged(
    period: Period,
    covered: Mapping[str, Decimal],
    resources: Iterable[Mapping[str, Any]],
    keys: Mapping[str, str],
) -> Untagged:
    """From the rows of `queries.coverage` and `queries.untagged_resources`.

    Args:
        period: of both.
        covered: by dimension.
        resources: the dearest first.
        keys: of the tags, by dimension: that is what people know them by.
    """
    usage = covered["usage"]
    return Untagged(
        period,
        tuple(TagCoverage(key, usage, covered[dimension]) for dimension, key in keys.items()),
        tuple(
            Resource(row["resource"], row["resource_type"], row["service"], row["environment"],
                     row["account"], row["effective_cost"])
            for row in resources
        ),
    )  # fmt: skip
