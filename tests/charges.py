"""Charges of tests: a few rows with all columns of a table of costs."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from xops.finops.focus.columns import arrow_schema

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def charge(
    start: datetime | date,
    cost: str | Decimal = "1",
    length: timedelta = DAY,
    tags: Mapping[str, str] | None = None,
    **others: Any,
) -> dict[str, Any]:
    """One row; what is not said is a day's usage of ECS."""
    begin = start if isinstance(start, datetime) else datetime(*start.timetuple()[:3], tzinfo=UTC)
    amount = Decimal(cost)
    month = datetime(begin.year, begin.month, 1, tzinfo=UTC)
    following = datetime.fromtimestamp(month.timestamp() + 32 * 86400, UTC).replace(day=1)
    return {
        "BillingCurrency": "USD",
        "BillingPeriodStart": month,
        "BillingPeriodEnd": following,
        "ChargeCategory": "Usage",
        "ChargePeriodStart": begin,
        "ChargePeriodEnd": begin + length,
        "BilledCost": amount,
        "ListCost": amount,
        "EffectiveCost": amount,
        "PricingCategory": "Standard",
        "PricingQuantity": Decimal(1),
        "PricingUnit": "vCPU-Hours",
        "ServiceName": "Amazon Elastic Container Service",
        "RegionId": "ap-southeast-2",
        "Tags": json.dumps(dict(tags)) if tags is not None else None,
        "x_UsageType": "APS2-Fargate-ARM-vCPU-Hours:perCPU",
    } | others


def table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The rows with all columns; those that a row does not name are null."""
    return pa.Table.from_pylist(list(rows), schema=arrow_schema())
