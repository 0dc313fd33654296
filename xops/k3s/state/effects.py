"""What of an apply has not taken effect, though every file is right and every node Ready. Pure.

A file can be right and nothing of it true: K3S was not restarted, flannel took another interface,
a firewall stops packets between nodes, an image of the cluster's DNS is nowhere. So what K3S always
runs is looked at and asked, from every host, without a pod of ours: CoreDNS by its pods' addresses
and by that of its Service, the address that moves between servers, each API server and kubelet.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from xops.core.errors import XopsError
from xops.k3s.cluster_file.cluster import API_PORT, Cluster, Host
from xops.k3s.state.facts import HostFacts, NodeFacts
from xops.k3s.state.topology import Topology
from xops.k3s.state.workloads import (
    DNS_PORT,
    UNKNOWN,
    DnsFacts,
    HostEffects,
    PodFacts,
    WorkloadFacts,
)

MOST_PODS = 16
"""Of CoreDNS that are asked: more say no more about the network, and each is asked by each host."""

_MOST_NAMES = 5
_WAYS = {
    "vxlan": "UDP port 8472",
    "wireguard-native": "UDP port 51820",
    "host-gw": "packets of networks.cluster, which are routed as they are",
    "none": "what your own network plugin needs",
}
"""What a firewall must let through from node to node. Source: K3S's documentation, requirements."""

_PODS = "`k3s kubectl -n kube-system describe pods` says more."


@dataclass(frozen=True)
class Ineffective:
    """Something that an apply should have brought about, and that is not so; and what to do."""

    found: str
    remedy: str


@dataclass(frozen=True)
class Effects:
    """What was seen of the cluster at work.

    Attributes:
        source: the server that told of pods.
        workloads: what it told.
        hosts: what each host was told by the cluster.
        failed: why a host could not be asked; it is not in `hosts`.
    """

    source: str
    workloads: WorkloadFacts
    hosts: Mapping[str, HostEffects]
    failed: Mapping[str, XopsError] = field(default_factory=dict)


def wants_dns(cluster: Cluster) -> bool:
    """Whether K3S runs its own CoreDNS."""
    return "coredns" not in cluster.k3s.disable


def addresses_to_ask(cluster: Cluster, workloads: WorkloadFacts) -> list[tuple[str, int]]:
    """Where every host shall get an answer: CoreDNS' pods that are Ready, its Service, the VIP."""
    ready = _ready_pods(workloads.dns) if workloads.dns else []
    pods = [pod.address for pod in ready if pod.address and _may_be_asked(cluster, pod)]
    addresses = [*pods, *([cluster.cluster_dns] if ready else [])]
    asked = [(address, DNS_PORT) for address in dict.fromkeys(addresses)]
    return [*asked, *([(cluster.vip, API_PORT)] if cluster.vip else [])]


def ineffective(
    cluster: Cluster, formation: Topology, facts: Mapping[str, HostFacts], effects: Effects
) -> list[Ineffective]:
    """All that has not taken effect, as far as it was seen."""
    return [
        *_wrong_versions(cluster, formation, facts, effects),
        *_wrong_tunnels(cluster, formation, facts, effects.workloads.tunnels),
        *_wrong_dns(cluster, effects),
        *_wrong_vip(cluster, effects),
    ]


def rows(
    cluster: Cluster, formation: Topology, facts: Mapping[str, HostFacts], effects: Effects
) -> dict[str, str]:
    """What was seen, as a person reads it: what is wrong, else what was found to hold."""
    tunnels = effects.workloads.tunnels
    seen = {
        "version": (
            _wrong_versions(cluster, formation, facts, effects),
            f"{cluster.k3s.version} runs on {_named(cluster, list(effects.hosts))}",
        ),
        "pod network": (
            _wrong_tunnels(cluster, formation, facts, tunnels),
            "not flannel's"
            if tunnels is None
            else f"flannel has the right address of {_named(cluster, list(facts))}",
        ),
        "cluster DNS": (_wrong_dns(cluster, effects), _told_dns(cluster, effects)),
    }
    if cluster.vip:
        seen["VIP"] = _wrong_vip(cluster, effects), _told_vip(cluster, cluster.vip, effects)
    return {name: _told([*wrong], right) for name, (wrong, right) in seen.items()}


def _named(cluster: Cluster, names: Sequence[str]) -> str:
    """These hosts; who is not among them was not seen."""
    if {host.name for host in cluster.hosts} <= set(names):
        return "every host"
    return f"{_listed(names)} only" if names else "no host that could be asked"


def _told(wrong: Sequence[Ineffective], right: str) -> str:
    return "; ".join(each.found for each in wrong) or right


# Versions


