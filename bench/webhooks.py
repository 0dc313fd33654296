"""Taking deliveries: how many, how fast, and what a large body costs.

saturation        time of a delivery while 128 connections send as fast as they are answered
half of it        slowest hundredth of answers at half of each one's own saturation, from the moment
                  at which a delivery was due
memory            that 200 bodies of 25 MB add

The baseline is a Starlette handler that verifies the signature and does nothing else, behind the
same server with the same limits. Both are processes of their own. Ours writes each delivery to the
disk before it answers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.rows import ROUNDS, Row, say
from tests.processes import running
from tests.receivers import Process, free_port, is_served
from tests.waiting import look_until_found
from tests.webhooks import KEY, encoded, pull_request, signed
from xops.github.webhooks.serving import serve
from xops.github.webhooks.signature import is_authentic
from xops.local import postgresql

CONNECTIONS = 128
SECONDS = 5.0
LARGE, LARGE_BODIES = 25_000_000, 200


class Peer(asyncio.Protocol):
    """A connection that sends a delivery when it is told to, and says when it was answered."""

    def __init__(self) -> None:
        self._answered: asyncio.Future[int] | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take an answer: those to what is accepted have no body, and come as one."""
        self._tell(int(data[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that there is no answer."""
        self._tell(0)

    def _tell(self, status: int) -> None:
        if self._answered and not self._answered.done():
            self._answered.set_result(status)

    async def ask(self, request: bytes) -> int:
        """The status of the answer."""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered


class Load:
    """Deliveries to a receiver."""

    def __init__(self, port: int) -> None:
        self._port = port
        body = encoded(_like_githubs(pull_request()))
        lines = [f"{name}: {value.decode()}" for name, value in signed(body).items()]
        kept = [line for line in lines if not line.startswith("x-github-delivery")]
        text = "\r\n".join(["POST /github HTTP/1.1", "host: xops", *kept, "x-github-delivery: "])
        self._before, self._after = text.encode(), b"\r\n\r\n" + body
        self.size = len(body)

    def _request(self) -> bytes:
        return self._before + str(uuid4()).encode() + self._after

    async def _peers(self, count: int) -> list[Peer]:
        loop = asyncio.get_running_loop()
        made = [await loop.create_connection(Peer, "127.0.0.1", self._port) for _ in range(count)]
        return [peer for _, peer in made]

    async def saturate(self, seconds: float) -> float:
        """Deliveries a second that are answered with 202."""
        peers = await self._peers(CONNECTIONS)
        end = time.perf_counter() + seconds

        async def sender(peer: Peer) -> int:
            count = 0
            while time.perf_counter() < end:
                _check(await peer.ask(self._request()))
                count += 1
            return count

        began = time.perf_counter()
        counts = await asyncio.gather(*map(sender, peers))
        return sum(counts) / (time.perf_counter() - began)

    async def at_rate(self, rate: float, seconds: float) -> float:
        """The slowest hundredth of the answers, in milliseconds after a delivery was due."""
        peers: asyncio.Queue[Peer] = asyncio.Queue()
        for peer in await self._peers(CONNECTIONS):
            peers.put_nowait(peer)
        taken: list[float] = []

        async def send(peer: Peer, due: float) -> None:
            _check(await peer.ask(self._request()))
            taken.append(time.perf_counter() - due)
            peers.put_nowait(peer)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                due = began + number / rate
                if (early := due - time.perf_counter()) > 0:
                    await asyncio.sleep(early)
                group.create_task(send(await peers.get(), due))
        return statistics.quantiles(taken, n=100)[98] * 1000


def _check(status: int) -> None:
    if status != 202:
        raise SystemExit(f"a delivery was answered with {status}")


def _like_githubs(payload: dict[str, Any]) -> dict[str, Any]:
    """As large as what GitHub sends of a pull request, and as many values."""
    api = "https://api.github.com/repos/acme/web/"
    user = {"login": "octocat", "id": 21031067, "type": "User", "site_admin": False}
    user |= {f"{n}_url": f"https://api.github.com/users/octocat/{n}" for n in range(12)}
    repository = {"id": 186853002, "private": False, "owner": user, "description": None}
    repository |= {f"{n}_url": f"{api}{n}{{/other}}" for n in range(45)}
    repository |= {f"count_{n}": n for n in range(20)}
    request = payload["pull_request"]
    request |= {"user": user, "body": "A text of somebody's. " * 20, "labels": [], "assignee": None}
    request |= {f"{n}_url": f"{api}pulls/7/{n}" for n in range(9)}
    for side in ("head", "base"):
        request[side] |= {"user": user, "repo": repository, "label": "acme:main"}
    payload["repository"] |= repository
    payload["sender"] |= user
    return payload


@dataclass(frozen=True)
class Server:
    """A receiver that is measured."""

    name: str
    port: int
    pid: int

    def processor_seconds(self) -> float:
        """What it has used so far."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


def measure() -> list[Row]:
    """All of it; about three minutes."""
    rows = []
    with _bare() as bare, _databases() as databases:
        for name, database in databases.items():
            with tempfile.TemporaryDirectory() as folder:
                receiver = Process(Path(folder) / "home", database)
                with receiver.running() as process:
                    ours = Server(f"ours on {name}", receiver.port, process.pid)
                    rows += _compare(name, ours, bare)
                    rows += _memory(name, receiver, process.pid)
    return rows


def _compare(name: str, ours: Server, bare: Server) -> list[Row]:
    full = Row(f"a delivery at saturation, {name}", "signature alone", 2.5, unit="us")
    used = Row(f"processor time of a delivery, {name}", "signature alone", 2.5, unit="us")
    half = Row(f"p99 at half of saturation, {name}", "signature alone", 3.0, unit="ms")
    rows = [full, used, half]
    for _ in range(ROUNDS):
        for row, figure in zip(rows, _figures(bare), strict=True):
            row.theirs.append(figure)
        for row, figure in zip(rows, _figures(ours), strict=True):
            row.ours.append(figure)
    return rows


def _figures(server: Server) -> tuple[float, float, float]:
    load = Load(server.port)
    before = server.processor_seconds()
    rate = asyncio.run(load.saturate(SECONDS))
    used = (server.processor_seconds() - before) / (rate * SECONDS)
    p99 = asyncio.run(load.at_rate(rate / 2, SECONDS))
    say(f"{server.name}: {rate:.0f}/s of {load.size} bytes, p99 {p99:.1f} ms at half of that")
    return 1e6 / rate, 1e6 * used, p99


def _memory(name: str, receiver: Process, pid: int) -> list[Row]:
    before = receiver.memory(pid)
    body = b" " * LARGE
    refused = 0
    for _ in range(LARGE_BODIES):
        try:
            refused += receiver.post(body) == 413
        except OSError:  # it has hung up before all was sent
            refused += 1
    added = (receiver.memory(pid) - before) / 1e6
    say(f"{name}: {refused} of {LARGE_BODIES} bodies refused, {added:.1f} MB of memory more")
    return [Row(f"memory that bodies of 25 MB add, {name}", "", ours=[added], unit="MB")]


@contextmanager
def _databases() -> Iterator[dict[str, str]]:
    """The embedded stack's own PostgreSQL, and a file of SQLite in the receiver's home."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        environ = {**os.environ, "XOPS_HOME": str(home)}
        with running([sys.executable, "-m", "xops.local.postgresql"], env=environ) as process:
            look_until_found(lambda: postgresql.is_ready(home, process.pid), 120)
            postgresql.create_inbox(home)
            yield {"PostgreSQL": postgresql.inbox_url(home), "SQLite": ""}
            process.send_signal(signal.SIGINT)
            process.wait()
        postgresql.remove_socket_folder(home)


@contextmanager
def _bare() -> Iterator[Server]:
    port = free_port()
    with running([sys.executable, "-m", "bench.webhooks", str(port)]) as process:
        look_until_found(lambda: is_served(port), 30)
        yield Server("the signature alone", port, process.pid)


async def _verify(request: Request) -> Response:
    given = request.headers.get("x-hub-signature-256", "").encode("latin-1")
    is_right = is_authentic(await request.body(), given, (KEY,))
    return Response(status_code=202 if is_right else 401)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    app = Starlette(routes=[Route("/github", _verify, methods=["POST"])])
    asyncio.run(serve(app, "127.0.0.1", int(sys.argv[1])))
