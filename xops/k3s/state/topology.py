"""Which server initialises the cluster and which hosts join it, decided from facts alone. Pure.

There is no special server: a server whose disk was lost joins like any other, and none initialises
a second cluster while one of the hosts knows of a first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.state.facts import HostFacts, NodeFacts


@dataclass(frozen=True)
class Topology:
    """The cluster as the facts show it.

    Attributes:
        cluster_id: SHA-256 of its CA certificate, None if no server has one.
        members: servers that hold etcd's data, in the file's order.
        initialising_server: the server that initialises the cluster, None if there is a cluster.
        joiners: the other servers without data.
        source: a server whose API answers, None if none does.
        nodes: what it says about the nodes, None if none answers.
    """

    cluster_id: str | None
    members: tuple[Host, ...]
    initialising_server: Host | None
    joiners: tuple[Host, ...]
    source: Host | None
    nodes: tuple[NodeFacts, ...] | None

    def node(self, host: Host) -> NodeFacts | None:
        """The host's node, None if the API shows none or does not answer."""
        return next((node for node in self.nodes or () if node.name == host.name), None)


def read(cluster: Cluster, facts: Mapping[str, HostFacts]) -> Topology:
    """What the facts say about the cluster. While a server was not seen, none initialises one."""
    # The first that fits, in the file's order, is taken everywhere: the same facts give the same
    # answer at every run, so that an apply that was killed goes on with the server it began with.
    seen = tuple(host for host in cluster.servers if host.name in facts)
    members = tuple(host for host in seen if facts[host.name].etcd_member)
    empty = tuple(host for host in seen if host not in members)
    is_new = not members and len(seen) == len(cluster.servers)
    source = next((host for host in members if facts[host.name].api_answers), None)
    ids = [facts[host.name].cluster_id for host in members]
    return Topology(
        cluster_id=next((found for found in ids if found), None),
        members=members,
        initialising_server=empty[0] if is_new else None,
        joiners=empty[1:] if is_new else empty,
        source=source,
        nodes=facts[source.name].nodes if source else None,
    )


def is_new_agent(host: Host, seen: HostFacts) -> bool:
    """Whether the host is an agent that has never joined."""
    return not host.is_server and seen.cluster_id is None


def cluster_ids(cluster: Cluster, facts: Mapping[str, HostFacts]) -> dict[str, list[str]]:
    """The hosts by the cluster that they belong to. More than one cluster is a refusal."""
    found: dict[str, list[str]] = {}
    for name in (host.name for host in cluster.hosts if host.name in facts):
        if identity := facts[name].cluster_id:
            found.setdefault(identity, []).append(name)
    return found


def peer_of(cluster: Cluster, host: Host) -> Host | None:
    """The server that a host joins through, always the same one; None for the only server."""
    others = [server for server in cluster.servers if server is not host]
    return others[0] if others else None
