"""The embedded AWS as a server: moto behind a door with a health endpoint and faults.

`GET /xops/health` says which process answers, to whoever asks. All else wants a request that is
signed with the installation's key, as every AWS client signs (service and region are free for what
is not AWS): `POST /xops/faults` takes a list of faults (see `xops.local.aws.server.faults`), `GET`
lists those that remain, `DELETE` forgets them; what is left is moto's. State lives in this process
and ends with it.
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
from xml.sax.saxutils import escape

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

from xops.aws.embedded_key import EmbeddedKey
from xops.core.rendering import Plain
from xops.local.aws.ecs.driver import Driver
from xops.local.aws.install import install
from xops.local.aws.server import faults
from xops.local.aws.server.answers import Answers
from xops.local.aws.server.signature import RefusedError, check_caller, check_signature

log = logging.getLogger(__name__)

SERVICE = "xops-embedded-aws"
THREADS = 32
CONNECTIONS = 1000
IDLE_SECONDS = 300
"""Longer than SDKs keep an idle connection, so that it is theirs to close."""
CERTIFICATE_SECONDS = 1
"""How long an ACM certificate waits for its validation."""

HEALTH = ("GET", "/xops/health")
"""What anybody may ask: it tells nothing but that this server is there, and which."""

FAULTS = TypeAdapter(list[faults.Fault])

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class EmbeddedAws:
    """The WSGI application.

    moto's backends are plain dictionaries without locks, while Terraform sends ten requests at a
    time and the ECS scheduler changes tasks in between: `lock` lets one of them in at a time.
    """

    def __init__(self, lock: threading.RLock, key: EmbeddedKey) -> None:
        self._lock = lock
        self._key = key
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._faults = faults.FaultBox()
        self._answers = Answers()
        self._started_at = datetime.now(UTC).isoformat()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        try:
            self._admit(environ)
        except RefusedError as error:
            return _refused(environ, error)(environ, start_response)
        if environ["PATH_INFO"].startswith("/xops/"):
            return self._control(Request(environ))(environ, start_response)
        environ["RAW_URI"] = environ["REQUEST_URI"]  # where moto looks for the path as it was sent
        fault, response = self._fault(environ)
        response = response or self._answer(environ)
        if fault and fault.loses_answer:
            raise ClientDisconnected
        return response(environ, start_response)

    def _admit(self, environ: Environ) -> None:
        check_caller(environ)
        if (environ["REQUEST_METHOD"], environ["PATH_INFO"]) != HEALTH:
            check_signature(environ, self._key, datetime.now(UTC))

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
            case found if found == HEALTH:
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
    return _error(environ, 400, "NotImplemented", message)


def _refused(environ: Environ, error: RefusedError) -> Response:
    return _error(environ, 403, error.code, f"The embedded AWS refuses this: {error.message}")


def _error(environ: Environ, status: int, code: str, message: str) -> Response:
    """An error in the form of the service that was asked, as far as a request tells which.

    A client of a JSON service reads the header, whatever the body.
    """
    target = environ.get("HTTP_X_AMZ_TARGET") or environ["PATH_INFO"]
    # What was sent is untrusted, and a log is read on terminals.
    log.warning("%s", Plain.render(f"{message} ({environ['REQUEST_METHOD']} {target})"))
    kind = environ.get("CONTENT_TYPE", "")
    form = kind.startswith("application/x-www-form-urlencoded")
    service = faults.signing_name(Request(environ))
    if form or service in _XML:
        answer = Response(_xml(service, code, message), status=status, content_type="text/xml")
    else:
        answer = _json({"__type": code, "message": message}, status=status)
    answer.headers["x-amzn-errortype"] = code
    return answer


_XML = frozenset({"s3", "ec2", "cloudfront", "route53", "iam", "sts", "elasticloadbalancing"})
"""Services, by the name that is signed, whose errors are XML also where no form was sent."""


def _xml(service: str | None, code: str, message: str) -> str:
    error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    if service == "s3":
        return error
    if service == "ec2":
        return f"<Response><Errors>{error}</Errors><RequestID>none</RequestID></Response>"
    return f"<ErrorResponse>{error}<RequestId>none</RequestId></ErrorResponse>"


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


def serve(listener: socket.socket, step: float, key: EmbeddedKey) -> None:
    """Answer requests on a bound socket until SIGTERM or SIGINT.

    `step` is the pace of the ECS scheduler: the seconds a task stays in each passing state.
    `key` signs what is answered.
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
        EmbeddedAws(lock, key),
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
