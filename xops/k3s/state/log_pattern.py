"""A known line of a log, and the cause that it tells. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 400
"""Characters of a log line that a person is shown."""

# What stands in a command that a person is told to type; a host writes its log as it likes.
_HARMLESS = re.compile(r'[\w./:@%+,="\[\] -]{1,200}', re.ASCII)


@dataclass(frozen=True)
class Cause:
    """Why a host fails, as its log tells.

    Attributes:
        code: names the cause, for programs.
        title: the cause in a few words.
        found: the line that says so, the last of its kind, shortened.
        remedy: what to do, with the command where there is one.
        source: where this is documented or was reported.
        is_symptom: whether it usually follows from something else that went wrong.
    """

    code: str
    title: str
    found: str
    remedy: str
    source: str
    is_symptom: bool = False


class _Unnamed(dict[str, str]):
    """What a line says, by name; what it does not say stands in capitals."""

    def __missing__(self, key: str) -> str:
        return key.upper()


@dataclass(frozen=True)
class Pattern:
    """A known line. `remedy` may name the expressions' groups: `{port}`.

    `expressions` are looked for in order; a line that the first one finds is shown rather than one
    that only the second one does.
    """

    code: str
    title: str
    expressions: tuple[str, ...]
    remedy: str
    source: str
    is_symptom: bool = False

    def cause(self, lines: Sequence[str]) -> Cause | None:
        """The cause, if one of the lines tells it."""
        for expression in self.expressions:
            compiled = re.compile(expression)
            for line in reversed(lines):
                if match := compiled.search(line):
                    return self._explained(line, match)
        return None

    def _explained(self, line: str, match: re.Match[str]) -> Cause:
        groups = match.groupdict("").items()
        said = {name: text for name, text in groups if _HARMLESS.fullmatch(text)}
        remedy = self.remedy.format_map(_Unnamed(said))
        shown = line.strip()[:LONGEST]
        return Cause(self.code, self.title, shown, remedy, self.source, self.is_symptom)
