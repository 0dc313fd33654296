"""The embedded AWS as a server: moto behind a door with a health endpoint and faults.

`GET /xops/health` says which process answers. `POST /xops/faults` takes a list of faults (see
`xops.local.aws.server.faults`), `GET` lists those that remain, `DELETE` forgets them. Anything else
is AWS. State lives in this process and ends with it.
"""

import contextlib
import io
import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from moto import settings
from moto.core.request import Request
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    create_backend_app,
)
from pydantic import TypeAdapter, ValidationError
from waitress import create_server
from waitress.channel import ClientDisconnected
from werkzeug.wrappers import Response

from xops.local.aws.ecs.driver import Driver
from xops.local.aws.install import install
from xops.local.aws.server import faults
from xops.local.aws.server.answers import Answers

log = logging.getLogger(__name__)

SERVICE = "xops-embedded-aws"
THREADS = 32
CONNECTIONS = 1000
IDLE_SECONDS = 300
"""Longer than SDKs keep an idle connection, so that it is theirs to close."""
CERTIFICATE_SECONDS = 1
"""How long an ACM certificate waits for its validation."""

FAULTS = TypeAdapter(list[faults.Fault])

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class EmbeddedAws:
    """The WSGI application.

    moto's backends are plain dictionaries without locks, while Terraform sends ten requests at a
    time and the ECS scheduler changes tasks in between: `lock` lets one of them in at a time.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._faults = faults.FaultBox()
        self._answers = Answers()
        self._started_at = datetime.now(UTC).isoformat()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if environ["PATH_INFO"].startswith("/xops/"):
            return self._control(Request(environ))(environ, start_response)
        environ["RAW_URI"] = environ["REQUEST_URI"]  # where moto looks for the path as it was sent
        fault, response = self._fault(environ)
        response = response or self._answer(environ)
        if fault and fault.loses_answer:
            raise ClientDisconnected
        return response(environ, start_response)

    def _answer(self, environ: Environ) -> Response:
        with self._lock:
            if (before := self._answers.find(environ)) is not None:
                return before
            answer = Response.from_app(self._aws, environ, buffered=True)
            self._answers.keep(environ, answer)
            return answer

    def _aws(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            answer: Iterable[bytes] = self._moto(environ, start_response)
        except NotImplementedError as error:
            return _not_implemented(environ, error)(environ, start_response)
        return answer

    def _fault(self, environ: Environ) -> tuple[faults.Fault | None, Response | None]:
        """The fault that happens to this call, and its answer if it is an error."""
        if not self._faults.remaining():
            return None, None
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        request = Request({**environ, "wsgi.input": io.BytesIO(body)})
        environ["wsgi.input"] = io.BytesIO(body)
        taken = self._faults.take(request)
        return (taken[0], faults.apply(*taken, request)) if taken else (None, None)

    def _control(self, request: Request) -> Response:
        match request.method, request.path:
            case "GET", "/xops/health":
                return _json(self._health())
            case "GET", "/xops/faults":
                return _json(self._faults.remaining())
            case "DELETE", "/xops/faults":
                self._faults.clear()
                return _json([])
            case "POST", "/xops/faults":
                return self._add_faults(request.get_data())
        return _json({"error": f"there is no {request.method} {request.path}"}, status=404)

    def _health(self) -> dict[str, Any]:
        return {
            "service": SERVICE,
            "pid": os.getpid(),
            "version": metadata.version("xops"),
            "moto": metadata.version("moto"),
            "started_at": self._started_at,
        }

    def _add_faults(self, body: bytes) -> Response:
        try:
            self._faults.add(FAULTS.validate_json(body))
        except ValidationError as error:
            return _json({"error": str(error)}, status=400)
        return _json(self._faults.remaining())


def _json(value: object, status: int = 200) -> Response:
    return Response(json.dumps(value), status=status, content_type="application/json")


def _not_implemented(environ: Environ, error: NotImplementedError) -> Response:
    """Answer a call that moto lacks with a client error.

    moto would answer 500, which SDKs take for a passing fault and retry for minutes.
    """
    message = f"The embedded AWS lacks this call: {error}"
    target = environ.get("HTTP_X_AMZ_TARGET") or environ["PATH_INFO"]
    log.warning("%s (%s %s)", message, environ["REQUEST_METHOD"], target)
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        body = f"<ErrorResponse><Error><Code>NotImplemented</Code><Message>{message}</Message>"
        body += "</Error></ErrorResponse>"
        return Response(body, status=400, content_type="text/xml")
    response = _json({"__type": "NotImplemented", "message": message}, status=400)
    response.headers["x-amzn-errortype"] = "NotImplemented"
    return response


def listen(host: str, port: int) -> socket.socket:
    """Bind the server's socket; an OSError says that the port is taken or not allowed."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(128)
    return listener


def serve(listener: socket.socket, step: float) -> None:
    """Answer requests on a bound socket until SIGTERM or SIGINT.

    `step` is the pace of the ECS scheduler: the seconds a task stays in each passing state.
    """
    os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    # moto's minute of waiting checks nothing, and everything behind a certificate waits with it.
    settings.ACM_VALIDATION_WAIT = CERTIFICATE_SECONDS
    install(step)
    lock = threading.RLock()
    os.environ["MOTO_PORT"] = str(listener.getsockname()[1])
    # Not werkzeug's server: it closes every connection, and about one answer in two thousand was
    # lost on the way.
    server = create_server(
        EmbeddedAws(lock),
        sockets=[listener],
        threads=THREADS,
        connection_limit=CONNECTIONS,
        channel_timeout=IDLE_SECONDS,
        ident=SERVICE,
    )
    driver = Driver(lock)
    driver.start()
    with _interrupted_by(signal.SIGTERM, signal.SIGINT):
        server.run()
    driver.stop()


@contextlib.contextmanager
def _interrupted_by(*signals: signal.Signals) -> Iterator[None]:
    """Turn signals into the KeyboardInterrupt on which the server closes."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
