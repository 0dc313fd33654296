"""The door before Prefect's app: names, pages and policies, over the app's own protocol (ASGI)."""

import asyncio
from collections.abc import Mapping, Sequence

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message
from starlette.websockets import WebSocket

from xops.core.errors import PermanentError
from xops.prefect_server.app import Door, create_app, read_origins
from xops.prefect_server.profile import ORIGINS_VARIABLE

HERE = "http://127.0.0.1:4200"
NAME = "https://prefect.example.com"
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


async def _page(_request: object) -> HTMLResponse:
    return HTMLResponse("behind the door")


async def _socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("behind the door")
    await websocket.close()


BEHIND = Starlette(
    routes=[
        WebSocketRoute("/api/events/in", _socket),
        Route("/{path:path}", _page, methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
    ]
)


DOOR = Door(BEHIND, [HERE, NAME])
Headers = Mapping[str, str] | Sequence[tuple[str, str]]


def ask(method: str, path: str, headers: Headers = ()) -> httpx.Response:
    async def answered() -> httpx.Response:
        transport = httpx.ASGITransport(app=DOOR)
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(answered())


def open_socket(headers: Mapping[str, str]) -> list[Message]:
    """What a server sends to who opens one."""
    sent: list[Message] = []
    given = {"host": "127.0.0.1:4200", **headers}
    scope = {
        "type": "websocket",
        "path": "/api/events/in",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "subprotocols": [],
    }

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(DOOR(scope, receive, send))
    return sent


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "prefect.example.com"},
        {"host": "Prefect.Example.COM"},
        {"origin": HERE},
        {"origin": NAME, "host": "prefect.example.com"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
)
def test_our_own_names_and_pages_are_let_in(headers: dict[str, str]) -> None:
    assert ask("GET", "/api/flows", headers).text == "behind the door"


FOREIGN: list[Mapping[str, str]] = [
    {"host": "evil.example:4200"},
    {"host": "127.0.0.1"},
    {"host": "127.0.0.1:4200.evil.example"},
    {"host": "127.0.0.1:4200@evil.example"},
    {"host": "prefect.example.com:8443"},
    {"host": ""},
    {"origin": "http://evil.example"},
    {"origin": "http://127.0.0.1:8000"},
    {"origin": "http://127.0.0.1"},
    {"origin": "https://127.0.0.1:4200"},
    {"origin": "null"},
    {"origin": ""},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", **NAVIGATION},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
def test_a_foreign_name_or_page_is_refused(method: str, headers: Mapping[str, str]) -> None:
    answer = ask(method, "/api/flows", headers)
    assert answer.status_code == 403
    assert "behind the door" not in answer.text
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("headers", FOREIGN[:-1], ids=str)
def test_a_foreign_page_opens_no_socket(headers: Mapping[str, str]) -> None:
    assert [message["type"] for message in open_socket(headers)] == ["websocket.close"]


def test_our_own_page_opens_a_socket() -> None:
    assert open_socket({"origin": HERE})[1]["text"] == "behind the door"


def test_a_header_that_is_given_twice_hides_nothing() -> None:
    twice = [("origin", HERE), ("origin", "http://evil.example")]
    assert ask("GET", "/api/flows", twice).status_code == 403


def test_a_link_from_elsewhere_leads_to_the_ui_and_to_nothing_else() -> None:
    link = {"sec-fetch-site": "cross-site", **NAVIGATION}
    assert ask("GET", "/runs/flow-run/1", link).status_code == 200
    assert ask("POST", "/runs/flow-run/1", link).status_code == 403
    assert ask("GET", "/api/flows", link).status_code == 403
    frame = {**link, "sec-fetch-dest": "iframe"}
    assert ask("GET", "/runs/flow-run/1", frame).status_code == 403


@pytest.mark.parametrize("path", ["/api/health", "/api/ready"])
def test_a_load_balancer_asks_by_address(path: str) -> None:
    assert ask("GET", path, {"host": "10.0.0.7:4200"}).status_code == 200
    assert ask("GET", path, {"origin": "http://evil.example"}).status_code == 403


def test_every_answer_names_the_one_server_that_its_page_may_ask() -> None:
    for path in ("/", "/v2/dashboard", "/api/flows"):
        policy = ask("GET", path).headers["content-security-policy"]
        assert "connect-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "*" not in policy


@pytest.mark.parametrize(
    "named",
    ["", " , ", "*", "prefect.example.com", "https://x/path", "https://u:p@x", "ftp://x", "http://[",
     "http://127.0.0.1:4200, *"],
)  # fmt: skip
def test_a_server_does_not_start_without_its_names(named: str) -> None:
    with pytest.raises(PermanentError, match=ORIGINS_VARIABLE):
        read_origins({ORIGINS_VARIABLE: named})


@pytest.mark.parametrize("secret", [{}, {"PREFECT_SERVER_API_AUTH_STRING": ""},
                                    {"PREFECT_SERVER_API_AUTH_STRING": "user"},
                                    {"PREFECT_SERVER_API_AUTH_STRING": "user:"}])  # fmt: skip
def test_a_server_does_not_start_without_a_secret(secret: Mapping[str, str]) -> None:
    with pytest.raises(PermanentError, match="user and password"):
        create_app({ORIGINS_VARIABLE: HERE, **secret})


def test_the_names_are_read_as_browsers_write_them() -> None:
    assert read_origins({ORIGINS_VARIABLE: f" {HERE},HTTPS://Prefect.example.com ,"}) == [
        HERE,
        NAME,
    ]
