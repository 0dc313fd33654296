"""The dispatcher between an inbox and a Prefect API that fails in every way it can."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.embedded_aws import free_port
from tests.integration.github.dispatch.prefect_stand_in import DEPLOYMENT, StandIn
from xops.core.errors import TemporaryError
from xops.github.delivery import Delivery
from xops.github.dispatch.backoff import Backoff
from xops.github.dispatch.dispatcher import Dispatcher, MembersChanged, Pace
from xops.github.inbox.connection import open_inbox
from xops.github.inbox.inbox import DeliveryState, Inbox, InboxRow
from xops.github.policy import GitHubPolicy
from xops.prefect_server.profile import Profile
from xops.prefect_server.webhook_runs import PrefectEvents, PrefectRuns, PrefectServer

pytestmark = pytest.mark.anyio

ROUTE = {
    "event": "pull_request",
    "deployment": DEPLOYMENT,
    "parameters": {"number": "{number}", "delivery": "{id}"},
}
NOWHERE = {"event": "push", "deployment": "not/there"}
PACE = Pace(idle_seconds=0.01, tell_seconds=0.01)
BACKOFF = Backoff(first=0.02, ceiling=0.1)
RECEIVED = DeliveryState.RECEIVED


def policy(*routes: dict[str, Any]) -> GitHubPolicy:
    values = {"apiVersion": "xops/v1", "repositories": ["acme/*"], "routes": routes}
    return GitHubPolicy.model_validate(values)


def delivery(number: int, event: str = "pull_request", **more: Any) -> Delivery:
    values: dict[str, Any] = {
        "id": str(UUID(int=number)), "event": event, "action": "opened",
        "repository": "acme/platform", "organisation": "acme", "sender": "ada", "number": number,
        "body_sha256": "0" * 64, "received_at": datetime.now(UTC) + timedelta(milliseconds=number),
    }  # fmt: skip
    return Delivery.model_validate(values | more)


def key_of(one: Delivery, deployment: str = DEPLOYMENT) -> str:
    return f"gh:{one.id}:{deployment}"


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn().serving() as found:
        yield found


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[Inbox]:
    async with open_inbox({"XOPS_GITHUB_DATABASE": f"sqlite:///{tmp_path / 'inbox.db'}"}) as opened:
        yield opened


async def arrive(inbox: Inbox, *deliveries: Delivery) -> None:
    await inbox.add([(one, RECEIVED, "") for one in deliveries])


async def members_stay(_organisation: str, _team: str) -> None:
    raise AssertionError("nobody asked for that")


@asynccontextmanager
async def dispatching(
    inbox: Any,
    profile: Profile,
    *routes: dict[str, Any],
    pace: Pace = PACE,
    backoff: Backoff = BACKOFF,
    members_changed: MembersChanged = members_stay,
) -> AsyncIterator[Dispatcher]:
    """A dispatcher that works for as long as the block goes on, and is told to end then."""
    stop = asyncio.Event()
    async with PrefectServer(profile) as server:
        runs, events = PrefectRuns(server), PrefectEvents(server)
        read = policy(*routes or (ROUTE,))
        made = Dispatcher(inbox, runs, events, read, members_changed, pace, backoff)
        working = asyncio.create_task(made.run(stop))
        try:
            yield made
        finally:
            stop.set()
            await asyncio.wait_for(working, 30)


async def seen(look: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Look until there is something to be seen; `look` may be a coroutine's function."""
    async with asyncio.timeout(seconds):
        while True:
            found = look()
            found = await found if asyncio.iscoroutine(found) else found
            if found:
                return found
            await asyncio.sleep(0.01)


def settled(inbox: Inbox, one: Delivery) -> Callable[[], Any]:
    async def look() -> InboxRow | None:
        row = await inbox.find(one.id)
        return row if row and row.state is not RECEIVED else None

    return look


def tried(inbox: Inbox, one: Delivery, attempts: int = 2) -> Callable[[], Any]:
    async def look() -> InboxRow | None:
        row = await inbox.find(one.id)
        return row if row and row.reason and row.attempts >= attempts else None

    return look


