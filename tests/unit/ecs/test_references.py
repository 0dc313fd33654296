"""What is left of a half-done apply is what was approved, on plans of a real Terraform.

The sources are in samples/half-done/source: one module's output feeds another's variable, a list
comes from `for_each`, a local value and a template hold ids, secrets stand at a leaf and in a map,
and a replacement makes its successor first. The documents are `terraform show -json`, trimmed:
`first` on nothing; `first-rest` after `apply -target` of a part; `second` with another image on all
of it; `second-rest` after an apply in which a provisioner failed.
"""

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.plans import KEY
from xops.core.plan.coverage import find_uncovered
from xops.core.plan.fingerprint import FingerprintKey
from xops.core.plan.model import Action, Plan
from xops.core.plan.values import is_hidden, is_unknown, references_of
from xops.ecs.changes import from_terraform
from xops.ecs.references import ANYTHING, References

SAMPLES = Path(__file__).parent / "samples" / "half-done"
SOURCES = {"terraform/main.tf": "0" * 64, "variables": "1" * 64}


@cache
def _read(name: str) -> str:
    return (SAMPLES / f"{name}.json").read_text()


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(_read(name))
    return loaded


def plan(read: dict[str, Any], **inputs: str) -> Plan:
    return from_terraform(read, "ecs/test", "embedded", KEY, inputs={**SOURCES, **inputs})


def uncovered(approved: Plan, read: dict[str, Any], **inputs: str) -> dict[str, str]:
    """What an approval does not cover, and why, as after a record was read back."""
    kept = Plan.model_validate_json(approved.model_dump_json())
    explains = References(read, KEY).explains
    return {row.target: row.why for row in find_uncovered(kept, plan(read, **inputs), explains)}


FIRST, REST = document("first"), document("first-rest")
APPROVED = plan(FIRST)


def known(read: dict[str, Any], address: str) -> dict[str, Any]:
    """What a resource of a document shall become."""
    rows = read["resource_changes"]
    found: dict[str, Any] = next(row["change"] for row in rows if row["address"] == address)
    return found


# The remainder


@pytest.mark.parametrize("names", [("first", "first-rest"), ("second", "second")])
def test_the_rest_of_a_half_done_apply_is_covered(names: tuple[str, str]) -> None:
    approved, rest = map(document, names)

    assert uncovered(plan(approved), rest) == {}


def test_values_that_were_unknown_are_known_by_then() -> None:
    """Otherwise this would show nothing."""
    before = {row.target: row.after for row in APPROVED.changes}
    after = {row.target: row.after for row in plan(REST).changes}

    assert 0 < len(after) < len(before)
    service, was = (
        found["module.svc.terraform_data.service"]["input"] for found in (after, before)
    )
    assert is_unknown(was["network"])
    assert len(service["network"]) == 36
    assert len(service["subnets"]) == 3
    template = after["terraform_data.template"]["input"]
    assert template["label"].startswith("label of ")
    assert template["text"].startswith("arn:")


def test_a_secret_that_was_unknown_is_covered_and_hidden() -> None:
    given = {row.target: row.after for row in plan(REST).changes}["terraform_data.reader"]

    assert is_hidden(given["input"]["given"]["password"])
    assert given["input"]["given"]["user"] == "admin"
    assert uncovered(APPROVED, REST) == {}


def test_of_a_failed_replacement_only_the_half_made_resource_asks() -> None:
    """The rest is to remove what the successor was made of first: that was approved."""
    rest = document("second-rest")
    left = plan(rest)
    assert [row.action for row in left.changes] == [Action.REPLACE, Action.DELETE]
    assert left.changes[1].target.startswith("terraform_data.first (deposed ")

    assert uncovered(plan(document("second")), rest) == {
        "terraform_data.after": "has other values than those approved (replace because tainted)"
    }


def test_a_resource_that_was_made_by_half_asks_and_says_why() -> None:
    rest = copy.deepcopy(REST)
    row = next(r for r in rest["resource_changes"] if r["address"] == "terraform_data.template")
    row["change"]["actions"] = ["delete", "create"]
    row["change"]["before"] = {"id": "half"}
    row["action_reason"] = "replace_because_tainted"

    assert uncovered(APPROVED, rest) == {
        "terraform_data.template": "was made by half, and is to be replaced"
        " (replace because tainted)"
    }


