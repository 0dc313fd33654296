"""Plans priced: by architecture and purchase, in ranges, and nothing unknown sold as zero."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from xops.core.errors import InputError
from xops.core.money import Money
from xops.core.plan.cost import BudgetVerdict
from xops.finops.prices.book import PriceBook
from xops.finops.pricing.assumptions import Assumptions
from xops.finops.pricing.plan_pricing import PricedPlan, price_plan
from xops.finops.pricing.planned_state import PlannedState

BOOK, ASSUMED = PriceBook.load(), Assumptions.load()
REGION = "ap-southeast-2"
TODAY = date(2026, 11, 29)
ON_DEMAND = [{"capacity_provider": "FARGATE", "base": 2, "weight": 1}]
MIXED = [
    {"capacity_provider": "FARGATE", "base": 1, "weight": 0},
    {"capacity_provider": "FARGATE_SPOT", "base": 0, "weight": 1},
]


def resource(kind: str, label: str = "this", **values: Any) -> dict[str, Any]:
    return {"address": f"{kind}.{label}", "mode": "managed", "type": kind, "values": values}


def document(*after: dict[str, Any], before: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {
        "format_version": "1.2",
        "planned_values": {"root_module": {"resources": list(after)}},
        "prior_state": {"values": {"root_module": {"resources": list(before)}}},
    }


def priced(*after: dict[str, Any], before: tuple[dict[str, Any], ...] = ()) -> PricedPlan:
    return price_plan(PlannedState.of(document(*after, before=before)), BOOK, ASSUMED, REGION)


def expected(plan: PricedPlan) -> str:
    return f"{plan.after[1].total.amount:.2f}"


def stack(
    strategy: list[dict[str, Any]],
    *more: dict[str, Any],
    architecture: str = "ARM64",
    **service: Any,
) -> list[dict[str, Any]]:
    return [
        resource(
            "aws_ecs_task_definition", cpu="2048", memory="4096",
            runtime_platform=[{"cpu_architecture": architecture}],
        ),
        resource(
            "aws_ecs_service", name="web", desired_count=2, capacity_provider_strategy=strategy,
            **service,
        ),
        *more,
    ]  # fmt: skip


def bounds(fewest: int, most: int) -> dict[str, Any]:
    return resource(
        "aws_appautoscaling_target",
        resource_id="service/c/web",
        min_capacity=fewest,
        max_capacity=most,
    )


def test_arm_is_priced_as_arm() -> None:
    """The best-known tool prices it as x86, a quarter too high."""
    arm, x86 = priced(*stack(ON_DEMAND)), priced(*stack(ON_DEMAND, architecture="X86_64"))
    assert expected(arm) == "138.32"
    assert expected(x86) == "172.86"


def test_the_purchase_is_a_base_and_then_weights() -> None:
    plan = priced(*stack(MIXED))
    assert expected(plan) == "89.91"  # 69.16 on demand, 20.75 on Spot
    assert not plan.unpriced


def test_scaling_makes_the_range() -> None:
    low, middle, high = (bill.total for bill in priced(*stack(ON_DEMAND, bounds(2, 6))).after)
    assert low == middle
    assert high == 3 * low


def test_a_schedule_is_counted_by_its_hours() -> None:
    actions = [
        resource(
            "aws_appautoscaling_scheduled_action", name, resource_id="service/c/web",
            schedule=f"cron(0 {hour} ? * MON-SUN *)",
            scalable_target_action=[{"min_capacity": fewest, "max_capacity": 4}],
        )
        for name, hour, fewest in (("day", 8, 2), ("night", 20, 0))
    ]  # fmt: skip
    assert expected(priced(*stack(ON_DEMAND, *actions))) == "69.16"


def test_addresses_are_paid_by_the_hours_that_tasks_run() -> None:
    tasks = stack(ON_DEMAND, network_configuration=[{"assign_public_ip": True}])
    assert expected(priced(*tasks)) == "145.62"


def test_a_removal_is_a_saving_and_an_unpriced_one_is_none() -> None:
    gateway, unknown = resource("aws_nat_gateway"), resource("aws_quantum_computer")
    plan = priced(before=(gateway, unknown))
    effect = plan.effect(Money(amount=Decimal(100)), TODAY)
    assert effect.before.expected > effect.after.expected
    assert effect.verdict is BudgetVerdict.UNKNOWN
    assert plan.unpriced == (
        "aws_quantum_computer.this: no price is known of a aws_quantum_computer",
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (resource("aws_ecs_service", name="x"), "its task definition is not known"),
        (resource("aws_instance"), "its instance type is not known"),
        (resource("aws_lb", load_balancer_type="gateway"), "of a load balancer of type gateway"),
        (resource("aws_instance", instance_type="x9.huge"), "ec2 x9.huge has no price"),
    ],
)
def test_what_is_not_known_is_named(row: dict[str, Any], said: str) -> None:
    plan = priced(row)
    assert any(said in line for line in plan.unpriced)
    assert plan.effect(Money(amount=Decimal(10**6)), TODAY).verdict is BudgetVerdict.UNKNOWN


def test_each_of_several_is_counted() -> None:
    one = priced(resource("aws_eip", "a[0]"))
    three = priced(*(resource("aws_eip", f"a[{n}]") for n in range(3)))
    assert three.after[1].total == 3 * one.after[1].total


def test_resources_of_modules_are_found() -> None:
    inner = {"address": "module.a", "resources": [resource("aws_eip")]}
    outer = {"address": "module.b", "child_modules": [inner]}
    found = PlannedState.of(
        {"format_version": "1.2", "planned_values": {"root_module": {"child_modules": [outer]}}}
    )
    assert [row.module for row in found.after] == ["module.a"]


def test_three_machines_cost_what_was_published() -> None:
    nodes = [
        resource(
            "aws_instance", f"n[{n}]", instance_type="t4g.medium", associate_public_ip_address=True,
            root_block_device=[{"volume_size": 30, "volume_type": "gp3"}],
        )
        for n in range(3)
    ]  # fmt: skip
    assert expected(priced(*nodes)) == "112.45"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "no planned_values"),
        ("[]", "no planned_values"),
        ('{"planned_values": {}, "format_version": "2.0"}', "known is 1.x"),
        ("not json", "not JSON"),
    ],
)
def test_what_is_no_plan_says_so(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    with pytest.raises(InputError, match=said):
        PlannedState.load(file)


def test_a_plan_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(document(*stack(ON_DEMAND))))
    assert len(PlannedState.load(file).after) == 2


def test_a_cost_says_what_its_prices_are_worth() -> None:
    effect = priced(*stack(ON_DEMAND), resource("aws_efs_file_system")).effect(None, TODAY)
    assert effect.basis is not None
    assert effect.basis.confidence == "memory"
    assert effect.basis.seen_on is None
    assert "efs standard" in effect.basis.old
    assert priced(resource("aws_quantum_computer")).effect(None, TODAY).basis is None
