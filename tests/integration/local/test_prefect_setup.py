"""Everything that `xops up` deploys, on a real Prefect server with a real worker.

Also what notices that a release of SQLAlchemy or FastAPI has got in which Prefect does not work
with: the server then looks healthy, but `prefect deploy` stops half-way, or no scheduled run is
ever made.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import VariableUpdate, WorkPoolUpdate
from prefect.client.schemas.objects import FlowRun, State
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger
from prefect.states import Cancelled, Running, Suspended

from tests.prefect_servers import home, http
from tests.waiting import PATIENCE
from xops.core.errors import InputError, PermanentError, TemporaryError
from xops.core.files import settings
from xops.ecs import environment
from xops.k3s.cluster_file import cluster as inventory
from xops.local.doctor import Verdict, examine
from xops.local.stack import POOL, Stack
from xops.prefect_server import automations, deployments, runs
from xops.prefect_server import setup as prefect_setup
from xops.prefect_server.automations import AutomationFile
from xops.prefect_server.pools import Pool
from xops.prefect_server.profile import Profile

DEPLOYMENTS = {
    "provision-ecs/provision-ecs",
    "destroy-ecs/destroy-ecs",
    "close-records/close-records",
    "detect-ecs-drift/detect-ecs-drift",
    "detect-k3s-drift/detect-k3s-drift",
    "notify/notify",
    "bootstrap-k3s/bootstrap-k3s",
    "evaluate-triggers/evaluate-triggers",
}
DEADLINE = 180.0 * PATIENCE


def seen[Found](look: Callable[[], Found | None]) -> Found:
    """What `look` finds, as soon as it does. Each look asks the server, so not too often."""
    give_up = time.monotonic() + DEADLINE
    while not (found := look()):
        assert time.monotonic() < give_up, f"not seen within {DEADLINE:.0f} s: {found!r}"
        time.sleep(0.25)
    return found


@pytest.fixture(scope="module")
def servers(prefect_stack: Stack) -> Iterator[Stack]:
    """The shared server, with its home as this process' own."""
    with home(prefect_stack.home):
        yield prefect_stack


@pytest.fixture
def prefect(servers: Stack) -> Iterator[SyncPrefectClient]:
    with runs.client(servers.profile) as connected:
        yield connected


pytestmark = pytest.mark.xdist_group("prefect")


def ask(servers: Stack, method: str, path: str, **options: Any) -> httpx.Response:
    """For what Prefect's client does not show."""
    with http(servers) as client:
        return client.request(method, path, **options)


def names(rows: list[Any]) -> list[str]:
    return sorted(row.name for row in rows)


def ours(prefect: SyncPrefectClient) -> list[Any]:
    return [row for row in prefect.read_automations() if automations.TAG in row.tags]


def documents(servers: Stack) -> dict[str, dict[str, Any]]:
    answer = ask(servers, "POST", "/block_documents/filter", json={}).raise_for_status()
    return {
        f"{row['block_type']['slug']}/{row['name']}": row
        for row in answer.json()
        if row["block_type"]["slug"].startswith("xops-")
    }


def limits_of(prefect: SyncPrefectClient) -> dict[str, int]:
    return {row.name: row.limit for row in prefect.read_global_concurrency_limits(limit=200)}


def everything(servers: Stack, prefect: SyncPrefectClient) -> dict[str, Any]:
    """All that set_up may touch, without what merely says when it was written."""
    deployments = [
        # An update may change the order in which PostgreSQL tells the schedules.
        (row.id, row.parameters, sorted((str(s.slug), s.id, s.active) for s in row.schedules))
        for row in prefect.read_deployments()
    ]
    pool = prefect.read_work_pool(POOL)
    return {
        "pool": (pool.id, pool.base_job_template, pool.is_paused),
        "limits": limits_of(prefect),
        "deployments": sorted(deployments, key=str),
        "documents": {name: (row["id"], row["data"]) for name, row in documents(servers).items()},
        # With the moment of its last change: an update would forget what was counted.
        "automations": ask(servers, "POST", "/automations/filter", json={}).json(),
    }


