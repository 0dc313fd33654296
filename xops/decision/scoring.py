"""A record's figures recomputed: which follow from its inputs, which do not, which nobody can say.

Where weights are not published, equal ones are assumed and said to be, and beside the answer stands
whether any other weights give the stated figure, and which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from xops.decision.coverage import Coverage
from xops.decision.figures import Vector, band, dot, follows, fractions, number
from xops.decision.record import BudgetCheck, DecisionRecord, Option, basis
from xops.decision.weights import Region


class FigureVerdict(StrEnum):
    """Whether a stated figure is what its inputs give."""

    FOLLOWS = "follows"
    DIFFERS = "differs"
    UNKNOWN = "unknown"
    """The record does not publish the inputs."""
    NOT_DERIVED = "not_derived"
    """The record states it, and no value, weight or rule of the record gives it."""


def compare(stated: Decimal, exact: Fraction | None) -> FigureVerdict:
    """The verdict on a stated figure; `exact` is None where it cannot be computed."""
    if exact is None:
        return FigureVerdict.UNKNOWN
    return FigureVerdict.FOLLOWS if follows(stated, exact) else FigureVerdict.DIFFERS


@dataclass(frozen=True)
class Figure:
    """A stated figure beside the recomputed one.

    `span` is what it can be under any weights at all, and `possible` whether some weights give the
    stated one. Both speak of the same criteria as `recomputed`.
    """

    stated: Decimal
    recomputed: Fraction | None
    span: tuple[Fraction, Fraction] | None = None

    @property
    def verdict(self) -> FigureVerdict:
        """Whether the stated figure follows."""
        return compare(self.stated, self.recomputed)

    @property
    def possible(self) -> bool | None:
        """Whether some weights give the stated figure; None where that cannot be told."""
        if self.span is None:
            return None
        low, high = band(self.stated)
        return low <= self.span[1] and self.span[0] <= high

    def to_json(self) -> dict[str, object]:
        """The figure for machines; what is not known is null."""
        return {
            "stated": float(self.stated),
            "recomputed": _number_or_none(self.recomputed),
            "verdict": self.verdict,
            "under_any_weights": None if self.span is None else [number(end) for end in self.span],
            "some_weights_give_it": self.possible,
        }


@dataclass(frozen=True)
class Weighting:
    """The weights that were used, and all that would be consistent with the stated figures."""

    names: tuple[str, ...]
    used: Vector
    published: bool
    consistent: Region

    def to_json(self) -> dict[str, object]:
        """The weights for machines."""
        example = self.consistent.example()
        spans = self.consistent.spans()
        return {
            "basis": "published" if self.published else "assumed equal",
            "used": self._by_name([number(weight) for weight in self.used]),
            "consistent_with_stated": {
                "exist": not self.consistent.is_empty,
                "include_the_used": self.consistent.contains(self.used),
                "ranges": self._by_name([[number(low), number(high)] for low, high in spans]),
                "example": self._by_name([number(weight) for weight in example or ()]),
            },
        }

    def _by_name(self, values: Sequence[object]) -> dict[str, object] | None:
        return dict(zip(self.names, values, strict=True)) if values else None


@dataclass(frozen=True)
class OptionScore:
    """An option's stated score beside what its inputs give.

    `score` is recomputed from the agents, for the option that they are known to have scored.
    `from_pillars` asks whether the pillars could have given it instead.
    """

    option: str
    name: str
    score: Figure
    from_pillars: Figure

    def to_json(self) -> dict[str, object]:
        """The score for machines."""
        pillars = self.from_pillars.to_json()
        return {
            "option": self.option,
            "name": self.name,
            **self.score.to_json(),
            "from_pillars": {k: v for k, v in pillars.items() if k != "stated"},
        }


@dataclass(frozen=True)
class PillarAverage:
    """An option's average over the pillars: the stated one beside the plain one."""

    option: str
    column: str
    average: Figure

    def to_json(self) -> dict[str, object]:
        """The average for machines."""
        return {"option": self.option, "column": self.column, **self.average.to_json()}


@dataclass(frozen=True)
class NotDerived:
    """A figure that the record states and that nothing in it gives.

    `equal_to` names scores of the record with the same value. An equal number is no derivation.
    """

    says: str
    stated: Decimal
    equal_to: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """The figure for machines, with the keys of one that can be recomputed."""
        return {
            "says": self.says,
            "stated": float(self.stated),
            "recomputed": None,
            "verdict": FigureVerdict.NOT_DERIVED,
            "equal_to": list(self.equal_to),
        }


@dataclass(frozen=True)
class ReviewState:
    """Who answers for the decision, and how long it stands before it is looked at again."""

    owner: str
    review_by: date
    as_of: date
    basis: str

    @property
    def days_left(self) -> int:
        """Days until the review is due; below 0 once it is overdue."""
        return (self.review_by - self.as_of).days

    @property
    def is_overdue(self) -> bool:
        """Whether the day has passed. On the day itself it is not."""
        return self.days_left < 0

    def to_json(self) -> dict[str, object]:
        """Owner and review for machines."""
        return {
            "owner": self.owner,
            "review": {
                "by": self.review_by.isoformat(),
                "as_of": self.as_of.isoformat(),
                "days_left": self.days_left,
                "overdue": self.is_overdue,
                "basis": self.basis,
            },
        }


