"""The deployments of prefect.yaml, kept in step with a server. What a person has set there stays.

`prefect deploy` writes what the file names, and is blind to the rest (Prefect 3.9.1, seen): it
leaves what was renamed or dropped, starts what a person has paused, and removes a schedule that a
person has made where the file has schedules. So what was there is read before, and put right after.

What xOps has deployed last is on record in a variable on the server: only so can a schedule that a
person switched off be told from one that the file has switched on since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import (
    DeploymentScheduleCreate,
    DeploymentUpdate,
    VariableCreate,
    VariableUpdate,
)
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import DeploymentSchedule, StateType
from prefect.client.schemas.responses import DeploymentResponse
from pydantic import BaseModel, ConfigDict, ValidationError

from xops.core.files import settings
from xops.core.files.canonical_json import digest_of
from xops.core.files.tree import hash_file
from xops.core.plan.values import Json
from xops.core.rendering import Plain
from xops.prefect_server.plan import State
from xops.prefect_server.profile import TAG

FILE = settings.ROOT / "prefect.yaml"
RECORD = "xops_deployed"
"""The variable on the server with what was deployed last."""

_SLOT: Json = {"limit": 1}
_SOURCES = ("flows", "blocks", "xops")
_UNFINISHED = [StateType.RUNNING, StateType.PENDING, StateType.PAUSED, StateType.CANCELLING]


class _Deployed(BaseModel):
    """What one deployment was told, and when the server last heard of it."""

    model_config = ConfigDict(frozen=True)

    updated: str
    schedules: Mapping[str, bool]


class _Record(BaseModel):
    """What was deployed last: of which code, as which deployments."""

    model_config = ConfigDict(frozen=True)

    digest: str = ""
    deployments: Mapping[str, _Deployed] = {}
    limits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What a file wants: for each deployment, `flow/deployment`, its schedules and their activity.

    `pool` is where their runs are carried out; `limits` are the names of slots, one for each state
    that runs must not change at once. `digest` covers the file and the code of the flows, from
    which Prefect makes their forms.
    """

    file: Path
    pool: str
    digest: str
    schedules: Mapping[str, Mapping[str, bool]]
    limits: tuple[str, ...]

    def state(self) -> State:
        """What the server is to have."""
        slots = {f"slot {name}": _SLOT for name in self.limits}
        told = {
            f"deployment {name}": {
                "code": self.digest,
                "pool": self.pool,
                "schedules": dict(schedules),
            }
            for name, schedules in self.schedules.items()
        }
        return {**slots, **told}

    @classmethod
    def read(cls, file: Path, pool: str, limits: Iterable[str]) -> Wanted:
        """What the file names; its contract test holds its form."""
        rows = yaml.safe_load(file.read_text(encoding="utf-8"))["deployments"]
        schedules = {_full_name(row): _activity(row) for row in rows}
        return cls(file, pool, _digest(file), schedules, tuple(limits))


def _full_name(row: Mapping[str, Any]) -> str:
    flow = row["entrypoint"].rpartition(":")[2].replace("_", "-")
    return f"{flow}/{row['name']}"


def _activity(row: Mapping[str, Any]) -> dict[str, bool]:
    return {each["slug"]: each["active"] for each in row.get("schedules", [])}


def _digest(file: Path) -> str:
    sources = (path for top in _SOURCES for path in (settings.ROOT / top).rglob("*.py"))
    names = [file, settings.ROOT / "requirements.lock", *sorted(sources)]
    names += sorted((settings.ROOT / "deployments").rglob("*.yaml"))  # their names are choices
    return digest_of([hash_file(path) for path in names])


@dataclass(frozen=True)
class Found:
    """A server's deployments of ours by full name, and what was deployed last."""

    deployments: Mapping[str, DeploymentResponse]
    limits: Mapping[str, int]
    record: _Record

    @classmethod
    def read(cls, prefect: SyncPrefectClient) -> Found:
        """What the server has."""
        limits = {
            row.name: row.active_slots for row in prefect.read_global_concurrency_limits(limit=200)
        }
        return cls(read_deployments(prefect), limits, _read_record(prefect))

    def _idle_limits(self, wanted: Wanted) -> list[str]:
        gone = set(self.record.limits) - set(wanted.limits)
        return sorted(name for name in gone if self.limits.get(name) == 0)

    def apply_limits(self, prefect: SyncPrefectClient, wanted: Wanted) -> None:
        """Make what is missing; delete what xOps made, needs no longer, and nobody holds."""
        for name in wanted.limits:
            prefect.upsert_global_concurrency_limit_by_name(name, 1)
        for name in self._idle_limits(wanted):
            prefect.delete_global_concurrency_limit_by_name(name)

    def is_current(self, wanted: Wanted) -> bool:
        """Whether the server has what is wanted, as it was deployed, and nothing else of ours."""
        return self.record.limits == wanted.limits and self.state(wanted) == wanted.state()

    def state(self, wanted: Wanted) -> State:
        """What the server has of ours: slots, and deployments as they were deployed."""
        known = {*wanted.limits, *self._idle_limits(wanted)}
        slots = {f"slot {name}": _SLOT for name in self.limits if name in known}
        deployed = {f"deployment {name}": self._as_deployed(name) for name in self.deployments}
        return {**slots, **deployed}

    def _as_deployed(self, name: str) -> Json:
        last, there = self.record.deployments.get(name), self.deployments[name]
        told = {
            "code": self.record.digest,
            "pool": there.work_pool_name,
            "schedules": dict(last.schedules) if last else {},
        }
        is_as_told = last is not None and last.updated == str(there.updated)
        return told if is_as_told else {**told, "edited": "on the server since"}


