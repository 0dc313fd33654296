"""HTTP connections within bounds: how long one may take for what, and how many there are.

uvicorn bounds how long a connection idles after an answer, and nothing else: the first request may
take for ever to come, each further byte of a request ends the wait for it, and an answer that is
not fetched is waited for. Who opens connections and says a byte now and then (slow loris) would
have all of them in the end. `limit_concurrency` answers those who are over it, once their request
is complete. So each connection has a moment by which its present part must be done.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
"""From the connection, or the first byte of a further request, to the end of its headers."""
REQUEST_SECONDS = 20.0
"""From the headers to the last byte of the answer: more than body and inbox together may take."""
IDLE_SECONDS = 30
"""Between two requests; GitHub and proxies keep connections open."""
MOST_CONNECTIONS = 400
"""Below the 1,024 files that a process may usually have open. A further one takes the place of that
which has waited for its request for the longest time; if there is none, of that whose body has been
coming for the longest time."""
MOST_HEADER_BYTES = 16 * 1024


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with a deadline for each part of a connection."""

    header_seconds = HEADER_SECONDS
    request_seconds = REQUEST_SECONDS
    most_connections = MOST_CONNECTIONS

    _deadline: float
    _since: float
    _timer: asyncio.TimerHandle | None = None
    _is_reading_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._is_reading_head = True
        self._expect(self.header_seconds)
        if len(self.connections) > self.most_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Take bytes: of headers, which have one deadline for all of them, or of a body."""
        was_answering = self._is_answering
        super().data_received(data)
        if self._is_answering:
            if not was_answering:
                self._begin_request()
        elif not self._is_reading_head:
            self._is_reading_head = True
            self._expect(self.header_seconds)

    def on_response_complete(self) -> None:
        """Begin to wait for a further request, which may have come with the last one."""
        self._is_reading_head = False
        self._expect(self.timeout_keep_alive + self.header_seconds)
        super().on_response_complete()
        if self._is_answering:
            self._begin_request()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _begin_request(self) -> None:
        self._is_reading_head = False
        self._expect(self.request_seconds)

    def _expect(self, seconds: float) -> None:
        """Set the deadline. A timer that goes off too early is set anew then: most never are."""
        self._since = self.loop.time()
        self._deadline = self._since + seconds
        if self._timer is None or self._timer.when() > self._deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_at(self._deadline, self._end_if_late)

    def _end_if_late(self) -> None:
        if self.loop.time() < self._deadline:
            self._timer = self.loop.call_at(self._deadline, self._end_if_late)
        else:
            self.transport.abort()

    def _make_room(self) -> None:
        others = cast(set[Any], self.connections) - {self}
        waiting = [one for one in others if not one._is_answering]
        waiting = waiting or [one for one in others if one.cycle.more_body]
        victim = min(waiting, key=lambda one: one._since, default=self)
        victim.transport.abort()
