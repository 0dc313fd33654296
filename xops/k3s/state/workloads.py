"""What a cluster's API says of the pods that K3S and xOps run in it, read strictly. Pure.

So is what hosts say of the addresses that they were told to ask (scripts/effects.sh).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from xops.core.errors import PermanentError
from xops.core.files.bounded_json import parse_json
from xops.k3s.state.facts import parse_peers
from xops.k3s.state.sections import split_sections

DNS_PORT = 53

DNS_DEPLOYMENT = "coredns"
"""Source: k3s-io/k3s, manifests/coredns.yaml."""

UNKNOWN = "unknown"
"""How an address answered a host that has no program to ask it with."""

_LONGEST = 256
_LONGEST_MESSAGE = 200
_MOST_ROWS = 500
_STARTING = ("ContainerCreating", "PodInitializing", "Completed", "")
"""Why a container waits that has nothing wrong with it. Source: Kubernetes, pkg/kubelet."""

_FIELDS = {
    "kind": ".kind",
    "name": ".metadata.name",
    "node": ".spec.nodeName",
    "address": ".status.podIP",
    "generation": ".metadata.generation",
    "observed": ".status.observedGeneration",
    "replicas": ".spec.replicas",
    "present": ".status.replicas",
    "updated": ".status.updatedReplicas",
    "available": ".status.availableReplicas",
    "ready": '.status.conditions[?(@.type=="Ready")].status',
    "conditions": ".status.conditions",
    "containers": ".status.containerStatuses",
    "init_containers": ".status.initContainerStatuses",
    "deleted": ".metadata.deletionTimestamp",
}
POD_FORM = (
    "{range .items[*]}"
    + '{"\\t"}'.join(f"{{{path}}}" for path in _FIELDS.values())
    + '{"\\n"}{end}'
)
"""What kubectl is to print of pods and Deployments (`-o jsonpath`): a row each of what is used.

scripts/workloads.sh counts its columns.
"""


@dataclass(frozen=True)
class PodFacts:
    """A pod as the API shows it.

    Attributes:
        name: of the pod.
        node: where it runs; None while no node is chosen.
        address: its own; None while it has none.
        ready: whether it says that it can serve.
        reason: why it is not ready, in Kubernetes' word; None where nothing is said.
        message: what is said to that.
    """

    name: str
    node: str | None
    address: str | None
    ready: bool
    reason: str | None = None
    message: str | None = None

    @property
    def is_starting(self) -> bool:
        """Whether nothing is wrong with it but that it is not up yet."""
        return not self.ready and (self.reason or "") in _STARTING

    def __str__(self) -> str:
        why = "Ready" if self.ready else self.reason or "not Ready"
        said = f": {self.message}" if self.message and not self.ready else ""
        return f"pod {self.name} on {self.node or 'no node'}: {why}{said}"


@dataclass(frozen=True)
class DnsFacts:
    """CoreDNS: what its Deployment wants, what of it is there. `wanted` is None without one."""

    wanted: int | None
    available: int
    is_current: bool
    """Whether all pods are of the newest form and none is left of an earlier one."""
    pods: tuple[PodFacts, ...]


@dataclass(frozen=True)
class WorkloadFacts:
    """What runs in the cluster. None is not asked for.

    Attributes:
        dns: CoreDNS.
        vip_pods: kube-vip's.
        tunnels: the address of each node to which others' flannel sends packets for its pods; ""
            where it has none.
    """

    dns: DnsFacts | None
    vip_pods: tuple[PodFacts, ...] | None
    tunnels: Mapping[str, str] | None


@dataclass(frozen=True)
class HostEffects:
    """What one host was told by the cluster.

    Attributes:
        api_version: of its own API server; None on an agent, or where it did not say.
        answers: how each address answered: open, refused, silent, unreachable or unknown.
    """

    api_version: str | None
    answers: Mapping[tuple[str, int], str]


class _Said(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


_Text = Annotated[str, Field(max_length=_LONGEST)]
_Message = Annotated[str, Field(max_length=1 << 16)]


class _Condition(_Said):
    type: _Text
    status: _Text
    reason: _Text = ""
    message: _Message = ""


class _Waiting(_Said):
    reason: _Text = ""
    message: _Message = ""


class _State(_Said):
    waiting: _Waiting | None = None
    terminated: _Waiting | None = None


class _Container(_Said):
    state: _State = _State()


_Conditions = TypeAdapter(list[_Condition])
_Containers = TypeAdapter(list[_Container])


class _Version(_Said):
    """As Kubernetes' version.Info is written in JSON."""

    git_version: Annotated[_Text, Field(alias="gitVersion")]


def parse_workloads(host: str, output: str, *, asked: Sequence[str]) -> WorkloadFacts:
    """The facts in the output of scripts/workloads.sh, of which a host makes what it likes.

    Args:
        host: that said it.
        output: whole.
        asked: which of dns, vip and tunnels were asked for.

    Raises:
        PermanentError: it is not whole, or says something that cannot be read.
    """
    sections = split_sections(output)
    if "end" not in sections:
        raise _unreadable("pods", host, f"its answer ends after {list(sections)[-1:] or 'nothing'}")
    try:
        return WorkloadFacts(
            dns=_dns(sections["dns"]) if "dns" in asked else None,
            vip_pods=_pods(sections["vip"]) if "vip" in asked else None,
            tunnels=dict(_tunnels(sections["tunnels"])) if "tunnels" in asked else None,
        )
    except (ValueError, LookupError) as error:
        raise _unreadable("pods", host, _why(error)) from error


