"""What is true on a host now: one script asks for all of it, its answer is parsed here. Pure.

The script reads; it writes nothing but, on a server without K3S, a few KiB to time the disk.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import yaml
from pydantic import ValidationError

from xops.core.errors import PermanentError
from xops.core.files.bounded_yaml import parse_yaml
from xops.core.files.reading import UnusableTextError
from xops.k3s import paths, scripts
from xops.k3s.cluster_file.cluster import Host
from xops.k3s.state import network_facts
from xops.k3s.state.api_answers import (
    ETCD_IS_VOTER,
    MEMBER_ADDRESS,
    MEMBER_NAME,
    NODE_FORM,
    REMOVAL_NODE,
    EtcdMember,
    NodeFacts,
    parse_members,
    parse_nodes,
)
from xops.k3s.state.network_facts import Route
from xops.k3s.state.sections import split_sections

__all__ = [
    "BACKEND_MODULES", "ETCD_IS_VOTER", "FSYNC_WRITES", "MEMBER_ADDRESS", "MEMBER_NAME", "MODULES",
    "NODE_FORM", "REMOVAL_NODE", "SYSCTLS", "EtcdMember", "FileFacts", "HostFacts", "NodeFacts",
    "Route", "ServiceFacts", "facts_script", "parse", "parse_live_view", "parse_members",
    "parse_peers", "peer_script",
]  # fmt: skip

MODULES = ("br_netfilter", "overlay", "nf_conntrack")
BACKEND_MODULES = {"vxlan": ("vxlan",), "wireguard-native": ("wireguard",)}
"""What else the kernel must have for a flannel backend. Source: flannel-io/flannel,
pkg/backend/vxlan/device.go and pkg/backend/wireguard/device.go, which make links of these kinds."""

FSYNC_WRITES = 200
"""How often a disk is timed: so many that the slowest hundredth is more than one write."""

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

_FSYNC_MARGIN = 99  # of 100
_COPIED = re.compile(r"copied, ([\d.eE+-]+) s", re.ASCII)
_TENTHS = re.compile(r"[0-9]+(\.[0-9])?")
_SELINUX = ("enforcing", "permissive", "disabled")
_MOST_TOOLS = 30
_CGROUPS = {"v1": 1, "v2": 2}
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
    """The service of the other role: k3s-agent on a server, k3s on an agent."""
    datastore_file: bool = False
    """Whether a datastore of SQLite is on its disk, as K3S has it without etcd."""
    dropins: tuple[str, ...] = ()
    """Files that add to K3S's configuration or to its unit, and that xOps does not write."""
    cgroup_version: int | None = None
    """1 or 2: which cgroups the kubelet would take."""
    cgroup_controllers: frozenset[str] | None = None
    interfaces: Mapping[str, str] = field(default_factory=dict)
    """The interface of each address."""
    routes: tuple[Route, ...] | None = None
    noexec: bool | None = None
    """Whether programs below K3S's data folder are not run by the kernel."""
    selinux: str | None = None
    """enforcing, permissive or disabled."""
    selinux_policy: bool = False
    """Whether the policy of K3S's package k3s-selinux is there."""
    proxies: tuple[str, ...] = ()
    """Where a proxy is set for K3S's service: `HTTP_PROXY in /etc/default/k3s`. Never its value."""
    missing_tools: frozenset[str] = frozenset()
    """Programs that the look itself needs; what they would tell is unknown."""
    fsync_writes: int = 0
    """How often the disk was timed."""
    untimed: bool = False
    """Whether the disk was written to, and nothing there tells how long that took."""

    @property
    def has_k3s(self) -> bool:
        """Whether K3S lives here: it runs, or belongs to a cluster. A binary alone is nothing."""
        runs = self.service is not None and not self.service.is_stopped
        return runs or self.etcd_member or self.cluster_id is not None

    @property
    def default_interface(self) -> str | None:
        """The interface of the first default route of IPv4, in which pods' networks are.

        None where there is none, or nobody knows.
        """
        found = (route.interface for route in self.routes or () if route.network == "0.0.0.0/0")
        return next(found, None)

    @property
    def api_answers(self) -> bool:
        """Whether this host is a server whose API lists nodes."""
        return self.nodes is not None


def facts_script(
    host: Host, data_dir: str, *, probe_disk: bool = True, backend: str = "none"
) -> str:
    """What a host is asked, as one POSIX script, in one request.

    Args:
        host: which.
        data_dir: K3S's data folder.
        probe_disk: whether the disk of a server without K3S is timed.
        backend: flannel's, whose kernel modules are looked for.
    """
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
        "OTHER": "k3s-agent" if host.is_server else "k3s",
        "DATA": data_dir,
        "BINARY": paths.BINARY,
        "CONFIG": paths.CONFIG,
        "WATCHED": watched,
        "MODULES": " ".join([*MODULES, *BACKEND_MODULES.get(backend, ())]),
        "SYSCTLS": " ".join(SYSCTLS),
        "PROBES": str(FSYNC_WRITES if probe_disk and host.is_server else 0),
        "NODE_FORM": NODE_FORM,
    }
    return scripts.script("facts", values)


