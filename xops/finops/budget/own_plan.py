"""What a month of an environment comes to as its file says, with everything in. Pure.

The resources are those that `terraform/stacks/stream1` makes of the file, as far as they cost
something, by their own addresses; they are priced as a plan of Terraform's is. An integration
test holds both equal, line by line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xops.finops.budget.shape import ServiceShape, Shape, WeeklyHours
from xops.finops.prices.book import PriceBook
from xops.finops.pricing.assumptions import Assumptions
from xops.finops.pricing.plan_pricing import PricedPlan, price_plan
from xops.finops.pricing.planned_state import PlannedState, Resource
from xops.finops.pricing.schedules import Bounds

_ENDPOINTS = ("ecr.api", "ecr.dkr", "logs", "secretsmanager")
"""Interface endpoints of `egress: endpoints`. Source: terraform/modules/network/main.tf."""

_RULES = 3
"""Of the firewall: two managed groups and a rate limit. Source: terraform/modules/web/waf.tf."""


def price_own(shape: Shape, book: PriceBook, assumptions: Assumptions) -> PricedPlan:
    """A month of it, as if nothing were there before."""
    state = PlannedState((), tuple(resources(shape)))
    return price_plan(state, book, assumptions, shape.region)


def resources(shape: Shape) -> Iterator[Resource]:
    """What the stack makes and AWS asks money for, or may ask it for."""
    yield from _network(shape)
    yield from _data(shape)
    yield from _web(shape)
    insights = [{"name": "containerInsights", "value": "enabled"}]
    yield _resource("module.ecs", "aws_ecs_cluster.this", setting=insights)
    for name, service in shape.services.items():
        kind = "server" if name == "crew" else "client"
        yield from _service(f'module.ecs.module.{kind}["{name}"]', name, service, shape)
    if shape.runs_flows:
        for queue in ("events", "dead_letters"):
            yield _resource("module.flow_runs[0]", f"aws_sqs_queue.{queue}")


def _resource(module: str, name: str, /, **values: Any) -> Resource:
    return Resource(f"{module}.{name}", module, name.partition(".")[0], values)


def _network(shape: Shape) -> Iterator[Resource]:
    module = "module.network"
    for zone in range(shape.zones):
        yield _resource(module, f'aws_route_table_association.public["{zone}"]')
    yield _resource(module, "aws_internet_gateway.this")
    if shape.egress == "nat":
        yield _resource(module, "aws_eip.nat[0]")
        yield _resource(module, "aws_nat_gateway.this[0]")
    if shape.egress == "endpoints":
        for name in _ENDPOINTS:
            address = f'aws_vpc_endpoint.interface["{name}"]'
            yield _resource(module, address, vpc_endpoint_type="Interface")


def _data(shape: Shape) -> Iterator[Resource]:
    module = "module.data"
    for name in ("aws_backup_vault.this", "aws_kms_key.data"):
        yield _resource(module, name)
    yield _resource(module, "aws_efs_file_system.this", throughput_mode="elastic")
    for purpose in ("evidence", "logs", "reports"):
        yield _resource(module, f'aws_s3_bucket.this["{purpose}"]')
    for name in shape.secrets:
        yield _resource(module, f'aws_secretsmanager_secret.this["{name}"]')


def _web(shape: Shape) -> Iterator[Resource]:
    module = "module.web"
    yield _resource(module, "aws_cloudfront_distribution.this")
    yield _resource(module, "aws_lb.this", load_balancer_type="application", internal=False)
    yield _resource(module, "aws_wafv2_web_acl.this", rule=[{}] * _RULES)
    if shape.makes_zone:
        yield _resource(module, "aws_route53_zone.this[0]")


def _service(module: str, name: str, service: ServiceShape, shape: Shape) -> Iterator[Resource]:
    called = name.replace("_", "-")
    scaled = f"service/cluster/{called}"
    yield _resource(module, "aws_cloudwatch_log_group.this")
    yield _resource(
        module,
        "aws_ecs_task_definition.this",
        cpu=service.cpu,
        memory=service.memory,
        runtime_platform=[{"cpu_architecture": "ARM64"}],
    )
    yield _resource(
        module,
        "aws_ecs_service.this",
        name=called,
        desired_count=service.bounds.fewest,
        capacity_provider_strategy=strategy(service),
        network_configuration=[{"assign_public_ip": shape.egress == "public_ip"}],
    )
    kind = "scheduled" if service.schedule else "fixed"
    target = f"aws_appautoscaling_target.{kind}[0]"
    yield _resource(module, target, resource_id=scaled, **_capacity(service.bounds))
    yield from _actions(module, scaled, service)


def strategy(service: ServiceShape) -> list[dict[str, Any]]:
    """How ECS is told to buy its tasks; a provider without base and weight is left out."""
    rows = (
        ("FARGATE", service.on_demand_base, service.on_demand_weight),
        ("FARGATE_SPOT", 0, service.spot_weight),
    )
    return [
        {"capacity_provider": name, "base": base, "weight": weight}
        for name, base, weight in rows
        if base or weight
    ]


def _actions(module: str, scaled: str, service: ServiceShape) -> Iterator[Resource]:
    if service.schedule is None:
        return
    hours = service.schedule.hours
    for label, at, bounds in (
        ("business-hours", hours.start, service.schedule.inside),
        ("off-hours", hours.end, service.schedule.outside),
    ):
        yield _resource(
            module,
            f'aws_appautoscaling_scheduled_action.hours["{label}"]',
            resource_id=scaled,
            schedule=cron(hours, at),
            scalable_target_action=[_capacity(bounds)],
        )


def cron(hours: WeeklyHours, at: str) -> str:
    """A time of day of their days, as Application Auto Scaling takes it."""
    hour, _, minute = at.partition(":")
    return f"cron({int(minute)} {int(hour)} ? * {hours.days} *)"


def _capacity(bounds: Bounds) -> dict[str, int]:
    return {"min_capacity": bounds.fewest, "max_capacity": bounds.most}
