"""A trigger's policy covers a claim only if it decides, and calls for, what the record says."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.decision.records import RECORD, record
from xops.core.files.settings import ROOT
from xops.decision.coverage import POLICY, Checkout, CheckResult, Coverage
from xops.decision.record import DecisionRecord

WORDS = '("more than 5 merged infrastructure-as-code pull requests a week")'


def coverage_with(root: Path, changes: dict[str, Any], read: DecisionRecord = RECORD) -> Coverage:
    """The record's coverage by the project's policy with these values, by dotted path."""
    policy = yaml.safe_load((ROOT / POLICY).read_text())
    for dotted, value in changes.items():
        *path, last = dotted.split(".")
        place = policy
        for part in path:
            place = place[part]
        place[last] = value
    file = root / POLICY
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(policy))
    return Checkout(root).coverage(read)


def check_of(coverage: Coverage, trigger: str) -> CheckResult:
    claim = next(claim for claim in coverage.claims if claim.name == trigger)
    return next(result for result in claim.checks if result.check.kind == "trigger")


def test_the_projects_policy_says_what_the_record_says(tmp_path: Path) -> None:
    coverage = coverage_with(tmp_path, {})

    for trigger in RECORD.triggers:
        assert check_of(coverage, trigger).differences == ()


@pytest.mark.parametrize(
    ("changes", "trigger", "said"),
    [
        (
            {"triggers.iac_prs.enter.above": 4},
            "iac_prs",
            f"threshold: the record says above 5 {WORDS}, the policy above 4",
        ),
        (
            {"triggers.iac_prs.enter": {"above": 5, "weeks": 26, "of": 26}},
            "iac_prs",
            f"window: the record says 1 week {WORDS}, the policy 26 of 26 weeks",
        ),
        (
            {"triggers.iac_prs.enter": {"above": 5, "weeks": 1, "of": 2}},
            "iac_prs",
            f"window: the record says 1 week {WORDS}, the policy 1 of 2 weeks",
        ),
        (
            {"triggers.iac_prs.metric": "team_size"},
            "iac_prs",
            f"metric: the record says iac_prs {WORDS}, the policy team_size",
        ),
        (
            {"triggers.iac_prs.action.summary": "Nothing at all"},
            "iac_prs",
            'action: the record says "Atlantis on K3S", the policy "Nothing at all"',
        ),
        (
            {"triggers.iac_prs.action.components": ["argocd"]},
            "iac_prs",
            'components: the record says atlantis ("Atlantis on K3S"), the policy argocd',
        ),
        (
            {"triggers.team_size.action.components": ["atlantis"]},
            "team_size",
            'components: the record says argocd, atlantis ("ArgoCD and Atlantis, so that'
            ' concurrent pull requests are kept apart"), the policy atlantis',
        ),
        (
            {"components.atlantis.requires": []},
            "iac_prs",
            "what atlantis runs on: the record says k3s, the policy nothing",
        ),
        (
            {"components.atlantis.requires": ["k3s", "crossplane"]},
            "iac_prs",
            "what atlantis runs on: the record says k3s, the policy argocd, crossplane, k3s",
        ),
        (
            {"triggers.edge.classification": "Service Addition"},
            "edge",
            "classification: the record says Architecture Change, the policy Service Addition",
        ),
        (
            {"triggers.edge.mandate": "second_cloud"},
            "edge",
            'mandate: the record says a mandate edge ("regulatory mandate for on-premises or'
            ' IoT"), the policy a mandate second_cloud',
        ),
        (
            {"triggers.edge.mandate": None, "triggers.edge.metric": "iac_prs"},
            "edge",
            'mandate: the record says a mandate edge ("regulatory mandate for on-premises or'
            ' IoT"), the policy iac_prs',
        ),
        (
            {"triggers.team_size": {"mandate": "edge"}},
            "team_size",
            'metric: the record says team_size ("more than 3 engineers"), the policy a mandate'
            " edge",
        ),
    ],
)
def test_each_difference_is_named_in_the_records_words(
    changes: dict[str, Any], trigger: str, said: str, tmp_path: Path
) -> None:
    coverage = coverage_with(tmp_path, changes)
    found = check_of(coverage, trigger)

    assert str(found.differences[0]) == said
    assert found.why.startswith(said)
    assert trigger in {name for name, _ in coverage.broken}


def test_all_differences_are_named_at_once(tmp_path: Path) -> None:
    changes = {
        "triggers.iac_prs.enter": {"above": 5, "weeks": 26, "of": 26},
        "triggers.iac_prs.metric": "team_size",
        "triggers.iac_prs.action.summary": "Nothing at all",
    }
    found = check_of(coverage_with(tmp_path, changes), "iac_prs")

    assert [row.subject for row in found.differences] == ["metric", "window", "action"]
    assert found.to_json()["differences"] == [
        {"subject": "metric", "record": f"iac_prs {WORDS}", "policy": "team_size"},
        {"subject": "window", "record": f"1 week {WORDS}", "policy": "26 of 26 weeks"},
        {"subject": "action", "record": '"Atlantis on K3S"', "policy": '"Nothing at all"'},
    ]


def test_the_damped_reading_beside_the_strict_one_is_no_difference(tmp_path: Path) -> None:
    beside = {"above": 9, "weeks": 26, "of": 26}

    assert not check_of(
        coverage_with(tmp_path, {"triggers.iac_prs.beside": beside}), "iac_prs"
    ).differences


def test_a_record_that_names_a_window_is_held_to_it(tmp_path: Path) -> None:
    damped = record({"triggers.iac_prs.weeks": 3, "triggers.iac_prs.of": 4})
    found = check_of(coverage_with(tmp_path, {}, damped), "iac_prs")

    assert [row.subject for row in found.differences] == ["window"]
    assert found.why.endswith("the policy 1 week")
