"""What an apply has brought about, seen from outside: nodes, the API at its address, hardening."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xops.core.errors import PermanentError
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.node import labels
from xops.k3s.node.hardening import Control, report
from xops.k3s.operations import kubeconfig, tokens
from xops.k3s.ssh.transport_protocol import Connector
from xops.k3s.state import preflight, topology
from xops.k3s.state.collect import collect_facts, connect_hosts
from xops.k3s.state.facts import NodeFacts
from xops.k3s.state.finding import Observation
from xops.k3s.state.topology import Topology

_NO_VOTERS = {
    "MemberIsLearner": "learner",
    "NotAMember": "member that was removed",
    "Unhealthy": "member that does not answer or has an alarm",
}
"""Why K3S says of a member that it is no voter. Source: k3s-io/k3s, pkg/etcd/etcd.go."""


class UnsteadyClusterError(PermanentError):
    """After an apply something is not as it shall be."""


@dataclass(frozen=True)
class ClusterVerification:
    """What was seen from outside.

    Attributes:
        nodes: as the cluster's API shows them.
        endpoint: how the API answered at its address from this machine.
        kubeconfig: where the cluster's kubeconfig is kept.
        unmet: rules of the hardening profile that do not hold, or that could not be seen.
        ssh_requests: made of each host, for this look alone; of a look at what has not changed,
            with those of the plan that found it so.
        profile: of hardening, as the file says.
        left_out: agents that do not answer, of which nothing is known but their nodes' state.
    """

    nodes: tuple[NodeFacts, ...]
    endpoint: kubeconfig.Answer
    kubeconfig: str
    unmet: tuple[Control, ...] = ()
    ssh_requests: Mapping[str, int] | None = None
    profile: str = "cis"
    left_out: tuple[str, ...] = ()

    @property
    def _hardened(self) -> str:
        return "no profile" if self.profile == "none" else "every rule of the profile holds"

    def rows(self) -> dict[str, str]:
        """As a person reads it."""
        unmet = [f"{control.host}: {control.rule}: {control.found}" for control in self.unmet]
        return {
            **{f"node {node.name}": describe_node(node) for node in self.nodes},
            **dict.fromkeys((f"left out {name}" for name in self.left_out), "does not answer"),
            "endpoint": f"{self.endpoint.url} {self.endpoint.status}",
            "kubeconfig": self.kubeconfig,
            "hardening": "; ".join(unmet) or self._hardened,
        }


def describe_node(node: NodeFacts) -> str:
    """A node in a line."""
    state = "Ready" if node.ready else "not Ready"
    member = _NO_VOTERS.get(node.voter_reason or "", "learner or removed")
    voter = {True: ", etcd voter", False: f", etcd {member}", None: ""}[node.voter]
    roles = ", ".join(sorted(node.roles)) or "agent"
    return f"{state}{voter}; {roles}; {node.version}; {node.address or 'no address'}"


async def verify_and_keep_kubeconfig(
    cluster: Cluster, connector: Connector, seen: Observation | None = None
) -> ClusterVerification:
    """Look at the nodes, the API at its address and the hardening; write the kubeconfig.

    Args:
        cluster: which.
        connector: the way to its hosts.
        seen: what was seen a moment ago, and nothing was done since; else all hosts are looked at.

    Raises:
        UnsteadyClusterError: a node is missing, not Ready, no voter, of another version, or has
            other labels or taints than the file gives it.
        UnreachableError: the server that has the kubeconfig does not answer any more.
    """
    needed = None if seen is None else _kubeconfig_source(cluster, seen)
    async with connect_hosts(cluster, connector, needed) as hosts:
        for error in hosts.failed.values() if seen else ():
            raise error
        observed = seen or await collect_facts(cluster, hosts, probe_disk=False, peers=False)
        formation = topology.read(cluster, observed.facts)
        silent = preflight.left_out(cluster, observed.failed)
        _refuse_unsteady(cluster, formation, observed, silent)
        file = await kubeconfig.keep(cluster, hosts, formation)
        if formation.cluster_id:
            tokens.pin_cluster(cluster.secrets_folder, formation.cluster_id)
        now, before = hosts.ssh_requests(), seen.ssh_requests if seen else {}
        requests = {name: now.get(name, 0) + before.get(name, 0) for name in {**before, **now}}
    answer = await kubeconfig.ask(cluster.endpoint_url(), file)
    controls = report(cluster, observed.facts)
    return ClusterVerification(
        nodes=formation.nodes or (),
        endpoint=answer,
        kubeconfig=str(file),
        unmet=tuple(control for control in controls if control.met is not True),
        ssh_requests=requests,
        profile=cluster.hardening.profile,
        left_out=silent,
    )


def _kubeconfig_source(cluster: Cluster, seen: Observation) -> Sequence[Host]:
    source = topology.read(cluster, seen.facts).source
    return (source,) if source else ()


def _refuse_unsteady(
    cluster: Cluster, formation: Topology, observed: Observation, silent: tuple[str, ...]
) -> None:
    tunnels = _wrong_tunnels(cluster, formation, observed)
    marks = _wrong_marks(cluster, formation, observed)
    wrong = [*_unsteady(cluster, formation, silent), *tunnels, *marks]
    if wrong:
        raise UnsteadyClusterError(
            f"verifying {cluster.subject}",
            "; ".join(wrong),
            "Run `xops k3s plan`: it shows what an apply would fix.",
        )


def _unsteady(cluster: Cluster, formation: Topology, silent: tuple[str, ...]) -> Iterator[str]:
    if formation.nodes is None:
        yield "no server's API answers"
        return
    for member in formation.orphans:
        yield f"etcd has a member without a node: {member}"
    for host in cluster.hosts:
        if host.name in silent:
            continue
        if wrong := _wrong_with_node(cluster, host, formation.node(host)):
            yield f"{host.name} {wrong}"


def _wrong_with_node(cluster: Cluster, host: Host, node: NodeFacts | None) -> str | None:
    if node is None:
        return "is no node of the cluster"
    if not node.ready:
        return "is not Ready"
    if host.is_server and node.voter is not True:
        return "is no voter of etcd"
    if node.version != cluster.k3s.version:
        return f"runs {node.version}, not {cluster.k3s.version}"
    return None


def _wrong_marks(cluster: Cluster, formation: Topology, observed: Observation) -> Iterator[str]:
    """Nodes without a label or a taint that the file gives them, or with an earlier one."""
    for host in cluster.hosts:
        node, seen = formation.node(host), observed.facts.get(host.name)
        if node is not None and seen is not None:
            yield from (f"{host.name} {what}" for what in labels.missing(cluster, host, seen, node))


def _wrong_tunnels(cluster: Cluster, formation: Topology, observed: Observation) -> Iterator[str]:
    """Hosts whose packets of pods leave by another interface than that of their address."""
    for host in cluster.hosts if not cluster.spans_sites else ():
        node, seen = formation.node(host), observed.facts.get(host.name)
        if node is None or node.tunnel_address is None or seen is None:
            continue
        own = seen.interfaces.get(host.internal_address)
        taken = seen.interfaces.get(node.tunnel_address)
        if own and taken and own != taken:
            yield f"{host.name} sends packets of pods by {taken} ({node.tunnel_address}), not {own}"
