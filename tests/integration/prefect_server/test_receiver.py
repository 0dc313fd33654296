"""The receiver behind nginx, from the files in deployments/server/: one path, one method."""

import hashlib
import hmac
import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.prefect_server.production import (
    WEBHOOK_SECRET,
    Production,
    receiver_behind_nginx,
)

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx")

POLICY = """
apiVersion: xops/v1
repositories: [acme/platform]
webhook: {secret: {variable: XOPS_SECRET_WEBHOOK}, max_body_bytes: 5000000}
"""
BODY = json.dumps({"zen": "Keep it logically awesome.", "hook_id": 1}).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    folder = tmp_path_factory.mktemp("production")
    file: Path = folder / "github.yaml"
    file.write_text(POLICY)
    with receiver_behind_nginx(folder, file) as made:
        yield made


@pytest.fixture
def github(server: Production) -> Iterator[httpx.Client]:
    """As GitHub sends: through nginx, with headers of its own."""
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "ping"}
    with httpx.Client(
        base_url=server.url, verify=server.trusted(), timeout=30, headers=headers
    ) as client:
        yield client


def signed(body: bytes) -> dict[str, str]:
    digest = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}", "X-GitHub-Delivery": str(uuid.uuid4())}


def test_a_signed_delivery_gets_through(github: httpx.Client) -> None:
    assert github.post("/github", content=BODY, headers=signed(BODY)).status_code == 200


def test_one_that_is_not_signed_does_not(github: httpx.Client) -> None:
    wrong = {**signed(BODY), "X-Hub-Signature-256": f"sha256={'0' * 64}"}
    assert github.post("/github", content=BODY, headers=wrong).status_code == 401


def test_post_alone_is_let_through(github: httpx.Client) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        assert github.request(method, "/github").status_code == 403, method


@pytest.mark.parametrize("path", ["/github/", "/github/x", "/healthz", "/readyz", "/metrics"])
def test_no_other_path_leads_to_the_receiver(github: httpx.Client, path: str) -> None:
    """They go to Prefect's processes, of which none is up here."""
    assert github.post(path, content=BODY, headers=signed(BODY)).status_code == 502


def test_a_body_above_the_bound_is_refused_by_nginx_already(github: httpx.Client) -> None:
    """The receiver answers before it has read all, which nginx takes for a failure: 502."""
    for size in (5_000_001, 26_500_000):
        large = b"{" + b" " * (size - 2) + b"}"
        assert github.post("/github", content=large, headers=signed(large)).status_code == 413


def test_a_burst_is_let_through(github: httpx.Client) -> None:
    answers = [github.post("/github", content=BODY, headers=signed(BODY)) for _ in range(150)]
    assert {answer.status_code for answer in answers} == {200}


def test_it_was_told_nothing_but_its_own(server: Production) -> None:
    _, environ = server.unit("xops-receiver.service")
    assert [
        name for name in environ if name.startswith(("PREFECT_API_AUTH", "AWS", "GITHUB"))
    ] == []
