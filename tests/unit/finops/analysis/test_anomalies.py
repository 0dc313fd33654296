"""What is odd: rises, drops, what is new; weekends and planned changes are not."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from xops.core.evidence.log import Record
from xops.finops.analysis.anomalies import (
    Anomaly,
    Kind,
    PlannedChange,
    find_in,
    planned_change,
    planned_changes,
)
from xops.finops.analysis.baseline import USUAL, band, baseline
from xops.finops.analysis.periods import Period
from xops.finops.analysis.series import CostRow, Days

START = date(2026, 1, 5)  # a Monday
TASKS, TRAFFIC = "Fargate-ARM-vCPU-Hours:perCPU", "DataTransfer-Out-Bytes"


def weekly(count: int) -> list[float]:
    """A series with weekends at 40 % and a little noise."""
    random = np.random.default_rng(5)
    base = [20.0 if day % 7 < 5 else 8.0 for day in range(count)]
    return [round(cost * random.normal(1, 0.02), 2) for cost in base]


def rows(
    costs: Sequence[float], usage_type: str = TASKS, environment: str = "prod"
) -> list[CostRow]:
    return [
        CostRow(START + timedelta(days=number), environment, "ECS", usage_type, Decimal(f"{cost}"))
        for number, cost in enumerate(costs)
    ]


def days(count: int, missing: Sequence[int] = ()) -> Days:
    end = START + timedelta(days=count)
    known = {START + timedelta(days=n) for n in range(count) if n not in missing}
    return Days.of(Period(START, end), known, delay=0)


def day(number: int) -> date:
    return START + timedelta(days=number)


def only(found: list[Anomaly]) -> Anomaly:
    [one] = found
    return one


def test_a_steady_week_is_not_odd() -> None:
    assert find_in(rows(weekly(84)), days(84)) == []


def test_a_rise_of_days_in_a_row_is_one_anomaly_with_its_cause() -> None:
    more = [0.5] * 84
    more[70:73] = [30.0, 35.0, 30.0]
    found = only(find_in(rows(weekly(84)) + rows(more, TRAFFIC), days(84)))
    assert found.kind is Kind.RISE
    assert found.period == Period(day(70), day(73))
    assert found.causes[0].usage_type == TRAFFIC
    assert found.causes[0].amount == Decimal("93.5")
    assert Decimal(85) < found.impact < Decimal(100)


def test_what_fell_is_no_cause_of_a_rise() -> None:
    more, less = [0.5] * 84, [9.0] * 84
    more[70], less[70] = 60.0, 1.0
    parts = [*rows(more, TRAFFIC), *rows(less, "NatGateway-Hours")]
    found = only(find_in(rows(weekly(84)) + parts, days(84)))
    assert "NatGateway-Hours" not in [cause.usage_type for cause in found.causes]


def test_a_drop_is_odd_too() -> None:
    costs = weekly(84)
    costs[70:72] = [2.0, 2.0]
    found = only(find_in(rows(costs), days(84)))
    assert (found.kind, found.period) == (Kind.DROP, Period(day(70), day(72)))
    assert found.impact < -30


def test_a_service_without_rows_costs_nothing_and_that_is_a_drop() -> None:
    other = rows([1.0] * 84, environment="sit")
    gone = [row for row in rows(weekly(84)) if row.day < day(75)]
    found = only(find_in(gone + other, days(84)))
    assert (found.kind, found.period.start) == (Kind.DROP, day(75))


def test_days_that_nobody_delivered_are_missing_and_no_drop() -> None:
    costs = [row for row in rows(weekly(84)) if row.day not in (day(70), day(71))]
    known = days(84, missing=(70, 71))
    assert find_in(costs, known) == []
    assert known.missing == [day(70), day(71)]
    assert known.state(day(70)) == "missing"


def test_a_new_service_is_told_once_and_is_usual_after_a_week() -> None:
    new = [
        CostRow(day(number), "sit", "RDS", "db.t4g.small", Decimal("1.224"))
        for number in range(50, 84)
    ]
    found = only(find_in(rows(weekly(84)) + new, days(84)))
    assert found.kind is Kind.NEW
    assert str(found.subject) == "sit: RDS"
    assert found.period == Period(day(50), day(57))
    assert found.expected == 0


def test_a_new_level_is_told_once_and_is_usual_after_a_week() -> None:
    costs = [cost * (2 if number >= 50 else 1) for number, cost in enumerate(weekly(98))]
    found = only(find_in(rows(costs), days(98)))
    assert found.period == Period(day(50), day(57))


def test_what_is_too_little_money_is_not_told() -> None:
    costs = [cost / 100 for cost in weekly(84)]
    costs[70] *= 5
    assert find_in(rows(costs), days(84)) == []
    small = replace(USUAL, least_amount=Decimal("0.10"))
    assert only(find_in(rows(costs), days(84), sensitivity=small)).kind is Kind.RISE


def test_what_is_below_a_cent_is_no_cause() -> None:
    costs = weekly(84)
    costs[70] = 60.0
    tiny = [0.0] * 70 + [0.004] + [0.0] * 13
    found = only(find_in(rows(costs) + rows(tiny, TRAFFIC), days(84)))
    assert TRAFFIC not in [cause.usage_type for cause in found.causes]


def test_a_refund_does_not_break_the_statistics() -> None:
    costs = weekly(84)
    costs[70] = -40.0
    assert only(find_in(rows(costs), days(84))).kind is Kind.DROP


@pytest.mark.parametrize("count", [0, 1, 20])
def test_too_few_days_say_nothing(count: int) -> None:
    assert find_in(rows([1.0] * (count - 1) + [900.0] if count else []), days(count)) == []


def test_a_planned_change_explains_its_own_environment_and_days() -> None:
    costs = weekly(84)
    costs[70:72] = [60.0, 60.0]
    digest = "a" * 64
    right = PlannedChange(Period(day(69), day(71)), "prod", digest, "somebody")
    other = [
        replace(right, subject="sit"),
        replace(right, period=Period(day(60), day(70))),
        replace(right, period=Period(day(71), day(73))),
        replace(right, period=Period(day(72), day(75))),
    ]
    found = only(find_in(rows(costs), days(84), [*other, right]))
    assert found.planned == (right,)
    assert found.to_json()["planned"] == [
        {"from": str(day(69)), "until": str(day(71)), "subject": "prod", "digest": digest,
         "who": "somebody"}
    ]  # fmt: skip


def test_a_record_tells_who_changed_what_and_when() -> None:
    body = {
        "kind": "apply", "digest": "d" * 64, "approval": {"by": "jo"},
        "recorded_at": datetime(2026, 3, 1, 23, 30, tzinfo=UTC).isoformat(),
    }  # fmt: skip
    found = planned_change("prod", Record("key", body, ""))
    assert found == PlannedChange(
        Period(date(2026, 3, 1), date(2026, 3, 3)), "prod", "d" * 64, "jo"
    )
    assert planned_change("prod", Record("key", body | {"approval": None}, "")).who == ""


def test_an_apply_that_found_nothing_to_change_explains_nothing() -> None:
    body: dict[str, Any] = {
        "kind": "apply", "digest": "d" * 64, "approval": {"by": "jo"}, "status": "applied",
        "recorded_at": datetime(2026, 3, 1, tzinfo=UTC).isoformat(),
    }  # fmt: skip
    again = body | {"recorded_at": datetime(2026, 3, 9, tzinfo=UTC).isoformat(),
                    "status": "unchanged", "approval": None}  # fmt: skip
    intent = {key: value for key, value in body.items() if key != "status"} | {"kind": "intent"}
    records = [Record(str(key), one, "") for key, one in enumerate((again, body, intent))]
    [only] = planned_changes("prod", records, datetime(2026, 1, 1, tzinfo=UTC))
    assert (only.period.start, only.who) == (date(2026, 3, 1), "jo")


def test_an_apply_that_was_refused_explains_nothing() -> None:
    intent: dict[str, Any] = {
        "kind": "intent", "digest": "d" * 64, "approval": {"by": "jo"}, "id": "begun",
        "recorded_at": datetime(2026, 3, 1, tzinfo=UTC).isoformat(),
    }  # fmt: skip
    refused = intent | {"kind": "refused", "status": "refused", "id": "ended", "closes": ["begun"]}
    records = [Record(str(key), one, "") for key, one in enumerate((refused, intent))]
    assert planned_changes("prod", records, datetime(2026, 1, 1, tzinfo=UTC)) == []


def test_what_is_within_the_band_is_not_odd() -> None:
    costs = np.array(weekly(84))
    costs[70] = 60
    low, high = band(costs)
    _, scores = baseline(costs)
    judged = ~np.isnan(scores)
    inside = (low <= costs) & (costs <= high)
    odd = np.abs(scores) > USUAL.deviations
    assert judged.sum() == 63
    assert not inside[70]
    assert odd[70]
    assert (inside | odd)[judged].all()
    assert np.isnan(low[:21]).all()
