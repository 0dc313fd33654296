"""The way to a host over SSH: which machines it leads through, as whom, with which keys.

What the cluster file leaves out comes from the person's SSH configuration, as with OpenSSH; a
configuration that the cluster file names in its place is only data (`client_config`). What
identifies a machine comes from one file of pinned keys alone (`host_keys`): `UserKnownHostsFile`
and `StrictHostKeyChecking` of that configuration do not count, nor does the address that a name
resolves to.
"""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, cast

import asyncssh
from asyncssh.config import SSHClientConfig

from xops.core.errors import Finding, InputError
from xops.core.files.reading import UnusableTextError, read_bytes
from xops.k3s.cluster_file.cluster import Host, Ssh
from xops.k3s.ssh.client_config import ClientConfig, HostSettings, read_client_config
from xops.k3s.ssh.transport_protocol import AuthenticationError

SSH_PORT = 22
"""SSH's own."""

_MOST_JUMPS = 8
_OWN_CONFIG = Path("~/.ssh/config")

LARGEST_OWN = 1024 * 1024
"""Bytes of the person's own configuration."""

LARGEST_KEY = 64 * 1024
"""Bytes of a file with a private key, a public one or a certificate."""

# OpenSSH's convtime(): "90", "5s", "1m30s".
_TIME = re.compile(r"[0-9]{1,9}|([0-9]{1,9}[smhdw])+", re.ASCII | re.IGNORECASE)
_TIME_PART = re.compile(r"([0-9]+)([smhdw]?)", re.ASCII | re.IGNORECASE)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}

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
        return self.known_as if self.port == SSH_PORT else f"[{self.known_as}]:{self.port}"


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
        """`login` overrides the SSH configuration, which overrides `default`."""
        said = self._named.of(address) if self._named else HostSettings()
        where: dict[str, Any] = {
            "host": said.host_name or address,
            "config": self._own,
            "port": port or said.port or (),
            "username": login.user or said.user or (),
            "host_key_alias": said.host_key_alias or (),
            "family": _FAMILIES.get(said.family or "", ()),
        }
        read = self._read(where)
        if not where["username"] and read.config.get("User") is None and default.user:
            where["username"] = default.user
            read = self._read(where)
        named = said.identities or _identities_of(read)
        only = login.identity or (None if named else default.identity)
        keys, credentials = _one_key(only) if only else _keys_of(named, is_own=bool(self._own))
        if token := read.config.get("PKCS11Provider"):
            keys = f"{keys} (of the smart card only if the agent has it: ssh-add -s {token})"
        jumps = said.jumps if self._named else cast(str | None, read.tunnel)
        return Hop(
            name, read.username, read.host, read.port, read.host_key_alias or read.host, keys,
            None if jumps and jumps.lower() == "none" else jumps,
            {**where, **_left_out(read), **credentials},
        )  # fmt: skip

    @cached_property
    def _named(self) -> ClientConfig | None:
        """The configuration that the cluster file names, None if it is the person's own."""
        file = self.ssh.config.expanduser()
        return None if file == _OWN_CONFIG.expanduser() else read_client_config(file)

    @cached_property
    def _own(self) -> list[Path]:
        """The person's own configuration, which alone is handed to asyncssh, and may do all."""
        file = self.ssh.config.expanduser()
        if self._named is not None or not file.exists():
            return []
        _refuse_others_configuration(file)
        return [file]

    def _read(self, where: Mapping[str, Any]) -> asyncssh.SSHClientConnectionOptions:
        try:
            # No keys: one that is named there and missing is no reason to stop, as with OpenSSH.
            return asyncssh.SSHClientConnectionOptions(**where, client_keys=None)
        except (ValueError, OSError) as error:
            attempted = f"reading the SSH configuration for {where['host']}"
            finding = Finding(str(self.ssh.config), "", str(error))
            raise InputError(attempted, [finding]) from error


def _refuse_others_configuration(file: Path) -> None:
    """As OpenSSH does: who may write that file may run programs as this person."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        found = "is no regular file"
    elif status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        found = "is not its person's alone to write: chown it to you, then chmod go-w"
    elif status.st_size > LARGEST_OWN:
        found = f"is larger than {LARGEST_OWN >> 20} MiB"
    else:
        return
    raise InputError("reading your SSH configuration", [Finding(str(file), "", found)])


def _identities_of(read: asyncssh.SSHClientConnectionOptions) -> tuple[Path, ...]:
    """The private keys of the person's own configuration."""
    named = cast(Sequence[str], read.config.get("IdentityFile", ()))
    return tuple(Path(name).expanduser() for name in named)


def _left_out(read: asyncssh.SSHClientConnectionOptions) -> dict[str, Any]:
    """What of the person's own configuration asyncssh would fail for, and OpenSSH would not.

    A certificate that is missing is passed over, as ssh does (ssh.c, load_public_identity_files).
    Smart cards need a library that is not here; an agent may hold them.
    """
    named = cast(Sequence[str], read.config.get("CertificateFile", ()))
    there = [file for file in (Path(name).expanduser() for name in named) if file.is_file()]
    return {"client_certs": there, "pkcs11_provider": None}


