"""Files of mode 0600, written whole or not at all, and on the disk when the call returns."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_private(file: Path, content: str | bytes, *, replace: bool = True) -> None:
    """Write a file of mode 0600 that survives a crash right after; folders of 0700 are made.

    A reader sees the old file or the new one, never a part. The file and its folder are synced:
    a secret or a record that was used must not be gone after a power cut.

    Args:
        file: where.
        content: text (UTF-8) or bytes.
        replace: whether a file that exists may be replaced.

    Raises:
        FileExistsError: it exists, and `replace` is False.
        OSError: it cannot be written.
    """
    body = content.encode() if isinstance(content, str) else content
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, partial = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as output:
            output.write(body)
            output.flush()
            os.fsync(output.fileno())
        if replace:
            Path(partial).replace(file)
        else:
            os.link(partial, file)  # unlike a rename, a link refuses to replace
    finally:
        Path(partial).unlink(missing_ok=True)
    _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
