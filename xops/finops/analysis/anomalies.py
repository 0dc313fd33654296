"""What is odd: costs far above or below what is usual for the weekday, and new ones. Pure.

Each service of each environment is held against its own baseline. Consecutive odd days are one
anomaly, with the usage types that make it and the changes of our own that explain it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise, takewhile
from typing import Any

import numpy as np

from xops.core.evidence.log import Record, RecordKind
from xops.core.lifecycle.steps import OutcomeStatus
from xops.finops.analysis.baseline import NEW_LEVEL_AFTER, USUAL, Sensitivity, baseline
from xops.finops.analysis.periods import Period
from xops.finops.analysis.series import CostRow, DailySeries, Days, grouped

_SAME_WEEKDAYS = 6
_CENT = Decimal("0.01")


class Kind(StrEnum):
    """In which way something is odd."""

    RISE = "rise"
    DROP = "drop"
    """Costs fell: something ended, or its costs are not reported any more."""
    NEW = "new"
    """Costs where there had been none in all of the days before."""


@dataclass(frozen=True)
class PlannedChange:
    """A change that was made on purpose, as the evidence records it.

    Attributes:
        period: the days on which its effect on costs is expected to begin.
        subject: the environment it is of.
        digest: of the plan that was applied.
        who: who approved or applied it.
    """

    period: Period
    subject: str
    digest: str
    who: str = ""

    def explains(self, subject: str, period: Period) -> bool:
        """Whether it may be why costs of a subject changed on these days."""
        return self.subject == subject and self.period.overlaps(period)

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "from": str(self.period.start),
            "until": str(self.period.end),
            "subject": self.subject,
            "digest": self.digest,
            "who": self.who or None,
        }


_EFFECT_DAYS = 2
"""A change late on a day shows in the costs of the next one."""


def planned_change(subject: str, record: Record) -> PlannedChange:
    """The change that the record of an intent or of an apply tells of.

    Args:
        subject: the environment.
    """
    day = record.recorded_at.astimezone(UTC).date()
    approval = record.body.get("approval")
    who = approval.get("by", "") if isinstance(approval, Mapping) else ""
    return PlannedChange(
        Period(day, day + timedelta(days=_EFFECT_DAYS)), subject, record.digest, str(who)
    )


CHANGES = (RecordKind.INTENT, RecordKind.APPLY, RecordKind.DESTROY, RecordKind.REFUSED)
"""The kinds of records that tell of a change, or that there was none."""


def planned_changes(
    subject: str, records: Iterable[Record], since: datetime
) -> list[PlannedChange]:
    """The changes that records tell of from a moment on, each once.

    An apply that found nothing to change is on record, too, and so is one that was refused; neither
    changed a cost.

    Args:
        subject: the environment.
        records: of the kinds in `CHANGES`, the newest first.
    """
    lately = list(takewhile(lambda record: record.recorded_at >= since, records))
    refused = [one for one in lately if one.kind == RecordKind.REFUSED]
    begun = {name for one in refused for name in one.body.get("closes", ())}
    made = (
        one
        for one in lately
        if one not in refused
        and one.id not in begun
        and one.body.get("status") != OutcomeStatus.UNCHANGED
    )
    return list(dict.fromkeys(planned_change(subject, one) for one in made))


@dataclass(frozen=True)
class Cause:
    """A usage type's part in what is odd: its cost above what is usual for it."""

    usage_type: str
    amount: Decimal

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {"usage_type": self.usage_type, "amount": f"{self.amount:f}"}


@dataclass(frozen=True)
class Subject:
    """Whose costs: None where the rows name no environment or no service."""

    environment: str | None
    service: str | None

    def __str__(self) -> str:
        return f"{self.environment or 'no environment'}: {self.service or 'no service'}"


@dataclass(frozen=True)
class Anomaly:
    """Odd costs on consecutive days.

    Attributes:
        cost: of these days.
        expected: what is usual for them.
        score: of the oddest day, in robust standard deviations.
        causes: the usage types with the largest part in it.
        planned: changes that were made on purpose and explain it.
    """

    subject: Subject
    kind: Kind
    period: Period
    cost: Decimal
    expected: Decimal
    score: float
    causes: tuple[Cause, ...] = ()
    planned: tuple[PlannedChange, ...] = ()

    @property
    def impact(self) -> Decimal:
        """How much more was spent than is usual; negative for a drop."""
        return self.cost - self.expected

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "environment": self.subject.environment,
            "service": self.subject.service,
            "kind": self.kind,
            "from": str(self.period.start),
            "until": str(self.period.end),
            "cost": f"{self.cost:f}",
            "expected": f"{self.expected:f}",
            "impact": f"{self.impact:f}",
            "score": round(self.score, 1),
            "causes": [cause.to_json() for cause in self.causes],
            "planned": [change.to_json() for change in self.planned],
        }


@dataclass(frozen=True)
class OddDay:
    """One day that is odd."""

    day: date
    kind: Kind
    cost: Decimal
    expected: Decimal
    score: float


