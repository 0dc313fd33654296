"""Fail if a process of this checkout outlives the suite: `python scripts/left_running.py SINCE`.

SINCE is the moment, in seconds since 1970, from which on processes count. Those that only take a
moment to end (a server that is shutting down, the guard of the test hosts) are waited for.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil

PATIENCE = 60.0
ROOT = Path(__file__).resolve().parents[1]


def main(since: float) -> str:
    """What is left, a line a process; empty if nothing is."""
    give_up = time.monotonic() + PATIENCE
    while (left := list(_left(since))) and time.monotonic() < give_up:
        time.sleep(0.5)
    return "\n".join(left)


def _left(since: float) -> list[str]:
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [
        f"{process.pid} {' '.join(process.info['cmdline'])}"
        for process in psutil.process_iter(["cmdline", "create_time", "status"])
        if process.pid not in ours
        and process.info["create_time"] >= since
        and process.info["status"] != psutil.STATUS_ZOMBIE
        and any(part.startswith(f"{ROOT}/") for part in process.info["cmdline"] or ())
    ]


if __name__ == "__main__":
    if left := main(float(sys.argv[1])):
        sys.exit(f"error still running after the suite:\n{left}")
