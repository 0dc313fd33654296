"""Where a month will end: its known days, and an estimate of the others with an interval. Pure.

The estimate is a blend of simple rules over a weekday pattern: the levels of the last 4, 7, 14, 28
and 56 days, and two trends through weekly levels. Each rule is tried on days that are known by now,
and weighs as much as it was right there; how wrong the blend was there gives the interval. A step
within the last four weeks is found first, and then only the days after it count.
`bench/backtests.py` measures all of it; `docs/reference/cost-analysis.md` holds the results.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xops.finops.analysis.periods import Period
from xops.finops.analysis.series import DailySeries, Floats, weekdays

INTERVAL_PERCENT = 80
"""How often the month is to end within the interval."""

FEWEST_DAYS = 28
"""Known days before which there is no forecast: four of each weekday."""

_MOST_UNKNOWN = 7
"""Of the last `FEWEST_DAYS`."""

_CENT = Decimal("0.01")
_LOOKED_AT = 112
_PATTERN_DAYS = 56
_LEVELS = (4, 7, 14, 28, 56)
_ORIGINS = 28
"""On so many past days a forecast is made to see how good it would have been."""
_LONGEST_TRIED = 21
_FIRST_ORIGIN = 14
_SINGLE = 12
"""Times a usual day."""
_HALF_LIFE = 9
"""In days: what was right lately counts more."""
_GROWTH_OF_ERROR = 0.8
"""The exponent by which the error grows with days ahead: 0.5 if days erred independently, 1 if all
erred alike."""
_WIDTH = 1.96
"""Half an interval in units of the blend's past error; from the tuning seeds of the backtest."""

Weekdays = NDArray[np.int64]


@dataclass(frozen=True)
class Forecast:
    """Where a month will end.

    Attributes:
        actual: what is known to have been spent in it, provisional days with what is known of them.
        complete_until: the first of its days that is not known whole.
        expected: at its end; never less than `actual`, as are `low` and `high`.
        low: the month ends between this and `high` in `INTERVAL_PERCENT` of cases.
        missing: days in it that were not delivered; they are estimated.
        history: how many known days it rests on.
    """

    month: Period
    actual: Decimal
    complete_until: date
    expected: Decimal
    low: Decimal
    high: Decimal
    missing: tuple[date, ...]
    history: int

    def to_json(self) -> dict[str, Any]:
        """For machines: exact decimals as texts, and how certain each is."""
        return {
            "month": f"{self.month.start:%Y-%m}",
            "actual": _text(self.actual),
            "complete_until": str(self.complete_until),
            "expected": _text(self.expected),
            "low": _text(self.low),
            "high": _text(self.high),
            "interval_percent": INTERVAL_PERCENT,
            "missing": [str(day) for day in self.missing],
            "history_days": self.history,
            "unknown": None,
        }


@dataclass(frozen=True)
class UnknownForecast:
    """Nobody can tell where the month will end.

    Attributes:
        reason: why.
        actual: what is known to have been spent in it.
        missing: days in it that were not delivered.
    """

    month: Period
    actual: Decimal
    reason: str
    missing: tuple[date, ...]

    def to_json(self) -> dict[str, Any]:
        """As a forecast, without its figures."""
        return {
            "month": f"{self.month.start:%Y-%m}",
            "actual": _text(self.actual),
            "expected": None,
            "low": None,
            "high": None,
            "missing": [str(day) for day in self.missing],
            "unknown": self.reason,
        }


def _text(amount: Decimal) -> str:
    return f"{amount:f}"


def forecast_month(
    series: DailySeries, month: Period, once: Decimal = Decimal(0)
) -> Forecast | UnknownForecast:
    """Where a month will end.

    Args:
        series: of what recurs; a series of credits and taxes has no pattern to go by.
        month: its days after the series' end are estimated.
        once: what was charged in it besides and does not recur; negative for a refund.
    """
    actual = series.total(month) + once
    missing = tuple(series.missing(month))
    complete_until = min(max(series.end, month.start), month.end)
    ahead = [day for day in month if day in missing or day >= complete_until]
    if not ahead:
        return Forecast(month, actual, month.end, actual, actual, actual, (), len(series.costs))
    history = series.since_first()
    if reason := _too_little(history, month):
        return UnknownForecast(month, actual, reason, missing)
    rest, error = _estimate(history, ahead)
    known = series.total(Period(month.start, complete_until)) + once
    surplus = _surplus(series, ahead, rest)
    low, expected, high = (
        max(actual, known + surplus + _money(max(0.0, rest.sum() + side * error)))
        for side in (-1, 0, 1)
    )
    count = sum(cost is not None for cost in history.costs)
    return Forecast(month, actual, complete_until, expected, low, high, missing, count)


