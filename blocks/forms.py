"""A block as the flat form of a union: its fields side by side, its schema with the union's rule.

The UI shows a block's fields one below the other and knows no `oneOf`; the documents that people
have saved are flat as well. What goes together is said once, by the union's models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel


def one_of(members: Sequence[type[BaseModel]]) -> list[dict[str, Any]]:
    """The `oneOf` of a form that is one of these models; keys of the others are null in it."""
    every = {name for member in members for name in member.model_fields}
    return [_form(member, every) for member in members]


def _form(member: type[BaseModel], every: set[str]) -> dict[str, Any]:
    schema = member.model_json_schema()
    required = [name for name, field in member.model_fields.items() if field.is_required()]
    decisive = {name: schema["properties"][name] for name in _decisive(schema, required)}
    absent = {name: {"type": "null"} for name in sorted(every - member.model_fields.keys())}
    return {"properties": {**decisive, **absent}, "required": required}


def _decisive(schema: Mapping[str, Any], required: Sequence[str]) -> Iterator[str]:
    """The fields that make a form this one: what must be given, and the name of its kind."""
    for name, field in schema["properties"].items():
        if name in required or "const" in field:
            yield name
