"""Whether a budget can be met by what keeps the service's promise, and what would make it. Pure.

A plan that keeps the promise has no fewer tasks than it says, and the zones and sizes of the
file. It is never made to fit by leaving something out: what has no price makes the answer unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from itertools import product

from xops.core.money import HOURS_A_MONTH, Money
from xops.core.plan.cost import BudgetVerdict, judge
from xops.finops.budget.changes import BEYOND, Lever, single_changes
from xops.finops.budget.own_plan import cron, price_own, strategy
from xops.finops.budget.promise import Promise
from xops.finops.budget.shape import Egress, ServiceShape, Shape
from xops.finops.prices.book import PriceBook
from xops.finops.pricing.assumptions import Assumptions
from xops.finops.pricing.bill import Bill, Usage
from xops.finops.pricing.plan_pricing import PricedPlan, purchase
from xops.finops.pricing.schedules import HOURS_A_WEEK, Action, Bounds, weekly_hours

COMPUTE = "fargate "
SPOT = "fargate spot "
_EGRESS: tuple[Egress, ...] = ("public_ip", "nat", "endpoints")


@dataclass(frozen=True)
class Rates:
    """What shapes are priced with.

    Attributes:
        on_demand: prices on demand, where the book's are those of what is committed to.
    """

    book: PriceBook
    assumptions: Assumptions
    on_demand: PriceBook | None = None


@dataclass(frozen=True)
class Option:
    """A way to run it, with what it costs.

    Attributes:
        assumptions: the quantities that the price rests on.
        lever: what differs; None for the environment as its file says, and for a whole plan.
    """

    summary: str
    shape: Shape
    priced: PricedPlan
    budget: Money
    assumptions: Assumptions
    lever: Lever | None = None

    @property
    def bill(self) -> Bill:
        """What is expected."""
        return self.priced.after[1]

    @property
    def total(self) -> Money:
        """Of what has a price."""
        return self.bill.total

    @property
    def verdict(self) -> BudgetVerdict:
        """As `judge`."""
        return judge(self.total, self.budget, incomplete=bool(self.priced.unpriced))

    @property
    def compute(self) -> Bill:
        """Its tasks."""
        return self.bill.where(lambda usage: usage.item.startswith(COMPUTE))

    @property
    def fixed(self) -> Bill:
        """All that is no task."""
        return self.bill.where(lambda usage: not usage.item.startswith(COMPUTE))


@dataclass(frozen=True)
class Largest:
    """The most that fits on top of the cheapest plan.

    Attributes:
        tasks: of each service in business hours, the most in all.
        total: what that comes to.
        peak_hours: whole business hours in which all tasks of all services fit, instead.
        usd_an_hour: what such an hour adds.
    """

    tasks: Mapping[str, int]
    total: Money
    peak_hours: int | None
    usd_an_hour: Money


@dataclass(frozen=True)
class Feasibility:
    """What was found.

    Attributes:
        own: the environment as its file says.
        keeps_promise: whether that keeps the promise.
        changes: single changes of it that save something, the cheapest result first.
        cheapest: the cheapest plan that keeps the promise.
        spot_break_even: percent off on demand from which on that one fits; None: at none.
        largest: on top of that one; None where it does not fit itself, or its tasks have no price.
        beyond: what would make it cheaper yet, by changing what the file says beyond the promise.
    """

    promise: Promise
    budget: Money
    own: Option
    keeps_promise: bool
    changes: tuple[Option, ...]
    cheapest: Option
    spot_break_even: Decimal | None
    largest: Largest | None
    beyond: tuple[Option, ...]

    @property
    def cheapest_change(self) -> Option | None:
        """The single change with which what has a price fits for the least money, if one does."""
        fitting = (one for one in self.changes if one.total <= self.budget)
        return next(fitting, None)

    @property
    def over_by(self) -> Money | None:
        """How much the cheapest plan is over the budget; None where its priced part is not."""
        over = self.cheapest.total - self.budget
        return over if over.amount > 0 else None

    @property
    def is_reachable(self) -> bool | None:
        """Whether a plan fits; None where that hangs on what has no price."""
        answers = {BudgetVerdict.WITHIN: True, BudgetVerdict.OVER: False}
        return answers.get(self.cheapest.verdict)


def prove(shape: Shape, promise: Promise, budget: Money, rates: Rates) -> Feasibility:
    """Look at the environment, its single changes and the cheapest plan for its promise."""
    own = _option("as its file says", shape, budget, rates)
    cheapest = _cheapest(own, promise, rates)
    return Feasibility(
        promise=promise,
        budget=budget,
        own=own,
        keeps_promise=promise.is_kept_by(shape),
        changes=_savings(own, promise, rates),
        cheapest=cheapest,
        spot_break_even=spot_break_even(
            cheapest.bill, budget, rates.on_demand or rates.book, shape.region
        ),
        largest=_largest(cheapest, rates),
        beyond=tuple(one for one in _savings(cheapest, promise, rates) if one.lever in BEYOND),
    )


def _option(
    summary: str, shape: Shape, budget: Money, rates: Rates, lever: Lever | None = None
) -> Option:
    priced = price_own(shape, rates.book, rates.assumptions)
    return Option(summary, shape, priced, budget, rates.assumptions, lever)


def _savings(start: Option, promise: Promise, rates: Rates) -> tuple[Option, ...]:
    found = [
        _option(one.summary, one.shape, start.budget, rates, one.lever)
        for one in single_changes(start.shape, promise)
    ]
    # One that brings a line without a price only looks cheaper.
    known = [one for one in found if not set(one.priced.unpriced) - set(start.priced.unpriced)]
    saving = [one for one in known if one.total < start.total]
    return tuple(sorted(saving, key=lambda one: one.total))


def _cheapest(own: Option, promise: Promise, rates: Rates) -> Option:
    found = [own] if promise.is_kept_by(own.shape) else []
    for egress, spot in product(_EGRESS, (True, False)):
        services = {
            name: promise.fewest(one, spot=spot) for name, one in own.shape.services.items()
        }
        shape = replace(own.shape, egress=egress, services=services)
        others = "the others on Spot" if spot else "the others as well"
        bought = f"{promise.on_demand} of each service on demand, {others}"
        said = f"no more than the promise asks for: {bought}, egress {egress}"
        found.append(_option(said, shape, own.budget, rates))
    return min(found, key=lambda one: (len(one.priced.unpriced), one.total))


def spot_break_even(bill: Bill, budget: Money, book: PriceBook, region: str) -> Decimal | None:
    """From which discount of Spot on a bill fits.

    None where it does not even with Spot for free, or its tasks have no price on demand.

    Percent below on demand, rounded up to a hundredth; 0 where it fits at on-demand prices.
    """
    spot = [line for line in bill.lines if line.usage.item.startswith(SPOT)]
    bought = [replace(line.usage, item=line.usage.item.replace(SPOT, COMPUTE)) for line in spot]
    on_demand = Bill.of(bought, book, region)
    rest = bill.where(lambda usage: not usage.item.startswith(SPOT)).total
    left = (budget - rest).amount
    if left < 0 or on_demand.unpriced or any(map(_is_on_demand, bill.unpriced)):
        return None
    if not on_demand.total.amount:
        return Decimal(0)
    discount = 1 - Fraction(left) / Fraction(on_demand.total.amount)
    return max(Decimal(0), Decimal(math.ceil(discount * 10_000)) / 100)


def _is_on_demand(usage: Usage) -> bool:
    return usage.item.startswith(COMPUTE) and not usage.item.startswith(SPOT)


def peak_hour(shape: Shape, hours: Decimal = Decimal(1)) -> list[Usage]:
    """What so many hours of all tasks add to the fewest there are, with their addresses."""
    usages: list[Usage] = []
    for name, service in shape.services.items():
        rows, most = strategy(service), service.busiest.most
        sizes = (("vCPU", Decimal(service.cpu) / 1024), ("memory", Decimal(service.memory) / 1024))
        for fewest, counted in _hours_above(service, hours):
            pairs = zip((COMPUTE, SPOT), purchase(rows, fewest), purchase(rows, most), strict=True)
            for prefix, before, after in pairs:
                for part, size in sizes:
                    quantity = size * (after - before) * counted
                    if quantity:
                        usages.append(Usage(f"{prefix}arm64 {part}", quantity, f"{name}, peak"))
            if shape.egress == "public_ip":
                more = counted * (most - fewest)
                usages.append(Usage("public ipv4 address", more, f"{name}, peak"))
    return usages


def _hours_above(service: ServiceShape, hours: Decimal) -> Iterator[tuple[int, Decimal]]:
    """So many hours by the fewest tasks that there are anyway: business hours first."""
    inside = min(hours, _hours_inside(service))
    yield service.busiest.fewest, inside
    if service.schedule and hours > inside:
        yield service.schedule.outside.fewest, hours - inside


def _largest(cheapest: Option, rates: Rates) -> Largest | None:
    left = (cheapest.budget - cheapest.total).amount
    # Tasks without a price would all fit.
    if left < 0 or cheapest.compute.unpriced:
        return None
    tasks, total = _most_tasks(cheapest, rates)
    hour = Bill.of(peak_hour(cheapest.shape), rates.book, cheapest.shape.region).total
    hours = None
    if hour.amount:
        hours = int(min(left / hour.amount, _busy_hours(cheapest.shape)))
    return Largest(tasks, total, hours, hour)


def _busy_hours(shape: Shape) -> Decimal:
    """A month's hours in which the bounds of business hours hold for every service."""
    return min(_hours_inside(service) for service in shape.services.values())


