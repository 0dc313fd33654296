"""Scenarios: named ways to run Stream 1 and Stream 2, and what a month of each comes to. Pure.

Each is arithmetic on a few stated assumptions, so that a budget can be argued about: it is not
what an environment's file asks for, which holds more (zones, NAT, WAF, backup).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Literal

from xops.core.money import HOURS_A_MONTH, Money
from xops.core.plan.cost import BudgetVerdict, judge
from xops.finops.prices.book import PriceBook
from xops.finops.prices.terms import Terms
from xops.finops.pricing.bill import Bill, Usage

BUSINESS_HOURS = Decimal(12 * 5 * 52) / 12
"""A month's hours of a 12-hour day, 5 days a week: 260."""

ADR_REPLICAS: Mapping[str, tuple[int, int]] = {"open_webui": (2, 6), "crew": (2, 8)}
"""Fewest and most tasks of each service. Source: ADR-005."""

_ASSUMED = (
    "ARM64 on Fargate, 730 hours a month, tasks in public subnets of one zone, no NAT gateway"
)
_FIXED = (
    "fixed lines: a load balancer with 1 LCU, 2 addresses of its own and one a task, 10 GB in EFS,"
    " 10 GB of logs, 5 secrets, 1 key, 1 hosted zone"
)
_SPOT = "Fargate Spot for ARM64 is an estimate: 70 % below on demand"
_MONTH = Decimal(HOURS_A_MONTH)

Architecture = Literal["arm64", "x86_64"]


@dataclass(frozen=True)
class TaskSize:
    """What a task of a service asks Fargate for."""

    vcpu: Decimal
    gib: Decimal
    architecture: Architecture = "arm64"

    @classmethod
    def of(cls, cpu: int, memory: int) -> TaskSize:
        """Of CPU units (1024 are a vCPU) and MiB, as ECS counts them."""
        return cls(Decimal(cpu) / 1024, Decimal(memory) / 1024)

    def running(self, hours: Decimal, what_for: str, *, spot: bool = False) -> Iterator[Usage]:
        """So many hours of such tasks."""
        prefix = f"fargate {'spot ' if spot else ''}{self.architecture}"
        yield Usage(f"{prefix} vCPU", self.vcpu * hours, what_for)
        yield Usage(f"{prefix} memory", self.gib * hours, what_for)


@dataclass(frozen=True)
class Case:
    """What the scenarios are about: an environment's sizes, its region and its budget.

    Attributes:
        terms: what the prices are taken at, in words.
    """

    tasks: Mapping[str, TaskSize]
    region: str
    budget: Money
    terms: tuple[str, ...] = Terms().said()


@dataclass(frozen=True)
class Scenario:
    """One scenario with its bill.

    Attributes:
        compute: what runs: tasks, or instances.
        fixed: what is paid whatever runs.
        assumptions: all that the figures rest on.
        figures: what else it answers, by name.
    """

    name: str
    summary: str
    compute: Bill
    fixed: Bill
    budget: Money
    assumptions: tuple[str, ...]
    figures: Mapping[str, int | str] = field(default_factory=dict)

    @property
    def bill(self) -> Bill:
        """All of its lines."""
        return self.compute + self.fixed

    @property
    def verdict(self) -> BudgetVerdict:
        """As `judge`: a bill with a line without a price is within no budget."""
        return judge(self.bill.total, self.budget, incomplete=bool(self.bill.unpriced))

    def to_json(self) -> dict[str, Any]:
        """For machines; amounts are exact."""
        bill = self.bill
        return {
            "name": self.name,
            "summary": self.summary,
            "compute": str(self.compute.total.amount),
            "fixed": str(self.fixed.total.amount),
            "total": str(bill.total.amount),
            "budget": str(self.budget.amount),
            "currency": self.budget.currency,
            "verdict": self.verdict,
            "confidence": str(bill.confidence) if bill.confidence is not None else None,
            "prices_seen_on": str(bill.seen_on) if bill.seen_on else None,
            "unpriced": [usage.item for usage in bill.unpriced],
            "assumptions": list(self.assumptions),
            "figures": dict(self.figures),
            "lines": [line.to_json() for line in bill.lines],
        }


def scenarios(case: Case, book: PriceBook) -> list[Scenario]:
    """All named scenarios of a case."""
    return [
        on_demand_minimum(case, book),
        second_replica_on_spot(case, book),
        second_replica_on_spot(case, book, addresses_by_the_hour=True),
        full_peak_hours(case, book),
        full_peak_hours(case, book, with_addresses=True),
        *(k3s(case, book, size) for size in ("medium", "large")),
        k3s(case, book, "medium", load_balancer=True),
    ]


def on_demand_minimum(case: Case, book: PriceBook) -> Scenario:
    """The fewest tasks that ADR-005 names, always there, on demand."""
    usages = [
        usage
        for name, size in case.tasks.items()
        for usage in size.running(_MONTH * ADR_REPLICAS[name][0], name)
    ]
    addresses = _MONTH * sum(ADR_REPLICAS[name][0] for name in case.tasks)
    return Scenario(
        "on_demand_minimum",
        "2 tasks of each service, on demand, always",
        Bill.of(usages, book, case.region),
        _fixed(case, book, addresses),
        case.budget,
        (_ASSUMED, *case.terms, _FIXED),
    )


