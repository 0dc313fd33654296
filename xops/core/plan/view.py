"""A plan as a person reads it: what is lost first, then what changes, then what is new. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from xops.core.plan.model import Action, Change, Json, Plan

_MARKS = {Action.DELETE: "-", Action.REPLACE: "-/+", Action.UPDATE: "~", Action.CREATE: "+"}
_VALUE_LENGTH = 60


def markdown(plan: Plan) -> str:
    """Counts, the digest, what is destroyed on top, then a table of every change."""
    if plan.is_empty:
        return (
            f"**{plan.subject}** on `{plan.target}`: nothing to change.\n\nDigest `{plan.digest}`"
        )
    counts = " · ".join(f"{_MARKS[a]} {count} to {a}" for a, count in plan.counts().items())
    sections = [
        f"**{plan.subject}** on `{plan.target}`: {counts}",
        f"Digest `{plan.label}` (`{plan.digest}`)",
    ]
    if plan.destroys:
        lost = "\n".join(f"- `{change.target}`" for change in plan.destroys)
        sections.append(f"### Destroyed by this plan ({len(plan.destroys)})\n{lost}")
    header = "|  | resource | what changes | why |\n|---|---|---|---|"
    sections.append("\n".join([header, *map(_row, plan.changes)]))
    if plan.cost is not None:
        known = " (incomplete: some lines have no price)" if plan.cost.incomplete else ""
        sections.append(f"Monthly cost: {plan.cost.before} -> {plan.cost.after}{known}")
    return "\n\n".join(sections)


def _row(change: Change) -> str:
    cells = [_MARKS[change.action], f"`{change.target}`", "; ".join(details(change)), change.reason]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def mark(action: Action) -> str:
    """Terraform's own sign for an action."""
    return _MARKS[action]


def details(change: Change) -> Iterator[str]:
    """What changes within one target: `attribute: before -> after`; nothing for a whole one."""
    if change.action not in (Action.UPDATE, Action.REPLACE):
        return
    before = change.before if isinstance(change.before, dict) else {"": change.before}
    after = change.after if isinstance(change.after, dict) else {"": change.after}
    for key in _union(before, after):
        shown = f"{_short(before.get(key))} -> {_short(after.get(key))}"
        yield f"{key}: {shown}" if key else shown


def _union(first: Iterable[str], second: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*first, *second]))


def _short(value: Json) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= _VALUE_LENGTH else text[: _VALUE_LENGTH - 1] + "…"
