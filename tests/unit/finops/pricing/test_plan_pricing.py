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
from xops.finops.prices.book import FILE, PriceBook
from xops.finops.pricing.assumptions import Assumptions
from xops.finops.pricing.plan_pricing import PricedPlan, price_plan
from xops.finops.pricing.planned_state import PlannedState

BOOK, ASSUMED = PriceBook.load(FILE), Assumptions.load()
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


# Other parts of a plan


@pytest.mark.parametrize(
    ("row", "total"),
    [
        (resource("aws_ecr_repository"), "0.50"),
        (resource("aws_internet_gateway"), "0.00"),
        (resource("aws_alb", internal=True), "24.24"),
        (resource("aws_instance", instance_type="t4g.small", root_block_device=[
            {"volume_size": 30, "volume_type": "gp3"}
        ], ebs_block_device=[{"volume_size": 10, "volume_type": "gp3"}]), "19.32"),
        (resource("aws_ebs_volume", type="gp3", size=10, iops=4000, throughput=225), "11.76"),
        (resource("aws_db_instance", engine="postgres", instance_class="db.t4g.micro",
                  allocated_storage=20, storage_type="gp3"), "21.01"),
        (resource("aws_elasticache_replication_group", engine="redis",
                  node_type="cache.t4g.micro", num_cache_clusters=2), "35.04"),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else None,
)  # fmt: skip
def test_what_stands_beside_the_tasks(row: dict[str, Any], total: str) -> None:
    plan = priced(row)
    assert expected(plan) == total
    assert not plan.unpriced


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (resource("aws_db_instance", engine="mysql", instance_class="db.t4g.micro"), "RDS with my"),
        (resource("aws_db_instance", engine="postgres", instance_class="db.x9.big",
                  allocated_storage=1), "rds postgresql db.x9.big Single-AZ has no price"),
        (resource("aws_db_instance", engine="postgres", instance_class="db.t4g.micro",
                  multi_az=True, allocated_storage=20, storage_type="gp3"),
         "rds postgresql gp3 storage Multi-AZ has no price"),
        (resource("aws_db_instance", engine="postgres", instance_class="db.t4g.micro"),
         "the size of its storage is not known"),
        (resource("aws_elasticache_cluster", engine="valkey", node_type="cache.t4g.micro",
                  num_cache_nodes=1), "elasticache Valkey cache.t4g.micro node has no price"),
        (resource("aws_elasticache_cluster", engine="memcached", node_type="cache.t4g.micro",
                  num_cache_nodes=1), "ElastiCache with memcached"),
        (resource("aws_elasticache_serverless_cache"), "of a aws_elasticache_serverless_cache"),
        (resource("aws_instance", instance_type="t4g.small",
                  instance_market_options=[{"market_type": "spot"}]), "bought on Spot"),
        (resource("aws_autoscaling_group", max_size=9), "no price is known of a aws_autoscaling"),
        (resource("aws_lb", internal=True, load_balancer_type="network"), "nlb lcu has no price"),
        (resource("aws_vpc_endpoint", vpc_endpoint_type="Interface"), "vpc endpoint data has no"),
        (resource("aws_vpc_endpoint", vpc_endpoint_type="GatewayLoadBalancer"), "endpoint of type"),
        (resource("aws_sqs_queue"), "no price is known of a aws_sqs_queue"),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else None,
)  # fmt: skip
def test_what_has_no_row_is_named_and_no_saving(row: dict[str, Any], said: str) -> None:
    for plan in (priced(row), priced(before=(row,))):
        assert any(said in line for line in plan.unpriced)
        effect = plan.effect(Money(amount=Decimal(10**6)), TODAY)
        assert effect.verdict is BudgetVerdict.UNKNOWN


def task(**values: Any) -> dict[str, Any]:
    platform = values.pop("runtime_platform", [{"cpu_architecture": "ARM64"}])
    return resource("aws_ecs_task_definition", runtime_platform=platform, **values)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((task(memory="4096"),), "the size of its tasks is not known"),
        ((task(cpu="2048"),), "the size of its tasks is not known"),
        (
            (task(cpu="1024", memory="2048", runtime_platform=[
                {"operating_system_family": "WINDOWS_SERVER_2022_CORE"}
            ]),),
            "no price is known of Fargate with WINDOWS",
        ),
        (
            (task(cpu="1024", memory="2048"),
             resource("aws_appautoscaling_target", max_capacity=9)),
            "how many tasks it has is not known",
        ),
        (
            (task(cpu="1024", memory="2048"), resource(
                "aws_appautoscaling_scheduled_action", schedule="cron(0 8 ? * MON-FRI *)",
            )),
            "how many tasks it has is not known",
        ),
        (
            (task(cpu="1024", memory="2048"), resource(
                "aws_appautoscaling_scheduled_action", schedule="rate(1 day)",
                scalable_target_action=[{"min_capacity": 1, "max_capacity": 2}],
            )),
            "its schedule is not one that can be counted",
        ),
        (
            (task(cpu="1024", memory="2048", ephemeral_storage=[{"size_in_gib": 50}]),),
            "fargate ephemeral storage has no price",
        ),
    ],
)  # fmt: skip
def test_a_task_of_which_something_is_not_known_is_unpriced(
    rows: tuple[dict[str, Any], ...], said: str
) -> None:
    service = resource("aws_ecs_service", name="web", desired_count=2)
    assert any(said in line for line in priced(*rows, service).unpriced)


def test_a_capacity_provider_of_one_s_own_is_no_fargate() -> None:
    rows = [{"capacity_provider": "my-instances", "base": 1, "weight": 1}]
    plan = priced(*stack(rows))
    assert plan.unpriced == (
        "aws_ecs_service.this: its capacity provider my-instances is none of Fargate's",
    )


def test_tasks_on_instances_cost_nothing_beside_them() -> None:
    plan = priced(*stack([], launch_type="EC2"))
    assert expected(plan) == "0.00"
    assert not plan.unpriced


def test_with_for_each_each_service_has_its_own_task_and_scaling() -> None:
    """Where they share a module the ARN tells, which is known after the first apply."""
    rows = []
    for name, cpu, fewest in (("a", "1024", 1), ("b", "2048", 3)):
        rows += [
            resource("aws_ecs_task_definition", f't["{name}"]', arn=f"arn:{name}", cpu=cpu,
                     memory="4096", runtime_platform=[{"cpu_architecture": "ARM64"}]),
            resource("aws_ecs_service", f's["{name}"]', name=name, task_definition=f"arn:{name}"),
            resource("aws_appautoscaling_target", f't["{name}"]', min_capacity=fewest,
                     max_capacity=9, resource_id=f"service/c/{name}"),
        ]  # fmt: skip
    quantities = {
        line.usage.what_for: line.usage.quantity
        for line in priced(*rows).after[1].lines
        if line.usage.item == "fargate arm64 vCPU"
    }
    assert quantities == {
        'aws_ecs_service.s["a"]': Decimal(730),
        'aws_ecs_service.s["b"]': Decimal(730 * 3 * 2),
    }
