"""What must be true of the hosts before anything is changed: rules over the facts of all. Pure.

Every finding of every host is given at once, each with the command that fixes it.
"""

from __future__ import annotations

import re
import shlex
import statistics
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from xops.core.errors import PermanentError, TemporaryError, UnreachableError, XopsError
from xops.k3s.cluster_file.cluster import API_PORT, Cluster, Host
from xops.k3s.cluster_file.field_types import ip_address
from xops.k3s.state import topology
from xops.k3s.state.facts import HostFacts

SERVER_PORTS = (API_PORT, 2379, 2380, 10250)
AGENT_PORTS = (10250,)

_CLOSED = ("silent", "unreachable")
_RELEASE = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:\+k3s(\d+))?")


class Severity(StrEnum):
    """Whether a finding stops the apply."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class PreflightFinding:
    """One thing wrong with one host (or with the hosts together), and how to fix it.

    Attributes:
        temporary: whether it may be over when it is looked at again.
    """

    host: str
    check: str
    found: str
    remedy: str
    severity: Severity = Severity.ERROR
    temporary: bool = False

    def __str__(self) -> str:
        return f"{self.host}: {self.check}: {self.found}\n  -> {self.remedy}"

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        return asdict(self)


class PreflightError(PermanentError):
    """Something about the hosts must be fixed first; nothing was changed."""

    def __init__(self, subject: str, findings: list[PreflightFinding]) -> None:
        self.findings = findings
        remedy = "Fix each and run it again; nothing was changed."
        super().__init__(f"preflight of {subject}", _listed(findings), remedy)

    def to_json(self) -> dict[str, object]:
        """As `XopsError.to_json`, with the findings as a list."""
        return {**super().to_json(), "findings": [found.to_json() for found in self.findings]}


class HostsUnreachableError(TemporaryError):
    """All that stands in the way is that hosts do not answer; nothing was changed."""

    def __init__(self, subject: str, findings: list[PreflightFinding]) -> None:
        self.findings = findings
        remedy = "Run it again once they answer; nothing was changed."
        super().__init__(f"preflight of {subject}", _listed(findings), remedy)

    def to_json(self) -> dict[str, object]:
        """As `PreflightError.to_json`."""
        return {**super().to_json(), "findings": [found.to_json() for found in self.findings]}


def _listed(findings: list[PreflightFinding]) -> str:
    listed = "".join(f"\n{textwrap.indent(str(finding), '  ')}" for finding in findings)
    return f"{len(findings)} finding{'s' if len(findings) > 1 else ''}{listed}"


@dataclass(frozen=True)
class Observation:
    """All that preflight looks at.

    Attributes:
        facts: of every host, by name.
        offsets: each host's clock against this machine's, in seconds.
        reached: how each host's peers answered, by host, then by address and port.
        failed: why a host could not be looked at; it is in none of the others.
    """

    facts: Mapping[str, HostFacts]
    offsets: Mapping[str, float]
    reached: Mapping[str, Mapping[tuple[str, int], str]]
    failed: Mapping[str, XopsError] = field(default_factory=dict)


def findings(cluster: Cluster, observed: Observation) -> list[PreflightFinding]:
    """Everything that is wrong, errors first, in the file's order."""
    found = [finding for host in cluster.hosts for finding in _of_host(cluster, host, observed)]
    rules = (_absent, _clocks, _unique, _one_cluster, _one_etcd, _members_gone)
    found += [finding for rule in rules for finding in rule(cluster, observed)]
    if set(observed.failed) <= set(left_out(cluster, observed.failed)):
        found += [*_agents_of_nobody(cluster, observed), *_vip_free(cluster, observed)]
    return sorted(found, key=lambda finding: finding.severity is not Severity.ERROR)


def _of_host(cluster: Cluster, host: Host, observed: Observation) -> Iterator[PreflightFinding]:
    if error := observed.failed.get(host.name):
        yield _not_looked_at(cluster, host, error)
        return
    seen = observed.facts[host.name]
    for rule in _PER_HOST:
        yield from rule(cluster, host, seen)
    yield from _peers(cluster, host, observed)


def left_out(cluster: Cluster, failed: Mapping[str, XopsError]) -> tuple[str, ...]:
    """The agents that do not answer: the cluster does not wait for them, as it does for servers."""
    agents = {host.name for host in cluster.hosts if not host.is_server}
    unreachable = (name for name, error in failed.items() if isinstance(error, UnreachableError))
    return tuple(name for name in unreachable if name in agents)