# What was altered


def test_an_altered_constant_is_not_covered() -> None:
    rest = document("first-rest-constant")

    assert uncovered(APPROVED, rest).keys() >= {
        "module.svc.terraform_data.task",
        "terraform_data.template",
    }


def test_an_altered_secret_is_not_covered() -> None:
    assert "module.svc.terraform_data.task" in uncovered(APPROVED, document("first-rest-secret"))


@pytest.mark.parametrize("name", SOURCES)
def test_an_altered_source_or_variable_is_not_covered(name: str) -> None:
    assert uncovered(APPROVED, REST, **{name: "2" * 64}) == {name: "is not what was approved"}


@pytest.mark.parametrize(
    ("address", "path", "value"),
    [
        ("module.svc.terraform_data.service", ["input", "network"], "of another network"),
        ("module.svc.terraform_data.service", ["input", "count"], 3),
        ("module.svc.terraform_data.service", ["input", "subnets"], ["of", "others"]),
        ("module.svc.terraform_data.service", ["input", "more"], True),
        ("module.svc.terraform_data.task", ["input", "image"], "evil:1"),
        ("module.svc.terraform_data.task", ["input", "password"], "canary-other"),
        ("terraform_data.template", ["input", "text"], "arn:of-another:role"),
        ("terraform_data.template", ["input", "label"], "label of another"),
        ("terraform_data.map", ["input", "token"], "canary-other"),
        ("terraform_data.reader", ["input", "given", "password"], "canary-other"),
        ("terraform_data.reader", ["input", "url"], "postgres://app@evil.example"),
    ],
    ids=str,
)
def test_a_value_that_comes_from_elsewhere_is_not_covered(
    address: str, path: list[str], value: Any
) -> None:
    rest = copy.deepcopy(REST)
    *above, last = path
    at = known(rest, address)["after"]
    for key in above:
        at = at[key]
    at[last] = value

    assert uncovered(APPROVED, rest) == {address: "has other values than those approved"}


def test_a_hidden_value_is_explained_by_the_installation_s_key_alone() -> None:
    for key in (None, FingerprintKey("of another installation, with another key")):
        explains = References(REST, key).explains
        assert find_uncovered(APPROVED, plan(REST), explains)


# No secret


@pytest.mark.parametrize("name", sorted(path.stem for path in SAMPLES.glob("*.json")))
def test_no_secret_stands_in_a_plan(name: str) -> None:
    assert "canary" in json.dumps(document(name))

    assert "canary" not in plan(document(name)).model_dump_json()


def test_another_secret_is_another_plan() -> None:
    """Between the documents only the secret differs."""
    other = document("first-secret")

    assert plan(other).digest != APPROVED.digest
    assert plan(document("first")).digest == APPROVED.digest


def test_all_of_a_sensitive_map_is_hidden_and_its_keys_are_shown() -> None:
    (of_map,) = [row for row in APPROVED.changes if row.target == "terraform_data.map"]

    assert of_map.after["input"] == {
        "token": KEY.hide("canary-token"),
        "user": KEY.hide("canary-user"),
    }


# References


def made_from(read: dict[str, Any], address: str, attribute: str) -> tuple[str, ...]:
    return References(read).of(address, attribute)


def test_a_module_s_variable_is_what_the_other_module_s_output_is() -> None:
    assert made_from(FIRST, "module.svc.terraform_data.task", "input") == (
        "module.net.terraform_data.vpc.id",
    )
    assert made_from(FIRST, "module.svc.terraform_data.service", "input") == (
        "module.net.terraform_data.subnet",
        "module.net.terraform_data.vpc.id",
        "module.svc.terraform_data.task.id",
    )


def test_local_values_and_keys_of_a_loop_may_be_anything() -> None:
    assert made_from(FIRST, "terraform_data.template", "input") == (
        ANYTHING,
        "terraform_data.base.id",
    )
    for key in ("a", "b.c", "d]", 'e\\"]'):
        found = made_from(FIRST, f'module.net.terraform_data.subnet["{key}"]', "input")
        assert found == (ANYTHING, "module.net.terraform_data.vpc.id")


def test_an_output_is_made_from_what_its_expression_names() -> None:
    references = References(FIRST)

    assert references.of_output("network") == ("module.net.terraform_data.vpc.id",)
    assert references.of_output("both") == (
        "module.svc.terraform_data.service.id",
        "terraform_data.template.output",
    )
    assert references.of_output("none") == ()


