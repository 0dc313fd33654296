"""The files that a host shall have."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k3s_hosts import all_bare, bare, cluster, formed, row
from tests.k3s_release import VERSION
from xops.k3s import paths
from xops.k3s.cluster_file.choices import VipEndpoint
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.node import config, kube_vip
from xops.k3s.node.managed_file import HEADER, File, SecretContent, SecretFiles
from xops.k3s.state import topology
from xops.k3s.state.facts import HostFacts, Route

NONE: dict[str, Any] = {"hardening": {"profile": "none"}}
HIDDEN = SecretContent("{}\n", ("canary",))
SECRETS = SecretFiles(registries=HIDDEN, snapshot_keys=HIDDEN)


def values(of: Cluster, name: str, seen: dict[str, HostFacts] | None = None) -> dict[str, Any]:
    """A host's config.yaml."""
    seen = seen or all_bare(of)
    return config.config(of, of.host(name), seen[name], topology.read(of, seen))


def files(of: Cluster, name: str, **more: Any) -> dict[str, File]:
    """A host's files by path."""
    seen = more.pop("seen", None) or all_bare(of)
    formation = topology.read(of, seen)
    return {
        file.path: file for file in config.files(of, of.host(name), seen[name], formation, **more)
    }


def configured(of: Cluster, name: str, text: str) -> dict[str, HostFacts]:
    """A cluster of which one host has this config.yaml."""
    seen = formed(of)
    return {**seen, name: replace(seen[name], contents={paths.CONFIG: text})}


# Two interfaces

DEFAULT = (Route("0.0.0.0/0", "eth0"), Route("10.0.0.0/24", "eth1"))


@pytest.mark.parametrize("name", ["server-1", "agent-1"])
@pytest.mark.parametrize(
    ("interface", "routes", "more", "taken"),
    [
        ("eth1", DEFAULT, {}, "eth1"),
        ("eth0", DEFAULT, {}, None),
        ("eth1", (), {}, "eth1"),  # no default route at all
        ("eth1", (Route("::/0", "eth1"),), {}, "eth1"),  # none of the pods' family
        ("eth1", None, {}, None),  # nobody knows
        (None, DEFAULT, {}, None),
        ("eth1", DEFAULT, {"networks": {"backend": "none"}}, None),
        ("eth1", DEFAULT, {"networks": {"backend": "wireguard-native"}}, "eth1"),
    ],
)
def test_pods_take_the_interface_of_their_host_s_address(
    name: str,
    interface: str | None,
    routes: tuple[Route, ...] | None,
    more: dict[str, Any],
    taken: str | None,
) -> None:
    of = cluster(1, agents=1, **NONE, **more)
    address = of.host(name).internal_address
    interfaces = {address: interface} if interface else {}
    seen = {**all_bare(of), name: bare(of.host(name), interfaces=interfaces, routes=routes)}

    assert values(of, name, seen).get("flannel-iface") == taken


def test_an_interface_that_a_person_names_stays() -> None:
    of = cluster(1, **NONE, k3s={"version": VERSION, "config": {"flannel-iface": "wg0"}})
    seen = bare(of.hosts[0], interfaces={"10.0.0.11": "eth1"}, routes=DEFAULT)

    assert values(of, "server-1", {"server-1": seen})["flannel-iface"] == "wg0"


# Founding and joining


def test_one_founds_and_the_others_join_it() -> None:
    of = cluster(3, agents=1, **NONE)

    assert values(of, "server-1")["cluster-init"] is True
    assert "server" not in values(of, "server-1")
    for name in ("server-2", "server-3", "agent-1"):
        assert values(of, name)["server"] == "https://10.0.0.11:6443"
        assert "cluster-init" not in values(of, name)


def test_a_server_alone_stays_with_embedded_etcd() -> None:
    of = cluster(1, agents=1, **NONE)

    for seen in (all_bare(of), formed(of)):
        assert values(of, "server-1", seen)["cluster-init"] is True
        assert values(of, "agent-1", seen)["server"] == "https://10.0.0.11:6443"


@pytest.mark.parametrize("lost", ["server-1", "server-2", "server-3"])
def test_once_there_is_a_cluster_nobody_keeps_cluster_init(lost: str) -> None:
    """Whichever disk is lost: a file that still says cluster-init would found a second cluster."""
    of = cluster(3, **NONE)
    seen = formed(of, without=[lost])
    found = {name: values(of, name, seen) for name in seen}

    assert not any("cluster-init" in each for each in found.values())
    source = topology.read(of, seen).source
    assert source is not None
    assert found[lost]["server"] == f"https://{source.internal_address}:6443"
    own = {host.name: f"https://{host.internal_address}:6443" for host in of.servers}
    assert all(found[name]["server"] != own[name] for name in found)


