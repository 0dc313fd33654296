"""Values of a plan: JSON, with a marker where a value is hidden or only the apply will tell it.

A marker is an object whose one key begins with `$`. A key of a plan's own data that begins with `$`
gets another one, so that no data can pass for a marker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = Any
"""A JSON value: None, bool, int, float, str, or lists and dicts of them."""

_HIDDEN = "$hidden"
_UNKNOWN = "$unknown"


def hidden(fingerprint: str) -> Json:
    """A value that is not shown; equal fingerprints stand for equal values."""
    return {_HIDDEN: fingerprint}


def unknown(references: Iterable[str] = ()) -> Json:
    """A value that only the apply will tell; `references` are what it will be made from."""
    return {_UNKNOWN: sorted(set(references))}


def escape(key: str) -> str:
    """A key of data as it stands in a plan."""
    return f"${key}" if key.startswith("$") else key


def as_data(value: Json) -> Json:
    """Data of others as it stands in a plan: no key in it makes a marker."""
    if isinstance(value, Mapping):
        return {escape(str(key)): as_data(inner) for key, inner in value.items()}
    return [as_data(inner) for inner in value] if isinstance(value, list | tuple) else value


def is_hidden(value: Json) -> bool:
    """Whether the value is a marker of a hidden one."""
    return isinstance(value, dict) and len(value) == 1 and _HIDDEN in value


def is_unknown(value: Json) -> bool:
    """Whether the value is a marker of one that only the apply will tell."""
    return isinstance(value, dict) and len(value) == 1 and _UNKNOWN in value


def fingerprint_of(value: Json) -> str:
    """The fingerprint of a hidden value."""
    return str(value[_HIDDEN])


def references_of(value: Json) -> tuple[str, ...]:
    """What an unknown value will be made from."""
    return tuple(value[_UNKNOWN])


def is_same(one: Json, other: Json) -> bool:
    """Whether two values are the same JSON: to Python True is 1 and 1 is 1.0, to JSON not."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)
