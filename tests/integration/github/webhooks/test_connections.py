"""Connections that are slow, many, or speak no HTTP."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.receivers import asked, served
from tests.soak import examples
from tests.waiting import Eventually
from tests.webhooks import MemoryInbox, encoded, policy, pull_request, secrets, signed
from xops.github.webhooks.app import create_app

BODY = encoded(pull_request())
SOON = 0.3


def head(body: bytes = BODY, **changes: Any) -> bytes:
    lines = [name.encode() + b": " + value for name, value in signed(body, **changes).items()]
    return b"\r\n".join([b"POST /github HTTP/1.1", b"host: xops", *lines, b"", b""])


class Peer:
    """A connection by hand."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)

    def send(self, data: bytes) -> bool:
        """Whether the other side still takes it."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def rest(self) -> bytes:
        """All that comes until the other side has closed."""
        found = b""
        try:
            while part := self.socket.recv(65536):
                found += part
        except ConnectionError:
            pass
        return found

    def answer(self) -> bytes:
        """The next answer; the connection may go on."""
        found = b""
        while b"\r\n\r\n" not in found:
            part = self.socket.recv(65536)
            assert part, found
            found += part
        return found


@contextmanager
def limited(**limits: float) -> Iterator[tuple[int, MemoryInbox]]:
    inbox = MemoryInbox()
    with served(create_app(policy(), secrets(), inbox), **limits) as port:
        yield port, inbox


def test_several_deliveries_go_over_one_connection() -> None:
    with limited() as (port, inbox):
        peer = Peer(port)
        for _ in range(3):
            assert peer.send(head() + BODY)
            assert peer.answer().startswith(b"HTTP/1.1 202 ")
        assert peer.send(head() + BODY + head() + BODY)
        answers = peer.answer()
        while answers.count(b"HTTP/1.1 202 ") < 2:
            answers += peer.answer()
        assert len(inbox.rows) == 5


def test_an_answer_does_not_name_the_server() -> None:
    with limited() as (port, _):
        peer = Peer(port)
        peer.send(head() + BODY)
        assert b"server:" not in peer.answer().lower()


@pytest.mark.parametrize("begin", [b"", b"POST /gi", b"POST /github HTTP/1.1\r\nhost: xops\r\n"])
def test_a_connection_on_which_no_request_comes_is_ended(begin: bytes) -> None:
    with limited(header_seconds=SOON) as (port, _):
        peer = Peer(port)
        peer.send(begin)
        assert peer.rest() == b""


def test_a_byte_now_and_then_does_not_keep_it_open(eventually: Eventually) -> None:
    with limited(header_seconds=SOON) as (port, _):
        peer = Peer(port)
        drops = iter(b"POST /github HTTP/1.1\r\nx: " + b"y" * 1_000)
        eventually(lambda: not peer.send(bytes([next(drops)])))


def test_that_holds_for_a_further_request_as_well(eventually: Eventually) -> None:
    with limited(header_seconds=SOON) as (port, _):
        peer = Peer(port)
        peer.send(head() + BODY)
        peer.answer()
        drops = iter(b"POST /github HTTP/1.1\r\nx: " + b"y" * 1_000)
        eventually(lambda: not peer.send(bytes([next(drops)])))


def test_a_body_that_never_ends_is_ended(eventually: Eventually) -> None:
    with limited(request_seconds=SOON) as (port, inbox):
        peer = Peer(port)
        peer.send(head())
        drops = iter(BODY)
        eventually(lambda: not peer.send(bytes([next(drops)])))
        assert not inbox.rows


def test_who_does_not_fetch_answers_is_ended(eventually: Eventually) -> None:
    with limited(request_seconds=SOON) as (port, _):
        peer = Peer(port)
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = b"GET /metrics HTTP/1.1\r\nhost: xops\r\n\r\n" * 500
        eventually(lambda: not peer.send(request))


def test_a_request_that_takes_its_time_is_not_ended_too_early() -> None:
    with limited(header_seconds=SOON, request_seconds=20) as (port, _):
        peer = Peer(port)
        peer.send(head() + BODY[:-1])
        time.sleep(2 * SOON)  # longer than headers may take
        peer.send(BODY[-1:])
        assert peer.answer().startswith(b"HTTP/1.1 202 ")
        time.sleep(2 * SOON)  # and this is a connection that idles
        peer.send(head() + BODY)
        assert peer.answer().startswith(b"HTTP/1.1 202 ")


def test_who_waits_with_its_request_makes_room_for_others() -> None:
    with limited(most_connections=20, header_seconds=60) as (port, inbox), ExitStack() as stack:
        peers = [Peer(port) for _ in range(60)]
        for peer in peers:
            stack.enter_context(peer.socket)
            peer.send(b"POST")
        for _ in range(5):
            assert asked(port, "POST", "/github", BODY, signed(BODY))[0] == 202
        assert len(inbox.rows) == 5


def test_who_is_being_answered_is_not_the_one_who_makes_room() -> None:
    with limited(most_connections=3, header_seconds=60) as (port, inbox), ExitStack() as stack:
        busy = [Peer(port) for _ in range(2)]
        for peer in busy:
            peer.send(head(expect=b"100-continue"))
            assert peer.socket.recv(100).startswith(b"HTTP/1.1 100 ")
        for _ in range(20):
            stack.enter_context(Peer(port).socket)
        for peer in busy:
            assert peer.send(BODY)
            assert peer.answer().startswith(b"HTTP/1.1 202 ")
        assert len(inbox.rows) == 2


def test_who_lets_a_body_wait_makes_room_for_others() -> None:
    with limited(most_connections=20) as (port, inbox), ExitStack() as stack:
        for _ in range(20):
            peer = Peer(port)
            stack.enter_context(peer.socket)
            peer.send(head(expect=b"100-continue"))
            assert peer.socket.recv(100).startswith(b"HTTP/1.1 100 ")
        for _ in range(5):
            assert asked(port, "POST", "/github", BODY, signed(BODY))[0] == 202
        assert len(inbox.rows) == 5


@pytest.mark.parametrize("begin", [b"", b"GET / HTTP/1.1\r\nx: "])
def test_headers_without_end_are_refused(begin: bytes) -> None:
    with limited() as (port, _):
        peer = Peer(port)
        peer.send(begin + b"y" * 20_000)
        assert peer.rest().startswith(b"HTTP/1.1 400 ")


def test_a_body_that_is_too_large_is_refused_before_it_is_sent() -> None:
    with limited() as (port, _):
        peer = Peer(port)
        peer.send(head(content_length=b"25000000"))
        answer = peer.rest()
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in answer.lower()


def test_who_asks_first_is_told_before_it_sends_a_body_that_is_too_large() -> None:
    with limited() as (port, _):
        peer = Peer(port)
        peer.send(head(content_length=b"25000000", expect=b"100-continue"))
        assert peer.rest().startswith(b"HTTP/1.1 413 ")
        allowed = Peer(port)
        allowed.send(head(expect=b"100-continue"))
        assert allowed.socket.recv(100).startswith(b"HTTP/1.1 100 ")
        allowed.send(BODY)
        assert allowed.answer().startswith(b"HTTP/1.1 202 ")


def test_a_body_in_chunks_is_refused_at_the_bound() -> None:
    with limited() as (port, _):
        peer = Peer(port)
        peer.send(head(content_length=b"", transfer_encoding=b"chunked"))
        chunk = b"%x\r\n%b\r\n" % (100_000, b" " * 100_000)
        sent = 0
        while sent < 30_000_000 and peer.send(chunk):
            sent += 100_000
        assert sent < 30_000_000
        assert b" 413 " in peer.rest() or sent < 12_000_000


def test_a_small_body_in_chunks_is_taken() -> None:
    with limited() as (port, _):
        peer = Peer(port)
        peer.send(head(content_length=b"", transfer_encoding=b"chunked"))
        for start in range(0, len(BODY), 100):
            part = BODY[start : start + 100]
            peer.send(b"%x\r\n%b\r\n" % (len(part), part))
        peer.send(b"0\r\n\r\n")
        assert peer.answer().startswith(b"HTTP/1.1 202 ")


LINES = st.sampled_from(
    [b"content-length: 5\r\n", b"content-length: -1\r\n", b"transfer-encoding: chunked\r\n",
     b"transfer-encoding: gzip\r\n", b"connection: upgrade\r\nupgrade: websocket\r\n", b"a\r\n",
     b" folded\r\n", b"\x00: \x00\r\n", b"host: a\r\n", b"expect: 100-continue\r\n",
     b"\xff: \xff\r\n"]
)  # fmt: skip
FIRST = st.sampled_from(
    [b"POST /github HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
     b"\x16\x03\x01\x02\x00\x01", b"GET http://[ HTTP/1.1\r\n", b"POST /\xff HTTP/1.1\r\n",
     b"CONNECT a:1 HTTP/1.1\r\n", b"POST /%ff%00 HTTP/1.1\r\n"]
)  # fmt: skip


@examples(60)
@given(
    first=FIRST | st.binary(max_size=30),
    lines=st.lists(LINES | st.binary(max_size=30), max_size=5),
    rest=st.binary(max_size=60) | st.just(b"5\r\nhello\r\n0\r\n\r\n") | st.just(b"\r\n" + head()),
)
def test_no_bytes_make_a_fault_of_ours(
    for_any_bytes: tuple[int, Faults], first: bytes, lines: list[bytes], rest: bytes
) -> None:
    port, faults = for_any_bytes
    peer = Peer(port)
    with peer.socket:
        if peer.send(first + b"".join(lines) + b"\r\n" + rest):
            peer.socket.shutdown(socket.SHUT_WR)
        answer = peer.rest()
    assert b"HTTP/1.1 5" not in answer
    assert not faults.records


class Faults(logging.Handler):
    """What is logged as an error, with its trace."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(self.format(record))


@pytest.fixture(scope="module")
def for_any_bytes() -> Iterator[tuple[int, Faults]]:
    faults = Faults()
    logging.getLogger().addHandler(faults)
    try:
        with limited(header_seconds=SOON, request_seconds=SOON) as (port, _):
            yield port, faults
    finally:
        logging.getLogger().removeHandler(faults)
