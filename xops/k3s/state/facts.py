"""What is true on a host now: one script asks for all of it, its answer is parsed here. Pure.

The script reads; it writes nothing but, on a host without K3S, a few KiB to time the disk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import yaml

from xops.core.errors import PermanentError
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

_FSYNC_MARGIN = 0.99
_SECTION = re.compile(r"^@@([a-z_]+)$")
_COPIED = re.compile(r"copied, ([\d.eE+-]+) s")


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
    """The facts in the script's output.

    Raises:
        PermanentError: the output is not whole, or says something that cannot be read.
    """
    sections = _sections(output)
    if "end" not in sections:
        raise _unreadable(host, f"its answer ends after {list(sections)[-1:] or 'nothing'}")
    try:
        return _facts(sections)
    except (ValueError, IndexError, KeyError) as error:
        raise _unreadable(host, f"it cannot be understood: {error}") from error


def _unreadable(host: str, found: str) -> PermanentError:
    return PermanentError(
        f"reading the facts of {host}",
        found,
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

    memory = {row.split(":")[0]: int(row.split()[1]) // 1024 for row in sections["memory"]}
    return HostFacts(
        clock=float(text("clock").replace("N", "0")),
        arch=_arch(text("arch")),
        os=text("os").strip(),
        init=text("init"),
        hostname=text("hostname"),
        machine_id=text("machine_id"),
        cpus=int(text("cpus")),
        memory_mib=memory["MemTotal"],
        swap_mib=memory["SwapTotal"],
        disk_free_gib=int(text("disk").split()[3]) / 1024**2,
        addresses=frozenset(row.split("/")[0] for row in sections["addresses"]),
        default_route=bool(text("routes")),
        memory_cgroup="memory" in text("cgroups"),
        missing_modules=frozenset(sections["modules"]),
        iptables=text("iptables") or None,
        listening=frozenset(_sockets(sections["sockets"])),
        sysctls=dict(_pairs(sections["sysctls"])),
        version=_version(text("version")),
        service=_service(dict(_pairs(sections["service"]))),
        files=dict(_files(sections["files"])),
        contents=_contents(text("config")),
        images={row.split(" ", 1)[1]: int(row.split()[0]) for row in sections["images"]},
        cluster_id=text("cluster_id") or None,
        etcd_member=text("etcd") == "member",
        nodes=_nodes(text("nodes")),
        fsync_p99_ms=_p99(sections["fsync"]),
        members=parse_members("\n".join(sections.get("members", []))),
    )


def _arch(machine: str) -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _sockets(rows: Sequence[str]) -> list[tuple[str, int]]:
    return [(row.split()[0], int(row.rsplit(":", 1)[1])) for row in rows if ":" in row]


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
        restarts=int(shown.get("NRestarts") or 0),
        started=shown.get("ActiveEnterTimestamp", ""),
    )


def _files(rows: Sequence[str]) -> list[tuple[str, FileFacts]]:
    split = (row.split(" ", 4) for row in rows)
    return [
        (name, FileFacts(sha256, mode, owner, int(size)))
        for sha256, mode, owner, size, name in split
    ]


def _contents(text: str) -> dict[str, str]:
    """config.yaml without secrets. What is no configuration is left unknown, not shown."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    if not isinstance(values, dict):
        return {}
    secret = {key for key in values if str(key).rstrip("+") in _SECRET_KEYS}
    shown = values | dict.fromkeys(secret, "not shown")
    return {paths.CONFIG: yaml.safe_dump(shown) if secret else text}


def parse_members(text: str) -> tuple[EtcdMember, ...] | None:
    """What K3S's /db/info says; None if it was not etcd as a whole that answered.

    A server whose etcd has no quorum names itself alone, without an id (K3S before 2024-11); later
    ones give an error.
    """
    rows = json.loads(text).get("members") if text else None
    if not rows or not all(row.get("ID") for row in rows):
        return None
    return tuple(
        EtcdMember(
            id=str(row["ID"]),
            name=row.get("name", ""),
            peer_urls=tuple(row.get("peerURLs") or ()),
            client_urls=tuple(row.get("clientURLs") or ()),
            is_learner=bool(row.get("isLearner")),
        )
        for row in rows
    )


def parse_live_view(output: str) -> tuple[tuple[EtcdMember, ...], tuple[NodeFacts, ...]] | None:
    """Members and nodes in the output of scripts/members.sh; None if that is no live answer."""
    sections = _sections(output)
    members = parse_members("\n".join(sections.get("members", [])))
    nodes = _nodes("\n".join(sections.get("nodes", [])))
    return None if members is None or nodes is None else (members, nodes)


def _nodes(text: str) -> tuple[NodeFacts, ...] | None:
    if not text:
        return None
    return tuple(_node(item) for item in json.loads(text)["items"])


def _node(item: Mapping[str, Any]) -> NodeFacts:
    labels = item["metadata"].get("labels", {})
    prefix = "node-role.kubernetes.io/"
    conditions = {row["type"]: row["status"] for row in item["status"].get("conditions", [])}
    addresses = {row["type"]: row["address"] for row in item["status"].get("addresses", [])}
    voter = conditions.get(ETCD_IS_VOTER)
    return NodeFacts(
        name=item["metadata"]["name"],
        ready=conditions.get("Ready") == "True",
        voter=None if voter is None else voter == "True",
        roles=frozenset(name.removeprefix(prefix) for name in labels if name.startswith(prefix)),
        version=item["status"].get("nodeInfo", {}).get("kubeletVersion", ""),
        address=addresses.get("InternalIP"),
        labels=labels,
        member=item["metadata"].get("annotations", {}).get(MEMBER_NAME),
    )


def _p99(rows: Sequence[str]) -> float | None:
    """Milliseconds below which 99 of 100 writes reached the disk; None if none was timed."""
    taken = sorted(float(found[1]) for row in rows if (found := _COPIED.search(row)))
    if not taken:
        return None
    return 1000 * taken[min(len(taken) - 1, int(_FSYNC_MARGIN * len(taken)))]


def peer_script(peers: Mapping[str, Sequence[int]], seconds: int = 2) -> str:
    """Tries TCP ports of other hosts, all at once; each line says how one answered.

    A port that nobody listens on answers `refused`, which shows that the way is open.
    """
    pairs = [f"{address} {port}" for address, ports in peers.items() for port in ports]
    return scripts.script("peers", {"PAIRS": "\n".join(pairs), "SECONDS_EACH": str(seconds)})


def parse_peers(output: str) -> dict[tuple[str, int], str]:
    """By address and port: open, refused, silent or unreachable."""
    rows = (line.split() for line in output.splitlines())
    return {(row[0], int(row[1])): row[2] for row in rows if len(row) == 3}
