"""Bringing a Prefect server to what the repository says: pool, limits, blocks, deployments,
automations. Doing it again changes nothing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists

from xops.core.errors import PermanentError
from xops.core.files import settings
from xops.core.process import Command, Finished, run
from xops.ecs import environment
from xops.k3s.cluster_file import cluster
from xops.prefect_server import automations
from xops.prefect_server.profile import Profile, without_prefect
from xops.prefect_server.runs import client

_TEMPLATE = settings.ROOT / "deployments" / "pools" / "process.json"
_DEADLINE = 300.0


def set_up(profile: Profile, *, on_step: Callable[[str], None] = lambda step: None) -> None:
    """Create or update everything that xOps needs on a running server.

    Args:
        profile: which server.
        on_step: told what is being done, a line at a time.

    Raises:
        InputError: an automation's file is wrong; nothing was changed.
        PermanentError: the server refused something.
    """
    files = automations.read()
    with _server(profile.api) as prefect:
        on_step(f"work pool {profile.pool}")
        _make_work_pool(prefect, profile.pool)
        on_step("concurrency limits")
        _make_limits(prefect)
    on_step("blocks")
    _run(profile, "saving the block documents", "blocks")
    on_step("deployments")
    deploy(profile)
    with _server(profile.api) as prefect:
        on_step("automations")
        automations.apply(prefect, files)


def deploy(profile: Profile, file: Path = settings.ROOT / "prefect.yaml") -> None:
    """Create or update every deployment that the file names.

    Raises:
        PermanentError: one was refused; those before it are deployed.
    """
    every = ("deploy", "--all", "--prefect-file", str(file))
    _run(profile, f"deploying {file.name}", "prefect", "--no-prompt", *every)


def base_job_template(file: Path = _TEMPLATE, root: Path = settings.ROOT) -> dict[str, Any]:
    """The pool's template; each run is told where the code lies on this machine."""
    template: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    template["variables"]["properties"]["env"]["default"] = {"XOPS_ROOT": str(root)}
    return template


@contextmanager
def _server(api_url: str) -> Iterator[SyncPrefectClient]:
    try:
        with client(api_url) as prefect:
            yield prefect
    except httpx.HTTPError as error:
        raise PermanentError(
            f"setting up the Prefect server at {api_url}",
            str(error) or type(error).__name__,
            "Look into its log; `xops doctor` says where that is and what answers.",
        ) from error


def _make_work_pool(prefect: SyncPrefectClient, pool: str) -> None:
    ours: dict[str, Any] = {
        "description": "Flow runs as processes on this machine.",
        "base_job_template": base_job_template(),
    }
    try:
        prefect.create_work_pool(WorkPoolCreate(name=pool, type="process", **ours))
    except ObjectAlreadyExists:
        # Whether it is paused, and how many runs it takes at once, is a person's to say.
        prefect.update_work_pool(pool, WorkPoolUpdate(**ours))


def _make_limits(prefect: SyncPrefectClient) -> None:
    slots = [environment.slot(name) for name in environment.names()]
    slots += [cluster.slot(name) for name in cluster.names()]
    for slot in slots:
        prefect.upsert_global_concurrency_limit_by_name(slot, 1)


def _run(profile: Profile, attempted: str, *module_and_arguments: str) -> Finished:
    environ = {**without_prefect(os.environ), **profile.environ, "XOPS_WORK_POOL": profile.pool}
    # Unset, it stays in the deployments as a placeholder that each run fills in.
    environ.pop("XOPS_ROOT", None)
    terminal = {"COLUMNS": "160", "NO_COLOR": "1", "TERM": "dumb"}
    command = Command(
        [sys.executable, "-m", *module_and_arguments],
        settings.ROOT,
        {**environ, **terminal},
        _DEADLINE,
    )
    finished = run(command)
    if finished.returncode != 0:
        tail = "\n    ".join(line for line in finished.lines[-12:] if line.strip())
        raise PermanentError(
            attempted,
            f"{command} ended with code {finished.returncode}; the end of its output:\n    {tail}",
            "Mend what it names, then run `xops up` again: what is done already is found done.",
        )
    return finished
