"""The embedded AWS as a process of its own, on a free port."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from xops.core import process, settings
from xops.ecs.aws import Aws
from xops.ecs.environment import Target


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory, eventually: Any) -> Iterator[str]:
    port = _free_port()
    log: Path = tmp_path_factory.mktemp("aws") / "log"
    argv = [sys.executable, "-m", "xops.local.aws", "--host", "127.0.0.1", "--port", str(port)]
    server = process.start_service(
        process.Command(argv, settings.ROOT, dict(os.environ), deadline=0, log=log)
    )
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: _listens(port) or not server.alive(), 120)
        assert server.alive(), log.read_text()
        yield url
    finally:
        server.stop()


@pytest.fixture
def aws(endpoint: str) -> Aws:
    return Aws(Target.EMBEDDED, "ap-southeast-2", {"XOPS_AWS_ENDPOINT": endpoint})


@pytest.fixture
def fault(endpoint: str) -> Iterator[Callable[..., None]]:
    """`fault(service=..., operation=..., error=..., status=...)`: its next calls fail so."""

    def add(**values: Any) -> None:
        httpx.post(f"{endpoint}/xops/faults", json=[{"times": 100, **values}]).raise_for_status()

    yield add
    httpx.delete(f"{endpoint}/xops/faults").raise_for_status()
