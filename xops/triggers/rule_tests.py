"""Tests of a policy that its owner writes: series in, states out, as `promtool test rules` does.

    policy: triggers.yaml
    cases:
    - name: five is not above five
      trigger: iac_prs
      values: 5x4 6x3 _ 3x4
      states: inactive x4, pending(1), pending(2), active x2, cooling x3, inactive

`_` is an unknown week, `6-` one of which it is known only that it has at least 6, `2-5` one with
2 to 5, and `x4` repeats. A state without a number fits any number; a week that leaves the state
open keeps the one before it, and `unknown(active)` says that this is so as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sized
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
)

from xops.core.errors import Finding, InputError
from xops.core.files import settings
from xops.core.files.validation import Day, Model, absent
from xops.triggers.facts import WEEK, Bounds
from xops.triggers.machine import Phase, Reading, State, fold, mandate_reading, with_entry
from xops.triggers.policy import MandateTrigger, Policy, Trigger

_LONGEST = 1_000
_VALUE = re.compile(
    r"(?P<value>_|\d{1,9})((?<!_)(?P<to>-)(?P<most>\d{1,9})?)?(x(?P<times>\d{1,9}))?", re.ASCII
)
_STATE = re.compile(
    r"(?P<frozen>unknown\()?(?P<phase>[a-z]+)(\((?P<count>\d{1,9})\))?(?(frozen)\))"
    r"(\s*x(?P<times>\d{1,9}))?",
    re.ASCII,
)
_WHAT = "a count, bounds of one (6- is at least 6, 2-5 is 2 to 5), or _ for unknown"
_FIRST = date(2024, 1, 1)  # a Monday: which one makes no difference


class Expected(Model):
    """What a state must look like."""

    phase: Phase
    count: int | None = None
    frozen: bool = False

    def fits(self, state: State) -> bool:
        """Whether that state is the expected one."""
        count = state.over if state.phase is Phase.PENDING else state.under
        return (
            state.phase is self.phase
            and self.count in (None, count)
            and (state.insufficient or not self.frozen)
        )

    def __str__(self) -> str:
        text = str(self.phase) + ("" if self.count is None else f"({self.count})")
        return f"unknown({text})" if self.frozen else text


def _values(value: object) -> object:
    """A series as numbers and bounds, from a list or from "5x4 6 6- 2-5 _"."""
    if isinstance(value, str):
        return _expand(value.replace(",", " ").split(), _VALUE, _WHAT)
    if isinstance(value, list):
        return [made for item in value for made in _item(item)]
    return value


def _item(item: object) -> list[Any]:
    return _expand([item], _VALUE, _WHAT) if isinstance(item, str) else [item]


def _expand(words: Iterable[str], pattern: re.Pattern[str], what: str) -> list[Any]:
    made: list[Any] = []
    for word in filter(None, words):
        match = pattern.fullmatch(word)
        if match is None:
            raise ValueError(f"{word[:40]!r} is not {what}")
        times = int(match["times"] or 1)
        # Counted before anything is made: a few characters may stand for gigabytes.
        if len(made) + times > _LONGEST:
            raise ValueError(f"is longer than {_LONGEST} weeks")
        made += [_one(match)] * times
    return made


def _one(match: re.Match[str]) -> Any:
    parts = match.groupdict()
    if "value" in parts:
        return _count(parts["value"], parts["to"], parts["most"])
    return {"phase": parts["phase"], "count": parts["count"], "frozen": bool(parts["frozen"])}


def _count(value: str, to: str | None, most: str | None) -> Any:
    if value == "_":
        return None
    return {"at_least": int(value), "at_most": most and int(most)} if to else int(value)


def _states(value: object) -> object:
    """States from a list of texts or from one text with commas."""
    text = ",".join(map(str, value)) if isinstance(value, list) else value
    if not isinstance(text, str):
        return text
    return _expand(map(str.strip, text.split(",")), _STATE, "a state")


States = Annotated[tuple[Expected, ...], BeforeValidator(_states)]


class Declared(Model):
    """A mandate, as far as a rule looks at it."""

    effective_from: Day
    expires: Day
    valid: Annotated[
        bool, Field(description="One that is not leaves open whether it is in force.")
    ] = True


_ONE_OF_TWO = "give values or mandates, one of the two"


class _Case(Model):
    """One series and the states it must lead to, week by week or day by day."""

    name: Annotated[str, Field(min_length=1)]
    trigger: str


class MetricCase(_Case):
    """A case of a metric."""

    values: Annotated[
        tuple[Annotated[int, Field(ge=0)] | Bounds | None, ...],
        BeforeValidator(_values),
        Field(max_length=_LONGEST, description="A list, or text like 5x4 6 6- 2-5 _."),
    ]
    mandates: Annotated[None, absent(_ONE_OF_TWO)] = None
    reading: Annotated[
        Literal["enter", "beside"],
        Field(description="By which reading of the threshold: the deciding one or the other."),
    ] = "enter"
    states: Annotated[States, Field(description="One a week.")]

    @field_validator("states")
    @classmethod
    def _as_many(cls, value: States, info: ValidationInfo) -> States:
        return _one_for_each(value, info.data.get("values"))

    def readings(self) -> list[Reading]:
        """The series as the machine reads it."""
        return [_reading(index, value) for index, value in enumerate(self.values)]


def _reading(index: int, value: int | Bounds | None) -> Reading:
    period = _FIRST + WEEK * index
    if isinstance(value, Bounds):
        return Reading(period=period, value=None, bounds=value)
    return Reading(period=period, value=value)


class MandateCase(_Case):
    """A case of a mandate."""

    values: Annotated[None, absent(_ONE_OF_TWO)] = None
    mandates: tuple[Declared, ...]
    days: Annotated[
        tuple[Day, ...], Field(max_length=_LONGEST, description="The days looked at, in order.")
    ] = ()
    states: Annotated[States, Field(description="One a day.")]

    @field_validator("days")
    @classmethod
    def _in_order(cls, value: tuple[date, ...]) -> tuple[date, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("must be in order, each day once")
        return value

    @field_validator("states")
    @classmethod
    def _as_many(cls, value: States, info: ValidationInfo) -> States:
        return _one_for_each(value, info.data.get("days"))

    def readings(self) -> list[Reading]:
        """The days as the machine reads them."""
        valid, doubtful = (
            [(row.effective_from, row.expires) for row in self.mandates if row.valid is wanted]
            for wanted in (True, False)
        )
        return [mandate_reading(day, valid, doubtful) for day in self.days]


def _one_for_each(states: States, periods: Sized | None) -> States:
    if periods is not None and len(states) != len(periods):
        raise ValueError(f"{len(states)} states for {len(periods)} values")
    return states


def _kind_of_case(value: Any) -> str | None:
    given = value if isinstance(value, dict) else vars(value) if isinstance(value, _Case) else {}
    if given.get("values") is not None:
        return "of a metric"
    return None if given.get("mandates") is None else "of a mandate"


Case = Annotated[
    Annotated[MetricCase, Tag("of a metric")] | Annotated[MandateCase, Tag("of a mandate")],
    Discriminator(
        _kind_of_case, custom_error_type="kind_of_case", custom_error_message=_ONE_OF_TWO
    ),
]


class RuleTests(Model):
    """A file of cases."""

    api_version: Annotated[Literal["xops/v1"], Field(alias="apiVersion")]
    policy: Annotated[
        Path | None, Field(description="Relative to this file; default: the project's policy.")
    ] = None
    cases: Annotated[tuple[Case, ...], Field(min_length=1)]

    @classmethod
    def load(cls, file: Path) -> RuleTests:
        """Read a file of cases.

        Raises:
            InputError: everything that is wrong with it, each with path and line.
        """
        read = settings.load(cls, file, prefix="", environ={}, arguments={})
        if read.policy is None:
            return read
        return read.model_copy(update={"policy": file.resolve().parent / read.policy})


class Mismatch(Model):
    """A week in which the state was another one."""

    case: str
    position: int = Field(description="Of the week or day, from 1.")
    value: int | None
    bounds: Bounds | None = None
    expected: str
    found: str

    def __str__(self) -> str:
        value = "_" if self.value is None else str(self.value)
        return (
            f"{self.case}: at {self.position} (value {self.bounds or value})"
            f" {self.expected} was expected, it is {self.found}"
        )


class Result(Model):
    """How the cases ended."""

    cases: int
    failed: int
    mismatches: tuple[Mismatch, ...]


def run(policy: Policy, tests: RuleTests) -> Result:
    """Fold each case's series and compare state by state.

    Raises:
        InputError: a case names no trigger of the policy, or one of the other kind.
    """
    problems = [text for case in tests.cases for text in _unfit(policy, case)]
    if problems:
        findings = [Finding("cases", "", text) for text in problems]
        raise InputError("testing the policy", findings)
    found = [
        list(_mismatches(_rule(policy.triggers[case.trigger], case), case)) for case in tests.cases
    ]
    return Result(
        cases=len(found),
        failed=sum(bool(rows) for rows in found),
        mismatches=tuple(row for rows in found for row in rows),
    )


def _unfit(policy: Policy, case: Case) -> Iterator[str]:
    trigger = policy.triggers.get(case.trigger)
    if trigger is None:
        yield f"{case.name}: no trigger {case.trigger!r}; there are: {', '.join(policy.triggers)}"
    elif isinstance(trigger, MandateTrigger) != isinstance(case, MandateCase):
        wanted = "mandates" if isinstance(trigger, MandateTrigger) else "values"
        yield f"{case.name}: {case.trigger} needs {wanted}"
    elif _is_beside(case) and trigger.beside is None:
        yield f"{case.name}: {case.trigger} has no other reading: add `beside` to the policy"


def _is_beside(case: Case) -> bool:
    return isinstance(case, MetricCase) and case.reading == "beside"


def _rule(trigger: Trigger, case: Case) -> Trigger:
    """The rule by which a case is read."""
    if isinstance(trigger, MandateTrigger) or trigger.beside is None or not _is_beside(case):
        return trigger
    return with_entry(trigger, trigger.beside)


def _mismatches(trigger: Trigger, case: Case) -> Iterator[Mismatch]:
    readings = case.readings()
    rows = zip(readings, fold(trigger, readings), case.states, strict=True)
    for position, (reading, state, expected) in enumerate(rows, start=1):
        if not expected.fits(state):
            yield Mismatch(
                case=case.name,
                position=position,
                value=reading.value,
                bounds=reading.bounds,
                expected=str(expected),
                found=_format_state(state),
            )


def _format_state(state: State) -> str:
    counts = {Phase.PENDING: state.over, Phase.COOLING: state.under}
    shown = Expected(
        phase=state.phase, count=counts.get(state.phase) or None, frozen=state.insufficient
    )
    return str(shown)
