"""How long which bounds hold in a week."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xops.finops.pricing.schedules import HOURS_A_WEEK, Action, Bounds, weekly_hours

DAY, NIGHT = Bounds(2, 6), Bounds(1, 2)
DAYS = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]


def test_business_hours_on_five_days() -> None:
    actions = [Action("cron(0 7 ? * MON-FRI *)", DAY), Action("cron(30 19 ? * MON-FRI *)", NIGHT)]
    assert weekly_hours(actions) == {DAY: Decimal("62.5"), NIGHT: Decimal("105.5")}


@pytest.mark.parametrize(
    ("days", "hours"), [("MON", 12), ("SAT-MON", 36), ("MON,WED", 24), ("MON-SUN", 84)]
)
def test_days_are_written_in_several_ways(days: str, hours: int) -> None:
    actions = [Action(f"cron(0 8 ? * {days} *)", DAY), Action(f"cron(0 20 ? * {days} *)", NIGHT)]
    assert weekly_hours(actions) == {DAY: Decimal(hours), NIGHT: Decimal(HOURS_A_WEEK - hours)}


@given(
    st.lists(
        st.tuples(st.integers(0, 59), st.integers(0, 23), st.sampled_from(DAYS), st.integers(0, 9)),
        min_size=1,
    )
)
def test_a_week_has_168_hours(rows: list[tuple[int, int, str, int]]) -> None:
    actions = [
        Action(f"cron({minute} {hour} ? * {day} *)", Bounds(fewest, fewest))
        for minute, hour, day, fewest in rows
    ]
    found = weekly_hours(actions)
    assert found is not None
    assert round(sum(found.values()), 12) == HOURS_A_WEEK
    assert all(hours >= 0 for hours in found.values())


@pytest.mark.parametrize(
    "schedule",
    ["", "rate(1 day)", "at(2026-01-01T00:00:00)", "cron(0 25 ? * MON *)", "cron(0 7 ? * XYZ *)",
     "cron(0 7 ? * MON- *)", "cron(0 7 1 * ? *)", "cron(61 7 ? * MON *)"],
)  # fmt: skip
def test_what_is_not_understood_has_no_hours(schedule: str) -> None:
    assert weekly_hours([Action("cron(0 7 ? * MON *)", DAY), Action(schedule, NIGHT)]) is None


def test_without_actions_there_are_no_hours() -> None:
    assert weekly_hours([]) is None
