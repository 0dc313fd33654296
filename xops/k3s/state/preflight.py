"""What must be true of the hosts before anything is changed: rules over the facts of all. Pure.

Every finding of every host is given at once, each with the command that fixes it.
"""

from __future__ import annotations

import statistics
import textwrap
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

from xops.core.errors import PermanentError, TemporaryError, UnreachableError, XopsError
from xops.k3s import paths
from xops.k3s.cluster_file.choices import VipEndpoint
from xops.k3s.cluster_file.cluster import API_PORT, Cluster, Host
from xops.k3s.k3s_keys import HOW_TO_LEAVE
from xops.k3s.release.images import full_name
from xops.k3s.release.lock import Architecture
from xops.k3s.state import topology
from xops.k3s.state.facts import REMOVAL_NODE, HostFacts, NodeFacts
from xops.k3s.state.finding import Observation, PreflightFinding, Severity
from xops.k3s.state.host_rules import AGENT_PORTS, HOST_RULES, SERVER_PORTS
from xops.k3s.state.scope import ALL_HOSTS, Scope
from xops.k3s.state.topology import Topology

__all__ = [
    "HostsUnreachableError", "Observation", "PreflightError", "PreflightFinding", "Severity",
    "findings", "ports_to_try", "refuse",
]  # fmt: skip

_FAR_OFF = 3600.0
"""Seconds between the hosts' clocks and this machine's that are no want of synchronisation."""

_CLOSED = ("silent", "unreachable")


class _FindingsError(XopsError):
    """Findings that stand in the way; nothing was changed."""

    remedy_of_all: ClassVar[str]

    def __init__(self, subject: str, findings: list[PreflightFinding]) -> None:
        self.findings = findings
        super().__init__(f"preflight of {subject}", _listed(findings), self.remedy_of_all)

    def to_json(self) -> dict[str, object]:
        """As `XopsError.to_json`, with the findings as a list."""
        return {**super().to_json(), "findings": [found.to_json() for found in self.findings]}


class PreflightError(_FindingsError, PermanentError):
    """Something about the hosts must be fixed first; nothing was changed."""

    remedy_of_all = "Fix each and run it again; nothing was changed."


class HostsUnreachableError(_FindingsError, TemporaryError):
    """All that stands in the way is that hosts do not answer; nothing was changed."""

    remedy_of_all = "Run it again once they answer; nothing was changed."


def _listed(findings: list[PreflightFinding]) -> str:
    listed = "".join(f"\n{textwrap.indent(str(finding), '  ')}" for finding in findings)
    return f"{len(findings)} finding{'s' if len(findings) > 1 else ''}{listed}"


def findings(
    cluster: Cluster,
    observed: Observation,
    brought: Mapping[Architecture, Collection[str]] = {},
    scope: Scope = ALL_HOSTS,
) -> list[PreflightFinding]:
    """Everything that is wrong, errors first, in the file's order.

    What is wrong with a host that is out of scope stops nothing: it is a warning.

    Args:
        cluster: what its file says.
        observed: what the hosts say.
        brought: images that an apply brings besides K3S's own, in full.
        scope: the hosts that may be touched.
    """
    found = [
        finding for host in cluster.hosts for finding in _of_host(cluster, host, observed, scope)
    ]
    rules = (_clocks, _unique, _one_cluster, _one_etcd, _members_gone)
    found += [finding for rule in rules for finding in rule(cluster, observed)]
    found += _vip_image(cluster, observed, brought)
    if not any(host.name in observed.failed for host in cluster.servers):
        found += [*_agents_of_nobody(cluster, observed), *_vip_free(cluster, observed)]
    outside = set(scope.outside(cluster))
    found = [
        replace(finding, severity=Severity.WARNING) if finding.host in outside else finding
        for finding in found
    ]
    return sorted(found, key=lambda finding: finding.severity is not Severity.ERROR)


