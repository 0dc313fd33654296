"""The way to a host over SSH: which machines it leads through, as whom, with which keys.

What the cluster file leaves out comes from the person's SSH configuration, as with OpenSSH. What
identifies a machine comes from one file of pinned keys alone: `UserKnownHostsFile` and
`StrictHostKeyChecking` of that configuration do not count, nor does the address that a name
resolves to.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import asyncssh
from asyncssh.public_key import get_default_certificate_algs, get_default_public_key_algs

from xops.core.errors import Finding, InputError
from xops.k3s.cluster_file.cluster import Host, Ssh
from xops.k3s.ssh.transport_protocol import AuthenticationError, HostKeyError

_SSH_PORT = 22
_MOST_JUMPS = 8

_JUMP = re.compile(r"(ssh://)?((?P<user>.+)@)?(\[(?P<v6>.+)\]|(?P<host>[^:]+))(:(?P<port>\d+))?/?")


@dataclass(frozen=True)
class Hop:
    """A machine on the way, the last of which is the host itself.

    Attributes:
        name: the host's name in the cluster file; of a bastion, what it is reached as.
        user: whom it is entered as.
        address: what is connected to.
        port: its port.
        known_as: the name under which its keys are pinned, without its port.
        keys: the keys offered to it, in words.
        jumps: OpenSSH's ProxyJump, if its own configuration has one.
        arguments: what asyncssh is given to connect to it.
    """

    name: str
    user: str
    address: str
    port: int
    known_as: str
    keys: str
    jumps: str | None
    arguments: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.user}@{self.address}:{self.port}"

    @property
    def pinned_as(self) -> str:
        """The name under which its keys stand in a file of pinned keys."""
        return self.known_as if self.port == _SSH_PORT else f"[{self.known_as}]:{self.port}"


@dataclass(frozen=True)
class Route:
    """The machines on the way to a host, in order; or the first few of them.

    Attributes:
        host: the name, in the cluster file, of the host that this leads to.
    """

    host: str
    hops: tuple[Hop, ...]

    def __str__(self) -> str:
        *bastions, last = self.hops
        through = f" through {', '.join(map(str, bastions))}" if bastions else ""
        if last.name == self.host:
            return f"{self.host} ({last}){through}"
        return f"the bastion {last}{through}, on the way to {self.host}"

    @property
    def last(self) -> Hop:
        """Where this leads to: the host, if it is the whole way."""
        return self.hops[-1]

    def bastions(self) -> Iterator[Route]:
        """The ways to the bastions, from the first on."""
        return (Route(self.host, self.hops[:count]) for count in range(1, len(self.hops)))


@dataclass(frozen=True)
class _Login:
    """Whom to enter as and with which key, where something more exact is not said."""

    user: str | None = None
    identity: Path | None = None


@dataclass(frozen=True)
class Routes:
    """Finds the way to hosts by the cluster file's `ssh` section and the SSH configuration."""

    ssh: Ssh

    def to(self, host: Host) -> Route:
        """The machines on the way to `host`, itself last.

        Raises:
            InputError: the SSH configuration cannot be read, or its jumps form a loop.
            AuthenticationError: a private key cannot be read.
        """
        login = _Login(host.user or self.ssh.user, host.identity_file or self.ssh.identity_file)
        port = host.port or self.ssh.port
        target = self._hop(host.name, host.address, port, login, _Login())
        bastion = host.bastion or self.ssh.bastion
        # As with Terraform's connections: a bastion is entered as the host is, unless told apart.
        default = login if bastion else _Login()
        return Route(host.name, (*self._through(bastion or target.jumps, default), target))

    def _through(self, jumps: str | None, default: _Login, depth: int = 1) -> tuple[Hop, ...]:
        hops = [self._jump(jump, default) for jump in jumps.split(",")] if jumps else []
        if not hops:
            return ()
        if depth > _MOST_JUMPS:
            finding = Finding(str(self.ssh.config), "ProxyJump", f"{jumps}: the jumps form a loop")
            raise InputError("finding the way to a host", [finding])
        return (*self._through(hops[0].jumps, _Login(), depth + 1), *hops)

    def _jump(self, text: str, default: _Login) -> Hop:
        found = _JUMP.fullmatch(text.strip())
        if found is None:
            finding = Finding(str(self.ssh.config), "ProxyJump", f"{text!r} is not user@host:port")
            raise InputError("finding the way to a host", [finding])
        address = found["v6"] or found["host"]
        port = int(found["port"]) if found["port"] else None
        return self._hop(text.strip(), address, port, _Login(found["user"]), default)

    def _hop(
        self, name: str, address: str, port: int | None, login: _Login, default: _Login
    ) -> Hop:
        """`login` overrides the person's configuration, which overrides `default`."""
        files = [self.ssh.config.expanduser()]
        where: dict[str, Any] = {
            "host": address,
            "config": [file for file in files if file.is_file()],
            "port": port or (),
            "username": login.user or (),
        }
        read = self._read(where)
        if not login.user and read.config.get("User") is None and default.user:
            where["username"] = default.user
            read = self._read(where)
        keys, credentials = _credentials(read, login.identity, default.identity)
        return Hop(
            name, read.username, read.host, read.port, read.host_key_alias or read.host, keys,
            cast(str | None, read.tunnel), {**where, **credentials},
        )  # fmt: skip

    def _read(self, where: Mapping[str, Any]) -> asyncssh.SSHClientConnectionOptions:
        try:
            # No keys: one that is named there and missing is no reason to stop, as with OpenSSH.
            return asyncssh.SSHClientConnectionOptions(**where, client_keys=None)
        except (ValueError, OSError) as error:
            attempted = f"reading the SSH configuration for {where['host']}"
            finding = Finding(str(self.ssh.config), "", str(error))
            raise InputError(attempted, [finding]) from error


