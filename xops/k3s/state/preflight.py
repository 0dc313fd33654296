"""What must be true of the hosts before anything is changed: rules over the facts of all. Pure.

Every finding of every host is given at once, each with the command that fixes it.
"""

from __future__ import annotations

import difflib
import statistics
import textwrap
from collections import defaultdict
from collections.abc import Iterator

from xops.core.errors import PermanentError
from xops.k3s import paths
from xops.k3s.cluster_file.choices import VipEndpoint
from xops.k3s.cluster_file.cluster import API_PORT, Cluster, Host
from xops.k3s.release.source_facts import source_facts
from xops.k3s.state import topology
from xops.k3s.state.finding import Observation, PreflightFinding, Severity
from xops.k3s.state.host_rules import AGENT_PORTS, HOST_RULES, SERVER_PORTS

__all__ = [
    "Observation", "PreflightError", "PreflightFinding", "Severity", "findings", "ports_to_try",
    "refuse",
]  # fmt: skip

_FAR_OFF = 3600.0
"""Seconds between the hosts' clocks and this machine's that are no want of synchronisation."""

_CLOSED = ("silent", "unreachable")


class PreflightError(PermanentError):
    """Something about the hosts must be fixed first; nothing was changed."""

    def __init__(self, subject: str, findings: list[PreflightFinding]) -> None:
        self.findings = findings
        listed = "".join(f"\n{textwrap.indent(str(finding), '  ')}" for finding in findings)
        super().__init__(
            f"preflight of {subject}",
            f"{len(findings)} finding{'s' if len(findings) > 1 else ''}{listed}",
            "Fix each and run it again; nothing was changed.",
        )

    def to_json(self) -> dict[str, object]:
        """As `XopsError.to_json`, with the findings as a list."""
        return {**super().to_json(), "findings": [found.to_json() for found in self.findings]}


def findings(cluster: Cluster, observed: Observation) -> list[PreflightFinding]:
    """Everything that is wrong, errors first, in the file's order."""
    found = [finding for host in cluster.hosts for finding in _of_host(cluster, host, observed)]
    rules = (_settings, _clocks, _unique, _one_cluster, _one_etcd, _members_gone, _vip_image)
    found += [finding for rule in rules for finding in rule(cluster, observed)]
    if not observed.failed:
        found += [*_agents_of_nobody(cluster, observed), *_vip_free(cluster, observed)]
    return sorted(found, key=lambda finding: finding.severity is not Severity.ERROR)


def _of_host(cluster: Cluster, host: Host, observed: Observation) -> Iterator[PreflightFinding]:
    if error := observed.failed.get(host.name):
        yield PreflightFinding(host.name, "ssh", f"{error.attempted}: {error.found}", error.remedy)
        return
    seen = observed.facts[host.name]
    for rule in HOST_RULES:
        yield from rule(cluster, host, seen)
    yield from _peers(cluster, host, observed)


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


def _settings(cluster: Cluster, observed: Observation) -> Iterator[PreflightFinding]:
    """Keys that the wanted release does not know: K3S says so in its log and goes on without."""
    known = source_facts().get(cluster.k3s.version)
    for key in cluster.k3s.config if known else ():
        name = key.rstrip("+")
        if known and name not in known.keys:
            near = difflib.get_close_matches(name, known.keys, n=1)
            found = f"k3s.config has {name}, which {cluster.k3s.version} does not know"
            meant = f"Did you mean {near[0]}? Else take" if near else "Take"
            remedy = f"{meant} it out: K3S would skip it."
            yield PreflightFinding("the cluster file", "settings", found, remedy)


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
        remedy = (
            "These are different clusters, and xOps merges none. On the hosts that shall join the"
            " other one: `systemctl disable --now k3s k3s-agent; rm -rf"
            f" {cluster.k3s.data_dir} /etc/rancher`. That loses what is only there."
        )
        yield PreflightFinding(names[0], "cluster", found, remedy)


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
            f" snapshot first; a new cluster needs `rm -rf {cluster.k3s.data_dir}` on these hosts."
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


def _vip_image(cluster: Cluster, observed: Observation) -> Iterator[PreflightFinding]:
    """kube-vip's image is not among K3S's own: in an air gap somebody must bring it."""
    if not isinstance(cluster.endpoint, VipEndpoint) or cluster.air_gap is None:
        return
    image = cluster.endpoint.image
    if {image.partition("/")[0], "*"} & cluster.registries.mirrors.keys():
        return
    for host in cluster.servers:
        seen = observed.facts.get(host.name)
        ours = f"{cluster.k3s.data_dir}/{paths.IMAGES}/xops-"
        if seen is None or any(not path.startswith(ours) for path in seen.images):
            continue  # an archive of another hand may hold it
        found = f"{image} is in no archive of K3S's: {cluster.vip} would answer nobody"
        remedy = (
            f"`docker save -o kube-vip.tar {image}`, and put it into"
            f" {cluster.k3s.data_dir}/{paths.IMAGES} on every server; or name a mirror that the"
            " hosts reach (registries.mirrors); or take endpoint.kind servers or dns."
        )
        yield PreflightFinding(host.name, "vip", found, remedy)


def _members_gone(cluster: Cluster, observed: Observation) -> Iterator[PreflightFinding]:
    """Nodes with etcd that are in the cluster, but not in the file."""
    listed = {host.name for host in cluster.hosts}
    for node in topology.read(cluster, observed.facts).nodes or ():
        if node.name not in listed:
            roles = ", ".join(sorted(node.roles)) or "agent"
            found = f"is a node of the cluster ({roles}), and not in the file"
            remedy = f"Add it to the file, or remove it: `k3s kubectl delete node {node.name}`."
            yield PreflightFinding(node.name, "unlisted", found, remedy, Severity.WARNING)


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
        PreflightError: with all errors.
    """
    errors = [finding for finding in found if finding.severity is Severity.ERROR]
    if errors:
        raise PreflightError(cluster.subject, errors)
