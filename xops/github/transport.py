"""A transport that keeps a credential at its server, and takes a bounded answer from it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil
from urllib.request import getproxies, proxy_bypass

import httpx

from xops.core.errors import Finding, InputError
from xops.core.files.web_address import Origin
from xops.github.errors import RefusedError

MOST_BYTES = 32 << 20
"""Of one answer, decoded."""

_MOST_SECONDS = 300.0
_WITHOUT_A_NUMBER = 60
_MOST_DIGITS = 10
_ENCODINGS = frozenset({"", "identity", "gzip"})
_OF_THE_TRANSFER = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class BoundTransport(httpx.BaseTransport):
    """Speaks to one server only, and takes so much from it at most.

    What a server says can lead elsewhere: redirects, and the links to a list's next page. The
    credential would go along, so no request of the connection leaves its server.

    Args:
        address: of that server; scheme, host and port count.

    Raises:
        InputError: the environment names a proxy that cannot be used.
    """

    def __init__(self, address: str) -> None:
        self._origin = Origin.of(address)
        self._inner = _through_proxy(self._origin)
        self.retry_after: float | None = None
        """Seconds that the last answer asked to wait; GraphQL's limits come with status 200."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, and read the answer within the bounds.

        Raises:
            RefusedError: it would go to another server, or the answer exceeds a bound.
        """
        asked = (request.url.scheme, request.url.raw_host.decode("ascii"), _port(request.url))
        if asked != (self._origin.scheme, self._origin.host.strip("[]"), self._origin.port):
            raise self._refused(f"it leads to another server, {asked[0]}://{asked[1]}:{asked[2]}")
        request.headers["Accept-Encoding"] = "gzip"
        response = self._inner.handle_request(request)
        try:
            body = self._read(response)
        finally:
            response.close()
        headers = list(_understood(response.headers.multi_items()))
        said = dict(headers).get("retry-after")
        self.retry_after = None if said is None else float(said)
        return httpx.Response(response.status_code, headers=headers, content=body, request=request)

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()

    def _read(self, response: httpx.Response) -> bytes:
        if response.headers.get("content-encoding", "identity").lower() not in _ENCODINGS:
            raise self._refused("it is encoded in a way that was not asked for")
        give_up = time.monotonic() + _MOST_SECONDS
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if len(body) > MOST_BYTES:
                raise self._refused(f"it is larger than {MOST_BYTES >> 20} MiB")
            if time.monotonic() > give_up:
                raise httpx.ReadTimeout(f"it took longer than {_MOST_SECONDS:.0f} s")
        return bytes(body)

    def _refused(self, found: str) -> RefusedError:
        return RefusedError(
            f"reading an answer of {self._origin}",
            found,
            "Look at what answers there: it is not as GitHub does.",
        )


def _understood(headers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The headers as githubkit takes them: moments of limits as whole seconds, or not at all."""
    for name, value in headers:
        match name.lower():
            case lower if lower in _OF_THE_TRANSFER:
                continue
            case "retry-after":
                yield "retry-after", str(_seconds_to_wait(value))
            case "x-ratelimit-reset" if not _is_number(value):
                continue
            case lower:
                yield lower, value


def _seconds_to_wait(value: str) -> int:
    """What `Retry-After` says, a number of seconds or a moment. Source: RFC 9110, 10.2.3."""
    if _is_number(value):
        return int(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return _WITHOUT_A_NUMBER
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, ceil((moment - datetime.now(UTC)).total_seconds()))


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS


def _through_proxy(origin: Origin) -> httpx.HTTPTransport:
    """By way of the proxy of the environment: beside a transport of one's own httpx reads none."""
    proxy = None if proxy_bypass(origin.host) else getproxies().get(origin.scheme)
    try:
        return httpx.HTTPTransport(proxy=proxy)
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        finding = Finding(
            f"variable {origin.scheme.upper()}_PROXY",
            "",
            "names no proxy that can be used: give http://HOST:PORT, or NO_PROXY the server",
        )
        raise InputError(f"connecting to {origin}", [finding]) from error


def _port(url: httpx.URL) -> int:
    return url.port or {"https": 443, "http": 80}.get(url.scheme, 0)
