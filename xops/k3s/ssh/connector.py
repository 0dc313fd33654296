"""SSH to the hosts: one connection a host, over which everything goes, on asyncssh.

This connects; `route` finds the way, `transport` is what then can be done, `remote_programs` is
what that runs on the host.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any

import asyncssh

from xops.core.errors import PermanentError, UnreachableError
from xops.k3s.cluster_file.cluster import Host, Ssh
from xops.k3s.ssh.channel import SSH_ERRORS
from xops.k3s.ssh.route import (
    HostKeyRecorder,
    PinnedKeys,
    Route,
    Routes,
    fingerprint,
    host_key_error,
    known_hosts_line,
)
from xops.k3s.ssh.transport import SshTransport, close
from xops.k3s.ssh.transport_protocol import AuthenticationError, HostKeyError, shorten

__all__ = ["SshConnector", "SshTransport", "fingerprint"]

# asyncssh tells every channel and every command at INFO.
asyncssh.set_log_level(logging.WARNING)

KEEPALIVE_SECONDS = 5.0
"""How often a silent host is asked whether it is there. It is given up when the third of these is
due and none was answered: after 15 s."""

_KEY_TYPES = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)

_WHERE = ("host", "port", "config", "family")

_ALWAYS: dict[str, Any] = {
    "keepalive_count_max": 2,
    # Nobody is there to type; and X.509 authorities would be a second way to trust a host.
    "password_auth": False,
    "kbdint_auth": False,
    "x509_trusted_certs": None,
    "x509_trusted_cert_paths": [],
    "agent_forwarding": False,
    "x11_forwarding": False,
}

Connection = asyncssh.SSHClientConnection


@dataclass
class _Shared:
    """A bastion's connection, and how many hosts are reached through it."""

    connection: Connection
    users: int = 0


