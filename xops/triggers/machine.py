"""The state of a trigger, week by week. Pure: the same readings always give the same states.

    inactive -> pending -> active -> cooling -> inactive

A metric enters after M of the last N weeks above its threshold and leaves after a dwell and E of
the last L weeks at or below another one. The windows are calendar weeks: an unknown week fills its
place and counts neither way. An unknown week freezes the state: nothing begins, nothing ends, and
the state says that data are missing. After each change of active or not, counting starts anew.

A mandate is active from the day on which it takes effect to the day on which it expires.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from enum import StrEnum
from uuid import UUID, uuid5

from pydantic import Field

from xops.core.files.validation import Model
from xops.triggers.facts import WEEK
from xops.triggers.policy import Enter, Leave, MandateTrigger, MetricTrigger, Trigger

# Names the activations of this project's triggers; any constant would do, a changed one would not.
_NAMESPACE = UUID("6f1b4c52-4f0f-5c0e-9d0a-6a3c6de1f0a5")


class Phase(StrEnum):
    """Where a trigger stands. `cooling` is still active, on its way out."""

    INACTIVE = "inactive"
    PENDING = "pending"
    ACTIVE = "active"
    COOLING = "cooling"


class Decision(StrEnum):
    """What a person said about an active trigger."""

    ACKNOWLEDGED = "acknowledged"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Decided(Model):
    """A person's word about the present activation; gone when the trigger becomes inactive."""

    decision: Decision
    by: str = Field(min_length=1)
    reason: str = ""
    on: date


class Reading(Model):
    """What was read for one period: a week, named by its Monday, or a day for a mandate."""

    period: date
    value: int | None = Field(description="A count, or mandates in force; null is unknown.")
    reason: str = ""
    effective: date | None = Field(
        default=None, description="Mandates: in force since, or announced for, this day."
    )
    expires: date | None = Field(default=None, description="Mandates: the last day's morrow.")


def mandate_reading(day: date, spans: Iterable[tuple[date, date]]) -> Reading:
    """What valid mandates, each from its first day up to not its expiry, say about one day."""
    spans = list(spans)
    binding = [(start, end) for start, end in spans if start <= day < end]
    starts = [start for start, _ in binding] or [start for start, _ in spans if start > day]
    expires = max((end for _, end in binding), default=None)
    first = min(starts, default=None)
    return Reading(period=day, value=len(binding), effective=first, expires=expires)


class State(Model):
    """All that the next step needs to know."""

    phase: Phase = Phase.INACTIVE
    since: date | None = Field(
        default=None, description="Period in which it last became active or inactive."
    )
    over: int = Field(default=0, description="Weeks above the threshold in the entry's window.")
    under: int = Field(default=0, description="Weeks at or below in the exit's window.")
    insufficient: bool = Field(
        default=False, description="The last period is unknown: the phase is frozen."
    )
    window: tuple[Reading, ...] = ()
    decided: Decided | None = None

    @property
    def is_active(self) -> bool:
        """Active or cooling, frozen or not."""
        return self.phase in (Phase.ACTIVE, Phase.COOLING)

    @property
    def last(self) -> Reading | None:
        """The reading it follows from."""
        return self.window[-1] if self.window else None


START = State()
"""Nothing was read yet."""


def fold(trigger: Trigger, readings: Iterable[Reading], state: State = START) -> Iterator[State]:
    """The state after each reading, in order."""
    for reading in readings:
        state = step(trigger, state, reading)
        yield state


def step(trigger: Trigger, state: State, reading: Reading) -> State:
    """The state after one more reading.

    Args:
        trigger: its rule.
        state: before the reading.
        reading: of a period after all that the state knows.

    Raises:
        ValueError: the period is not after the last one.
    """
    if state.last and reading.period <= state.last.period:
        raise ValueError(f"{reading.period} is not after {state.last.period}")
    if reading.value is None:
        window = (*_earlier(trigger, state, reading), reading)
        return state.model_copy(update={"window": window, "insufficient": True})
    if isinstance(trigger, MandateTrigger):
        return _step_mandate(trigger.warn_days, state, reading)
    return _step_metric(trigger, state, reading)


def decide(state: State, decided: Decided) -> State:
    """The state after a person's word about an active trigger.

    Raises:
        ValueError: it is not active.
    """
    if not state.is_active:
        raise ValueError(f"is {state.phase}: there is nothing to decide about")
    return state.model_copy(update={"decided": decided})


def _earlier(trigger: Trigger, state: State, reading: Reading) -> tuple[Reading, ...]:
    """The earlier readings that later weeks may still have to look at."""
    if isinstance(trigger, MandateTrigger):
        return ()
    longest = max(trigger.enter.of, trigger.leave.of)
    return tuple(_within(state.window, reading.period, longest))


def _within(window: Iterable[Reading], period: date, weeks: int) -> Iterator[Reading]:
    """The readings of the last `weeks` calendar weeks, of which `period` is the last."""
    return (reading for reading in window if reading.period > period - weeks * WEEK)


