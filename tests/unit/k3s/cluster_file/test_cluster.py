"""A cluster file's rules, one by one, each with the finding that a person would read."""

import itertools
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.absent import GONE
from tests.unit.k3s.cluster_file.conftest import ONPREM, Document, Findings, changed, host
from xops.core.errors import InputError, PermanentError
from xops.core.plan.model import Action, Change, Plan
from xops.k3s.cluster_file.cluster import (
    FOLDER,
    ApprovalPolicy,
    Cluster,
    names,
    schema,
    slot,
)

NAMES = ["edge", "onprem"]

# The files of the project


@pytest.mark.parametrize("name", NAMES)
def test_every_cluster_of_the_project_loads(name: str) -> None:
    assert Cluster.load(name, environ={}).name == name


def test_the_clusters_are_those_with_a_file_and_no_lock() -> None:
    assert set(NAMES) <= set(names())
    assert all("." not in name for name in names())


# The schema for editors


def test_the_schema_that_editors_read_is_the_model_s() -> None:
    committed = (FOLDER / "schema.json").read_text()

    assert committed == schema(), (
        "regenerate it: python -m xops.k3s.cluster_file.cluster > deployments/clusters/schema.json"
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_cluster_fits_the_schema_and_names_it(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=./schema.json\n")

    validator = jsonschema.Draft202012Validator(json.loads(schema()))

    assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == []


def test_the_schema_refuses_a_misspelt_key() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(schema()))

    [error] = validator.iter_errors(ONPREM | {"host": []})

    assert "'host' was unexpected" in error.message


@pytest.mark.parametrize(
    "section",
    [
        {"source": {"kind": "given", "outputs": "out.json"}},
        {"source": {"outputs": "out.json"}},
        {"source": {"kind": "terraform"}},
        {"source": {"kind": "k3d"}},
        {"endpoint": {"name": "api.example.com"}},
        {"endpoint": {"kind": "vip"}},
        {"endpoint": {"kind": "dns", "address": "10.0.0.9"}},
        {"artifacts": {"folder": "f", "url": "https://a"}},
        {"evidence": {"store": "bucket"}},
        {"evidence": {"store": "folder", "bucket": "b"}},
    ],
    ids=str,
)
def test_the_schema_knows_which_keys_go_with_a_kind(section: Document) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(schema()))

    assert not validator.is_valid(ONPREM | section)


# Rules: what is accepted at the edge, and what is found beyond it

TERRAFORM = {"kind": "terraform", "outputs": "out.json"}
LABELS = "hosts.0.labels"
SECRET = {"file": "s3.key"}
LOGIN = {"auth": {"username": "u", "password": {"variable": "XOPS_SECRET_PASSWORD"}}}


