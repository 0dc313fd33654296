"""Which path patterns a policy may have: those of .gitignore that are read fast and mean something.

The rules are checked when the policy is read, with the line of each pattern, and again where a
classifier is made of patterns from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pathspec import GitIgnoreSpec

from xops.core.files.validation import ValidationIssue

RESERVED: Final = frozenset(
    {"application", "document", "generated", "lock_file", "test_data", "tooling", "vendored"}
    | {"excluded"}
)
"""Names of what is no infrastructure code: no kind may be called so."""

_MOST_STARS = 2
_LONGEST = 512


def wrong_kinds(kinds: Mapping[str, Sequence[str]]) -> Iterator[ValidationIssue]:
    """What is wrong with patterns by kind, each at its place: (kind,) or (kind, index)."""
    for kind, patterns in kinds.items():
        if kind in RESERVED:
            text = (
                f"{kind!r} is the name of what is excluded, not of a kind: choose another name,"
                " or put the patterns below github.exclude"
            )
            yield (kind,), text
        for (index,), problem in wrong_patterns(patterns):
            yield (kind, index), problem
        if patterns and all(pattern.startswith("!") for pattern in patterns):
            yield (kind,), "has negations only, so it matches nothing: add what it starts from"


def wrong_patterns(patterns: Sequence[str]) -> Iterator[tuple[tuple[int], str]]:
    """What is wrong with each of some patterns, at its index."""
    for index, pattern in enumerate(patterns):
        if problem := problem_of(pattern):
            yield (index,), problem


def problem_of(pattern: str) -> str:
    """What is wrong with one pattern; empty if it can be used."""
    bare = pattern.removeprefix("!")
    if not bare.strip() or bare.startswith(("#", "!")):
        return f"{pattern!r} is no pattern"
    if len(bare) > _LONGEST or "\n" in bare or "\0" in bare:
        return f"{pattern[:40]!r} is no pattern: one line of at most {_LONGEST} characters is"
    if _takes_for_ever(bare):
        return f"{pattern!r} has more than two stars in a part, or more than two **"
    if "{" in bare:
        return f"{pattern!r}: .gitignore knows no braces, write a pattern for each"
    return _not_of_gitignore(bare, pattern)


def _takes_for_ever(pattern: str) -> bool:
    """Each star multiplies the ways in which a path can be taken apart."""
    crowded = any(segment.count("*") > _MOST_STARS for segment in pattern.split("/"))
    return crowded or pattern.count("**") > _MOST_STARS


def _not_of_gitignore(bare: str, pattern: str) -> str:
    try:
        (compiled,) = GitIgnoreSpec.from_lines([bare]).patterns
    except (ValueError, re.error) as error:
        return f"{pattern!r} is no pattern of .gitignore: {error}"
    return f"{pattern!r} matches nothing" if compiled.regex is None else ""
