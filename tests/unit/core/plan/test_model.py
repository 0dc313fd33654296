"""A plan's digest is what a person approves: it must be stable, and must notice every change."""

import json
from decimal import Decimal
from enum import StrEnum
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from tests.plans import CHANGES, PLANS
from tests.soak import examples
from xops.core.money import Money
from xops.core.plan.cost import CostEffect, CostRange
from xops.core.plan.model import Action, Change, Plan


def dollars(low: str, expected: str, high: str) -> CostRange:
    return CostRange(
        low=Money(amount=Decimal(low)),
        expected=Money(amount=Decimal(expected)),
        high=Money(amount=Decimal(high)),
    )


COST = CostEffect(before=dollars("40", "45", "60"), after=dollars("41", "46.5", "60"))
UPDATE = Change(action=Action.UPDATE, target="a", before={"cpu": 1}, after={"cpu": 2}, reason="r")
CREATE = Change(action=Action.CREATE, target="b", after={"cpu": 2})
OUTPUT = Change(action=Action.UPDATE, target="output.x", before=1, after=2)
OLD = Plan(subject="ecs/prod", target="aws", changes=(UPDATE, CREATE))
"""A plan as the release before knew it."""

PLAN = OLD.model_copy(
    update={
        "follows": (OUTPUT,),
        "inputs": {"terraform/main.tf": "0" * 64, "region": "ap-southeast-2"},
        "key": "0123456789ab",
        "warnings": ("a check has failed",),
        "cost": COST,
        "classification": "module_addition",
    }
)


@examples(30)
@given(PLANS)
def test_a_plan_comes_back_from_json_equal_and_with_its_digest(plan: Plan) -> None:
    again = Plan.model_validate_json(plan.model_dump_json())

    assert again == plan
    assert again.digest == plan.digest


@examples(30)
@given(PLANS, PLANS)
def test_plans_have_one_digest_if_all_that_it_covers_is_the_same(one: Plan, other: Plan) -> None:
    def bound(plan: Plan) -> str:
        unbound = {"digest", "warnings", "cost", "key", "classification"}
        return json.dumps(plan.model_dump(mode="json", exclude=unbound), sort_keys=True)

    assert (one.digest == other.digest) is (bound(one) == bound(other))


@examples(30)
@given(CHANGES)
def test_a_change_s_values_are_what_a_record_gives_back(change: Change) -> None:
    assert Change.model_validate_json(change.model_dump_json()) == change


def test_values_that_are_no_plain_json_are_made_so() -> None:
    """Otherwise the plan that is made anew would differ from the one that was read back."""

    class State(StrEnum):
        UP = "up"

    change = Change(action=Action.CREATE, target="a", after={"rows": (1, 2), "state": State.UP})

    assert change.after == {"rows": [1, 2], "state": "up"}
    assert type(change.after["state"]) is str


@pytest.mark.parametrize(
    "field",
    [
        {"subject": "ecs/peak"},
        {"target": "embedded"},
        {"changes": (UPDATE,)},
        {"changes": (CREATE, UPDATE)},
        {"changes": ()},
        {"follows": ()},
        {"follows": (OUTPUT.model_copy(update={"after": 3}),)},
        {"inputs": {}},
        {"inputs": {**PLAN.inputs, "terraform/main.tf": "1" * 64}},
        {"inputs": {**PLAN.inputs, "more": ""}},
        {"inputs": {"terraform/main.tf": "0" * 64, "regions": "ap-southeast-2"}},
    ],
    ids=str,
)
def test_what_an_apply_would_do_is_in_the_digest(field: dict[str, Any]) -> None:
    assert PLAN.model_copy(update=field).digest != PLAN.digest


@pytest.mark.parametrize(
    "field",
    [
        {"cost": None},
        {"warnings": ()},
        {"key": None},
        {"classification": None},
        {"inputs": dict(sorted(PLAN.inputs.items()))},
    ],
    ids=str,
)
def test_what_changes_nothing_that_an_apply_does_is_not(field: dict[str, Any]) -> None:
    """A new price or warning asks for no new approval. Hidden values have their key's fingerprints
    in the digest: the key's name adds nothing to them."""
    assert PLAN.model_copy(update=field).digest == PLAN.digest


@pytest.mark.parametrize(
    "field",
    [
        {"action": Action.REPLACE},
        {"target": "c"},
        {"before": {"cpu": 0}},
        {"before": None},
        {"after": {"cpu": 2, "memory": None}},
        {"after": {"cpu": "2"}},
        {"after": {"cpu": True}},
        {"reason": "another"},
        {"disposable": True},
        {"stage": "servers"},
    ],
    ids=str,
)
def test_every_field_of_a_change_is_in_the_digest(field: dict[str, Any]) -> None:
    changed = UPDATE.model_copy(update=field)

    assert PLAN.model_copy(update={"changes": (changed, CREATE)}).digest != PLAN.digest


