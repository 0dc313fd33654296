"""Files from outside, read within bounds: regular ones only, of so many bytes at most, in UTF-8.

What is read may be anybody's: a device that never ends, a pipe that nobody writes to, a gigabyte.
Errors say what is wrong and show nothing of the content, which may be another file than was meant.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOST_BYTES = 1 << 20
"""Of a file that people write; one of evidence or facts may be larger."""

_PIECE = 1 << 16
# What YAML 1.1 leaves out of its printable characters, and what no text has.
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")


class UnusableTextError(ValueError):
    """A file or a text that cannot be taken, without a word of what is in it.

    Attributes:
        line: where, from 1; None where it has no place.
    """

    def __init__(self, problem: str, line: int | None = None) -> None:
        self.problem = problem
        self.line = line
        super().__init__(problem)


@contextmanager
def open_regular(file: Path, *, follow: bool = True) -> Iterator[int]:
    """The descriptor of a regular file, opened for reading without ever waiting for somebody.

    Args:
        file: where.
        follow: whether its last part may be a link.

    Raises:
        UnusableTextError: it cannot be opened, or is a folder, device, pipe or socket.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        # Looked at first: merely opening a device may have an effect.
        _refuse_irregular(os.stat(file, follow_symlinks=follow))
        handle = os.open(file, flags if follow else flags | os.O_NOFOLLOW)
    except UnusableTextError:
        raise
    except OSError as error:
        raise _unreadable(error) from None
    except ValueError:  # a character that no path has
        raise UnusableTextError("is no path of a file") from None
    try:
        _refuse_irregular(os.fstat(handle))
        yield handle
    finally:
        os.close(handle)


def read_bytes(file: Path, most: int = MOST_BYTES) -> bytes:
    """A regular file's content.

    Raises:
        UnusableTextError: it cannot be read, is no regular file, or has more than `most` bytes.
    """
    with open_regular(file) as handle:
        return read_handle(handle, most)


def read_handle(handle: int, most: int = MOST_BYTES) -> bytes:
    """What is left of an open file.

    Raises:
        UnusableTextError: it cannot be read, or it is more than `most` bytes.
    """
    body = bytearray()
    try:
        if os.fstat(handle).st_size > most:  # told at once; a file that grows is found below
            raise UnusableTextError(f"is larger than {_size(most)}")
        while piece := os.read(handle, _PIECE):
            body += piece
            if len(body) > most:
                raise UnusableTextError(f"is larger than {_size(most)}")
    except OSError as error:
        raise _unreadable(error) from None
    return bytes(body)


def read_text(file: Path, most: int = MOST_BYTES) -> str:
    """A regular file's text.

    Raises:
        UnusableTextError: as `read_bytes`, or it is no text in UTF-8.
    """
    return decode(read_bytes(file, most))


def decode(body: bytes) -> str:
    """The text of bytes from outside.

    Raises:
        UnusableTextError: it is no UTF-8, begins with a byte order mark, or holds a character that
            no text has.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise UnusableTextError("cannot be read: it is no text in UTF-8", line) from None
    if text.startswith("\ufeff"):
        raise UnusableTextError("begins with a byte order mark: save it as UTF-8 without one", 1)
    check_characters(text)
    return text


def check_characters(text: str) -> None:
    """Refuse control characters.

    Raises:
        UnusableTextError: there is one.
    """
    if found := _NOT_TEXT.search(text):
        line = text.count("\n", 0, found.start()) + 1
        problem = f"holds the control character U+{ord(found[0]):04X}"
        raise UnusableTextError(problem, line)


def _refuse_irregular(found: os.stat_result) -> None:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFLNK: "a link",
    }
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        raise UnusableTextError(f"is {kinds.get(kind, 'something else')}, not a file")


def _unreadable(error: OSError) -> UnusableTextError:
    reason = "is a link" if error.errno == errno.ELOOP else error.strerror or type(error).__name__
    return UnusableTextError(f"cannot be read: {reason}")


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count} bytes"
