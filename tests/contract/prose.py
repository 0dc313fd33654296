"""What a text of ours says to people in Prefect's UI: sentences, and titles in words."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

_SENTENCES = re.compile(r"[A-Z].*[.!?]", re.DOTALL)
_WORDS = 4


def is_prose(text: str | None) -> bool:
    """Whether it is one or several sentences, of more than a few words."""
    said = (text or "").strip()
    return bool(_SENTENCES.fullmatch(said)) and len(said.split()) >= _WORDS


def is_title(text: str | None) -> bool:
    """Whether it is a title in words, and no name of the code."""
    said = text or ""
    return said[:1].isupper() and "_" not in said and said == said.strip(" .")


def form_findings(schema: Mapping[str, Any]) -> Iterator[str]:
    """What a person would miss in the form that Prefect's UI makes of a schema."""
    fields: Mapping[str, Any] = schema["properties"]
    for name, field in fields.items():
        if not is_title(field.get("title")):
            yield f"{name} has no title in words: {field.get('title')!r}"
        if not is_prose(field.get("description")):
            yield f"{name} is not described in a sentence: {field.get('description')!r}"
        ways = [way.get("title") for way in field.get("anyOf", []) if not _has_a_name(way)]
        # The UI has a tab for each; without a title it is named `str`.
        if not all(map(is_title, ways)):
            yield f"{name} may be given in ways without a title: {ways}"
    if [field.get("position") for field in fields.values()] != list(range(len(fields))):
        yield f"the order of {list(fields)} is lost in the database: they have no positions"


def _has_a_name(way: Mapping[str, Any]) -> bool:
    """Whether the UI names it by itself: None, or another model."""
    return way.get("type") == "null" or "$ref" in way


def untitled(model: type[BaseModel]) -> list[str]:
    """Fields to which pydantic gives a title that it makes of their name."""
    return [name for name, field in model.model_fields.items() if field.title is None]
