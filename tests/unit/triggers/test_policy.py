"""The policy's file: what it says by default, and everything that is wrong with it at once."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.unit.triggers.samples import (
    COMMON,
    IAC_PRS,
    POLICY,
    SECOND_CLOUD,
    TEAM_SIZE,
    policy,
    trigger,
)
from xops.core.errors import InputError
from xops.core.files.settings import ROOT
from xops.triggers.policy import FILE, Classification, Measure, Metric, Policy, schema


def problems(tmp_path: Path, **values: Any) -> dict[str, str]:
    file = tmp_path / "triggers.yaml"
    file.write_text(yaml.safe_dump({**POLICY, **values}))
    with pytest.raises(InputError) as caught:
        Policy.load(file, environ={})
    assert all(finding.line for finding in caught.value.findings)
    return {finding.path: finding.message for finding in caught.value.findings}


def test_the_projects_policy_is_that_of_the_decision_record() -> None:
    found = Policy.load(environ={}).triggers
    record = yaml.safe_load((ROOT / "docs" / "adr" / "0005-hybrid-platform.yaml").read_text())
    for name, stated in record["triggers"].items():
        enter = found[name].enter
        assert (enter.above if enter else None) == stated.get("above")
        assert found[name].classification == stated["classification"]
        assert found[name].mandate == stated.get("mandate")
        assert found[name].metric == stated.get("metric")
    assert found.keys() == record["triggers"].keys()


def test_the_projects_defaults() -> None:
    found = Policy.load(environ={})
    assert found.timezone == "Australia/Sydney"
    rule = found.triggers["iac_prs"]
    assert rule.metric is Metric.IAC_PRS
    assert rule.enter
    assert rule.leave
    assert (rule.enter.above, rule.enter.weeks, rule.enter.of) == (5, 1, 1)
    assert rule.beside
    assert (rule.beside.above, rule.beside.weeks, rule.beside.of) == (5, 3, 4)
    assert (rule.leave.at_or_below, rule.leave.weeks, rule.leave.of) == (3, 4, 4)
    assert rule.dwell_weeks == 4


def test_the_published_schema_is_the_models() -> None:
    file = FILE.with_name("triggers.schema.json")
    assert file.read_text() == schema(), "python -m xops.triggers.policy > the file"


TOKEN = {"variable": "XOPS_GITHUB_TOKEN"}


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ({}, True),
        ({"triggers": {"a": {**IAC_PRS, "mandate": None, "measure": None}}}, True),  # kept rules
        ({"triggers": {"a": {**IAC_PRS, "mandate": "edge"}}}, False),
        ({"triggers": {"a": {**IAC_PRS, "measure": "roster"}}}, False),
        ({"triggers": {"a": {**SECOND_CLOUD, "enter": {"above": 1}}}}, False),
        ({"triggers": {"a": COMMON}}, False),
        ({"github": {"repositories": ["a/b"], "credential": TOKEN}}, True),
        ({"github": {"repositories": ["a/b"], "credential": {**TOKEN, "kind": "app"}}}, False),
        ({"github": {"repositories": ["a/b"], "credential": {**TOKEN, "app_id": 1}}}, False),
        (
            {
                "github": {
                    "repositories": ["a/b"],
                    "credential": {**TOKEN, "kind": "app", "app_id": 1},
                }
            },
            True,
        ),
    ],
)
def test_the_schema_and_the_model_say_which_keys_go_together(
    tmp_path: Path, values: dict[str, Any], fits: bool
) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(schema()))
    assert validator.is_valid({**POLICY, **values}) is fits
    if fits:
        assert policy(**values)
    else:
        assert problems(tmp_path, **values)


def test_rules_keep_the_digest_that_earlier_releases_gave_them() -> None:
    # Of the same policy by release 0.1.0: histories name the rules they follow from by it.
    assert policy().digest == "f2a5eac1c3b14d7c5fab776e79f0ad1c923bbb35abc7fba1eca6505f8babf5f0"
    assert Policy.model_validate(policy().rules()).rules() == policy().rules()


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    wrong = {
        **IAC_PRS,
        "enter": {"above": 5, "weeks": 5, "of": 4},
        "action": {"summary": "s", "components": ["nothing"]},
        "classification": "Bug",
        "owner": "",
    }
    found = problems(
        tmp_path,
        triggers={
            "a": wrong,
            "b": {**IAC_PRS, "mandate": "edge"},
            "c": {**SECOND_CLOUD, "enter": {"above": 1}},
            "d": {**IAC_PRS, "leave": {"at_or_below": 6}},
            "e": {**IAC_PRS, "measure": "roster"},
            "f": {**TEAM_SIZE, "leave": None},
        },
        timezone="Sydney",
        github={"repositories": ["a/b", "A/B", "c"], "credential": {"kind": "app"}},
    )
    assert "5 of 4 weeks" in found["triggers.a.enter.weeks"]
    assert {"triggers.a.classification", "triggers.a.owner", "timezone"} <= found.keys()
    assert "one of the two" in found["triggers.b.mandate"]
    assert "no threshold" in found["triggers.c.enter"]
    assert "could call for both" in found["triggers.d.leave.at_or_below"]
    assert "team_size only" in found["triggers.e.measure"]
    assert found["triggers.f.leave"] == "a metric needs it (found None)"
    assert {"github.credential.app_id", "github.credential.variable"} <= found.keys()
    assert "github.repositories.2" in found


def test_components_must_exist(tmp_path: Path) -> None:
    known = {**POLICY["components"], "x": {"title": "X", "requires": ["gone"]}}
    assert problems(tmp_path, components=known) == {
        "components.x.requires.0": "there is no component gone"
    }
    action = {"summary": "s", "components": ["atlantis", "gone"]}
    assert problems(tmp_path, triggers={"a": {**IAC_PRS, "action": action}}) == {
        "triggers.a.action.components.1": "there is no component gone"
    }


def test_prices_are_ranges(tmp_path: Path) -> None:
    price = {"lowest": "2", "highest": "1", "source": "s", "dated": "2026-01-01"}
    found = problems(tmp_path, components={"atlantis": {"title": "A", "monthly": price}})
    assert found == {"components.atlantis.monthly.highest": "is below lowest, 2 (found '1')"}


def test_a_repository_is_named_once(tmp_path: Path) -> None:
    found = problems(tmp_path, github={"repositories": ["a/b", "A/B"]})
    assert found == {"github.repositories.1": "A/B is named twice"}


def test_the_classification_sets_what_is_needed() -> None:
    assert [len(kind.needs) for kind in Classification] == [1, 2, 2]
    assert "cost review" in Classification.MODULE_ADDITION.needs[1]
    assert "new ADR" in Classification.ARCHITECTURE_CHANGE.needs[1]


def test_engineers_of_28_days_decide_unless_the_policy_says_otherwise() -> None:
    assert trigger(TEAM_SIZE).measure is Measure.DAYS28
    assert trigger(TEAM_SIZE, measure="roster").measure is Measure.ROSTER


def test_components_bring_what_they_run_on() -> None:
    titles = {name: {"title": name} for name in ("a", "b", "c", "d")}
    needs = {"a": ["b"], "b": ["c"], "c": ["b"], "d": ["a", "c"]}
    made = {name: {**row, "requires": needs[name]} for name, row in titles.items()}
    made["atlantis"] = {"title": "A", "requires": []}
    found = policy(components=made)
    assert found.all_components(("d",)) == ("c", "b", "a", "d")
    assert found.all_components(("a", "b", "a")) == ("c", "b", "a")


def test_the_rules_are_the_same_wherever_the_file_lies(tmp_path: Path) -> None:
    digests, folders = set(), set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "triggers.yaml"
        file.write_text(yaml.safe_dump({**POLICY, "people": {"aliases": "people.yaml"}}))
        found = Policy.load(file, environ={})
        digests.add(found.digest)
        folders.add(found.mandates.folder)
        assert found.people.aliases == tmp_path / name / "people.yaml"
    assert len(digests) == 1
    assert len(folders) == 2
    assert Policy.model_validate(found.rules()).triggers == found.triggers


def test_another_threshold_is_another_digest() -> None:
    other = {**IAC_PRS, "enter": {"above": 6, "weeks": 3, "of": 4}}
    assert policy().digest != policy(triggers={"iac_prs": other}).digest


def test_a_variable_lies_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "triggers.yaml"
    file.write_text(yaml.safe_dump(POLICY))
    environ = {"XOPS_TRIGGERS__TRIGGERS__IAC_PRS__ENTER__ABOVE": "7"}
    enter = Policy.load(file, environ=environ).triggers["iac_prs"].enter
    assert enter
    assert enter.above == 7


def test_components_that_need_each_other_many_times_over_are_listed_at_once() -> None:
    """Sixty layers of two, each of which needs both below: 2^60 ways, and a chain of 3,000."""
    layers = {
        f"{name}{n}": {"title": "x", "requires": [f"a{n - 1}", f"b{n - 1}"] if n else []}
        for n in range(60)
        for name in "ab"
    }
    chain = {f"c{n}": {"title": "x", "requires": [f"c{n - 1}"] if n else []} for n in range(3000)}
    rules = policy(components={**POLICY["components"], **layers, **chain})
    assert len(rules.all_components(("a59",))) == 119
    assert rules.all_components(("c2999",))[::2999] == ("c0", "c2999")
