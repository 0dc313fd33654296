"""The embedded stack: how long a person waits for it, what a click costs, and what it holds.

start                 its servers from nothing; baseline: the same on SQLite
40 clicks at once     the slowest hundredth of them; baseline: the same on SQLite
first log             from the click to the first line of ours; baseline: the least flow there is
a call                signed in, through the door; baseline: Prefect's own server without either
make run              from nothing and with everything up; baseline: Terraform's own part of it
memory                of each server at rest
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import Log

from bench.rows import ROUNDS, Row, say
from bench.stream1 import Bare, Home, free_port, home
from xops.core.files.settings import ROOT
from xops.local import stack as local_stack
from xops.local import up
from xops.local.database import VARIABLE
from xops.local.stack import POOL, Stack
from xops.prefect_server import runs

CLICKS = 40
CALLS = 300
_FIRST_LOG_SECONDS = 60.0
_LATER = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}


def measure() -> list[Row]:
    """All of it; about ten minutes."""
    with home() as hand, home() as small, home() as ours:
        on_sqlite = {VARIABLE: f"sqlite:///{small.folder}/prefect.db"}
        start = Row("start of the stack", "on SQLite")
        clicks = Row(f"{CLICKS} clicks at once, p99", "on SQLite")
        start.theirs, clicks.theirs = _start_and_click(small, on_sqlite)
        small.xops("down")
        start.ours, clicks.ours = _start_and_click(ours, {})
        with _environment(ours, {}):
            found = local_stack.stack()
            calls, first_log, memory = _a_call(found), _first_log(found), _memory(found)
        ours.xops("down")
        bare = Bare(hand)
        return [start, clicks, calls, first_log, *_make_run(ours, bare), *memory]


@contextmanager
def _environment(of: Home, more: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update({**of.environ, **more})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _start_and_click(of: Home, more: dict[str, str]) -> tuple[list[float], list[float]]:
    with _environment(of, more):
        found = local_stack.stack()
        started = time.monotonic()
        up.bring_up(found, say)
        return [time.monotonic() - started], _click(found)


def _click(found: Stack) -> list[float]:
    """The slowest hundredth of clicks that were all taken; those refused are said."""
    with runs.client(found.profile) as prefect:
        deployment = prefect.read_deployment_by_name("detect-ecs-drift/detect-ecs-drift").id

    def click(_: int) -> tuple[int, float]:
        started = time.monotonic()
        answer = httpx.post(
            f"{found.api}/deployments/{deployment}/create_flow_run",
            json={"state": _LATER},
            auth=_signed_in(found),
            timeout=60,
        )
        return answer.status_code, time.monotonic() - started

    slowest = []
    for _ in range(ROUNDS):
        with ThreadPoolExecutor(CLICKS) as people:
            answers = list(people.map(click, range(CLICKS)))
        refused = sum(status != httpx.codes.CREATED for status, _ in answers)
        say(f"{found.database.kind}: {refused} of {CLICKS} clicks refused")
        slowest.append(sorted(taken for _, taken in answers)[int(CLICKS * 0.99)])
    return slowest


def _signed_in(found: Stack) -> tuple[str, str]:
    user, _, password = found.secret.partition(":")
    return user, password


def _first_log(found: Stack) -> Row:
    """From the click to the first line that a flow itself has written."""
    row = Row("first log after the click", "of an empty flow")
    with runs.client(found.profile) as prefect:
        flow = prefect.create_flow_from_name("hello")
        empty = prefect.create_deployment(
            flow, "hello", work_pool_name=POOL, entrypoint="bench/hello.py:hello", path=str(ROOT)
        )
        ours = prefect.read_deployment_by_name("provision-ecs/provision-ecs").id
        for _ in range(ROUNDS):
            row.theirs.append(_seconds_to_a_word(prefect, empty, "hello"))
            row.ours.append(_seconds_to_a_word(prefect, ours, "provision-ecs"))
        prefect.delete_deployment(empty)
    return row


def _seconds_to_a_word(prefect: SyncPrefectClient, deployment: UUID, flow: str) -> float:
    started = time.monotonic()
    run = prefect.create_flow_run_from_deployment(deployment)
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    while time.monotonic() - started < _FIRST_LOG_SECONDS:
        if any(map(_is_the_flow_s, prefect.read_logs(wanted))):
            taken = time.monotonic() - started
            _wait_for_end(prefect, run.id)
            return taken
        time.sleep(0.05)
    sys.exit(f"run {run.name} of {flow} has said nothing in {_FIRST_LOG_SECONDS:.0f} s")


def _is_the_flow_s(line: Log) -> bool:
    return line.name.startswith("xops") or line.message == "hello"


def _wait_for_end(prefect: SyncPrefectClient, run: UUID) -> None:
    while not ((state := prefect.read_flow_run(run).state) and state.is_final()):
        time.sleep(0.5)


def _a_call(found: Stack) -> Row:
    """A call that asks no database, so that what stands before it is what is measured."""
    row = Row("a call, signed in", "Prefect's own server, open", unit="ms")
    with tempfile.TemporaryDirectory() as folder, _open_server(Path(folder)) as address:
        for _ in range(ROUNDS):
            row.theirs.append(_milliseconds_a_call(address, None))
            row.ours.append(_milliseconds_a_call(found.ui, _signed_in(found)))
    return row


def _milliseconds_a_call(address: str, auth: tuple[str, str] | None) -> float:
    with httpx.Client(base_url=address, auth=auth) as client:
        client.get("/api/admin/version").raise_for_status()
        started = time.monotonic()
        for _ in range(CALLS):
            client.get("/api/admin/version")
        return (time.monotonic() - started) / CALLS * 1000


@contextmanager
def _open_server(folder: Path) -> Iterator[str]:
    port = free_port()
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    argv = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    server = subprocess.Popen(
        [*argv, "--no-services"],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(server, f"{address}/api/ready")
        yield address
    finally:
        server.terminate()
        server.wait()


def _wait_until_up(server: subprocess.Popen[bytes], url: str) -> None:
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up and server.poll() is None:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    sys.exit("Prefect's own server did not come up")


def _make_run(of: Home, bare: Bare) -> list[Row]:
    """`make run`'s work from nothing, then with everything up, and where its seconds go."""
    first = Row("make run, nothing up", "Terraform's plan and apply in it")
    again = Row("make run, everything up", "terraform plan")
    bare.apply()
    for row in (first, again):
        with _environment(of, {}):
            found = local_stack.stack()
            started = time.monotonic()
            up.bring_up(found, lambda _: None)
            deployed = time.monotonic()
            outcome = up.provision(found, lambda _: None).outcome
            ended = time.monotonic()
        parts = outcome["duration_seconds"]
        row.ours.append(ended - started)
        own = sum(parts[step] for step in ("plan", "apply") if step in parts)
        row.theirs.append(own if row is first else bare.plan())
        shown = ", ".join(f"{step} {taken:.1f}" for step, taken in parts.items())
        rest = ended - deployed - sum(parts.values())
        say(f"{row.name}: servers {deployed - started:.1f}, {shown}, the run around {rest:.1f} s")
    return [first, again]


def _memory(found: Stack) -> list[Row]:
    """Proportional set size: what is shared is counted once, in parts."""
    time.sleep(30)
    rows = []
    for service in found.services:
        process = service.process()
        if process is None:
            sys.exit(f"{service.name} does not run")
        top = psutil.Process(process.pid)
        held = sum(one.memory_full_info().pss for one in [top, *top.children(recursive=True)])
        rows.append(Row(f"memory of {service.name}", "", unit="MB", ours=[held / 1e6]))
    whole = sum(row.ours[0] for row in rows)
    return [*rows, Row("memory of the stack", "", unit="MB", ours=[whole])]
