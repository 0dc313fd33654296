"""Many patterns of .gitignore, asked of many paths.

A pattern can match only a path that has the pattern's literal parts. So each is kept under one of
them (a folder or a file name without wildcards, else the extension with what stands at an end of
the name), and a path is compared with the few patterns that are kept under its own parts. The
answer is that of comparing with each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pathspec import GitIgnoreSpec

_WILD: Final = frozenset("*?[]\\")
_END = 3
"""Characters at an end of a name under which patterns of one extension are kept apart."""


@dataclass(frozen=True, slots=True)
class Group:
    """Patterns that mean one thing.

    Attributes:
        name: what they mean.
        level: which set of rules they are of, for people.
        patterns: in the order in which they hold; the last that matches decides.
    """

    name: str
    level: str
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    order: int
    group: Group
    pattern: str
    matches: Callable[[str], object]


class PatternIndex:
    """Which group of patterns a path belongs to: the first of which one matches.

    Args:
        groups: in their order.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self._by_part: dict[str, list[_Entry]] = {}
        self._by_name: dict[str, list[_Entry]] = {}
        self._always: list[_Entry] = []
        for order, group in enumerate(groups):
            for entry in _entries(order, group):
                self._place(entry.pattern).append(entry)

    def _place(self, pattern: str) -> list[_Entry]:
        part = _literal_part(pattern)
        if part:
            return self._by_part.setdefault(part, [])
        name = _name_key(pattern)
        return self._by_name.setdefault(name, []) if name else self._always

    def first(self, path: str, parts: Sequence[str]) -> tuple[Group, str] | None:
        """The group of a path, and which of its patterns matched; None: no group has it.

        Args:
            path: as Git writes it.
            parts: the path, taken apart at `/`.
        """
        best: _Entry | None = None
        for entries in self._candidates(parts):
            for entry in entries:
                if (best is None or entry.order < best.order) and entry.matches(path):
                    best = entry
                    break  # entries are in the order of their groups
        return None if best is None else (best.group, best.pattern)

    def _candidates(self, parts: Sequence[str]) -> Iterable[list[_Entry]]:
        by_part, by_name = self._by_part, self._by_name
        found = [by_part[part] for part in parts if part in by_part]
        # A pattern without a slash matches folders as well: `x.d/main` is below `*.d`.
        for part in parts:
            if (start := part[:_END] + "*") in by_name:
                found.append(by_name[start])
            dot = part.rfind(".")
            if dot >= 0:
                extension = part[dot:]
                start, end = part[:_END] + extension, "*" + part[max(dot - _END, 0) :]
                found += [by_name[key] for key in (extension, start, end) if key in by_name]
        if self._always:
            found.append(self._always)
        return found


def _entries(order: int, group: Group) -> Iterable[_Entry]:
    return (_Entry(order, group, line, matches) for line, matches in _compiled(group.patterns))


@lru_cache(maxsize=512)
def _compiled(patterns: tuple[str, ...]) -> tuple[tuple[str, Callable[[str], object]], ...]:
    """What each pattern matches; kept, as most classifiers differ in few groups or none."""
    spec = GitIgnoreSpec.from_lines(patterns)
    negated = any(pattern.startswith("!") for pattern in patterns)
    found = []
    for line, compiled in zip(patterns, spec.patterns, strict=True):
        if compiled.include and compiled.regex is not None:
            matches = _matcher(line, compiled.regex.match)
            found.append((line, _both(matches, spec) if negated else matches))
    return tuple(found)


def _both(matches: Callable[[str], object], spec: GitIgnoreSpec) -> Callable[[str], object]:
    """With negations the last pattern that matches decides; most paths match none."""
    return lambda path: matches(path) and spec.match_file(path)


def _matcher(pattern: str, otherwise: Callable[[str], object]) -> Callable[[str], object]:
    """A pattern that is one literal part is found by the look-up itself."""
    bare = pattern.removesuffix("/")
    literal = bool(bare) and "/" not in bare and not _WILD.intersection(bare)
    return _found if literal and bare == pattern and bare == bare.strip() else otherwise


def _found(_: str) -> bool:
    return True


def _literal_part(pattern: str) -> str:
    """The longest part without a wildcard, of which folders count only if something is below."""
    parts = [part for part in pattern.removeprefix("!").split("/") if part]
    return max((part for part in parts if _is_literal(part)), key=len, default="")


def _is_literal(part: str) -> bool:
    return not _WILD.intersection(part) and part == part.strip()


def _name_key(pattern: str) -> str:
    """What the names that it matches have: an extension, and at best what is at one end."""
    last = pattern.rstrip("/").rpartition("/")[2]
    stem, dot, extension = last.rpartition(".")
    if not dot or not extension or not _is_literal(extension):
        start = last[:_END]
        return f"{start}*" if len(start) == _END and _is_literal(start) else ""
    if len(stem) >= _END and _is_literal(stem[:_END]):
        return f"{stem[:_END]}.{extension}"
    if len(stem) > _END and _is_literal(stem[-_END:]):
        return f"*{stem[-_END:]}.{extension}"
    return f".{extension}"
