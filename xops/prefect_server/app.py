"""Prefect's own app behind a door: who may ask it, from which page, and what its pages may ask.

Prefect has settings for authentication and for CORS, and none for these: a name that leads here by
somebody else's DNS (`Host`), a page of another origin (`Origin`), and a policy that keeps its UI
from speaking to other servers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xops.core.errors import PermanentError
from xops.core.rendering import Plain
from xops.prefect_server.profile import ORIGINS_VARIABLE, SERVER_AUTH_VARIABLE

logger = logging.getLogger(__name__)

ONE_OF_SEVERAL = "PREFECT__SERVER_WEBSERVER_ONLY"
"""Prefect's own: its services run in another process."""

SHARED = (
    "PREFECT_SERVER_DOCKET_URL",
    "PREFECT_SERVER_EVENTS_MESSAGING_BROKER",
    "PREFECT_SERVER_EVENTS_MESSAGING_CACHE",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE",
    "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE",
)
"""What several processes must share; Prefect keeps each in memory unless told otherwise."""

PROBES = frozenset({"/api/health", "/api/ready"})
"""What a load balancer asks, by whatever name: they say that the server is up, and nothing else."""

_PAGE_HEADERS = {
    # Prefect's UI makes styles as it runs. It asks an analytics host, whatever its settings say.
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:;"
        " connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self';"
        " frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_FOREIGN = frozenset({"cross-site", "same-site"})
"""What a browser says of a page elsewhere; another port of one host is `same-site`."""


class Door:
    """ASGI middleware: refuses foreign names and pages, and gives every answer a content policy.

    Args:
        app: what is behind it.
        origins: those of which requests are answered.
    """

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._hosts = frozenset(urlsplit(origin).netloc for origin in self._origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif reason := self._refusal(scope):
            logger.warning("%s", Plain.render(f"refused {scope['path']}: {reason}"))
            await _refuse(reason, scope, receive, send)
        else:
            await self._app(scope, receive, _with_page_headers(send))

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        if scope["path"] not in PROBES:
            for host in headers.getlist("host") or [""]:
                if host.lower() not in self._hosts:
                    return f"this server is not known as {host!r}; it answers as {self._known}"
        for origin in headers.getlist("origin"):
            if origin.lower() not in self._origins:
                return f"no page of {origin!r} may ask this server"
        if _is_foreign(scope, headers):
            return "no page of another origin may ask this server"
        return None

    @property
    def _known(self) -> str:
        return ", ".join(sorted(self._origins))


def _is_foreign(scope: Scope, headers: Headers) -> bool:
    """Whether a page elsewhere asks; a link that a person has followed to the UI is their own."""
    if headers.get("sec-fetch-site") not in _FOREIGN:
        return False
    followed = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    is_read = scope["type"] == "http" and scope["method"] == "GET"
    return not (is_read and followed == ("navigate", "document")) or _is_api(scope["path"])


def _is_api(path: str) -> bool:
    return path == "/api" or path.startswith("/api/")


async def _refuse(reason: str, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        return
    await PlainTextResponse(f"{reason}\n", status_code=403)(scope, receive, send)


def _with_page_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _PAGE_HEADERS.items():
                headers[name] = value
        await send(message)

    return wrapped


def create_app(environ: Mapping[str, str]) -> ASGIApp:
    """Prefect's app with its UI, as this environment sets it, behind a door.

    Raises:
        PermanentError: there is no secret, or no origin; nothing was started.
    """
    origins = read_origins(environ)
    if ":" not in environ.get(SERVER_AUTH_VARIABLE, "").strip(":"):
        raise PermanentError(
            "starting the Prefect server",
            f"{SERVER_AUTH_VARIABLE} names no user and password",
            "Set it to `user:password`: without it whoever reaches the server gives orders.",
        )
    if environ.get(ONE_OF_SEVERAL):
        _refuse_memory(environ)
    from prefect.server.api.server import create_app as create_prefect  # takes seconds

    return Door(create_prefect(final=True), origins)


def _refuse_memory(environ: Mapping[str, str]) -> None:
    """What one process keeps to itself, the others would never hear of."""
    missing = [name for name in SHARED if "memory" in environ.get(name, "memory")]
    if missing:
        raise PermanentError(
            "starting one of several Prefect API processes",
            f"kept in the memory of each, so that events, orders and slots get lost:"
            f" {', '.join(missing)}",
            "Keep it in Redis, as deployments/server/prefect.env says.",
        )


def read_origins(environ: Mapping[str, str]) -> list[str]:
    """The origins that the variable names.

    Raises:
        PermanentError: it names none, or something that is no origin.
    """
    named = [each.strip().lower() for each in environ.get(ORIGINS_VARIABLE, "").split(",")]
    origins = [each for each in named if each]
    wrong = [each for each in origins if not _is_origin(each)]
    if wrong or not origins:
        found = f"{wrong[0]!r} is no origin" if wrong else "it is unset"
        raise PermanentError(
            f"reading {ORIGINS_VARIABLE}",
            found,
            "Write scheme, host and port, as in https://prefect.example.com: no path, no user.",
        )
    return origins


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        plain = text == f"{parts.scheme}://{parts.netloc}" and "@" not in parts.netloc
        return plain and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
