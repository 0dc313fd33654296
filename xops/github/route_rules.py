"""What a route may say: patterns of paths, and parameters in which `{FIELD}` stands for a field.

A field is a whole value and keeps its type: a number stays a number, what is not known is null.
Nothing is put together from texts of strangers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from pathspec import GitIgnoreSpec
from pydantic import JsonValue

from xops.core.files.validation import Loc, ValidationIssue
from xops.github.delivery import FIELDS, Delivery

_FIELD = re.compile(r"\{(\w+)\}")


_LONGEST_PATTERN = 512


@cache
def path_spec(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    """What finds the paths that some patterns of .gitignore match."""
    return GitIgnoreSpec.from_lines(patterns)


def wrong_paths(patterns: Sequence[str]) -> Iterator[ValidationIssue]:
    """What is wrong with patterns of paths, each at its index."""
    for index, pattern in enumerate(patterns):
        if problem := _problem_of_pattern(pattern):
            yield (index,), problem


def _problem_of_pattern(pattern: str) -> str:
    if len(pattern) > _LONGEST_PATTERN or "\n" in pattern:
        return (
            f"{pattern[:40]!r} is no pattern: one line of at most {_LONGEST_PATTERN} characters is"
        )
    try:
        compiled = [each.regex for each in GitIgnoreSpec.from_lines([pattern]).patterns]
    except (ValueError, re.error) as error:
        return f"{pattern!r} is no pattern of .gitignore: {error}"
    return "" if any(compiled) else f"{pattern!r} matches nothing"


def wrong_fields(parameters: Mapping[str, JsonValue]) -> Iterator[ValidationIssue]:
    """What is wrong with the texts of a route's parameters, each at its place below them."""
    for loc, text in _texts(parameters, ()):
        if problem := _problem_of(text):
            yield loc, problem


def _texts(value: JsonValue | Mapping[str, JsonValue], loc: Loc) -> Iterator[tuple[Loc, str]]:
    if isinstance(value, str):
        yield loc, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, (*loc, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*loc, index))


def _problem_of(text: str) -> str:
    named = _FIELD.findall(text)
    if unknown := sorted(set(named) - set(FIELDS)):
        known = ", ".join(sorted(FIELDS))
        return f"{unknown[0]!r} is no field of a delivery; those are {known}"
    if named and not _FIELD.fullmatch(text):
        return f"{text!r} has a field within a text: a field is a whole value, as in '{{number}}'"
    return ""


def fill(parameters: Mapping[str, JsonValue], delivery: Delivery) -> dict[str, Any]:
    """The parameters with the fields of a delivery.

    Args:
        parameters: without anything that `wrong_fields` finds.
        delivery: gives the fields.
    """
    return {name: _filled(value, delivery) for name, value in parameters.items()}


def _filled(value: JsonValue, delivery: Delivery) -> Any:
    if isinstance(value, str):
        field = _FIELD.fullmatch(value)
        return value if field is None else _json(getattr(delivery, field[1]))
    if isinstance(value, dict):
        return fill(value, delivery)
    if isinstance(value, list):
        return [_filled(inner, delivery) for inner in value]
    return value


def _json(field: Any) -> Any:
    if isinstance(field, datetime):
        return field.isoformat()
    return list(field) if isinstance(field, tuple) else field