def _not_looked_at(cluster: Cluster, host: Host, error: XopsError) -> PreflightFinding:
    found, remedy = f"{error.attempted}: {error.found}", error.remedy
    if left_out(cluster, {host.name: error}):
        remedy = f"The others go on without it. {remedy}"
        return PreflightFinding(
            host.name, "ssh", f"left out: {found}", remedy, Severity.WARNING, temporary=True
        )
    return PreflightFinding(
        host.name, "ssh", found, remedy, temporary=isinstance(error, UnreachableError)
    )


# Rules about one host.


def _architecture(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    if seen.arch != host.arch:
        remedy = f"Write `arch: {seen.arch}` for {host.name} in the cluster file."
        if seen.arch not in ("amd64", "arm64"):
            remedy = "K3S is installed here on amd64 and arm64 only: take another machine."
        yield PreflightFinding(
            host.name, "arch", f"is {seen.arch}, the file says {host.arch}", remedy
        )


def _init(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    if seen.init not in ("systemd", "openrc"):
        remedy = "Boot the host with systemd or OpenRC."
        yield PreflightFinding(
            host.name, "init", f"runs neither systemd nor OpenRC: {seen.init}", remedy
        )


def _size(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    least = cluster.preflight
    severity = Severity.ERROR if host.is_server else Severity.WARNING
    if seen.cpus < least.min_cpus and host.is_server:
        found = f"has {seen.cpus}, a server needs {least.min_cpus}"
        yield PreflightFinding(
            host.name, "cpus", found, "Give it more, or make it an agent.", severity
        )
    if seen.memory_mib < least.min_memory_mib and host.is_server:
        found = f"has {seen.memory_mib} MiB, a server needs {least.min_memory_mib}"
        yield PreflightFinding(
            host.name, "memory", found, "Give it more, or make it an agent.", severity
        )
    if seen.disk_free_gib < least.min_disk_gib and not seen.has_k3s:
        found = f"{seen.disk_free_gib:.1f} GiB are free below {cluster.k3s.data_dir}"
        remedy = f"Free {least.min_disk_gib} GiB: `du -xhd1 / | sort -h` shows what is large."
        yield PreflightFinding(host.name, "disk", found, remedy, severity)


def _storage(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    limit, p99 = cluster.preflight.fsync_p99_ms, seen.fsync_p99_ms
    if host.is_server and p99 is not None and p99 > limit:
        found = (
            f"99 of 100 writes take up to {p99:.1f} ms to reach the disk; the limit is {limit:g} ms"
        )
        remedy = "Put the data on an SSD (k3s.data_dir), or make the host an agent."
        yield PreflightFinding(host.name, "fsync", found, remedy)


def _data_folder(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    severity = Severity.WARNING if seen.has_k3s else Severity.ERROR
    for folder in seen.exposed:
        found = (
            f"others than root may write to {folder}, on the way to {cluster.k3s.data_dir}: they"
            " could put their own files in the place of K3S's; the disk was not timed"
        )
        shown = shlex.quote(folder)
        remedy = f"`chown root:root {shown}; chmod go-w {shown}`, or choose another k3s.data_dir."
        yield PreflightFinding(host.name, "data", found, remedy, severity)


def _kernel(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    if not seen.memory_cgroup:
        remedy = (
            "Add `cgroup_memory=1 cgroup_enable=memory` to the kernel's command line (on a"
            " Raspberry Pi: /boot/firmware/cmdline.txt) and reboot."
        )
        yield PreflightFinding(
            host.name, "cgroup", "the memory cgroup controller is disabled", remedy
        )
    if seen.missing_modules:
        names = " ".join(sorted(seen.missing_modules))
        remedy = (
            f"`modprobe -a {names}`; on RHEL install kernel-modules-extra, on a Raspberry Pi"
            " linux-modules-extra-raspi."
        )
        yield PreflightFinding(host.name, "modules", f"cannot be loaded: {names}", remedy)
    if seen.swap_mib:
        remedy = "`swapoff -a`, and take it out of /etc/fstab."
        found = f"{seen.swap_mib} MiB of swap are on; pods may then be slow without notice"
        yield PreflightFinding(host.name, "swap", found, remedy, Severity.WARNING)
    if seen.iptables is None and not seen.has_k3s:
        remedy = "Nothing to do: K3S brings its own."
        yield PreflightFinding(host.name, "iptables", "is not installed", remedy, Severity.WARNING)


def _addresses(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    if not seen.default_route:
        remedy = (
            "`ip link add dummy0 type dummy; ip link set dummy0 up; ip addr add 203.0.113.254/31"
            " dev dummy0; ip route add default via 203.0.113.255 dev dummy0 metric 1000`"
        )
        yield PreflightFinding(
            host.name, "route", "has no default route; K3S would not start", remedy
        )
    internal = host.internal_address
    if ip_address(internal) and internal not in seen.addresses:
        found = f"{internal} is not among its addresses: {', '.join(sorted(seen.addresses))}"
        yield PreflightFinding(host.name, "address", found, "Set private_address to one of them.")


def _ports(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    if seen.has_k3s:
        return  # its own ports are in use by K3S itself
    wanted = SERVER_PORTS if host.is_server else AGENT_PORTS
    taken = sorted({port for kind, port in seen.listening if kind == "tcp" and port in wanted})
    for port in taken:
        remedy = f"`ss -ltnp 'sport = :{port}'` tells by whom: stop it."
        yield PreflightFinding(host.name, "ports", f"{port} is in use by another program", remedy)


def _installed(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    if seen.version is not None:
        yield from _version(cluster, host, seen.version)
    if not host.is_server and seen.etcd_member:
        found = "holds etcd's data, the file says agent"
        yield PreflightFinding(
            host.name, "role", found, "Write `role: server`, or remove the node first."
        )


def _version(cluster: Cluster, host: Host, version: str) -> Iterator[PreflightFinding]:
    current, wanted = _order(version), _order(cluster.k3s.version)
    found = remedy = ""
    if not current:
        found, remedy = f"{version} is no release of K3S", "Install a release there first."
    elif current > wanted:
        found = f"runs {version}, the file says {cluster.k3s.version}"
        remedy = f"K3S cannot go back: write `version: {version}`, or restore a snapshot."
    elif wanted[1] > current[1] + 1:
        found = f"runs {version}; {cluster.k3s.version} skips a minor version"
        remedy = f"Go to v1.{current[1] + 1} first."
    if found:
        yield PreflightFinding(host.name, "version", found, remedy)


def _order(version: str) -> tuple[int, ...]:
    """Major, minor, patch, and K3S's own number; empty for what is no release."""
    numbers = _RELEASE.match(version)
    return tuple(int(number) for number in numbers.groups("0")) if numbers else ()


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


_PER_HOST: tuple[Callable[[Cluster, Host, HostFacts], Iterator[PreflightFinding]], ...] = (
    _architecture, _init, _size, _storage, _data_folder, _kernel, _addresses, _ports, _installed,
)  # fmt: skip


# Rules about the hosts together.


def _absent(cluster: Cluster, observed: Observation) -> Iterator[PreflightFinding]:
    """No operation takes a host out yet, and none may be done to one that shall go."""
    for host in cluster.absent_hosts:
        found = "shall be taken out of the cluster, which xOps cannot do yet"
        remedy = f"Write `absent: false` for {host.name} until it can."
        yield PreflightFinding(host.name, "absent", found, remedy)


def _clocks(cluster: Cluster, observed: Observation) -> Iterator[PreflightFinding]:
    if not observed.offsets:
        return
    median = statistics.median(observed.offsets.values())
    limit = cluster.preflight.clock_skew_seconds
    for name, offset in observed.offsets.items():
        if abs(offset - median) > limit:
            found = f"is {offset - median:+.0f} s off the hosts' median; {limit:g} s are allowed"
            remedy = "`timedatectl set-ntp true`, or `chronyc makestep`; certificates depend on it."
            yield PreflightFinding(name, "clock", found, remedy)


def _unique(cluster: Cluster, observed: Observation) -> Iterator[PreflightFinding]:
    kinds: tuple[tuple[str, Callable[[HostFacts], str], str], ...] = (
        ("hostname", lambda seen: seen.hostname, "`hostnamectl set-hostname NAME`"),
        (
            "machine-id",
            lambda seen: seen.machine_id,
            "`rm /etc/machine-id; systemd-machine-id-setup`, then reboot: it was cloned",
        ),
    )
    for check, value, remedy in kinds:
        owner: dict[str, str] = {}
        for name, facts in observed.facts.items():
            found = value(facts)
            first = owner.setdefault(found, name)
            if found and first != name:
                message = f"{found} is also that of {first}"
                yield PreflightFinding(name, check, message, f"{remedy} on one of them.")


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
        HostsUnreachableError: all errors are that hosts do not answer.
        PreflightError: with all errors.
    """
    errors = [finding for finding in found if finding.severity is Severity.ERROR]
    if errors and all(finding.temporary for finding in errors):
        raise HostsUnreachableError(cluster.subject, errors)
    if errors:
        raise PreflightError(cluster.subject, errors)
