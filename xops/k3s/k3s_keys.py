"""The keys of K3S's config.yaml: what a change of each does to a node that runs.

A fact stands beside its source, a file of k3s-io/k3s. Read at v1.34.1+k3s1 (24fc436e6) and at the
branches of v1.34, v1.35 and v1.36 of 2026-07-23 (e6fd70cfd, f28d6b22c, d404855db), which become
v1.34.10, v1.35.7 and v1.36.3: between them one key came, and none went.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from xops.core.plan.values import Json


class Effect(StrEnum):
    """What it takes for a difference to come about on a host that runs."""

    IN_PLACE = "in place"
    """Written, or set through the API; nothing is interrupted."""
    RESTART = "restart"
    """K3S of that host reads it at a start."""
    REJOIN = "rejoin"
    """The host must be taken out of the cluster and join it anew."""
    FIXED = "fixed at birth"
    """Refused; what would have to happen is said."""


ORDER = tuple(Effect)
"""From the mildest to the strongest."""

RELEASES = ("v1.34", "v1.35", "v1.36")
"""The minor releases whose keys are known here; of others a key that is not is no mistake."""


@dataclass(frozen=True)
class Key:
    """One key of config.yaml.

    Attributes:
        name: as it is written.
        effect: what a change does to a server, or to any node.
        reason: why, in half a sentence.
        source: the file of k3s-io/k3s that shows it.
        instead: what would have to happen for a change that is not made: for FIXED and REJOIN.
        default: what K3S takes without the key, where that is fixed as well; None if it depends.
        field: the key of the cluster file that decides it; empty for none.
        of_agents: what a change does to an agent, where that is something else.
        roles: who knows the key: `server`, `agent` or both.
        short: the one letter that K3S takes for it as well.
        followed: whether agents take the value from a server at their own next start.
        since: the releases, one of each minor, that were the first to know it; empty for all.
    """

    name: str
    effect: Effect
    reason: str
    source: str
    instead: str = ""
    default: Json = None
    field: str = ""
    of_agents: Effect | None = None
    roles: tuple[str, ...] = ("server", "agent")
    short: str = ""
    followed: bool = False
    since: tuple[str, ...] = ()

    def effect_on(self, *, is_server: bool) -> Effect:
        """The effect on a node of that role."""
        return self.effect if is_server or self.of_agents is None else self.of_agents


SERVER_FLAGS = "pkg/cli/cmds/server.go"
AGENT_FLAGS = "pkg/cli/cmds/agent.go"
_TYPES = "pkg/daemons/config/types.go"
_CONTROL = "pkg/daemons/control/server.go"
_ETCD = "pkg/etcd/etcd.go"
_FLANNEL = "pkg/agent/flannel/setup.go"
_AGENT_CONFIG = "pkg/agent/config/config.go"
_SERVER = ("server",)

_NEW_CLUSTER = "Write the old value back; another one needs another cluster."
HOW_TO_LEAVE = "docs/how-to/bootstrap-a-cluster.md, Take a host out"
"""Where the order is told in which a host leaves a cluster that goes on."""

_ANEW = (
    "Write the old value back, or let the host leave the cluster first and join anew"
    f" ({HOW_TO_LEAVE})."
)


_FIXED = (
    Key(
        "cluster-cidr", Effect.FIXED,
        "every node holds a part of it, and the controller manager ends at the first that lies"
        " outside", _CONTROL, _NEW_CLUSTER, "10.42.0.0/16", "networks.cluster", roles=_SERVER,
        followed=True,
    ),
    Key(
        "service-cidr", Effect.FIXED,
        "every service holds an address of it, and so do the API's certificate and cluster-dns",
        _CONTROL, _NEW_CLUSTER, "10.43.0.0/16", "networks.service", roles=_SERVER,
    ),
    Key(
        "cluster-dns", Effect.FIXED,
        "it is the address of the DNS service, which no service changes, and it stands in"
        " every pod", "manifests/coredns.yaml", _NEW_CLUSTER, "10.43.0.10", "networks.service",
        roles=_SERVER, followed=True,
    ),
    Key(
        "cluster-domain", Effect.FIXED,
        "it is the issuer of service accounts' tokens, all of which would be refused, and it"
        " stands in every pod", _CONTROL, _NEW_CLUSTER, "cluster.local", "networks.domain",
        roles=_SERVER, followed=True,
    ),
    Key(
        "flannel-backend", Effect.FIXED,
        "agents take it from a server at their own start, nodes of two backends do not reach each"
        " other's pods, and links and routes of the earlier one stay until a reboot", _FLANNEL,
        "Write the old value back. To change it with the pods' network down meanwhile: set"
        " `flannel-backend` in /etc/rancher/k3s/config.yaml of every server, reboot the servers one"
        " by one, then every agent; then write the new value into the file.",
        "vxlan", "networks.backend", roles=_SERVER, followed=True,
    ),
    Key(
        "flannel-ipv6-masq", Effect.FIXED,
        "agents take it from a server at their own start; until then nodes differ", _FLANNEL,
        "Write the old value back, or set it on every server by hand, then restart all nodes.",
        False, roles=_SERVER, followed=True,
    ),
    Key(
        "egress-selector-mode", Effect.FIXED,
        "servers and agents must agree in how the API reaches kubelets; agents take it from a"
        " server at their own start", _AGENT_CONFIG,
        "Write the old value back, or set it on every server by hand, then restart all nodes.",
        "agent", roles=_SERVER, followed=True,
    ),
    Key(
        "secrets-encryption", Effect.FIXED,
        "a server makes a key of its own if it finds none, so that the servers' keys differ; and"
        " without it what is encrypted cannot be read", "pkg/daemons/control/deps/deps.go",
        "Write the old value back. To encrypt a cluster that has no keys (v1.34.4, v1.35.1 and"
        " later): `k3s secrets-encrypt enable` on one server, `secrets-encryption: true` in"
        " /etc/rancher/k3s/config.yaml of all, restart them one by one, then `k3s secrets-encrypt"
        " rotate-keys` and restart them again; then change the file.",
        False, "hardening.profile", roles=_SERVER,
    ),
    Key(
        "data-dir", Effect.FIXED,
        "all that the node knows lies in the old folder; in an empty one K3S starts another life,"
        " a server another cluster", SERVER_FLAGS,
        "Write the old value back. To have it on another disk, one host at a time: stop K3S, copy"
        " what the folder holds (`cp -a`), mount the disk in its place, and start K3S: volumes and"
        " arguments name the folder by its path.",
        "/var/lib/rancher/k3s", "k3s.data_dir", short="d",
    ),
    Key(
        "datastore-endpoint", Effect.FIXED,
        "the cluster is in the datastore: another one is another cluster", "pkg/cluster/managed.go",
        "Take the host out of the file: xOps runs clusters with embedded etcd only. Bring the data"
        " into one with K3S's own means first.", roles=_SERVER,
    ),
    Key(
        "disable-etcd", Effect.REJOIN, "whether a server is a member of etcd is decided when it"
        " joins", "pkg/cluster/managed.go", _ANEW, False, roles=_SERVER,
    ),
    Key(
        "https-listen-port", Effect.FIXED,
        "servers and agents know each other by addresses with this port", SERVER_FLAGS,
        "Write the old value back, or take the key out of the file.", 6443, roles=_SERVER,
    ),
    Key(
        "rootless", Effect.REJOIN, "K3S then lives in another folder, in a network of its own",
        "pkg/cli/server/server.go", _ANEW, False,
    ),
    Key(
        "disable-agent", Effect.REJOIN, "a server without kubelet has no node, and K3S removes"
        " members by their nodes", "pkg/etcd/member_controller.go", _ANEW, False, roles=_SERVER,
    ),
    Key(
        "node-name", Effect.REJOIN,
        "the node stays under its old name, and a server's member of etcd keeps that for ever"
        " (setName): deleting the old node would remove the living member", _ETCD,
        "Write the old name back, or let the host leave the cluster under its old name first and"
        f" join anew under its new one ({HOW_TO_LEAVE}).", None,
        "hosts[].name",
    ),
    Key(
        "with-node-id", Effect.REJOIN, "it changes the node's name", _AGENT_CONFIG, _ANEW, False,
    ),
    Key(
        "node-ip", Effect.REJOIN,
        "other members of etcd reach a server at this address and know it by it (`this server is"
        " not a member of the etcd cluster`)", _ETCD,
        "Give the host its old address back, or let it leave the cluster first and join anew"
        f" ({HOW_TO_LEAVE}); a server alone starts from its own data at the new address"
        " (docs/runbooks/k3s-lost-quorum.md, its one server whole).", None,
        "hosts[].private_address", Effect.RESTART, short="i",
    ),
    Key(
        "snapshotter", Effect.REJOIN,
        "containers and images of the earlier one are not found again",
        "pkg/agent/containerd/config_linux.go", _ANEW,
    ),
    Key(
        "docker", Effect.REJOIN, "containers of the earlier runtime stay and run on, unseen",
        AGENT_FLAGS, _ANEW, False,
    ),
    Key(
        "container-runtime-endpoint", Effect.REJOIN,
        "containers of the earlier runtime stay and run on, unseen", AGENT_FLAGS, _ANEW,
    ),
)  # fmt: skip

_IN_PLACE = (
    Key(
        "node-label", Effect.IN_PLACE,
        "K3S adds labels at a start and never takes one away (updateMutableLabels), so they are set"
        " through the API", "pkg/agent/run.go", field="hosts[].labels",
    ),
    Key(
        "node-taint", Effect.IN_PLACE,
        "the kubelet registers them once, so they are set through the API", AGENT_FLAGS,
        field="hosts[].taints",
    ),
    Key(
        "server", Effect.IN_PLACE, "is where the host joins, and then where it looks first; what it"
        " has learnt of servers stands in its own files", "pkg/cluster/bootstrap.go", short="s",
    ),
    Key(
        "cluster-init", Effect.IN_PLACE, "counts only while there is no data", _ETCD, roles=_SERVER,
    ),
)  # fmt: skip


def _restart(
    names: str,
    reason: str,
    source: str,
    *,
    field: str = "",
    roles: tuple[str, ...] = ("server", "agent"),
    followed: bool = False,
) -> tuple[Key, ...]:
    return tuple(
        Key(name, Effect.RESTART, reason, source, field=field, roles=roles, followed=followed)
        for name in names.split()
    )


_RESTART = (
    *_restart(
        "kubelet-arg kube-proxy-arg", "a component's arguments, given to it when it starts",
        "pkg/daemons/agent/agent_linux.go",
    ),
    *_restart(
        "kube-apiserver-arg kube-controller-manager-arg kube-scheduler-arg etcd-arg"
        " kube-cloud-controller-manager-arg kube-controller-arg kube-cloud-controller-arg",
        "a component's arguments, given to it when it starts", _CONTROL, roles=_SERVER,
    ),
    *_restart(
        "bind-address node-external-ip node-internal-dns node-external-dns resolv-conf"
        " flannel-iface flannel-conf flannel-cni-conf lb-server-port",
        "the node's own network, read at a start", _AGENT_CONFIG,
    ),
    *_restart(
        "vpn-auth vpn-auth-file", "the node's VPN, entered at a start; etcd's address stays as it"
        " is", "pkg/cli/server/server.go",
    ),
    *_restart(
        "protect-kernel-defaults selinux default-runtime image-service-endpoint pause-image"
        " disable-default-registry-endpoint nonroot-devices airgap-extra-registry"
        " image-credential-provider-bin-dir image-credential-provider-config prefer-bundled-bin"
        " enable-pprof", "settings of containerd and the kubelet, written at a start",
        _AGENT_CONFIG,
    ),
    *_restart(
        "private-registry", "containerd's registries are written at a start",
        "pkg/agent/containerd/containerd.go", field="registries",
    ),
    *_restart("disable-apiserver-lb", "the agent's own way to the API", AGENT_FLAGS,
              roles=("agent",)),
    *_restart(
        "debug v vmodule log alsologtostderr config", "how much is logged, and where to",
        "pkg/cli/cmds/log.go",
    ),
    *_restart(
        "token token-file", "read at a start; K3S starts with the token of its datastore only"
        " (`encrypted with different token`), so it is changed by `k3s token rotate`",
        "pkg/cluster/storage.go",
    ),
    *_restart(
        "agent-token agent-token-file", "read at a start; must be the same on all servers",
        "pkg/cli/server/server.go", roles=_SERVER,
    ),
    *_restart(
        "supervisor-port apiserver-port apiserver-bind-address advertise-address advertise-port"
        " tls-san-security", "where the server listens and what it tells of that", SERVER_FLAGS,
        roles=_SERVER,
    ),
    *_restart(
        "tls-san", "the API's certificate is made anew with them", SERVER_FLAGS, field="endpoint",
        roles=_SERVER,
    ),
    *_restart(
        "service-node-port-range servicelb-namespace helm-job-image helm-controller-arg"
        " default-local-storage-path disable-scheduler disable-apiserver"
        " disable-controller-manager etcd-expose-metrics kine-tls datastore-cafile"
        " datastore-certfile datastore-keyfile", "a setting of the server's components",
        SERVER_FLAGS, roles=_SERVER,
    ),
    *_restart(
        "write-kubeconfig write-kubeconfig-mode write-kubeconfig-group",
        "the server's own kubeconfig is written at a start", "pkg/server/server.go", roles=_SERVER,
    ),
    *_restart(
        "system-default-registry", "K3S's own manifests are written anew with it",
        "pkg/server/server.go", field="registries.system_default", roles=_SERVER,
    ),
    *_restart(
        "disable", "K3S removes what it brought, with all that belongs to it, or brings it back",
        "pkg/deploy/controller.go", field="k3s.disable", roles=_SERVER,
    ),
    *_restart(
        "disable-cloud-controller disable-helm-controller", "must be the same on all servers",
        _TYPES, roles=_SERVER,
    ),
    *_restart(
        "disable-network-policy disable-kube-proxy supervisor-metrics", "must be the same on all"
        " servers; agents take it from one at their own start", _AGENT_CONFIG, roles=_SERVER,
        followed=True,
    ),
    *_restart(
        "embedded-registry", "must be the same on all servers; agents take it from one at their own"
        " start", _AGENT_CONFIG, field="registries.embedded", roles=_SERVER, followed=True,
    ),
    *_restart(
        "flannel-external-ip", "must be the same on all servers; a node tells the others its"
        " address anew at its own start", _FLANNEL, field="sites", roles=_SERVER, followed=True,
    ),
    *_restart(
        "secrets-encryption-provider", "counts when keys are made: `k3s secrets-encrypt"
        " rotate-keys`", "pkg/daemons/control/deps/deps.go", roles=_SERVER,
    ),
    *_restart(
        "etcd-disable-snapshots etcd-snapshot-name etcd-snapshot-reconcile-interval"
        " etcd-snapshot-dir etcd-snapshot-compress", "what saves etcd's data starts with it",
        "pkg/etcd/snapshot.go", roles=_SERVER,
    ),
    *_restart(
        "etcd-snapshot-schedule-cron etcd-snapshot-retention", "what saves etcd's data starts with"
        " it", "pkg/etcd/snapshot.go", field="snapshots", roles=_SERVER,
    ),
    *_restart(
        "etcd-s3 etcd-s3-endpoint etcd-s3-endpoint-ca etcd-s3-skip-ssl-verify etcd-s3-access-key"
        " etcd-s3-secret-key etcd-s3-session-token etcd-s3-bucket etcd-s3-bucket-lookup-type"
        " etcd-s3-region etcd-s3-folder etcd-s3-retention etcd-s3-proxy etcd-s3-config-secret"
        " etcd-s3-insecure etcd-s3-timeout", "where snapshots are sent is read at a start",
        "pkg/etcd/s3/s3.go", field="snapshots.s3", roles=_SERVER,
    ),
    *_restart(
        "cluster-reset cluster-reset-restore-path", "a command rather than a setting: K3S makes"
        " itself the only member of etcd, and ends", "pkg/cluster/managed.go", roles=_SERVER,
    ),
)  # fmt: skip

_SHORT = {"token": "t", "write-kubeconfig": "o", "config": "c", "log": "l"}
_SINCE = {"helm-controller-arg": ("v1.34.10", "v1.35.7", "v1.36.3")}


def _completed() -> Iterator[Key]:
    for key in (*_FIXED, *_IN_PLACE, *_RESTART):
        values = {**key.__dict__, "short": key.short or _SHORT.get(key.name, "")}
        yield Key(**values | {"since": _SINCE.get(key.name, ())})


KEYS = {key.name: key for key in _completed()}
"""Every key that K3S of RELEASES knows, hidden ones included, by name."""
