"""What an ingest changed: by month and export, with what there was before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal

from xops.finops.store.examination import Total
from xops.finops.store.partitions import Label, Partition

INVOICED_AFTER = timedelta(days=5)
"""After the end of the month."""


@dataclass(frozen=True)
class MonthChange:
    """What an ingest did to the charges of one export in one billing period.

    Attributes:
        before: what they came to; None where there were none.
        after: what they come to.
        restated: whether a month that was over, and complete as far as anybody knew, now comes to
            something else.
        replaced: of Cost Explorer's answers, what the export took the place of.
    """

    month: str
    export_id: str
    before: tuple[Total, ...] | None
    after: tuple[Total, ...]
    label: Label
    restated: bool
    replaced: tuple[Total, ...] | None = None

    @property
    def shown(self) -> tuple[Total, ...]:
        """What they come to; nothing, in a currency that they had before and have no more."""
        left = {one.currency for one in self.after}
        gone = (one for one in self.before or () if one.currency not in left)
        nothing = Decimal(0)
        return (
            *self.after,
            *(
                Total(currency=one.currency, rows=0, billed=nothing, effective=nothing)
                for one in gone
            ),
        )

    def to_json(self) -> dict[str, Any]:
        """JSON values only: exact decimals as texts."""
        return {
            "month": self.month,
            "export": self.export_id,
            "label": str(self.label),
            "rows": sum(total.rows for total in self.after),
            "totals": _totals(self.after),
            "before": None if self.before is None else _totals(self.before),
            "restated": self.restated,
            "delta": self._deltas("billed"),
            "effective_delta": self._deltas("effective"),
            "replaced_estimate": None if self.replaced is None else _totals(self.replaced),
        }

    def _deltas(self, kind: Literal["billed", "effective"]) -> dict[str, str] | None:
        """After less before, of a month that was restated."""
        if not self.restated:
            return None
        amounts = {one.currency: getattr(one, kind) for one in self.after}
        for one in self.before or ():
            amounts[one.currency] = amounts.get(one.currency, Decimal(0)) - getattr(one, kind)
        return {currency: f"{amount:f}" for currency, amount in sorted(amounts.items())}


@dataclass(frozen=True)
class Ingested:
    """What one export brought.

    Attributes:
        changes: of the months whose charges are others than before.
        unchanged: months that are what they were.
        notes: what somebody should know, in sentences.
    """

    export_id: str
    address: str
    changes: tuple[MonthChange, ...]
    unchanged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def restated(self) -> tuple[MonthChange, ...]:
        """Months that were over and come to something else now."""
        return tuple(change for change in self.changes if change.restated)

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        return {
            "export": self.export_id,
            "address": self.address,
            "months": [change.to_json() for change in self.changes],
            "unchanged": list(self.unchanged),
            "notes": list(self.notes),
        }


def is_restated(before: Partition | None, after: Partition) -> bool:
    """Whether a month that was over when it was taken in comes to something else now."""
    if before is None or _amounts(before.totals) == _amounts(after.totals):
        return False
    # An estimate is complete with the invoice: until then credits and taxes come to it.
    invoiced = INVOICED_AFTER if before.label is Label.ESTIMATED else timedelta(0)
    return before.taken_in_at.date() >= first_day_after(before.month) + invoiced


def _amounts(totals: Sequence[Total]) -> dict[str, tuple[Decimal, Decimal]]:
    """By currency; how many rows they are split over makes no difference."""
    return {one.currency: (one.billed, one.effective) for one in totals}


def first_day_after(month: str) -> date:
    """The day on which a billing period is over, in UTC."""
    year, number = map(int, month.split("-"))
    return date(year + number // 12, number % 12 + 1, 1)


def _totals(totals: Sequence[Total]) -> dict[str, Any]:
    return {
        one.currency: {
            "rows": one.rows,
            "billed": f"{one.billed:f}",
            "effective": f"{one.effective:f}",
        }
        for one in totals
    }
