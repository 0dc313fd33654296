"""The state of a trigger, week by week. Pure: the same readings always give the same states.

    inactive -> pending -> active -> cooling -> inactive

A metric enters after M of the last N weeks above its threshold and leaves after a dwell and E of
the last L weeks at or below another one. The windows are calendar weeks: an unknown week fills its
place and counts neither way. What is known decides: a week of which it is known only that it has
at least 8 is above 5. A week that leaves the question open freezes the state: nothing begins,
nothing ends, and the state says that data are missing. After each change of active or not,
counting starts anew.

A mandate is active from the day on which it takes effect to the day on which it expires.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from enum import StrEnum

from pydantic import Field

from xops.core.files.validation import Model
from xops.triggers.facts import UNBOUNDED, WEEK, Bounds
from xops.triggers.policy import Enter, Leave, MandateTrigger, MetricTrigger, Trigger


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
    bounds: Bounds | None = Field(
        default=None, description="Between what an unknown value lies, where that is known."
    )
    reason: str = ""
    subjects: tuple[str, ...] = Field(
        default=(), description="Mandates: the clouds or sites for which one is in force."
    )
    effective: date | None = Field(
        default=None, description="Mandates: in force since, or announced for, this day."
    )
    expires: date | None = Field(default=None, description="Mandates: the last day's morrow.")

    @property
    def at_least(self) -> int:
        """The value, or what it is at least."""
        return self.value if self.value is not None else (self.bounds or UNBOUNDED).at_least

    @property
    def at_most(self) -> int | None:
        """The value, or what it is at most; None where nobody knows."""
        return self.value if self.value is not None else (self.bounds or UNBOUNDED).at_most


Span = tuple[date, date]
"""A mandate's first day, and the day on which it no longer holds."""


def mandate_reading(day: date, spans: Iterable[Span], doubtful: Iterable[Span] = ()) -> Reading:
    """What mandates say about one day.

    Args:
        day: that is looked at.
        spans: of the valid ones.
        doubtful: of records that would count but for what is wrong with them: as many more may be
            in force as there are of them.
    """
    spans = list(spans)
    binding = list(_in_force(day, spans))
    starts = [start for start, _ in binding] or [start for start, _ in spans if start > day]
    known, open_ = len(binding), len(list(_in_force(day, doubtful)))
    return Reading(
        period=day,
        value=None if open_ else known,
        bounds=Bounds(at_least=known, at_most=known + open_) if open_ else None,
        effective=min(starts, default=None),
        expires=max((end for _, end in binding), default=None),
    )


def _in_force(day: date, spans: Iterable[Span]) -> Iterator[Span]:
    return ((start, end) for start, end in spans if start <= day < end)


