"""Signed deliveries while receiver and dispatcher are killed at random, and what came of them.

GitHub is the server of these tests, which lists what it has sent. Receiver, dispatcher, inbox and
Prefect are the real ones. Nothing carries out the runs: that they were created is what is counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import batched, cycle
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.github_hooks import Hook
from tests.github_server import GitHubServer
from tests.integration.github.dispatch.conftest import Server
from xops.core.files.settings import ROOT
from xops.github.inbox.inbox import DeliveryState, Inbox
from xops.github.policy import GitHubPolicy
from xops.github.reconcile import Turn, reconcile

REPOSITORY = "acme/platform"
DEPLOYMENTS = ("plan", "facts", "second")
SCHEMA = {
    "title": "Parameters",
    "type": "object",
    "properties": {"delivery": {"type": "string", "title": "delivery", "position": 0}},
    "required": ["delivery"],
}
_DISPATCH = (
    "import os, sys\n"
    "from xops.core.rendering import render_logs\n"
    "from xops.github.dispatch.dispatcher import Pace\n"
    "from xops.prefect_server.dispatch import run\n"
    "render_logs()\n"
    "run(os.environ, Pace(lease_seconds=float(sys.argv[1])))\n"
)


@dataclass(frozen=True)
class Size:
    """How much is sent, and how often a process is killed.

    Attributes:
        deliveries: each with a GUID of its own.
        duplicates: the share of them that is sent twice.
        kills: of receiver and dispatcher together.
        a_second: how many are sent at most.
        batch: how many at once.
        backlog: how many may wait for their runs before no more are sent.
        lease_seconds: after which the deliveries of a dispatcher that was killed are another's.
    """

    deliveries: int
    kills: int
    duplicates: float = 0.05
    a_second: float = 100.0
    batch: int = 30
    backlog: int = 400
    lease_seconds: float = 10.0


SHORT = Size(deliveries=300, kills=4)
LONG = Size(deliveries=10_000, kills=20, batch=50, lease_seconds=60.0)


class Kept:
    """A process that is started again whenever it has ended."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self._argv, self._environ, self._log = argv, environ, log
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.starts = 0
        self._process = self._start()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def _start(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._argv, env=dict(self._environ), cwd=ROOT, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def _keep(self) -> None:
        while True:
            self._process.wait()
            with self._lock:
                if self._ended.is_set():
                    return
                self._process = self._start()

    def kill(self) -> None:
        """SIGKILL, at whatever it is."""
        with self._lock:
            self._process.kill()

    def end(self) -> int:
        """SIGTERM; how it has ended."""
        with self._lock:
            self._ended.set()
            self._process.terminate()
        try:
            return self._process.wait(60)
        finally:
            self._process.kill()
            self._keeper.join(10)


@contextmanager
def kept(argv: Sequence[str], environ: Mapping[str, str], log: Path) -> Iterator[Kept]:
    """For as long as the block goes on; it must end by itself when it is told to."""
    process = Kept(argv, environ, log)
    code = None
    try:
        yield process
    finally:
        code = process.end()
    assert code == 0, f"{argv} ended with {code}: {log.read_text(errors='replace')[-2000:]}"


@dataclass
class Result:
    """What was counted.

    Attributes:
        lost: in the hook's own list, and without a row.
        twice: runs beyond the first, by delivery and deployment, as Prefect lists them.
        absent: runs that a delivery asked for and that Prefect does not list.
        strange: runs that nothing has asked for.
        unsent: events that wait in the outbox.
    """

    size: Size
    seed: int = 0
    lost: int = 0
    twice: int = 0
    absent: int = 0
    strange: int = 0
    unsent: int = 0
    runs: int = 0
    failed_at_first: int = 0
    redelivered: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    attempts_beyond_first: int = 0
    seconds: float = 0.0
    states: Mapping[str, int] = field(default_factory=dict)

    def summary(self) -> str:
        """For people."""
        size = self.size
        return (
            f"{size.deliveries} deliveries, {size.duplicates:.0%} of them sent twice,"
            f" {self.kills.total()} kills ({dict(self.kills)}), {self.seconds:.0f} s:"
            f" lost {self.lost}, run twice {self.twice}, without their run {self.absent},"
            f" runs that nobody asked for {self.strange}; {self.runs} runs on Prefect,"
            f" {self.failed_at_first} deliveries failed at first and {self.redelivered} were sent"
            f" again in one turn, {self.attempts_beyond_first} attempts beyond the first,"
            f" {self.unsent} events unsent, states {dict(self.states)}, seed {self.seed}"
        )


def write_policy(folder: Path, github: GitHubServer, hook: Hook, flow: str) -> Path:
    """Which deliveries lead to which deployments; two of them are of one flow."""
    parameters = {"delivery": "{id}"}
    routes: list[dict[str, Any]] = [
        {"event": "pull_request", "actions": ["opened"], "deployment": f"{flow}/plan"},
        {"event": "push", "paths": ["terraform/"], "deployment": f"{flow}/facts"},
        {"event": "push", "deployment": f"{flow}/second"},
    ]
    policy = {
        "apiVersion": "xops/v1",
        "api_url": github.url,
        "repositories": [REPOSITORY],
        "hook_id": hook.id,
        "hook_of": REPOSITORY,
        "routes": [{**route, "parameters": parameters} for route in routes],
    }
    file = folder / "github.yaml"
    file.write_text(yaml.safe_dump(policy))
    return file


def payload(number: int) -> tuple[str, bytes]:
    """Event and body of one; of ten, seven lead to a run, two to two, and one to nothing."""
    common = {
        "repository": {"full_name": REPOSITORY},
        "organization": {"login": "acme"},
        "sender": {"login": "ada", "type": "User"},
        "padding": "x" * 4000,
    }
    sha = f"{number:040x}"
    kind = number % 10
    if kind == 0:
        return "star", json.dumps({"action": "created", **common}).encode()
    if kind < 3:
        commits = [{"added": ["terraform/main.tf"], "removed": [], "modified": []}]
        moved = {"ref": "refs/heads/main", "before": sha, "after": sha, "commits": commits}
        return "push", json.dumps({**moved, **common}).encode()
    branch = {"ref": "topic", "sha": sha}
    pull = {"number": number, "head": branch, "base": branch, "merged": False}
    return "pull_request", json.dumps({"action": "opened", "pull_request": pull, **common}).encode()


ASKED_FOR = {"pull_request": ("plan",), "push": ("facts", "second"), "star": ()}


@dataclass
class Run:
    """One run of it all. The processes are there, and nothing was sent yet."""

    size: Size
    github: GitHubServer
    hook: Hook
    inbox: Inbox
    server: Server
    flow: str
    processes: Mapping[str, Kept]
    environ: Mapping[str, str]
    chance: random.Random
    result: Result

    async def go(self) -> Result:
        """Send, kill, wait, reconcile once, wait, count."""
        began = time.monotonic()
        await self._send_and_kill()
        await self._settled()
        turn = await self._reconcile()
        self.result.redelivered = turn.redelivered
        await asyncio.to_thread(self.github.hooks.wait, 120)
        await self._settled()
        self.result.seconds = time.monotonic() - began
        await self._count()
        return self.result

    async def _send_and_kill(self) -> None:
        size = self.size
        moments = self.chance.sample(range(size.deliveries // size.batch), size.kills)
        # Both as often as each other, at moments of chance.
        victims = dict(zip(moments, cycle(sorted(self.processes)), strict=False))
        bodies = map(payload, range(size.deliveries))
        for index, some in enumerate(batched(bodies, size.batch)):
            due = time.monotonic() + size.batch / size.a_second
            sending = asyncio.to_thread(
                self.github.hooks.flood, self.hook, some, lines=8, duplicates=size.duplicates,
                shuffled=self.chance,
            )  # fmt: skip
            if index in victims:
                sent, _ = await asyncio.gather(sending, self._kill(victims[index]))
            else:
                sent = await sending
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if all(one.failed for one in sent):  # more would be lost in the same way
                await self.until_receiving()
            await self._waiting_below(size.backlog)
        self.result.failed_at_first = sum(one.failed for one in self.github.hooks.sent)

    async def _kill(self, name: str) -> None:
        await asyncio.sleep(self.chance.uniform(0.0, 0.3))
        self.processes[name].kill()
        self.result.kills[name] += 1

    async def _waiting_below(self, count: int, seconds: float = 900.0) -> None:
        async with asyncio.timeout(seconds):
            while (await self.inbox.counts())[DeliveryState.RECEIVED] >= count:
                await asyncio.sleep(0.1)

    async def _settled(self) -> None:
        """Until nothing waits for its runs, and no event to be sent."""
        await self._waiting_below(1)
        async with asyncio.timeout(120):
            while await self.inbox.pending_events(1):
                await asyncio.sleep(0.1)

    async def _reconcile(self) -> Turn:
        await self.until_receiving()
        policy = GitHubPolicy.load(environ=self.environ)
        most = self.size.deliveries
        return await asyncio.to_thread(reconcile, policy, self.environ, most=most)

    async def until_receiving(self) -> None:
        """Until the receiver is there again, should it have been killed last."""
        address = self.hook.url.replace("/github", "/readyz")
        async with asyncio.timeout(60), httpx.AsyncClient() as client:
            while True:
                with suppress(httpx.HTTPError):
                    if (await client.get(address)).is_success:
                        return
                await asyncio.sleep(0.05)

    async def _count(self) -> None:
        result, sent = self.result, {one.guid: one.event for one in self.github.hooks.sent}
        assert len(sent) == self.size.deliveries
        result.lost = len(sent.keys() - await self.inbox.known(sent))
        wanted = {(guid, name) for guid, event in sent.items() for name in ASKED_FOR[event]}
        runs = Counter(await asyncio.to_thread(self._runs))
        result.runs = runs.total()
        result.twice = sum(count - 1 for count in runs.values())
        result.absent = len(wanted - runs.keys())
        result.strange = len(runs.keys() - wanted)
        result.unsent = len(await self.inbox.pending_events(1000))
        rows = await self.inbox.latest(limit=2 * self.size.deliveries)
        result.attempts_beyond_first = sum(max(0, row.attempts - 1) for row in rows)
        result.states = {str(state): count for state, count in (await self.inbox.counts()).items()}

    def _runs(self) -> Iterator[tuple[str, str]]:
        """Delivery and deployment of each run that Prefect lists."""
        for name in DEPLOYMENTS:
            path = f"/deployments/name/{self.flow}/{name}"
            identity = self.server.api.get(path).raise_for_status().json()["id"]
            for run in self.server.runs(identity):
                yield run["parameters"]["delivery"], name


def argv_of(port: int, size: Size) -> dict[str, list[str]]:
    """How the processes are started."""
    serve = [sys.executable, "-m", "xops.cli", "github", "serve", "--port", str(port)]
    dispatch = [sys.executable, "-c", _DISPATCH, str(size.lease_seconds)]
    return {"receiver": serve, "dispatcher": dispatch}


def environ_of(home: Path, policy: Path, inbox: str, more: Mapping[str, Any]) -> dict[str, str]:
    """What both processes are told."""
    return {
        "PATH": os.environ["PATH"],
        "XOPS_HOME": str(home),
        "XOPS_GITHUB_FILE": str(policy),
        "XOPS_GITHUB_DATABASE": inbox,
        **more,
    }
