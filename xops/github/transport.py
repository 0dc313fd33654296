"""A transport that keeps a credential at its server, and takes a bounded answer from it."""

from __future__ import annotations

import time
from urllib.request import getproxies, proxy_bypass

import httpx

from xops.core.errors import Finding, InputError
from xops.core.files.web_address import Origin
from xops.github.errors import RefusedError

MOST_BYTES = 32 << 20
"""Of one answer, decoded."""

_MOST_SECONDS = 300.0
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
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name.lower() not in _OF_THE_TRANSFER
        ]
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
