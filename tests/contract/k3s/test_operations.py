"""An apply on hosts in memory: the order that keeps quorum, what is rolled back, what is left."""

import asyncio
import copy
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from tests.contract.k3s.hosts_in_memory import CLUSTER_ID, Event, Killed
from tests.contract.k3s.lab import Lab, MakeLab, Watched, host, run
from tests.contract.k3s.lab import approve as approve_all
from tests.k3s_release import VERSION, release, saved
from tests.soak import ROUNDS
from xops.core.errors import PermanentError, StalePlanError, TemporaryError, UnreachableError
from xops.core.lifecycle.drift import DriftStatus, detect_drift
from xops.core.lifecycle.gate import Decision, Question
from xops.core.lifecycle.steps import OutcomeStatus, UnsettledError
from xops.core.plan.model import Plan
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.operations import tokens
from xops.k3s.operations.compare import images_path
from xops.k3s.operations.host_operations import staged_path
from xops.k3s.operations.operation import (
    BringArchive,
    ForgetNode,
    Operation,
    SetMarks,
    Stage,
    StageBinary,
    TakeMarks,
    TellService,
    WriteFile,
    WriteToken,
)
from xops.k3s.operations.quorum import QuorumError
from xops.k3s.operations.recover import NotReadyError
from xops.k3s.operations.tokens import Tokens
from xops.k3s.release import bundle
from xops.k3s.release.lock import ARCHITECTURES, Lock
from xops.k3s.release.lock_entry import with_extra_images
from xops.k3s.release.sources import Folder
from xops.k3s.ssh.transport_protocol import HostKeyError, LockedError
from xops.k3s.state.preflight import HostsUnreachableError, PreflightError

STUCK = 'level=fatal msg="preparing server: critical configuration value mismatch"'


# Bringing up


@pytest.mark.parametrize(("servers", "agents"), [(1, 0), (1, 2), (3, 0), (3, 2), (5, 1)])
def test_bare_hosts_become_a_cluster_and_stay_as_they_are(
    lab: MakeLab, servers: int, agents: int
) -> None:
    here = lab(servers, agents)
    first = here.apply()

    assert first.status is OutcomeStatus.APPLIED
    assert first.verification is not None
    assert {node.name for node in first.verification.nodes} == set(here.world.machines)
    assert here.world.initialised == 1
    assert set(here.restarts.values()) == {0}

    here.world.forget_events()
    before = {name: dict(machine.files) for name, machine in here.world.machines.items()}
    second = here.apply()
    assert second.status is OutcomeStatus.UNCHANGED
    assert here.world.seen("put", "prepare", "start", "wait_ready", "roll_back", "forget") == []
    assert {name: machine.files for name, machine in here.world.machines.items()} == before
    assert set(here.restarts.values()) == {0}


def test_servers_come_one_at_a_time_each_waited_for(lab: MakeLab) -> None:
    here = lab(3, 2)
    here.apply()

    assert here.world.seen("start", "wait_ready")[:6] == [
        "server-1: start start",
        "server-1: wait_ready server-1",
        "server-2: start start",
        "server-2: wait_ready server-2",
        "server-3: start start",
        "server-3: wait_ready server-3",
    ]
    assert here.world.most_joining == 1


def test_agents_come_together_after_all_servers(lab: MakeLab) -> None:
    here = lab(3, 2)
    here.apply()

    assert here.world.seen("start", "wait_ready", "nodes_ready", "token for agents")[6:11] == [
        "server-1: token for agents",
        "agent-1: start start",
        "agent-2: start start",
        "agent-1: wait_ready agent-1",
        "agent-2: wait_ready agent-2",
    ]
    assert len(here.world.seen("nodes_ready")) == 1


@pytest.fixture
def closed(lab: MakeLab, tmp_path: Path) -> MakeLab:
    """Clusters whose hosts have no way out."""
    archive = tmp_path / "bundle.tar"
    source = Folder(release().write(tmp_path / "for-the-bundle"))
    asyncio.run(bundle.build(VERSION, ARCHITECTURES, source, release().lock, archive))
    return lambda *counts: lab(*counts, air_gap={"bundle": archive})


def test_images_are_on_all_hosts_before_any_binary_changes(closed: MakeLab) -> None:
    here = closed(3, 2)
    here.apply()

    events = [str(event) for event in here.world.events]
    images = [at for at, line in enumerate(events) if "/agent/images/xops-" in line]
    starts = [at for at, line in enumerate(events) if ": start " in line]
    assert len(images) == 5
    assert max(images) < min(starts)
    assert all(len(machine.images) == 1 for machine in here.world.machines.values())
    assert here.apply().status is OutcomeStatus.UNCHANGED


@pytest.fixture
def with_kube_vip(tmp_path: Path) -> tuple[Lock, Path]:
    """A lock that has kube-vip besides the release, and a bundle of it."""
    archives = [tmp_path / f"kube-vip-{arch}.tar" for arch in ARCHITECTURES]
    for archive, arch in zip(archives, ARCHITECTURES, strict=True):
        archive.write_bytes(saved(arch))
    entry = with_extra_images(release().lock.entry(VERSION), archives)
    lock, path = Lock(versions={VERSION: entry}), tmp_path / "bundle.tar"
    source = Folder(release().write(tmp_path / "for-the-bundle"))
    building = bundle.build(VERSION, ARCHITECTURES, source, lock, path, extra_images=archives)
    asyncio.run(building)
    return lock, path


def test_an_address_that_moves_has_its_image_if_the_lock_has(
    lab: MakeLab, with_kube_vip: tuple[Lock, Path]
) -> None:
    lock, path = with_kube_vip
    here = lab(1, 1, air_gap={"bundle": path}, endpoint={"kind": "vip", "address": "10.0.0.100"})

    assert [row.check for row in here.steps.preflight()[1] if row.check == "vip"] == ["vip"]
    here.lock = lock
    assert [row for row in here.steps.preflight()[1] if row.check == "vip"] == []


def test_archives_that_no_release_has_come_with_the_bundle(
    lab: MakeLab, with_kube_vip: tuple[Lock, Path]
) -> None:
    lock, path = with_kube_vip
    here = lab(1, 1, air_gap={"bundle": path})
    here.lock = lock

    assert here.apply().status is OutcomeStatus.APPLIED
    for machine in here.world.machines.values():
        assert len([name for name in machine.images if name.endswith("-kube-vip-amd64.tar")]) == 1
        assert len(machine.images) == 2
    assert here.apply().status is OutcomeStatus.UNCHANGED


def test_nobody_keeps_cluster_init_when_there_are_others(lab: MakeLab) -> None:
    here = lab(3)
    here.apply()

    texts = [machine.text for machine in here.world.machines.values()]
    assert ["cluster-init" in text for text in texts] == [False] * 3
    assert [text["server"][8:17] for text in texts] == ["127.0.1.2", "127.0.1.1", "127.0.1.1"]


# Healing


