"""Deliveries as GitHub sends them, and an application that is asked without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp, Message

from xops.github.delivery import Delivery
from xops.github.inbox.inbox import DeliveryState
from xops.github.policy import GitHubPolicy
from xops.github.webhooks.hook_secrets import Secrets
from xops.github.webhooks.signature import signature_of

KEY = b"0123456789abcdef0123456789abcdef"
HASH = "ec26c3e57ca3a959ca5aad62de7213c562f8c821"
Headers = dict[str, bytes]


def policy(**changes: Any) -> GitHubPolicy:
    """One that takes pull requests of all repositories of acme."""
    route = {"event": "pull_request", "actions": ["opened"], "deployment": "flow/deployment"}
    values = {"apiVersion": "xops/v1", "repositories": ["acme/*"], "routes": [route]}
    return GitHubPolicy.model_validate(values | changes)


def secrets(*keys: bytes) -> Secrets:
    """Secrets that do not change."""
    return Secrets(lambda: keys or (KEY,))


def pull_request(action: str = "opened", repository: str = "acme/web") -> dict[str, Any]:
    """The payload of an event of a pull request, of all the parts that are used."""
    return {
        "action": action,
        "number": 7,
        "pull_request": {
            "number": 7,
            "title": "A title that nobody keeps",
            "merged": False,
            "head": {"sha": HASH, "ref": "branch", "repo": None},
            "base": {"sha": HASH, "ref": "main"},
        },
        "repository": {"full_name": repository, "name": repository.partition("/")[2]},
        "sender": {"login": "octocat", "type": "User"},
    }


def encoded(payload: Any) -> bytes:
    """A payload's bytes."""
    return json.dumps(payload).encode()


def signed(body: bytes, event: str = "pull_request", key: bytes = KEY, **changes: bytes) -> Headers:
    """The headers of a delivery; a name with `_` for `-` changes one, an empty value takes it."""
    headers = {
        "content-type": b"application/json",
        "content-length": str(len(body)).encode(),
        "x-github-event": event.encode(),
        "x-github-delivery": str(uuid4()).encode(),
        "x-github-hook-id": b"12345",
        "x-hub-signature-256": signature_of(body, key),
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in headers.items() if value}


@dataclass
class Reply:
    """An answer."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""


async def ask(
    app: ASGIApp,
    headers: Mapping[str, bytes] | Iterable[tuple[bytes, bytes]] = (),
    parts: Sequence[bytes] = (b"",),
    *,
    path: str = "/github",
    method: str = "POST",
    stays: bool = True,
) -> Reply:
    """Ask an application.

    Args:
        app: is asked.
        headers: of the request.
        parts: of its body.
        path: of the request.
        method: of the request.
        stays: whether the caller waits for the answer; otherwise it is gone after the parts.
    """
    reply = Reply()
    left = list(parts)

    async def receive() -> Message:
        if left:
            part = left.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(left) or not stays}
        if not stays:
            return {"type": "http.disconnect"}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            reply.status, reply.headers = message["status"], dict(message["headers"])
        else:
            reply.body += message.get("body", b"")

    await app(_scope(headers, path, method), receive, send)
    return reply


def _scope(
    headers: Mapping[str, bytes] | Iterable[tuple[bytes, bytes]], path: str, method: str
) -> dict[str, Any]:
    if isinstance(headers, Mapping):
        headers = [(name.encode(), value) for name, value in headers.items()]
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(errors="surrogateescape"),
        "root_path": "",
        "query_string": b"",
        "headers": list(headers),
        "client": ("192.0.2.7", 50000),
        "server": ("127.0.0.1", 80),
    }


class MemoryInbox:
    """An inbox without a database, that can be told to fail, or to take its time.

    Attributes:
        rows: what it holds.
        transactions: how many each of them kept.
        error: raised by every question.
        held: while it is set, nothing is answered.
    """

    def __init__(self) -> None:
        self.rows: dict[str, tuple[Delivery, DeliveryState, str]] = {}
        self.transactions: list[int] = []
        self.error: Exception | None = None
        self.held: asyncio.Event | None = None
        self.questions = 0

    async def add(self, deliveries: Sequence[tuple[Delivery, DeliveryState, str]]) -> list[bool]:
        """Keep deliveries."""
        self.transactions.append(len(deliveries))
        await self._answer()
        news = []
        for entry in deliveries:
            news.append(entry[0].id not in self.rows)
            self.rows.setdefault(entry[0].id, entry)
        return news

    async def counts(self) -> dict[DeliveryState, int]:
        """Rows by state."""
        await self._answer()
        states = [state for _, state, _ in self.rows.values()]
        return {state: states.count(state) for state in DeliveryState}

    async def oldest_waiting(self) -> datetime | None:
        """When the oldest came."""
        await self._answer()
        return min((row[0].received_at for row in self.rows.values()), default=None)

    async def cursor(self, name: str) -> str | None:
        """Nothing."""
        await self._answer()
        return None

    async def _answer(self) -> None:
        self.questions += 1
        if self.held:
            await self.held.wait()
        await asyncio.sleep(0)
        if self.error:
            raise self.error
