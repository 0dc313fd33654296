"""What goes wrong on a Prefect server without anybody being told by the server itself.

Automations tell what failed, crashed or fell silent, through a run of a worker's. Nobody tells that
the worker has gone, that a run waits for it, that one died before it gave a sign of life, or that a
question is not answered; nor that the server has gone. This looks from outside.
"""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
from pydantic import BaseModel

from xops.core.errors import XopsError
from xops.core.files.bounded_json import parse_json
from xops.core.files.private_file import write_private
from xops.core.files.reading import UnusableTextError, read_text
from xops.core.rendering import Plain
from xops.prefect_server.profile import CERTIFICATE_VARIABLE, TAG, Profile

logger = logging.getLogger(__name__)

URL_VARIABLE = "XOPS_NOTICE_URL"
TOPIC_VARIABLE = "XOPS_NOTICE_TOPIC_ARN"

Deliver = Callable[[str, str], None]
"""Takes a subject and a body."""

PENDING = timedelta(minutes=10)
"""How long a run may be about to start. A task on Fargate is pulled and started within two."""

LATE = timedelta(minutes=15)
"""How long a run may wait to be taken; others of its deployment may go first."""

UNANSWERED = timedelta(hours=4)
"""How long a question may wait until somebody is reminded; after 24 h it lapses."""

SILENT = timedelta(minutes=10)
"""How long a run may give no sign of life: a beat comes every half minute."""

_WAITING = ["SCHEDULED", "PENDING", "RUNNING", "PAUSED"]
_BEAT = "prefect.flow-run.heartbeat"
_AGAIN = timedelta(hours=24)
_MOST = 200
_ANSWER_SECONDS = 20.0
_ANSWER_BYTES = 32 * 1024**2


class _Details(BaseModel):
    pause_timeout: datetime | None = None


class State(BaseModel):
    """A run's state, as the server has it."""

    type: str
    name: str | None = None
    timestamp: datetime
    state_details: _Details = _Details()


class Run(BaseModel):
    """A run of a flow."""

    id: UUID
    name: str
    deployment_id: UUID | None = None
    expected_start_time: datetime | None = None
    state: State | None = None


class Worker(BaseModel):
    """A worker of a pool."""

    status: str
    last_heartbeat_time: datetime | None = None


class Pool(BaseModel):
    """A work pool."""

    name: str
    is_paused: bool = False


class _Flow(BaseModel):
    id: UUID
    name: str


class _Deployment(BaseModel):
    id: UUID
    name: str
    flow_id: UUID
    entrypoint: str | None = None
    tags: list[str] = []
    work_pool_name: str | None = None


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
    """What is wrong on a server now; a server that does not answer is that.

    Asks the API itself: Prefect's client takes 60 MB, of a process that waits for a minute's end.
    """
    try:
        with _client(profile) as client:
            return list(_look(_Server(client), now))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        found = Plain.render(_shown(error))
        subject = "xOps: the Prefect server does not answer"
        return [Trouble("server", subject, f"{profile.api}: {found}")]


def _client(profile: Profile) -> httpx.Client:
    user, _, password = (profile.secret or "").partition(":")
    trusted = profile.environ.get(CERTIFICATE_VARIABLE)
    return httpx.Client(
        base_url=profile.api,
        auth=(user, password) if profile.secret else None,
        timeout=_ANSWER_SECONDS,
        verify=ssl.create_default_context(cafile=trusted) if trusted else True,
    )


