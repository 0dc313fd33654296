"""What a Terraform plan costs a month: low, expected and high for each resource. Pure.

Priced are the resources of our own stacks. One of a type that costs nothing by itself is free;
one of a type that nobody has looked at is unpriced, and named: it is no saving and no zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from xops.core.money import HOURS_A_MONTH, Money
from xops.core.plan.cost import CostEffect, CostRange, PriceBasis
from xops.finops.prices.book import PriceBook
from xops.finops.pricing.assumptions import Assumptions
from xops.finops.pricing.bill import Bill, Usage
from xops.finops.pricing.by_itself import BY_ITSELF
from xops.finops.pricing.planned_state import PlannedState, Resource
from xops.finops.pricing.ranged import RangedUsage
from xops.finops.pricing.schedules import HOURS_A_WEEK, Action, Bounds, weekly_hours

_MONTH = Decimal(HOURS_A_MONTH)
_UNBOUNDED = "how many tasks it has is not known"
_UNREADABLE = "one of its values is none that can be counted with"

_FREE_GIB = 20
"""Of a task's own storage. Source: Fargate's price page."""

FREE = frozenset(
    {
        "aws_acm_certificate", "aws_acm_certificate_validation", "aws_appautoscaling_policy",
        "aws_appautoscaling_scheduled_action", "aws_appautoscaling_target", "aws_backup_plan",
        "aws_backup_selection", "aws_budgets_budget", "aws_cloudwatch_event_rule",
        "aws_cloudwatch_event_target", "aws_cloudwatch_log_delivery_destination",
        "aws_cloudwatch_log_delivery_source", "aws_cloudwatch_log_delivery",
        "aws_default_security_group", "aws_ecs_cluster_capacity_providers",
        "aws_ecs_task_definition", "aws_efs_access_point", "aws_efs_file_system_policy",
        "aws_efs_mount_target", "aws_iam_instance_profile", "aws_iam_openid_connect_provider",
        "aws_iam_policy", "aws_iam_role", "aws_iam_role_policy", "aws_iam_role_policy_attachment",
        "aws_identitystore_group", "aws_key_pair", "aws_kms_alias",
        "aws_launch_template", "aws_lb_listener", "aws_lb_target_group",
        "aws_lb_target_group_attachment", "aws_network_interface", "aws_placement_group",
        "aws_route", "aws_route53_record", "aws_route_table", "aws_route_table_association",
        "aws_s3_bucket_lifecycle_configuration", "aws_s3_bucket_ownership_controls",
        "aws_s3_bucket_policy", "aws_s3_bucket_public_access_block",
        "aws_s3_bucket_server_side_encryption_configuration", "aws_s3_bucket_versioning",
        "aws_security_group", "aws_service_discovery_http_namespace", "aws_sqs_queue_policy",
        "aws_ssoadmin_account_assignment", "aws_ssoadmin_managed_policy_attachment",
        "aws_ssoadmin_permission_set", "aws_ssoadmin_permission_set_inline_policy", "aws_subnet",
        "aws_vpc", "aws_vpc_security_group_egress_rule", "aws_vpc_security_group_ingress_rule",
        "terraform_data", "random_id", "random_password",
    }
)  # fmt: skip
"""Types that AWS asks nothing for by themselves."""


@dataclass(frozen=True)
class PricedPlan:
    """A plan's bills before and after, each in three quantities.

    Attributes:
        unpriced: what of the state after it has no price.
        unpriced_before: what of the state before has none and is gone after it.
    """

    before: tuple[Bill, Bill, Bill]
    after: tuple[Bill, Bill, Bill]
    unpriced: tuple[str, ...]
    unpriced_before: tuple[str, ...] = ()

    def effect(self, budget: Money | None, today: date) -> CostEffect:
        """As the plan shows it and the policy judges it; `today` tells which prices are old."""
        return CostEffect(
            before=_range(self.before),
            after=_range(self.after),
            unpriced=self.unpriced,
            unpriced_before=self.unpriced_before,
            budget=budget,
            basis=_basis(self.before[1] + self.after[1], today),
        )


def price_plan(
    state: PlannedState, book: PriceBook, assumptions: Assumptions, region: str
) -> PricedPlan:
    """What a plan costs before and after it is applied."""
    before = _Priced(state.before, assumptions)
    after = _Priced(state.after, assumptions)
    bills_before, bills_after = before.bills(book, region), after.bills(book, region)
    unpriced = _unpriced(after, bills_after)
    gone = _unpriced(before, bills_before) - unpriced
    return PricedPlan(bills_before, bills_after, tuple(sorted(unpriced)), tuple(sorted(gone)))


def _unpriced(state: _Priced, bills: Iterable[Bill]) -> set[str]:
    without = {usage for bill in bills for usage in bill.unpriced}
    said = {f"{usage.what_for}: {usage.item} has no price" for usage in without}
    return said | set(state.not_looked_at)


def _basis(bill: Bill, today: date) -> PriceBasis | None:
    if bill.confidence is None:
        return None
    return PriceBasis(
        confidence=str(bill.confidence), seen_on=bill.seen_on, old=tuple(bill.old(today))
    )


def _range(bills: tuple[Bill, Bill, Bill]) -> CostRange:
    low, expected, high = bills
    return CostRange(low=low.total, expected=expected.total, high=high.total)


class _Priced:
    """The usages of all resources of one state."""

    def __init__(self, resources: Sequence[Resource], assumptions: Assumptions) -> None:
        self._by_type: dict[str, list[Resource]] = {}
        self._by_service: dict[tuple[str, str | None], list[Resource]] = {}
        for resource in resources:
            self._by_type.setdefault(resource.type, []).append(resource)
            if resource.get("service_namespace", default="ecs") == "ecs":
                key = resource.type, _service_name(resource)
                self._by_service.setdefault(key, []).append(resource)
        self._assume = assumptions
        self.not_looked_at: list[str] = []
        self._usages: list[tuple[Resource, RangedUsage]] = []
        for resource in resources:
            self._look_at(resource)

    def bills(self, book: PriceBook, region: str) -> tuple[Bill, Bill, Bill]:
        """Low, expected and high."""

        def bill(of: Callable[[RangedUsage], Decimal]) -> Bill:
            usages = (Usage(one.item, of(one), where.address) for where, one in self._usages)
            return Bill.of(usages, book, region)

        return (
            bill(lambda one: one.low),
            bill(lambda one: one.expected),
            bill(lambda one: one.high),
        )

    def _look_at(self, resource: Resource) -> None:
        if resource.type in FREE:
            return
        try:
            usages = list(self._usages_of(resource))
        except (ArithmeticError, AttributeError, TypeError, ValueError):
            usages = [_UNREADABLE]  # a file of a plan can say anything
        for found in usages:
            if isinstance(found, str):
                self.not_looked_at.append(f"{resource.address}: {found}")
            else:
                self._usages.append((resource, found))

    def _usages_of(self, resource: Resource) -> Iterator[RangedUsage | str]:
        if with_others := _WITH_OTHERS.get(resource.type):
            yield from with_others(self, resource)
        elif by_itself := BY_ITSELF.get(resource.type):
            yield from by_itself(resource, self._assume)
        else:
            yield f"no price is known of a {resource.type}"

    def of_type(self, kind: str, module: str | None = None) -> list[Resource]:
        """All resources of a type, or those of one module."""
        rows = self._by_type.get(kind, [])
        return [one for one in rows if module is None or one.module == module]

    # Fargate

    def ecs_service(self, service: Resource) -> Iterator[RangedUsage | str]:
        """Tasks by architecture, purchase and hours, and their addresses if they have any.

        On instances of one's own tasks cost nothing; the instances do.
        """
        if service.get("launch_type") in ("EC2", "EXTERNAL"):
            return
        task = self._task_of(service)
        if task is None:
            yield "its task definition is not known"
            return
        bounds = self._bounds_of(service)
        if isinstance(bounds, str):
            yield bounds
            return
        strategy = self._strategy_of(service)
        if problem := _not_plain_fargate(strategy, task):
            yield problem
            return
        architecture = str(task.get("runtime_platform", 0, "cpu_architecture", default="X86_64"))
        vcpu, gib = (_units(task.get(key)) / 1024 for key in ("cpu", "memory"))
        on_demand, spot = _task_hours(strategy or [], bounds)
        for prefix, hours in (("fargate ", on_demand), ("fargate spot ", spot)):
            for part, size in (("vCPU", vcpu), ("memory", gib)):
                item = f"{prefix}{architecture.lower()} {part}"
                if any(hours):
                    yield RangedUsage(item, *(size * one for one in hours))
        both = [sum(pair, Decimal(0)) for pair in zip(on_demand, spot, strict=True)]
        if service.get("network_configuration", 0, "assign_public_ip"):
            yield RangedUsage("public ipv4 address", *both)
        more = Decimal(str(task.get("ephemeral_storage", 0, "size_in_gib", default=0))) - _FREE_GIB
        if more > 0:
            yield RangedUsage("fargate ephemeral storage", *(more * hours for hours in both))

    def _task_of(self, service: Resource) -> Resource | None:
        """By its ARN where that is known, else the one of its module that goes with it."""
        arn = service.get("task_definition")
        tasks = self.of_type("aws_ecs_task_definition", service.module)
        found = [one for one in tasks if arn and one.get("arn") == arn]
        found = found or [one for one in tasks if _may_be(one, arn)]
        if len(found) > 1:
            found = self._going_with(service, found)
        return found[0] if len(found) == 1 else None

    def _going_with(self, service: Resource, rows: list[Resource]) -> list[Resource]:
        """The rows of a module that has one service; else those of the same count or key."""
        if len(self.of_type("aws_ecs_service", service.module)) == 1:
            return rows
        return [one for one in rows if one.index and one.index == service.index]

    def _strategy_of(self, service: Resource) -> list[Any] | None:
        """How its tasks are bought: its own strategy or its cluster's; empty: all on demand."""
        if rows := service.get("capacity_provider_strategy"):
            return list(rows)
        if service.get("launch_type") == "FARGATE":
            return []
        clusters = self.of_type("aws_ecs_cluster_capacity_providers")
        if len(clusters) != 1:
            return None
        return list(clusters[0].get("default_capacity_provider_strategy", default=())) or None

    def _bounds_of(self, service: Resource) -> dict[Bounds, Decimal] | str:
        """Hours of a week by the tasks that scaling allows in them."""
        actions: list[Action] = []
        scheduled = self._scaling(service, "aws_appautoscaling_scheduled_action")
        targets = self._scaling(service, "aws_appautoscaling_target")
        if scheduled is None or targets is None:
            return _UNBOUNDED
        for one in scheduled:
            bounds = _bounds(one.get("scalable_target_action", 0, default={}))
            if bounds is None:
                return _UNBOUNDED
            actions.append(Action(str(one.get("schedule")), bounds))
        if actions:
            zones = {one.get("timezone", default="UTC") for one in scheduled}
            hours = weekly_hours(actions) if len(zones) == 1 else None
            return hours or "its schedule is not one that can be counted"
        for target in targets:
            bounds = _bounds(target.values)
            return _UNBOUNDED if bounds is None else {bounds: Decimal(HOURS_A_WEEK)}
        count = service.get("desired_count")
        if count is None:
            return _UNBOUNDED
        return {Bounds(int(count), int(count)): Decimal(HOURS_A_WEEK)}

    def _scaling(self, service: Resource, kind: str) -> list[Resource] | None:
        """Its rows of scaling; None where it is not known whose those of its module are."""
        name = service.get("name", default="")
        named = self._by_service.get((kind, name), [])
        if here := [one for one in named if one.module == service.module]:
            return here
        if named and len(self._by_service["aws_ecs_service", name]) == 1:
            return named
        nameless = self._by_service.get((kind, None), [])
        here = [one for one in nameless if one.module == service.module]
        return self._going_with(service, here) or (None if here else [])

    # Network

    def load_balancer(self, resource: Resource) -> Iterator[RangedUsage | str]:
        """Hours, capacity units, and the addresses of one that faces the internet."""
        kind = resource.get("load_balancer_type", default="application")
        if kind not in ("application", "network"):
            yield f"no price is known of a load balancer of type {kind}"
            return
        name = "alb" if kind == "application" else "nlb"
        yield RangedUsage.always(name, _MONTH)
        yield RangedUsage.assumed(f"{name} lcu", self._assume.load_balancer_units, _MONTH)
        if not resource.get("internal", default=False):
            zones = len(resource.get("subnets", default=())) or self._public_subnets()
            mapped = resource.get("subnet_mapping", default=())
            own = sum(1 for one in mapped if one.get("allocation_id"))
            # Elastic addresses are resources, and priced as such.
            yield RangedUsage.always("public ipv4 address", _MONTH * max(0, zones - own))

    def _public_subnets(self) -> int:
        routed = {
            one.address.rpartition("[")[2]
            for one in self.of_type("aws_route_table_association")
            if ".public" in one.address
        }
        return len(routed) or 2

    def endpoint(self, resource: Resource) -> Iterator[RangedUsage | str]:
        """Interface endpoints cost by zone; gateways nothing."""
        kind = resource.get("vpc_endpoint_type", default="Gateway")
        if kind == "Gateway":
            return
        if kind != "Interface":
            yield f"no price is known of an endpoint of type {kind}"
            return
        zones = len(resource.get("subnet_ids", default=())) or self._public_subnets()
        yield RangedUsage.always("vpc endpoint", _MONTH * zones)
        yield RangedUsage.assumed("vpc endpoint data", self._assume.endpoint_gb)


