"""In which order the operations of all hosts are done: turns that keep etcd's quorum. Pure.

Images come to all hosts before any binary changes. Servers go one at a time, each waited for until
it is ready, since etcd takes one learner at a time: those that are down together, then those that
are not Ready and those that join, so that there are as many voters as there can be, then those that
restart. Agents follow:
those that serve nothing yet together, then those that run, one alone and the others a few at a
time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import batched, chain

from xops.k3s.operations.host_operations import HostOperations, remove_orphan
from xops.k3s.operations.operation import Operation, Stage, Turn, numbered
from xops.k3s.operations.quorum import Voters
from xops.k3s.state.facts import EtcdMember

SHARE = 10
"""One in so many of the agents that restart may be down at the same time: what their pods need is
left on the other nine. k0sctl's default is the same: `workerDisruptionPercent: 10`."""

_OWN_TURNS = (Stage.SERVERS, Stage.AGENTS, Stage.FILES, Stage.NODES)
"""Stages in one of which each host has its turn; the others are the same for all hosts."""


def put_in_turns(
    hosts: Sequence[HostOperations], orphans: Sequence[EtcdMember], voters: Voters
) -> tuple[Turn, ...]:
    """All operations, in turns that begin when the one before has ended well.

    Args:
        hosts: what differs on each.
        orphans: members of etcd that no node and no host of the file stands for.
        voters: as they are before the first turn.
    """
    servers_busy = any(each.part.is_busy for each in hosts if each.part.host.is_server)
    by_stage: dict[Stage, list[HostOperations]] = {stage: [] for stage in _OWN_TURNS}
    for each in hosts:
        by_stage[each.part.stage(servers_busy=servers_busy)].append(each)
    turns = {
        Stage.IMAGES: _together(Stage.IMAGES, (each.archives() for each in hosts)),
        Stage.UNLABEL: _together(Stage.UNLABEL, (each.taken_marks() for each in hosts)),
        Stage.LABEL: _together(Stage.LABEL, (each.set_marks() for each in hosts)),
        **{stage: _own_turns(stage, by_stage[stage], orphans, voters) for stage in _OWN_TURNS},
    }
    later = _together(Stage.FILES, (each.written_once_formed() for each in hosts))
    # Each server applies its own file: one after the other, so that none makes anew what is gone.
    withdrawn = (Turn(Stage.FILES, tuple(each.withdrawn())) for each in hosts)
    turns[Stage.FILES] = chain(turns[Stage.FILES], later, withdrawn)
    ordered = (turn for stage in Stage for turn in turns[stage] if turn.operations)
    return tuple(numbered(tuple(ordered)))


def _together(stage: Stage, operations: Iterable[Iterable[Operation]]) -> Iterator[Turn]:
    yield Turn(stage, tuple(chain.from_iterable(operations)))


def _own_turns(
    stage: Stage,
    hosts: Sequence[HostOperations],
    orphans: Sequence[EtcdMember],
    voters: Voters,
) -> Iterator[Turn]:
    """The turns of a stage in which hosts have their own."""
    if stage is Stage.SERVERS:
        yield from (Turn(stage, (remove_orphan(member),)) for member in orphans)
    yield from _together(stage, (each.staged() for each in hosts))
    yield from (Turn(stage, (operation,)) for each in hosts for operation in each.forgotten())
    yield from (Turn(stage, (operation,)) for each in hosts for operation in each.discarded())
    if stage is Stage.FILES:
        yield from _together(stage, (each.changed(0) for each in hosts))
        return
    yield from _servers(stage, [each for each in hosts if each.part.host.is_server], voters)
    agents = [each for each in hosts if not each.part.host.is_server]
    for batch in _agents(agents):
        yield from _together(stage, (each.changed(0) for each in batch))


def _servers(stage: Stage, hosts: Sequence[HostOperations], voters: Voters) -> Iterator[Turn]:
    """Members that are down together; then one by one, those that are missed least first.

    Who restarts or joins waits for all voters that there were, so that the next server is touched
    with the quorum whole. A member that was down is waited for alone: it is one of several that may
    be down, and none of these can be ready before the others are.
    """
    down = [each for each in hosts if each.part.starts and not each.part.joins]
    others = sorted((each for each in hosts if each not in down), key=_rank)
    yield from _together(stage, (each.changed(1) for each in down))
    wanted = dict.fromkeys([*voters.ready, *(each.part.host.name for each in down)])
    for each in others:
        wanted[each.part.host.name] = None
        yield Turn(stage, tuple(each.changed(len(wanted))))


def _rank(host: HostOperations) -> int:
    """Who is not Ready costs nothing while it is away, and is one more voter afterwards."""
    part = host.part
    if part.joins:
        return 2
    return (1 if part.waits else 3) if part.restarts else 0


def _agents(hosts: Sequence[HostOperations]) -> Iterator[Sequence[HostOperations]]:
    """Those whose service does not run, together; then those that restart, a batch at a time.

    Who serves nothing yet goes first: a setting that breaks K3S breaks it there, where it hurts
    nobody, and what they can carry is there before others restart. Those that were not Ready go
    last: what is wrong there stops none that works.
    """
    running = [each for each in hosts if each.part.restarts]
    running.sort(key=lambda each: each.part.waits)
    yield [each for each in hosts if not each.part.restarts]
    yield from batches(running)


def batches[AgentT](agents: Sequence[AgentT]) -> Iterator[tuple[AgentT, ...]]:
    """The agents in their order: a canary alone, then at most a tenth of all of them at a time.

    A setting that breaks K3S costs the canary, and no more than the canary.
    """
    yield from batched(agents[:1], 1)
    yield from batched(agents[1:], max(1, len(agents) // SHARE))
