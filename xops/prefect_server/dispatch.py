"""The dispatcher of GitHub's deliveries as a process, on a Prefect server.

It needs the inbox, the routes and the Prefect server; it holds no credential for GitHub, a cloud or
a cluster.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from xops.core.database.exclusive import Database
from xops.core.errors import Finding, InputError, TemporaryError, XopsError
from xops.core.files import settings
from xops.core.rendering import Plain
from xops.github.dispatch.dispatcher import Dispatcher, Pace
from xops.github.inbox.connection import open_inbox, open_tables
from xops.github.inbox.inbox import DeliveryState, Inbox
from xops.github.policy import GitHubPolicy
from xops.github.pull_request import teams
from xops.prefect_server.dispatcher_beat import SECONDS, write_beat
from xops.prefect_server.profile import API_VARIABLE, Profile
from xops.prefect_server.webhook_runs import PrefectEvents, PrefectRuns, PrefectServer

logger = logging.getLogger("xops.github.dispatch")


def run(environ: Mapping[str, str], pace: Pace = Pace()) -> None:  # noqa: B008
    """Dispatch until SIGTERM or SIGINT; what is in flight then is finished.

    Args:
        environ: names the inbox, the policy and the Prefect server.
        pace: how many deliveries at once, and for how long each is ours.

    Raises:
        InputError: the policy, or a variable, is wrong.
        PermanentError: the inbox cannot be used as it is.
    """
    logging.getLogger("xops.github").setLevel(logging.INFO)
    try:
        asyncio.run(_run(environ, pace))
    except* XopsError as errors:
        raise _first(errors) from None


def _first(errors: BaseExceptionGroup[XopsError]) -> XopsError:
    [first, *_] = errors.exceptions
    return first if isinstance(first, XopsError) else _first(first)


async def _run(environ: Mapping[str, str], pace: Pace) -> None:
    policy = GitHubPolicy.load(environ=environ)
    profile = _profile(environ)
    forget = partial(_forget_members, open_tables(environ))
    async with open_inbox(environ) as inbox, PrefectServer(profile) as server:
        runs, events = PrefectRuns(server), PrefectEvents(server)
        dispatcher = Dispatcher(inbox, runs, events, policy, forget, pace)
        with _stop_signals() as stop:
            logger.info("deliveries lead to runs on %s", profile.api)
            async with asyncio.TaskGroup() as group:
                beating = group.create_task(_beat(dispatcher, inbox))
                await dispatcher.run(stop)
                beating.cancel()


def _profile(environ: Mapping[str, str]) -> Profile:
    api = environ.get(API_VARIABLE, "")
    if not api.startswith(("http://", "https://")):
        raise InputError(
            "starting the dispatcher",
            [Finding(f"variable {API_VARIABLE}", "", f"{api!r} is no address of a Prefect API")],
            "Set it to the server's address, ending in /api.",
        )
    return Profile(api.rstrip("/"), "", environ)


async def _forget_members(tables: Database, organisation: str, team: str) -> None:
    await asyncio.to_thread(teams.forget, tables, organisation, team)


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for each in signals:
        loop.add_signal_handler(each, stop.set)
    try:
        yield stop
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


async def _beat(dispatcher: Dispatcher, inbox: Inbox) -> None:
    """Say again and again that the loop goes on, and what keeps it from its work."""
    home = settings.home()
    while True:
        try:
            waiting: int | None = (await inbox.counts())[DeliveryState.RECEIVED]
        except TemporaryError:
            waiting = None
        try:
            await asyncio.to_thread(write_beat, home, waiting, dispatcher.failing)
        except OSError as error:  # a full disk is no reason to stop: the inbox may lie elsewhere
            logger.warning("%s", Plain.render(f"writing a sign of life: {error}"))
        await asyncio.sleep(SECONDS)
