"""The CIS profile: what it adds to a host's configuration, and the report about it. Pure.

Source: K3S documentation, "CIS Hardening Guide" for Kubernetes 1.29 and later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.node.managed_file import HEADER, managed
from xops.k3s.state.facts import SYSCTLS, HostFacts

_CIPHERS = ",".join(
    f"TLS_ECDHE_{key}_WITH_{cipher}"
    for key in ("ECDSA", "RSA")
    for cipher in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")
)
_PSA_LEVEL = "restricted"


def sysctl_file() -> str:
    """What the kubelet wants of the kernel, as a file for sysctl."""
    rows = "".join(f"{name}={value}\n" for name, value in SYSCTLS.items())
    return HEADER + rows


def server_config(data_dir: str) -> dict[str, Any]:
    """Keys of a server's config.yaml."""
    return {
        "protect-kernel-defaults": True,
        "secrets-encryption": True,
        "kube-apiserver-arg": [
            "enable-admission-plugins=NodeRestriction,EventRateLimit",
            f"admission-control-config-file={data_dir}/{paths.PSA}",
            f"audit-log-path={data_dir}/{paths.AUDIT_LOG}",
            f"audit-policy-file={data_dir}/{paths.AUDIT}",
            "audit-log-maxage=30",
            "audit-log-maxbackup=10",
            "audit-log-maxsize=100",
            "service-account-extend-token-expiration=false",
        ],
        "kube-controller-manager-arg": ["terminated-pod-gc-threshold=100"],
    }


def kubelet_arguments() -> list[str]:
    """Arguments of every node's kubelet."""
    return ["streaming-connection-idle-timeout=5m", f"tls-cipher-suites={_CIPHERS}"]


def admission_file(cluster: Cluster) -> str:
    """Pod Security for all namespaces but those of the platform, and a limit on events."""
    levels = {
        name: value
        for mode in ("enforce", "audit", "warn")
        for name, value in ((mode, _PSA_LEVEL), (f"{mode}-version", "latest"))
    }
    security = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "defaults": levels,
        "exemptions": {
            "usernames": [],
            "runtimeClasses": [],
            "namespaces": sorted(cluster.hardening.exempt_namespaces),
        },
    }
    events = {
        "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1",
        "kind": "Configuration",
        "limits": [{"type": "Server", "qps": 5000, "burst": 20000}],
    }
    return managed(
        {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AdmissionConfiguration",
            "plugins": [
                {"name": "PodSecurity", "configuration": security},
                {"name": "EventRateLimit", "configuration": events},
            ],
        }
    )


def audit_file() -> str:
    """Who did what: metadata of every request, and no bodies, which may hold secrets."""
    quiet = {
        "level": "None",
        "users": ["system:kube-proxy", "system:apiserver", "system:kube-scheduler"],
        "verbs": ["get", "list", "watch"],
    }
    leases = {
        "level": "None",
        "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}],
    }
    return managed(
        {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [quiet, leases, {"level": "Metadata"}],
        }
    )


@dataclass(frozen=True)
class Control:
    """One rule of the profile on one host. `met` is None where it could not be seen."""

    host: str
    rule: str
    met: bool | None
    found: str


def report(cluster: Cluster, facts: Mapping[str, HostFacts]) -> list[Control]:
    """Which rules of the profile hold, host by host. Empty without the profile."""
    if cluster.hardening.profile == "none":
        return []
    return [control for host in cluster.hosts for control in _controls(cluster, host, facts)]


def _controls(cluster: Cluster, host: Host, facts: Mapping[str, HostFacts]) -> list[Control]:
    seen = facts.get(host.name)
    if seen is None:
        return [Control(host.name, "the profile", None, "the host could not be looked at")]
    found: list[Control] = []
    for name, wanted in SYSCTLS.items():
        value = seen.sysctls.get(name) or None
        met = None if value is None else value == wanted
        found.append(Control(host.name, f"{name} is {wanted}", met, value or "unknown"))
    private = [paths.CONFIG, paths.TOKEN]
    if host.is_server:
        private += [f"{cluster.k3s.data_dir}/{name}" for name in (paths.PSA, paths.AUDIT)]
    found += [_private(host, seen, path) for path in private]
    if host.is_server:
        text = seen.contents.get(paths.CONFIG, "")
        for key in ("secrets-encryption: true", "protect-kernel-defaults: true"):
            found.append(Control(host.name, key, key in text, "in config.yaml" if text else "none"))
    return found


def _private(host: Host, seen: HostFacts, path: str) -> Control:
    file = seen.files.get(path)
    found = f"{file.mode} {file.owner}" if file else "no such file"
    met = file is not None and (file.mode, file.owner) == ("600", "root:root")
    return Control(host.name, f"{path} is root's alone", met, found)
