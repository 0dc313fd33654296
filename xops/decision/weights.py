"""Weights of criteria: which ones are possible, and how far the next winner is. Pure.

A weighting gives every criterion a share of at least 0, and the shares sum to 1. Linear programs
find the ends of what is possible, to nine decimals; ties and distances are exact fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from xops.decision.figures import Vector, dot

_DECIMALS = 9  # of what a solver of floats is trusted with
_AHEAD = 1e-7  # scores have a few decimals: less is the solver's rounding
_INFEASIBLE = 2  # of linprog's statuses


@dataclass(frozen=True)
class Region:
    """The weightings of `count` criteria under which each weighted sum lies within its band.

    Attributes:
        count: of the criteria.
        bands: values with the least and the greatest weighted sum of them.
    """

    count: int
    bands: tuple[tuple[Vector, Fraction, Fraction], ...] = ()

    def within(self, values: Vector, low: Fraction, high: Fraction) -> Region:
        """The part in which the weighted sum of `values` lies from `low` to `high`."""
        return Region(self.count, (*self.bands, (values, low, high)))

    def contains(self, weights: Vector) -> bool:
        """Whether these weights are among them, exactly."""
        return all(low <= dot(weights, values) <= high for values, low, high in self.bands)

    @property
    def is_empty(self) -> bool:
        """Whether there is no such weighting."""
        return not self._ends

    def spans(self) -> list[tuple[Fraction, Fraction]]:
        """The least and greatest weight of each criterion; empty where no weighting is left."""
        pairs = enumerate(zip(self._ends[::2], self._ends[1::2], strict=True))
        return [(least[index], most[index]) for index, (least, most) in pairs]

    def example(self) -> Vector | None:
        """One weighting out of the middle, the mean of the ends; None where there is none."""
        count, shares = len(self._ends), zip(*self._ends, strict=True)
        return tuple(sum(share, Fraction(0)) / count for share in shares) or None

    @cached_property
    def _ends(self) -> list[Vector]:
        """Weightings with the least and the greatest weight of each criterion, two by two."""
        rows = [[sign * float(v) for v in values] for values, *_ in self.bands for sign in (-1, 1)]
        limits = [float(limit) for _, low, high in self.bands for limit in (-low, high)]
        signs = [(index, sign) for index in range(self.count) for sign in (1.0, -1.0)]
        costs = [[sign * (n == index) for n in range(self.count)] for index, sign in signs]
        found = [_solve(cost, rows, limits, [1.0] * self.count) for cost in costs]
        return [end for end in found if end is not None]


def _solve(
    cost: Sequence[float],
    rows: Sequence[Sequence[float]],
    limits: Sequence[float],
    shares: Sequence[float],
) -> Vector | None:
    """The x >= 0 of least cost with `rows` x <= `limits` and `shares` x = 1; None if there is none.

    Raises:
        ArithmeticError: the solver gave up.
    """
    from scipy.optimize import linprog  # takes longer to import than everything else here

    found = linprog(cost, A_ub=rows or None, b_ub=limits or None, A_eq=[shares], b_eq=[1.0])
    if found.status == _INFEASIBLE:
        return None
    if found.x is None:
        raise ArithmeticError(found.message)
    return tuple(Fraction(str(round(float(value), _DECIMALS))) for value in found.x)


def can_win(scores: Sequence[Vector], option: int) -> bool:
    """Whether some weighting puts this option strictly above every other one.

    Args:
        scores: one vector an option, all over the same criteria.
        option: the index of the option in `scores`.
    """
    others = [row for index, row in enumerate(scores) if index != option]
    # One unknown more: how far ahead it is of all others at once, which is made the greatest.
    rows = [[*(-float(gap) for gap in lead(scores[option], other)), 1.0] for other in others]
    count = len(scores[option])
    best = _solve([0.0] * count + [-1.0], rows, [0.0] * len(rows), [1.0] * count + [0.0])
    return best is not None and best[-1] > _AHEAD


def lead(winner: Vector, other: Vector) -> Vector:
    """How far `winner` lies above `other` in each criterion."""
    return tuple(high - low for high, low in zip(winner, other, strict=True))


def nearest_tie(weights: Vector, gap: Vector) -> Vector | None:
    """The weights closest to `weights` at which a lead of `gap` is used up; beyond, it is lost.

    Closest by the sum of the absolute changes. A share that goes to the criterion with the least
    lead costs the same wherever it comes from, so it comes from the greatest leads first.

    Args:
        weights: a weighting under which the weighted sum of `gap` is not below 0.
        gap: the winner's lead in each criterion, as `lead` gives it.

    Returns:
        None if no weights lose the lead.
    """
    least = min(range(len(gap)), key=lambda index: gap[index])
    if gap[least] >= 0:
        return None
    remaining = dot(weights, gap)
    moved = list(weights)
    for source in sorted(range(len(gap)), key=lambda index: -gap[index]):
        gain = gap[source] - gap[least]
        if remaining <= 0 or gain <= 0:
            break
        share = min(moved[source], remaining / gain)
        moved[source] -= share
        moved[least] += share
        remaining -= share * gain
    return tuple(moved)


def tie_by_one(weights: Vector, gap: Vector, criterion: int) -> Fraction | None:
    """The weight of one criterion at which a lead of `gap` is used up, if it alone is changed.

    The other weights keep their ratios and share what is left.

    Returns:
        None if no weight of this criterion from 0 to 1 loses the lead, or the others have none.
    """
    own, others = gap[criterion], 1 - weights[criterion]
    if others == 0:
        return None
    rest = (dot(weights, gap) - weights[criterion] * own) / others
    if own >= 0 and rest >= 0:
        return None
    return rest / (rest - own)


def with_one(weights: Vector, criterion: int, weight: Fraction) -> Vector:
    """The weights with one of them set, the others in their ratios."""
    scale = (1 - weight) / (1 - weights[criterion])
    return tuple(weight if n == criterion else w * scale for n, w in enumerate(weights))


def distance(one: Vector, other: Vector) -> Fraction:
    """The sum of the absolute differences, 0 to 2. Half of it is the share that has moved."""
    return sum((abs(a - b) for a, b in zip(one, other, strict=True)), Fraction(0))
