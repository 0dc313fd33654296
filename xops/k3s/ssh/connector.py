"""SSH to the hosts: one connection a host, over which everything goes, on asyncssh.

This connects; `route` finds the way, `transport` is what then can be done, `remote_programs` is
what that runs on the host.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import asyncssh

from xops.core.errors import InputError, PermanentError, UnreachableError, XopsError
from xops.k3s.cluster_file.cluster import Host, Ssh
from xops.k3s.ssh.channel import SSH_ERRORS
from xops.k3s.ssh.host_keys import (
    HostKeyRecorder,
    PinnedKeys,
    ShownKey,
    host_key_error,
    known_hosts_line,
)
from xops.k3s.ssh.route import Route, Routes
from xops.k3s.ssh.transport import SshTransport, close
from xops.k3s.ssh.transport_protocol import AuthenticationError, HostKeyError, shorten

__all__ = ["SshConnector", "SshTransport"]

# asyncssh tells every channel and every command at INFO.
asyncssh.set_log_level(logging.WARNING)

KEEPALIVE_SECONDS = 5.0
"""How often a silent host is asked whether it is there. It is given up when the third of these is
due and none was answered: after 15 s."""

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

_Place = tuple[str, ...]
"""The machines on the way to one, and itself."""

_Way = Connection | ShownKey | XopsError | None
"""What a host is reached through, None where nothing is in between; or why it is not."""


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

    async def scan(self, hosts: Sequence[Host]) -> dict[str, ShownKey | XopsError]:
        """The key that each host shows, unverified, or why it cannot be seen; by name.

        A machine shows one key a connection (RFC 4253, section 7.1), and it is connected to once:
        who knocks several times within a second is taken for an attacker. It is asked for the types
        that are pinned first, as `connect` asks.

        If a bastion on the way does not show what is pinned, its key is given in place of the
        host's: it must be pinned before the host can be seen.

        Raises:
            InputError: the SSH configuration or the file of pinned keys cannot be read.
        """
        routes = _by_name(hosts, [self._route(host) for host in hosts])
        async with AsyncExitStack() as way:
            ways = await self._enter_all(way, routes)
            looks = (self._look(ways, answer) for answer in routes.values())
            return _by_name(hosts, await asyncio.gather(*looks))

    def _route(self, host: Host) -> Route | XopsError:
        try:
            return self._routes.to(host)
        except AuthenticationError as error:
            return error

    async def _enter_all(
        self, way: AsyncExitStack, routes: Mapping[str, Route | XopsError]
    ) -> dict[_Place, _Way]:
        """The connections to all bastions, each made once; by where they lead to."""
        ways: dict[_Place, _Way] = {(): None}
        for route in routes.values():
            for bastion in route.bastions() if isinstance(route, Route) else ():
                if (place := _place(bastion)) not in ways:
                    ways[place] = await self._entered(way, bastion, ways[place[:-1]])
        return ways

    async def _entered(self, way: AsyncExitStack, bastion: Route, before: _Way) -> _Way:
        if isinstance(before, ShownKey | XopsError):
            return before
        try:
            return await self._enter(way, bastion, before)
        except InputError:
            raise
        except HostKeyError as error:
            return ShownKey(bastion, error.shown) if error.shown else error
        except XopsError as error:
            return error

    async def _look(
        self, ways: Mapping[_Place, _Way], route: Route | XopsError
    ) -> ShownKey | XopsError:
        if isinstance(route, XopsError):
            return route
        before = ways[_place(route)[:-1]]
        if isinstance(before, ShownKey | XopsError):
            return before
        try:
            key = await self._shown_key(route, before)
        except InputError:
            raise
        except XopsError as error:
            return error
        return ShownKey(route, known_hosts_line(route.last, key))

    async def _enter(
        self, way: AsyncExitStack, bastion: Route, tunnel: Connection | None
    ) -> Connection:
        """Connect to a bastion, or use the connection there is; `way` leaves it again."""
        key = (asyncio.get_running_loop(), _place(bastion))
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
                known_hosts=keys.pins,
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

    async def _shown_key(self, route: Route, tunnel: Connection | None) -> asyncssh.SSHKey:
        """The key of the last machine of `route`, which hangs up as soon as it was shown."""
        where = {name: route.last.arguments[name] for name in _WHERE}
        wanted = PinnedKeys(self._ssh.known_hosts, route.last).algorithms
        try:
            async with asyncio.timeout(self._ssh.connect_timeout):
                found = await asyncssh.get_server_host_key(
                    **where, tunnel=tunnel, server_host_key_algs=wanted
                )
        except asyncssh.KeyExchangeFailed as error:
            raise _no_common_algorithm(route, error) from error
        except SSH_ERRORS as error:
            raise _not_connected(route, error, self._ssh.connect_timeout) from error
        if found is None:
            raise _no_common_algorithm(route, "it proves itself by something else than a key")
        return found


def _by_name[Answer](hosts: Sequence[Host], answers: Sequence[Answer]) -> dict[str, Answer]:
    return dict(zip((host.name for host in hosts), answers, strict=True))


def _place(route: Route) -> _Place:
    return tuple(map(str, route.hops))


def _no_common_algorithm(route: Route, error: Exception | str) -> PermanentError:
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