@pytest.mark.parametrize("lost", ["server-1", "server-2", "server-3"])
def test_a_server_without_its_disk_is_forgotten_then_joins(lab: MakeLab, lost: str) -> None:
    here = lab(3)
    here.apply()
    here.machine(lost).lose_disk()
    here.world.forget_events()
    here.apply()

    source = "server-2" if lost == "server-1" else "server-1"
    assert here.world.seen("forget", "start")[:2] == [
        f"{source}: forget {lost}",
        f"{lost}: start start",
    ]
    assert here.world.initialised == 1
    assert sorted(here.world.voters) == ["server-1", "server-2", "server-3"]
    assert {name: count for name, count in here.restarts.items() if name != lost and count} == {}


def test_an_agent_without_its_disk_is_forgotten_then_joins(lab: MakeLab) -> None:
    """Its node's password was lost with it: K3S lets it in again only when that is forgotten."""
    here = lab(1, 1)
    here.apply()
    here.machine("agent-1").lose_disk()
    here.world.forget_events()
    here.apply()

    assert here.world.seen("forget", "start")[:2] == [
        "server-1: forget agent-1",
        "agent-1: start start",
    ]


def test_members_that_are_down_come_up_together(lab: MakeLab) -> None:
    """One alone has no quorum and would wait for ever."""
    here = lab(3)
    here.apply()
    for name in ("server-1", "server-2"):
        here.machine(name).active = "inactive"
    here.world.forget_events()
    here.apply()

    assert here.world.seen("start", "wait_ready") == [
        "server-1: start start",
        "server-2: start start",
        "server-1: wait_ready server-1",
        "server-2: wait_ready server-2",
    ]
    assert here.world.initialised == 1


def test_a_lost_node_and_a_stopped_one_are_both_mended(lab: MakeLab) -> None:
    here = lab(5)
    here.apply()
    here.machine("server-4").lose_disk()
    here.machine("server-1").active = "failed"
    here.apply()

    assert len(here.world.voters) == 5


def test_without_quorum_a_lost_disk_is_mended_by_running_it_twice(lab: MakeLab) -> None:
    """No API tells then that a node is an earlier life, and no plan forgets what it cannot see."""
    here = lab(3)
    here.apply()
    here.machine("server-3").lose_disk()
    here.machine("server-1").active = "failed"
    with pytest.raises(NotReadyError, match="etcd still has a member by this host's name"):
        here.apply()
    here.apply()

    assert sorted(here.world.voters) == ["server-1", "server-2", "server-3"]
    assert here.world.initialised == 1


def test_one_server_becomes_three(lab: MakeLab) -> None:
    """Its certificate must name the others, for which it restarts; alone it keeps no quorum."""
    here = lab(3)
    three = here.cluster
    here.change(hosts=three.hosts[:1])
    here.apply()
    here.change(hosts=three.hosts)
    here.apply()

    assert sorted(here.world.voters) == ["server-1", "server-2", "server-3"]
    assert (here.world.initialised, here.world.most_joining) == (1, 1)


# Restarts


def test_a_changed_configuration_restarts_one_server_at_a_time(lab: MakeLab) -> None:
    here = lab(3, 1)
    here.apply()
    here.world.forget_events()
    here.change(k3s={"version": VERSION, "disable": ("traefik",)})
    here.apply()

    assert here.world.seen("start", "wait_ready") == [
        line
        for name in ("server-1", "server-2", "server-3")
        for line in (f"{name}: start restart", f"{name}: wait_ready {name}")
    ]
    assert here.restarts == {"server-1": 1, "server-2": 1, "server-3": 1, "agent-1": 0}


AGENT = {"labels": {"pool": "old", "a": "1"}, "taints": ("t=1:NoExecute", "u:NoSchedule")}
CHANGED = {"labels": {"pool": "new"}, "taints": ("t=2:NoExecute",)}


def with_agent(here: Lab, **values: Any) -> None:
    """Write other labels and taints of the agent into the file."""
    hosts = [host.model_dump() for host in here.cluster.hosts]
    here.change(hosts=[{**host, **values} if host["role"] == "agent" else host for host in hosts])


def labelled(lab: MakeLab, servers: int = 3) -> Lab:
    """A cluster whose agent joined with labels and taints, and got others from somebody else."""
    here = lab(servers, 1)
    with_agent(here, **AGENT)
    here.apply()
    here.world.labels["agent-1"]["theirs"] = "x"
    here.world.taints["agent-1"]["theirs:NoSchedule"] = ""
    here.world.forget_events()
    return here


def marks(here: Lab) -> tuple[dict[str, str], dict[str, str]]:
    return here.world.labels["agent-1"], here.world.taints["agent-1"]


def test_a_node_that_joins_has_its_labels_and_taints_from_k3s(lab: MakeLab) -> None:
    here = lab(1, 1)
    with_agent(here, **AGENT)
    here.apply()

    assert here.world.seen("label_nodes") == []
    assert marks(here) == ({"pool": "old", "a": "1"}, {"t:NoExecute": "1", "u:NoSchedule": ""})


def test_other_labels_and_taints_are_set_on_a_running_cluster(lab: MakeLab) -> None:
    here = labelled(lab)
    with_agent(here, **CHANGED)
    outcome = here.apply()

    assert outcome.status is OutcomeStatus.APPLIED
    assert marks(here) == (
        {"pool": "new", "theirs": "x"}, {"t:NoExecute": "2", "theirs:NoSchedule": ""},
    )  # fmt: skip
    assert here.world.seen("label_nodes", "put") == [
        "server-1: label_nodes", f"agent-1: put {paths.CONFIG}", "server-1: label_nodes",
    ]  # fmt: skip
    assert here.restarts == dict.fromkeys(here.restarts, 0)
    assert here.machine("agent-1").text["node-label"] == ["pool=new"]
    assert here.apply().status is OutcomeStatus.UNCHANGED


def test_killed_after_any_change_every_label_is_as_the_file_says_in_the_end(lab: MakeLab) -> None:
    base = labelled(lab, servers=1)
    with_agent(base, **CHANGED)
    whole = copy.deepcopy(base.world)
    Lab(whole, base.folder).apply()

    for request in moments(whole.events, "server-1", "agent-1"):
        here = Lab(copy.deepcopy(base.world), base.folder)
        killed_then_finished(here, request)
        assert marks(here) == (whole.labels["agent-1"], whole.taints["agent-1"]), request
        assert here.machine("agent-1").text["node-label"] == ["pool=new"]
        assert here.restarts == dict.fromkeys(here.restarts, 0)


def test_killed_after_any_change_the_file_put_back_takes_all_of_it_back(lab: MakeLab) -> None:
    base = labelled(lab, servers=1)
    before = copy.deepcopy(marks(base))
    with_agent(base, **CHANGED)
    whole = copy.deepcopy(base.world)
    Lab(whole, base.folder).apply()

    for request in moments(whole.events, "server-1", "agent-1"):
        here = Lab(copy.deepcopy(base.world), base.folder)
        with_agent(here, **CHANGED)
        killed(here, request)
        with_agent(here, **AGENT)
        here.apply()
        assert marks(here) == before, request