def parse_effects(
    host: str, output: str, pairs: Sequence[tuple[str, int]], *, has_api: bool
) -> HostEffects:
    """What a host says in scripts/effects.sh of its API and of these addresses.

    Raises:
        PermanentError: it is not whole, says nothing of an address, or cannot be read.
    """
    sections = split_sections(output)
    if "end" not in sections:
        raise _unreadable("answers", host, "its answer is cut off")
    try:
        version = _api_version("\n".join(sections["version"])) if has_api else None
        rows = sections["answers"]
        said = parse_peers("\n".join(rows))
        unable = {tuple(row.split()[:2]) for row in rows if row.split()[2:] == [UNKNOWN]}
    except (ValueError, LookupError) as error:
        raise _unreadable("answers", host, _why(error)) from error
    answers = {
        pair: UNKNOWN if (pair[0], str(pair[1])) in unable else said.get(pair) for pair in pairs
    }
    missing = [f"{address} port {port}" for (address, port), how in answers.items() if how is None]
    if missing:
        raise _unreadable("answers", host, f"it says nothing of {', '.join(missing)}")
    return HostEffects(version, {pair: how for pair, how in answers.items() if how is not None})


def _api_version(text: str) -> str | None:
    return _Version.model_validate(parse_json(text)).git_version if text.strip() else None


def _dns(rows: Sequence[str]) -> DnsFacts:
    said = list(_rows(rows))
    found = [row for row in said if row["kind"] == "Deployment" and row["name"] == DNS_DEPLOYMENT]
    pods = tuple(map(_pod, _living(said)))
    if not found:
        return DnsFacts(None, 0, is_current=False, pods=pods)
    row = {key: _count(found[0][key]) for key in _COUNTS}
    return DnsFacts(
        wanted=row["replicas"],
        available=row["available"],
        is_current=row["generation"] <= row["observed"]
        and row["updated"] == row["present"] == row["replicas"],
        pods=pods,
    )


_COUNTS = ("generation", "observed", "replicas", "present", "updated", "available")


def _pods(rows: Sequence[str]) -> tuple[PodFacts, ...]:
    return tuple(map(_pod, _living(_rows(rows))))


def _living(rows: Sequence[dict[str, str]] | Iterator[dict[str, str]]) -> list[dict[str, str]]:
    """Pods but those that are being taken away."""
    return [row for row in rows if row["kind"] == "Pod" and not row["deleted"]]


def _pod(row: Mapping[str, str]) -> PodFacts:
    address = row["address"] or None
    if address:
        ipaddress.ip_address(address)  # it stands in commands of other hosts
    ready = row["ready"] == "True"
    reason, message = ("", "") if ready else _trouble(row)
    return PodFacts(
        name=row["name"],
        node=row["node"] or None,
        address=address,
        ready=ready,
        reason=reason or None,
        message=_short(message) or None,
    )


def _trouble(row: Mapping[str, str]) -> tuple[str, str]:
    """The reason that tells most: of a container that waits, else why the pod has no node."""
    said = [
        state.waiting or state.terminated
        for key in ("init_containers", "containers")
        for state in (each.state for each in _Containers.validate_python(_listed(row[key])))
    ]
    found = [(state.reason, state.message) for state in said if state]
    conditions = _Conditions.validate_python(_listed(row["conditions"]))
    found += [
        (each.reason, each.message)
        for each in conditions
        if each.type == "PodScheduled" and each.status == "False"
    ]
    found.sort(key=lambda pair: pair[0] in _STARTING)  # stable
    return next(iter(found), ("", ""))


def _listed(text: str) -> Any:
    return parse_json(text) if text else []


def _tunnels(rows: Sequence[str]) -> Iterator[tuple[str, str]]:
    for row in filter(None, rows):
        name, _, address = row.partition("\t")
        yield _word(name), _word(address)


def _rows(rows: Sequence[str]) -> Iterator[dict[str, str]]:
    if len(rows) > _MOST_ROWS:
        raise ValueError(f"it has {len(rows)} rows")
    for line in filter(None, rows):
        row = dict(zip(_FIELDS, line.split("\t"), strict=True))
        for key in ("name", "node", "address"):
            _word(row[key])
        yield row


def _word(text: str) -> str:
    if len(text) > _LONGEST:
        raise ValueError(f"a word has {len(text)} characters")
    return text


def _count(text: str) -> int:
    if text and not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValueError(f"{text[:40]!r} is no number of pods")
    return int(text or "0")


def _short(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[:_LONGEST_MESSAGE]} ..."


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        row = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return f"it cannot be understood: {'.'.join(map(str, row['loc']))}: {row['msg']}"
    return f"it cannot be understood: {str(error)[:_LONGEST]}"


def _unreadable(what: str, host: str, found: str) -> PermanentError:
    return PermanentError(
        f"reading what {host} says of {what}",
        found[: 2 * _LONGEST],
        "Look on the host at what it prints: `k3s kubectl get pods -n kube-system -o wide`.",
    )