async def test_a_delivery_leads_to_one_run_whose_id_is_kept_and_to_an_event(
    inbox: Inbox, stand_in: StandIn
) -> None:
    one = delivery(1)
    await arrive(inbox, one)
    async with dispatching(inbox, stand_in.profile) as dispatcher:
        row = await seen(settled(inbox, one))
        await seen(lambda: stand_in.events)
    assert row.state is DeliveryState.DISPATCHED
    assert row.runs == {DEPLOYMENT: stand_in.runs[key_of(one)]}
    assert stand_in.parameters[key_of(one)] == {"number": 1, "delivery": one.id}
    [event] = stand_in.events
    assert event["event"] == "github.pull_request.opened"
    assert event["payload"]["flow_run_id"] == row.runs[DEPLOYMENT]
    assert await inbox.pending_events(10) == []
    assert dispatcher.counts.dispatched == dispatcher.counts.events == 1


async def test_many_deliveries_are_led_on_at_once_and_each_once(
    inbox: Inbox, stand_in: StandIn
) -> None:
    stand_in.slow = 0.05
    many = [delivery(number) for number in range(1, 61)]
    await arrive(inbox, *many)
    async with dispatching(inbox, stand_in.profile):
        for one in many:
            await seen(settled(inbox, one))
    assert set(stand_in.runs) == set(map(key_of, many))
    assert set(stand_in.asked.values()) == {1}
    assert 2 < stand_in.most_at_once <= PACE.concurrent + 1  # and the events
    assert len({event["id"] for event in stand_in.events}) == len(many)


async def test_two_dispatchers_share_an_inbox(inbox: Inbox, stand_in: StandIn) -> None:
    many = [delivery(number) for number in range(1, 41)]
    await arrive(inbox, *many)
    async with (
        dispatching(inbox, stand_in.profile) as first,
        dispatching(inbox, stand_in.profile) as second,
    ):
        for one in many:
            await seen(settled(inbox, one))
    assert first.counts.dispatched + second.counts.dispatched == len(many)
    assert set(stand_in.asked.values()) == {1}


async def test_what_no_route_is_about_any_more_is_ignored_with_the_reason(
    inbox: Inbox, stand_in: StandIn
) -> None:
    one = delivery(1)
    await arrive(inbox, one)
    async with dispatching(inbox, stand_in.profile, NOWHERE):
        row = await seen(settled(inbox, one))
    assert row.state is DeliveryState.IGNORED
    assert row.reason == "no route is about pull_request.opened of acme/platform"
    assert not stand_in.runs
    assert not stand_in.events


async def test_a_change_of_members_is_told_before_it_is_settled_and_needs_no_run(
    inbox: Inbox, stand_in: StandIn
) -> None:
    told: list[tuple[str, str]] = []

    async def changed(organisation: str, team: str) -> None:
        told.append((organisation, team))
        if len(told) == 1:
            raise TemporaryError("forgetting", "the store is busy", "wait", retry_after=0)

    one = delivery(1, "membership", action="added", repository="", team="platform")
    await arrive(inbox, one)
    pace = Pace(idle_seconds=0.01, lease_seconds=0.5)
    async with dispatching(inbox, stand_in.profile, members_changed=changed, pace=pace):
        row = await seen(settled(inbox, one))
        await seen(lambda: stand_in.events)
    assert told == [("acme", "platform")] * 2
    assert (row.state, row.reason) == (DeliveryState.DISPATCHED, "team members are read anew")
    assert stand_in.events[0]["event"] == "github.membership.added"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (409, {"detail": "Error creating flow run: 'x' is not of type 'integer'"}),
        (422, {"exception_message": "Invalid", "exception_detail": [{"loc": ["a"], "msg": "b"}]}),
        (400, {"detail": "Error hydrating flow run parameters"}),
    ],
)
async def test_what_the_server_will_never_take_is_dead_with_the_reason_and_an_event(
    inbox: Inbox, stand_in: StandIn, status: int, body: dict[str, Any]
) -> None:
    one, after = delivery(1), delivery(2)
    await arrive(inbox, one)
    stand_in.status, stand_in.body = status, body
    async with dispatching(inbox, stand_in.profile) as dispatcher:
        row = await seen(settled(inbox, one))
        stand_in.status = 0
        await arrive(inbox, after)
        await seen(settled(inbox, after))
        await seen(lambda: len(stand_in.events) == 2)
    assert row.state is DeliveryState.DEAD
    assert f"{DEPLOYMENT}: Prefect answers {status}: " in row.reason
    assert row.attempts == 1
    assert dispatcher.counts.dead == 1
    dead = next(event for event in stand_in.events if event["event"].endswith("delivery_dead"))
    assert dead["payload"]["reason"] == row.reason


