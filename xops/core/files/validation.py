"""The base of models of files, and how one rule reports several findings at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
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


_FIRST, _LAST = date(1990, 1, 1), date(2199, 12, 31)

Day = Annotated[date, Field(ge=_FIRST, le=_LAST)]
"""A day that weeks and months can be counted from: a calendar ends at the year 9999."""

Moment = Annotated[
    AwareDatetime,
    Field(ge=datetime.combine(_FIRST, time.min, UTC), le=datetime.combine(_LAST, time.min, UTC)),
]
"""A moment with its zone, within the same centuries."""


def _check_path(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("holds the character NUL")
    try:
        path.expanduser()
    except RuntimeError:  # `~name` of nobody
        raise ValueError("begins with the home of a user who is not known here") from None
    return path


LocalPath = Annotated[Path, AfterValidator(_check_path)]
"""A path on this machine; it may begin with `~`."""


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


_LIST, _MAPPING = "Input should be a list", "Input should be a mapping, `key: value`"
_WITHOUT_PYTHON = {
    "tuple_type": _LIST, "list_type": _LIST, "set_type": _LIST, "frozen_set_type": _LIST,
    "dict_type": _MAPPING, "model_type": _MAPPING, "model_attributes_type": _MAPPING,
    "path_type": "Input should be a path",
}  # fmt: skip


def message_of(row: Mapping[str, Any]) -> str:
    """What is wrong, in words of files and not of Python.

    Args:
        row: one of `ValidationError.errors()`.
    """
    return _WITHOUT_PYTHON.get(row["type"]) or str(row["msg"]).removeprefix("Value error, ")


def repeated(values: Sequence[object]) -> Iterator[int]:
    """Where something stands that stands before it already."""
    return (index for index, value in enumerate(values) if value in values[:index])


def raise_if_any(issues: Iterable[ValidationIssue]) -> None:
    """Raise what was found, if anything was.

    Raises:
        ValidationError: each issue at its own place.
    """
    if details := [error_details(issue) for issue in issues]:
        raise validation_error(details)


def with_problems[Value](
    value: object,
    handler: Callable[[object], Value],
    problems: Sequence[ValidationIssue],
) -> Value:
    """A value as `handler` reads it; what that finds and what else is wrong are told together.

    Raises:
        ValidationError: each finding at its own place.
    """
    details = [error_details(problem) for problem in problems]
    try:
        read = handler(value)
    except ValidationError as error:
        details += details_of(error)
    else:
        if not details:
            return read
    raise validation_error(details)


def details_of(error: ValidationError) -> list[InitErrorDetails]:
    """Findings of one validator for another to raise, with what was found."""
    return [
        error_details((row["loc"], row["msg"]), row["input"], row["type"])
        for row in error.errors(include_url=False)
    ]


def kind_check(
    key: str, default: type[BaseModel], *others: type[BaseModel], gone: Mapping[str, str] = {}
) -> BeforeValidator:
    """Prepares a section for the union of its kinds, which `key` tells apart.

    Who leaves the key out means the default, and a key that is null counts as left out. A key of
    another kind is reported as that, instead of as one that nobody knows.

    Args:
        key: the key that tells the kind; in each model a literal.
        default, others: the models.
        gone: kinds that there were once, each with what to do instead.
    """
    models = {
        get_args(model.model_fields[key].annotation)[0]: model for model in (default, *others)
    }
    usual = next(iter(models))

    def check(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        given = {key: usual} | {name: inner for name, inner in value.items() if inner is not None}
        kind = given[key]
        if not isinstance(kind, str) or kind not in models:
            known = " or ".join(map(repr, models))
            raise_if_any([((key,), gone.get(str(kind), f"should be {known} (found {kind!r})"))])
        owners = {
            name: [other for other, model in models.items() if name in model.model_fields]
            for name in given
        }
        raise_if_any(
            ((name,), f"goes with {key} {' or '.join(of)}, and {key} is {kind}")
            for name, of in owners.items()
            if of and kind not in of
        )
        return given

    return BeforeValidator(check)
