"""A cluster as it is now, whatever its file says and whichever hosts are down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from xops.core.errors import XopsError
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.node.hardening import Control, report
from xops.k3s.ssh.transport_protocol import Connector
from xops.k3s.state import effects, preflight, topology
from xops.k3s.state.ask import AS_IT_IS, ask_cluster
from xops.k3s.state.collect import ConnectedHosts, collect_facts, connect_hosts
from xops.k3s.state.effects import Ineffective
from xops.k3s.state.facts import EtcdMember, NodeFacts
from xops.k3s.state.finding import Observation
from xops.k3s.state.preflight import PreflightFinding
from xops.k3s.state.topology import Topology


@dataclass(frozen=True)
class EffectsNow:
    """What of the cluster is seen at work: `seen` by what was looked at, and what is wrong of it.

    `failed` are hosts that could not be asked, and why; the server that tells of pods among them:
    then nothing else is known.
    """

    seen: Mapping[str, str]
    wrong: tuple[Ineffective, ...]
    failed: Mapping[str, str]


@dataclass(frozen=True)
class ClusterStatus:
    """A cluster as it is now; `failed` are hosts that could not be looked at, and why.

    `members` are etcd's, as a live server tells them; some may be no node. None if none tells.
    `effects` is None while no server's API answers.
    """

    cluster: str
    cluster_id: str | None
    nodes: tuple[NodeFacts, ...] | None
    members: tuple[EtcdMember, ...] | None
    failed: Mapping[str, str]
    findings: tuple[PreflightFinding, ...]
    hardening: tuple[Control, ...]
    effects: EffectsNow | None = None

    @property
    def has_quorum(self) -> bool | None:
        """Whether more than half of the members are ready voters; None if nobody can tell."""
        if self.nodes is None:
            return None
        up = sum(bool(node.voter and node.ready) for node in self.nodes)
        if self.members is not None:
            return 2 * up > sum(not member.is_learner for member in self.members)
        return 2 * up > sum("etcd" in node.roles for node in self.nodes)

    @property
    def nodeless(self) -> list[EtcdMember]:
        """Members of etcd that no node stands for."""
        members, nodes = self.members or (), self.nodes
        return [] if nodes is None else list(topology.members_without_node(members, nodes))

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        nodes = None if self.nodes is None else [_node(node) for node in self.nodes]
        members = None if self.members is None else [asdict(member) for member in self.members]
        return {
            "cluster": self.cluster,
            "cluster_id": self.cluster_id,
            "quorum": self.has_quorum,
            "nodes": nodes,
            "members": members,
            "failed": dict(self.failed),
            "findings": [finding.to_json() for finding in self.findings],
            "hardening": [asdict(control) for control in self.hardening],
            "effects": asdict(self.effects) if self.effects else None,
        }


def _node(node: NodeFacts) -> dict[str, Any]:
    sets = {"roles": sorted(node.roles), "taints": sorted(node.taints)}
    return {**asdict(node), **sets, "labels": dict(node.labels)}


async def read_status(cluster: Cluster, connector: Connector) -> ClusterStatus:
    """The cluster as it is now, hosts that are down left out."""
    async with connect_hosts(cluster, connector) as hosts:
        observed = await collect_facts(cluster, hosts, probe_disk=False, peers=False)
        formation = topology.read(cluster, observed.facts)
        seen = await _effects_now(cluster, hosts, formation, observed)
    return ClusterStatus(
        cluster.name,
        formation.cluster_id,
        formation.nodes,
        formation.etcd,
        {name: _why(error) for name, error in observed.failed.items()},
        tuple(preflight.findings(cluster, observed)),
        tuple(report(cluster, observed.facts)),
        seen,
    )


async def _effects_now(
    cluster: Cluster, hosts: ConnectedHosts, formation: Topology, observed: Observation
) -> EffectsNow | None:
    if formation.source is None:
        return None
    facts = observed.facts
    try:
        found = await ask_cluster(cluster, hosts, formation, list(facts), AS_IT_IS)
    except XopsError as error:  # a status shows what can be seen
        return EffectsNow({}, (), {formation.source.name: _why(error)})
    return EffectsNow(
        effects.rows(cluster, formation, facts, found),
        tuple(effects.ineffective(cluster, formation, facts, found)),
        {name: _why(error) for name, error in found.failed.items()},
    )


def _why(error: XopsError) -> str:
    return f"{error.attempted}: {error.found}"
