"""A decision record's numbers: `docs/adr/0005-hybrid-platform.yaml` and files like it.

The file keeps what was decided as the record states it, and beside it what follows from the
record's own inputs. The latter is computed again whenever it is read: a derived figure that is
wrong is a finding with its line, as a misspelt key is. What the record does not publish is
`unknown`, what it states and nothing derives is kept as stated, and what this software added to
it, changed or left out is a departure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
)

from xops.core.files import settings
from xops.core.files.validation import (
    Day,
    Model,
    TimeZone,
    raise_if_any,
)
from xops.core.money import Amount
from xops.decision.departures import Departure, unknown_keys
from xops.decision.figures import Vector, decimal, dot, equal_weights, follows, fractions
from xops.decision.triggers import Trigger, given_keys

ADR_005 = settings.ROOT / "docs" / "adr" / "0005-hybrid-platform.yaml"
LOWEST, HIGHEST = 0, 100
"""The scale of all scores; higher is better, for cost as well (it scores how cost is kept low)."""

Score = Annotated[Amount, Field(ge=LOWEST, le=HIGHEST)]

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def _none_if_unknown(value: object) -> object:
    if value is None:
        raise ValueError("is empty: write the weights, or unknown")
    return None if value == "unknown" else value


Weights = Annotated[
    dict[str, Annotated[Amount, Field(ge=0, le=1)]] | None, BeforeValidator(_none_if_unknown)
]
"""A weight for each criterion, their sum 1. None where the record does not publish them."""


class Review(Model):
    """When the decision is to be looked at again, at the latest, and who says so."""

    by: Day
    timezone: Annotated[TimeZone, Field(description="IANA name; where the day begins and ends.")]
    basis: Annotated[str, Field(min_length=1, description="Where the day comes from.")]


class StatedFigure(Model):
    """A figure that the record states and nothing in it derives."""

    says: Annotated[str, Field(min_length=1, description="The record's words.")]
    figure: Score

    @field_validator("figure")
    @classmethod
    def _is_said(cls, value: Decimal, info: ValidationInfo) -> Decimal:
        says = info.data.get("says")
        if says is not None and str(value) not in _NUMBER.findall(says):
            raise ValueError(f"the words {says!r} do not state {value}")
        return value


class Pillars(Model):
    """Scores by criterion and column, each column being what one option was scored as."""

    weights: Weights
    scores: Annotated[dict[str, dict[str, Score]], Field(min_length=1)]
    stated_average: dict[str, Score]
    plain_average: dict[str, Score]
    not_derived: Annotated[
        tuple[StatedFigure, ...],
        Field(description="Stated as well, and given by no value, weight or rule of the record."),
    ] = ()

    @field_validator("scores")
    @classmethod
    def _no_gaps(cls, value: dict[str, dict[str, Score]]) -> dict[str, dict[str, Score]]:
        columns = set().union(*value.values())
        for criterion, row in value.items():
            if missing := columns - row.keys():
                raise ValueError(f"{criterion} has no score for {', '.join(sorted(missing))}")
        return value

    @field_validator("scores")
    @classmethod
    def _weighed(
        cls, value: dict[str, dict[str, Score]], info: ValidationInfo
    ) -> dict[str, dict[str, Score]]:
        _check_weights(info.data.get("weights"), value)
        return value

    @field_validator("stated_average", "plain_average")
    @classmethod
    def _one_a_column(cls, value: dict[str, Score], info: ValidationInfo) -> dict[str, Score]:
        if scores := info.data.get("scores"):
            _check_names(value, next(iter(scores.values())), "column")
        return value

    @field_validator("plain_average")
    @classmethod
    def _follows(cls, value: dict[str, Score], info: ValidationInfo) -> dict[str, Score]:
        for column, stated in value.items():
            rows = info.data.get("scores", {}).values()
            _check_derived(column, stated, _mean(row[column] for row in rows if column in row))
        return value

    @property
    def criteria(self) -> tuple[str, ...]:
        """The criteria, in the order of the file."""
        return tuple(self.scores)

    def column(self, name: str) -> Vector:
        """The scores of one column, in the criteria's order."""
        return fractions(row[name] for row in self.scores.values())


class Option(Model):
    """One of the options, with the score that the record gives it."""

    name: Annotated[str, Field(min_length=1)]
    score: Score
    column: Annotated[str, Field(description="Its column of the pillars.")]


class Agents(Model):
    """How each agent scored the option `of`, and the consensus that the record states."""

    of: Annotated[str, Field(description="The option; how the others were scored is unknown.")]
    weights: Weights
    scores: Annotated[dict[str, Score], Field(min_length=1)]
    stated_consensus: Score
    plain_average: Score

    @field_validator("scores")
    @classmethod
    def _weighed(cls, value: dict[str, Score], info: ValidationInfo) -> dict[str, Score]:
        _check_weights(info.data.get("weights"), value)
        return value

    @field_validator("plain_average")
    @classmethod
    def _follows(cls, value: Score, info: ValidationInfo) -> Score:
        _check_derived("", value, _mean(info.data.get("scores", {}).values()))
        return value