@dataclass(frozen=True)
class BudgetComparison:
    """A stage's stated budget beside what its smallest shape costs at this repository's rates."""

    check: BudgetCheck
    currency: str

    @property
    def verdict(self) -> FigureVerdict:
        """Whether the budget follows from the lines. The record's own inputs are not published."""
        return compare(self.check.stated_budget, Fraction(self.check.month))

    @property
    def excess(self) -> Fraction:
        """How far the sum lies above the budget, as a share of the budget."""
        return Fraction(self.check.month) / Fraction(self.check.stated_budget) - 1

    def to_json(self) -> dict[str, object]:
        """The budget for machines; amounts are exact decimals, as texts."""
        return {
            "currency": self.currency,
            "per": "month",
            "stated": str(self.check.stated_budget),
            "recomputed": str(self.check.month),
            "compute": str(self.check.compute_month),
            "fixed": str(self.check.fixed_month),
            "verdict": self.verdict,
            "excess": number(self.excess),
            "record_inputs": None,
        }


@dataclass(frozen=True)
class ScoreReport:
    """Everything about a record that can be recomputed."""

    record: DecisionRecord
    options: tuple[OptionScore, ...]
    agents: Weighting
    consensus: Figure
    pillars: tuple[PillarAverage, ...]
    not_derived: tuple[NotDerived, ...]
    pillar_weights: Weighting
    options_from_pillars: Region
    review: ReviewState
    budget: BudgetComparison
    coverage: Coverage

    @property
    def best_stated(self) -> str:
        """The option with the highest stated score."""
        return max(self.options, key=lambda row: row.score.stated).option

    @property
    def needs_a_person(self) -> bool:
        """Whether the review is overdue, or a check that a claim names is not as it says."""
        return self.review.is_overdue or bool(self.coverage.broken)

    def to_json(self) -> dict[str, object]:
        """The report for machines. Scores are numbers, money is text, unknown is null."""
        record = self.record
        return {
            "adr": record.adr,
            "title": record.title,
            "status": record.status,
            "accepted_on": record.accepted_on and record.accepted_on.isoformat(),
            **self.review.to_json(),
            "chosen": record.chosen,
            "best_stated": self.best_stated,
            "options": [row.to_json() for row in self.options],
            "options_all_from_pillars": not self.options_from_pillars.is_empty,
            "consensus": {"of": record.agents.of, **self.consensus.to_json()},
            "agent_weights": self.agents.to_json(),
            "pillar_averages": [row.to_json() for row in self.pillars],
            "not_derived": [row.to_json() for row in self.not_derived],
            "pillar_weights": self.pillar_weights.to_json(),
            "budget": self.budget.to_json(),
            "coverage": self.coverage.to_json(),
            "departures": {
                name: row.model_dump(mode="json") for name, row in record.departures.items()
            },
        }


def score(record: DecisionRecord, coverage: Coverage, as_of: date) -> ScoreReport:
    """Recompute a record.

    Args:
        record: the record.
        coverage: its claims as they were found to be checked.
        as_of: the day on which the review is judged to be due or not.
    """
    consensus, agents = _consensus(record)
    pillar_weights = _pillar_weights(record)
    scores = [option.score for option in record.options.values()]
    return ScoreReport(
        record=record,
        options=tuple(_options(record, consensus, pillar_weights.used)),
        agents=agents,
        consensus=consensus,
        pillars=tuple(_averages(record, pillar_weights.used)),
        not_derived=tuple(
            NotDerived(row.says, row.figure, record.inputs_equal_to(row.figure))
            for row in record.pillars.not_derived
        ),
        pillar_weights=pillar_weights,
        options_from_pillars=_consistent(record.pillar_scores(), scores),
        review=ReviewState(record.owner, record.review.by, as_of, record.review.basis),
        budget=BudgetComparison(record.budget_check, record.budgets.currency),
        coverage=coverage,
    )


def _consensus(record: DecisionRecord) -> tuple[Figure, Weighting]:
    agents = record.agents
    values = fractions(agents.scores.values())
    published, used = basis(agents.weights, agents.scores)
    region = _consistent([values], [agents.stated_consensus])
    figure = Figure(agents.stated_consensus, dot(used, values), (min(values), max(values)))
    return figure, Weighting(tuple(agents.scores), used, published, region)


def _pillar_weights(record: DecisionRecord) -> Weighting:
    pillars = record.pillars
    columns = [option.column for option in record.options.values()]
    published, used = basis(pillars.weights, pillars.criteria)
    stated = [pillars.stated_average[column] for column in columns]
    region = _consistent(record.pillar_scores(), stated)
    return Weighting(pillars.criteria, used, published, region)


def _options(record: DecisionRecord, consensus: Figure, used: Vector) -> Iterator[OptionScore]:
    for name, option in record.options.items():
        of_agents = name == record.agents.of
        recomputed = consensus.recomputed if of_agents else None
        span = consensus.span if of_agents else None
        yield OptionScore(
            name,
            option.name,
            Figure(option.score, recomputed, span),
            _from_pillars(record, option, option.score, used),
        )


def _averages(record: DecisionRecord, used: Vector) -> Iterator[PillarAverage]:
    for name, option in record.options.items():
        stated = record.pillars.stated_average[option.column]
        yield PillarAverage(name, option.column, _from_pillars(record, option, stated, used))


def _from_pillars(record: DecisionRecord, option: Option, stated: Decimal, used: Vector) -> Figure:
    values = record.pillars.column(option.column)
    return Figure(stated, dot(used, values), (min(values), max(values)))


def _consistent(columns: Sequence[Vector], stated: Sequence[Decimal]) -> Region:
    """The weightings that give every one of the stated figures, one a column, at once."""
    region = Region(len(columns[0]))
    for values, figure in zip(columns, stated, strict=True):
        region = region.within(values, *band(figure))
    return region


def _number_or_none(value: Fraction | None) -> float | None:
    return None if value is None else number(value)
