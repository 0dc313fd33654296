"""Who may give orders to a real Prefect server of an installation, and what an order may say."""

import base64
import json
import os
import stat
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.prefect_servers import home, http
from xops.local.stack import POOL, SIGN_IN_FILE, Stack
from xops.prefect_server.pools import Pool

pytestmark = pytest.mark.xdist_group("prefect")

DEPLOYMENT = "/deployments/name/destroy-ecs/destroy-ecs"
REQUESTS = [
    ("GET", "/admin/version"),
    ("GET", "/version"),
    ("GET", DEPLOYMENT),
    ("POST", "/flow_runs/filter"),
    ("POST", "/deployments/filter"),
    ("POST", "/admin/database/clear"),
    ("POST", "/events"),
    ("POST", "/block_documents/filter"),
    ("GET", "/csrf-token?client=x"),
    ("POST", "/artifacts/filter"),
    ("GET", "/variables/name/system-health"),
    ("GET", "/%2e%2e/api/health/../flows/count"),
]


@pytest.fixture(scope="module")
def servers(prefect_stack: Stack) -> Iterator[Stack]:
    with home(prefect_stack.home):
        yield prefect_stack


@pytest.fixture(scope="module")
def api(servers: Stack) -> Iterator[httpx.Client]:
    """The API, for who has the secret."""
    with http(servers) as client:
        yield client


def _basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_who_has_no_secret_is_told_nothing(servers: Stack, method: str, path: str) -> None:
    """Another user of this machine: each of these was answered once."""
    user, _, password = servers.secret.partition(":")
    wrong: list[dict[str, str]] = [
        {},
        _basic("xops:"),
        _basic(f"{user}:{password[:-1]}"),
        _basic(password),
        {"Authorization": f"Bearer {servers.secret}"},
        {"Authorization": "Basic"},
        {"Host": f"127.0.0.1:{servers.server.port}", "X-Forwarded-For": "127.0.0.1"},
    ]
    for headers in wrong:
        body: dict[str, Any] | None = {} if method == "POST" else None
        answer = httpx.request(method, f"{servers.api}{path}", json=body, headers=headers)
        assert answer.status_code == 401, (headers, answer.text)
        assert answer.json() == {"exception_message": "Unauthorized"}


@pytest.mark.parametrize("path", ["/events/in", "/events/out", "/logs/out",
                                  "/task_runs/subscriptions/scheduled"])  # fmt: skip
@pytest.mark.parametrize("token", [None, "", "xops:guessed"])
def test_no_socket_opens_without_the_secret(servers: Stack, path: str, token: str | None) -> None:
    address = servers.api.replace("http", "ws", 1) + path
    with connect(address, subprotocols=["prefect"]) as socket:  # type: ignore[list-item]
        socket.send(json.dumps({"type": "auth", "token": token}))
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)


def test_no_page_of_another_origin_opens_a_socket(servers: Stack) -> None:
    address = servers.api.replace("http", "ws", 1) + "/events/in"
    with pytest.raises(InvalidStatus), connect(address, origin="http://127.0.0.1:8000"):  # type: ignore[arg-type]
        pass


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1:8000"},
        {"Origin": "https://evil.example"},
        {"Host": "evil.example"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_a_page_elsewhere_gives_no_order_even_with_the_secret(
    api: httpx.Client, headers: dict[str, str]
) -> None:
    """It destroyed a stack of 119 resources once, and approved that itself."""
    found = api.get(DEPLOYMENT).raise_for_status().json()
    asked = api.post(f"/deployments/{found['id']}/create_flow_run", json={}, headers=headers)
    assert asked.status_code == 403
    assert api.get(DEPLOYMENT).is_success


def test_the_secret_is_its_owner_s(servers: Stack) -> None:
    file = servers.home / SIGN_IN_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_uid == os.getuid()
    assert file.read_text().strip() == servers.secret
    assert len(servers.secret) > 40


VARIABLES: list[dict[str, Any]] = [
    {"command": "touch /tmp/pwned"},
    {"env": {"LD_PRELOAD": "/tmp/evil.so"}},
    {"env.LD_PRELOAD": "/tmp/evil.so"},
    {"env": {"XOPS_ENVIRONMENT__APPROVAL__REQUIRED_FOR": "[destroy]"}},
    {"working_dir": "/tmp"},
    {"image": "evil.example/image:1"},
    {"task_role_arn": "arn:aws:iam::123456789012:role/admin"},
]


@pytest.mark.parametrize("variables", VARIABLES, ids=str)
def test_who_may_press_run_chooses_no_program_environment_or_folder(
    api: httpx.Client, variables: dict[str, Any]
) -> None:
    found = api.get("/deployments/name/provision-ecs/provision-ecs").raise_for_status().json()
    asked = api.post(
        f"/deployments/{found['id']}/create_flow_run", json={"job_variables": variables}
    )
    assert asked.status_code == 422, asked.text


def test_the_server_has_the_pool_s_template_as_the_file_says(api: httpx.Client) -> None:
    found = api.get(f"/work_pools/{POOL}").raise_for_status().json()
    assert found["base_job_template"] == Pool.of_this_machine(POOL).template()
