"""Names of others where a name has rules: of files, of resources."""

from __future__ import annotations


def file_name(name: str) -> str:
    """A name of others as a part of a file's name: what may be a path or an option is replaced."""
    kept = [char if char.isascii() and (char.isalnum() or char in "-_") else "_" for char in name]
    return "".join(kept)[:80]
