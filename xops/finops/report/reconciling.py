"""An environment's month against its own plan: which price is which line of the bill. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from xops.finops.analysis.periods import Period
from xops.finops.analysis.reconciliation import Item, actual_items, reconcile
from xops.finops.prices.book import GLOBAL, Price
from xops.finops.pricing.bill import Bill
from xops.finops.report.estimates import Estimate
from xops.finops.report.model.planning import Reconciliation, Variance
from xops.finops.report.model.values import Amount, AtLeast, Known, Label, Month
from xops.finops.report.readings import Row

_NOTHING = Decimal(0)

_SERVICES = {
    "CloudWatch Logs": ("AmazonCloudWatch",),
    "EFS": ("Amazon Elastic File System",),
    "ECR": ("Amazon Elastic Container Registry", "Amazon EC2 Container Registry (ECR)"),
    "S3": ("Amazon Simple Storage Service",),
}
"""As AWS names in FOCUS the services of which several have a usage type of the same name."""

_SCALES = {
    "1k-requests": 1_000,
    "10k-requests": 10_000,
    "10k-calls": 10_000,
    "million-requests": 1_000_000,
    "million-queries": 1_000_000,
}
"""What AWS counts one by one and asks for by the thousand."""


def reconciliation(
    estimate: Estimate, month: Period, rows: Sequence[Row], label: Label
) -> Reconciliation:
    """Plan -> budget -> actual of a whole month.

    Args:
        estimate: with the environment's own plan.
        month: of which every day is known.
        rows: of `queries.quantities` for that month and environment.
        label: of what was billed.
    """
    bill, region = estimate.own.after[1], estimate.facts.shape.region
    planned = _planned_items(bill)
    book = [price for price in estimate.rates.book.rows if price.region in (region, GLOBAL)]
    # What is planned comes first: two kinds of load balancers have one usage type.
    book.sort(key=lambda price: price.item not in planned)
    priced = [(row, find_price(row, book)) for row in rows]
    # What is billed at a known price and not planned was planned as none of it.
    items = {price.item: _item(price, _NOTHING) for _, price in priced if price} | planned
    named = [_named(row, price) for row, price in priced]
    found = reconcile(month, actual_items(named, items, {}), estimate.facts.budget)
    unpriced = tuple(dict.fromkeys((*estimate.own.unpriced, *found.unpriced)))
    amount: Amount = Known(found.planned, Label.ESTIMATED)
    if unpriced:
        amount = AtLeast(found.planned, Label.ESTIMATED, f"no price for {', '.join(unpriced)}")
    variances = tuple(
        Variance(one.group, one.planned, one.actual, one.price, one.quantity, one.mix)
        for one in found.variances
    )
    unplanned = sum((one.amount for one in found.unplanned), _NOTHING)
    notes = [f"on no plan, or without a quantity: {one.name}: {one.amount:+z,.2f}"
             for one in found.unplanned]  # fmt: skip
    notes += [f"planned without a price: {name}" for name in unpriced]
    return Reconciliation(
        estimate.facts.name, Month(f"{month.start:%Y-%m}"), amount, estimate.facts.budget,
        Known(found.actual, label), variances, unplanned, tuple(notes),
    )  # fmt: skip


def _planned_items(bill: Bill) -> dict[str, Item]:
    """What is planned, by item of the price book."""
    found: dict[str, Item] = {}
    for line in bill.lines:
        if line.price is not None:
            item, before = line.usage.item, found.get(line.usage.item)
            quantity = line.usage.quantity + ((before and before.planned_quantity) or _NOTHING)
            found[item] = _item(line.price, quantity)
    return found


def _item(price: Price, planned: Decimal) -> Item:
    return Item(price.item, group_of(price.item), planned, price.usd, _NOTHING, _NOTHING)


def _named(row: Row, price: Price | None) -> Row:
    """A row of the bill under the name of its price, counted in the unit of it."""
    if price is None:
        return {**row, "usage_type": f"{row['service']}: {row['usage_type'] or 'no usage type'}"}
    quantity, scale = row["quantity"], _SCALES.get(price.unit, 1)
    counted = None if quantity is None else quantity / scale
    return {**row, "usage_type": price.item, "quantity": counted}


def find_price(row: Row, prices: Iterable[Price]) -> Price | None:
    """The price at which a row of a bill is: the first of those with its usage type and service."""
    usage_type, service = row["usage_type"], row["service"]
    if usage_type is None:
        return None
    return next(
        (
            price
            for price in prices
            if price.is_of(usage_type) and service in _SERVICES.get(price.service, (service,))
        ),
        None,
    )


def group_of(item: str) -> str:
    """The items that can stand for each other: hours of a vCPU, on demand or on Spot."""
    words = [word for word in item.split() if word not in ("spot", "arm64", "x86_64")]
    return " ".join(words) if item.startswith("fargate") else item
