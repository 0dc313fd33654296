"""Days, weeks and months of costs: half-open, in a declared time zone. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Self
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)


class Grain(StrEnum):
    """What a row of a series of costs is about."""

    DAY = "day"
    WEEK = "week"
    """An ISO week: from Monday, in the declared zone."""
    MONTH = "month"
    """A billing period, which begins at midnight UTC whatever the zone: it is what is invoiced."""


@dataclass(frozen=True, order=True)
class Period:
    """The days from `start` up to and without `end`.

    Raises:
        ValueError: it ends before it starts.
    """

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError(f"ends on {self.end}, before it starts on {self.start}")

    @classmethod
    def day(cls, day: date) -> Self:
        """That day."""
        return cls(day, day + _DAY)

    @classmethod
    def week(cls, day: date) -> Self:
        """The ISO week that a day lies in."""
        monday = day - timedelta(days=day.weekday())
        return cls(monday, monday + timedelta(weeks=1))

    @classmethod
    def month(cls, day: date) -> Self:
        """The calendar month that a day lies in."""
        first = day.replace(day=1)
        return cls(first, (first + timedelta(days=31)).replace(day=1))

    @classmethod
    def ending(cls, end: date, days: int) -> Self:
        """So many days up to and without `end`."""
        return cls(end - timedelta(days=days), end)

    @property
    def length(self) -> int:
        """How many days it has."""
        return (self.end - self.start).days

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end

    def __iter__(self) -> Iterator[date]:
        return (self.start + timedelta(days=number) for number in range(self.length))

    def __str__(self) -> str:
        last = self.end - _DAY
        return str(self.start) if last <= self.start else f"{self.start} to {last}"

    def overlaps(self, other: Period) -> bool:
        """Whether they have a day in common."""
        return self.start < other.end and other.start < self.end

    def before(self) -> Period:
        """As many days, just before it."""
        return Period(self.start - (self.end - self.start), self.start)


def week_name(day: date) -> str:
    """The ISO week of a day, as `2026-W53`: its year is that of its Thursday."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


def moment(day: date, zone: ZoneInfo) -> datetime:
    """When a day begins in a zone, in UTC.

    Where a change of clocks skips midnight, the first moment that exists.
    """
    return datetime.combine(day, time(), zone).astimezone(UTC)


def offsets(period: Period, zone: ZoneInfo) -> list[tuple[datetime, timedelta]]:
    """The zone's distance from UTC during a period: each with the moment until which it holds.

    The last one's moment is the period's end.
    """
    start, end = moment(period.start, zone), moment(period.end, zone)
    found: list[tuple[datetime, timedelta]] = []
    while start < end:
        offset = _offset(start, zone)
        changed = _change_after(start, end, zone)
        found.append((changed, offset))
        start = changed
    return found


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    offset = instant.astimezone(zone).utcoffset()
    return timedelta() if offset is None else offset


def _change_after(start: datetime, end: datetime, zone: ZoneInfo) -> datetime:
    """The first moment on which another distance from UTC holds; `end` where there is none."""
    offset = _offset(start, zone)
    low, high = start, start
    while high < end and _offset(high, zone) == offset:
        low, high = high, min(high + _DAY, end)
    if _offset(high, zone) == offset:
        return end
    while high - low > timedelta(minutes=1):
        middle = low + (high - low) // 2
        low, high = (middle, high) if _offset(middle, zone) == offset else (low, middle)
    return _next_minute(low)


def _next_minute(instant: datetime) -> datetime:
    # Clocks change on whole minutes, in every zone since 1972.
    return instant.replace(second=0, microsecond=0) + timedelta(minutes=1)