class State(Model):
    """All that the next step needs to know."""

    phase: Phase = Phase.INACTIVE
    since: date | None = Field(
        default=None, description="Period in which it last became active or inactive."
    )
    over: int = Field(default=0, description="Weeks above the threshold in the entry's window.")
    under: int = Field(default=0, description="Weeks at or below in the exit's window.")
    insufficient: bool = Field(
        default=False, description="The last period leaves it open: the phase is frozen."
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
    if answer(trigger, state, reading) is None:
        window = (*_earlier(trigger, state, reading), reading)
        return state.model_copy(update={"window": window, "insufficient": True})
    if isinstance(trigger, MandateTrigger):
        return _step_mandate(trigger.warn_days, state, reading)
    return _step_metric(trigger, state, reading)


def answer(trigger: Trigger, state: State, reading: Reading) -> bool | None:
    """The question on which the next step turns; None where what is known leaves it open.

    While a metric is not active: is it above the entry's threshold? While it is: is it at or below
    the exit's? Of a mandate always: is one in force?
    """
    if isinstance(trigger, MandateTrigger):
        return is_above(0, reading)
    if state.is_active:
        return is_at_or_below(trigger.leave.at_or_below, reading)
    return is_above(trigger.enter.above, reading)


def is_above(threshold: int, reading: Reading) -> bool | None:
    """Whether it is above a threshold, strictly; None where nobody can tell."""
    if reading.at_least > threshold:
        return True
    return False if reading.at_most is not None and reading.at_most <= threshold else None


def is_at_or_below(threshold: int, reading: Reading) -> bool | None:
    """Whether it is at or below a threshold; None where nobody can tell."""
    above = is_above(threshold, reading)
    return None if above is None else not above


def is_learnt(trigger: Trigger, before: Reading, now: Reading, *, is_present: bool = False) -> bool:
    """Whether a later reading of a period says what an earlier one left open, and fits it.

    It does where the exact value became known, or the answer to a question of the rule. What is
    declared now says little of a day that is past: a record may have been withdrawn since. Only
    that a mandate was in force is learnt of it. Of the day itself, the latest look holds.

    Args:
        trigger: its rule.
        before: what was recorded.
        now: what is read.
        is_present: whether the period is the day on which it is read.
    """
    if isinstance(trigger, MandateTrigger) and is_present:
        return is_above(0, now) is not None and _differs(before, now)
    if before.value is not None or contradicts(before, now):
        return False
    if isinstance(trigger, MandateTrigger):
        return not is_above(0, before) and is_above(0, now) is True
    if now.value is not None:
        return True
    told = zip(_answers(trigger, before), _answers(trigger, now), strict=True)
    return any(old is None and new is not None for old, new in told)


def _differs(before: Reading, now: Reading) -> bool:
    """Whether mandates are others than before; earlier releases noted no clouds or sites."""
    noted = now.subjects if before.subjects or not before.value else ()
    return now.model_copy(update={"reason": before.reason, "subjects": noted}) != before


def contradicts(before: Reading, now: Reading) -> bool:
    """Whether not both readings of one period can be right."""
    low, high = max(before.at_least, now.at_least), (before.at_most, now.at_most)
    return any(most is not None and most < low for most in high)


def _answers(trigger: Trigger, reading: Reading) -> tuple[bool | None, ...]:
    if isinstance(trigger, MandateTrigger):
        return (is_above(0, reading),)
    return (
        is_above(trigger.enter.above, reading),
        is_at_or_below(trigger.leave.at_or_below, reading),
    )


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
    window = (*_earlier(trigger, state, reading), reading)
    # Weeks from before the last change were counted for that change.
    since = state.since or date.min
    fresh = [old for old in window if old.period > since]
    state = state.model_copy(
        update={
            "window": window,
            "over": weeks_over(enter, fresh, reading.period),
            "under": weeks_under(leave, fresh, reading.period),
            "insufficient": False,
        }
    )
    if state.is_active:
        return _while_active(leave, trigger.dwell_weeks, state, reading)
    if state.over >= enter.weeks:
        return _change(state, Phase.ACTIVE, reading.period)
    return state.model_copy(update={"phase": Phase.PENDING if state.over else Phase.INACTIVE})


def weeks_over(enter: Enter, readings: Iterable[Reading], last: date) -> int:
    """How many weeks of the entry's window, which ends with `last`, are known to be above."""
    return sum(is_above(enter.above, row) is True for row in _within(readings, last, enter.of))


def weeks_unknown(enter: Enter, readings: Iterable[Reading], last: date) -> int:
    """How many weeks of the entry's window, which ends with `last`, may be above or not."""
    return sum(is_above(enter.above, row) is None for row in _within(readings, last, enter.of))


def weeks_under(leave: Leave, readings: Iterable[Reading], last: date) -> int:
    """How many weeks of the exit's window, which ends with `last`, are known to be at or below."""
    threshold = leave.at_or_below
    return sum(is_at_or_below(threshold, row) is True for row in _within(readings, last, leave.of))


def _while_active(leave: Leave, dwell: int, state: State, reading: Reading) -> State:
    if not is_at_or_below(leave.at_or_below, reading):
        return state.model_copy(update={"phase": Phase.ACTIVE})
    stayed = reading.period - (state.since or reading.period)
    if state.under >= leave.weeks and stayed >= dwell * WEEK:
        return _change(state, Phase.INACTIVE, reading.period)
    return state.model_copy(update={"phase": Phase.COOLING})


def _change(state: State, phase: Phase, since: date) -> State:
    return state.model_copy(
        update={"phase": phase, "since": since, "over": 0, "under": 0, "decided": None}
    )


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
    if not is_above(0, reading):
        return Phase.PENDING if reading.effective else Phase.INACTIVE
    warned_from = reading.expires and reading.expires - timedelta(days=warn_days)
    return Phase.COOLING if warned_from and reading.period >= warned_from else Phase.ACTIVE


def with_entry(trigger: MetricTrigger, enter: Enter) -> MetricTrigger:
    """The same rule with another entry.

    An exit threshold above the entry's is lowered to it: a week could call for both otherwise.
    """
    lowered = min(trigger.leave.at_or_below, enter.above)
    leave = trigger.leave.model_copy(update={"at_or_below": lowered})
    return trigger.model_copy(update={"enter": enter, "leave": leave})


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
    if state.insufficient:
        kept = "active" if state.is_active else "inactive"
        return f"{kept} until it is known whether a mandate is in force"
    if state.is_active and reading and reading.expires:
        return f"inactive on {reading.expires}, when the last mandate expires"
    if state.phase is Phase.PENDING and reading and reading.effective:
        return f"active on {reading.effective}, when the mandate takes effect"
    return "active on the day on which a mandate takes effect"
