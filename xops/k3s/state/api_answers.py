"""What a cluster's API says about nodes and etcd's members, read strictly. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from xops.core.files.bounded_json import parse_json

ETCD_IS_VOTER = "EtcdIsVoter"
"""A server's node condition. Source: k3s-io/k3s, pkg/etcd/etcd.go."""

MEMBER_NAME = "etcd.k3s.cattle.io/node-name"
"""A server node's annotation: the name of its etcd member. Source: the same file."""

MEMBER_ADDRESS = "etcd.k3s.cattle.io/node-address"
"""And its address."""

REMOVAL_NODE = "xops-removes-member-"
"""How the node is called that is made so that K3S removes a member (scripts/forget.sh)."""

TUNNEL_ADDRESS = "flannel.alpha.coreos.com/public-ip"
"""A node's annotation: the address that flannel took, that of its interface. Source:
flannel-io/flannel, pkg/subnet/kube/annotations.go."""

LONGEST = 256
"""Characters of one value."""

_ROWS = "rows"
_FIELDS = {
    "name": ".metadata.name",
    "labels": ".metadata.labels",
    "taints": ".spec.taints",
    "member": ".metadata.annotations.etcd\\.k3s\\.cattle\\.io/node-name",
    "tunnel": ".metadata.annotations.flannel\\.alpha\\.coreos\\.com/public-ip",
    "ready": '.status.conditions[?(@.type=="Ready")].status',
    "voter": f'.status.conditions[?(@.type=="{ETCD_IS_VOTER}")].status',
    "reason": f'.status.conditions[?(@.type=="{ETCD_IS_VOTER}")].reason',
    "address": '.status.addresses[?(@.type=="InternalIP")].address',
    "version": ".status.nodeInfo.kubeletVersion",
}
NODE_FORM = (
    f'{{"{_ROWS}\\n"}}{{range .items[*]}}'
    + '{"\\t"}'.join(f"{{{path}}}" for path in _FIELDS.values())
    + '{"\\n"}{end}'
)
"""What kubectl is to print of nodes (`-o jsonpath`): a row each of what is used.

That is some hundred bytes, where a whole node with the images on it has 20 kB. The first row tells
an answer without nodes from none.
"""


@dataclass(frozen=True)
class EtcdMember:
    """A member of etcd, as a server tells that has a quorum at that moment.

    Attributes:
        id: etcd's own, in decimal.
        name: of its node, and eight hexadecimal digits; empty while it was added and never started.
        peer_urls, client_urls: where it is reached.
        is_learner: whether it has no vote yet.
    """

    id: str
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...] = ()
    is_learner: bool = False

    @property
    def addresses(self) -> frozenset[str]:
        """The addresses at which its peers reach it."""
        hosts = (urlsplit(url).hostname for url in self.peer_urls)
        return frozenset(host for host in hosts if host)

    @property
    def node_name(self) -> str:
        """The node that it belongs to by its name, as K3S itself takes it apart."""
        name, hyphen, _ = self.name.rpartition("-")
        return name if hyphen and len(name) > 1 else self.name

    def __str__(self) -> str:
        vote = "learner" if self.is_learner else "voter"
        return f"{self.name or self.id} ({vote} at {', '.join(sorted(self.addresses))})"


@dataclass(frozen=True)
class NodeFacts:
    """A node as the cluster's API shows it. `voter` and `member` are None for one without etcd."""

    name: str
    ready: bool
    voter: bool | None
    roles: frozenset[str]
    version: str
    address: str | None
    labels: Mapping[str, str] = field(default_factory=dict)
    member: str | None = None
    """The name of its etcd member."""
    taints: frozenset[str] = frozenset()
    """Each as `key=value:Effect`, or `key:Effect` where it has no value."""
    voter_reason: str | None = None
    """Why `voter` is what it is, in K3S's word: MemberNotLearner, MemberIsLearner, Unhealthy."""
    tunnel_address: str | None = None
    """Where other nodes' flannel sends packets for its pods; None with a backend that has none."""


class _Answered(BaseModel):
    """A part of what an API answered; what is not asked for here is left out."""

    model_config = ConfigDict(strict=True, frozen=True)


def _checked_url(url: str) -> str:
    _ = urlsplit(url).hostname  # raises ValueError where there is none to find
    return url


_Text = Annotated[str, Field(max_length=LONGEST)]
_Url = Annotated[str, Field(max_length=LONGEST), AfterValidator(_checked_url)]
_NodeName = Annotated[
    str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")
]  # a DNS subdomain, as Kubernetes has it: it stands in commands