def test_everything_the_repository_names_is_there(
    servers: Stack, prefect: SyncPrefectClient
) -> None:
    for name in DEPLOYMENTS:
        found = prefect.read_deployment_by_name(name)
        assert found.work_pool_name == POOL
        assert "{{ $XOPS_ROOT }}" in str(found.pull_steps), "the run fills it in, not the deploy"
    wanted = {f"xops-environment/{name}" for name in environment.names()}
    slots = [environment.slot(name) for name in environment.names()]
    slots += [inventory.slot(name) for name in inventory.names()]
    assert limits_of(prefect).items() >= dict.fromkeys(slots, 1).items()
    assert set(documents(servers)) == {
        *wanted, "xops-notification/default"
    }  # fmt: skip
    assert names(ours(prefect)) == names(automations.read())


def test_a_cron_schedule_makes_runs(prefect: SyncPrefectClient) -> None:
    def scheduled(deployment: str) -> list[FlowRun]:
        wanted = prefect.read_deployment_by_name(deployment).id
        runs = [row for row in prefect.read_flow_runs() if row.deployment_id == wanted]
        return [row for row in runs if "auto-scheduled" in row.tags]

    def in_sydney(run: FlowRun) -> datetime:
        assert run.expected_start_time is not None
        moment: datetime = run.expected_start_time.astimezone(ZoneInfo("Australia/Sydney"))
        return moment

    for run in seen(lambda: scheduled("detect-ecs-drift/detect-ecs-drift")):
        assert run.parameters == {"request": {"environment": "local"}}
        assert in_sydney(run).hour == 5
    for run in seen(lambda: scheduled("evaluate-triggers/evaluate-triggers")):
        start = in_sydney(run)
        assert (start.strftime("%A"), start.hour, start.minute) == ("Monday", 6, 0)


@contextmanager
def paused_pool(prefect: SyncPrefectClient) -> Iterator[None]:
    """Left paused, it would let every other test wait."""
    prefect.update_work_pool(POOL, WorkPoolUpdate(is_paused=True))
    try:
        yield
    finally:
        prefect.update_work_pool(POOL, WorkPoolUpdate(is_paused=False))


@contextmanager
def automation_of_a_person(prefect: SyncPrefectClient) -> Iterator[None]:
    own = prefect.create_automation(broken_automation(prefect))
    try:
        yield
    finally:
        prefect.delete_automation(own)


def test_doing_it_again_changes_nothing_and_keeps_what_people_have_set(
    servers: Stack, prefect: SyncPrefectClient
) -> None:
    edited = documents(servers)["xops-environment/test"]["id"]
    change = {"data": {"environment": "test", "target": "localstack"}}
    ask(servers, "PATCH", f"/block_documents/{edited}", json=change).raise_for_status()
    said: list[str] = []
    with paused_pool(prefect), automation_of_a_person(prefect):
        before = everything(servers, prefect)
        prefect_setup.set_up(servers.profile, on_step=said.append)
        assert everything(servers, prefect) == before
    assert before["documents"]["xops-environment/test"][1]["target"] == "localstack"
    assert said == [
        f"work pool {POOL}",
        "concurrency limits",
        "blocks",
        "deployments",
        "automations",
    ]


def add_schedules(servers: Stack, deployment: Any, *rows: dict[str, Any]) -> None:
    schedule = {"cron": "1 1 * * *", "timezone": "UTC"}
    given = [{"active": True, "schedule": schedule, **row} for row in rows]
    ask(servers, "POST", f"/deployments/{deployment.id}/schedules", json=given).raise_for_status()


def schedules_of(prefect: SyncPrefectClient, name: str) -> dict[str | None, bool]:
    return {row.slug: row.active for row in prefect.read_deployment_by_name(name).schedules}


DRIFT, NOTIFY = "detect-ecs-drift/detect-ecs-drift", "notify/notify"


@pytest.fixture
def as_it_was(servers: Stack, prefect: SyncPrefectClient) -> Iterator[None]:
    """Whatever a test has set is undone, as a person would."""
    yield
    for name in (DRIFT, NOTIFY):
        found = prefect.read_deployment_by_name(name)
        prefect.resume_deployment(found.id)
        for schedule in found.schedules:
            if schedule.slug is None:
                prefect.delete_deployment_schedule(found.id, schedule.id)
            elif schedule.slug == "daily-local":
                prefect.update_deployment_schedule(found.id, schedule.id, active=True)
    prefect_setup.deploy(servers.profile)


