"""The state machine: examples week by week, and what holds for every series."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from tests.unit.triggers.samples import (
    MONDAY,
    SECOND_CLOUD,
    Value,
    metric,
    phases,
    reading,
    readings,
    states,
    trigger,
)
from xops.triggers.machine import (
    START,
    Decided,
    Decision,
    Phase,
    Reading,
    State,
    contradicts,
    decide,
    fold,
    is_learnt,
    label,
    mandate_reading,
    outlook,
    step,
)
from xops.triggers.policy import MetricTrigger

SERIES = st.lists(st.none() | st.integers(0, 9), max_size=40)
BOUNDS = st.tuples(st.integers(0, 9), st.none() | st.integers(0, 4)).map(
    lambda pair: (pair[0], None if pair[1] is None else pair[0] + pair[1])
)
BOUNDED = st.lists(st.none() | st.integers(0, 9) | BOUNDS, max_size=30)


@st.composite
def rules(draw: st.DrawFn) -> MetricTrigger:
    above = draw(st.integers(0, 7))
    enter_of, leave_of = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    return metric(
        enter={"above": above, "of": enter_of, "weeks": draw(st.integers(1, enter_of))},
        leave={
            "at_or_below": draw(st.integers(0, above)),
            "of": leave_of,
            "weeks": draw(st.integers(1, leave_of)),
        },
        dwell_weeks=draw(st.integers(0, 6)),
    )


few = examples(30)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5, 5, 5, 5], "iiii"),  # five is not above five
        ([6, 6, 6, 6], "ppaa"),  # six is
        ([6, 5, 6, 6], "pppa"),  # three of the last four
        ([6, 6, 5, 5, 6, 6], "pppppp"),  # never three within four
        ([6, 6, 5, 5, 5, 6], "pppppp"),
        ([6, 5, 5, 5, 5], "ppppi"),  # the window has passed
        ([6, 6, 6, 3, 3, 3, 3], "ppaccci"),
        ([6, 6, 6, 4, 4, 4, 4, 4], "ppaaaaaa"),  # between the thresholds nothing changes
        ([6, 6, 6, 3, 3, 3, 4, 3, 3, 3, 3], "ppacccaccci"),
        ([6, 6, 6, 3, 3, 3, 3, 6], "ppaccci" + "p"),  # counting starts anew
    ],
)
def test_weeks_above_and_below(values: list[int], expected: str) -> None:
    assert phases(values) == expected


def test_the_team_is_large_from_four_on() -> None:
    rule = trigger(metric="team_size", enter={"above": 3})
    assert phases([3, 4, 4, 3, 3, 3, 3], rule) == "iaaccci"


def test_it_stays_active_for_the_dwell() -> None:
    leave = {"at_or_below": 3, "weeks": 1, "of": 1}
    assert phases([9, 9, 9, 0, 0, 0, 0], trigger(leave=leave)) == "ppaccci"
    assert phases([9, 9, 9, 0, 0], trigger(leave=leave, dwell_weeks=0)) == "ppaii"


def test_an_unknown_week_freezes_and_says_so() -> None:
    found = states([9, 9, 9, None, 0, 0, None, 0, 0, 0, 0])
    assert [state.phase[0] for state in found] == list("ppaaccccc" + "ci")
    assert [state.insufficient for state in found] == [i in (3, 6) for i in range(11)]
    assert label(trigger(), found[3]) == "insufficient data (active is kept)"


def test_an_unknown_week_takes_its_place_in_the_window() -> None:
    assert phases([9, 9, None, 9]) == "pppa"
    assert phases([9, 9, None, None, None, 9]) == "pppppp"


def test_labels_and_outlooks() -> None:
    found = states([6, 6, 6, 3, 3])
    assert [label(trigger(), state) for state in found] == [
        "pending (1 of 3)", "pending (2 of 3)", "active", "cooling (1 of 4)", "cooling (2 of 4)",
    ]  # fmt: skip
    assert outlook(trigger(), found[1]) == "active after 1 more week above 5"
    assert outlook(trigger(), found[2]) == "inactive after 4 more weeks in a row at or below 3"
    assert outlook(trigger(), found[4]) == "inactive after 2 more weeks in a row at or below 3"


def phases_by_counting(rule: MetricTrigger, values: list[int | None]) -> list[Phase]:
    """The rule again, from the whole series and without a state: what the machine is held to."""
    enter, leave = rule.enter, rule.leave
    phase, changed, found = Phase.INACTIVE, -1, []
    for week, value in enumerate(values):

        def recent(of: int, week: int = week, changed: int = changed) -> list[int]:
            first = max(week - of, changed) + 1
            return [v for v in values[first : week + 1] if v is not None]

        over = sum(v > enter.above for v in recent(enter.of))
        under = sum(v <= leave.at_or_below for v in recent(leave.of))
        if value is not None and phase in (Phase.INACTIVE, Phase.PENDING):
            phase = Phase.PENDING if over else Phase.INACTIVE
            if over >= enter.weeks:
                phase, changed = Phase.ACTIVE, week
        elif value is not None:
            phase = Phase.COOLING if value <= leave.at_or_below else Phase.ACTIVE
            stayed = week - changed >= rule.dwell_weeks
            if phase is Phase.COOLING and under >= leave.weeks and stayed:
                phase, changed = Phase.INACTIVE, week
        found.append(phase)
    return found


@examples(100)
@given(rules(), SERIES)
def test_the_machine_is_the_rule(rule: MetricTrigger, values: list[int | None]) -> None:
    assert [state.phase for state in states(values, rule)] == phases_by_counting(rule, values)


@few
@given(rules(), BOUNDED, st.integers(0, 40))
def test_it_can_be_stopped_and_resumed(rule: MetricTrigger, values: list[Value], cut: int) -> None:
    rows = readings(values)
    first = list(fold(rule, rows[:cut]))
    stored = type(START).model_validate_json((first[-1] if first else START).model_dump_json())
    assert [*first, *fold(rule, rows[cut:], stored)] == states(values, rule)


@few
@given(rules(), SERIES)
def test_an_unknown_week_changes_nothing_but_that_it_is_unknown(
    rule: MetricTrigger, values: list[int | None]
) -> None:
    before = START
    for value, after in zip(values, states(values, rule), strict=True):
        if value is None:
            kept = {"window": before.window, "insufficient": before.insufficient}
            assert after.model_copy(update=kept) == before
        assert after.insufficient == (value is None)
        before = after


@few
@given(rules(), SERIES)
def test_it_never_becomes_active_with_too_few_weeks_over(
    rule: MetricTrigger, values: list[int | None]
) -> None:
    enter = rule.enter
    found = states(values, rule)
    for index, state in enumerate(found):
        if state.is_active and not (index and found[index - 1].is_active):
            window = values[max(0, index - enter.of + 1) : index + 1]
            assert sum(v is not None and v > enter.above for v in window) >= enter.weeks


@few
@given(rules(), SERIES)
def test_it_never_ends_before_the_dwell_nor_with_too_few_weeks_under(
    rule: MetricTrigger, values: list[int | None]
) -> None:
    leave = rule.leave
    began, found = 0, states(values, rule)
    for index, state in enumerate(found):
        was = bool(index and found[index - 1].is_active)
        if state.is_active and not was:
            began = index
        if was and not state.is_active:
            window = values[max(0, index - leave.of + 1) : index + 1]
            assert index - began >= rule.dwell_weeks
            assert sum(v is not None and v <= leave.at_or_below for v in window) >= leave.weeks


@few
@given(rules(), BOUNDED)
def test_what_the_outlook_promises_happens(rule: MetricTrigger, values: list[Value]) -> None:
    found = states(values, rule)
    if not found:
        return
    state = found[-1]
    count = int(outlook(rule, state).split()[2])
    value = rule.leave.at_or_below if state.is_active else rule.enter.above + 1
    seen = states([*values, *[value] * count], rule)[len(found) :]
    assert [row.is_active for row in seen] == [state.is_active] * (count - 1) + [
        not state.is_active
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([(6, None)] * 3, "ppa"),  # at least six is above five, whatever it is
        ([(4, 5), (4, 6)], "ii"),  # 4 to 5 is not; 4 to 6 may be: nothing begins
        ([6, (5, 6), 6, 6], "pppa"),
        (
            [6, 6, 6, (0, 3), (2, None), 2, (0, 0), (1, 3)],
            "ppaccccc",
        ),  # the open week keeps its place
        ([6, 6, 6, (4, None), (4, 9)], "ppaaa"),  # above three is known
    ],
)
def test_what_is_known_of_a_week_decides(values: list[Value], expected: str) -> None:
    assert phases(values) == expected


def test_a_week_that_leaves_the_question_open_freezes_and_says_so() -> None:
    found = states([(6, None), (4, 6), (0, 5), None])
    assert [state.insufficient for state in found] == [False, True, False, True]
    # While it is active another question is asked: three or less?
    found = states([6, 6, 6, (4, 6), (3, 4)])
    assert [state.insufficient for state in found[3:]] == [False, True]


def possible(value: Value) -> list[int]:
    """Exact values within what is known, up to ones that are high for every rule here."""
    if isinstance(value, tuple):
        return [*range(value[0], 13 if value[1] is None else value[1] + 1)]
    return [*range(13)] if value is None else [value]


def told(state: State) -> tuple[Phase, int]:
    """The phase, with the number that counts towards leaving it."""
    return state.phase, state.under if state.is_active else state.over


@examples(100)
@given(rules(), BOUNDED, BOUNDS | st.none())
def test_a_step_on_bounds_is_that_of_every_exact_value_within_them(
    rule: MetricTrigger, values: list[Value], last: Value
) -> None:
    before = states(values, rule)[-1] if values else START
    at = len(values)
    exact = {told(step(rule, before, reading(at, value))) for value in possible(last)}
    found = step(rule, before, reading(at, last))
    if found.insufficient:
        assert len(exact) > 1 or last is None or last == (0, None)
        assert told(found) == told(before)
    else:
        assert exact == {told(found)}


@few
@given(rules(), BOUNDED)
def test_bounds_that_meet_are_the_value(rule: MetricTrigger, values: list[Value]) -> None:
    narrow: list[Value] = [(v, v) if isinstance(v, int) else v for v in values]
    assert list(map(told, states(narrow, rule))) == list(map(told, states(values, rule)))


@pytest.mark.parametrize(
    ("before", "now", "learnt"),
    [
        (None, 6, True),
        (None, (6, None), True),
        (None, (0, 9), False),  # it answers nothing
        ((4, 9), 5, True),
        ((4, 9), (6, 9), True),
        ((6, None), (6, 8), False),  # it was known to be above; no question is answered
        ((6, None), 8, True),
        ((6, None), 4, False),  # both cannot be right: what was recorded stands
        (6, 6, False),
        (6, 7, False),
        (6, None, False),
    ],
)
def test_a_week_is_learnt_where_a_question_is_answered(
    before: Value, now: Value, learnt: bool
) -> None:
    assert is_learnt(trigger(), reading(0, before), reading(0, now)) is learnt
    assert contradicts(reading(0, before), reading(0, now)) is ((before, now) in (
        ((6, None), 4), (6, 7)))  # fmt: skip


def test_time_does_not_go_back() -> None:
    state = states([1])[-1]
    with pytest.raises(ValueError, match="is not after"):
        step(trigger(), state, Reading(period=MONDAY, value=1))


MANDATES = [(date(2026, 3, 1), date(2026, 7, 1)), (date(2026, 6, 1), date(2026, 9, 1))]


@pytest.mark.parametrize(
    ("day", "phase", "value"),
    [
        (date(2026, 2, 28), Phase.PENDING, 0),
        (date(2026, 3, 1), Phase.ACTIVE, 1),
        (date(2026, 6, 15), Phase.ACTIVE, 2),  # the other lasts: none is warned of
        (date(2026, 8, 1), Phase.ACTIVE, 1),
        (date(2026, 8, 2), Phase.COOLING, 1),
        (date(2026, 8, 31), Phase.COOLING, 1),
        (date(2026, 9, 1), Phase.INACTIVE, 0),
    ],
)
def test_a_mandate_is_active_from_its_first_day_to_its_expiry(
    day: date, phase: Phase, value: int
) -> None:
    reading = mandate_reading(day, MANDATES)
    state = step(trigger(SECOND_CLOUD), START, reading)
    assert (reading.value, state.phase) == (value, phase)


def test_a_mandate_is_active_since_it_took_effect_whenever_that_is_seen() -> None:
    rule = trigger(SECOND_CLOUD)
    for seen in (date(2026, 3, 1), date(2026, 3, 9)):
        assert step(rule, START, mandate_reading(seen, MANDATES)).since == date(2026, 3, 1)


def test_unknown_mandates_freeze() -> None:
    rule = trigger(SECOND_CLOUD)
    active = step(rule, START, mandate_reading(date(2026, 3, 1), MANDATES))
    frozen = step(rule, active, Reading(period=date(2027, 1, 1), value=None))
    assert frozen.is_active
    assert frozen.insufficient


def test_a_mandate_that_is_known_again_is_no_longer_frozen() -> None:
    rule = trigger(SECOND_CLOUD)
    days = [date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)]
    rows = [mandate_reading(day, MANDATES) for day in days]
    rows[1] = Reading(period=days[1], value=None, reason="the clone is shallow")
    found = list(fold(rule, rows))
    assert [state.insufficient for state in found] == [False, True, False]
    assert [state.is_active for state in found] == [True, True, True]


def test_a_mandate_ends_on_the_day_that_was_looked_at_not_when_the_next_begins() -> None:
    rule = trigger(SECOND_CLOUD)
    spans = [(date(2026, 3, 1), date(2026, 7, 1)), (date(2026, 9, 1), date(2026, 12, 1))]
    days = [date(2026, 5, 1), date(2026, 7, 2), date(2026, 9, 7)]
    found = list(fold(rule, [mandate_reading(day, spans) for day in days]))
    assert [state.phase for state in found] == [Phase.ACTIVE, Phase.PENDING, Phase.ACTIVE]
    assert [state.since for state in found] == [spans[0][0], days[1], spans[1][0]]


def test_a_record_that_may_be_in_force_leaves_it_open() -> None:
    rule = trigger(SECOND_CLOUD)
    day = date(2026, 3, 1)
    open_ = mandate_reading(day, [], MANDATES)
    assert (open_.value, open_.at_least, open_.at_most) == (None, 0, 1)
    assert step(rule, START, open_).insufficient
    assert not step(rule, START, open_).is_active
    active = step(rule, START, mandate_reading(date(2026, 2, 1), [(date(2026, 1, 1), day)]))
    frozen = step(rule, active, open_)
    assert (frozen.is_active, frozen.insufficient) == (True, True)
    assert outlook(rule, frozen) == "active until it is known whether a mandate is in force"
    # One that is valid decides, whatever the others are; one for another time leaves nothing open.
    both = mandate_reading(day, MANDATES, MANDATES)
    assert (both.at_least, both.at_most) == (1, 2)
    assert not step(rule, START, both).insufficient
    assert mandate_reading(date(2027, 3, 1), [], MANDATES).value == 0


def test_outlooks_of_mandates() -> None:
    rule = trigger(SECOND_CLOUD)

    def seen(day: date) -> str:
        return outlook(rule, step(rule, START, mandate_reading(day, MANDATES)))

    assert seen(date(2026, 2, 1)).startswith("active on 2026-03-01")
    assert seen(date(2026, 4, 1)).startswith("inactive on 2026-07-01")
    assert seen(date(2027, 4, 1)) == "active on the day on which a mandate takes effect"


def word(decision: Decision) -> Decided:
    return Decided(decision=decision, by="a person", on=MONDAY)


def test_a_persons_word_lasts_as_long_as_the_activation() -> None:
    rows = readings([9, 9, 9, 9, 3, 3, 3, 3, 9])
    state = decide(list(fold(trigger(), rows[:3]))[-1], word(Decision.ACCEPTED))
    after = list(fold(trigger(), rows[3:], state))
    assert [row.decided is not None for row in after] == [True] * 4 + [False, False]
    assert label(trigger(), after[1]) == "cooling (1 of 4), accepted by a person"


def test_there_is_nothing_to_decide_about_an_inactive_trigger() -> None:
    with pytest.raises(ValueError, match="is pending"):
        decide(states([9])[-1], word(Decision.REJECTED))


def test_weeks_may_be_missing_altogether() -> None:
    rows = [Reading(period=MONDAY + timedelta(weeks=n), value=9) for n in (0, 1, 5, 6, 7)]
    assert [state.phase[0] for state in fold(trigger(), rows)] == list("ppppa")
