"""What it should cost: plans, ways to run the platform, and the prices that these rest on. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from xops.core.money import Money
from xops.finops.report.model.values import Amount, AtLeast, Known, Label, Month, Unknown, reason


@dataclass(frozen=True)
class Variance:
    """What made the actual cost of something differ from its plan."""

    name: str
    planned: Decimal
    actual: Decimal
    price: Decimal
    quantity: Decimal
    mix: Decimal


@dataclass(frozen=True)
class Reconciliation:
    """Plan -> budget -> actual of an environment's month.

    Attributes:
        planned: what the plan costs in such a month.
        unplanned: what was billed above the plan and cannot be divided: it is on no plan, or the
            bill does not say how much of it there was.
    """

    environment: str
    month: Month
    planned: Amount
    budget: Money | None
    actual: Amount
    variances: tuple[Variance, ...]
    unplanned: Decimal
    notes: tuple[str, ...] = ()

    def total(self, part: str) -> Decimal:
        """Of `price`, `quantity` or `mix`."""
        return sum((getattr(one, part) for one in self.variances), Decimal(0))


@dataclass(frozen=True)
class ReplicaPoint:
    """A month with so many tasks of each service: all on demand, and the added ones on Spot."""

    replicas: int
    on_demand: Amount
    spot: Amount


@dataclass(frozen=True)
class ReplicaCurve:
    """What a month costs by the number of tasks of each service, from prices."""

    environment: str
    budget: Money
    points: tuple[ReplicaPoint, ...]
    assumptions: tuple[str, ...]


@dataclass(frozen=True)
class ScenarioRow:
    """A named way to run the platform, from prices."""

    name: str
    summary: str
    compute: Decimal
    fixed: Decimal
    total: Decimal
    verdict: str
    confidence: str


@dataclass(frozen=True)
class Plans:
    """What would fit an environment's budget."""

    environment: str
    budget: Money
    scenarios: tuple[ScenarioRow, ...]
    advice: tuple[str, ...]


@dataclass(frozen=True)
class StreamCost:
    """What a stream costs a month: what is invoiced, and people's hours as far as they are set."""

    name: str
    summary: str
    invoice: Amount
    hours: Decimal | None
    labour: Amount

    @property
    def total(self) -> Amount:
        """Of both; unknown without either."""
        if isinstance(self.invoice, Unknown):
            return self.invoice
        if isinstance(self.labour, Unknown):
            return self.labour
        total = self.invoice.amount + self.labour.amount
        without = "; ".join(filter(None, map(reason, (self.invoice, self.labour))))
        return (
            AtLeast(total, Label.ESTIMATED, without) if without else Known(total, Label.ESTIMATED)
        )


@dataclass(frozen=True)
class Streams:
    """ECS against K3S.

    Attributes:
        usd_an_hour: what an hour of work costs; None where nobody has set it.
        break_even_hours: more hours a month than these, and the cheaper invoice is the dearer one.
    """

    rows: tuple[StreamCost, ...]
    usd_an_hour: Decimal | None
    break_even_hours: Decimal | None
    assumptions: tuple[str, ...]


@dataclass(frozen=True)
class PriceAge:
    """A price, and since when it is known."""

    item: str
    region: str
    seen_on: date | None
    confidence: str
    is_old: bool


@dataclass(frozen=True)
class Prices:
    """How fresh the prices are on which the estimates rest."""

    rows: tuple[PriceAge, ...]
    weakest: str
    oldest: date | None

    @property
    def old(self) -> tuple[PriceAge, ...]:
        """Seen over 90 days ago, or on no known day."""
        return tuple(row for row in self.rows if row.is_old)
