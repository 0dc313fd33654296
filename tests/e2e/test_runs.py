"""Runs on the worker: cancelled from the UI, killed with their worker, drifted."""

import json
import re
import time
from collections.abc import Callable

import psutil
import pytest

from tests.e2e.prefect_api import PrefectApi
from tests.e2e.stack import SEVERAL_APPLIES, Embedded
from tests.e2e.test_faults import Aws, start
from tests.processes import kill_all
from xops.local.services import START_DEADLINE, answers

PROVISION = "provision-ecs/provision-ecs"
APPLY = {"request": {"environment": "local"}, "apply": True}

pytestmark = pytest.mark.timeout(SEVERAL_APPLIES)


@pytest.fixture
def aws(stack: Embedded) -> Aws:
    return Aws(stack)


@pytest.fixture
def prefect(stack: Embedded) -> PrefectApi:
    return PrefectApi(stack)


def hold_an_apply(aws: Aws, prefect: PrefectApi, seconds: int) -> str:
    """Start a run whose apply has one change that AWS is slow to answer; the run's id."""
    aws.drift(1)
    aws.fail("logs", "PutRetentionPolicy", delay_seconds=seconds)
    run_id = prefect.start(PROVISION, APPLY)
    prefect.until(lambda: not aws.remaining_faults(), "the slow call")
    assert aws.locked()
    return run_id


def test_a_run_cancelled_during_its_apply_releases_the_lock_and_ends_cancelled(
    stack: Embedded, aws: Aws, prefect: PrefectApi
) -> None:
    run_id = hold_an_apply(aws, prefect, 20)
    prefect.cancel(run_id)
    prefect.wait(run_id, "Cancelled")
    prefect.until(lambda: not aws.locked(), "the lock released")
    prefect.wait(prefect.start(PROVISION, APPLY), "Completed")
    assert aws.retention() == 7
    assert stack.evidence()[-1]["status"] in ("applied", "unchanged")


def test_a_killed_worker_leaves_terraform_to_finish_and_the_next_run_converges(
    stack: Embedded, aws: Aws, prefect: PrefectApi, eventually: Callable[..., object]
) -> None:
    hold_an_apply(aws, prefect, 10)
    record = json.loads((stack.home / "services" / "worker.json").read_text())
    worker = psutil.Process(record["pid"])
    terraform = [p for p in worker.children(recursive=True) if "terraform" in p.name()]
    victims = [p for p in [worker, *worker.children(recursive=True)] if p not in terraform]
    kill_all(victims)
    eventually(lambda: not aws.locked(), 90)
    assert aws.retention() == 7

    done = stack.xops("up", "--once")
    assert done.returncode == 0, done.stderr
    assert "starting worker" in done.stderr
    assert "found aws" in done.stderr
    assert "Nothing to change" in done.stdout


SERVERS = ("aws", "postgresql", "prefect", "receiver", "dispatcher", "worker", "watch")


def of_the_stack(stack: Embedded) -> list[psutil.Process]:
    """Every process of the stack, with the runs and their Terraform."""
    records = [json.loads(file.read_text()) for file in (stack.home / "services").glob("*.json")]
    servers = [psutil.Process(record["pid"]) for record in records]
    assert len(servers) == len(SERVERS)
    return [each for server in servers for each in (server, *server.children(recursive=True))]


@pytest.mark.timeout(900)
def test_the_whole_stack_killed_during_an_apply_comes_back_and_the_next_run_goes_on(
    stack: Embedded, aws: Aws, prefect: PrefectApi
) -> None:
    """As when the machine loses power. The embedded AWS forgets everything with it."""
    run_id = hold_an_apply(aws, prefect, 60)
    assert prefect.held("ecs-local") == 1
    victims = of_the_stack(stack)
    kill_all(victims)

    with start(stack, "up", "--once") as up:
        wait_until_ready(stack)
        ready = time.monotonic()
        prefect.until(lambda: prefect.held("ecs-local") == 0, "the slot is free")
        assert time.monotonic() - ready < 60
        output = up.communicate(timeout=600)[0]
    assert up.returncode == 0, output
    assert "starting postgresql" in output
    assert re.search(r"Created \d+ resources", output)
    assert prefect.run(run_id)["id"] == run_id, "the database has lost nothing"
    assert stack.json("ecs", "drift", "-e", "local")["status"] == "in_sync"


def wait_until_ready(stack: Embedded) -> None:
    """Until the Prefect server that is being started answers."""
    give_up = time.monotonic() + START_DEADLINE
    while not answers(f"{stack.ui}/api/ready"):
        assert time.monotonic() < give_up
        time.sleep(0.2)


def test_drift_found_by_the_flow_is_an_artifact_and_an_event(aws: Aws, prefect: PrefectApi) -> None:
    aws.drift(3)
    run_id = prefect.start(
        "detect-ecs-drift/detect-ecs-drift", {"request": {"environment": "local"}}
    )
    prefect.wait(run_id, "Completed")
    shown = prefect.artifacts(run_id)["plan-ecs-local"]["data"]
    plan = shown.replace("\n    … ", "")  # a long line goes on in the next
    assert "retention_in_days: 3 -> 7" in plan
    assert "changed outside Terraform" in plan
    found = prefect.until(lambda: prefect.events("xops.ecs.drifted"), "the event")
    assert found[0]["resource"]["prefect.resource.id"] == "xops.ecs/local"
    prefect.wait(prefect.start(PROVISION, APPLY), "Completed")
    assert aws.retention() == 7
