"""The hosts of a cluster file, and the rules between them and the rest of the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import InitErrorDetails

from xops.core.files.validation import (
    LocalPath,
    Model,
    ValidationIssue,
    error_details,
    validation_error,
)
from xops.k3s.cluster_file.choices import Endpoint, VipEndpoint
from xops.k3s.cluster_file.field_types import (
    Address,
    IpAddress,
    Jump,
    Labels,
    Login,
    NodeName,
    Taint,
)
from xops.k3s.cluster_file.sections import EVEN, SERVER_COUNTS, Networks


class Site(Model):
    """A place with hosts of its own, reached over a network that may fail."""

    labels: Annotated[Labels, Field(description="Of its nodes; a host's own come on top.")] = {}
    taints: Annotated[tuple[Taint, ...], Field(description="key=value:EFFECT.")] = ()
    low_memory: Annotated[
        bool, Field(description="Small boards: less is cached, logged and reserved.")
    ] = False


class Host(Model):
    """One machine."""

    name: Annotated[NodeName, Field(description="The node's name in the cluster.")]
    address: Annotated[Address, Field(description="What SSH connects to: address, name or alias.")]
    role: Literal["server", "agent"]
    arch: Literal["amd64", "arm64"] = "amd64"
    port: Annotated[int | None, Field(ge=1, le=65535, description="Default: ssh.port.")] = None
    user: Annotated[Login | None, Field(description="Default: ssh.user.")] = None
    identity_file: Annotated[LocalPath | None, Field(description="Default: ssh.identity_file.")] = (
        None
    )
    bastion: Annotated[Jump | None, Field(description="Default: ssh.bastion.")] = None
    private_address: Annotated[
        IpAddress | None, Field(description="What the nodes know it by, if not `address`.")
    ] = None
    site: Annotated[str | None, Field(description="A key of `sites`.")] = None
    storage: Annotated[
        Literal["normal", "slow"], Field(description="slow: SD card, eMMC; agents only.")
    ] = "normal"
    labels: Labels = {}
    taints: Annotated[tuple[Taint, ...], Field(description="key=value:EFFECT.")] = ()

    @field_validator("storage")
    @classmethod
    def _fast_enough_for_etcd(cls, value: str, info: ValidationInfo) -> str:
        if value == "slow" and info.data.get("role") == "server":
            raise ValueError("etcd loses its leader on slow storage: make this host an agent")
        return value

    @property
    def is_server(self) -> bool:
        """Whether the control plane and etcd run here."""
        return self.role == "server"

    @property
    def internal_address(self) -> str:
        """What the other nodes reach it by: an IP address, or a name if only that is known."""
        return self.private_address or self.address

    def address_for(self, other: Host) -> str:
        """What `other` reaches it by: between sites, only its external address."""
        return self.internal_address if self.site == other.site else self.address


def read_hosts(
    value: object, handler: ValidatorFunctionWrapHandler, data: Mapping[str, Any]
) -> tuple[Host, ...]:
    """The value of the file's `hosts`, read by `handler` and held against all rules.

    What is right with the other hosts is looked at even if one of them is wrong, so that a person
    gets every finding in one round.

    Args:
        value: as it stands in the file.
        handler: reads it as hosts.
        data: the parts of the file that were read before and are right.

    Raises:
        ValidationError: every finding, at its own place.
    """
    hosts, errors = _each(value, handler)
    problems = [*_count(value, data), *_host_problems(hosts, data)]
    if errors or problems:
        raise validation_error(errors + [error_details(problem) for problem in problems])
    return tuple(hosts.values())


# Each rule yields where and what; the place is within `hosts`.


def _each(
    value: object, handler: ValidatorFunctionWrapHandler
) -> tuple[dict[int, Host], list[InitErrorDetails]]:
    """The hosts that are right in themselves, by index, and what is wrong with the others."""
    try:
        return dict(enumerate(handler(value))), []
    except ValidationError as error:
        rows = error.errors(include_url=False)
    details = [error_details((row["loc"], row["msg"]), row["input"], row["type"]) for row in rows]
    broken = {row["loc"][0] for row in rows if row["loc"]}
    items = value if isinstance(value, list | tuple) else ()
    right = {i: Host.model_validate(item) for i, item in enumerate(items) if i not in broken}
    return right, details


def _count(value: object, data: Mapping[str, Any]) -> Iterator[ValidationIssue]:
    """1, 3 or 5 servers; none at all where somebody else makes them."""
    if not isinstance(value, list | tuple) or "source" not in data:
        return
    kind = data["source"].kind
    roles = [_role(item) for item in value]
    if any(role not in ("server", "agent") for role in roles):
        return  # how many servers there are is unknown until that is fixed
    servers = roles.count("server")
    if servers not in SERVER_COUNTS and (servers or kind == "given"):
        yield (), f"has {servers} servers; {EVEN}"


def _role(item: object) -> object:
    return item.role if isinstance(item, Host) else isinstance(item, dict) and item.get("role")


def _host_problems(hosts: Mapping[int, Host], data: Mapping[str, Any]) -> Iterator[ValidationIssue]:
    yield from _repeated(hosts)
    if "networks" in data:
        yield from _within_networks(hosts, data["networks"])
        yield from _across_sites(hosts, data["networks"])
        yield from _too_many(hosts, data["networks"])
    if "endpoint" in data:
        yield from _on_the_vip(hosts, data["endpoint"])
    if "sites" in data:
        yield from _unknown_sites(hosts, data["sites"])


def _repeated(hosts: Mapping[int, Host]) -> Iterator[ValidationIssue]:
    """Names, SSH addresses and internal addresses belong to one host each."""
    seen: dict[tuple[str, object], str] = {}
    for index, host in hosts.items():
        keys: list[tuple[str, object, str]] = [
            ("name", host.name, host.name),
            ("address", (host.address, host.port), host.address),
        ]
        if host.private_address:
            keys.append(("private_address", host.private_address, host.private_address))
        for field, key, shown in keys:
            if other := seen.get((field, key)):
                yield (index, field), f"{shown} is {other}'s already"
            else:
                seen[field, key] = f"hosts.{index} ({host.name})"
    yield from _internal_addresses(hosts)


def _internal_addresses(hosts: Mapping[int, Host]) -> Iterator[ValidationIssue]:
    """Hosts behind one address (a router's ports) need addresses of their own behind it."""
    first: dict[str, Host] = {}
    for index, host in hosts.items():
        other = first.setdefault(host.internal_address, host)
        same_way_in = (other.address, other.port) == (host.address, host.port)
        same_internal = other.private_address and other.private_address == host.private_address
        if other is not host and not same_way_in and not same_internal:
            message = (
                f"the nodes would know {host.name} and {other.name} by the same address,"
                f" {host.internal_address}: give each its own"
            )
            yield (index, "private_address"), message


def _within_networks(hosts: Mapping[int, Host], networks: Networks) -> Iterator[ValidationIssue]:
    for index, host in hosts.items():
        for field in ("address", "private_address"):
            address = getattr(host, field)
            if address and (key := networks.holding(address)):
                block = getattr(networks, key)
                yield (index, field), f"{address} lies within networks.{key} ({block})"


def _across_sites(hosts: Mapping[int, Host], networks: Networks) -> Iterator[ValidationIssue]:
    if networks.backend in ("wireguard-native", "none"):
        return
    first = next(iter(hosts.values()), None)
    for index, host in hosts.items():
        if first and host.site != first.site:
            message = (
                f"{host.name} is at another site than {first.name}: between sites traffic must be"
                f" encrypted, with networks.backend wireguard-native, not {networks.backend}"
            )
            yield (index, "site"), message
            return


def _too_many(hosts: Mapping[int, Host], networks: Networks) -> Iterator[ValidationIssue]:
    if len(hosts) > networks.node_count:
        fit = (
            f"networks.cluster ({networks.cluster}) has room for the pods of {networks.node_count}"
        )
        yield (), f"has {len(hosts)} hosts, but {fit}"


def _on_the_vip(hosts: Mapping[int, Host], endpoint: Endpoint) -> Iterator[ValidationIssue]:
    if not isinstance(endpoint, VipEndpoint):
        return
    for index, host in hosts.items():
        for field in ("address", "private_address"):
            if getattr(host, field) == endpoint.address:
                yield (index, field), f"{endpoint.address} is endpoint.address, which must be free"


def _unknown_sites(
    hosts: Mapping[int, Host], sites: Mapping[str, Site]
) -> Iterator[ValidationIssue]:
    known = ", ".join(sites) or "none"
    for index, host in hosts.items():
        if host.site is not None and host.site not in sites:
            yield (index, "site"), f"no site {host.site!r} in sites; there are: {known}"
