"""Receivers of webhooks that are served: in a thread of the test, or as processes of their own."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen
from threading import Thread
from typing import Any

import uvicorn
import yaml
from starlette.types import ASGIApp

from tests.processes import running
from tests.waiting import look_until_found
from tests.webhooks import KEY, encoded, policy, pull_request, signed
from xops.core.files.settings import ROOT
from xops.github.webhooks.connections import BoundedProtocol
from xops.github.webhooks.hook_secrets import FILE
from xops.github.webhooks.serving import configuration

SERVE = (
    "import logging, os, sys; logging.basicConfig(level=logging.INFO);"
    "from xops.github.policy import GitHubPolicy; from xops.github.webhooks.serving import run;"
    "run(GitHubPolicy.load(), os.environ, host='127.0.0.1', port=int(sys.argv[1]))"
)


@contextmanager
def served(app: ASGIApp, **limits: float) -> Iterator[int]:
    """The port of an application that is served within the block, with limits of the test's."""
    config = configuration(app)
    config.http = type("Limited", (BoundedProtocol,), limits)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(config)
        thread = Thread(target=lambda: asyncio.run(server.serve([listening])))
        thread.start()
        try:
            look_until_found(lambda: server.started)
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


class Process:
    """A receiver as `xops github serve` runs it.

    Args:
        home: xOps' home; gets a secret and a policy.
        database: the inbox's, by default a file in the home.
    """

    def __init__(self, home: Path, database: str = "", **changes: Any) -> None:
        self.home = home
        home.mkdir(exist_ok=True)
        secret = home / FILE
        secret.write_bytes(KEY)
        secret.chmod(0o600)
        file = home / "github.yaml"
        file.write_text(yaml.safe_dump(policy(**changes).model_dump(mode="json", by_alias=True)))
        self.log = home / "receiver.log"
        self.environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "XOPS_HOME": str(home),
            "XOPS_GITHUB_FILE": str(file),
            **({"XOPS_GITHUB_DATABASE": database} if database else {}),
        }
        self.port = free_port()

    @contextmanager
    def running(self, script: str = SERVE) -> Iterator[Popen[bytes]]:
        """It runs within the block, and answers."""
        argv = [sys.executable, "-c", script, str(self.port)]
        with (
            self.log.open("ab") as log,
            running(argv, env=self.environ, stdin=DEVNULL, stdout=log, stderr=log) as process,
        ):
            look_until_found(lambda: self.is_up(process), 60)
            yield process

    def is_up(self, process: Popen[bytes]) -> bool:
        """Whether it answers; fails if it has ended."""
        assert process.poll() is None, self.log.read_text()
        return is_served(self.port)

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page."""
        return asked(self.port, "GET", path)

    def post(self, body: bytes | None = None, **headers: Any) -> int:
        """The status of the answer to a delivery."""
        body = encoded(pull_request()) if body is None else body
        return asked(self.port, "POST", "/github", body, signed(body, **headers))[0]

    @staticmethod
    def memory(pid: int) -> int:
        """Bytes of memory that the process has needed at most so far."""
        status = Path(f"/proc/{pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024


def free_port() -> int:
    """One on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_served(port: int) -> bool:
    """Whether something answers there."""
    try:
        return asked(port, "GET", "/healthz")[0] in (200, 404)
    except OSError:
        return False


def asked(
    port: int, method: str, path: str, body: bytes = b"", headers: Mapping[str, bytes] | None = None
) -> tuple[int, str]:
    """Status and text of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        given = {name: value.decode("latin-1") for name, value in (headers or {}).items()}
        connection.request(method, path, body or None, given)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
