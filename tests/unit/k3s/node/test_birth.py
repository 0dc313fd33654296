"""A living cluster is held against its file: what K3S does not change there is refused."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml

from tests.k3s_hosts import (
    CLUSTER_ID,
    all_bare,
    bare,
    cluster,
    file_facts,
    installed,
    node,
    row,
)
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.node import birth
from xops.k3s.node.config import config
from xops.k3s.state import topology
from xops.k3s.state.facts import HostFacts, ServiceFacts
from xops.k3s.state.preflight import Observation, PreflightFinding, Severity

VERSION = "v1.36.4+k3s1"
OF = cluster(3, agents=1)
NONE: dict[str, Any] = {"hardening": {"profile": "none"}}
RUNS = ServiceFacts("active", enabled=True, restarts=0, started="Mon")
STOPPED = ServiceFacts("inactive", enabled=False, restarts=0, started="")


def rows(of: Cluster, seen: Mapping[str, HostFacts]) -> list[PreflightFinding]:
    return list(birth.findings(of, Observation(seen, {}, {})))


def found(of: Cluster, seen: Mapping[str, HostFacts]) -> list[tuple[str, str, str]]:
    """Host, check and severity of every finding."""
    return [(each.host, each.check, each.severity.value) for each in rows(of, seen)]


def only(of: Cluster, seen: Mapping[str, HostFacts]) -> PreflightFinding:
    (finding,) = rows(of, seen)
    return finding


def with_config(seen: HostFacts, text: str | None) -> HostFacts:
    """The same host with another config.yaml, or none."""
    rest = {path: file for path, file in seen.files.items() if path != paths.CONFIG}
    if text is None:
        return replace(seen, files=rest, contents={})
    return replace(
        seen, files={**rest, paths.CONFIG: file_facts(text)}, contents={paths.CONFIG: text}
    )


@pytest.mark.parametrize("of", [OF, cluster(1), cluster(3, **NONE), cluster(5, agents=3)])
def test_a_cluster_as_its_file_says_passes_and_so_do_bare_hosts(of: Cluster) -> None:
    assert found(of, all_bare(of)) == []
    assert found(of, installed(of)) == []


# Settings that are fixed at birth


@pytest.mark.parametrize(
    ("before", "after", "keys"),
    [
        ({}, {"networks": {"cluster": "10.52.0.0/16"}}, ["cluster-cidr"]),
        ({}, {"networks": {"service": "10.53.0.0/16"}}, ["cluster-dns", "service-cidr"]),
        ({}, {"networks": {"domain": "k3s.example"}}, ["cluster-domain"]),
        ({}, {"networks": {"backend": "wireguard-native"}}, ["flannel-backend"]),
        (NONE, {}, ["secrets-encryption"]),
        ({}, NONE, ["secrets-encryption"]),
        (
            {},
            {"k3s": {"version": VERSION, "config": {"egress-selector-mode": "pod"}}},
            ["egress-selector-mode"],
        ),
    ],
)
@pytest.mark.parametrize("servers", [1, 3])
def test_a_setting_that_is_fixed_at_birth_is_refused(
    before: dict[str, Any], after: dict[str, Any], keys: list[str], servers: int
) -> None:
    seen = installed(cluster(servers, agents=1, **before))
    findings = rows(cluster(servers, agents=1, **after), seen)

    assert [each.found.split()[0] for each in findings] == keys
    for each in findings:
        assert (each.host, each.severity) == ("server-1", Severity.ERROR)
        assert each.check == "fixed at birth"
        assert f"server-{servers}" in each.found
        assert "rm -rf" not in each.remedy


@pytest.mark.parametrize(
    "after",
    [
        {"k3s": {"version": "v1.36.5+k3s1"}},
        {"k3s": {"version": VERSION, "disable": ["traefik"]}},
        {"k3s": {"version": VERSION, "config": {"etcd-arg": ["quota-backend-bytes=1"]}}},
        {"snapshots": {"retention": 9}},
        {"hosts": [row("server", each, labels={"a": "1"}) for each in (1, 2, 3)]},
    ],
)
def test_other_settings_are_changed_on_a_living_cluster(after: dict[str, Any]) -> None:
    assert found(cluster(3, **after), installed(cluster(3))) == []


def test_what_it_was_and_would_be_is_said_with_the_file_s_own_key() -> None:
    finding = only(cluster(3, networks={"cluster": "10.52.0.0/16"}), installed(cluster(3)))

    assert (
        "cluster-cidr (networks.cluster in the file) is 10.42.0.0/16 on server-1, server-2,"
        " server-3, and would become 10.52.0.0/16"
    ) in finding.found


def test_one_server_that_differs_is_named_alone() -> None:
    seen = installed(OF)
    text = seen["server-2"].contents[paths.CONFIG]
    seen["server-2"] = with_config(seen["server-2"], text.replace("10.42.0.0", "10.52.0.0"))

    finding = only(OF, seen)
    assert finding.host == "server-2"
    assert "is 10.52.0.0/16 on server-2, and" in finding.found


def test_k3s_own_defaults_are_what_a_config_without_the_key_says() -> None:
    """A cluster of another hand, whose config.yaml is short, becomes one of xOps'."""
    of = cluster(3, **NONE)
    seen = installed(of)
    for host in of.servers:
        text = "# Managed by xOps\n" + yaml.safe_dump({"token-file": paths.TOKEN})
        seen[host.name] = with_config(seen[host.name], text)

    assert {check for _, check, _ in found(of, seen)} == {"settings"}  # its unit is not seen