@pytest.mark.parametrize(
    ("name", "kept", "url"),
    [
        ("server-1", "https://10.0.0.13:6443", "https://10.0.0.13:6443"),
        ("server-1", "https://10.0.0.99:6443", "https://10.0.0.12:6443"),  # no server any more
        ("server-1", "https://10.0.0.11:6443", "https://10.0.0.12:6443"),  # itself
        ("agent-1", "https://10.0.0.13:6443", "https://10.0.0.13:6443"),
        ("agent-1", "https://10.0.0.99:6443", "https://10.0.0.11:6443"),
    ],
)
def test_who_has_joined_keeps_its_server_while_that_is_one(name: str, kept: str, url: str) -> None:
    of = cluster(3, agents=1, **NONE)

    assert values(of, name, configured(of, name, f"server: {kept}"))["server"] == url


def test_a_server_that_lost_its_disk_joins_one_that_answers() -> None:
    """Its old file may name a server that is down."""
    of = cluster(3, **NONE)
    seen = formed(of, without=["server-3"])
    seen["server-1"] = replace(seen["server-1"], nodes=None)
    seen["server-3"] = bare(
        of.host("server-3"), contents={paths.CONFIG: "server: https://10.0.0.11:6443"}
    )

    assert values(of, "server-3", seen)["server"] == "https://10.0.0.12:6443"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ({"kind": "vip", "address": "10.0.0.10"}, "https://10.0.0.10:6443"),
        ({"kind": "dns", "name": "api.example.com", "port": 443}, "https://api.example.com:443"),
    ],
)
def test_agents_join_at_the_fixed_endpoint(endpoint: dict[str, Any], url: str) -> None:
    of = cluster(3, agents=1, endpoint=endpoint, **NONE)

    assert values(of, "agent-1")["server"] == url
    assert values(of, "server-2")["server"] == "https://10.0.0.11:6443"


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    hosts = [row("server", 1, address="fd00::11"), row("agent", 1)]
    of = cluster(hosts=hosts, **NONE)

    assert values(of, "agent-1")["server"] == "https://[fd00::11]:6443"


# The node


def test_what_a_server_is_told() -> None:
    of = cluster(3, **NONE, k3s={"version": "v1.36.4+k3s1", "disable": ["traefik", "servicelb"]})

    assert values(of, "server-2") == {
        "agent-token-file": "/etc/rancher/k3s/agent-token",
        "cluster-cidr": "10.42.0.0/16",
        "cluster-dns": "10.43.0.10",
        "cluster-domain": "cluster.local",
        "data-dir": "/var/lib/rancher/k3s",
        "disable": ["servicelb", "traefik"],
        "etcd-snapshot-retention": 5,
        "etcd-snapshot-schedule-cron": "0 */12 * * *",
        "flannel-backend": "vxlan",
        "node-ip": "10.0.0.12",
        "node-name": "server-2",
        "server": "https://10.0.0.11:6443",
        "service-cidr": "10.43.0.0/16",
        "tls-san": ["10.0.0.11", "10.0.0.12", "10.0.0.13"],
        "token-file": "/etc/rancher/k3s/token",
        "write-kubeconfig-mode": "0600",
    }


def test_an_agent_is_told_nothing_that_is_a_server_s() -> None:
    of = cluster(1, agents=1, **NONE)

    assert set(values(of, "agent-1")) == {
        "data-dir", "node-ip", "node-name", "server", "token-file",
    }  # fmt: skip


def test_labels_taints_and_small_boards_of_a_site() -> None:
    hosts = [
        row("server", 1),
        row("agent", 1, site="plant", labels={"b": "2"}, taints=["t=1:NoExecute"]),
    ]
    site = {"labels": {"a": "1", "b": "1"}, "taints": ["edge=true:NoSchedule"], "low_memory": True}
    of = cluster(
        hosts=hosts, sites={"plant": site}, networks={"backend": "wireguard-native"}, **NONE
    )
    found = values(of, "agent-1")

    assert found["node-label"] == ["a=1", "b=2"]
    assert found["node-taint"] == ["edge=true:NoSchedule", "t=1:NoExecute"]
    assert "max-pods=40" in found["kubelet-arg"]
    assert "kubelet-arg" not in values(of, "server-1")


