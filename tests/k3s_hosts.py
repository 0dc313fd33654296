"""Hosts and clusters of K3S in a line: what a test does not name is as it should be."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from tests.k3s_release import VERSION, release
from tests.plans import KEY
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.node import config
from xops.k3s.operations.compare import Desired, images_path
from xops.k3s.operations.tokens import Tokens
from xops.k3s.release.lock import ARCHITECTURES, Artifact, Kind
from xops.k3s.state import facts, topology
from xops.k3s.state.facts import EtcdMember, FileFacts, HostFacts, NodeFacts, ServiceFacts

LOCK = release().lock
CLUSTER_ID = hashlib.sha256(b"the cluster's own CA").hexdigest()
TOKENS = Tokens("server-canary-7f3a", "agent-canary-91bc")

BARE = HostFacts(
    clock=1_700_000_000.0,
    arch="amd64",
    os="debian 13",
    init="systemd",
    hostname="bare",
    machine_id="0" * 32,
    cpus=4,
    memory_mib=8000,
    swap_mib=0,
    disk_free_gib=100.0,
    addresses=frozenset(),
    default_route=True,
    memory_cgroup=True,
    missing_modules=frozenset(),
    iptables="iptables v1.8.11 (nf_tables)",
    listening=frozenset({("tcp", 22)}),
    sysctls=dict.fromkeys(facts.SYSCTLS, "0"),
    version=None,
    service=None,
    files={},
    contents={},
    images={},
    cluster_id=None,
    etcd_member=False,
    nodes=None,
    fsync_p99_ms=2.0,
)
"""A machine on which K3S never was."""


def cluster(servers: int = 3, agents: int = 0, **values: Any) -> Cluster:
    """Servers at 10.0.0.11 and on, agents at 10.0.0.21 and on; any key of the file can be given."""
    rows = [row("server", number) for number in range(1, servers + 1)]
    rows += [row("agent", number) for number in range(1, agents + 1)]
    document: dict[str, Any] = {
        "apiVersion": "xops/v1",
        "name": "unit",
        "k3s": {"version": VERSION},
        "hosts": rows,
    }
    return Cluster.model_validate(document | values)


def row(role: str, number: int, **values: Any) -> dict[str, Any]:
    """A host of the file: server-1, agent-2."""
    address = f"10.0.0.{(10 if role == 'server' else 20) + number}"
    return {"name": f"{role}-{number}", "address": address, "role": role, **values}


def bare(host: Host, **values: Any) -> HostFacts:
    """The facts of a host without K3S."""
    unique: dict[str, Any] = {
        "hostname": host.name,
        "machine_id": hashlib.md5(host.name.encode(), usedforsecurity=False).hexdigest(),
        "addresses": frozenset({host.internal_address}),
        "arch": host.arch,
    }
    return replace(BARE, **unique | values)


def all_bare(of: Cluster) -> dict[str, HostFacts]:
    """The facts of all hosts before the first apply."""
    return {host.name: bare(host) for host in of.hosts}


def node(host: Host, version: str = VERSION, **values: Any) -> NodeFacts:
    """A node as it should be."""
    roles = {"control-plane", "etcd"} if host.is_server else set()
    made = NodeFacts(
        name=host.name,
        ready=True,
        voter=True if host.is_server else None,
        roles=frozenset(roles),
        version=version,
        address=host.internal_address,
    )
    return replace(made, **values)


def member(host: Host, life: int = 1, **values: Any) -> EtcdMember:
    """A voter; each life of a host has a name and an id of its own."""
    made = EtcdMember(
        id=f"{life}{host.internal_address.rpartition('.')[2]}",
        name=f"{host.name}-{life:08x}",
        peer_urls=(f"https://{host.internal_address}:2380",),
    )
    return replace(made, **values)


def with_members(seen: Mapping[str, HostFacts], *members: EtcdMember) -> dict[str, HostFacts]:
    """The same hosts; servers whose API answers tell these members, and nodes name theirs."""
    return {
        name: replace(each, members=members, nodes=tuple(_named(n, members) for n in each.nodes))
        if each.nodes is not None
        else each
        for name, each in seen.items()
    }


def _named(node: NodeFacts, members: Sequence[EtcdMember]) -> NodeFacts:
    """The node with the name of its member, the first one at its address."""
    own = [member for member in members if node.address in member.addresses]
    return replace(node, member=own[0].name if own else None)


def desired(**values: Any) -> Desired:
    """The files of the release in `tests.k3s_release`, and tokens."""
    return Desired(**{"key": KEY, "binaries": artifacts(Kind.BINARY), "tokens": TOKENS, **values})


def artifacts(kind: Kind) -> dict[str, Artifact]:
    """Files of the release by architecture."""
    return {arch: LOCK.artifact(VERSION, arch, kind) for arch in ARCHITECTURES}


def installed(
    of: Cluster, wanted: Desired | None = None, *, without: Sequence[str] = ()
) -> dict[str, HostFacts]:
    """The facts of a cluster that is as its file says; of hosts in `without`, before they joined.

    The first server keeps `server:` of the second one, as the second pass of an apply writes it.
    """
    wanted = wanted or desired()
    found = formed(of, wanted, without=without)
    formation = topology.read(of, found)
    return {
        host.name: found[host.name]
        if host.name in without
        else with_files(of, host, found, formation, wanted)
        for host in of.hosts
    }


def formed(
    of: Cluster, wanted: Desired | None = None, *, without: Sequence[str] = ()
) -> dict[str, HostFacts]:
    """As `installed`, but for what lies in files: which is all that a topology is read from."""
    nodes = tuple(
        node(host, labels=of.labels(host), taints=frozenset(of.taints(host)))
        for host in of.hosts
        if host.name not in without
    )
    return {
        host.name: bare(host)
        if host.name in without
        else joined(of, host, nodes, wanted or desired())
        for host in of.hosts
    }


def joined(of: Cluster, host: Host, nodes: tuple[NodeFacts, ...], wanted: Desired) -> HostFacts:
    """A host that is a node, its files aside."""
    images = {
        images_path(of, artifact): artifact.size or 0
        for arch, artifact in wanted.images.items()
        if arch == host.arch
    }
    return bare(
        host,
        version=of.k3s.version,
        service=ServiceFacts("active", enabled=True, restarts=0, started="Mon"),
        cluster_id=CLUSTER_ID,
        etcd_member=host.is_server,
        nodes=nodes if host.is_server else None,
        images=images,
        sysctls=dict(facts.SYSCTLS),
        fsync_p99_ms=None,
    )


def with_files(
    of: Cluster,
    host: Host,
    found: Mapping[str, HostFacts],
    formation: topology.Topology,
    wanted: Desired,
) -> HostFacts:
    """The same host with every file that it shall have."""
    files = list(config.files(of, host, found[host.name], formation, wanted.secrets))
    present = {file.path: file_facts(file.content, file.mode) for file in files}
    binary = wanted.binaries[host.arch]
    present[paths.BINARY] = FileFacts(binary.sha256, "755", "root:root", binary.size or 0)
    tokens = wanted.tokens or TOKENS
    if host.is_server:
        present[paths.AGENT_TOKEN] = file_facts(f"{tokens.agent}\n")
    present[paths.TOKEN] = file_facts(f"{tokens.server if host.is_server else 'spent'}\n")
    contents = {file.path: file.content for file in files if file.path == paths.CONFIG}
    return replace(found[host.name], files=present, contents=contents)


def file_facts(content: str, mode: int = 0o600) -> FileFacts:
    """What a host says of a file of root."""
    body = content.encode()
    return FileFacts(hashlib.sha256(body).hexdigest(), f"{mode:o}", "root:root", len(body))


def rewritten(seen: HostFacts, **values: Any) -> HostFacts:
    """The same host after somebody wrote these keys into its config.yaml."""
    text = yaml.safe_dump(yaml.safe_load(seen.contents[paths.CONFIG]) | values)
    files = {**seen.files, paths.CONFIG: file_facts(text)}
    return replace(seen, files=files, contents={paths.CONFIG: text})
