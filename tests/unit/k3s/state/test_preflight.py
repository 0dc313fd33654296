"""What must be true of the hosts first: every finding at once, each with what mends it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.k3s_hosts import (
    all_bare,
    bare,
    cluster,
    file_facts,
    formed,
    member,
    node,
    row,
    with_members,
)
from xops.core.errors import PermanentError, UnreachableError, XopsError
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.release.lock import Architecture
from xops.k3s.ssh.transport_protocol import HostKeyError
from xops.k3s.state import preflight
from xops.k3s.state.facts import EtcdMember, HostFacts, NodeFacts, Route
from xops.k3s.state.preflight import (
    HostsUnreachableError,
    Observation,
    PreflightError,
    PreflightFinding,
    Severity,
)

OF = cluster(3, agents=1)
VIP = cluster(3, endpoint={"kind": "vip", "address": "10.0.0.10"})


def observed(seen: Mapping[str, HostFacts], **values: Any) -> Observation:
    return Observation(
        **{"facts": seen, "offsets": dict.fromkeys(seen, 0.0), "reached": {}, **values}
    )


def found(
    seen: Mapping[str, HostFacts], of: Cluster = OF, **values: Any
) -> list[tuple[str, str, str]]:
    """Host, check and severity of every finding."""
    rows = preflight.findings(of, observed(seen, **values))
    return [(row.host, row.check, row.severity.value) for row in rows]


WANTED = frozenset({"cpu", "cpuset", "memory", "pids"})
"""The controllers of cgroups that a host should have."""


def changed(name: str, of: Cluster = OF, **values: Any) -> dict[str, HostFacts]:
    """Bare hosts, one of which is otherwise."""
    return {**all_bare(of), name: bare(of.host(name), **values)}


def only(rows: list[PreflightFinding]) -> PreflightFinding:
    (finding,) = rows
    return finding


@pytest.mark.parametrize("of", [OF, VIP, cluster(1), cluster(5, agents=3)])
def test_hosts_as_they_should_be_pass(of: Cluster) -> None:
    assert found(all_bare(of), of) == []
    assert found(formed(of), of) == []


# One host


@pytest.mark.parametrize(
    ("host", "values", "check", "severity"),
    [
        ("server-1", {"arch": "arm64"}, "arch", "error"),
        ("agent-1", {"arch": "riscv64"}, "arch", "error"),
        ("server-1", {"init": "unknown"}, "init", "error"),
        ("server-1", {"cpus": 1}, "cpus", "error"),
        ("agent-1", {"cpus": 1}, None, None),
        ("server-1", {"memory_mib": 1799}, "memory", "error"),
        ("server-1", {"memory_mib": 1800}, None, None),
        ("agent-1", {"memory_mib": 480}, None, None),
        ("server-1", {"disk_free_gib": 9.9}, "disk", "error"),
        ("agent-1", {"disk_free_gib": 9.9}, "disk", "warning"),
        ("server-1", {"disk_free_gib": 1.0, "etcd_member": True}, None, None),
        ("server-1", {"fsync_p99_ms": 20.1}, "fsync", "warning"),
        ("server-1", {"fsync_p99_ms": 40.0}, "fsync", "warning"),
        ("server-1", {"fsync_p99_ms": 40.1}, "fsync", "error"),
        ("server-1", {"untimed": True}, "fsync", "warning"),
        ("agent-1", {"untimed": True}, None, None),
        ("agent-1", {"missing_tools": frozenset({"bash or wget"})}, "tools", "error"),
        (
            "agent-1",
            {"missing_tools": frozenset({"ip"}), "addresses": frozenset()},
            "tools",
            "error",
        ),
        ("agent-1", {"noexec": True}, "data", "error"),
        ("agent-1", {"noexec": False}, None, None),
        ("agent-1", {"selinux": "enforcing"}, "selinux", "error"),
        ("agent-1", {"selinux": "enforcing", "selinux_policy": True}, None, None),
        ("agent-1", {"selinux": "permissive"}, None, None),
        ("agent-1", {"cgroup_version": 1, "cgroup_controllers": WANTED}, "cgroup", "error"),
        ("agent-1", {"cgroup_version": 2, "cgroup_controllers": WANTED}, None, None),
        (
            "agent-1",
            {"cgroup_version": 2, "cgroup_controllers": WANTED - {"cpuset"}},
            "cgroup",
            "error",
        ),
        ("agent-1", {"missing_modules": frozenset({"vxlan"})}, "modules", "error"),
        ("agent-1", {"listening": frozenset({("udp", 8472)})}, "ports", "error"),
        ("agent-1", {"listening": frozenset({("udp", 51820)})}, None, None),
        ("agent-1", {"dropins": ("/etc/rancher/k3s/config.yaml.d/a.yaml",)}, "dropins", "warning"),
        ("agent-1", {"proxies": ("HTTP_PROXY in /etc/default/k3s-agent",)}, "proxy", "warning"),
        (
            "agent-1",
            {"proxies": ("HTTP_PROXY in /etc/default/x", "NO_PROXY in /etc/default/x")},
            None,
            None,
        ),
        (
            "agent-1",
            {"proxies": ("HTTP_PROXY in /a/k3s.service.env", "NO_PROXY in /a/k3s.service.env")},
            "proxy",
            "warning",
        ),
        ("agent-1", {"routes": (Route("10.42.7.0/24", "eth1"),)}, "networks", "error"),
        ("agent-1", {"routes": (Route("10.43.0.0/16", "eth1"),)}, "networks", "error"),
        ("agent-1", {"routes": (Route("0.0.0.0/0", "eth0"), Route("fd00::/8", "a"))}, None, None),
        (
            "server-1",
            {"routes": (Route("10.42.7.0/24", "eth1"),), "etcd_member": True},
            None,
            None,
        ),
        (
            "agent-1",
            {"addresses": frozenset({"10.0.0.21", "10.42.9.1", "fd00::1"})},
            "networks",
            "error",
        ),
        ("server-1", {"fsync_p99_ms": 20.0}, None, None),
        ("server-1", {"fsync_p99_ms": None}, None, None),
        ("agent-1", {"fsync_p99_ms": 90.0}, None, None),
        ("server-1", {"exposed": ("/srv/x y",)}, "data", "error"),
        ("agent-1", {"exposed": ("/srv",)}, "data", "error"),
        ("server-1", {"exposed": ("/srv",), "etcd_member": True}, "data", "warning"),
        ("agent-1", {"memory_cgroup": False}, "cgroup", "error"),
        ("agent-1", {"missing_modules": frozenset({"overlay"})}, "modules", "error"),
        ("server-1", {"swap_mib": 512}, "swap", "warning"),
        ("server-1", {"iptables": None}, "iptables", "warning"),
        ("server-1", {"default_route": False}, "route", "error"),
        ("server-1", {"addresses": frozenset({"10.0.0.99"})}, "address", "error"),
        ("server-1", {"listening": frozenset({("tcp", 2380)})}, "ports", "error"),
        ("server-1", {"listening": frozenset({("udp", 6443)})}, None, None),
        ("agent-1", {"listening": frozenset({("tcp", 6443)})}, None, None),
        ("agent-1", {"listening": frozenset({("tcp", 10250)})}, "ports", "error"),
        (
            "server-1",
            {"listening": frozenset({("tcp", 6443)}), "etcd_member": True},
            None,
            None,
        ),
        ("agent-1", {"etcd_member": True}, "role", "error"),
    ],
)
def test_a_rule_about_one_host(
    host: str, values: dict[str, Any], check: str | None, severity: str | None
) -> None:
    expected = [(host, check, severity)] if check else []

    assert found(changed(host, **values)) == expected


@pytest.mark.parametrize(("version", "warns"), [("v1.36.2+k3s1", True), ("v1.36.4+k3s1", False)])
def test_a_note_of_images_is_told_with_releases_that_take_their_pins_off(
    version: str, warns: bool
) -> None:
    of = cluster(1, k3s={"version": version})
    cache = f"{of.k3s.data_dir}/{paths.IMAGE_CACHE}"
    rows = preflight.findings(of, observed(changed("server-1", of, files={cache: file_facts("")})))

    assert [(row.check, row.severity) for row in rows] == [("images", Severity.WARNING)] * warns
    assert all(f"rm {cache}" in row.remedy for row in rows)


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("v1.36.4+k3s1", None),
        ("v1.36.3+k3s2", None),
        ("v1.35.9+k3s1", None),
        ("v1.36.4-rc1+k3s1", None),
        ("v1.36.4+k3s-0123abcd", None),  # built from a commit, before the release
        ("v1.36.4+k3s2", "cannot go back"),
        ("v1.37.0+k3s1", "cannot go back"),
        ("v1.34.9+k3s1", "Go to v1.35 first"),
        ("dev", "is no release"),
    ],
)
def test_a_version_goes_forward_by_one_minor_at_most(version: str, says: str | None) -> None:
    rows = preflight.findings(OF, observed(changed("server-2", version=version)))

    assert bool(rows) == bool(says)
    assert all(row.check == "version" and says in str(row) for row in rows if says)


@pytest.mark.parametrize(
    ("address", "has", "fine"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("one.example.com", "10.0.0.1", True),  # a name: K3S finds the address by itself
    ],
)
def test_an_address_of_any_kind_is_looked_for(address: str, has: str, fine: bool) -> None:
    of = cluster(hosts=[row("server", 1, address=address)])

    rows = found({"server-1": bare(of.servers[0], addresses=frozenset({has}))}, of)
    assert [check for _, check, _ in rows] == ([] if fine else ["address"])


def test_an_address_of_the_other_family_is_refused() -> None:
    """K3S ends where node-ip and cluster-cidr are not of one (pkg/agent/run.go)."""
    of = cluster(hosts=[row("server", 1, address="fd00::11")])
    seen = bare(of.servers[0], addresses=frozenset({"fd00::11"}))

    assert found({"server-1": seen}, of) == [("server-1", "networks", "error")]


@pytest.mark.parametrize(
    ("backend", "port", "taken"),
    [
        ("wireguard-native", 51820, True),
        ("wireguard-native", 8472, False),
        ("host-gw", 8472, False),
    ],
)
def test_a_backend_s_own_port_must_be_free(backend: str, port: int, taken: bool) -> None:
    of = cluster(1, networks={"backend": backend})
    seen = changed("server-1", of, listening=frozenset({("udp", port)}))

    assert found(seen, of) == ([("server-1", "ports", "error")] if taken else [])


@pytest.mark.parametrize(("version", "fine"), [("v1.34.10+k3s1", True), ("v1.35.0+k3s1", False)])
def test_cgroup_v1_does_until_the_kubelet_refuses_it(version: str, fine: bool) -> None:
    of = cluster(1, k3s={"version": version})
    seen = changed("server-1", of, cgroup_version=1, cgroup_controllers=WANTED)

    assert found(seen, of) == ([] if fine else [("server-1", "cgroup", "error")])


def test_a_slow_disk_is_said_of_so_many_writes() -> None:
    (row,) = preflight.findings(
        OF, observed(changed("server-1", fsync_p99_ms=50.0, fsync_writes=200))
    )

    assert "99 of 100 writes take up to 50.0 ms" in row.found
    assert "of 200 that were timed" in row.found


def test_a_host_that_could_not_be_looked_at_is_named_with_the_reason() -> None:
    seen = {name: each for name, each in all_bare(OF).items() if name != "server-2"}
    error = PermanentError("connecting to server-2", "connection refused", "Start its sshd.")
    (finding,) = preflight.findings(OF, observed(seen, failed={"server-2": error}))

    assert (finding.host, finding.check) == ("server-2", "ssh")
    assert str(finding) == (
        "server-2: ssh: connecting to server-2: connection refused\n  -> Start its sshd."
    )


# Peers


@pytest.mark.parametrize(
    ("answer", "closed"),
    [("open", False), ("refused", False), ("silent", True), ("unreachable", True)],
)
def test_a_port_that_nobody_listens_on_is_reachable_all_the_same(answer: str, closed: bool) -> None:
    reached = {"server-1": {("10.0.0.12", 2379): answer, ("10.0.0.12", 2380): answer}}
    rows = preflight.findings(OF, observed(all_bare(OF), reached=reached))

    assert [row.check for row in rows] == (["peers"] if closed else [])
    assert all("server-2 (10.0.0.12) on 2379, 2380" in row.found for row in rows)
    assert all("--dports 2379,2380 " in row.remedy for row in rows)


def test_who_must_reach_whom() -> None:
    of = cluster(3, agents=2)
    server = preflight.ports_to_try(of, of.host("server-1"))
    agent = preflight.ports_to_try(of, of.host("agent-1"))

    assert server == {
        "10.0.0.12": (6443, 2379, 2380, 10250),
        "10.0.0.13": (6443, 2379, 2380, 10250),
        "10.0.0.21": (10250,),
        "10.0.0.22": (10250,),
    }
    assert agent == dict.fromkeys(["10.0.0.11", "10.0.0.12", "10.0.0.13"], (6443,))
    assert preflight.ports_to_try(VIP, VIP.servers[0])["10.0.0.10"] == (6443,)


@pytest.mark.parametrize(
    ("answer", "free"),
    [("open", False), ("refused", False), ("silent", True), ("unreachable", True)],
)
def test_the_address_that_moves_must_be_free_at_first(answer: str, free: bool) -> None:
    reached = {"server-1": {("10.0.0.10", 6443): answer}}

    rows = found(all_bare(VIP), VIP, reached=reached)
    assert rows == ([] if free else [("server-1", "vip", "error")])
    assert found(formed(VIP), VIP, reached=reached) == []


# All hosts together


@pytest.mark.parametrize(
    ("offsets", "wrong"),
    [
        ([0, 0, 0, 30], []),
        ([0, 0, 0, 31], ["agent-1"]),
        ([0, -31, 0, 1], ["server-2"]),
    ],
)
def test_clocks_are_held_against_the_median(offsets: list[float], wrong: list[str]) -> None:
    names = [host.name for host in OF.hosts]
    rows = found(all_bare(OF), offsets=dict(zip(names, map(float, offsets), strict=True)))

    assert rows == [(name, "clock", "error") for name in wrong]


@pytest.mark.parametrize(
    ("seconds", "severity"), [(30, None), (31, "warning"), (-3600, "warning"), (3601, "error"),
                              (-56 * 365 * 86400, "error")]
)  # fmt: skip
@pytest.mark.parametrize("of", [cluster(1), cluster(3)])
def test_clocks_that_agree_are_held_against_this_machine_s(
    of: Cluster, seconds: float, severity: str | None
) -> None:
    rows = found(all_bare(of), of, offsets={host.name: float(seconds) for host in of.hosts})

    names = ", ".join(host.name for host in of.hosts)
    assert rows == ([(names, "clock", severity)] if severity else [])


def test_one_that_is_off_is_named_beside_all_that_are() -> None:
    offsets = dict(
        zip((host.name for host in OF.hosts), (7200.0, 7200.0, 7200.0, 0.0), strict=True)
    )
    rows = found(all_bare(OF), offsets=offsets)

    assert [name for name, _, _ in rows] == ["agent-1", ", ".join(offsets)]


def test_a_clone_is_noticed() -> None:
    first = bare(OF.servers[0])

    assert found(changed("agent-1", machine_id=first.machine_id)) == [
        ("agent-1", "machine-id", "error")
    ]


def test_equal_hostnames_do_no_harm() -> None:
    """A node is called as the file calls its host (node-name)."""
    assert found(changed("agent-1", hostname="server-1")) == []


def test_hosts_that_say_no_machine_id_are_no_clones() -> None:
    seen = {name: replace(each, machine_id="") for name, each in all_bare(OF).items()}

    assert found(seen) == []


def test_two_clusters_are_not_merged() -> None:
    of = cluster(3, k3s={"version": "v1.36.4+k3s1", "data_dir": "/data/k3s"})
    seen = formed(of)
    seen["server-3"] = replace(seen["server-3"], cluster_id="f" * 64)
    rows = preflight.findings(of, observed(seen))

    assert [(row.host, row.check) for row in rows] == [
        ("server-1", "cluster"),
        ("server-3", "cluster"),
    ]
    for finding in rows:
        assert "hold the data of this one" in finding.remedy
        assert "rm -rf" not in finding.remedy


def test_an_agent_of_another_cluster_is_moved_and_not_erased() -> None:
    of = cluster(3, agents=1, k3s={"version": "v1.36.4+k3s1", "data_dir": "/data/k3s"})
    seen = formed(of)
    seen["agent-1"] = replace(seen["agent-1"], cluster_id="f" * 64)
    rows = {row.host: row.remedy for row in preflight.findings(of, observed(seen))}

    assert "move /data/k3s/agent and /etc/rancher/node aside" in rows["agent-1"]
    assert "rm -rf" not in rows["agent-1"]
    assert "hold the data of this one" in rows["server-1"]


def test_a_server_without_etcd_holds_data_as_well() -> None:
    seen = formed(OF)
    seen["agent-1"] = replace(seen["agent-1"], cluster_id="f" * 64, datastore_file=True)
    rows = {row.host: row.remedy for row in preflight.findings(OF, observed(seen))}

    assert "agent-1 hold the data of this one" in rows["agent-1"]


def test_agents_of_a_cluster_that_is_gone_keep_a_new_one_from_being_founded() -> None:
    seen = {**all_bare(OF), "agent-1": formed(OF)["agent-1"]}
    finding = only(preflight.findings(OF, observed(seen)))

    assert (finding.host, finding.check) == ("agent-1", "cluster")
    assert "restore a snapshot" in finding.remedy
    assert "rm -rf" not in finding.remedy


def test_a_node_that_is_not_in_the_file_is_a_warning() -> None:
    seen = formed(OF)
    stranger = node(OF.servers[0], name="old-1")
    seen["server-1"] = replace(seen["server-1"], nodes=(*(seen["server-1"].nodes or ()), stranger))

    finding = only(preflight.findings(OF, observed(seen)))
    assert (finding.host, finding.check, finding.severity) == (
        "old-1", "unlisted", Severity.WARNING,
    )  # fmt: skip
    assert "control-plane, etcd" in finding.found


DELETES = "kubectl delete node old-1"
GONE: dict[str, Any] = {"name": "old-1", "address": "10.0.0.99", "ready": False}
OLD = EtcdMember("99", "old-1-00000001", ("https://10.0.0.99:2380",))


def unlisted(
    *strangers: NodeFacts, of: Cluster = OF, members: tuple[EtcdMember, ...] | None = None
) -> str:
    """What is advised for the first of these nodes, which no file has."""
    nodes = (*(node(host) for host in of.hosts), *strangers)
    seen = {name: replace(each, nodes=nodes) for name, each in formed(of).items()}
    rows = preflight.findings(of, observed(with_members(seen, *members) if members else seen))
    return next(row.remedy for row in rows if row.host == strangers[0].name)


def voters(of: Cluster, *more: EtcdMember) -> tuple[EtcdMember, ...]:
    return (*(member(host) for host in of.servers), *more)


def test_a_node_under_the_old_name_of_a_host_is_never_to_be_deleted() -> None:
    """Its member of etcd has the old name on its disk: K3S would remove the living one."""
    remedy = unlisted(node(OF.servers[0], name="old-1"))

    assert "It is server-1" in remedy
    assert "`name: old-1`" in remedy
    assert DELETES not in remedy


def test_a_node_that_is_ready_is_not_to_be_deleted() -> None:
    assert DELETES not in unlisted(node(OF.servers[0], **GONE | {"ready": True}))


def test_an_agent_that_is_gone_may_be_deleted() -> None:
    assert DELETES in unlisted(node(OF.agents[0], **GONE))


def test_a_server_that_is_gone_may_be_deleted_where_etcd_does_not_miss_it() -> None:
    server = node(OF.servers[0], **GONE)

    assert DELETES in unlisted(server, members=voters(OF, OLD))
    assert DELETES not in unlisted(server)  # no server tells etcd's members
    assert DELETES not in unlisted(server, members=voters(OF))  # its member is not known


def test_a_server_is_not_to_be_deleted_while_others_are_down_as_well() -> None:
    down: dict[str, Any] = {"ready": False, "address": "10.0.0.98", "name": "old-2"}
    other = EtcdMember("98", "old-2-00000001", ("https://10.0.0.98:2380",))
    alone = cluster(1)
    strangers = (node(OF.servers[0], **GONE), node(OF.servers[0], **down))

    assert DELETES not in unlisted(*strangers, of=alone, members=voters(alone, OLD, other))


AIR_GAP: dict[str, Any] = {
    "endpoint": {"kind": "vip", "address": "10.0.0.10"},
    "air_gap": {"bundle": "b.tar"},
}
IMAGES = "/var/lib/rancher/k3s/agent/images"


@pytest.mark.parametrize(
    ("values", "images", "missing"),
    [
        ({}, {f"{IMAGES}/xops-0123-k3s-airgap-images-amd64.tar": 1}, True),
        ({}, {f"{IMAGES}/kube-vip.tar": 1}, False),
        ({"registries": {"mirrors": {"ghcr.io": {"endpoint": ["https://m"]}}}}, {}, False),
        ({"registries": {"mirrors": {"docker.io": {"endpoint": ["https://m"]}}}}, {}, True),
        ({"endpoint": {"kind": "servers"}}, {}, False),
        ({"air_gap": None}, {}, False),
    ],
)
def test_in_an_air_gap_the_address_that_moves_needs_an_image_of_its_own(
    values: dict[str, Any], images: dict[str, int], missing: bool
) -> None:
    of = cluster(1, **AIR_GAP | values)
    rows = found(changed("server-1", of, images=images), of)

    assert rows == ([("server-1", "vip", "error")] if missing else [])


@pytest.mark.parametrize(
    ("brought", "missing"),
    [
        ({"amd64": {"ghcr.io/kube-vip/kube-vip:v1.0.4"}}, False),
        ({"amd64": {"ghcr.io/kube-vip/kube-vip:v1.0.3"}}, True),
        ({"arm64": {"ghcr.io/kube-vip/kube-vip:v1.0.4"}}, True),
    ],
)
def test_an_image_that_the_bundle_brings_is_not_missed(
    brought: dict[Architecture, set[str]], missing: bool
) -> None:
    of = cluster(1, **AIR_GAP)
    rows = preflight.findings(of, observed(changed("server-1", of)), brought)
    remedies = [row.remedy for row in rows if row.check == "vip"]

    assert len(remedies) == missing
    for remedy in remedies:
        assert "docker pull --platform linux/amd64 ghcr.io/kube-vip/kube-vip:v1.0.4" in remedy
        assert "xops bundle lock --k3s v1.36.4+k3s1 --images kube-vip-amd64.tar" in remedy


# Together


def test_everything_is_said_at_once_errors_first() -> None:
    seen = changed("server-1", cpus=1, swap_mib=9, default_route=False)
    seen["agent-1"] = bare(OF.host("agent-1"), swap_mib=9, memory_cgroup=False)

    assert found(seen, offsets={name: 40.0 * (name == "server-2") for name in seen}) == [
        ("server-1", "cpus", "error"),
        ("server-1", "route", "error"),
        ("agent-1", "cgroup", "error"),
        ("server-2", "clock", "error"),
        ("server-1", "swap", "warning"),
        ("agent-1", "swap", "warning"),
    ]


def test_every_finding_says_what_mends_it() -> None:
    seen = changed("server-1", cpus=1, memory_mib=1, disk_free_gib=0.0, fsync_p99_ms=99.0)

    for finding in preflight.findings(OF, observed(seen)):
        assert finding.remedy
        assert finding.to_json()["severity"] == "error"


def test_errors_refuse_and_warnings_do_not() -> None:
    warning = PreflightFinding("a", "swap", "is on", "Turn it off.", Severity.WARNING)
    error = PreflightFinding("a", "cpus", "has 1", "Give it more.")
    preflight.refuse(OF, [warning])

    with pytest.raises(PreflightError) as caught:
        preflight.refuse(OF, [error, warning, error])
    assert caught.value.attempted == "preflight of k3s/unit"
    assert caught.value.found.startswith("2 findings\n  a: cpus: has 1\n    -> Give it more.")
    assert caught.value.to_json()["findings"] == [error.to_json()] * 2


def test_servers_whose_etcds_are_two_are_refused() -> None:
    """One was reset while the others lived: both answer, and both have the cluster's name."""
    whole = with_members(formed(OF), *map(member, OF.servers))
    assert found(whole) == []

    alone = member(OF.servers[0], 2)
    split = {**whole, "server-1": replace(whole["server-1"], members=(alone,))}
    rows = preflight.findings(OF, observed(split))
    assert [(row.host, row.check, row.severity.value) for row in rows] == [
        ("server-1", "etcd", "error"),
        ("server-2", "etcd", "error"),
    ]
    assert "server-2, server-3 name other members" in rows[1].found
    silent = {**whole, "server-1": replace(whole["server-1"], members=None)}
    assert found(silent) == []


