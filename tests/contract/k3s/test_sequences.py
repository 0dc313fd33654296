"""Sequences of faults and applies, made up by hypothesis: none costs a voter, data or a node.

The hosts in memory keep etcd's membership as K3S does (`hosts_in_memory.World`); how far that is so
on real etcd is what `tests/rig/test_recovery.py` compares. Every request of an apply is looked at:
what is gone after it must have been lost before it, or have come with this very apply.
"""

import copy
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, event, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from tests.contract.k3s.hosts_in_memory import Event, Killed, Machine, World
from tests.contract.k3s.lab import Lab, LabMaker, host
from tests.k3s_release import VERSION
from tests.soak import ROUNDS, SHARE
from xops.core.errors import XopsError

SERVERS = [f"server-{number}" for number in range(1, 6)]
AGENTS = ["agent-1", "agent-2"]
SERVER = st.sampled_from(SERVERS)
REQUEST = st.integers(1, 60)
HOST = st.sampled_from([*SERVERS, *AGENTS])

STUCK = 'level=fatal msg="preparing server: critical configuration value mismatch"'
KUBELET = 'level=error msg="Shutdown request received: kubelet exited: unknown flag: --no-such"'


@dataclass
class Life:
    """What there is to lose at one moment: members of etcd, data, nodes."""

    etcd: dict[str, str]
    data: dict[str, str]
    """Ids of the members whose data hosts have, by host."""
    nodes: set[str]
    listed: set[str]
    """Hosts that the file names."""
    joined: set[str]
    """Hosts that know the cluster: their disks are whole."""

    @classmethod
    def of(cls, world: World) -> "Life":
        machines = world.machines.items()
        return cls(
            etcd=dict(world.etcd),
            data={name: each.member for name, each in machines if each.has_etcd},
            nodes=set(world.nodes),
            listed=world.listed,
            joined={name for name, each in machines if each.knows_ca},
        )

    def losses(self, now: "Life", began: "Life") -> Iterator[str]:
        """What is gone now and must not be.

        Args:
            now: a request later.
            began: as the apply found it: what came with it may go with it.
        """
        for id_ in self.etcd.keys() - now.etcd.keys():
            name = self.etcd[id_]
            # A person approves that a member goes which is no node and of no host of the file.
            is_someone = name in self.listed or name in self.nodes
            if self.data.get(name) == id_ and id_ in began.etcd and is_someone:
                yield f"the member of {name}, whose data is whole"
        for name in self.data.keys() - now.data.keys():
            if self.data[name] in self.etcd:
                yield f"the data of {name}, which is a member"
        for name in self.nodes - now.nodes:
            if name in self.joined and name in began.nodes and name in began.joined:
                yield f"the node {name}, whose host is whole"


