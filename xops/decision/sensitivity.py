"""How firm a decision is: what change of weights gives it to another option, and how often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import sqrt

from xops.decision.figures import Vector, dot, fractions, number
from xops.decision.record import DecisionRecord, basis
from xops.decision.weights import can_win, distance, lead, nearest_tie, tie_by_one, with_one

DRAWS = 10_000
SEED = 20260311  # the day on which ADR-005 was accepted
GENERATOR = "numpy PCG64"
_EQUAL = 1e-9  # below what rounding of floats leaves of scores up to 100


@dataclass(frozen=True)
class Share:
    """How often something happened in random draws."""

    count: int
    draws: int

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.count / self.draws

    @property
    def standard_error(self) -> float:
        """Of the share, from the number of draws alone."""
        return sqrt(self.share * (1 - self.share) / self.draws)

    def to_json(self) -> dict[str, object]:
        """The share for machines."""
        error = round(self.standard_error, 6)
        return {"count": self.count, "share": round(self.share, 6), "standard_error": error}


@dataclass(frozen=True)
class Flip:
    """The nearest weights at which `challenger` draws level; any step beyond, and it wins."""

    challenger: str
    weights: Vector
    distance: Fraction
    """The sum of the absolute changes; half of it is the share of weight that moves."""

    def to_json(self, names: Sequence[str]) -> dict[str, object]:
        """The flip for machines."""
        return {
            "challenger": self.challenger,
            "distance_l1": number(self.distance),
            "share_moved": number(self.distance / 2),
            "weights": dict(zip(names, map(number, self.weights), strict=True)),
        }


@dataclass(frozen=True)
class SingleFlip:
    """One criterion's weight, and the nearest one at which the winner is drawn level with.

    The others keep their ratios. `at` and `challenger` are None if no weight from 0 to 1 does.
    """

    criterion: str
    weight: Fraction
    at: Fraction | None
    challenger: str | None
    distance: Fraction | None
    """The sum of the absolute changes of all weights."""

    def to_json(self) -> dict[str, object]:
        """The weight for machines."""
        return {
            "criterion": self.criterion,
            "weight": number(self.weight),
            "flips_at": None if self.at is None else number(self.at),
            "challenger": self.challenger,
            "distance_l1": None if self.distance is None else number(self.distance),
        }


@dataclass(frozen=True)
class Draws:
    """Who wins under random weights, drawn evenly from all weightings: Dirichlet(1, ..., 1)."""

    count: int
    seed: int
    wins: dict[str, Share]
    ties: int

    def to_json(self) -> dict[str, object]:
        """The draws for machines."""
        return {
            "count": self.count,
            "seed": self.seed,
            "distribution": "Dirichlet(1, ..., 1)",
            "generator": GENERATOR,
            "wins": {option: share.to_json() for option, share in self.wins.items()},
            "ties": self.ties,
        }


@dataclass(frozen=True)
class ConsensusSensitivity:
    """What weights of the agents bring the consensus down to the next best option's score.

    How the agents scored that option is not published: its stated score is taken as fixed.
    """

    of: str
    next_best: str
    next_score: Decimal
    names: tuple[str, ...]
    weights: Vector
    flip: Flip | None
    stays_above: Share

    def to_json(self) -> dict[str, object]:
        """The consensus for machines."""
        return {
            "of": self.of,
            "next_best": self.next_best,
            "next_score_taken_as_fixed": float(self.next_score),
            "nearest_flip": self.flip and self.flip.to_json(self.names),
            "stays_above": self.stays_above.to_json(),
        }


@dataclass(frozen=True)
class Sensitivity:
    """How firm the winner by the pillars is."""

    record: DecisionRecord
    published: bool
    weights: Vector
    scores: dict[str, Fraction]
    winner: str
    flip: Flip | None
    singles: tuple[SingleFlip, ...]
    can_win: dict[str, bool]
    draws: Draws
    consensus: ConsensusSensitivity | None

    @property
    def criteria(self) -> tuple[str, ...]:
        """What is weighted."""
        return self.record.pillars.criteria

    @property
    def smallest_singles(self) -> tuple[SingleFlip, ...]:
        """The criteria whose weight alone needs the least change; several if they need the same."""
        changes = {row: abs(row.at - row.weight) for row in self.singles if row.at is not None}
        least = min(changes.values(), default=None)
        return tuple(row for row, change in changes.items() if change == least)

    def to_json(self) -> dict[str, object]:
        """The sensitivity for machines; null where nothing flips."""
        return {
            "adr": self.record.adr,
            "chosen": self.record.chosen,
            "weights": {
                "basis": "published" if self.published else "assumed equal",
                "used": dict(zip(self.criteria, map(number, self.weights), strict=True)),
            },
            "scores": {option: number(value) for option, value in self.scores.items()},
            "winner": self.winner,
            "nearest_flip": self.flip and self.flip.to_json(self.criteria),
            "smallest_single_weights": [row.criterion for row in self.smallest_singles],
            "single_weights": [row.to_json() for row in self.singles],
            "can_win_under_some_weights": self.can_win,
            "draws": self.draws.to_json(),
            "consensus": self.consensus and self.consensus.to_json(),
        }


def sensitivity(record: DecisionRecord, *, draws: int = DRAWS, seed: int = SEED) -> Sensitivity:
    """Shake the weights of a record. The same record, draws and seed give the same answer.

    Args:
        record: the record.
        draws: how many random weightings, at least 1.
        seed: of the random generator.
    """
    names, scores = list(record.options), record.pillar_scores()
    published, weights = basis(record.pillars.weights, record.pillars.criteria)
    totals = {name: dot(weights, row) for name, row in zip(names, scores, strict=True)}
    winner = max(totals, key=lambda name: totals[name])
    gaps = _gaps(names, scores, winner)
    return Sensitivity(
        record=record,
        published=published,
        weights=weights,
        scores=totals,
        winner=winner,
        flip=_nearest(weights, gaps),
        singles=tuple(_singles(record.pillars.criteria, weights, gaps)),
        can_win={name: can_win(scores, index) for index, name in enumerate(names)},
        draws=draw_weightings(names, scores, draws, seed),
        consensus=_consensus(record, draws, seed),
    )


def draw_weightings(names: Sequence[str], scores: Sequence[Vector], draws: int, seed: int) -> Draws:
    """How often each option is strictly ahead of all others under random weights.

    Args:
        names: the options.
        scores: one vector an option, all over the same criteria.
        draws: how many weightings.
        seed: of the random generator.
    """
    import numpy as np  # takes longer to import than everything else here together

    table = np.array([[float(value) for value in row] for row in scores])
    weightings = np.random.default_rng(seed).dirichlet(np.ones(table.shape[1]), size=draws)
    totals = weightings @ table.T
    ahead = totals >= totals.max(axis=1, keepdims=True) - _EQUAL
    alone = ahead.sum(axis=1) == 1
    counts = (ahead & alone[:, None]).sum(axis=0)
    wins = {name: Share(int(n), draws) for name, n in zip(names, counts, strict=True)}
    return Draws(draws, seed, wins, draws - int(alone.sum()))


def _gaps(names: Sequence[str], scores: Sequence[Vector], winner: str) -> dict[str, Vector]:
    """The winner's lead over each of the others, criterion by criterion."""
    best = scores[names.index(winner)]
    rows = zip(names, scores, strict=True)
    return {name: lead(best, row) for name, row in rows if name != winner}


