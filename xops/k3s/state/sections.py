"""Sections of what a script says: each begins with a line `@@name`. Pure."""

from __future__ import annotations

import re

_SECTION = re.compile(r"^@@([a-z_]+)$")


def split_sections(output: str) -> dict[str, list[str]]:
    """The lines of each section by its name, without empty ones at its ends."""
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in output.splitlines():
        if found := _SECTION.match(line):
            lines = sections.setdefault(found[1], [])
        elif line or lines:
            lines.append(line)
    for rows in sections.values():
        while rows and not rows[-1]:
            rows.pop()
    return sections
