"""What a run of the ingest did, in words and in rows."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from xops.finops.store.changes import MonthChange
from xops.finops.store.examination import Total
from xops.finops.store.ingest_run import IngestRun


def summary(done: IngestRun) -> str:
    """One line: months that changed, those that were restated, what it cost."""
    changed = sum(len(one.changes) for one in done.ingested)
    same = sum(len(one.unchanged) for one in done.ingested)
    parts = [f"{changed} months taken in", f"{same} unchanged"]
    if done.restated:
        parts.append(f"{len(done.restated)} restated")
    if done.errors:
        parts.append(f"not taken in: {', '.join(name for name, _ in done.errors)}")
    if done.requests:
        parts.append(f"{done.usd:.2f} USD for Cost Explorer")
    return ", ".join(parts)


def table(done: IngestRun) -> list[Sequence[str]]:
    """A header, a row a month and currency, then what somebody should know."""
    rows: list[Sequence[str]] = [("month", "export", "rows", "billed", "kind", "")]
    for one in done.ingested:
        rows += [row for change in one.changes for row in _rows(change)]
        rows += [(month, one.export_id, "", "", "", "unchanged") for month in one.unchanged]
        rows += [("", one.export_id, "", "", "", note) for note in one.notes]
    rows += [("", name, "", "", "", f"not taken in: {error.found}") for name, error in done.errors]
    return rows


def _rows(change: MonthChange) -> list[Sequence[str]]:
    return [
        (
            change.month,
            change.export_id,
            f"{total.rows:,}",
            f"{total.billed:,.2f} {total.currency}",
            str(change.label),
            restatement(change, total),
        )
        for total in change.shown
    ]


def restatement(change: MonthChange, total: Total) -> str:
    """What a month that was over came to before; empty where it is no such month."""
    if not change.restated:
        return ""
    before = next((one for one in change.before or () if one.currency == total.currency), None)
    billed, effective = (before.billed, before.effective) if before else (Decimal(0), Decimal(0))
    if total.billed != billed:
        return f"restated by {total.billed - billed:+,.2f}, was {billed:,.2f}"
    if total.effective != effective:
        delta = total.effective - effective
        return f"effective cost restated by {delta:+,.2f}, was {effective:,.2f}"
    return ""