def _of_host(
    cluster: Cluster, host: Host, observed: Observation, scope: Scope
) -> Iterator[PreflightFinding]:
    if error := observed.failed.get(host.name):
        yield _not_looked_at(cluster, host, error, scope)
        return
    seen = observed.facts[host.name]
    for rule in HOST_RULES:
        yield from rule(cluster, host, seen)
    yield from _peers(cluster, host, observed)


def _not_looked_at(
    cluster: Cluster, host: Host, error: XopsError, scope: Scope
) -> PreflightFinding:
    found, remedy = f"{error.attempted}: {error.found}", error.remedy
    if scope.left_out(cluster, {host.name: error}):
        remedy = f"The others go on without it. {remedy}"
        return PreflightFinding(
            host.name, "ssh", f"left out: {found}", remedy, Severity.WARNING, temporary=True
        )
    return PreflightFinding(
        host.name, "ssh", found, remedy, temporary=isinstance(error, UnreachableError)
    )


def _peers(cluster: Cluster, host: Host, observed: Observation) -> Iterator[PreflightFinding]:
    answers = observed.reached.get(host.name, {})
    closed: dict[str, list[int]] = defaultdict(list)
    for (address, port), answer in sorted(answers.items()):
        if answer in _CLOSED and address != cluster.vip:
            closed[address].append(port)
    names = {other.address_for(host): other.name for other in cluster.hosts}
    for address, ports in closed.items():
        listed = ", ".join(map(str, ports))
        found = f"cannot reach {names.get(address, address)} ({address}) on {listed}"
        remedy = f"Let {host.name} in on {names.get(address, address)}: {_firewall(ports)}"
        yield PreflightFinding(host.name, "peers", found, remedy)


def _firewall(ports: list[int]) -> str:
    listed = ",".join(map(str, ports))
    rule = f"iptables -I INPUT -p tcp -m multiport --dports {listed} -j ACCEPT"
    return f"`{rule}`, or what your firewall has for it."


# Rules about the hosts together.


def _clocks(cluster: Cluster, observed: Observation) -> Iterator[PreflightFinding]:
    """Against each other, then all of them against this machine."""
    if not observed.offsets:
        return
    median = statistics.median(observed.offsets.values())
    limit = cluster.preflight.clock_skew_seconds
    remedy = "`timedatectl set-ntp true`, or `chronyc makestep`; certificates depend on it."
    for name, offset in observed.offsets.items():
        if abs(offset - median) > limit:
            found = f"is {offset - median:+.0f} s off the hosts' median; {limit:g} s are allowed"
            yield PreflightFinding(name, "clock", found, remedy)
    if abs(median) > limit:
        found = f"the hosts' clocks are {median:+.0f} s off this machine's: one of the two is wrong"
        severity = Severity.ERROR if abs(median) > _FAR_OFF else Severity.WARNING
        both = f"Compare `date -u` here and there, and set what is wrong: {remedy}"
        yield PreflightFinding(", ".join(observed.offsets), "clock", found, both, severity)


def _unique(cluster: Cluster, observed: Observation) -> Iterator[PreflightFinding]:
    """Machine ids. Equal hostnames do no harm: nodes are called as the file calls their hosts."""
    owner: dict[str, str] = {}
    for name, facts in observed.facts.items():
        found = facts.machine_id
        first = owner.setdefault(found, name)
        if found and first != name:
            message = f"{found} is also that of {first}"
            remedy = (
                "`rm /etc/machine-id; systemd-machine-id-setup`, then reboot: it was cloned on one"
                " of them."
            )
            yield PreflightFinding(name, "machine-id", message, remedy)


def _one_cluster(cluster: Cluster, observed: Observation) -> Iterator[PreflightFinding]:
    known = topology.cluster_ids(cluster, observed.facts)
    if len(known) < 2:
        return
    for identity, names in known.items():
        found = f"cluster {identity[:12]} is that of {', '.join(names)}; others are of another"
        yield PreflightFinding(names[0], "cluster", found, _merge_remedy(cluster, names, observed))