class Range(Model):
    """Two amounts, the second not below the first."""

    low: Annotated[Amount, Field(ge=0, alias="from")]
    high: Annotated[Amount, Field(ge=0, alias="to")]

    @field_validator("high")
    @classmethod
    def _not_below(cls, value: Decimal, info: ValidationInfo) -> Decimal:
        if value < info.data.get("low", value):
            raise ValueError(f"lies below from ({info.data['low']})")
        return value


class Stream2Budget(Model):
    """What Stream 2 may cost, by where it runs."""

    on_premises: Annotated[Amount, Field(ge=0)]
    cloud_vms: Range


class Budgets(Model):
    """Budgets of both streams, of Stream 1 by stage."""

    currency: Literal["USD"]
    per: Literal["month"]
    stream1: dict[str, Annotated[Amount, Field(ge=0)]]
    stream2: Stream2Budget


class Rates(Model):
    """What an hour on Fargate costs."""

    vcpu_hour: Annotated[Amount, Field(gt=0)]
    gb_hour: Annotated[Amount, Field(gt=0)]


class Tasks(Model):
    """Tasks of one size that run all month."""

    vcpu: Annotated[Amount, Field(gt=0)]
    gb: Annotated[Amount, Field(gt=0)]
    replicas: Annotated[int, Field(ge=1)]


class BudgetCheck(Model):
    """A stage's smallest shape, priced, beside the budget that the record states for it.

    The rates are those of this repository, not the record's: from which inputs its budget was
    computed is not published.
    """

    region: str
    hours: Annotated[int, Field(ge=1, le=744)]
    rates: Rates
    compute: Annotated[dict[str, Tasks], Field(min_length=1)]
    compute_month: Amount
    fixed: dict[str, Annotated[Amount, Field(ge=0)]]
    fixed_month: Amount
    month: Amount
    stated_budget: Amount

    @field_validator("compute_month")
    @classmethod
    def _is_the_compute(cls, value: Decimal, info: ValidationInfo) -> Decimal:
        if {"hours", "rates", "compute"} <= info.data.keys():
            hourly = _hourly(info.data["compute"].values(), info.data["rates"])
            _check_derived("", value, Fraction(hourly * info.data["hours"]))
        return value

    @field_validator("fixed_month")
    @classmethod
    def _is_the_sum(cls, value: Decimal, info: ValidationInfo) -> Decimal:
        if "fixed" in info.data:
            _check_derived("", value, Fraction(sum(info.data["fixed"].values(), Decimal(0))))
        return value

    @field_validator("month")
    @classmethod
    def _is_both(cls, value: Decimal, info: ValidationInfo) -> Decimal:
        if {"compute_month", "fixed_month"} <= info.data.keys():
            both = info.data["compute_month"] + info.data["fixed_month"]
            _check_derived("", value, Fraction(both))
        return value


class CheckByTest(Model):
    """A test that fails when a claim is no longer true."""

    test: Annotated[
        str,
        Field(pattern=r"^\S+\.(py|tftest\.hcl)::\S.*$", description="A test's file and its name."),
    ]
    kind: ClassVar = "test"

    @property
    def name(self) -> str:
        """What it is called there."""
        return self.test


class CheckByPolicy(Model):
    """A trigger's policy that says what a claim says."""

    trigger: Annotated[str, Field(description="A name in deployments/triggers.yaml.")]
    kind: ClassVar = "trigger"

    @property
    def name(self) -> str:
        """What it is called there."""
        return self.trigger


class CheckByContract(Model):
    """A rule on imports that breaks when a claim is no longer true."""

    import_contract: Annotated[
        str, Field(description="The name of a contract of import-linter in pyproject.toml.")
    ]
    kind: ClassVar = "import_contract"

    @property
    def name(self) -> str:
        """What it is called there."""
        return self.import_contract


_CHECKS = {"test": "a test", "trigger": "a policy", "import_contract": "a contract"}


def _kind_of_check(value: Any) -> str | None:
    found = [kind for key, kind in _CHECKS.items() if key in given_keys(value)]
    return found[0] if len(found) == 1 else None


Check = Annotated[
    Annotated[CheckByTest, Tag("a test")]
    | Annotated[CheckByPolicy, Tag("a policy")]
    | Annotated[CheckByContract, Tag("a contract")],
    Discriminator(
        _kind_of_check,
        custom_error_type="kind_of_check",
        custom_error_message="a check is one of test, trigger and import_contract",
    ),
]
"""Something executable that fails when a claim is no longer true."""


