"""Terraform's plans as `Plan`s. The samples are `terraform show -json` of real plans, trimmed."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from xops.core.errors import PermanentError
from xops.core.plan.model import Action, Change, Plan
from xops.ecs.changes import SENSITIVE, UNKNOWN, from_terraform

SAMPLES = Path(__file__).parent / "samples"


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SAMPLES / f"plan-{name}.json").read_text())
    return loaded


def plan(name: str) -> Plan:
    return from_terraform(document(name), "ecs/prod", "embedded")


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
        "id": UNKNOWN,
        "input": {"image": "crew:1", "network": UNKNOWN},
        "output": UNKNOWN,
        "triggers_replace": "a",
    }
    assert change(created, "terraform_data.network").after["input"]["zones"] == ["a", "b"]


@pytest.mark.parametrize("name", ["create", "change", "destroy", "unchanged"])
def test_no_secret_is_in_a_plan_however_terraform_shows_it(name: str) -> None:
    """In `change`, a computed attribute repeats the password and Terraform does not mark it."""
    text = json.dumps(document(name))
    assert "canary" in text

    assert "canary" not in plan(name).model_dump_json()


def test_a_secret_s_place_is_shown() -> None:
    secret = change(plan("create"), "terraform_data.secret")

    assert secret.after["input"] == {"password": SENSITIVE, "user": "admin"}


def test_a_secret_repeated_elsewhere_is_hidden_there_too() -> None:
    secret = change(plan("change"), "terraform_data.secret")

    assert secret.before == {"output": {"password": SENSITIVE, "user": "admin"}}


def test_an_update_that_changes_only_a_secret_shows_that_it_does() -> None:
    changed = document("change")
    row = next(r for r in changed["resource_changes"] if r["address"] == "terraform_data.secret")
    row["change"]["before"].pop("output")
    row["change"]["after_unknown"].pop("output")

    secret = change(from_terraform(changed, "s", "aws"), "terraform_data.secret")

    assert secret.before == secret.after == {"input": {"password": SENSITIVE, "user": "admin"}}


def test_an_update_shows_only_what_differs() -> None:
    network = change(plan("change"), "terraform_data.network")

    assert network.action is Action.UPDATE
    assert sorted(network.before) == sorted(network.after) == ["input", "output"]
    assert network.before["input"]["size"] == 1
    assert network.after["input"]["size"] == 2
    assert network.after["output"] == UNKNOWN


def test_a_replacement_says_which_attribute_forces_it() -> None:
    task = change(plan("change"), "terraform_data.task")

    assert task.action is Action.REPLACE
    assert task.reason == "cannot be changed in place: triggers_replace"
    assert task.destroys


def test_a_replacement_that_creates_first_is_one_too() -> None:
    changed = document("change")
    for row in changed["resource_changes"]:
        row["change"]["actions"].reverse()

    assert change(from_terraform(changed, "s", "aws"), "terraform_data.task").action is (
        Action.REPLACE
    )


def test_a_delete_says_why() -> None:
    service = change(plan("change"), "terraform_data.service[0]")

    assert service.action is Action.DELETE
    assert service.after is None
    assert service.reason == "delete because count index"


def test_a_task_definition_s_revision_is_disposable_and_a_service_is_not() -> None:
    changed = document("change")
    task = next(r for r in changed["resource_changes"] if r["address"] == "terraform_data.task")
    task["type"] = "aws_ecs_task_definition"

    replaced = change(from_terraform(changed, "s", "aws"), "terraform_data.task")

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

    outputs = from_terraform(changed, "s", "aws")

    assert [(row.action, row.target, row.after) for row in outputs.changes] == [
        (Action.UPDATE, "output.network", UNKNOWN),
        (Action.UPDATE, "output.password", SENSITIVE),
        (Action.UPDATE, "output.service", None),
    ]
    assert outputs.changes[0].before["size"] == 1


def test_an_output_that_goes_loses_nothing() -> None:
    destroyed = document("destroy")
    destroyed["resource_changes"] = []

    outputs = from_terraform(destroyed, "s", "aws")

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
        from_terraform(changed, "s", "aws")


def test_drift_is_a_reason() -> None:
    changed = document("change")
    changed["resource_drift"] = [{"address": "terraform_data.network"}]

    drifted = from_terraform(changed, "s", "aws")

    assert change(drifted, "terraform_data.network").reason == "changed outside Terraform"
    assert change(drifted, "terraform_data.secret").reason == ""


# Its digest


def test_the_order_of_terraform_s_rows_does_not_matter() -> None:
    changed = document("change")
    changed["resource_changes"].reverse()

    assert from_terraform(changed, "ecs/prod", "embedded").digest == plan("change").digest


def test_each_plan_has_its_own_digest() -> None:
    names = ["create", "unchanged", "change", "destroy", "recorded-anew", "deposed"]

    assert len({plan(name).digest for name in names}) == len(names)


def test_what_is_done_before_terraform_is_part_of_the_plan() -> None:
    bucket = Change(action=Action.CREATE, target="s3://state#bucket")

    whole = from_terraform(document("create"), "ecs/prod", "embedded", [bucket])

    assert bucket in whole.changes
    assert whole.digest != plan("create").digest


def test_reading_a_plan_leaves_terraform_s_document_as_it_was() -> None:
    given = document("change")
    before = copy.deepcopy(given)

    from_terraform(given, "s", "aws")

    assert given == before


def test_an_empty_document_is_an_empty_plan() -> None:
    assert from_terraform({}, "ecs/prod", "aws").is_empty
