"""Files by their Git ids, kept below one folder. Whatever is damaged there is not taken."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from xops.core.files.private_file import write_private
from xops.core.files.reading import UnusableTextError, read_bytes
from xops.github.pull_request.git_objects import blob_id

logger = logging.getLogger(__name__)

KEEP_SECONDS = 30 * 24 * 3600.0
"""How long a file is kept that nobody reads."""


class BlobCache:
    """Contents of files.

    Args:
        folder: where; it can be deleted at any time.
        most_bytes: of one file.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes

    def read(self, id: str) -> bytes | None:
        """A file's content; None if it is not there, or is not what its id says."""
        file = self._file(id)
        try:
            content = read_bytes(file, self._most_bytes)
        except UnusableTextError as error:
            if file.exists():
                logger.warning("%s is read from GitHub anew: it %s", file, error)
            return None
        if blob_id(content, id) != id:
            logger.warning("%s is read from GitHub anew: it is damaged", file)
            return None
        with suppress(FileNotFoundError):  # pruned by another process: its content is good
            os.utime(file)
        return content

    def keep(self, id: str, content: bytes) -> None:
        """Write a file, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        write_private(self._file(id), content)

    def prune(self) -> None:
        """Remove what nobody has read for a month."""
        before = time.time() - KEEP_SECONDS
        for file in self._folder.glob("??/*"):
            with suppress(FileNotFoundError):  # by another process
                if file.lstat().st_mtime < before:
                    file.unlink()

    def _file(self, id: str) -> Path:
        return self._folder / id[:2] / id[2:]
