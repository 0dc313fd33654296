"""The three calls of Prefect's API that the dispatcher makes, with faults that can be asked for.

What it answers is held against the real server by `test_prefect_api.py`.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

from xops.prefect_server.profile import Profile

DEPLOYMENT = "plan/plan"


class StandIn:
    """A server that knows one deployment.

    Attributes:
        runs: the id of the run of each key.
        asked: how often each key was asked for.
        events: those it has taken, each as often as it was sent.
        status: what it answers to all but events; 0: as it should.
        body: goes with the status.
        retry_after: goes with the status.
        events_status: what it answers to events; 0: as it should.
        slow: seconds that the creation of a run takes.
        loses_answers: how many runs it creates without saying so.
    """

    def __init__(self, port: int = 0) -> None:
        self.runs: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.events: list[dict[str, Any]] = []
        self.parameters: dict[str, dict[str, Any]] = {}
        self.status = 0
        self.body: Any = {"detail": "of the test"}
        self.retry_after = ""
        self.events_status = 0
        self.slow = 0.0
        self.loses_answers = 0
        self.most_at_once = self._at_once = 0
        self._lock = threading.Lock()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                stand_in.answer(self, None)

            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                stand_in.answer(self, json.loads(self.rfile.read(length)))

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # whoever asked was ended by the test

        self._server = Server(("127.0.0.1", port), Handler)
        self.profile = self.profile_at(self._server.server_port)

    @staticmethod
    def profile_at(port: int) -> Profile:
        """How a server on that port is reached, whether or not there is one."""
        return Profile(f"http://127.0.0.1:{port}/api", "", {})

    @contextmanager
    def serving(self) -> Iterator[StandIn]:
        """Answer for as long as the block goes on."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def answer(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        """Answer one request."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        if handler.path.endswith("create_flow_run"):
            time.sleep(self.slow)
        with self._lock:
            self._at_once -= 1
            status, answer = self._answered(handler, body)
        if status:
            _send(handler, status, answer, self.retry_after)
        else:
            handler.close_connection = True

    def _answered(self, handler: BaseHTTPRequestHandler, body: Any) -> tuple[int, Any]:
        path = handler.path.removeprefix("/api")
        if path == "/events":
            self.events += () if self.events_status else body
            return self.events_status or 204, None
        if self.status:
            return self.status, self.body
        if path.startswith("/deployments/name/"):
            known = path == f"/deployments/name/{DEPLOYMENT}"
            return (200, {"id": "deployment-1"}) if known else (404, {"detail": "not found"})
        key = body["idempotency_key"]
        self.asked[key] += 1
        run = self.runs.setdefault(key, str(uuid4()))
        self.parameters.setdefault(key, body["parameters"])
        if self.loses_answers:
            self.loses_answers -= 1
            return 0, None
        return 201, {"id": run}


def _send(handler: BaseHTTPRequestHandler, status: int, answer: Any, retry_after: str) -> None:
    content = b""
    if answer is not None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    handler.send_response(status)
    handler.send_header("content-length", str(len(content)))
    if retry_after:
        handler.send_header("retry-after", retry_after)
    handler.end_headers()
    handler.wfile.write(content)
