"""What an apply does, as ordered values: operations, each with its row, in turns. Pure.

A plan's rows are those of its operations, one to one and in their order; the executor
(`xops.k3s.operations.apply`) goes through the same turns and does nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from xops.core.plan.model import Change
from xops.k3s.cluster_file.cluster import Host
from xops.k3s.node.labels import MarksChange
from xops.k3s.node.managed_file import File
from xops.k3s.release.lock import Artifact
from xops.k3s.state.facts import EtcdMember


class Stage(StrEnum):
    """The stages of an apply, in their order."""

    IMAGES = "images"
    """Archives of images come to all hosts before anything of K3S changes on any."""
    UNLABEL = "unlabel"
    """Labels and taints that nodes shall have no longer are taken away, through the API: before
    config.yaml is written, which tells what xOps gave them until now."""
    SERVERS = "servers"
    AGENTS = "agents"
    FILES = "files"
    """What nothing is restarted for: the way in which the first server would join, manifests."""
    LABEL = "label"
    """Labels and taints that nodes lack are set, through the API: once config.yaml tells of them,
    so that whoever puts the file back takes them away again, and once there is room for pods that
    a taint drives out."""
    NODES = "nodes"
    """Members that are not as they shall be are waited for."""


class OperationEffect(StrEnum):
    """What an operation does to what runs."""

    IN_PLACE = "in place"
    """Nothing is interrupted."""
    START = "start"
    """K3S, which does not run, is started."""
    RESTART = "restart"
    """K3S, which runs, is interrupted; or what is written is read at its next start."""
    INITIALISE = "initialise"
    """K3S is started and makes a new cluster."""
    JOIN = "join"
    """K3S is started and makes its host a member of the cluster."""
    REMOVE = "remove"
    """What the cluster knows of a host, or a host of the cluster, is gone."""
    WAIT = "wait"
    """Nothing is changed; it is waited for what was changed before."""


class ServiceStep(StrEnum):
    """What happens to K3S's service."""

    KEEP = "keep"
    START = "start"
    RESTART = "restart"
    RELAUNCH = "relaunch"
    """It does not run yet, but is starting with what it read before: it must start over."""

    @property
    def verb(self) -> str:
        """What the init system is told: keep, start or restart."""
        return ServiceStep.RESTART.value if self is ServiceStep.RELAUNCH else self.value


# The works: what there is to do, without the row that tells a person of it.


@dataclass(frozen=True)
class BringArchive:
    """An archive of images is put where K3S reads it; `is_own` says that K3S's release has it."""

    artifact: Artifact
    is_own: bool


@dataclass(frozen=True)
class TakeMarks:
    """Labels and taints of the host's node are taken away, through the API."""

    labels: MarksChange | None = None
    taints: MarksChange | None = None


@dataclass(frozen=True)
class SetMarks:
    """Labels and taints of the host's node are set, through the API."""

    labels: MarksChange | None = None
    taints: MarksChange | None = None


@dataclass(frozen=True)
class StageBinary:
    """K3S's program is put beside the one that runs, under another name."""

    artifact: Artifact


@dataclass(frozen=True)
class ForgetNode:
    """The cluster forgets the host's node, its password, and the members that the node names."""

    members: tuple[EtcdMember, ...] = ()


@dataclass(frozen=True)
class RemoveMember:
    """A member of etcd that no node names is removed."""

    member: EtcdMember


@dataclass(frozen=True)
class DiscardData:
    """Etcd's data on the host, of a member that was removed, is moved aside."""


@dataclass(frozen=True)
class WriteFile:
    """One of xOps' files is written."""

    file: File = field(repr=False)


@dataclass(frozen=True)
class WriteToken:
    """A file with a token is written; which token it is follows from its path and the host."""

    path: str


@dataclass(frozen=True)
class RemoveFile:
    """A file that only xOps writes, and no longer wants, is removed."""

    path: str


@dataclass(frozen=True)
class WithdrawManifest:
    """What K3S has made of a manifest that is no longer wanted is deleted, then the file."""

    path: str


@dataclass(frozen=True)
class SwapBinary:
    """The program that was staged takes the place of the one that runs."""

    artifact: Artifact


@dataclass(frozen=True)
class TellService:
    """K3S's service is started, or started anew.

    Attributes:
        step: which of the two, and from which state.
        joins: whether the host becomes a member by it.
        initialises: whether it makes the cluster by it.
    """

    step: ServiceStep
    joins: bool = False
    initialises: bool = False


@dataclass(frozen=True)
class AwaitNode:
    """The host's service and node are waited for.

    Attributes:
        voters: how many voters etcd must have on a server; 0 on an agent.
        told: whether the service was told something in the same turn, so that the kubelet must
            have reported since.
        joins, initialises: as of `TellService`; who never came up is rolled back.
    """

    voters: int = 0
    told: bool = False
    joins: bool = False
    initialises: bool = False


Work = (
    BringArchive
    | TakeMarks
    | SetMarks
    | StageBinary
    | ForgetNode
    | RemoveMember
    | DiscardData
    | WriteFile
    | WriteToken
    | RemoveFile
    | WithdrawManifest
    | SwapBinary
    | TellService
    | AwaitNode
)


@dataclass(frozen=True)
class Operation:
    """One thing that is done, and how a person is told.

    Attributes:
        host: on which, or about which; None for a member of etcd that is no host of the file.
        work: what.
        change: its row in the plan.
    """

    host: Host | None
    work: Work
    change: Change


@dataclass(frozen=True)
class Turn:
    """Operations of one stage that are done together: those of one host in their order, hosts at
    the same time. The next turn begins when this one has ended well."""

    stage: Stage
    operations: tuple[Operation, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of the hosts that it touches, in its order."""
        return tuple(dict.fromkeys(each.host.name for each in self.operations if each.host))

    def by_host(self) -> Iterator[tuple[Operation, ...]]:
        """The operations of each host; those about no host of the file together."""
        found: dict[str | None, list[Operation]] = {}
        for each in self.operations:
            found.setdefault(each.host.name if each.host else None, []).append(each)
        return map(tuple, found.values())


def numbered(turns: Sequence[Turn]) -> Iterator[Turn]:
    """The same turns; each row says its stage, and the number of its turn within the stage."""
    counted: dict[Stage, int] = {}
    for turn in turns:
        number = counted[turn.stage] = counted.get(turn.stage, 0) + 1
        update = {"stage": turn.stage, "turn": number}
        yield replace(
            turn,
            operations=tuple(
                replace(each, change=each.change.model_copy(update=update))
                for each in turn.operations
            ),
        )
