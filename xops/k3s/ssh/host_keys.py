"""Who a machine is: the keys that are pinned for it, the one it shows, and how they differ."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.public_key import get_default_certificate_algs, get_default_public_key_algs

from xops.core.errors import Finding, InputError
from xops.core.files.reading import UnusableTextError, read_text
from xops.k3s.ssh.route import SSH_PORT, Hop, Route
from xops.k3s.ssh.transport_protocol import HostKeyError

LARGEST_KNOWN_HOSTS = 4 * 1024 * 1024
"""Bytes of a file of pinned keys: some ten thousand of them."""

_READING_PINS = "reading the pinned host keys"

_PREFERRED = (
    b"ssh-ed25519", b"ecdsa-sha2-nistp256", b"ecdsa-sha2-nistp384", b"ecdsa-sha2-nistp521",
    b"rsa-sha2-512", b"rsa-sha2-256",
)  # fmt: skip
"""What a machine is asked for of which nothing is pinned: first what people compare, on its
console."""


def read_pins(file: Path) -> str:
    """The text of a file of pinned keys; nothing if there is none yet.

    Raises:
        InputError: it cannot be read.
    """
    try:
        file.stat()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError):  # as is said below
        pass
    try:
        return read_text(file, LARGEST_KNOWN_HOSTS)
    except UnusableTextError as error:
        finding = Finding(str(file), "", error.problem, error.line)
        raise InputError(_READING_PINS, [finding]) from None


@dataclass(frozen=True)
class ShownKey:
    """The key that a machine has shown, whose it may be.

    Attributes:
        route: the way to the machine.
        line: the key, as a line of a file of pinned keys.
    """

    route: Route
    line: str


class _Pins(asyncssh.SSHKnownHosts):
    """All pinned keys of a file.

    Names are matched and not the addresses they resolve to: else a name server could put another
    pinned machine in a host's place.
    """

    def match(self, host: str, addr: str, port: int | None) -> Any:
        """As the base class does, by name alone."""
        return super().match(host, "", port)


# A file has a line for each host: understood anew for every one of a thousand, it would take
# minutes. It is read each time, since what is revoked in the meantime must count.
@lru_cache(maxsize=8)
def _understood(file: Path, text: str) -> _Pins:
    pins = _Pins()
    for number, line in enumerate(text.splitlines(), 1):
        try:
            pins.load(line)
        # Its words would be shown, and this may be any file: a line's number is enough.
        except (ValueError, RecursionError, OverflowError) as error:
            finding = Finding(str(file), "", "is no pinned key: name type key", number)
            raise InputError(_READING_PINS, [finding]) from error
    return pins


class PinnedKeys:
    """The pinned keys of one file, and those of one machine among them.

    Attributes:
        file: where they are pinned.
        pins: all of the file, as asyncssh asks for them.
        keys: the machine's own.
        authorities: those that may sign its keys.
        pinned: both.
        accepted: the keys that do for it: its own; if there are none and its port is not SSH's,
            those of its address without a port, as with OpenSSH.
        revoked: what must not be taken from it.
        algorithms: what to ask the machine for: what is pinned, and after that all else, so that
            the key of another type is seen and named, where a failed negotiation names nothing.
    """

    def __init__(self, file: Path, hop: Hop) -> None:
        self.file = file.expanduser()
        self.pins = _understood(self.file, read_pins(self.file))
        port = None if hop.port == SSH_PORT else hop.port
        keys, authorities, *_ = self.pins.match(hop.known_as, "", port)
        # Here a key of the same address without the port is that of another machine.
        own, own_authorities, revoked, *_ = self.pins.match(hop.pinned_as, "", None)
        self.keys: Sequence[asyncssh.SSHKey] = own
        self.authorities: Sequence[asyncssh.SSHKey] = own_authorities
        self.pinned = (*own, *own_authorities)
        self.accepted: Sequence[asyncssh.SSHKey] = keys
        self.revoked: Sequence[asyncssh.SSHKey] = revoked
        signed = get_default_certificate_algs() if authorities else []
        plain = [algorithm for key in keys for algorithm in key.sig_algorithms]
        wanted = [*signed, *plain, *_PREFERRED, *get_default_public_key_algs()]
        self.algorithms = [name.decode() for name in dict.fromkeys(wanted)]


class HostKeyRecorder(asyncssh.SSHClient):
    """Remembers the key that was shown and is not pinned, never accepting it; and the end.

    Attributes:
        shown: the key.
        lost_because: why the connection has ended, if it has and a reason is known.
    """

    shown: asyncssh.SSHKey | None = None
    lost_because: str | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Told when the connection has ended."""
        self.lost_because = str(exc) if exc else None

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        """Asked only about keys that are not pinned."""
        self.shown = key
        return False