@pytest.mark.usefixtures("as_it_was")
def test_what_a_person_paused_or_made_stays_and_what_the_file_dropped_goes(
    servers: Stack, prefect: SyncPrefectClient
) -> None:
    """`prefect deploy` alone does the opposite of each (seen on 3.9.1)."""
    drift, notify = map(prefect.read_deployment_by_name, (DRIFT, NOTIFY))
    of_the_file = schedules_of(prefect, DRIFT)
    paused = next(row for row in drift.schedules if row.slug == "daily-local")
    prefect.update_deployment_schedule(drift.id, paused.id, active=False)
    add_schedules(servers, drift, {"slug": "dropped"}, {"parameters": {"request": {}}})
    add_schedules(servers, notify, {"slug": "dropped"}, {})
    prefect.pause_deployment(notify.id)

    said: list[str] = []
    prefect_setup.deploy(servers.profile, say=said.append)

    assert schedules_of(prefect, DRIFT) == {**of_the_file, "daily-local": False, None: True}
    assert schedules_of(prefect, NOTIFY) == {None: True}
    assert prefect.read_deployment_by_name(NOTIFY).paused
    assert said == []
    # Also what a person did stays the next time, and nothing is to be done again.
    pool = Pool.of_this_machine(POOL)
    assert prefect_setup.plan_set_up(servers.profile, pool).changes == ()
    prefect_setup.deploy(servers.profile)
    assert schedules_of(prefect, DRIFT)["daily-local"] is False


def test_a_deployment_of_another_name_is_removed_unless_its_run_is_not_over(
    servers: Stack, prefect: SyncPrefectClient
) -> None:
    """As a release that called three of them `ecs` has left them."""
    flow = prefect.read_deployment_by_name("close-records/close-records").flow_id
    options: dict[str, Any] = {
        "entrypoint": "flows/close_records.py:close_records",
        "tags": ["xops"],
    }
    for name in ("ended", "waiting"):
        prefect.create_deployment(flow, name=name, **options)
    own = prefect.create_deployment(flow, name="own", entrypoint="mine.py:flow", tags=["xops"])
    waiting = prefect.read_deployment_by_name("close-records/waiting")
    run = prefect.create_flow_run_from_deployment(waiting.id)
    prefect.set_flow_run_state(run.id, Running(), force=True)
    prefect.set_flow_run_state(run.id, Suspended(timeout_seconds=600), force=True)
    planned = prefect_setup.plan_set_up(servers.profile, Pool.of_this_machine(POOL))
    assert [(row.action, row.target) for row in planned.changes] == [
        ("delete", "deployment close-records/ended"),
        ("delete", "deployment close-records/waiting"),
    ]

    said: list[str] = []
    prefect_setup.deploy(servers.profile, say=said.append)

    left = {row.name: row for row in prefect.read_deployments() if row.flow_id == flow}
    assert set(left) == {"close-records", "waiting", "own"}
    assert left["waiting"].paused
    assert any("1 of its runs" in line for line in said)
    prefect.set_flow_run_state(run.id, Cancelled(), force=True)
    prefect_setup.deploy(servers.profile)
    assert "waiting" not in {row.name for row in prefect.read_deployments()}
    prefect.delete_deployment(own)


def test_a_slot_that_nothing_needs_goes_and_one_that_is_held_stays(
    servers: Stack, prefect: SyncPrefectClient
) -> None:
    prefect.upsert_global_concurrency_limit_by_name("a-person-s", 3)
    record = prefect.read_variable_by_name(deployments.RECORD)
    assert record is not None
    assert isinstance(record.value, dict)
    for name in ("ecs-gone", "ecs-held"):
        prefect.upsert_global_concurrency_limit_by_name(name, 1)
    told = {**record.value, "limits": [*record.value["limits"], "ecs-gone", "ecs-held"]}
    prefect.update_variable(VariableUpdate(name=deployments.RECORD, value=told))
    prefect.increment_concurrency_slots(["ecs-held"], 1, "concurrency")

    prefect_setup.set_up(servers.profile)

    assert {"a-person-s", "ecs-held"} <= set(limits_of(prefect))
    assert "ecs-gone" not in limits_of(prefect)
    for name in ("a-person-s", "ecs-held"):
        prefect.delete_global_concurrency_limit_by_name(name)