@pytest.mark.parametrize(
    "values",
    [
        {"name": "a"},
        {"name": "a" * 32},
        {"k3s.version": "v1.31.0-rc2+k3s1"},
        {"k3s.disable": ["coredns", "local-storage", "metrics-server", "runtimes", "servicelb"]},
        {"k3s.config": {"etcd-arg": ["a=b"], "kubelet-arg+": ["c"], "debug": True, "v": 2}},
        {"source": TERRAFORM, "hosts": []},
        {"source": TERRAFORM, "hosts": [host("a", "10.0.0.1")]},
        {"source": TERRAFORM, "hosts": [], "endpoint": {"kind": "dns"}},
        {"source": TERRAFORM, "hosts": [], "snapshots.s3": {}},
        {"endpoint": {"kind": "dns", "name": "api.example.com", "port": 443}},
        {"endpoint": GONE},
        {"endpoint": {}},
        {"endpoint": {"kind": "servers", "port": 6443, "name": None}},
        {"source": {}},
        {"artifacts": {}},
        {"evidence": {"folder": "records", "bucket": None}},
        {"endpoint": {"kind": "vip", "address": "fd00::10", "interface": "bond0.12"}},
        {"networks": {"cluster": "10.44.0.0/20", "service": "10.45.0.0/24"}},
        {"networks.backend": "none"},
        {"registries": {"mirrors": {"*": {}}, "embedded": True}},
        {"registries": {"mirrors": {"docker.io": {"endpoint": ["https://mirror:5000"]}}}},
        {"registries": {"configs": {"mirror:5000": LOGIN}}},
        {"registries": {"system_default": "mirror.example.com:5000/k3s"}},
        {"snapshots.schedule": "@every 6h30m"},
        {"snapshots.schedule": "0,30 */2 1-15 JAN-JUN mon-fri"},
        {"snapshots.s3": {"bucket": "b-1", "endpoint": "minio.example.com:9000"}},
        {
            "snapshots.s3": {
                "bucket": "b-1",
                "config_secret": "s3",
                "access_key": SECRET,
                "secret_key": SECRET,
            }
        },
        {"hardening": {"exempt_namespaces": ["kube-system"]}},
        {"air_gap": {"bundle": "k3s.tar"}},
        {"artifacts": {"folder": "releases"}},
        {"artifacts": {"url": "https://mirror.example.com/k3s"}},
        {"ssh.bastion": "gate.example.com"},
        {"ssh.bastion": "ops@10.0.0.5:2222"},
        {"evidence": {"store": "bucket", "bucket": "b"}},
        {"approval": {"required_for": ["destroy"]}},
        {"hosts": [host("a", "10.0.0.1", "server")]},
        {"hosts": [host(f"s{n}", f"10.0.0.{n}", "server") for n in range(1, 6)]},
        {"hosts.0.address": "rack1-server"},
        {"hosts.0.address": "i-0123456789abcdef0"},
        {"hosts.0.address": "2001:db8::11"},
        {"hosts.3.storage": "slow"},
        {LABELS: {"a.example.com/b.c": "", "topology.kubernetes.io/zone": "a"}},
        {LABELS: {"node.kubernetes.io/pool": "x", "x.kubelet.kubernetes.io/y": "z"}},
        {"hosts.0.taints": ["CriticalAddonsOnly=true:NoExecute", "a/b:NoSchedule"]},
        # two ways in through one router
        {
            "hosts.0.address": "203.0.113.7",
            "hosts.0.port": 2201,
            "hosts.0.private_address": "10.0.0.11",
            "hosts.1.address": "203.0.113.7",
            "hosts.1.port": 2202,
            "hosts.1.private_address": "10.0.0.12",
        },
        {
            "sites": {"north": {}},
            "hosts.3.site": "north",
            "networks.backend": "wireguard-native",
        },
    ],
    ids=str,
)
def test_accepted(findings: Findings, values: Document) -> None:
    assert findings(values) == {}


