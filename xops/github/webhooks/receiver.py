"""The receiver: the answer to a delivery, given once it is kept, and pages for those who watch it.

Each check stands before those that cost more or believe more: nothing is parsed before the
signature was right, and nothing is accepted before its row is durable. Bodies, headers and
signatures reach no log; the text of an answer depends on its status alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.types import Receive, Scope, Send

from xops.core.errors import XopsError
from xops.core.rendering import Plain
from xops.github.delivery import NotADeliveryError, project
from xops.github.dispatch import routes
from xops.github.inbox.inbox import DeliveryState
from xops.github.policy import GitHubPolicy
from xops.github.webhooks import answers
from xops.github.webhooks.answers import Answer
from xops.github.webhooks.group_commit import Entry, GroupCommit
from xops.github.webhooks.hook_secrets import Secrets
from xops.github.webhooks.metrics import Metrics
from xops.github.webhooks.request import (
    BodyReader,
    GoneError,
    Head,
    RefusedError,
    read_head,
    used_headers,
)
from xops.github.webhooks.signature import is_authentic

logger = logging.getLogger(__name__)

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class _Outcome:
    """What became of a request: its answer, and what Prometheus is told of it."""

    answer: Answer
    label: str
    event: str | None = None


def utc_now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


class Receiver:
    """The endpoint for deliveries, an ASGI application.

    Args:
        policy: says which deliveries lead to anything.
        secrets: what they are signed with.
        commit: keeps them.
        metrics: counts them.
        clock: the time of day, in UTC.
    """

    def __init__(
        self,
        policy: GitHubPolicy,
        secrets: Secrets,
        commit: GroupCommit,
        metrics: Metrics,
        clock: Clock = utc_now,
    ) -> None:
        self._policy = policy
        self._secrets = secrets
        self._commit = commit
        self._metrics = metrics
        self._clock = clock
        self._bodies = BodyReader(policy.webhook.max_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request with the method POST."""
        began = time.perf_counter()
        try:
            outcome = await self._take(scope, receive)
        except GoneError:
            return
        await outcome.answer.send(send)
        self._metrics.count(outcome.event, outcome.label, time.perf_counter() - began)

    async def _take(self, scope: Scope, receive: Receive) -> _Outcome:
        try:
            headers = used_headers(scope["headers"])
            head = read_head(headers, self._policy.webhook.max_body_bytes)
            entry = await self._read(head, receive)
        except RefusedError as error:
            _log_refusal(scope, error.reason)
            return _Outcome(answers.REFUSED[error.status], f"refused_{error.status}")
        except _NotAuthenticError:
            _log_refusal(scope, "the signature is of none of the secrets")
            return _Outcome(answers.NOT_AUTHENTIC, "refused_401")
        except NotADeliveryError as error:
            _log_refusal(scope, error.found)
            return _Outcome(answers.NOT_USABLE, "refused_400", head.event)
        return await self._keep(entry)

    async def _read(self, head: Head, receive: Receive) -> Entry:
        """Of a delivery, what is kept of it. The body is not held any longer than this takes."""
        body = await self._bodies.read(receive)
        if not is_authentic(body, head.signature, self._secrets.keys()):
            raise _NotAuthenticError
        delivery = project(head.event, head.delivery, head.hook_id, body, self._clock())
        reason = routes.wanted(self._policy, delivery)
        if reason is None:
            return delivery, DeliveryState.RECEIVED, ""
        return delivery, DeliveryState.IGNORED, reason

    async def _keep(self, entry: Entry) -> _Outcome:
        delivery, state, _ = entry
        try:
            is_new = await self._commit.add(entry)
        except XopsError as error:
            logger.error("delivery %s was not kept: %s", delivery.id, error)
            return _Outcome(answers.UNAVAILABLE, "unavailable", delivery.event)
        if not is_new:
            return _Outcome(answers.NOTHING_TO_DO, "duplicate", delivery.event)
        if state is DeliveryState.IGNORED:
            return _Outcome(answers.NOTHING_TO_DO, "ignored", delivery.event)
        return _Outcome(answers.ACCEPTED, "accepted", delivery.event)


class _NotAuthenticError(Exception):
    """Whoever sent it does not know the secret."""


_MOST_TOLD = 64


def _log_refusal(scope: Scope, reason: str) -> None:
    """One line, with nothing of the request but who it says to be."""
    headers = dict(scope["headers"])
    said = (
        headers.get(name, b"")[:_MOST_TOLD] for name in (b"x-github-delivery", b"x-github-event")
    )
    delivery, event = (text.decode("latin-1") or "none" for text in said)
    peer, *_ = scope.get("client") or ("nobody",)
    logger.warning(
        "%s",
        Plain.of(
            "refused a delivery: {reason}; delivery {delivery}, event {event}, from {peer}",
            reason=reason,
            delivery=delivery,
            event=event,
            peer=str(peer)[:_MOST_TOLD],
        ),
    )
