"""What goes wrong on a Prefect server without anybody being told by the server itself.

Automations tell what failed, crashed or fell silent, through a run of a worker's. Nobody tells that
the worker has gone, that a run waits for it, that one died before it gave a sign of life, or that a
question is not answered; nor that the server has gone. This looks from outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType, Worker, WorkerStatus, WorkPool
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter

from xops.core.rendering import Plain
from xops.prefect_server.deployments import read_deployments
from xops.prefect_server.profile import Profile
from xops.prefect_server.runs import client

PENDING = timedelta(minutes=10)
"""How long a run may be about to start. A task on Fargate is pulled and started within two."""

LATE = timedelta(minutes=15)
"""How long a run may wait to be taken; others of its deployment may go first."""

UNANSWERED = timedelta(hours=4)
"""How long a question may wait until somebody is reminded; after 24 h it lapses."""

SILENT = timedelta(minutes=10)
"""How long a run may give no sign of life: a beat comes every half minute."""

_WAITING = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED]
_BEAT = "prefect.flow-run.heartbeat"


@dataclass(frozen=True)
class Trouble:
    """Something that somebody should look at.

    Attributes:
        key: the same for the same trouble at each look, so that it is told once.
        subject, body: for people.
    """

    key: str
    subject: str
    body: str


def look(profile: Profile, now: datetime) -> list[Trouble]:
    """What is wrong on a server now; a server that does not answer is that."""
    try:
        with client(profile) as prefect:
            return list(_look(prefect, now))
    except (httpx.HTTPError, RuntimeError) as error:  # Prefect's client wraps some as RuntimeError
        found = Plain.render(str(error) or type(error).__name__)
        subject = "xOps: the Prefect server does not answer"
        return [Trouble("server", subject, f"{profile.api}: {found}")]


def _look(prefect: SyncPrefectClient, now: datetime) -> Iterator[Trouble]:
    ours = read_deployments(prefect)
    deployed = {row.id: name for name, row in ours.items()}
    runs = [run for run in _runs(prefect, now) if run.deployment_id in deployed]
    for run in runs:
        name = deployed[run.deployment_id] if run.deployment_id else ""
        yield from of_run(run, name, now)
        if is_old(run, now) and not _beats(prefect, run, now):
            yield _silent(run, name)
    pools = {row.work_pool_name for row in ours.values()}
    for pool in sorted(filter(None, pools)):
        yield from of_pool(prefect.read_work_pool(pool), prefect.read_workers_for_work_pool(pool))


def of_run(run: FlowRun, deployment: str, now: datetime) -> Iterator[Trouble]:
    """What a run's state says by its age."""
    state = run.state
    if state is None:
        return
    age = now - state.timestamp
    called = Plain.render(f"{deployment}, run {run.name}")
    if state.is_pending() and age > PENDING:
        yield Trouble(
            f"pending {run.id}",
            "xOps: a run does not begin",
            f"{called} is about to start since {_minutes(age)}: its worker has died, or its task"
            " does not start. Look at the worker; cancel the run and start it again.",
        )
    due = now - (run.expected_start_time or now)
    if state.name == "Late" and due > LATE:
        yield Trouble(
            f"late {run.id}",
            "xOps: a run is late",
            f"{called} should have begun {_minutes(due)} ago, and no worker has taken it.",
        )
    if state.is_paused() and age > UNANSWERED:
        until = state.state_details.pause_timeout
        lapses = f" It lapses at {until:%Y-%m-%d %H:%M} UTC." if until else ""
        yield Trouble(
            f"unanswered {run.id}",
            "xOps: a plan waits for an answer",
            f"{called} asks since {_minutes(age)}, and nobody has answered.{lapses}",
        )


def is_old(run: FlowRun, now: datetime) -> bool:
    """Whether a run goes on for so long that signs of life must have come."""
    state = run.state
    return state is not None and state.is_running() and now - state.timestamp > SILENT


def of_pool(pool: WorkPool, workers: Sequence[Worker]) -> Iterator[Trouble]:
    """That nobody takes the runs of a pool. One that a person has paused is their matter."""
    if pool.is_paused or any(worker.status == WorkerStatus.ONLINE for worker in workers):
        return
    beats = [worker.last_heartbeat_time for worker in workers if worker.last_heartbeat_time]
    since = f"since {max(beats):%Y-%m-%d %H:%M} UTC" if beats else "and none ever was"
    yield Trouble(
        f"worker {pool.name}",
        "xOps: no worker is there",
        f"No worker of the pool {pool.name} is online {since}: its runs do not begin.",
    )


def _silent(run: FlowRun, deployment: str) -> Trouble:
    called = Plain.render(f"{deployment}, run {run.name}")
    return Trouble(
        f"silent {run.id}",
        "xOps: a run gives no sign of life",
        f"{called} is said to be running, and nothing was heard of it for {_minutes(SILENT)}. Look"
        " whether its process lives; start it again where it does not: it goes on.",
    )


def _runs(prefect: SyncPrefectClient, now: datetime) -> list[FlowRun]:
    wanted = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_WAITING)),
        expected_start_time={"before_": now},  # type: ignore[arg-type]
    )
    return prefect.read_flow_runs(flow_run_filter=wanted, limit=200)


def _beats(prefect: SyncPrefectClient, run: FlowRun, now: datetime) -> bool:
    wanted = EventFilter(
        event=EventNameFilter(name=[_BEAT]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
        occurred={"since": now - SILENT},  # type: ignore[arg-type]
    )
    return bool(prefect.read_events(wanted, limit=1).events)


def _minutes(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