def test_what_was_no_longer_wanted_goes_once_an_api_answers(lab: MakeLab) -> None:
    """All servers are down while the file changes: nobody could take a label away then."""
    here = labelled(lab)
    for name in ("server-1", "server-2", "server-3"):
        here.machine(name).active = "inactive"
    with_agent(here, **CHANGED)
    here.apply()

    assert marks(here) == (
        {"pool": "new", "theirs": "x"}, {"t:NoExecute": "2", "theirs:NoSchedule": ""},
    )  # fmt: skip
    assert here.machine("agent-1").text["node-label"] == ["pool=new"]


def test_what_the_api_refuses_fails_before_any_file_is_written(lab: MakeLab) -> None:
    here = labelled(lab)
    with_agent(here, **CHANGED)
    here.world.refuses_labels = True
    with pytest.raises(PermanentError, match="setting labels and taints of nodes on server-1"):
        here.apply()

    assert here.world.seen("put", "start") == []
    assert marks(here)[0]["pool"] == "old"


def test_a_new_binary_is_staged_everywhere_then_put_in_place_host_byhost(lab: MakeLab) -> None:
    here = lab(3)
    here.apply()
    for machine in here.world.machines.values():
        machine.files[paths.BINARY] = (b"an older release", 0o755)
        machine.version = "v1.35.8+k3s1"
    here.world.forget_events()
    here.apply()

    binaries = [line for line in here.world.seen("put", "start") if paths.UNREAD not in line]
    assert [line.split(": ")[1].split(".")[0] for line in binaries] == [
        *["put /usr/local/bin/k3s"] * 3,
        *["start restart"] * 3,
    ]
    assert {machine.version for machine in here.world.machines.values()} == {VERSION}


def one_of_three(lab: MakeLab) -> Lab:
    """The file names the first of three servers, for which it has another setting; the third one's
    node is not Ready."""
    here = lab(3)
    here.apply()
    here.world.nodes["server-3"] = False
    here.change(hosts=here.cluster.hosts[:1])
    here.change(k3s={"version": VERSION, "disable": ("traefik",)})
    here.world.forget_events()
    return here


def test_no_server_restarts_when_that_would_lose_the_quorum(lab: MakeLab) -> None:
    here = one_of_three(lab)

    with pytest.raises(QuorumError, match="only server-2 is ready then, and etcd needs 2 of 3"):
        here.apply()
    assert here.world.seen("prepare", "put", "start") == []
    assert set(here.restarts.values()) == {0}
    assert here.record["kind"] == "refused"


def test_a_server_that_is_not_ready_restarts_before_those_that_are(lab: MakeLab) -> None:
    """It may be the file's new setting that it waits for, and it is missed least."""
    here = lab(3)
    here.apply()
    here.world.nodes["server-3"] = False
    here.change(k3s={"version": VERSION, "disable": ("traefik",)})
    here.world.forget_events()
    here.apply()

    assert here.world.seen("start") == [
        "server-3: start restart", "server-1: start restart", "server-2: start restart",
    ]  # fmt: skip


def test_a_server_that_lost_its_disk_joins_before_the_others_restart(lab: MakeLab) -> None:
    """Two are left: neither could restart before there are three again."""
    here = lab(3)
    here.apply()
    here.machine("server-3").lose_disk()
    here.change(k3s={"version": VERSION, "disable": ("traefik",)})
    here.world.forget_events()

    assert here.apply().status is OutcomeStatus.APPLIED
    assert here.world.seen("forget", "start") == [
        "server-1: forget server-3",
        "server-3: start start",
        "server-1: start restart",
        "server-2: start restart",
    ]
    assert sorted(here.world.voters) == ["server-1", "server-2", "server-3"]
    assert here.steps.plan().plan.is_empty


def test_the_quorum_is_counted_before_a_lost_server_is_forgotten(lab: MakeLab) -> None:
    """What is forgotten stays forgotten: a refusal afterwards would come too late."""
    here = lab(3)
    here.apply()
    here.machine("server-3").lose_disk()
    here.world.nodes["server-2"] = False
    here.world.forget_events()

    with pytest.raises(QuorumError, match="of the 2 voters that stay only server-1 is ready"):
        here.apply()
    assert here.world.seen("prepare", "put", "forget", "start") == []
    assert "server-3" in here.world.etcd.values()
    assert here.record["kind"] == "refused"


def test_what_a_quorum_forbids_is_planned_for_nobody_to_approve(lab: MakeLab) -> None:
    here = one_of_three(lab)

    def approve(question: Question) -> Sequence[Decision]:
        raise AssertionError(question)

    with pytest.raises(QuorumError):
        here.steps.plan()
    with pytest.raises(QuorumError):
        run(here.steps, here.watched, approve)
    assert (here.record["digest"], here.record["status"]) == ("", "refused")
    assert "etcd needs 2 of 3" in here.record["error"]["found"]
    assert here.record["open"] == {}


# Agents that run


BROKEN = {"version": VERSION, "agent_config": {"kubelet-arg": ["no-such-flag=1"]}}
RIGHT = {"version": VERSION, "agent_config": {"kubelet-arg": ["max-pods=20"]}}


def test_a_setting_that_breaks_the_kubelet_costs_the_canary_only(lab: MakeLab) -> None:
    here = lab(1, 4)
    here.apply()
    here.world.forget_events()
    before = {name: dict(here.machine(name).files) for name in ("agent-2", "agent-3", "agent-4")}
    agents = [machine for name, machine in here.world.machines.items() if "agent" in name]
    for machine in agents:
        machine.kubelet_breaks = KUBELET
    here.change(k3s=BROKEN)
    with pytest.raises(NotReadyError, match="does not know one of its settings") as caught:
        here.apply()

    assert caught.value.attempted == "waiting for K3S on agent-1"
    assert "not touched, since nothing goes on after a failure: agent-2, agent-3, agent-4" in (
        caught.value.found
    )
    assert caught.value.remedy.endswith("It goes on with those that were not touched.")
    assert here.world.seen("start") == ["agent-1: start restart"]
    assert {name: here.machine(name).files for name in before} == before
    assert here.record["error"]["found"] == caught.value.found

    for machine in agents:
        machine.kubelet_breaks = None
    here.world.forget_events()
    here.change(k3s=RIGHT)
    assert here.apply().status is OutcomeStatus.APPLIED
    assert here.world.seen("start") == [f"agent-{number}: start restart" for number in range(1, 5)]
    assert all(machine.text["kubelet-arg"] == ["max-pods=20"] for machine in agents)


def test_an_agent_that_was_not_ready_before_is_no_canary_and_stops_none_that_works(
    lab: MakeLab,
) -> None:
    here = lab(1, 3)
    here.apply()
    here.world.forget_events()
    here.world.nodes["agent-1"] = False
    here.machine("agent-1").kubelet_hangs = True
    here.change(k3s=RIGHT)
    with pytest.raises(NotReadyError, match="agent-1"):
        here.apply()

    order = ["agent-2", "agent-3", "agent-1"]
    assert here.world.seen("start") == [f"{name}: start restart" for name in order]


def test_a_node_that_counts_as_ready_from_before_is_not_taken_for_ready(lab: MakeLab) -> None:
    """For most of a minute the API does not know that a kubelet has gone."""
    here = lab(1, 3)
    here.apply()
    here.world.forget_events()
    here.machine("agent-1").kubelet_hangs = True
    here.change(k3s=BROKEN)
    with pytest.raises(NotReadyError, match=r"not touched.*: agent-2, agent-3"):
        here.apply()

    assert here.world.seen("start") == ["agent-1: start restart"]


