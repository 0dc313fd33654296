"""What must be true of one host before anything is changed: rules over its facts. Pure."""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Callable, Iterator

from xops.k3s import paths
from xops.k3s.cluster_file.cluster import API_PORT, Cluster, Host
from xops.k3s.cluster_file.field_types import ip_address
from xops.k3s.k3s_keys import HOW_TO_LEAVE
from xops.k3s.release import behaviour
from xops.k3s.release.behaviour import order
from xops.k3s.state.facts import BACKEND_MODULES, HostFacts
from xops.k3s.state.finding import PreflightFinding, Severity

SERVER_PORTS = (API_PORT, 2379, 2380, 10250)
AGENT_PORTS = (10250,)


def _tools(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    for tool in sorted(seen.missing_tools):
        found = f"{tool} is not there: what it would tell of the host is unknown"
        remedy = (
            "Install it from the host's own packages (Alpine: `apk add bash coreutils iproute2`)."
        )
        yield PreflightFinding(host.name, "tools", found, remedy)


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
    """A busy machine is slow for a moment: between the limit and its double it is a warning."""
    limit, p99 = cluster.preflight.fsync_p99_ms, seen.fsync_p99_ms
    if host.is_server and p99 is not None and p99 > limit:
        found = (
            f"99 of 100 writes take up to {p99:.1f} ms to reach the disk (of {seen.fsync_writes}"
            f" that were timed); the limit is {limit:g} ms"
        )
        remedy = "Put the data on an SSD (k3s.data_dir), or make the host an agent."
        severity = Severity.ERROR if p99 > 2 * limit else Severity.WARNING
        yield PreflightFinding(host.name, "fsync", found, remedy, severity)
    if host.is_server and seen.untimed:
        found = "its `dd` does not tell how long a write takes: the disk was not timed"
        remedy = "Install coreutils there, or see to it that the disk is an SSD."
        yield PreflightFinding(host.name, "fsync", found, remedy, Severity.WARNING)


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
    if seen.noexec:
        found = f"{cluster.k3s.data_dir} is on a disk mounted with noexec; K3S runs programs there"
        remedy = "Mount it with exec (/etc/fstab), or choose another k3s.data_dir."
        yield PreflightFinding(host.name, "data", found, remedy)


def _cgroups(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    """What K3S wants of cgroups. Source: k3s-io/k3s, pkg/cgroups/cgroups_linux.go."""
    version = cluster.k3s.version
    if seen.cgroup_version == 1 and behaviour.refuses_cgroup_v1(version):
        found = f"has cgroup v1, with which the kubelet of {version} does not start"
        remedy = (
            "Boot it with cgroup v2 (`systemd.unified_cgroup_hierarchy=1` on the kernel's command"
            " line), update its system, or stay with K3S v1.34."
        )
        yield PreflightFinding(host.name, "cgroup", found, remedy)
    if seen.cgroup_version == 2 and seen.cgroup_controllers is not None:
        for name in sorted({"cpu", "cpuset"} - seen.cgroup_controllers):
            found = f"the {name} cgroup controller is not there; K3S would not start"
            remedy = (
                f"Let {name} be among /sys/fs/cgroup/cgroup.controllers: `cgroup_disable` on the"
                " kernel's command line takes it away; OpenRC needs `rc_cgroup_mode=unified`."
            )
            yield PreflightFinding(host.name, "cgroup", found, remedy)


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
        if seen.missing_modules & {*BACKEND_MODULES.get(cluster.networks.backend, ())}:
            remedy += " Or take another networks.backend."
        yield PreflightFinding(host.name, "modules", f"cannot be loaded: {names}", remedy)
    if seen.swap_mib:
        remedy = "`swapoff -a`, and take it out of /etc/fstab."
        found = f"{seen.swap_mib} MiB of swap are on; pods may then be slow without notice"
        yield PreflightFinding(host.name, "swap", found, remedy, Severity.WARNING)
    if seen.selinux == "enforcing" and not seen.selinux_policy:
        remedy = (
            "Install the package k3s-selinux of K3S's repository (rpm.rancher.io), or"
            " `setenforce 0` and SELINUX=permissive in /etc/selinux/config."
        )
        found = "SELinux enforces, and K3S's policy is not there: its programs would be denied"
        yield PreflightFinding(host.name, "selinux", found, remedy)
    if seen.iptables is None and not seen.has_k3s:
        remedy = "Nothing to do: K3S brings its own."
        yield PreflightFinding(host.name, "iptables", "is not installed", remedy, Severity.WARNING)


def _addresses(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    if "ip" in seen.missing_tools:
        return  # its addresses are unknown
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


def _networks(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    """The cluster's networks beside the host's; where K3S runs the routes to pods are its own.

    Of the families: k3s-io/k3s, pkg/agent/run.go.
    """
    internal = ip_address(host.internal_address)
    if isinstance(internal, ipaddress.IPv6Address):
        found = f"{internal} is of IPv6, and networks.cluster of IPv4; K3S would not start"
        remedy = "Set private_address to one of its IPv4 addresses."
        yield PreflightFinding(host.name, "networks", found, remedy)
    if seen.has_k3s:
        return
    for key in ("cluster", "service"):
        ours = ipaddress.IPv4Network(getattr(cluster.networks, key))
        remedy = f"Choose another networks.{key} before the first apply: it stays as it is born."
        for address in sorted(seen.addresses):
            if ip_address(address) in ours:
                found = f"its address {address} lies within networks.{key} ({ours})"
                yield PreflightFinding(host.name, "networks", found, remedy)
        yield from _routes(host, seen, ours, f"networks.{key} ({ours})", remedy)


def _routes(
    host: Host, seen: HostFacts, ours: ipaddress.IPv4Network, name: str, remedy: str
) -> Iterator[PreflightFinding]:
    """A route within a network of ours takes its packets; a wider one loses some of its own."""
    for route in seen.routes or ():
        theirs = ipaddress.ip_network(route.network)
        if route.is_default or theirs.version == 6 or not theirs.overlaps(ours):
            continue
        is_wider = theirs.prefixlen < ours.prefixlen
        found = f"its route to {theirs} by {route.interface} overlaps {name}"
        severity = Severity.WARNING if is_wider else Severity.ERROR
        yield PreflightFinding(host.name, "networks", found, remedy, severity)


_UDP_PORTS = {"vxlan": (8472,), "wireguard-native": (51820, 51821)}
"""Flannel's own. Source: k3s-io/docs, docs/installation/requirements.md, Networking."""


def _ports(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    if seen.has_k3s:
        return  # its own ports are in use by K3S itself
    wanted = {("tcp", port) for port in (SERVER_PORTS if host.is_server else AGENT_PORTS)}
    wanted |= {("udp", port) for port in _UDP_PORTS.get(cluster.networks.backend, ())}
    for kind, port in sorted(seen.listening & wanted):
        remedy = f"`ss -l{kind[0]}np 'sport = :{port}'` tells by whom: stop it."
        found = f"{port} ({kind}) is in use by another program"
        yield PreflightFinding(host.name, "ports", found, remedy)


def _additions(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    """What another hand adds to K3S's settings there."""
    if seen.dropins:
        found = f"{', '.join(seen.dropins)} lie over what xOps writes, and are not looked into"
        remedy = "Move what they say into the cluster file (k3s.config), or leave them knowingly."
        yield PreflightFinding(host.name, "dropins", found, remedy, Severity.WARNING)
    for file in sorted({row.partition(" in ")[2] for row in seen.proxies}):
        names = {row.partition(" in ")[0] for row in seen.proxies if row.endswith(f" in {file}")}
        if file.endswith(".service.env"):
            found = (
                f"{', '.join(sorted(names))} in {file}: the unit that xOps writes does not read it"
            )
            remedy = f"Move it to /etc/default/{paths.service(host)}."
            yield PreflightFinding(host.name, "proxy", found, remedy, Severity.WARNING)
        elif "NO_PROXY" not in names:
            found = f"{', '.join(sorted(names))} in {file} without NO_PROXY"
            remedy = (
                f"Set NO_PROXY there to {cluster.networks.cluster},{cluster.networks.service},"
                f".{cluster.networks.domain} and the hosts' addresses: K3S would ask the proxy for"
                " its own API."
            )
            yield PreflightFinding(host.name, "proxy", found, remedy, Severity.WARNING)


def _installed(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    if seen.version is not None:
        yield from _version(cluster, host, seen.version)
    if not host.is_server and seen.etcd_member:
        found = "holds etcd's data, the file says agent"
        remedy = f"Write `role: server`. To have an agent here it leaves first ({HOW_TO_LEAVE})."
        yield PreflightFinding(host.name, "role", found, remedy)


def _version(cluster: Cluster, host: Host, version: str) -> Iterator[PreflightFinding]:
    current, wanted = order(version), order(cluster.k3s.version)
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


def _image_cache(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    """K3S's own note of what it has imported, with releases that then take the pins off images."""
    cache = f"{cluster.k3s.data_dir}/{paths.IMAGE_CACHE}"
    if cache in seen.files and not behaviour.pins_images_again(cluster.k3s.version):
        found = f"with {cache}, {cluster.k3s.version} lets the kubelet delete imported images"
        remedy = f"`rm {cache}`: K3S then imports every archive at each start, and pins its images."
        yield PreflightFinding(host.name, "images", found, remedy, Severity.WARNING)


HOST_RULES: tuple[Callable[[Cluster, Host, HostFacts], Iterator[PreflightFinding]], ...] = (
    _tools, _architecture, _init, _size, _storage, _data_folder, _cgroups, _kernel, _addresses,
    _networks, _ports, _additions, _installed, _image_cache,
)  # fmt: skip
