"""The CIS profile, and the report about it."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from tests.k3s_hosts import cluster, file_facts, formed, installed
from xops.k3s import paths
from xops.k3s.node import hardening
from xops.k3s.state import facts
from xops.k3s.state.facts import HostFacts


def test_what_the_kubelet_wants_of_the_kernel() -> None:
    lines = hardening.sysctl_file().splitlines()[1:]

    assert dict(line.split("=") for line in lines) == facts.SYSCTLS


def test_the_platform_s_namespaces_are_exempt_from_pod_security() -> None:
    of = cluster(1, hardening={"exempt_namespaces": ["vault", "kube-system"]})
    document = yaml.safe_load(hardening.admission_file(of))
    plugins = {row["name"]: row["configuration"] for row in document["plugins"]}

    security = plugins["PodSecurity"]
    assert security["exemptions"]["namespaces"] == ["kube-system", "vault"]
    assert {security["defaults"][mode] for mode in ("enforce", "audit", "warn")} == {"restricted"}
    assert plugins["EventRateLimit"]["limits"][0]["type"] == "Server"


def test_no_body_is_audited_since_it_may_hold_a_secret() -> None:
    policy = yaml.safe_load(hardening.audit_file())

    assert {rule["level"] for rule in policy["rules"]} == {"None", "Metadata"}
    assert policy["rules"][-1] == {"level": "Metadata"}


def test_the_server_s_files_are_those_that_it_is_told_of() -> None:
    arguments = hardening.server_config("/data")["kube-apiserver-arg"]

    assert "admission-control-config-file=/data/server/psa.yaml" in arguments
    assert "audit-policy-file=/data/server/audit.yaml" in arguments


# The report


def test_a_cluster_as_it_should_be_keeps_every_rule() -> None:
    of = cluster(1, agents=1)
    controls = hardening.report(of, installed(of))

    assert [control for control in controls if control.met is not True] == []
    assert {control.host for control in controls} == {"server-1", "agent-1"}
    assert len([control for control in controls if control.host == "server-1"]) == 10
    assert len([control for control in controls if control.host == "agent-1"]) == 6


def test_without_the_profile_there_is_no_report() -> None:
    of = cluster(1, hardening={"profile": "none"})

    assert hardening.report(of, formed(of)) == []


@pytest.mark.parametrize(
    ("changed", "rule", "met", "found"),
    [
        ({"sysctls": {"kernel.panic": "0"}}, "kernel.panic is 10", False, "0"),
        ({"sysctls": {"kernel.panic": ""}}, "kernel.panic is 10", None, "unknown"),
        ({"sysctls": {}}, "kernel.panic is 10", None, "unknown"),
        (
            {"files": {paths.TOKEN: file_facts("x", 0o644)}},
            "/etc/rancher/k3s/token is root's alone", False, "644 root:root",
        ),
        (
            {"files": {paths.TOKEN: replace(file_facts("x"), owner="admin:admin")}},
            "/etc/rancher/k3s/token is root's alone", False, "600 admin:admin",
        ),
        ({"files": {}}, "/etc/rancher/k3s/token is root's alone", False, "no such file"),
        (
            {"contents": {paths.CONFIG: "secrets-encryption: false\n"}},
            "secrets-encryption: true", False, "in config.yaml",
        ),
        ({"contents": {}}, "secrets-encryption: true", False, "none"),
    ],
)  # fmt: skip
def test_a_rule_that_does_not_hold_is_named(
    changed: dict[str, Any], rule: str, met: bool | None, found: str
) -> None:
    of = cluster(1)
    seen: dict[str, HostFacts] = formed(of)
    controls = hardening.report(of, {"server-1": replace(seen["server-1"], **changed)})

    (control,) = (control for control in controls if control.rule == rule)
    assert (control.met, control.found) == (met, found)


def test_of_a_host_that_is_down_nothing_is_known() -> None:
    of = cluster(1, agents=1)
    seen = {name: each for name, each in formed(of).items() if name == "server-1"}

    (control,) = (row for row in hardening.report(of, seen) if row.host == "agent-1")
    assert control.met is None
