"""What the environments cost as committed, with everything in."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.unit.finops.budget.shapes import BOOK, RATES, shape_of
from xops.finops.budget.own_plan import price_own, resources
from xops.finops.budget.shape import Shape
from xops.finops.prices.book import PriceBook
from xops.finops.pricing.plan_pricing import PricedPlan


def priced(shape: Shape, book: PriceBook = BOOK) -> PricedPlan:
    return price_own(shape, book, RATES.assumptions)


def expected(shape: Shape) -> Decimal:
    return round(priced(shape).after[1].total.amount, 2)


@pytest.mark.parametrize(
    ("name", "low", "middle", "high"),
    [
        ("prod", "294.37", "312.17", "657.51"),
        ("peak", "501.85", "519.65", "911.68"),
        ("sit", "76.12", "92.79", "365.93"),
        ("test", "50.18", "66.86", "210.05"),
    ],
)
def test_a_month_of_what_is_committed(name: str, low: str, middle: str, high: str) -> None:
    bills = priced(shape_of(name)).after
    assert [f"{bill.total.amount:.2f}" for bill in bills] == [low, middle, high]


def test_what_has_no_price_is_named_and_not_in_the_total() -> None:
    assert priced(shape_of("prod")).unpriced == (
        "module.data.aws_backup_vault.this: backup efs has no price",
        "module.data.aws_efs_file_system.this: what is read and written is counted by use,"
        " which nobody has assumed",
        "module.ecs.aws_ecs_cluster.this: metrics of Container Insights are counted by use,"
        " which nobody has assumed",
    )


def test_everything_is_in() -> None:
    items = {line.usage.item for line in priced(shape_of("prod")).after[1].lines}
    assert {
        "waf acl", "waf rule", "backup efs", "cloudfront transfer", "nat gateway", "alb", "kms key",
        "efs standard", "logs ingest", "fargate arm64 vCPU", "public ipv4 address", "s3 standard",
    } <= items  # fmt: skip


def test_private_tasks_have_no_address_and_public_ones_have() -> None:
    shape = shape_of("prod")
    nat, public = shape, replace(shape, egress="public_ip")
    # 43.07 the gateway, 1.18 what goes through, 3.65 its address; 4 tasks with one each.
    assert expected(nat) - expected(public) == Decimal("47.90") - Decimal("14.60")


def test_each_zone_is_an_address_of_the_load_balancer() -> None:
    shape = shape_of("prod")
    assert expected(shape) - expected(replace(shape, zones=2)) == Decimal("3.65")


def test_secrets_and_a_zone_cost_what_they_cost() -> None:
    shape = shape_of("prod")
    with_more = replace(shape, secrets=("a", "b"), makes_zone=True)
    assert expected(with_more) - expected(shape) == Decimal("0.80") + Decimal("0.90")


def test_queues_for_flow_runs_are_unpriced() -> None:
    added = set(priced(replace(shape_of("prod"), runs_flows=True)).unpriced)
    assert {line for line in added if "aws_sqs_queue" in line} == {
        "module.flow_runs[0].aws_sqs_queue.events: no price is known of a aws_sqs_queue",
        "module.flow_runs[0].aws_sqs_queue.dead_letters: no price is known of a aws_sqs_queue",
    }


def test_metrics_of_container_insights_are_priced_once_somebody_assumes_them() -> None:
    counted = RATES.assumptions.model_validate(
        RATES.assumptions.model_dump(by_alias=True)
        | {"insights_metrics": {"low": "10", "expected": "20", "high": "30"}}
    )
    plan = price_own(shape_of("prod"), BOOK, counted)
    assert round(plan.after[1].total.amount, 2) == Decimal("312.17") + Decimal("6.00")
    assert not any("Container Insights" in line for line in plan.unpriced)


def test_no_two_resources_share_an_address() -> None:
    addresses = [one.address for one in resources(replace(shape_of("sit"), egress="endpoints"))]
    assert len(addresses) == len(set(addresses))
