"""Small exports of charges as AWS delivers them, for tests: rows of a few columns, all others null.

Costs are made up and round, so that totals can be read off.
"""

import csv
import gzip
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xops.finops.focus.columns import AWS_COLUMNS, COLUMNS, FOCUS_COLUMNS, Kind, Version

Row = dict[str, Any]

ACCOUNT = "000000000000"
FIRST = "2026-05"


def month_bounds(month: str) -> tuple[datetime, datetime]:
    year, number = map(int, month.split("-"))
    start = datetime(year, number, 1, tzinfo=UTC)
    return start, datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)


def charge(month: str = FIRST, cost: str = "1.00", day: int = 1, **changed: Any) -> Row:
    """A charge of a day's usage, with all that FOCUS requires."""
    start, end = month_bounds(month)
    cents = Decimal(cost)
    row: Row = {
        "BilledCost": cents,
        "BillingAccountId": ACCOUNT,
        "BillingAccountName": "payer",
        "BillingCurrency": "USD",
        "BillingPeriodStart": start,
        "BillingPeriodEnd": end,
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": start.replace(day=day),
        "ChargePeriodEnd": start.replace(day=day, hour=23),
        "ContractedCost": cents,
        "EffectiveCost": cents,
        "ListCost": cents,
        "InvoiceIssuerName": "Amazon Web Services, Inc.",
        "PricingQuantity": Decimal(1),
        "PricingUnit": "Hours",
        "ProviderName": "AWS",
        "PublisherName": "AWS",
        "ResourceId": f"task-{day}",
        "ServiceCategory": "Compute",
        "ServiceName": "Amazon Elastic Container Service",
        "SubAccountId": ACCOUNT,
        "Tags": json.dumps({"environment": "prod", "service": "crew", "owner": "ai"}),
        "x_UsageType": "APS2-Fargate-ARM-vCPU-Hours:perCPU",
    }
    return {**row, **changed}


def charges(month: str = FIRST, count: int = 3, cost: str = "1.00") -> list[Row]:
    return [charge(month, cost, day) for day in range(1, count + 1)]


def write_parquet(file: Path, rows: Sequence[Row], *, sample: bool = False) -> Path:
    """With exact decimals and every column."""
    file.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([(column.name, column.arrow_type) for column in COLUMNS])
    if sample:
        schema = schema.with_metadata({"xops.sample": "true"})
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema), file)
    return file


def write_aws_parquet(file: Path, rows: Sequence[Row]) -> Path:
    """FOCUS 1.0 as AWS's parquet has it: doubles, milliseconds, tags as a map, its own columns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    kinds = {
        Kind.STRING: pa.string(),
        Kind.DECIMAL: pa.float64(),
        Kind.DATETIME: pa.timestamp("ms"),
        Kind.JSON: pa.map_(pa.string(), pa.string()),
    }
    columns = [one for one in COLUMNS if one.since is Version.V1_0]
    fields = [*((one.name, kinds[one.kind]) for one in columns), ("x_Discounts", pa.string())]
    made = [{name: _of_aws(row.get(name), kind) for name, kind in fields} for row in rows]
    pq.write_table(pa.Table.from_pylist(made, pa.schema(fields)), file)
    return file


def _of_aws(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_map(kind):
        return list(json.loads(value).items())
    if pa.types.is_timestamp(kind):
        return value.replace(tzinfo=None)
    return float(value) if pa.types.is_floating(kind) else value


def csv_text(rows: Iterable[Mapping[str, Any]], version: Version = Version.V1_2) -> str:
    names = [one.name for one in FOCUS_COLUMNS if one.since <= version]
    names += [one.name for one in AWS_COLUMNS]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return value


def write_csv(
    file: Path, rows: Iterable[Mapping[str, Any]], version: Version = Version.V1_2
) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    body = csv_text(rows, version).encode()
    file.write_bytes(gzip.compress(body) if file.suffix == ".gz" else body)
    return file


def deliver(
    folder: Path,
    months: Mapping[str, Sequence[Row]],
    *,
    name: str = "focus",
    execution: str = "execution-1",
    suffix: str = ".snappy.parquet",
    files: int = 1,
) -> Path:
    """A refresh as AWS Data Exports write it over the one before, below `folder/<name>`."""
    top = folder / name
    for month, rows in months.items():
        place = f"data/BILLING_PERIOD={month}"
        names = [f"{place}/{name}-{number:05d}{suffix}" for number in range(1, files + 1)]
        write = write_parquet if suffix.endswith(".parquet") else write_csv
        for number, file in enumerate(names):
            write(top / file, rows[number::files])
        manifest = top / "metadata" / f"BILLING_PERIOD={month}" / f"{name}-Manifest.json"
        manifest.parent.mkdir(parents=True, exist_ok=True)
        told = {
            "executionId": execution,
            "exportArn": f"arn:aws:bcm-data-exports:us-east-1:{ACCOUNT}:export/{name}",
            "dataFiles": [f"s3://costs/exports/{name}/{file}" for file in names],
        }
        manifest.write_text(json.dumps(told))
    return top


def touched(file: Path) -> None:
    """As a copy that kept the content and not the date."""
    seen = file.stat()
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns + 1_000_000_000))
