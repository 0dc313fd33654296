"""An apply on some hosts only: `--host`, and what is out of it."""

from pathlib import Path
from typing import Any

import pytest

from tests.contract.k3s.lab import Lab, LabMaker, host
from tests.k3s_release import VERSION
from xops.core.errors import InputError
from xops.core.lifecycle.steps import OutcomeStatus
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
    return {event.host for event in lab.world.events if event.what in ("put", "start", "prepare")}


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
    here.machine("server-3").host = here.cluster.host("server-3")
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
