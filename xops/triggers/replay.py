"""The past redrawn by the policy of today, and what other thresholds would have made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import product
from typing import Any

from pydantic import Field

from xops.core.files.validation import Model
from xops.triggers.evaluation import Point, points_of
from xops.triggers.facts import Facts
from xops.triggers.machine import Reading, State, fold, label, with_entry
from xops.triggers.policy import Enter, MetricTrigger, Policy, Trigger
from xops.triggers.series import read_series

THRESHOLDS = range(3, 9)
WINDOWS = ((1, 1), (2, 3), (2, 4), (3, 4), (4, 4), (3, 6))
"""M of N weeks, as tried by `what_if`."""


class Variant(Model):
    """What one choice of threshold and window would have made of the past."""

    above: int
    weeks: int
    of: int
    flips: int
    active_weeks: int
    current: bool


class Line(Model):
    """One trigger's past."""

    trigger: str
    points: tuple[Point, ...]
    states: tuple[str, ...]
    flips: int
    active_weeks: int
    unknown_weeks: int = Field(description="Weeks that left the state open.")
    variants: tuple[Variant, ...] = ()


class Replay(Model):
    """The past of all triggers under the policy of today."""

    as_of: date
    weeks: int
    source: str
    policy: str
    lines: tuple[Line, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        values: dict[str, Any] = self.model_dump(mode="json")
        return values


def replay(policy: Policy, facts: Facts, as_of: date, weeks: int) -> Replay:
    """Fold the facts' weeks with the policy of today, and show the last `weeks` of them.

    Weeks before those shown are folded as well: what was active stays active.

    Raises:
        InputError: facts and policy have different time zones.
    """
    series = read_series(policy, facts, as_of)
    return replay_series(policy, series, as_of, weeks, source=f"facts {facts.digest[:12]}")


def replay_series(
    policy: Policy,
    series: Mapping[str, Sequence[Reading]],
    as_of: date,
    weeks: int,
    *,
    source: str,
) -> Replay:
    """As `replay`, from the readings of each trigger, oldest first."""
    lines = [
        _line(name, policy.triggers[name], rows, weeks)
        for name, rows in series.items()
        if name in policy.triggers and rows
    ]
    return Replay(as_of=as_of, weeks=weeks, source=source, policy=policy.digest, lines=tuple(lines))


def _line(name: str, trigger: Trigger, readings: Sequence[Reading], weeks: int) -> Line:
    states = list(fold(trigger, readings))
    points = points_of(zip(readings, states, strict=True))
    return Line(
        trigger=name,
        points=points[-weeks:],
        states=tuple(label(trigger, state) for state in states[-weeks:]),
        flips=sum(_flips(states)[-weeks:]),
        active_weeks=sum(state.is_active for state in states[-weeks:]),
        unknown_weeks=sum(state.insufficient for state in states[-weeks:]),
        variants=_variants(trigger, readings, weeks),
    )


def _variants(trigger: Trigger, readings: Sequence[Reading], weeks: int) -> tuple[Variant, ...]:
    if not isinstance(trigger, MetricTrigger):
        return ()
    return tuple(what_if(trigger, readings, weeks))


def _flips(states: Sequence[State]) -> list[bool]:
    """Whether each state is another than the one before it, of active and not."""
    active = [state.is_active for state in states]
    return [now != before for before, now in zip([False, *active], active, strict=False)]


def what_if(
    trigger: MetricTrigger, readings: Sequence[Reading], weeks: int | None = None
) -> Iterator[Variant]:
    """Flips and active weeks under other thresholds and windows, the policy's own among them.

    Args:
        trigger: the rule that is varied.
        readings: a week each, oldest first.
        weeks: only the last so many of them are counted; all are folded. None: all count.
    """
    shown = -len(readings) if weeks is None else -weeks
    thresholds = sorted({*THRESHOLDS, trigger.enter.above})
    windows = sorted({*WINDOWS, (trigger.enter.weeks, trigger.enter.of)})
    for above, (count, of) in product(thresholds, windows):
        enter = Enter(above=above, weeks=count, of=of)
        states = list(fold(with_entry(trigger, enter), readings))
        yield Variant(
            above=above,
            weeks=count,
            of=of,
            flips=sum(_flips(states)[shown:]),
            active_weeks=sum(state.is_active for state in states[shown:]),
            current=enter == trigger.enter,
        )
