"""Made-up charges to look at a report with, in a store of their own."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from xops.finops.focus.sample import write_sample
from xops.finops.report.readings import MONTHS_BEFORE
from xops.finops.store.cost_store import CostStore
from xops.finops.store.sources import Folder

EXPORT = "sample"


def make_sample_store(folder: Path, today: date) -> CostStore:
    """A store with charges of the last months, marked as made up.

    Args:
        folder: an empty one, for the exports and for the store.
        today: the day of the report; the exports end two days before, as AWS' do.
    """
    exports = folder / "exports"
    write_sample(exports, months=MONTHS_BEFORE + 1, until=today - timedelta(days=1))
    store = CostStore.open(folder / "costs")
    store.ingest(Folder(exports), EXPORT, now=datetime.combine(today, time(), UTC))
    return store
