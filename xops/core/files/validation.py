"""The base of models of files, and how one rule reports several findings at once."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Place = tuple[int | str, ...]
"""Keys and indexes from the value at hand down to the part that is wrong; empty for the whole."""

Problem = tuple[Place, str]
"""Where something is wrong, and what."""


class Model(BaseModel):
    """A part of a file: no unknown keys, and nothing changes after it was read."""

    # Defaults are validated as well: leaving a key out must not be a way round its rule.
    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, validate_default=True
    )


def detail(problem: Problem, value: object = None, kind: str = "rule") -> InitErrorDetails:
    """One finding as pydantic takes it. `value` is what was found there, where that helps."""
    place, message = problem
    # Without a value the message stands alone: what it says names what was found.
    shown = {} if value is None else value
    return InitErrorDetails(type=PydanticCustomError(kind, message), loc=place, input=shown)


def located(details: list[InitErrorDetails]) -> ValidationError:
    """An error for a validator to raise: each finding is reported at its own place below it."""
    return ValidationError.from_exception_data("rules", details)


def raise_if_any(problems: Iterable[Problem]) -> None:
    """Raise what was found, if anything was.

    Raises:
        ValidationError: each problem at its own place.
    """
    if details := [detail(problem) for problem in problems]:
        raise located(details)
