"""Runs and events of a Prefect server for the dispatcher of deliveries.

Asks the API itself: Prefect's client takes seconds to import and 60 MB, of a process that mostly
waits. Sources: prefect/server/api/deployments.py, events.py and server.py of Prefect 3.9.
"""

from __future__ import annotations

import json
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from xops.core.errors import (
    CredentialsError,
    PermanentError,
    TemporaryError,
    UnreachableError,
    XopsError,
)
from xops.core.files.bounded_json import parse_json
from xops.core.rendering import Plain
from xops.github.dispatch.runs_protocol import NotThereError
from xops.prefect_server.profile import AUTH_VARIABLE, CERTIFICATE_VARIABLE, Profile

MOST_EVENT_BYTES = 256 * 1024
"""Of one event. Prefect answers one of more than 1,500,000 as any other, and drops it."""

_ANSWER_SECONDS = 30.0
_CONNECT_SECONDS = 5.0
_ANSWER_BYTES = 4 * 1024**2
_FOUND_SECONDS = 60.0
"""How long a deployment's id is used without looking again whether another one has its name."""

_MOST_FOUND = 200
_LONGEST_DETAIL = 500
_MOST_WAIT = 300.0
_MAY_PASS = frozenset({408, 423, 425, 429})
_LOST_RACE = "Data integrity conflict"
"""What Prefect's 409 begins with where two requests were in each other's way."""


