"""What is usual for a day of a series, and how far the day lies from it. Pure.

Robust statistics throughout (medians, median absolute deviations), so that the odd days of the past
do not widen what counts as usual. A day that was odd does not enter the baseline; if the new level
stays for a week, it is the baseline from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from xops.finops.analysis.series import Floats

FEWEST_DAYS = 21
"""Known days before a subject has a baseline: three of its weekday."""

_SAME_WEEKDAYS = 6
_LATELY = 10
"""So many days say whether the level lies above or below that of the weekdays before."""
_DEVIATIONS = 42
_SCALE = 1.4826
"""Makes a median absolute deviation comparable with a standard deviation."""
_SMALLEST_DEVIATION = 0.02
_FIRST_DEVIATION = 0.15
_SMALLEST_SCALE = 1.0
"""Money a day that a difference is compared with where less than that is usual."""
NEW_LEVEL_AFTER = 7
"""So many odd days in a row are the new level."""


@dataclass(frozen=True)
class Sensitivity:
    """What counts as odd: all three bounds must be passed.

    Attributes:
        deviations: from the baseline, in robust standard deviations.
        least_share: of the baseline.
        least_amount: money, over all days of an anomaly.
    """

    deviations: float = 4.0
    least_share: float = 0.10
    least_amount: Decimal = Decimal("2.00")


USUAL = Sensitivity()


def baseline(costs: Floats, sensitivity: Sensitivity = USUAL) -> tuple[Floats, Floats]:
    """What is usual for each day, and how far the day lies from it in robust deviations.

    Both are NaN where too little is known; costs are NaN where nobody knows them.
    """
    rolling = _judged(costs, sensitivity)
    return rolling.expected, rolling.scores


def band(costs: Floats, sensitivity: Sensitivity = USUAL) -> tuple[Floats, Floats]:
    """Between what a day may cost without being odd; NaN where too little is known."""
    rolling = _judged(costs, sensitivity)
    width = np.maximum(sensitivity.deviations * rolling.spreads * rolling.scales,
                       sensitivity.least_share * rolling.expected)  # fmt: skip
    return (rolling.expected - width).clip(0), rolling.expected + width


def _judged(costs: Floats, sensitivity: Sensitivity) -> _Rolling:
    rolling = _Rolling(costs, sensitivity)
    for index in range(FEWEST_DAYS, len(costs)):
        rolling.judge(index)
    return rolling


class _Rolling:
    """The baseline of one day after the other, from the days before it alone."""

    def __init__(self, costs: Floats, sensitivity: Sensitivity) -> None:
        self.costs, self.sensitivity = costs, sensitivity
        self.usual = costs.copy()
        """As the costs, and what was expected where a day was odd."""
        self.of_weekday = np.full(len(costs), np.nan)
        self.expected = np.full(len(costs), np.nan)
        self.scores = np.full(len(costs), np.nan)
        self.scales = np.full(len(costs), np.nan)
        """What deviations are a share of."""
        self.spreads = np.full(len(costs), np.nan)
        self.deviations: list[float] = []
        self.odd_days = 0

    def judge(self, index: int) -> None:
        same = self.usual[[index - 7 * weeks for weeks in range(1, _SAME_WEEKDAYS + 1)
                           if index >= 7 * weeks]]  # fmt: skip
        if np.isnan(same).all():
            return
        self.of_weekday[index] = np.nanmedian(same)
        expected = self.expected[index] = max(self.of_weekday[index] * self._level(index), 0.0)
        self.scales[index] = max(expected, _SMALLEST_SCALE)
        self.spreads[index] = self._spread()
        if np.isnan(self.costs[index]):
            return
        deviation = (self.costs[index] - expected) / self.scales[index]
        self.scores[index] = deviation / self.spreads[index]
        self._learn(index, deviation)

    def _level(self, index: int) -> float:
        """How the last days compare with their weekdays."""
        days = slice(max(index - _LATELY, FEWEST_DAYS), index)
        usual, of_weekday = self.usual[days], self.of_weekday[days]
        with_cost = (of_weekday > 0) & ~np.isnan(usual)
        if with_cost.sum() < 4:
            return 1.0
        return float(np.median(usual[with_cost] / of_weekday[with_cost]))

    def _spread(self) -> float:
        seen = self.deviations[-_DEVIATIONS:]
        if len(seen) < 7:
            return _FIRST_DEVIATION
        return max(_SCALE * float(np.median(np.abs(seen))), _SMALLEST_DEVIATION)

    def _learn(self, index: int, deviation: float) -> None:
        is_odd = (
            abs(self.scores[index]) > self.sensitivity.deviations
            and abs(deviation) > self.sensitivity.least_share
        )
        if not is_odd:
            self.odd_days = 0
            self.deviations.append(deviation)
            return
        self.usual[index] = self.expected[index]
        self.odd_days += 1
        if self.odd_days == NEW_LEVEL_AFTER:
            self._accept(slice(index + 1 - NEW_LEVEL_AFTER, index + 1))

    def _accept(self, days: slice) -> None:
        """Take the level of odd days for the usual one, and keep the pattern of the week."""
        self.odd_days = 0
        self.usual[days] = self.costs[days]
        before = slice(0, days.start)
        usual = self.expected[days] > 0
        if usual.any():
            change = max(np.median(self.costs[days][usual] / self.expected[days][usual]), 0.0)
            self.usual[before] *= change
            self.of_weekday[: days.stop] *= change
        else:
            self.usual[before] = np.nan  # no multiple of nothing says what is usual now
