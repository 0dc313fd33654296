"""What a cluster was born with, held against what its file says now. Pure.

A difference that K3S does not bring about on a node that lives is refused with what would have to
happen, and so is a host that is not what the file takes it for: of the other role, another
cluster's, on another datastore. A remedy here deletes nothing that may count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from xops.core.files.bounded_yaml import parse_yaml
from xops.core.files.reading import UnusableTextError
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.k3s_keys import HOW_TO_LEAVE
from xops.k3s.node import config, effects, hardening
from xops.k3s.node.effects import Effect, KeyDifference
from xops.k3s.node.managed_file import HEADER
from xops.k3s.state import topology
from xops.k3s.state.facts import HostFacts, NodeFacts
from xops.k3s.state.finding import Observation, PreflightFinding, Severity
from xops.k3s.state.topology import Topology

_FILE = "the cluster file"
"""Whose finding it is if no host can help it."""

_LATER = (Effect.FIXED, Effect.REJOIN)

_ELSEWHERE = ("data-dir", "datastore-endpoint")
"""Where a cluster may be of which the usual folders of the host show nothing."""


def findings(cluster: Cluster, observed: Observation) -> Iterator[PreflightFinding]:
    """All of it: what the file says wrong by itself, then hosts that are not what it takes them
    for, then keys that differ from what a living node was born with."""
    yield from of_the_file(cluster)
    formation = topology.read(cluster, observed.facts)
    for host in cluster.hosts:
        if seen := observed.facts.get(host.name):
            yield from _of_host(cluster, host, seen, formation)
    yield from _unseen_settings(cluster, observed)
    yield from _changed_keys(cluster, observed, formation)


# What no host is needed for


def of_the_file(cluster: Cluster) -> Iterator[PreflightFinding]:
    """Keys under k3s.config that K3S does not know, and arguments that lie over the profile's."""
    for key in cluster.k3s.config:
        yield from _spelling(key, cluster.k3s.version)
    if cluster.hardening.profile == "cis":
        for key, more in _of_the_profile(cluster).items():
            for own, other in effects.overridden(cluster.k3s.config.get(key), more):
                if own.removeprefix("--") != other:
                    yield _over_the_profile(key, own, other)


def _of_the_profile(cluster: Cluster) -> dict[str, list[str]]:
    values = hardening.server_config(cluster.k3s.data_dir)
    arguments = {key: value for key, value in values.items() if isinstance(value, list)}
    return {**arguments, "kubelet-arg": hardening.kubelet_arguments()}


def _over_the_profile(key: str, own: str, other: str) -> PreflightFinding:
    return PreflightFinding(
        _FILE,
        "overridden",
        f"k3s.config.{key} has {own}, which takes the place of the CIS profile's {other}",
        "Nothing, if that is meant; else take it out.",
        Severity.WARNING,
    )


def _spelling(key: str, version: str) -> Iterator[PreflightFinding]:
    known = effects.is_known(key, version)
    if known:
        return
    meant = effects.nearest(key)
    hint = f"Write {meant}, if that is meant" if meant else "Take it out"
    if known is None:
        found = f"k3s.config.{key} is no key of the releases that are known here, {version} is not"
        yield PreflightFinding(_FILE, "unknown key", found, f"{hint}.", Severity.WARNING)
        return
    found = f"k3s.config.{key} is no key of {version}: a server would skip it with a warning"
    remedy = f"{hint}; `k3s server --help` lists what this release knows."
    yield PreflightFinding(_FILE, "unknown key", found, remedy)


# Hosts that are not what the file takes them for


def _of_host(
    cluster: Cluster, host: Host, seen: HostFacts, formation: Topology
) -> Iterator[PreflightFinding]:
    yield from _role(host, seen, formation)
    yield from _elsewhere(host, seen, formation)
    yield from _other_datastore(cluster, host, seen)


def _role(host: Host, seen: HostFacts, formation: Topology) -> Iterator[PreflightFinding]:
    """An agent that the file takes for a server, and the reverse."""
    other = seen.other_service
    runs_other = other is not None and (other.enabled or not other.is_stopped)
    node = formation.node(host)
    if host.is_server and not seen.etcd_member and (runs_other or _is_agent(seen, node)):
        yield PreflightFinding(host.name, "role", "is an agent, the file says server", _PROMOTE)
    elif not host.is_server and runs_other and not seen.etcd_member:
        yield PreflightFinding(host.name, "role", "runs K3S as a server, not as an agent", _DEMOTE)


def _is_agent(seen: HostFacts, node: NodeFacts | None) -> bool:
    """Whether the host has joined, and its node is none with a control plane."""
    return seen.cluster_id is not None and node is not None and not node.roles & _SERVER_ROLES


_SERVER_ROLES = frozenset({"control-plane", "etcd", "master"})

_PROMOTE = (
    "Write `role: agent`. A node does not change its role: to have a server here, let it leave the"
    f" cluster as an agent first ({HOW_TO_LEAVE}), then install it anew."
)
_DEMOTE = (
    "Write `role: server`, or stop the service k3s there and disable it, once nothing on the host"
    " counts any more: a server without etcd may be the only one of its cluster."
)


def _elsewhere(host: Host, seen: HostFacts, formation: Topology) -> Iterator[PreflightFinding]:
    """A host without K3S whose node is Ready: another machine is that node."""
    node = formation.node(host)
    if node is None or not node.ready or seen.has_k3s or node.address is None:
        return
    if node.address not in {*seen.addresses, host.internal_address}:
        found = f"its node is Ready at {node.address}, and this host has no K3S: it is another one"
        remedy = (
            f"Give {host.name} the address of the machine that is the node, or another name. If"
            " that machine is gone, run it again when the node is no longer Ready."
        )
        yield PreflightFinding(host.name, "other machine", found, remedy)