def _hours_inside(service: ServiceShape) -> Decimal:
    if service.schedule is None:
        return Decimal(HOURS_A_MONTH)
    inside, outside = Bounds(1, 1), Bounds(0, 0)
    hours = service.schedule.hours
    actions = (Action(cron(hours, hours.start), inside), Action(cron(hours, hours.end), outside))
    counted = weekly_hours(actions) or {}
    return counted.get(inside, Decimal(0)) * HOURS_A_MONTH / HOURS_A_WEEK


def _most_tasks(cheapest: Option, rates: Rates) -> tuple[Mapping[str, int], Money]:
    """Services are priced one by one: their costs add up, so no combination is priced."""
    services = cheapest.shape.services
    added = [
        [(count, _with_tasks(cheapest, name, count, rates)) for count in _counts(service)]
        for name, service in services.items()
    ]
    fitting = []
    for combination in product(*added):
        total = sum((cost for _, cost in combination), cheapest.total)
        counts = [count for count, _ in combination]
        if total <= cheapest.budget:
            fitting.append((-sum(counts), total.amount, counts))
    _, amount, counts = min(fitting)
    return dict(zip(services, counts, strict=True)), Money(amount=amount)


def _counts(service: ServiceShape) -> range:
    return range(service.busiest.fewest, service.busiest.most + 1)


def _with_tasks(cheapest: Option, name: str, count: int, rates: Rates) -> Money:
    """What more it costs with so many tasks of a service in business hours."""
    shape = cheapest.shape
    service = shape.services[name]
    inside = Bounds(count, service.busiest.most)
    schedule = service.schedule and replace(service.schedule, inside=inside)
    more = replace(service, bounds=inside, schedule=schedule)
    changed = replace(shape, services={**shape.services, name: more})
    return _option("", changed, cheapest.budget, rates).total - cheapest.total
