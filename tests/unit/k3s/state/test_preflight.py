"""What must be true of the hosts first: every finding at once, each with what mends it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.k3s_hosts import (
    all_bare,
    bare,
    cluster,
    formed,
    member,
    node,
    row,
    with_members,
)
from xops.core.errors import PermanentError, UnreachableError, XopsError
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.ssh.transport_protocol import HostKeyError
from xops.k3s.state import preflight
from xops.k3s.state.facts import HostFacts
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
        ("server-1", {"fsync_p99_ms": 20.1}, "fsync", "error"),
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
        ("fd00::11", "fd00::11", True),
        ("fd00::11", "fd00::12", False),
        ("one.example.com", "10.0.0.1", True),  # a name: K3S finds the address by itself
    ],
)
def test_an_address_of_any_kind_is_looked_for(address: str, has: str, fine: bool) -> None:
    of = cluster(hosts=[row("server", 1, address=address)])

    rows = found({"server-1": bare(of.servers[0], addresses=frozenset({has}))}, of)
    assert [check for _, check, _ in rows] == ([] if fine else ["address"])


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
        ([3600, 3600, 3600, 3601], []),  # this machine's own clock is wrong
        ([3600, 3600, 3600, 0], ["agent-1"]),
    ],
)
def test_clocks_are_held_against_the_median(offsets: list[float], wrong: list[str]) -> None:
    names = [host.name for host in OF.hosts]
    rows = found(all_bare(OF), offsets=dict(zip(names, map(float, offsets), strict=True)))

    assert rows == [(name, "clock", "error") for name in wrong]


@pytest.mark.parametrize(
    ("values", "check"), [({"hostname": "server-1"}, "hostname"), ({}, "machine-id")]
)
def test_a_clone_is_noticed(values: dict[str, Any], check: str) -> None:
    first = bare(OF.servers[0])
    clone = values or {"machine_id": first.machine_id}

    assert found(changed("agent-1", **clone)) == [("agent-1", check, "error")]


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
    assert "rm -rf /data/k3s /etc/rancher" in rows[0].remedy


def test_agents_of_a_cluster_that_is_gone_keep_a_new_one_from_being_founded() -> None:
    seen = {**all_bare(OF), "agent-1": formed(OF)["agent-1"]}
    finding = only(preflight.findings(OF, observed(seen)))

    assert (finding.host, finding.check) == ("agent-1", "cluster")
    assert "restore a snapshot" in finding.remedy


def test_a_node_that_is_not_in_the_file_is_a_warning() -> None:
    seen = formed(OF)
    stranger = node(OF.servers[0], name="old-1")
    seen["server-1"] = replace(seen["server-1"], nodes=(*(seen["server-1"].nodes or ()), stranger))

    finding = only(preflight.findings(OF, observed(seen)))
    assert (finding.host, finding.check, finding.severity) == (
        "old-1", "unlisted", Severity.WARNING,
    )  # fmt: skip
    assert "control-plane, etcd" in finding.found


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


# Hosts that shall go, and hosts that do not answer


def test_nothing_is_done_while_a_host_shall_go() -> None:
    hosts = [row.model_copy(update={"absent": row.name == "agent-1"}) for row in OF.hosts]
    of = OF.model_copy(update={"hosts": tuple(hosts)})
    assert found(formed(OF), of) == [("agent-1", "absent", "error")]


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
