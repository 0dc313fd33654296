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
        "resource_changes": [
            {"address": one["address"], "change": {"actions": ["delete"]}}
            for one in before
            if one["address"] not in {kept["address"] for kept in after}
        ],
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
    assert effect.verdict is BudgetVerdict.WITHIN  # nothing is left, and that costs nothing
    assert effect.excess is None
    assert effect.unpriced_before == (
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
        ('{"planned_values": null, "format_version": "1.2"}', "no planned_values"),
        (
            '{"planned_values": {"root_module": {"resources": {}}}, "format_version": "1.2"}',
            "is no object",
        ),
        ('{"planned_values": 5, "format_version": "1.2"}', "is damaged"),
        ('{"planned_values": {"root_module": []}, "format_version": "1.2"}', "is damaged"),
        (
            '{"planned_values": {"root_module": {"child_modules": [1]}}, "format_version": "1.2"}',
            "is no object",
        ),
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
    for plan in (priced(row), priced(row, before=(row,))):
        assert any(said in line for line in plan.unpriced)
        effect = plan.effect(Money(amount=Decimal(10**6)), TODAY)
        assert effect.verdict is BudgetVerdict.UNKNOWN
    gone = priced(before=(row,))
    assert any(said in line for line in gone.unpriced_before)
    assert not gone.unpriced


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
    service = resource("aws_ecs_service", name="web", desired_count=2, launch_type="FARGATE")
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
            resource("aws_ecs_service", f's["{name}"]', name=name, task_definition=f"arn:{name}",
                     launch_type="FARGATE"),
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


# What real plans hold beside the plain case


def vcpu_hours(*rows: dict[str, Any]) -> dict[str, Decimal]:
    """Of each service; on Spot under its address with a star."""
    return {
        line.usage.what_for + "*" * ("spot" in line.usage.item): line.usage.quantity
        for line in priced(*rows).after[1].lines
        if line.usage.item.endswith("vCPU")
    }


def keyed(name: str, fewest: int, *, of: str = "aws_appautoscaling_target") -> list[dict[str, Any]]:
    """One key of a for_each before its first apply: neither ARNs nor ids are known."""
    platform = [{"cpu_architecture": "ARM64"}]
    return [
        resource("aws_ecs_task_definition", f't["{name}"]', cpu=str(1024 * fewest), memory="8192",
                 runtime_platform=platform),
        resource("aws_ecs_service", f's["{name}"]', name=name, launch_type="FARGATE"),
        resource(of, f't["{name}"]', min_capacity=fewest, max_capacity=9),
    ]  # fmt: skip


def test_before_the_first_apply_the_key_tells_whose_task_and_scaling_it_is() -> None:
    assert vcpu_hours(*keyed("a", 1), *keyed("b", 2)) == {
        'aws_ecs_service.s["a"]': Decimal(730),
        'aws_ecs_service.s["b"]': Decimal(730 * 2 * 2),
    }


def test_of_two_services_none_gets_the_other_one_s_scaling() -> None:
    rows = [
        *stack(ON_DEMAND),
        resource("aws_ecs_service", "b", name="b", desired_count=1, launch_type="FARGATE"),
        resource("aws_appautoscaling_target", "b", min_capacity=7, max_capacity=9),
    ]
    plan = priced(*rows)
    assert expected(plan) == "0.00"
    assert len(plan.unpriced) == 2
    assert all("how many tasks it has is not known" in line for line in plan.unpriced)


def test_scaling_in_another_module_counts_and_that_of_a_table_does_not() -> None:
    far = bounds(3, 6) | {"address": "module.scaling.aws_appautoscaling_target.this"}
    table = bounds(1, 9)
    table["values"] |= {"resource_id": "table/web", "service_namespace": "dynamodb"}
    found = document(*stack(ON_DEMAND, table))
    found["planned_values"]["root_module"]["child_modules"] = [
        {"address": "module.scaling", "resources": [far]}
    ]
    plan = price_plan(PlannedState.of(found), BOOK, ASSUMED, REGION)
    assert [f"{bill.total.amount:.2f}" for bill in plan.after] == ["207.48", "207.48", "414.96"]


def test_a_task_of_another_family_is_not_the_service_s() -> None:
    rows = stack(ON_DEMAND, task_definition="arn:aws:ecs:r:1:task-definition/other:7")
    rows[0]["values"]["arn"] = "arn:aws:ecs:r:1:task-definition/web:3"
    assert priced(*rows).unpriced == ("aws_ecs_service.this: its task definition is not known",)
    rows[0]["values"]["arn"] = "arn:aws:ecs:r:1:task-definition/other:6"
    assert expected(priced(*rows)) == "138.32"


def test_a_service_without_a_strategy_has_that_of_its_cluster_or_is_unpriced() -> None:
    spot = [{"capacity_provider": "FARGATE_SPOT", "base": 0, "weight": 1}]
    cluster = resource(
        "aws_ecs_cluster_capacity_providers", default_capacity_provider_strategy=spot
    )
    assert vcpu_hours(*stack([], cluster)) == {"aws_ecs_service.this*": Decimal(730 * 4)}
    assert expected(priced(*stack([], launch_type="FARGATE"))) == "138.32"
    for rows in (stack([]), stack([], cluster, cluster | {"address": "module.b.x"})):
        unpriced = priced(*rows).unpriced
        assert unpriced == ("aws_ecs_service.this: how its tasks are bought is not known",)


@pytest.mark.parametrize("weight", [None, 0, 1])
def test_a_provider_that_is_alone_takes_all_tasks_whatever_its_weight(weight: int | None) -> None:
    rows = stack([{"capacity_provider": "FARGATE_SPOT", "base": None, "weight": weight}])
    assert vcpu_hours(*rows) == {"aws_ecs_service.this*": Decimal(730 * 4)}


def test_hours_in_several_time_zones_are_not_counted() -> None:
    actions = [
        resource(
            "aws_appautoscaling_scheduled_action", zone, resource_id="service/c/web",
            schedule=f"cron(0 {hour} ? * MON-SUN *)", timezone=zone,
            scalable_target_action=[{"min_capacity": 1, "max_capacity": 4}],
        )
        for zone, hour in (("Australia/Sydney", 8), ("UTC", 20))
    ]  # fmt: skip
    unpriced = priced(*stack(ON_DEMAND, *actions)).unpriced
    assert unpriced == ("aws_ecs_service.this: its schedule is not one that can be counted",)


def test_sizes_are_read_in_all_of_ecs_s_spellings() -> None:
    for cpu, memory in (("2048", "4096"), (2048, 4096), ("2 vCPU", "4 GB"), ("2vcpu", "4GB")):
        rows = stack(ON_DEMAND)
        rows[0]["values"] |= {"cpu": cpu, "memory": memory}
        assert expected(priced(*rows)) == "138.32"


def test_an_address_of_a_load_balancer_s_own_is_counted_once() -> None:
    mapped = [{"subnet_id": name, "allocation_id": f"eipalloc-{name}"} for name in "ab"]
    addresses = [resource("aws_eip", name) for name in "ab"]
    row = resource(
        "aws_lb", load_balancer_type="network", subnets=["a", "b"], subnet_mapping=mapped
    )
    lines = priced(row, *addresses).after[1].lines
    hours = [line.usage.quantity for line in lines if line.usage.item == "public ipv4 address"]
    assert sum(hours) == 2 * 730


@pytest.mark.parametrize(
    "row",
    [
        resource("aws_ebs_volume", type="gp3", size="big"),
        resource("aws_ebs_volume", type="gp3", size=-10),
        resource("aws_ebs_volume", type="gp3", size="NaN"),
        resource("aws_ebs_volume", type="gp3", size="1e999999"),
        resource("aws_ebs_volume", type="gp3", size=10, iops=["x"]),
        resource("aws_ecs_cluster", setting=["x"]),
        resource("aws_wafv2_web_acl", rule=5),
        resource("aws_lb", subnets=5),
        resource("aws_elasticache_cluster", engine="redis", node_type="t", num_cache_nodes="x"),
        resource("aws_ecs_service", name="x", desired_count=-3, launch_type="FARGATE"),
        resource("aws_ecs_service", name="x", desired_count=1, capacity_provider_strategy=["x"]),
    ],
    ids=str,
)
def test_a_value_that_cannot_be_counted_with_is_unpriced_and_no_traceback(
    row: dict[str, Any],
) -> None:
    plan = priced(row, task(cpu="1024", memory="2048"))
    said = f"{row['address']}: one of its values is none that can be counted with"
    assert plan.unpriced == (said,)
    assert plan.effect(Money(amount=Decimal(180)), TODAY).verdict is BudgetVerdict.UNKNOWN


def test_elastic_throughput_is_counted_once_somebody_assumes_it() -> None:
    row = resource("aws_efs_file_system", throughput_mode="elastic")
    assert any("what is read and written" in line for line in priced(row).unpriced)
    moved = {name: {"low": 0, "expected": 10, "high": 20} for name in (
        "file_system_read_gb", "file_system_written_gb"
    )}  # fmt: skip
    assumed = Assumptions.model_validate(ASSUMED.model_dump(by_alias=True) | moved)
    plan = price_plan(PlannedState.of(document(row)), BOOK, assumed, REGION)
    assert plan.unpriced == (
        "aws_efs_file_system.this: efs elastic read has no price",
        "aws_efs_file_system.this: efs elastic write has no price",
    )


def test_bounds_in_no_order_are_unpriced() -> None:
    assert len(priced(*stack(ON_DEMAND, bounds(5, 2))).unpriced) == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (resource("aws_wafv2_web_acl"), "how many rules it has is not known"),
        (resource("aws_efs_file_system", throughput_mode="provisioned"), "provisioned throughput"),
        (resource("aws_efs_file_system", availability_zone_name="a"), "efs one zone has no price"),
    ],
)
def test_what_a_plan_does_not_say_is_no_zero(row: dict[str, Any], said: str) -> None:
    assert any(said in line for line in priced(row).unpriced)


