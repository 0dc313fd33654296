"""Faults on request: make the next calls of an operation fail, or answer slowly.

A fault names a service as botocore does, an operation of it (or `*`) and what happens to the next
`times` matching calls: an error in the protocol of that service, a delay, both, or that the call is
carried out and its answer lost with the connection. An expired credential, for instance, is
`ExpiredToken` in EC2 and S3, `ExpiredTokenException` in JSON services.
Which operation a request is, and what an error looks like on the wire, both come from botocore's
service model through moto's own router and serializers.
"""

import logging
import threading
import time
from typing import Any

from botocore.exceptions import UnknownServiceError
from moto.core.exceptions import ServiceException
from moto.core.model import OperationModel
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from pydantic import BaseModel, ConfigDict, Field, model_validator
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

log = logging.getLogger(__name__)

ANY_OPERATION = "*"


class Fault(BaseModel):
    """What happens to the next `times` calls of one operation of one service."""

    model_config = ConfigDict(extra="forbid")

    service: str
    operation: str = ANY_OPERATION
    error: str | None = None
    message: str = "Injected by a test."
    status: int = Field(default=400, ge=400, le=599)
    times: int = Field(default=1, ge=1)
    delay_seconds: float = Field(default=0.0, ge=0, le=300)
    loses_answer: bool = False

    @model_validator(mode="after")
    def _names_exist(self) -> "Fault":
        try:
            operations = get_service_model(self.service).operation_names
        except UnknownServiceError:
            raise ValueError(f"botocore knows no service {self.service}") from None
        if self.operation != ANY_OPERATION and self.operation not in operations:
            raise ValueError(f"{self.service} has no operation {self.operation}")
        if self.error is None and not self.delay_seconds and not self.loses_answer:
            raise ValueError("a fault needs an error, a delay_seconds, or loses_answer")
        if self.error is not None and self.loses_answer:
            raise ValueError("an error is an answer: it is not lost")
        return self


class InjectedError(ServiceException):
    """The error of a fault.

    A class of our own, because moto takes the module of an exception for the name of a service.
    """


class FaultBox:
    """The faults still to happen, in the order in which they were asked for. Thread-safe."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, faults: list[Fault]) -> None:
        """Put faults behind those that remain."""
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        """Forget every fault."""
        with self._lock:
            self._faults.clear()

    def remaining(self) -> list[dict[str, Any]]:
        """Answer what has not happened yet; `times` counts down."""
        with self._lock:
            return [fault.model_dump() for fault in self._faults]

    def take(self, request: Request) -> tuple[Fault, OperationModel] | None:
        """Use up one occurrence of the first fault that this request matches."""
        with self._lock:
            for fault in self._faults:
                operation = _operation(request, fault.service)
                if operation and fault.operation in (ANY_OPERATION, operation.name):
                    self._spend(fault)
                    return fault, operation
        return None

    def _spend(self, fault: Fault) -> None:
        fault.times -= 1
        if not fault.times:
            self._faults.remove(fault)


def apply(fault: Fault, operation: OperationModel, request: Request) -> Response | None:
    """Wait as long as the fault says, then answer its error, or None to let the call through."""
    if fault.delay_seconds:
        time.sleep(fault.delay_seconds)
    if fault.error is None:
        return None
    log.info("injected %s into %s.%s", fault.error, fault.service, operation.name)
    return _error_response(fault, operation, request)


def _operation(request: Request, service: str) -> OperationModel | None:
    """Answer the operation of `service` this request calls, None when it is another service's."""
    model = get_service_model(service)
    if signing_name(request) != model.signing_name:
        return None
    target = request.headers.get("X-Amz-Target", "")
    if target and target.split(".")[0] != model.metadata.get("targetPrefix"):
        return None
    version = request.form.get("Version")
    if version and version != model.api_version:
        return None
    try:
        return get_service_router(service).match(request)[0]
    except (NotFound, NotImplementedError):
        return None


def signing_name(request: Request) -> str | None:
    """Answer the service in the credential scope: AKID/date/region/SERVICE/aws4_request."""
    _, found, scope = request.headers.get("Authorization", "").partition("Credential=")
    parts = scope.split(",")[0].split("/")
    return parts[3] if found and len(parts) == 5 else None


def _error_response(fault: Fault, operation: OperationModel, request: Request) -> Response:
    protocol = determine_request_protocol(operation.service_model, request.content_type)
    serializer = get_serializer_class(fault.service, protocol)(operation_model=operation)
    serialized = serializer.serialize(InjectedError(fault.error, fault.message))
    headers = {k: str(v) for k, v in serialized["headers"].items() if k.lower() != "content-length"}
    return Response(serialized["body"], status=fault.status, headers=headers)
