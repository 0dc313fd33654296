"""Which run a record is of, and closing what runs have left open that have ended unseen.

A run that is killed, whose pause has expired or that is cancelled while it is suspended runs no
code of ours at its end. What it has left open is closed later: by the next run, and once a day.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

import psutil

from xops.core.evidence.log import EvidenceLog, Record, RecordKind

RunEnd = Callable[[Mapping[str, Any]], str | None]
"""How a run has ended, as far as this can be told here; None if it goes on, or nobody can tell."""

_SECONDS = 1.0


def command_run() -> dict[str, Any]:
    """This process, as records name the run of a command."""
    process = psutil.Process()
    return {
        "by": "command",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": process.create_time(),
    }


def how_command_ended(run: Mapping[str, Any]) -> str | None:
    """That a command's process is gone; told only on the machine that it ran on."""
    if run.get("by") != "command" or run.get("host") != socket.gethostname():
        return None
    try:
        started = psutil.Process(run["pid"]).create_time()
    except psutil.NoSuchProcess:
        return "its process is gone"
    same = abs(started - run["started"]) < _SECONDS
    return None if same else "its process is gone"


def close_ended(log: EvidenceLog, how_ended: RunEnd, found: str) -> list[Record]:
    """Close the questions and intents of runs that have ended without a word.

    Args:
        log: of one subject.
        how_ended: tells how a run has ended.
        found: how the subject was found, for the outcome that nobody saw.

    Returns:
        The records that say so.
    """
    closed = []
    for record in log.find_open(RecordKind.QUESTION, RecordKind.INTENT):
        end = how_ended(record.body.get("run", {}))
        if end is None:
            continue
        asked = record.kind == RecordKind.QUESTION
        what = "nobody answered" if asked else f"outcome unknown, {found}"
        body = {"closed": record.id, "kind_closed": record.kind, "end": end, "found": what}
        closed.append(log.append(RecordKind.CLOSED, record.digest, body, closes=[record.id]))
    return closed
