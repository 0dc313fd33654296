"""What is true on a host now: one script asks for all of it, its answer is parsed here. Pure.

The script reads; it writes nothing but, on a server without K3S, a few KiB to time the disk.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from xops.core.errors import PermanentError
from xops.core.files.bounded_json import parse_json
from xops.core.files.bounded_yaml import parse_yaml
from xops.core.files.reading import UnusableTextError
from xops.k3s import paths, scripts
from xops.k3s.cluster_file.cluster import Host

ETCD_IS_VOTER = "EtcdIsVoter"
"""A server's node condition. Source: k3s-io/k3s, pkg/etcd/etcd.go."""

MEMBER_NAME = "etcd.k3s.cattle.io/node-name"
"""A server node's annotation: the name of its etcd member. Source: the same file."""

MEMBER_ADDRESS = "etcd.k3s.cattle.io/node-address"
"""And its address."""

REMOVAL_NODE = "xops-removes-member-"
"""How the node is called that is made so that K3S removes a member (scripts/forget.sh)."""

MODULES = ("br_netfilter", "overlay", "nf_conntrack")
FSYNC_WRITES = 60

# What the kubelet wants of the kernel, and K3S's hardening guide.
SYSCTLS = {
    "vm.panic_on_oom": "0",
    "vm.overcommit_memory": "1",
    "kernel.panic": "10",
    "kernel.panic_on_oops": "1",
}

# Keys of a config.yaml that another hand wrote whose values go no further than this module.
_SECRET_KEYS = frozenset(
    {
        "agent-token", "datastore-endpoint", "etcd-s3-access-key", "etcd-s3-secret-key",
        "etcd-s3-session-token", "token", "vpn-auth",
    }
)  # fmt: skip

_LONGEST = 256
"""Characters of one value."""

_LARGEST_CONFIG = 64 * 1024
"""Characters of a config.yaml that is looked into; K3S's has a few kB."""

_MOST_DIGITS = 15
_LATEST = 253402300800.0
"""The year 10000, in seconds since the epoch."""

_FSYNC_MARGIN = 0.99
_SECTION = re.compile(r"^@@([a-z_]+)$")
_COPIED = re.compile(r"copied, ([\d.eE+-]+) s", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}")
_ANSWERS = ("open", "refused", "silent", "unreachable")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileFacts:
    """A file as it is: hash, mode (as in `stat -c %a`) and owner."""

    sha256: str
    mode: str
    owner: str
    size: int


@dataclass(frozen=True)
class ServiceFacts:
    """K3S's service. `restarts` counts those of the init system since it was started by hand."""

    active: str
    enabled: bool
    restarts: int
    started: str

    @property
    def is_active(self) -> bool:
        """Whether it runs and has said that it is ready."""
        return self.active == "active"

    @property
    def is_stopped(self) -> bool:
        """Whether nothing runs or is being started."""
        return self.active in ("inactive", "failed")


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


@dataclass(frozen=True)
class HostFacts:
    """One host. None is unknown: the host did not say, or was not asked."""

    clock: float
    """Seconds since the epoch by the host's own clock."""
    arch: str
    os: str
    init: str
    hostname: str
    machine_id: str
    cpus: int
    memory_mib: int
    swap_mib: int
    disk_free_gib: float
    addresses: frozenset[str]
    default_route: bool
    memory_cgroup: bool
    missing_modules: frozenset[str]
    iptables: str | None
    listening: frozenset[tuple[str, int]]
    sysctls: Mapping[str, str]
    version: str | None
    service: ServiceFacts | None
    files: Mapping[str, FileFacts]
    contents: Mapping[str, str]
    images: Mapping[str, int]
    cluster_id: str | None
    etcd_member: bool
    """Whether etcd's data is on its disk."""
    nodes: tuple[NodeFacts, ...] | None
    fsync_p99_ms: float | None
    members: tuple[EtcdMember, ...] | None = None
    """Etcd's members as this server tells them."""
    exposed: tuple[str, ...] = ()
    """Folders on the way to K3S's data that others than root may write to."""
    other_service: ServiceFacts | None = None
    """K3S's service of the other role: `k3s-agent` on a server, `k3s` on an agent."""
    datastore_file: bool = False
    """Whether the database of a server without etcd is on its disk (server/db/state.db)."""
    dropins: tuple[str, ...] = ()
    """Files of others that lie over ours: in config.yaml.d, and in the service's own folder."""

    @property
    def has_k3s(self) -> bool:
        """Whether K3S lives here: it runs, or belongs to a cluster. A binary alone is nothing."""
        runs = self.service is not None and not self.service.is_stopped
        return runs or self.etcd_member or self.cluster_id is not None

    @property
    def api_answers(self) -> bool:
        """Whether this host is a server whose API lists nodes."""
        return self.nodes is not None


