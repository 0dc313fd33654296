"""What was spent, from what was read: whole months, whole weeks, and sums that add up."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.finops.report.readings_by_hand import (
    A_DAY,
    ECS,
    TODAY,
    known,
    readings,
    usage,
)
from tests.unit.finops.report.samples import usd
from xops.finops.analysis.anomalies import PlannedChange
from xops.finops.analysis.periods import Period
from xops.finops.analysis.series import CostRow
from xops.finops.report import oddities, spent
from xops.finops.report.model.spending import BudgetState, Forecast, Movers, Spend
from xops.finops.report.model.trust import Coverage, Watch
from xops.finops.report.model.values import Known, Label, Month, Unknown
from xops.finops.report.readings import label_of, newest_whole_month
from xops.finops.report.spent import Changes, Scope

ALL, PROD = Scope(), Scope("prod")
LIMITS = [("test", usd("45")), ("prod", usd("180")), ("peak", usd("380"))]


def test_a_month_is_whole_once_all_of_its_days_are_complete() -> None:
    assert spent.month("2026-02", known()) == Month("2026-02")
    assert spent.month("2026-03", known()) == Month("2026-03", date(2026, 3, 15))
    lost = known({date(2026, 2, 10), date(2026, 2, 11)})
    assert spent.month("2026-02", lost) == Month("2026-02", None, 2)


def test_a_month_that_begins_before_the_first_delivery_is_partial() -> None:
    begun = known(first=date(2026, 1, 20))
    assert spent.month("2026-01", begun).missing == 19


@pytest.mark.parametrize("today", [date(2026, 3, 1), date(2026, 3, 2)])
def test_a_month_is_not_whole_while_its_last_days_may_grow(today: date) -> None:
    assert spent.month("2026-02", known(today=today)).is_partial


def test_the_months_add_up_to_what_was_billed() -> None:
    found = readings()
    table = spent.spend(found, ALL)
    assert isinstance(table, Spend)
    billed = sum(row["billed_cost"] for row in found.monthly)
    totals = [total for total in table.totals if isinstance(total, Known)]
    assert sum(total.amount for total in totals) == billed
    for place, total in enumerate(totals):
        rows = [row.amounts[place] for row in table.rows]
        assert sum(row.amount for row in rows if isinstance(row, Known)) == total.amount


def test_taxes_and_credits_are_lines_of_their_own_at_the_end() -> None:
    table = spent.spend(readings(), ALL)
    assert isinstance(table, Spend)
    assert [row.name for row in table.rows] == [ECS, "Tax", "Credits"]
    assert table.rows[2].amounts[0] == Known(Decimal(-5), Label.ACTUAL)


def test_an_environment_that_no_charge_names_has_unknown_costs_and_no_zero() -> None:
    assert isinstance(spent.spend(readings(), Scope("peak")), Unknown)
    [row] = spent.budgets(readings(), LIMITS, Scope("peak"))
    assert isinstance(row.spent, Unknown)
    assert row.state is BudgetState.UNKNOWN


def test_budgets_are_of_the_environments_that_charges_name() -> None:
    rows = spent.budgets(readings(), LIMITS, ALL)
    assert [row.environment for row in rows] == ["test", "prod"]
    assert rows[1].spent == Known(A_DAY["prod"] * 15, Label.ACTUAL)
    assert isinstance(rows[1].forecast, Forecast)
    assert rows[1].forecast.expected == pytest.approx(A_DAY["prod"] * 31, abs=Decimal("0.1"))
    assert rows[1].state is BudgetState.FORECAST_OVER
    assert sum(day.amount for day in rows[1].days) == A_DAY["prod"] * 15


def test_what_is_charged_once_is_spent_and_does_not_recur() -> None:
    found = readings(once={(date(2026, 3, 2), "prod"): Decimal(20)})
    before, after = (
        spent.budgets(one, LIMITS, PROD)[0] for one in (readings(), found)
    )  # fmt: skip
    assert isinstance(before.forecast, Forecast)
    assert isinstance(after.forecast, Forecast)
    assert after.spent == Known(A_DAY["prod"] * 15 + 20, Label.ACTUAL)
    assert after.forecast.expected - before.forecast.expected == 20


def test_the_last_month_is_asked_for_as_a_whole() -> None:
    [row] = spent.budgets(readings(), LIMITS, Scope("prod", last_month=True))
    assert row.month == Month("2026-02")
    assert row.month_end == date(2026, 2, 28)
    assert row.spent == Known(A_DAY["prod"] * 28, Label.ACTUAL)
    assert row.state is BudgetState.WITHIN


def test_a_budget_in_another_currency_is_compared_with_nothing() -> None:
    found = readings(currency="AUD")
    [row] = spent.budgets(found, LIMITS, PROD)
    assert row.budget is None
    assert row.state is BudgetState.UNKNOWN
    assert [gap.what for gap in oddities.gaps(found)] == ["all budgets"]


def test_charges_in_other_currencies_are_left_out_and_said_to_be() -> None:
    [gap] = oddities.gaps(readings(left_out=("AUD", "EUR")))
    assert gap.what == "charges in AUD, EUR"


def test_a_forecast_of_too_few_days_is_unknown() -> None:
    found = readings(date(2026, 1, 20))
    [row] = spent.budgets(found, LIMITS, PROD)
    assert isinstance(row.forecast, Unknown)
    assert "28 are needed" in row.forecast.reason


def test_weeks_are_compared_once_both_are_whole() -> None:
    found = spent.movers(readings(), ALL, Changes())
    assert isinstance(found, Movers)
    assert found.week == date(2026, 3, 2)  # the 14th and 15th of March may still grow
    assert found.week_before == date(2026, 2, 23)
    assert found.after == found.before == sum(A_DAY.values()) * 7
    assert [row.name for row in found.rows] == [
        f"prod: {ECS}", f"test: {ECS}", f"unallocated: {ECS}",
    ]  # fmt: skip
    assert found.moved == ()


def test_a_week_with_a_day_that_nobody_knows_is_compared_with_nothing() -> None:
    found = spent.movers(readings(missing={date(2026, 2, 25)}), ALL, Changes())
    assert found == Unknown("1 days of the last two whole weeks are not known")


@settings(max_examples=30)
@given(st.integers(0, 400))
def test_a_week_that_is_compared_is_a_whole_one(number: int) -> None:
    today = date(2026, 3, 16) + timedelta(days=number)
    days = known(first=today - timedelta(days=40), today=today)
    rows = tuple(CostRow(day, "prod", ECS, "x", Decimal(1)) for day in days.delivered)
    found = spent.movers(readings(days=days, usage=rows, today=today), ALL, Changes())
    assert isinstance(found, Movers)
    assert found.week.weekday() == 0
    assert found.week + timedelta(days=7) <= days.provisional.start
    assert found.before == found.after == 7


def test_changes_of_ours_stand_beside_what_moved_in_their_weeks() -> None:
    change = PlannedChange(Period.day(date(2026, 3, 3)), "prod", "abcdef0123456789", "Anna")
    early = replace(change, period=Period.day(date(2026, 1, 3)))
    other = replace(change, subject="test")
    found = spent.movers(readings(), PROD, Changes((change, early, other), "some are in a bucket"))
    assert isinstance(found, Movers)
    assert [(one.subject, one.what, one.who) for one in found.changes] == [
        ("prod", "plan abcdef012345 applied", "Anna")
    ]
    assert found.unknown_changes == "some are in a bucket"


def test_a_spike_is_told_with_the_change_that_explains_it() -> None:
    day = date(2026, 3, 10)
    rows = tuple(
        replace(row, cost=row.cost * 4) if (row.day, row.environment) == (day, "prod") else row
        for row in readings().usage
    )
    change = PlannedChange(Period.day(day), "prod", "abcdef0123456789", "Anna")
    odd = oddities.watch(readings(usage=rows), ALL, Changes())
    meant = oddities.watch(readings(usage=rows), ALL, Changes((change,)))
    assert isinstance(odd, Watch)
    assert isinstance(meant, Watch)
    assert [(one.first, one.last, one.kind) for one in odd.unexplained] == [(day, day, "rise")]
    assert meant.unexplained == ()
    assert meant.anomalies[0].planned == "plan abcdef012345, Anna"
    band = {one.day: one for one in odd.days}[day]
    assert band.high is not None
    assert band.amount > band.high


def test_a_month_of_which_nothing_was_delivered_has_unknown_costs_and_no_zero() -> None:
    december, today = [date(2026, 12, 1)], date(2026, 12, 2)
    rows = [row for row in usage(today, date(2026, 10, 1)) if row.day not in december]
    days = known(december, date(2026, 10, 1), today)
    found = readings(today, usage=tuple(rows), calendar=days, days=days)
    prod, *_ = spent.budgets(found, [("prod", usd("300"))], Scope())
    assert prod.spent == Unknown("nothing was delivered for 2026-12 yet")
    assert prod.state is BudgetState.UNKNOWN
    assert str(prod.month) == "2026-12 (no day known)"
    assert prod.days_left == 31
    assert isinstance(prod.forecast, Forecast)


def test_a_month_without_a_charge_came_to_nothing_that_is_known() -> None:
    months = ("2025-12", *readings().months)
    found = spent.spend(readings(months=months), Scope())
    assert isinstance(found, Spend)
    assert found.totals[0] == Unknown("nothing was delivered for it")
    assert {row.amounts[0] for row in found.rows} == {found.totals[0]}
    assert all(isinstance(total, Known) for total in found.totals[1:])


def test_too_few_days_to_say_what_is_usual_are_no_calm() -> None:
    first = TODAY - timedelta(days=10)
    days = known(first=first)
    found = oddities.watch(readings(usage=tuple(usage(first=first)), days=days), Scope(), Changes())
    assert found == Unknown("10 days are known, 21 are needed to say what is usual")


def test_nothing_known_is_no_calm() -> None:
    assert isinstance(oddities.watch(readings(usage=()), ALL, Changes()), Unknown)
    assert isinstance(oddities.coverage(readings(covered_usage=Decimal(0))), Unknown)


def test_a_tag_that_no_cost_bears_is_said_to_be_not_activated() -> None:
    found = oddities.coverage(readings())
    assert isinstance(found, Coverage)
    assert found.not_activated == ("owner",)
    assert [(tag.tag, tag.untagged) for tag in found.tags] == [
        ("environment", Decimal(10)), ("owner", Decimal(240)),
    ]  # fmt: skip


def test_days_that_were_not_delivered_are_gaps() -> None:
    assert list(oddities.gaps(readings())) == []
    [gap] = oddities.gaps(readings(missing={date(2026, 2, 3)}))
    assert (gap.what, gap.reason) == ("1 days", "nothing was delivered for 2026-02-03")
    old = known(today=TODAY)
    stale = replace(old, delivered=frozenset(day for day in old.delivered if day.month < 3))
    assert "after 2026-02-28" in [*oddities.gaps(readings(days=stale))][-1].reason


def test_a_store_with_anything_made_up_in_it_is_a_sample() -> None:
    assert label_of(["actual", "sample", "estimated"]) is Label.SAMPLE
    assert label_of(["actual", "estimated"]) is Label.ESTIMATED
    assert label_of(["actual"]) is Label.ACTUAL


def test_the_newest_whole_month_is_the_last_without_a_gap() -> None:
    assert newest_whole_month(known(), TODAY) == Period.month(date(2026, 2, 1))
    lost = known({date(2026, 2, 3)})
    assert newest_whole_month(lost, TODAY) == Period.month(date(2026, 1, 1))
    assert newest_whole_month(known(first=date(2026, 2, 20)), TODAY) is None
