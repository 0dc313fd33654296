"""Each process of the stack is killed in turn: the watch tells it, and `xops up` mends it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.prefect_servers import free_ports, home, http
from tests.waiting import Eventually
from xops.local import postgresql
from xops.local.down import stop_servers
from xops.local.services import read_record
from xops.local.stack import SIGN_IN_FILE, Stack, stack

BRING_UP = """
from xops.local.stack import stack
from xops.local.up import bring_up
bring_up(stack(), print)
"""
"""What `xops up` does before it provisions, which takes minutes."""

SERVERS = ("aws", "postgresql", "prefect", "receiver", "dispatcher", "worker", "watch")
POSTGRES = (
    "io worker", "checkpointer", "background writer", "walwriter", "autovacuum launcher",
    "logical replication launcher", "xops postgres [local]", "xops_github xops_github [local]",
)  # fmt: skip
"""What PostgreSQL starts, by the titles that it gives: of each kind one is killed."""


class Installation:
    """One that is up, as its records and the machine's processes show it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder
        self.ports = free_ports()

    def up(self) -> str:
        """Bring it up; what that said."""
        with home(self.home, **self.ports):
            done = subprocess.run(
                [sys.executable, "-c", BRING_UP],
                env=dict(os.environ), capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def stack(self) -> Stack:
        with home(self.home, **self.ports):
            return stack()

    def look_fast(self) -> None:
        """Have the watch look every half second."""
        watch = self.stack.watch
        watch.stop()
        fast = replace(watch, argv=[*watch.argv, "--seconds", "0.5"])
        assert fast.launch()

    def leader(self, name: str) -> psutil.Process:
        record = read_record(self.home / "services", name)
        assert record is not None, name
        return psutil.Process(record.process.pid)

    def processes(self) -> list[tuple[str, psutil.Process]]:
        """Every process with its server's name and, of what a server has started, its title."""
        found = []
        for name in SERVERS:
            leader = self.leader(name)
            found.append((name, leader))
            for child in leader.children(recursive=True):
                with suppress(psutil.NoSuchProcess):  # it ended between the two looks
                    found.append((f"{name}: {title(child)}", child))
        return found

    def child(self, kind: str) -> psutil.Process:
        rows = self.processes()
        return next(row for name, row in rows if name.startswith(f"postgresql: {kind}"))

    def problems(self) -> list[str]:
        """What is not as it is in a stack that is up."""
        here, data = self.stack, postgresql.data_folder(self.home)
        ours = {row.pid for _, row in self.processes()}
        strays = [
            f"process {row.pid} works in {data}"
            for row in psutil.process_iter(["cwd"])
            if row.info["cwd"] == str(data) and row.pid not in ours
        ]
        ill = [service.name for service in here.services if not service.is_up()]
        records = {path.stem for path in (self.home / "services").glob("*.json")}
        left = [path.name for path in (self.home / "services").iterdir() if path.name[0] == "."]
        return [*strays, *ill, *(records ^ set(SERVERS)), *left]

    def mark(self) -> Callable[[], object]:
        """Leave something in the database; reads it."""
        with home(self.home), http(self.stack) as client:
            body = {"name": "kept", "value": "over everything"}
            client.post("/variables/", json=body).raise_for_status()

        def read() -> object:
            with home(self.home), http(self.stack) as client:
                return client.get("/variables/name/kept").raise_for_status().json()["value"]

        return read


def title(process: psutil.Process) -> str:
    return " ".join(process.cmdline()).removeprefix("postgres: ").strip()


def await_health(installation: Installation, eventually: Eventually) -> None:
    problems: list[str] = []

    def is_well() -> bool:
        problems[:] = installation.problems()
        return not problems

    try:
        eventually(is_well, 30)
    finally:
        assert problems == []


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("home"))
    try:
        made.up()
        yield made
    finally:
        with home(made.home):
            stop_servers(made.stack)


@pytest.fixture(scope="module")
def marked(installation: Installation) -> Callable[[], object]:
    return installation.mark()


def test_every_process_is_one_that_is_killed_here(installation: Installation) -> None:
    known = (*SERVERS, *(f"postgresql: {kind}" for kind in POSTGRES))
    found = [name for name, _ in installation.processes()]
    assert {name for name in found if not name.startswith(known)} == set()
    assert {kind for kind in known if not any(name.startswith(kind) for name in found)} == set()


@pytest.mark.parametrize("name", SERVERS)
def test_a_killed_server_is_told_and_started_again_with_what_it_had(
    installation: Installation,
    marked: Callable[[], object],
    eventually: Eventually,
    name: str,
) -> None:
    log, secret = installation.stack.watch.log, (installation.home / SIGN_IN_FILE).read_text()
    installation.look_fast()
    before = log.read_text()
    others = {kind: row.pid for kind, row in installation.processes()}
    installation.leader(name).kill()
    if name != "watch":
        told = f"{name} of the embedded stack is not well"
        eventually(lambda: told in log.read_text().removeprefix(before), 60)

    said = installation.up()

    assert f"starting {name}" in said
    for other in SERVERS:
        if other != name:
            assert installation.leader(other).pid == others[other]
            assert f"found {other}" in said
    await_health(installation, eventually)
    assert marked() == "over everything"
    assert (installation.home / SIGN_IN_FILE).read_text() == secret


@pytest.mark.parametrize("kind", POSTGRES)
def test_what_postgresql_has_started_is_started_again_by_it(
    installation: Installation, marked: Callable[[], object], eventually: Eventually, kind: str
) -> None:
    os.kill(installation.child(kind).pid, signal.SIGKILL)
    said = installation.up()
    assert "starting " not in said
    await_health(installation, eventually)
    eventually(lambda: installation.child(kind).is_running(), 30)
    assert marked() == "over everything"


def test_after_all_were_killed_at_once_everything_is_there_again(
    installation: Installation, marked: Callable[[], object], eventually: Eventually
) -> None:
    """As a reboot, and the kernel out of memory."""
    every = [process for _, process in installation.processes()]
    for process in every:
        with suppress(psutil.NoSuchProcess):  # its parent has taken it along
            process.kill()
    installation.up()
    await_health(installation, eventually)
    assert {row for _, row in installation.processes()}.isdisjoint(every)
    assert marked() == "over everything"


def test_the_watch_is_one_small_process(installation: Installation, eventually: Eventually) -> None:
    watch = installation.leader("watch")
    eventually(lambda: watch.children() == [])  # between two looks, which ask PostgreSQL
    assert watch.net_connections() == []
    assert watch.memory_full_info().pss < 64 * 1024**2


def test_the_watch_ends_before_what_it_looks_at(installation: Installation) -> None:
    """Nobody is told of servers that `xops down` has stopped."""
    installation.look_fast()
    before = installation.stack.watch.log.read_text()
    with home(installation.home, **installation.ports):
        done = subprocess.run(
            [sys.executable, "-c", "from xops.cli import main; main()", "down", "--json"],
            env=dict(os.environ), capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
    stopped = ["dispatcher", "watch", "worker", "prefect", "receiver", "postgresql", "aws"]
    assert json.loads(done.stdout) == {"stopped": stopped}, done.stderr
    assert installation.stack.watch.log.read_text() == before
    installation.up()
