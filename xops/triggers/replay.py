"""The past redrawn by the policy of today, and what other thresholds would have made of it.

`fold` is the machine of `xops.triggers.machine` for many series at once: a property test holds
that both agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xops.core.files.validation import Model
from xops.triggers.evaluation import Point, check_zones, readings_of
from xops.triggers.facts import Facts
from xops.triggers.machine import Phase, Reading, label
from xops.triggers.machine import fold as states_of
from xops.triggers.policy import Enter, Leave, Policy, Trigger

Values = NDArray[np.float64]
"""Weeks down, series across; NaN is unknown."""

Phases = NDArray[np.int8]
"""As `PHASES` numbers them, weeks down, series across."""

PHASES = (Phase.INACTIVE, Phase.PENDING, Phase.ACTIVE, Phase.COOLING)
_ACTIVE = PHASES.index(Phase.ACTIVE)

THRESHOLDS = range(3, 9)
WINDOWS = ((1, 1), (2, 3), (2, 4), (3, 4), (4, 4), (3, 6))
"""M of N weeks, as tried by `what_if`."""


@dataclass(frozen=True)
class Rules:
    """The numbers of a metric's rule, one for each series."""

    above: Values
    enter_weeks: NDArray[np.int64]
    enter_of: NDArray[np.int64]
    at_or_below: Values
    leave_weeks: NDArray[np.int64]
    leave_of: NDArray[np.int64]
    dwell: NDArray[np.int64]

    @classmethod
    def of(cls, rules: Sequence[tuple[Enter, Leave, int]]) -> Rules:
        """From thresholds and dwells (weeks), in the order of the series."""
        rows = [
            (e.above, e.weeks, e.of, leave.at_or_below, leave.weeks, leave.of, dwell)
            for e, leave, dwell in rules
        ]
        table = np.array(rows, dtype=np.int64).reshape(-1, 7).T
        return cls(table[0].astype(float), table[1], table[2], table[3].astype(float), *table[4:])

    def repeated(self, times: int) -> Rules:
        """Each rule for as many series, one rule after the other."""
        return Rules(*(np.repeat(column, times) for column in vars(self).values()))


def fold(values: Values, rules: Rules) -> Phases:
    """The phase of each series after each week.

    Args:
        values: weeks by series, without gaps between the weeks.
        rules: as many as there are series.
    """
    weeks, series = values.shape
    known = ~np.isnan(values)
    over = _running(known & (values > rules.above))
    low = known & (values <= rules.at_or_below)
    under = _running(low)
    columns = np.arange(series)
    phases = np.zeros((weeks + 1, series), dtype=np.int8)
    since = np.full(series, -1)
    for week in range(weeks):
        active = phases[week] >= _ACTIVE
        # Weeks from before the last change were counted for that change.
        first = np.maximum(since, week - np.where(active, rules.leave_of, rules.enter_of)) + 1
        counts = np.where(active, under[week + 1], over[week + 1])
        counts = counts - np.where(active, under[first, columns], over[first, columns])
        enters = ~active & (counts >= rules.enter_weeks)
        stayed = week - since >= rules.dwell
        leaves = active & low[week] & (counts >= rules.leave_weeks) & stayed
        phase = np.where(active, 2 + low[week], counts > 0)
        phase = np.where(enters, _ACTIVE, np.where(leaves, 0, phase))
        phases[week + 1] = np.where(known[week], phase, phases[week])
        since = np.where(known[week] & (enters | leaves), week, since)
    return phases[1:]


def _running(marks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many weeks before each week are marked; one row more than there are weeks."""
    total = np.zeros((len(marks) + 1, marks.shape[1]), dtype=np.int64)
    np.cumsum(marks, axis=0, out=total[1:])
    return total


def flips(phases: Phases) -> NDArray[np.int64]:
    """How often each series changed between active and not, starting from inactive."""
    active = phases >= _ACTIVE
    before = np.vstack([np.zeros((1, active.shape[1]), dtype=bool), active[:-1]])
    changed: NDArray[np.int64] = (active != before).sum(axis=0)
    return changed


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
    unknown_weeks: int
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
    check_zones(policy, facts)
    readings = {name: readings_of(row, facts, as_of) for name, row in policy.triggers.items()}
    return replayed(policy, readings, as_of, weeks, source=f"facts {facts.digest[:12]}")


def replayed(
    policy: Policy,
    readings: Mapping[str, Sequence[Reading]],
    as_of: date,
    weeks: int,
    *,
    source: str,
) -> Replay:
    """As `replay`, from readings by trigger, oldest first."""
    lines = [
        _line(name, policy.triggers[name], rows, weeks)
        for name, rows in readings.items()
        if name in policy.triggers and rows
    ]
    return Replay(as_of=as_of, weeks=weeks, source=source, policy=policy.digest, lines=tuple(lines))


def _line(name: str, trigger: Trigger, readings: Sequence[Reading], weeks: int) -> Line:
    states = list(states_of(trigger, readings))
    points = [
        Point(period=r.period, value=r.value, phase=s.phase, insufficient=s.insufficient)
        for r, s in zip(readings, states, strict=True)
    ]
    active = [state.is_active for state in states]
    changes = [now != before for before, now in zip([False, *active], active, strict=False)]
    return Line(
        trigger=name,
        points=tuple(points[-weeks:]),
        states=tuple(label(trigger, state) for state in states[-weeks:]),
        flips=sum(changes[-weeks:]),
        active_weeks=sum(active[-weeks:]),
        unknown_weeks=sum(point.value is None for point in points[-weeks:]),
        variants=tuple(what_if(trigger, _series(readings))) if trigger.enter else (),
    )


def _series(readings: Sequence[Reading]) -> Values:
    values = [np.nan if reading.value is None else reading.value for reading in readings]
    return np.array(values, dtype=np.float64)


def what_if(trigger: Trigger, values: Values) -> list[Variant]:
    """Flips and active weeks under other thresholds and windows, the policy's own among them.

    An exit threshold above the entry's is lowered to it: a week could call for both otherwise.

    Args:
        trigger: of a metric.
        values: one series, a value a week, NaN where it is unknown.
    """
    enter, leave = trigger.enter, trigger.leave
    if enter is None or leave is None:
        return []
    thresholds = sorted({*THRESHOLDS, enter.above})
    windows = sorted({*WINDOWS, (enter.weeks, enter.of)})
    tried = [Enter(above=a, weeks=m, of=n) for a, (m, n) in product(thresholds, windows)]
    rules = Rules.of([(each, _fitting(leave, each), trigger.dwell_weeks) for each in tried])
    phases = fold(np.repeat(values[:, np.newaxis], len(tried), axis=1), rules)
    changed, lasted = flips(phases), (phases >= _ACTIVE).sum(axis=0)
    return [
        Variant(
            above=each.above,
            weeks=each.weeks,
            of=each.of,
            flips=int(changed[index]),
            active_weeks=int(lasted[index]),
            current=each == enter,
        )
        for index, each in enumerate(tried)
    ]


def _fitting(leave: Leave, enter: Enter) -> Leave:
    lowered = min(leave.at_or_below, enter.above)
    return leave.model_copy(update={"at_or_below": lowered})