class _Member(_Answered):
    """As etcdserverpb's Member is written in JSON by Go."""

    id: Annotated[int | None, Field(alias="ID", ge=0, lt=2**64)] = None
    name: _Text = ""
    peer_urls: Annotated[list[_Url] | None, Field(alias="peerURLs")] = None
    client_urls: Annotated[list[_Url] | None, Field(alias="clientURLs")] = None
    is_learner: Annotated[bool, Field(alias="isLearner")] = False

    def fact(self) -> EtcdMember:
        return EtcdMember(
            id=str(self.id),
            name=self.name,
            peer_urls=tuple(self.peer_urls or ()),
            client_urls=tuple(self.client_urls or ()),
            is_learner=self.is_learner,
        )


class _Members(_Answered):
    members: list[_Member] | None = None


class _Condition(_Answered):
    type: _Text
    status: _Text
    reason: _Text = ""


class _Taint(_Answered):
    key: _Text
    value: _Text = ""
    effect: _Text

    def __str__(self) -> str:
        return (
            f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"
        )


class _Address(_Answered):
    type: _Text
    address: _Text


class _NodeInfo(_Answered):
    version: Annotated[_Text, Field(alias="kubeletVersion")] = ""


class _Metadata(_Answered):
    name: _NodeName
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Status(_Answered):
    conditions: list[_Condition] | None = None
    addresses: list[_Address] | None = None
    info: Annotated[_NodeInfo, Field(alias="nodeInfo")] = _NodeInfo()


class _Spec(_Answered):
    taints: list[_Taint] | None = None


class _Node(_Answered):
    """As Kubernetes' API has a node (core/v1)."""

    metadata: _Metadata
    spec: _Spec = _Spec()
    status: _Status

    def fact(self) -> NodeFacts:
        labels = self.metadata.labels or {}
        prefix = "node-role.kubernetes.io/"
        annotations = self.metadata.annotations or {}
        conditions = {row.type: row.status for row in self.status.conditions or ()}
        reasons = {row.type: row.reason for row in self.status.conditions or ()}
        addresses = {row.type: row.address for row in self.status.addresses or ()}
        voter = conditions.get(ETCD_IS_VOTER)
        return NodeFacts(
            name=self.metadata.name,
            ready=conditions.get("Ready") == "True",
            voter=None if voter is None else voter == "True",
            roles=frozenset(
                name.removeprefix(prefix) for name in labels if name.startswith(prefix)
            ),
            version=self.status.info.version,
            address=addresses.get("InternalIP"),
            labels=labels,
            member=annotations.get(MEMBER_NAME),
            taints=frozenset(str(taint) for taint in self.spec.taints or ()),
            voter_reason=reasons.get(ETCD_IS_VOTER) or None,
            tunnel_address=annotations.get(TUNNEL_ADDRESS),
        )


class _Nodes(_Answered):
    items: list[_Node]


def parse_members(text: str) -> tuple[EtcdMember, ...] | None:
    """What K3S's /db/info says; None if it was not etcd as a whole that answered.

    A server whose etcd has no quorum names itself alone, without an id (K3S before 2024-11); later
    ones give an error.

    Raises:
        ValueError: it says something else.
    """
    rows = _Members.model_validate(parse_json(text)).members if text else None
    if not rows or not all(row.id for row in rows):
        return None
    return tuple(row.fact() for row in rows)


def parse_nodes(text: str) -> tuple[NodeFacts, ...] | None:
    """The nodes in kubectl's answer, in NODE_FORM or as JSON; None if there was no answer.

    Raises:
        ValueError: it says something else.
    """
    if not text:
        return None
    first, _, rows = text.partition("\n")
    whole = {"items": list(_rows(rows))} if first.strip() == _ROWS else parse_json(text)
    return tuple(row.fact() for row in _Nodes.model_validate(whole).items)


def _rows(text: str) -> Iterator[dict[str, Any]]:
    """Rows of NODE_FORM as the API has nodes."""
    for line in filter(None, text.split("\n")):
        said = dict(zip(_FIELDS, line.split("\t"), strict=True))
        conditions = [
            {"type": "Ready", "status": said["ready"]},
            {"type": ETCD_IS_VOTER, "status": said["voter"], "reason": said["reason"]},
        ]
        annotations = {MEMBER_NAME: said["member"], TUNNEL_ADDRESS: said["tunnel"]}
        # A node with two addresses of the kind (IPv4 and IPv6) tells both: the first counts.
        addresses = said["address"].split()[:1]
        yield {
            "metadata": {
                "name": said["name"],
                "labels": parse_json(said["labels"] or "{}"),
                "annotations": {key: value for key, value in annotations.items() if value},
            },
            "spec": {"taints": parse_json(said["taints"] or "[]")},
            "status": {
                "conditions": [row for row in conditions if row["status"]],
                "addresses": [{"type": "InternalIP", "address": text} for text in addresses],
                "nodeInfo": {"kubeletVersion": said["version"]},
            },
        }
