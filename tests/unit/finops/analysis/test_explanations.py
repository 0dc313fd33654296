"""Answers to questions: what is unknown is said, and is no 0."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from xops.finops.analysis.anomalies import PlannedChange
from xops.finops.analysis.explanations import explain_day, last_weeks, movers, untagged
from xops.finops.analysis.periods import Period
from xops.finops.analysis.series import CostRow, Days, grouped

END = date(2026, 3, 16)
ALL = Period.ending(END, 60)
TASKS, TRAFFIC = "Fargate-ARM-vCPU-Hours:perCPU", "DataTransfer-Out-Bytes"
CHANGE = PlannedChange(Period(date(2026, 3, 12), date(2026, 3, 14)), "prod", "d" * 64, "jo")


def rows(peak: date) -> list[CostRow]:
    return [
        CostRow(day, "prod", "ECS", name, Decimal(40 if day == peak and name == TRAFFIC else 5))
        for day in ALL
        for name in (TASKS, TRAFFIC)
    ]


def days(*missing: date) -> Days:
    return Days.of(ALL, [day for day in ALL if day not in missing])


def test_a_day_is_explained_by_usage_types_and_changes() -> None:
    day = date(2026, 3, 13)
    found = explain_day(day, rows(day), days(), [CHANGE])
    assert (found.total, found.usual, found.state) == (Decimal(45), Decimal(10), "complete")
    assert [(one.usage_type, one.amount) for one in found.causes] == [(TRAFFIC, Decimal(35))]
    assert found.changes == (CHANGE,)
    assert found.subjects[0].above_usual == 35


def test_yesterday_is_provisional() -> None:
    found = explain_day(date(2026, 3, 15), rows(END), days())
    assert (found.state, found.total) == ("provisional", Decimal(10))


def test_a_day_that_was_not_delivered_is_unknown() -> None:
    day = date(2026, 3, 10)
    found = explain_day(day, rows(END), days(day))
    assert (found.state, found.total, found.usual) == ("missing", None, None)
    assert found.to_json()["total"] is None


def test_a_day_without_a_history_has_no_usual_cost() -> None:
    first = ALL.start + timedelta(days=3)
    found = explain_day(first, rows(END), days())
    assert (found.total, found.usual, found.causes) == (Decimal(10), None, ())


def test_a_day_outside_is_unknown() -> None:
    found = explain_day(ALL.start - timedelta(days=1), rows(END), days())
    assert found.total is None


def test_the_last_weeks_are_complete_and_have_each_weekday_once() -> None:
    earlier, later = last_weeks(days())
    assert later == Period(date(2026, 3, 7), date(2026, 3, 14))
    assert earlier == later.before()


def test_movers_name_the_change_and_missing_days_make_them_unknown() -> None:
    earlier, later = last_weeks(days())
    compared = [
        {"environment": name, "before": Decimal(before), "after": Decimal(after)}
        for name, before, after in (("prod", 1, 9), (None, 2, 1), ("sit", 2, 2))
    ]
    found = movers(compared, earlier, later, days(date(2026, 3, 9)), [CHANGE])
    assert [one.changes for one in found.movers] == [(CHANGE,), ()]
    assert found.difference is None
    assert found.to_json()["difference"] is None
    assert {one["difference"] for one in found.to_json()["movers"]} == {None}
    assert movers(compared, earlier, later, days(), [CHANGE]).difference == 7
    assert found.missing == (date(2026, 3, 9),)
    assert found.to_json()["movers"][0]["changes"][0]["who"] == "jo"


def test_days_before_the_first_delivered_one_are_missing_in_a_comparison() -> None:
    first = date(2026, 3, 5)
    known = Days.of(Period(first, END), list(Period(first, END)))
    earlier, later = last_weeks(known)
    assert movers([], earlier, later, known).missing == tuple(Period(earlier.start, first))


@pytest.mark.parametrize(
    ("tagged", "percent"), [("2", "66.6"), ("2.9999", "99.9"), ("3", "100.0"), ("0", "0.0")]
)
def test_coverage_in_percent(tagged: str, percent: str) -> None:
    covered = {"usage": Decimal(3), "owner": Decimal(tagged)}
    [found] = untagged(ALL, covered, [], {"owner": "Owner"}).coverage
    assert (found.tag, str(found.percent)) == ("Owner", percent)
    assert found.untagged == 3 - Decimal(tagged)


def test_coverage_of_nothing_is_unknown() -> None:
    covered = {"usage": Decimal(0), "owner": Decimal(0)}
    [found] = untagged(ALL, covered, [], {"owner": "owner"}).coverage
    assert found.percent is None


def test_a_day_that_was_delivered_and_names_nothing_cost_nothing() -> None:
    gap = date(2026, 3, 9)
    part = [row for row in rows(END) if row.day != gap]
    found = grouped(part, lambda row: row.environment, days())["prod"]
    missing = grouped(part, lambda row: row.environment, days(gap))["prod"]
    assert found.on(gap) == 0
    assert missing.on(gap) is None
    assert missing.missing(ALL) == [gap]
    assert found.total(ALL) == missing.total(ALL)
