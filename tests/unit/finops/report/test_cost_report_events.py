"""What automations are told: once for a budget's month and for an anomaly, never of samples."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import HOSTILE
from tests.unit.finops.report.samples import TODAY, environment, known, report
from xops.core.errors import InputError
from xops.finops.report import memory
from xops.finops.report.events import ANOMALY, BUDGET_EXCEEDED, FORECAST_EXCEEDED, events
from xops.finops.report.memory import FILE, Memory
from xops.finops.report.model.report import Report
from xops.finops.report.model.spending import Spend, SpendRow
from xops.finops.report.model.trust import Restatement
from xops.finops.report.model.values import Label, Month, Unknown


def actual(text: str = "prod: ECS", **changes: Any) -> Report:
    return report(text, label=Label.ACTUAL, **changes)


def test_budgets_and_anomalies_are_told() -> None:
    found = list(events(actual()))
    assert [(one.name, one.subject) for one in found] == [
        (FORECAST_EXCEEDED, "sit"), (BUDGET_EXCEEDED, "prod"), (ANOMALY, "prod: ECS"),
    ]  # fmt: skip
    over = found[1].payload
    assert (over["spent"], over["budget"], over["expected"]) == ("188.4", "180", "381")
    assert over["summary"].startswith("prod: 188.40 of 180.00")
    assert {one.payload["label"] for one in found} <= {"actual", "sample"}


def test_made_up_costs_start_no_automation() -> None:
    assert list(events(report())) == []


def test_a_later_report_tells_the_same_with_the_same_identity() -> None:
    first = [one.identity for one in events(actual())]
    again = [one.identity for one in events(actual(budgets=(
        environment("sit", "65", "120", "130"), environment("prod", "190", "180", "390"),
    )))]  # fmt: skip
    assert again == first
    assert len(set(first)) == len(first)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_the_id_of_a_resource_is_one_whatever_names_say(text: str) -> None:
    for one in events(actual(text)):
        assert one.resource.removeprefix("xops.costs.").replace("_", "").replace(
            "-", ""
        ).isalnum() or one.resource.strip("_") in ("xops.costs.", "xops.costs")


def spend(january: str) -> Spend:
    months = (Month("2026-01"), Month("2026-03", date(2026, 3, 15)))
    totals = (known(january), known("114.65"))
    return Spend(months, (SpendRow("ECS", totals),), totals)


def test_a_month_that_comes_to_something_else_is_told_of(tmp_path: Path) -> None:
    first, second = actual(spend=spend("201.10")), actual(spend=spend("207.30"))
    assert isinstance(memory.restatements(first, tmp_path), Unknown)
    memory.remember(first, tmp_path)
    assert memory.restatements(first, tmp_path) == ()
    told = (Restatement("2026-01", TODAY, Decimal("201.10"), Decimal("207.30")),)
    assert memory.restatements(second, tmp_path) == told
    memory.remember(second, tmp_path)
    assert memory.restatements(second, tmp_path) == told  # for a while


def test_a_month_that_goes_on_is_not_remembered(tmp_path: Path) -> None:
    memory.remember(actual(spend=spend("1")), tmp_path)
    assert [one.month for one in Memory.load(tmp_path / FILE).said] == ["2026-01"]


def test_samples_and_parts_and_the_past_are_not_remembered(tmp_path: Path) -> None:
    memory.remember(report(spend=spend("1")), tmp_path)
    assert not (tmp_path / FILE).exists()
    memory.remember(actual(spend=spend("1"), environment="prod"), tmp_path)
    assert Memory.load(tmp_path / FILE).said == ()
    memory.remember(actual(spend=spend("1")), tmp_path)
    memory.remember(actual(spend=spend("2"), as_of=date(2026, 3, 1)), tmp_path)
    assert [one.billed for one in Memory.load(tmp_path / FILE).said] == [1]


def test_a_memory_that_somebody_changed_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"said": [{"month": "2026-13"}]}')
    with pytest.raises(InputError, match=r"reported\.json"):
        memory.restatements(actual(), tmp_path)
