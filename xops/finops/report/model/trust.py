"""What is odd in the costs, and how far they can be told apart. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_FLOOR, Decimal

from xops.finops.report.model.values import Amount, Label


@dataclass(frozen=True)
class SeriesDay:
    """A day of a watched series, and the band in which it was expected, where there is one."""

    day: date
    amount: Decimal
    low: Decimal | None
    high: Decimal | None


@dataclass(frozen=True)
class Anomaly:
    """Odd costs of one series on the days from `first` to `last`, both included.

    Attributes:
        kind: for people: a spike, a drop, a new service, missing data.
        expected: what such a day costs usually; unknown for what is new.
        cause: the usage types that make the difference.
        planned: the change of ours that explains it, where there is one.
    """

    first: date
    last: date
    series: str
    kind: str
    amount: Decimal
    expected: Amount
    cause: str
    label: Label
    planned: str = ""


@dataclass(frozen=True)
class Watch:
    """What was looked at for anomalies, and what was found."""

    days: tuple[SeriesDay, ...]
    anomalies: tuple[Anomaly, ...]
    note: str = ""

    @property
    def unexplained(self) -> tuple[Anomaly, ...]:
        """Those that no planned change explains."""
        return tuple(one for one in self.anomalies if not one.planned)


@dataclass(frozen=True)
class TagCoverage:
    """How much of the costs bears a tag."""

    tag: str
    tagged: Decimal
    untagged: Decimal

    @property
    def share(self) -> Decimal | None:
        """Of what is tagged, from 0 to 1; None where there are no costs."""
        total = self.tagged + self.untagged
        return self.tagged / total if total else None

    @property
    def percent(self) -> Decimal | None:
        """The share to a tenth of a percent, downwards: all is only what is all."""
        if self.share is None:
            return None
        return (self.share * 100).quantize(Decimal("0.1"), ROUND_FLOOR)


@dataclass(frozen=True)
class UntaggedResource:
    """A resource without an owner, and what it cost."""

    resource: str
    service: str
    amount: Decimal


@dataclass(frozen=True)
class Coverage:
    """Tag coverage and the share that belongs to nobody, of the last 30 days of costs."""

    since: date
    label: Label
    tags: tuple[TagCoverage, ...]
    not_activated: tuple[str, ...]
    without_owner: tuple[UntaggedResource, ...]


@dataclass(frozen=True)
class Restatement:
    """A closed month that was billed anew."""

    month: str
    found_on: date
    before: Decimal
    after: Decimal


@dataclass(frozen=True)
class ReportCost:
    """What the making of the report cost: calls of Cost Explorer at $0.01."""

    calls: int
    usd: Decimal
    source: str


@dataclass(frozen=True)
class Gap:
    """What is missing, so that an answer is unknown."""

    what: str
    reason: str
