"""A hook's deliveries by GitHub's REST interface: what is missing is sent again, or read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.app_keys import make_app_key
from tests.github_server import APP_ID, TOKEN, GitHubServer
from tests.http_servers import serving
from tests.secret_sources import NAME as TOKEN_VARIABLE
from tests.secret_sources import write_sources
from xops.core.errors import InputError
from xops.github import polling, reconcile
from xops.github.delivery import project
from xops.github.errors import NotVisibleError
from xops.github.hook_deliveries import HookDeliveries, connect, hook_of
from xops.github.inbox.connection import open_inbox
from xops.github.inbox.inbox import DeliveryState, Inbox
from xops.github.policy import GitHubPolicy
from xops.github.reconcile import compare_with

pytestmark = pytest.mark.anyio

REPOSITORY = "acme/platform"
SECRET = "a secret of thirty-two bytes or more"
ROUTE = {"event": "push", "deployment": "plan/plan"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Receiver:
    """Where a hook sends to: it keeps what it gets, or answers as it is told."""

    def __init__(self) -> None:
        self.status = 202
        self.got: list[tuple[str, str, bytes]] = []
        self.url = ""

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        """Take one delivery."""
        body = handler.rfile.read(int(handler.headers["content-length"]))
        if self.status == 202:
            head = handler.headers
            self.got.append((head["x-github-event"], head["x-github-delivery"], body))
        handler.send_response(self.status)
        handler.send_header("content-length", "0")
        handler.end_headers()

    async def keep(self, inbox: Inbox) -> None:
        """Put what has come into the inbox."""
        now = datetime.now(UTC)
        rows = [project(event, guid, None, body, now) for event, guid, body in self.got]
        await inbox.add([(row, DeliveryState.RECEIVED, "") for row in rows])


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with serving(Handler) as receiver.url:
        yield receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def environ(
    github: GitHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    monkeypatch.setenv("XOPS_SECRETS", write_sources(tmp_path, github.url))
    database = f"sqlite:///{tmp_path / 'inbox.db'}"
    return {TOKEN_VARIABLE: TOKEN, "XOPS_GITHUB_DATABASE": database}


@pytest.fixture
async def inbox(environ: dict[str, str]) -> AsyncIterator[Inbox]:
    async with open_inbox(environ) as opened:
        yield opened


def policy_of(github: GitHubServer, **more: Any) -> GitHubPolicy:
    values = {
        "apiVersion": "xops/v1", "api_url": github.url, "repositories": ["acme/*"],
        "routes": [ROUTE], **more,
    }  # fmt: skip
    return GitHubPolicy.model_validate(values)


@pytest.fixture
def policy(github: GitHubServer, receiver: Receiver) -> GitHubPolicy:
    """With a hook of a repository."""
    repository = github.add(REPOSITORY)
    repository.write("main", {"README.md": "x"})
    hook = github.hooks.add(
        REPOSITORY, "repository", repository.number, receiver.url, secret=SECRET,
        events=["push"], content_type="json",
    )  # fmt: skip
    return policy_of(github, hook_id=hook.id, hook_of=REPOSITORY)


@pytest.fixture
def deliveries(policy: GitHubPolicy, environ: dict[str, str]) -> Iterator[HookDeliveries]:
    found = connect(policy, environ)
    with found.client:
        yield found


def push(github: GitHubServer, count: int = 1) -> None:
    for number in range(count):
        github.act.push(
            REPOSITORY, "topic", {"a.tf": f"{number} {len(github.hooks.sent)}"}, by="ada"
        )
    github.hooks.wait()


LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


async def test_attempts_are_listed_newest_first_over_pages_up_to_a_moment(
    github: GitHubServer, deliveries: HookDeliveries
) -> None:
    start = datetime.now(UTC).replace(microsecond=0)
    github.hooks.now = lambda: start + timedelta(seconds=len(github.hooks.sent))
    push(github, 130)
    listed = list(deliveries.since(LONG_AGO))
    assert len(listed) == len(github.hooks.sent) >= 130
    assert listed == sorted(listed, key=lambda one: one.delivered_at, reverse=True)
    assert {one.guid for one in listed} == {one.guid for one in github.hooks.sent}
    middle = listed[50].delivered_at
    before = len(github.requests)
    assert list(deliveries.since(middle)) == listed[:50]
    assert len(github.requests) == before + 1, "it reads on after it has found the moment"


async def test_a_redelivery_is_another_attempt_with_the_same_guid(
    github: GitHubServer, deliveries: HookDeliveries, receiver: Receiver
) -> None:
    github.hooks.course.throttled = True
    push(github)
    [one] = deliveries.since(LONG_AGO)
    assert one.throttled_at is not None
    deliveries.redeliver(one.id)
    github.hooks.wait()
    again, first = deliveries.since(LONG_AGO)
    assert (again.guid, again.redelivery, first.redelivery) == (first.guid, True, False)
    assert again.id != first.id
    assert len({guid for _, guid, _ in receiver.got}) == 1
    payload = deliveries.read(first.id)
    assert payload.body is not None
    assert json.loads(payload.body) == json.loads(receiver.got[0][2])
    assert payload.hook_id == github.hooks.all[0].id


async def test_what_is_not_listed_any_more_is_told_as_that(
    github: GitHubServer, deliveries: HookDeliveries
) -> None:
    push(github)
    [one] = deliveries.since(LONG_AGO)
    github.hooks.now = lambda: datetime.now(UTC) + timedelta(days=4)
    assert list(deliveries.since(LONG_AGO)) == []
    with pytest.raises(NotVisibleError):
        deliveries.redeliver(one.id)


async def test_a_hook_of_an_organisation_is_read_as_one_of_a_repository(
    github: GitHubServer, receiver: Receiver, environ: dict[str, str]
) -> None:
    github.organisation("acme", "ada")
    github.add(REPOSITORY).write("main", {"README.md": "x"})
    hook = github.hooks.add(
        "acme", "organization", 1, receiver.url, secret=SECRET, events=["push"], content_type="json"
    )
    found = connect(policy_of(github, hook_id=hook.id, hook_of="acme"), environ)
    with found.client:
        push(github)
        [one] = found.since(LONG_AGO)
        found.redeliver(one.id)
        assert found.read(one.id).hook_id == hook.id
    assert found.name == f"hook {hook.id} of acme"


async def test_an_app_reads_the_deliveries_of_its_own_hook_by_a_token_of_its_own(
    github: GitHubServer, receiver: Receiver, environ: dict[str, str]
) -> None:
    secret, github.app_public_key = make_app_key()
    github.add(REPOSITORY).write("main", {"README.md": "x"})
    github.app_hook(receiver.url, SECRET, "push")
    credential = {"kind": "app", "app_id": APP_ID, "variable": TOKEN_VARIABLE}
    policy = policy_of(github, credential=credential)
    found = connect(policy, {**environ, TOKEN_VARIABLE: secret})
    with found.client:
        push(github)
        [one] = found.since(LONG_AGO)
        found.redeliver(one.id)
        github.hooks.wait()
        assert len(list(found.since(LONG_AGO))) == 2
        assert found.read(one.id).body is not None
    assert found.name == f"the hook of App {APP_ID}"


async def test_a_hook_that_cannot_be_seen_is_told_with_what_it_takes_to_see_it(
    github: GitHubServer, policy: GitHubPolicy, environ: dict[str, str]
) -> None:
    gone = policy.model_copy(update={"hook_id": 99_999})
    found = connect(gone, environ)
    with found.client, pytest.raises(NotVisibleError, match="Webhooks: read and write"):
        list(found.since(LONG_AGO))


async def test_who_names_no_hook_is_told_where_to_name_one(
    github: GitHubServer, environ: dict[str, str]
) -> None:
    policy = policy_of(github)
    assert hook_of(policy) is None
    with pytest.raises(InputError, match="hook_id"):
        connect(policy, environ)


# Reconciling.


async def test_what_came_while_nobody_answered_is_sent_again_and_arrives(
    github: GitHubServer, deliveries: HookDeliveries, inbox: Inbox, receiver: Receiver
) -> None:
    push(github, 2)
    receiver.status = 503
    push(github, 3)
    receiver.status = 202
    await receiver.keep(inbox)
    turn = await compare_with(inbox, deliveries, datetime.now(UTC))
    assert (turn.compared, len(turn.missing), turn.redelivered) == (5, 3, 3)
    github.hooks.wait()
    await receiver.keep(inbox)
    again = await compare_with(inbox, deliveries, datetime.now(UTC))
    assert (len(again.missing), again.redelivered, again.arrived) == (0, 0, 3)
    assert len(github.hooks.sent) == 8
    assert await inbox.known({one.guid for one in github.hooks.sent}) == {
        one.guid for one in github.hooks.sent
    }


async def test_a_receiver_that_stays_down_is_asked_for_one_delivery_a_turn(
    github: GitHubServer, deliveries: HookDeliveries, inbox: Inbox, receiver: Receiver
) -> None:
    receiver.status = 503
    push(github, 6)
    for _ in range(4):
        turn = await compare_with(inbox, deliveries, datetime.now(UTC))
        github.hooks.wait()
    assert (len(turn.missing), turn.redelivered, len(turn.lost)) == (6, 1, 0)
    assert len(github.hooks.sent) == 6 + 6 + 3
    receiver.status = 202
    for _ in range(2):  # the first shows that it is up again, the second asks for the rest
        await compare_with(inbox, deliveries, datetime.now(UTC))
        github.hooks.wait()
        await receiver.keep(inbox)
    turn = await compare_with(inbox, deliveries, datetime.now(UTC))
    assert (len(turn.missing), len(turn.lost)) == (0, 0)


async def test_what_the_receiver_refuses_is_lost_after_some_attempts_and_told_once(
    github: GitHubServer, deliveries: HookDeliveries, inbox: Inbox, receiver: Receiver
) -> None:
    receiver.status = 413
    push(github)
    lost: list[str] = []
    for _ in range(9):
        turn = await compare_with(inbox, deliveries, datetime.now(UTC))
        github.hooks.wait()
        lost += turn.lost
    assert lost == [github.hooks.sent[0].guid]
    assert (turn.given_up, turn.redelivered, len(github.hooks.sent)) == (1, 0, 1 + 5)


async def test_a_limit_leaves_the_rest_to_the_next_turn(
    github: GitHubServer, deliveries: HookDeliveries, inbox: Inbox, receiver: Receiver
) -> None:
    receiver.status = 502
    push(github, 5)
    receiver.status = 202
    github.fail(operation="POST .*/attempts", kind="status", status=502, skip=2)
    turn = await compare_with(inbox, deliveries, datetime.now(UTC))
    assert turn.redelivered == 2
    assert turn.note.startswith("the rest is asked for next time: ")
    github.hooks.wait()
    await receiver.keep(inbox)
    turn = await compare_with(inbox, deliveries, datetime.now(UTC))
    github.hooks.wait()
    await receiver.keep(inbox)
    assert await inbox.known({one.guid for one in github.hooks.sent}) == {
        one.guid for one in github.hooks.sent
    }


def whole(policy: GitHubPolicy, environ: dict[str, str]) -> Callable[[], reconcile.Turn]:
    later = datetime.now(UTC) + timedelta(days=31)
    return lambda: reconcile.reconcile(policy, environ, lambda: later)


async def test_a_whole_turn_tells_what_waits_and_deletes_what_is_old(
    policy: GitHubPolicy, inbox: Inbox, environ: dict[str, str], github: GitHubServer,
    receiver: Receiver,
) -> None:  # fmt: skip
    push(github, 3)
    await receiver.keep(inbox)
    first, second, _ = await inbox.latest()
    await inbox.settle(first.delivery.id, DeliveryState.DISPATCHED)
    await inbox.settle(second.delivery.id, DeliveryState.DEAD, "no such deployment")
    now = await asyncio.to_thread(reconcile.reconcile, policy, environ)
    assert (now.waiting, now.stuck, now.dead_count, now.pruned) == (1, False, 1, 0)
    assert [row.reason for row in now.dead] == ["no such deployment"]
    assert not now.needs_attention
    later = await asyncio.to_thread(whole(policy, environ))
    assert (later.waiting, later.stuck, later.pruned) == (1, True, 2)
    assert later.needs_attention


async def test_without_a_hook_the_inbox_is_looked_at_all_the_same(
    github: GitHubServer, environ: dict[str, str]
) -> None:
    turn = await asyncio.to_thread(reconcile.reconcile, policy_of(github), environ)
    assert "names no hook_id" in turn.note
    assert turn.hook == ""
    assert "none compared" in turn.summary()
    assert json.loads(json.dumps(turn.to_json()))["waiting"] == 0


# Polling.


def look(policy: GitHubPolicy, environ: dict[str, str]) -> tuple[polling.Look, list[str]]:
    said: list[str] = []
    return polling.poll(policy, environ, once=True, say=said.append), said


async def test_deliveries_are_read_from_the_list_where_nobody_can_be_reached(
    policy: GitHubPolicy, inbox: Inbox, environ: dict[str, str], github: GitHubServer,
    receiver: Receiver,
) -> None:  # fmt: skip
    receiver.status = 502
    push(github, 3)
    github.hooks.redeliver(github.hooks.sent[0].id)
    github.hooks.wait()
    found, said = await asyncio.to_thread(look, policy, environ)
    assert (found.listed, found.new, found.ignored, found.gone) == (3, 3, 0, 0)
    assert "a delivery comes so much later at most" in said[0]
    assert said[1].startswith("3 new of 3 (0 ignored), the oldest ")
    rows = await inbox.latest()
    assert {row.delivery.id for row in rows} == {one.guid for one in github.hooks.sent}
    assert {(row.state, row.delivery.source) for row in rows} == {("received", "polled")}
    assert rows[0].delivery.paths == ("a.tf",)
    push(github)
    again, _ = await asyncio.to_thread(look, policy, environ)
    assert again.new == 1
    reads = [one for one in github.requests if one.path.rpartition("/")[2].isdecimal()]
    assert len(reads) == 4, "it reads again what it has"


async def test_what_leads_to_nothing_is_kept_as_that_and_what_is_no_delivery_too(
    policy: GitHubPolicy, inbox: Inbox, environ: dict[str, str], github: GitHubServer
) -> None:
    [hook] = github.hooks.all
    bodies = [("star", b'{"action": "created"}'), ("push", b'{"ref": 3}')]
    github.hooks.flood(hook, bodies)
    found, _ = await asyncio.to_thread(look, policy, environ)
    assert (found.new, found.ignored) == (2, 2)
    reasons = {row.delivery.event: row.reason for row in await inbox.latest()}
    assert reasons["star"] == "nothing is done about the event star"
    assert reasons["push"].startswith("a payload of event push: ref: ")


async def test_one_that_cannot_be_read_keeps_no_other_from_coming(
    policy: GitHubPolicy, inbox: Inbox, environ: dict[str, str], github: GitHubServer
) -> None:
    [hook] = github.hooks.all
    unreadable = rb'{"action": "created", "comment": {"body": "\u0000"}}'
    github.hooks.now = lambda: datetime.now(UTC) - timedelta(minutes=40)
    github.hooks.flood(hook, [("star", unreadable)])
    github.hooks.now = lambda: datetime.now(UTC) - timedelta(minutes=20)
    github.hooks.flood(hook, [("star", unreadable)])
    github.hooks.now = lambda: datetime.now(UTC)
    push(github)
    found, said = await asyncio.to_thread(look, policy, environ)
    assert (found.new, found.unread) == (1, 2)
    assert said[1].endswith(", 2 that cannot be read")
    dead = await inbox.latest(DeliveryState.DEAD)
    assert [row.delivery.id for row in dead] == [github.hooks.sent[0].guid]
    assert "cannot be read" in dead[0].reason
    again, _ = await asyncio.to_thread(look, policy, environ)
    assert (again.new, again.unread) == (0, 1)


async def test_polling_goes_on_when_github_does_not_answer_for_a_while(
    policy: GitHubPolicy, inbox: Inbox, environ: dict[str, str], github: GitHubServer
) -> None:
    push(github)
    github.fail(operation="GET .*/deliveries.*", kind="secondary", retry_after=1000)
    said: list[str] = []
    waits: list[float] = []

    class _Enough(BaseException):
        pass

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            raise _Enough

    with pytest.raises(_Enough):
        await asyncio.to_thread(
            polling.poll, policy, environ, seconds=0.01, say=said.append, sleep=sleep
        )
    assert len(await inbox.latest()) == 1
    assert waits == [0.02, 0.01]
    assert "a secondary limit is used up" in said[1]
    assert replace(polling.Look(), new=1).summary() == "1 new of 0 (0 ignored)"
