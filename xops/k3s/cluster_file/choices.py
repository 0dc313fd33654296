"""Sections of the cluster file that come in kinds, each with keys of its own.

Where the hosts come from, where clients find the API, where K3S's files come from, and where
records are kept. The file's schema has each kind as a model, so that editors know which keys go
with which.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator

from xops.core.evidence.settings import (
    IN_A_BUCKET,
    IN_A_FOLDER,
    BucketEvidence,
    FolderEvidence,
    store_tag,
)
from xops.core.files.validation import LocalPath, Model, kind_check, raise_if_any
from xops.k3s.cluster_file.field_types import Address, IpAddress, ip_address
from xops.k3s.cluster_file.sections import API_PORT

_NO_K3D = "K3D clusters are not supported: list hosts that SSH reaches, or use terraform"


# Where the hosts come from


class GivenSource(Model):
    """All hosts are those of `hosts`."""

    kind: Literal["given"] = "given"


class TerraformSource(Model):
    """The hosts of Terraform's outputs come before those of `hosts`."""

    kind: Literal["terraform"]
    outputs: Annotated[
        LocalPath, Field(description="What `terraform output -json` of stacks/k3s_hosts printed.")
    ]


HostSource = Annotated[
    GivenSource | TerraformSource,
    Field(discriminator="kind"),
    kind_check("kind", GivenSource, TerraformSource, gone={"k3d": _NO_K3D}),
]


# Where clients find the API

_ApiPort = Annotated[Literal[6443], Field(description="Only kind dns may have another.")]


class ServersEndpoint(Model):
    """The API is found at any server."""

    kind: Literal["servers"] = "servers"
    port: _ApiPort = API_PORT


class DnsEndpoint(Model):
    """The API is found at a DNS name, behind which is a balancer."""

    kind: Literal["dns"]
    name: Annotated[
        Address | None,
        Field(description="By default that of the load balancer of Terraform's hosts."),
    ] = None
    port: Annotated[int, Field(ge=1, le=65535, description="Where the balancer listens.")] = (
        API_PORT
    )

    @field_validator("name")
    @classmethod
    def _no_address(cls, value: str | None) -> str | None:
        if value and ip_address(value):
            raise ValueError("is an address: for one that moves between servers write kind vip")
        return value


class VipEndpoint(Model):
    """The API is found at an address that moves between the servers (kube-vip)."""

    kind: Literal["vip"]
    address: Annotated[IpAddress, Field(description="A free one of the servers' network.")]
    port: _ApiPort = API_PORT
    interface: Annotated[
        str | None,
        Field(
            pattern=r"^[\w.-]{1,15}$",
            description="The interface that gets it; default: the default route's.",
        ),
    ] = None
    image: Annotated[
        str, Field(pattern=r"^[^\s:@]+(:\d+/[^\s:@]+)?:[\w.-]+$", description="kube-vip's.")
    ] = "ghcr.io/kube-vip/kube-vip:v1.0.4"


Endpoint = Annotated[
    ServersEndpoint | DnsEndpoint | VipEndpoint,
    Field(discriminator="kind"),
    kind_check("kind", ServersEndpoint, DnsEndpoint, VipEndpoint),
]


# Where K3S's files come from without a bundle


class FolderArtifacts(Model):
    """Files in a folder, named as in a release."""

    folder: LocalPath


class MirrorArtifacts(Model):
    """Files of a mirror that is laid out as K3S's release downloads."""

    url: Annotated[str, Field(pattern=r"^https?://\S+$")]


def _check_one_place(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    given = {key: inner for key, inner in value.items() if inner is not None}
    if given.keys() >= {"folder", "url"}:
        raise_if_any([(("url",), "folder and url exclude each other")])
    return given or None


def _artifacts_tag(value: Any) -> str:
    is_mirror = "url" in value if isinstance(value, dict) else isinstance(value, MirrorArtifacts)
    return "from a mirror" if is_mirror else "from a folder"


Artifacts = Annotated[
    Annotated[
        Annotated[FolderArtifacts, Tag("from a folder")]
        | Annotated[MirrorArtifacts, Tag("from a mirror")],
        Discriminator(_artifacts_tag),
    ]
    | None,
    BeforeValidator(_check_one_place),
]
"""None: K3S's own releases. An empty section says the same."""


# Where records are kept


class ClusterBucketEvidence(BucketEvidence):
    """Records in a bucket, which outlives this machine."""

    bucket: str
    region: Annotated[str, Field(description="Of the bucket.")] = "ap-southeast-2"


Evidence = Annotated[
    Annotated[FolderEvidence, Tag(IN_A_FOLDER)]
    | Annotated[ClusterBucketEvidence, Tag(IN_A_BUCKET)],
    Discriminator(store_tag),
    kind_check("store", FolderEvidence, ClusterBucketEvidence),
]
