"""The evidence store: a record of every change that outlives the database of the orchestrator.

One record is one JSON object under `<subject>/<time>-<digest label>-<kind>.json`; it is written
once and never changed. Here is the store in a folder; `xops.aws.evidence` has the one in a bucket.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Protocol

from xops.core.errors import DiskFullError, PermanentError
from xops.core.files.private_file import write_private


class EvidenceStore(Protocol):
    """Where records go. `put` returns the record's address (a path or an s3:// URI)."""

    def put(self, key: str, body: bytes) -> str:
        """Keep `body` under `key`; an existing record is never overwritten.

        Raises:
            TemporaryError, PermanentError: it is not kept.
        """
        ...


class FolderStore:
    """Records as files of mode 0600 below one folder, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, key: str, body: bytes) -> str:
        """Keep it on the disk: whole, readable by its owner, and still there after a power cut.

        Raises:
            DiskFullError: there is no room for it.
            PermanentError: it cannot be written, or a record of that key is there already.
        """
        path = self.folder / key
        try:
            write_private(path, body, replace=False)
        except OSError as error:
            raise _not_kept(path, error) from error
        return str(path)


def _not_kept(path: Path, error: OSError) -> PermanentError:
    attempted = f"keeping the record {path}"
    if error.errno == errno.ENOSPC:
        return DiskFullError(attempted, str(error), "Free disk space, then run it again.")
    return PermanentError(
        attempted, str(error), "Let xOps write there, or name another folder for the evidence."
    )