def read_deployments(prefect: SyncPrefectClient) -> dict[str, DeploymentResponse]:
    """A server's deployments of ours by full name."""
    flows = {flow.id: flow.name for flow in prefect.read_flows(limit=200)}
    return {
        f"{flows[row.flow_id]}/{row.name}": row
        for row in prefect.read_deployments(limit=200)
        if TAG in row.tags and str(row.entrypoint).startswith("flows/")
    }


def _read_record(prefect: SyncPrefectClient) -> _Record:
    found = prefect.read_variable_by_name(RECORD)
    try:
        return _Record() if found is None else _Record.model_validate(found.value)
    except ValidationError:  # a person has edited it: as if there were none
        return _Record()


def put_right(
    prefect: SyncPrefectClient, wanted: Wanted, before: Found, say: Callable[[str], None]
) -> None:
    """After `prefect deploy`: give back what a person had set, remove what is wanted no longer.

    Args:
        prefect: the server.
        wanted: what was deployed.
        before: the server as it was before.
        say: told what is kept and why.
    """
    for name, found in read_deployments(prefect).items():
        if name in wanted.schedules:
            _give_back(prefect, found, before.deployments.get(name), _chosen(name, wanted, before))
        else:
            _remove(prefect, name, found, say)
    _write_record(prefect, wanted)


def _chosen(name: str, wanted: Wanted, before: Found) -> dict[str, bool]:
    """The activity of each schedule: the file's, but for those that a person has switched since."""
    chosen = dict(wanted.schedules[name])
    there = before.deployments.get(name)
    last = before.record.deployments.get(name)
    for schedule in there.schedules if there else []:
        slug = schedule.slug
        if slug not in chosen:
            continue
        # Without a record it was deployed by a release that kept none, from a file like this one.
        told = last.schedules.get(slug, chosen[slug]) if last else chosen[slug]
        if schedule.active is not told:
            chosen[slug] = bool(schedule.active)
    return chosen


def _give_back(
    prefect: SyncPrefectClient,
    found: DeploymentResponse,
    before: DeploymentResponse | None,
    chosen: Mapping[str, bool],
) -> None:
    if before is not None and before.paused and not found.paused:
        prefect.update_deployment(found.id, DeploymentUpdate(paused=True))
    for schedule in found.schedules:
        if schedule.slug is None:
            continue  # a person's own: ours have a slug each
        if schedule.slug not in chosen:
            prefect.delete_deployment_schedule(found.id, schedule.id)
        elif schedule.active is not chosen[schedule.slug]:
            prefect.update_deployment_schedule(found.id, schedule.id, active=chosen[schedule.slug])
    _make_again(prefect, found, before)


def _make_again(
    prefect: SyncPrefectClient, found: DeploymentResponse, before: DeploymentResponse | None
) -> None:
    """The schedules that a person had made, where the deploy has removed them."""
    own = [each for each in before.schedules if each.slug is None] if before else []
    there = {each.id for each in found.schedules}
    lost = [_as_new(each) for each in own if each.id not in there]
    if lost:
        prefect.create_deployment_schedules(found.id, lost)


def _as_new(schedule: DeploymentSchedule) -> DeploymentScheduleCreate:
    return DeploymentScheduleCreate(
        schedule=schedule.schedule, active=schedule.active, parameters=schedule.parameters
    )


def _remove(
    prefect: SyncPrefectClient, name: str, found: DeploymentResponse, say: Callable[[str], None]
) -> None:
    """Delete it; one whose run is not over is only paused, since its run goes on by it."""
    if count := _unfinished(prefect, found.id):
        prefect.update_deployment(found.id, DeploymentUpdate(paused=True))
        say(
            Plain.render(
                f"{name} is named no longer; paused, since {count} of its runs are not over"
            )
        )
        return
    prefect.delete_deployment(found.id)
    say(Plain.render(f"{name} is named no longer; removed"))


def _unfinished(prefect: SyncPrefectClient, deployment: UUID) -> int:
    return len(
        prefect.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNFINISHED))
            ),
        )
    )


def _write_record(prefect: SyncPrefectClient, wanted: Wanted) -> None:
    there = read_deployments(prefect)
    value = _Record(
        digest=wanted.digest,
        limits=wanted.limits,
        deployments={
            name: _Deployed(updated=str(there[name].updated), schedules=schedules)
            for name, schedules in wanted.schedules.items()
            if name in there
        },
    ).model_dump(mode="json")
    if prefect.read_variable_by_name(RECORD) is None:
        prefect.create_variable(VariableCreate(name=RECORD, value=value, tags=[TAG]))
    else:
        prefect.update_variable(VariableUpdate(name=RECORD, value=value))
