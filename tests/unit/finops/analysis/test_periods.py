"""Days, weeks and months: half-open, in a zone whose clocks change."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from xops.finops.analysis.periods import Period, moment, offsets, week_name

SYDNEY = ZoneInfo("Australia/Sydney")
ZONES = ["Australia/Sydney", "Australia/Lord_Howe", "America/Sao_Paulo", "Europe/London", "UTC",
         "Asia/Kathmandu", "Pacific/Apia", "Africa/Casablanca"]  # fmt: skip
DAYS = st.dates(date(2000, 1, 1), date(2035, 12, 31))


def test_a_year_with_53_weeks() -> None:
    assert week_name(date(2026, 12, 31)) == "2026-W53"
    assert week_name(date(2027, 1, 3)) == "2026-W53"
    assert week_name(date(2027, 1, 4)) == "2027-W01"
    assert Period.week(date(2027, 1, 1)) == Period(date(2026, 12, 28), date(2027, 1, 4))


@given(DAYS)
def test_a_day_is_in_its_week_and_in_its_month(day: date) -> None:
    assert day in Period.week(day)
    assert Period.week(day).start.weekday() == 0
    assert Period.week(day).length == 7
    assert day in Period.month(day)
    assert Period.month(day).end.day == 1
    assert 28 <= Period.month(day).length <= 31


@given(DAYS, st.integers(1, 400))
def test_what_comes_before_is_as_long_and_touches(end: date, days: int) -> None:
    period = Period.ending(end, days)
    assert period.before().end == period.start
    assert period.before().length == period.length == len(list(period)) == days
    assert not period.overlaps(period.before())


def test_a_period_says_its_last_day() -> None:
    assert str(Period(date(2026, 3, 1), date(2026, 4, 1))) == "2026-03-01 to 2026-03-31"
    assert str(Period.day(date(2026, 3, 1))) == "2026-03-01"


def test_a_period_does_not_end_before_it_starts() -> None:
    with pytest.raises(ValueError, match="before it starts"):
        Period(date(2026, 3, 2), date(2026, 3, 1))


def test_days_on_which_clocks_change_have_23_and_25_hours() -> None:
    def hours(day: date) -> float:
        period = Period.day(day)
        return (moment(period.end, SYDNEY) - moment(day, SYDNEY)) / timedelta(hours=1)

    assert hours(date(2026, 4, 5)) == 25
    assert hours(date(2026, 10, 4)) == 23
    assert hours(date(2026, 10, 5)) == 24


def test_offsets_change_when_clocks_do() -> None:
    [summer, winter] = offsets(Period(date(2026, 4, 1), date(2026, 4, 10)), SYDNEY)
    assert summer == (datetime(2026, 4, 4, 16, tzinfo=UTC), timedelta(hours=11))
    assert winter == (moment(date(2026, 4, 10), SYDNEY), timedelta(hours=10))


@examples(50)
@given(DAYS, st.integers(1, 500), st.floats(0, 1, exclude_max=True), st.sampled_from(ZONES))
def test_offsets_are_those_of_the_zone_at_every_moment(
    start: date, days: int, part: float, name: str
) -> None:
    zone, period = ZoneInfo(name), Period(start, start + timedelta(days=days))
    first, last = moment(period.start, zone), moment(period.end, zone)
    found = offsets(period, zone)
    instant = min(first + (last - first) * part, last - timedelta(microseconds=1))
    offset = next(offset for until, offset in found if instant < until)
    assert offset == instant.astimezone(zone).utcoffset()
    assert found[-1][0] == last