def _too_little(history: DailySeries, month: Period) -> str:
    known = [cost is not None for cost in history.costs]
    if sum(known) < FEWEST_DAYS:
        return f"{sum(known)} days with costs are known, {FEWEST_DAYS} are needed"
    unknown = FEWEST_DAYS - sum(known[-FEWEST_DAYS:])
    if unknown > _MOST_UNKNOWN:
        return f"{unknown} of the last {FEWEST_DAYS} days are missing"
    if month.start > history.end and (gap := Period(history.end, month.start)).length > 7:
        return f"there are no complete days from {gap.start} on"
    return ""


def _surplus(series: DailySeries, ahead: list[date], rest: Floats) -> Decimal:
    """By how much provisional days have cost more already than was expected of them."""
    so_far: Mapping[date, Decimal] = dict(
        zip(Period(series.end, date.max), series.provisional, strict=False)
    )
    pairs = ((so_far[day], expected) for day, expected in zip(ahead, rest, strict=True)
             if day in so_far)  # fmt: skip
    over = (cost - _money(expected) for cost, expected in pairs)
    return sum((amount for amount in over if amount > 0), Decimal(0))


def _money(amount: float) -> Decimal:
    return Decimal(float(amount)).quantize(_CENT, ROUND_HALF_EVEN)


def _estimate(history: DailySeries, ahead: list[date]) -> tuple[Floats, float]:
    """What each day ahead will cost, and half the interval of their sum."""
    of_history = weekdays(history.start, len(history.costs))[-_LOOKED_AT:]
    costs = _without_single(_filled(history.for_statistics()[-_LOOKED_AT:], of_history), of_history)
    of_ahead = np.array([day.weekday() for day in ahead])
    total, error = _blend(costs, of_history, of_ahead)
    factors = _pattern(costs, of_history)
    if step := _step(costs, of_history, factors):
        total, error = _after_step(costs[-step:], factors[of_history[-step:]], factors[of_ahead],
                                   error)  # fmt: skip
    shares = factors[of_ahead]
    parts = shares / shares.sum() if shares.sum() > 0 else np.full(len(ahead), 1 / len(ahead))
    return max(total, 0.0) * parts, _WIDTH * error


def _filled(costs: Floats, of_week: Weekdays) -> Floats:
    """With the median of its weekday for a day that nobody knows."""
    found = costs.copy()
    for index in np.flatnonzero(np.isnan(costs)):
        same = costs[(of_week == of_week[index]) & ~np.isnan(costs)]
        found[index] = np.median(same) if len(same) else np.nanmedian(costs)
    return found


def _without_single(costs: Floats, of_week: Weekdays) -> Floats:
    """With the median of its weekday for a day or two beyond all others: a refund, a single buy.

    They are in what was spent already, and say nothing of the days to come.
    """
    level = np.median(costs[-_PATTERN_DAYS:])
    usual = np.array([np.median(costs[of_week == day]) for day in range(7)])[of_week]
    far = (costs - usual > _SINGLE * level) | ((costs < -level) & (usual >= 0))
    if level <= 0 or far.sum() >= _SHORTEST_STEP:  # more of them are a pattern, or a new level
        return costs
    return np.where(far, usual, costs)


def _pattern(costs: Floats, of_week: Weekdays) -> Floats:
    """What part of a day's average each weekday costs; 1 for all where too little is known."""
    weeks = min(len(costs), _PATTERN_DAYS) // 7
    factors = np.ones(7)
    by_week = costs[len(costs) - weeks * 7 :].reshape(weeks, 7)
    levels = by_week.mean(axis=1)
    if (levels > 0).sum() < 2:
        return factors
    median = np.median(by_week[levels > 0] / levels[levels > 0, None], axis=0).clip(0)
    if median.sum() > 0:
        factors[of_week[-7:]] = median * 7 / median.sum()
    return factors


