"""Sample exports of cost: made up, the same for the same seed, and marked as samples in the file.

They are FOCUS 1.2 as AWS writes it, daily, of one account each for test, sit and prod. Something
odd is planted into them, to be found: `planted` says what.
"""

from __future__ import annotations

import random
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from xops.finops.focus.columns import COLUMNS, Kind, arrow_schema
from xops.finops.focus.sample_rows import Planted, planted, rows_of

__all__ = ["Planted", "is_sample", "planted", "write_rows", "write_sample", "write_table"]

SAMPLE_KEY = b"xops.sample"
"""The key in the metadata of a parquet file that says that its rows are made up; "true"."""


def write_sample(folder: Path, *, months: int = 6, until: date, seed: int = 7) -> list[Path]:
    """Write one export a month, the last of them up to `until` only.

    Args:
        folder: is made where it is not there; files of the same names are replaced.
        months: how many, with the one that has not ended.
        until: the first day that has no rows.
        seed: of what is random in the quantities.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for month in months_before(until, months):
        rows = list(rows_of(month, until, random.Random(f"{seed} {month}")))  # noqa: S311
        file = folder / f"focus-sample-{month:%Y-%m}.parquet"
        write_table(file, pa.Table.from_pylist(rows, schema=arrow_schema()))
        written.append(file)
    return written


def write_table(file: Path, table: pa.Table) -> None:
    """Write rows as parquet, marked as made up."""
    marked = table.replace_schema_metadata({SAMPLE_KEY: b"true"})
    pq.write_table(marked, file, compression="zstd")


def is_sample(file: Path) -> bool:
    """Whether a parquet file says that its rows are made up."""
    return (pq.read_schema(file).metadata or {}).get(SAMPLE_KEY) == b"true"


def months_before(until: date, count: int) -> list[date]:
    """The first days of so many months, the last one that of the day before `until`."""
    month = (until - timedelta(days=1)).replace(day=1)
    found = [month]
    while len(found) < count:
        month = (month - timedelta(days=1)).replace(day=1)
        found.append(month)
    return sorted(found)


def write_rows(file: Path, rows: int, *, until: date = date(2026, 11, 1), months: int = 3) -> None:
    """Write many rows quickly: those of sample months over and over, hour by hour.

    Args:
        file: what it ends with says the format: `.parquet`, `.csv` or `.csv.gz`.
        rows: how many.
        until: the first day without rows; that of a month, so that every month is whole.
        months: how many billing periods the rows are spread over.
    """
    base = [
        row
        for month in months_before(until, months)
        for row in rows_of(month, until, random.Random(str(month)))  # noqa: S311
    ]
    times = -(-rows // len(base))
    with duckdb.connect(config=_QUICK) as engine:
        engine.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        table = pa.Table.from_pylist(base, schema=arrow_schema())
        engine.register("base", table.append_column("line", [range(len(base))]))
        engine.register("times", pa.table({"copy": range(times)}))
        query = (
            f"SELECT {', '.join(map(_varied, arrow_schema().names))} FROM times, base LIMIT {rows}"  # noqa: S608
        )
        engine.execute(f"COPY ({query}) TO '{file}' ({_format_of(file)})")


_QUICK: dict[str, str | bool | int | float | list[str]] = {
    "threads": 2,
    "preserve_insertion_order": False,
}
_HOUR = "((copy + line) % 24)"
# One decimal place: the costs still are exactly price times quantity, in twelve places.
_SHARE = "(((copy * 7919 + line * 104729) % 99 + 1)::DECIMAL(3, 0) * 0.1::DECIMAL(2, 1))"


def _varied(name: str) -> str:
    """A column of a copy: another hour, another resource, more or less of it used."""
    kind = next(column.kind for column in COLUMNS if column.name == name)
    usage = "ChargeCategory = 'Usage' AND ChargeClass IS NULL"
    if name == "ResourceId":
        return "ResourceId || '-' || (copy // 24) AS ResourceId"
    if name == "ChargePeriodStart":
        return f"{name} + INTERVAL (IF({usage}, {_HOUR}, 0)) HOUR AS {name}"
    if name == "ChargePeriodEnd":
        end = f"ChargePeriodStart + INTERVAL ({_HOUR} + 1) HOUR"
        return f"IF({usage}, {end}, {name}) AS {name}"
    if kind is Kind.DECIMAL and not name.endswith("UnitPrice"):
        return f"({name} * {_SHARE})::DECIMAL(38, 12) AS {name}"
    return name


def _format_of(file: Path) -> str:
    if file.suffix == ".parquet":
        marked = f"KV_METADATA {{'{SAMPLE_KEY.decode()}': 'true'}}"
        return f"FORMAT parquet, COMPRESSION zstd, {marked}"
    packed = "gzip" if file.suffix == ".gz" else "none"
    return f"FORMAT csv, HEADER, COMPRESSION {packed}, TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%SZ'"
