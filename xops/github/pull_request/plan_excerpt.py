"""As much of plans as there is room for in a comment: whole lines, what is lost first. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from xops.core.plan.model import Plan
from xops.core.plan.view import Section, sections
from xops.core.rendering import Markdown, visible

_GAP = len("\n\n")
_RESERVED = 300
"""Kept for the line that tells what is left out."""
_BACKTICKS = re.compile("`+")


def utf16_size(text: str) -> int:
    """Characters of UTF-16."""
    return len(text) + sum(char > "\uffff" for char in text)


def counts_of(plan: Plan | None) -> str:
    """What it does, in a few words."""
    if plan is None or plan.is_empty:
        return "nothing to change"
    return ", ".join(f"{count} to {action}" for action, count in plan.counts().items() if count)


def excerpts(plans: Sequence[tuple[str, Plan]], room: int, run_url: str) -> Iterator[Markdown]:
    """Each plan's changes, as many of their lines as there is room for.

    Small ones get what they need; what they leave is shared among the others.

    Args:
        plans: with the names of their environments.
        room: characters of UTF-16 for all of them, and for an empty line before each.
        run_url: of the run, whose artifacts hold all of each plan; or empty.
    """
    parts = [(name, plan, _shown(plan)) for name, plan in plans]
    left = sorted(range(len(parts)), key=lambda index: sum(map(_length, parts[index][2])))
    shown: dict[int, Markdown] = {}
    for count, index in zip(range(len(left), 0, -1), left, strict=True):
        shown[index] = _excerpt(*parts[index], room // count - _GAP, run_url)
        room -= utf16_size(shown[index]) + _GAP
    yield from (shown[index] for index in sorted(shown) if shown[index])


def _shown(plan: Plan) -> list[Section]:
    """What everybody may read who reads the pull request: of warnings, that there are some.

    They are a provider's words, or those of a condition of the branch, and may quote any value.
    """
    shown = list(sections(plan.model_copy(update={"warnings": ()})))
    if count := len(plan.warnings):
        line = f"{count} that Terraform gives: the run has their words, which may hold values"
        shown.append(Section("Warnings", (line,), is_notice=True))
    return shown


def _length(section: Section) -> int:
    return sum(map(len, section.lines))


def _excerpt(name: str, plan: Plan, parts: Sequence[Section], room: int, run_url: str) -> Markdown:
    """One plan, cut at the end of a line. Empty: there is no room at all.

    What is lost and what changes come first: warnings, which may be long, must not displace them.
    """
    summary = Markdown.of(
        "<details><summary>{name}: {counts}, plan {label}</summary>",
        name=name,
        counts=counts_of(plan),
        label=plan.label,
    )
    digest = Markdown.of("Digest {digest}", digest=Markdown.code(plan.digest))
    end = Markdown("</details>")
    room -= _RESERVED + sum(utf16_size(part) + _GAP for part in (summary, digest, end))
    if room < 0:
        return Markdown("")
    blocks, left_out = _blocks(sorted(parts, key=lambda part: part.is_notice), room)
    more = [_more(left_out, run_url)] if left_out else []
    return Markdown.joined("\n\n", [summary, digest, *blocks, *more, end])


def _blocks(parts: Sequence[Section], room: int) -> tuple[list[Markdown], int]:
    """Blocks of the lines that there is room for, and how many lines there was none for."""
    blocks: list[Markdown] = []
    left_out = 0
    for part in parts:
        title = Markdown.of("**{title}**", title=part.title)
        fences = utf16_size(_block((), 0)) + 2 * _longest_run(part.lines)
        around = utf16_size(title) + fences + 2 * _GAP
        count, used = _fitting_lines(part.lines, room - around)
        left_out += len(part.lines) - count
        if count:
            blocks += [title, _block(part.lines, count)]
            room -= around + used
    return blocks, left_out


def _block(lines: Sequence[str], count: int) -> Markdown:
    return Markdown.block(lines[:count], "diff")


def _longest_run(lines: Sequence[str]) -> int:
    """Of backticks, by which both fences become longer."""
    return max((len(run) for line in lines for run in _BACKTICKS.findall(line)), default=0)


def _fitting_lines(lines: Sequence[str], room: int) -> tuple[int, int]:
    """How many of the first lines fit, and how much room they take."""
    used = 0
    for count, line in enumerate(lines):
        size = utf16_size(visible(line)) + 1
        if used + size > room:
            return count, used
        used += size
    return len(lines), used


def _more(left_out: int, run_url: str) -> Markdown:
    where = Markdown("The artifact of the run, and its record in the evidence, have all of them.")
    if run_url:
        link = Markdown.link(run_url)
        where = Markdown.of("The artifact of the run has all: {link}", link=link)
    return Markdown.of("**{n} more lines do not fit here.** {where}", n=left_out, where=where)