@pytest.mark.parametrize(
    ("values", "path", "message"),
    [
        ({"apiVersion": "xops/v2"}, "apiVersion", "Input should be 'xops/v1'"),
        ({"name": "On-Prem"}, "name", "should match pattern"),
        ({"name": "a" * 33}, "name", "should match pattern"),
        ({"k3s": GONE}, "k3s", "Field required"),
        ({"k3s.version": "1.34.1"}, "k3s.version", "should match pattern"),
        ({"k3s.version": "v1.34.1"}, "k3s.version", "should match pattern"),
        ({"k3s.version": "v1.30.9+k3s1"}, "k3s.version", "older than v1.31"),
        ({"k3s.disable": ["treafik"]}, "k3s.disable.0", "'servicelb' or 'traefik'"),
        ({"k3s.data_dir": "k3s"}, "k3s.data_dir", "should match pattern"),
        ({"k3s.config": {"token": "x"}}, "k3s.config.token", "xOps' own to set"),
        ({"k3s.config": {"tls-san+": ["x"]}}, "k3s.config.tls-san+", "xOps' own to set"),
        ({"k3s.config": {"etcd_arg": []}}, "k3s.config.etcd_arg", "written like-this"),
        ({"source": {"kind": ["given"]}}, "source.kind", "'given' or 'terraform'"),
        ({"source": {"kind": "aws"}}, "source.kind", "'given' or 'terraform'"),
        (
            {"source": {"kind": "k3d", "servers": 3, "api_port": 6550}},
            "source.kind",
            "K3D clusters are not supported",
        ),
        ({"evidence": {"bucket": "b"}}, "evidence.bucket", "goes with store bucket"),
        ({"source": {"kind": "terraform"}}, "source.outputs", "Field required"),
        ({"source": {"outputs": "x"}}, "source.outputs", "goes with kind terraform"),
        ({"endpoint": {"kind": "dns"}}, "endpoint.name", "write the DNS name"),
        ({"endpoint": {"kind": "dns", "name": "10.0.0.9"}}, "endpoint.name", "write kind vip"),
        ({"endpoint": {"kind": "vip"}}, "endpoint.address", "Field required"),
        ({"endpoint": {"name": "a.b"}}, "endpoint.name", "goes with kind dns"),
        ({"endpoint": {"port": 443}}, "endpoint.port", "should be 6443"),
        ({"endpoint": {"interface": "eth0"}}, "endpoint.interface", "goes with kind vip"),
        ({"endpoint.address": "vip.example.com"}, "endpoint.address", "is no IP address"),
        ({"endpoint.address": "127.0.0.1"}, "endpoint.address", "no address that other hosts"),
        ({"endpoint.address": "10.42.1.1"}, "endpoint.address", "lies within networks.cluster"),
        ({"endpoint.address": "10.43.0.10"}, "endpoint.address", "lies within networks.service"),
        ({"endpoint.address": "10.0.0.12"}, "hosts.1.address", "10.0.0.12 is endpoint.address"),
        ({"networks.cluster": "10.42.0.0/25"}, "networks.cluster", "between /8 and /24"),
        ({"networks.cluster": "10.42.0.1/16"}, "networks.cluster", "has host bits set"),
        ({"networks.service": "10.42.128.0/17"}, "networks.service", "overlaps networks.cluster"),
        ({"networks.backend": "calico"}, "networks.backend", "'wireguard-native' or 'none'"),
        ({"networks.cluster": "10.42.0.0/23"}, "hosts", "has 4 hosts, but networks.cluster"),
        (
            {"hosts.3.address": "10.42.9.1"},
            "hosts.3.address",
            "10.42.9.1 lies within networks.cluster (10.42.0.0/16)",
        ),
        (
            {"registries": {"embedded": True}},
            "registries.embedded",
            "shares images of mirrored registries only",
        ),
        (
            {"registries": {"configs": {"m": {"auth": {"username": "u", "password": "p"}}}}},
            "registries.configs.m.auth.password",
            "SecretReference",
        ),
        (
            {"registries": {"configs": {"m": {"auth": {"username": "u", "password": {}}}}}},
            "registries.configs.m.auth.password.variable",
            "write either file or variable",
        ),
        (
            {"registries": {"configs": {"m": {"tls": {"cert_file": "/c"}}}}},
            "registries.configs.m.tls.key_file",
            "cert_file and key_file go together",
        ),
        ({"snapshots.schedule": "0 0 * *"}, "snapshots.schedule", "cron's 5 fields"),
        ({"snapshots.schedule": "60 * * * *"}, "snapshots.schedule", "minute '60'"),
        ({"snapshots.schedule": "0 0 0 * *"}, "snapshots.schedule", "day of month '0'"),
        ({"snapshots.schedule": "0 0 * * 7"}, "snapshots.schedule", "day of week '7'"),
        ({"snapshots.schedule": "0 */0 * * *"}, "snapshots.schedule", "hour '*/0'"),
        ({"snapshots.schedule": "0 9-5 * * *"}, "snapshots.schedule", "hour '9-5'"),
        ({"snapshots.schedule": "@fortnightly"}, "snapshots.schedule", "cron's 5 fields"),
        ({"snapshots.retention": 0}, "snapshots.retention", "greater than or equal to 1"),
        ({"snapshots.s3": {}}, "snapshots.s3.bucket", "name the bucket"),
        (
            {"snapshots.s3": {"bucket": "b-1", "access_key": SECRET}},
            "snapshots.s3.secret_key",
            "go together",
        ),
        (
            {"snapshots.s3": {"bucket": "b-1", "access_key": SECRET, "secret_key": SECRET}},
            "snapshots.s3.secret_key",
            "needs config_secret",
        ),
        ({"hardening": {"profile": "cis-1.9"}}, "hardening.profile", "'cis' or 'none'"),
        (
            {"hardening": {"exempt_namespaces": ["vault"]}},
            "hardening.exempt_namespaces",
            "must have kube-system",
        ),
        (
            {"air_gap": {"bundle": "b"}, "artifacts": {"folder": "f"}},
            "artifacts",
            "all comes from the bundle",
        ),
        ({"artifacts": {"folder": "f", "url": "https://a"}}, "artifacts.url", "exclude each other"),
        ({"ssh.port": 0}, "ssh.port", "greater than or equal to 1"),
        ({"ssh.bastion": "ssh gate"}, "ssh.bastion", "should match pattern"),
        ({"ssh.password": "x"}, "ssh.password", "is not a known key"),
        ({"preflight": {"clock_skew_seconds": 0}}, "preflight.clock_skew_seconds", "greater than"),
        ({"approval.required_for": ["create"]}, "approval.required_for", "cannot be left out"),
        ({"evidence": {"store": "bucket"}}, "evidence.bucket", "Field required"),
        ({"sites": {"North": {}}}, "sites.North.[key]", "should match pattern"),
        ({"hosts": GONE}, "hosts", "has 0 servers; must be 1, 3 or 5"),
        ({"hosts.2": host("x", "10.0.0.13")}, "hosts", "has 2 servers; must be 1, 3 or 5"),
        (
            {
                "source": TERRAFORM,
                "hosts": [host(f"s{n}", f"10.1.0.{n}", "server") for n in (1, 2)],
            },
            "hosts",
            "has 2 servers",
        ),
        ({"hosts.1.name": "server-1"}, "hosts.1.name", "is hosts.0 (server-1)'s already"),
        ({"hosts.1.name": "server_2"}, "hosts.1.name", "should match pattern"),
        ({"hosts.1.address": "10.0.0.11"}, "hosts.1.address", "10.0.0.11 is hosts.0"),
        (
            {"hosts.0.private_address": "10.9.0.1", "hosts.1.private_address": "10.9.0.1"},
            "hosts.1.private_address",
            "10.9.0.1 is hosts.0",
        ),
        (
            {"hosts.1.address": "10.0.0.11", "hosts.1.port": 2222},
            "hosts.1.private_address",
            "would know server-2 and server-1 by the same address",
        ),
        (
            {"hosts.1.private_address": "10.0.0.11"},
            "hosts.1.private_address",
            "would know server-2 and server-1 by the same address",
        ),
        ({"hosts.0.address": "10.0.0.256"}, "hosts.0.address", "neither an IP address nor"),
        ({"hosts.0.address": "a_b"}, "hosts.0.address", "neither an IP address nor"),
        ({"hosts.0.address": "user@10.0.0.1"}, "hosts.0.address", "neither an IP address nor"),
        ({"hosts.0.private_address": "eth0"}, "hosts.0.private_address", "is no IP address"),
        ({"hosts.0.role": "master"}, "hosts.0.role", "'server' or 'agent'"),
        ({"hosts.0.role": GONE}, "hosts.0.role", "Field required"),
        ({"hosts.0.arch": "x86_64"}, "hosts.0.arch", "'amd64' or 'arm64'"),
        ({"hosts.0.storage": "slow"}, "hosts.0.storage", "make this host an agent"),
        ({"hosts.3.site": "north"}, "hosts.3.site", "no site 'north' in sites; there are: none"),
        (
            {"sites": {"north": {}}, "hosts.3.site": "north"},
            "hosts.3.site",
            "with networks.backend wireguard-native, not vxlan",
        ),
        (
            {LABELS: {"node-role.kubernetes.io/worker": "x"}},
            f"{LABELS}.node-role.kubernetes.io/worker",
            "may not give itself this label",
        ),
        ({LABELS: {"a b": "x"}}, f"{LABELS}.a b", "is no key of a label"),
        ({LABELS: {"a": "-x"}}, f"{LABELS}.a", "'-x' is no value of a label"),
        ({LABELS: {"a": True}}, f"{LABELS}.a", "valid string (found True)"),
        ({"hosts.0.taints": ["a=b"]}, "hosts.0.taints.0", "write key=value:EFFECT"),
        ({"hosts.0.taints": ["a=b:NoRun"]}, "hosts.0.taints.0", "write key=value:EFFECT"),
        ({"hosts.0.taints": ["=b:NoExecute"]}, "hosts.0.taints.0", "has a wrong key"),
        ({"hosts.0.taints": ["a=-:NoExecute"]}, "hosts.0.taints.0", "has a wrong value"),
    ],
    ids=str,
)
def test_found(findings: Findings, values: Document, path: str, message: str) -> None:
    found = findings(values)

    assert list(found) == [path]
    assert message in found[path]


