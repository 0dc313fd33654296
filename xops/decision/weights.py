"""Weights of criteria, exactly: which ones are possible, and how far the next winner is. Pure.

A weighting gives every criterion a share of at least 0, and the shares sum to 1. All weightings
together are a simplex. What is known of a weighted sum cuts a part of it off; what remains is a
polytope, held here by its corners. Fractions make every answer exact and the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from xops.decision.figures import Vector, dot

type _Faces = frozenset[int]
"""The limits, by their index, that a corner touches."""


@dataclass(frozen=True)
class _AtLeast:
    """The weightings whose weighted sum of `values` is at least `bound`."""

    values: Vector
    bound: Fraction

    def slack(self, weights: Vector) -> Fraction:
        return dot(weights, self.values) - self.bound


@dataclass(frozen=True)
class Region:
    """The weightings that are consistent with what is known; no corners means there is none."""

    _corners: dict[Vector, _Faces]
    _limits: tuple[_AtLeast, ...]

    @classmethod
    def of_all(cls, count: int) -> Region:
        """Every weighting of `count` criteria: nothing is known yet."""
        units = [_unit(index, count) for index in range(count)]
        corners = {unit: frozenset(range(count)) - {index} for index, unit in enumerate(units)}
        return cls(corners, tuple(_AtLeast(unit, Fraction(0)) for unit in units))

    @property
    def corners(self) -> tuple[Vector, ...]:
        """The weightings between which all others of the region lie."""
        return tuple(self._corners)

    @property
    def is_empty(self) -> bool:
        """Whether no weighting is consistent with what is known."""
        return not self._corners

    def at_least(self, values: Vector, bound: Fraction) -> Region:
        """The part in which the weighted sum of `values` is not below `bound`."""
        limit, face = _AtLeast(values, bound), len(self._limits)
        slacks = {corner: limit.slack(corner) for corner in self._corners}
        corners = {
            corner: faces | {face} if slacks[corner] == 0 else faces
            for corner, faces in self._corners.items()
            if slacks[corner] >= 0
        }
        for inner, outer, shared in self._edges(slacks):
            cut = _between(inner, slacks[inner], outer, slacks[outer])
            corners[cut] = shared | {face}
        return Region(corners, (*self._limits, limit))

    def within(self, values: Vector, low: Fraction, high: Fraction) -> Region:
        """The part in which the weighted sum of `values` lies from `low` to `high`."""
        negative = tuple(-value for value in values)
        return self.at_least(values, low).at_least(negative, -high)

    def span(self, values: Vector) -> tuple[Fraction, Fraction] | None:
        """The least and greatest weighted sum of `values`; None where no weighting is left."""
        sums = [dot(corner, values) for corner in self._corners]
        return (min(sums), max(sums)) if sums else None

    def spans(self) -> list[tuple[Fraction, Fraction]]:
        """The least and greatest weight of each criterion; empty where no weighting is left."""
        return [(min(shares), max(shares)) for shares in zip(*self._corners, strict=True)]

    def contains(self, weights: Vector) -> bool:
        """Whether these weights are consistent with what is known."""
        return all(limit.slack(weights) >= 0 for limit in self._limits)

    def example(self) -> Vector | None:
        """One weighting out of the middle, the mean of the corners; None where there is none."""
        count = len(self._corners)
        return tuple(sum(s, Fraction(0)) / count for s in zip(*self._corners, strict=True)) or None

    def _edges(self, slacks: Mapping[Vector, Fraction]) -> Iterator[tuple[Vector, Vector, _Faces]]:
        """The edges from a corner inside a new limit to one outside, with the faces they lie on.

        Two corners have an edge between them if no third one lies on all faces that they share.
        """
        inner = [corner for corner, slack in slacks.items() if slack > 0]
        outer = [corner for corner, slack in slacks.items() if slack < 0]
        for one, other in product(inner, outer):
            shared = self._corners[one] & self._corners[other]
            if sum(shared <= faces for faces in self._corners.values()) == 2:
                yield one, other, shared


def _unit(index: int, count: int) -> Vector:
    return tuple(Fraction(int(index == place)) for place in range(count))


def _between(inner: Vector, above: Fraction, outer: Vector, below: Fraction) -> Vector:
    """Where the edge from `inner` to `outer` meets the limit that they are `above` and `below`."""
    share = above / (above - below)
    return tuple(i + share * (o - i) for i, o in zip(inner, outer, strict=True))


def can_win(scores: Sequence[Vector], option: int) -> bool:
    """Whether some weighting puts this option strictly above every other one.

    Args:
        scores: one vector an option, all over the same criteria.
        option: the index of the option in `scores`.
    """
    region = Region.of_all(len(scores[option]))
    leads = [lead(scores[option], other) for n, other in enumerate(scores) if n != option]
    for gap in leads:
        region = region.at_least(gap, Fraction(0))
    # Leads add up linearly: if each is above 0 somewhere in the region, all are in its middle.
    return not region.is_empty and all(
        max(dot(c, gap) for c in region.corners) > 0 for gap in leads
    )


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
