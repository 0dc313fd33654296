"""Records that wait in a folder of this machine for a store that did not take them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from xops.core.errors import PermanentError
from xops.core.files.private_file import write_private
from xops.core.files.reading import UnusableTextError, read_text

_MOST_BYTES = 64 << 20


class WaitingFolder:
    """One file for each record, in a folder for each subject."""

    def __init__(self, folder: Path, subject: str) -> None:
        self.folder = folder / subject

    def keep(self, name: str, content: str) -> str:
        """Write it; its path.

        Raises:
            PermanentError: it cannot be written.
        """
        file = self.folder / f"{name}.json"
        try:
            write_private(file, content)
        except OSError as error:
            raise PermanentError(
                f"keeping the record {file}", str(error), "Let xOps write there."
            ) from error
        return str(file)

    def read(self) -> Mapping[str, str]:
        """All of them, by name.

        Raises:
            PermanentError: one cannot be read.
        """
        files = sorted(self.folder.glob("*.json")) if self.folder.is_dir() else []
        return {file.stem: _read(file) for file in files}

    def remove(self, name: str) -> None:
        """Remove one; it may be gone already."""
        (self.folder / f"{name}.json").unlink(missing_ok=True)


def _read(file: Path) -> str:
    try:
        return read_text(file, _MOST_BYTES)
    except UnusableTextError as error:
        raise PermanentError(
            f"reading the record {file}, which waits for its store",
            error.problem,
            "Look who has written it: xOps writes records whole.",
        ) from None
