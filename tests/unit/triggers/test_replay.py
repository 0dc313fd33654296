"""The replay: many series at once as the machine would have it, flips, and what-if."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from tests.unit.triggers.samples import IAC_PRS, facts, phases, policy, readings, states, trigger
from tests.unit.triggers.test_machine import SERIES, rules
from xops.core.errors import InputError
from xops.triggers.policy import Enter, Leave, Trigger
from xops.triggers.replay import (
    PHASES,
    THRESHOLDS,
    WINDOWS,
    Rules,
    flips,
    fold,
    replay,
    replayed,
    what_if,
)
from xops.triggers.report import text as outputs


def numbers(values: Sequence[int | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def of(*rows: Trigger) -> Rules:
    return Rules.of([(row.enter, row.leave, row.dwell_weeks) for row in rows])  # type: ignore[misc]


@examples(25)
@given(st.lists(st.tuples(rules(), SERIES), min_size=1, max_size=4))
def test_many_series_at_once_are_as_each_alone(
    cases: list[tuple[Trigger, list[int | None]]],
) -> None:
    length = max(len(values) for _, values in cases)
    columns = [values + [None] * (length - len(values)) for _, values in cases]
    table = np.array([numbers(column) for column in columns]).reshape(len(cases), length).T
    found = fold(table, of(*(rule for rule, _ in cases)))
    for index, (rule, _) in enumerate(cases):
        expected = [state.phase for state in states(columns[index], rule)]
        assert [PHASES[number] for number in found[:, index]] == expected


def test_a_rule_is_repeated_for_as_many_series() -> None:
    rows = of(trigger(), trigger(enter={"above": 4})).repeated(3)
    assert rows.above.tolist() == [5, 5, 5, 4, 4, 4]
    assert rows.enter_of.tolist() == [4, 4, 4, 1, 1, 1]


@pytest.mark.parametrize(
    ("row", "expected"), [([], 0), ([0, 1, 0], 0), ([2, 3, 2], 1), ([0, 2, 0, 1, 3], 3)]
)
def test_flips_are_changes_between_active_and_not(row: list[int], expected: int) -> None:
    assert flips(np.array([row], dtype=np.int8).T).tolist() == [expected]


def test_what_if_tries_thresholds_and_windows() -> None:
    values = [6, 7, 8, 7, 3, 3, 3, 3, 4, 4, 4]
    found = what_if(trigger(), numbers(values))
    assert {row.above for row in found} == {*THRESHOLDS}
    assert {(row.weeks, row.of) for row in found} == {*WINDOWS}
    (own,) = [row for row in found if row.current]
    assert (own.above, own.weeks, own.of) == (5, 3, 4)
    assert (own.flips, own.active_weeks) == (2, phases(values).count("a") + 3)
    at = {(row.above, row.weeks, row.of): row.flips for row in found}
    assert at[8, 1, 1] == 0
    assert at[3, 1, 1] == 3


def test_the_policys_own_rule_is_always_among_what_was_tried() -> None:
    rule = trigger(enter={"above": 12, "weeks": 5, "of": 7})
    found = what_if(rule, numbers([13] * 5))
    assert [row.flips for row in found if row.current] == [1]


def test_a_lower_threshold_lowers_the_exit_too() -> None:
    rule = trigger(leave={"at_or_below": 5, "weeks": 1, "of": 1}, dwell_weeks=0)
    at = {(v.above, v.weeks): v for v in what_if(rule, numbers([4, 4]))}
    assert (at[3, 1].flips, at[3, 1].active_weeks) == (1, 2)


def test_the_past_is_redrawn_by_the_policy_of_today() -> None:
    values = [6, 6, 6, None, 3, 3, 3, 3, 9]
    found = replay(policy(), facts(values), facts(values).as_of, 5)
    line = found.lines[0]
    assert outputs.ribbon(line) == "▒▒▒·+"
    assert line.states[-1] == "pending (1 of 3)"
    assert (line.flips, line.active_weeks, line.unknown_weeks) == (1, 3, 0)
    assert outputs.ribbon(replay(policy(), facts(values), facts(values).as_of, 9).lines[0]) == (
        "++█?▒▒▒·+"
    )
    stricter = policy(triggers={"iac_prs": {**IAC_PRS, "enter": {"above": 8}}})
    assert replay(stricter, facts(values), facts(values).as_of, 9).lines[0].flips == 1


def test_what_the_history_read_can_be_replayed() -> None:
    rows = {"iac_prs": readings([6, 6, 6]), "gone": readings([1])}
    found = replayed(policy(), rows, facts([0]).as_of, 52, source="the history")
    assert [line.trigger for line in found.lines] == ["iac_prs"]
    assert found.lines[0].states[-1] == "active"


def test_it_is_printed() -> None:
    found = replay(policy(), facts([6] * 5), facts([6] * 5).as_of, 52)
    text = "\n".join(outputs.replay_lines(found))
    assert "[1 (3)]" in text
    assert "iac_prs       ++███" in text
    assert found.to_json()["lines"][0]["variants"]


def test_other_zones_weeks_are_refused() -> None:
    with pytest.raises(InputError):
        replay(policy(timezone="Europe/Berlin"), facts([1]), facts([1]).as_of, 5)


def test_rules_of_nothing() -> None:
    assert fold(np.empty((3, 0)), Rules.of([])).shape == (3, 0)
    assert Rules.of([(Enter(above=1), Leave(at_or_below=1), 2)]).dwell.tolist() == [2]