def test_a_cluster_without_encryption_is_not_taken_over_with_the_profile() -> None:
    seen = installed(cluster(3, **NONE))
    for name in ("server-1", "server-2", "server-3"):
        seen[name] = with_config(seen[name], "cluster-cidr: 10.42.0.0/16\n")

    errors = [each for each in rows(cluster(3), seen) if each.severity is Severity.ERROR]
    assert [each.found.split()[0] for each in errors] == ["secrets-encryption"]
    assert "hardening.profile" in errors[0].found
    assert "k3s secrets-encrypt enable" in errors[0].remedy


# Places and names


def test_a_data_folder_that_is_moved_in_the_file_founds_no_second_cluster() -> None:
    """Facts look into the new folder, which is empty: only config.yaml tells of the old one."""
    of = cluster(3, k3s={"version": VERSION, "data_dir": "/data/k3s"})
    seen = {
        name: replace(each, cluster_id=None, etcd_member=False, nodes=None)
        for name, each in installed(cluster(3)).items()
    }

    finding = only(of, seen)
    assert finding.check == "fixed at birth"
    assert (
        "data-dir (k3s.data_dir in the file) is /var/lib/rancher/k3s on server-1" in finding.found
    )


def test_a_server_that_runs_on_a_datastore_elsewhere_is_refused() -> None:
    of = cluster(1, **NONE)
    (host,) = of.servers
    seen = bare(host, cluster_id=CLUSTER_ID, service=RUNS)
    text = yaml.safe_dump({"datastore-endpoint": "not shown"})

    findings = rows(of, {host.name: with_config(seen, text)})
    assert [each.found.split()[0] for each in findings] == ["datastore-endpoint"]


@pytest.mark.parametrize("role", ["server", "agent"])
def test_a_host_that_is_renamed_in_the_file(role: str) -> None:
    old = cluster(3, agents=1)
    hosts = [row("server", each) for each in (1, 2, 3)] + [row("agent", 1)]
    index = 0 if role == "server" else 3
    hosts[index] |= {"name": "renamed"}
    seen = installed(old)
    seen["renamed"] = seen.pop(f"{role}-1")

    finding = only(cluster(hosts=hosts), seen)
    assert (finding.host, finding.check) == ("renamed", "rejoin")
    assert f"is {role}-1 on renamed" in finding.found


def test_a_server_whose_address_is_changed_in_the_file() -> None:
    hosts = [row("server", each) for each in (1, 2, 3)]
    hosts[1]["private_address"] = "10.9.0.12"

    finding = only(cluster(hosts=hosts), installed(cluster(3)))
    assert (finding.host, finding.check) == ("server-2", "rejoin")
    assert "node-ip" in finding.found
    assert "this server is not a member of the etcd cluster" in finding.found