def test_agents_restart_one_alone_then_a_tenth_at_a_time(lab: MakeLab) -> None:
    here = lab(1, 21)
    here.apply()
    here.world.forget_events()
    here.change(k3s=RIGHT)
    here.apply()

    rounds = "".join("S" if "start" in line else "R" for line in here.world.seen(
        "start", "nodes_ready"
    ))  # fmt: skip
    assert rounds == "SR" + "SSR" * 10
    assert {here.machine(f"agent-{number}").restarts for number in range(1, 22)} == {1}


def test_agents_that_serve_nothing_yet_go_before_those_that_run(lab: MakeLab) -> None:
    here = lab(1, 3)
    all_hosts = here.cluster.hosts
    here.change(hosts=all_hosts[:3])
    here.apply()
    here.world.forget_events()
    here.machine("agent-3").breaks = STUCK
    here.change(hosts=all_hosts, k3s=RIGHT)
    with pytest.raises(NotReadyError, match=r"not touched.*: agent-1, agent-2") as caught:
        here.apply()

    assert caught.value.attempted == "waiting for K3S on agent-3"
    assert [line for line in here.world.seen("start") if "agent" in line] == [
        "agent-3: start start"
    ]
    here.machine("agent-3").breaks = None
    here.apply()
    assert {here.machine(f"agent-{number}").active for number in (1, 2, 3)} == {"active"}


def test_a_service_that_hangs_with_old_files_is_restarted(lab: MakeLab) -> None:
    """`start` does nothing to a service that is starting: it would never read the new ones."""
    here = lab(1, 1)
    here.apply()
    agent = here.machine("agent-1")
    agent.files[paths.CONFIG] = (b"server: https://nowhere:6443\n", 0o600)
    agent.active = "activating"
    here.apply()

    assert agent.active == "active"


# Failures


@pytest.mark.parametrize("name", ["server-1", "server-2", "agent-1"])
def test_a_host_that_never_came_up_was_rolled_back_and_the_cause_named(
    lab: MakeLab, name: str
) -> None:
    here = lab(3, 1)
    here.machine(name).breaks = STUCK
    with pytest.raises(NotReadyError) as caught:
        here.apply()

    error = caught.value
    assert error.attempted == f"waiting for K3S on {name}"
    assert "critical configuration" in error.found.lower()
    assert f"{name} was rolled back to before it joined" in error.remedy
    machine = here.machine(name)
    assert (machine.active, machine.has_etcd) == (None, False)
    assert paths.CONFIG not in machine.files
    assert paths.TOKEN not in machine.files
    assert name not in here.world.nodes
    assert paths.BINARY in machine.files  # what was brought is not brought again

    machine.breaks = None
    here.apply()
    assert here.world.initialised == 1
    assert set(here.world.nodes) == set(here.world.machines)


KUBELET = (
    'level=error msg="Shutdown request received: kubelet exited: failed to parse kubelet flag:'
    ' unknown flag: --no-such-flag"'
)


def after_start(here: Lab, name: str) -> list[str]:
    """What was asked of all hosts after K3S was started on one, files aside."""
    seen = [str(event) for event in here.world.events if event.what not in ("put", "facts")]
    return seen[seen.index(f"{name}: start start") + 1 :]


def test_a_joiner_that_votes_is_removed_before_it_is_erased(lab: MakeLab) -> None:
    """Of two members both must agree: it is removed while it votes, or the quorum is gone."""
    here = lab(3)
    here.machine("server-2").kubelet_breaks = KUBELET
    with pytest.raises(NotReadyError) as caught:
        here.apply()

    assert "a component does not know one of its settings" in caught.value.found
    assert "server-2 was rolled back to before it joined" in caught.value.remedy
    assert after_start(here, "server-2") == [
        "server-2: wait_ready server-2",
        "server-2: diagnose",
        "server-1: members",
        "server-1: forget server-2",
        "server-2: stop",
        "server-1: members",
        "server-2: roll_back",
    ]
    assert (here.world.members, here.world.has_quorum) == (["server-1"], True)

    here.machine("server-2").kubelet_breaks = None
    here.apply()
    assert sorted(here.world.voters) == ["server-1", "server-2", "server-3"]


def test_killed_while_a_joiner_is_taken_back_it_is_finished_by_running_it_again(
    lab: MakeLab,
) -> None:
    whole = lab(3)
    whole.machine("server-2").kubelet_breaks = KUBELET
    with pytest.raises(NotReadyError):
        whole.apply()
    events = whole.world.events
    asked = [n for n, event in enumerate(events) if event.what in ("diagnose", "members", "forget")]
    for request in range(asked[0], len(events)):
        here = lab(3)
        here.machine("server-2").kubelet_breaks = KUBELET
        here.world.kill_at = request
        with pytest.raises(Killed):
            here.apply()
        for machine in here.world.machines.values():
            machine.holder = None
        here.world.kill_at = None
        here.machine("server-2").kubelet_breaks = None
        if here.machine("server-2").active == "activating":
            here.world.start_again("server-2")
        here.apply()
        assert sorted(here.world.voters) == ["server-1", "server-2", "server-3"], request
        assert len(here.world.etcd) == 3


def test_a_joiner_that_cannot_be_removed_is_left_as_it_is(lab: MakeLab) -> None:
    here = lab(3)
    here.machine("server-2").kubelet_breaks = KUBELET
    here.world.refuses_removal = True
    with pytest.raises(NotReadyError) as caught:
        here.apply()

    found = caught.value.found
    assert found.index("--no-such-flag") < found.index("server-2 was left as it is")
    assert "making the cluster forget server-2" in found
    assert "Error from server (Timeout)" in found
    assert "server-2 was left as it is" in caught.value.remedy
    assert here.machine("server-2").votes
    assert here.world.has_quorum
    assert here.world.seen("stop", "roll_back") == []

    here.world.refuses_removal = False
    here.machine("server-2").kubelet_breaks = None
    here.world.start_again("server-2")
    here.apply()
    assert sorted(here.world.voters) == ["server-1", "server-2", "server-3"]


def test_while_nobody_can_tell_a_joiner_is_left_as_it_is(lab: MakeLab) -> None:
    here = lab(3)
    here.apply()
    here.machine("server-3").lose_disk()
    here.machine("server-3").breaks = STUCK
    here.machine("server-2").takes_down_at_start_of = "server-3"
    here.world.forget_events()
    with pytest.raises(NotReadyError) as caught:
        here.apply()

    assert "critical configuration" in caught.value.found
    assert "server-3 was left as it is: asking for etcd's members" in caught.value.found
    assert here.world.seen("stop", "roll_back") == []


