"""An apply on some hosts only: `--host`, and what is out of it."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.contract.k3s.lab import Lab, LabMaker, host
from tests.k3s_release import VERSION
from xops.core.errors import InputError
from xops.core.lifecycle.steps import OutcomeStatus
from xops.k3s import paths
from xops.k3s.operations.quorum import QuorumError
from xops.k3s.state.preflight import HostsUnreachableError, PreflightError
from xops.k3s.state.scope import scope_of


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Three servers and two agents that are a cluster."""
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
    made = LabMaker(tmp_path)(3, 3)
    made.change(hosts=hosts(3, 2))
    made.apply()
    made.world.forget_events()
    return made


def hosts(servers: int, agents: int) -> list[dict[str, Any]]:
    return [
        *(host("server", number) for number in range(1, servers + 1)),
        *(host("agent", number) for number in range(1, agents + 1)),
    ]


def power_off(lab: Lab, name: str) -> None:
    lab.world.unreachable.add(name)
    lab.machine(name).active = "failed"


def touched(lab: Lab) -> set[str]:
    changing = ("put", "start", "prepare", "stop", "discard", "roll_back", "withdraw")
    return {event.host for event in lab.world.events if event.what in changing}


def test_with_a_server_down_an_agent_is_added_all_the_same(here: Lab) -> None:
    power_off(here, "server-3")
    here.change(hosts=hosts(3, 3))
    with pytest.raises(HostsUnreachableError, match="server-3"):
        here.apply()
    outcome = here.apply("agent-3")

    assert outcome.status is OutcomeStatus.APPLIED
    assert here.world.nodes["agent-3"]
    assert touched(here) == {"agent-3"}
    assert outcome.verification is not None
    assert outcome.verification.rows()["out of scope server-3"] == "not asked"


def test_a_change_reaches_the_named_hosts_only_and_the_others_later(here: Lab) -> None:
    here.change(k3s={"version": VERSION, "config": {"v": 4}, "agent_config": {"v": 4}})
    here.apply("server-2", "agent-1")

    assert here.world.seen("start") == ["server-2: start restart", "agent-1: start restart"]
    here.world.forget_events()
    here.apply()
    assert here.world.seen("start") == [
        "server-1: start restart", "server-3: start restart", "agent-2: start restart",
    ]  # fmt: skip


def test_the_scope_is_a_part_of_the_plan_and_of_its_digest(here: Lab) -> None:
    here.change(k3s={"version": VERSION, "agent_config": {"v": 4}})
    one, both = (
        here.steps_on(*names).plan().plan for names in (("agent-1",), ("agent-1", "agent-2"))
    )

    assert one.inputs["only these hosts"] == "agent-1"
    assert both.inputs["only these hosts"] == "agent-1, agent-2"
    assert len({one.digest, both.digest, here.steps.plan().plan.digest}) == 3
    nothing = here.steps_on("server-1").plan().plan
    assert (nothing.is_empty, nothing.inputs) == (True, {"only these hosts": "server-1"})


def test_what_is_wrong_with_other_hosts_stops_nothing(here: Lab) -> None:
    other = here.machine("agent-2")
    other.host = other.host.model_copy(update={"arch": "arm64"})  # not what the file says
    here.change(k3s={"version": VERSION, "agent_config": {"v": 4}})
    with pytest.raises(PreflightError, match="agent-2"):
        here.apply()
    here.apply("agent-1")

    assert here.world.seen("start") == ["agent-1: start restart"]


def test_the_quorum_is_that_of_the_cluster_whatever_the_scope(here: Lab) -> None:
    power_off(here, "server-3")
    here.change(k3s={"version": VERSION, "config": {"v": 4}})

    with pytest.raises(QuorumError, match="only server-2 is ready then, and etcd needs 2 of 3"):
        here.apply("server-1")
    assert touched(here) == set()


def test_a_cluster_is_not_begun_by_an_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
    bare = LabMaker(tmp_path)(3, 1)

    with pytest.raises(QuorumError, match="it takes a server whose API answers"):
        bare.apply("agent-1")
    assert touched(bare) == set()
    bare.apply("server-1")
    assert bare.world.voters == ["server-1"]


