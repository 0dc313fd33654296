"""Signs of life of the dispatcher of GitHub's deliveries, which listens on nothing.

Apart from the rest: who looks at them has neither a database's driver nor a client in memory.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from pydantic import AwareDatetime, BaseModel, ConfigDict

from xops.core.files.bounded_json import parse_json
from xops.core.files.private_file import write_private
from xops.core.files.reading import UnusableTextError, read_text

SECONDS = 5.0
"""Between two of them."""

_SILENT = timedelta(seconds=30)


class Beat(BaseModel):
    """What a dispatcher says of itself.

    Attributes:
        pid: its process.
        at: when it said so.
        waiting: deliveries that wait for their runs; None: the inbox did not say.
        failing: why no run could be created the last time it tried; empty if it could.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    at: AwareDatetime
    waiting: int | None
    failing: str


def _file(home: Path) -> Path:
    return home / "github" / "dispatcher.json"


def write_beat(home: Path, waiting: int | None, failing: str) -> None:
    """Give a sign of life of this process.

    Raises:
        OSError: it cannot be written.
    """
    beat = Beat(pid=os.getpid(), at=datetime.now(UTC), waiting=waiting, failing=failing)
    write_private(_file(home), beat.model_dump_json())


def read_beat(home: Path) -> Beat | None:
    """What an installation's dispatcher said last.

    None: there is none, its process has ended, or it has been silent for half a minute.
    """
    try:
        beat = Beat.model_validate(parse_json(read_text(_file(home))))
    except (UnusableTextError, OSError, ValueError):
        return None
    is_recent = abs(datetime.now(UTC) - beat.at) < _SILENT
    return beat if is_recent and psutil.pid_exists(beat.pid) else None


def healthy(home: Path) -> bool:
    """Whether the dispatcher of an installation works, or waits for what it needs."""
    return read_beat(home) is not None
