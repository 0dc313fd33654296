"""What a cluster file says besides its hosts: release, networks, endpoint, policies."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from xops.core.files.secret import SecretReference
from xops.core.files.validation import LocalPath, Model, ValidationIssue, with_problems
from xops.k3s.cluster_file.field_types import (
    AbsolutePath,
    Cron,
    Jump,
    Login,
    Network,
    ip_address,
)
from xops.k3s.k3s_keys import KEYS

API_PORT: Final = 6443
"""Where a K3S server answers, API and supervisor alike."""

OLDEST = (1, 31)
"""The oldest Kubernetes minor whose K3S keeps all that is relied upon here."""

EXEMPT_NAMESPACES = (
    "argocd", "atlantis", "crossplane-system", "kube-system", "local-path-storage",
    "system-upgrade", "vault",
)  # fmt: skip
"""The platform's own namespaces whose pods ask for more than Pod Security's `restricted` gives."""

SERVER_COUNTS = (1, 3, 5)

EVEN = "must be 1, 3 or 5: etcd needs more than half, so an even number survives no more losses"

# Keys of K3S's configuration that xOps decides itself, or that would put a secret into the file.
_OWN_KEYS = frozenset(
    {
        "advertise-address", "agent-token", "agent-token-file", "cluster-cidr", "cluster-dns",
        "cluster-domain", "cluster-init", "cluster-reset", "cluster-reset-restore-path", "data-dir",
        "datastore-cafile", "datastore-certfile", "datastore-endpoint", "datastore-keyfile",
        "disable", "embedded-registry", "etcd-s3", "etcd-s3-access-key", "etcd-s3-bucket",
        "etcd-s3-config-secret", "etcd-s3-endpoint", "etcd-s3-folder", "etcd-s3-region",
        "etcd-s3-retention", "etcd-s3-secret-key", "etcd-s3-session-token",
        "etcd-snapshot-retention", "etcd-snapshot-schedule-cron", "flannel-backend",
        "node-external-ip", "node-ip", "node-label", "node-name", "node-taint", "private-registry",
        "protect-kernel-defaults", "secrets-encryption", "server", "service-cidr",
        "system-default-registry", "tls-san", "token", "token-file", "vpn-auth", "write-kubeconfig",
        "write-kubeconfig-mode",
    }
)  # fmt: skip


# What `k3s agent` takes; any other key it skips, with a warning in its log. `config` says where the
# file itself is, and belongs on the command line.
_AGENT_KEYS = frozenset(
    key.name for key in KEYS.values() if "agent" in key.roles and key.name != "config"
)


def _checked_config_value(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
    """One finding for a value of none of the kinds, where a union has one for each kind."""
    try:
        return handler(value)
    except ValidationError:
        found = "should be a text, a whole number, true, false, or a list of texts"
        raise ValueError(found) from None


ConfigValue = Annotated[bool | int | str | tuple[str, ...], WrapValidator(_checked_config_value)]
"""A value of K3S's config.yaml."""


