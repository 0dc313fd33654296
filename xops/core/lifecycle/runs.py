"""Which run a record is of, and closing what runs have left open that have ended unseen.

A run that is killed, whose pause has expired or that is cancelled while it is suspended runs no
code of ours at its end. What it has left open is closed later: by the next run, and once a day.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import psutil

from xops.core.evidence.log import EvidenceLog, Record, RecordKind
from xops.core.process import ServiceProcess

RunEnd = Callable[[Mapping[str, Any]], str | None]
"""How a run has ended, as far as this can be told here; None if it goes on, or nobody can tell."""

_SECONDS = 60.0
"""How far a clock may have been set since a release before named a process by its time of day."""


def command_run() -> dict[str, Any]:
    """This process, as records name the run of a command; `started` is for people."""
    process = ServiceProcess.find(os.getpid())
    started = psutil.Process().create_time()
    named = asdict(process) if process is not None else {"pid": os.getpid()}
    return {"by": "command", "host": socket.gethostname(), "started": started, **named}


def how_command_ended(run: Mapping[str, Any]) -> str | None:
    """That a command's process is gone; told only on the machine that it ran on."""
    if run.get("by") != "command" or run.get("host") != socket.gethostname():
        return None
    return None if _runs(run) else "its process is gone"


def _runs(run: Mapping[str, Any]) -> bool:
    if "boot" in run:
        return ServiceProcess(run["pid"], run["start"], run["boot"]).alive()
    try:
        created = psutil.Process(run["pid"]).create_time()
        return bool(abs(created - run["started"]) < _SECONDS)
    except psutil.NoSuchProcess:
        return False


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
