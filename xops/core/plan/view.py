"""A plan as a person reads it: what is lost first, all of it, and nothing that looks like another.

Pure. The lines are the same for a terminal and for Markdown; `xops.core.rendering` makes them
harmless.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import Any

import yaml

from xops.core.plan.model import Action, Change, Plan
from xops.core.plan.values import (
    Json,
    fingerprint_of,
    is_hidden,
    is_same,
    is_unknown,
    references_of,
)
from xops.core.rendering import Markdown, Plain, visible

# The order in which a person should read a plan: what is lost comes first.
_HALF = 32
"""Characters of half a digest."""

_GOES_ON = "    … "

_READING_ORDER = [Action.DELETE, Action.REPLACE, Action.UPDATE, Action.CREATE]
_MARKS = {Action.DELETE: "-", Action.REPLACE: "-/+", Action.UPDATE: "~", Action.CREATE: "+"}

_FOLDED = 5
"""From so many changes on that are alike but for their targets, they are shown once."""

_LONGEST = 2000
"""Characters of a text that are shown; a longer one is cut, with its length and its whole hash."""

_MOST_LINES = 400
"""Lines of one change that are shown; the rest is cut, with its number and the hash of all."""

_DEEPEST = 40
"""Levels of a text that is JSON or YAML; a deeper one is shown as the text that it is."""

_LONGEST_PARSED = 200_000
_MOST_PAIRS = 1_000_000
"""Pairs of lines that are compared; of longer texts all lines are shown as gone and as new."""

_CONTEXT = 2
_INDENT = "  "
_MISSING = object()
_SCALARS = (str, bool, int, float)
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True)


def mark(action: Action) -> str:
    """Terraform's own sign for an action."""
    return _MARKS[action]


def markdown(plan: Plan, width: int | None = None) -> Markdown:
    """The plan for an artifact or a form.

    Args:
        plan: what is shown.
        width: characters after which a line goes on in the next one, where a form would cut it off.
    """
    title = Markdown.of(
        "**{subject}** on {target}", subject=plan.subject, target=Markdown.code(plan.target)
    )
    if plan.is_empty:
        parts = [Markdown.of("{title}: nothing to change.", title=title)]
    else:
        each = [Markdown.of("{n} to {a}", n=n, a=a) for a, n in plan.counts().items()]
        counts = Markdown.joined(" · ", each)
        parts = [Markdown.of("{title}: {counts}", title=title, counts=counts)]
    # In two halves: a form is too narrow for all of it, and cuts off what does not fit.
    halves = [Markdown.code(plan.digest[:_HALF]), Markdown.code(plan.digest[_HALF:])]
    parts.append(Markdown.joined(" ", [Markdown("Digest"), *halves]))
    for section in sections(plan):
        heading = Markdown.of("### {title}", title=section.title)
        lines = section.lines if width is None else wrapped(section.lines, width)
        parts += [heading, Markdown.block(lines, "diff")]
    return Markdown.joined("\n\n", parts)


def wrapped(lines: Iterable[str], width: int) -> Iterator[str]:
    """Lines that are no longer than that; what goes on in the next one is marked and set in."""
    for line in lines:
        shown = visible(line)
        yield shown[:width]
        step = width - len(_GOES_ON)
        for start in range(width, len(shown), step):
            yield _GOES_ON + shown[start : start + step]


def terminal_lines(plan: Plan) -> Iterator[Plain]:
    """The plan for a terminal, made to be read and to be searched with grep."""
    yield Plain.render(plan.summary())
    for section in sections(plan):
        if section.is_notice:
            yield Plain.render(f"{section.title}:")
        yield from (Plain.render(line) for line in section.lines)


@dataclass(frozen=True)
class Section:
    """A part of a plan with its title. `is_notice` marks one that is no list of changes."""

    title: str
    lines: tuple[str, ...]
    is_notice: bool = False