def second_replica_on_spot(
    case: Case, book: PriceBook, *, addresses_by_the_hour: bool = False
) -> Scenario:
    """One task of each service on demand, and in business hours a second one on Spot."""
    usages: list[Usage] = []
    for name, size in case.tasks.items():
        usages += size.running(_MONTH, name)
        usages += size.running(BUSINESS_HOURS, f"{name}, second task", spot=True)
    second = BUSINESS_HOURS if addresses_by_the_hour else _MONTH
    counted = "by the hours they run" if addresses_by_the_hour else "for the whole month"
    return Scenario(
        f"second_replica_on_spot{'_by_the_hour' if addresses_by_the_hour else ''}",
        "1 task of each service on demand, a second on Spot for 260 hours",
        Bill.of(usages, book, case.region),
        _fixed(case, book, (_MONTH + second) * len(case.tasks)),
        case.budget,
        (
            _ASSUMED,
            *case.terms,
            _FIXED,
            _SPOT,
            f"260 hours: 12 a day, 5 days, 52 weeks over 12; second tasks' addresses {counted}",
        ),
    )


def full_peak_hours(case: Case, book: PriceBook, *, with_addresses: bool = False) -> Scenario:
    """For how many hours a month all tasks that ADR-005 allows fit the budget.

    The bill is that of the whole hours that fit, on top of `on_demand_minimum`.
    """
    base = on_demand_minimum(case, book)
    more = _more_tasks_for(case, Decimal(1), with_addresses=with_addresses)
    an_hour = Bill.of(more, book, case.region)
    hours = _whole_hours((case.budget - base.bill.total).amount, an_hour)
    known = not (base.bill + an_hour).unpriced
    hours = hours if known else Decimal(0)
    peak = Bill.of(_more_tasks_for(case, hours, with_addresses=with_addresses), book, case.region)
    counted = "with" if with_addresses else "without"
    return Scenario(
        f"full_peak_hours{'_with_addresses' if with_addresses else ''}",
        f"2 tasks of each service always, 6 and 8 for {hours if known else 'unknown'} hours",
        base.compute + peak,
        base.fixed,
        case.budget,
        (
            _ASSUMED,
            *case.terms,
            _FIXED,
            f"on demand; whole hours, {counted} the addresses of the tasks added",
        ),
        {
            "hours": int(hours) if known else "unknown",
            "usd_an_hour": str(an_hour.total.amount) if known else "unknown",
        },
    )


def _whole_hours(left: Decimal, an_hour: Bill) -> Decimal:
    """How many fit into what is left; a month has no more than its own."""
    if left <= 0:
        return Decimal(0)
    if left >= an_hour.total.amount * _MONTH:
        return _MONTH
    return (left / an_hour.total.amount).to_integral_value(ROUND_FLOOR)


def k3s(
    case: Case, book: PriceBook, size: Literal["medium", "large"], *, load_balancer: bool = False
) -> Scenario:
    """Three nodes of Stream 2 on virtual machines."""
    compute = Bill.of([Usage(f"ec2 t4g.{size}", 3 * _MONTH, "K3S nodes")], book, case.region)
    fixed = [
        Usage("ebs gp3", Decimal(3 * 30), "K3S nodes' disks"),
        Usage("public ipv4 address", 3 * _MONTH, "K3S nodes"),
    ]
    if load_balancer:
        fixed.append(Usage("alb", _MONTH, "load balancer of the API"))
    left_out = "" if load_balancer else ", the load balancer left out"
    return Scenario(
        f"k3s_{size}{'_with_load_balancer' if load_balancer else ''}",
        f"3 x t4g.{size} with K3S",
        compute,
        Bill.of(fixed, book, case.region),
        case.budget,
        (f"on demand, 730 hours, 30 GB gp3 and one public address a node{left_out}", *case.terms),
    )


def _more_tasks_for(case: Case, hours: Decimal, *, with_addresses: bool) -> list[Usage]:
    """What is added to the fewest tasks when all that are allowed run."""
    usages: list[Usage] = []
    for name, size in case.tasks.items():
        fewest, most = ADR_REPLICAS[name]
        tasks = hours * (most - fewest)
        usages += size.running(tasks, f"{name}, peak")
        if with_addresses:
            usages.append(Usage("public ipv4 address", tasks, f"{name}, peak"))
    return usages


def _fixed(case: Case, book: PriceBook, address_hours: Decimal) -> Bill:
    usages = [
        Usage("alb", _MONTH, "load balancer"),
        Usage("alb lcu", _MONTH, "load balancer"),
        Usage("public ipv4 address", 2 * _MONTH, "load balancer"),
        Usage("public ipv4 address", address_hours, "tasks"),
        Usage("efs standard", Decimal(10), "data"),
        Usage("logs ingest", Decimal(10), "logs"),
        Usage("secret", Decimal(5), "secrets"),
        Usage("kms key", Decimal(1), "key"),
        Usage("route53 zone", Decimal(1), "hosted zone"),
    ]
    return Bill.of(usages, book, case.region)
