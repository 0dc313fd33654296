"""Hashes of all files below a folder."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def hash_file(file: Path) -> str:
    """SHA-256 (hex) of a file's bytes, read in pieces.

    Raises:
        OSError: it cannot be read, or is no file (of a pipe nobody knows the end).
    """
    if not stat.S_ISREG(file.stat().st_mode):
        raise OSError(errno.EINVAL, "is no file", str(file))
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_tree(folder: Path, ignored: Callable[[Path], bool] = lambda _: False) -> dict[str, str]:
    """Each file below a folder, by its path from there: SHA-256, and `x` if it can be executed.

    What a link leads to counts, as it does for who reads it.

    Args:
        folder: where.
        ignored: tells of a path from there whether it is left out, with all below it.

    Raises:
        OSError: something in it cannot be read, or a link leads back to a folder that it is in.
    """
    files = list(_files(folder, ignored, ()))
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # hashlib does not hold the interpreter
        hashes = list(threads.map(_hash, files))
    names = (str(file.relative_to(folder)) for file in files)
    return dict(zip(names, hashes, strict=True))


def _files(
    folder: Path, ignored: Callable[[Path], bool], above: tuple[Path, ...]
) -> Iterator[Path]:
    here = folder.resolve()
    if here in above:
        raise OSError(errno.ELOOP, "leads back to a folder that it is in", str(folder))
    for path in sorted(folder.iterdir()):
        if ignored(path):
            continue
        if path.is_dir():
            yield from _files(path, ignored, (*above, here))
        else:
            yield path


def _hash(file: Path) -> str:
    executable = " x" if file.stat().st_mode & stat.S_IXUSR else ""
    return hash_file(file) + executable