def _other_datastore(cluster: Cluster, host: Host, seen: HostFacts) -> Iterator[PreflightFinding]:
    if not seen.datastore_file or seen.etcd_member:
        return
    database = f"{cluster.k3s.data_dir}/{paths.SQLITE}"
    found = f"holds a cluster in SQLite ({database}), and xOps runs clusters with embedded etcd"
    remedy = (
        f"Stop k3s and save {database} elsewhere. To keep that cluster, write `cluster-init: true`"
        f" into {paths.CONFIG} there and start k3s: it moves its content into etcd; then run it"
        " again. To have the host in another cluster: docs/runbooks/k3s-two-clusters.md."
    )
    yield PreflightFinding(host.name, "datastore", found, remedy)


def _unseen_settings(cluster: Cluster, observed: Observation) -> Iterator[PreflightFinding]:
    """Nodes whose settings are not, or not all, in a config.yaml that can be read.

    What all servers share is known as long as one of them says it.
    """
    nodes = [
        (host, seen)
        for host in cluster.hosts
        if (seen := observed.facts.get(host.name)) and _lives(host, seen)
    ]
    is_told = any(host.is_server and _on_host(seen) is not None for host, seen in nodes)
    severity = Severity.WARNING if is_told else Severity.ERROR
    for host, seen in nodes:
        if found := _unseen(host, seen):
            is_partly_seen = paths.CONFIG in seen.contents
            worst = Severity.WARNING if is_partly_seen else severity
            yield PreflightFinding(host.name, "settings", found, _LOOK, worst)


def _unseen(host: Host, seen: HostFacts) -> str | None:
    text, is_there = seen.contents.get(paths.CONFIG), paths.CONFIG in seen.files
    if text is None and is_there:
        return f"{paths.CONFIG} cannot be read: what the node was born with is unknown"
    if text is None and paths.unit(host, seen.init) in seen.files:
        return f"runs without {paths.CONFIG}: what the node was born with is unknown"
    if text is not None and not text.startswith(HEADER):
        return "was installed by another hand: what stands on its unit's command line is not seen"
    return None


_LOOK = (
    "Look at its command line (`systemctl cat k3s`), and write what is set there into"
    f" {paths.CONFIG} on the host, so that it can be compared with the file."
)


def _lives(host: Host, seen: HostFacts) -> bool:
    """Whether the host is a node of a cluster, in the role of the file."""
    return seen.etcd_member if host.is_server else seen.cluster_id is not None


# Keys of config.yaml


def _changed_keys(
    cluster: Cluster, observed: Observation, formation: Topology
) -> Iterator[PreflightFinding]:
    """One finding for each change, however many hosts have it."""
    hosts: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    told: dict[tuple[str, str, str], KeyDifference] = {}
    for host in cluster.hosts:
        if seen := observed.facts.get(host.name):
            for difference in changed(cluster, host, seen, formation):
                change = (difference.key, str(difference.before), str(difference.after))
                hosts[change].append(host.name)
                told[change] = difference
    for change, names in hosts.items():
        yield _changed_key(told[change], names)


def changed(
    cluster: Cluster, host: Host, seen: HostFacts, formation: Topology
) -> Iterator[KeyDifference]:
    """Keys that differ from what the host's config.yaml says, and that K3S does not change there.

    Of a host that is no node only that is compared behind which another life may be.
    """
    before = _on_host(seen)
    if before is None:
        return
    after = config.config(cluster, host, seen, formation)
    lives = _lives(host, seen)
    for difference in effects.differences(before, after, is_server=host.is_server):
        is_compared = lives or difference.key in _ELSEWHERE
        if difference.effect in _LATER and is_compared and not _is_same(difference, host, seen):
            yield difference


def _on_host(seen: HostFacts) -> Mapping[str, Any] | None:
    """What config.yaml says; None if there is none, or none that can be read."""
    try:
        values = parse_yaml(seen.contents.get(paths.CONFIG, ""))
    except UnusableTextError:
        return None
    return values if isinstance(values, dict) else None


def _is_same(difference: KeyDifference, host: Host, seen: HostFacts) -> bool:
    """Whether the node has that value without the key: K3S takes its name and address from the
    host, which cannot be known of a host with several."""
    if difference.before is not None:
        return False
    if difference.key == "node-name":
        return seen.hostname.lower() == host.name
    return difference.key == "node-ip" and _known_address(host, seen)


def _known_address(host: Host, seen: HostFacts) -> bool:
    internal = host.internal_address
    nodes = {node.name: node.address for node in seen.nodes or ()}
    if host.name in nodes:
        return nodes[host.name] == internal
    return seen.addresses == {internal}


def _changed_key(difference: KeyDifference, names: list[str]) -> PreflightFinding:
    key = effects.key_of(difference.key)
    where = f" ({key.field} in the file)" if key and key.field else ""
    before, after = (_shown(value) for value in (difference.before, difference.after))
    found = (
        f"{difference.key}{where} is {before} on {', '.join(names)}, and would become {after}:"
        f" {difference.reason}"
    )
    instead = key.instead if key else ""
    remedy = instead or "Write the old value back: what these hosts hold was made with it."
    return PreflightFinding(names[0], difference.effect.value, found, remedy)


def _shown(value: Any) -> str:
    if value is None:
        return "what K3S takes by itself"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
