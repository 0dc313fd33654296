"""Prefect in production as deployments/server/ puts it up: two API processes behind a proxy."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.integration.prefect_server.production import (
    NAME,
    SECRET,
    Production,
    missing_programs,
    production,
    start_worker,
)
from tests.integration.prefect_server.slow_flow import SLOT
from tests.postgres_server import Postgres
from tests.waiting import PATIENCE
from xops.core.errors import ExitCode
from xops.core.files.settings import ROOT

XOPS = str(ROOT / ".venv" / "bin" / "xops")
STEPS = 30
DEADLINE = 120.0 * PATIENCE

pytestmark = [
    pytest.mark.timeout(300, func_only=True),
    pytest.mark.skipif(
        bool(missing_programs()) and not os.environ.get("XOPS_REQUIRE_ALL"),
        reason=f"not installed: apt-get install {' '.join(missing_programs())}",
    ),
]


@pytest.fixture(scope="module")
def server(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    postgres.sql("CREATE DATABASE prefect")
    with production(tmp_path_factory.mktemp("production"), postgres, "prefect") as made:
        yield made


@pytest.fixture(scope="module")
def api(server: Production) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def deploy(server: Production, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = server.environ("worker.env")
    return server.run(XOPS, "deploy", *arguments, environ=environ)


def seen[Found](look: Callable[[], Found | None], what: str) -> Found:
    give_up = time.monotonic() + DEADLINE
    while not (found := look()):
        assert time.monotonic() < give_up, f"not seen within {DEADLINE:.0f} s: {what}"
        time.sleep(0.25)
    return found


def test_one_command_sets_it_up_after_showing_what_it_would_do(
    server: Production, api: httpx.Client
) -> None:
    planned = deploy(server)
    assert planned.returncode == ExitCode.FINDINGS, planned.stdout + planned.stderr
    assert "+ work pool xops-runs" in planned.stdout
    assert "  deployment provision-ecs/provision-ecs\n" in planned.stdout  # one of those alike
    assert api.post("/api/deployments/count", json={}).json() == 0

    done = deploy(server, "--apply")
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    named = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert api.post("/api/deployments/count", json={}).json() == len(named) > 0

    again = deploy(server)
    assert again.returncode == ExitCode.DONE, again.stdout
    assert "nothing to change" in again.stdout


def test_what_the_server_cannot_tell_is_told_past_it(server: Production) -> None:
    argv, environ = server.unit("xops-watch.service")
    done = server.run(*argv, "--once", "--json", environ=environ)
    assert done.returncode == ExitCode.FINDINGS, done.stderr
    assert [row["key"] for row in json.loads(done.stdout)] == ["worker xops-runs"]
    assert "No worker of the pool xops-runs" in done.stderr  # where notices go without an address


def test_the_proxy_takes_one_name_one_origin_and_withholds_routes(server: Production) -> None:
    user, _, password = SECRET.partition(":")
    with httpx.Client(base_url=server.url, verify=server.trusted(), timeout=30) as client:
        signed = (user, password)
        assert client.get("/api/health").json() is True
        assert client.get("/api/flows/count").status_code == 401
        assert client.post("/api/flows/count", json={}, auth=signed).status_code == 200
        for origin in ("https://evil.example", f"https://{NAME}", "null"):
            asked = client.post(
                "/api/flows/count", json={}, headers={"Origin": origin}, auth=signed
            )
            assert asked.status_code == 403, origin
        for path in ("/api/admin/version", "/api/admin/settings", "/api/admin/database/clear"):
            assert client.post(path, json={"confirm": True}, auth=signed).status_code == 403
        assert client.get("/api/admin/settings", auth=signed).status_code == 403
        assert client.get("/api/admin/version", auth=signed).status_code == 200  # as runs do
        other = client.get("/api/health", headers={"Host": "evil.example"})
        assert other.status_code == 421
        assert "Strict-Transport-Security" in client.get("/").headers
    # Behind the proxy the door is the same.
    direct = f"http://127.0.0.1:{server.ports['api-1']}/api/flows/count"
    assert httpx.post(direct, json={}, auth=(user, password)).status_code == 403


def start_slow_run(api: httpx.Client) -> str:
    flow = api.post("/api/flows/", json={"name": "slow"}).raise_for_status().json()
    row = {
        "name": "slow",
        "flow_id": flow["id"],
        "entrypoint": "tests/integration/prefect_server/slow_flow.py:slow",
        "work_pool_name": "xops-runs",
        "pull_steps": [
            {"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}
        ],
        "enforce_parameter_schema": False,
    }
    made = api.post("/api/deployments/", json=row).raise_for_status().json()
    run = api.post(
        f"/api/deployments/{made['id']}/create_flow_run", json={"parameters": {"steps": STEPS}}
    )
    return str(run.raise_for_status().json()["id"])


def steps_of(api: httpx.Client, run: str) -> list[str]:
    wanted = {"logs": {"flow_run_id": {"any_": [run]}}, "limit": 200}
    rows = api.post("/api/logs/filter", json=wanted).raise_for_status().json()
    return [row["message"] for row in rows if row["message"].startswith("step ")]


def test_a_run_goes_on_while_one_of_two_api_processes_is_killed(
    server: Production, api: httpx.Client
) -> None:
    def state() -> dict[str, Any]:
        return dict(api.get(f"/api/flow_runs/{run}").raise_for_status().json()["state"])

    with ExitStack() as stack:
        start_worker(stack, server)
        run = start_slow_run(api)
        seen(lambda: len(steps_of(api, run)) > 2, "the run's first steps")
        held = api.get(f"/api/v2/concurrency_limits/{SLOT}").json()
        server.processes["api-1"].send_signal(signal.SIGKILL)
        seen(lambda: state()["type"] in ("COMPLETED", "FAILED", "CRASHED"), "the end of the run")
    assert held["active_slots"] == 1
    assert state()["type"] == "COMPLETED", state()
    # A run's last lines reach the server after its last state.
    every = {f"step {number} of {STEPS}" for number in range(STEPS)}
    seen(lambda: set(steps_of(api, run)) == every, "every line of the run's log")
    limit = api.get(f"/api/v2/concurrency_limits/{SLOT}").raise_for_status().json()
    assert limit["active_slots"] == 0
    assert "run" in server.log("worker")


def test_no_process_asks_a_redis_that_it_was_not_told_of(server: Production) -> None:
    """Prefect's parts have an address each, and where none is set ask this machine."""
    for name in ("api-1", "api-2", "services"):
        assert "6379" not in server.log(name), name