def sections(plan: Plan) -> Iterator[Section]:
    """What is lost, the other changes, warnings, cost and what else the digest binds."""
    if plan.warnings:
        # Indented: a line of another's text must not pass for a change of the plan.
        warnings = [f"{_INDENT}{row}" for each in plan.warnings for row in each.splitlines()]
        yield Section("Warnings", tuple(warnings), is_notice=True)
    lost = [change for change in plan.changes if change.destroys]
    others = [change for change in plan.changes if not change.destroys]
    if lost:
        yield Section(f"Destroyed by this plan ({len(lost)})", tuple(_changes(lost)))
    if others:
        yield Section("Changes", tuple(_changes(others)))
    if plan.cost is not None:
        yield Section("Monthly cost", tuple(_cost(plan)), is_notice=True)
    if plan.inputs and not plan.is_empty:
        yield Section("Applied with", tuple(_inputs(plan.inputs)), is_notice=True)


def _cost(plan: Plan) -> Iterator[str]:
    cost = plan.cost
    assert cost is not None  # noqa: S101 - for the type checker
    effect = f"{cost.before} -> {cost.after}"
    budget = f", budget {cost.budget}: {cost.verdict}" if cost.budget else ""
    if cost.is_emulated:
        yield f"{_INDENT}actual: 0, {plan.target} is an emulator; on AWS it would be"
    yield f"{_INDENT}{effect}{budget}"
    if cost.excess:
        yield f"{_INDENT}{cost.excess}"
    if cost.basis:
        yield f"{_INDENT}prices: {cost.basis}"
    for line in cost.unpriced:
        yield f"{_INDENT}no price: {line}"
    for line in cost.unpriced_before:
        yield f"{_INDENT}no price before it, so that no saving is known: {line}"


def _inputs(inputs: Mapping[str, str]) -> Iterator[str]:
    """Each input; the files of a folder as one line, whose hash is that of theirs."""
    folders: dict[str, dict[str, str]] = defaultdict(dict)
    for name, value in inputs.items():
        folder, slash, rest = name.partition("/")
        if slash:
            folders[folder][rest] = value
        else:
            yield f"{_INDENT}{name}: {value}"
    for folder, files in folders.items():
        whole = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
        yield f"{_INDENT}{folder}/: {len(files)} files, together sha256 {whole}"


# Changes


def _changes(changes: list[Change]) -> Iterator[str]:
    """In the order of the work where there are turns, else in reading order; those that are alike
    but for their targets once, with all of these."""
    ordered = changes
    if not any(change.turn for change in changes):
        ordered = sorted(changes, key=lambda change: _READING_ORDER.index(change.action))
    alike: dict[tuple[object, ...], list[Change]] = defaultdict(list)
    shown = {id(change): tuple(details(change)) for change in ordered}
    for change in ordered:
        # What is done at different times is not alike.
        when = (change.stage, change.turn, change.effect)
        alike[(change.action, change.reason, shown[id(change)], when)].append(change)
    for group in alike.values():
        lines = shown[id(group[0])]
        if len(group) < _FOLDED or not lines:
            for change in group:
                yield _headline(change, _name(change.target))
                yield from lines
        else:
            yield _headline(group[0], f"{len(group)} that are alike")
            yield from (f"{_INDENT}{_name(change.target)}" for change in group)
            yield from lines


def _headline(change: Change, what: str) -> str:
    reason = f" ({change.reason})" if change.reason else ""
    return f"{_MARKS[change.action]} {what}{reason}{_when(change)}"


def _when(change: Change) -> str:
    """In which turn of which stage it is done, and what it does to what runs."""
    if not change.turn:
        return ""
    return f" [{change.stage} {change.turn}{f': {change.effect}' if change.effect else ''}]"


def _name(target: str) -> str:
    """A target; in quotes where it could pass for another or for a line of its own."""
    is_plain = visible(target) == target == target.strip() and not target.startswith('"')
    return target if is_plain else _ENCODER.encode(target)