def _nearest(weights: Vector, gaps: dict[str, Vector]) -> Flip | None:
    found = [
        Flip(name, tie, distance(weights, tie))
        for name, gap in gaps.items()
        if (tie := nearest_tie(weights, gap)) is not None
    ]
    return min(found, key=lambda flip: flip.distance, default=None)


def _singles(
    criteria: Sequence[str], weights: Vector, gaps: dict[str, Vector]
) -> Iterator[SingleFlip]:
    for index, criterion in enumerate(criteria):
        own = weights[index]
        ties = {name: tie_by_one(weights, gap, index) for name, gap in gaps.items()}
        known = [(abs(at - own), name, at) for name, at in ties.items() if at is not None]
        if not known:
            yield SingleFlip(criterion, own, None, None, None)
            continue
        _, name, at = min(known)
        moved = distance(weights, with_one(weights, index, at))
        yield SingleFlip(criterion, own, at, name, moved)


def _consensus(record: DecisionRecord, draws: int, seed: int) -> ConsensusSensitivity | None:
    agents, others = record.agents, dict(record.options)
    del others[agents.of]
    next_best = max(others, key=lambda name: others[name].score)
    values = fractions(agents.scores.values())
    fixed = (Fraction(others[next_best].score),) * len(values)
    _, weights = basis(agents.weights, agents.scores)
    gap = lead(values, fixed)
    if dot(weights, gap) < 0:
        return None
    counted = draw_weightings([agents.of, next_best], [values, fixed], draws, seed)
    return ConsensusSensitivity(
        of=agents.of,
        next_best=next_best,
        next_score=others[next_best].score,
        names=tuple(agents.scores),
        weights=weights,
        flip=_nearest(weights, {next_best: gap}),
        stays_above=counted.wins[agents.of],
    )