class SshConnector:
    """Connects to the hosts of one cluster; see `xops.k3s.ssh.transport_protocol.Connector`.

    A bastion is connected to once, and shared by the hosts behind it.

    Args:
        ssh: the cluster file's `ssh` section.
        cluster: the cluster's name, for the commands that messages propose.
        keepalive_seconds: see KEEPALIVE_SECONDS.
    """

    def __init__(
        self,
        ssh: Ssh,
        *,
        cluster: str = "CLUSTER",
        keepalive_seconds: float = KEEPALIVE_SECONDS,
    ) -> None:
        self._ssh = ssh
        self._routes = Routes(ssh)
        self._cluster = cluster
        self._keepalive_seconds = keepalive_seconds
        self._shared: dict[object, _Shared] = {}
        self._entering: defaultdict[object, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def connect(self, host: Host) -> SshTransport:
        """One host, connected and let in.

        Raises:
            UnreachableError, HostKeyError, AuthenticationError: with a remedy.
            InputError: the SSH configuration or the file of pinned keys cannot be read.
        """
        route = self._routes.to(host)
        async with AsyncExitStack() as way:
            tunnel = None
            for bastion in route.bastions():
                tunnel = await self._enter(way, bastion, tunnel)
            recorder = HostKeyRecorder()
            connection = await self._open(route, tunnel, recorder)
            leave = way.pop_all()
        return SshTransport(route, connection, recorder, leave)

    async def scan(self, host: Host) -> list[str]:
        """The keys that a host shows, unverified, as lines for the file of pinned keys.

        If a bastion on the way there does not show what is pinned, its keys are given instead:
        they must be pinned before the host can be seen. `fingerprint` makes a line readable.

        Raises:
            UnreachableError, AuthenticationError, InputError: the host cannot be seen from here.
        """
        reached = self._routes.to(host)
        async with AsyncExitStack() as way:
            tunnel = None
            for bastion in reached.bastions():
                try:
                    tunnel = await self._enter(way, bastion, tunnel)
                except HostKeyError:
                    reached = bastion
                    break
            keys = await self._keys(reached, tunnel)
        return [known_hosts_line(reached.last, key) for key in keys]

    async def _enter(
        self, way: AsyncExitStack, bastion: Route, tunnel: Connection | None
    ) -> Connection:
        """Connect to a bastion, or use the connection there is; `way` leaves it again."""
        key = (asyncio.get_running_loop(), tuple(map(str, bastion.hops)))
        async with self._entering[key]:
            shared = self._shared.get(key)
            if shared is None or shared.connection.is_closed():
                shared = self._shared[key] = _Shared(
                    await self._open(bastion, tunnel, HostKeyRecorder())
                )
            shared.users += 1
        way.push_async_callback(self._leave, key, shared)
        return shared.connection

    async def _leave(self, key: object, shared: _Shared) -> None:
        shared.users -= 1
        if shared.users == 0:
            if self._shared.get(key) is shared:
                del self._shared[key]
            await close(shared.connection)

    async def _open(
        self, route: Route, tunnel: Connection | None, recorder: HostKeyRecorder
    ) -> Connection:
        """Connect to the last machine of `route`."""
        keys = PinnedKeys(self._ssh.known_hosts, route.last)
        try:
            return await asyncssh.connect(
                **route.last.arguments,
                **_ALWAYS,
                keepalive_interval=self._keepalive_seconds,
                tunnel=tunnel,
                known_hosts=keys,
                server_host_key_algs=keys.algorithms,
                client_factory=lambda: recorder,
                connect_timeout=self._ssh.connect_timeout,
            )
        except asyncssh.HostKeyNotVerifiable as error:
            trust = f"xops k3s trust {self._cluster} {route.host}"
            raise host_key_error(route, keys, recorder.shown, str(error), trust) from error
        except asyncssh.KeyExchangeFailed as error:
            raise _no_common_algorithm(route, error) from error
        except SSH_ERRORS as error:
            raise _not_connected(route, error, self._ssh.connect_timeout) from error

    async def _keys(self, route: Route, tunnel: Connection | None) -> list[asyncssh.SSHKey]:
        """Every key that the last machine of `route` shows, of the types in use today."""
        where = {name: route.last.arguments[name] for name in _WHERE}

        async def key(types: Sequence[str]) -> asyncssh.SSHKey | None:
            async with asyncio.timeout(self._ssh.connect_timeout):
                return await asyncssh.get_server_host_key(
                    **where, tunnel=tunnel, server_host_key_algs=types
                )

        try:
            keys = [await key([name for types in _KEY_TYPES for name in types])]
        except SSH_ERRORS as error:
            raise _not_connected(route, error, self._ssh.connect_timeout) from error
        for types in _KEY_TYPES:
            # sshd hangs up on who asks for a type that it has no key of.
            with suppress(*SSH_ERRORS):
                keys.append(await key(types))
        return list({found.public_data: found for found in keys if found}.values())


def _no_common_algorithm(route: Route, error: Exception) -> PermanentError:
    return PermanentError(
        f"connecting to {route}",
        str(error),
        "Allow one that both sides know: in sshd_config there, or with KexAlgorithms, Ciphers, MACs"
        " or HostKeyAlgorithms in your SSH configuration.",
    )


def _not_connected(
    route: Route, error: Exception, timeout: float
) -> UnreachableError | AuthenticationError:
    hop, attempted = route.last, f"connecting to {route}"
    # sshd ends the connection when too many keys were offered (MaxAuthTries).
    if isinstance(error, asyncssh.PermissionDenied) or "authentication failures" in str(error):
        return AuthenticationError(
            attempted,
            f"authentication as {hop.user} failed; offered: {hop.keys}",
            f"Put the public key into {hop.user}'s ~/.ssh/authorized_keys there (ssh-copy-id -p"
            f" {hop.port} {hop.user}@{hop.address}), or set user and identity_file, of the host or"
            " below ssh.",
        )
    found = f"no answer within {timeout:g} s" if isinstance(error, TimeoutError) else str(error)
    seen_from = str(route.hops[-2]) if len(route.hops) > 1 else "here"
    return UnreachableError(
        attempted,
        shorten(found) or type(error).__name__,
        f"See that it is up, and that port {hop.port} of {hop.address} can be reached from"
        f" {seen_from}; then run it again.",
    )
