"""The weekly run on a real Prefect server: what it shows, and events that arrive once."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows.activation import ACTIVATION
from flows.evaluate_triggers import TriggersRequest, evaluate_triggers
from tests.prefect_servers import home
from tests.secret_sources import write_sources
from tests.unit.triggers.samples import NOW, document, facts
from xops.core.errors import InputError
from xops.local.stack import Stack
from xops.triggers.history.ledger import VARIABLE, History
from xops.triggers.history.record import ACTIVATED, evaluate_and_record
from xops.triggers.policy import Policy

pytestmark = pytest.mark.xdist_group("prefect")
PNG = "![](data:image/png;base64,iVBOR"


@pytest.fixture(scope="module")
def server(prefect_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The shared Prefect server's API, and a home of these tests' own."""
    with (
        home(tmp_path_factory.mktemp("home")),
        temporary_settings(
            {PREFECT_API_URL: prefect_stack.api, PREFECT_API_AUTH_STRING: prefect_stack.secret}
        ),
    ):
        yield prefect_stack.api


@pytest.fixture
def prefect(server: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    monkeypatch.setenv(VARIABLE, f"sqlite:///{tmp_path}/history.sqlite")
    monkeypatch.setenv("XOPS_FLOW_FILES", str(tmp_path))
    return History.open()


def request(tmp_path: Path, values: list[int | None], **others: Any) -> TriggersRequest:
    file = tmp_path / "facts.json"
    file.write_text(json.dumps(document(values)))
    return TriggersRequest(facts=str(file), **others)


def sent(prefect: SyncPrefectClient) -> list[dict[str, Any]]:
    wanted = EventFilter(event=EventNameFilter(name=[ACTIVATED]))
    return [row.payload for row in prefect.read_events(filter=wanted, limit=50).events]


def artifacts(prefect: SyncPrefectClient) -> dict[str, Any]:
    rows = prefect.request("POST", "/artifacts/latest/filter", json={}).json()
    return {row["key"]: row for row in rows if row["key"]}


def test_a_run_shows_remembers_and_sends_once(
    prefect: SyncPrefectClient, history: History, tmp_path: Path
) -> None:
    before = len(sent(prefect))
    done = evaluate_triggers(request(tmp_path, [6, 6, 6]))
    assert done["status"] == "active"
    assert len(done["sent"]) == 1
    assert done["started"] == done["issues"] == []
    shown = artifacts(prefect)
    assert shown["triggers-chart"]["data"].startswith(PNG)
    assert "iac_prs" in shown["triggers-report"]["data"]
    assert "| active |" in shown["triggers"]["data"]
    assert history.pending_events() == []
    again = evaluate_triggers(request(tmp_path, [6, 6, 6]))
    assert again["sent"] == []
    assert len(sent(prefect)) == before + 1


def test_a_run_that_was_killed_before_it_sent_is_made_good(
    prefect: SyncPrefectClient, history: History, tmp_path: Path
) -> None:
    found = facts([6, 6, 6, 6])
    evaluate_and_record(history, Policy.load(), found, found.as_of, NOW)
    (waiting,) = history.pending_events()
    before = len(sent(prefect))
    done = evaluate_triggers(request(tmp_path, [6, 6, 6, 6]))
    # The same activation, so that the server may have its event from the test before.
    assert done["sent"] == [str(waiting.id)]
    assert len(sent(prefect)) <= before + 1
    assert [row["activation"] for row in sent(prefect)].count(waiting.payload["activation"]) == 1
    assert history.pending_events() == []


def test_a_look_leaves_nothing_behind(
    prefect: SyncPrefectClient, history: History, tmp_path: Path
) -> None:
    before = len(sent(prefect))
    done = evaluate_triggers(request(tmp_path, [9, 9, 9], record=False))
    assert done["status"] == "active"
    assert "sent" not in done
    assert not (tmp_path / "history.sqlite").exists()
    assert len(sent(prefect)) == before


def test_what_github_does_not_tell_is_unknown(
    prefect: SyncPrefectClient,
    history: History,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("XOPS_TRIGGERS__GITHUB__API_URL", nobody)
    monkeypatch.setenv("XOPS_SECRETS", write_sources(tmp_path, nobody))
    monkeypatch.setenv("XOPS_GITHUB_TOKEN", "canary")
    monkeypatch.setattr("flows.evaluate_triggers.read_facts", _once())
    done = evaluate_triggers(TriggersRequest())
    assert done["status"] == "insufficient_data"
    assert done["exit_code"] == 11
    assert "canary" not in json.dumps(done)


def _once() -> Any:
    from flows.evaluate_triggers import read_facts

    return read_facts.with_options(retries=0)


def test_a_wrong_file_fails_the_run(prefect: SyncPrefectClient, tmp_path: Path) -> None:
    (tmp_path / "facts.json").write_text("[]")
    with pytest.raises(InputError):
        evaluate_triggers(TriggersRequest(facts=str(tmp_path / "facts.json")))


@pytest.mark.parametrize("way", ["absolute", "dots", "link"])
def test_a_file_of_the_worker_s_is_not_read_out(
    prefect: SyncPrefectClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    monkeypatch.setenv("XOPS_FLOW_FILES", str(inputs))
    victim = tmp_path / "shadow"
    victim.write_text("root:$6$canary:19000:0:99999:7:::\ncanary:*:19000:0:99999:7:::\n")
    (inputs / "link").symlink_to(victim)
    ways = {
        "absolute": str(victim),
        "dots": str(inputs / ".." / "shadow"),
        "link": str(inputs / "link"),
    }
    with pytest.raises(InputError, match="names no file below") as caught:
        evaluate_triggers(TriggersRequest(facts=ways[way]))
    assert "canary" not in str(caught.value)
    last = prefect.read_flow_runs(limit=1, sort=FlowRunSort.START_TIME_DESC)[0]
    assert last.state is not None
    assert "canary" not in str(last.state.message)


def test_a_file_of_another_kind_below_the_folder_is_not_shown_either(
    prefect: SyncPrefectClient, tmp_path: Path
) -> None:
    (tmp_path / "facts.json").write_text("canary:$6$canary:19000:0:99999:7:::\n")
    with pytest.raises(InputError) as caught:
        evaluate_triggers(TriggersRequest(facts=str(tmp_path / "facts.json")))
    assert "canary" not in str(caught.value)


@flow(name=ACTIVATION)
def activate(request: dict[str, Any], apply: bool = False) -> None:
    """Stands in for the flow that activates."""


def test_an_activation_is_started_once_when_its_flow_is_deployed(
    prefect: SyncPrefectClient, history: History, tmp_path: Path
) -> None:
    flow_id = prefect.create_flow(activate)
    deployment = prefect.create_deployment(flow_id=flow_id, name="stream2")
    try:
        first = evaluate_triggers(request(tmp_path, [6, 6, 6]))
        again = evaluate_triggers(request(tmp_path, [6, 6, 6, 6]))
        assert first["started"] == again["started"]
        (started,) = first["started"]
        run = prefect.read_flow_run(started)
        assert run.parameters == {
            "request": {"trigger": "iac_prs", "components": ["k3s", "atlantis"]},
            "apply": True,
        }
    finally:
        prefect.delete_deployment(deployment)
