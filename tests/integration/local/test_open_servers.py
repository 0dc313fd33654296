"""`xops up` does not go on with servers that answer whoever asks."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.prefect_servers import free_ports, home
from xops.core.errors import PermanentError
from xops.local.stack import Stack, stack
from xops.local.up import refuse_open_servers


class Open(BaseHTTPRequestHandler):
    """Answers everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def open_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Open) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def closed(tmp_path: Path) -> Stack:
    """A stack of which nothing answers."""
    ports = free_ports()
    with home(tmp_path, **ports):
        return stack()


@pytest.mark.parametrize("role", ["server", "aws"])
def test_a_server_that_answers_whoever_asks_is_named(
    closed: Stack, open_port: int, role: str
) -> None:
    refuse_open_servers(closed)
    older = replace(getattr(closed, role), port=open_port)
    with pytest.raises(PermanentError, match=f"{older.name} runs since") as caught:
        refuse_open_servers(replace(closed, **{role: older}))
    assert "xops down" in caught.value.remedy
