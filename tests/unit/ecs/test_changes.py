"""Terraform's plans as `Plan`s. The samples are `terraform show -json` of real plans, trimmed."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests.plans import KEY
from xops.core.errors import PermanentError
from xops.core.plan.fingerprint import FingerprintKey
from xops.core.plan.model import Action, Change, Plan
from xops.core.plan.values import Json, unknown
from xops.ecs.changes import STAGE, from_terraform

SAMPLES = Path(__file__).parent / "samples"


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SAMPLES / f"plan-{name}.json").read_text())
    return loaded


def planned(read: dict[str, Any], **values: Any) -> Plan:
    return from_terraform(read, "ecs/prod", "embedded", KEY, **values)


def plan(name: str) -> Plan:
    return planned(document(name))


def row(read: dict[str, Any], address: str) -> dict[str, Any]:
    found: dict[str, Any] = next(r for r in read["resource_changes"] if r["address"] == address)
    return found


def one_resource(after: Json, **values: Any) -> Plan:
    """A plan of one resource that is made."""
    change = {"actions": ["create"], "before": None, "after": after, **values}
    return planned({"resource_changes": [{"address": "x.y", "type": "x", "change": change}]})


def change(of: Plan, target: str) -> Change:
    return next(row for row in of.changes if row.target == target)


def test_a_first_plan_creates_and_says_what_only_the_apply_will_tell() -> None:
    created = plan("create")

    assert [(row.action, row.target) for row in created.changes] == [
        (Action.CREATE, "terraform_data.network"),
        (Action.CREATE, "terraform_data.secret"),
        (Action.CREATE, "terraform_data.service[0]"),
        (Action.CREATE, "terraform_data.task"),
    ]
    task = change(created, "terraform_data.task")
    assert task.before is None
    assert task.after == {
        "id": unknown(),
        "input": {"image": "crew:1", "network": unknown()},
        "output": unknown(),
        "triggers_replace": "a",
    }
    assert change(created, "terraform_data.network").after["input"]["zones"] == ["a", "b"]


@pytest.mark.parametrize("name", ["create", "change", "destroy", "unchanged"])
def test_no_secret_is_in_a_plan_however_terraform_shows_it(name: str) -> None:
    """In `change`, a computed attribute repeats the password and Terraform does not mark it."""
    text = json.dumps(document(name))
    assert "canary" in text

    assert "canary" not in plan(name).model_dump_json()


def test_a_secret_s_place_is_shown_and_what_stands_beside_it() -> None:
    secret = change(plan("create"), "terraform_data.secret")

    assert secret.after["input"] == {"password": KEY.hide("hunter2-canary"), "user": "admin"}


def test_a_secret_repeated_elsewhere_is_hidden_there_too() -> None:
    secret = change(plan("change"), "terraform_data.secret")

    assert secret.before["output"] == {"password": KEY.hide("hunter2-canary"), "user": "admin"}


def test_a_secret_within_another_text_is_hidden_there_too() -> None:
    made = one_resource(
        {
            "password": "hunter2-canary",
            "url": "pg://app:hunter2-canary@db",
            "pin": "42",
            "n": "142",
        },
        after_sensitive={"password": True, "pin": True},
    )

    (only,) = made.changes
    assert only.after["url"] == KEY.hide("pg://app:hunter2-canary@db")
    assert only.after["n"] == "142"  # two characters are there by chance


@pytest.mark.parametrize(
    ("after", "sensitive", "shown"),
    [
        ({"a": {"b": "x", "c": 1}}, {"a": {"b": True}}, {"a": {"b": KEY.hide("x"), "c": 1}}),
        (
            {"a": {"b": "x", "c": 1}},
            {"a": True},
            {"a": {"b": KEY.hide("x"), "c": KEY.hide(1)}},
        ),
        ({"a": ["x", "y"]}, {"a": [False, True]}, {"a": ["x", KEY.hide("y")]}),
        ({"a": ["x", {"b": True}]}, {"a": True}, {"a": [KEY.hide("x"), {"b": KEY.hide(True)}]}),
        ({"a": [{"b": "x"}]}, {"a": [{"b": True}]}, {"a": [{"b": KEY.hide("x")}]}),
        ({"a": {"$hidden": "x"}}, {}, {"a": {"$$hidden": "x"}}),
        ({"a": {"$unknown": []}}, {}, {"a": {"$$unknown": []}}),
        ({"a": None, "b": ""}, {"b": True}, {"b": KEY.hide("")}),
    ],
    ids=str,
)
def test_leaves_are_hidden_and_nothing_else(after: Json, sensitive: Json, shown: Json) -> None:
    (only,) = one_resource(after, after_sensitive=sensitive).changes

    assert only.after == shown


@pytest.mark.parametrize(
    ("after", "unknown_at", "shown"),
    [
        ({"a": [1, None]}, {"a": [False, True]}, {"a": [1, unknown()]}),
        ({"a": [1]}, {"a": [False, True]}, {"a": [1, unknown()]}),
        ({}, {"a": [True, {"b": True}]}, {"a": [unknown(), {"b": unknown()}]}),
        ({}, {"a": {"b": True}}, {"a": {"b": unknown()}}),
        ({"a": {}}, {"a": {}}, {"a": {}}),
        ({"a": "x"}, {"a": False}, {"a": "x"}),
        (None, True, unknown()),
    ],
    ids=str,
)
def test_what_only_the_apply_will_tell_is_said_wherever_it_stands(
    after: Json, unknown_at: Json, shown: Json
) -> None:
    (only,) = one_resource(after, after_unknown=unknown_at).changes

    assert only.after == shown


def test_an_update_that_changes_only_a_secret_shows_that_it_does() -> None:
    changed = document("change")
    secret = row(changed, "terraform_data.secret")["change"]
    secret["before"].pop("output")
    secret["after_unknown"].pop("output")

    update = change(planned(changed), "terraform_data.secret")

    assert update.before == {"input": {"password": KEY.hide("hunter2-canary"), "user": "admin"}}
    assert update.after == {"input": {"password": KEY.hide("other-canary"), "user": "admin"}}


def test_a_value_of_another_type_is_a_change() -> None:
    """To Python 1 is True."""
    changed = document("change")
    network = row(changed, "terraform_data.network")["change"]
    network["before"]["input"], network["after"]["input"] = 1, True

    update = change(planned(changed), "terraform_data.network")

    assert (update.before["input"], update.after["input"]) == (1, True)


def test_an_update_shows_only_what_differs() -> None:
    network = change(plan("change"), "terraform_data.network")

    assert network.action is Action.UPDATE
    assert sorted(network.before) == sorted(network.after) == ["input", "output"]
    assert network.before["input"]["size"] == 1
    assert network.after["input"]["size"] == 2
    assert network.after["output"] == unknown()


def test_a_replacement_says_which_attribute_forces_it() -> None:
    task = change(plan("change"), "terraform_data.task")

    assert task.action is Action.REPLACE
    assert task.after["input"]["image"] == task.before["input"]["image"] == "crew:1"
    assert task.reason == "cannot be changed in place: triggers_replace"
    assert task.destroys


def test_a_replacement_that_creates_first_is_one_too() -> None:
    changed = document("change")
    for row in changed["resource_changes"]:
        row["change"]["actions"].reverse()

    task = change(planned(changed), "terraform_data.task")
    assert task.action is Action.REPLACE
    assert task.reason.startswith("its successor is made first; ")


def test_a_delete_says_why() -> None:
    service = change(plan("change"), "terraform_data.service[0]")

    assert service.action is Action.DELETE
    assert service.after is None
    assert service.reason == "delete because count index"


def test_a_task_definition_s_revision_is_disposable_and_a_service_is_not() -> None:
    changed = document("change")
    row(changed, "terraform_data.task")["type"] = "aws_ecs_task_definition"

    replaced = change(planned(changed), "terraform_data.task")

    assert replaced.disposable
    assert not replaced.destroys


def test_destroying_everything_destroys_every_resource_and_no_output() -> None:
    destroyed = plan("destroy")

    assert {row.action for row in destroyed.changes} == {Action.DELETE}
    assert destroyed.destroys == destroyed.changes
    assert len(destroyed.changes) == 4


def test_an_unchanged_stack_is_an_empty_plan() -> None:
    assert plan("unchanged").is_empty


def test_outputs_that_change_alone_are_shown() -> None:
    """Terraform leaves `after` out where it is wholly unknown."""
    changed = document("change")
    changed["resource_changes"] = []

    outputs = planned(changed)

    assert outputs.follows == ()
    assert [(row.action, row.target, row.after) for row in outputs.changes] == [
        (Action.UPDATE, "output.network", unknown()),
        (Action.UPDATE, "output.password", KEY.hide("other-canary")),
        (Action.UPDATE, "output.service", None),
    ]
    assert outputs.changes[0].before["size"] == 1


def test_outputs_that_follow_from_resources_are_bound_and_not_counted() -> None:
    changed = plan("change")

    assert [row.target for row in changed.follows] == [
        "output.network",
        "output.password",
        "output.service",
    ]
    assert not [row for row in changed.changes if row.target.startswith("output.")]
    other = document("change")
    other["output_changes"]["service"]["before"] = "another"
    assert planned(other).digest != changed.digest


def test_an_output_that_goes_loses_nothing() -> None:
    destroyed = document("destroy")
    destroyed["resource_changes"] = []

    outputs = planned(destroyed)

    assert len(outputs.changes) == 3
    assert outputs.destroys == ()


# What changes the state and nothing in the cloud: Terraform calls it changes, so must the plan.


def test_a_move_an_import_and_a_forgotten_resource_are_updates_that_say_what_they_are() -> None:
    anew = plan("recorded-anew")

    assert {(row.action, row.target, row.reason) for row in anew.changes} == {
        (Action.CREATE, "terraform_data.new", ""),
        (Action.UPDATE, "terraform_data.a2", "moved from terraform_data.a"),
        (Action.UPDATE, "terraform_data.i", "imported from some-id"),
        (
            Action.UPDATE,
            "terraform_data.b",
            "leaves the state, the object itself stays; delete because no resource config",
        ),
    }
    assert anew.destroys == ()


def test_reading_a_data_source_changes_nothing() -> None:
    assert "data.terraform_remote_state.r" not in {r.target for r in plan("recorded-anew").changes}


def test_what_a_broken_off_replacement_left_behind_is_told_apart_from_its_successor() -> None:
    left = plan("deposed")

    assert [row.target for row in left.changes] == [
        "terraform_data.d (deposed 0dee86eb)",
        "terraform_data.d (deposed 1aaaaaaa)",
    ]
    assert len(left.destroys) == 2


def test_an_unknown_action_is_refused_rather_than_left_out() -> None:
    changed = document("change")
    changed["resource_changes"][0]["change"]["actions"] = ["defer"]

    with pytest.raises(PermanentError, match=r"terraform_data\.network has the unknown action def"):
        planned(changed)


def test_drift_is_a_reason() -> None:
    changed = document("change")
    changed["resource_drift"] = [{"address": "terraform_data.network"}]

    drifted = planned(changed)

    assert change(drifted, "terraform_data.network").reason == "changed outside Terraform"
    assert change(drifted, "terraform_data.secret").reason == ""


# Its digest


def test_the_order_of_terraform_s_rows_does_not_matter() -> None:
    changed = document("change")
    changed["resource_changes"].reverse()

    assert planned(changed).digest == plan("change").digest


def test_each_plan_has_its_own_digest() -> None:
    names = ["create", "unchanged", "change", "destroy", "recorded-anew", "deposed"]

    assert len({plan(name).digest for name in names}) == len(names)


def test_what_is_done_before_terraform_is_part_of_the_plan_and_comes_first() -> None:
    bucket = Change(action=Action.CREATE, target="s3://state#bucket", stage="state bucket")

    whole = planned(document("create"), before=[bucket])

    assert whole.changes[0] == bucket
    assert whole.stages == ("state bucket", STAGE)
    assert whole.digest != plan("create").digest


@pytest.mark.parametrize(
    "secret", ["after", "before"], ids=["that would be set", "that is set now"]
)
def test_a_changed_secret_is_another_plan(secret: str) -> None:
    changed = document("change")
    row(changed, "terraform_data.secret")["change"][secret]["input"]["password"] = "third-canary"

    assert planned(changed).digest != plan("change").digest
    assert "third-canary" not in planned(changed).model_dump_json()


def test_another_installation_s_key_is_another_plan() -> None:
    other = from_terraform(document("change"), "ecs/prod", "embedded", FingerprintKey("x" * 32))

    assert other.digest != plan("change").digest
    assert other.key != plan("change").key


def test_what_an_apply_would_use_is_part_of_the_plan() -> None:
    digests = {
        planned(document("create"), inputs=inputs).digest
        for inputs in ({}, {"terraform/main.tf": "0"}, {"terraform/main.tf": "1"}, {"a": "0"})
    }
    assert len(digests) == 4


def test_warnings_are_shown_and_not_bound() -> None:
    warned = planned(document("create"), warnings=["Check block assertion failed"])

    assert warned.warnings == ("Check block assertion failed",)
    assert warned.digest == plan("create").digest


def test_reading_a_plan_leaves_terraform_s_document_as_it_was() -> None:
    given = document("change")
    before = copy.deepcopy(given)

    planned(given)

    assert given == before


def test_an_empty_document_is_an_empty_plan() -> None:
    assert planned({}).is_empty


@pytest.mark.parametrize(
    ("attributes", "why"),
    [({"status": "Deployed"}, ""), ({"status": "Deployed", "enabled": False}, "changed outside")],
)
def test_a_distribution_that_its_edges_have_by_now_was_changed_by_nobody(
    attributes: dict[str, Any], why: str
) -> None:
    changed = document("change")
    row = next(r for r in changed["resource_changes"] if r["address"] == "terraform_data.network")
    row["type"] = "aws_cloudfront_distribution"
    was = {"status": "InProgress", "enabled": True}
    drift = {"before": was, "after": {**was, **attributes}}
    changed["resource_drift"] = [{"address": row["address"], "type": row["type"], "change": drift}]

    found = change(from_terraform(changed, "s", "aws", KEY), "terraform_data.network")

    assert found.reason.startswith(why)
    assert bool(found.reason) is bool(why)


def test_a_secret_that_a_data_source_has_read_is_hidden_wherever_it_is_repeated() -> None:
    secret = "canary-of-a-data-source"
    read = {
        "mode": "data",
        "values": {"arn": "arn:x", "secret_string": secret},
        "sensitive_values": {"secret_string": True},
    }
    after = {"tags": {"Note": f"nonsensitive: {secret}"}, "name": secret, "arn": "arn:x"}
    change = {"actions": ["create"], "before": None, "after": after}
    changes = {"resource_changes": [{"address": "x.y", "type": "x", "change": change}]}
    before = {"values": {"root_module": {"child_modules": [{"resources": [read]}]}}}

    shown = planned({**changes, "prior_state": before})

    assert secret not in shown.model_dump_json()
    assert shown.changes[0].after["arn"] == "arn:x"
    assert secret in planned(changes).model_dump_json()
    while_planned = {"planned_values": {"root_module": {"resources": [read]}}}
    assert secret not in planned({**changes, **while_planned}).model_dump_json()
