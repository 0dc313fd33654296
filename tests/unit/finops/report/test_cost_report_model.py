"""What a report may claim: known, known in part, or unknown; whole months and partial ones."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.finops.report.samples import environment, known, report, usd
from xops.core.errors import ExitCode
from xops.finops.report.model.planning import StreamCost
from xops.finops.report.model.spending import BudgetState, EnvironmentBudget
from xops.finops.report.model.trust import Gap, TagCoverage, Watch
from xops.finops.report.model.values import AtLeast, Known, Label, Month, Unknown, number, reason


def state(**changes: Any) -> BudgetState:
    return replace(environment("prod", "100", "180", "150"), **changes).state


def test_an_environment_is_within_its_budget_until_it_is_expected_to_be_over() -> None:
    assert state() is BudgetState.WITHIN
    forecast = environment("prod", "100", "180", "180.01").forecast
    assert state(forecast=forecast) is BudgetState.FORECAST_OVER
    assert state(spent=known("180.01")) is BudgetState.OVER
    assert state(spent=known("180")) is BudgetState.WITHIN


@pytest.mark.parametrize(
    "changes",
    [{"budget": None}, {"spent": Unknown("nothing was delivered")}, {"forecast": Unknown("new")}],
    ids=str,
)
def test_what_is_unknown_is_within_no_budget(changes: dict[str, Any]) -> None:
    assert state(**changes) is BudgetState.UNKNOWN


def test_what_is_over_already_is_over_whatever_else_is_unknown() -> None:
    assert state(spent=known("200"), forecast=Unknown("too few days")) is BudgetState.OVER


def test_a_whole_month_needs_no_forecast() -> None:
    whole = Month("2026-02")
    assert state(month=whole, forecast=Unknown("it is over")) is BudgetState.WITHIN


def test_a_month_with_a_day_missing_is_partial_and_says_so() -> None:
    assert not Month("2026-02").is_partial
    assert Month("2026-02", missing=2).is_partial
    assert str(Month("2026-03", date(2026, 3, 15), 1)) == "2026-03 (to 15 Mar, 1 day missing)"


def test_the_days_left_are_those_after_the_last_with_costs() -> None:
    row: EnvironmentBudget = environment("prod", "1", "180", "2")
    assert row.days_left == 16
    assert replace(row, month=Month("2026-03")).days_left == 0


def test_no_share_of_an_unknown_budget() -> None:
    assert environment("prod", "90", "180", "1").share == 50
    assert environment("prod", "900", "180", "1").share == 100
    assert environment("prod", "90", None, "1").share is None
    assert environment("prod", "90", "0", "1").share is None


def test_labour_that_is_not_set_leaves_the_total_unknown() -> None:
    row = StreamCost("ECS", "", known("174.76", Label.ESTIMATED), None, Unknown("no hours"))
    assert row.total == Unknown("no hours")
    paid = replace(row, hours=Decimal(2), labour=known("100", Label.ESTIMATED))
    assert paid.total == Known(Decimal("274.76"), Label.ESTIMATED)
    part = replace(paid, invoice=AtLeast(Decimal(10), Label.ESTIMATED, "no price for efs"))
    assert part.total == AtLeast(Decimal(110), Label.ESTIMATED, "at least: no price for efs")


def test_a_part_of_an_amount_is_a_number_with_a_reason() -> None:
    part = AtLeast(Decimal(3), Label.ESTIMATED, "no price for efs")
    assert (number(part), reason(part)) == (Decimal(3), "at least: no price for efs")
    assert (number(Unknown("why")), reason(Unknown("why"))) == (None, "why")
    assert (number(known("2")), reason(known("2"))) == (Decimal(2), "")


def test_a_coverage_of_nothing_has_no_share_and_is_never_rounded_up() -> None:
    assert TagCoverage("owner", Decimal(0), Decimal(0)).percent is None
    assert TagCoverage("owner", Decimal("99.99"), Decimal("0.01")).percent == Decimal("99.9")
    assert TagCoverage("owner", Decimal(5), Decimal(0)).percent == Decimal("100.0")


def test_the_exit_code_says_findings_before_what_is_unknown() -> None:
    calm: dict[str, Any] = {
        "budgets": (environment("prod", "1", "180", "2"),),
        "watch": Watch((), ()),
    }
    assert report(**calm).exit_code is ExitCode.DONE
    gap = Gap("3 days", "nothing was delivered")
    assert report(**calm, gaps=(gap,)).exit_code is ExitCode.INCOMPLETE
    assert report(**calm, spend=Unknown("no")).exit_code is ExitCode.INCOMPLETE
    unknown = (environment("prod", "1", None, "2"),)
    assert report(**{**calm, "budgets": unknown}).exit_code is ExitCode.INCOMPLETE
    over = (environment("prod", "1", None, "2"), environment("sit", "200", "120", "300"))
    assert report(**{**calm, "budgets": over, "gaps": (gap,)}).exit_code is ExitCode.FINDINGS


def test_only_an_anomaly_that_no_change_explains_is_a_finding() -> None:
    watch = report().watch
    assert isinstance(watch, Watch)
    explained = Watch(watch.days, tuple(one for one in watch.anomalies if one.planned))
    budgets = (environment("prod", "1", "180", "2"),)
    assert report(budgets=budgets).exit_code is ExitCode.FINDINGS
    assert report(budgets=budgets, watch=explained).exit_code is ExitCode.DONE


def test_headlines_say_what_is_unknown_and_how_many_anomalies_there_are() -> None:
    said = report(gaps=(Gap("2 days", "nothing came"),)).headlines
    assert "over budget: prod: 188.40 of 180.00 in 2026-03 (to 15 Mar)" in said[2]
    assert said[-2:] == ["unknown: 2 days: nothing came", "1 anomaly without a known cause"]
    lost = replace(environment("sit", "1", "120", "2"), spent=Unknown("no tag"))
    assert lost.headline == "sit: unknown: no tag"
    assert usd("1").currency == "USD"