def test_a_member_without_a_node_is_removed_as_planned(lab: MakeLab) -> None:
    """As an earlier release left it: the host was erased, and etcd still counts it."""
    here = lab(3)
    here.apply()
    here.machine("server-3").lose_disk()
    del here.world.nodes["server-3"], here.world.annotations["server-3"]
    approved: list[Plan] = []

    def approve(question: Question) -> Sequence[Decision]:
        approved.append(question.plan)
        return approve_all(question)

    assert here.cluster.approval.grounds(here.steps.plan().plan)
    run(here.steps, here.watched, approve)
    (gone,) = [change for change in approved[0].changes if change.destroys]
    assert gone.target.startswith("server-3: etcd member server-3-")
    assert gone.before["peer_urls"] == ["https://127.0.1.3:2380"]
    assert "no node" in gone.reason
    assert sorted(here.world.voters) == ["server-1", "server-2", "server-3"]
    assert len(here.world.etcd) == 3


def test_a_removal_that_would_cost_the_quorum_is_refused(lab: MakeLab) -> None:
    """The voter without a node may be up: without it one of two is left, and one is down."""
    here = lab(3)
    here.apply()
    here.change(hosts=here.cluster.hosts[:1])
    here.apply()  # server-1 restarts with a certificate that names fewer
    del here.world.nodes["server-3"], here.world.annotations["server-3"]
    here.world.nodes["server-2"] = False

    with pytest.raises(QuorumError, match="too few are up to keep the quorum"):
        here.apply()
    assert here.world.has_quorum
    assert here.world.seen("forget") == []


def test_the_next_server_is_asked_when_the_first_one_is_stopped(lab: MakeLab) -> None:
    here = lab(3)
    here.apply()
    here.machine("server-1").active = "inactive"
    status = here.steps.status()

    assert status.has_quorum is True
    assert len(status.nodes or ()) == 3
    assert [change.target for change in here.steps.plan().plan.changes] == [
        "server-1: k3s", "server-1: node",
    ]  # fmt: skip


def test_a_failed_server_keeps_the_next_ones_from_starting(lab: MakeLab) -> None:
    here = lab(3, 1)
    here.machine("server-2").breaks = STUCK
    with pytest.raises(NotReadyError):
        here.apply()

    assert here.world.seen("start") == ["server-1: start start", "server-2: start start"]


@pytest.mark.parametrize("name", ["server-2", "agent-1"])
def test_a_member_that_fails_later_is_left_as_it_is(lab: MakeLab, name: str) -> None:
    here = lab(3, 1)
    here.apply()
    here.machine(name).active = "failed"
    here.machine(name).breaks = STUCK
    here.world.forget_events()
    with pytest.raises(NotReadyError) as caught:
        here.apply()

    assert "It stays as it is." in caught.value.remedy
    assert here.world.seen("roll_back", "forget") == []
    assert paths.CONFIG in here.machine(name).files
    assert name in here.world.nodes


def test_a_member_whose_new_configuration_breaks_it_stops_the_roll_out(lab: MakeLab) -> None:
    here = lab(3)
    here.apply()
    here.machine("server-1").breaks = STUCK
    here.change(k3s={"version": VERSION, "disable": ("traefik",)})
    here.world.forget_events()
    with pytest.raises(NotReadyError):
        here.apply()

    assert here.world.seen("start") == ["server-1: start restart"]
    assert here.world.has_quorum
    assert here.world.seen("roll_back") == []


def test_agents_that_are_running_but_no_nodes_are_all_named(lab: MakeLab) -> None:
    here = lab(1, 3)
    here.apply()
    here.world.nodes.update({"agent-1": False, "agent-3": False})

    with pytest.raises(PermanentError) as caught:
        here.apply()
    found = str(caught.value)
    assert "waiting for K3S on agent-1" in found
    assert "waiting for K3S on agent-3" in found
    assert "agent-2" not in found
    assert "got as far as: active" in found


def test_what_something_else_undoes_at_once_is_said(lab: MakeLab) -> None:
    here = lab(1, registries={"mirrors": {"docker.io": {}}})
    here.machine("server-1").forgets_file = paths.REGISTRIES
    with pytest.raises(UnsettledError, match=r"this still differs: server-1: .*registries"):
        here.apply()


def test_a_failure_is_recorded_with_its_plan(lab: MakeLab) -> None:
    here = lab(3)
    here.machine("server-2").breaks = STUCK
    with pytest.raises(NotReadyError):
        here.apply()

    values = yaml.safe_load(here.evidence[-1])
    assert (values["status"], values["error"]["error"]) == ("failed", "NotReadyError")


# Plans


def test_a_plan_is_not_applied_to_hosts_that_have_changed(lab: MakeLab) -> None:
    here = lab(3)
    here.apply()
    here.change(k3s={"version": VERSION, "disable": ("traefik",)})
    planned = here.steps.plan()
    here.machine("server-3").files[paths.CONFIG] = (b"node-name: server-3\n", 0o600)
    here.world.forget_events()

    with pytest.raises(StalePlanError, match="the hosts have changed since"):
        here.steps.apply(planned, planned.plan.stages[0])
    assert here.world.seen("put", "prepare", "start") == []


def test_a_stale_plan_is_shown_and_approved_anew(lab: MakeLab) -> None:
    here = lab(1)
    approved: list[str] = []

    def approve(question: Question) -> Sequence[Decision]:
        approved.append(question.plan.digest)
        if len(approved) == 1:
            here.machine("server-1").files[paths.CONFIG] = (b"debug: true\n", 0o600)
        return approve_all(question)

    outcome = run(here.steps, here.watched, approve)
    assert len(set(approved)) == 2
    assert outcome.plan.digest == approved[1]


def test_hosts_of_two_clusters_are_refused(lab: MakeLab) -> None:
    here = lab(1, 1)
    here.apply()
    here.machine("server-1").lose_disk()

    with pytest.raises(PreflightError, match="belong to a cluster of which no server here has"):
        here.apply()
    assert here.world.initialised == 1


def test_a_second_apply_at_the_same_time_is_refused(lab: MakeLab) -> None:
    here = lab(3)
    planned = here.steps.plan()
    here.machine("server-2").holder = "another person"

    with pytest.raises(LockedError, match="held by another person"):
        here.steps.apply(planned, planned.plan.stages[0])
    assert here.world.seen("put", "start") == []
    assert here.machine("server-1").holder is None


def test_a_refused_lock_is_waited_for_and_no_failed_apply(lab: MakeLab) -> None:
    here = lab(3)
    here.machine("server-2").holder = "another person"
    waited: list[float] = []
    with pytest.raises(LockedError, match="held by another person") as caught:
        run(here.steps, here.watched, sleep=waited.append)

    assert isinstance(caught.value, TemporaryError)
    assert waited == [30.0, 30.0]
    assert here.world.seen("prepare", "put", "start") == []
    kinds = [yaml.safe_load(text)["kind"] for text in here.evidence]
    assert (kinds.count("refused"), kinds.count("apply")) == (3, 0)
    assert (here.record["status"], here.record["error"]["error"]) == ("refused", "LockedError")
    assert here.record["error"]["temporary"] is True
    assert "held by another person" in here.record["error"]["found"]
    assert here.record["open"].keys().isdisjoint(here.record["closes"])


def test_who_waits_for_a_lock_goes_on_once_it_is_free(lab: MakeLab) -> None:
    here = lab(1)
    here.machine("server-1").holder = "another person"

    def end(_: float) -> None:
        here.machine("server-1").holder = None

    assert run(here.steps, here.watched, sleep=end).status is OutcomeStatus.APPLIED


