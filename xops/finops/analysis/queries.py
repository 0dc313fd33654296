"""Questions to a table with FOCUS columns, written once for DuckDB, Trino (Athena) and Spark.

Nothing is run here until `rows` or `frame`. The engine's session is in UTC, which is what DuckDB's
is set to by `open_engine`; on Trino and Spark whoever connects sets it. Sums stay DECIMAL(38, 12),
and nothing is divided by an engine: DuckDB's quotient of decimals is a double.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

import ibis

from xops.core.errors import Finding, InputError
from xops.finops.analysis.periods import Grain, Period, moment, offsets
from xops.finops.analysis.series import CostRow, Days
from xops.finops.store.engine import MONEY

if TYPE_CHECKING:
    import pandas as pd

    from xops.finops.configuration import CostConfiguration

Dialect = Literal["duckdb", "trino", "pyspark"]
DIALECTS: tuple[Dialect, ...] = ("duckdb", "trino", "pyspark")

_WHOLE_DAY = timedelta(days=1)
_TAG_KEY = re.compile(r"[\w .:/=+@-]{1,128}")
"""What AWS lets a key be of. Source: "Tag naming limits and requirements"."""

_SPELLINGS = ("", "user:", "user_")
"""What may stand before the key of a tag that people set, by who wrote the table."""


class Dimension(StrEnum):
    """By what costs are divided; each is null where a row does not say."""

    SERVICE = "service"
    """Of AWS, by its name in FOCUS."""
    ENVIRONMENT = "environment"
    """By tag; without one, the environment that the account is configured to be of."""
    APPLICATION = "application"
    """Which of the platform's services, by tag."""
    OWNER = "owner"
    USAGE_TYPE = "usage_type"
    REGION = "region"
    PURCHASE = "purchase"
    """`Standard` is on demand, `Dynamic` is Spot, `Committed` a plan or a reservation."""
    CATEGORY = "category"
    """FOCUS' ChargeCategory: usage, purchase, tax, credit, adjustment."""
    ACCOUNT = "account"
    RESOURCE = "resource"


_COLUMNS = {
    Dimension.SERVICE: "ServiceName",
    Dimension.USAGE_TYPE: "x_UsageType",
    Dimension.REGION: "RegionId",
    Dimension.PURCHASE: "PricingCategory",
    Dimension.CATEGORY: "ChargeCategory",
    Dimension.ACCOUNT: "SubAccountId",
    Dimension.RESOURCE: "ResourceId",
}

TAGS = (Dimension.ENVIRONMENT, Dimension.APPLICATION, Dimension.OWNER)


def _value_of(text: str, path: str) -> str:
    """Says the types of what the engines have; none calls it."""
    raise NotImplementedError


# ibis' own casts to JSON differ: Trino's makes a JSON string of the text, and DuckDB's takes the
# colon in a key for a step of the path.
_TEXTS: dict[Dialect, tuple[Any, str]] = {
    "duckdb": (ibis.udf.scalar.builtin(_value_of, name="json_extract_string"), '$."{}"'),
    "trino": (ibis.udf.scalar.builtin(_value_of, name="json_extract_scalar"), '$["{}"]'),
    "pyspark": (ibis.udf.scalar.builtin(_value_of, name="get_json_object"), "$['{}']"),
}


