"""Looking at all hosts at once: one connection each, then what is true on them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass

from xops.core.errors import InputError, XopsError
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.ssh.transport_protocol import Connector, Transport
from xops.k3s.state import facts, preflight
from xops.k3s.state.facts import HostFacts
from xops.k3s.state.preflight import Observation

FACTS_DEADLINE = 60.0
PEERS_DEADLINE = 20.0


@dataclass(frozen=True)
class ConnectedHosts:
    """The hosts that were connected to, and why the others were not."""

    transports: Mapping[str, Transport]
    failed: Mapping[str, XopsError]

    def ssh_requests(self) -> dict[str, int]:
        """Requests made of each host so far."""
        return {name: transport.ssh_requests for name, transport in self.transports.items()}


@asynccontextmanager
async def connect_hosts(cluster: Cluster, connector: Connector) -> AsyncIterator[ConnectedHosts]:
    """All hosts connected, at the same time; closed at the end.

    Raises:
        InputError: what the cluster file says about the way to a host is wrong.
    """
    tries = [connector.connect(host) for host in cluster.hosts]
    answers = dict(
        zip(
            (host.name for host in cluster.hosts),
            await asyncio.gather(*tries, return_exceptions=True),
            strict=True,
        )
    )
    failed, transports = split_errors(answers)
    try:
        for error in failed.values():
            if isinstance(error, InputError):
                raise error
        yield ConnectedHosts(transports, failed)
    finally:
        await asyncio.gather(*(transport.close() for transport in transports.values()))


def split_errors[Answer](
    answers: Mapping[str, Answer | BaseException],
) -> tuple[dict[str, XopsError], dict[str, Answer]]:
    """Errors of ours and answers, by host; any other error is raised."""
    failed: dict[str, XopsError] = {}
    done: dict[str, Answer] = {}
    for name, answer in answers.items():
        if isinstance(answer, XopsError):
            failed[name] = answer
        elif isinstance(answer, BaseException):
            raise answer
        else:
            done[name] = answer
    return failed, done


async def collect_facts(
    cluster: Cluster, hosts: ConnectedHosts, *, probe_disk: bool = True, peers: bool = True
) -> Observation:
    """Facts of all hosts, then the ports of their peers, each in one request a host."""
    present = [host for host in cluster.hosts if host.name in hosts.transports]
    looks = [
        _collect_host(cluster, host, hosts.transports[host.name], probe_disk) for host in present
    ]
    answers = await asyncio.gather(*looks, return_exceptions=True)
    failed, seen = split_errors(dict(zip((h.name for h in present), answers, strict=True)))
    found = {name: facts for name, (facts, _) in seen.items()}
    left = [host for host in present if host.name in found and peers]
    silent = {
        address
        for host in cluster.hosts
        if host.name not in found
        for address in (host.internal_address, host.address)
    }
    tries = [_try_peer_ports(cluster, host, hosts, found, silent) for host in left]
    tried = await asyncio.gather(*tries, return_exceptions=True)
    gone, reached = split_errors(dict(zip((host.name for host in left), tried, strict=True)))
    return Observation(
        facts={name: facts for name, facts in found.items() if name not in gone},
        offsets={name: offset for name, (_, offset) in seen.items() if name not in gone},
        reached=reached,
        failed={**hosts.failed, **failed, **gone},
        ssh_requests=hosts.ssh_requests(),
    )


async def _collect_host(
    cluster: Cluster, host: Host, transport: Transport, probe_disk: bool
) -> tuple[HostFacts, float]:
    """The facts, and how far the host's clock is ahead of ours."""
    script = facts.facts_script(
        host,
        cluster.k3s.data_dir,
        probe_disk=probe_disk,
        backend=cluster.networks.backend,
    )
    started = time.time()
    ran = await transport.run(script, deadline=FACTS_DEADLINE)
    found = facts.parse(host.name, ran.whole_stdout())
    # The clock is the first thing that is read; what came before it is the way there.
    return found, found.clock - (started + min(time.time() - started, 1.0) / 2)


async def _try_peer_ports(
    cluster: Cluster,
    host: Host,
    hosts: ConnectedHosts,
    found: Mapping[str, HostFacts],
    silent: AbstractSet[str],
) -> Mapping[tuple[str, int], str]:
    """Ports of the peers, but of those that do not answer us either.

    Once K3S runs, that it answers is what shows that they are open.
    """
    if found[host.name].has_k3s:
        return {}
    tries = preflight.ports_to_try(cluster, host)
    wanted = {address: ports for address, ports in tries.items() if address not in silent}
    if not wanted:
        return {}
    script = facts.peer_script(wanted)
    ran = await hosts.transports[host.name].run(script, deadline=PEERS_DEADLINE)
    return facts.parse_peers(ran.stdout)
