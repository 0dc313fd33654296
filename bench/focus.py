"""Holding exports of cost against the rules of FOCUS: as many rows as a large account has.

validate    100,000 rows in parquet, with the rules that both have and with all of ours, and in CSV;
            baseline: the official validator on the same file, its start-up left out.
            XOPS_BENCH_FOCUS_VALIDATOR names a Python that has it.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.rows import ROUNDS, Row, measured, say
from tests.integration.finops.focus_official_rules import find_equal
from xops.finops.focus.columns import Version
from xops.finops.focus.rules import rules_of
from xops.finops.focus.sample import write_rows
from xops.finops.focus.validation import Case, validate

ROWS, MANY = 100_000, 1_000_000
VALIDATOR = "XOPS_BENCH_FOCUS_VALIDATOR"
TARGET = 1 / 50

_SCRIPT = Path(__file__).with_name("official_focus.py")


def measure() -> list[Row]:
    """The rows."""
    python = os.environ.get(VALIDATOR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parquet, text, many = (folder / one for one in ("rows.parquet", "rows.csv", "many.parquet"))
        for file, rows in ((parquet, ROWS), (text, ROWS), (many, MANY)):
            write_rows(file, rows)
        if python is None:
            say(f"left out: the official FOCUS validator: {VALIDATOR} names no Python that has it")
            return [_alone(parquet, ROWS), _alone(text, ROWS), _alone(many, MANY)]
        shared = _shared_rules(python, parquet)
        return [
            _compared(f"{len(shared)} rules of {ROWS:,} rows, parquet", parquet, python, shared),
            _compared(f"all rules of {ROWS:,} rows, parquet", parquet, python),
            _compared(f"all rules of {ROWS:,} rows, CSV", text, python),
            _alone(many, MANY),
        ]


def _shared_rules(python: str, file: Path) -> frozenset[str]:
    """Our rules that ask what a rule asks that the official validator runs."""
    official = _run_official(python, file)["rules"].values()
    equal = {find_equal(rule) for rule in official if not rule["skipped"]}
    return frozenset(rule.id for rule in rules_of(Version.V1_2) if rule.id in equal)


def _compared(name: str, file: Path, python: str, only: frozenset[str] = frozenset()) -> Row:
    row = Row(f"validate {name}", "focus-validator", TARGET if only else None)
    theirs = lambda: float(_run_official(python, file)["seconds"])  # noqa: E731
    return measured(row, lambda: _ours(file, only), theirs, ROUNDS)


def _alone(file: Path, rows: int) -> Row:
    row = Row(f"validate all rules of {rows:,} rows, {file.suffix[1:]}", "")
    row.ours += [_ours(file) for _ in range(ROUNDS)]
    return row


def _ours(file: Path, only: frozenset[str] = frozenset()) -> float:
    started = time.monotonic()
    found = validate(Case([file], only=only))
    taken = time.monotonic() - started
    if found.violated:
        raise SystemExit(f"the rows to measure with violate {found.violated}")
    return taken


def _run_official(python: str, file: Path) -> dict[str, Any]:
    argv = [python, str(_SCRIPT), str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