def _step_metric(trigger: MetricTrigger, state: State, reading: Reading) -> State:
    enter, leave = trigger.enter, trigger.leave
    longest = max(enter.of, leave.of)
    window = (*_within(state.window, reading.period, longest), reading)
    # Weeks from before the last change were counted for that change.
    since = state.since or date.min
    fresh = [old for old in window if old.period > since and old.value is not None]
    over = sum(_is_over(enter, old) for old in _within(fresh, reading.period, enter.of))
    under = sum(_is_under(leave, old) for old in _within(fresh, reading.period, leave.of))
    state = state.model_copy(
        update={"window": window, "over": over, "under": under, "insufficient": False}
    )
    if state.is_active:
        return _while_active(leave, trigger.dwell_weeks, state, reading)
    if over >= enter.weeks:
        return _change(state, Phase.ACTIVE, reading.period)
    return state.model_copy(update={"phase": Phase.PENDING if over else Phase.INACTIVE})


def _while_active(leave: Leave, dwell: int, state: State, reading: Reading) -> State:
    if not _is_under(leave, reading):
        return state.model_copy(update={"phase": Phase.ACTIVE})
    stayed = reading.period - (state.since or reading.period)
    if state.under >= leave.weeks and stayed >= dwell * WEEK:
        return _change(state, Phase.INACTIVE, reading.period)
    return state.model_copy(update={"phase": Phase.COOLING})


def _change(state: State, phase: Phase, since: date) -> State:
    return state.model_copy(
        update={"phase": phase, "since": since, "over": 0, "under": 0, "decided": None}
    )


def _is_over(enter: Enter, reading: Reading) -> bool:
    return reading.value is not None and reading.value > enter.above


def _is_under(leave: Leave, reading: Reading) -> bool:
    return reading.value is not None and reading.value <= leave.at_or_below


def _step_mandate(warn_days: int, state: State, reading: Reading) -> State:
    """A mandate's state: what is in force, announced or near its end on that day."""
    phase = _mandate_phase(warn_days, reading)
    # Mandates count no weeks: one day that is known again ends the freeze of unknown ones.
    seen = state.model_copy(update={"window": (reading,), "insufficient": False})
    active = phase in (Phase.ACTIVE, Phase.COOLING)
    if active != state.is_active:
        # It became active when the mandate took effect, which may be before anybody looked. It
        # ended on the day at hand: `effective` is then the day for which the next is announced.
        since = reading.effective if active and reading.effective else reading.period
        return _change(seen, phase, since)
    return seen.model_copy(update={"phase": phase})


def _mandate_phase(warn_days: int, reading: Reading) -> Phase:
    if not reading.value:
        return Phase.PENDING if reading.effective else Phase.INACTIVE
    warned_from = reading.expires and reading.expires - timedelta(days=warn_days)
    return Phase.COOLING if warned_from and reading.period >= warned_from else Phase.ACTIVE


def activation_id(name: str, state: State) -> UUID | None:
    """The id of the present activation: the same whenever, and however often, it is computed."""
    if not state.is_active or state.since is None:
        return None
    return uuid5(_NAMESPACE, f"{name} active since {state.since}")


def label(trigger: Trigger, state: State) -> str:
    """The state in words: "pending (2 of 3)", "insufficient data (active is kept)"."""
    text = _progress(trigger, state)
    if state.insufficient:
        text = f"insufficient data ({text} is kept)"
    if state.decided:
        text = f"{text}, {state.decided.decision} by {state.decided.by}"
    return text


def _progress(trigger: Trigger, state: State) -> str:
    if isinstance(trigger, MandateTrigger):
        return str(state.phase)
    counts = {
        Phase.PENDING: f"pending ({state.over} of {trigger.enter.weeks})",
        Phase.COOLING: f"cooling ({state.under} of {trigger.leave.weeks})",
    }
    return counts.get(state.phase, str(state.phase))


def outlook(trigger: Trigger, state: State) -> str:
    """What would have to happen for the trigger to become active, or inactive."""
    if isinstance(trigger, MandateTrigger):
        return _next_of_mandate(state)
    return _next_of_metric(trigger, state)


def _next_of_metric(trigger: MetricTrigger, state: State) -> str:
    enter, leave = trigger.enter, trigger.leave
    if state.is_active:
        weeks = _weeks_until_change(trigger, state, leave.at_or_below)
        return f"inactive after {_weeks(weeks)} at or below {leave.at_or_below}"
    weeks = _weeks_until_change(trigger, state, enter.above + 1)
    return f"active after {_weeks(weeks)} above {enter.above}"


def _weeks_until_change(trigger: MetricTrigger, state: State, value: int) -> int:
    """How many weeks with that value, one after the other, change active to not, or back."""
    was, count = state.is_active, 0
    while state.is_active == was and state.last:
        state = step(trigger, state, Reading(period=state.last.period + WEEK, value=value))
        count += 1
    return count


def _weeks(count: int) -> str:
    return "1 more week" if count == 1 else f"{count} more weeks in a row"


def _next_of_mandate(state: State) -> str:
    reading = state.last
    if state.is_active and reading and reading.expires:
        return f"inactive on {reading.expires}, when the last mandate expires"
    if state.phase is Phase.PENDING and reading and reading.effective:
        return f"active on {reading.effective}, when the mandate takes effect"
    return "active on the day on which a mandate takes effect"
