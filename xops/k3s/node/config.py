"""The files that a host shall have: configuration, service, hardening, manifests. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from xops.core.files.bounded_yaml import parse_yaml
from xops.k3s import paths
from xops.k3s.cluster_file.choices import VipEndpoint
from xops.k3s.cluster_file.cluster import API_PORT, Cluster, Host
from xops.k3s.cluster_file.field_types import ip_address
from xops.k3s.node import effects, hardening, kube_vip, labels, snapshots
from xops.k3s.node.managed_file import HEADER, File, SecretFiles, managed
from xops.k3s.release import behaviour
from xops.k3s.state import topology
from xops.k3s.state.facts import HostFacts
from xops.k3s.state.topology import Topology

_SYSTEMD = """\
{header}[Unit]
Description=K3S {role}
Documentation=https://docs.k3s.io
Wants=network-online.target
After=network-online.target
# Without its configuration K3S would found a cluster of its own.
ConditionPathExists={config}

[Service]
Type=notify
EnvironmentFile=-/etc/default/%N
EnvironmentFile=-/etc/sysconfig/%N
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart={binary} {role}
# Pods outlive a restart of K3S.
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
"""

_OPENRC = """\
#!/sbin/openrc-run
{header}description="K3S {role}"
supervisor=supervise-daemon
command="{binary}"
command_args="{role}"
# Without its configuration K3S would found a cluster of its own.
required_files="{config}"
output_log=/var/log/{service}.log
error_log=/var/log/{service}.log
respawn_delay=5
respawn_max=0
rc_ulimit="-n 1048576 -u unlimited -c unlimited"

depend() {{
  after network-online
  want cgroups
}}
"""


def files(
    cluster: Cluster,
    host: Host,
    seen: HostFacts,
    formation: Topology,
    secrets: SecretFiles = SecretFiles(),  # noqa: B008 - frozen
) -> Iterator[File]:
    """All files of one host but its tokens, the binary and the images.

    Args:
        cluster: of the host.
        host: whose files.
        seen: the host's facts.
        formation: what the facts say about the cluster.
        secrets: what holds passwords and keys.
    """
    data = cluster.k3s.data_dir
    yield File(paths.CONFIG, managed(config(cluster, host, seen, formation), sort_keys=True))
    yield _unit(host, seen.init)
    if secrets.registries is not None:
        yield File(paths.REGISTRIES, secrets.registries.content, secrets=secrets.registries.secrets)
    if cluster.hardening.profile == "cis":
        yield File(paths.SYSCTL, hardening.sysctl_file(), 0o644, restarts=False)
        if host.is_server:
            yield File(f"{data}/{paths.PSA}", hardening.admission_file(cluster))
            yield File(f"{data}/{paths.AUDIT}", hardening.audit_file())
    if host.is_server:
        if isinstance(cluster.endpoint, VipEndpoint):
            yield _manifest(cluster, "kube-vip", kube_vip.manifest(cluster.endpoint))
        if secrets.snapshot_keys is not None:
            keys = secrets.snapshot_keys
            yield _manifest(cluster, "etcd-s3", keys.content, keys.secrets)
    if cluster.air_gap and behaviour.pins_images_again(cluster.k3s.version):
        # Where this file is K3S notes in it what it has imported; else it imports every archive
        # anew at each start.
        yield File(f"{data}/{paths.IMAGE_CACHE}", "{}\n", 0o644, restarts=False, once=True)


def _manifest(cluster: Cluster, name: str, content: str, secrets: tuple[str, ...] = ()) -> File:
    path = f"{cluster.k3s.data_dir}/{paths.MANIFESTS}/xops-{name}.yaml"
    return File(path, content, restarts=False, secrets=secrets)


def _unit(host: Host, init: str) -> File:
    form, mode = (_OPENRC, 0o755) if init == "openrc" else (_SYSTEMD, 0o644)
    text = form.format(
        header=HEADER,
        role=host.role,
        binary=paths.BINARY,
        service=paths.service(host),
        config=paths.CONFIG,
    )
    return File(paths.unit(host, init), text, mode)


def config(cluster: Cluster, host: Host, seen: HostFacts, formation: Topology) -> dict[str, Any]:
    """The host's config.yaml. It holds no secret: tokens are files of their own."""
    values = {
        "flannel-iface": _pod_interface(cluster, host, seen),
        **({} if host.is_server else _free(cluster.k3s.agent_config)),
        **_node(cluster, host, labels.kept(cluster, host, seen, formation)),
        **_join(cluster, host, seen, formation),
    }
    if host.is_server:
        values |= _server(cluster)
    values = _merged(values, {"kubelet-arg": _kubelet(cluster, host)})
    if host.is_server and cluster.hardening.profile == "cis":
        values = _merged(values, hardening.server_config(cluster.k3s.data_dir))
    return {key: value for key, value in values.items() if value not in ([], None, "")}


