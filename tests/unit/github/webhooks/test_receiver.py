"""What is answered to whom, without a network."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import HOSTILE
from tests.soak import examples
from tests.webhooks import (
    KEY,
    MemoryInbox,
    Reply,
    ask,
    encoded,
    policy,
    pull_request,
    secrets,
    signed,
)
from xops.core.errors import DiskFullError, TemporaryError
from xops.github.inbox.inbox import DeliveryState
from xops.github.policy import EVENTS
from xops.github.webhooks import connections, group_commit, request
from xops.github.webhooks.app import create_app
from xops.github.webhooks.hook_secrets import Secrets
from xops.github.webhooks.request import BodyReader, RefusedError

BODY = encoded(pull_request())
PREVIOUS = b"p" * 32


class Receiver:
    """A receiver and what it keeps."""

    def __init__(self, known: Secrets | None = None, **webhook: Any) -> None:
        self.inbox = MemoryInbox()
        self.now = datetime(2026, 11, 30, 12, tzinfo=UTC)
        self.app = create_app(
            policy(webhook=webhook), known or secrets(), self.inbox, lambda: self.now
        )

    def post(self, body: bytes = BODY, **headers: Any) -> Reply:
        return asyncio.run(ask(self.app, signed(body, **headers), [body]))

    def get(self, path: str, method: str = "GET") -> Reply:
        return asyncio.run(ask(self.app, path=path, method=method))

    @property
    def states(self) -> list[DeliveryState]:
        return [state for _, state, _ in self.inbox.rows.values()]


def test_a_delivery_that_leads_to_something_is_accepted_once_it_is_kept() -> None:
    receiver = Receiver()
    assert receiver.post().status == 202
    [(delivery, state, reason)] = receiver.inbox.rows.values()
    assert (delivery.repository, delivery.number, delivery.hook_id) == ("acme/web", 7, 12345)
    assert (state, reason) == (DeliveryState.RECEIVED, "")
    assert delivery.received_at == receiver.now


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("pull_request", pull_request("labeled")),
        ("pull_request", pull_request(repository="other/web")),
        ("push", {"ref": "refs/heads/main"}),
        ("star", {"action": "created"}),
        ("an_event_of_tomorrow", {}),
        ("ping", {"zen": "z", "hook_id": 1}),
    ],
)
def test_what_leads_to_nothing_is_answered_200_and_has_a_row(event: str, payload: Any) -> None:
    receiver = Receiver()
    assert receiver.post(encoded(payload), event=event).status == 200
    [(_, state, reason)] = receiver.inbox.rows.values()
    assert state is DeliveryState.IGNORED
    assert reason


def test_a_delivery_that_is_known_is_answered_200_and_changes_nothing() -> None:
    receiver = Receiver()
    same = str(uuid4()).encode()
    assert receiver.post(x_github_delivery=same).status == 202
    receiver.now += timedelta(days=7)
    again = receiver.post(encoded(pull_request("labeled")), x_github_delivery=same.upper())
    assert again.status == 200
    [(delivery, state, _)] = receiver.inbox.rows.values()
    assert (delivery.action, state) == ("opened", DeliveryState.RECEIVED)
    assert delivery.received_at == receiver.now - timedelta(days=7)


def test_of_the_same_delivery_concurrently_one_is_accepted() -> None:
    async def run() -> None:
        receiver = Receiver()
        headers = signed(BODY)
        replies = await asyncio.gather(*(ask(receiver.app, headers, [BODY]) for _ in range(20)))
        assert sorted(reply.status for reply in replies) == [200] * 19 + [202]
        assert len(receiver.inbox.rows) == 1

    asyncio.run(run())


def test_a_clock_that_is_wrong_refuses_nothing() -> None:
    receiver = Receiver()
    for days in (-10_000, 10_000, 0):
        receiver.now += timedelta(days=days)
        assert receiver.post().status == 202


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_any_other_method_is_405(method: str) -> None:
    reply = Receiver().get("/github", method)
    assert reply.status == 405
    assert reply.headers[b"allow"] == b"POST"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_pages_are_read_and_nothing_else(path: str) -> None:
    receiver = Receiver()
    for method in ("POST", "PUT", "OPTIONS"):
        reply = receiver.get(path, method)
        assert reply.status == 405
        assert set(reply.headers[b"allow"].split(b", ")) == {b"GET", b"HEAD"}


@pytest.mark.parametrize("path", ["/", "/github/", "/GITHUB", "/github/x", "/%67ithub", "//github"])
def test_any_other_path_is_404(path: str) -> None:
    receiver = Receiver()
    assert asyncio.run(ask(receiver.app, signed(BODY), [BODY], path=path)).status == 404
    assert not receiver.inbox.rows


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (b"application/json", 202), (b"application/json; charset=utf-8", 202),
        (b"Application/JSON", 202), (b"", 415), (b"application/x-www-form-urlencoded", 415),
        (b"text/plain", 415), (b"application/jsonp", 415), (b"text/json", 415), (b"\xff", 415),
        (b"multipart/form-data; boundary=application/json", 415),
    ],
)  # fmt: skip
def test_only_json_is_taken(kind: bytes, status: int) -> None:
    assert Receiver().post(content_type=kind).status == status


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("x_github_event", b"", 400), ("x_github_event", b"a b", 400),
        ("x_github_event", b"\xff", 400), ("x_github_event", b"a" * 65, 400),
        ("x_github_delivery", b"", 400), ("x_github_delivery", b"7", 400),
        ("x_github_delivery", b"1" * 5000, 400), ("x_github_delivery", b"\xff" * 36, 400),
        ("x_hub_signature_256", b"", 400), ("x_hub_signature_256", b"sha256=00", 401),
        ("x_hub_signature_256", b"sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59", 401),
        ("x_hub_signature_256", b"sha256=\xc3\xa9\xff", 401),
        ("x_hub_signature_256", "sha256=é".encode("latin-1"), 401),
        ("x_github_hook_id", b"", 202), ("x_github_hook_id", b"many", 202),
        ("x_github_hook_id", b"9" * 400, 202),
        ("content_length", b"-1", 413), ("content_length", b"9" * 5000, 413),
        ("content_length", b"", 202),
    ],
)  # fmt: skip
def test_headers_are_there_and_have_their_shape(name: str, value: bytes, status: int) -> None:
    receiver = Receiver()
    assert receiver.post(**{name: value}).status == status
    assert bool(receiver.inbox.rows) is (status == 202)


def test_sha_1_alone_is_refused() -> None:
    reply = Receiver().post(x_hub_signature_256=b"", x_hub_signature=b"sha1=00")
    assert reply.status == 400


def test_a_header_that_is_given_twice_is_refused() -> None:
    receiver = Receiver()
    pairs = [(name.encode(), value) for name, value in signed(BODY).items()]
    for name in (b"x-hub-signature-256", b"x-github-delivery", b"content-type"):
        twice = [*pairs, (name, dict(pairs)[name])]
        assert asyncio.run(ask(receiver.app, twice, [BODY])).status == 400
    assert not receiver.inbox.rows


def test_both_secrets_are_accepted_while_one_is_exchanged() -> None:
    receiver = Receiver(secrets(KEY, PREVIOUS))
    assert receiver.post().status == 202
    assert receiver.post(key=PREVIOUS).status == 202
    assert receiver.post(key=b"q" * 32).status == 401


def test_a_body_that_was_changed_is_401_and_nothing_of_it_is_read() -> None:
    receiver = Receiver()
    headers = signed(BODY)
    for place in (0, len(BODY) // 2, len(BODY) - 1):
        wrong = bytearray(BODY)
        wrong[place] ^= 1
        assert asyncio.run(ask(receiver.app, headers, [bytes(wrong)])).status == 401
    assert not receiver.inbox.rows


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 50_000,
        b"\xff",
        b'{"a": ' * 300 + b"1" + b"}" * 300,
        b'{"a": ' + b"1" * 9999 + b"}",
    ],
)
def test_what_is_authentic_and_no_delivery_is_400(body: bytes) -> None:
    receiver = Receiver()
    assert receiver.post(body).status == 400
    assert receiver.post(body, key=PREVIOUS).status == 401
    assert not receiver.inbox.rows


def test_a_body_that_is_too_large_is_refused_by_what_it_says_of_itself() -> None:
    receiver = Receiver(max_body_bytes=2000)
    never = ask(receiver.app, signed(b"", content_length=b"2001"), [])
    reply = asyncio.run(asyncio.wait_for(never, 5))  # nothing of it was read
    assert (reply.status, reply.headers[b"connection"]) == (413, b"close")
    exact = BODY[:-1] + b" " * (2000 - len(BODY)) + b"}"
    assert len(exact) == 2000
    assert receiver.post(exact).status == 202


def test_a_body_that_is_too_large_is_refused_while_it_comes() -> None:
    receiver = Receiver(max_body_bytes=2000)
    headers = signed(b"", content_length=b"")
    taken = 0

    async def receive() -> Any:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b" " * 500, "more_body": True}

    async def run() -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/github", "root_path": "",
            "headers": [(name.encode(), value) for name, value in headers.items()],
        }  # fmt: skip
        await receiver.app(scope, receive, send)
        return sent

    start, _ = asyncio.run(run())
    assert (start["status"], taken) == (413, 5)
    assert (b"connection", b"close") in start["headers"]


def test_all_bodies_together_are_bounded() -> None:
    async def run() -> None:
        reader = BodyReader(100, most_buffered=250)
        held = asyncio.Event()

        def half() -> Callable[[], Awaitable[Any]]:
            parts = [b"x" * 90, b"x"]

            async def receive() -> Any:
                if len(parts) == 1:
                    await held.wait()
                return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

            return receive

        begun = [asyncio.create_task(reader.read(half())) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(RefusedError, match="no room"):
            await reader.read(half())
        held.set()
        assert [len(body) for body in await asyncio.gather(*begun)] == [91, 91]
        assert len(await reader.read(half())) == 91

    asyncio.run(run())


def test_a_body_that_is_too_slow_is_408() -> None:
    async def run() -> None:
        async def receive() -> Any:
            await asyncio.sleep(0.001)
            return {"type": "http.request", "body": b"x", "more_body": True}

        with pytest.raises(RefusedError) as caught:
            await BodyReader(1000_000, seconds=0.02).read(receive)
        assert caught.value.status == 408

    asyncio.run(run())


def test_who_has_hung_up_is_not_answered_and_leaves_nothing_behind() -> None:
    receiver = Receiver()
    reply = asyncio.run(ask(receiver.app, signed(BODY), [BODY[:10]], stays=False))
    assert reply.status == 0
    assert not receiver.inbox.rows


@pytest.mark.parametrize(
    "error",
    [
        TemporaryError("keeping", "the database is down", "Wait."),
        DiskFullError("keeping", "no room is left", "Make room."),
    ],
)
def test_a_store_that_is_down_is_503_until_it_is_up(error: Exception) -> None:
    receiver = Receiver()
    headers = signed(BODY)
    receiver.inbox.error = error
    reply = asyncio.run(ask(receiver.app, headers, [BODY]))
    assert (reply.status, reply.headers[b"retry-after"]) == (503, b"60")
    receiver.inbox.error = None
    assert asyncio.run(ask(receiver.app, headers, [BODY])).status == 202


def test_an_answer_says_nothing_but_its_status() -> None:
    receiver = Receiver(max_body_bytes=2000)
    seen: dict[int, set[bytes]] = {}
    for body in (BODY, b"{", b'{"x": "' + b"y" * 3000 + b'"}', b"\xff"):
        for changes in (
            {}, {"x_github_event": b"push"}, {"content_type": b"x"}, {"key": PREVIOUS},
            {"x_github_delivery": b"x"},
        ):  # fmt: skip
            reply = receiver.post(body, **changes)
            seen.setdefault(reply.status, set()).add(reply.body)
    assert {400, 401, 413, 415, 202} <= set(seen)
    assert {len(texts) for texts in seen.values()} == {1}


def test_refusals_are_one_line_each_and_say_nothing_of_body_or_signature(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver = Receiver()
    same = str(uuid4()).encode()
    receiver.post(key=PREVIOUS, x_github_delivery=same, authorization=b"Bearer s3cr3t")
    receiver.post(b'{"hidden": "s3cr3t"', x_github_delivery=same)
    ours = [record for record in caplog.records if record.name.startswith("xops")]
    assert [record.levelname for record in ours] == ["WARNING"] * 2
    assert caplog.text.count(same.decode()) == 2
    assert "192.0.2.7" in caplog.text
    assert "event pull_request" in caplog.text
    assert not [word for word in ("s3cr3t", "sha256", "hidden", "octocat") if word in caplog.text]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_a_stranger_says_of_itself_is_cleaned_and_cut(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    given_ = (text * 1000).encode()
    Receiver().post(x_github_event=given_, x_github_delivery=given_)
    for record in caplog.records:
        line = record.getMessage()
        assert line.isprintable()
        assert len(line) < 800


def test_what_was_accepted_is_no_line_of_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    Receiver().post()
    assert not [record for record in caplog.records if record.name.startswith("xops")]


def test_health_says_that_the_process_answers_whatever_the_store_does() -> None:
    receiver = Receiver()
    receiver.inbox.error = TemporaryError("asking", "the database is down", "Wait.")
    assert receiver.get("/healthz").status == 200
    reply = receiver.get("/readyz")
    assert (reply.status, reply.body) == (503, b"not ready\n")


def test_however_often_readiness_is_asked_the_store_is_asked_once_a_second() -> None:
    async def run() -> None:
        receiver = Receiver()
        asked = [ask(receiver.app, path="/readyz", method="GET") for _ in range(100)]
        assert {reply.status for reply in await asyncio.gather(*asked)} == {200}
        assert receiver.inbox.questions == 1

    asyncio.run(run())


def test_prometheus_is_told_of_outcomes_and_of_the_inbox() -> None:
    receiver = Receiver()
    receiver.post()
    receiver.post(key=PREVIOUS)
    receiver.post(encoded({}), event="star")
    receiver.post(x_github_event=b"invented_by_a_stranger", key=PREVIOUS)
    receiver.now += timedelta(seconds=90)
    text = receiver.get("/metrics").body.decode()
    assert 'deliveries_total{event="pull_request",outcome="accepted"} 1.0' in text
    assert 'deliveries_total{event="unverified",outcome="refused_401"} 2.0' in text
    assert 'deliveries_total{event="other",outcome="ignored"} 1.0' in text
    assert 'xops_webhook_inbox_deliveries{state="received"} 1.0' in text
    assert "xops_webhook_oldest_waiting_seconds 90.0" in text
    assert "xops_webhook_queue_length 0.0" in text
    assert "answer_seconds_count 4.0" in text
    assert not [word for word in ("invented", "acme", "octocat") if word in text]


def test_what_is_not_known_of_the_inbox_is_not_told_as_zero() -> None:
    receiver = Receiver()
    receiver.inbox.error = TemporaryError("asking", "the database is down", "Wait.")
    text = receiver.get("/metrics").body.decode()
    assert "xops_webhook_inbox_up 0.0" in text
    assert "xops_webhook_inbox_deliveries{" not in text
    assert "\nxops_webhook_oldest_waiting_seconds " not in text


HEADER_NAMES = st.sampled_from(
    [name.encode() for name in signed(BODY)] + [b"transfer-encoding", b"x-hub-signature", b"\xff"]
)
SOME_BYTES = st.binary(max_size=80) | st.sampled_from([*signed(BODY).values(), b"", b"0"])
MOST_LINES = st.lists(st.tuples(HEADER_NAMES, SOME_BYTES), max_size=4)


@examples(300)
@given(
    body=st.binary(max_size=300) | st.sampled_from([BODY, b"{}", BODY[:-1], b"\x00"]),
    signed_as=st.sampled_from([KEY, PREVIOUS]),
    event=st.sampled_from([*EVENTS, "star"]),
    more=MOST_LINES,
    without=st.sets(HEADER_NAMES, max_size=2),
    cuts=st.lists(st.integers(0, 300), max_size=3),
    path=st.sampled_from(["/github"] * 6 + ["/", "/healthz", "/metrics", "/\udcff", "/readyz"]),
    method=st.sampled_from(["POST"] * 6 + ["GET", "", "\x00"]),
)
def test_no_request_is_answered_with_a_fault_of_ours(
    body: bytes,
    signed_as: bytes,
    event: str,
    more: list[tuple[bytes, bytes]],
    without: set[bytes],
    cuts: list[int],
    path: str,
    method: str,
) -> None:
    headers = [(name.encode(), value) for name, value in signed(body, event, signed_as).items()]
    given_ = [(name, value) for name, value in headers if name not in without] + more
    edges = sorted({0, len(body), *(min(cut, len(body)) for cut in cuts)})
    parts = [body[a:b] for a, b in pairwise(edges)] or [b""]
    reply = asyncio.run(ask(Receiver().app, given_, parts, path=path, method=method))
    assert 200 <= reply.status < 500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["action", "number", "pull_request", "head", "base", "sha", "ref",
                         "repository", "full_name", "sender", "login", "commits", "added",
                         "review", "issue", "comment", "body", "team", "hook_id"]),
        inner, max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@examples(300)
@given(event=st.sampled_from([*EVENTS, "star"]), payload=JSON, base=st.booleans())
def test_no_authentic_payload_is_answered_with_a_fault_of_ours(
    event: str, payload: Any, base: bool
) -> None:
    whole = pull_request() | payload if base and isinstance(payload, dict) else payload
    receiver = Receiver()
    reply = receiver.post(json.dumps(whole).encode(), event=event)
    assert reply.status in (200, 202, 400)
    assert len(receiver.inbox.rows) == (reply.status != 400)


def test_bounds_are_below_what_github_waits() -> None:
    waits = request.BODY_SECONDS, group_commit.PATIENCE_SECONDS
    assert max(waits) < 10
    assert sum(waits) < connections.REQUEST_SECONDS