def details(change: Change) -> Iterator[str]:
    """What changes within a target, one line for each attribute or line of text."""
    before, after = change.before, change.after
    lines: list[str] = []
    if change.action is Action.CREATE and before is None:
        _content(lines, "", after)
    elif change.action is Action.DELETE and after is None:
        _content(lines, "", before)
    else:
        _difference(lines, "", before, after)
    yield from (_INDENT + line for line in lines[:_MOST_LINES])
    if len(lines) > _MOST_LINES:
        sha256 = _sha256(json.dumps([before, after], sort_keys=True))
        yield (
            f"{_INDENT}... {len(lines) - _MOST_LINES} more lines, which `--json` and the record"
            f" show; all of it has sha256 {sha256}"
        )


def _content(lines: list[str], path: str, value: Json) -> None:
    """All of a value, one line for each leaf."""
    if type(value) is str and "\n" not in value and value[:1] not in ("{", "["):
        lines.append(_labelled(path, leaf(value)))  # nearly every value: the others take longer
        return
    inner = structure(value)
    if _has_keys(inner) and inner:
        for key, item in inner.items():
            _content(lines, _join(path, key), item)
    elif isinstance(inner, list) and inner:
        for index, item in enumerate(inner):
            _content(lines, f"{path}[{index}]", item)
    elif _is_text(value):
        lines.append(_labelled(path, ""))
        lines += [f"{_INDENT}{_text_line(line)}" for line in value.split("\n")]
    elif value is not None or path:
        lines.append(_labelled(path, leaf(value)))
    if inner is not value:
        lines.append(_labelled(path, f"text, {_whole(value)}"))


def _difference(lines: list[str], path: str, before: Json, after: Json) -> None:
    """What differs between two values: by key where both have keys, else line by line."""
    if before is not _MISSING and after is not _MISSING and is_same(before, after):
        return
    old, new = structure(before), structure(after)
    # A text with keys is compared with another such text, and never with keys that are no text.
    are_alike = isinstance(before, str) == isinstance(after, str)
    if are_alike and _has_keys(old) and _has_keys(new):
        for key in dict.fromkeys([*old, *new]):
            one, other = old.get(key, _MISSING), new.get(key, _MISSING)
            _difference(lines, _join(path, key), one, other)
    elif are_alike and isinstance(old, list) and isinstance(new, list):
        for index, (one, other) in enumerate(zip_longest(old, new, fillvalue=_MISSING)):
            _difference(lines, f"{path}[{index}]", one, other)
    elif isinstance(before, str) and isinstance(after, str):
        lines += _text_difference(path, before, after)
        return
    else:
        lines += _replacement(path, before, after)
        return
    if isinstance(before, str):
        # Texts that hold the same may differ: a comment, the order of keys, a key given twice.
        lines.append(_labelled(path, f"text, {_whole(before)} -> {_whole(after)}"))


def _replacement(path: str, before: Json, after: Json) -> Iterator[str]:
    """Two values without parts in a line; else all of the one, then all of the other."""
    if not (_has_parts(before) or _has_parts(after)):
        yield _labelled(path, f"{leaf(before)} -> {leaf(after)}")
        return
    for word, value in (("was", before), ("becomes", after)):
        if _has_parts(value):
            yield _labelled(path, word)
            lines: list[str] = []
            _content(lines, "", value)
            yield from (_INDENT + line for line in lines)
        else:
            yield _labelled(path, f"{word} {leaf(value)}")


def _text_difference(path: str, before: str, after: str) -> Iterator[str]:
    if _is_text(before) or _is_text(after):
        yield _labelled(path, "")
        yield from (_INDENT + line for line in _diff(before.split("\n"), after.split("\n")))
    else:
        yield from _replacement(path, before, after)


