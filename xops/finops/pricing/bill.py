"""A month's bill from quantities and prices. Pure.

What has no price stays on the bill as a line without an amount, and makes its total incomplete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from xops.core.money import Money
from xops.finops.prices.book import Confidence, Price, PriceBook

_NOTHING = Money(amount=Decimal(0))


@dataclass(frozen=True)
class Usage:
    """So much of something in a month.

    Attributes:
        item: what, as the price book calls it.
        quantity: in the unit of its price.
        what_for: for people: which part of the platform uses it.
    """

    item: str
    quantity: Decimal
    what_for: str


@dataclass(frozen=True)
class Line:
    """One usage and its price; None where nobody has seen one."""

    usage: Usage
    price: Price | None

    @property
    def amount(self) -> Money | None:
        """What it costs a month."""
        return None if self.price is None else self.price.money * self.usage.quantity

    def to_json(self) -> dict[str, Any]:
        """For machines: exact decimals as texts."""
        amount = self.amount
        return {
            "item": self.usage.item,
            "what_for": self.usage.what_for,
            "quantity": str(self.usage.quantity),
            "unit": self.price.unit if self.price else None,
            "usd": str(self.price.usd) if self.price else None,
            "amount": str(amount.amount) if amount else None,
            "confidence": str(self.price.confidence) if self.price else None,
            "seen_on": str(self.price.seen_on) if self.price and self.price.seen_on else None,
        }


@dataclass(frozen=True)
class Bill:
    """Lines of one month."""

    lines: tuple[Line, ...]

    @classmethod
    def of(cls, usages: Iterable[Usage], book: PriceBook, region: str) -> Bill:
        """Look every usage up in a price book."""
        return cls(tuple(Line(usage, book.find(usage.item, region)) for usage in usages))

    def __add__(self, other: Bill) -> Bill:
        return Bill(self.lines + other.lines)

    def where(self, holds: Callable[[Usage], bool]) -> Bill:
        """The lines of some usages."""
        return Bill(tuple(line for line in self.lines if holds(line.usage)))

    @property
    def total(self) -> Money:
        """Of the lines that have a price; see `unpriced`."""
        amounts = (line.amount for line in self.lines)
        return sum((one for one in amounts if one is not None), _NOTHING)

    @property
    def unpriced(self) -> tuple[Usage, ...]:
        """What the total does not hold."""
        return tuple(line.usage for line in self.lines if line.price is None)

    @property
    def confidence(self) -> Confidence | None:
        """The weakest of its lines; None for a bill without a price."""
        return min((line.price.confidence for line in self.lines if line.price), default=None)

    @property
    def seen_on(self) -> date | None:
        """The oldest day of its lines; None as soon as one line says no day."""
        days = [line.price.seen_on for line in self.lines if line.price]
        known = [day for day in days if day is not None]
        return min(known) if known and len(known) == len(days) else None

    def old(self, today: date) -> list[str]:
        """The items whose prices are to be looked up anew, each once."""
        prices = (line.price for line in self.lines if line.price and line.price.is_old(today))
        return sorted({price.item for price in prices})