def test_every_error_is_found_in_one_round_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(
        "apiVersion: xops/v1\n"
        "name: bad\n"
        "k3s: {version: latest}\n"
        "networks: {cluster: 10.0.0.0/16}\n"
        "endpoint: {kind: vip}\n"
        "hosts:\n"
        "  - {name: a, address: 10.0.0.1, role: server, rack: 7}\n"
        "  - {name: b, address: 10.1.0.2, role: server}\n"
        "  - {name: b, address: 10.0.0.3, role: server, site: north}\n"
        "  - {name: c, address: 10.1.0.2, role: server}\n"
    )

    with pytest.raises(InputError) as error:
        Cluster.load(file, environ={})

    assert [(row.line, row.path) for row in error.value.findings] == [
        (3, "k3s.version"),
        (5, "endpoint.address"),
        (6, "hosts"),
        (7, "hosts.0.rack"),
        (7, "hosts.0.address"),
        (9, "hosts.2.name"),
        (9, "hosts.2.address"),
        (9, "hosts.2.site"),
        (9, "hosts.2.site"),
        (10, "hosts.3.address"),
    ]


# Words


@pytest.mark.parametrize(
    ("values", "path", "message"),
    [
        ({"hosts": 5}, "hosts", "should be a list"),
        ({"hosts": {"a": 1}}, "hosts", "should be a list"),
        ({"k3s.disable": "traefik"}, "k3s.disable", "should be a list"),
        ({"networks": 5}, "networks", "should be a mapping"),
        ({"sites": ["north"]}, "sites", "should be a mapping"),
        ({"hosts.0.labels": ["a=b"]}, "hosts.0.labels", "should be a mapping"),
        ({"ssh.known_hosts": 5}, "ssh.known_hosts", "should be a path"),
        ({"hosts.0": "server-1"}, "hosts.0", "should be a mapping"),
    ],
    ids=str,
)
def test_findings_speak_of_the_file_and_not_of_python(
    findings: Findings, values: Document, path: str, message: str
) -> None:
    found = findings(values)
    assert message in found[path]
    assert not re.search(r"tuple|dict|instance|class|frozenset", " ".join(found.values()))