class Claim(Model):
    """A sentence of the record that can turn out false, with what would notice it."""

    says: Annotated[str, Field(min_length=1)]
    checks: tuple[Check, ...] = ()
    unchecked: Annotated[str | None, Field(description="Why nothing checks it yet.")] = None

    @field_validator("unchecked")
    @classmethod
    def _checked_or_why_not(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "checks" in info.data and bool(info.data["checks"]) == bool(value):
            raise ValueError("a claim names its checks, or says why there are none; one of the two")
        return value


class DecisionRecord(Model):
    """A decision between scored options, as data."""

    adr: Annotated[str, Field(pattern=r"^\d{3,4}$")]
    title: str
    status: Literal["proposed", "accepted", "rejected", "deprecated", "superseded"]
    accepted_on: Day | None = None
    owner: Annotated[str, Field(min_length=1)]
    review: Review
    pillars: Pillars
    options: Annotated[dict[str, Option], Field(min_length=2)]
    chosen: str
    agents: Agents
    triggers: dict[str, Trigger]
    budgets: Budgets
    budget_check: BudgetCheck
    claims: dict[str, Claim]
    departures: Annotated[
        dict[str, Departure],
        Field(description="What was added to the record, changed or left out of it."),
    ] = {}

    @field_validator("options")
    @classmethod
    def _scored(cls, value: dict[str, Option], info: ValidationInfo) -> dict[str, Option]:
        if pillars := info.data.get("pillars"):
            columns = [option.column for option in value.values()]
            if sorted(columns) != sorted(pillars.plain_average):
                known = ", ".join(sorted(pillars.plain_average))
                raise ValueError(f"each option has one column of the pillars ({known}) to itself")
        return value

    @field_validator("chosen")
    @classmethod
    def _is_an_option(cls, value: str, info: ValidationInfo) -> str:
        _check_option(value, info.data.get("options"))
        return value

    @field_validator("agents")
    @classmethod
    def _of_an_option(cls, value: Agents, info: ValidationInfo) -> Agents:
        _check_option(value.of, info.data.get("options"))
        return value

    @field_validator("claims")
    @classmethod
    def _known_triggers(cls, value: dict[str, Claim], info: ValidationInfo) -> dict[str, Claim]:
        known = info.data.get("triggers")
        for name, claim in value.items():
            for check in claim.checks:
                if not isinstance(check, CheckByPolicy) or known is None:
                    continue
                if check.trigger not in known:
                    raise ValueError(f"{name}: there is no trigger {check.trigger!r} above")
        return value

    @field_validator("departures")
    @classmethod
    def _known_keys(cls, value: dict[str, Departure], info: ValidationInfo) -> dict[str, Departure]:
        if set(cls.model_fields) - {"departures"} <= info.data.keys():
            raise_if_any(unknown_keys(value, info.data))
        return value

    @classmethod
    def load(cls, file: Path = ADR_005) -> Self:
        """Read a record.

        Raises:
            InputError: everything that is wrong with it, each with path and line.
        """
        return settings.load(cls, file, prefix="", environ={}, arguments={})

    def inputs_equal_to(self, figure: Decimal) -> tuple[str, ...]:
        """The scores of the record that have this value, by dotted path.

        An equal one is no source: whether a figure was taken from there, the record alone could
        say.
        """
        return tuple(path for path, score in self._scores() if score == figure)

    def _scores(self) -> Iterator[tuple[str, Decimal]]:
        for name, option in self.options.items():
            yield f"options.{name}.score", option.score
        for name, score in self.agents.scores.items():
            yield f"agents.scores.{name}", score
        yield "agents.stated_consensus", self.agents.stated_consensus
        for criterion, row in self.pillars.scores.items():
            for column, score in row.items():
                yield f"pillars.scores.{criterion}.{column}", score
        for column, score in self.pillars.stated_average.items():
            yield f"pillars.stated_average.{column}", score

    def pillar_scores(self) -> list[Vector]:
        """The scores of each option by criterion, in the order of the options."""
        return [self.pillars.column(option.column) for option in self.options.values()]


def basis(weights: Mapping[str, Decimal] | None, names: Iterable[str]) -> tuple[bool, Vector]:
    """Whether weights are published, and the weights to go by: else equal ones are assumed."""
    listed = list(names)
    if weights is None:
        return False, equal_weights(len(listed))
    return True, fractions(weights[name] for name in listed)


def _check_weights(weights: Mapping[str, Decimal] | None, names: Mapping[str, object]) -> None:
    if weights is None:
        return
    _check_names(weights, names, "criterion")
    if sum(weights.values()) != 1:
        raise ValueError(f"the weights sum to {sum(weights.values())}, not 1")


def _check_names(given: Iterable[str], wanted: Iterable[str], what: str) -> None:
    if set(given) != set(wanted):
        raise ValueError(f"needs a value for every {what}: {', '.join(sorted(wanted))}")


def _check_option(name: str, options: Mapping[str, Option] | None) -> None:
    if options is not None and name not in options:
        raise ValueError(f"there is no option {name!r}; there are: {', '.join(options)}")


def _check_derived(name: str, stated: Decimal, exact: Fraction | None) -> None:
    if exact is not None and not follows(stated, exact):
        subject = f"{name} is" if name else "is"
        raise ValueError(f"{subject} {decimal(exact)} by the lines above, not {stated}")


def _mean(values: Iterable[Decimal]) -> Fraction | None:
    exact = fractions(values)
    return dot(equal_weights(len(exact)), exact) if exact else None


def _hourly(tasks: Iterable[Tasks], rates: Rates) -> Decimal:
    priced = ((t.vcpu * rates.vcpu_hour + t.gb * rates.gb_hour) * t.replicas for t in tasks)
    return sum(priced, Decimal(0))
