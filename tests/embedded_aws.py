"""The embedded AWS as users run it: a process of its own, asked through boto3."""

import json
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from tests.processes import running
from xops.local import services

STEP_SECONDS = "0.05"
DEADLINE = 60.0
START_DEADLINE = services.START_DEADLINE
"""As long as the product itself waits for its servers."""

Clients = Callable[..., Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """Ask again until the answer is true; what is asked takes time itself, so nothing sleeps."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
    return pytest.fail(f"not reached within {seconds} s: {what}")


def http(method: str, url: str, value: object = None) -> Any:
    body = None if value is None else json.dumps(value).encode()
    request = urllib.request.Request(url, data=body, method=method)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        return json.load(response)


def is_up(url: str) -> bool:
    try:
        return bool(http("GET", f"{url}/xops/health"))
    except (urllib.error.URLError, ConnectionError):
        time.sleep(0.05)  # the port is not bound yet: give the process the processor
        return False


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "xops.local.aws", "--port", str(port)]
    with running([*command, "--step-seconds", STEP_SECONDS]) as server:
        until(lambda: is_up(url) or server.poll() is not None, "the server answers", START_DEADLINE)
        yield url
        server.terminate()
        assert server.wait(timeout=20) == 0


@pytest.fixture(scope="session")
def client(endpoint: str) -> Clients:
    def make(service: str, **options: Any) -> Any:
        options.setdefault("region_name", "ap-southeast-2")
        credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=endpoint, **credentials, **options)

    return make