def test_keys_of_values_have_no_order() -> None:
    one = Change(action=Action.CREATE, target="a", after={"x": {"b": 1, "a": 2}, "w": 3})
    other = Change(action=Action.CREATE, target="a", after={"w": 3, "x": {"a": 2, "b": 1}})

    digests = {Plan(subject="s", target="aws", changes=(each,)).digest for each in (one, other)}
    assert len(digests) == 1


def test_each_order_of_the_work_is_a_plan_of_its_own() -> None:
    rows = [UPDATE, CREATE, Change(action=Action.DELETE, target="c", before=1)]

    digests = {
        Plan(subject="s", target="aws", changes=order).digest for order in permutations(rows)
    }

    assert len(digests) == 6


def test_the_digest_is_the_same_on_every_machine_and_in_every_version() -> None:
    """Approvals and evidence name it: a change of the canonical form is a breaking change. The
    first is what the release before gives for the plan."""
    assert OLD.digest == "af03047140b46f5dfb3e46092cd50b4ca2896a78c4e919d215e892e7f73ecdd2"
    assert PLAN.digest == "7a94338f7964f18cb269c6701c7096763483afc831f400771f32f43f26b8f159"


def test_a_digest_written_into_the_json_is_recomputed_and_not_believed() -> None:
    document = json.loads(PLAN.model_dump_json())
    assert document["digest"] == PLAN.digest
    document["subject"] = "ecs/test"

    assert Plan.model_validate(document).digest != PLAN.digest


@pytest.mark.parametrize("deep", [False, True])
def test_a_copy_that_was_changed_has_a_digest_of_its_own(deep: bool) -> None:
    assert PLAN.digest  # which pydantic would copy with the rest
    copied = PLAN.model_copy(update={"subject": "ecs/test"}, deep=deep)

    assert copied.digest == Plan.model_validate_json(copied.model_dump_json()).digest
    assert copied.digest != PLAN.digest
    assert (copied.changes[0].after is PLAN.changes[0].after) is not deep
    assert PLAN.model_copy().changes[0].after is PLAN.changes[0].after


def test_each_stage_is_a_plan_that_is_approved_by_itself() -> None:
    rows = (
        UPDATE.model_copy(update={"stage": "servers"}),
        CREATE.model_copy(update={"stage": "agents"}),
        UPDATE.model_copy(update={"stage": "servers", "target": "c"}),
    )
    plan = PLAN.model_copy(update={"changes": rows})
    assert plan.digest

    servers, agents = (plan.of_stage(stage) for stage in plan.stages)

    assert plan.stages == ("servers", "agents")
    assert (servers.changes, agents.changes) == ((rows[0], rows[2]), (rows[1],))
    assert len({plan.digest, servers.digest, agents.digest}) == 3
    assert servers.inputs == plan.inputs
    assert plan.of_stage("nodes").is_empty


@pytest.mark.parametrize(
    ("action", "disposable", "destroys"),
    [
        (Action.CREATE, False, False),
        (Action.UPDATE, False, False),
        (Action.REPLACE, False, True),
        (Action.REPLACE, True, False),
        (Action.DELETE, False, True),
        (Action.DELETE, True, True),
    ],
)
def test_only_a_replacement_can_be_disposable(
    action: Action, disposable: bool, destroys: bool
) -> None:
    change = Change(action=action, target="a", disposable=disposable)
    plan = Plan(subject="s", target="aws", changes=(change,))

    assert change.destroys is destroys
    assert plan.destroys == ((change,) if destroys else ())


def test_counts_name_every_action() -> None:
    assert PLAN.counts() == {
        Action.CREATE: 1,
        Action.UPDATE: 1,
        Action.REPLACE: 0,
        Action.DELETE: 0,
    }
    assert PLAN.summary() == (
        f"ecs/prod: 1 to create, 1 to update, 0 to replace, 0 to delete (digest {PLAN.digest[:12]})"
    )


def test_a_plan_without_changes_says_that_there_is_nothing_to_do() -> None:
    plan = Plan(subject="ecs/prod", target="aws")

    assert plan.is_empty
    assert not PLAN.is_empty
    assert plan.summary() == f"ecs/prod: nothing to change (digest {plan.label})"


def test_a_plan_and_its_changes_cannot_be_altered() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PLAN.subject = "ecs/test"
    with pytest.raises(ValidationError, match="frozen"):
        PLAN.changes[0].target = "b"
