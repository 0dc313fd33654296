"""The replay: the past by the policy of today, flips, and what-if."""

import pytest

from tests.unit.triggers.samples import IAC_PRS, facts, metric, phases, policy, readings
from xops.core.errors import InputError
from xops.triggers.replay import THRESHOLDS, WINDOWS, Line, replay, replay_series, what_if


@pytest.mark.parametrize(
    ("values", "flips"),
    [
        ([], 0),
        ([0], 0),
        ([6, 6, 5], 0),
        ([6] * 3, 1),
        ([6] * 3 + [0] * 4, 2),
        ([6] * 3 + [None], 1),
    ],
)
def test_flips_are_changes_between_active_and_not(values: list[int | None], flips: int) -> None:
    (own,) = [row for row in what_if(metric(), readings(values)) if row.current]
    assert own.flips == flips


def test_what_if_tries_thresholds_and_windows() -> None:
    values = [6, 7, 8, 7, 3, 3, 3, 3, 4, 4, 4]
    found = list(what_if(metric(), readings(values)))
    assert {row.above for row in found} == {*THRESHOLDS}
    assert {(row.weeks, row.of) for row in found} == {*WINDOWS}
    (own,) = [row for row in found if row.current]
    assert (own.above, own.weeks, own.of) == (5, 3, 4)
    assert (own.flips, own.active_weeks) == (2, phases(values).count("a") + 3)
    at = {(row.above, row.weeks, row.of): row.flips for row in found}
    assert at[8, 1, 1] == 0
    assert at[3, 1, 1] == 3


def test_the_policys_own_rule_is_always_among_what_was_tried() -> None:
    rule = metric(enter={"above": 12, "weeks": 5, "of": 7})
    found = what_if(rule, readings([13] * 5))
    assert [row.flips for row in found if row.current] == [1]


def test_a_lower_threshold_lowers_the_exit_too() -> None:
    rule = metric(leave={"at_or_below": 5, "weeks": 1, "of": 1}, dwell_weeks=0)
    at = {(v.above, v.weeks): v for v in what_if(rule, readings([4, 4]))}
    assert (at[3, 1].flips, at[3, 1].active_weeks) == (1, 2)


def drawn(line: Line) -> str:
    """A letter a week: i, p, a, c; in capitals where the week leaves it open."""
    letters = [point.phase[0] for point in line.points]
    rows = zip(letters, line.points, strict=True)
    return "".join(row.upper() if point.insufficient else row for row, point in rows)


def test_the_past_is_redrawn_by_the_policy_of_today() -> None:
    values = [6, 6, 6, None, 3, 3, 3, 3, 9]
    found = replay(policy(), facts(values), facts(values).as_of, 5)
    line = found.lines[0]
    assert drawn(line) == "cccip"
    assert line.states[-1] == "pending (1 of 3)"
    assert (line.flips, line.active_weeks, line.unknown_weeks) == (1, 3, 0)
    assert drawn(replay(policy(), facts(values), facts(values).as_of, 9).lines[0]) == "ppaAcccip"
    stricter = policy(triggers={"iac_prs": {**IAC_PRS, "enter": {"above": 8}}})
    assert replay(stricter, facts(values), facts(values).as_of, 9).lines[0].flips == 1


def test_flips_and_what_if_are_of_the_weeks_that_are_shown() -> None:
    values = [6, 6, 6, 3, 3, 3, 3, 6, 6, 6]
    for weeks in (3, 5, 10):
        line = replay(policy(), facts(values), facts(values).as_of, weeks).lines[0]
        (own,) = [row for row in line.variants if row.current]
        assert (own.flips, own.active_weeks) == (line.flips, line.active_weeks)
    assert [(row.flips, row.active_weeks) for row in line.variants if row.current] == [(3, 5)]


def test_bounds_decide_in_what_if_as_they_do_in_the_machine() -> None:
    found = what_if(metric(), readings([(6, None), (6, 9), (7, 7)]))
    at = {(row.above, row.weeks, row.of): row.flips for row in found}
    assert (at[5, 3, 4], at[6, 2, 3], at[6, 1, 1]) == (1, 0, 1)


def test_what_the_history_read_can_be_replay_series() -> None:
    rows = {"iac_prs": readings([6, 6, 6]), "gone": readings([1])}
    found = replay_series(policy(), rows, facts([0]).as_of, 52, source="the history")
    assert [line.trigger for line in found.lines] == ["iac_prs"]
    assert found.lines[0].states[-1] == "active"


def test_other_zones_weeks_are_refused() -> None:
    with pytest.raises(InputError):
        replay(policy(timezone="Europe/Berlin"), facts([1]), facts([1]).as_of, 5)
