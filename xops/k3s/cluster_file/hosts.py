"""The hosts of a cluster file, and the rules between them and the rest of the file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    details_of,
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


_EVERY_KEY = frozenset(Host.model_fields)


def read_hosts(
    value: object, handler: ValidatorFunctionWrapHandler, data: Mapping[str, Any]
) -> tuple[Host, ...]:
    """The value of the file's `hosts`, read by `handler` and held against all rules.

    What is right is looked at even if something else is wrong, of the same host or of another, so
    that a person gets every finding in one round.

    Args:
        value: as it stands in the file.
        handler: reads it as hosts.
        data: the parts of the file that were read before and are right.

    Raises:
        ValidationError: every finding, at its own place.
    """
    try:
        right = handler(value)
    except ValidationError as error:
        details = details_of(error)
        seen = _seen(value, details)
    else:
        details = []
        seen = [_Seen(index, host) for index, host in enumerate(right)]
    problems = [*_count(value, data), *_host_problems(seen, data)]
    if details or problems:
        raise validation_error(details + [error_details(problem) for problem in problems])
    return tuple(one.host for one in seen)


@dataclass(frozen=True)
class _Seen:
    """A host as far as it can be read: which of its keys stand for nothing that a person wrote."""

    index: int
    host: Host
    wrong: frozenset[str] = frozenset()


_STAND_IN: dict[str, Any] = {"name": "unnamed", "address": "unknown", "role": "agent"}
"""In the place of what is wrong and needed: no rule looks at it."""


def _seen(value: object, details: Sequence[InitErrorDetails]) -> list[_Seen]:
    """Every host, those with errors among them: rules between hosts still hold for the rest."""
    wrong: dict[int, set[str]] = defaultdict(set)
    for index, *keys in (row["loc"] for row in details if row.get("loc")):
        wrong[int(index)].update(map(str, keys[:1]) if keys else _EVERY_KEY)
    items = value if isinstance(value, list | tuple) else ()
    return [_read_partly(index, item, wrong[index]) for index, item in enumerate(items)]


def _read_partly(index: int, item: object, wrong: Collection[str]) -> _Seen:
    if isinstance(item, Host):
        return _Seen(index, item, frozenset(wrong))
    given = item if isinstance(item, dict) else {}
    kept = {key: given[key] for key in given if key in _EVERY_KEY and key not in wrong}
    host = Host.model_validate({**_STAND_IN, **kept})
    return _Seen(index, host, frozenset(wrong) | (_STAND_IN.keys() - kept.keys()))


# Each rule yields where and what; the place is within `hosts`.


def _count(value: object, data: Mapping[str, Any]) -> Iterator[ValidationIssue]:
    """1, 3 or 5 servers; none at all where somebody else makes them."""
    if not isinstance(value, list | tuple) or "source" not in data:
        return
    roles = [_said(item, "role") for item in value]
    if any(role not in ("server", "agent") for role in roles):
        return  # how many servers there are is unknown until that is fixed
    servers = roles.count("server")
    if (servers or data["source"].kind == "given") and servers not in SERVER_COUNTS:
        yield (), f"has {servers} servers; {EVEN}"


def _said(item: object, key: str) -> object:
    return (
        getattr(item, key) if isinstance(item, Host) else isinstance(item, dict) and item.get(key)
    )


def _host_problems(seen: Sequence[_Seen], data: Mapping[str, Any]) -> Iterator[ValidationIssue]:
    def knowing(*keys: str) -> dict[int, Host]:
        """The hosts of which these keys can be relied upon."""
        return {one.index: one.host for one in seen if one.wrong.isdisjoint(keys)}

    yield from _repeated(knowing("name"), "name", lambda host: host.name)
    yield from _repeated(
        knowing("address", "port"), "address", lambda host: (host.address, host.port)
    )
    yield from _repeated(
        knowing("private_address"), "private_address", lambda host: host.private_address
    )
    yield from _internal_addresses(knowing("name", "address", "port", "private_address"))
    if "networks" in data:
        for field in ("address", "private_address"):
            yield from _within_networks(knowing(field), field, data["networks"])
        yield from _across_sites(knowing("name", "site"), data["networks"])
        yield from _too_many(len(seen), data["networks"])
    if "endpoint" in data:
        for field in ("address", "private_address"):
            yield from _on_the_vip(knowing(field), field, data["endpoint"])
    if "sites" in data:
        yield from _unknown_sites(knowing("site"), data["sites"])


def _repeated(
    hosts: Mapping[int, Host], field: str, key: Callable[[Host], object]
) -> Iterator[ValidationIssue]:
    """Names, SSH addresses and internal addresses belong to one host each."""
    owner: dict[object, str] = {}
    for index, host in hosts.items():
        shown, found = getattr(host, field), key(host)
        if shown is None:
            continue
        if other := owner.get(found):
            yield (index, field), f"{shown} is {other}'s already"
        else:
            owner[found] = f"hosts.{index} ({host.name})"


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


def _within_networks(
    hosts: Mapping[int, Host], field: str, networks: Networks
) -> Iterator[ValidationIssue]:
    for index, host in hosts.items():
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


def _too_many(count: int, networks: Networks) -> Iterator[ValidationIssue]:
    if count > networks.node_count:
        fit = (
            f"networks.cluster ({networks.cluster}) has room for the pods of {networks.node_count}"
        )
        yield (), f"has {count} hosts, but {fit}"


def _on_the_vip(
    hosts: Mapping[int, Host], field: str, endpoint: Endpoint
) -> Iterator[ValidationIssue]:
    if not isinstance(endpoint, VipEndpoint):
        return
    for index, host in hosts.items():
        if getattr(host, field) == endpoint.address:
            yield (index, field), f"{endpoint.address} is endpoint.address, which must be free"


def _unknown_sites(
    hosts: Mapping[int, Host], sites: Mapping[str, Site]
) -> Iterator[ValidationIssue]:
    known = ", ".join(sites) or "none"
    for index, host in hosts.items():
        if host.site is not None and host.site not in sites:
            yield (index, "site"), f"no site {host.site!r} in sites; there are: {known}"
