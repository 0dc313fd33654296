"""A Prefect server with deployments that nobody carries out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.prefect_servers import http, running_server
from xops.local.stack import Stack
from xops.prefect_server.profile import Profile

SCHEMA = {
    "title": "Parameters",
    "type": "object",
    "properties": {"number": {"type": "integer", "title": "number", "position": 0}},
    "required": ["number"],
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Server:
    """The API as a person sees it."""

    api: httpx.Client
    profile: Profile

    def deploy(self, flow: str, name: str, schema: dict[str, Any] = SCHEMA) -> str:
        """A deployment without a pool; its id."""
        made = self.api.post("/flows/", json={"name": flow}).raise_for_status().json()
        told = {"name": name, "flow_id": made["id"], "parameter_openapi_schema": schema}
        answer = self.api.post("/deployments/", json={**told, "enforce_parameter_schema": True})
        return str(answer.raise_for_status().json()["id"])

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """All of a deployment's runs."""
        rows: list[dict[str, Any]] = []
        wanted: dict[str, Any] = {"deployments": {"id": {"any_": [deployment]}}, "limit": 200}
        while True:
            page = {**wanted, "offset": len(rows), "sort": "ID_DESC"}
            answer = self.api.post("/flow_runs/filter", json=page).raise_for_status().json()
            if not answer:
                return rows
            rows += answer

    def event(self, identity: UUID) -> dict[str, Any] | None:
        """The event of that id, once it is in the feed."""
        wanted = {"filter": {"id": {"id": [str(identity)]}}, "limit": 5}
        answer = self.api.post("/events/filter", json=wanted).raise_for_status().json()
        return next(iter(answer["events"]), None)


@pytest.fixture(scope="session")
def bare_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Nothing is deployed on it. Mark the tests with `xdist_group("dispatch")`: it is one's own."""
    with running_server(tmp_path_factory.mktemp("prefect")) as found:
        yield found


@pytest.fixture
def server(bare_stack: Stack) -> Iterator[Server]:
    with http(bare_stack) as api:
        yield Server(api, bare_stack.profile)