def odd_days(series: DailySeries, sensitivity: Sensitivity = USUAL) -> list[OddDay]:
    """The complete days of a series that are odd."""
    expected, scores = baseline(series.for_statistics(), sensitivity)
    found = []
    for index, (day, cost) in enumerate(zip(series.days, series.costs, strict=True)):
        if cost is None or np.isnan(scores[index]):
            continue
        usual = _money(expected[index])
        is_far = abs(cost - usual) > _money(sensitivity.least_share * expected[index])
        if is_far and abs(scores[index]) > sensitivity.deviations:
            kind = _kind(series, index, cost, usual)
            found.append(OddDay(day, kind, cost, usual, float(scores[index])))
    return found


def _kind(series: DailySeries, index: int, cost: Decimal, expected: Decimal) -> Kind:
    known = [before for before in series.costs[:index] if before is not None]
    if cost > expected:
        return Kind.RISE if any(known[:-NEW_LEVEL_AFTER]) else Kind.NEW
    return Kind.DROP


def _money(amount: float) -> Decimal:
    return Decimal(float(amount)).quantize(_CENT)


def events(days: Sequence[OddDay]) -> list[list[OddDay]]:
    """Consecutive days that are odd in the same direction, as one."""
    found: list[list[OddDay]] = [[days[0]]] if days else []
    for before, day in pairwise(days):
        follows = (day.day - before.day).days == 1 and (
            (day.kind is Kind.DROP) is (before.kind is Kind.DROP)
        )
        if follows:
            found[-1].append(day)
        else:
            found.append([day])
    return found


def find_in(
    rows: Iterable[CostRow],
    days: Days,
    changes: Iterable[PlannedChange] = (),
    sensitivity: Sensitivity = USUAL,
) -> list[Anomaly]:
    """What is odd in each service of each environment; as `find_anomalies`."""
    rows = list(rows)
    parts: dict[Subject, dict[str, DailySeries]] = {}
    by_type = grouped(rows, lambda row: (_subject(row), row.usage_type or "unnamed"), days)
    for (subject, usage_type), series in by_type.items():
        parts.setdefault(subject, {})[usage_type] = series
    return find_anomalies(grouped(rows, _subject, days), parts, changes, sensitivity)


def _subject(row: CostRow) -> Subject:
    return Subject(row.environment, row.service)


def find_anomalies(
    costs: Mapping[Subject, DailySeries],
    by_usage_type: Mapping[Subject, Mapping[str, DailySeries]],
    changes: Iterable[PlannedChange] = (),
    sensitivity: Sensitivity = USUAL,
) -> list[Anomaly]:
    """What is odd, the largest impact first.

    Args:
        costs: what each subject cost, complete days.
        by_usage_type: the same divided by usage type, for the causes.
        changes: what was changed on purpose. It explains an anomaly and does not hide it.
        sensitivity: what counts as odd.
    """
    changes = list(changes)
    every = (
        _anomaly(subject, event, by_usage_type.get(subject, {}), changes)
        for subject, series in costs.items()
        for event in events(odd_days(series, sensitivity))
    )
    found = [one for one in every if abs(one.impact) >= sensitivity.least_amount]
    return sorted(found, key=lambda one: (-abs(one.impact), str(one.subject), one.period))


def _anomaly(
    subject: Subject,
    event: Sequence[OddDay],
    parts: Mapping[str, DailySeries],
    changes: Sequence[PlannedChange],
) -> Anomaly:
    period = Period(event[0].day, Period.day(event[-1].day).end)
    return Anomaly(
        subject, event[0].kind, period,
        cost=sum((day.cost for day in event), Decimal(0)),
        expected=sum((day.expected for day in event), Decimal(0)),
        score=max((day.score for day in event), key=abs),
        causes=tuple(_causes(parts, period, is_drop=event[0].kind is Kind.DROP)),
        planned=tuple(
            change
            for change in changes
            # What began before a change is not of it.
            if change.explains(subject.environment or "", Period.day(period.start))
        ),
    )  # fmt: skip


_MOST_CAUSES = 5


def deviations_of_usage_types(parts: Mapping[str, DailySeries], period: Period) -> list[Cause]:
    """How much each usage type cost above what is usual for it, the largest difference first."""
    found = [Cause(name, _above_usual(series, period)) for name, series in parts.items()]
    return sorted(found, key=lambda cause: (-abs(cause.amount), cause.usage_type))


def _causes(parts: Mapping[str, DailySeries], period: Period, *, is_drop: bool) -> list[Cause]:
    """Those that moved in the direction of the whole."""
    found = deviations_of_usage_types(parts, period)
    moved = (one for one in found if abs(one.amount) >= _CENT)
    return [one for one in moved if (one.amount < 0) is is_drop][:_MOST_CAUSES]


def _above_usual(series: DailySeries, period: Period) -> Decimal:
    return series.total(period) - sum(_usual(series, period), Decimal(0))


def _usual(series: DailySeries, period: Period) -> Iterator[Decimal]:
    """For each day the median of its weekdays in the weeks before the period."""
    for day in period:
        before = (series.on(one) for one in _weekdays_before(day, period.start))
        known = sorted(cost for cost in before if cost is not None)
        if known:
            middle = len(known) // 2
            yield known[middle] if len(known) % 2 else (known[middle - 1] + known[middle]) / 2


def _weekdays_before(day: date, start: date) -> Iterator[date]:
    last = day - timedelta(weeks=1 + (day - start).days // 7)
    return (last - timedelta(weeks=weeks) for weeks in range(_SAME_WEEKDAYS))
