"""Tests of a policy that its owner writes: series in, states out, as `promtool test rules` does.

    policy: triggers.yaml
    cases:
    - name: five is not above five
      trigger: iac_prs
      values: 5x4 6x3 _ 3x4
      states: inactive x4, pending(1), pending(2), active x2, cooling x3, inactive

`_` is an unknown week and `x4` repeats. A state without a number fits any number; an unknown week
keeps the state before it, and `unknown(active)` says that this is so as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from xops.core.errors import Finding, InputError
from xops.core.files import settings
from xops.core.files.validation import Model
from xops.triggers.facts import WEEK
from xops.triggers.machine import Phase, Reading, State, fold, mandate_reading
from xops.triggers.policy import MandateTrigger, Policy, Trigger

_LONGEST = 1_000
_VALUE = re.compile(r"(?P<value>\d+|_)(x(?P<times>\d+))?")
_STATE = re.compile(
    r"(?P<frozen>unknown\()?(?P<phase>[a-z]+)(\((?P<count>\d+)\))?(?(frozen)\))"
    r"(\s*x(?P<times>\d+))?"
)
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
    """A series as numbers, from a list or from "5x4 6 _"."""
    if not isinstance(value, str):
        return value
    return _split(value, r"[\s,]+", _VALUE, "a count, or _ for unknown")


def _split(text: str, between: str, pattern: re.Pattern[str], what: str) -> list[Any]:
    made: list[Any] = []
    for word in filter(None, re.split(between, text.strip())):
        match = pattern.fullmatch(word)
        if match is None:
            raise ValueError(f"{word!r} is not {what}")
        made += [_one(match)] * int(match["times"] or 1)
        if len(made) > _LONGEST:
            raise ValueError(f"is longer than {_LONGEST} weeks")
    return made


def _one(match: re.Match[str]) -> Any:
    parts = match.groupdict()
    if "value" in parts:
        return None if parts["value"] == "_" else int(parts["value"])
    return {"phase": parts["phase"], "count": parts["count"], "frozen": bool(parts["frozen"])}


def _states(value: object) -> object:
    """States from a list of texts or from one text with commas."""
    text = ",".join(map(str, value)) if isinstance(value, list) else value
    if not isinstance(text, str):
        return text
    return _split(text, r"\s*,\s*", _STATE, "a state")


States = Annotated[tuple[Expected, ...], BeforeValidator(_states)]


class Declared(Model):
    """A valid mandate, as far as a rule looks at it."""

    effective_from: date
    expires: date


class Case(Model):
    """One series and the states it must lead to, week by week."""

    name: Annotated[str, Field(min_length=1)]
    trigger: str
    values: Annotated[
        tuple[Annotated[int, Field(ge=0)] | None, ...] | None,
        BeforeValidator(_values),
        Field(description="Of a metric: a list, or text like 5x4 6 _."),
    ] = None
    mandates: Annotated[
        tuple[Declared, ...] | None, Field(description="Of a mandate trigger, instead of values.")
    ] = None
    days: Annotated[
        tuple[date, ...], Field(description="With mandates: the days looked at, in order.")
    ] = ()
    states: Annotated[States, Field(description="One a week, or one a day.")]

    @field_validator("mandates")
    @classmethod
    def _one_of_two(cls, value: object, info: ValidationInfo) -> object:
        if "values" in info.data and (value is None) == (info.data["values"] is None):
            raise ValueError("give values or mandates, one of the two")
        return value

    @field_validator("days")
    @classmethod
    def _in_order(cls, value: tuple[date, ...]) -> tuple[date, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("must be in order, each day once")
        return value

    @field_validator("states")
    @classmethod
    def _as_many(cls, value: States, info: ValidationInfo) -> States:
        given = info.data.get("values") or info.data.get("days") or ()
        if {"values", "days"} <= info.data.keys() and len(value) != len(given):
            raise ValueError(f"{len(value)} states for {len(given)} values")
        return value

    def readings(self) -> list[Reading]:
        """The series as the machine reads it."""
        if self.values is not None:
            return [
                Reading(period=_FIRST + WEEK * index, value=value)
                for index, value in enumerate(self.values)
            ]
        spans = [(row.effective_from, row.expires) for row in self.mandates or ()]
        return [mandate_reading(day, spans) for day in self.days]


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
    expected: str
    found: str

    def __str__(self) -> str:
        return (
            f"{self.case}: at {self.position} (value {'_' if self.value is None else self.value})"
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
    found = [list(_mismatches(policy.triggers[case.trigger], case)) for case in tests.cases]
    return Result(
        cases=len(found),
        failed=sum(bool(rows) for rows in found),
        mismatches=tuple(row for rows in found for row in rows),
    )


def _unfit(policy: Policy, case: Case) -> Iterator[str]:
    trigger = policy.triggers.get(case.trigger)
    if trigger is None:
        yield f"{case.name}: no trigger {case.trigger!r}; there are: {', '.join(policy.triggers)}"
    elif isinstance(trigger, MandateTrigger) != (case.values is None):
        wanted = "mandates" if isinstance(trigger, MandateTrigger) else "values"
        yield f"{case.name}: {case.trigger} needs {wanted}"


def _mismatches(trigger: Trigger, case: Case) -> Iterator[Mismatch]:
    readings = case.readings()
    rows = zip(readings, fold(trigger, readings), case.states, strict=True)
    for position, (reading, state, expected) in enumerate(rows, start=1):
        if not expected.fits(state):
            yield Mismatch(
                case=case.name,
                position=position,
                value=reading.value,
                expected=str(expected),
                found=_format_state(state),
            )


def _format_state(state: State) -> str:
    counts = {Phase.PENDING: state.over, Phase.COOLING: state.under}
    shown = Expected(
        phase=state.phase, count=counts.get(state.phase) or None, frozen=state.insufficient
    )
    return str(shown)
