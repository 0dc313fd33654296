"""The receiver as an application: `/github` for GitHub, and three pages for those who watch it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from xops.github.inbox.inbox import DeliveryState
from xops.github.policy import GitHubPolicy
from xops.github.webhooks import answers
from xops.github.webhooks.answers import Answer
from xops.github.webhooks.group_commit import GroupCommit, Store
from xops.github.webhooks.hook_secrets import Secrets
from xops.github.webhooks.metrics import CONTENT_TYPE, InboxFigures, Metrics
from xops.github.webhooks.probe import Probe
from xops.github.webhooks.receiver import Clock, Receiver, utc_now

PATH = "/github"


class Inbox(Store, Protocol):
    """What is used of the inbox."""

    async def counts(self) -> Mapping[DeliveryState, int]:
        """Deliveries by state."""
        ...

    async def oldest_waiting(self) -> datetime | None:
        """When the oldest came that waits for being dispatched."""
        ...

    async def cursor(self, name: str) -> str | None:
        """A value that is kept; any name will do for asking whether the store answers."""
        ...


def create_app(
    policy: GitHubPolicy, secrets: Secrets, inbox: Inbox, clock: Clock = utc_now
) -> Starlette:
    """The application of a receiver.

    Args:
        policy: says which deliveries lead to anything, and how large they may be.
        secrets: what they are signed with.
        inbox: where they are kept.
        clock: the time of day, in UTC.
    """
    commit = GroupCommit(inbox)
    metrics = Metrics(commit.__len__, clock)
    pages = _Pages(inbox, metrics)
    app = Starlette(
        routes=[
            Route(PATH, Receiver(policy, secrets, commit, metrics, clock), methods=["POST"]),
            Route("/healthz", pages.health),
            Route("/readyz", pages.readiness),
            Route("/metrics", pages.metrics),
        ],
        exception_handlers={404: _not_found, 405: _wrong_method},
    )
    app.router.redirect_slashes = False
    return app


class _Pages:
    def __init__(self, inbox: Inbox, metrics: Metrics) -> None:
        self._metrics = metrics
        self._answering = Probe(lambda: _answers(inbox))
        self._figures = Probe(lambda: _figures(inbox), fresh=5.0)

    async def health(self, _: Request) -> Response:
        """This process answers, whatever else does."""
        return _page("healthy\n")

    async def readiness(self, _: Request) -> Response:
        """Whether a delivery could be kept now."""
        if await self._answering.look():
            return _page("ready\n")
        return _page("not ready\n", 503)

    async def metrics(self, _: Request) -> Response:
        """Figures for Prometheus."""
        figures = await self._figures.look()
        return Response(self._metrics.text(figures), media_type=CONTENT_TYPE)


async def _answers(inbox: Inbox) -> bool:
    await inbox.cursor("readiness")
    return True


async def _figures(inbox: Inbox) -> InboxFigures:
    return InboxFigures(await inbox.counts(), await inbox.oldest_waiting())


def _page(text: str, status: int = 200) -> Response:
    return Response(text, status, media_type="text/plain", headers={"cache-control": "no-store"})


async def _not_found(_: Request, __: Exception) -> Response:
    return _Sent(answers.REFUSED[404])


async def _wrong_method(_: Request, error: Exception) -> Response:
    headers = error.headers if isinstance(error, HTTPException) else None
    allowed = (headers or {}).get("Allow", "")
    return _Sent(Answer(405, closes=True, allows=allowed))


class _Sent(Response):
    """One of the answers that end the connection."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(status_code=answer.status)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await self._answer.send(send)