def known_hosts_line(hop: Hop, key: asyncssh.SSHKey) -> str:
    """A key as a line of a file of pinned keys."""
    # The comment that a key may carry is not part of it.
    algorithm, encoded = key.export_public_key("openssh").decode().split()[:2]
    return f"{hop.pinned_as} {algorithm} {encoded}"


def key_of(pinned: str) -> asyncssh.SSHKey:
    """The key of a line of a file of pinned keys."""
    *_, algorithm, encoded = pinned.split()[:3]
    return asyncssh.import_public_key(f"{algorithm} {encoded}")


def fingerprint(pinned: str) -> str:
    """A line of a file of pinned keys as OpenSSH prints keys: `SHA256:... (ssh-ed25519)`."""
    return describe_key(key_of(pinned))


def describe_key(key: asyncssh.SSHKey) -> str:
    """A key as OpenSSH prints it and people compare it: `SHA256:... (ssh-ed25519)`."""
    return f"{key.get_fingerprint()} ({key.get_algorithm()})"


def host_key_error(
    route: Route, keys: PinnedKeys, shown: asyncssh.SSHKey | None, why: str, trust: str
) -> HostKeyError:
    """Why the last machine of `route` is not taken for what it says, and how to pin its key.

    Args:
        route: the way up to the machine that was refused.
        keys: what it was held against.
        shown: the key it has shown, if that was not refused outright (revoked).
        why: what the SSH library says.
        trust: the command that pins the keys of the machines on this way.
    """
    hop = route.last
    found = f"it shows the host key {describe_key(shown)}" if shown else why
    by_hand = _by_hand(route, keys.file)
    if keys.pinned:
        listed = ", ".join(map(describe_key, keys.pinned))
        found = f"{found}, where {keys.file} pins {listed} for {hop.pinned_as}"
        forget = shlex.join(["ssh-keygen", "-R", hop.pinned_as, "-f", str(keys.file)])
        remedy = (
            "Either it was installed anew, or somebody stands in between. Only if you know that it"
            f" was installed anew, pin the new key in place of the old one: {trust} --replace"
            f"\n  or by hand:\n     {forget}\n     {by_hand}"
        )
    else:
        found = f"{found}, and {keys.file} pins none for {hop.pinned_as}"
        remedy = (
            "Compare it with the machine's own, on its console: ssh-keygen -lf"
            f" /etc/ssh/ssh_host_ed25519_key.pub. If they are equal, pin it: {trust}"
            f"\n  or by hand:\n     {by_hand}"
        )
    error = HostKeyError(f"connecting to {route}", found, remedy)
    error.shown = known_hosts_line(hop, shown) if shown else None
    return error


def _by_hand(route: Route, file: Path) -> str:
    """`ssh-keyscan`, which knows no jumps: it is run on the last bastion."""
    *bastions, hop = route.hops
    scan = ["ssh-keyscan", "-p", str(hop.port), hop.address]
    if bastions:
        *before, last = bastions
        jumps = ["-J", ",".join(map(str, before))] if before else []
        scan = ["ssh", *jumps, "-p", str(last.port), f"{last.user}@{last.address}", *scan]
    # It names keys by address; an alias must be put in its place.
    alias = "" if hop.known_as == hop.address else f" | sed 's/^[^ ]*/{hop.pinned_as}/'"
    return f"{shlex.join(scan)}{alias} >> {shlex.quote(str(file))}"