def _diff(one: list[str], two: list[str]) -> Iterator[str]:
    """A unified diff of lines; of long texts that have little in common all lines."""
    begin = _common(one, two)
    ends = _common(one[begin:][::-1], two[begin:][::-1])
    first = max(0, begin - _CONTEXT)
    old = one[first : len(one) - max(0, ends - _CONTEXT)]
    new = two[first : len(two) - max(0, ends - _CONTEXT)]
    if len(old) * len(new) > _MOST_PAIRS:
        yield f"@@ -{first + 1},{len(old)} +{first + 1},{len(new)} @@"
        yield from (f"-{_text_line(line)}" for line in old)
        yield from (f"+{_text_line(line)}" for line in new)
        return
    for group in difflib.SequenceMatcher(None, old, new).get_grouped_opcodes(_CONTEXT):
        (_, i, _, j, _), (_, _, i_end, _, j_end) = group[0], group[-1]
        yield f"@@ -{first + i + 1},{i_end - i} +{first + j + 1},{j_end - j} @@"
        for tag, i, i_end, j, j_end in group:
            if tag == "equal":
                yield from (f" {_text_line(line)}" for line in old[i:i_end])
            else:
                yield from (f"-{_text_line(line)}" for line in old[i:i_end])
                yield from (f"+{_text_line(line)}" for line in new[j:j_end])


def _common(one: list[str], two: list[str]) -> int:
    """How many lines both begin with."""
    pairs = enumerate(zip(one, two, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(two)))


def _text_line(line: str) -> str:
    """A line of a text behind `| `; behind `\\ ` one with characters that only their codes show."""
    if visible(line) == line and not line.endswith(" "):
        return f"| {_cut(line)}"
    shown = visible(line.replace("\\", "\\\\"))
    bare = shown.rstrip(" ")
    return f"\\ {_cut(bare + '\\x20' * (len(shown) - len(bare)))}"


def structure(value: Json) -> Json:
    """What a text that is JSON or YAML holds; anything else as it is."""
    if not isinstance(value, str) or not 2 <= len(value) <= _LONGEST_PARSED:
        return value
    if value[0] in "{[" and value[-1] in "}]":
        found = _json(value)
    elif "\n" in value and ":" in value:
        found = _yaml_mapping(value)
    else:
        return value
    try:
        return _data(found, _DEEPEST) if found else value
    except ValueError:
        return value


def _json(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _yaml_mapping(text: str) -> Json:
    try:
        # With aliases a small text could stand for a very large value.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.CSafeLoader)):
            return None
        found = yaml.load(text, yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _data(value: Any, levels: int) -> Json:
    """The same with keys that are no markers.

    Raises:
        ValueError: it is too deep, or YAML's own (a date, a key that is a number).
    """
    if value is None or isinstance(value, _SCALARS):
        return value
    if not levels:
        raise ValueError("too deep")
    if isinstance(value, list):
        return [_data(inner, levels - 1) for inner in value]
    if not isinstance(value, dict) or set(map(type, value)) - {str}:
        raise ValueError(f"no JSON: {type(value)}")
    return {
        f"${key}" if key[:1] == "$" else key: _data(inner, levels - 1)
        for key, inner in value.items()
    }


def leaf(value: Json) -> str:
    """One value without parts: texts in quotes, so that 1 and "1" differ."""
    if type(value) is str:
        return _cut(_ENCODER.encode(value))
    if value is _MISSING:
        return "(none)"
    if is_hidden(value):
        return f"(hidden, {fingerprint_of(value)})"
    if is_unknown(value):
        made_from = ", ".join(references_of(value))
        return _cut(
            f"(known after apply, from {made_from})" if made_from else "(known after apply)"
        )
    return _cut(_ENCODER.encode(value))


def _cut(text: str) -> str:
    """A text that is too long for a line: its begin, its length, and the hash of all of it."""
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}... ({len(text)} characters, sha256 {_sha256(text)})"


def _whole(text: str) -> str:
    return f"{len(text)} characters, sha256 {_sha256(text)}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _labelled(path: str, text: str) -> str:
    if not text:
        return f"{path}:" if path else "text:"
    return f"{path}: {text}" if path else text


def _join(path: str, key: str) -> str:
    shown = _key(key)
    return f"{path}.{shown}" if path else shown


@lru_cache(4096)
def _key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) else json.dumps(key)


def _has_keys(value: Json) -> bool:
    return isinstance(value, dict) and not (is_hidden(value) or is_unknown(value))


def _has_parts(value: Json) -> bool:
    return _is_text(value) or ((_has_keys(value) or isinstance(value, list)) and bool(value))


def _is_text(value: Json) -> bool:
    return isinstance(value, str) and "\n" in value