def _wrong_versions(
    cluster: Cluster, formation: Topology, facts: Mapping[str, HostFacts], effects: Effects
) -> Iterator[Ineffective]:
    wanted = cluster.k3s.version
    for host in cluster.hosts:
        asked, seen, node = effects.hosts.get(host.name), facts.get(host.name), formation.node(host)
        if host.is_server and asked and asked.api_version != wanted:
            said = asked.api_version or "nothing"
            yield Ineffective(
                f"the API server of {host.name} says {said} when asked for its version, not"
                f" {wanted}",
                f"Restart K3S on {host.name}, if `xops k3s plan` has nothing for it.",
            )
        if node and (found := _wrong_kubelet(wanted, host, seen, node)):
            yield Ineffective(
                found, f"Restart K3S on {host.name}, if `xops k3s plan` has nothing for it."
            )


def _wrong_kubelet(wanted: str, host: Host, seen: HostFacts | None, node: NodeFacts) -> str | None:
    """A process of another version than the file's, or than the program on its disk."""
    binary = seen.version if seen else None
    runs = node.version or "an unknown version"
    if node.version == wanted:
        stale = binary not in (None, wanted)
        return (
            f"the kubelet of {host.name} runs {runs}, and the binary is {binary}" if stale else None
        )
    found = f"the kubelet of {host.name} runs {runs}, not {wanted}"
    return f"{found}, though the binary is" if binary == wanted else found


# Flannel


def _wrong_tunnels(
    cluster: Cluster,
    formation: Topology,
    facts: Mapping[str, HostFacts],
    tunnels: Mapping[str, str] | None,
) -> Iterator[Ineffective]:
    """Nodes whose pods others reach by another way than the file gives, or by none."""
    if tunnels is None:
        return
    for host in cluster.hosts:
        seen = facts.get(host.name)
        if seen is None:
            continue
        if wrong := _wrong_tunnel(
            cluster, host, seen, formation.node(host), tunnels.get(host.name)
        ):
            yield Ineffective(
                f"{host.name} {wrong}",
                f"K3S reads flannel's settings when it starts: restart it on {host.name}, and look"
                f" for `flannel` in its log.",
            )


def _wrong_tunnel(
    cluster: Cluster, host: Host, seen: HostFacts, node: NodeFacts | None, address: str | None
) -> str | None:
    if not address:
        return "has no address of flannel's: nobody sends packets to its pods"
    if cluster.tunnels_between_sites:
        # There the external address counts, if the host has one besides its own.
        external = host.address if host.private_address and _is_ipv4(host.address) else address
        return (
            None
            if external == address
            else f"is sent packets of pods at {address}, not at its external address {external}"
        )
    own = _own_interface(cluster, host, seen, node)
    taken = seen.interfaces.get(address)
    if own and taken and own != taken:
        return f"sends packets of pods by {taken} ({address}), not {own}"
    return None


def _own_interface(
    cluster: Cluster, host: Host, seen: HostFacts, node: NodeFacts | None
) -> str | None:
    """The interface that flannel shall take: the person's own word, else that of the address."""
    config = cluster.k3s.config if host.is_server else cluster.k3s.agent_config
    if chosen := config.get("flannel-iface"):
        return str(chosen)
    # A host may be named in the file by what only SSH knows: then K3S has chosen its address.
    told = (host.internal_address, node.address if node else None)
    return next((seen.interfaces[at] for at in told if at and at in seen.interfaces), None)


