"""Secrets of an installation's own: made at random once, kept in files of mode 0600."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from xops.core.errors import PermanentError
from xops.core.files.private_file import write_private

_MAX_BYTES = 4096


def load_or_create_secret(file: Path, make: Callable[[], str]) -> str:
    """What the file holds, without the end of its line; what `make` gives is kept there first.

    Two processes that start at once end with one secret: the first that keeps one.

    Raises:
        PermanentError: it cannot be kept or read, or others on this machine may read it.
    """
    try:
        _create(file, make)
        return _read(file)
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(file, str(error)) from error


def _create(file: Path, make: Callable[[], str]) -> None:
    if file.exists():
        return
    try:
        write_private(file, f"{make()}\n", replace=False)
    except FileExistsError:  # another process was faster: its secret is the installation's
        return


def _read(file: Path) -> str:
    # Not through a link: its owner may be somebody else.
    handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(handle, "rb") as opened:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise _unusable(file, "it is not a file of this user's own")
        if found.st_mode & 0o077:
            raise _unusable(
                file, f"others may read it: chmod 600 {file}, or remove it for a new one"
            )
        text = opened.read(_MAX_BYTES).decode().strip()
    if not text:
        raise _unusable(file, "it is empty: remove it, and a new one is made")
    return text


def _unusable(file: Path, found: str) -> PermanentError:
    return PermanentError(
        f"reading this installation's secret from {file}",
        found,
        "Mend that, then run it again; who has removed the file restarts the servers, too:"
        " `xops down`, then `xops up`.",
    )
