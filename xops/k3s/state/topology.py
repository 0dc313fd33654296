"""Which server initialises the cluster and which hosts join it, decided from facts alone. Pure.

There is no special server: a server whose disk was lost joins like any other, and none initialises
a second cluster while one of the hosts knows of a first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.state.facts import REMOVAL_NODE, EtcdMember, HostFacts, NodeFacts


@dataclass(frozen=True)
class Topology:
    """The cluster as the facts show it.

    Attributes:
        cluster_id: SHA-256 of its CA certificate, None if no server has one.
        members: servers that hold the data of a member of etcd, in the file's order.
        initialising_server: the server that initialises the cluster, None if there is a cluster.
        joiners: the other servers.
        removed: those of them with the data of a member that etcd does not have any more.
        source: a server whose API answers, None if none does.
        nodes: what it says about the nodes, None if none answers.
        etcd: etcd's members as a live server tells them, None if none does.
        earlier: members that joiners were before they lost etcd's data, by host.
        orphans: other members that are no node and of which no host has the data.
    """

    cluster_id: str | None
    members: tuple[Host, ...]
    initialising_server: Host | None
    joiners: tuple[Host, ...]
    source: Host | None
    nodes: tuple[NodeFacts, ...] | None
    etcd: tuple[EtcdMember, ...] | None = None
    removed: tuple[Host, ...] = ()
    earlier: Mapping[str, tuple[EtcdMember, ...]] = field(default_factory=dict)
    orphans: tuple[EtcdMember, ...] = ()

    @property
    def lasting_voters(self) -> int:
        """Members with a vote but those that are removed, by whom is known: etcd or the disks."""
        if self.etcd is None:
            return len(self.members)
        removed = {*self.orphans, *(gone for rows in self.earlier.values() for gone in rows)}
        return sum(not member.is_learner for member in self.etcd if member not in removed)

    def node(self, host: Host) -> NodeFacts | None:
        """The host's node, None if the API shows none or does not answer."""
        return next((node for node in self.nodes or () if node.name == host.name), None)


def read(cluster: Cluster, facts: Mapping[str, HostFacts]) -> Topology:
    """What the facts say about the cluster. While a server was not seen, none initialises one."""
    # The first that fits, in the file's order, is taken everywhere: the same facts give the same
    # answer at every run, so that an apply that was killed goes on with the server it began with.
    seen = tuple(host for host in cluster.servers if host.name in facts)
    holding = tuple(host for host in seen if facts[host.name].etcd_member)
    source = next((host for host in holding if facts[host.name].api_answers), None)
    asked = (facts[host.name].members for host in (*([source] if source else []), *holding))
    etcd = next((found for found in asked if found is not None), None)
    told_by = next(
        (facts[host.name].cluster_id for host in holding if _tells(facts[host.name])), None
    )
    removed = tuple(host for host in holding if _is_removed(host, facts[host.name], etcd, told_by))
    members = tuple(host for host in holding if host not in removed)
    empty = tuple(host for host in seen if host not in members)
    is_new = not holding and len(seen) == len(cluster.servers)
    ids = [facts[host.name].cluster_id for host in members]
    nodes = facts[source.name].nodes if source else None
    earlier = {
        host.name: found
        for host in empty
        if (found := members_of(host, facts[host.name].addresses, etcd or ()))
    }
    taken = {member for found in earlier.values() for member in found}
    return Topology(
        cluster_id=next((found for found in ids if found), None),
        members=members,
        initialising_server=empty[0] if is_new else None,
        joiners=empty[1:] if is_new else empty,
        source=source,
        nodes=nodes,
        etcd=etcd,
        removed=removed,
        earlier=earlier,
        orphans=tuple(
            member
            for member in members_without_node(etcd or (), nodes)
            if member not in taken
            and not any(member.addresses & facts[host.name].addresses for host in members)
        ),
    )


def _tells(seen: HostFacts) -> bool:
    return seen.api_answers or seen.members is not None


def _is_removed(
    host: Host, seen: HostFacts, etcd: Sequence[EtcdMember] | None, cluster_id: str | None
) -> bool:
    """Whether a live server's etcd has no member that the host with data could be.

    So an apply leaves it that was killed between a member's removal and the erasing of its host.
    Data of another cluster is none that was removed from this one.
    """
    if etcd is None or _tells(seen) or seen.cluster_id != cluster_id:
        return False
    return not members_of(host, seen.addresses, etcd)


def members_of(
    host: Host, addresses: AbstractSet[str], members: Sequence[EtcdMember]
) -> tuple[EtcdMember, ...]:
    """Members that are this host, or were: by one of its addresses, or by its name."""
    here = members_at({*addresses, host.internal_address}, members)
    return tuple(member for member in members if member in here or member.node_name == host.name)


def members_at(
    addresses: AbstractSet[str], members: Sequence[EtcdMember]
) -> tuple[EtcdMember, ...]:
    """Members that are reached by one of these addresses, whatever their names."""
    return tuple(member for member in members if member.addresses & addresses)


def members_without_node(
    members: Sequence[EtcdMember], nodes: Sequence[NodeFacts] | None
) -> Iterator[EtcdMember]:
    """Members that no node stands for; none while the nodes are not known."""
    for member in members if nodes is not None else ():
        if node_of(member, nodes or ()) is None:
            yield member


def node_of(member: EtcdMember, nodes: Sequence[NodeFacts]) -> NodeFacts | None:
    """The node of a member: the one that names it, or has its name and names none yet."""
    real = [node for node in nodes if not node.name.startswith(REMOVAL_NODE)]
    named = [node for node in real if member.name and node.member == member.name]
    unsaid = [node for node in real if node.member is None and node.name == member.node_name]
    return next(iter([*named, *unsaid]), None)


def keeps_quorum_without(
    gone: EtcdMember, members: Sequence[EtcdMember], nodes: Sequence[NodeFacts], answering: Host
) -> bool:
    """Whether the voters that stay when one is removed have a quorum of those that are up.

    Args:
        gone: the one to be removed; a learner has no vote to lose.
        members: all of them, as `answering` tells them.
        nodes: whose readiness tells who is up.
        answering: the server that told them, which is up.
    """
    if gone.is_learner:
        return True
    stay = [member for member in members if not member.is_learner and member.id != gone.id]
    here = members_of(answering, frozenset(), stay)
    up = [member for member in stay if member in here or _is_ready(node_of(member, nodes))]
    return len(up) >= len(stay) // 2 + 1


def _is_ready(node: NodeFacts | None) -> bool:
    return node is not None and node.ready


def once_formed(cluster: Cluster, formation: Topology) -> Topology:
    """The cluster as it will be when the server that initialises it is up and the others joined."""
    first = formation.initialising_server
    return replace(
        formation, members=cluster.servers, initialising_server=None, joiners=(), source=first
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
