"""Costs at the size of a large month: 10 M rows of FOCUS, 57 columns and AWS's own.

ingest      parquet at 300 thousand rows/s at least, gzip CSV at 100; baseline: DuckDB's bare copy
group       by day, service and environment, as a report does; baseline: pandas with Arrow's types
            reading the same columns, in a process of its own. At least 4 times as fast
memory      of the process that takes the rows in: below 2 GB, at 1, 3 and 10 M rows

Files are made for the run in a temporary folder: about 3 GB at most at a time.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.rows import Row, say

ROWS = 10_000_000
CURVE = (1_000_000, 3_000_000, ROWS)
ROUNDS = 3

_INGEST = """
import json, resource, sys, time
from datetime import UTC, datetime
from pathlib import Path
from xops.finops.store.cost_store import CostStore
from xops.finops.store.sources import Folder

started = time.monotonic()
store = CostStore.open(Path(sys.argv[2]))
done = store.ingest(Folder(Path(sys.argv[1])), "bench", now=datetime.now(UTC))
taken = time.monotonic() - started
rows = sum(total.rows for change in done.changes for total in change.after)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": taken, "rows": rows, "peak": peak}))
"""

_BARE_COPY = """
import json, sys, time
from pathlib import Path
from xops.finops.store.engine import open_engine, quoted

source, into = Path(sys.argv[1]), Path(sys.argv[2])
engine = open_engine(spill=into / "spill")
started = time.monotonic()
engine.raw_sql(
    f"COPY (FROM {quoted(str(source))}) TO {quoted(str(into / 'copy.parquet'))}"
    " (FORMAT parquet, COMPRESSION zstd)"
)
print(json.dumps({"seconds": time.monotonic() - started}))
"""

_COLUMNS = ("ChargePeriodStart", "ServiceName", "Tags", "EffectiveCost", "BilledCost")
_TAG = "environment"

_GROUP = f"""
import json, resource, sys, time
from pathlib import Path
import pandas  # which both answer with
from xops.finops.store.cost_store import CostStore
from xops.finops.store.engine import open_engine

engine = open_engine(spill=Path(sys.argv[2]))
table = CostStore.open(Path(sys.argv[1])).table(engine)
started = time.monotonic()
# Tags and hours are few: what is made of them is made of each once.
few = table.group_by("ChargePeriodStart", "ServiceName", "Tags").agg(
    billed=table.BilledCost.sum(), effective=table.EffectiveCost.sum(), rows=table.count()
)
keyed = few.select(
    "billed", "effective", "rows", day=few.ChargePeriodStart.date(), service=few.ServiceName,
    environment=few.Tags.cast("json")[{_TAG!r}].str,
)
grouped = keyed.group_by("day", "service", "environment").agg(
    billed=keyed.billed.sum(), effective=keyed.effective.sum(), rows=keyed.rows.sum()
)
found = grouped.to_pyarrow().to_pandas()
taken = time.monotonic() - started
"""

_PANDAS = f"""
import json, resource, sys, time
from pathlib import Path
import pandas as pd
import pyarrow.parquet as pq

files = [str(one) for one in sorted(Path(sys.argv[1]).rglob("part-*.parquet"))]
started = time.monotonic()
frame = pd.concat(
    pd.read_parquet(one, columns={list(_COLUMNS)!r}, dtype_backend="pyarrow") for one in files
)
by_tags = {{
    tags: json.loads(tags).get({_TAG!r}) for tags in frame["Tags"].dropna().unique().tolist()
}}
frame["environment"] = frame["Tags"].map(by_tags)
frame["day"] = frame["ChargePeriodStart"].dt.floor("D")
grouped = frame.groupby(["day", "ServiceName", "environment"], dropna=False).agg(
    billed=("BilledCost", "sum"), effective=("EffectiveCost", "sum"), rows=("BilledCost", "size")
)
found = grouped.reset_index()
taken = time.monotonic() - started
"""

_CHECKSUM = """
from decimal import Decimal
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
sums = [str(sum(map(Decimal, map(str, found[name])), Decimal(0)).quantize(Decimal("1E-12")))
        for name in ("billed", "effective")]
checksum = [len(found), int(found["rows"].sum()), *sums]
print(json.dumps({"seconds": taken, "peak": peak, "checksum": checksum}))
"""


def measure() -> list[Row]:
    """The rows."""
    with tempfile.TemporaryDirectory(prefix="xops-bench-") as name:
        folder = Path(name)
        return [*_of_parquet(folder), *_ingest(folder, ".csv.gz", ROWS, 100)]


def _of_parquet(folder: Path) -> list[Row]:
    """Ingest with the curve of its memory, then the grouping of what was taken in."""
    rows = []
    for count in CURVE:
        ingested, peak = _ingest(folder, ".parquet", count, 300, keep=count == CURVE[-1])
        rows += [ingested, peak] if count == CURVE[-1] else [peak]
    return [*rows, _group(folder / "store", folder / "spill")]


def _ingest(
    folder: Path, suffix: str, count: int, target: int, *, keep: bool = False
) -> tuple[Row, Row]:
    """Thousands of rows a second, of ours and of a bare copy of the same file; and its memory."""
    file, store = folder / f"focus{suffix}", folder / "store"
    _python(_WRITE, str(file), str(count))
    say(f"{count:,} rows as {suffix}: {file.stat().st_size / 1e6:,.0f} MB")
    copied = _python(_BARE_COPY, str(file), str(folder))
    (folder / "copy.parquet").unlink()
    ours = _python(_INGEST, str(file), str(store))
    if ours["rows"] != count:
        sys.exit(f"{ours['rows']} rows of {count} were taken in")
    file.unlink()
    if not keep:
        shutil.rmtree(store)
    row = Row(f"ingest {count:,} rows of {suffix} (at least {target})", "bare copy, no checks")
    row.unit = "thousand rows/s"
    row.ours.append(count / ours["seconds"] / 1000)
    row.theirs.append(count / copied["seconds"] / 1000)
    say(f"{row.name}: {row.ours[-1]:,.0f}, bare copy {row.theirs[-1]:,.0f}")
    peak = Row(f"peak memory of an ingest of {count:,} rows of {suffix} (below 2)", "")
    peak.unit = "GB"
    peak.ours.append(ours["peak"] / 1e9)
    say(f"{peak.name}: {peak.ours[-1]:.2f}")
    return row, peak


_WRITE = """
import sys
from pathlib import Path
from xops.finops.focus.sample import write_rows

# A file of an export is of one month.
write_rows(Path(sys.argv[1]), int(sys.argv[2]), months=1)
print("{}")
"""


def _group(store: Path, spill: Path) -> Row:
    row = Row(f"group {ROWS:,} rows by day, service, environment", "pandas, Arrow's types", 0.25)
    for _ in range(ROUNDS):
        ours = _python(_GROUP + _CHECKSUM, str(store), str(spill))
        theirs = _python(_PANDAS + _CHECKSUM, str(store))
        if ours["checksum"] != theirs["checksum"]:
            sys.exit(f"other sums than pandas': {ours['checksum']}, {theirs['checksum']}")
        row.ours.append(ours["seconds"])
        row.theirs.append(theirs["seconds"])
        say(
            f"{row.name}: {row.ours[-1]:.1f} s in {ours['peak'] / 1e9:.1f} GB, pandas"
            f" {row.theirs[-1]:.1f} s in {theirs['peak'] / 1e9:.1f} GB, equal sums"
        )
    return row


def _python(script: str, *arguments: str) -> dict[str, Any]:
    """What a script of its own process prints, so that each starts with nothing in memory."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"exit {done.returncode}\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))