@pytest.mark.parametrize("moment", ["server-1: start", "server-3: wait_ready", "agent-2: start"])
def test_of_two_applies_at_once_one_goes_through_and_the_other_changes_nothing(
    lab: MakeLab, moment: str
) -> None:
    """Another operator, with another record of who holds what, while the first is at work."""
    here = lab(3, 2)
    refused: list[BaseException | None] = []
    requests: list[Event] = []

    def begin(event: Event) -> None:
        if str(event).startswith(moment) and not refused:
            before = len(here.world.events)
            with ThreadPoolExecutor() as elsewhere:
                second = elsewhere.submit(run, here.steps, Watched())
            refused.append(second.exception())
            requests.extend(here.world.events[before:])

    here.world.on_event = begin
    assert here.apply().status is OutcomeStatus.APPLIED

    assert [type(error) for error in refused] == [LockedError]
    assert {event.what for event in requests} <= {"facts", "peers"}
    assert set(here.restarts.values()) == {0}
    assert here.world.initialised == 1
    records = [yaml.safe_load(text) for text in here.evidence]
    ended = [(each["kind"], each["status"]) for each in records if "status" in each]
    assert ended == [*[("refused", "refused")] * 3, ("apply", "applied")]
    assert here.record["open"] == {}


# Secrets


def test_tokens_are_in_files_and_nowhere_else(lab: MakeLab) -> None:
    here = lab(3, 2)
    here.apply()
    kept = tokens.load(here.cluster.secrets_folder)
    assert kept is not None

    here.machine("server-3").lose_disk()
    here.apply()
    here.machine("server-2").active = "failed"
    here.machine("server-2").breaks = f"{STUCK} token {kept.server} {kept.agent}"
    with pytest.raises(NotReadyError) as caught:
        here.apply()

    elsewhere = [*here.world.scripts, *here.watched.shown, *here.evidence, repr(caught.value)]
    elsewhere += [str(caught.value), *(file.name for file in here.folder.rglob("*"))]
    for secret in (kept.server, kept.agent, *here.world.agent_tokens):
        assert not [text for text in elsewhere if secret in text]


def test_every_file_with_a_token_is_root_s_alone(lab: MakeLab) -> None:
    here = lab(3, 2)
    here.apply()
    kept = tokens.load(here.cluster.secrets_folder)
    assert kept is not None

    secrets = [kept.server, kept.agent, *here.world.agent_tokens]
    carrying = [
        (upload.path, upload.mode, upload.owner)
        for _, upload in here.world.uploads
        if isinstance(upload.source, bytes)
        and any(secret.encode() in upload.source for secret in secrets)
    ]
    assert set(carrying) == {
        (paths.TOKEN, 0o600, "root:root"),
        (paths.AGENT_TOKEN, 0o600, "root:root"),
    }


def test_an_agent_s_host_never_sees_a_token_that_lasts(lab: MakeLab) -> None:
    here = lab(1, 2)
    here.apply()
    kept = tokens.load(here.cluster.secrets_folder)
    assert kept is not None

    brought = b"".join(
        upload.source
        for host, upload in here.world.uploads
        if host.startswith("agent") and isinstance(upload.source, bytes)
    )
    assert kept.server.encode() not in brought
    assert kept.agent.encode() not in brought
    assert here.world.agent_tokens[0].encode() in brought


def test_the_tokens_of_a_cluster_from_elsewhere_are_taken_over(lab: MakeLab) -> None:
    here = lab(3)
    here.apply()
    folder = here.cluster.secrets_folder
    before = tokens.load(folder)
    for file in folder.iterdir():
        file.unlink()
    here.machine("server-2").lose_disk()
    here.apply()

    assert tokens.load(folder) == before
    assert isinstance(before, Tokens)


OTHERS = Tokens("another cluster's server token", "another cluster's agent token")


def token_finding(here: Lab) -> str:
    with pytest.raises(PreflightError) as caught:
        here.apply()
    (finding,) = caught.value.findings
    assert (finding.host, finding.check) == ("server-1", "tokens")
    return f"{finding.found} -> {finding.remedy}"


def test_tokens_of_another_cluster_are_never_written_over_a_cluster_s(lab: MakeLab) -> None:
    here = lab(3)
    here.apply()
    before = {name: dict(machine.files) for name, machine in here.world.machines.items()}
    tokens.keep(here.cluster.secrets_folder, OTHERS)
    here.change(k3s={"version": VERSION, "disable": ("traefik",)})
    found = token_finding(here)

    assert "server-1, server-2, server-3 run with other tokens" in found
    assert "rotate" in found
    assert {name: dict(machine.files) for name, machine in here.world.machines.items()} == before

    for name in (tokens.SERVER, tokens.AGENT, tokens.CLUSTER_ID):
        (here.cluster.secrets_folder / name).unlink()
    here.apply()
    assert tokens.load(here.cluster.secrets_folder) not in (None, OTHERS)


def test_an_agents_token_of_another_cluster_is_not_written_either(lab: MakeLab) -> None:
    here = lab(3)
    here.apply()
    kept = tokens.load(here.cluster.secrets_folder)
    assert kept is not None
    tokens.keep(here.cluster.secrets_folder, Tokens(kept.server, OTHERS.agent))

    assert "run with other tokens" in token_finding(here)


def test_a_token_file_that_was_changed_on_one_member_is_put_right(lab: MakeLab) -> None:
    here = lab(3)
    here.apply()
    right = here.machine("server-2").files[paths.TOKEN]
    here.machine("server-2").files[paths.TOKEN] = (b"by hand\n", 0o600)
    here.apply()

    assert here.machine("server-2").files[paths.TOKEN] == right


def test_k3s_s_own_copy_tells_when_the_file_is_not_there(lab: MakeLab) -> None:
    here = lab(1)
    here.apply()
    kept = tokens.load(here.cluster.secrets_folder)
    assert kept is not None
    own = f"{here.cluster.k3s.data_dir}/{paths.OWN_TOKEN}"
    machine = here.machine("server-1")
    full = f"{kept.of_server(CLUSTER_ID)}\n".encode()
    del machine.files[paths.TOKEN]

    machine.files[own] = (full, 0o600)
    here.apply()
    del machine.files[paths.TOKEN]
    machine.files[own] = (full.replace(b"::server:", b"::server:another"), 0o600)
    token_finding(here)


def test_a_folder_tells_whose_tokens_it_has(lab: MakeLab) -> None:
    here = lab(1)
    here.apply()
    folder = here.cluster.secrets_folder
    assert tokens.pinned_cluster(folder) == CLUSTER_ID

    machine = here.machine("server-1")
    for path in (paths.TOKEN, paths.AGENT_TOKEN):
        del machine.files[path]
    tokens.pin_cluster(folder, "f" * 64)
    assert "which are of cluster ffffffffffff" in token_finding(here)

    (folder / tokens.CLUSTER_ID).unlink()  # a folder of an earlier release
    here.apply()
    assert tokens.pinned_cluster(folder) == CLUSTER_ID


# What a cluster was born with


