"""Where records are kept: objects that are written once, read back and listed.

Here is the store in a folder; `xops.aws.evidence` has the one in a bucket.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Protocol

from xops.core.errors import DiskFullError, PermanentError
from xops.core.files.private_file import write_private
from xops.core.files.reading import UnusableTextError, read_bytes

MOST_BYTES = 64 << 20
"""Of one record; those of the largest plans have a few."""

_REMEDY = "Let xOps use it, or name another folder for the evidence."


class RecordExistsError(PermanentError):
    """There is another record under that key."""


class RecordMissingError(PermanentError):
    """There is no record under that key."""


class EvidenceStore(Protocol):
    """Where records are kept."""

    def put(self, key: str, body: bytes) -> None:
        """Keep `body` under `key`, for good; the same body twice is as good as once.

        Raises:
            RecordExistsError: another body is there.
            TemporaryError, PermanentError: it is not kept.
        """

    def read(self, key: str) -> bytes:
        """What is kept under `key`.

        Raises:
            RecordMissingError: nothing is.
            TemporaryError, PermanentError: it cannot be read.
        """
        ...

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, in alphabetical order; none where there is no store.

        Raises:
            TemporaryError, PermanentError: they cannot be listed.
        """
        ...

    def address(self, key: str) -> str:
        """Where a person finds the record: a path, or an s3:// URI."""
        ...


class FolderStore:
    """Records as files of mode 0600 below one folder, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, key: str, body: bytes) -> None:
        """Keep it on the disk: whole, readable by its owner, and still there after a power cut.

        Raises:
            RecordExistsError: another body is there.
            DiskFullError: there is no room for it.
            PermanentError: it cannot be written.
        """
        path = self.folder / key
        try:
            write_private(path, body, replace=False)
        except FileExistsError as error:
            if self.read(key) != body:
                raise exists(self.address(key)) from error
        except OSError as error:
            raise _unusable("keeping", path, error) from error

    def read(self, key: str) -> bytes:
        """The file's content.

        Raises:
            RecordMissingError: there is none.
            PermanentError: it cannot be read.
        """
        path = self.folder / key
        if not os.path.lexists(path):
            raise missing(self.address(key))
        try:
            return read_bytes(path, MOST_BYTES)
        except UnusableTextError as error:
            raise PermanentError(f"reading the record {path}", error.problem, _REMEDY) from None

    def keys(self, prefix: str) -> list[str]:
        """The files below the prefix's folder. What was cut off while it was written is none."""
        folder = self.folder / prefix.rpartition("/")[0]
        try:
            files = [path for path in folder.rglob("*.json") if path.is_file()]
        except OSError as error:
            raise _unusable("listing", folder, error) from error
        found = (path.relative_to(self.folder).as_posix() for path in files)
        return sorted(key for key in found if key.startswith(prefix) and "/." not in f"/{key}")

    def address(self, key: str) -> str:
        """The file's path."""
        return str(self.folder / key)


def exists(address: str) -> RecordExistsError:
    """What is raised where another record has the key."""
    return RecordExistsError(
        f"keeping the record {address}",
        "there is another record under that key",
        "Records are never replaced: run it again, which gives it a key of its own.",
    )


def missing(address: str) -> RecordMissingError:
    """What is raised where nothing has the key."""
    return RecordMissingError(
        f"reading the record {address}",
        "there is none",
        "`xops evidence list` shows those there are.",
    )


def _unusable(verb: str, path: Path, error: OSError) -> PermanentError:
    attempted = f"{verb} the record {path}"
    if error.errno == errno.ENOSPC:
        return DiskFullError(attempted, str(error), "Free disk space, then run it again.")
    return PermanentError(attempted, str(error), _REMEDY)
