"""Secrets of an installation's own: made at random once, kept in files of mode 0600."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from xops.core.errors import PermanentError
from xops.core.files.private_file import write_private
from xops.core.files.secret import read_private


def load_or_create_secret(file: Path, make: Callable[[], str], variable: str = "XOPS_HOME") -> str:
    """What the file holds, without the end of its line; what `make` gives is kept there first.

    Two processes that start at once end with one secret: the first that keeps one.

    Args:
        file: where.
        make: gives a new one.
        variable: names another place, for errors.

    Raises:
        PermanentError: it cannot be kept or read, is empty, or others on this machine may read it.
    """
    if not file.exists():
        _create(file, make, variable)
    text = read_private(file, f"file {file}").strip()
    if not text:
        raise PermanentError(
            f"reading this installation's secret from {file}",
            "it is empty",
            "Remove it, and a new one is made; then restart the servers: `xops down`, `xops up`.",
        )
    return text


def _create(file: Path, make: Callable[[], str], variable: str) -> None:
    try:
        write_private(file, f"{make()}\n", replace=False)
    except OSError as error:
        if file.exists():  # another process was faster: its secret is the installation's
            return
        raise PermanentError(
            f"keeping this installation's secret in {file}",
            str(error),
            f"Let xOps write there, or name another place in {variable}.",
        ) from error