@pytest.mark.parametrize(
    ("values", "host", "check"),
    [
        ({"networks": {"cluster": "10.52.0.0/16"}}, "server-1", "fixed at birth"),
        ({"hardening": {"profile": "cis"}}, "server-1", "fixed at birth"),
        (
            {"k3s": {"version": VERSION, "config": {"flanel-iface": "eth1"}}},
            "the cluster file",
            "unknown key",
        ),
        (
            {
                "hosts": [
                    host("server", 1),
                    *(host("agent", each) | {"role": "server"} for each in (1, 2)),
                ]
            },
            "agent-1",
            "role",
        ),
    ],
)
def test_what_was_decided_at_birth_is_refused_and_nothing_touched(
    lab: MakeLab, values: dict[str, Any], host: str, check: str
) -> None:
    here = lab(1, 2)
    here.apply()
    before = {name: dict(machine.files) for name, machine in here.world.machines.items()}
    here.change(**values)

    with pytest.raises(PreflightError) as caught:
        here.apply()
    first = caught.value.findings[0]
    assert (first.host, first.check) == (host, check)
    assert {name: machine.files for name, machine in here.world.machines.items()} == before
    assert set(here.restarts.values()) == {0}


# Costs


def counted(lab: MakeLab, servers: int, agents: int) -> Iterator[dict[str, int]]:
    """Round trips by host: of the first apply, then of one with nothing to do."""
    here = lab(servers, agents)
    for _ in range(2):
        here.world.forget_events()
        here.apply()
        yield here.world.ssh_requests()


def test_requests_of_a_host_do_not_depend_on_how_many_there_are(lab: MakeLab) -> None:
    # Agents are a stage of their own: facts are read before and after it, if there is one.
    for few, one, many, of_stage in zip(
        counted(lab, 3, 0), counted(lab, 3, 1), counted(lab, 3, 5), (2, 0), strict=True
    ):
        assert {name: many[name] for name in one} == one
        assert {many[f"agent-{number}"] for number in range(1, 6)} == {one["agent-1"]}
        # With agents there is a token to be made for all of them, and one look at all.
        more = {name: one[name] - few[name] for name in few}
        assert (more["server-2"], more["server-3"]) == (of_stage, of_stage)
        assert more["server-1"] <= 2 + of_stage


def test_an_apply_with_nothing_to_do_is_cheap(lab: MakeLab) -> None:
    _, again = counted(lab, 3, 2)

    # Facts, and what the host is answered by the cluster; of one server what the API says of pods,
    # too, and its kubeconfig.
    assert again == dict.fromkeys(again, 2) | {"server-1": 4}


# Killed anywhere


def state(here: Lab) -> dict[str, tuple[Any, ...]]:
    """What a cluster is like in the end, but for what differs from run to run."""
    return {
        name: (
            machine.active,
            machine.has_etcd,
            sorted((path, mode) for path, (_, mode) in machine.files.items()),
            {key: value for key, value in machine.text.items() if key != "server"},
        )
        for name, machine in here.world.machines.items()
    }


def unread(here: Lab, files: Sequence[str]) -> list[str]:
    """Files that K3S runs without having read them as they are now."""
    return [
        f"{name}: {path}"
        for name, machine in here.world.machines.items()
        for path in files
        if path in machine.files and machine.read.get(path) != machine.files[path][0]
    ]


LARGE = [*(f"server-{n}" for n in range(1, 6)), *(f"agent-{n}" for n in range(1, 4))]


def moments(events: Sequence[Event], *hosts: str) -> list[int]:
    """After which request to kill: each that changed something on one of these hosts."""
    changing = (
        "put", "prepare", "start", "wait_ready", "forget", "label_nodes", "roll_back",
        "token for agents",
    )  # fmt: skip
    return [
        number
        for number, event in enumerate(events, start=1)
        if event.what in changing and event.host in hosts
    ]


def killed_then_finished(here: Lab, request: int) -> None:
    """Kill the apply at a request, then run it again."""
    killed(here, request)
    here.apply()


def killed(here: Lab, request: int) -> None:
    """Kill the apply at a request; its locks go with it."""
    here.world.forget_events()
    here.world.kill_at = request
    with pytest.raises(Killed):
        here.apply()
    for machine in here.world.machines.values():
        machine.holder = None
    here.world.kill_at = None


@pytest.mark.parametrize(
    ("servers", "agents", "hosts"),
    [
        (3, 0, ["server-1", "server-2"]),
        (1, 1, ["agent-1"]),
        *([(5, 3, LARGE)] if ROUNDS > 1 else []),
    ],
)
def test_killed_after_any_change_it_is_finished_by_running_it_again(
    lab: MakeLab, servers: int, agents: int, hosts: list[str]
) -> None:
    whole = lab(servers, agents)
    whole.apply()

    for request in moments(whole.world.events, *hosts):
        here = lab(servers, agents)
        killed_then_finished(here, request)
        assert state(here) == state(whole), request
        assert (here.world.initialised, here.world.most_joining) == (1, whole.world.most_joining)


def test_killed_after_any_change_what_was_written_is_read_all_the_same(lab: MakeLab) -> None:
    """A file that was written and never read is not seen by comparing files."""
    base = lab(3)
    base.apply()
    base.change(k3s={"version": VERSION, "config": {"v": 4}})

    def again() -> Lab:
        return Lab(copy.deepcopy(base.world), base.folder)

    whole = again()
    whole.world.forget_events()
    whole.apply()
    for request in moments(whole.world.events, "server-1", "server-2"):
        here = again()
        killed_then_finished(here, request)
        assert unread(here, [paths.CONFIG]) == [], request
        assert here.restarts == whole.restarts, request


# Hosts that do not answer


def test_the_others_go_on_without_an_agent_that_does_not_answer(lab: MakeLab) -> None:
    here = lab(3, 2)
    here.apply()
    here.world.unreachable.add("agent-1")
    here.world.nodes["agent-1"] = False
    before = dict(here.machine("agent-1").files)
    here.change(k3s={"version": VERSION, "disable": ("traefik",)})
    outcome = here.apply()

    assert outcome.status is OutcomeStatus.APPLIED
    assert outcome.verification
    assert outcome.verification.rows()["left out agent-1"] == "does not answer"
    assert any("agent-1: ssh: left out: connecting to agent-1" in it for it in here.watched.shown)
    assert here.machine("agent-1").files == before
    assert here.machine("server-3").restarts == 1


def test_who_was_left_out_is_a_part_of_the_plan_and_has_its_turn_later(lab: MakeLab) -> None:
    here = lab(1, 1)
    here.world.unreachable.add("agent-1")
    without = here.steps.plan()
    assert without.plan.inputs["left out: agent-1"] == "no answer"
    assert here.apply().status is OutcomeStatus.APPLIED
    assert here.machine("agent-1").active is None

    here.world.unreachable.clear()
    assert here.steps.plan().plan.digest != without.plan.digest
    here.apply()
    assert here.machine("agent-1").active == "active"
    assert not any(name.startswith("left out") for name in here.steps.plan().plan.inputs)