# Hosts that do not answer


SILENT = UnreachableError("connecting", "no answer", "See that it is up.")
STRANGE = HostKeyError("connecting", "another key", "Pin it.")


@pytest.mark.parametrize(
    ("failed", "severities", "refused"),
    [
        ({"agent-1": SILENT}, {"agent-1": "warning"}, None),
        ({"agent-1": STRANGE}, {"agent-1": "error"}, PreflightError),
        ({"server-1": SILENT}, {"server-1": "error"}, HostsUnreachableError),
        (
            {"server-1": SILENT, "agent-1": SILENT},
            {"server-1": "error", "agent-1": "warning"},
            HostsUnreachableError,
        ),
        (
            {"server-1": SILENT, "agent-1": STRANGE},
            {"server-1": "error", "agent-1": "error"},
            PreflightError,
        ),
    ],
    ids=str,
)
def test_only_silent_agents_are_left_out(
    failed: dict[str, XopsError],
    severities: dict[str, str],
    refused: type[XopsError] | None,
) -> None:
    seen = {name: facts for name, facts in formed(OF).items() if name not in failed}
    rows = preflight.findings(OF, observed(seen, failed=failed))
    assert {row.host: row.severity.value for row in rows if row.check == "ssh"} == severities
    if refused is None:
        preflight.refuse(OF, rows)
    else:
        with pytest.raises(refused):
            preflight.refuse(OF, rows)


def test_a_silent_agent_hides_no_rule_that_needs_all_servers() -> None:
    """Agents of a cluster whose servers are all new: founding another one is no answer."""
    of = cluster(1, agents=2)
    seen = {"server-1": bare(of.host("server-1")), "agent-2": formed(of)["agent-2"]}
    rows = found(seen, of, failed={"agent-1": SILENT})
    assert ("agent-2", "cluster", "error") in rows
