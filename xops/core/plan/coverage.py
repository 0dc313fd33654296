"""Whether an approved plan covers what is left of it. Pure.

An apply that was interrupted is planned anew, and what is left is no longer the plan that was
approved: it has fewer changes, and values that only the apply could tell are known by now. Such a
remainder needs no second approval; everything else does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from xops.core.plan.model import Action, Change, Plan
from xops.core.plan.values import (
    Json,
    is_hidden,
    is_same,
    is_unknown,
    references_of,
)

Explains = Callable[[tuple[str, ...], Json], bool]
"""Whether a value is one that these references have by now."""


_DEPOSED = " (deposed "
"""Behind the target of what a replacement that made the successor first has left to be removed."""


@dataclass(frozen=True)
class Uncovered:
    """What an approval does not cover, and why."""

    target: str
    why: str

    def __str__(self) -> str:
        return f"{self.target}: {self.why}"


def find_uncovered(approved: Plan, now: Plan, explains: Explains) -> tuple[Uncovered, ...]:
    """What of `now` an approval of `approved` does not cover; nothing if it covers all.

    Args:
        approved: the plan that was approved.
        now: what would be changed now.
        explains: tells whether a value that was approved as known after the apply is what the
            things it is made from have by now.
    """
    if approved.digest == now.digest:
        return ()
    if foreign := tuple(_foreign(approved, now)):
        return foreign
    rows, following = _by_target(approved.changes), _by_target(approved.follows)
    left = (change for change in now.changes if not _follows(change, following, explains))
    of_changes = (
        Uncovered(change.target, why)
        for change in left
        if (why := _why_uncovered(change, rows, explains))
    )
    of_follows = (
        Uncovered(change.target, "follows from something else than what was approved")
        for change in now.follows
        if not _follows(change, following, explains) and _why_uncovered(change, rows, explains)
    )
    return (*of_changes, *of_follows) or tuple(_out_of_order(approved, now, explains))


def _out_of_order(approved: Plan, now: Plan, explains: Explains) -> Iterator[Uncovered]:
    """Changes with turns that come sooner than they were approved to come, or beside others.

    What is left has fewer turns, which are counted anew; what is done after what stays, and so does
    what is done at the same time.
    """
    stages = approved.stages
    rows = _by_target(change for change in approved.changes if change.turn)
    reached, at = (-1, 0), ("", 0)
    for change in now.changes:
        found = (row for row in rows.get(change.target, []) if _covers(row, change, explains))
        row = next(found, None)
        if not change.turn or row is None:
            continue
        place, here = (stages.index(row.stage), row.turn), (change.stage, change.turn)
        if place < reached:
            yield Uncovered(change.target, "was approved to be done before others, and comes later")
        elif here == at and place != reached:
            yield Uncovered(change.target, "was approved to be done after others, and comes sooner")
        reached, at = max(place, reached), here


def _foreign(approved: Plan, now: Plan) -> Iterator[Uncovered]:
    if approved.key != now.key:
        yield Uncovered(
            "fingerprint key",
            f"is {now.key or 'none'} and was {approved.key or 'none'}: hidden values cannot be"
            " compared (the key was lost, or this is another installation)",
        )
    for name in ("subject", "target"):
        if getattr(approved, name) != getattr(now, name):
            yield Uncovered(name, f"is {getattr(now, name)} and was {getattr(approved, name)}")
    for name in sorted(approved.inputs.keys() | now.inputs.keys()):
        if approved.inputs.get(name) != now.inputs.get(name):
            yield Uncovered(name, "is not what was approved")


def _by_target(changes: Iterable[Change]) -> dict[str, list[Change]]:
    found: dict[str, list[Change]] = {}
    for row in changes:
        found.setdefault(row.target, []).append(row)
    return found


def _why_uncovered(
    change: Change, approved: Mapping[str, list[Change]], explains: Explains
) -> str | None:
    """Why a change is not covered; None if it is."""
    known = approved.get(change.target, [])
    replaced = approved.get(change.target.rpartition(_DEPOSED)[0] or change.target, [])
    if any(_covers(row, change, explains) for row in (*known, *replaced)):
        return None
    if not known:
        return "was not part of the approved plan"
    row = known[0]
    reason = f" ({change.reason})" if change.reason else ""
    if row.action is not change.action:
        if row.action is Action.CREATE and change.action is Action.REPLACE:
            return f"was made by half, and is to be replaced{reason}"
        return f"is to {change.action} and was approved to {row.action}{reason}"
    return f"has other values than those approved{reason}"


def _covers(row: Change, change: Change, explains: Explains) -> bool:
    """Whether a change is an approved one, or what is left of it."""
    if row.stage != change.stage:
        return False
    if row.target != change.target:  # what a replacement has made a successor of first
        is_rest = (row.action, change.action) == (Action.REPLACE, Action.DELETE)
        return is_rest and is_same(row.before, change.before)
    if row.action is Action.REPLACE and change.action is Action.CREATE and change.before is None:
        # The old one is gone, its successor is not there yet.
        return _is_same(row.after, change.after, explains)
    if (row.action, row.disposable) != (change.action, change.disposable):
        return False
    if row.action is Action.UPDATE and _has_keys(
        row.before, row.after, change.before, change.after
    ):
        return _is_part(row, change, explains)
    return is_same(row.before, change.before) and _is_same(row.after, change.after, explains)


def _is_part(row: Change, change: Change, explains: Explains) -> bool:
    """Whether each attribute that is still to be changed is changed as approved.

    Attributes that have their value by now are left out of an update.
    """
    return all(
        _is_same_entry(row.before, change.before, key, lambda *_: False)
        and _is_same_entry(row.after, change.after, key, explains)
        for key in change.before.keys() | change.after.keys()
    )


def _is_same_entry(
    approved: Mapping[str, Json], now: Mapping[str, Json], key: str, explains: Explains
) -> bool:
    if key in now:
        return key in approved and _is_same(approved[key], now[key], explains)
    return key not in approved or is_unknown(approved[key])


def _follows(change: Change, approved: Mapping[str, list[Change]], explains: Explains) -> bool:
    """Whether it is an approved value that follows from others, whatever the value is by now.

    Such values may be all that is left of a plan.
    """
    rows = approved.get(change.target, [])
    return any(_is_same(row.after, change.after, explains) for row in rows)


def _is_same(approved: Json, now: Json, explains: Explains) -> bool:
    """Whether a value is the approved one, or one that it may have become."""
    if is_unknown(approved):
        if is_unknown(now):
            return references_of(approved) == references_of(now)
        return now is None or explains(references_of(approved), now)
    if _has_keys(approved, now):
        missing = (approved[key] for key in approved.keys() - now.keys())
        return (
            now.keys() <= approved.keys()
            and all(map(is_unknown, missing))
            and all(_is_same(approved[key], value, explains) for key, value in now.items())
        )
    if isinstance(approved, list) and isinstance(now, list):
        return len(approved) == len(now) and all(
            _is_same(one, other, explains) for one, other in zip(approved, now, strict=True)
        )
    return is_same(approved, now)


def _has_keys(*values: Any) -> bool:
    return all(
        isinstance(value, Mapping) and not (is_hidden(value) or is_unknown(value))
        for value in values
    )