def test_automations_follow_their_files(prefect: SyncPrefectClient) -> None:
    files = automations.read()
    changed = [files[0].model_copy(update={"description": "Told otherwise."}), *files[1:-1]]
    assert automations.apply(prefect, changed) == {
        "created": [],
        "updated": [files[0].name],
        "deleted": [files[-1].name],
    }
    assert names(ours(prefect)) == names(changed)
    again = automations.apply(prefect, files)
    assert (again["created"], again["updated"]) == ([files[-1].name], [files[0].name])


def test_an_automation_for_a_deployment_that_is_not_there_changes_nothing(
    prefect: SyncPrefectClient,
) -> None:
    files = automations.read()
    action = automations.RunNamedDeployment(type="run-deployment", deployment="notify/nobody")
    wrong = files[0].model_copy(update={"actions": [action], "name": "xops: wrong"})
    with pytest.raises(PermanentError, match="notify/nobody"):
        automations.apply(prefect, [wrong])
    assert names(ours(prefect)) == names(files)


def test_a_misspelt_key_is_refused_before_the_server_is_asked(
    tmp_path: Path,
) -> None:
    file = sorted(automations.FOLDER.glob("*.yaml"))[0]
    (tmp_path / file.name).write_text(file.read_text().replace("expect:", "expects:"))
    with pytest.raises(InputError, match="expects"):
        automations.read(tmp_path)


def test_a_server_that_does_not_answer_is_an_error_with_advice() -> None:
    with pytest.raises(PermanentError, match="setting up the Prefect server at"):
        prefect_setup.set_up(Profile("http://127.0.0.1:1/api", POOL, {}))


def test_a_deployment_that_is_refused_is_an_error_that_says_why(
    servers: Stack, tmp_path: Path
) -> None:
    file = tmp_path / "prefect.yaml"
    text = (settings.ROOT / "prefect.yaml").read_text()
    file.write_text(text.replace("{{ $XOPS_WORK_POOL }}", "xops-nowhere"))
    with pytest.raises(PermanentError) as caught:
        prefect_setup.deploy(servers.profile, file)
    assert "'xops-nowhere' which does not exist" in str(caught.value)
    assert "run it again" in caught.value.remedy


def notices(prefect: SyncPrefectClient) -> dict[str, list[FlowRun]]:
    """The runs of notify by subject."""
    flow = prefect.read_deployment_by_name("notify/notify").flow_id
    found: dict[str, list[FlowRun]] = {}
    for run in prefect.read_flow_runs():
        if run.flow_id == flow:
            found.setdefault(run.parameters["notice"]["subject"], []).append(run)
    return found


def emit(
    servers: Stack,
    name: str,
    resource: dict[str, str],
    payload: dict[str, Any],
    follows: str | None = None,
    tags: tuple[str, ...] = (),
) -> str:
    """Tell the server of an event, to be considered after the one it follows. Its id."""
    related = [
        {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}
        for tag in tags
    ]
    event = {
        "id": str(uuid4()),
        "follows": follows,
        "occurred": datetime.now(UTC).isoformat(),
        "event": name,
        "resource": resource,
        "related": related,
        "payload": payload,
    }
    ask(servers, "POST", "/events", json=[event]).raise_for_status()
    return str(event["id"])


def report_of_drift(
    servers: Stack, prefect: SyncPrefectClient, name: str, follows: str | None = None
) -> FlowRun:
    """Say that an environment has drifted; the run that the server starts to report it."""
    resource = {"prefect.resource.id": f"xops.ecs/{name}", "prefect.resource.name": f"ecs/{name}"}
    emit(servers, "xops.ecs.drifted", resource, {"digest": 64 * "a"}, follows)
    run, *_ = seen(lambda: notices(prefect).get(f"xOps: ecs/{name} has drifted"))
    return run