# Texts that are no document


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]\n",
        "a: &a {b: *a}\n",
        "[" * 5000,
        "{a: " * 5000,
        "a: &a0 [x, x]\n" + "".join(f"b{n}: &a{n + 1} [{f'*a{n}, ' * 9}*a{n}]\n" for n in range(9)),
    ],
    ids=["alias in a list", "alias in a mapping", "deep list", "deep mapping", "alias bomb"],
)
def test_a_document_without_end_is_a_finding_with_its_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(f"apiVersion: xops/v1\n{text}")
    with pytest.raises(InputError) as error:
        Cluster.load(file, environ={})
    assert all(row.line for row in error.value.findings)


# Loading


def test_a_cluster_is_named_or_pointed_at(write: Callable[[Document], Path]) -> None:
    file = write(ONPREM)

    by_name = Cluster.load("onprem", folder=file.parent, environ={})

    assert by_name == Cluster.load(str(file), environ={}) == Cluster.load(file, environ={})


def test_an_unknown_name_is_told_what_there_is(write: Callable[[Document], Path]) -> None:
    with pytest.raises(InputError, match="no cluster 'prod'; there are: onprem"):
        Cluster.load("prod", folder=write(ONPREM).parent, environ={})


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InputError, match=r"no file clusters/none\.yaml"):
        Cluster.load("clusters/none.yaml", environ={})