@pytest.mark.parametrize(
    ("address", "private", "node_ip", "external"),
    [
        ("203.0.113.5", "10.0.0.5", "10.0.0.5", "203.0.113.5"),
        ("203.0.113.5", None, "203.0.113.5", None),
        ("gate.example.com", "10.0.0.5", "10.0.0.5", None),
        ("gate.example.com", None, None, None),  # a name is no address: K3S finds its own
    ],
)
def test_nodes_are_told_addresses_and_no_names(
    address: str, private: str | None, node_ip: str | None, external: str | None
) -> None:
    agent = row("agent", 1, address=address, private_address=private, site="plant")
    of = cluster(
        hosts=[row("server", 1), agent],
        sites={"plant": {}},
        networks={"backend": "wireguard-native"},
        **NONE,
    )
    found = values(of, "agent-1")

    assert found.get("node-ip") == node_ip
    assert found.get("node-external-ip") == external
    # Must be the same on all servers: K3S refuses to join otherwise.
    assert values(of, "server-1").get("flannel-external-ip") == (True if private else None)


def test_within_one_site_there_is_no_external_address() -> None:
    hosts = [row("server", 1, address="203.0.113.5", private_address="10.0.0.5")]

    assert "node-external-ip" not in values(cluster(hosts=hosts, **NONE), "server-1")


# Servers


@pytest.mark.parametrize(
    ("s3", "keys"),
    [
        (
            {"bucket": "kept", "folder": "unit"},
            {
                "etcd-s3": True,
                "etcd-s3-bucket": "kept",
                "etcd-s3-region": "ap-southeast-2",
                "etcd-s3-folder": "unit",
                "etcd-s3-retention": 5,
            },
        ),
        (
            {"bucket": "kept", "config_secret": "etcd-s3"},
            {"etcd-s3": True, "etcd-s3-config-secret": "etcd-s3"},
        ),
    ],
)
def test_snapshots_in_a_bucket(s3: dict[str, str], keys: dict[str, Any]) -> None:
    found = values(cluster(1, snapshots={"s3": s3}, **NONE), "server-1")

    assert {key: value for key, value in found.items() if key.startswith("etcd-s3")} == keys


def test_free_keys_are_the_servers_and_override_nothing_of_xops() -> None:
    k3s = {"version": "v1.36.4+k3s1", "config": {"debug": True, "etcd-arg": ["a=1", "b=2"], "v": 0}}
    of = cluster(1, agents=1, k3s=k3s, **NONE)

    found = values(of, "server-1")
    assert (found["debug"], found["etcd-arg"], found["v"]) == (True, ["a=1", "b=2"], 0)
    assert "debug" not in values(of, "agent-1")


@pytest.mark.parametrize("own", [["own=1", "more=2"], "own=1"])
@pytest.mark.parametrize(
    ("key", "ours"),
    [("kubelet-arg", "tls-cipher-suites="), ("kube-apiserver-arg", "audit-policy-file=")],
)
def test_a_person_s_arguments_stand_beside_those_of_the_profile(
    own: list[str] | str, key: str, ours: str
) -> None:
    of = cluster(1, k3s={"version": "v1.36.4+k3s1", "config": {key: own}})
    found = values(of, "server-1")[key]

    assert found[0] == "own=1"
    assert any(argument.startswith(ours) for argument in found)
    assert all("=" in argument for argument in found)


def test_registries() -> None:
    registries = {"mirrors": {"*": {}}, "embedded": True, "system_default": "r.example.com:5000"}
    found = values(cluster(1, registries=registries, **NONE), "server-1")

    assert found["embedded-registry"] is True
    assert found["private-registry"] == paths.REGISTRIES
    assert found["system-default-registry"] == "r.example.com:5000"


# All files


def test_which_files_there_are_and_who_may_read_them() -> None:
    of = cluster(
        3,
        agents=1,
        endpoint={"kind": "vip", "address": "10.0.0.10"},
        air_gap={"bundle": Path("b.tar")},
    )
    modes = {
        name: {path: file.mode for path, file in files(of, name, secrets=SECRETS).items()}
        for name in ("server-1", "agent-1")
    }
    data = "/var/lib/rancher/k3s"

    agent = {
        "/etc/rancher/k3s/config.yaml": 0o600,
        "/etc/rancher/k3s/registries.yaml": 0o600,
        "/etc/sysctl.d/90-xops-k3s.conf": 0o644,
        f"{data}/agent/images/.cache.json": 0o644,
    }
    assert modes["agent-1"] == {**agent, "/etc/systemd/system/k3s-agent.service": 0o644}
    assert modes["server-1"] == {
        **agent,
        "/etc/systemd/system/k3s.service": 0o644,
        f"{data}/server/psa.yaml": 0o600,
        f"{data}/server/audit.yaml": 0o600,
        f"{data}/server/manifests/xops-kube-vip.yaml": 0o600,
        f"{data}/server/manifests/xops-etcd-s3.yaml": 0o600,
    }


