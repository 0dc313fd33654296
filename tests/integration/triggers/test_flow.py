"""The weekly run on a real Prefect server: what it shows, and events that arrive once."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterId,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events import AutomationCore, DoNothing, EventTrigger, Posture, emit_event
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.utilities.callables import parameter_schema

from flows.activation import ACTIVATION
from flows.evaluate_triggers import TriggersRequest, evaluate_triggers
from tests.github_server import TOKEN, GitHubServer
from tests.prefect_servers import home
from tests.secret_sources import write_sources
from tests.unit.triggers.samples import NOW, document, facts
from tests.waiting import look_until_found
from xops.core.errors import InputError, PermanentError, TemporaryError
from xops.core.files import settings
from xops.local.stack import Stack
from xops.prefect_server import automations
from xops.triggers.history.activations import ACTIVATED, CHANGED
from xops.triggers.history.ledger import VARIABLE, History
from xops.triggers.history.record import evaluate_and_record
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
    # An activation's id is the same wherever the same is recorded: on one server each test needs
    # activations of its own.
    monkeypatch.setenv("XOPS_TRIGGERS__NAME", f"test_{uuid4().hex}")
    return History.open()


def request(tmp_path: Path, values: list[int | None], **others: Any) -> TriggersRequest:
    file = tmp_path / "facts.json"
    file.write_text(json.dumps(document(values)))
    return TriggersRequest(facts=str(file), **others)


def sent(prefect: SyncPrefectClient, name: str = ACTIVATED) -> list[dict[str, Any]]:
    """The payloads of all events of that name, the newest first."""
    wanted = EventFilter(event=EventNameFilter(name=[name]))
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
    assert "| active since 2025-09-" in shown["triggers"]["data"]
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
    assert done["sent"] == [str(waiting.id)]
    assert len(sent(prefect)) == before + 1
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


MANDATE = """\
apiVersion: xops/v1
cloud: {cloud}
who: Example Bank
what: A second region outside AWS.
jurisdiction: AU
evidence: https://example.com/contract
effective_from: {start}
expires: {end}
"""
OWNER = "platform@example.com"
GIT = shutil.which("git") or "git"


@pytest.fixture
def mandates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Declares a cloud as its owner does, in a working copy that the policy reads."""
    work = tmp_path / "declared"
    (work / "mandates").mkdir(parents=True)
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    for role in ("AUTHOR", "COMMITTER"):
        environ |= {f"GIT_{role}_NAME": "P", f"GIT_{role}_EMAIL": OWNER}

    def git(*words: str) -> None:
        subprocess.run([GIT, *words], cwd=work, env=environ, check=True, capture_output=True)

    def declare(cloud: str) -> None:
        today = datetime.now(UTC).date()
        days = {"start": today - timedelta(days=9), "end": today + timedelta(days=300)}
        (work / "mandates" / f"{cloud}.yaml").write_text(MANDATE.format(cloud=cloud, **days))
        git("add", ".")
        git("commit", "-q", "-m", f"Declare {cloud}")

    git("init", "-q", "-b", "main")
    monkeypatch.setenv("XOPS_TRIGGERS__MANDATES__FOLDER", str(work / "mandates"))
    monkeypatch.setenv("XOPS_TRIGGERS__MANDATES__OWNERS", f'["{OWNER}"]')
    return declare


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    """A GitHub that takes a token which the run does not have, unless a test gives it."""
    with GitHubServer() as server:
        server.add("example/platform")
        monkeypatch.setenv("XOPS_TRIGGERS__GITHUB__API_URL", server.url)
        monkeypatch.setenv("XOPS_SECRETS", write_sources(tmp_path, server.url))
        monkeypatch.setattr("flows.evaluate_triggers.read_facts", _once())
        yield server


def _once() -> Any:
    from flows.evaluate_triggers import read_facts

    return read_facts.with_options(retries=0)


def last_run(prefect: SyncPrefectClient) -> FlowRun:
    """The run of the evaluation that ended last; the weekly ones are scheduled and wait."""
    of_type = FlowRunFilterStateType(any_=[StateType.COMPLETED, StateType.FAILED])
    (found,) = prefect.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[evaluate_triggers.name])),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=of_type)),
        limit=1,
        sort=FlowRunSort.END_TIME_DESC,
    )
    return found


