"""The embedded AWS as users run it: a process of its own, asked through boto3."""

import os
import socket
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

import boto3
import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.processes import running
from tests.waiting import PATIENCE
from xops.aws.embedded_key import FILE_VARIABLE, EmbeddedKey, load_or_create_embedded_key
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
    deadline = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
    return pytest.fail(f"not reached within {seconds * PATIENCE:.0f} s: {what}")


class Signed(httpx.Auth):
    """Signs as AWS's clients do, for what is no service of AWS's: faults, moto's own routes."""

    requires_request_body = True

    def __init__(self, key: EmbeddedKey, service: str = "xops") -> None:
        credentials = Credentials(key.access_key_id, key.secret_access_key)
        self._signer = SigV4Auth(credentials, service, "local")

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        signed = AWSRequest(request.method, str(request.url), data=request.content)
        signed.headers["Host"] = request.headers["Host"]
        self._signer.add_auth(signed)
        for name, value in signed.headers.items():
            request.headers[name] = value
        yield request


def reaching(endpoint: str) -> dict[str, str]:
    """The variables with which xOps reaches the embedded AWS of these tests."""
    return {"XOPS_AWS_ENDPOINT": endpoint, FILE_VARIABLE: os.environ[FILE_VARIABLE]}


def control(endpoint: str, environ: Mapping[str, str] = os.environ) -> httpx.Client:
    """A client for the server's own routes."""
    key = load_or_create_embedded_key(environ)
    return httpx.Client(base_url=endpoint, auth=Signed(key), timeout=10)


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/xops/health", timeout=10).is_success
    except httpx.HTTPError:
        time.sleep(0.05)  # the port is not bound yet: give the process the processor
        return False


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its key is where every process of this session finds it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "xops.local.aws", "--port", str(port)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FILE_VARIABLE, str(tmp_path_factory.mktemp("key") / "embedded-aws-key"))
        yield from _served(url, [*command, "--step-seconds", STEP_SECONDS])


def _served(url: str, command: list[str]) -> Iterator[str]:
    with running(command) as server:
        until(lambda: is_up(url) or server.poll() is not None, "the server answers", START_DEADLINE)
        yield url
        server.terminate()
        assert server.wait(timeout=20) == 0


@pytest.fixture(scope="session")
def client(endpoint: str) -> Clients:
    def make(service: str, **options: Any) -> Any:
        options.setdefault("region_name", "ap-southeast-2")
        key = load_or_create_embedded_key(os.environ)
        credentials = {name.lower(): value for name, value in key.variables.items()}
        return boto3.client(service, endpoint_url=endpoint, **{**credentials, **options})

    return make
