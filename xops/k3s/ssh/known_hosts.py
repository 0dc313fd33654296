"""Pinning the keys of hosts: looked at by a person once, then the only ones that count."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.ssh.connector import fingerprint


class Scanner(Protocol):
    """Asks a host for its keys."""

    async def scan(self, host: Host) -> list[str]:
        """The keys that it shows, as lines for a file of pinned keys."""
        ...


async def scan_unpinned(cluster: Cluster, scanner: Scanner, host: Host) -> list[str]:
    """The keys that a host shows and the file of pinned keys does not have."""
    file = cluster.ssh.known_hosts
    known = set(file.read_text(encoding="utf-8").splitlines()) if file.exists() else set()
    return [line for line in await scanner.scan(host) if line not in known]


def describe_key(line: str) -> str:
    """A key as a person compares it: type and fingerprint."""
    return fingerprint(line)


def pin(file: Path, lines: list[str]) -> None:
    """Add lines to the file of pinned keys, which others may read and not write."""
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    gap = "" if before.endswith("\n") or not before else "\n"
    file.write_text(before + gap + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    file.chmod(0o644)
