"""Every query of costs, for tests of all engines."""

from collections.abc import Callable
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import ibis

from xops.finops.analysis import queries
from xops.finops.analysis.periods import Grain, Period
from xops.finops.analysis.queries import CostTable, Dialect, Dimension
from xops.finops.focus.columns import arrow_schema

ZONE = ZoneInfo("Australia/Sydney")
PERIOD = Period(date(2026, 3, 1), date(2026, 5, 1))
"""With a change of clocks in it, on 5 April in Sydney."""

WEEK = Period(date(2026, 4, 6), date(2026, 4, 13))

QUERIES: dict[str, Callable[[CostTable], Any]] = {
    "days by all": lambda costs: queries.by(costs, Grain.DAY, Dimension, PERIOD),
    "weeks": lambda costs: queries.by(
        costs, Grain.WEEK, [Dimension.ENVIRONMENT, Dimension.SERVICE], PERIOD, ["Usage"]
    ),
    "months": lambda costs: queries.by(costs, Grain.MONTH, [Dimension.OWNER], PERIOD),
    "delivered days": lambda costs: queries.delivered_days(costs, PERIOD),
    "currencies": queries.currencies,
    "coverage": lambda costs: queries.coverage(costs, PERIOD),
    "untagged resources": lambda costs: queries.untagged_resources(costs, PERIOD),
    "compare": lambda costs: queries.compare(
        costs, WEEK.before(), WEEK, [Dimension.ENVIRONMENT, Dimension.USAGE_TYPE]
    ),
    "quantities": lambda costs: queries.quantities(costs, PERIOD),
    "of an environment": lambda costs: queries.coverage(costs.of_environment("prod"), WEEK),
}


def costs_in(table: Any, dialect: Dialect) -> CostTable:
    """A table as these tests read it: one account stands for an environment."""
    return CostTable(table, ZONE, accounts={"000000000003": "prod"}, dialect=dialect)


def sql(name: str, dialect: Dialect) -> str:
    """A query as an engine reads it, of a table named `costs`."""
    unbound = ibis.table(ibis.Schema.from_pyarrow(arrow_schema()), name="costs")
    return str(ibis.to_sql(QUERIES[name](costs_in(unbound, dialect)), dialect=dialect))