@dataclass
class Audit:
    """Looks at the world before each request is answered, and may do something to it then."""

    world: World
    began: Life
    last: Life
    faults: dict[int, "Fault"] = field(default_factory=dict)
    asked: int = 0
    lost: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, world: World) -> "Audit":
        return cls(world, Life.of(world), Life.of(world))

    def look(self, request: Event | str) -> None:
        now = Life.of(self.world)
        self.lost += [f"{what}, before {request}" for what in self.last.losses(now, self.began)]
        if isinstance(request, Event):
            self.lost += self._quorum_lost_by(request)
        self.asked += 1
        if fault := self.faults.pop(self.asked, None):
            fault.happens(self.world)
        self.last = Life.of(self.world)

    def _quorum_lost_by(self, request: Event) -> Iterator[str]:
        """A member that runs is about to restart: the others must do without it meanwhile."""
        world, name = self.world, request.host
        others = [each for each in world.voters if each != name]
        runs = world.machines[name].active == "active" and name in world.voters
        is_restart = runs and (request.what, request.about) == ("start", "restart")
        if is_restart and world.has_quorum and 2 * len(others) <= len(world.members) > 1:
            yield f"the quorum while {name} restarts: {others} of {world.members} are up"


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with a host."""

    what: str
    name: str

    def happens(self, world: World) -> None:
        machine = world.machines[self.name]
        match self.what:
            case "stop" if machine.active == "active":
                machine.active = "inactive"
            case "crash" if machine.active == "active":
                machine.active = "failed"
            case "late" if machine.active == "active" and self.name in world.listed:
                # Nobody has noticed yet: its node counts as Ready for a while.
                machine.active = "failed"
                world.node_is_late.add(self.name)
            case "power":
                world.unreachable.add(self.name)
                if machine.active:
                    machine.active = "failed"
            case "disk":
                machine.lose_disk()
            case "unready" if self.name in world.nodes:
                world.nodes[self.name] = False
            case "kubelet":
                machine.kubelet_hangs = True


FAULT = st.builds(
    Fault, st.sampled_from(["stop", "crash", "late", "power", "disk", "unready", "kubelet"]), HOST
)


def three_and_one(folder: Path) -> Lab:
    """A cluster of three servers and an agent, of seven hosts of which the file names four."""
    made = LabMaker(folder)(5, 2)
    made.change(hosts=hosts(3, 1))
    made.apply()
    return made


def hosts(servers: int, agents: int) -> list[dict[str, object]]:
    return [
        *(host("server", number) for number in range(1, servers + 1)),
        *(host("agent", number) for number in range(1, agents + 1)),
    ]


def heal(world: World) -> None:
    """All that can come back by itself does: power, services, nodes; nothing breaks any more."""
    world.unreachable.clear()
    world.node_is_late.clear()
    world.refuses_removal = world.refuses_labels = False
    for name, machine in world.machines.items():
        machine.breaks = machine.kubelet_breaks = None
        machine.kubelet_hangs = False
        if machine.active and machine.active != "active":
            world.start_again(name)
    for name in world.nodes:
        world.nodes[name] = True


def is_whole(world: World, machine: Machine) -> bool:
    return machine.has_etcd and machine.member in world.etcd


def dead_members(world: World) -> set[str]:
    """Members that etcd counts and of which no host has the data."""
    has = {each.member for each in world.machines.values() if each.has_etcd}
    return world.etcd.keys() - has


class Sequences(RuleBasedStateMachine):
    """One cluster, what goes wrong with it, and applies."""

    base: ClassVar[Lab]
    ended: ClassVar[Counter[str]] = Counter()
    """How applies have ended, over all examples."""

    @initialize()
    def begin(self) -> None:
        base = self.base
        # What is kept beside the cluster is each example's own: nothing of one reaches the next.
        self.folder = Path(tempfile.mkdtemp(prefix="example-", dir=base.folder.parent))
        for kept in ("secrets", "evidence"):
            shutil.copytree(base.folder / kept, self.folder / kept)
        self.lab = Lab(copy.deepcopy(base.world), self.folder)
        self.world = self.lab.world
        self.lab.change(
            secrets={"folder": self.folder / "secrets"},
            evidence={"folder": self.folder / "evidence"},
        )
        self.changes = 0

    # What goes wrong, and what people do

    @rule(fault=FAULT)
    def goes_wrong(self, fault: Fault) -> None:
        fault.happens(self.world)

    @rule(name=HOST, log=st.sampled_from([STUCK, None]))
    def breaks(self, name: str, log: str | None) -> None:
        self.world.machines[name].breaks = log

    @rule(name=HOST, log=st.sampled_from([KUBELET, None]))
    def kubelet_breaks(self, name: str, log: str | None) -> None:
        self.world.machines[name].kubelet_breaks = log

    @rule(refuses=st.booleans())
    def removal_is_refused(self, refuses: bool) -> None:
        self.world.refuses_removal = refuses

    @rule()
    def comes_back(self) -> None:
        heal(self.world)

    @rule()
    def setting_changes(self) -> None:
        self.changes += 1
        self.lab.change(k3s={"version": VERSION, "config": {"v": self.changes}})

    @rule(servers=st.sampled_from([1, 3, 5]), agents=st.integers(0, 2))
    def file_names_other_hosts(self, servers: int, agents: int) -> None:
        self.lab.change(hosts=hosts(servers, agents))

    # What xOps does

    @rule(
        killed_at=st.none() | st.integers(1, 60),
        faults=st.dictionaries(st.integers(1, 60), FAULT, max_size=1),
        only=st.frozensets(HOST, max_size=2),
    )
    def apply(
        self, killed_at: int | None, faults: dict[int, Fault], only: frozenset[str] = frozenset()
    ) -> None:
        """One apply; with names, on these hosts only."""
        world = self.world
        had_quorum, members, dead = world.has_quorum, len(world.members), dead_members(world)
        audit = Audit.of(world)
        audit.faults = dict(faults)
        world.forget_events()
        world.on_event, world.kill_at = audit.look, killed_at
        try:
            ended = str(self.lab.apply(*(only & world.listed)).status)
        except XopsError as error:
            ended = type(error).__name__
            note(str(error))
        except Killed:
            ended = "killed"
        finally:
            world.on_event, world.kill_at = lambda _: None, None
        faults_came = len(audit.faults) < len(faults)
        audit.faults.clear()  # what has not come by now comes no more
        audit.look("the end")
        self.ended[ended] += 1
        event(f"an apply ended: {ended}")
        assert audit.lost == []
        assert world.initialised == 1, "a second cluster"
        if not faults_came:
            assert dead_members(world) <= dead, "a member was made, and its data is gone"
            assert world.has_quorum or not (had_quorum and members > 2), "the quorum is gone"

    # Steps that are rare by chance, and matter most

    @rule(name=SERVER, lost=st.booleans(), servers=st.sampled_from([3, 5]))
    def joiner_breaks(self, name: str, lost: bool, servers: int) -> None:
        """A server joins, and its kubelet ends K3S when etcd counts it."""
        if lost:
            self.world.machines[name].lose_disk()
        self.world.machines[name].kubelet_breaks = KUBELET
        self.lab.change(hosts=hosts(servers, 1))
        self.apply(None, {})

    @rule(
        fault=st.builds(Fault, st.sampled_from(["unready", "crash", "late"]), SERVER),
        servers=st.sampled_from([1, 3]),
        only=st.frozensets(SERVER, max_size=1),
    )
    def setting_changes_while_one_is_down(
        self, fault: Fault, servers: int, only: frozenset[str]
    ) -> None:
        """Whoever the file names must restart; the others are members all the same."""
        fault.happens(self.world)
        self.lab.change(hosts=hosts(servers, 1))
        self.setting_changes()
        self.apply(None, {}, only)

    def teardown(self) -> None:
        """What can be mended is mended by running it again, or it is said why not."""
        if not hasattr(self, "world"):
            return
        heal(self.world)
        whole = [each for each in self.world.machines.values() if is_whole(self.world, each)]
        if 2 * len(whole) <= len(self.world.members):
            event("the majority of the disks was lost")
            shutil.rmtree(self.folder)
            return
        self.lab.change(hosts=hosts(5, 2))
        for _ in range(4):
            self.apply(None, {})
            if self.lab.steps.plan().plan.is_empty:
                break
        assert self.lab.steps.plan().plan.is_empty
        assert sorted(self.world.voters) == SERVERS
        assert sorted(self.world.nodes) == sorted([*SERVERS, *AGENTS])
        event("whole in the end")
        shutil.rmtree(self.folder)


@pytest.mark.timeout(600)  # making an example that fails small takes minutes
def test_no_sequence_of_faults_and_applies_costs_a_voter_data_or_a_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
    Sequences.base = three_and_one(tmp_path)
    Sequences.ended.clear()
    run_state_machine_as_test(
        Sequences,
        settings=settings(
            max_examples=max(1, round(40 * ROUNDS * SHARE)),
            stateful_step_count=10,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Sequences.ended["applied"] > 0
