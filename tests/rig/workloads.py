"""What the tests of real pods run: small, and under the strictest rules that pods can have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Object = dict[str, Any]

NAMESPACE = "shop"
WEB = "xops.test/web:1"
PORT = 8080
PAGE = "read from a ConfigMap"


def namespace(name: str = NAMESPACE) -> Object:
    """A namespace that lets only restricted pods in."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def page() -> Object:
    """What the web server shows."""
    return _named("v1", "ConfigMap", "page", data={"index.html": PAGE})


def web(replicas: int) -> Object:
    """A web server on different nodes: restricted, read-only, ready when it answers."""
    container = {
        **_restricted("web", ["/bin/httpd", "-f", "-vv", "-p", str(PORT), "-h", "/page"]),
        "readinessProbe": {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "page", "mountPath": "/page"}],
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    pod = _pod(container, volumes=[{"name": "page", "configMap": {"name": "page"}}])
    pod["topologySpreadConstraints"] = [spread]
    return _named("apps/v1", "Deployment", "web", spec=_template("web", pod, replicas=replicas))


def service() -> Object:
    """The web server's name and its address."""
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": PORT}]}
    return _named("v1", "Service", "web", spec=spec)


def store() -> Object:
    """A StatefulSet that writes into the volume it claims."""
    script = "echo kept >> /data/log; exec sleep 1000000"
    container = {
        **_restricted("store", ["/bin/sh", "-c", script]),
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    size = {"requests": {"storage": "1Mi"}}
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": size},
    }
    spec = _template("store", _pod(container), serviceName="store", volumeClaimTemplates=[claim])
    return _named("apps/v1", "StatefulSet", "store", spec=spec)


def says(image: str, node: str) -> Object:
    """A pod on a node whose image `xops.test/IMAGE:1` has to be pulled, and which says its name."""
    container = {
        **_restricted("says", ["/bin/echo", image]),
        "image": f"xops.test/{image}:1",
        "imagePullPolicy": "Always",
    }
    pod = _pod(container, restartPolicy="Never", nodeName=node)
    made = _named("v1", "Pod", f"says-{node}", spec=pod)
    made["metadata"]["labels"] = {"app": "says"}
    return made


def greedy() -> Object:
    """A pod that wants more memory than it may have."""
    container = _restricted("greedy", ["/bin/sh", "-c", "tail /dev/zero"])
    limits = {"limits": {"memory": "16Mi", "cpu": "500m"}}
    pod = _pod({**container, "resources": limits}, restartPolicy="Never")
    return _named("v1", "Pod", "greedy", spec=pod)


def _named(version: str, kind: str, name: str, **rest: Any) -> Object:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def _template(app: str, pod: Mapping[str, Any], **rest: Any) -> Object:
    labels = {"app": app}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {"selector": {"matchLabels": labels}, "template": template, **rest}


def _pod(container: Mapping[str, Any], **rest: Any) -> Object:
    context = {
        "runAsNonRoot": True,
        "runAsUser": 65534,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    # The probe's period is a second; a pod that is told to end need not be waited for.
    grace = {"terminationGracePeriodSeconds": 1}
    return {"securityContext": context, "containers": [container], **grace, **rest}


def _restricted(name: str, command: Sequence[str]) -> Object:
    context = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    return {
        "name": name,
        "image": WEB,
        "imagePullPolicy": "Never",
        "command": list(command),
        "securityContext": context,
    }
