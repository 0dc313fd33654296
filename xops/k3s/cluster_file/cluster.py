"""A cluster of Stream 2: one file in `deployments/clusters/`.

The model is the file's schema: `deployments/clusters/schema.json` is generated from it. Paths in
the file are on the machine that runs xOps, relative to the file's folder, unless they are said to
be on the hosts. No secret stands in the file, only where it is to be read from.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import (
    BaseModel,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from xops.core.errors import Finding, InputError, PermanentError
from xops.core.evidence.settings import FolderEvidence
from xops.core.files import settings
from xops.core.files.bounded_json import parse_json
from xops.core.files.provenance import read_provenance
from xops.core.files.reading import UnusableTextError, read_bytes
from xops.core.files.validation import Model, ValidationIssue, message_of, raise_if_any
from xops.core.lifecycle.approval_policy import ApprovalPolicy
from xops.core.lifecycle.gate import PolicyInForce
from xops.k3s.cluster_file.choices import (
    Artifacts,
    DnsEndpoint,
    Endpoint,
    Evidence,
    GivenSource,
    HostSource,
    ServersEndpoint,
    TerraformSource,
    VipEndpoint,
)
from xops.k3s.cluster_file.field_types import NodeName, taint_parts
from xops.k3s.cluster_file.hosts import Host, Site, read_hosts
from xops.k3s.cluster_file.sections import (
    API_PORT,
    S3,
    AirGap,
    Hardening,
    K3s,
    Mirror,
    Networks,
    Preflight,
    Registries,
    RegistryConfig,
    Secrets,
    Snapshots,
    Ssh,
)

__all__ = [
    "API_PORT", "S3", "AirGap", "ApprovalPolicy", "Artifacts", "Cluster", "Endpoint", "Evidence",
    "Hardening", "Host", "HostSource", "K3s", "Mirror", "Networks", "Preflight", "Registries",
    "RegistryConfig", "Secrets", "Site", "Snapshots", "Ssh", "find_file", "names", "schema",
    "slot",
]  # fmt: skip

FOLDER = settings.ROOT / "deployments" / "clusters"
VARIABLE_PREFIX = "XOPS_CLUSTER__"
REVIEWED = ("approval", "evidence")
"""Keys that are policy: no variable lies over them."""

LARGEST_OUTPUTS = 4 << 20
"""Bytes of Terraform's outputs; those of a hundred hosts have some 50 kB."""

_STEM = "the file's name without its suffix"

_NAME = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"