def _merge_remedy(cluster: Cluster, names: list[str], observed: Observation) -> str:
    """What to do with hosts of another cluster; nothing that takes data away that may count."""
    holders = [name for name in names if _holds_data(observed.facts[name])]
    if holders:
        return (
            "These are different clusters, and xOps merges none: take the hosts of one of them out"
            f" of the file. {', '.join(holders)} hold the data of this one. To have them in the"
            " other, first save what it holds (`k3s etcd-snapshot save`, its volumes), then stop"
            " K3S there and install the host anew."
        )
    return (
        "These are different clusters, and xOps merges none: take these hosts out of the file, or"
        " let them leave the other cluster: stop k3s-agent there, and move"
        f" {cluster.k3s.data_dir}/agent and /etc/rancher/node aside. Volumes of pods stay below"
        f" {cluster.k3s.data_dir}/storage."
    )


def _holds_data(seen: HostFacts) -> bool:
    """Whether the data of a cluster is on the host, in etcd or in a database of its own."""
    return seen.etcd_member or seen.datastore_file


def _one_etcd(cluster: Cluster, observed: Observation) -> Iterator[PreflightFinding]:
    """Servers of one cluster whose etcds are two, after a reset while the others lived."""
    told: dict[frozenset[str], list[str]] = defaultdict(list)
    for name, seen in observed.facts.items():
        if seen.members is not None:
            told[frozenset(member.id for member in seen.members)].append(name)
    for names in told.values() if len(told) > 1 else ():
        members = ", ".join(map(str, observed.facts[names[0]].members or ()))
        found = f"{', '.join(names)} name other members of etcd than other servers do: {members}"
        remedy = (
            "If a server is joining now, run it again in a minute. Else these are two clusters with"
            " one history: decide which one stays, and stop k3s on the servers of the other."
        )
        yield PreflightFinding(names[0], "etcd", found, remedy)


def _agents_of_nobody(cluster: Cluster, observed: Observation) -> Iterator[PreflightFinding]:
    """Agents that know a cluster of which no server is left: a new one would be another."""
    formation = topology.read(cluster, observed.facts)
    known = topology.cluster_ids(cluster, observed.facts)
    if formation.initialising_server is None or not known:
        return
    for names in known.values():
        found = f"{', '.join(names)} belong to a cluster of which no server here has data"
        remedy = (
            "If its servers live elsewhere, name them here. If their data is lost, restore a"
            " snapshot first. Only for a new cluster: stop K3S on these hosts and move"
            f" {cluster.k3s.data_dir} and /etc/rancher/node aside; volumes of pods are in it."
        )
        yield PreflightFinding(names[0], "cluster", found, remedy)


def _vip_free(cluster: Cluster, observed: Observation) -> Iterator[PreflightFinding]:
    address = cluster.vip
    if address is None or topology.read(cluster, observed.facts).members:
        return
    for host in cluster.servers:
        answer = observed.reached.get(host.name, {}).get((address, API_PORT), "unreachable")
        if answer in ("open", "refused"):
            found = f"{address} answers already ({answer}); it must be free"
            remedy = f"`ip neigh show {address}` tells whose it is: take another address."
            yield PreflightFinding(host.name, "vip", found, remedy)


def _vip_image(
    cluster: Cluster, observed: Observation, brought: Mapping[Architecture, Collection[str]]
) -> Iterator[PreflightFinding]:
    """kube-vip's image is not among K3S's own: in an air gap the bundle must have it besides."""
    if not isinstance(cluster.endpoint, VipEndpoint) or cluster.air_gap is None:
        return
    image = cluster.endpoint.image
    if {image.partition("/")[0], "*"} & cluster.registries.mirrors.keys():
        return
    for host in cluster.servers:
        seen = observed.facts.get(host.name)
        ours = f"{cluster.k3s.data_dir}/{paths.IMAGES}/xops-"
        if full_name(image) in brought.get(host.arch, ()):
            continue
        if seen is None or any(not path.startswith(ours) for path in seen.images):
            continue  # an archive of another hand may hold it
        found = (
            f"{image} is in no archive for {host.arch} that the lock has of {cluster.k3s.version}:"
            f" {cluster.vip} would answer nobody"
        )
        archive = f"kube-vip-{host.arch}.tar"
        remedy = (
            f"`docker pull --platform linux/{host.arch} {image}; docker save -o {archive} {image}`,"
            f" then `xops bundle lock --k3s {cluster.k3s.version} --images {archive}`, and build"
            f" the bundle with `--images {archive}`; or name a mirror that the hosts reach"
            " (registries.mirrors); or take endpoint.kind servers or dns."
        )
        yield PreflightFinding(host.name, "vip", found, remedy)