def test_what_needs_no_restart_says_so() -> None:
    of = cluster(
        1, endpoint={"kind": "vip", "address": "10.0.0.10"}, air_gap={"bundle": Path("b.tar")}
    )
    found = files(of, "server-1", secrets=SECRETS)
    calm = {path for path, file in found.items() if not file.restarts}

    assert calm == {
        "/etc/sysctl.d/90-xops-k3s.conf",
        "/var/lib/rancher/k3s/agent/images/.cache.json",
        "/var/lib/rancher/k3s/server/manifests/xops-kube-vip.yaml",
        "/var/lib/rancher/k3s/server/manifests/xops-etcd-s3.yaml",
    }


@pytest.mark.parametrize(
    ("version", "made"), [("v1.36.4+k3s1", True), ("v1.36.2+k3s1", False), ("v1.34.9+k3s1", False)]
)
def test_k3s_notes_what_it_imported_where_it_pins_that_again(version: str, made: bool) -> None:
    of = cluster(1, air_gap={"bundle": Path("b.tar")}, k3s={"version": version})
    found = files(of, "server-1")

    cache = found.get("/var/lib/rancher/k3s/agent/images/.cache.json")
    assert (cache is not None) is made
    assert cache is None or cache.once


def test_only_files_with_passwords_are_secret() -> None:
    found = files(cluster(3), "server-1", secrets=SECRETS)

    assert [path for path, file in found.items() if file.secrets] == [
        paths.REGISTRIES,
        "/var/lib/rancher/k3s/server/manifests/xops-etcd-s3.yaml",
    ]


@pytest.mark.parametrize("role", ["server", "agent"])
def test_the_unit_of_systemd(role: str) -> None:
    of = cluster(1, agents=1, **NONE)
    service = "k3s" if role == "server" else "k3s-agent"
    unit = files(of, f"{role}-1")[f"/etc/systemd/system/{service}.service"].content

    assert f"\nExecStart=/usr/local/bin/k3s {role}\n" in unit
    assert {"Type=notify", "KillMode=process", "Delegate=yes"} <= set(unit.splitlines())


def test_the_service_of_openrc() -> None:
    of = cluster(1, **NONE)
    seen = {"server-1": bare(of.servers[0], init="openrc")}
    file = files(of, "server-1", seen=seen)["/etc/init.d/k3s"]

    assert file.mode == 0o755
    assert file.content.startswith("#!/sbin/openrc-run\n")
    assert '\ncommand_args="server"\n' in file.content
    assert "\ndepend() {\n" in file.content


def test_a_configuration_is_written_the_same_each_time() -> None:
    of = cluster(3)
    first, second = (files(of, "server-1")[paths.CONFIG].content for _ in range(2))

    assert first == second
    assert first.startswith(HEADER)
    assert yaml.safe_load(first) == values(of, "server-1")


# kube-vip


@pytest.mark.parametrize("interface", [None, "eth1"])
def test_the_address_that_moves(interface: str | None) -> None:
    endpoint = VipEndpoint(kind="vip", address="10.0.0.10", interface=interface)
    text = kube_vip.manifest(endpoint)
    parts = {part["kind"]: part for part in yaml.safe_load_all(text)}

    assert set(parts) == {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "DaemonSet"}
    pod = parts["DaemonSet"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {row["name"]: row["value"] for row in container["env"]}
    assert (environment["address"], environment["port"]) == ("10.0.0.10", "6443")
    assert environment.get("vip_interface") == interface
    assert container["image"].startswith("ghcr.io/kube-vip/kube-vip:v")
    assert pod["hostNetwork"] is True
    labels = parts["DaemonSet"]["spec"]["template"]["metadata"]["labels"]
    assert parts["DaemonSet"]["spec"]["selector"]["matchLabels"] == labels


def test_settings_of_a_role_reach_the_hosts_of_that_role_only() -> None:
    servers = {"flannel-iface": "eth0", "kubelet-arg": ["max-pods=200"]}
    agents = {"flannel-iface": "eth1", "kubelet-arg": ("max-pods=50",), "v": 2}
    k3s = {"version": VERSION, "config": servers, "agent_config": agents}
    of = cluster(1, agents=1, k3s=k3s)
    server, agent = values(of, "server-1"), values(of, "agent-1")

    assert (server["flannel-iface"], agent["flannel-iface"]) == ("eth0", "eth1")
    assert (server.get("v"), agent["v"]) == (None, 2)
    assert "max-pods=200" in server["kubelet-arg"]
    assert "max-pods=50" in agent["kubelet-arg"]
    assert agent["node-name"] == "agent-1"
    assert values(cluster(1, agents=1), "agent-1").keys() == agent.keys() - {"flannel-iface", "v"}
