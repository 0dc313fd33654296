"""Put a subclass of one of moto's services in the place of the original.

moto builds a backend lazily, once an account and region are first used, from the class its
`BackendDict` names, and dispatches requests through the handlers in the service's `urls`
module. Replacing those two references before the first request is all an extension needs; no
method of moto is patched.
"""

from types import ModuleType
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.responses import BaseResponse


class ExtensionTooLateError(RuntimeError):
    """A service was extended after moto had already built a backend of the original class."""


def substitute(
    backends: BackendDict[Any],
    urls: ModuleType,
    backend: type[BaseBackend],
    response: type[BaseResponse] | None = None,
) -> None:
    """Make moto build `backend` and answer through `response` for the service of `backends`.

    Without a response class the service keeps its own, as does a path whose handler is not a
    `dispatch` (one that chooses between two services, for instance). Doing it again changes
    nothing. Raises ExtensionTooLateError when the service is in use, since state kept by the
    original backend would be lost without a word.
    """
    if backends.backend is backend:
        return
    if len(backends):
        raise ExtensionTooLateError(
            f"moto's {backends.service_name} backend is already in use: call install() first"
        )
    backends.backend = backend
    # moto derives the urls module from the backend's own module, which is ours for a subclass.
    backend._url_module = property(lambda _: urls)  # type: ignore[method-assign,assignment]
    if response is None:
        return
    for path, handler in urls.url_paths.items():
        if handler.__name__ == "dispatch":
            urls.url_paths[path] = response.dispatch
