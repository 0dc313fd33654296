"""What nobody else tells about a Prefect server, seen on a real one and told past it."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled, Late, Pending, Running, Suspended

from tests.embedded_aws import free_port
from tests.prefect_servers import home
from tests.processes import running
from tests.waiting import Eventually
from xops.core.errors import ExitCode
from xops.core.files.settings import ROOT
from xops.local.stack import POOL, Stack
from xops.prefect_server import runs, watch
from xops.prefect_server.profile import Profile

pytestmark = pytest.mark.xdist_group("prefect")

XOPS = str(ROOT / ".venv" / "bin" / "xops")
DEPLOYMENT = "close-records/close-records"
NOT_YET = datetime.now(UTC) + timedelta(days=1)
"""For the worker of the shared stack, which takes what is late by this."""


@pytest.fixture
def prefect(prefect_stack: Stack) -> Iterator[SyncPrefectClient]:
    with home(prefect_stack.home), runs.client(prefect_stack.profile) as connected:
        yield connected


def keys(stack: Stack, run: FlowRun, after: timedelta) -> set[str]:
    """What is wrong with the run if nothing happens for so long."""
    found = watch.look(stack.profile, datetime.now(UTC) + after)
    return {row.key.partition(" ")[0] for row in found if row.key.endswith(str(run.id))}


@pytest.mark.parametrize(
    ("states", "told", "soon", "later"),
    [
        ([Pending()], "pending", 9, 11),
        ([Late(scheduled_time=NOT_YET)], "late", 14, 16),
        ([Running()], "silent", 9, 11),
        ([Running(), Suspended(timeout_seconds=86400)], "unanswered", 239, 241),
    ],
    ids=["pending", "late", "silent", "unanswered"],
)
def test_a_run_that_nobody_would_hear_of_is_told_after_a_while(
    prefect_stack: Stack,
    prefect: SyncPrefectClient,
    states: list[State[Any]],
    told: str,
    soon: int,
    later: int,
) -> None:
    deployment = prefect.read_deployment_by_name(DEPLOYMENT)
    run = prefect.create_flow_run_from_deployment(deployment.id)
    for state in states:
        prefect.set_flow_run_state(run.id, state, force=True)
    assert keys(prefect_stack, run, timedelta(minutes=soon)) == set()
    assert keys(prefect_stack, run, timedelta(minutes=later)) == {told}
    prefect.set_flow_run_state(run.id, Cancelled(), force=True)
    assert keys(prefect_stack, run, timedelta(minutes=later)) == set()


def test_a_pool_that_nobody_serves_is_told_unless_a_person_has_paused_it(
    prefect_stack: Stack, prefect: SyncPrefectClient
) -> None:
    pool = watch.Pool.model_validate(prefect.read_work_pool(POOL).model_dump())
    now = datetime.now(UTC)

    def worker(status: str) -> watch.Worker:
        return watch.Worker(status=status, last_heartbeat_time=now)

    [never] = watch.of_pool(pool, [])
    assert (never.key, "none ever was" in never.body) == (f"worker {POOL}", True)
    [gone] = watch.of_pool(pool, [worker("OFFLINE")])
    assert f"{now:%Y-%m-%d %H:%M} UTC" in gone.body
    assert list(watch.of_pool(pool, [worker("OFFLINE"), worker("ONLINE")])) == []
    assert list(watch.of_pool(pool.model_copy(update={"is_paused": True}), [])) == []


class Receiver(BaseHTTPRequestHandler):
    """Takes notices as a chat does."""

    heard: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append(json.loads(body)["text"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[str]]]:
    heard: list[str] = []
    kind = type("Hearing", (Receiver,), {"heard": heard})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", heard
        server.shutdown()


def test_a_server_that_has_gone_is_told_once_without_it(
    tmp_path: Path, receiver: tuple[str, list[str]]
) -> None:
    url, heard = receiver
    environ = {
        "PATH": os.environ["PATH"],
        "XOPS_HOME": str(tmp_path),
        "XOPS_NOTICE_URL": url,
        "PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api",
    }
    for _ in range(2):
        done = subprocess.run(
            [XOPS, "watch", "--once"],
            env=environ, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False,
        )  # fmt: skip
        assert done.returncode == ExitCode.FINDINGS, done.stderr
        assert "does not answer" in done.stdout
    assert len(heard) == 1
    assert "the Prefect server does not answer" in heard[0]


def test_a_topic_that_is_none_is_said_before_anything_is_looked_at(tmp_path: Path) -> None:
    environ = {"XOPS_HOME": str(tmp_path), "XOPS_NOTICE_TOPIC_ARN": "arn:nonsense"}
    server = {"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api"}
    done = subprocess.run(
        [XOPS, "watch", "--once"],
        env={**environ, **server}, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == ExitCode.BAD_INPUT
    assert "variable XOPS_NOTICE_TOPIC_ARN: names no topic of SNS" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("variable", [None, "XOPS_NOTICE_URL", "XOPS_NOTICE_TOPIC_ARN"])
def test_the_stack_s_watch_tells_its_log_or_where_a_variable_says(
    tmp_path: Path,
    receiver: tuple[str, list[str]],
    eventually: Eventually,
    variable: str | None,
) -> None:
    """Here nothing runs at all; a variable that names nothing keeps nobody from hearing of it."""
    url, heard = receiver
    given = {variable: url} if variable else {}
    log = tmp_path / "log"
    environ = {"PATH": os.environ["PATH"], "XOPS_HOME": str(tmp_path), **given}
    argv = [sys.executable, "-m", "xops.local.watch", "--seconds", "0.2"]
    with log.open("w") as output, running(argv, cwd=ROOT, env=environ, stderr=output):
        told = "aws of the embedded stack is not well"
        to_log = variable != "XOPS_NOTICE_URL"
        eventually(lambda: told in (log.read_text() if to_log else " ".join(heard)), 60)
        assert (told in log.read_text()) is to_log
        assert ("notices go to this log" in log.read_text()) is (
            variable == "XOPS_NOTICE_TOPIC_ARN"
        )


def test_a_secret_that_is_refused_is_trouble_too(prefect_stack: Stack) -> None:
    other = Profile(prefect_stack.api, POOL, {"PREFECT_API_AUTH_STRING": "xops:guessed"})
    [told] = watch.look(other, datetime.now(UTC))
    assert told.key == "server"
    assert "does not let us in (401)" in told.body
