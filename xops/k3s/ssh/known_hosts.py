"""Pinning the keys of hosts: looked at by a person once, then the only ones that count."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import asyncssh

from xops.core.errors import Finding, InputError, XopsError
from xops.k3s.cluster_file.cluster import Host
from xops.k3s.ssh.host_keys import (
    PinnedKeys,
    ShownKey,
    describe_key,
    fingerprint,
    key_of,
    read_pins,
)

_PINNING = "pinning keys of hosts"
_KEY_TYPES = ("ssh-", "ecdsa-", "sk-", "rsa-")
"""What lines of `authorized_keys` begin with, where those of pinned keys have names of hosts."""


class Scanner(Protocol):
    """Asks hosts for their keys."""

    async def scan(self, hosts: Sequence[Host]) -> Mapping[str, ShownKey | XopsError]:
        """The key that each shows, or why it cannot be seen, by the host's name."""
        ...


class KeyState(StrEnum):
    """How the key that a machine shows compares with what is pinned."""

    NEW = "new"
    """Nothing is pinned for the machine."""

    PINNED = "pinned"
    CHANGED = "changed"
    """Other keys are pinned. It was installed anew, or somebody stands in between."""

    REVOKED = "revoked"
    """It is pinned as one that must never be taken."""

    VOUCHED = "vouched for"
    """An authority is pinned that signs the machine's keys: none needs to be pinned."""


@dataclass(frozen=True)
class ComparedKey:
    """The key that a machine shows, beside those that are pinned for it.

    Attributes:
        shown: the key, and the way to the machine.
        state: how it compares.
        pinned: the keys and authorities that are pinned, as `describe_key` writes them.
    """

    shown: ShownKey
    state: KeyState
    pinned: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """The key that is shown, as a person compares it: `SHA256:... (ssh-ed25519)`."""
        return fingerprint(self.shown.line)

    @property
    def machine(self) -> str:
        """The host's name; of a bastion, who is asked where."""
        route = self.shown.route
        return route.host if self.is_of_host else f"bastion {route.last}"

    @property
    def is_of_host(self) -> bool:
        """Whether the machine is the host itself, and no bastion on the way to it."""
        return self.shown.route.last.name == self.shown.route.host


def compare(file: Path, shown: ShownKey) -> ComparedKey:
    """Hold a key against a file of pinned keys.

    Raises:
        InputError: that file cannot be read.
    """
    keys = PinnedKeys(file, shown.route.last)
    found = ComparedKey(
        shown, _state(keys, key_of(shown.line)), tuple(map(describe_key, keys.pinned))
    )
    # A bastion's key is given only where connecting has shown that it does not do.
    is_refused = found.state is KeyState.VOUCHED and not found.is_of_host
    return replace(found, state=KeyState.CHANGED) if is_refused else found


def _state(keys: PinnedKeys, shown: asyncssh.SSHKey) -> KeyState:
    if shown in keys.revoked:
        return KeyState.REVOKED
    if shown in keys.accepted:
        return KeyState.PINNED
    if keys.authorities:
        return KeyState.VOUCHED
    return KeyState.CHANGED if keys.keys else KeyState.NEW


def pin(file: Path, lines: Sequence[str]) -> None:
    """Add lines to the file of pinned keys, which others may read and not write.

    Raises:
        InputError: it cannot be read, or is a file of another kind, which lines of keys would give
            another meaning.
    """
    before = read_pins(file)
    _refuse_other_files(file, before)
    _write(file, _with(before, lines))


def replace_pins(file: Path, line: str) -> None:
    """Pin a key in place of those that are pinned for its machine; all others stay.

    Raises:
        InputError: as `pin`; or the old key is pinned by a pattern, which counts for others too.
    """
    name = line.split()[0]
    before = read_pins(file)
    _refuse_other_files(file, before)
    kept, findings = [], []
    for number, row in enumerate(before.splitlines(keepends=True), 1):
        left = _without(row, name)
        kept.append(left)
        if _pins(left, name):
            found = f"pins a key for {name} and for others, by a pattern"
            findings.append(Finding(str(file), "", found, number))
    if findings:
        raise InputError(_PINNING, findings, "Take it out by hand; nothing was changed.")
    _write(file, _with("".join(kept), [line]))


def _without(row: str, name: str) -> str:
    """A line without a name: nothing of it where it has no other, or only a hash of this one."""
    if not _pins(row, name):
        return row
    names = row.split()[0]
    others = [other for other in names.split(",") if other != name]
    if names.startswith("|") or not others:
        return ""
    return row.replace(names, ",".join(others), 1)


def _pins(row: str, name: str) -> bool:
    """Whether a line says that a key is the machine's own: what authorities sign may stay."""
    try:
        keys, *_ = asyncssh.SSHKnownHosts(row).match(name, "", None)
    except ValueError:  # who connects is told
        return False
    return bool(keys)


def _with(text: str, lines: Sequence[str]) -> str:
    gap = "" if text.endswith("\n") or not text else "\n"
    return text + gap + "".join(f"{line}\n" for line in lines)


def _write(file: Path, text: str) -> None:
    """Whole or not at all, where its links lead to."""
    target = file.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as output:
            output.write(text)
            output.flush()
            os.fsync(output.fileno())
        Path(partial).chmod(0o644)
        Path(partial).replace(target)
    finally:
        Path(partial).unlink(missing_ok=True)


def _refuse_other_files(file: Path, text: str) -> None:
    """A cluster file may name any file; a key in `authorized_keys` would let its host in here."""
    rows = [line.split() for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#"]
    is_pins = all(len(row) > 2 and not row[0].startswith(_KEY_TYPES) for row in rows)
    if is_pins and not file.resolve().name.startswith("authorized_keys"):
        return
    finding = Finding(str(file), "", "is no file of pinned keys: a line is not `name type key`")
    raise InputError(
        _PINNING, [finding], "Name another file in ssh.known_hosts; nothing was changed."
    )
