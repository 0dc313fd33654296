"""The record's rules, one by one, each with the finding that a person would read."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.absent import GONE
from tests.soak import examples
from tests.unit.decision.records import PUBLISHED, changed
from xops.core.errors import InputError
from xops.decision.figures import band, follows
from xops.decision.record import ADR_005, DecisionRecord


def findings(values: dict[str, Any], folder: Path) -> dict[str, str]:
    """What is found wrong with the record's file once it holds these values, by path."""
    file = folder / "record.yaml"
    file.write_text(yaml.safe_dump(changed(values)))
    try:
        DecisionRecord.load(file)
    except InputError as error:
        return {finding.path: finding.message for finding in error.findings}
    return {}


def test_the_record_loads_and_keeps_unknown_weights_unknown() -> None:
    read = DecisionRecord.load()

    assert read.chosen == "C"
    assert read.pillars.weights is None
    assert read.agents.weights is None
    assert list(read.pillars.column("ecs")) == [92, 90, 88, 85, 90, 80]
    assert {name: row.score for name, row in read.options.items()} == {
        "A": Decimal("83.3"),
        "B": Decimal("71.1"),
        "C": Decimal("87.1"),
    }


@pytest.mark.parametrize(
    "values", [{"pillars.weights": PUBLISHED}, {"agents.plain_average": "87.1"}]
)
def test_accepted(values: dict[str, Any], tmp_path: Path) -> None:
    assert findings(values, tmp_path) == {}


@pytest.mark.parametrize(
    ("values", "path", "message"),
    [
        ({"pillars.weights": None}, "pillars.weights", "write the weights, or unknown"),
        (
            {"pillars.weights": PUBLISHED | {"cost": "0.25"}},
            "pillars.scores",
            "the weights sum to 1.10, not 1",
        ),
        ({"pillars.weights": {"cost": "1"}}, "pillars.scores", "a value for every criterion"),
        ({"pillars.scores.cost.k3s": GONE}, "pillars.scores", "cost has no score for k3s"),
        ({"pillars.scores.cost.k3s": 101}, "pillars.scores.cost.k3s", "less than or equal to 100"),
        ({"pillars.scores.cost.k3s": 55.5}, "pillars.scores.cost.k3s", "quoted decimal"),
        ({"pillars.stated_average.ecs": GONE}, "pillars.stated_average", "value for every column"),
        (
            {"pillars.plain_average.ecs": "88.83"},
            "pillars.plain_average",
            "ecs is 87.50 by the lines above, not 88.83",
        ),
        ({"agents.plain_average": "87.2"}, "agents.plain_average", "is 87.06 by the lines above"),
        ({"agents.of": "D"}, "agents", "there is no option 'D'; there are: A, B, C"),
        ({"chosen": "D"}, "chosen", "there is no option 'D'"),
        ({"options.A.column": "k3s"}, "options", "each option has one column"),
        ({"triggers.iac_prs.fires_from": 5}, "triggers.iac_prs.fires_from", "must be 6"),
        (
            {
                "triggers.edge.metric": "iac_prs",
                "triggers.edge.fires_from": 2,
                "triggers.edge.above": 1,
            },
            "triggers.edge.mandate",
            "one of the two",
        ),
        ({"triggers.edge.mandate": GONE}, "triggers.edge", "one of the two"),
        ({"triggers.iac_prs.metric": GONE}, "triggers.iac_prs.metric", "required"),
        ({"triggers.iac_prs.weeks": 2}, "triggers.iac_prs.weeks", "2 of 1 weeks can never be met"),
        ({"triggers.edge.components": []}, "triggers.edge.components", "at least 1"),
        (
            {"pillars.not_derived": [{"says": "with 2026-2030 trend 91.2", "figure": "1.2"}]},
            "pillars.not_derived.0.figure",
            "do not state 1.2",
        ),
        (
            {"departures.files.record": GONE},
            "departures.files.record",
            "required",
        ),
        ({"departures.files.by": "nobody"}, "departures.files.by", "should be 'xops'"),
        (
            {"departures.budget_check.keys": ["budget_check.months", "owner"]},
            "departures.budget_check.keys.0",
            "there is nothing at budget_check.months",
        ),
        (
            {"departures.budget_check.keys": ["owner.name"]},
            "departures.budget_check.keys.0",
            "there is nothing at owner.name",
        ),
        ({"budgets.stream2.cloud_vms.to": "100"}, "budgets.stream2.cloud_vms.to", "below from"),
        ({"budget_check.compute_month": "207.4"}, "budget_check.compute_month", "is 207.48"),
        ({"budget_check.fixed_month": "60.00"}, "budget_check.fixed_month", "is 59.94"),
        ({"budget_check.month": "180.00"}, "budget_check.month", "is 267.42"),
        ({"review.timezone": "Sydney"}, "review.timezone", "IANA"),
        ({"owner": GONE}, "owner", "required"),
        ({"claims.edge.checks": GONE}, "claims.edge.unchecked", "or says why there are none"),
        ({"claims.edge.unchecked": "no"}, "claims.edge.unchecked", "one of the two"),
        (
            {"claims.edge.checks": [{"test": "tests/x.py"}]},
            "claims.edge.checks.0.test",
            "should match",
        ),
        (
            {"claims.edge.checks": [{"trigger": "north"}]},
            "claims",
            "edge: there is no trigger 'north'",
        ),
        ({"claims.edge.checks": [{}]}, "claims.edge.checks.0", "a check is one of"),
        ({"surprise": 1}, "surprise", "is not a known key"),
    ],
)
def test_refused(values: dict[str, Any], path: str, message: str, tmp_path: Path) -> None:
    found = findings(values, tmp_path)

    assert list(found) == [path]
    assert message in found[path]


def test_every_error_is_found_in_one_round_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "record.yaml"
    text = ADR_005.read_text().replace('month: "267.42"', 'month: "180"')
    file.write_text(
        text.replace("fires_from: 6", "fires_from: 5").replace("chosen: C", "chosen: D")
    )

    with pytest.raises(InputError) as caught:
        DecisionRecord.load(file)

    lines = file.read_text().splitlines()
    found = {row.path: lines[(row.line or 0) - 1].strip() for row in caught.value.findings}
    assert found == {
        "chosen": "chosen: D",
        "triggers.iac_prs.fires_from": "fires_from: 5",
        "budget_check.month": 'month: "180"',
    }


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        DecisionRecord.load(tmp_path / "none.yaml")


# Figures


@examples(20)
@given(st.fractions(0, 100, max_denominator=1000), st.integers(0, 3))
def test_a_rounded_figure_follows_and_its_neighbours_do_not(exact: Fraction, places: int) -> None:
    unit = Decimal(1).scaleb(-places)
    stated = (Decimal(exact.numerator) / exact.denominator).quantize(unit)
    low, high = band(stated)

    assert follows(stated, exact)
    assert high - low == Fraction(unit)
    assert not follows(stated + 2 * unit, exact)


def test_no_number_has_no_band() -> None:
    with pytest.raises(ValueError, match="no finite number"):
        band(Decimal("NaN"))
