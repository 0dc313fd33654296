"""Git's objects and their ids: what is fetched by an id is known to be it.

An id is the hash of the object's kind, length and content: SHA-1, or SHA-256 in a repository of
that format. A tree lists names, modes and ids, so that one id holds all that is below it. Source:
Git, "gitformat-pack" and "hash-function-transition".
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

FOLDER = "040000"
FILE = "100644"
EXECUTABLE = "100755"
LINK = "120000"
SUBMODULE = "160000"

_SHA1_DIGITS = 40
_MOST_NAME_BYTES = 255
_OF_GIT = frozenset({".git", "git~1"})
"""What Git takes for its own folder on some file system."""


@dataclass(frozen=True)
class Entry:
    """One line of a tree.

    Attributes:
        name: of a file or folder, without the folders above it.
        mode: six octal digits.
        id: of the object.
        size: bytes, as it is said; None where it is not.
    """

    name: str
    mode: str
    id: str
    size: int | None = None


def blob_id(content: bytes, like: str) -> str:
    """The id of a file's content, in the hash of another id."""
    return _object_id("blob", content, like)


def tree_id(entries: Iterable[Entry], like: str) -> str:
    """The id of the tree that has these entries, in the hash of another id.

    Raises:
        ValueError: an id or a name is none that a tree can hold.
    """
    return _object_id("tree", b"".join(map(_line, sorted(entries, key=_order))), like)


def unsafe_name(name: str) -> str:
    """Why a name cannot be written to a folder; empty if it can."""
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        return "leads to another folder"
    if not name.isprintable():
        return "holds a character that cannot be seen"
    if len(name.encode()) > _MOST_NAME_BYTES:
        return f"is longer than {_MOST_NAME_BYTES} bytes"
    if unicodedata.normalize("NFKC", name).casefold().rstrip(". ") in _OF_GIT:
        return "is a name of Git's own"
    return ""


def same_on_some_disk(name: str) -> str:
    """What names have in common that are one file where case or composition do not count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _object_id(kind: str, content: bytes, like: str) -> str:
    name = "sha1" if len(like) == _SHA1_DIGITS else "sha256"
    # GitHub refuses objects that collide; what SHA-1 must tell here is damage and mistakes.
    found = hashlib.new(name, f"{kind} {len(content)}\0".encode(), usedforsecurity=False)
    found.update(content)
    return found.hexdigest()


def _order(entry: Entry) -> bytes:
    return entry.name.encode() + (b"/" if entry.mode == FOLDER else b"")


def _line(entry: Entry) -> bytes:
    mode = entry.mode.lstrip("0")
    return f"{mode} {entry.name}\0".encode() + bytes.fromhex(entry.id)
