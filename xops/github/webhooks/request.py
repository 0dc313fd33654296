"""What is asked of a request before its body is believed: headers, and a body within bounds."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.types import Receive

BODY_SECONDS = 8.0
"""How long a body may take. GitHub gives up after ten seconds altogether."""
MOST_BUFFERED = 64 * 1024 * 1024
"""Bytes of bodies of all requests together: their number times the largest would be too many."""

_EVENT = re.compile(rb"[a-z][a-z0-9_]{0,63}")
_GUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DIGITS = re.compile(rb"[0-9]{1,18}")
_USED = frozenset(
    {
        b"content-length", b"content-type", b"x-github-delivery", b"x-github-event",
        b"x-github-hook-id", b"x-hub-signature-256",
    }
)  # fmt: skip


class RefusedError(Exception):
    """A request that is not taken.

    Args:
        status: of the answer.
        reason: for our log, in words of ours.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class GoneError(Exception):
    """The other side has hung up: there is nobody to answer."""


@dataclass(frozen=True)
class Head:
    """The headers of a delivery, which nobody has vouched for yet."""

    event: str
    delivery: str
    hook_id: int | None
    signature: bytes
    length: int


def used_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers that are looked at.

    Raises:
        RefusedError: 400, one is given twice: which of them counts?
    """
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _USED:
            if name in found:
                raise RefusedError(400, f"the header {name.decode()} is given twice")
            found[name] = value
    return found


def read_head(headers: dict[bytes, bytes], most: int) -> Head:
    """What the headers say.

    Args:
        headers: as `used_headers` gives them.
        most: bytes of a body.

    Raises:
        RefusedError: 415, 413 or 400.
    """
    if not _is_json(headers.get(b"content-type", b"")):
        raise RefusedError(415, "its content type is not application/json")
    length = headers.get(b"content-length", b"0")
    if not _DIGITS.fullmatch(length) or int(length) > most:
        raise RefusedError(413, f"its body has more than {most} bytes")
    event, delivery = headers.get(b"x-github-event", b""), headers.get(b"x-github-delivery", b"")
    if not _EVENT.fullmatch(event):
        raise RefusedError(400, "X-GitHub-Event is missing or is no event's name")
    if not _GUID.fullmatch(delivery):
        raise RefusedError(400, "X-GitHub-Delivery is missing or is no GUID")
    signature = headers.get(b"x-hub-signature-256")
    if signature is None:
        raise RefusedError(400, "X-Hub-Signature-256 is missing")
    hook = headers.get(b"x-github-hook-id", b"")
    hook_id = int(hook) if _DIGITS.fullmatch(hook) else None
    return Head(event.decode(), delivery.decode(), hook_id, signature, int(length))


def _is_json(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == b"application/json"


class BodyReader:
    """Reads bodies, of each so many bytes at most, and of all together.

    Args:
        most: bytes of one.
        most_buffered: bytes of those that are being read.
        seconds: that one may take.
    """

    def __init__(
        self, most: int, most_buffered: int = MOST_BUFFERED, seconds: float = BODY_SECONDS
    ) -> None:
        self._most = most
        self._room = max(most, most_buffered)
        self._seconds = seconds

    async def read(self, receive: Receive) -> bytes:
        """The whole body.

        Raises:
            RefusedError: 413, 408 (it took too long) or 503 (no room for it now).
            GoneError: the other side has hung up.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await self._whole(receive)
        except TimeoutError:
            raise RefusedError(408, f"its body took more than {self._seconds:.0f} s") from None

    async def _whole(self, receive: Receive) -> bytes:
        parts, taken, is_last = [], 0, False
        try:
            while not is_last:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise GoneError
                part: bytes = message.get("body", b"")
                parts.append(part)
                taken += len(part)
                self._room -= len(part)
                self._check(taken)
                is_last = not message.get("more_body", False)
        finally:
            self._room += taken
        return b"".join(parts)

    def _check(self, taken: int) -> None:
        if taken > self._most:
            raise RefusedError(413, f"its body has more than {self._most} bytes")
        if self._room < 0:
            raise RefusedError(503, "the bodies of other requests leave no room for its own")
