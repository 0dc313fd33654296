"""The receiver as a process: its application behind a server with limits."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from xops.core.errors import PermanentError, TemporaryError
from xops.github.inbox.connection import open_inbox
from xops.github.inbox.inbox import Inbox
from xops.github.policy import GitHubPolicy
from xops.github.webhooks.app import create_app
from xops.github.webhooks.connections import IDLE_SECONDS, MOST_HEADER_BYTES, BoundedProtocol
from xops.github.webhooks.hook_secrets import Secrets

logger = logging.getLogger(__name__)

_SHUTDOWN_SECONDS = 10
_SWITCH_SECONDS = 0.0005
"""How long the thread that writes to SQLite waits for the one that takes requests, several times in
each transaction. Python's five milliseconds would make most of an answer's time."""


def run(policy: GitHubPolicy, environ: Mapping[str, str], *, host: str, port: int) -> None:
    """Take deliveries until SIGTERM or SIGINT.

    Args:
        policy: says which deliveries lead to anything.
        environ: names the database, and may hold the secrets.
        host: where it listens.
        port: where it listens.

    Raises:
        InputError: a secret is too short, or the database's address is wrong.
        PermanentError: there is no secret, the inbox is of a newer release, or nobody may listen.
    """
    asyncio.run(_run(policy, Secrets.read(policy, environ), environ, host, port))


async def _run(
    policy: GitHubPolicy, secrets: Secrets, environ: Mapping[str, str], host: str, port: int
) -> None:
    sys.setswitchinterval(_SWITCH_SECONDS)
    async with open_inbox(environ) as inbox:
        await _prepare(inbox)
        await serve(create_app(policy, secrets, inbox), host, port)


async def _prepare(inbox: Inbox) -> None:
    """A store that is down now may be there later: until then deliveries are refused with 503."""
    try:
        await inbox.prepare()
    except TemporaryError as error:
        logger.warning("the inbox is not there yet: %s", error)


async def serve(app: ASGIApp, host: str, port: int) -> None:
    """Serve an application until SIGTERM or SIGINT; requests that are being answered are ended.

    Raises:
        PermanentError: nobody may listen there.
    """
    with _listen(host, port) as listening:
        await _Server(configuration(app)).serve(sockets=[listening])


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End when told to. uvicorn's own would then end the process before the inbox is closed."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self.handle_exit, signum, None)
        try:
            yield
        finally:
            for signum in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(signum)


def configuration(app: ASGIApp) -> uvicorn.Config:
    """How uvicorn serves it: without a log of requests, its own name, or WebSockets."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise PermanentError(
            f"listening for deliveries on {host}:{port}",
            str(error),
            "End the program that listens there, or choose another host or port.",
        ) from error