async def test_a_deployment_that_is_not_there_yet_is_waited_for(
    inbox: Inbox, stand_in: StandIn
) -> None:
    one = delivery(1)
    await arrive(inbox, one)
    stand_in.status, stand_in.body = 404, {"detail": "Deployment not found"}
    async with dispatching(inbox, stand_in.profile) as dispatcher:
        row = await seen(tried(inbox, one))
        assert "Prefect answers 404" in row.reason
        assert not dispatcher.failing
        stand_in.status = 0
        row = await seen(settled(inbox, one))
    assert row.state is DeliveryState.DISPATCHED
    assert row.runs == {DEPLOYMENT: stand_in.runs[key_of(one)]}


async def test_a_deployment_that_is_not_there_does_not_keep_another_from_its_run(
    inbox: Inbox, stand_in: StandIn
) -> None:
    one = delivery(1, received_at=datetime.now(UTC) - timedelta(minutes=11))
    await arrive(inbox, one)
    gone = {**ROUTE, "deployment": "not/there"}
    async with dispatching(inbox, stand_in.profile, gone, ROUTE):
        row = await seen(settled(inbox, one))
        await seen(lambda: len(stand_in.events) == 2)
    assert row.state is DeliveryState.DEAD
    assert row.reason.startswith("not/there: Prefect answers 404")
    assert row.runs == {DEPLOYMENT: stand_in.runs[key_of(one)]}
    kinds = {event["event"] for event in stand_in.events}
    assert kinds == {"github.pull_request.opened", "xops.github.delivery_dead"}


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (500, {"exception_message": "Internal Server Error"}, "answers 500"),
        (503, b"<html>proxy</html>", "answers 503"),
        (429, {"detail": "slow down"}, "answers 429"),
        (401, {"exception_message": "Unauthorized"}, "does not let us in (401)"),
        (403, b"no", "does not let us in (403)"),
        (404, b"<html>nginx</html>", "none of Prefect's"),
        (302, b"", "none of Prefect's"),
        (200, b"<html>sign in</html>", "no JSON"),
        (200, {"no": "id"}, "names no id"),
        (409, {"detail": "Data integrity conflict. This usually means a"}, "answers 409"),
    ],
)
async def test_what_may_pass_is_tried_until_it_has_passed_and_says_how_often(
    inbox: Inbox, stand_in: StandIn, status: int, body: Any, told: str
) -> None:
    one = delivery(1)
    await arrive(inbox, one)
    stand_in.status, stand_in.body = status, body
    async with dispatching(inbox, stand_in.profile) as dispatcher:
        row = await seen(tried(inbox, one, 3))
        assert re.match(r"attempt \d+, waiting since 2", row.reason)
        assert told in row.reason
        assert told in dispatcher.failing
        stand_in.status = 0
        row = await seen(settled(inbox, one))
    assert (row.state, row.reason) == (DeliveryState.DISPATCHED, "")
    assert dispatcher.failing == ""
    assert dispatcher.counts.retried >= 2


async def test_the_api_that_is_down_for_a_while_costs_no_delivery_and_few_attempts(
    inbox: Inbox,
) -> None:
    many = [delivery(number) for number in range(1, 101)]
    await arrive(inbox, *many)
    port = free_port()
    profile = StandIn.profile_at(port)
    async with dispatching(inbox, profile) as dispatcher:
        await seen(lambda: dispatcher.counts.retried >= 5)
        tried = sum([row.attempts for row in await inbox.latest(limit=200)])
        assert tried <= 16 + dispatcher.counts.retried, "it is asked for all while it is down"
        with StandIn(port).serving() as server:
            for one in many:
                await seen(settled(inbox, one))
            await seen(lambda: len(server.events) == len(many))
    assert set(server.asked.values()) == {1}


