"""Where a month ends: what is known is never less, and what nobody knows is never 0."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from xops.finops.analysis.forecast import Forecast, UnknownForecast, forecast_month
from xops.finops.analysis.periods import Period
from xops.finops.analysis.series import DailySeries

MARCH = Period.month(date(2026, 3, 1))
COSTS = st.decimals(0, 500, places=4)


def series(
    costs: Sequence[Decimal | int | None], end: date, provisional: Sequence[int] = ()
) -> DailySeries:
    """Costs of the days up to and without `end`."""
    known = tuple(None if cost is None else Decimal(cost) for cost in costs)
    return DailySeries(
        end - timedelta(days=len(known)), known, tuple(Decimal(cost) for cost in provisional)
    )


def known(found: Forecast | UnknownForecast) -> Forecast:
    assert isinstance(found, Forecast)
    return found


def test_a_flat_series_ends_where_it_must() -> None:
    found = known(forecast_month(series([10] * 90, date(2026, 3, 16)), MARCH))
    assert found.actual == 150
    assert found.expected == 310
    assert found.low <= 310 <= found.high
    assert found.high - found.low < 2


def test_weekends_that_cost_nothing_are_expected_to() -> None:
    start = date(2025, 12, 1)  # a Monday
    days = Period(start, date(2026, 3, 16))
    costs = [10 if day.weekday() < 5 else 0 for day in days]
    found = known(forecast_month(DailySeries(start, tuple(map(Decimal, costs))), MARCH))
    assert found.expected == 10 * sum(day.weekday() < 5 for day in MARCH)


def test_a_step_is_followed_within_days() -> None:
    found = known(forecast_month(series([10] * 85 + [30] * 5, date(2026, 3, 16)), MARCH))
    assert found.actual == 10 * 10 + 5 * 30
    assert abs(found.expected - (found.actual + 16 * 30)) < 20


@pytest.mark.parametrize("amount", [-400, -40, 400])
@pytest.mark.parametrize("days_ago", [3, 6, 10, 22])
def test_a_single_refund_or_buy_says_nothing_of_the_days_to_come(
    amount: int, days_ago: int
) -> None:
    costs = [5] * 90
    costs[-days_ago] = amount
    found = known(forecast_month(series(costs, date(2026, 3, 12)), MARCH))
    assert found.expected == found.actual + 20 * 5
    assert found.high - found.low < 1


def test_a_day_of_each_week_that_costs_most_is_expected_to() -> None:
    start = date(2025, 12, 1)  # a Monday
    costs = [200 if day.weekday() == 0 else 5 for day in Period(start, date(2026, 3, 16))]
    found = known(forecast_month(DailySeries(start, tuple(map(Decimal, costs))), MARCH))
    assert abs(found.expected - sum(200 if day.weekday() == 0 else 5 for day in MARCH)) < 1


@given(st.lists(COSTS, min_size=28, max_size=120), st.integers(1, 31), st.lists(COSTS, max_size=2))
@examples(60)
def test_the_month_never_ends_below_what_was_spent(
    costs: list[Decimal], day: int, provisional: list[Decimal]
) -> None:
    end = MARCH.start + timedelta(days=day)
    start = end - timedelta(days=len(costs))
    found = forecast_month(DailySeries(start, tuple(costs), tuple(provisional)), MARCH)
    if isinstance(found, Forecast):
        assert found.actual <= found.low <= found.expected <= found.high


def test_provisional_days_count_with_what_is_known_of_them() -> None:
    end = date(2026, 3, 16)
    without = known(forecast_month(series([10] * 90, end), MARCH))
    so_far = known(forecast_month(series([10] * 90, end, [8, 1]), MARCH))
    above = known(forecast_month(series([10] * 90, end, [110, 1]), MARCH))
    assert so_far.actual == without.actual + 9
    assert so_far.expected == without.expected
    assert above.expected == without.expected + 100


def test_a_whole_month_ends_with_what_it_cost() -> None:
    found = known(forecast_month(series([10] * 90, date(2026, 4, 5)), MARCH))
    assert found.low == found.expected == found.high == 310


def test_too_short_a_history_is_unknown_and_says_so() -> None:
    found = forecast_month(series([10] * 15, date(2026, 3, 16)), MARCH)
    assert isinstance(found, UnknownForecast)
    assert found.actual == 150
    assert found.reason == "15 days with costs are known, 28 are needed"
    assert found.to_json()["expected"] is None


def test_days_before_the_first_cost_are_no_history() -> None:
    found = forecast_month(series([0] * 80 + [10] * 10, date(2026, 3, 16)), MARCH)
    assert isinstance(found, UnknownForecast)


def test_missing_days_are_estimated_and_said_and_cost_nothing_to_date() -> None:
    costs: list[int | None] = [10] * 90
    costs[-3] = None
    found = known(forecast_month(series(costs, date(2026, 3, 16)), MARCH))
    assert found.missing == (date(2026, 3, 13),)
    assert found.actual == 140
    assert found.expected == 310


def test_with_most_of_the_last_weeks_missing_it_is_unknown() -> None:
    found = forecast_month(series([10] * 80 + [None] * 10, date(2026, 3, 16)), MARCH)
    assert isinstance(found, UnknownForecast)
    assert found.reason == "10 of the last 28 days are missing"
    assert len(found.missing) == 10


def test_a_month_before_the_first_day_is_unknown_and_not_free() -> None:
    found = forecast_month(series([10] * 40, date(2026, 6, 1)), MARCH)
    assert len(found.missing) == 31


def test_a_month_far_ahead_is_unknown() -> None:
    found = forecast_month(series([10] * 90, date(2026, 1, 10)), MARCH)
    assert isinstance(found, UnknownForecast)
    assert "no complete days from 2026-01-10 on" in found.reason


def test_what_was_charged_once_is_added_and_not_repeated() -> None:
    plain = known(forecast_month(series([10] * 90, date(2026, 3, 16)), MARCH))
    once = known(forecast_month(series([10] * 90, date(2026, 3, 16)), MARCH, Decimal("12.34")))
    refund = known(forecast_month(series([10] * 90, date(2026, 3, 16)), MARCH, Decimal(-50)))
    assert once.expected - plain.expected == once.actual - plain.actual == Decimal("12.34")
    assert refund.actual == 100
    assert refund.expected == 260


def test_amounts_reach_machines_exactly() -> None:
    costs = tuple([Decimal("0.000000000001")] * 60)
    told = forecast_month(DailySeries(date(2026, 1, 15), costs), MARCH).to_json()
    assert told["actual"] == "0.000000000015"