def facts_script(host: Host, data_dir: str, *, probe_disk: bool = True) -> str:
    """What a host is asked, as one POSIX script, in one request."""
    service = paths.service(host)
    watched = " ".join(
        [
            paths.BINARY, paths.CONFIG, paths.REGISTRIES, paths.TOKEN, paths.AGENT_TOKEN,
            paths.SYSCTL, paths.UNREAD, *(paths.unit(host, init) for init in ("systemd", "openrc")),
            *(f"{data_dir}/{name}" for name in (paths.PSA, paths.AUDIT)),
            f"{data_dir}/{paths.MANIFESTS}/xops-*.yaml", f"{data_dir}/{paths.IMAGE_CACHE}",
            f"{data_dir}/{paths.OWN_TOKEN}",
        ]
    )  # fmt: skip
    values = {
        "SERVICE": service,
        "DATA": data_dir,
        "BINARY": paths.BINARY,
        "CONFIG": paths.CONFIG,
        "WATCHED": watched,
        "MODULES": " ".join(MODULES),
        "SYSCTLS": " ".join(SYSCTLS),
        "PROBES": str(FSYNC_WRITES if probe_disk and host.is_server else 0),
    }
    return scripts.script("facts", values)


def parse(host: str, output: str) -> HostFacts:
    """The facts in the script's output, which a host makes as it likes.

    Raises:
        PermanentError: the output is not whole, or says something that cannot be read.
    """
    sections = _sections(output)
    if "end" not in sections:
        raise _unreadable(host, f"its answer ends after {list(sections)[-1:] or 'nothing'}")
    try:
        return _facts(sections)
    except _UNREADABLE as error:
        raise _unreadable(host, f"it cannot be understood: {_why(error)}") from error


# Of a text of any form: numbers and lists that are none, sections and words that are missing, sums
# without end. Of JSON and YAML the bounded readers raise the first.
_UNREADABLE = (ValueError, LookupError, ArithmeticError)


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        row = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return f"{'.'.join(map(str, row['loc']))}: {row['msg']}"
    return str(error)[:_LONGEST]


def _unreadable(host: str, found: str) -> PermanentError:
    return PermanentError(
        f"reading the facts of {host}",
        found[: 2 * _LONGEST],
        "The host needs a POSIX shell, coreutils, procps or busybox, and iproute2; look at"
        " what it prints there: `uname -a; df -Pk /; ip route; ss -lntu`.",
    )


def _sections(output: str) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in output.splitlines():
        if found := _SECTION.match(line):
            lines = sections.setdefault(found[1], [])
        elif line or lines:
            lines.append(line)
    for rows in sections.values():
        while rows and not rows[-1]:
            rows.pop()
    return sections


