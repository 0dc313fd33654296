"""Stores of the sample's charges, as they are and with something changed."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from xops.core.money import Money
from xops.ecs.environment import Environment, names
from xops.finops.budget.feasibility import Rates
from xops.finops.configuration import CostConfiguration
from xops.finops.focus.sample import write_sample
from xops.finops.prices.book import FILE, PriceBook
from xops.finops.pricing import assumptions
from xops.finops.report.build import Sources
from xops.finops.report.estimates import EnvironmentFacts
from xops.finops.report.spent import Changes
from xops.finops.store.cost_store import CostStore
from xops.finops.store.sources import Folder

TODAY = date(2026, 11, 29)

Change = Callable[[pa.Table], pa.Table]
"""Of the rows of a month."""


def unchanged(rows: pa.Table) -> pa.Table:
    return rows


def store_of_actual_costs(
    folder: Path,
    change: Change = unchanged,
    months: int = 4,
    today: date = TODAY,
    *,
    apart: bool = False,
) -> CostStore:
    """The sample without its mark, so that it passes for what was billed."""
    exports = folder / "exports"
    for file in write_sample(exports, months=months, until=today - timedelta(days=1)):
        pq.write_table(change(pq.read_table(file)).replace_schema_metadata(None), file)
    return take_in(folder, today, apart=apart)


def take_in(folder: Path, today: date = TODAY, *, apart: bool = False) -> CostStore:
    store = CostStore.open(folder / "costs")
    now = datetime.combine(today, time(), UTC)
    store.ingest(Folder(folder / "exports"), "aws", now=now, apart=apart)
    return store


def environments() -> list[EnvironmentFacts]:
    found = [Environment.load(name, environ={}) for name in names()]
    return [
        EnvironmentFacts.of(
            one.name,
            Money(amount=one.budget.amount),
            one.terraform_variables(),
            one.promise.model_dump(),
        )
        for one in found
    ]


def sources(store: CostStore, folder: Path, changes: Changes | None = None) -> Sources:
    rates = Rates(PriceBook.load(FILE), assumptions.Assumptions.load(assumptions.FILE))
    configuration = CostConfiguration.load(environ={})
    return Sources(
        store, configuration, environments(), rates, changes or Changes(), folder / "spill"
    )
