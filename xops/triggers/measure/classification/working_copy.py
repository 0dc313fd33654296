"""The files of a local working copy, as a tree that a classifier may ask."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from xops.triggers.measure.classification.contents import MOST_CHARACTERS


class WorkingCopy:
    """What lies below a folder.

    Args:
        folder: of the working copy. A path that leads out of it, by `..` or by a link, is no file
            of it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def texts(self, paths: Sequence[str]) -> Mapping[str, str | None]:
        """The beginning of each file; see `Tree`."""
        found: dict[str, str | None] = {}
        for path in paths:
            try:
                found[path] = self._text(path)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
                found[path] = None
            except OSError:
                continue  # it is there and cannot be read: the key is missing
        return found

    def _text(self, path: str) -> str | None:
        file = (self._folder / path).resolve()
        if not file.is_relative_to(self._folder):
            return None
        # Without O_NONBLOCK a named pipe would be waited for.
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as stream:
            content = stream.read(MOST_CHARACTERS) or b""
        return None if b"\0" in content else content.decode(errors="replace")
