"""From plan to budget to actual: how much more, because of which prices, quantities and mix. Pure.

For items of one group, which are counted in the same unit (on demand and Spot hours of a vCPU):

- *quantity*: more or less of the group, at the plan's mix and prices;
- *mix*: dearer or cheaper items of the group than planned, at the plan's prices;
- *price*: another price for what was used.

The three add up to actual less planned, exactly: they are computed as fractions and are rounded to
cents together, so that they add up to the cent as they are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from xops.core.money import Money
from xops.core.plan.cost import BudgetVerdict, judge
from xops.finops.analysis.periods import Period

_CENTS = 100


@dataclass(frozen=True)
class Item:
    """What was planned of something, and what was used.

    Attributes:
        name: of the item, like a price book's.
        group: of the items that can stand for each other; their quantities have one unit.
        planned_quantity: None: it is on no plan.
        planned_price: for one unit; None: it has no price, so that its plan is not known.
        actual_quantity: None: the bill does not say how much.
        actual_cost: what it came to.
    """

    name: str
    group: str
    planned_quantity: Decimal | None
    planned_price: Decimal | None
    actual_quantity: Decimal | None
    actual_cost: Decimal

    @property
    def is_comparable(self) -> bool:
        """Whether both sides are known, so that a difference has reasons."""
        return None not in (self.planned_quantity, self.planned_price, self.actual_quantity)

    @property
    def planned_cost(self) -> Decimal | None:
        """What the plan says it comes to; 0 where it is on no plan, None where it has no price."""
        if self.planned_quantity is None:
            return Decimal(0)
        if self.planned_price is None:
            return None
        return self.planned_quantity * self.planned_price


@dataclass(frozen=True)
class Variance:
    """Why a group of items cost more or less than planned; whole cents."""

    group: str
    planned: Decimal
    actual: Decimal
    quantity: Decimal
    mix: Decimal
    price: Decimal

    @property
    def total(self) -> Decimal:
        """Actual less planned."""
        return self.actual - self.planned

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {name: value if name == "group" else f"{value:f}"
                for name, value in vars(self).items()} | {"total": f"{self.total:f}"}  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """A cost that only one side knows: there is nothing to divide it by."""

    name: str
    amount: Decimal

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {"name": self.name, "amount": f"{self.amount:f}"}


@dataclass(frozen=True)
class Reconciliation:
    """A period's plan, budget and actual cost; whole cents.

    Attributes:
        planned: of the items that have a price.
        variances: by group, whose totals with `unplanned` are `actual` less `planned`.
        unplanned: what was billed and is on no plan, or not in quantities.
        unpriced: what is planned without a price: `planned` and the verdict do not hold it.
        budget: for the period; None: nobody has set one.
    """

    period: Period
    planned: Decimal
    actual: Decimal
    variances: tuple[Variance, ...]
    unplanned: tuple[Difference, ...]
    unpriced: tuple[str, ...]
    budget: Money | None

    @property
    def difference(self) -> Decimal:
        """Actual less planned."""
        return self.actual - self.planned

    @property
    def left_of_budget(self) -> Decimal | None:
        """Budget less actual; negative where it is exceeded."""
        return None if self.budget is None else self.budget.amount - self.actual

    @property
    def plan_within_budget(self) -> BudgetVerdict:
        """Whether the plan was within it; unknown while some of it has no price."""
        if self.budget is None:
            return BudgetVerdict.UNKNOWN
        planned = Money(amount=self.planned, currency=self.budget.currency)
        return judge(planned, self.budget, incomplete=bool(self.unpriced))

    @property
    def steps(self) -> list[tuple[str, Decimal]]:
        """The way from plan to actual for a waterfall; the steps between add up to the cent."""
        sums = {
            part: sum((getattr(one, part) for one in self.variances), Decimal(0))
            for part in ("quantity", "mix", "price")
        }
        unplanned = sum((one.amount for one in self.unplanned), Decimal(0))
        return [("plan", self.planned), *sums.items(), ("unplanned", unplanned),
                ("actual", self.actual)]  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """For machines: exact decimals as texts."""
        left = self.left_of_budget
        return {
            "from": str(self.period.start),
            "until": str(self.period.end),
            "planned": f"{self.planned:f}",
            "budget": str(self.budget.amount) if self.budget else None,
            "actual": f"{self.actual:f}",
            "difference": f"{self.difference:f}",
            "left_of_budget": None if left is None else f"{left:f}",
            "plan_within_budget": self.plan_within_budget,
            "variances": [one.to_json() for one in self.variances],
            "unplanned": [one.to_json() for one in self.unplanned],
            "unpriced": list(self.unpriced),
        }


def reconcile(period: Period, items: Iterable[Item], budget: Money | None) -> Reconciliation:
    """Hold what was spent against what was planned for the same period.

    Args:
        items: plan and actual cost of this whole period: a part of a month is reconciled with the
            same part of its plan.
        budget: for this period, without tax.
    """
    items = list(items)
    comparable = [item for item in items if item.is_comparable]
    rest = [item for item in items if not item.is_comparable]
    variances = [_variance(name, group) for name, group in _groups(comparable).items()]
    unplanned = _unplanned(rest)
    if rounded := _cents_lost(items, variances, rest):
        unplanned.append(Difference("rounding of the lines above to cents", rounded))
    planned = sum((one.planned for one in variances), Decimal(0)) + sum(
        (one.amount for one in _only_planned(rest)), Decimal(0)
    )
    difference = sum((one.total for one in variances), Decimal(0)) + sum(
        (one.amount for one in unplanned), Decimal(0)
    )
    return Reconciliation(
        period, planned, planned + difference, tuple(variances), tuple(unplanned),
        tuple(item.name for item in items if item.planned_cost is None), budget,
    )  # fmt: skip


def _cents_lost(
    items: Sequence[Item], variances: Sequence[Variance], rest: Sequence[Item]
) -> Decimal:
    """By how much the lines, each rounded, are below the sum: a bill has many parts of cents."""
    whole = sum((Fraction(item.actual_cost) for item in items), Fraction(0))
    shown = sum((one.actual for one in variances), Decimal(0))
    return _rounded([whole])[0] - shown - sum((_cents(one.actual_cost) for one in rest), Decimal(0))


def _groups(items: Iterable[Item]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.group, []).append(item)
    return found


def _only_planned(items: Iterable[Item]) -> list[Difference]:
    return [
        Difference(item.name, _rounded([Fraction(item.planned_cost)])[0])
        for item in items
        if item.planned_cost is not None
    ]


def _unplanned(items: Sequence[Item]) -> list[Difference]:
    """What these items cost above their plan, as far as that is known."""
    planned = {one.name: one.amount for one in _only_planned(items)}
    found = (
        Difference(item.name, _cents(item.actual_cost) - planned.get(item.name, Decimal(0)))
        for item in items
    )
    return [one for one in found if one.amount]


def _cents(amount: Decimal) -> Decimal:
    return _rounded([Fraction(amount)])[0]


def _variance(group: str, items: Sequence[Item]) -> Variance:
    planned_quantity = _total(item.planned_quantity for item in items)
    actual_quantity = _total(item.actual_quantity for item in items)
    planned = sum((_cost_at_plan(item, item.planned_quantity) for item in items), Fraction(0))
    at_plan = sum((_cost_at_plan(item, item.actual_quantity) for item in items), Fraction(0))
    actual = _total(item.actual_cost for item in items)
    # Without a planned quantity there is no planned mix: all of it is more than was planned.
    at_mix = planned * actual_quantity / planned_quantity if planned_quantity else at_plan
    start, quantity, mix, price = _rounded(
        [planned, at_mix - planned, at_plan - at_mix, actual - at_plan]
    )
    return Variance(group, start, start + quantity + mix + price, quantity, mix, price)


def _total(amounts: Iterable[Decimal | None]) -> Fraction:
    return sum((Fraction(amount) for amount in amounts if amount is not None), Fraction(0))


def _cost_at_plan(item: Item, quantity: Decimal | None) -> Fraction:
    return Fraction(quantity or 0) * Fraction(item.planned_price or 0)


def _rounded(amounts: Sequence[Fraction]) -> list[Decimal]:
    """Whole cents whose sum up to each place is the rounded sum up to there."""
    found, before, exact = [], 0, Fraction(0)
    for amount in amounts:
        exact += amount
        cents = round(exact * _CENTS)
        found.append(Decimal(cents - before).scaleb(-2))
        before = cents
    return found


def actual_items(
    rows: Iterable[Mapping[str, Any]], planned: Mapping[str, Item], group_of: Mapping[str, str]
) -> list[Item]:
    """Items of a plan with what a bill says of them.

    Args:
        rows: of `queries.quantities`.
        planned: by the usage type by which it is billed; its actual figures are replaced.
        group_of: the group of a usage type that is on no plan; the others are groups of their own.
    """
    found = {
        name: Item(one.name, one.group, one.planned_quantity, one.planned_price,
                   Decimal(0), Decimal(0))
        for name, one in planned.items()
    }  # fmt: skip
    for row in rows:
        name = row["usage_type"] or row["service"] or "unnamed"
        none = Item(name, group_of.get(name, name), None, None, Decimal(0), Decimal(0))
        found[name] = _with(found.get(name, none), row["quantity"], row["effective_cost"])
    return list(found.values())


def _with(item: Item, quantity: Decimal | None, cost: Decimal) -> Item:
    known = None if None in (item.actual_quantity, quantity) else (
        (item.actual_quantity or Decimal(0)) + (quantity or Decimal(0))
    )  # fmt: skip
    return Item(item.name, item.group, item.planned_quantity, item.planned_price, known,
                item.actual_cost + cost)  # fmt: skip
