"""Exact weights: what is consistent with a figure, and how far the next winner is."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from tests.unit.decision.records import RECORD
from xops.decision.figures import Vector, band, dot, equal_weights
from xops.decision.weights import (
    Region,
    can_win,
    distance,
    nearest_tie,
    tie_by_one,
    with_one,
)

SIZES = st.integers(2, 4)
few = examples(12)


def vectors(size: int, low: int = 0, high: int = 20) -> st.SearchStrategy[Vector]:
    return st.lists(st.integers(low, high).map(Fraction), min_size=size, max_size=size).map(tuple)


def weightings(size: int) -> st.SearchStrategy[Vector]:
    shares = vectors(size, 0, 9).filter(any)
    return shares.map(lambda row: tuple(share / sum(row) for share in row))


def ints(*values: int) -> Vector:
    return tuple(map(Fraction, values))


# Regions

NEAR = Fraction(1, 10**8)
"""What the solver may be off by: figures are shown to six decimals at most."""


@few
@given(st.data())
def test_a_weighting_lies_in_the_region_of_its_own_sums(data: st.DataObject) -> None:
    size = data.draw(SIZES)
    weights = data.draw(weightings(size))
    half = Fraction(data.draw(st.integers(1, 20)), 10)
    region = Region(size)
    for values in data.draw(st.lists(vectors(size), max_size=3)):
        known = dot(weights, values)
        region = region.within(values, known - half, known + half)

    assert region.contains(weights)
    assert not region.is_empty
    for span, seen in zip(region.spans(), weights, strict=True):
        assert span[0] - NEAR <= seen <= span[1] + NEAR


@few
@given(st.data())
def test_the_example_is_a_weighting_within_all_bands(data: st.DataObject) -> None:
    size = data.draw(SIZES)
    bands = data.draw(st.lists(st.tuples(vectors(size), st.integers(0, 20)), max_size=3))
    region = Region(size)
    for values, low in bands:
        region = region.within(values, Fraction(low), Fraction(low + 3))
    example = region.example()

    assert (example is None) == region.is_empty == (region.spans() == [])
    if example is not None:
        assert abs(sum(example, Fraction(-1))) < NEAR
        assert min(example) >= 0
        assert all(low - NEAR <= dot(example, values) <= low + 3 + NEAR for values, low in bands)


def test_a_sum_that_no_weights_give_leaves_none() -> None:
    region = Region(2).within(ints(55, 65), Fraction(71), Fraction(72))

    assert region.is_empty
    assert region.spans() == []
    assert region.example() is None


def test_a_limit_that_touches_leaves_one_weighting() -> None:
    none, all_ = ints(0, 1)
    region = Region(3).within(ints(1, 5, 2), Fraction(5), Fraction(9))

    assert region.spans() == [(none, none), (all_, all_), (none, none)]
    assert region.example() == ints(0, 1, 0)


def enumerated(columns: list[Vector], bands: list[tuple[Fraction, Fraction]]) -> Iterator[Any]:
    """The corners by another way: every choice of limits that meet in a point, solved."""
    size = len(columns[0])
    rows = [*np.eye(size)]
    bounds = [0.0] * size
    for column, (low, high) in zip(columns, bands, strict=True):
        values = np.array([float(value) for value in column])
        rows += [values, -values]
        bounds += [float(low), -float(high)]
    table, limits = np.array(rows), np.array(bounds)
    chosen = np.array(list(combinations(range(len(rows)), size - 1)))
    systems = np.concatenate([table[chosen], np.ones((len(chosen), 1, size))], axis=1)
    sides = np.concatenate([limits[chosen], np.ones((len(chosen), 1))], axis=1)
    solvable = abs(np.linalg.det(systems)) > 1e-9
    points = np.linalg.solve(systems[solvable], sides[solvable][..., None])[..., 0]
    yield from points[(points @ table.T >= limits - 1e-9).all(axis=1)]


def test_the_ends_of_the_record_are_those_that_enumeration_finds() -> None:
    columns = RECORD.pillar_scores()
    stated = [RECORD.pillars.stated_average[row.column] for row in RECORD.options.values()]
    region = Region(6)
    for column, figure in zip(columns, stated, strict=True):
        region = region.within(column, *band(figure))

    corners = np.array([*enumerated(columns, list(map(band, stated)))])
    expected = [*corners.min(axis=0), *corners.max(axis=0)]
    spans = region.spans()
    found = [*(float(low) for low, _ in spans), *(float(high) for _, high in spans)]
    assert found == pytest.approx(expected, abs=1e-8)


# Flips


@few
@given(st.data())
def test_no_weights_that_lose_the_lead_are_nearer(data: st.DataObject) -> None:
    size = data.draw(SIZES)
    gap, weights, other = (
        data.draw(vectors(size, -9, 9)),
        data.draw(weightings(size)),
        data.draw(weightings(size)),
    )
    if dot(weights, gap) < 0:
        gap = tuple(-value for value in gap)
    tie = nearest_tie(weights, gap)

    if tie is None:
        assert min(gap) >= 0
        return
    assert sum(tie) == 1
    assert min(tie) >= 0
    assert dot(tie, gap) == 0
    if dot(other, gap) <= 0:
        assert distance(weights, tie) <= distance(weights, other)


@few
@given(st.data())
def test_one_weight_changes_the_winner_just_beyond_its_tie(data: st.DataObject) -> None:
    size = data.draw(SIZES)
    gap, weights = data.draw(vectors(size, -9, 9)), data.draw(weightings(size))
    if dot(weights, gap) < 0:
        gap = tuple(-value for value in gap)
    index = data.draw(st.integers(0, size - 1))
    at = tie_by_one(weights, gap, index)

    if weights[index] == 1:
        assert at is None
        return
    ends = [dot(with_one(weights, index, end), gap) for end in ints(0, 1)]
    if at is None:
        assert min(ends) >= 0
        return
    assert 0 <= at <= 1
    assert min(ends) < 0
    changed = with_one(weights, index, at)
    assert sum(changed) == 1
    assert dot(changed, gap) == 0


def test_the_nearest_tie_takes_the_greatest_leads_first() -> None:
    # 2.5 ahead: all of the last sixth gives 14/6, a share of the fourth's the rest.
    tie = nearest_tie(equal_weights(6), ints(-2, -2, 2, 7, -2, 12))

    assert tie is not None
    assert tie[5] == 0
    assert tie[3] == Fraction(1, 6) - Fraction(1, 54)
    assert distance(tie, equal_weights(6)) == Fraction(10, 27)


def test_a_lead_that_can_only_be_equalled_is_not_lost() -> None:
    assert nearest_tie(equal_weights(2), ints(0, 3)) is None
    assert tie_by_one(equal_weights(2), ints(0, 3), 0) is None


# Who can win


@pytest.mark.parametrize(
    ("scores", "winners"),
    [
        ([ints(1, 0), ints(0, 1)], [True, True]),
        ([ints(3, 3), ints(1, 2)], [True, False]),
        ([ints(2, 2), ints(2, 2)], [False, False]),  # level everywhere: nobody is ahead
        ([ints(2, 2), ints(2, 1)], [True, False]),
        ([ints(4, 0), ints(0, 4), ints(1, 1)], [True, True, False]),  # between two, never ahead
        ([ints(4, 0), ints(0, 4), ints(2, 2)], [True, True, False]),  # level with both at half
        ([ints(4, 0), ints(0, 4), ints(3, 3)], [True, True, True]),
    ],
)
def test_who_can_win_at_all(scores: list[Vector], winners: list[bool]) -> None:
    assert [can_win(scores, index) for index in range(len(scores))] == winners


@few
@given(st.data())
def test_who_wins_under_some_weights_can_win(data: st.DataObject) -> None:
    size = data.draw(SIZES)
    scores = data.draw(st.lists(vectors(size), min_size=2, max_size=3))
    weights = data.draw(weightings(size))
    totals = [dot(weights, row) for row in scores]
    best = totals.index(max(totals))

    if totals.count(max(totals)) == 1:
        assert can_win(scores, best)
