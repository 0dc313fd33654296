"""The parts of the report that rest on prices and files alone: nothing here was billed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_CEILING, Decimal
from typing import Any, Self

from xops.core.money import Money
from xops.finops.budget.feasibility import Feasibility, Rates, prove
from xops.finops.budget.own_plan import price_own
from xops.finops.budget.promise import Promise
from xops.finops.budget.scenarios import Case, Scenario, TaskSize, scenarios
from xops.finops.budget.shape import ServiceShape, Shape
from xops.finops.configuration import Labour
from xops.finops.prices.book import Price
from xops.finops.pricing.bill import Bill
from xops.finops.pricing.plan_pricing import PricedPlan
from xops.finops.pricing.schedules import Bounds
from xops.finops.report.model.planning import (
    Plans,
    PriceAge,
    Prices,
    ReplicaCurve,
    ReplicaPoint,
    ScenarioRow,
    StreamCost,
    Streams,
)
from xops.finops.report.model.values import Amount, AtLeast, Known, Label, Unknown

_COMPARED = (
    "on_demand_minimum",
    "second_replica_on_spot",
    "k3s_medium_with_load_balancer",
    "k3s_large",
)
"""Scenarios of both streams that are held beside each other."""

_CHEAPEST_ECS, _CHEAPEST_K3S = "second_replica_on_spot", "k3s_medium_with_load_balancer"


@dataclass(frozen=True)
class EnvironmentFacts:
    """What the report is told of an environment's file."""

    name: str
    budget: Money
    shape: Shape
    promise: Promise

    @classmethod
    def of(
        cls, name: str, budget: Money, variables: Mapping[str, Any], promise: Mapping[str, Any]
    ) -> Self:
        """From the variables of `terraform/stacks/stream1`, and the file's key `promise`."""
        return cls(name, budget, Shape.of(variables), Promise.of(promise))

    @property
    def case(self) -> Case:
        """What its scenarios are about."""
        sizes = {
            name: TaskSize.of(one.cpu, one.memory) for name, one in self.shape.services.items()
        }
        return Case(sizes, self.shape.region, self.budget)


@dataclass(frozen=True)
class Estimate:
    """All that prices say of an environment."""

    facts: EnvironmentFacts
    own: PricedPlan
    scenarios: tuple[Scenario, ...]
    feasibility: Feasibility
    rates: Rates

    @classmethod
    def of(cls, facts: EnvironmentFacts, rates: Rates) -> Self:
        """Price its own plan, the scenarios, and what would fit."""
        return cls(
            facts,
            price_own(facts.shape, rates.book, rates.assumptions),
            tuple(scenarios(facts.case, rates.book)),
            prove(facts.shape, facts.promise, facts.budget, rates),
            rates,
        )

    @property
    def planned(self) -> Amount:
        """What a month comes to as the file says; unknown as soon as a line has no price."""
        return _estimated(self.own)


def _estimated(priced: PricedPlan) -> Amount:
    total = priced.after[1].total.amount
    if priced.unpriced:
        return AtLeast(total, Label.ESTIMATED, f"no price for {', '.join(priced.unpriced)}")
    return Known(total, Label.ESTIMATED)


def curve(estimate: Estimate) -> ReplicaCurve:
    """A month by the number of tasks of each service, with all else as the file says."""
    most = max(one.busiest.most for one in estimate.facts.shape.services.values())
    points = tuple(
        ReplicaPoint(
            count, _with_tasks(estimate, count, count), _with_tasks(estimate, count, on_demand=1)
        )
        for count in range(1, most + 1)
    )
    limits = ", ".join(
        f"{name} {one.busiest.most}" for name, one in estimate.facts.shape.services.items()
    )
    return ReplicaCurve(
        estimate.facts.name,
        estimate.facts.budget,
        points,
        (
            f"so many tasks of each service all month, no more than its file allows: {limits}",
            "all else as the environment's file says: zones, egress, load balancer, data, firewall",
            *([f"at least: {said}"] if (said := _unpriced(estimate)) else []),
            "without tax",
        ),
    )


def _unpriced(estimate: Estimate) -> str:
    return f"no price for {', '.join(estimate.own.unpriced)}" if estimate.own.unpriced else ""


def _with_tasks(estimate: Estimate, count: int, on_demand: int) -> Amount:
    services = {
        name: _fixed_at(one, min(count, one.busiest.most), on_demand)
        for name, one in estimate.facts.shape.services.items()
    }
    shape = replace(estimate.facts.shape, services=services)
    return _estimated(price_own(shape, estimate.rates.book, estimate.rates.assumptions))


def _fixed_at(service: ServiceShape, count: int, on_demand: int) -> ServiceShape:
    return replace(
        service, bounds=Bounds(count, count), schedule=None, on_demand_base=min(on_demand, count),
        on_demand_weight=0, spot_weight=1,
    )  # fmt: skip


