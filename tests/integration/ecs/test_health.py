"""The public address, asked over real HTTP."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from xops.core.errors import TemporaryError
from xops.ecs.services import HealthCheck, UnsteadyServicesError, check_health


@pytest.fixture
def serving() -> Iterator[Callable[[list[int]], str]]:
    """`serving([503, 200])`: an address that answers so, the last of them for ever."""
    servers: list[ThreadingHTTPServer] = []

    def serve(statuses: list[int]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/health"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_healthy_address_has_answered(serving: Callable[[list[int]], str]) -> None:
    url = serving([200])

    assert check_health(url, reachable=True) == HealthCheck(url, "200")
    assert check_health(url, reachable=True).answered


def test_an_address_that_needs_a_moment_is_asked_again(
    serving: Callable[[list[int]], str],
) -> None:
    assert check_health(serving([503, 200]), reachable=True).answered


@pytest.mark.parametrize("status", [404, 500, 503])
def test_an_address_that_stays_ill_is_no_success(
    serving: Callable[[list[int]], str], status: int
) -> None:
    with pytest.raises(UnsteadyServicesError, match=str(status)) as caught:
        check_health(serving([status]), reachable=True, patience=0)

    assert isinstance(caught.value, TemporaryError)


def test_an_address_that_nobody_serves_is_no_success() -> None:
    with pytest.raises(
        UnsteadyServicesError, match=r"asking http://127\.0\.0\.1:9/health for its health"
    ):
        check_health("http://127.0.0.1:9/health", reachable=True, patience=0)
