"""A plan's digest is what a person approves: it must be stable, and must notice every change."""

import json
from decimal import Decimal
from itertools import permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.soak import examples
from xops.core.money import Money
from xops.core.plan.model import Action, Change, CostEffect, Plan

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
CHANGES = st.builds(
    Change,
    action=st.sampled_from(Action),
    target=st.sampled_from(["a", "b", "aws_ecs_service.crew"]),
    before=JSON,
    after=JSON,
    reason=TEXT,
    disposable=st.booleans(),
)
AMOUNTS = st.decimals(0, 10_000, places=2, allow_nan=False).map(lambda a: Money(amount=a))
COSTS = st.builds(CostEffect, before=AMOUNTS, after=AMOUNTS, incomplete=st.booleans())
PLANS = st.builds(
    Plan,
    subject=st.just("ecs/prod"),
    target=st.sampled_from(["embedded", "aws"]),
    changes=st.lists(CHANGES, max_size=4).map(tuple),
    cost=st.none() | COSTS,
)

COST = CostEffect(before=Money(amount=Decimal("45")), after=Money(amount=Decimal("46.5")))
UPDATE = Change(action=Action.UPDATE, target="a", before={"cpu": 1}, after={"cpu": 2}, reason="r")
CREATE = Change(action=Action.CREATE, target="b", after={"cpu": 2})
PLAN = Plan(subject="ecs/prod", target="aws", changes=(UPDATE, CREATE), cost=COST)


@examples(30)
@given(PLANS)
def test_a_plan_comes_back_from_json_equal_and_with_its_digest(plan: Plan) -> None:
    again = Plan.model_validate_json(plan.model_dump_json())

    assert again == plan
    assert again.digest == plan.digest


@examples(30)
@given(st.lists(CHANGES, max_size=5), st.randoms(use_true_random=False))
def test_the_order_in_which_changes_are_found_does_not_matter(
    changes: list[Change], random: Random
) -> None:
    shuffled = random.sample(changes, len(changes))

    one = Plan(subject="s", target="aws", changes=tuple(changes))
    other = Plan(subject="s", target="aws", changes=tuple(shuffled))

    assert one.digest == other.digest


@examples(30)
@given(PLANS, PLANS)
def test_plans_of_different_content_have_different_digests(one: Plan, other: Plan) -> None:
    same = one.model_dump_json() == other.model_dump_json()

    assert (one.digest == other.digest) is same


def test_two_changes_of_one_target_are_ordered_by_what_they_do() -> None:
    rows = [Change(action=Action.DELETE, target="a", before=value) for value in ({"v": 2}, 1, "x")]

    digests = {
        Plan(subject="s", target="aws", changes=order).digest for order in permutations(rows)
    }

    assert len(digests) == 1


@pytest.mark.parametrize(
    "field",
    [
        {"subject": "ecs/peak"},
        {"target": "embedded"},
        {"cost": None},
        {"cost": COST.model_copy(update={"incomplete": True})},
        {"cost": COST.model_copy(update={"after": Money(amount=Decimal("46.6"))})},
        {"cost": COST.model_copy(update={"before": Money(amount=Decimal(45), currency="AUD")})},
        {"changes": (UPDATE,)},
        {"changes": ()},
    ],
    ids=str,
)
def test_every_field_of_a_plan_is_in_its_digest(field: dict[str, Any]) -> None:
    assert PLAN.model_copy(update=field).digest != PLAN.digest


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
    ],
    ids=str,
)
def test_every_field_of_a_change_is_in_the_digest(field: dict[str, Any]) -> None:
    changed = Plan(**{**dict(PLAN), "changes": (UPDATE.model_copy(update=field), CREATE)})

    assert changed.digest != PLAN.digest


def test_the_digest_is_the_same_on_every_machine_and_in_every_version() -> None:
    """Approvals and evidence name it: a change of the canonical form is a breaking change."""
    assert PLAN.digest == "9104bad03820ad060c075d24415d9c3c4f8d1f0b7d68eb4245b596a3c351c19b"


def test_a_digest_written_into_the_json_is_recomputed_and_not_believed() -> None:
    document = json.loads(PLAN.model_dump_json())
    assert document["digest"] == PLAN.digest
    document["subject"] = "ecs/test"

    assert Plan.model_validate(document).digest != PLAN.digest


def test_what_is_lost_is_read_first() -> None:
    changes = tuple(Change(action=action, target=name) for action in Action for name in "ba")

    plan = Plan(subject="s", target="aws", changes=changes)

    assert [(change.action, change.target) for change in plan.changes] == [
        (action, name)
        for action in (Action.DELETE, Action.REPLACE, Action.UPDATE, Action.CREATE)
        for name in "ab"
    ]


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
