"""What an apply has brought about, seen from outside: nodes, pods at work, the API, hardening."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from xops.core.errors import PermanentError
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.node import labels
from xops.k3s.node.hardening import Control
from xops.k3s.node.hardening import report as report_hardening
from xops.k3s.operations import kubeconfig, tokens
from xops.k3s.ssh.transport_protocol import Connector
from xops.k3s.state import effects, topology
from xops.k3s.state.ask import Patience, ask_cluster
from xops.k3s.state.collect import collect_facts, connect_hosts
from xops.k3s.state.effects import Effects
from xops.k3s.state.facts import HostFacts, NodeFacts
from xops.k3s.state.finding import Observation
from xops.k3s.state.scope import ALL_HOSTS, Scope
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
        out_of_scope: hosts of which nothing was asked.
        effects: what was seen at work: versions, the network of pods, CoreDNS, the VIP.
    """

    nodes: tuple[NodeFacts, ...]
    endpoint: kubeconfig.Answer
    kubeconfig: str
    unmet: tuple[Control, ...] = ()
    ssh_requests: Mapping[str, int] | None = None
    profile: str = "cis"
    left_out: tuple[str, ...] = ()
    out_of_scope: tuple[str, ...] = ()
    effects: Mapping[str, str] = field(default_factory=dict)

    @property
    def _hardened(self) -> str:
        return "no profile" if self.profile == "none" else "every rule of the profile holds"

    def rows(self) -> dict[str, str]:
        """As a person reads it."""
        unmet = [f"{control.host}: {control.rule}: {control.found}" for control in self.unmet]
        return {
            **{f"node {node.name}": describe_node(node) for node in self.nodes},
            **dict.fromkeys((f"left out {name}" for name in self.left_out), "does not answer"),
            **dict.fromkeys((f"out of scope {name}" for name in self.out_of_scope), "not asked"),
            **self.effects,
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
    cluster: Cluster,
    connector: Connector,
    patience: Patience,
    report: Callable[[str], None] = lambda _: None,
    scope: Scope = ALL_HOSTS,
    *,
    observed: Observation | None = None,
) -> ClusterVerification:
    """Look at the nodes, what runs on them, the API at its address and the hardening; write the
    kubeconfig.

    Args:
        cluster: its file.
        connector: the way to its hosts.
        patience: how long what comes up after the nodes is waited for.
        report: is told what is looked at.
        scope: hosts of which something is asked for; of the others nothing is.
        observed: what was seen a moment ago, and nothing was done since; else facts are read.

    Raises:
        UnsteadyClusterError: a node is missing, not Ready, no voter, of another version, or has
            other labels or taints than the file gives it; or something has not taken effect, as
            `xops.k3s.state.effects` says.
        UnreachableError: a host that answered a moment ago does not any more.
    """
    async with connect_hosts(cluster, connector) as hosts:
        before = observed.ssh_requests if observed else {}
        if observed is None:
            observed = await collect_facts(cluster, hosts, probe_disk=False, peers=False)
        for error in (error for name, error in hosts.failed.items() if name in observed.facts):
            raise error
        formation = topology.read(cluster, observed.facts)
        outside = scope.outside(cluster)
        failed = scope.left_out(cluster, observed.failed)
        silent = tuple(name for name in failed if name not in outside)
        unasked = {*silent, *outside}
        facts = {name: seen for name, seen in observed.facts.items() if name not in unasked}
        _refuse_unsteady(cluster, formation, facts, unasked)
        file = await kubeconfig.keep(cluster, hosts, formation)
        if formation.cluster_id:
            tokens.pin_cluster(cluster.secrets_folder, formation.cluster_id)
        seen = await ask_cluster(cluster, hosts, formation, list(facts), patience, report)
        _refuse_ineffective(cluster, formation, facts, seen)
        now = hosts.ssh_requests()
        requests = {name: now.get(name, 0) + before.get(name, 0) for name in {**before, **now}}
    answer = await kubeconfig.ask(cluster.endpoint_url(), file)
    controls = report_hardening(cluster, facts)
    return ClusterVerification(
        nodes=formation.nodes or (),
        endpoint=answer,
        kubeconfig=str(file),
        unmet=tuple(control for control in controls if control.met is not True),
        ssh_requests=requests,
        profile=cluster.hardening.profile,
        left_out=silent,
        out_of_scope=outside,
        effects=effects.rows(cluster, formation, facts, seen),
    )


def _refuse_ineffective(
    cluster: Cluster, formation: Topology, facts: Mapping[str, HostFacts], seen: Effects
) -> None:
    for error in seen.failed.values():
        raise error
    if wrong := effects.ineffective(cluster, formation, facts, seen):
        raise UnsteadyClusterError(
            f"verifying {cluster.subject}",
            "; ".join(each.found for each in wrong),
            " ".join(dict.fromkeys(each.remedy for each in wrong)),
        )


def _refuse_unsteady(
    cluster: Cluster,
    formation: Topology,
    facts: Mapping[str, HostFacts],
    unasked: Collection[str],
) -> None:
    """Raise what is wrong with nodes, but for hosts of which nothing is asked."""
    marks = _wrong_marks(cluster, formation, facts)
    wrong = [*_unsteady(cluster, formation, unasked), *marks]
    if wrong:
        raise UnsteadyClusterError(
            f"verifying {cluster.subject}",
            "; ".join(wrong),
            "Run `xops k3s plan`: it shows what an apply would fix.",
        )


def _unsteady(cluster: Cluster, formation: Topology, unasked: Collection[str]) -> Iterator[str]:
    if formation.nodes is None:
        yield "no server's API answers"
        return
    for member in formation.orphans:
        yield f"etcd has a member without a node: {member}"
    for host in cluster.hosts:
        if host.name in unasked:
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


def _wrong_marks(
    cluster: Cluster, formation: Topology, facts: Mapping[str, HostFacts]
) -> Iterator[str]:
    """Nodes without a label or a taint that the file gives them, or with an earlier one."""
    for host in cluster.hosts:
        node, seen = formation.node(host), facts.get(host.name)
        if node is not None and seen is not None:
            yield from (f"{host.name} {what}" for what in labels.missing(cluster, host, seen, node))