def test_a_name_that_no_host_has_is_told_with_those_that_there_are(here: Lab) -> None:
    with pytest.raises(InputError, match="no host is called agnt-1; there are: server-1, server-2"):
        scope_of(here.cluster, ["agnt-1"])


# What no scope makes right


def test_a_host_of_another_cluster_is_refused_whoever_is_named(here: Lab) -> None:
    """Its data is another cluster's, and none that was removed from this one."""
    other = here.machine("server-3")
    other.active, other.cluster_id = "inactive", "f" * 64
    del here.world.etcd[other.member]
    here.world.nodes.pop("server-3")

    for names in ((), ("server-3",), ("server-2",)):
        with pytest.raises(PreflightError, match="of another"):
            here.apply(*names)
    assert other.has_etcd
    assert touched(here) == set()


def test_no_second_cluster_is_begun_beside_agents_that_know_one(here: Lab) -> None:
    for number in (1, 2, 3):
        here.machine(f"server-{number}").lose_disk()
    here.world.etcd.clear()
    shutil.rmtree(here.cluster.secrets_folder)

    for names in ((), ("server-1",)):
        with pytest.raises(PreflightError, match="of which no server here has data"):
            here.apply(*names)
    assert here.world.initialised == 1


def test_nobody_joins_while_no_server_answers(here: Lab) -> None:
    here.machine("server-3").lose_disk()
    for name in ("server-1", "server-2"):
        here.world.unreachable.add(name)
    shutil.rmtree(here.cluster.secrets_folder)

    with pytest.raises(QuorumError, match="it takes a server whose API answers"):
        here.apply("server-3")
    assert touched(here) == set()
    assert not here.cluster.secrets_folder.exists()


def test_a_server_that_is_seen_down_is_none_that_others_can_restart_beside(here: Lab) -> None:
    """Its node counts as Ready for most of a minute still."""
    here.world.node_is_late.add("server-3")
    here.machine("server-3").active = "failed"
    here.change(k3s={"version": VERSION, "config": {"v": 4}})

    with pytest.raises(QuorumError, match="only server-2 is ready then, and etcd needs 2 of 3"):
        here.apply("server-1")
    assert touched(here) == set()


def test_a_named_host_that_does_not_answer_is_no_success(here: Lab) -> None:
    power_off(here, "agent-2")
    with pytest.raises(HostsUnreachableError, match="agent-2"):
        here.apply("agent-2")


def test_another_version_reaches_the_named_hosts_only(here: Lab) -> None:
    power_off(here, "server-3")
    for machine in here.world.machines.values():
        machine.version = "v1.36.3+k3s1"
        machine.files[paths.BINARY] = (b"an older one", 0o755)
    outcome = here.apply("agent-1")

    assert outcome.status is OutcomeStatus.APPLIED
    assert here.machine("agent-1").version == VERSION
    assert touched(here) == {"agent-1"}


def test_what_others_may_need_is_not_withdrawn(here: Lab) -> None:
    manifest = "/var/lib/rancher/k3s/server/manifests/xops-kube-vip.yaml"
    here.machine("server-1").files[manifest] = (b"kind: DaemonSet", 0o600)
    here.apply("server-1")
    assert here.world.withdrawn == []
    power_off(here, "agent-2")
    here.apply()
    assert here.world.withdrawn == []

    here.world.unreachable.clear()
    here.machine("agent-2").active = "active"
    here.apply()
    assert here.world.withdrawn == [manifest]


def test_a_host_out_of_scope_comes_and_goes_without_another_plan(here: Lab) -> None:
    here.change(k3s={"version": VERSION, "agent_config": {"v": 4}})
    before = here.steps_on("agent-1").plan().plan.digest
    power_off(here, "agent-2")

    assert here.steps_on("agent-1").plan().plan.digest == before
    here.machine("agent-2").holder = "another person"
    assert here.apply("agent-1").status is OutcomeStatus.APPLIED
