"""A quantity a month as the least, what is expected and the most. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from xops.finops.pricing.assumptions import Range

_ONE = Decimal(1)
_MOST = Decimal(10) ** 15


@dataclass(frozen=True)
class RangedUsage:
    """One item of one resource, in three quantities.

    Raises:
        ValueError: they are in no order, below 0, or more than there can be.
    """

    item: str
    low: Decimal
    expected: Decimal
    high: Decimal

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.expected <= self.high < _MOST:
            raise ValueError(f"{self.item}: {self.low}, {self.expected}, {self.high}")

    @classmethod
    def always(cls, item: str, quantity: Decimal = _ONE) -> RangedUsage:
        """The same whatever happens."""
        return cls(item, quantity, quantity, quantity)

    @classmethod
    def assumed(cls, item: str, quantity: Range, times: Decimal = _ONE) -> RangedUsage:
        """As is assumed."""
        return cls(item, quantity.low * times, quantity.expected * times, quantity.high * times)
