"""Answers: a status, a text that depends on it alone, and whether the connection ends with it.

What was taken is answered without a text, which would be a packet of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from starlette.types import Message, Send

_TEXTS = {
    200: b"",
    202: b"",
    400: b"bad request\n",
    401: b"not authentic\n",
    404: b"not found\n",
    405: b"method not allowed\n",
    408: b"too slow\n",
    413: b"too large\n",
    415: b"not JSON\n",
    503: b"try again later\n",
}
_MORE = {503: [(b"retry-after", b"60")]}
_CLOSE = (b"connection", b"close")


@dataclass(frozen=True)
class Answer:
    """An answer.

    Args:
        status: of HTTP, which says its text.
        closes: whether the connection ends with it: a body that was not read is not awaited.
        allows: the methods that would be right.
    """

    status: int
    closes: bool = False
    allows: str = ""
    _messages: list[Message] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        body = _TEXTS[self.status]
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            *_MORE.get(self.status, ()),
            *(((b"allow", self.allows.encode()),) if self.allows else ()),
            *((_CLOSE,) if self.closes else ()),
        ]
        start: dict[str, Any] = {"type": "http.response.start", "status": self.status}
        end = {"type": "http.response.body", "body": body}
        object.__setattr__(self, "_messages", [start | {"headers": headers}, end])

    async def send(self, send: Send) -> None:
        """Send it."""
        for message in self._messages:
            await send(message)


ACCEPTED = Answer(202)
NOTHING_TO_DO = Answer(200)
NOT_AUTHENTIC = Answer(401)
NOT_USABLE = Answer(400)
UNAVAILABLE = Answer(503)
"""After a body that was read: the connection goes on."""

REFUSED = {status: Answer(status, closes=True) for status in (400, 404, 408, 413, 415, 503)}
"""Before the end of a body."""
