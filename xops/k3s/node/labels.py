"""Labels and taints of nodes that exist: what xOps gives, and what of it a node has not. Pure.

K3S gives a node both when it registers. Later it adds labels at a start and takes none away, and it
leaves taints alone; so what differs is set through the API. Only xOps' own is compared: what the
cluster file gives now, and what config.yaml on the host, as xOps wrote it, has given until now.
Whatever else a node has is another's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from xops.core.files.bounded_yaml import parse_yaml
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.cluster_file.field_types import is_label, taint_parts
from xops.k3s.node.effects import canonical
from xops.k3s.node.managed_file import HEADER
from xops.k3s.state.facts import HostFacts, NodeFacts
from xops.k3s.state.topology import Topology

_KUBELETS_OWN = frozenset(
    {
        "beta.kubernetes.io/arch", "beta.kubernetes.io/instance-type", "beta.kubernetes.io/os",
        "kubernetes.io/arch", "kubernetes.io/hostname", "kubernetes.io/os",
        "node.kubernetes.io/instance-type",
    }
)  # fmt: skip
"""Labels that every kubelet gives its node, at its start: taken away they would be gone till then.
Source: k8s.io/kubernetes, pkg/kubelet/kubelet_node_status.go, updateDefaultLabels."""

_NODES_AT_ONCE = 100
"""Nodes of one command: each is a request, and a command has a minute."""


@dataclass(frozen=True)
class Marks:
    """Labels and taints.

    Attributes:
        labels: values by key.
        taints: values by `key:Effect`, by which Kubernetes tells taints apart.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MarksChange:
    """What of a node's labels, or of its taints, differs: as it is, and as it shall be.

    Attributes:
        before: what the node has, without what is right.
        after: what it shall have; of what stands in `before` only, nothing.
    """

    before: Mapping[str, str]
    after: Mapping[str, str]

    @property
    def removed(self) -> tuple[str, ...]:
        """Keys that are taken away."""
        return tuple(key for key in self.before if key not in self.after)

    @property
    def taken(self) -> MarksChange | None:
        """The part that takes away."""
        return MarksChange({key: self.before[key] for key in self.removed}, {}).or_none()

    @property
    def given(self) -> MarksChange | None:
        """The part that sets."""
        before = {key: value for key, value in self.before.items() if key in self.after}
        return MarksChange(before, self.after).or_none()

    def or_none(self) -> MarksChange | None:
        """None where nothing differs."""
        return self if self.before or self.after else None


def wanted(cluster: Cluster, host: Host) -> Marks:
    """What the cluster file gives the host's node."""
    return Marks(cluster.labels(host), _taints(cluster.taints(host)))


def given(seen: HostFacts) -> Marks:
    """What xOps has given the host's node until now, as its config.yaml there tells.

    What a kubelet may not give itself, or what is no label or taint, K3S has not given either: a
    host may write anything into the file, and must not have others' labels taken away by it. What
    every kubelet gives by itself is not xOps' to take away.
    """
    text = seen.contents.get(paths.CONFIG, "")
    values = parse_yaml(text) if text.startswith(HEADER) else None
    if not isinstance(values, dict):
        return Marks()
    said = canonical(values)
    pairs = (each.partition("=") for each in _texts(said.get("node-label")))
    labels = {
        key: value for key, _, value in pairs if is_label(key, value) and key not in _KUBELETS_OWN
    }
    return Marks(labels, _taints(_texts(said.get("node-taint"))))


def kept(cluster: Cluster, host: Host, seen: HostFacts, formation: Topology) -> Marks:
    """What stays in config.yaml though the file no longer gives it: while no API answers.

    Written without it, the host would no longer tell that xOps gave it, and it would stay for ever.
    """
    is_node = host in formation.members if host.is_server else seen.cluster_id is not None
    if formation.nodes is not None or not is_node:
        return Marks()
    had, want = given(seen), wanted(cluster, host)
    return Marks(_without(had.labels, want.labels), _without(had.taints, want.taints))


def _without(values: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if key not in others}


def of_node(node: NodeFacts) -> Marks:
    """What a node has, whoever gave it."""
    return Marks(node.labels, _taints(node.taints))


def _texts(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [each for each in listed if isinstance(each, str)]


def _taints(texts: Iterable[str]) -> dict[str, str]:
    """By `key:Effect`; of two that are the same to Kubernetes the last counts."""
    found = {}
    for text in texts:
        try:
            key, value, effect = taint_parts(text)
        except ValueError:
            continue  # none that the file can give
        found[f"{key}:{effect}"] = value
    return found


def differing(
    wanted: Mapping[str, str], given: Mapping[str, str], found: Mapping[str, str]
) -> MarksChange | None:
    """What of xOps' own labels, or taints, a node has not as it shall; None if all is right.

    Args:
        wanted: what it shall have.
        given: what it was given before; what of it is not wanted is taken away.
        found: all that the node has.
    """
    own = sorted(wanted.keys() | given.keys())
    before = {key: found[key] for key in own if key in found and found[key] != wanted.get(key)}
    after = {key: wanted[key] for key in own if key in wanted and found.get(key) != wanted[key]}
    return MarksChange(before, after).or_none()


def missing(cluster: Cluster, host: Host, seen: HostFacts, node: NodeFacts) -> Iterator[str]:
    """What a node has not as the file says, each in some words.

    Args:
        cluster: its file.
        host: whose node it is.
        seen: the host's facts, which tell what it was given before.
        node: the node.
    """
    want, had, found = wanted(cluster, host), given(seen), of_node(node)
    for kind, change, text in (
        ("label", differing(want.labels, had.labels, found.labels), _label),
        ("taint", differing(want.taints, had.taints, found.taints), _taint),
    ):
        if change:
            yield from (f"has not the {kind} {text(*pair)}" for pair in change.after.items())
            yield from (f"still has the {kind} {key}" for key in change.removed)


# What is told to kubectl


def changing_lines(
    changes: Iterable[tuple[str, MarksChange | None, MarksChange | None]],
) -> Iterator[str]:
    """The lines of CHANGES in scripts/label_nodes.sh; nodes that are alike stand in one.

    Args:
        changes: names of nodes, with what differs of their labels, and of their taints.
    """
    nodes: dict[str, list[str]] = defaultdict(list)
    for name, labels, taints in changes:
        for order in _orders(labels, taints):
            nodes[order].append(name)
    for order, names in nodes.items():
        verb, _, words = order.partition(" ")
        for start in range(0, len(names), _NODES_AT_ONCE):
            yield f"{verb} {','.join(names[start : start + _NODES_AT_ONCE])} {words}"


def _orders(labels: MarksChange | None, taints: MarksChange | None) -> Iterator[str]:
    """What is told about one node, without its name."""
    if labels:
        taken = [f"{key}-" for key in labels.removed]
        yield " ".join(["label", *label_texts(labels.after), *taken])
    if taints and taints.after:
        yield " ".join(["taint", *taint_texts(taints.after)])
    for key in taints.removed if taints else ():
        yield f"untaint {key}"


def label_texts(labels: Mapping[str, str]) -> list[str]:
    """As config.yaml has labels."""
    return [_label(*pair) for pair in sorted(labels.items())]


def taint_texts(taints: Mapping[str, str]) -> list[str]:
    """As config.yaml has taints."""
    return [_taint(*pair) for pair in taints.items()]


def _label(key: str, value: str) -> str:
    return f"{key}={value}"


def _taint(key: str, value: str) -> str:
    name, _, effect = key.rpartition(":")
    return f"{name}={value}:{effect}" if value else key
