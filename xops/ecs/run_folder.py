"""The folder that one run works in; the folders of earlier runs are removed, oldest first.

A run holds a lock on its folder (flock, which the kernel frees when the process ends, however it
ends), so that any number of runs can start and prune side by side.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

KEPT = 20
"""How many folders of an environment there are, that of the run itself among them."""


class RunFolder:
    """A folder of mode 0700 that stays its run's own for as long as this value lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700)
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self._release = weakref.finalize(self, os.close, handle)
        fcntl.flock(handle, fcntl.LOCK_EX)

    @classmethod
    def create(cls, parent: Path) -> RunFolder:
        """Prune the folders below `parent`, then add one for this run."""
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        prune(parent, KEPT - 1)
        return cls(parent / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}")


def prune(parent: Path, keep: int) -> None:
    """Remove all but the newest `keep` folders; one that a live run holds stays.

    Another run may be removing the same folders: what is gone already is as good as removed.
    """
    found = parent.iterdir()
    folders = sorted(path for path in found if path.is_dir() and not path.is_symlink())
    for folder in folders[: max(len(folders) - keep, 0)]:
        with _locked(folder) as free:
            if free:
                shutil.rmtree(folder, onexc=_raise_unless_gone)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether nobody uses the folder, which is then locked; False also where it is gone."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _raise_unless_gone(_function: object, _path: str, error: BaseException) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
