"""One run at a time changes a store; reports that read it meanwhile are waited for.

The lock is the system's, on a file of the store: it ends with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xops.core.errors import TemporaryError
from xops.finops.store.sources import disk_error

WAIT_SECONDS = 60.0
_FILE = ".lock"
_STEP_SECONDS = 0.1


@contextmanager
def locked(folder: Path, *, shared: bool, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold the store's lock for as long as the block goes on.

    Args:
        shared: with others that read; or else alone.
        wait_seconds: how long others are waited for.

    Raises:
        TemporaryError: others still hold it after that.
        DiskFullError, PermanentError: the lock's file cannot be made.
    """
    attempted = f"{'reading' if shared else 'changing'} the store {folder}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise disk_error(attempted, error) from None
    try:
        _take(handle, attempted, shared=shared, wait_seconds=wait_seconds)
        yield
    finally:
        os.close(handle)


def _take(handle: int, attempted: str, *, shared: bool, wait_seconds: float) -> None:
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    give_up = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                raise TemporaryError(
                    attempted,
                    f"another run holds it, for more than {wait_seconds:.0f} s",
                    "Wait until the other ingest or report has ended, then run it again.",
                ) from None
            time.sleep(_STEP_SECONDS)
        else:
            return