def _node(cluster: Cluster, host: Host, kept: labels.Marks) -> dict[str, Any]:
    # K3S takes addresses only; of a name it would say that it is none, and not start.
    internal = host.internal_address
    external = host.address if host.private_address and ip_address(host.address) else None
    return {
        "data-dir": cluster.k3s.data_dir,
        "node-name": host.name,
        "node-ip": internal if ip_address(internal) else None,
        "node-external-ip": external if cluster.spans_sites else None,
        "node-label": labels.label_texts({**kept.labels, **cluster.labels(host)}),
        "node-taint": [*cluster.taints(host), *labels.taint_texts(kept.taints)],
        "token-file": paths.TOKEN,
        "protect-kernel-defaults": True if cluster.hardening.profile == "cis" else None,
        "private-registry": paths.REGISTRIES if cluster.registries.mirrors else None,
    }


def _pod_interface(cluster: Cluster, host: Host, seen: HostFacts) -> str | None:
    """The interface of the host's address where flannel would take another one.

    It takes that of the default route, whatever node-ip says. Source: k3s-io/k3s,
    pkg/agent/flannel/flannel.go (LookupExtInterface).
    """
    own = seen.interfaces.get(host.internal_address)
    if seen.routes is None or cluster.networks.backend == "none" or cluster.tunnels_between_sites:
        return None  # unknown, not flannel's, or between sites: there the external address counts
    return own if own != seen.default_interface else None


def _join(cluster: Cluster, host: Host, seen: HostFacts, formation: Topology) -> dict[str, Any]:
    """`cluster-init` for the server that initialises the cluster or is alone, else `server`."""
    if host == formation.initialising_server or (host.is_server and len(cluster.servers) == 1):
        return {"cluster-init": True}
    kept = _kept_server(cluster, host, seen)
    return {"server": kept or server_url(cluster, host, formation)}


def _kept_server(cluster: Cluster, host: Host, seen: HostFacts) -> str | None:
    """The server that it was once joined through, as long as that is one of the others."""
    known = parse_yaml(seen.contents.get(paths.CONFIG, "")) or {}
    kept = known.get("server") if isinstance(known, dict) else None
    if not isinstance(kept, str):  # the host may have written anything
        return None
    joined = seen.etcd_member or not host.is_server
    others = {_url(other.address_for(host)) for other in cluster.servers if other is not host}
    return kept if joined and kept in others | _fixed(cluster, host) else None


def server_url(cluster: Cluster, host: Host, formation: Topology) -> str:
    """Where the host joins: the fixed endpoint for agents, else a server that answers."""
    if fixed := _fixed(cluster, host):
        return fixed.pop()
    answering = formation.source if formation.source not in (None, host) else None
    peer = answering or formation.initialising_server or topology.peer_of(cluster, host)
    return _url((peer or cluster.servers[0]).address_for(host))


def _fixed(cluster: Cluster, host: Host) -> set[str]:
    return set() if host.is_server or cluster.endpoint.kind == "servers" else {
        cluster.endpoint_url()
    }  # fmt: skip


def _url(address: str) -> str:
    return f"https://[{address}]:{API_PORT}" if ":" in address else f"https://{address}:{API_PORT}"


def _server(cluster: Cluster) -> dict[str, Any]:
    networks = cluster.networks
    return {
        **_free(cluster.k3s.config),
        "agent-token-file": paths.AGENT_TOKEN,
        "cluster-cidr": networks.cluster,
        "service-cidr": networks.service,
        "cluster-dns": networks.cluster_dns,
        "cluster-domain": networks.domain,
        "flannel-backend": networks.backend,
        # Between sites nodes find each other by their external addresses only.
        "flannel-external-ip": cluster.tunnels_between_sites or None,
        "disable": sorted(cluster.k3s.disable),
        "tls-san": list(cluster.tls_sans),
        "write-kubeconfig-mode": "0600",
        "embedded-registry": cluster.registries.embedded or None,
        "system-default-registry": cluster.registries.system_default,
        **snapshots.config(cluster.snapshots, cluster.k3s.version),
    }


def _free(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in values.items()
    }


def _kubelet(cluster: Cluster, host: Host) -> list[str]:
    cis = hardening.kubelet_arguments() if cluster.hardening.profile == "cis" else []
    small = [
        "image-gc-high-threshold=70",
        "image-gc-low-threshold=60",
        "container-log-max-size=5Mi",
        "container-log-max-files=2",
        "max-pods=40",
        "eviction-hard=memory.available<50Mi,nodefs.available<5%",
    ]
    return cis + (small if cluster.low_memory(host) else [])


def _merged(values: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Both; lists are joined, but for arguments that a person has set: theirs count.

    A component gets all arguments and most take the last of a name, so ours would be it.
    """
    joined = {
        key: _joined(_listed(values.get(key)), value) if isinstance(value, list) else value
        for key, value in more.items()
    }
    return {**values, **joined}


def _joined(own: list[Any], more: list[Any]) -> list[Any]:
    replaced = {other for _, other in effects.overridden(own, more)}
    return [*own, *(argument for argument in more if argument not in replaced)]


def _listed(value: Any) -> list[Any]:
    """A person may write one argument without a list."""
    return value if isinstance(value, list) else [] if value is None else [value]
