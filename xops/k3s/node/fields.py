"""What a change of each field of the cluster file does to hosts that run. Pure.

Most fields become keys of K3S's config.yaml, whose effects are in `k3s_keys`. What a plan really
does is told by the differences that it finds; this is what a person can know before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xops.k3s.k3s_keys import Effect


@dataclass(frozen=True)
class Field:
    """One field of the cluster file, by its path: `hosts[].name`, `sites.*.labels`.

    Attributes:
        path: where it stands.
        effect: the strongest that a change of it has.
        what: what is changed by it.
    """

    path: str
    effect: Effect
    what: str


_OWN = "xOps' own; nothing on the hosts is changed"

_GROUPS: tuple[tuple[Effect, str, str], ...] = (
    (
        Effect.IN_PLACE, _OWN,
        "apiVersion source.kind source.outputs artifacts.folder artifacts.url secrets.folder"
        " ssh.user ssh.port ssh.identity_file ssh.known_hosts ssh.bastion ssh.config"
        " ssh.connect_timeout preflight.fsync_p99_ms preflight.min_memory_mib preflight.min_cpus"
        " preflight.min_disk_gib preflight.clock_skew_seconds approval.required_for[]"
        " approval.approvals approval.not_the_author approval.valid_hours approval.each_stage"
        " evidence.store evidence.folder evidence.bucket evidence.prefix evidence.region"
        " hosts[].port hosts[].user hosts[].identity_file hosts[].bastion hosts[].storage",
    ),
    (
        Effect.FIXED, "the name of plans, records and of the folder with the cluster's tokens:"
        " under another one it is another cluster to xOps", "name",
    ),
    (
        Effect.RESTART, "the binary is another: servers first, one by one; K3S cannot go back",
        "k3s.version",
    ),
    (Effect.RESTART, "`disable`: components are removed, or come back", "k3s.disable[]"),
    (Effect.FIXED, "`data-dir`", "k3s.data_dir"),
    (Effect.FIXED, "as its key says; most are read at a start", "k3s.config"),
    (Effect.FIXED, "as its key says; most are read at a start", "k3s.agent_config"),
    (Effect.FIXED, "`cluster-cidr`", "networks.cluster"),
    (Effect.FIXED, "`service-cidr`, `cluster-dns`", "networks.service"),
    (Effect.FIXED, "`cluster-domain`", "networks.domain"),
    (Effect.FIXED, "`flannel-backend`", "networks.backend"),
    (
        Effect.RESTART, "`tls-san`, agents' `server`, and the manifest of kube-vip",
        "endpoint.kind endpoint.name endpoint.address",
    ),
    (Effect.IN_PLACE, "the kubeconfig that an apply writes", "endpoint.port"),
    (Effect.IN_PLACE, "the manifest of kube-vip", "endpoint.interface endpoint.image"),
    (
        Effect.RESTART, "registries.yaml, which containerd's configuration is made of at a start",
        "registries.mirrors.*.endpoint[] registries.mirrors.*.rewrite"
        " registries.configs.*.auth.username registries.configs.*.auth.password.file"
        " registries.configs.*.auth.password.variable registries.configs.*.tls.ca_file"
        " registries.configs.*.tls.cert_file registries.configs.*.tls.key_file"
        " registries.configs.*.tls.insecure_skip_verify",
    ),
    (Effect.RESTART, "`system-default-registry`", "registries.system_default"),
    (Effect.RESTART, "`embedded-registry`", "registries.embedded"),
    (
        Effect.RESTART, "`etcd-snapshot-schedule-cron`, `etcd-snapshot-retention`",
        "snapshots.schedule snapshots.retention",
    ),
    (
        Effect.RESTART, "`etcd-s3-*`; with config_secret all but its name is the Secret's, and set"
        " in place", "snapshots.s3.bucket snapshots.s3.region snapshots.s3.endpoint"
        " snapshots.s3.folder snapshots.s3.config_secret",
    ),
    (
        Effect.IN_PLACE, "the Secret that K3S makes of a manifest",
        "snapshots.s3.access_key.file snapshots.s3.access_key.variable"
        " snapshots.s3.secret_key.file snapshots.s3.secret_key.variable",
    ),
    (
        Effect.FIXED, "`secrets-encryption`; the rest of the profile would be read at a start",
        "hardening.profile",
    ),
    (Effect.RESTART, "the file of admission plugins", "hardening.exempt_namespaces[]"),
    (
        Effect.RESTART, "archives of images are brought before; K3S restarts for another binary",
        "air_gap.bundle",
    ),
    (Effect.IN_PLACE, "labels of nodes, through the API", "sites.*.labels hosts[].labels"),
    (Effect.IN_PLACE, "taints of nodes, through the API", "sites.*.taints[] hosts[].taints[]"),
    (Effect.RESTART, "`kubelet-arg`", "sites.*.low_memory"),
    (Effect.REJOIN, "`node-name`", "hosts[].name"),
    (
        Effect.REJOIN, "`node-ip`, where it is the address that nodes know the host by: a server is"
        " known by it to etcd, an agent is restarted", "hosts[].address hosts[].private_address",
    ),
    (
        Effect.REJOIN, "another service, other data: a node does not change its role",
        "hosts[].role",
    ),
    (Effect.REJOIN, "another machine", "hosts[].arch"),
    (
        Effect.RESTART, "labels, taints and arguments of the site; `node-external-ip` and"
        " `flannel-external-ip` once there is more than one", "hosts[].site",
    ),
)  # fmt: skip


def _fields() -> Iterator[Field]:
    for effect, what, names in _GROUPS:
        for path in names.split():
            yield Field(path, effect, what)


FIELDS = {field.path: field for field in _fields()}
"""Every field of the cluster file, by its path."""