@pytest.mark.parametrize(
    "changes",
    [None, [], [{"address": "aws_nat_gateway.this", "change": {"actions": ["forget"]}}], [{}]],
)
def test_what_a_plan_does_not_delete_stays_and_costs(changes: Any) -> None:
    """Of `-target` and `-refresh-only` the planned values hold less than what stays."""
    found = document(before=(resource("aws_nat_gateway"),)) | {"resource_changes": changes}
    plan = price_plan(PlannedState.of(found), BOOK, ASSUMED, REGION)
    assert plan.after[1].total == plan.before[1].total
    assert plan.after[1].total.amount > 0


def test_what_is_replaced_or_has_a_deposed_object_is_counted_once_after() -> None:
    gateway = resource("aws_nat_gateway")
    found = document(gateway, before=(gateway, gateway | {"deposed_key": "00000000"}))
    found["resource_changes"] = [
        {"address": gateway["address"], "change": {"actions": ["delete", "create"]}},
        {"address": gateway["address"], "deposed": "0" * 8, "change": {"actions": ["delete"]}},
    ]
    state = PlannedState.of(found)
    assert (len(state.before), len(state.after)) == (2, 1)


def test_a_plan_that_failed_is_refused() -> None:
    with pytest.raises(ValueError, match="is not whole"):
        PlannedState.of(document() | {"errored": True})
