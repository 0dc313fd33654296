"""Numbers of a report, each with what kind of knowing it is. Pure.

A number is an `Amount`: known, known in part, or unknown. No part of the report turns the last into
a zero, nor the second into a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum


class Label(StrEnum):
    """What kind of number it is."""

    ACTUAL = "actual"
    """From what AWS has billed."""
    ESTIMATED = "estimated"
    """Computed: from prices, or from what was billed before."""
    SAMPLE = "sample"
    """Made up, or computed from what is."""

    @property
    def derived(self) -> Label:
        """Of what is computed from such numbers and is no sum of them: a forecast, a baseline."""
        return Label.SAMPLE if self is Label.SAMPLE else Label.ESTIMATED


@dataclass(frozen=True)
class Known:
    """An amount of the report's currency."""

    amount: Decimal
    label: Label


@dataclass(frozen=True)
class Unknown:
    """An amount that nobody knows, and why."""

    reason: str


@dataclass(frozen=True)
class AtLeast:
    """An amount that lacks parts of which nobody knows what they cost."""

    amount: Decimal
    label: Label
    without: str


Amount = Known | AtLeast | Unknown


def number(amount: Amount) -> Decimal | None:
    """What is known of it, for a drawing or a cell that says beside it that it is a part."""
    return None if isinstance(amount, Unknown) else amount.amount


def reason(amount: Amount) -> str:
    """Why it is not wholly known; empty where it is."""
    if isinstance(amount, Unknown):
        return amount.reason
    return f"at least: {amount.without}" if isinstance(amount, AtLeast) else ""


@dataclass(frozen=True)
class Exchange:
    """What a US dollar is in another currency: `rate` of it, as a source gave it on a day."""

    currency: str
    rate: Decimal
    seen_on: date
    source: str

    def convert(self, amount: Decimal) -> Decimal:
        """An amount of US dollars in that currency."""
        return amount * self.rate


@dataclass(frozen=True)
class Month:
    """A billing period, `2026-03`.

    Attributes:
        through: the last day of which there are costs, where the month is not whole; else None.
            The day before its first where there is none yet.
        missing: how many of its days up to there were not delivered.
    """

    name: str
    through: date | None = None
    missing: int = 0

    @property
    def is_partial(self) -> bool:
        """Whether it may not be compared with a whole one."""
        return self.through is not None or self.missing > 0

    def __str__(self) -> str:
        parts = []
        if self.through is not None:
            is_begun = f"{self.through:%Y-%m}" == self.name
            parts.append(f"to {self.through:%d %b}" if is_begun else "no day known")
        if self.missing:
            parts.append(f"{self.missing} {'day' if self.missing == 1 else 'days'} missing")
        return f"{self.name} ({', '.join(parts)})" if parts else self.name