def _shown(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        status = error.response.status_code
        if status == httpx.codes.UNAUTHORIZED:
            return "it does not let us in (401): the secret is missing, old or another server's"
        return f"it answers {status}"
    if isinstance(error, ValueError):
        return f"it answers, and not as a Prefect server does ({type(error).__name__})"
    return str(error) or type(error).__name__


class _Server:
    """What is asked of a server; each answer is bounded."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def find[Row: BaseModel](self, kind: type[Row], path: str, **body: Any) -> list[Row]:
        return [kind.model_validate(row) for row in self._ask("POST", path, body)]

    def read[Row: BaseModel](self, kind: type[Row], path: str) -> Row:
        return kind.model_validate(self._ask("GET", path, None))

    def has_events(self, wanted: Mapping[str, Any]) -> bool:
        answer = self._ask("POST", "/events/filter", {"filter": wanted, "limit": 1})
        return bool(dict(answer)["events"])

    def _ask(self, method: str, path: str, body: Any) -> Any:
        with self._client.stream(method, path, json=body) as answer:
            answer.raise_for_status()
            content = bytearray()
            for part in answer.iter_bytes():
                content += part
                if len(content) > _ANSWER_BYTES:
                    raise ValueError("too long")
        return parse_json(bytes(content))


def _look(server: _Server, now: datetime) -> Iterator[Trouble]:
    ours = _deployments(server)
    for run in _runs(server, now):
        if run.deployment_id not in ours:
            continue
        name = ours[run.deployment_id][0]
        yield from of_run(run, name, now)
        if is_old(run, now) and not _beats(server, run, now):
            yield _silent(run, name)
    for pool in sorted({pool for _, pool in ours.values() if pool}):
        address = f"/work_pools/{quote(pool, safe='')}"
        workers = server.find(Worker, f"{address}/workers/filter")
        yield from of_pool(server.read(Pool, address), workers)


def _deployments(server: _Server) -> dict[UUID, tuple[str, str | None]]:
    """The full names of our deployments, and the pools that their runs wait in."""
    flows = {row.id: row.name for row in server.find(_Flow, "/flows/filter", limit=_MOST)}
    return {
        row.id: (f"{flows.get(row.flow_id, '')}/{row.name}", row.work_pool_name)
        for row in server.find(_Deployment, "/deployments/filter", limit=_MOST)
        if TAG in row.tags and str(row.entrypoint).startswith("flows/")
    }


def of_run(run: Run, deployment: str, now: datetime) -> Iterator[Trouble]:
    """What a run's state says by its age."""
    state = run.state
    if state is None:
        return
    age = now - state.timestamp
    called = Plain.render(f"{deployment}, run {run.name}")
    if state.type == "PENDING" and age > PENDING:
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
    if state.type == "PAUSED" and age > UNANSWERED:
        until = state.state_details.pause_timeout
        lapses = f" It lapses at {until:%Y-%m-%d %H:%M} UTC." if until else ""
        yield Trouble(
            f"unanswered {run.id}",
            "xOps: a plan waits for an answer",
            f"{called} asks since {_minutes(age)}, and nobody has answered.{lapses}",
        )


def is_old(run: Run, now: datetime) -> bool:
    """Whether a run goes on for so long that signs of life must have come."""
    state = run.state
    return state is not None and state.type == "RUNNING" and now - state.timestamp > SILENT


def of_pool(pool: Pool, workers: Sequence[Worker]) -> Iterator[Trouble]:
    """That nobody takes the runs of a pool. One that a person has paused is their matter."""
    if pool.is_paused or any(worker.status == "ONLINE" for worker in workers):
        return
    beats = [worker.last_heartbeat_time for worker in workers if worker.last_heartbeat_time]
    since = f"since {max(beats):%Y-%m-%d %H:%M} UTC" if beats else "and none ever was"
    yield Trouble(
        f"worker {pool.name}",
        "xOps: no worker is there",
        f"No worker of the pool {pool.name} is online {since}: its runs do not begin.",
    )


def _silent(run: Run, deployment: str) -> Trouble:
    called = Plain.render(f"{deployment}, run {run.name}")
    return Trouble(
        f"silent {run.id}",
        "xOps: a run gives no sign of life",
        f"{called} is said to be running, and nothing was heard of it for {_minutes(SILENT)}. Look"
        " whether its process lives; start it again where it does not: it goes on.",
    )


def _runs(server: _Server, now: datetime) -> list[Run]:
    wanted = {
        "state": {"type": {"any_": _WAITING}},
        "expected_start_time": {"before_": now.isoformat()},
    }
    return server.find(Run, "/flow_runs/filter", flow_runs=wanted, limit=_MOST)


def _beats(server: _Server, run: Run, now: datetime) -> bool:
    wanted = {
        "event": {"name": [_BEAT]},
        "resource": {"id": [f"prefect.flow-run.{run.id}"]},
        "occurred": {"since": (now - SILENT).isoformat()},
    }
    return server.has_events(wanted)


def _minutes(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def tell_lasting(
    found: Sequence[Trouble], before: Collection[str], now: datetime, deliver: Deliver, file: Path
) -> set[str]:
    """Tell, as `tell_new` does, what the look before has found too; the keys of this look.

    A server that is being restarted is none that has gone: that is seen at the next look.
    """
    tell_new([row for row in found if row.key in before], now, deliver, file)
    return {row.key for row in found}


def tell_new(found: Sequence[Trouble], now: datetime, deliver: Deliver, file: Path) -> None:
    """Tell each trouble once, and once a day while it lasts.

    Args:
        found: what is wrong now.
        now: when that was found.
        deliver: what fails to be delivered is told at the next look.
        file: remembers what was told, over restarts.
    """
    told = _read(file)
    kept = {row.key: told[row.key] for row in found if row.key in told}
    for trouble in found:
        last = kept.get(trouble.key)
        if last and now - datetime.fromisoformat(last) < _AGAIN:
            continue
        try:
            deliver(trouble.subject, trouble.body)
            kept[trouble.key] = now.isoformat()
        except XopsError as error:
            logger.error("%s", error)
    if kept != told:
        write_private(file, json.dumps(kept))


def _read(file: Path) -> dict[str, str]:
    try:
        read = parse_json(read_text(file))
        moments = {str(key): str(datetime.fromisoformat(moment)) for key, moment in read.items()}
    except (UnusableTextError, ValueError, TypeError, AttributeError):
        return {}  # none yet, or of another shape: everything is told anew
    return moments
