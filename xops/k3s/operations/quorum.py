"""Etcd's voters, followed through the turns of a plan before anything is touched. Pure.

Every operation is taken to end well: one that does not stops the apply. So what is refused here is
what would take the quorum away if all went right, or what needs an API that nobody has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from xops.core.errors import PermanentError
from xops.k3s.cluster_file.cluster import Host
from xops.k3s.operations.operation import (
    AwaitNode,
    ForgetNode,
    Operation,
    RemoveMember,
    ServiceStep,
    SetMarks,
    TakeMarks,
    TellService,
    Turn,
    WithdrawManifest,
    WriteToken,
)
from xops.k3s.state.facts import EtcdMember
from xops.k3s.state.topology import Topology


class QuorumError(PermanentError):
    """What is planned would take the quorum away, or has none to do it with; nothing is touched."""

    is_refusal: ClassVar[bool] = True


@dataclass
class Voters:
    """Who has a vote in etcd, and who of them is up, at one moment of the plan.

    Attributes:
        counted: members with a vote, up or down.
        ready: servers that vote and whose node is Ready, in the file's order.
        learners: servers that are members without a vote yet.
        answers: whether some server's API answers.
        is_known: whether an API has told all this; else it is what the disks tell.
    """

    counted: int
    ready: tuple[str, ...]
    learners: frozenset[str] = frozenset()
    answers: bool = False
    is_known: bool = False
    _starting: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, formation: Topology) -> Voters:
        """As the facts tell. A server whose disk is lost does not vote, whatever its node says."""
        lost = {host.name for host in (*formation.joiners, *formation.removed)}
        nodes = [node for node in formation.nodes or () if node.name not in lost]
        told = formation.etcd
        return cls(
            counted=len(formation.members) if told is None else sum(map(_votes, told)),
            ready=tuple(node.name for node in nodes if node.voter and node.ready),
            learners=frozenset(node.name for node in nodes if node.voter is False),
            answers=formation.source is not None,
            is_known=formation.nodes is not None,
        )

    @property
    def quorum(self) -> int:
        """How many must be up for etcd to answer."""
        return self.counted // 2 + 1

    def go_through(self, turns: Sequence[Turn]) -> None:
        """Follow the voters to the end of the plan.

        Raises:
            QuorumError: at the first operation that cannot be done, before any is.
        """
        for turn in turns:
            for operation in turn.operations:
                self._follow(operation)
            # All of a turn are down at the same time, and up only at its end.
            self.ready = tuple(dict.fromkeys([*self.ready, *self._starting]))
            self.answers = self.answers or bool(self._starting)
            self._starting.clear()

    def _follow(self, operation: Operation) -> None:
        host, work = operation.host, operation.work
        is_server = host is not None and host.is_server
        if _asks_a_server(host, work) and not self.answers:
            raise QuorumError(
                f"planning {operation.change.target}",
                "it takes a server whose API answers; none does, and nothing before it in the plan"
                " would bring one up",
                "`xops k3s status` shows the servers: bring the quorum back first.",
            )
        match work:
            case ForgetNode(members=members):
                self._lose(members, operation)
            case RemoveMember(member=member):
                self._lose((member,), operation)
            case TellService() if host and is_server:
                self._tell(host, work)
            case AwaitNode() if host and is_server:
                self.counted += host.name in self.learners
                self.learners -= {host.name}
                self._starting.append(host.name)

    def _lose(self, members: Sequence[EtcdMember], operation: Operation) -> None:
        left = self.counted - sum(map(_votes, members))
        if left < self.counted and len(self.ready) < left // 2 + 1:
            raise QuorumError(
                f"removing {operation.change.target}",
                f"of the {left} voters that stay only {_listed(self.ready)} is ready: too few are"
                " up to keep the quorum",
                "Bring the other servers back first; `xops k3s status` shows them.",
            )
        self.counted = left

    def _tell(self, host: Host, work: TellService) -> None:
        others = tuple(name for name in self.ready if name != host.name)
        if work.initialises:
            self.counted = 1
            return
        if work.joins:
            if self.is_known and len(self.ready) < self.quorum:
                raise self._error(f"joining {host.name}", self.ready, "servers")
            self.counted += 1
        elif work.step is ServiceStep.RESTART:
            if self.counted > 1 and len(others) < self.quorum:
                raise self._error(f"restarting K3S on {host.name}", others, "other servers")
            self.ready = others

    def _error(self, attempted: str, ready: Sequence[str], of: str) -> QuorumError:
        return QuorumError(
            attempted,
            f"of the {of} only {_listed(ready)} is ready then, and etcd needs {self.quorum} of"
            f" {self.counted}",
            "Fix the others first; `xops k3s status` shows them.",
        )


def _votes(member: EtcdMember) -> bool:
    return not member.is_learner


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _asks_a_server(host: Host | None, work: object) -> bool:
    """Whether some server's API is asked for it."""
    if isinstance(work, TakeMarks | SetMarks | ForgetNode | RemoveMember | WithdrawManifest):
        return True
    is_agent = host is not None and not host.is_server
    return is_agent and isinstance(work, AwaitNode | WriteToken)