def test_the_file_and_the_cluster_have_one_name(tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(yaml.safe_dump(ONPREM))

    with pytest.raises(InputError, match=r"other\.yaml:\d+: name: must be 'other'"):
        Cluster.load(file, environ={})


def test_a_name_that_differs_is_found_in_the_same_round(tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(yaml.safe_dump(changed({"k3s.version": "latest"})))
    with pytest.raises(InputError) as error:
        Cluster.load(file, environ={})
    assert {row.path for row in error.value.findings} == {"name", "k3s.version"}
    assert all(row.line for row in error.value.findings)


def test_variables_and_arguments_overlay_the_file(write: Callable[[Document], Path]) -> None:
    arguments: dict[str, Any] = {"ssh.port": 2200, "ssh.user": None}
    loaded = Cluster.load(
        write(ONPREM),
        environ={"XOPS_CLUSTER__K3S__VERSION": "v1.35.0+k3s1", "XOPS_CLUSTER__SSH__PORT": "2222"},
        **arguments,
    )

    assert (loaded.k3s.version, loaded.ssh.port, loaded.ssh.user) == ("v1.35.0+k3s1", 2200, "admin")


def test_a_wrong_variable_is_named(write: Callable[[Document], Path]) -> None:
    with pytest.raises(InputError, match=r"variable XOPS_CLUSTER__K3S__VERSION: k3s\.version"):
        Cluster.load(write(ONPREM), environ={"XOPS_CLUSTER__K3S__VERSION": "latest"})


def test_paths_are_found_from_the_file_s_folder(
    write: Callable[[Document], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home-of/somebody")
    values = {
        "ssh": {"identity_file": "keys/id", "config": "~/.ssh/config"},
        "hosts.0.identity_file": "/abs/id",
        "air_gap": {"bundle": "../k3s.tar"},
        "registries": {"configs": {"m": {"tls": {"ca_file": "/etc/ssl/ca.pem"}}}},
    }
    file = write(changed(values))
    folder = file.parent

    loaded = Cluster.load(file, environ={})

    assert loaded.ssh.identity_file == folder / "keys/id"
    assert loaded.ssh.known_hosts == folder / "known_hosts"
    assert loaded.ssh.config == Path("/home-of/somebody/.ssh/config")
    assert loaded.hosts[0].identity_file == Path("/abs/id")
    assert loaded.air_gap
    assert loaded.air_gap.bundle == folder / "../k3s.tar"
    assert loaded.registries.configs["m"].tls.ca_file == "/etc/ssl/ca.pem"  # on the hosts


def test_secrets_are_kept_in_xops_home_unless_said(
    load: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path))

    assert load().secrets_folder == tmp_path / "clusters" / "onprem"
    assert load({"secrets": {"folder": "/safe"}}).secrets_folder == Path("/safe")


# What follows from a file


def test_hosts_by_role(load: Callable[..., Cluster]) -> None:
    cluster = load()

    assert [one.name for one in cluster.servers] == ["server-1", "server-2", "server-3"]
    assert [one.name for one in cluster.agents] == ["worker-1"]
    assert cluster.host("server-2").address == "10.0.0.12"
    with pytest.raises(InputError, match="no host 'x' in onprem; it has: server-1, server-2"):
        cluster.host("x")


def test_names_that_others_use(load: Callable[..., Cluster]) -> None:
    cluster = load()

    assert (cluster.subject, slot(cluster.name)) == ("k3s/onprem", "k3s-onprem")


def test_the_inner_address_is_the_private_one_if_there_is_one(load: Callable[..., Cluster]) -> None:
    cluster = load({"hosts.0.private_address": "10.9.0.1"})

    assert [one.internal_address for one in cluster.servers] == [
        "10.9.0.1", "10.0.0.12", "10.0.0.13",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("endpoint", "address", "url", "sans"),
    [
        ({}, "10.0.0.11", "https://10.0.0.11:6443", []),
        (
            {"kind": "dns", "name": "api.example.com", "port": 443},
            "api.example.com",
            "https://api.example.com:443",
            ["api.example.com"],
        ),
        ({"kind": "vip", "address": "10.0.0.9"}, "10.0.0.9", "https://10.0.0.9:6443", ["10.0.0.9"]),
        ({"kind": "vip", "address": "fd00::a"}, "fd00::a", "https://[fd00::a]:6443", ["fd00::a"]),
    ],
)
def test_the_endpoint_is_reached_and_certified(
    load: Callable[..., Cluster], endpoint: Document, address: str, url: str, sans: list[str]
) -> None:
    cluster = load({"endpoint": endpoint, "hosts.1.private_address": "10.9.0.2"})

    assert (cluster.endpoint_address(), cluster.endpoint_url()) == (address, url)
    servers = ["10.0.0.11", "10.0.0.12", "10.9.0.2", "10.0.0.13"]
    assert list(cluster.tls_sans) == [*sans, *servers]


@pytest.mark.parametrize(
    ("service", "dns"), [("10.43.0.0/16", "10.43.0.10"), ("172.20.4.0/24", "172.20.4.10")]
)
def test_the_dns_service_has_the_tenth_address(
    load: Callable[..., Cluster], service: str, dns: str
) -> None:
    assert load({"networks.service": service}).cluster_dns == dns


def test_a_site_gives_its_hosts_labels_taints_and_settings(load: Callable[..., Cluster]) -> None:
    taints = ["x:NoExecute", "z=1:NoExecute", "z=1:NoSchedule"]
    north = {"labels": {"a": "1", "b": "1"}, "taints": taints, "low_memory": True}
    cluster = load(
        {
            "sites": {"north": north},
            "networks.backend": "wireguard-native",
            "hosts.3.site": "north",
            "hosts.3.labels": {"b": "2"},
            "hosts.3.taints": ["y:NoExecute", "x:NoExecute", "z=2:NoExecute"],
        }
    )
    at_site, elsewhere = cluster.host("worker-1"), cluster.host("server-1")

    assert cluster.labels(at_site) == {"a": "1", "b": "2"}
    assert cluster.taints(at_site) == (
        "x:NoExecute", "z=2:NoExecute", "z=1:NoSchedule", "y:NoExecute",
    )  # fmt: skip
    assert cluster.low_memory(at_site)
    assert cluster.spans_sites
    assert (cluster.labels(elsewhere), cluster.taints(elsewhere)) == ({}, ())
    assert not cluster.low_memory(elsewhere)
    assert not load().spans_sites


@pytest.mark.parametrize(
    ("required_for", "action", "needed"),
    [
        (("destroy",), Action.CREATE, False),
        (("destroy",), Action.UPDATE, False),
        (("destroy",), Action.REPLACE, True),
        (("destroy",), Action.DELETE, True),
        (("create", "destroy"), Action.CREATE, True),
        (("create", "destroy"), Action.UPDATE, False),
        (("update", "destroy"), Action.UPDATE, True),
    ],
)
def test_what_waits_for_a_person(required_for: Any, action: Action, needed: bool) -> None:
    plan = Plan(subject="k3s/x", target="ssh", changes=(Change(action=action, target="a"),))

    assert bool(ApprovalPolicy(required_for=required_for).grounds(plan)) is needed


# Hosts that Terraform makes

OUTPUTS: dict[str, Any] = {
    "hosts": [
        {
            "name": f"server-{zone}",
            "address": f"203.0.113.{number}",
            "private_address": f"10.60.{number}.10",
            "arch": "arm64",
            "zone": f"ap-southeast-2{zone}",
            "role": "server",
            "user": "ec2-user",
        }
        for number, zone in enumerate("abc")
    ],
    "endpoint": "api-1.elb.ap-southeast-2.amazonaws.com",
    "snapshots_bucket": "xops-edge-snapshots",
    "networks": {
        "cluster": "10.42.0.0/16",
        "service": "10.43.0.0/16",
        "backend": "wireguard-native",
    },
}


def edge() -> Cluster:
    return Cluster.load("edge", environ={})


def test_terraform_s_hosts_come_before_those_of_the_file() -> None:
    cluster = edge().with_outputs(OUTPUTS)

    assert [one.name for one in cluster.hosts] == [
        "server-a", "server-b", "server-c", "north-1", "south-1",
    ]  # fmt: skip
    first = cluster.servers[0]
    assert (first.user, first.arch, first.internal_address) == ("ec2-user", "arm64", "10.60.0.10")
    assert cluster.labels(first) == {"topology.kubernetes.io/zone": "ap-southeast-2a"}
    assert cluster.endpoint_address() == OUTPUTS["endpoint"]
    assert OUTPUTS["endpoint"] in cluster.tls_sans
    assert cluster.snapshots.s3
    assert cluster.snapshots.s3.bucket == "xops-edge-snapshots"
    assert cluster.ssh == edge().ssh


def test_outputs_may_be_wrapped_as_terraform_prints_them(tmp_path: Path) -> None:
    wrapped = {
        name: {"sensitive": False, "type": "string", "value": value}
        for name, value in OUTPUTS.items()
    }
    file = tmp_path / "edge.outputs.json"
    file.write_text(json.dumps(wrapped))
    (tmp_path / "edge.yaml").write_text((FOLDER / "edge.yaml").read_text())
    loaded = Cluster.load(tmp_path / "edge.yaml", environ={})

    assert loaded.completed().hosts == loaded.with_outputs(OUTPUTS).hosts


def test_a_file_that_has_all_hosts_is_complete(load: Callable[..., Cluster]) -> None:
    cluster = load()

    assert cluster.completed() is cluster


def test_an_endpoint_of_the_file_s_own_is_kept(load: Callable[..., Cluster]) -> None:
    values = {"source": TERRAFORM, "endpoint": {"kind": "dns", "name": "api.example.com"}}
    outputs = OUTPUTS | {"networks": {}}

    made = load(values | {"hosts": []}).with_outputs(outputs)
    assert made.endpoint_address() == "api.example.com"


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "not the outputs of stacks/k3s_hosts: KeyError"),
        ({"hosts": 3, "endpoint": "a.b", "snapshots_bucket": "b-1"}, "not the outputs of"),
        ({"hosts": [], "endpoint": "a.b"}, "not the outputs of stacks/k3s_hosts: KeyError"),
        ([], "not the outputs of stacks/k3s_hosts"),
        (OUTPUTS | {"hosts": OUTPUTS["hosts"][:2]}, "hosts: has 2 servers"),
        (OUTPUTS | {"hosts": OUTPUTS["hosts"] * 2}, "hosts.3.name: server-a is hosts.0"),
        (
            OUTPUTS | {"networks": {"backend": "vxlan"}},
            "networks.backend: is vxlan, but this file says wireguard-native",
        ),
    ],
)
def test_wrong_outputs_are_found(outputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        edge().with_outputs(outputs)


@pytest.mark.parametrize("text", [None, "{"])
def test_outputs_that_cannot_be_read(
    text: str | None, load: Callable[..., Cluster], tmp_path: Path
) -> None:
    file = tmp_path / "out.json"
    if text is not None:
        file.write_text(text)
    cluster = load({"source": {"kind": "terraform", "outputs": str(file)}, "hosts": []})

    with pytest.raises(InputError, match=r"out\.json(:1)?: (cannot be read|not JSON)"):
        cluster.completed()


HOSTILE_OUTPUTS = [
    "[" * 100_000, '{"hosts":' * 5000, "[]", "null", "1e999", '{"hosts": 5}', '{"hosts": [5]}',
    '{"hosts": [[]]}', '{"hosts": null}', '{"hosts": {"a": 1}}', '{"hosts": [{"labels": 5}]}',
    '{"hosts": [], "networks": 5}', '{"hosts": [{"zone": {}}]}', '{"hosts": [{"name": NaN}]}',
    '{"hosts": {"value": [{"name": "x", "labels": [1]}], "type": 1}}', "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE_OUTPUTS)
def test_outputs_of_another_form_are_a_finding(
    text: str, load: Callable[..., Cluster], tmp_path: Path
) -> None:
    file = tmp_path / "out.json"
    file.write_text(text, errors="surrogatepass")
    cluster = load({"source": {"kind": "terraform", "outputs": str(file)}, "hosts": []})
    with pytest.raises(InputError, match=r"Terraform's outputs"):
        cluster.completed()


@pytest.mark.parametrize(
    "section",
    [
        {"ssh": {"config": "~nosuchuser/x"}},
        {"ssh": {"known_hosts": "~nosuchuser/x"}},
        {"ssh": {"identity_file": "~nosuchuser/x"}},
        {"ssh": {"identity_file": "a\0b"}},
        {"secrets": {"folder": "~nosuchuser/x"}},
        {"air_gap": {"bundle": "~nosuchuser/x"}},
        {"artifacts": {"folder": "~nosuchuser/x"}},
        {"source": {"kind": "terraform", "outputs": "~nosuchuser/x"}, "hosts": []},
        {"evidence": {"folder": "~nosuchuser/x"}},
    ],
    ids=str,
)
def test_a_home_of_nobody_is_a_finding(
    section: dict[str, Any], load: Callable[..., Cluster]
) -> None:
    with pytest.raises(InputError, match=r"not known here|character NUL"):
        load(section)


@pytest.mark.parametrize("kind", ["/dev/zero", "pipe", "folder"])
def test_outputs_that_are_no_file(kind: str, load: Callable[..., Cluster], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    file = {"/dev/zero": Path(kind), "pipe": tmp_path / kind, "folder": tmp_path}[kind]
    cluster = load({"source": {"kind": "terraform", "outputs": str(file)}, "hosts": []})
    with pytest.raises(InputError, match="Terraform's outputs"):
        cluster.completed()


def test_hosts_that_nobody_knows_yet_are_not_none() -> None:
    cluster = Cluster.load("edge", environ={})

    with pytest.raises(PermanentError, match="Terraform makes them"):
        _ = cluster.servers
    with pytest.raises(PermanentError, match="Terraform makes them"):
        _ = cluster.agents
    with pytest.raises(PermanentError, match="Terraform makes them"):
        cluster.endpoint_address()


# Properties


ROLES = [
    roles
    for servers, agents in itertools.product(range(7), range(3))
    for roles in dict.fromkeys(
        [
            ("server",) * servers + ("agent",) * agents,
            ("agent",) * agents + ("server",) * servers,
        ]
    )
]


@pytest.mark.parametrize("roles", ROLES, ids="".join)
def test_only_an_odd_quorum_is_accepted(roles: tuple[str, ...]) -> None:
    hosts = [host(f"h{n}", f"10.0.1.{n}", role) for n, role in enumerate(roles, 1)]
    document = {"apiVersion": "xops/v1", "name": "x", "k3s": {"version": "v1.34.1+k3s1"}}

    def read() -> Cluster:
        return Cluster.model_validate(document | {"hosts": hosts})

    if roles.count("server") in (1, 3, 5):
        assert len(read().servers) == roles.count("server")
    else:
        with pytest.raises(ValueError, match=f"has {roles.count('server')} servers"):
            read()