def test_what_the_configuration_does_not_name_is_made_from_nothing_known() -> None:
    assert made_from(FIRST, "terraform_data.base", "output") == ()
    assert made_from(FIRST, "terraform_data.none", "input") == ()
    assert made_from(FIRST, "module.none.terraform_data.none", "input") == ()
    assert made_from({}, "terraform_data.base", "input") == ()


def test_such_a_value_is_explained_by_anything_that_there_is() -> None:
    """What a provider derives (`tags_all`), and `dynamic` blocks."""
    made = next(row for row in REST["prior_state"]["values"]["root_module"]["resources"])["values"]

    assert References(REST).explains((), made["id"])
    assert References(REST).explains((), {"rows": [{"of": f"arn:{made['id']}"}]})
    assert not References(REST).explains((), "of another")
    assert not References(FIRST).explains((), "of another")


def test_constants_are_no_references() -> None:
    resource = {
        "address": "x.y",
        "expressions": {
            "a": {"references": ["path.module", "terraform.workspace", "count.index", "self.id"]},
            "b": {"constant_value": {"references": ["x.z.id"]}},
            "c": [{"inner": {"references": ["x.z.id", "x.z"]}}, {"inner": {"constant_value": 1}}],
            "d": {"references": ["var.of_the_root"]},
        },
    }
    read = {"configuration": {"root_module": {"resources": [resource]}}}

    found = {name: made_from(read, "x.y", name) for name in "abcd"}
    assert found == {"a": (), "b": (), "c": ("x.z.id",), "d": ()}


@pytest.mark.parametrize(
    ("value", "explained"),
    [
        ("id-12345678", True),
        ("arn:id-12345678:x", True),
        (["short", {"y": "id-12345678"}], True),
        (["x", {"y": "id-12345678"}], False),
        (7, True),
        (True, True),
        ("short", True),
        ("with short in it", False),  # five characters are in any text by chance
        (1, False),
        (7.0, False),
        ("7", False),
        ("other", False),
        ([], False),
        (None, False),
        ({"$unknown": ["id-12345678"]}, False),
        ({"$hidden": "id-12345678"}, False),
    ],
    ids=str,
)
def test_a_value_is_one_of_the_reference_s(value: Any, explained: bool) -> None:
    values = {"id": "id-12345678", "size": 7, "on": True, "name": "short", "none": None}
    resource = {"address": "x.y[0]", "values": {"all": values}}
    read = {"prior_state": {"values": {"root_module": {"resources": [resource]}}}}

    assert References(read, KEY).explains(("x.y.all",), value) is explained
    assert not References(read, KEY).explains(("x.z.all",), value)


@pytest.mark.parametrize(
    ("value", "explained"),
    [
        ({"id": "id-12345678", "region": "of the sources"}, True),
        ({"id": "id-12345678", "region": "of a variable"}, True),
        ({"id": "id-12345678", "region": "of nobody"}, False),
        ({"region": "of the sources"}, False),
    ],
)
def test_what_stands_beside_a_reference_is_a_constant(value: Any, explained: bool) -> None:
    resource = {"address": "x.y", "values": {"id": "id-12345678"}}
    expressions = {"a": {"constant_value": "of the sources"}, "b": {"references": ["of nobody"]}}
    read = {
        "prior_state": {"values": {"root_module": {"resources": [resource]}}},
        "configuration": {"root_module": {"resources": [{"expressions": expressions}]}},
        "variables": {"region": {"value": "of a variable"}},
    }

    assert References(read).explains(("x.y.id",), value) is explained


def test_only_the_attribute_that_is_referred_to_counts() -> None:
    resource = {"address": "x.y", "values": {"id": "id-12345678", "arn": "arn-12345678"}}
    read = {"prior_state": {"values": {"root_module": {"resources": [resource]}}}}

    assert References(read).explains(("x.y.id",), "id-12345678")
    assert not References(read).explains(("x.y.id",), "arn-12345678")
    assert References(read).explains(("x.y",), "arn-12345678")


def test_references_are_shown() -> None:
    (service,) = [row for row in APPROVED.changes if row.target.endswith(".service")]

    assert references_of(service.after["input"]["task"])[-1] == "module.svc.terraform_data.task.id"