def _credentials(
    read: asyncssh.SSHClientConnectionOptions, identity: Path | None, default: Path | None
) -> tuple[str, dict[str, Any]]:
    """The keys to offer, in words and as asyncssh's arguments.

    A key of the cluster file is the only one offered: an agent with many keys would use up the
    attempts that sshd allows (MaxAuthTries) before it came to the right one.
    """
    named = cast(Sequence[str], read.config.get("IdentityFile", ()))
    files = [Path(name).expanduser() for name in named]
    files = [file for file in files if file.is_file()]
    only = identity or (None if named else default)
    if only is None:
        words = f"{', '.join(map(str, files)) or 'the keys in ~/.ssh'}, and those of the agent"
        return words, {"client_keys": files, "ignore_encrypted": True}
    only = only.expanduser()
    locked, public = _read_identity(only)
    words = f"{only}, which is locked by a passphrase, through the agent" if locked else str(only)
    agent = {"agent_identities": [public]} if public else {"agent_path": None}
    return words, {"client_keys": [only], "ignore_encrypted": True, **agent}


def _read_identity(file: Path) -> tuple[bool, asyncssh.SSHKey | None]:
    """Whether a private key is locked, and its public half where that is known."""
    locked = False
    try:
        asyncssh.read_private_key(file)
    except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError) as error:
        locked = isinstance(error, asyncssh.KeyEncryptionError) or "assphrase" in str(error)
        if not locked:
            raise _unreadable(file, str(error)) from error
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from error
    for candidate in (file.with_name(f"{file.name}.pub"), file):
        try:
            return locked, asyncssh.read_public_key(candidate)
        except (OSError, asyncssh.KeyImportError):
            continue
    return locked, None


def _unreadable(file: Path, why: str) -> AuthenticationError:
    return AuthenticationError(
        f"reading the SSH key {file}",
        why,
        "Set identity_file, of the host or below ssh, to a private key that you may read, or leave"
        " it out to use those of your SSH configuration and agent.",
    )


class PinnedKeys(asyncssh.SSHKnownHosts):
    """The pinned keys of one file, and those of one machine among them.

    Names are matched and not the addresses they resolve to: else a name server could put another
    pinned machine in a host's place.

    Attributes:
        pinned: the machine's keys, and the authorities that may sign them.
        algorithms: what to ask the machine for: what is pinned, and after that all else, so that
            the key of another type is seen and named, where a failed negotiation names nothing.
    """

    def __init__(self, file: Path, hop: Hop) -> None:
        self.file = file.expanduser()
        try:
            super().__init__(self.file.read_text())
        except FileNotFoundError:
            super().__init__()
        except (OSError, ValueError) as error:
            finding = Finding(str(self.file), "", str(error))
            raise InputError("reading the pinned host keys", [finding]) from error
        port = None if hop.port == _SSH_PORT else hop.port
        keys, authorities, *_ = self.match(hop.known_as, "", port)
        self.pinned: Sequence[asyncssh.SSHKey] = (*keys, *authorities)
        signed = get_default_certificate_algs() if authorities else []
        plain = [algorithm for key in keys for algorithm in key.sig_algorithms]
        wanted = [*signed, *plain, *get_default_public_key_algs()]
        self.algorithms = [name.decode() for name in dict.fromkeys(wanted)]

    def match(self, host: str, addr: str, port: int | None) -> Any:
        """As the base class does, by name alone."""
        return super().match(host, "", port)


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


def fingerprint(pinned: str) -> str:
    """A line of a file of pinned keys as OpenSSH prints keys: `SHA256:... (ssh-ed25519)`."""
    *_, algorithm, encoded = pinned.split()[:3]
    return _fingerprint(asyncssh.import_public_key(f"{algorithm} {encoded}"))


def _fingerprint(key: asyncssh.SSHKey) -> str:
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
    found = f"it shows the host key {_fingerprint(shown)}" if shown else why
    by_hand = f"or by hand:\n     {_by_hand(route, keys.file)}"
    attempted = f"connecting to {route}"
    if not keys.pinned:
        return HostKeyError(
            attempted,
            f"{found}, and {keys.file} pins none for {hop.pinned_as}",
            "Compare it with the machine's own, on its console: ssh-keygen -lf"
            f" /etc/ssh/ssh_host_ed25519_key.pub. If they are equal, pin it: {trust}\n  {by_hand}",
        )
    pinned = ", ".join(map(_fingerprint, keys.pinned))
    forget = shlex.join(["ssh-keygen", "-R", hop.pinned_as, "-f", str(keys.file)])
    return HostKeyError(
        attempted,
        f"{found}, where {keys.file} pins {pinned} for {hop.pinned_as}",
        "Either it was installed anew, or somebody stands in between. Only if you know that it was"
        f" installed anew, forget the old key: {forget}\n  and pin the new one: {trust}"
        f"\n  {by_hand}",
    )


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
