"""Hours of a week in which a schedule lets a service have so many tasks. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

HOURS_A_WEEK = 168
_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
# cron(minute hour day-of-month month days-of-week year), as Application Auto Scaling takes it.
_CRON = re.compile(r"cron\((\d{1,2}) (\d{1,2}) \? \* ([A-Z,-]{3,27}) \*\)")


@dataclass(frozen=True)
class Bounds:
    """Fewest and most tasks."""

    fewest: int
    most: int


@dataclass(frozen=True)
class Action:
    """From these moments of the week on, these bounds hold."""

    schedule: str
    bounds: Bounds


def weekly_hours(actions: Iterable[Action]) -> dict[Bounds, Decimal] | None:
    """For how many hours of a week which bounds hold; None where a schedule is not understood.

    Summer time moves no hour from one bound to another over a year, so it is left out.
    """
    moments: list[tuple[Decimal, Bounds]] = []
    for action in actions:
        found = _moments(action.schedule)
        if found is None:
            return None
        moments += [(moment, action.bounds) for moment in found]
    if not moments:
        return None
    moments.sort(key=lambda one: one[0])
    hours: dict[Bounds, Decimal] = {}
    following = [*moments[1:], (moments[0][0] + HOURS_A_WEEK, moments[0][1])]
    for (start, bounds), (end, _) in zip(moments, following, strict=True):
        hours[bounds] = hours.get(bounds, Decimal(0)) + end - start
    return hours


def _moments(schedule: str) -> list[Decimal] | None:
    """The hours since Monday 00:00 at which it comes due in a week."""
    found = _CRON.fullmatch(schedule)
    days = weekdays(found[3]) if found else None
    if found is None or days is None or int(found[2]) > 23 or int(found[1]) > 59:
        return None
    at = Decimal(int(found[2])) + Decimal(int(found[1])) / 60
    return [24 * day + at for day in days]


def weekdays(written: str) -> list[int] | None:
    """The days of `MON-FRI` or `SAT,SUN`, from Monday = 0; None where it is not understood."""
    days: set[int] = set()
    for part in written.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if first not in _DAYS or last not in _DAYS:
            return None
        start, end = _DAYS.index(first), _DAYS.index(last)
        days.update(range(start, end + 1) if start <= end else [*range(start, 7), *range(end + 1)])
    return sorted(days)