def test_an_agent_that_answers_again_after_the_plan_is_planned_with_the_others(
    lab: MakeLab,
) -> None:
    here = lab(1, 1)
    here.world.unreachable.add("agent-1")
    planned = here.steps.plan()
    here.world.unreachable.clear()
    with pytest.raises(StalePlanError):
        here.steps.apply(planned, planned.plan.stages[0])


def test_an_agent_that_is_lost_after_the_plan_makes_it_stale(lab: MakeLab) -> None:
    here = lab(1, 2)
    planned = here.steps.plan()
    here.world.unreachable.add("agent-2")
    with pytest.raises(StalePlanError):
        here.steps.apply(planned, planned.plan.stages[0])


def test_a_server_that_does_not_answer_stops_all_for_now(lab: MakeLab) -> None:
    here = lab(3, 1)
    here.apply()
    here.world.unreachable |= {"server-2", "agent-1"}
    here.world.forget_events()
    with pytest.raises(HostsUnreachableError, match="connecting to server-2") as caught:
        here.apply()
    assert isinstance(caught.value, TemporaryError)
    assert "agent-1" not in str(caught.value)
    rows = caught.value.to_json()["findings"]
    assert [(row["host"], row["temporary"]) for row in rows] == [("server-2", True)]  # type: ignore[attr-defined]
    assert here.world.seen("put", "start") == []


def test_what_a_person_must_fix_is_not_temporary_for_a_host_that_does_not_answer(
    lab: MakeLab,
) -> None:
    here = lab(3)
    here.apply()
    here.world.unreachable.add("server-3")
    here.machine("server-1").version = "v1.99.0+k3s1"
    with pytest.raises(PreflightError):
        here.steps.plan()


def test_nobody_knows_whether_an_agent_that_does_not_answer_has_drifted(lab: MakeLab) -> None:
    here = lab(1, 1)
    here.apply()
    here.world.unreachable.add("agent-1")
    with pytest.raises(UnreachableError, match="no answer from agent-1"):
        detect_drift(here.steps, here.watched)
    here.change(k3s={"version": VERSION, "disable": ("traefik",)})
    assert detect_drift(here.steps, here.watched).status is DriftStatus.DRIFTED


def test_a_key_that_is_not_pinned_is_no_host_that_does_not_answer(lab: MakeLab) -> None:
    here = lab(1, 1)

    async def refuse(host: Host) -> NoReturn:
        raise HostKeyError(f"connecting to {host.name}", "its key is not pinned", "Pin it.")

    here.world.connect = refuse  # type: ignore[method-assign]
    with pytest.raises(PreflightError, match="agent-1: ssh: connecting to agent-1"):
        here.steps.plan()


# The operations of a plan

CHANGING = ("put", "start", "forget", "discard", "stop", "roll_back", "label_nodes")
"""Requests that change something; `prepare` makes folders, and is the executor's own."""


def told(operation: Operation, of: Cluster) -> str | None:
    """The request that an operation becomes; None for a part of another, and for what waits."""
    name = operation.host.name if operation.host else ""
    match operation.work:
        case WriteFile(file=file):
            return f"{name}: put {file.path}"
        case WriteToken(path=path):
            return f"{name}: put {path}"
        case StageBinary(artifact=binary):
            return f"{name}: put {staged_path(binary)}"
        case BringArchive(artifact=archive):
            return f"{name}: put {images_path(of, archive)}"
        case TellService(step=step):
            return f"{name}: start {step.verb}"
        case ForgetNode():
            return f"forget {name}"
        case SetMarks() | TakeMarks():
            return "label_nodes"
        case _:
            return None


def asked(event: Event) -> str:
    """A request as `told` has it: which server the API is asked through does not matter."""
    if event.what == "label_nodes":
        return event.what
    return f"forget {event.about}" if event.what == "forget" else str(event)


def others(each: dict[str, Any]) -> dict[str, Any]:
    return each | {"labels": {"example.com/tier": "gold"}}


@pytest.mark.parametrize("what", ["bare", "setting", "disk", "labels", "images"])
def test_an_apply_does_what_its_operations_say_and_nothing_else(
    lab: MakeLab, closed: MakeLab, what: str
) -> None:
    here = (closed if what == "images" else lab)(3, 2)
    if what in ("setting", "disk", "labels"):
        here.apply()
    if what == "setting":
        here.change(k3s={"version": VERSION, "config": {"v": 4}, "agent_config": {"v": 4}})
    elif what == "disk":
        here.machine("server-2").lose_disk()
    elif what == "labels":
        here.change(hosts=[others(each.model_dump()) for each in here.cluster.hosts])
    steps, stages = here.steps, []
    while not (made := steps.plan()).plan.is_empty:
        stages.append(Stage(made.plan.stages[0]))
        here.world.forget_events()
        steps.apply(made, stages[-1])
        events = [each for each in here.world.events if each.what in CHANGING]
        # The note that K3S has something to read, and a look at sysctl, are the executor's own.
        done = [asked(each) for each in events if each.about not in (paths.UNREAD, "keep")]
        works = (each for turn in made.of_stage(stages[-1]) for each in turn.operations)
        said = [each for work in works if (each := told(work, here.cluster))]
        assert sorted(set(said)) == sorted(done), stages
    assert len(stages) == len(set(stages)) > 0


# Manifests that are no longer wanted

KUBE_VIP = "/var/lib/rancher/k3s/server/manifests/xops-kube-vip.yaml"


@pytest.fixture
def had_vip(lab: MakeLab) -> Lab:
    """Three servers and an agent that have another file, and kube-vip of an earlier one."""
    here = lab(3, 1)
    here.apply()
    for number in (1, 2, 3):
        here.machine(f"server-{number}").files[KUBE_VIP] = (b"kind: DaemonSet", 0o600)
    here.change(k3s={"version": VERSION, "config": {"v": 4}, "agent_config": {"v": 4}})
    here.world.forget_events()
    return here


def test_what_a_manifest_made_goes_with_it_once_nobody_needs_it(had_vip: Lab) -> None:
    had_vip.apply()

    assert had_vip.world.withdrawn == [KUBE_VIP] * 3
    changing = [each for each in had_vip.world.events if each.what in ("start", "withdraw")]
    *before, first, second, third = [(each.host, each.what) for each in changing]
    assert [first, second, third] == [(f"server-{number}", "withdraw") for number in (1, 2, 3)]
    assert {name for name, _ in before} == {"server-1", "server-2", "server-3", "agent-1"}
    assert all(KUBE_VIP not in machine.files for machine in had_vip.world.machines.values())
    assert had_vip.steps.plan().plan.is_empty


def test_killed_anywhere_a_manifest_is_withdrawn_by_running_it_again(had_vip: Lab) -> None:
    whole = Lab(copy.deepcopy(had_vip.world), had_vip.folder)
    whole.cluster = had_vip.cluster
    whole.apply()
    first = [each.what for each in whole.world.events].index("withdraw")

    for request in range(first, first + 3):
        here = Lab(copy.deepcopy(had_vip.world), had_vip.folder)
        killed_then_finished(here, request)
        assert all(KUBE_VIP not in machine.files for machine in here.world.machines.values())
        assert here.world.withdrawn == [KUBE_VIP] * 3