def test_a_backup_brings_everything_back(
    server: Production, api: httpx.Client, postgres: Postgres, tmp_path: Path
) -> None:
    """As the how-to says: the database's dump, and the key that encrypts block documents."""
    before = api.post("/api/block_documents/filter", json={"include_secrets": True}).json()
    dump = tmp_path / "prefect.dump"
    postgres.dump("prefect", dump)
    postgres.sql("CREATE DATABASE restored")
    postgres.restore("restored", dump)

    server_again = Production(
        server.folder, server.database.replace("/prefect", "/restored"), server.ports, server.key
    )
    argv, environ = server_again.unit("xops-prefect-api@.service", str(server.ports["api-1"]))
    log = (tmp_path / "restored.log").open("wb")
    with log, subprocess.Popen(argv, env=environ, cwd=ROOT, stdout=log, stderr=log) as process:
        try:
            address = f"http://127.0.0.1:{server.ports['api-1']}/api"
            seen(lambda: _answers(f"{address}/ready"), "the restored server")
            with server.client() as client:  # the door takes the names it is known by
                after = client.post(
                    f"{address}/block_documents/filter",
                    json={"include_secrets": True},
                    headers={"Host": f"{NAME}:{server.ports['proxy']}"},
                ).raise_for_status()
        finally:
            process.terminate()
    assert [row["data"] for row in after.json()] == [row["data"] for row in before]
    assert before


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def test_two_processes_do_not_start_on_what_is_kept_in_memory(server: Production) -> None:
    """Each would keep events, orders and slots of its own: refused, with the variable's name."""
    argv, environ = server.unit("xops-prefect-api@.service", "1")
    for name in (
        "PREFECT_SERVER_DOCKET_URL",
        "PREFECT_SERVER_EVENTS_MESSAGING_BROKER",
        "PREFECT_SERVER_EVENTS_MESSAGING_CACHE",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE",
        "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE",
    ):
        less = {key: value for key, value in environ.items() if key != name}
        done = server.run(*argv, environ=less)
        assert done.returncode == ExitCode.FAILED, done.stdout
        assert name in done.stderr
        assert "Traceback" not in done.stderr