def test_an_agent_may_have_another_address() -> None:
    hosts = [row("server", 1), row("agent", 1, private_address="10.9.0.21")]

    assert found(cluster(hosts=hosts), installed(cluster(1, agents=1))) == []


@pytest.mark.parametrize(
    ("values", "fine"),
    [
        ({}, True),
        ({"hostname": "SERVER-1"}, True),
        ({"hostname": "another"}, False),
        ({"addresses": frozenset({"10.0.0.11", "192.0.2.1"})}, True),  # its node tells which
        ({"addresses": frozenset({"10.0.0.11", "192.0.2.1"}), "nodes": None}, False),
    ],
)
def test_name_and_address_that_k3s_took_from_the_host(values: dict[str, Any], fine: bool) -> None:
    of = cluster(1)
    seen = installed(of)["server-1"]
    written = yaml.safe_load(seen.contents[paths.CONFIG])
    del written["node-name"], written["node-ip"]
    text = "# Managed by xOps; what is changed here by hand is put back.\n" + yaml.safe_dump(
        written
    )

    seen = with_config(replace(seen, **values), text)
    assert (found(of, {"server-1": seen}) == []) is fine


# Roles


def promoted() -> tuple[Cluster, dict[str, HostFacts]]:
    """One server and two agents, of which the file makes servers."""
    hosts = [row("server", 1), *(row("agent", each) | {"role": "server"} for each in (1, 2))]
    seen = installed(cluster(1, agents=2))
    return cluster(hosts=hosts), seen


def roles(of: Cluster, seen: Mapping[str, HostFacts]) -> list[tuple[str, str]]:
    return [(each.host, each.remedy) for each in rows(of, seen) if each.check == "role"]


def test_an_agent_is_no_server_whose_disk_was_lost() -> None:
    of, seen = promoted()
    told = roles(of, seen)

    assert [name for name, _ in told] == ["agent-1", "agent-2"]
    assert "Write `role: agent`" in told[0][1]


def test_an_agent_s_service_is_enough_where_no_api_answers() -> None:
    of, seen = promoted()
    seen["server-1"] = replace(seen["server-1"], nodes=None)
    assert roles(of, seen) == []  # nobody tells, and the service was not asked for

    seen["agent-1"] = replace(seen["agent-1"], service=None, other_service=RUNS)
    assert [name for name, _ in roles(of, seen)] == ["agent-1"]


def test_a_server_whose_disk_was_lost_is_no_agent() -> None:
    seen = installed(OF)
    seen["server-2"] = bare(OF.host("server-2"), other_service=STOPPED)
    lost = node(OF.host("server-2"), ready=False)
    nodes = tuple(lost if each.name == lost.name else each for each in seen["server-1"].nodes or ())
    seen["server-1"] = replace(seen["server-1"], nodes=nodes)

    assert found(OF, seen) == []


def test_a_server_is_not_made_an_agent_while_it_runs() -> None:
    hosts = [row("server", 1), row("agent", 1)]
    seen = installed(cluster(1, agents=1))
    seen["agent-1"] = replace(seen["agent-1"], service=None, other_service=RUNS)

    assert [name for name, _ in roles(cluster(hosts=hosts), seen)] == ["agent-1"]


def test_a_service_that_was_stopped_and_disabled_is_nothing() -> None:
    of = cluster(1, agents=1)
    seen = {name: replace(each, other_service=STOPPED) for name, each in all_bare(of).items()}

    assert found(of, seen) == []


# Other machines, other datastores


def test_a_bare_host_is_not_the_machine_whose_node_is_ready_elsewhere() -> None:
    seen = installed(OF)
    seen["server-3"] = bare(OF.host("server-3"))
    there = node(OF.host("server-3"), address="10.0.0.77")
    nodes = tuple(
        there if each.name == there.name else each for each in seen["server-1"].nodes or ()
    )
    seen["server-1"] = replace(seen["server-1"], nodes=nodes)

    finding = only(OF, seen)
    assert (finding.host, finding.check) == ("server-3", "other machine")
    assert "Ready at 10.0.0.77" in finding.found


def test_a_host_whose_disk_was_just_lost_is_itself() -> None:
    seen = installed(OF)
    seen["server-3"] = bare(OF.host("server-3"))  # its node is Ready for some seconds more

    assert found(OF, seen) == []