async def test_an_answer_that_is_lost_leads_to_no_second_run(
    inbox: Inbox, stand_in: StandIn
) -> None:
    one = delivery(1)
    await arrive(inbox, one)
    stand_in.loses_answers = 2
    async with dispatching(inbox, stand_in.profile):
        row = await seen(settled(inbox, one))
    assert stand_in.asked[key_of(one)] == 3
    assert row.runs == {DEPLOYMENT: stand_in.runs[key_of(one)]}


async def test_a_server_that_answers_too_slowly_is_left_and_asked_again(
    inbox: Inbox, stand_in: StandIn
) -> None:
    one = delivery(1)
    await arrive(inbox, one)
    stand_in.slow = 1.0
    pace = Pace(idle_seconds=0.01, lease_seconds=0.6)
    async with dispatching(inbox, stand_in.profile, pace=pace):
        await seen(lambda: stand_in.asked[key_of(one)] >= 1)
        row = await seen(tried(inbox, one, 1))
        assert "it took more than 0 s" in row.reason
        stand_in.slow = 0.0
        row = await seen(settled(inbox, one))
    assert row.runs == {DEPLOYMENT: stand_in.runs[key_of(one)]}


async def test_the_server_may_say_how_long_it_wants_to_be_left_alone(
    inbox: Inbox, stand_in: StandIn
) -> None:
    one = delivery(1)
    await arrive(inbox, one)
    stand_in.status, stand_in.retry_after = 503, "40"
    async with dispatching(inbox, stand_in.profile, backoff=Backoff(first=0.02, ceiling=60.0)):
        row = await seen(tried(inbox, one, 1))
    assert row.next_attempt_at - datetime.now(UTC) > timedelta(seconds=30)


async def test_an_event_is_kept_until_the_server_takes_it(inbox: Inbox, stand_in: StandIn) -> None:
    bad = json.dumps({"id": str(UUID(int=9)), "text": "x" * 300_000})
    await arrive(inbox, delivery(1))
    await inbox.settle(delivery(1).id, DeliveryState.DISPATCHED, "", [(UUID(int=9), bad)])
    stand_in.events_status = 503
    async with dispatching(inbox, stand_in.profile):
        one = delivery(2)
        await arrive(inbox, one)
        await seen(settled(inbox, one))
        assert len(await inbox.pending_events(10)) == 1
        stand_in.events_status = 0
        await seen(lambda: stand_in.events)
    assert [event["payload"]["number"] for event in stand_in.events] == [2]
    assert await inbox.pending_events(10) == [], "one that is never taken keeps the others back"


async def test_a_replay_of_a_person_leads_to_another_run_and_another_event(
    inbox: Inbox, stand_in: StandIn
) -> None:
    one = delivery(1)
    await arrive(inbox, one)
    async with dispatching(inbox, stand_in.profile):
        first = await seen(settled(inbox, one))
        await inbox.replay(one.id)
        second = await seen(settled(inbox, one))
        await seen(lambda: len(stand_in.events) == 2)
    assert set(stand_in.runs) == {key_of(one), f"{key_of(one)}:replay-1"}
    assert first.runs != second.runs
    assert len({event["id"] for event in stand_in.events}) == 2


async def test_who_is_told_to_end_finishes_what_is_in_flight_and_claims_nothing_more(
    inbox: Inbox, stand_in: StandIn
) -> None:
    stand_in.slow = 0.3
    many = [delivery(number) for number in range(1, 41)]
    await arrive(inbox, *many)
    pace = Pace(concurrent=4, idle_seconds=0.01)
    async with dispatching(inbox, stand_in.profile, pace=pace):
        await seen(lambda: stand_in.most_at_once >= 2)
    rows = await inbox.latest(limit=100)
    done = [row for row in rows if row.state is DeliveryState.DISPATCHED]
    assert 1 <= len(done) < len(many)
    assert all(row.attempts == 0 for row in rows if row not in done)
    assert len(stand_in.runs) == len(done)


