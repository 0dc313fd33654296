"""Pinning the keys of hosts: looked at by a person once, then the only ones that count."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from xops.core.errors import Finding, InputError
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.ssh.connector import fingerprint
from xops.k3s.ssh.route import read_pins

_KEY_TYPES = ("ssh-", "ecdsa-", "sk-", "rsa-")
"""What lines of `authorized_keys` begin with, where those of pinned keys have names of hosts."""


class Scanner(Protocol):
    """Asks a host for its keys."""

    async def scan(self, host: Host) -> list[str]:
        """The keys that it shows, as lines for a file of pinned keys."""
        ...


async def scan_unpinned(cluster: Cluster, scanner: Scanner, host: Host) -> list[str]:
    """The keys that a host shows and the file of pinned keys does not have.

    Raises:
        InputError: that file cannot be read.
    """
    known = set(read_pins(cluster.ssh.known_hosts).splitlines())
    return [line for line in await scanner.scan(host) if line not in known]


def describe_key(line: str) -> str:
    """A key as a person compares it: type and fingerprint."""
    return fingerprint(line)


def pin(file: Path, lines: list[str]) -> None:
    """Add lines to the file of pinned keys, which others may read and not write.

    Raises:
        InputError: it cannot be read, or is a file of another kind, which lines of keys would give
            another meaning.
    """
    before = read_pins(file)
    _refuse_other_files(file, before)
    file.parent.mkdir(parents=True, exist_ok=True)
    gap = "" if before.endswith("\n") or not before else "\n"
    file.write_text(before + gap + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    file.chmod(0o644)


def _refuse_other_files(file: Path, text: str) -> None:
    """A cluster file may name any file; a key in `authorized_keys` would let its host in here."""
    rows = [line.split() for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#"]
    is_pins = all(len(row) > 2 and not row[0].startswith(_KEY_TYPES) for row in rows)
    if is_pins and not file.resolve().name.startswith("authorized_keys"):
        return
    finding = Finding(str(file), "", "is no file of pinned keys: a line is not `name type key`")
    raise InputError(
        "pinning keys of hosts", [finding], "Name another file in ssh.known_hosts; nothing changed."
    )