def parse(host: str, output: str) -> HostFacts:
    """The facts in the script's output, which a host makes as it likes.

    Raises:
        PermanentError: the output is not whole, or says something that cannot be read.
    """
    sections = split_sections(output)
    if "end" not in sections:
        raise _unreadable(host, f"its answer ends after {list(sections)[-1:] or 'nothing'}")
    try:
        return _facts(sections)
    except _UNREADABLE as error:
        missing = ", ".join(_missing(sections))
        found = f"these tools are missing: {missing}" if missing else "it cannot be understood"
        raise _unreadable(host, f"{found}: {_why(error)}") from error


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
        "The host needs a POSIX shell, awk, and coreutils or busybox; look at what it prints"
        " there: `uname -a; df -Pk /; cat /proc/net/route`.",
    )


def _facts(sections: Mapping[str, list[str]]) -> HostFacts:
    def text(name: str) -> str:
        return "\n".join(sections[name])

    def word(name: str) -> str:
        return _short(name, text(name))

    sockets, addresses = sections["sockets"], sections["addresses"]
    cgroups = text("cgroups").split()
    kind = cgroups[0] if cgroups and cgroups[0] in _CGROUPS else None
    disk, writes = _p99(sections["fsync"])
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
        addresses=frozenset(network_facts.parse_addresses(addresses)),
        default_route=network_facts.has_default(sections["routes"]),
        memory_cgroup="memory" in text("cgroups"),
        missing_modules=frozenset(sections["modules"]),
        iptables=word("iptables") or None,
        listening=frozenset(network_facts.parse_sockets(sockets)),
        sysctls=dict(_pairs(sections["sysctls"])),
        version=_version(word("version")),
        service=_service(dict(_pairs(sections["service"]))),
        files=dict(_files(sections["files"])),
        contents=_contents(text("config")),
        images={row.split(" ", 1)[1]: _number(row.split()[0]) for row in sections["images"]},
        cluster_id=_cluster_id(word("cluster_id")),
        etcd_member=text("etcd") == "member",
        nodes=parse_nodes(text("nodes")),
        fsync_p99_ms=disk,
        members=parse_members("\n".join(sections.get("members", []))),
        exposed=_each(sections, "exposed"),
        other_service=_service(dict(_pairs(sections.get("other_service", [])))),
        datastore_file=sections.get("datastore_file") == ["yes"],
        dropins=_each(sections, "dropins"),
        cgroup_version=_CGROUPS[kind] if kind else None,
        cgroup_controllers=frozenset(cgroups[1:]) if kind else None,
        interfaces=_named(network_facts.parse_addresses(addresses)),
        routes=network_facts.parse_routes(sections["routes"]),
        noexec=_noexec(sections.get("mount", [])),
        selinux=next((row for row in sections.get("selinux", []) if row in _SELINUX), None),
        selinux_policy="policy" in sections.get("selinux", []),
        proxies=_each(sections, "proxies"),
        missing_tools=_missing(sections),
        fsync_writes=writes,
        untimed=disk is None and bool(sections["fsync"]),
    )


def _each(sections: Mapping[str, list[str]], name: str) -> tuple[str, ...]:
    """The rows of a section, each once; none where an earlier xOps has not asked for it."""
    return tuple(dict.fromkeys(_short(name, row) for row in sections.get(name, [])))


def _missing(sections: Mapping[str, list[str]]) -> frozenset[str]:
    return frozenset(row[:_LONGEST] for row in sections.get("tools", [])[:_MOST_TOOLS])


def _named(interfaces: Mapping[str, str]) -> dict[str, str]:
    return {address: name for address, name in interfaces.items() if name}


def _noexec(rows: Sequence[str]) -> bool | None:
    """Of the mount's options; None if it was not found."""
    return "noexec" in rows[0].split(",") if rows else None


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


def parse_live_view(output: str) -> tuple[tuple[EtcdMember, ...], tuple[NodeFacts, ...]] | None:
    """Members and nodes in the output of scripts/members.sh; None if that is no live answer."""
    sections = split_sections(output)
    try:
        members = parse_members("\n".join(sections.get("members", [])))
        nodes = parse_nodes("\n".join(sections.get("nodes", [])))
    except ValueError:
        return None
    return None if members is None or nodes is None else (members, nodes)


def _p99(rows: Sequence[str]) -> tuple[float | None, int]:
    """Milliseconds in which 99 of 100 writes reached the disk (nearest rank), of so many writes.

    None if none was timed, or by a `dd` that tells no more than tenths of a second.
    """
    told = [found[1] for row in rows if (found := _COPIED.search(row))]
    taken = sorted(map(float, told))
    if not all(map(math.isfinite, taken)):
        raise ValueError("a write took no time that can be told")
    if all(_TENTHS.fullmatch(text) for text in told):
        return None, 0
    rank = -(-len(taken) * _FSYNC_MARGIN // 100)
    return 1000 * taken[rank - 1], len(taken)


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