def test_a_cluster_in_sqlite_is_not_erased() -> None:
    of = cluster(1)
    seen = {"server-1": bare(of.servers[0], cluster_id=CLUSTER_ID, datastore_file=True)}

    finding = only(of, seen)
    assert (finding.check, finding.severity) == ("datastore", Severity.ERROR)
    assert "/var/lib/rancher/k3s/server/db/state.db" in finding.found
    assert "cluster-init: true" in finding.remedy
    assert "rm -rf" not in finding.remedy


def test_what_sqlite_left_behind_when_it_was_moved_into_etcd_is_nothing() -> None:
    of = cluster(3)
    seen = {name: replace(each, datastore_file=True) for name, each in installed(of).items()}

    assert found(of, seen) == []


# Settings that are not seen


@pytest.mark.parametrize("text", [None, "[not: a configuration"])
def test_unknown_settings_are_not_taken_for_none(text: str | None) -> None:
    """Without config.yaml a unit of another hand has them on its command line."""
    of = cluster(1)
    seen = installed(of)["server-1"]
    hidden = with_config(seen, text) if text is None else replace(seen, contents={})

    finding = only(of, {"server-1": hidden})
    assert (finding.check, finding.severity) == ("settings", Severity.ERROR)


def test_what_another_server_tells_is_known() -> None:
    seen = installed(OF)
    seen["server-2"] = with_config(seen["server-2"], None)

    assert found(OF, seen) == [("server-2", "settings", "warning")]


def test_a_node_of_another_hand_is_told() -> None:
    seen = installed(cluster(1))
    text = seen["server-1"].contents[paths.CONFIG].split("\n", 1)[1]

    finding = only(cluster(1), {"server-1": with_config(seen["server-1"], text)})
    assert (finding.check, finding.severity) == ("settings", Severity.WARNING)
    assert "systemctl cat k3s" in finding.remedy


# What a person writes


def free(values: dict[str, Any], version: str = VERSION, **more: Any) -> Cluster:
    return cluster(1, k3s={"version": version, "config": values}, **more)


def test_a_misspelt_key_is_found_before_k3s_skips_it() -> None:
    of = free({"flanel-iface": "eth1"})
    finding = only(of, all_bare(of))

    assert (finding.check, finding.severity) == ("unknown key", Severity.ERROR)
    assert "Write flannel-iface" in finding.remedy


def test_a_key_of_a_release_that_is_not_known_here_is_a_warning() -> None:
    of = free({"brand-new": True}, "v1.39.0+k3s1")

    assert only(of, all_bare(of)).severity is Severity.WARNING


@pytest.mark.parametrize(
    ("key", "own", "theirs"),
    [
        ("kube-apiserver-arg", "audit-log-maxage=365", "audit-log-maxage=30"),
        (
            "kube-controller-manager-arg",
            "terminated-pod-gc-threshold=10",
            "terminated-pod-gc-threshold=100",
        ),
        ("kubelet-arg", "streaming-connection-idle-timeout=1h",
         "streaming-connection-idle-timeout=5m"),
    ],
)  # fmt: skip
def test_a_person_s_argument_wins_over_the_profile_and_is_told(
    key: str, own: str, theirs: str
) -> None:
    of = free({key: [own]})
    seen = all_bare(of)
    finding = only(of, seen)

    assert (finding.check, finding.severity) == ("overridden", Severity.WARNING)
    assert own in finding.found
    assert theirs in finding.found
    written = config(of, of.servers[0], seen["server-1"], topology.read(of, seen))[key]
    assert own in written
    assert theirs not in written
    assert len(written) == len(set(written))


@pytest.mark.parametrize(
    "values",
    [
        {"kube-apiserver-arg": ["feature-gates=A=true"]},
        {"kube-apiserver-arg": ["enable-admission-plugins+=AlwaysPullImages"]},
        {"kube-apiserver-arg": ["audit-log-maxage=30"]},
        {"etcd-arg": ["quota-backend-bytes=1"], "debug": True},
    ],
)
def test_arguments_that_take_nothing_s_place(values: dict[str, Any]) -> None:
    of = free(values)

    assert found(of, all_bare(of)) == []
    assert found(free(values, **NONE), all_bare(of)) == []