def test_drift_is_reported(servers: Stack, prefect: SyncPrefectClient) -> None:
    run = report_of_drift(servers, prefect, "local")
    assert 64 * "a" in run.parameters["notice"]["body"]
    assert UUID(run.parameters["notice"]["event_id"])


def broken_automation(prefect: SyncPrefectClient) -> AutomationCore:
    """One of a person's own, whose parameters do not fit the flow's schema."""
    deployment = prefect.read_deployment_by_name("notify/notify")
    action = RunDeployment(
        source="selected",
        deployment_id=deployment.id,
        parameters={"notice": {}},
        job_variables=None,
    )
    trigger = EventTrigger(
        match={"prefect.resource.id": "a.thing"},
        expect={"a.thing.happened"},
    )
    return AutomationCore(name="a person's own", trigger=trigger, actions=[action])


def test_an_action_that_could_not_be_done_is_reported(
    servers: Stack, prefect: SyncPrefectClient
) -> None:
    subject = "xOps: an automation's action failed: a person's own"
    with automation_of_a_person(prefect):
        emit(servers, "a.thing.happened", {"prefect.resource.id": "a.thing"}, {})
        run, *_ = seen(lambda: notices(prefect).get(subject))
    assert "subject" in run.parameters["notice"]["body"]


@pytest.fixture
def impatient(prefect: SyncPrefectClient) -> Iterator[None]:
    """The automations as their files say, but half a minute of silence is enough."""
    files = automations.read()
    try:
        automations.apply(prefect, [silent_for(file, 30) for file in files])
        yield
    finally:
        automations.apply(prefect, files)


def silent_for(file: AutomationFile, seconds: int) -> AutomationFile:
    if file.trigger.posture != "Proactive":
        return file
    within = timedelta(seconds=seconds)
    return file.model_copy(update={"trigger": file.trigger.model_copy(update={"within": within})})


@pytest.mark.usefixtures("impatient")
def test_a_run_that_falls_silent_is_called_crashed_and_one_at_its_gate_is_left_alone(
    servers: Stack, prefect: SyncPrefectClient
) -> None:
    def beating(name: str) -> FlowRun:
        """A run that is said to run and has given one sign of life, as a runner gives it.

        The server works on two events at a time, and later on one that met a locked SQLite. What
        is reported of an event that follows the beat says that the beat has been counted, so that
        nothing which comes next is taken for having come before it.
        """
        run = prefect.create_flow_run_from_deployment(drift, name=name)
        prefect.set_flow_run_state(run.id, Running())
        resource = {"prefect.resource.id": f"prefect.flow-run.{run.id}"}
        beat = emit(servers, "prefect.flow-run.heartbeat", resource, {}, tags=tuple(run.tags))
        report_of_drift(servers, prefect, f"after {name}", follows=beat)
        return run

    drift = prefect.read_deployment_by_name("detect-ecs-drift/detect-ecs-drift").id
    waiting = beating("waits for an approval")
    prefect.set_flow_run_state(waiting.id, Suspended())
    silent = beating("was killed")

    end = seen(lambda: ended(prefect, silent.id))
    assert end.is_crashed()
    assert "No sign of life for 9 minutes" in str(end.message)
    gated = prefect.read_flow_run(waiting.id).state
    assert gated is not None
    assert gated.is_paused()
    assert seen(lambda: notices(prefect).get("xOps: detect-ecs-drift Crashed: was killed"))


@pytest.fixture(scope="module")
def worker(servers: Stack) -> None:
    """It starts with nothing to do: notices wait for each other, and nobody waits for these."""
    with runs.client(servers.profile) as connected:
        for asked in notices(connected).values():
            for run in asked:
                connected.delete_flow_run(run.id)
    servers.worker.launch()
    servers.worker.wait()


def ended(prefect: SyncPrefectClient, run_id: UUID) -> State[Any] | None:
    state = prefect.read_flow_run(run_id).state
    return state if state and state.is_final() else None