def _facts(sections: Mapping[str, list[str]]) -> HostFacts:
    def text(name: str) -> str:
        return "\n".join(sections[name])

    def word(name: str) -> str:
        return _short(name, text(name))

    memory = {row.split(":")[0]: _number(row.split()[1]) // 1024 for row in sections["memory"]}
    return HostFacts(
        clock=_clock(word("clock")),
        arch=_arch(word("arch")),
        os=word("os").strip(),
        init=word("init"),
        hostname=word("hostname"),
        machine_id=word("machine_id"),
        cpus=_number(word("cpus")),
        memory_mib=memory["MemTotal"],
        swap_mib=memory["SwapTotal"],
        disk_free_gib=_number(word("disk").split()[3]) / 1024**2,
        addresses=frozenset(row.split("/")[0] for row in sections["addresses"]),
        default_route=bool(text("routes")),
        memory_cgroup="memory" in text("cgroups"),
        missing_modules=frozenset(sections["modules"]),
        iptables=word("iptables") or None,
        listening=frozenset(_sockets(sections["sockets"])),
        sysctls=dict(_pairs(sections["sysctls"])),
        version=_version(word("version")),
        service=_service(dict(_pairs(sections["service"]))),
        files=dict(_files(sections["files"])),
        contents=_contents(text("config")),
        images={row.split(" ", 1)[1]: _number(row.split()[0]) for row in sections["images"]},
        cluster_id=_cluster_id(word("cluster_id")),
        etcd_member=text("etcd") == "member",
        nodes=_nodes(text("nodes")),
        fsync_p99_ms=_p99(sections["fsync"]),
        members=parse_members("\n".join(sections.get("members", []))),
        exposed=tuple(dict.fromkeys(_short("exposed", row) for row in sections.get("exposed", []))),
    )


def _short(name: str, text: str) -> str:
    if len(text) > _LONGEST:
        raise ValueError(f"{name} has {len(text)} characters")
    return text


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise ValueError(f"{text[:40]!r} is no number of at most {_MOST_DIGITS} digits")
    return int(text)


def _clock(text: str) -> float:
    seconds = float(text.replace("N", "0"))
    # Others are compared with it: a clock that is no time would make theirs wrong.
    if not 0 <= seconds < _LATEST:
        raise ValueError(f"{text!r} is no time")
    return seconds


def _cluster_id(text: str) -> str | None:
    if text and not _SHA256.fullmatch(text):
        raise ValueError("the hash of the cluster's certificate is none")
    return text or None


def _arch(machine: str) -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _sockets(rows: Sequence[str]) -> list[tuple[str, int]]:
    return [(row.split()[0], _number(row.rsplit(":", 1)[1])) for row in rows if ":" in row]


def _pairs(rows: Sequence[str]) -> list[tuple[str, str]]:
    split = (row.partition("=") for row in rows)
    return [(name, value) for name, _, value in split]


def _version(text: str) -> str | None:
    words = text.split()
    return words[2] if len(words) > 2 and words[:2] == ["k3s", "version"] else None


def _service(shown: Mapping[str, str]) -> ServiceFacts | None:
    if shown.get("LoadState") not in ("loaded", "bad-setting", "error"):
        return None
    return ServiceFacts(
        active=shown.get("ActiveState", "unknown"),
        enabled=shown.get("UnitFileState") == "enabled",
        restarts=_number(shown.get("NRestarts") or "0"),
        started=shown.get("ActiveEnterTimestamp", ""),
    )


def _files(rows: Sequence[str]) -> list[tuple[str, FileFacts]]:
    split = (row.split(" ", 4) for row in rows)
    return [
        (name, FileFacts(sha256, mode, owner, _number(size)))
        for sha256, mode, owner, size, name in split
    ]


def _contents(text: str) -> dict[str, str]:
    """config.yaml without secrets. What is no configuration is left unknown, not shown."""
    try:
        values = parse_yaml(text) if len(text) <= _LARGEST_CONFIG else None
    except UnusableTextError:
        return {}
    if not isinstance(values, dict):
        return {}
    secret = {key for key in values if str(key).rstrip("+") in _SECRET_KEYS}
    shown = values | dict.fromkeys(secret, "not shown")
    return {paths.CONFIG: yaml.safe_dump(shown) if secret else text}


class _Answered(BaseModel):
    """A part of what an API answered; what is not asked for here is left out."""

    model_config = ConfigDict(strict=True, frozen=True)


def _checked_url(url: str) -> str:
    _ = urlsplit(url).hostname  # raises ValueError where there is none to find
    return url


_Text = Annotated[str, Field(max_length=_LONGEST)]
_Url = Annotated[str, Field(max_length=_LONGEST), AfterValidator(_checked_url)]
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


class _Node(_Answered):
    """As Kubernetes' API has a node (core/v1)."""

    metadata: _Metadata
    status: _Status

    def fact(self) -> NodeFacts:
        labels = self.metadata.labels or {}
        prefix = "node-role.kubernetes.io/"
        conditions = {row.type: row.status for row in self.status.conditions or ()}
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
            member=(self.metadata.annotations or {}).get(MEMBER_NAME),
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


def parse_live_view(output: str) -> tuple[tuple[EtcdMember, ...], tuple[NodeFacts, ...]] | None:
    """Members and nodes in the output of scripts/members.sh; None if that is no live answer."""
    sections = _sections(output)
    try:
        members = parse_members("\n".join(sections.get("members", [])))
        nodes = _nodes("\n".join(sections.get("nodes", [])))
    except ValueError:
        return None
    return None if members is None or nodes is None else (members, nodes)


def _nodes(text: str) -> tuple[NodeFacts, ...] | None:
    if not text:
        return None
    return tuple(row.fact() for row in _Nodes.model_validate(parse_json(text)).items)


def _p99(rows: Sequence[str]) -> float | None:
    """Milliseconds below which 99 of 100 writes reached the disk; None if none was timed."""
    taken = sorted(float(found[1]) for row in rows if (found := _COPIED.search(row)))
    if not taken:
        return None
    if not all(map(math.isfinite, taken)):
        raise ValueError("a write took no time that can be told")
    return 1000 * taken[min(len(taken) - 1, int(_FSYNC_MARGIN * len(taken)))]


def peer_script(peers: Mapping[str, Sequence[int]], seconds: int = 2) -> str:
    """Tries TCP ports of other hosts, all at once; each line says how one answered.

    A port that nobody listens on answers `refused`, which shows that the way is open.
    """
    pairs = [f"{address} {port}" for address, ports in peers.items() for port in ports]
    return scripts.script("peers", {"PAIRS": "\n".join(pairs), "SECONDS_EACH": str(seconds)})


def parse_peers(output: str) -> dict[tuple[str, int], str]:
    """By address and port: open, refused, silent or unreachable. Other lines are left out."""
    rows = (line.split() for line in output.splitlines())
    return {
        (row[0], int(row[1])): row[2]
        for row in rows
        if len(row) == 3 and _PORT.fullmatch(row[1]) and row[2] in _ANSWERS
    }
