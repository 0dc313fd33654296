"""What a benchmark prints: comparisons, each with a baseline measured in the same run.

Machines are noisy, so that ratios hold where seconds do not. Nothing here passes or fails; the
targets are printed beside.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROUNDS = 3
"""Pairs measured of what takes seconds; what takes minutes is measured once."""

XOPS = str(Path(sys.executable).with_name("xops"))
out = Console()


@dataclass
class Row:
    """One comparison: what ours and the baseline took, pair by pair, in `unit`."""

    name: str
    baseline: str
    target: float | None = None
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    unit: str = "s"

    @property
    def ratio(self) -> float | None:
        """The median of the pairs' ratios; None without a baseline."""
        pairs = zip(self.ours, self.theirs, strict=False)
        ratios = [ours / theirs for ours, theirs in pairs]
        return statistics.median(ratios) if ratios else None

    def cells(self) -> list[str]:
        """The row as printed."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}x"
        target = "" if self.target is None else f"<= {self.target:.2f}x"
        theirs = f"{statistics.median(self.theirs):.1f} {self.unit}" if self.theirs else ""
        return [
            self.name,
            f"{statistics.median(self.ours):.1f} {self.unit}",
            self.baseline,
            theirs,
            ratio,
            target,
        ]


def timed(
    argv: list[str], cwd: Path, environ: dict[str, str], accepted: tuple[int, ...] = (0,)
) -> float:
    """Run a command to its end; the seconds it took.

    Raises:
        SystemExit: it failed; its output is the message.
    """
    started = time.monotonic()
    done = subprocess.run(argv, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    taken = time.monotonic() - started
    if done.returncode not in accepted:
        sys.exit(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return taken


def say(message: str) -> None:
    """Progress, on stderr."""
    sys.stderr.write(f"bench: {message}\n")


def measured(row: Row, ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> Row:
    """Measure in turn, baseline first."""
    for number in range(1, rounds + 1):
        row.theirs.append(theirs())
        row.ours.append(ours())
        say(f"{row.name}, pair {number}: {row.ours[-1]:.1f} s, baseline {row.theirs[-1]:.1f} s")
    return row


def show(rows: list[Row]) -> None:
    """The table for people and one line of JSON for machines."""
    table = Table()
    for title in ("what", "ours", "baseline", "theirs", "ratio", "target"):
        table.add_column(title, justify="left" if title in ("what", "baseline") else "right")
    for row in rows:
        table.add_row(*row.cells())
    out.print(table)
    out.print(json.dumps([{**vars(row), "ratio": row.ratio} for row in rows]), soft_wrap=True)