def delivering(prefect: SyncPrefectClient, subject: str) -> list[FlowRun]:
    """The runs that delivered the notice."""
    found = notices(prefect).get(subject, [])
    return [run for run in found if run.state and run.state.name == "Completed"]


@pytest.mark.usefixtures("worker")
@pytest.mark.timeout(300)  # its runs, one after another, are processes that import all of Prefect
def test_a_failed_run_is_reported_once_and_a_failed_report_never(
    servers: Stack, prefect: SyncPrefectClient
) -> None:
    lost = {"notice": {"subject": "to nobody"}, "channel": "missing"}
    report = runs.start(servers.profile, "notify/notify", lost)
    report_end = seen(lambda: ended(prefect, report))
    assert report_end.is_failed(), report_end
    assert "no block document xops-notification" in str(report_end.message)

    request = {"request": {"environment": "local"}}
    watched = runs.start(servers.profile, "detect-ecs-drift/detect-ecs-drift", request)
    watched_end = seen(lambda: ended(prefect, watched))
    # It ran from the checkout, which only its pool told it: the code was found, the input was not.
    assert "variable XOPS_ENVIRONMENT__REGION" in str(watched_end.message)

    subject = f"xOps: detect-ecs-drift Failed: {prefect.read_flow_run(watched).name}"
    notice, *_ = seen(lambda: notices(prefect).get(subject))
    assert notice.parameters["notice"]["flow_run_id"] == str(watched)
    (delivered,) = seen(lambda: delivering(prefect, subject))
    # Events are worked through in order: had the first failure been reported, it would be here.
    assert not [found for found in notices(prefect) if "notify Failed" in found]
    # The server may work through an event twice and start a second run; that one finds the first.
    for run in notices(prefect)[subject]:
        end = seen(lambda: ended(prefect, run.id))  # noqa: B023 - called before the next one
        assert end.name == ("Completed" if run.id == delivered.id else "AlreadyDelivered")


@pytest.mark.usefixtures("worker")
@pytest.mark.timeout(300)  # its runs, one after another, are processes that import all of Prefect
def test_a_notice_of_one_event_is_delivered_once(
    servers: Stack, prefect: SyncPrefectClient
) -> None:
    def state_of(notice: dict[str, str]) -> str:
        run = runs.start(servers.profile, "notify/notify", {"notice": notice})
        return str(seen(lambda: ended(prefect, run)).name)

    notice = {"subject": "twice", "event_id": str(uuid4())}
    assert state_of(notice) == "Completed"
    assert state_of(notice) == "AlreadyDelivered"
    assert state_of({**notice, "subject": "another notice of the same event"}) == "Completed"


def test_forty_runs_that_are_asked_for_at_once_are_all_taken(
    servers: Stack, prefect: SyncPrefectClient
) -> None:
    """SQLite, which takes one writer at a time, refused most of them with 503."""
    deployment = prefect.read_deployment_by_name("detect-ecs-drift/detect-ecs-drift").id
    later = {
        "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}
    }

    def click(_: int) -> int:
        return ask(
            servers, "POST", f"/deployments/{deployment}/create_flow_run", json=later
        ).status_code

    with ThreadPoolExecutor(40) as people:
        answers = list(people.map(click, range(40)))
    assert Counter(answers) == {201: 40}


def test_a_killed_database_is_seen_and_comes_back_with_everything(
    servers: Stack, prefect: SyncPrefectClient
) -> None:
    before = everything(servers, prefect)
    first = servers.postgresql.process()
    assert first is not None
    process = psutil.Process(first.pid)
    process.kill()
    process.wait(20)

    assert seen(lambda: ask(servers, "GET", "/ready").is_server_error)
    shown = {check.name: check for check in examine({})}["service postgresql"]
    assert (shown.verdict, shown.found) == (Verdict.NOTE, "not running")
    assert "xops up" in shown.remedy
    with pytest.raises(TemporaryError, match="or its database has stopped answering"):
        runs.follow(servers.profile, uuid4(), on_step=lambda step: None)

    servers.postgresql.launch()
    servers.postgresql.wait()
    servers.server.wait()
    assert everything(servers, prefect) == before