def of_run(prefect: SyncPrefectClient, run: FlowRun) -> dict[str, Any]:
    """What one run shows: its artifacts' texts by key."""
    wanted = {"artifacts": {"flow_run_id": {"any_": [str(run.id)]}}}
    rows = prefect.request("POST", "/artifacts/filter", json=wanted).json()
    return {row["key"]: row["data"] for row in rows if row["key"]}


@pytest.mark.parametrize("token", [None, "github_pat_canary"], ids=["absent", "expired"])
def test_a_run_that_measured_nothing_fails_with_the_reason_and_shows_and_tells_all_it_knows(
    prefect: SyncPrefectClient,
    history: History,
    github: GitHubServer,
    mandates: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    token: str | None,
) -> None:
    mandates("azure")
    if token is None:
        monkeypatch.delenv("XOPS_GITHUB_TOKEN", raising=False)
    else:
        monkeypatch.setenv("XOPS_GITHUB_TOKEN", token)

    with pytest.raises(PermanentError) as caught:
        evaluate_triggers(TriggersRequest())

    assert "XOPS_GITHUB_TOKEN" in str(caught.value)
    assert caught.value.remedy
    run = last_run(prefect)
    assert run.state is not None
    assert run.state.type is StateType.FAILED
    assert "XOPS_GITHUB_TOKEN" in str(run.state.message)
    shown = of_run(prefect, run)
    assert shown.keys() >= {"triggers", "triggers-report", "triggers-chart"}
    assert "Nothing was measured on GitHub" in shown["triggers-report"]
    assert shown["triggers-chart"].startswith(PNG)
    # The mandate was judged and is told of; nothing is kept of weeks that nobody measured.
    payload = next(row for row in sent(prefect) if row["trigger"] == "second_cloud")
    assert payload["subjects"] == ["azure"]
    assert history.pending_events() == []
    kept = history.transact(lambda ledger: ledger.entries())
    assert {entry.trigger for entry in kept if entry.kind == "reading"} == {"second_cloud", "edge"}
    assert "canary" not in json.dumps([shown, str(run.state), str(caught.value)])


