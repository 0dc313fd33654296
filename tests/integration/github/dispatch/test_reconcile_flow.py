"""The run that compares what a hook has sent with the inbox, on a real Prefect server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Crashed

from flows.reconcile_deliveries import reconcile_deliveries
from tests.github_server import TOKEN, GitHubServer
from tests.prefect_servers import home
from tests.secret_sources import write_sources
from tests.waiting import Eventually
from xops.github.delivery import Delivery
from xops.github.inbox.connection import open_inbox
from xops.github.inbox.inbox import DeliveryState
from xops.local.stack import Stack

pytestmark = pytest.mark.xdist_group("dispatch")

REPOSITORY = "acme/platform"


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        server.add(REPOSITORY).write("main", {"README.md": "x"})
        yield server


@pytest.fixture
def prefect(bare_stack: Stack, tmp_path: Path) -> Iterator[SyncPrefectClient]:
    reached = {PREFECT_API_URL: bare_stack.api, PREFECT_API_AUTH_STRING: bare_stack.secret}
    with (
        home(tmp_path / "home"),
        temporary_settings(reached),
        get_client(sync_client=True) as client,
    ):
        yield client
        APILogWorker.drain_all(timeout=5)  # while there is a server to take them


@pytest.fixture
def environ(
    github: GitHubServer,
    prefect: SyncPrefectClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XOPS_SECRETS", write_sources(tmp_path, github.url))
    monkeypatch.setenv("XOPS_GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("XOPS_GITHUB_DATABASE", f"sqlite:///{tmp_path / 'inbox.db'}")
    monkeypatch.setenv("XOPS_GITHUB_FILE", str(tmp_path / "github.yaml"))


def write_policy(folder: Path, github: GitHubServer, **more: Any) -> None:
    values = {"apiVersion": "xops/v1", "api_url": github.url, "repositories": [REPOSITORY]}
    (folder / "github.yaml").write_text(yaml.safe_dump({**values, **more}))


def told(prefect: SyncPrefectClient, name: str) -> list[dict[str, Any]]:
    wanted = EventFilter(event=EventNameFilter(name=[f"xops.github.{name}"]))
    return [row.payload for row in prefect.read_events(filter=wanted, limit=50).events]


def shown(prefect: SyncPrefectClient) -> str:
    rows = prefect.request("POST", "/artifacts/latest/filter", json={}).json()
    return str(next(row["data"] for row in rows if row["key"] == "deliveries"))


async def _leave_old() -> None:
    """One that waits for its run since long ago, and one that died of what a stranger wrote."""
    past = datetime.now(UTC) - timedelta(hours=1)
    rows = [
        Delivery(id=f"0000000{n}-0000-0000-0000-000000000000", event="push", body_sha256="0" * 64,
                 received_at=past)
        for n in (1, 2)
    ]  # fmt: skip
    async with open_inbox() as inbox:
        await inbox.add([(row, DeliveryState.RECEIVED, "") for row in rows])
        await inbox.settle(rows[1].id, DeliveryState.DEAD, "<img src=x> | [a](b)")


def test_a_run_has_missing_deliveries_sent_again_shows_and_tells(
    prefect: SyncPrefectClient, github: GitHubServer, environ: None, tmp_path: Path,
    eventually: Eventually,
) -> None:  # fmt: skip
    number = github.repositories[REPOSITORY].number
    nowhere = "http://127.0.0.1:9/github"
    hook = github.hooks.add(
        REPOSITORY, "repository", number, nowhere, secret="x" * 32, events=["push"],
        content_type="json",
    )  # fmt: skip
    write_policy(tmp_path, github, hook_id=hook.id, hook_of=REPOSITORY)
    github.act.push(REPOSITORY, "topic", {"a.tf": "x"}, by="ada")
    github.hooks.wait()
    asyncio.run(_leave_old())
    done = reconcile_deliveries()
    [guid] = done["missing"]
    assert (done["redelivered"], done["stuck"], done["dead_count"]) == (1, True, 1)
    assert [one.redelivery for one in github.hooks.sent] == [False, True]
    page = shown(prefect)
    assert f"| missing | {guid} | push |" in page.replace("\\", "")
    assert "<img" not in page
    missing = eventually(lambda: told(prefect, "deliveries_missing"))
    assert missing[0]["deliveries"] == [guid]
    stuck = eventually(lambda: told(prefect, "deliveries_stuck"))
    assert stuck[0]["summary"].startswith("deliveries wait for their runs, the oldest since 2")


def test_a_run_without_a_hook_succeeds_and_says_that_it_compared_nothing(
    prefect: SyncPrefectClient, github: GitHubServer, environ: None, tmp_path: Path
) -> None:
    write_policy(tmp_path, github)
    done = reconcile_deliveries()
    assert done["hook"] == ""
    assert "names no hook" in shown(prefect)


def _crash(prefect: SyncPrefectClient) -> str:
    """A run as a worker leaves it that was killed."""

    @flow(name="handled")
    def handled() -> None: ...

    run = prefect.create_flow_run(handled, state=Crashed(message="the worker was killed"))
    return str(run.id)


async def _led_to(id_: str, run: str) -> None:
    now = datetime.now(UTC)
    delivery = Delivery(id=id_, event="push", body_sha256="0" * 64, received_at=now)
    async with open_inbox() as inbox:
        await inbox.add([(delivery, DeliveryState.RECEIVED, "")])
        await inbox.note_run(id_, "handled/handled", run)
        await inbox.settle(id_, DeliveryState.DISPATCHED, "")


def test_a_delivery_whose_run_crashed_is_dispatched_again_and_that_is_told(
    prefect: SyncPrefectClient, github: GitHubServer, environ: None, tmp_path: Path,
    eventually: Eventually,
) -> None:  # fmt: skip
    write_policy(tmp_path, github)
    guid = "00000003-0000-0000-0000-000000000000"
    asyncio.run(_led_to(guid, _crash(prefect)))
    assert reconcile_deliveries()["crashed"] == {"again": (guid,), "left": ()}
    assert f"| crashed | {guid} |" in shown(prefect).replace("\\", "")
    [row] = eventually(lambda: told(prefect, "deliveries_crashed"))
    assert row["deliveries"] == [guid]
    assert reconcile_deliveries()["crashed"] == {"again": (), "left": ()}