def _keys_of(named: Sequence[Path], *, is_own: bool) -> tuple[str, dict[str, Any]]:
    """The keys of an SSH configuration to offer, in words and as asyncssh's arguments."""
    there = [file for file in named if file.is_file()]
    words = f"{', '.join(map(str, there)) or 'the keys in ~/.ssh'}, and those of the agent"
    offered: list[Any] = there if is_own else [_read_identity(file).argument for file in there]
    return words, {"client_keys": offered, "ignore_encrypted": True}


def _one_key(file: Path) -> tuple[str, dict[str, Any]]:
    """A key of the cluster file, which is the only one offered, as `_keys_of`.

    An agent with many keys would use up the attempts that sshd allows (MaxAuthTries) before it came
    to the right one.
    """
    file = file.expanduser()
    read = _read_identity(file)
    words = f"{file}, which is locked by a passphrase, through the agent"
    agent = {"agent_identities": [read.public]} if read.public else {"agent_path": None}
    arguments = {"client_keys": [read.argument], "ignore_encrypted": True, **agent}
    return words if read.is_locked else str(file), arguments


@dataclass(frozen=True)
class _Identity:
    """A private key: its file's content, and what is known of it besides.

    asyncssh is given contents and never a path that a cluster file has chosen: it would read
    whatever is there, and whatever is called like it beside it.

    Attributes:
        key: the key itself; None if it is locked by a passphrase.
    """

    content: bytes
    key: asyncssh.SSHKey | None
    public: asyncssh.SSHKey | None
    certificate: asyncssh.SSHCertificate | None

    @property
    def is_locked(self) -> bool:
        """Whether a passphrase locks it."""
        return self.key is None

    @property
    def argument(self) -> tuple[asyncssh.SSHKey | bytes, asyncssh.SSHCertificate | None]:
        """As asyncssh takes a key with its certificate. Of a pair it reads no further file."""
        return self.key or self.content, self.certificate


def _read_identity(file: Path) -> _Identity:
    """A private key, its public half and its certificate where those are known.

    Raises:
        AuthenticationError: it cannot be read, or is no private key.
    """
    try:
        content = read_bytes(file, LARGEST_KEY)
    except UnusableTextError as error:
        raise _unreadable(file, error.problem) from None
    beside = (_beside(file, f"{file.name}.pub"), _beside(file, f"{file.name}-cert.pub"))
    try:
        return _understood(content, *beside)
    except (ValueError, RecursionError, OverflowError) as error:
        # What the file holds instead is nobody's business.
        raise _unreadable(file, "it is no private key that can be read") from error


# The hosts of a cluster are entered with one key: to check the numbers of an RSA key takes as long
# as to connect. Files are read each time, and what they hold is understood once.
@lru_cache(maxsize=32)
def _understood(content: bytes, beside: bytes, signed: bytes) -> _Identity:
    try:
        key = asyncssh.import_private_key(content)
    except (ValueError, RecursionError, OverflowError) as error:
        if not (isinstance(error, asyncssh.KeyEncryptionError) or "assphrase" in str(error)):
            raise
        key = None
    public = (_imported(asyncssh.import_public_key, text) for text in (beside, content))
    certificate = _imported(asyncssh.import_certificate, signed)
    return _Identity(content, key, next(filter(None, public), None), certificate)


def _beside(file: Path, name: str) -> bytes:
    try:
        return read_bytes(file.with_name(name), LARGEST_KEY)
    except UnusableTextError:
        return b""


def _imported[Found](read: Callable[[bytes], Found], content: bytes) -> Found | None:
    try:
        return read(content)
    except (ValueError, RecursionError, OverflowError):  # no such key, or none at all
        return None


def _unreadable(file: Path, why: str) -> AuthenticationError:
    return AuthenticationError(
        f"reading the SSH key {file}",
        why,
        "Set identity_file, of the host or below ssh, to a private key that you may read, or leave"
        " it out to use those of your SSH configuration and agent.",
    )


def _take_time(config: Any, option: str, args: list[str]) -> None:
    """Times of the person's own configuration as OpenSSH writes them; asyncssh knows numbers only.

    Source: openssh-portable, readconf.c (parse_time) and misc.c (convtime).
    """
    text = args.pop(0)
    if text.lower() == "none":
        return
    if not _TIME.fullmatch(text):
        config._error(f"Invalid {option} time: {text}")
    parts = _TIME_PART.findall(text)
    seconds = sum(int(count) * _SECONDS[unit.lower()] for count, unit in parts)
    config._options.setdefault(option, seconds)


SSHClientConfig._handlers |= {
    name.lower(): (name, _take_time) for name in ("ConnectTimeout", "ServerAliveInterval")
}
