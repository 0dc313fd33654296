"""Where things are on a host. Source: K3S documentation, Configuration File and Air-Gap Install."""

from __future__ import annotations

from xops.k3s.cluster_file.hosts import Host

BINARY = "/usr/local/bin/k3s"
FOLDER = "/etc/rancher/k3s"
CONFIG = f"{FOLDER}/config.yaml"
REGISTRIES = f"{FOLDER}/registries.yaml"
TOKEN = f"{FOLDER}/token"
AGENT_TOKEN = f"{FOLDER}/agent-token"
KUBECONFIG = f"{FOLDER}/k3s.yaml"
SYSCTL = "/etc/sysctl.d/90-xops-k3s.conf"
LOCK = "/run/xops-k3s.lock"
UNREAD = "/run/xops-k3s.unread"
"""Is there from before files are written until K3S was told to read them; a boot reads them too."""

PSA = "server/psa.yaml"
AUDIT = "server/audit.yaml"
AUDIT_LOG = "server/logs/audit.log"
ETCD = "server/db/etcd"
SQLITE = "server/db/state.db"
"""The datastore of a server without etcd. Source: k3s-io/k3s, pkg/etcd/etcd.go, sqliteFile."""
OWN_TOKEN = "server/token"  # noqa: S105 - a path
"""K3S's own copy of the token that it runs with, below its data folder."""
MANIFESTS = "server/manifests"
IMAGES = "agent/images"
IMAGE_CACHE = f"{IMAGES}/.cache.json"


def service(host: Host) -> str:
    """The name of the service that K3S runs as."""
    return "k3s" if host.is_server else "k3s-agent"


def unit(host: Host, init: str) -> str:
    """The file that tells the init system about it."""
    if init == "openrc":
        return f"/etc/init.d/{service(host)}"
    return f"/etc/systemd/system/{service(host)}.service"
