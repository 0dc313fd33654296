"""Which folders of finished runs may go. Pure."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from xops.ecs.run_folder import DAYS, KEPT, past_their_time

NOW = datetime(2026, 6, 1, tzinfo=UTC)
AGES = st.lists(st.integers(min_value=-5, max_value=3 * DAYS), max_size=3 * KEPT)


@given(AGES)
def test_what_stays_is_young_and_among_the_newest(ages: list[int]) -> None:
    finished = [
        (Path(f"{number:04}"), NOW - timedelta(days=age)) for number, age in enumerate(ages)
    ]
    gone = past_their_time(finished, NOW)
    for place, (folder, moment) in enumerate(finished):
        old = NOW - moment > timedelta(days=DAYS)
        many = place < len(finished) - KEPT
        assert (folder in gone) is (old or many)


def test_a_clock_that_was_set_back_removes_nothing() -> None:
    tomorrow = NOW + timedelta(days=1)
    assert past_their_time([(Path("a"), tomorrow)], NOW) == []