def _is_ipv4(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 4
    except ValueError:
        return False


# CoreDNS


def _ready_pods(dns: DnsFacts) -> list[PodFacts]:
    return [pod for pod in dns.pods if pod.ready and pod.address][:MOST_PODS]


def _may_be_asked(cluster: Cluster, pod: PodFacts) -> bool:
    """Whether a pod has an address of pods. One server's word sends no host anywhere else."""
    if cluster.networks.backend == "none":
        return True  # another network plugin may have a range of its own
    return cluster.networks.holding(pod.address or "") == "cluster"


def _wrong_dns(cluster: Cluster, effects: Effects) -> Iterator[Ineffective]:
    dns = effects.workloads.dns
    if dns is None:
        return
    if dns.wanted is None:
        yield Ineffective(
            "CoreDNS: kube-system has no Deployment coredns",
            "K3S makes it from server/manifests/coredns.yaml: see that no coredns.yaml.skip is"
            " there, or write coredns under k3s.disable.",
        )
        return
    yield from _wrong_pods(dns)
    for pod in _ready_pods(dns):
        if not _may_be_asked(cluster, pod):
            yield Ineffective(
                f"CoreDNS: {pod} has the address {pod.address}, which is not in networks.cluster"
                f" ({cluster.networks.cluster})",
                "It was made with other settings: `k3s kubectl -n kube-system rollout restart"
                " deployment coredns` makes it anew.",
            )
    for address in (pod.address for pod in _ready_pods(dns)):
        yield from _unanswered(cluster, effects, address or "", _place(dns, address or ""))
    yield from _unanswered(cluster, effects, cluster.cluster_dns, "its Service")


def _place(dns: DnsFacts, address: str) -> str:
    node = next((pod.node for pod in dns.pods if pod.address == address), None)
    return f"its pod on {node or 'an unknown node'}"


def _wrong_pods(dns: DnsFacts) -> Iterator[Ineffective]:
    unready = [pod for pod in dns.pods if not pod.ready]
    told = list(map(str, unready[:_MOST_NAMES]))
    if not dns.wanted:
        what, told = "it is scaled to 0 pods", []
    elif dns.available < dns.wanted:
        what = f"{dns.available} of {dns.wanted} pods are available"
        told = told or ["no pod is being started"]
    elif not dns.is_current:
        what = "pods of its earlier form are still there"
    else:
        return
    yield Ineffective("; ".join([f"CoreDNS: {what}", *told]), _pods_remedy(unready))


def _pods_remedy(pods: Sequence[PodFacts]) -> str:
    reasons = {pod.reason or "" for pod in pods}
    if any("Image" in reason for reason in reasons):
        return (
            "The node cannot get the image: without internet access it must be in the bundle"
            " (`xops bundle build`), else the registry must be reached from the node."
        )
    if "Unschedulable" in reasons:
        return "No node takes the pod: look at the taints that the file gives."
    if "CrashLoopBackOff" in reasons:
        return "Its log says why: `k3s kubectl -n kube-system logs -p NAME`."
    return _PODS


def _unanswered(
    cluster: Cluster, effects: Effects, address: str, what: str
) -> Iterator[Ineffective]:
    pair = (address, DNS_PORT)
    silent = _without_answer(effects, pair)
    if not silent:
        return
    if address == cluster.cluster_dns:
        remedy = (
            "kube-proxy leads there by the host's packet filter: see that nothing flushes its"
            " rules, and look for `kube-proxy` or `proxier` in K3S's log."
        )
    else:
        remedy = (
            f"A firewall between the nodes must let {_WAYS[cluster.networks.backend]} through, and"
            " on each node what comes from networks.cluster."
        )
    yield Ineffective(
        f"CoreDNS: {what} ({address} port {DNS_PORT}) does not answer {_listed(silent)}", remedy
    )


def _without_answer(effects: Effects, pair: tuple[str, int]) -> list[str]:
    """Hosts that were refused or heard nothing, each with how. Who could not ask is none."""
    said = {name: host.answers.get(pair) for name, host in effects.hosts.items()}
    return [f"{name} ({how})" for name, how in said.items() if how not in ("open", UNKNOWN, None)]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _told_dns(cluster: Cluster, effects: Effects) -> str:
    dns = effects.workloads.dns
    if dns is None:
        return "left out by k3s.disable"
    pods = _ready_pods(dns)
    at = [f"{pod.address} on {pod.node}" for pod in pods]
    asked = [*((pod.address or "", DNS_PORT) for pod in pods), (cluster.cluster_dns, DNS_PORT)]
    told = f"{dns.available} of {dns.wanted} pods available; CoreDNS answers"
    told += f" {_answered(cluster, effects, asked)} at {_listed(at)} and at {cluster.cluster_dns}"
    nodes = {pod.node for pod in pods}
    alone = [name for name in effects.hosts if nodes == {name}]
    if alone and len(effects.hosts) > 1:
        told += f"; {alone[0]} asked its own pod only"
    elif alone:
        told += "; it runs the pod itself: nothing shows the way between nodes"
    return told + _told_unable(effects, asked)


def _answered(cluster: Cluster, effects: Effects, pairs: Sequence[tuple[str, int]]) -> str:
    """Hosts that got an answer everywhere."""
    names = [
        name
        for name, host in effects.hosts.items()
        if all(host.answers.get(pair) == "open" for pair in pairs)
    ]
    return _named(cluster, names)


def _told_unable(effects: Effects, pairs: Sequence[tuple[str, int]]) -> str:
    unable = [
        name
        for name, host in effects.hosts.items()
        if any(host.answers.get(pair) == UNKNOWN for pair in pairs)
    ]
    return f"; unknown from {_listed(unable)}: no program to ask with" if unable else ""


# The address that moves


def _wrong_vip(cluster: Cluster, effects: Effects) -> Iterator[Ineffective]:
    if cluster.vip is None:
        return
    pods = effects.workloads.vip_pods or ()
    for host in cluster.servers:
        own = [pod for pod in pods if pod.node == host.name]
        if not any(pod.ready for pod in own):
            told = str(own[0]) if own else "no pod"
            yield Ineffective(f"kube-vip on {host.name}: {told}", _pods_remedy(own))
    if silent := _without_answer(effects, (cluster.vip, API_PORT)):
        yield Ineffective(
            f"the VIP {cluster.vip} port {API_PORT} does not answer {_listed(silent)}",
            "It must be a free address of the servers' network, on the interface that"
            " endpoint.interface names, and reached from every host.",
        )


def _told_vip(cluster: Cluster, address: str, effects: Effects) -> str:
    pair = (address, API_PORT)
    told = f"{address} answers {_answered(cluster, effects, [pair])}"
    return f"{told}; kube-vip is Ready on every server" + _told_unable(effects, [pair])