class K3s(Model):
    """The K3S release, what of it is left out, and settings that have no key of their own here."""

    version: Annotated[
        str,
        Field(
            pattern=r"^v1\.\d{1,3}\.\d{1,3}(-rc\d+)?\+k3s\d+$",
            description="As the release is called: v1.34.1+k3s1.",
        ),
    ]
    disable: Annotated[
        tuple[
            Literal[
                "coredns", "local-storage", "metrics-server", "runtimes", "servicelb", "traefik"
            ],
            ...,
        ],
        Field(description="Components that K3S brings and this cluster does not want."),
    ] = ()
    data_dir: Annotated[AbsolutePath, Field(description="On the hosts.")] = "/var/lib/rancher/k3s"
    config: Annotated[
        dict[str, ConfigValue],
        Field(description="More keys of K3S's config.yaml, for every server: `etcd-arg` and such."),
    ] = {}
    agent_config: Annotated[
        dict[str, ConfigValue],
        Field(description="The same for every agent: `flannel-iface`, `kubelet-arg` and such."),
    ] = {}

    @field_validator("version")
    @classmethod
    def _not_too_old(cls, value: str) -> str:
        if _minor(value) < OLDEST:
            raise ValueError(f"is older than v{OLDEST[0]}.{OLDEST[1]}, the oldest that works here")
        return value

    @field_validator("config", "agent_config", mode="wrap")
    @classmethod
    def _free_keys(
        cls, value: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> dict[str, Any]:
        """A wrong value does not hide a wrong key."""
        known = _AGENT_KEYS if info.field_name == "agent_config" else None
        problems = list(_wrong_keys(value, known)) if isinstance(value, dict) else []
        return with_problems(value, handler, problems)


def _wrong_keys(keys: Iterable[object], known: Collection[str] | None) -> Iterator[ValidationIssue]:
    for key in map(str, keys):
        name = key.rstrip("+")
        if name in _OWN_KEYS:
            yield (key,), "is xOps' own to set: use this file's own key for it"
        elif not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*\+?", key):
            yield (key,), "is no key of K3S: they are written like-this"
        elif known is not None and name not in known:
            yield (key,), "is no key of K3S' agents, which would skip it"


class Networks(Model):
    """The cluster's internal networks and how packets cross from node to node."""

    cluster: Annotated[Network, Field(description="Pods; every node takes a /24 of it.")] = (
        "10.42.0.0/16"
    )
    service: Annotated[Network, Field(description="Services.")] = "10.43.0.0/16"
    domain: Annotated[str, Field(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)*$")] = "cluster.local"
    backend: Annotated[
        Literal["vxlan", "host-gw", "wireguard-native", "none"],
        Field(description="Flannel's; wireguard-native between sites; none: bring your own."),
    ] = "vxlan"

    @field_validator("cluster", "service")
    @classmethod
    def _wide_enough(cls, value: str) -> str:
        if not 8 <= ipaddress.IPv4Network(value).prefixlen <= 24:
            raise ValueError("must be a block between /8 and /24")
        return value

    @field_validator("service")
    @classmethod
    def _apart(cls, value: str, info: ValidationInfo) -> str:
        pods = info.data.get("cluster")
        if pods and ipaddress.IPv4Network(value).overlaps(ipaddress.IPv4Network(pods)):
            raise ValueError(f"overlaps networks.cluster ({pods})")
        return value

    @property
    def cluster_dns(self) -> str:
        """The address of the cluster's DNS service: the tenth of the service network."""
        return str(ipaddress.IPv4Network(self.service)[10])

    @property
    def node_count(self) -> int:
        """How many nodes fit: each takes a /24 of the cluster network for its pods."""
        return int(2 ** (24 - ipaddress.IPv4Network(self.cluster).prefixlen))

    def holding(self, address: str) -> str | None:
        """Which of the networks holds the address, by its key here; None if neither does."""
        ip = ip_address(address)
        if not isinstance(ip, ipaddress.IPv4Address):
            return None
        blocks = {"cluster": self.cluster, "service": self.service}
        return next((key for key, at in blocks.items() if ip in ipaddress.IPv4Network(at)), None)


class Mirror(Model):
    """Where images of one registry are fetched from instead, tried in order."""

    endpoint: tuple[Annotated[str, Field(pattern=r"^https?://\S+$")], ...] = ()
    rewrite: Annotated[
        dict[str, str], Field(description="Regular expression to replacement, on image names.")
    ] = {}


class RegistryAuth(Model):
    """The login at a registry."""

    username: Annotated[str, Field(min_length=1)]
    password: SecretReference


class RegistryTls(Model):
    """How a registry proves itself, and the cluster to it."""

    ca_file: Annotated[AbsolutePath | None, Field(description="On the hosts.")] = None
    cert_file: Annotated[AbsolutePath | None, Field(description="On the hosts.")] = None
    key_file: Annotated[AbsolutePath | None, Field(description="On the hosts.")] = None
    insecure_skip_verify: bool = False

    @field_validator("key_file")
    @classmethod
    def _a_pair(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "cert_file" in info.data and (value is None) != (info.data["cert_file"] is None):
            raise ValueError("cert_file and key_file go together")
        return value


class RegistryConfig(Model):
    """How one registry or mirror is talked to."""

    auth: RegistryAuth | None = None
    tls: RegistryTls = RegistryTls()


class Registries(Model):
    """Image registries, as in K3S's registries.yaml."""

    mirrors: Annotated[dict[str, Mirror], Field(description="By registry; `*` is any.")] = {}
    configs: Annotated[dict[str, RegistryConfig], Field(description="By host and port.")] = {}
    system_default: Annotated[
        str | None,
        Field(
            pattern=r"^[\w.-]+(:\d+)?(/[\w./-]+)?$",
            description="Where K3S's own images come from.",
        ),
    ] = None
    embedded: Annotated[
        bool, Field(description="Nodes share images of the mirrored registries (port 5001).")
    ] = False

    @field_validator("embedded")
    @classmethod
    def _of_something(cls, value: bool, info: ValidationInfo) -> bool:
        if value and not info.data.get("mirrors", True):
            raise ValueError("shares images of mirrored registries only: add mirrors, '*' for any")
        return value


class S3(Model):
    """A bucket for etcd's snapshots. Without keys the servers' own role is used."""

    bucket: Annotated[
        str | None,
        Field(
            pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
            description="Default with Terraform's hosts: the bucket made for them.",
        ),
    ] = None
    region: str = "ap-southeast-2"
    endpoint: Annotated[
        str | None, Field(pattern=r"^[\w.-]+(:\d+)?$", description="Default: AWS'.")
    ] = None
    folder: str | None = None
    config_secret: Annotated[
        str | None,
        Field(
            pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
            description="The Secret in kube-system that gives K3S bucket and keys.",
        ),
    ] = None
    access_key: Annotated[
        SecretReference | None,
        Field(description="With it and secret_key, config_secret is made; else you make it."),
    ] = None
    secret_key: SecretReference | None = None

    @field_validator("secret_key")
    @classmethod
    def _a_pair(cls, value: object, info: ValidationInfo) -> object:
        keys = [value, info.data.get("access_key")]
        if keys.count(None) == 1:
            raise ValueError("access_key and secret_key go together")
        if value and not info.data.get("config_secret"):
            raise ValueError("needs config_secret: keys never stand in K3S's configuration")
        return value


class Snapshots(Model):
    """When etcd's data is saved, how many are kept, and where besides the servers' disks."""

    schedule: Annotated[Cron, Field(description="Cron, in the hosts' time zone.")] = "0 */12 * * *"
    retention: Annotated[int, Field(ge=1, le=100)] = 5
    s3: S3 | None = None


class Hardening(Model):
    """The CIS profile: sysctl, audit, Pod Security, encrypted Secrets, kubelet limits."""

    profile: Annotated[
        Literal["cis", "none"],
        Field(description="Decided at birth: encryption cannot be added to a running cluster."),
    ] = "cis"
    exempt_namespaces: Annotated[
        tuple[str, ...], Field(description="Not held to Pod Security's `restricted`.")
    ] = EXEMPT_NAMESPACES

    @field_validator("exempt_namespaces")
    @classmethod
    def _with_the_system(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "kube-system" not in value:
            raise ValueError("must have kube-system: K3S's own pods would not start")
        return value


class AirGap(Model):
    """A cluster whose hosts have no internet access: all of it comes from one bundle."""

    bundle: Annotated[LocalPath, Field(description="Made by xops bundle build.")]


class Secrets(Model):
    """Where the tokens and the kubeconfig of the cluster are kept."""

    folder: Annotated[
        LocalPath | None, Field(description="Default: clusters/<name> in xOps' home; mode 0700.")
    ] = None


class Ssh(Model):
    """How hosts are reached. What is left out is taken from `config`, then from SSH's defaults.

    The default of `config` is a person's own configuration, which counts as OpenSSH reads it; it
    must be theirs or root's, and writable by nobody else. A file that is named instead is held to
    be data: it may have `Host`, `HostName`, `Port`, `User`, `ProxyJump`, `HostKeyAlias`,
    `IdentityFile` (a whole path, or one below `~/`) and `AddressFamily`. Everything else is refused
    with its line, as are `%` and `$` expansions, quotes other than `"`, and escapes; it is UTF-8,
    there, and at most 256 KiB.

    A private key may be any regular file that the person can read, of at most 64 KiB. Of a key only
    its public half and a signature leave this machine. The signature is bound to that one
    connection, and is of no use to the host elsewhere. The content of a file that is no key is
    never shown.
    """

    user: Login | None = None
    port: Annotated[int | None, Field(ge=1, le=65535)] = None
    identity_file: Annotated[LocalPath | None, Field(description="The private key.")] = None
    known_hosts: Annotated[
        LocalPath, Field(description="The hosts' pinned keys; no other file counts.")
    ] = Path("known_hosts")
    bastion: Annotated[Jump | None, Field(description="user@host:port to go through.")] = None
    config: Annotated[
        LocalPath,
        Field(description="OpenSSH's; in a file of your own few keywords, see above."),
    ] = Path("~/.ssh/config")
    connect_timeout: Annotated[float, Field(gt=0, le=120, description="Seconds.")] = 10


class Preflight(Model):
    """What a host must have at least, or a server must not exceed."""

    fsync_p99_ms: Annotated[
        float, Field(gt=0, description="Servers: etcd's disk, 99th percentile.")
    ] = 20
    min_memory_mib: Annotated[int, Field(ge=256, description="Servers.")] = 1800
    min_cpus: Annotated[int, Field(ge=1, description="Servers.")] = 2
    min_disk_gib: Annotated[int, Field(ge=1, description="Free below data_dir.")] = 10
    clock_skew_seconds: Annotated[
        float, Field(gt=0, le=300, description="Against the hosts' median.")
    ] = 30


def _minor(version: str) -> tuple[int, int]:
    major, minor, *_ = version.removeprefix("v").split(".")
    return int(major), int(minor)