def _blend(costs: Floats, of_week: Weekdays, of_ahead: Weekdays) -> tuple[float, float]:
    """The sum of the days ahead and the error to be expected, by how rules did on known days."""
    days = len(of_ahead)
    tried = min(days, _LONGEST_TRIED, len(costs) - _FIRST_ORIGIN - 6)
    last = len(costs) - tried
    origins = range(last, max(last - _ORIGINS, _FIRST_ORIGIN - 1), -1)
    errors = np.array(
        [
            _rules(costs[:at], of_week[:at], of_week[at : at + tried])
            - costs[at : at + tried].sum()
            for at in origins
        ]
    )
    lately = 0.5 ** (np.arange(len(errors)) / _HALF_LIFE)
    lately /= lately.sum()
    found = _rules(costs, of_week, of_ahead)
    smallest = 0.002 * abs(found.mean()) * tried / days + 1e-9  # a rule was never right by chance
    weights = ((lately @ errors**2) + smallest**2) ** -2
    weights /= weights.sum()
    blended = errors @ weights
    error = np.sqrt(lately @ blended**2) / 2 + np.sqrt((blended**2).mean()) / 2
    return float(weights @ found), float(error * (days / tried) ** _GROWTH_OF_ERROR)


def _rules(costs: Floats, of_week: Weekdays, of_ahead: Weekdays) -> Floats:
    """What each rule expects the days ahead to cost together."""
    factors = _pattern(costs, of_week)
    past, ahead = factors[of_week], factors[of_ahead]
    return np.array(
        [_level(costs, past, days) * ahead.sum() for days in _LEVELS] + _trends(costs, ahead)
    )


def _level(costs: Floats, factors: Floats, days: int) -> float:
    """What an average day of the last ones cost, whatever weekdays they were."""
    part = factors[-days:].sum()
    return float(costs[-days:].sum() / part) if part > 1e-9 else 0.0


def _trends(costs: Floats, ahead: Floats) -> list[float]:
    """Two trends by the median slope between weeks: from its own line, and from the last level."""
    weeks = min(len(costs), _PATTERN_DAYS) // 7
    levels = costs[len(costs) - weeks * 7 :].reshape(weeks, 7).mean(axis=1)
    first, second = np.triu_indices(weeks, 1)
    slope = np.median((levels[second] - levels[first]) / (second - first))
    on_line = np.median(levels - slope * np.arange(weeks)) + slope * (weeks - 0.5)
    later = (np.arange(len(ahead)) + 0.5) / 7
    starts = (on_line, costs[-14:].mean() + slope)
    return [float(((start + slope * later).clip(0) * ahead).sum()) for start in starts]


_SHORTEST_STEP, _LONGEST_STEP = 3, 28
_BEFORE_STEP = 21


def _step(costs: Floats, of_week: Weekdays, factors: Floats) -> int:
    """How many days ago the level changed at once and stayed; 0 where it did not."""
    levels = costs / np.maximum(factors[of_week], 0.2)
    found, smallest = 0, np.inf
    for days in range(_SHORTEST_STEP, min(_LONGEST_STEP, len(costs) - _FIRST_ORIGIN) + 1):
        after, before = levels[-days:], levels[-days - _BEFORE_STEP : -days]
        left = np.concatenate([after - np.median(after), before - np.median(before)])
        spread = float(np.abs(left).mean())
        if spread < smallest and _is_step(before, after, left):
            found, smallest = days, spread
    return found


def _is_step(before: Floats, after: Floats, left: Floats) -> bool:
    """Whether the level jumps by more than noise and by more than a trend would within days."""
    low, high = np.median(before), np.median(after)
    change = high - low
    noise = 1.4826 * np.median(np.abs(left)) + 0.01 * abs(low)
    at_once = np.median(after[:5]) - np.median(before[-5:])
    stays = (np.sign(change) * (after - (low + high) / 2) > 0).mean()
    return bool(
        abs(change) >= max(3 * noise, 0.12 * abs(low))
        and at_once * np.sign(change) >= 0.7 * abs(change)
        and stays >= 0.8
    )


def _after_step(costs: Floats, factors: Floats, ahead: Floats, error: float) -> tuple[float, float]:
    """The sum of the days ahead at the level since the step, and the error to be expected."""
    total = _level(costs, factors, len(costs)) * ahead.sum()
    spread = (costs / np.maximum(factors, 0.2)).std(ddof=1)
    days = len(ahead)
    own = spread * np.sqrt(days + days**2 / len(costs))
    return float(total), float(max(0.8 * own, 0.25 * min(error, abs(total))))
