"""The base of models of files, and how one rule reports several findings at once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Loc = tuple[int | str, ...]
"""Keys and indexes from the value at hand down to the part that is wrong; empty for the whole."""

ValidationIssue = tuple[Loc, str]
"""Where something is wrong, and what."""


_time_zones = cache(available_timezones)  # walks through hundreds of files


def _check_time_zone(name: str) -> str:
    if name not in _time_zones():
        raise ValueError("is no IANA time zone; write one like Australia/Sydney")
    return name


TimeZone = Annotated[str, AfterValidator(_check_time_zone)]
"""The IANA name of a time zone."""


class Model(BaseModel):
    """A part of a file: no unknown keys, and nothing changes after it was read."""

    # Defaults are validated as well: leaving a key out must not be a way round its rule.
    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, validate_default=True
    )


def absent(why: str) -> BeforeValidator:
    """For a key that goes with another member of a union: null, or an error that says why.

    Documents of earlier releases hold such keys as null.
    """

    def refuse(value: object) -> object:
        if value is not None:
            raise ValueError(why)
        return value

    return BeforeValidator(refuse)


def error_details(
    issue: ValidationIssue, value: object = None, kind: str = "rule"
) -> InitErrorDetails:
    """One finding as pydantic takes it. `value` is what was found there, where that helps."""
    loc, message = issue
    # Without a value the message stands alone: what it says names what was found.
    shown = {} if value is None else value
    return InitErrorDetails(type=PydanticCustomError(kind, message), loc=loc, input=shown)


def validation_error(details: list[InitErrorDetails]) -> ValidationError:
    """An error for a validator to raise: each finding is reported at its own place below it."""
    return ValidationError.from_exception_data("rules", details)


def raise_if_any(issues: Iterable[ValidationIssue]) -> None:
    """Raise what was found, if anything was.

    Raises:
        ValidationError: each issue at its own place.
    """
    if details := [error_details(issue) for issue in issues]:
        raise validation_error(details)