class _Killed(BaseException):
    """The end of a process, at a moment that a test has chosen."""


class DyingInbox:
    """An inbox whose user dies before, or right after, one of its calls."""

    def __init__(self, inbox: Inbox, call: str, moment: str) -> None:
        self._inbox, self._call, self._moment = inbox, call, moment
        self.died = False

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._inbox, name)
        if name != self._call or self.died:
            return inner

        async def dying(*arguments: Any, **more: Any) -> Any:
            found = None
            if self._moment == "after":
                found = await inner(*arguments, **more)
                if name == "pending_events" and not found:
                    return found
            self.died = True
            raise _Killed

        return dying


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    "call", ["claim", "note_run", "settle", "pending_events", "mark_event_sent"]
)
async def test_whenever_it_dies_the_next_one_gives_the_same_run_and_the_same_event(
    tmp_path: Path, stand_in: StandIn, call: str, moment: str
) -> None:
    database = {"XOPS_GITHUB_DATABASE": f"sqlite:///{tmp_path / 'inbox.db'}"}
    one = delivery(1)
    async with open_inbox(database) as inbox:
        await arrive(inbox, one)
        dying = DyingInbox(inbox, call, moment)
        pace = Pace(idle_seconds=0.01, lease_seconds=0.5)
        with pytest.raises(BaseExceptionGroup):
            async with dispatching(dying, stand_in.profile, pace=pace):
                await seen(lambda: dying.died)
        async with dispatching(inbox, stand_in.profile, pace=pace):
            row = await seen(settled(inbox, one))
            await seen(lambda: stand_in.events)
    assert row.state is DeliveryState.DISPATCHED
    assert row.runs == {DEPLOYMENT: stand_in.runs[key_of(one)]}
    assert list(stand_in.runs) == [key_of(one)]
    assert len({event["id"] for event in stand_in.events}) == 1


class FailingInbox:
    """An inbox whose database does not answer the first few times that one of its calls is made."""

    def __init__(self, inbox: Inbox, call: str, times: int) -> None:
        self._inbox, self._call = inbox, call
        self.left = times

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._inbox, name)
        if name != self._call or not self.left:
            return inner

        async def failing(*arguments: Any, **more: Any) -> Any:
            if not self.left:
                return await inner(*arguments, **more)
            self.left -= 1
            raise TemporaryError("using the inbox", "the database has gone", "wait", retry_after=0)

        return failing


@pytest.mark.parametrize(
    "call", ["claim", "note_run", "settle", "retry", "pending_events", "mark_event_sent"]
)
async def test_an_inbox_that_does_not_answer_for_a_while_costs_no_delivery(
    inbox: Inbox, stand_in: StandIn, call: str
) -> None:
    one = delivery(1)
    await arrive(inbox, one)
    failing = FailingInbox(inbox, call, 3)
    pace = Pace(idle_seconds=0.01, lease_seconds=0.5)
    stand_in.status = 503 if call == "retry" else 0
    async with dispatching(failing, stand_in.profile, pace=pace):
        await seen(lambda: failing.left == 0)
        stand_in.status = 0
        row = await seen(settled(inbox, one))
        await seen(lambda: stand_in.events)
    assert row.runs == {DEPLOYMENT: stand_in.runs[key_of(one)]}
    assert list(stand_in.runs) == [key_of(one)]
    assert len({event["id"] for event in stand_in.events}) == 1


async def test_an_inbox_that_answers_again_is_no_trouble_any_more_though_nothing_waits(
    inbox: Inbox, stand_in: StandIn
) -> None:
    failing = FailingInbox(inbox, "claim", 2)
    async with dispatching(failing, stand_in.profile) as dispatcher:
        await seen(lambda: dispatcher.failing == "the database has gone")
        await seen(lambda: dispatcher.failing == "")
