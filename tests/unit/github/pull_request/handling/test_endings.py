"""How a run ends by what became of its environments."""

import json
from itertools import combinations

import pytest

from xops.github.pull_request.course import Course
from xops.github.pull_request.handling.work import ending_of
from xops.github.pull_request.report import EnvironmentReport, EnvironmentState

FAILURES = (EnvironmentState.APPLY_FAILED, EnvironmentState.PLAN_FAILED)


def report(state: EnvironmentState) -> EnvironmentReport:
    return EnvironmentReport(state.name, state)


@pytest.mark.parametrize("state", EnvironmentState)
def test_every_state_has_an_ending(state: EnvironmentState) -> None:
    ending = ending_of(Course(), [report(state)])

    assert ending.failed == (state in FAILURES)
    assert json.loads(json.dumps(ending.to_json()))["environments"][state.name]["state"] == state


@pytest.mark.parametrize(("one", "other"), list(combinations(EnvironmentState, 2)))
def test_a_failure_of_one_environment_is_one_of_the_run(
    one: EnvironmentState, other: EnvironmentState
) -> None:
    ending = ending_of(Course(), [report(one), report(other)])

    assert ending.failed == bool({one, other} & set(FAILURES))
    assert ending.name == ending_of(Course(), [report(other), report(one)]).name


@pytest.mark.parametrize("said", ["refusal", "waits", "green"])
def test_where_nothing_is_planned_the_course_says_why(said: str) -> None:
    course = Course(**{said: "because"})  # type: ignore[arg-type]

    assert ending_of(course, []).message == "because"