_Rule = Callable[[_Priced, Resource], Iterator[RangedUsage | str]]

_WITH_OTHERS: dict[str, _Rule] = {
    "aws_alb": _Priced.load_balancer,
    "aws_ecs_service": _Priced.ecs_service,
    "aws_lb": _Priced.load_balancer,
    "aws_vpc_endpoint": _Priced.endpoint,
}
"""Types whose price takes more than the resource itself."""


def _bounds(values: Any) -> Bounds | None:
    """None where one of them is not known."""
    fewest, most = values.get("min_capacity"), values.get("max_capacity")
    return None if fewest is None or most is None else Bounds(int(fewest), int(most))


def _may_be(task: Resource, name: str | None) -> bool:
    """Whether it can be the one of that ARN: its own is not known, or of the same family."""
    arn = task.get("arn")
    return not name or arn is None or arn.rpartition(":")[0] == name.rpartition(":")[0]


def _service_name(resource: Resource) -> str | None:
    """A service's own, or whose scaling it is, of `service/CLUSTER/NAME`; None: not known."""
    written = resource.get("name" if resource.type == "aws_ecs_service" else "resource_id")
    return None if written is None else str(written).rpartition("/")[2]


def _units(size: Any) -> Decimal:
    """1024 are a vCPU or a GB. ECS also takes `1 vCPU` and `2 GB`."""
    text = str(size).lower()
    for unit in ("vcpu", "gb"):
        if text.endswith(unit):
            return Decimal(text.removesuffix(unit).strip()) * 1024
    return Decimal(text)