def test_a_look_that_measured_nothing_fails_as_well(
    prefect: SyncPrefectClient,
    github: GitHubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XOPS_GITHUB_TOKEN", "github_pat_canary")
    with pytest.raises(PermanentError):
        evaluate_triggers(TriggersRequest(record=False))
    assert "triggers-report" in of_run(prefect, last_run(prefect))
    assert not (tmp_path / "history.sqlite").exists()


def test_a_run_while_github_is_down_fails_and_the_next_one_is_right(
    prefect: SyncPrefectClient,
    history: History,
    github: GitHubServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XOPS_GITHUB_TOKEN", TOKEN)
    github.fail(operation=".*", status=502, times=1000)
    with pytest.raises(TemporaryError, match="502"):
        evaluate_triggers(TriggersRequest())
    httpx.delete(f"{github.url}/xops/faults")
    done = evaluate_triggers(TriggersRequest())
    assert done["failure"] is None
    assert last_run(prefect).state_type is StateType.COMPLETED


def test_a_change_of_clouds_is_told_and_starts_its_own_run(
    prefect: SyncPrefectClient,
    github: GitHubServer,
    mandates: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XOPS_GITHUB_TOKEN", TOKEN)
    deployment = prefect.create_deployment(flow_id=prefect.create_flow(activate), name="stream2")
    today = datetime.now(ZoneInfo("Australia/Sydney")).date()
    try:
        mandates("azure")
        first = evaluate_triggers(TriggersRequest(as_of=today - timedelta(days=1)))
        mandates("gcp")
        second = evaluate_triggers(TriggersRequest(as_of=today))
        again = evaluate_triggers(TriggersRequest(as_of=today))
        runs = [prefect.read_flow_run(*found["started"]) for found in (first, second, again)]
    finally:
        prefect.delete_deployment(deployment)
    requests = [run.parameters["request"] for run in runs]
    assert [row["subjects"] for row in requests] == [["azure"], ["azure", "gcp"], ["azure", "gcp"]]
    assert len({row["activation"] for row in requests}) == 1
    assert [runs[0].id == runs[1].id, runs[1].id == runs[2].id] == [False, True]
    (changed,) = sent(prefect, CHANGED)
    assert (changed["subjects"], changed["number"]) == (["azure", "gcp"], 1)


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
    last = last_run(prefect)
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
    finally:
        prefect.delete_deployment(deployment)
    verdict = next(row for row in first["triggers"] if row["trigger"] == "iac_prs")
    asked = run.parameters["request"]
    assert run.parameters["apply"] is True
    assert (asked["trigger"], asked["components"]) == ("iac_prs", ["k3s", "atlantis"])
    assert (asked["activation"], asked["number"]) == (verdict["activation"], 1)
    assert asked["cost"]["lowest"] == {"amount": "120", "currency": "USD"}
    assert asked["needs"] == ["one approval"]
    assert asked["threshold"] == verdict["threshold"]
    assert (asked["as_of"], asked["facts"]) == (first["as_of"], first["facts"])
    assert asked["version"] == version("xops")
    assert {"subjects", "evidence", "classification", "since", "policy"} <= asked.keys()


def test_an_activation_that_cannot_be_started_keeps_no_event_from_being_sent(
    prefect: SyncPrefectClient, history: History, tmp_path: Path
) -> None:
    @flow(name=ACTIVATION)
    def refuses(request: int) -> None:
        """Takes another request than the one it is given."""

    schema = parameter_schema(refuses)
    deployment = prefect.create_deployment(
        flow_id=prefect.create_flow(refuses), name="stream2", enforce_parameter_schema=True,
        parameter_openapi_schema=schema.model_dump_for_openapi(),
    )  # fmt: skip
    try:
        with pytest.raises(PermanentError, match=f"starting {ACTIVATION} for iac_prs"):
            evaluate_triggers(request(tmp_path, [6, 6, 6]))
    finally:
        prefect.delete_deployment(deployment)
    assert history.pending_events() == []


PAGE = settings.ROOT / "docs" / "reference" / "events-and-artifacts.md"


@flow(name="prepare-accounts")
def prepare(activation: dict[str, Any]) -> None:
    """Stands in for what a reader of the page would have started."""


def test_the_automation_that_the_documents_show_hands_the_payload_on(
    prefect: SyncPrefectClient,
    github: GitHubServer,
    mandates: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XOPS_GITHUB_TOKEN", TOKEN)
    (block,) = re.findall(r"```yaml\n(name: .*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "automations").mkdir()
    (tmp_path / "automations" / "shown.yaml").write_text(block)
    flow_id = prefect.create_flow(prepare)
    deployment = prefect.create_deployment(flow_id=flow_id, name="prepare-accounts")
    (file,) = automations.read(tmp_path / "automations")
    automation = prefect.create_automation(file.resolve(prefect))
    try:
        wait_until_known(prefect)
        mandates("azure")
        evaluate_triggers(TriggersRequest())
        run = look_until_found(lambda: next(iter(runs_of(prefect, flow_id)), None), 60.0)
    finally:
        prefect.delete_automation(automation)
        prefect.delete_deployment(deployment)
    assert run is not None
    handed = run.parameters["activation"]
    assert handed in sent(prefect)
    assert (handed["trigger"], handed["subjects"]) == ("second_cloud", ["azure"])
    documented = set(re.findall(r"^\| (`[^|]*`) \|", _table_of_fields(), re.MULTILINE))
    names = {name for cell in documented for name in re.findall(r"`(\w+)`", cell)}
    assert handed.keys() == names


def wait_until_known(prefect: SyncPrefectClient) -> None:
    """Wait until the server goes by the automations that were made before now.

    It takes changes in their order, a moment after it has answered; an event that comes in between
    starts nothing, ever.
    """
    trigger = EventTrigger(expect={"xops.probe"}, posture=Posture.Reactive, threshold=1)
    last = prefect.create_automation(
        AutomationCore(name="probe", trigger=trigger, actions=[DoNothing()])
    )

    def heard() -> bool:
        emit_event("xops.probe", resource={"prefect.resource.id": "xops.probe"})
        triggered = EventFilter(  # made anew, since it takes what was until now
            event=EventNameFilter(name=["prefect.automation.triggered"]),
            resource=EventResourceFilter(id=[f"prefect.automation.{last}"]),
        )
        return bool(prefect.read_events(filter=triggered, limit=1).events)

    try:
        look_until_found(heard, 60.0)
    finally:
        prefect.delete_automation(last)


def _table_of_fields() -> str:
    text = PAGE.read_text().partition("### Events of triggers")[2]
    return text.partition("| field |")[2].partition("\n\n")[0]


def runs_of(prefect: SyncPrefectClient, flow_id: UUID) -> list[FlowRun]:
    wanted = FlowFilter(id=FlowFilterId(any_=[flow_id]))
    return prefect.read_flow_runs(flow_filter=wanted, limit=1)
