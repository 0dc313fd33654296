"""From facts to a plan: every host compared with the cluster file, and what is done about it. Pure.

The plan's rows are those of its operations, in the order in which they are done. Facts end here:
what an apply needs stands in the operations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from xops.core.plan.model import Plan
from xops.core.plan.values import Json
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.operations.compare import Comparison, Desired, HostDifference
from xops.k3s.operations.host_operations import CLUSTER_TOKENS, HostOperations
from xops.k3s.operations.operation import Operation, Stage, Turn
from xops.k3s.operations.quorum import Voters
from xops.k3s.operations.sequence import put_in_turns
from xops.k3s.state import topology
from xops.k3s.state.facts import HostFacts
from xops.k3s.state.scope import ALL_HOSTS, Scope
from xops.k3s.state.topology import Topology

TARGET = "hosts"
"""Where a plan of this step works: on hosts over SSH."""

LEFT_OUT = "left out: "
"""What the inputs of a plan begin with that name a host about which nothing is known."""

ONLY = "only these hosts"
"""The input of a plan that says its scope, where it is not all hosts."""

_UNKNOWN_MARKS = "no server's API answers: which labels and taints the nodes have is unknown"


@dataclass(frozen=True)
class K3sPlan:
    """The plan as people see it, and the turns in which an apply goes through it.

    Attributes:
        plan: its rows are those of the operations, in the same order.
        turns: the operations.
        hosts: what differs on each host that was looked at.
        topology: the cluster as the facts show it.
        made: fingerprints of tokens, by what a plan calls them before they are made.
    """

    plan: Plan
    turns: tuple[Turn, ...]
    hosts: tuple[HostDifference, ...]
    topology: Topology
    made: Mapping[str, tuple[Json, ...]] = field(default_factory=dict)

    def explains(self, references: tuple[str, ...], value: Json) -> bool:
        """Whether a token is one that an apply has made since."""
        return any(value in self.made.get(reference, ()) for reference in references)

    def of(self, host: Host) -> HostDifference:
        """What differs on one host."""
        return next(part for part in self.hosts if part.host == host)

    def of_stage(self, stage: Stage) -> tuple[Turn, ...]:
        """The turns of one stage."""
        return tuple(turn for turn in self.turns if turn.stage is stage)

    def operations(self) -> Iterator[Operation]:
        """All of them, in their order."""
        return (operation for turn in self.turns for operation in turn.operations)


def plan_cluster(
    cluster: Cluster,
    facts: Mapping[str, HostFacts],
    desired: Desired,
    scope: Scope = ALL_HOSTS,
) -> K3sPlan:
    """Compare every host in scope with what the cluster file says, and put what follows in order.

    A host without facts is left out. That is an input of the plan: once it answers, another plan.

    Args:
        cluster: its file.
        facts: of the hosts that answer.
        desired: what they shall have beyond the file.
        scope: the hosts on which something may be done.

    Raises:
        QuorumError: an operation would take the cluster's quorum away, or needs it and has none.
    """
    formation = topology.read(cluster, facts)
    compared = [
        Comparison(cluster, host, facts[host.name], formation, desired)
        for host in cluster.hosts
        if host.name in facts and host in scope
    ]
    hosts = [HostOperations(each, each.difference()) for each in compared]
    voters = Voters.of(formation)
    orphans = () if scope.names else formation.orphans
    turns = put_in_turns(hosts, orphans, voters)
    voters.go_through(turns)
    changes = tuple(operation.change for turn in turns for operation in turn.operations)
    given = {**desired.inputs, **dict(_addresses(cluster))} if changes else {}
    plan = Plan(
        subject=cluster.subject,
        target=TARGET,
        changes=changes,
        inputs={**given, **dict(_left_out(cluster, facts)), **dict(_scope(scope))},
        key=desired.key.id,
        warnings=(_UNKNOWN_MARKS,) if formation.members and formation.nodes is None else (),
    )
    hide, kept = desired.key.hide, desired.tokens
    made = {CLUSTER_TOKENS: (hide(kept.server), hide(kept.agent))} if kept else {}
    return K3sPlan(plan, turns, tuple(each.part for each in hosts), formation, made)


def _left_out(cluster: Cluster, facts: Mapping[str, HostFacts]) -> Iterator[tuple[str, str]]:
    names = (host.name for host in cluster.hosts if host.name not in facts)
    return ((f"{LEFT_OUT}{name}", "no answer") for name in names)


def _scope(scope: Scope) -> Iterator[tuple[str, str]]:
    if scope.names:
        yield ONLY, ", ".join(sorted(scope.names))


def _addresses(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Where each host is reached: the same work at another address is another plan."""
    for host in cluster.hosts:
        port, bastion = host.port or cluster.ssh.port, host.bastion or cluster.ssh.bastion
        at = f"{host.address} port {port}" if port else host.address
        yield f"address of {host.name}", f"{at} through {bastion}" if bastion else at