def _members_gone(cluster: Cluster, observed: Observation) -> Iterator[PreflightFinding]:
    """Nodes that are in the cluster, but not in the file."""
    listed = {host.name for host in cluster.hosts}
    formation = topology.read(cluster, observed.facts)
    for node in formation.nodes or ():
        if node.name not in listed and not node.name.startswith(REMOVAL_NODE):
            roles = ", ".join(sorted(node.roles)) or "agent"
            found = f"is a node of the cluster ({roles}), and not in the file"
            remedy = _unlisted_remedy(cluster, node, observed, formation)
            yield PreflightFinding(node.name, "unlisted", found, remedy, Severity.WARNING)


def _unlisted_remedy(
    cluster: Cluster, node: NodeFacts, observed: Observation, formation: Topology
) -> str:
    """How it comes into the file, or out of the cluster.

    With a server's node K3S removes its member of etcd, by the name that it has on its disk
    (pkg/etcd/member_controller.go): that is said only of a node that is down and not missed.
    """
    for host in cluster.hosts:
        seen = observed.facts.get(host.name)
        if node.address in {host.internal_address, *(seen.addresses if seen else ())}:
            return (
                f"It is {host.name}, which has this name in the cluster: write `name: {node.name}`."
                " Do not delete the node: K3S would remove the living host with it."
            )
    if node.ready:
        return f"Add it to the file: it is Ready. To have it out of the cluster: {HOW_TO_LEAVE}."
    if _is_missed(node, formation):
        return "Add it to the file, and bring it back: etcd may need it for its quorum."
    return (
        "Add it to the file and bring it back. If its machine is gone for good:"
        f" `k3s kubectl delete node {node.name}`."
    )


def _is_missed(node: NodeFacts, formation: Topology) -> bool:
    """Whether etcd may have no quorum without the node's member, or it is not known."""
    if not node.roles & {"control-plane", "etcd"} and node.voter is None:
        return False
    if formation.etcd is None or formation.nodes is None or formation.source is None:
        return True
    own = [each for each in formation.etcd if topology.node_of(each, formation.nodes) == node]
    return not own or not all(
        topology.keeps_quorum_without(each, formation.etcd, formation.nodes, formation.source)
        for each in own
    )


def ports_to_try(cluster: Cluster, host: Host) -> dict[str, tuple[int, ...]]:
    """Which ports of which addresses a host must reach; the VIP too, to see whether it is free.

    Agents speak to servers only; servers to each other and to every kubelet of their site. Those of
    other sites they reach through the connection that the agent has opened.
    """
    wanted: dict[str, tuple[int, ...]] = {}
    for other in cluster.hosts:
        if other is host:
            continue
        if other.is_server:
            wanted[other.address_for(host)] = SERVER_PORTS if host.is_server else (API_PORT,)
        elif host.is_server and other.site == host.site:
            wanted[other.internal_address] = AGENT_PORTS
    if host.is_server and cluster.vip:
        wanted[cluster.vip] = (API_PORT,)
    return wanted


def refuse(cluster: Cluster, found: list[PreflightFinding]) -> None:
    """Stop if there is an error among the findings.

    Raises:
        HostsUnreachableError: all errors are that hosts do not answer.
        PreflightError: with all errors.
    """
    errors = [finding for finding in found if finding.severity is Severity.ERROR]
    if errors and all(finding.temporary for finding in errors):
        raise HostsUnreachableError(cluster.subject, errors)
    if errors:
        raise PreflightError(cluster.subject, errors)
