"""What an ingest changed: by month and export, with what there was before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from xops.finops.store.examination import Total
from xops.finops.store.partitions import Label, Partition


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
            "delta": _deltas(self.before, self.after) if self.restated else None,
            "replaced_estimate": None if self.replaced is None else _totals(self.replaced),
        }


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
    if before is None or before.totals == after.totals:
        return False
    return before.taken_in_at.date() >= first_day_after(before.month)


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


def _deltas(before: Sequence[Total] | None, after: Sequence[Total]) -> dict[str, str]:
    """After less before, of what is billed."""
    amounts = {one.currency: one.billed for one in after}
    for one in before or ():
        amounts[one.currency] = amounts.get(one.currency, Decimal(0)) - one.billed
    return {currency: f"{amount:f}" for currency, amount in sorted(amounts.items())}