def _not_plain_fargate(rows: list[Any] | None, task: Resource) -> str | None:
    """Why a service has no price, if it has none."""
    if rows is None:
        return "how its tasks are bought is not known"
    others = {str(one.get("capacity_provider")) for one in rows} - {"FARGATE", "FARGATE_SPOT"}
    if others:
        return f"its capacity provider {', '.join(sorted(others))} is none of Fargate's"
    if task.get("cpu") is None or task.get("memory") is None:
        return "the size of its tasks is not known"
    family = str(task.get("runtime_platform", 0, "operating_system_family", default="LINUX"))
    return None if family == "LINUX" else f"no price is known of Fargate with {family}"


def _task_hours(
    strategy: list[Any], weekly: dict[Bounds, Decimal]
) -> tuple[list[Decimal], list[Decimal]]:
    """On demand and on Spot: a month's task hours, low, expected and high.

    Low and expected are the fewest tasks that scaling keeps, high the most.
    """
    on_demand, spot = [Decimal(0)] * 3, [Decimal(0)] * 3
    for bounds, hours in weekly.items():
        month = hours * HOURS_A_MONTH / HOURS_A_WEEK
        for place, count in enumerate((bounds.fewest, bounds.fewest, bounds.most)):
            bought, bid = purchase(strategy, count)
            on_demand[place] += bought * month
            spot[place] += bid * month
    return on_demand, spot


def purchase(rows: Any, count: int) -> tuple[Decimal, Decimal]:
    """How many of so many tasks ECS buys on demand and how many on Spot: bases, then weights.

    Args:
        rows: the capacity provider strategy.
    """
    if not rows:
        return Decimal(count), Decimal(0)
    on_demand = min(count, _sum(rows, "FARGATE", "base"))
    spot = min(count - on_demand, _sum(rows, "FARGATE_SPOT", "base"))
    weights = [_sum(rows, name, "weight") for name in ("FARGATE", "FARGATE_SPOT")]
    if not any(weights):  # ECS takes that of a provider that is alone
        only_spot = {one.get("capacity_provider") for one in rows} == {"FARGATE_SPOT"}
        weights = [0, 1] if only_spot else [1, 0]
    share = Decimal(weights[1]) / sum(weights)
    rest = count - on_demand - spot
    return on_demand + rest * (1 - share), spot + rest * share


def _sum(rows: Any, provider: str, key: str) -> int:
    return sum(int(one.get(key) or 0) for one in rows if one.get("capacity_provider") == provider)
