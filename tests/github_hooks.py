"""Hooks of the GitHub of the tests: it signs and really sends deliveries, and keeps a list of them.

As at GitHub a delivery that fails is not sent again unless somebody asks for it; it has ten
seconds; a redelivery bears the GUID of the first. Source: GitHub's documentation, "Webhook
deliveries", "Handling failed webhook deliveries", "Best practices for using webhooks".
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import itertools
import json
import queue
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.github_data import text

LIMIT_SECONDS = 10.0
MOST_BYTES = 25 << 20
KEPT = timedelta(days=3)
"""How far back deliveries are listed, and can be sent again."""

EVENTS = frozenset({
    "branch_protection_rule", "check_run", "check_suite", "commit_comment", "create", "delete",
    "deployment", "deployment_status", "discussion", "fork", "gollum", "issue_comment", "issues",
    "label", "member", "merge_group", "meta", "milestone", "package", "page_build", "ping",
    "project", "public", "pull_request", "pull_request_review", "pull_request_review_comment",
    "pull_request_review_thread", "push", "registry_package", "release", "repository",
    "repository_dispatch", "star", "status", "team_add", "watch", "workflow_dispatch",
    "workflow_job", "workflow_run",
})  # fmt: skip
ORGANISATION_EVENTS = EVENTS | {"membership", "organization", "team", "org_block"}
APP_EVENTS = ORGANISATION_EVENTS | {"installation", "installation_repositories"}


@dataclass
class Hook:
    """A hook.

    Attributes:
        id: its number.
        owner: owner/name of its repository, an organisation's login, or an App's slug.
        kind: `repository`, `organization` or `integration` (an App's).
        target: the number of what it is a hook of.
    """

    id: int
    owner: str
    kind: str
    target: int
    url: str
    secret: str | None = None
    events: list[str] = field(default_factory=lambda: ["push"])
    active: bool = True
    content_type: str = "form"
    insecure_ssl: str = "0"
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    last_response: dict[str, Any] = field(
        default_factory=lambda: {"code": None, "status": "unused", "message": None}
    )

    def wants(self, event: str) -> bool:
        """Whether it is told of an event; of a ping always."""
        return event == "ping" or (self.active and bool({"*", event} & set(self.events)))


@dataclass
class Sent:
    """One attempt at one delivery: an item of the hook's list."""

    id: int
    guid: str
    hook: Hook
    event: str
    action: str | None
    body: bytes
    payload: bytes
    delivered_at: datetime
    repository_id: int | None = None
    installation_id: int | None = None
    redelivery: bool = False
    duration: float = 0.0
    status: str = "pending"
    status_code: int = 0
    throttled_at: datetime | None = None
    headers: dict[str, str] = field(default_factory=dict)
    answer_headers: dict[str, str] = field(default_factory=dict)
    answer: str = ""
    done: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def failed(self) -> bool:
        """Whether it did not come to an answer below 400."""
        return self.done.is_set() and not 200 <= self.status_code < 400


@dataclass
class Course:
    """What becomes of the next deliveries.

    Attributes:
        lose: how many are not sent, and listed as failed.
        double: how many are sent twice.
        hold: whether they wait for `release`.
        late_seconds: how much later than now they are sent.
        throttled: whether they are marked as held back by GitHub.
    """

    lose: int = 0
    double: int = 0
    hold: bool = False
    late_seconds: float = 0.0
    throttled: bool = False


class Hooks:
    """All hooks of a server, and what was sent to them.

    Args:
        ids: numbers that nothing else bears.
    """

    def __init__(self, ids: Callable[[], int]) -> None:
        self.all: list[Hook] = []
        self.sent: list[Sent] = []
        self.course = Course()
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.limit_seconds = LIMIT_SECONDS
        self.installation_id: int | None = None
        self._ids = ids
        # GitHub's numbers of deliveries are large, and do not tell in which order they were sent.
        self._numbers = itertools.count(180_000_000_000, 7)
        self._held: list[Sent] = []
        self._waiting: queue.SimpleQueue[tuple[float, Sent] | None] = queue.SimpleQueue()
        self._sender: threading.Thread | None = None
        self._lock = threading.RLock()

    def close(self) -> None:
        """End the sender; what waits is not sent."""
        if self._sender is not None:
            self._waiting.put(None)
            self._sender.join()

    def add(self, owner: str, kind: str, target: int, url: str, **more: Any) -> Hook:
        """A new hook."""
        made = Hook(self._ids(), owner, kind, target, url, **more)
        self.all.append(made)
        return made

    def of(self, kind: str, owner: str) -> list[Hook]:
        """The hooks of a repository, an organisation or an App."""
        return [one for one in self.all if (one.kind, one.owner.lower()) == (kind, owner.lower())]

    def emit(
        self,
        event: str,
        payload: Mapping[str, Any],
        *,
        repository: str = "",
        organisation: str = "",
        only: Hook | None = None,
    ) -> list[Sent]:
        """Deliver an event to each hook that wants it, with one GUID, which is the event's."""
        made, guid = [], str(uuid.uuid4())
        for hook in self.all if only is None else [only]:
            owners = {repository.lower(), organisation.lower()} - {""}
            concerned = hook.kind == "integration" or hook.owner.lower() in owners
            if only is not None or (concerned and hook.wants(event)):
                made.append(self._deliver(hook, guid, event, payload))
        return made

    def _deliver(self, hook: Hook, guid: str, event: str, payload: Mapping[str, Any]) -> Sent:
        whole = dict(payload)
        if hook.kind == "integration" and self.installation_id is not None:
            whole["installation"] = {"id": self.installation_id, "node_id": "I_1"}
        body = json.dumps(whole).encode()
        repository = payload.get("repository") or {}
        sent = self._item(hook, guid, event, payload.get("action"), body)
        sent.repository_id = repository.get("id")
        sent.installation_id = whole.get("installation", {}).get("id")
        self._start(sent)
        return sent

    def _item(self, hook: Hook, guid: str, event: str, action: str | None, body: bytes) -> Sent:
        wire = body if hook.content_type == "json" else urlencode({"payload": body}).encode()
        made = Sent(next(self._numbers), guid, hook, event, action, wire, body, self.now())
        made.headers = signed_headers(hook, guid, event, wire)
        with self._lock:
            self.sent.append(made)
        return made

    def _start(self, sent: Sent) -> None:
        course = self.course
        if course.throttled:
            sent.throttled_at = self.now()
        if len(sent.body) > MOST_BYTES or course.lose:
            course.lose = max(0, course.lose - 1)
            self._not_sent(sent)
        elif course.hold:
            self._held.append(sent)
        else:
            self._queue(sent)

    @staticmethod
    def _not_sent(sent: Sent) -> None:
        sent.status, sent.status_code = "failed to connect to host", 502
        sent.done.set()

    def _queue(self, sent: Sent) -> None:
        with self._lock:
            if self._sender is None:
                self._sender = threading.Thread(target=self._send_waiting, daemon=True)
                self._sender.start()
        due = time.monotonic() + self.course.late_seconds
        self._waiting.put((due, sent))
        if self.course.double:
            self.course.double -= 1
            self._waiting.put((due, sent))

    def _send_waiting(self) -> None:
        line = _Line(self.limit_seconds)
        while (waiting := self._waiting.get()) is not None:
            due, sent = waiting
            time.sleep(max(0.0, due - time.monotonic()))
            line.limit_seconds = self.limit_seconds
            line.send(sent)
        line.close()

    def release(self, *, shuffled: random.Random | None = None, last_first: bool = False) -> None:
        """Send what was held, in that order, and hold no more."""
        self.course.hold = False
        held, self._held = self._held, []
        if shuffled is not None:
            shuffled.shuffle(held)
        for sent in reversed(held) if last_first else held:
            self._queue(sent)

    def forget_held(self) -> None:
        """Never send what was held: it is listed as failed."""
        held, self._held = self._held, []
        for sent in held:
            self._not_sent(sent)

    def wait(self, seconds: float = 30.0) -> None:
        """Until all that was to be sent has been.

        Raises:
            TimeoutError: it takes longer.
        """
        until = time.monotonic() + seconds
        held = set(map(id, self._held))
        for sent in list(self.sent):
            left = until - time.monotonic()
            if id(sent) not in held and not sent.done.wait(max(0.0, left)):
                raise TimeoutError(f"delivery {sent.guid} ({sent.event}) was not answered")

    def redeliver(self, number: int) -> Sent | None:
        """Send one again, with its GUID and its body, as a new item; None if it is not listed."""
        found = self.find(number)
        if found is None:
            return None
        made = self._item(found.hook, found.guid, found.event, found.action, found.payload)
        made.redelivery = True
        made.repository_id, made.installation_id = found.repository_id, found.installation_id
        self._start(made)
        return made

    def find(self, number: int) -> Sent | None:
        """The delivery of that number, if it is listed still."""
        since = self.now() - KEPT
        return next((s for s in self.sent if s.id == number and s.delivered_at > since), None)

    def listed(self, hooks: Iterable[Hook], status: str = "") -> list[Sent]:
        """What was sent to hooks in the last days, the newest first."""
        since, ids = self.now() - KEPT, {hook.id for hook in hooks}
        found = [one for one in self.sent if one.hook.id in ids and one.delivered_at > since]
        if status:
            found = [one for one in found if one.failed == (status == "failure")]
        return sorted(found, key=lambda one: (one.delivered_at, one.id), reverse=True)

    def flood(
        self,
        hook: Hook,
        deliveries: Iterable[tuple[str, bytes]],
        *,
        lines: int = 16,
        duplicates: float = 0.0,
        shuffled: random.Random | None = None,
        guids: Sequence[str] = (),
        per_second: float | None = None,
        stop: threading.Event | None = None,
    ) -> list[Sent]:
        """Send many at once over so many connections, and list each; returns when all are done.

        Args:
            hook: to which.
            deliveries: event and body of each.
            lines: connections.
            duplicates: the share of them that is sent twice with the same GUID.
            shuffled: sends them in no order.
            guids: of them; new ones if not given.
            per_second: how many at most; as fast as they are answered if not given.
            stop: ends it early; what was not sent by then is listed as failed.
        """
        made = []
        for index, (event, body) in enumerate(deliveries):
            guid = guids[index] if guids else str(uuid.uuid4())
            action = json.loads(body).get("action") if body[:1] == b"{" else None
            made.append(self._item(hook, guid, event, action, body))
        chosen = shuffled or random.Random(0)  # noqa: S311
        todo = made + [one for one in made if chosen.random() < duplicates]
        if shuffled is not None:
            shuffled.shuffle(todo)
        gap, began = (1 / per_second if per_second else 0.0), time.monotonic()
        work = ((began + index * gap, one) for index, one in enumerate(todo))
        threads = [
            threading.Thread(target=self._send_all, args=(work, stop), daemon=True)
            for _ in range(lines)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for one in made:
            if not one.done.is_set():
                self._not_sent(one)
        return made

    def _send_all(self, work: Iterator[tuple[float, Sent]], stop: threading.Event | None) -> None:
        line = _Line(self.limit_seconds)
        while stop is None or not stop.is_set():
            with self._lock:
                due, sent = next(work, (0.0, None))
            if sent is None:
                break
            time.sleep(max(0.0, due - time.monotonic()))
            line.send(sent)
        line.close()


class _Line:
    """One connection, kept as long as it lasts."""

    def __init__(self, limit_seconds: float) -> None:
        self.limit_seconds = limit_seconds
        self._at = ""
        self._connection: http.client.HTTPConnection | None = None

    def send(self, sent: Sent) -> None:
        """Send it once, and note what came back. An answer of a success is not overwritten."""
        began = time.monotonic()
        try:
            status, reason, headers, answer = self._post(sent)
        except TimeoutError:
            self.close()
            status, reason, headers, answer = 504, "timed out", {}, ""
        except (OSError, http.client.HTTPException):
            self.close()
            status, reason, headers, answer = 502, "failed to connect to host", {}, ""
        if sent.done.is_set() and not sent.failed and not 200 <= status < 400:
            return
        sent.duration = round(time.monotonic() - began, 3)
        sent.status_code, sent.status = status, reason
        sent.answer_headers, sent.answer = headers, answer
        sent.hook.last_response = _last_response(status, reason)
        sent.done.set()

    def _post(self, sent: Sent) -> tuple[int, str, dict[str, str], str]:
        split = urlsplit(sent.hook.url)
        if self._at != split.netloc:
            self.close()
            kind = {"https": http.client.HTTPSConnection}.get(
                split.scheme, http.client.HTTPConnection
            )
            self._connection = kind(split.netloc, timeout=self.limit_seconds)
            self._at = split.netloc
        assert self._connection is not None
        target = split.path or "/"
        target += f"?{split.query}" if split.query else ""
        fresh = self._connection.sock is None
        try:
            return self._exchange(self._connection, target, sent)
        except (ConnectionError, http.client.BadStatusLine):
            if fresh:
                raise
            self._connection.close()  # the other side closed it while it was idle
            return self._exchange(self._connection, target, sent)

    def _exchange(
        self, connection: http.client.HTTPConnection, target: str, sent: Sent
    ) -> tuple[int, str, dict[str, str], str]:
        connection.request("POST", target, sent.body, sent.headers)
        response = connection.getresponse()
        answer = response.read(MOST_BYTES).decode(errors="replace")
        ok = 200 <= response.status < 400
        said = "OK" if ok else f"Invalid HTTP Response: {response.status}"
        return response.status, said, dict(response.getheaders()), answer

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._at = None, ""


def signed_headers(hook: Hook, guid: str, event: str, body: bytes) -> dict[str, str]:
    """The headers of a delivery. Source: GitHub's documentation, "Delivery headers"."""
    form = hook.content_type == "form"
    headers = {
        "Accept": "*/*",
        "Content-Type": "application/x-www-form-urlencoded" if form else "application/json",
        "User-Agent": f"GitHub-Hookshot/{hashlib.sha256(hook.url.encode()).hexdigest()[:7]}",
        "X-GitHub-Delivery": guid,
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": str(hook.id),
        "X-GitHub-Hook-Installation-Target-ID": str(hook.target),
        "X-GitHub-Hook-Installation-Target-Type": hook.kind,
    }
    if hook.secret:
        key = hook.secret.encode()
        headers["X-Hub-Signature"] = f"sha1={hmac.new(key, body, hashlib.sha1).hexdigest()}"
        headers["X-Hub-Signature-256"] = f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"
    return headers


def item(sent: Sent) -> dict[str, Any]:
    """A delivery as the hook's list shows it."""
    return {
        "id": sent.id,
        "guid": sent.guid,
        "delivered_at": text(sent.delivered_at),
        "redelivery": sent.redelivery,
        "duration": sent.duration,
        "status": sent.status,
        "status_code": sent.status_code,
        "event": sent.event,
        "action": sent.action,
        "installation_id": sent.installation_id,
        "repository_id": sent.repository_id,
        "throttled_at": text(sent.throttled_at),
    }


def whole(sent: Sent) -> dict[str, Any]:
    """A delivery asked for by its number."""
    return {
        **item(sent),
        "url": sent.hook.url,
        "request": {"headers": sent.headers, "payload": json.loads(sent.payload)},
        "response": {"headers": sent.answer_headers, "payload": sent.answer},
    }


def _last_response(status: int, reason: str) -> dict[str, Any]:
    known = 200 <= status < 400
    return {"code": status or None, "status": "active" if known else reason, "message": reason}
