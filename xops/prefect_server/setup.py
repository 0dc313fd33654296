"""Bringing a Prefect server to what the repository says: pool, limits, blocks, deployments,
automations. Doing it again changes nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound

from xops.core.errors import PermanentError
from xops.core.files import settings
from xops.core.plan.model import Plan
from xops.core.process import Command, Finished, run
from xops.ecs import environment
from xops.k3s.cluster_file import cluster
from xops.prefect_server import automations, deployments
from xops.prefect_server.plan import State, plan_server
from xops.prefect_server.pools import Pool
from xops.prefect_server.profile import Profile, without_prefect
from xops.prefect_server.runs import client, is_refusal, refused

_DEADLINE = 300.0
_NOTICES = "xops-notification/default"


def set_up(
    profile: Profile,
    pool: Pool | None = None,
    *,
    on_step: Callable[[str], None] = lambda step: None,
) -> None:
    """Create, update and remove until a running server has what xOps needs.

    Args:
        profile: which server.
        pool: where its runs are carried out; by default as processes of this very program's code.
        on_step: told what is being done, a line at a time.

    Raises:
        InputError: an automation's file or the pool is wrong; nothing was changed.
        PermanentError: the server refused something.
    """
    files, pool = automations.read(), pool or Pool.of_this_machine(profile.pool)
    with _server(profile) as prefect:
        on_step(f"work pool {pool.name}")
        pool.apply(prefect)
        on_step("concurrency limits")
        wanted = _wanted(profile)
        deployments.Found.read(prefect).apply_limits(prefect, wanted)
    on_step("blocks")
    _run(profile, "saving the block documents", "blocks")
    on_step("deployments")
    _deploy(profile, wanted, on_step)
    with _server(profile) as prefect:
        on_step("automations")
        automations.apply(prefect, files)


def plan_set_up(profile: Profile, pool: Pool) -> Plan:
    """What `set_up` would do on a running server, which is not changed.

    Raises:
        InputError: an automation's file or the pool is wrong.
        PermanentError: the server does not answer, or does not let us in.
    """
    files, wanted = automations.read(), _wanted(profile)
    documents = _documents()
    asked = {**pool.wanted(), **wanted.state(), **documents, **automations.wanted(files)}
    with _server(profile) as prefect:
        found = {
            **pool.found(prefect),
            **deployments.Found.read(prefect).state(wanted),
            **{name: value for name, value in documents.items() if _has(prefect, name)},
            **automations.found(prefect, files),
        }
    return plan_server(f"prefect/{profile.pool}", profile.api, asked, found)


def _documents() -> State:
    """The block documents that a server starts with; those that it has are a person's to edit."""
    names = [f"xops-environment/{name}" for name in environment.names()]
    return dict.fromkeys([f"block document {name}" for name in (*names, _NOTICES)])


def _has(prefect: SyncPrefectClient, document: str) -> bool:
    kind, _, name = document.removeprefix("block document ").partition("/")
    try:
        prefect.read_block_document_by_name(name, kind)
    except ObjectNotFound:
        return False
    return True


def deploy(
    profile: Profile,
    file: Path = deployments.FILE,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Bring the server's deployments to what the file names; nothing is asked of one that is.

    Raises:
        PermanentError: one was refused; those before it are deployed.
    """
    _deploy(profile, _wanted(profile, file), say)


def _deploy(profile: Profile, wanted: deployments.Wanted, say: Callable[[str], None]) -> None:
    with _server(profile) as prefect:
        before = deployments.Found.read(prefect)
    if before.is_current(wanted):
        return
    every = ("deploy", "--all", "--prefect-file", str(wanted.file))
    _run(profile, f"deploying {wanted.file.name}", "prefect", "--no-prompt", *every)
    with _server(profile) as prefect:
        deployments.put_right(prefect, wanted, before, say)


def _wanted(profile: Profile, file: Path = deployments.FILE) -> deployments.Wanted:
    slots = [environment.slot(name) for name in environment.names()]
    slots += [cluster.slot(name) for name in cluster.names()]
    return deployments.Wanted.read(file, profile.pool, slots)


@contextmanager
def _server(profile: Profile) -> Iterator[SyncPrefectClient]:
    try:
        with client(profile) as prefect:
            yield prefect
    except httpx.HTTPError as error:
        attempted = f"setting up the Prefect server at {profile.api}"
        if is_refusal(error):
            raise refused(profile, attempted) from None
        raise PermanentError(
            attempted,
            str(error) or type(error).__name__,
            "Look into its log; of the embedded one `xops doctor` says where that is.",
        ) from error


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
            "Mend what it names, then run it again: what is done already is found done.",
        )
    return finished