def plans(estimate: Estimate) -> Plans:
    """The named scenarios against the budget, and what would make it fit."""
    rows = tuple(
        ScenarioRow(
            one.name, one.summary, one.compute.total.amount, one.fixed.total.amount,
            one.bill.total.amount, str(one.verdict), str(one.bill.confidence),
        )
        for one in estimate.scenarios
    )  # fmt: skip
    own = estimate.own.after[1]
    proved = estimate.feasibility
    first = ScenarioRow(
        "own_plan", "the environment as its file says, with everything in",
        proved.own.compute.total.amount, proved.own.fixed.total.amount, own.total.amount,
        str(proved.own.verdict), str(own.confidence),
    )  # fmt: skip
    return Plans(
        estimate.facts.name, estimate.facts.budget, (first, *rows), tuple(_advice(estimate))
    )


def _advice(estimate: Estimate) -> Iterator[str]:
    found = estimate.feasibility
    yield f"promised: {found.promise}" + (
        "" if found.keeps_promise else "; the file itself does not keep it"
    )
    if found.is_reachable is None:
        yield "unknown whether a plan fits: no price for " + ", ".join(
            found.cheapest.priced.unpriced
        )
        return
    said = f"the cheapest plan that keeps the promise costs {found.cheapest.total} a month"
    if found.over_by is None:
        yield f"{said}: {found.cheapest.summary}"
    else:
        yield f"{said}, {found.over_by} over the budget: {found.cheapest.summary}"
        discount = found.spot_break_even
        yield (
            "it would fit at no discount of Spot"
            if discount is None
            else f"it would fit with Spot {discount} % below on demand"
        )
    if (change := found.cheapest_change) is not None:
        yield f"the cheapest single change that fits: {change.summary}, then {change.total}"
    if (largest := found.largest) is not None:
        counts = ", ".join(f"{count} of {name}" for name, count in largest.tasks.items())
        yield f"the most tasks in business hours that fit: {counts}, {largest.total}"


def streams(estimate: Estimate, labour: Labour | None) -> Streams:
    """Both streams' scenarios with people's hours, as far as these are set."""
    named = {one.name: one for one in estimate.scenarios}
    rows = tuple(_stream(named[name], labour) for name in _COMPARED if name in named)
    ecs, k3s = named[_CHEAPEST_ECS].bill, named[_CHEAPEST_K3S].bill
    return Streams(
        rows,
        labour.usd_an_hour if labour else None,
        _break_even(ecs, k3s, labour),
        tuple(_stream_assumptions(estimate, ecs, k3s)),
    )


def _stream(scenario: Scenario, labour: Labour | None) -> StreamCost:
    is_k3s = scenario.name.startswith("k3s")
    invoice: Amount = Known(scenario.bill.total.amount, Label.ESTIMATED)
    if unpriced := scenario.bill.unpriced:
        invoice = Unknown(f"no price for {', '.join(sorted({one.item for one in unpriced}))}")
    hours, cost = None, Unknown("no hours are set")
    named = f"{'K3S' if is_k3s else 'ECS'}: {scenario.name}"
    if labour is None:
        return StreamCost(named, scenario.summary, invoice, hours, cost)
    hours = labour.hours_a_month.k3s if is_k3s else labour.hours_a_month.ecs
    paid = Known(hours * labour.usd_an_hour, Label.ESTIMATED)
    return StreamCost(named, scenario.summary, invoice, hours, paid)


def _break_even(ecs: Bill, k3s: Bill, labour: Labour | None) -> Decimal | None:
    saved = (ecs.total - k3s.total).amount
    if labour is None or not labour.usd_an_hour or ecs.unpriced or k3s.unpriced or saved <= 0:
        return None
    return (saved / labour.usd_an_hour).quantize(Decimal("0.1"), ROUND_CEILING)


def _stream_assumptions(estimate: Estimate, ecs: Bill, k3s: Bill) -> Iterator[str]:
    saved = ecs.total - k3s.total
    if saved.amount > 0 and not ecs.unpriced and not k3s.unpriced:
        yield (
            f"the invoice of {_CHEAPEST_K3S} is {saved} a month below that of {_CHEAPEST_ECS}:"
            " K3S is dearer in all as soon as its additional hours cost more than that"
        )
    yield f"tasks of the sizes that {estimate.facts.name} asks for; three nodes for K3S"
    yield "K3S has a fixed capacity; ECS is paid by the hours that tasks run"


def prices(estimates: Sequence[Estimate], book: Sequence[Price], today: date) -> Prices:
    """Of the prices on which estimates rest; of the whole book where nothing was estimated."""
    bills = [
        bill
        for one in estimates
        for bill in (one.own.after[1], *(each.bill for each in one.scenarios))
    ]
    used = {
        (line.price.item, line.price.region): line.price
        for bill in bills
        for line in bill.lines
        if line.price is not None
    }
    rows = list(used.values()) or list(book)
    rows.sort(key=lambda row: (row.seen_on or date.min, row.item, row.region))
    return Prices(
        tuple(
            PriceAge(row.item, row.region, row.seen_on, str(row.confidence), row.is_old(today))
            for row in rows
        ),
        str(min(row.confidence for row in rows)) if rows else "unknown",
        rows[0].seen_on if rows else None,
    )
