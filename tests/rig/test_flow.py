"""The flow bootstrap-k3s on a real Prefect server: cancelled half-way, run again, seen complete."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.objects import State
from prefect.states import Cancelling

from tests.prefect_servers import home, http, running_server
from tests.rig.clusters import TestCluster
from tests.rig.conftest import MakeCluster, MakeRig
from tests.waiting import PATIENCE
from xops.local.stack import Stack
from xops.prefect_server import runs
from xops.prefect_server import setup as prefect_setup

pytestmark = [pytest.mark.xdist_group("rig"), pytest.mark.timeout(400)]

DEADLINE = 400.0 * PATIENCE


def until[Found](look: Callable[[], Found | None], what: str) -> Found:
    give_up = time.monotonic() + DEADLINE
    while not (found := look()):
        assert time.monotonic() < give_up, f"not seen within {DEADLINE:.0f} s: {what}"
        time.sleep(0.5)
    return found


@pytest.fixture
def cluster(make_rig: MakeRig, make_cluster: MakeCluster) -> TestCluster:
    return make_cluster(make_rig(servers=1, agents=0))


@pytest.fixture
def servers(cluster: TestCluster) -> Iterator[Stack]:
    """A Prefect server and a worker that know where the cluster's files are."""
    release = {"XOPS_K3S_LOCK": str(cluster.lock), "XOPS_FLOW_FILES": str(cluster.file.parent)}
    with home(cluster.home), running_server(cluster.home, **release) as found:
        prefect_setup.set_up(found.profile)
        found.worker.launch()
        found.worker.wait()
        yield found


def start(servers: Stack, cluster: TestCluster, *, apply: bool) -> UUID:
    parameters = {"request": {"cluster": str(cluster.file)}, "apply": apply}
    return runs.start(servers.profile, "bootstrap-k3s/bootstrap-k3s", parameters)


def end(servers: Stack, run_id: UUID) -> State[Any]:
    """The state in which the run ends."""

    def look() -> State[Any] | None:
        with runs.client(servers.profile) as prefect:
            state = prefect.read_flow_run(run_id).state
        return state if state and state.is_final() else None

    return until(look, "the end of the run")


def said(servers: Stack, text: str) -> bool:
    with http(servers) as client:
        rows = client.post("/logs/filter", json={"limit": 200}).raise_for_status().json()
    return any(text in row["message"] for row in rows)


def artifacts(servers: Stack, run_id: UUID) -> set[str]:
    with http(servers) as client:
        wanted = {"artifacts": {"flow_run_id": {"any_": [str(run_id)]}}}
        rows = client.post("/artifacts/filter", json=wanted).raise_for_status().json()
    return {row["key"] for row in rows if row["key"]}


def test_cancelled_half_way_then_run_again(servers: Stack, cluster: TestCluster) -> None:
    planned = start(servers, cluster, apply=False)
    assert end(servers, planned).name == "Planned"
    assert "plan-k3s-rig" in artifacts(servers, planned)
    assert "evidence-k3s-rig" not in artifacts(servers, planned)

    run_id = start(servers, cluster, apply=True)
    until(lambda: said(servers, "server-1: binary brought"), "the upload")
    with runs.client(servers.profile) as prefect:
        prefect.set_flow_run_state(run_id, Cancelling(), force=True)
    assert end(servers, run_id).name == "Cancelled"
    assert artifacts(servers, run_id) >= {"plan-k3s-rig", "apply-k3s-rig"}

    again = start(servers, cluster, apply=True)
    state = end(servers, again)
    assert state.name in ("Applied", "Unchanged"), state.message
    assert cluster.voters() == {"server-1"}
    # K3S goes on by itself after a cancel, so that little may be left for the second run.
    assert artifacts(servers, again) >= {"plan-k3s-rig", "evidence-k3s-rig"}
