"""Single values of an evaluation in words: counts with their bounds, people, lists that are cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xops.core.rendering import Markdown
from xops.triggers.evaluation import EndedActivation, TriggerVerdict
from xops.triggers.facts import Bounds

LISTED = 20
"""How many lines a list in a text has before it says how many more there are."""

_NAMED = 8
"""How many people a line names before it says how many more there are."""

_MOST_CHARACTERS = 500
"""Of a line. A reason may name a thousand repositories; the JSON has all of it."""


def count(value: int | None, bounds: Bounds | None = None) -> str:
    """A count, between what it lies, or the word for not knowing it."""
    if value is not None:
        return str(value)
    if bounds is None:
        return "unknown"
    if bounds.at_most is None:
        return f"{bounds.at_least} or more" if bounds.at_least else "unknown"
    if bounds.at_most == bounds.at_least:
        return str(bounds.at_least)
    return f"{bounds.at_least} to {bounds.at_most}"


def value(verdict: TriggerVerdict) -> str:
    """What was counted last; of a mandate, for which clouds or sites it is in force."""
    counted = count(verdict.value, verdict.bounds)
    return f"{counted} ({', '.join(verdict.subjects)})" if verdict.subjects else counted


def clip(text: str) -> str:
    """The beginning of a line that is too long to be read."""
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


def shorten[Line: str](lines: Sequence[Line]) -> list[Line | str]:
    """The first lines, and how many more there are."""
    left = len(lines) - LISTED
    return [*lines[:LISTED], *([f"and {left} more"] if left > 0 else [])]


def other_reading(verdict: TriggerVerdict) -> str:
    """Where the other reading of the threshold stands; empty where there is none."""
    other = verdict.beside
    if other is None:
        return ""
    since = f" since {other.since}" if other.since else ""
    return f"{other.threshold}: {other.state}{since}"


def former_series(verdict: TriggerVerdict) -> str:
    """Where the trigger stood before it was measured otherwise; empty where it never was."""
    former = verdict.former
    if former is None:
        return ""
    changed = ", ".join(former.changed) or "what it is measured from"
    return f"up to {former.last} it was {former.state}; since then another series: {changed}"


def ended(activation: EndedActivation) -> str:
    """An activation that is over, and why."""
    return f"{activation.trigger}: ended on {activation.ended}: {activation.reason}"


def names(listed: Iterable[str], more: int = 0) -> str:
    """Names of people, as many as a line takes, and how many more there are."""
    known = list(listed)
    left = max(0, len(known) - _NAMED) + more
    return ", ".join(known[:_NAMED]) + (f" and {left} more" if left else "")


def without_address(name: str) -> str:
    """A name for where everybody reads it: of an e-mail address the part before the `@`."""
    return name.partition("@")[0] if "@" in name[1:] else name


def codes(identities: Iterable[str]) -> Markdown:
    """Logins and addresses, each as code."""
    return Markdown.joined(", ", (Markdown.code(one) for one in identities))
