"""YAML from outside: read by the C loader, within bounds that are held before anything is built.

An alias stands for all that it names, so a few hundred bytes can mean gigabytes (CVE-2019-11253 of
Kubernetes). The bounds are held on the parser's events, of which each is small. No tag is taken: a
value's kind is told by its form. Messages show nothing of the text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from typing import Any

import yaml

from xops.core.files.reading import MOST_BYTES, UnusableTextError, check_characters

MOST_NODES = 50_000
"""Keys and values, each counted as often as aliases repeat it; a long one counts for several."""

_CHARACTERS_A_NODE = 256

MOST_LEVELS = 64
_MOST_DIGITS = 40

# What libyaml's messages repeat of the text.
_QUOTED = re.compile(r"(tag|alias|anchor|escape character|codec can't)\s.*", re.DOTALL)


class YamlText:
    """One document that keeps the bounds: its nodes with their lines, and its values.

    Attributes:
        root: its node; None where there is none.

    Raises:
        UnusableTextError: it is no YAML, or exceeds a bound.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MOST_BYTES:
            raise UnusableTextError(f"is larger than {MOST_BYTES >> 20} MiB")
        check_characters(text)
        try:
            _Bounds().check(text)
            self._loader = _Loader(text)
            self.root: yaml.Node | None = self._loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            raise _unusable(error, text) from None
        except (yaml.YAMLError, UnicodeError):  # half of a character
            raise UnusableTextError("not YAML") from None

    def values(self) -> Any:
        """What it holds.

        Raises:
            UnusableTextError: a value is none of its kind, or a key is no word.
        """
        if self.root is None:
            return None
        try:
            return self._loader.construct_document(self.root)
        except yaml.MarkedYAMLError as error:
            raise _unusable(error) from None


def parse_yaml(text: str) -> Any:
    """The values of one document.

    Raises:
        UnusableTextError: it is no YAML, or exceeds a bound.
    """
    return YamlText(text).values()


class _Bounds:
    """Counts the nodes that a document stands for, and its levels, event by event."""

    def __init__(self) -> None:
        self._open: list[tuple[str | None, int]] = []
        """Of each collection that is open: its anchor, and the count when it began."""
        self._sizes: dict[str, int] = {}
        self._count = 0

    def check(self, text: str) -> None:
        for event in yaml.parse(text, _Loader):
            line = event.start_mark.line + 1 if event.start_mark else None
            self._see(event, line)
            if self._count > MOST_NODES:
                raise UnusableTextError(f"stands for more than {MOST_NODES} keys and values", line)
            if len(self._open) > MOST_LEVELS:
                raise UnusableTextError(f"is nested deeper than {MOST_LEVELS} levels", line)

    def _see(self, event: yaml.Event, line: int | None) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._count += self._size(event.anchor, line)
        elif isinstance(event, yaml.ScalarEvent):
            _check_tag(event.tag, line)
            weight = 1 + len(event.value) // _CHARACTERS_A_NODE
            self._count += weight
            self._note(event.anchor, weight)
        elif isinstance(event, yaml.CollectionStartEvent):
            _check_tag(event.tag, line)
            self._open.append((event.anchor, self._count))
            self._count += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = self._open.pop()
            self._note(anchor, self._count - before)

    def _note(self, anchor: str | None, size: int) -> None:
        if anchor is not None:
            self._sizes[anchor] = size

    def _size(self, anchor: str | None, line: int | None) -> int:
        if any(anchor == name for name, _ in self._open):
            raise UnusableTextError("an alias leads back to what it is in", line)
        if anchor is None or anchor not in self._sizes:
            raise UnusableTextError("not YAML: found undefined alias", line)
        return self._sizes[anchor]


def _check_tag(tag: str | None, line: int | None) -> None:
    if tag is not None:
        raise UnusableTextError("has a tag (!): write the value as it is, quoted if need be", line)


class _Loader(yaml.CSafeLoader):
    """The C loader, whose values are finite, and whose errors all have a line."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            return super().construct_object(node, deep)
        if problem := _problem(node):
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        try:
            value = super().construct_object(node, deep)
        except yaml.MarkedYAMLError:
            raise
        except (ValueError, ArithmeticError, LookupError, AttributeError) as error:
            problem = _reason(node.tag, error)
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None
        if isinstance(value, float) and not math.isfinite(value):
            raise yaml.constructor.ConstructorError(
                None, None, "is no finite number", node.start_mark
            )
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be one word", key.start_mark
                )
        found: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return found


def _problem(node: yaml.ScalarNode) -> str:
    kind = node.tag.rpartition(":")[2]
    if kind in ("int", "float", "timestamp") and len(node.value) > _MOST_DIGITS:
        return f"is a number of more than {_MOST_DIGITS} digits: quote it if it is a text"
    return "holds the character NUL" if "\0" in node.value else ""


def _reason(tag: str, error: Exception) -> str:
    said = str(error)
    if tag.endswith("timestamp"):
        return said if "must be in" in said else "is no date or time"  # "month must be in 1..12"
    return f"is no {tag.rpartition(':')[2]}"


def _unusable(error: yaml.MarkedYAMLError, text: str = "") -> UnusableTextError:
    mark = error.problem_mark
    line = mark.line + 1 if mark else None
    if mark and text[mark.index : mark.index + 1] == "\t":
        return UnusableTextError("not YAML: found a tab character: indent with spaces", line)
    problem = _QUOTED.sub(r"\1", error.problem or "unreadable")
    return UnusableTextError(f"not YAML: {problem}", line)