class Cluster(Model):
    """One cluster: its hosts, the K3S on them, and the policies of changing it."""

    api_version: Annotated[Literal["xops/v1"], Field(alias="apiVersion")]
    name: Annotated[str, Field(pattern=_NAME, description="The file's name without .yaml.")]
    k3s: K3s
    source: HostSource = GivenSource()
    networks: Networks = Networks()
    endpoint: Endpoint = ServersEndpoint()
    registries: Registries = Registries()
    snapshots: Snapshots = Snapshots()
    hardening: Hardening = Hardening()
    air_gap: AirGap | None = None
    artifacts: Annotated[
        Artifacts, Field(description="Only without air_gap; default: K3S's releases.")
    ] = None
    secrets: Secrets = Secrets()
    ssh: Ssh = Ssh()
    preflight: Preflight = Preflight()
    approval: ApprovalPolicy = ApprovalPolicy()
    evidence: Evidence = FolderEvidence()
    sites: Annotated[dict[NodeName, Site], Field(description="By name; hosts name theirs.")] = {}
    hosts: tuple[Host, ...] = ()

    @field_validator("name")
    @classmethod
    def _as_its_file(cls, value: str, info: ValidationInfo) -> str:
        stem = (info.context or {}).get(_STEM, value)
        if value != stem:
            raise ValueError(f"must be {stem!r}, as the file is called")
        return value

    @field_validator("endpoint")
    @classmethod
    def _endpoint_fits(cls, value: Endpoint, info: ValidationInfo) -> Endpoint:
        source, networks = info.data.get("source"), info.data.get("networks")
        problems: list[ValidationIssue] = []
        if isinstance(value, DnsEndpoint) and not value.name and isinstance(source, GivenSource):
            problems.append((("name",), "write the DNS name that leads to the servers"))
        address = value.address if isinstance(value, VipEndpoint) else None
        if address and networks and (key := networks.holding(address)):
            problems.append((("address",), f"lies within networks.{key}"))
        raise_if_any(problems)
        return value

    @field_validator("snapshots")
    @classmethod
    def _bucket_known(cls, value: Snapshots, info: ValidationInfo) -> Snapshots:
        source = info.data.get("source")
        if value.s3 and not value.s3.bucket and isinstance(source, GivenSource):
            raise_if_any([(("s3", "bucket"), "name the bucket")])
        return value

    @field_validator("artifacts")
    @classmethod
    def _not_with_a_bundle(cls, value: Artifacts, info: ValidationInfo) -> Artifacts:
        if value and info.data.get("air_gap"):
            raise ValueError("with air_gap all comes from the bundle: leave one of the two out")
        return value

    @field_validator("hosts", mode="wrap")
    @classmethod
    def _hosts_fit(
        cls, value: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> tuple[Host, ...]:
        return read_hosts(value, handler, info.data)

    _file: Path | None = PrivateAttr(default=None)

    def policy(self) -> PolicyInForce:
        """Which plans wait for a person, by the file as it was reviewed.

        Raises:
            PermanentError: this cluster comes from no file.
        """
        if self._file is None:
            raise PermanentError(
                f"asking for the policy of {self.subject}", "it comes from no file", "Write one."
            )
        return PolicyInForce(self.approval, read_provenance(self._file))

    @property
    def subject(self) -> str:
        """The name of this cluster in plans, evidence and lock names."""
        return f"k3s/{self.name}"

    @property
    def servers(self) -> tuple[Host, ...]:
        """The hosts with control plane and etcd, in the file's order.

        Raises:
            PermanentError: nobody knows yet: they are Terraform's, whose outputs were not read.
        """
        found = tuple(host for host in self.hosts if host.is_server)
        if not found:
            raise _hosts_unknown(self)
        return found

    @property
    def agents(self) -> tuple[Host, ...]:
        """The other hosts. Empty means that there is none.

        Raises:
            PermanentError: nobody knows yet, as with `servers`.
        """
        known = self.servers and self.hosts
        return tuple(host for host in known if not host.is_server)

    def host(self, name: str) -> Host:
        """The host of that name.

        Raises:
            InputError: there is none; says which there are.
        """
        for host in self.hosts:
            if host.name == name:
                return host
        known = ", ".join(host.name for host in self.hosts) or "none"
        finding = Finding("argument host", "", f"no host {name!r} in {self.name}; it has: {known}")
        raise InputError("finding the host", [finding], "Name one of them.")

    @property
    def cluster_dns(self) -> str:
        """The address of the cluster's DNS service."""
        return self.networks.cluster_dns

    @property
    def tls_sans(self) -> tuple[str, ...]:
        """What the API's certificate must be valid for: the endpoint and each server's addresses.

        Names of the person's SSH configuration are among them, which does no harm.
        """
        name = self.endpoint.name if isinstance(self.endpoint, DnsEndpoint) else None
        endpoint = [name or self.vip]
        servers = [text for host in self.servers for text in (host.address, host.private_address)]
        return tuple(dict.fromkeys(text for text in [*endpoint, *servers] if text))

    @property
    def vip(self) -> str | None:
        """The address that moves between the servers, None where none does."""
        return self.endpoint.address if isinstance(self.endpoint, VipEndpoint) else None

    def endpoint_address(self) -> str:
        """Where clients outside find the API: the DNS name, the VIP, or the first server.

        Raises:
            PermanentError: it is Terraform's, whose outputs were not read.
        """
        if isinstance(self.endpoint, ServersEndpoint):
            return self.servers[0].address
        if isinstance(self.endpoint, VipEndpoint):
            return self.endpoint.address
        if not self.endpoint.name:
            raise _hosts_unknown(self)
        return self.endpoint.name

    def endpoint_url(self) -> str:
        """The API's address as kubeconfig has it."""
        address = self.endpoint_address()
        host = f"[{address}]" if ":" in address else address
        return f"https://{host}:{self.endpoint.port}"

    def labels(self, host: Host) -> dict[str, str]:
        """A host's labels: its site's, overlaid by its own."""
        return {**self._site(host).labels, **host.labels}

    def taints(self, host: Host) -> tuple[str, ...]:
        """A host's taints: its site's, overlaid by its own of the same key and effect."""
        found = {}
        for text in (*self._site(host).taints, *host.taints):
            key, _, effect = taint_parts(text)
            found[key, effect] = text
        return tuple(found.values())

    def low_memory(self, host: Host) -> bool:
        """Whether the host is a small board."""
        return self._site(host).low_memory

    def _site(self, host: Host) -> Site:
        return self.sites[host.site] if host.site else Site()

    @property
    def spans_sites(self) -> bool:
        """Whether nodes reach each other over networks that are not theirs alone."""
        return len({host.site for host in self.hosts}) > 1

    @property
    def tunnels_between_sites(self) -> bool:
        """Whether flannel's encrypted tunnels go from external address to external address."""
        crosses = self.spans_sites and self.networks.backend == "wireguard-native"
        return crosses and any(host.private_address for host in self.hosts)

    @property
    def secrets_folder(self) -> Path:
        """Where tokens and kubeconfig are kept."""
        return self.secrets.folder or settings.home() / "clusters" / self.name

    def completed(self) -> Self:
        """This cluster with all its hosts: those of Terraform's outputs are read from their file.

        Raises:
            InputError: the outputs cannot be read, or do not fit this file.
        """
        if not isinstance(self.source, TerraformSource):
            return self
        file = self.source.outputs
        try:
            outputs = parse_json(read_bytes(file, LARGEST_OUTPUTS))
        except UnusableTextError as error:
            finding = Finding(str(file), "", error.problem, error.line)
            raise _outputs_error([finding]) from None
        return self.with_outputs(outputs)

    def with_outputs(self, outputs: Mapping[str, Any]) -> Self:
        """This cluster with the hosts that Terraform made, which come before those of the file.

        Args:
            outputs: what `terraform output -json` prints, or the plain values by name: `hosts`
                (name, address, private_address, arch, zone, role, user), `endpoint`,
                `snapshots_bucket`, `networks`.

        Raises:
            InputError: they are no outputs of stacks/k3s_hosts, or do not fit this file.
        """
        try:
            values = {name: _output_value(output) for name, output in outputs.items()}
            document = _overlaid(self, values)
            differing = _differing_networks(self, values.get("networks", {}))
        except (AttributeError, KeyError, TypeError) as error:
            found = f"these are not the outputs of stacks/k3s_hosts: {error!r}"
            raise _outputs_error([Finding("Terraform's outputs", "", found)]) from error
        if differing:
            raise _outputs_error(differing)
        try:
            completed = self.model_validate(document)
        except ValidationError as error:
            raise _outputs_error(_findings(error)) from None
        completed._file = self._file
        return completed

    @classmethod
    def load(
        cls,
        file_or_name: str | Path,
        *,
        folder: Path = FOLDER,
        environ: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> Self:
        """Read a cluster's file, overlaid by XOPS_CLUSTER__* and by `arguments`.

        Args:
            file_or_name: a path (it has a slash or ends in .yaml), or a name in `folder`.
            folder: where names are looked up.
            environ: the environment's variables, by default this process'.
            arguments: values by dotted path, as `xops.core.files.settings.load` takes them.

        Raises:
            InputError: no such cluster, or everything that is wrong with it.
        """
        file = find_file(file_or_name, folder)
        cluster = settings.load(
            cls,
            file,
            prefix=VARIABLE_PREFIX,
            environ=os.environ if environ is None else environ,
            arguments=arguments,
            reviewed=REVIEWED,
            context={_STEM: file.stem},
        )
        try:
            placed: Self = _placed(cluster, file.resolve().parent)
        except RuntimeError:  # as that of ssh.config does if it is left out
            found = "a path begins with a home that is not known here: ~name, or ~ without HOME"
            finding = Finding(file.name, "", found)
            raise InputError(f"reading cluster {file.stem}", [finding]) from None
        placed._file = file
        return placed


def names(folder: Path = FOLDER) -> list[str]:
    """The clusters that have a file, in alphabetical order. A lock file is none."""
    return sorted(file.stem for file in folder.glob("*.yaml") if re.match(_NAME, file.stem))


def slot(name: str) -> str:
    """The concurrency limit that lets one change at a time at a cluster."""
    return f"k3s-{name}"


def find_file(file_or_name: str | Path, folder: Path = FOLDER) -> Path:
    """Where a cluster's file is, by its path or the cluster's name.

    Raises:
        InputError: there is none.
    """
    text = str(file_or_name)
    is_path = isinstance(file_or_name, Path) or "/" in text or text.endswith((".yaml", ".yml"))
    file = Path(text) if is_path else folder / f"{text}.yaml"
    if not os.path.isfile(file):  # unlike Path.is_file it answers for a name that is too long
        _raise_unknown(text, folder, is_path=is_path)
    return file


def _raise_unknown(text: str, folder: Path, *, is_path: bool) -> NoReturn:
    known = ", ".join(names(folder)) or "none"
    found = f"no file {text}" if is_path else f"no cluster {text!r}; there are: {known}"
    finding = Finding("argument cluster", "", found)
    raise InputError("reading the cluster", [finding], "Name one of them, or the path of a file.")


def _placed(value: Any, folder: Path) -> Any:
    """The same value, its paths made absolute: `~` is the person's, the rest is below `folder`."""
    if isinstance(value, Path):
        return folder / value.expanduser()
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        placed = {name: _placed(inner, folder) for name, inner in fields.items()}
        changed = {name: inner for name, inner in placed.items() if inner != fields[name]}
        return value.model_copy(update=changed)
    if isinstance(value, dict):
        return {key: _placed(inner, folder) for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(_placed(inner, folder) for inner in value)
    return value


def _output_value(output: Any) -> Any:
    """A plain value of an output, which `terraform output -json` wraps with its type."""
    is_wrapped = isinstance(output, Mapping) and {"value", "type"} <= output.keys()
    return output["value"] if is_wrapped else output


def _overlaid(cluster: Cluster, values: Mapping[str, Any]) -> dict[str, Any]:
    document = cluster.model_dump(exclude_unset=True)
    made = [_terraform_host(row) for row in values["hosts"]]
    document["hosts"] = [*made, *document.get("hosts", ())]
    endpoint = document.get("endpoint", {})
    if endpoint.get("kind") == "dns" and not endpoint.get("name"):
        endpoint["name"] = values["endpoint"]
    s3 = document.get("snapshots", {}).get("s3")
    if s3 is not None and not s3.get("bucket"):
        s3["bucket"] = values["snapshots_bucket"]
    return document


def _terraform_host(row: Mapping[str, Any]) -> dict[str, Any]:
    values = {key: value for key, value in row.items() if key != "zone"}
    labels = dict(row.get("labels") or {})
    if zone := row.get("zone"):
        labels["topology.kubernetes.io/zone"] = zone
    return {**values, "labels": labels}


def _differing_networks(cluster: Cluster, made_for: Mapping[str, Any]) -> list[Finding]:
    """Security groups were opened for these ranges and this backend: no others will pass."""
    return [
        Finding("Terraform's outputs", f"networks.{key}", f"is {value}, but this file says {own}")
        for key, value in made_for.items()
        if (own := getattr(cluster.networks, key)) != value
    ]


def _findings(error: ValidationError) -> list[Finding]:
    rows = error.errors(include_url=False)
    texts = [message_of(row) for row in rows]
    paths = [".".join(map(str, row["loc"])) for row in rows]  # of hosts, which have no kinds
    places = zip(paths, texts, strict=True)
    return [Finding("Terraform's outputs", path, text) for path, text in places]


def _outputs_error(findings: list[Finding]) -> InputError:
    remedy = "Apply terraform/stacks/k3s_hosts, write `terraform output -json` to source.outputs."
    return InputError("taking the hosts from Terraform's outputs", findings, remedy)


def _hosts_unknown(cluster: Cluster) -> PermanentError:
    return PermanentError(
        f"finding the servers of {cluster.name}",
        "Terraform makes them, and its outputs were not read yet",
        "Name the file with Terraform's outputs in source.outputs.",
    )


def schema() -> str:
    """The JSON schema of the file, as `schema.json` holds it for editors."""
    return json.dumps(Cluster.model_json_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
