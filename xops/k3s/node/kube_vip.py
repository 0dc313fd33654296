"""kube-vip: an address that moves between the servers. Source: kube-vip's documentation, ARP mode.

K3S applies the manifest by itself; the address is among the names of the API's certificate from
the first start on.
"""

from __future__ import annotations

from typing import Any

import yaml

from xops.k3s.cluster_file.choices import VipEndpoint
from xops.k3s.cluster_file.sections import API_PORT

_NAME = "kube-vip"
_LABELS = {"app.kubernetes.io/name": _NAME}
_META = {"name": _NAME, "namespace": "kube-system"}


def manifest(endpoint: VipEndpoint) -> str:
    """The account, its rights and the DaemonSet on the servers, as one file."""
    parts = [_account(), _role(), _binding(), _daemon_set(endpoint)]
    return yaml.safe_dump_all(parts, sort_keys=False)


def _account() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _META}


def _role() -> dict[str, Any]:
    leases = {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get", "list", "watch", "create", "update", "patch"],
    }
    nodes = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": _NAME},
        "rules": [leases, nodes],
    }


def _binding() -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": _NAME},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": _NAME,
        },
        "subjects": [{"kind": "ServiceAccount", **_META}],
    }  # fmt: skip


def _daemon_set(endpoint: VipEndpoint) -> dict[str, Any]:
    environment = {
        "address": endpoint.address or "",
        "port": str(API_PORT),
        "vip_arp": "true",
        "cp_enable": "true",
        "cp_namespace": "kube-system",
        "svc_enable": "false",
        "vip_leaderelection": "true",
        **({"vip_interface": endpoint.interface} if endpoint.interface else {}),
    }
    container = {
        "name": _NAME,
        "image": endpoint.image,
        "args": ["manager"],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "securityContext": {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]}},
    }
    servers = {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}
    terms = [{"matchExpressions": [servers]}]
    affinity = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    pod = {
        "serviceAccountName": _NAME,
        "hostNetwork": True,
        "priorityClassName": "system-node-critical",
        "affinity": {"nodeAffinity": affinity},
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": _META,
        "spec": {
            "selector": {"matchLabels": _LABELS},
            "template": {"metadata": {"labels": _LABELS}, "spec": pod},
        },
    }
