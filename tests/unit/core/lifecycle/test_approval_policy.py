"""Which changes wait for people is what the reviewed file says; what is lost always waits."""

from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.plans import PLANS
from tests.soak import examples
from xops.core.lifecycle.approval_policy import ApprovalPolicy, Ground
from xops.core.money import Money
from xops.core.plan.cost import CostEffect, CostRange
from xops.core.plan.model import Action, Change, Plan

GROUNDS: tuple[Ground, ...] = get_args(Ground)
CREATE = Change(action=Action.CREATE, target="a", after=1)
UPDATE = Change(action=Action.UPDATE, target="b", before=1, after=2)
DELETE = Change(action=Action.DELETE, target="c", before=1)
REPLACE = Change(action=Action.REPLACE, target="d", before=1, after=2)
DISPOSABLE = REPLACE.model_copy(update={"disposable": True})
ALL = ApprovalPolicy(required_for=GROUNDS)


def plan(*changes: Change, **values: Any) -> Plan:
    return Plan(subject="s", target="aws", changes=changes, **values)


def costing(
    expected: int, budget: int | None, *unpriced: str, is_emulated: bool = False
) -> CostEffect:
    amount = Money(amount=Decimal(expected))
    month = CostRange(low=amount, expected=amount, high=amount)
    limit = None if budget is None else Money(amount=Decimal(budget))
    return CostEffect(
        before=month, after=month, unpriced=unpriced, budget=limit, is_emulated=is_emulated
    )


@pytest.mark.parametrize(
    ("of", "grounds"),
    [
        (plan(), ()),
        (plan(CREATE), ("create",)),
        (plan(UPDATE), ("update",)),
        (plan(DISPOSABLE), ("update",)),
        (plan(DELETE), ("destroy", "update")),
        (plan(REPLACE), ("destroy", "update")),
        (plan(CREATE, UPDATE, DELETE), ("destroy", "create", "update")),
        (plan(CREATE, cost=costing(180, 180)), ("create",)),
        (plan(CREATE, cost=costing(181, 180)), ("create", "over_budget")),
        (plan(CREATE, cost=costing(1, 180, "nat")), ("create", "over_budget")),
        (plan(CREATE, cost=costing(181, None)), ("create",)),
        (plan(CREATE, cost=costing(181, 180, is_emulated=True)), ("create",)),
        (plan(CREATE, cost=costing(1, 180, "nat", is_emulated=True)), ("create",)),
        (plan(CREATE, classification="module_addition"), ("create", "module_addition")),
        (plan(UPDATE, classification="architecture_change"), ("update", "architecture_change")),
    ],
)
def test_why_a_plan_waits(of: Plan, grounds: tuple[str, ...]) -> None:
    assert ALL.grounds(of) == grounds


@examples(30)
@given(PLANS, st.lists(st.sampled_from(GROUNDS), unique=True))
def test_only_what_the_file_names_waits_and_a_destroy_always(of: Plan, named: list[Ground]) -> None:
    given: list[Ground] = [*named, "destroy"]
    policy = ApprovalPolicy(required_for=tuple(dict.fromkeys(given)))

    grounds = policy.grounds(of)

    assert set(grounds) == set(ALL.grounds(of)) & set(policy.required_for)
    assert ("destroy" in grounds) is bool(of.destroys)


@pytest.mark.parametrize("named", [(), ("create",), ("create", "update", "over_budget")])
def test_a_destroy_cannot_be_exempted(named: tuple[Ground, ...]) -> None:
    with pytest.raises(ValidationError, match="'destroy' cannot be left out"):
        ApprovalPolicy(required_for=named)


def test_by_default_everything_waits() -> None:
    assert ApprovalPolicy().required_for == ("create", "update", "destroy")


@pytest.mark.parametrize("field", [{"approvals": 2}, {"approvals": 10}, {"not_the_author": True}])
def test_a_file_may_count_on_verified_people(field: dict[str, Any]) -> None:
    assert ApprovalPolicy(**field).needs_verified


def test_one_person_s_word_is_enough_where_the_file_says_so() -> None:
    policy = ApprovalPolicy(approvals=1, not_the_author=False)

    assert not policy.needs_verified


@pytest.mark.parametrize(
    "field",
    [
        {"approvals": 0}, {"valid_hours": 0}, {"valid_hours": 169}, {"required_for": ["read"]},
        {"requires_for": ["destroy"]}, {"each_stage": "perhaps"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_policy_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ApprovalPolicy(**field)


def test_the_exemption_goes_and_everything_else_stays() -> None:
    policy = ApprovalPolicy(
        required_for=("destroy", "module_addition"), valid_hours=2, each_stage=True
    )

    strict = policy.strict()

    assert strict.required_for == (
        "create", "update", "destroy", "over_budget", "module_addition",
    )  # fmt: skip
    assert strict.model_copy(update={"required_for": policy.required_for}) == policy
    assert strict.strict() == strict