class PrefectServer:
    """A Prefect server's API, each request bounded. Use it as a context manager.

    Args:
        profile: the server, and how it lets us in.
        connections: how many at once.
    """

    def __init__(self, profile: Profile, *, connections: int = 16) -> None:
        self.api = profile.api
        user, _, password = (profile.secret or "").partition(":")
        trusted = profile.environ.get(CERTIFICATE_VARIABLE)
        self._client = httpx.AsyncClient(
            base_url=profile.api,
            auth=(user, password) if profile.secret else None,
            timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
            verify=ssl.create_default_context(cafile=trusted) if trusted else True,
            limits=httpx.Limits(max_connections=connections),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def ask(self, method: str, path: str, attempted: str, body: Any = None) -> Any:
        """The JSON of an answer; None if there is none.

        Args:
            method, path: of the request; the path is below the API's.
            attempted: what is being done, for errors.
            body: sent as JSON.

        Raises:
            TemporaryError: there is no answer, or one that may be another one later.
            CredentialsError: the server does not let us in.
            NotThereError: what the path names is not there.
            PermanentError: it refuses what is asked.
        """
        try:
            status, headers, content = await self._exchange(method, path, body)
        except (httpx.HTTPError, OSError) as error:
            raise self._unreachable(attempted, str(error) or type(error).__name__) from error
        if not 200 <= status < 300:
            raise self._refusal(attempted, status, headers, _detail(content))
        try:
            return parse_json(content) if content else None
        except ValueError:
            raise self._not_prefect(attempted, f"an answer {status} that is no JSON") from None

    async def _exchange(
        self, method: str, path: str, body: Any
    ) -> tuple[int, httpx.Headers, bytes]:
        content = bytearray()
        async with self._client.stream(method, path, json=body) as answer:
            async for part in answer.aiter_bytes():
                content += part
                if len(content) > _ANSWER_BYTES:
                    raise httpx.DecodingError("the answer is too long")
        return answer.status_code, answer.headers, bytes(content)

    def _refusal(
        self, attempted: str, status: int, headers: httpx.Headers, detail: str | None
    ) -> XopsError:
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return CredentialsError(
                attempted,
                f"{self.api} does not let us in ({status})",
                f"Put the server's `user:password` into {AUTH_VARIABLE}, and start it again.",
            )
        if status >= 500 or status in _MAY_PASS:
            return self._busy(attempted, f"{self.api} answers {status}", headers)
        if detail is None:
            return self._not_prefect(attempted, f"an answer {status} that is none of Prefect's")
        found = Plain.render(f"Prefect answers {status}: {detail}")
        if status == httpx.codes.NOT_FOUND:
            return NotThereError(attempted, found, "Deploy it with `xops deploy` or `xops up`.")
        if status == httpx.codes.CONFLICT and detail.startswith(_LOST_RACE):
            return self._busy(attempted, found, headers)
        remedy = "Correct the route's parameters in deployments/github.yaml, or the deployment."
        return PermanentError(attempted, found, remedy)

    def _busy(self, attempted: str, found: str, headers: httpx.Headers) -> TemporaryError:
        remedy = "Look at the server's log; it is tried again."
        return TemporaryError(attempted, found, remedy, retry_after=_seconds_asked(headers))

    def _unreachable(self, attempted: str, found: str) -> TemporaryError:
        remedy = "See that the Prefect server runs (`xops doctor`); it is tried again."
        return UnreachableError(
            attempted, f"{self.api} does not answer: {found}", remedy, retry_after=0.0
        )

    def _not_prefect(self, attempted: str, found: str) -> TemporaryError:
        remedy = "See that the API's address ends in /api, and what stands before the server."
        return TemporaryError(attempted, f"{self.api} gives {found}", remedy, retry_after=0.0)


def _seconds_asked(headers: httpx.Headers) -> float:
    given = headers.get("retry-after", "")
    return min(float(given), _MOST_WAIT) if given.isascii() and given.isdecimal() else 0.0


def _detail(content: bytes) -> str | None:
    """What Prefect says about a refusal; None if it is not Prefect that answers."""
    try:
        answer = parse_json(content)
    except ValueError:
        return None
    if not isinstance(answer, dict):
        return None
    # Its 422 repeats the request in full; what is wrong with it stands beside that.
    told = answer.get("detail") or answer.get("exception_detail")
    told = told or answer.get("exception_message")
    return None if told is None else _text(told)[:_LONGEST_DETAIL]


def _text(told: Any) -> str:
    if not isinstance(told, list):
        return str(told)
    rows = [row if isinstance(row, dict) else {"msg": row} for row in told]
    return "; ".join(f"{'.'.join(map(str, row.get('loc', ())))}: {row.get('msg')}" for row in rows)


class PrefectRuns:
    """Creates runs of a server's deployments.

    A key belongs to a flow on the server: one key gives one run of a flow, whichever of the flow's
    deployments it is asked of. So whoever makes keys writes the deployment into them.
    """

    def __init__(self, server: PrefectServer, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._found: OrderedDict[str, tuple[str, float]] = OrderedDict()

    async def create(self, deployment: str, parameters: Mapping[str, Any], key: str) -> str:
        """As `Runs.create` says."""
        body = {"parameters": dict(parameters), "idempotency_key": key}
        attempted = f"creating a run of {deployment}"
        try:
            run = await self._create(deployment, body, attempted)
        except NotThereError:  # made anew since it was looked up
            if self._found.pop(deployment, None) is None:
                raise
            run = await self._create(deployment, body, attempted)
        return run

    async def _create(self, deployment: str, body: Mapping[str, Any], attempted: str) -> str:
        identity = await self._identity(deployment, attempted)
        path = f"/deployments/{identity}/create_flow_run"
        return _identity_in(await self._server.ask("POST", path, attempted, body), attempted)

    async def _identity(self, deployment: str, attempted: str) -> str:
        found, since = self._found.get(deployment, ("", 0.0))
        if found and self._clock() - since < _FOUND_SECONDS:
            return found
        flow, _, name = deployment.partition("/")
        path = f"/deployments/name/{quote(flow, safe='')}/{quote(name, safe='')}"
        found = _identity_in(await self._server.ask("GET", path, attempted), attempted)
        self._found[deployment] = found, self._clock()
        while len(self._found) > _MOST_FOUND:
            self._found.popitem(last=False)
        return found


def _identity_in(answer: Any, attempted: str) -> str:
    identity = answer.get("id") if isinstance(answer, dict) else None
    if isinstance(identity, str) and identity:
        return identity
    remedy = "See what stands before the Prefect server; it is tried again."
    raise TemporaryError(attempted, "the answer names no id", remedy, retry_after=0.0)


class PrefectEvents:
    """Hands events to a server, and waits until it has taken them."""

    def __init__(self, server: PrefectServer) -> None:
        self._server = server

    async def emit(self, bodies: Sequence[str]) -> None:
        """As `Events.emit` says."""
        attempted = "sending events"
        if (longest := max(map(len, bodies), default=0)) > MOST_EVENT_BYTES:
            found = f"one has {longest} characters, and {MOST_EVENT_BYTES} are allowed"
            raise PermanentError(attempted, found, "Report it: no event should be so long.")
        events = [json.loads(body) for body in bodies]
        await self._server.ask("POST", "/events", attempted, events)
