"""Asking a cluster at work: its API about pods, then every host what it is answered.

Each is one request a host, however many there are. What takes its time after nodes are Ready is
waited for there, on a condition: CoreDNS comes up after the first node, kube-proxy learns of it
after that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xops.core.errors import PermanentError
from xops.k3s import paths, scripts
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.ssh.transport_protocol import Transport
from xops.k3s.state import effects, workloads
from xops.k3s.state.collect import ConnectedHosts, split_errors
from xops.k3s.state.effects import Effects
from xops.k3s.state.topology import Topology
from xops.k3s.state.workloads import HostEffects, WorkloadFacts

_ANSWER_SECONDS = 5
"""For one address. CoreDNS lets in who speaks no DNS, and says so after two or three seconds only
by closing; a BusyBox without bash and `nc -z` asks with wget, which needs that."""

_GRACE_SECONDS = 90
"""For what is going on when the time is over: three requests of kubectl, one look at addresses."""


@dataclass(frozen=True)
class Patience:
    """How long what is not yet so is waited for.

    Attributes:
        seconds: until pods are up.
        trouble_seconds: for a pod that a kubelet says something is wrong with. It may come right:
            a registry that did not answer once, DNS that was not there when it was first needed.
        answer_seconds: until addresses answer, once all pods are up.
    """

    seconds: int
    trouble_seconds: int = 30
    answer_seconds: int = 60


AS_IT_IS = Patience(0, 0, 0)
"""One look."""


async def ask_cluster(
    cluster: Cluster,
    hosts: ConnectedHosts,
    formation: Topology,
    names: Sequence[str],
    patience: Patience,
    report: Callable[[str], None] = lambda _: None,
) -> Effects:
    """What runs in the cluster, and what each of these hosts is answered by it.

    Args:
        cluster: its file.
        hosts: those that are connected.
        formation: has a source, a server whose API answers.
        names: the hosts that are asked.
        patience: how long to wait.
        report: is told what is waited for.

    Raises:
        PermanentError: the server's API does not answer any more, or with what cannot be read.
    """
    source = formation.source or cluster.servers[0]
    report(f"{source.name}: looking at CoreDNS and the network of pods")
    ran = await _ask_workloads(cluster, source, hosts.transports[source.name], names, patience)
    pairs = effects.addresses_to_ask(cluster, ran)
    report(f"{len(names)} hosts: asking for CoreDNS over the network of pods")
    present = [host for host in cluster.hosts if host.name in names]
    looks = [
        _ask_host(host, hosts.transports[host.name], pairs, patience.answer_seconds)
        for host in present
    ]
    answers = await asyncio.gather(*looks, return_exceptions=True)
    found = dict(zip((host.name for host in present), answers, strict=True))
    failed, done = split_errors(found)
    return Effects(source.name, ran, done, failed)


async def _ask_workloads(
    cluster: Cluster,
    source: Host,
    transport: Transport,
    names: Sequence[str],
    patience: Patience,
) -> WorkloadFacts:
    has_flannel = cluster.networks.backend != "none"
    wanted = {
        "dns": effects.wants_dns(cluster),
        "vip": cluster.vip is not None,
        "tunnels": has_flannel,
    }
    values = {
        "BINARY": paths.BINARY,
        "LIMIT": str(patience.seconds),
        "PATIENCE": str(patience.trouble_seconds),
        "POD_FORM": workloads.POD_FORM,
        "DNS": "yes" if wanted["dns"] else "",
        "VIP": " ".join(host.name for host in cluster.servers) if wanted["vip"] else "",
        "TUNNELS": " ".join(names) if has_flannel else "",
    }
    script = scripts.script("workloads", values)
    ran = await transport.run(script, deadline=patience.seconds + _GRACE_SECONDS)
    if ran.exit_code:
        raise PermanentError(
            f"asking the API of {source.name} about pods",
            f"exit code {ran.exit_code}: {ran.last_words()}",
            "See `xops k3s status`; run it again once the API answers.",
        )
    asked = [name for name, is_wanted in wanted.items() if is_wanted]
    return workloads.parse_workloads(source.name, ran.whole_stdout(), asked=asked)


async def _ask_host(
    host: Host, transport: Transport, pairs: Sequence[tuple[str, int]], seconds: int
) -> HostEffects:
    values = {
        "BINARY": paths.BINARY if host.is_server else "",
        "PAIRS": "\n".join(f"{address} {port}" for address, port in pairs),
        "SECONDS_EACH": str(_ANSWER_SECONDS),
        "LIMIT": str(seconds),
        "LOOK": scripts.text("peers"),
    }
    ran = await transport.run(scripts.script("effects", values), deadline=seconds + _GRACE_SECONDS)
    return workloads.parse_effects(host.name, ran.whole_stdout(), pairs, has_api=host.is_server)
