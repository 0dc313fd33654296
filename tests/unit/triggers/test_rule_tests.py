"""Tests that owners of a policy write: their notation, and what is said when one fails."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.triggers.samples import IAC_PRS, policy
from xops.core.errors import InputError
from xops.triggers.policy import FILE, Policy
from xops.triggers.rule_tests import Result, RuleTests, run

CASE = {"name": "a case", "trigger": "iac_prs", "values": "6x3 _ 3"}
STATES = "pending(1), pending(2), active, unknown(active), cooling(1)"


def load(tmp_path: Path, *cases: dict[str, Any], **values: Any) -> RuleTests:
    file = tmp_path / "cases.yaml"
    file.write_text(yaml.safe_dump({"apiVersion": "xops/v1", "cases": list(cases), **values}))
    return RuleTests.load(file)


def ran(tmp_path: Path, **values: Any) -> Result:
    return run(policy(), load(tmp_path, {**CASE, **values}))


@pytest.mark.parametrize(
    "states",
    [
        STATES,
        STATES.split(", "),
        "pending x2, active x2, cooling",
        "pending(1),pending(2),active,active,cooling",
    ],
)
def test_states_are_written_in_any_of_these_ways(tmp_path: Path, states: object) -> None:
    assert ran(tmp_path, states=states).failed == 0


def test_values_may_be_a_list(tmp_path: Path) -> None:
    assert ran(tmp_path, values=[6, 6, 6, None, 3], states=STATES).failed == 0


def test_what_is_known_of_a_week_can_be_written(tmp_path: Path) -> None:
    states = "pending(1), pending(2), active, active, unknown(active), cooling(1)"
    assert ran(tmp_path, values="6-x2 6-9 4- 3-4 0-3", states=states).failed == 0
    listed = ["6-", 6, "6-9", "4-x1", "3-4", "2"]
    assert ran(tmp_path, values=listed, states=states).failed == 0
    found = ran(tmp_path, values="4-6", states="pending(1)")
    assert [str(row) for row in found.mismatches] == [
        "a case: at 1 (value 4 to 6) pending(1) was expected, it is unknown(inactive)"
    ]


def test_a_case_may_be_of_the_other_reading(tmp_path: Path) -> None:
    rules = policy(triggers={"iac_prs": {**IAC_PRS, "beside": {"above": 5}}})
    case = {**CASE, "values": "6 3x4", "states": "active, cooling x3, inactive"}
    beside = load(tmp_path, {**case, "reading": "beside"})
    assert run(rules, beside).failed == 0
    assert run(rules, load(tmp_path, case)).failed == 1
    with pytest.raises(InputError, match="iac_prs has no other reading"):
        run(policy(), beside)


def test_a_record_that_is_not_valid_leaves_it_open(tmp_path: Path) -> None:
    case = {
        "name": "azure",
        "trigger": "second_cloud",
        "mandates": [
            {"effective_from": "2026-03-01", "expires": "2026-05-01", "valid": False},
            {"effective_from": "2026-04-01", "expires": "2027-05-01"},
        ],
        "days": ["2026-02-28", "2026-03-01", "2026-04-02"],
        "states": "pending, unknown(pending), active",
    }
    assert run(policy(), load(tmp_path, case)).failed == 0


def test_what_differs_is_said(tmp_path: Path) -> None:
    found = ran(tmp_path, states="pending(1), pending(1), inactive, active, unknown(cooling)")
    assert (found.cases, found.failed) == (1, 1)
    assert [str(row) for row in found.mismatches] == [
        "a case: at 2 (value 6) pending(1) was expected, it is pending(2)",
        "a case: at 3 (value 6) inactive was expected, it is active",
        "a case: at 5 (value 3) unknown(cooling) was expected, it is cooling(1)",
    ]


def test_mandates_are_looked_at_on_days(tmp_path: Path) -> None:
    case = {
        "name": "azure",
        "trigger": "second_cloud",
        "mandates": [{"effective_from": "2026-03-01", "expires": "2026-05-01"}],
        "days": ["2026-02-28", "2026-03-01", "2026-04-02", "2026-05-01"],
        "states": "pending, active, cooling, inactive",
    }
    assert run(policy(), load(tmp_path, case)).failed == 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"values": "6 x"}, "'x' is not a count"),
        ({"values": "6x9999"}, "longer than 1000 weeks"),
        ({"values": "_-"}, "'_-' is not a count"),
        ({"values": "5-2"}, "is below at_least, 5"),
        ({"values": "-2"}, "'-2' is not a count"),
        ({"states": "on"}, "Input should be 'inactive'"),
        ({"states": "active"}, "1 states for 5 values"),
        ({"states": "active(("}, "is not a state"),
        ({"mandates": []}, "one of the two"),
        ({"values": None}, "one of the two"),
        ({"values": None, "mandates": [], "days": ["2026-01-02", "2026-01-01"]}, "in order"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        load(tmp_path, {**CASE, "states": STATES, **values})


def test_a_case_must_fit_the_policy(tmp_path: Path) -> None:
    cases = [{**CASE, "states": STATES, "trigger": name} for name in ("nothing", "second_cloud")]
    with pytest.raises(InputError) as caught:
        run(policy(), load(tmp_path, *cases))
    messages = [finding.message for finding in caught.value.findings]
    assert "no trigger 'nothing'" in messages[0]
    assert messages[1] == "a case: second_cloud needs mandates"


def test_the_policy_is_found_beside_the_file(tmp_path: Path) -> None:
    case = {**CASE, "states": STATES}
    assert load(tmp_path, case).policy is None
    assert load(tmp_path, case, policy="p.yaml").policy == tmp_path / "p.yaml"


def test_the_projects_policy_does_what_its_own_cases_say() -> None:
    tests = RuleTests.load(FILE.with_name("triggers.test.yaml"))
    assert tests.policy == FILE
    assert run(Policy.load(environ={}), tests).mismatches == ()