@dataclass(frozen=True)
class CostTable:
    """A table of costs and how its rows are read.

    Attributes:
        table: with the columns of `xops.finops.focus.columns`, of whatever engine.
        zone: in which days and weeks begin.
        tags: the key of each tag by dimension.
        currency: the only one whose rows are looked at; amounts of several do not add up.
        accounts: account to environment, for rows without the tag.
        dialect: of the engine; JSON is read differently in each.

    Raises:
        InputError: a key of a tag that AWS does not let be one.
    """

    table: Any
    zone: ZoneInfo
    tags: Mapping[Dimension, str] = field(default_factory=lambda: {tag: tag.value for tag in TAGS})
    currency: str = "USD"
    accounts: Mapping[str, str] = field(default_factory=dict)
    dialect: Dialect = "duckdb"

    def __post_init__(self) -> None:
        wrong = [key for key in self.tags.values() if not _TAG_KEY.fullmatch(key)]
        if wrong:
            findings = [Finding("tags", "", f"{key!r} is no key of a tag in AWS") for key in wrong]
            raise InputError("reading tags", findings)

    @classmethod
    def configured(
        cls, table: Any, configuration: CostConfiguration, dialect: Dialect = "duckdb"
    ) -> CostTable:
        """As the file of costs says."""
        keys = configuration.tags
        tags = {
            Dimension.ENVIRONMENT: keys.environment,
            Dimension.APPLICATION: keys.service,
            Dimension.OWNER: keys.owner,
        }
        zone = ZoneInfo(configuration.timezone)
        return cls(table, zone, tags, accounts=configuration.accounts, dialect=dialect)

    def of_environment(self, name: str) -> CostTable:
        """Its rows of one environment."""
        return replace(self, table=self.table.filter(self.value(Dimension.ENVIRONMENT) == name))

    @property
    def rows(self) -> Any:
        """The rows in its currency."""
        return self.table.filter(self.table.BillingCurrency == self.currency)

    def tag(self, dimension: Dimension) -> Any:
        """The value of a tag; null where there is none or an empty one."""
        read, path = _TEXTS[self.dialect]
        key = self.tags[dimension]
        texts = [
            read(ibis._.Tags, path.format(f"{spelling}{key}")).nullif("") for spelling in _SPELLINGS
        ]
        return ibis.coalesce(*texts)

    def value(self, dimension: Dimension) -> Any:
        """What a row says of a dimension."""
        if dimension not in TAGS:
            return ibis._[_COLUMNS[dimension]]
        tag = self.tag(dimension)
        if dimension is not Dimension.ENVIRONMENT or not self.accounts:
            return tag
        of_account = ibis.cases(
            *((ibis._.SubAccountId == account, name) for account, name in self.accounts.items()),
        )
        return ibis.coalesce(tag, of_account)

    def on_days(self, period: Period) -> Any:
        """The rows whose charge begins within a period, each with its `day` in the zone.

        A row of a whole day or more has no hour: it is of the day in UTC on which it begins.
        """
        wide = Period(period.start - _WHOLE_DAY, period.end + _WHOLE_DAY)
        start = ibis._.ChargePeriodStart
        whole = ibis._.ChargePeriodEnd >= start + ibis.interval(days=1)
        day = ibis.ifelse(whole, start.date(), self._local(wide).date())
        begun = (start >= ibis.literal(moment(wide.start, self.zone))) & (
            start < ibis.literal(moment(wide.end, self.zone))
        )
        rows = self.rows.filter(begun).mutate(day=day)
        return rows.filter((ibis._.day >= period.start) & (ibis._.day < period.end))

    def _local(self, period: Period) -> Any:
        start = ibis._.ChargePeriodStart
        known = offsets(period, self.zone)
        shifted = [
            (until, start + ibis.interval(minutes=int(offset.total_seconds() // 60)))
            for until, offset in known
        ]
        *earlier, (_, latest) = shifted
        if not earlier:
            return latest
        branches = ((start < ibis.literal(until), local) for until, local in earlier)
        return ibis.cases(*branches, else_=latest)

    def in_months(self, period: Period) -> Any:
        """The rows of the billing periods that begin within a period, `day` being their first."""
        rows = self.rows.mutate(day=ibis._.BillingPeriodStart.date())
        return rows.filter((ibis._.day >= period.start) & (ibis._.day < period.end))


def _monday(day: Any) -> Any:
    # Spark's week of a date is a timestamp, although ibis takes it for a date.
    return day.cast("timestamp").truncate("W").date()


_TAGGED = ("Tags", "SubAccountId")
_READ_FROM = {dimension: (column,) for dimension, column in _COLUMNS.items()}

USAGE = "Usage"
NOT_SPENT = ("Tax", "Credit")
"""Categories that no budget counts."""


def by(
    costs: CostTable,
    grain: Grain,
    dimensions: Iterable[Dimension],
    period: Period,
    categories: Sequence[str] = (),
) -> Any:
    """Sums of costs by time and dimensions.

    Columns: `period` (its first day), each dimension, `billed_cost`, `effective_cost`.

    Args:
        categories: of charges that alone are looked at; none: all of them.
    """
    rows = costs.in_months(period) if grain is Grain.MONTH else costs.on_days(period)
    if categories:
        rows = rows.filter(ibis._.ChargeCategory.isin(categories))
    dimensions = list(dimensions)
    day = _monday(ibis._.day) if grain is Grain.WEEK else ibis._.day
    # By the tags' text first: it is the same in many rows, and is read once for all of them.
    read = {_READ_FROM.get(one, _TAGGED) for one in dimensions}
    columns = sorted({column for group in read for column in group})
    sums = (
        rows.mutate(period=day)
        .group_by(["period", *columns])
        .agg(billed_cost=_sum("BilledCost"), effective_cost=_sum("EffectiveCost"))
    )
    keys = {one.value: costs.value(one) for one in dimensions}
    return (
        sums.mutate(**keys)
        .group_by(["period", *keys])
        .agg(billed_cost=_sum("billed_cost"), effective_cost=_sum("effective_cost"))
        .order_by(["period", *keys])
    )


def _used() -> Any:
    """What was used then; corrections of months before stand on the day of the correction."""
    return (ibis._.ChargeCategory == USAGE) & ibis._.ChargeClass.isnull()


def _sum(column: str, where: Any = None) -> Any:
    total = ibis._[column].sum(where=where)
    nothing = ibis.literal(0).cast(MONEY)  # of no row, which is known
    return ibis.coalesce(total, nothing).cast(MONEY)


def delivered_days(costs: CostTable, period: Period) -> Any:
    """The days for which there are rows. Columns: `day`, `charges` (how many)."""
    rows = costs.on_days(period)
    return rows.group_by("day").agg(charges=ibis._.count()).order_by("day")


def currencies(costs: CostTable) -> Any:
    """What is in the table, in whatever currency. Columns: `currency`, `effective_cost`."""
    rows = costs.table.mutate(currency=ibis._.BillingCurrency)
    return rows.group_by("currency").agg(effective_cost=_sum("EffectiveCost")).order_by("currency")


def coverage(costs: CostTable, period: Period) -> Any:
    """How much of what was used bears each tag, in one row.

    Columns: `usage` (all of it), and for each tag what bears it, by the dimension's name. An
    account that stands for an environment counts as its tag.
    """
    rows = costs.on_days(period).filter(_used())
    rows = rows.mutate(**{tag.value: costs.value(tag) for tag in TAGS})
    bearing = {tag.value: _sum("EffectiveCost", ibis._[tag.value].notnull()) for tag in TAGS}
    return rows.agg(usage=_sum("EffectiveCost"), **bearing)


def untagged_resources(costs: CostTable, period: Period, tag: Dimension = Dimension.OWNER) -> Any:
    """What was used without a tag, the dearest first.

    Columns: `resource` (null where the rows name none), `resource_type`, `service`, `environment`,
    `account`, `effective_cost`.
    """
    shown = (Dimension.RESOURCE, Dimension.SERVICE, Dimension.ENVIRONMENT, Dimension.ACCOUNT)
    keys = {one.value: costs.value(one) for one in shown} | {"resource_type": ibis._.ResourceType}
    rows = costs.on_days(period).filter(_used())
    return (
        rows.filter(costs.value(tag).isnull())
        .mutate(**keys)
        .group_by(list(keys))
        .agg(effective_cost=_sum("EffectiveCost"))
        .order_by([ibis.desc("effective_cost"), *keys])
    )


def compare(
    costs: CostTable, earlier: Period, later: Period, dimensions: Iterable[Dimension]
) -> Any:
    """Two periods of equal length beside each other.

    Columns: each dimension, `before`, `after`, `difference`; the largest difference first.

    Raises:
        ValueError: one is longer, so that they cannot be compared; or they overlap.
    """
    if earlier.length != later.length:
        raise ValueError(f"{earlier} has {earlier.length} days, {later} has {later.length}")
    if earlier.overlaps(later):
        raise ValueError(f"{earlier} and {later} have days in common")
    both = Period(min(earlier.start, later.start), max(earlier.end, later.end))
    keys = {one.value: costs.value(one) for one in dimensions}
    before, after = _within(earlier), _within(later)
    # Spark's difference of two such decimals has a digit less; a sum of signed ones keeps all.
    signed = ibis.ifelse(after, ibis._.EffectiveCost, -ibis._.EffectiveCost)
    return (
        costs.on_days(both)
        .filter(_used() & (before | after))
        .mutate(signed=signed, **keys)
        .group_by(list(keys))
        .agg(
            before=_sum("EffectiveCost", before),
            after=_sum("EffectiveCost", after),
            difference=_sum("signed"),
        )
        .order_by([ibis.desc(ibis._["difference"].abs()), *keys])
    )


def _within(period: Period) -> Any:
    return (ibis._.day >= period.start) & (ibis._.day < period.end)


def quantities(costs: CostTable, months: Period) -> Any:
    """What was used in billing periods, in units of its price.

    Columns: `service`, `usage_type`, `purchase`, `unit`, `quantity` (null where a row does not
    say), `list_cost`, `effective_cost`.
    """
    shown = (Dimension.SERVICE, Dimension.USAGE_TYPE, Dimension.PURCHASE)
    keys = {one.value: costs.value(one) for one in shown} | {"unit": ibis._.PricingUnit}
    rows = costs.in_months(months).filter(_used())
    unsaid = ibis._.PricingQuantity.isnull().any()
    return (
        rows.mutate(**keys)
        .group_by(list(keys))
        .agg(quantity=ibis.ifelse(unsaid, ibis.null(MONEY), ibis._.PricingQuantity.sum()),
             list_cost=_sum("ListCost"), effective_cost=_sum("EffectiveCost"))
        .order_by(list(keys))
    )  # fmt: skip


def rows(query: Any) -> list[dict[str, Any]]:
    """The answer, as rows with exact decimals."""
    found: list[dict[str, Any]] = query.to_pyarrow().to_pylist()
    return found


def frame(query: Any) -> pd.DataFrame:
    """The answer for pandas, with Arrow's types: decimals stay decimals."""
    import pandas as pd

    found: pd.DataFrame = query.to_pyarrow().to_pandas(types_mapper=pd.ArrowDtype)
    return found


def usage_rows(costs: CostTable, period: Period) -> list[CostRow]:
    """What was used on each day, by environment, service and usage type; no corrections."""
    dimensions = (Dimension.ENVIRONMENT, Dimension.SERVICE, Dimension.USAGE_TYPE)
    used = replace(costs, table=costs.table.filter(_used()))
    return [
        CostRow(
            row["period"],
            row["environment"],
            row["service"],
            row["usage_type"],
            row["effective_cost"],
        )
        for row in rows(by(used, Grain.DAY, dimensions, period))
    ]


def charged_once(costs: CostTable, period: Period) -> dict[str | None, Decimal]:
    """What was spent on these days besides usage, by environment: purchases, adjustments,
    corrections of months before.

    Tax and credits are left out: budgets are without tax, and credits run out.
    """
    besides = ~_used() & ibis._.ChargeCategory.notin(NOT_SPENT)
    once = replace(costs, table=costs.table.filter(besides))
    found: dict[str | None, Decimal] = {}
    for row in rows(by(once, Grain.DAY, [Dimension.ENVIRONMENT], period)):
        name = row["environment"]
        found[name] = found.get(name, Decimal(0)) + row["effective_cost"]
    return found


def known_days(costs: CostTable, period: Period) -> Days:
    """Which days of a period are delivered, over all environments, from the first such day on."""
    delivered = {row["day"] for row in rows(delivered_days(costs, period))}
    return Days.of(Period(min(delivered, default=period.end), period.end), delivered)
