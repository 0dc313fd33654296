"""Starting a deployed flow and following the run until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import batched
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, Log, StateType
from prefect.client.schemas.sorting import ArtifactSort, LogSort
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_HOME,
    temporary_settings,
)

from xops.core.errors import CredentialsError, PermanentError, TemporaryError
from xops.core.files import settings
from xops.core.rendering import read_markdown
from xops.prefect_server.profile import AUTH_VARIABLE, Profile, run_page

_POLL_SECONDS = 1.0
_LAST_WORDS_SECONDS = 10.0
_AT_A_TIME = 200
"""Runs in one answer, which the server limits."""

_WAITS = (
    "waiting for other runs of this deployment to end; one that was killed frees its place within"
    " a minute"
)


@dataclass(frozen=True)
class Step:
    """One thing a run has said or done since the last look.

    `percent` is how far its apply has come, None for a log line.
    """

    message: str
    percent: float | None = None


@contextmanager
def client(profile: Profile) -> Iterator[SyncPrefectClient]:
    """Prefect's client for this server, whatever profile the person has."""
    home = settings.home() / "prefect"
    chosen = {
        PREFECT_API_URL: profile.api,
        PREFECT_API_AUTH_STRING: profile.secret,
        PREFECT_HOME: home,
    }
    with (
        temporary_settings(chosen),
        get_client(sync_client=True) as connected,
    ):
        yield connected


def refused(profile: Profile, attempted: str) -> CredentialsError:
    """That a server did not let us in, and where its secret is."""
    return CredentialsError(
        attempted,
        f"{profile.api} does not let us in (401): the secret is missing, old or another server's",
        f"Put the server's `user:password` into {AUTH_VARIABLE}. The embedded stack's is in"
        " prefect-secret below XOPS_HOME; if that file was changed, `xops down`, then `xops up`"
        " starts its servers with what it holds now.",
    )


def is_refusal(error: httpx.HTTPError) -> bool:
    """Whether a server did not let us in."""
    status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
    return status == httpx.codes.UNAUTHORIZED


@contextmanager
def _answering(profile: Profile, attempted: str) -> Iterator[None]:
    try:
        yield
    except httpx.HTTPError as error:
        if is_refusal(error):
            raise refused(profile, attempted) from None
        if isinstance(error, httpx.HTTPStatusError) and not error.response.is_server_error:
            raise
        raise TemporaryError(
            attempted,
            f"the Prefect server at {profile.api} or its database has stopped answering ({error})",
            "Look at `xops doctor`; `xops up` starts what has ended and provisions again.",
        ) from error


def start(profile: Profile, deployment: str, parameters: dict[str, Any]) -> UUID:
    """Start a deployed flow; the run's id.

    Raises:
        CredentialsError: the server does not let us in.
        TemporaryError: the server or its database has stopped answering.
    """
    with _answering(profile, f"starting {deployment}"), client(profile) as prefect:
        found = prefect.read_deployment_by_name(deployment)
        run = prefect.create_flow_run_from_deployment(found.id, parameters=parameters)
        return run.id


def follow(profile: Profile, run_id: UUID, on_step: Callable[[Step], None]) -> Any:
    """Wait until the run has ended and return its result.

    Raises:
        PermanentError: it failed, crashed, was cancelled, or waits for a person.
        CredentialsError: the server does not let us in any longer.
        TemporaryError: the server or its database has stopped answering; the run may well go on.
    """
    with _answering(profile, f"following run {run_id}"), client(profile) as prefect:
        return _result(_wait(prefect, run_id, on_step))


def _wait(prefect: SyncPrefectClient, run_id: UUID, on_step: Callable[[Step], None]) -> FlowRun:
    reader = _Reader(prefect, run_id)
    waits = False
    while not _is_over(run := prefect.read_flow_run(run_id)):
        if _waits_for_others(run) != waits:
            waits = not waits
            on_step(Step(_WAITS if waits else "its turn has come"))
        _tell(reader, on_step)
        time.sleep(_POLL_SECONDS)
    # The run's last lines reach the server after its last state; a run that was killed has none.
    give_up = time.monotonic() + _LAST_WORDS_SECONDS
    while not reader.finished and time.monotonic() < give_up:
        _tell(reader, on_step)
        time.sleep(_POLL_SECONDS / 2)
    return run


def _waits_for_others(run: FlowRun) -> bool:
    return run.state is not None and run.state.name == "AwaitingConcurrencySlot"


def _is_over(run: FlowRun) -> bool:
    return run.state is not None and (run.state.is_final() or run.state.is_paused())


def _tell(reader: _Reader, on_step: Callable[[Step], None]) -> None:
    for step in reader.news():
        on_step(step)


class _Reader:
    """A run's log lines and its progress artifact, each told once."""

    def __init__(self, prefect: SyncPrefectClient, run_id: UUID) -> None:
        self._prefect = prefect
        self._run_id = run_id
        self._read = 0
        self._shown = ""
        self.finished = False

    def news(self) -> Iterator[Step]:
        wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[self._run_id]))
        lines = self._prefect.read_logs(
            wanted, limit=200, offset=self._read, sort=LogSort.TIMESTAMP_ASC
        )
        self._read += len(lines)
        self.finished = self.finished or any(map(_is_last, lines))
        # Terraform's steps come as progress; their log lines are for the UI.
        yield from (Step(line.message) for line in lines if line.name == "xops.lifecycle")
        yield from self._progress()

    def _progress(self) -> Iterator[Step]:
        found = self._prefect.read_artifacts(
            artifact_filter=ArtifactFilter(
                flow_run_id=ArtifactFilterFlowRunId(any_=[self._run_id])
            ),
            sort=ArtifactSort.UPDATED_DESC,
            limit=20,
        )
        for artifact in found:
            shown = read_markdown(artifact.description or "")
            if artifact.type == "progress" and shown != self._shown:
                self._shown = shown
                yield Step(shown, float(str(artifact.data)))


def _is_last(line: Log) -> bool:
    ended = line.message.startswith("Finished in state")
    return ended and line.name == "prefect.flow_runs"


def _result(run: FlowRun) -> Any:
    state = run.state
    if state is None or not state.is_completed():
        raise PermanentError(
            f"run {run.name}",
            f"it ended as {state.name}: {state.message}" if state else "it has no state",
            f"Open the run in the UI for its log: {run_page('', run.id)}",
        )
    return state.result()


class ServerRunStates:
    """How runs have ended, on the server whose run this is."""

    def crashed(self, ids: Collection[str]) -> set[str]:
        """As `RunStates.crashed` says."""
        try:
            with get_client(sync_client=True) as prefect:
                return {
                    str(run.id)
                    for some in batched(map(UUID, ids), _AT_A_TIME)
                    for run in prefect.read_flow_runs(flow_run_filter=_crashed_among(some))
                }
        except httpx.HTTPError as error:
            raise TemporaryError(
                "asking how runs have ended",
                f"the Prefect server does not tell ({error})",
                "It is asked again; look at `xops doctor`.",
            ) from error


def _crashed_among(ids: Sequence[UUID]) -> FlowRunFilter:
    return FlowRunFilter(
        id=FlowRunFilterId(any_=list(ids)),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CRASHED])),
    )
