"""What the inbox promises, on SQLite and on PostgreSQL."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.github.inbox.conftest import Clock, Use, open_at
from tests.integration.github.inbox.samples import NOW, delivery, guid
from xops.core.database.exclusive import Database
from xops.core.errors import InputError, PermanentError
from xops.github.inbox.address import VARIABLE
from xops.github.inbox.inbox import LONGEST_WAIT, DeliveryState, Inbox, InboxRow
from xops.github.inbox.tables import TABLES, deliveries

RECEIVED, DISPATCHED, IGNORED, DEAD = DeliveryState


async def receive(inbox: Inbox, *names: object) -> list[bool]:
    """Each a second after the one before it."""
    rows = [(delivery(name, second), RECEIVED, "") for second, name in enumerate(names)]
    return await inbox.add(rows)


def ids(rows: list[InboxRow]) -> list[str]:
    return [row.delivery.id for row in rows]


def test_what_is_kept_comes_back_whole(use: Use) -> None:
    given = delivery(
        "a", paths=("terraform/\N{SNOWMAN}.tf", "x"), paths_complete=False, merged=True
    )

    async def story(inbox: Inbox) -> None:
        assert await inbox.find(given.id) is None
        assert await inbox.add([(given, RECEIVED, "")]) == [True]
        found = await inbox.find(given.id.upper())
        assert found == InboxRow(given, RECEIVED, 0, "", {}, 0, None, given.received_at)

    use(story)


def test_texts_of_strangers_come_back_as_they_were(use: Use) -> None:
    texts = (
        "'; DROP TABLE x; --",
        "%s %(x)s :x $1 ?",
        "{x}",
        "\\u0000 \\x",
        "\u202e\u2028\U0001f4a9",
        '"',
    )
    given = [delivery(text, sender=text, ref=text, paths=(text,)) for text in texts]

    async def story(inbox: Inbox) -> None:
        await inbox.add([(one, RECEIVED, one.ref) for one in given])
        for row in await inbox.claim(10, 30):
            await inbox.note_run(row.delivery.id, row.delivery.ref, row.delivery.ref)
        found = {row.delivery.id: row for row in await inbox.latest()}
        for one in given:
            kept = found[one.id]
            assert (kept.delivery, kept.reason, kept.runs) == (one, one.ref, {one.ref: one.ref})

    use(story)


def test_a_delivery_is_new_once_whatever_comes_later(use: Use) -> None:
    first, again = delivery("a"), delivery("a", 60, action="opened")

    async def story(inbox: Inbox) -> None:
        assert await inbox.add([]) == []
        both = [(first, RECEIVED, ""), (again, IGNORED, "other"), (delivery("b"), RECEIVED, "")]
        assert await inbox.add(both) == [True, False, True]
        assert await inbox.add([(again, DEAD, "x"), (delivery("c"), IGNORED, "no route")]) == [
            False,
            True,
        ]
        found = await inbox.find(first.id)
        assert found
        assert (found.delivery, found.state, found.reason) == (first, RECEIVED, "")
        ignored = await inbox.find(guid("c"))
        assert ignored
        assert (ignored.state, ignored.reason) == (IGNORED, "no route")

    use(story)


def test_the_oldest_are_claimed_first_and_hidden_until_the_lease_is_over(
    use: Use, clock: Clock
) -> None:
    async def story(inbox: Inbox) -> None:
        await receive(inbox, "a", "b", "c")
        await inbox.add([(delivery("never"), IGNORED, "")])
        claimed = await inbox.claim(2, 30)
        assert ids(claimed) == [guid("a"), guid("b")]
        assert [row.attempts for row in claimed] == [1, 1]
        assert [row.next_attempt_at for row in claimed] == [NOW + timedelta(seconds=30)] * 2
        assert ids(await inbox.claim(10, 60)) == [guid("c")]
        assert await inbox.claim(10, 30) == []
        clock.advance(29.9)
        assert await inbox.claim(10, 30) == []
        clock.advance(0.1)
        again = await inbox.claim(10, 30)
        assert (ids(again), [row.attempts for row in again]) == ([guid("a"), guid("b")], [2, 2])

    use(story)


def test_two_dispatchers_at_once_never_hold_the_same_delivery(url: str, clock: Clock) -> None:
    count = 300

    async def take_all(inbox: Inbox) -> list[str]:
        taken: list[str] = []
        while some := await inbox.claim(random.randint(1, 7), 600):  # noqa: S311
            taken += ids(some)
        return taken

    async def story() -> None:
        async with open_at(url, clock) as inbox, open_at(url, clock) as other:
            await receive(inbox, *range(count))
            # On PostgreSQL one that others are claiming is passed over, and found at the next look.
            each = await asyncio.gather(*(take_all(one) for one in (inbox, other) * 4))
            rest = await take_all(inbox)
            counted = Counter([id_ for some in (*each, rest) for id_ in some])
            assert counted == Counter(guid(name) for name in range(count))

    asyncio.run(story())


def test_a_delivery_that_is_settled_is_claimed_no_more(use: Use, clock: Clock) -> None:
    async def story(inbox: Inbox) -> None:
        await receive(inbox, "a", "b", "c")
        await inbox.claim(3, 30)
        clock.advance(5)
        await inbox.note_run(guid("a"), "flow/one", "run-1")
        await inbox.settle(guid("a"), DISPATCHED)
        await inbox.settle(guid("b"), DEAD, "404: no such deployment")
        await inbox.settle(guid("c"), IGNORED, "no route")
        clock.advance(3600)
        assert await inbox.claim(10, 30) == []
        dead = await inbox.find(guid("b"))
        assert dead
        assert (dead.state, dead.reason, dead.next_attempt_at, dead.updated_at) == (
            DEAD,
            "404: no such deployment",
            None,
            NOW + timedelta(seconds=5),
        )
        dispatched = await inbox.find(guid("a"))
        assert dispatched
        assert dispatched.runs == {"flow/one": "run-1"}

    use(story)


def test_whoever_comes_second_after_a_lease_was_over_changes_nothing(use: Use) -> None:
    event = uuid4()

    async def story(inbox: Inbox) -> None:
        await receive(inbox, "a")
        await inbox.settle(guid("a"), DISPATCHED, events=[(event, "{}")])
        await inbox.settle(guid("a"), DEAD, "409", events=[(event, "{}")])
        await inbox.retry(guid("a"), NOW, "503")
        found = await inbox.find(guid("a"))
        assert found
        assert (found.state, found.reason) == (DISPATCHED, "")
        assert await inbox.pending_events(10) == [(event, "{}")]

    use(story)


def test_a_clock_that_was_wrong_hides_nothing_for_long(use: Use, clock: Clock) -> None:
    async def story(inbox: Inbox) -> None:
        await receive(inbox, "a", "b")
        clock.advance(86_400)  # set forward, and then back
        await inbox.claim(2, 30)
        await inbox.retry(guid("b"), clock.now + timedelta(seconds=60), "later")
        clock.advance(-86_400)
        assert ids(await inbox.claim(10, 30)) == [guid("a"), guid("b")]
        assert await inbox.claim(10, 30) == []

    use(story)


def test_a_retry_waits_for_its_moment(use: Use, clock: Clock) -> None:
    async def story(inbox: Inbox) -> None:
        await receive(inbox, "a")
        await inbox.claim(1, 600)
        await inbox.retry(guid("a"), NOW + timedelta(seconds=20), "503 from Prefect")
        clock.advance(19)
        assert await inbox.claim(1, 600) == []
        clock.advance(1)
        (row,) = await inbox.claim(1, 600)
        assert (row.attempts, row.reason) == (2, "503 from Prefect")

    use(story)


def test_who_read_the_clock_before_another_claimed_does_not_take_it_too(
    use: Use, clock: Clock
) -> None:
    """The longest lease, seen by a process that was held up between the clock and the rows."""

    async def story(inbox: Inbox) -> None:
        await receive(inbox, "a")
        assert len(await inbox.claim(1, LONGEST_WAIT.total_seconds())) == 1
        clock.advance(-120)
        assert await inbox.claim(1, 60) == []
        clock.advance(-3600)  # this one has nothing to do with that clock any more
        assert len(await inbox.claim(1, 60)) == 1

    use(story)


def test_runs_that_were_noted_are_known_to_who_claims_next(use: Use, clock: Clock) -> None:
    async def story(inbox: Inbox) -> None:
        await receive(inbox, "a", "b")
        await inbox.claim(2, 30)
        await inbox.note_run(guid("a"), "flow/one", "run-1")
        await inbox.note_run(guid("a"), "flow/one", "run-1")
        await inbox.note_run(guid("a"), "flow/two", "run-2")
        await inbox.note_run(guid("unknown"), "flow/one", "run-3")
        clock.advance(60)
        first, second = await inbox.claim(2, 30)
        assert first.runs == {"flow/one": "run-1", "flow/two": "run-2"}
        assert second.runs == {}

    use(story)


def test_events_are_posted_with_the_settlement_and_wait_in_their_order(use: Use) -> None:
    first, second, third = uuid4(), uuid4(), uuid4()

    async def story(inbox: Inbox) -> None:
        await receive(inbox, "a", "b")
        await inbox.settle(guid("a"), DISPATCHED, events=[(first, "1"), (second, "2")])
        await inbox.settle(guid("b"), DISPATCHED, events=[(third, "3"), (first, "1 again")])
        assert await inbox.pending_events(2) == [(first, "1"), (second, "2")]
        await inbox.mark_event_sent(first)
        assert await inbox.pending_events(10) == [(second, "2"), (third, "3")]

    use(story)


def test_a_settlement_whose_events_cannot_be_kept_is_none(use: Use) -> None:
    async def story(inbox: Inbox) -> None:
        await receive(inbox, "a")
        with pytest.raises(PermanentError):
            await inbox.settle(guid("a"), DISPATCHED, events=[(uuid4(), None)])  # type: ignore[list-item]
        found = await inbox.find(guid("a"))
        assert found
        assert found.state is RECEIVED
        assert await inbox.pending_events(1) == []

    use(story)


def test_a_replay_of_what_led_to_runs_is_another_turn(use: Use) -> None:
    async def story(inbox: Inbox) -> None:
        await receive(inbox, "a")
        await inbox.claim(1, 30)
        await inbox.note_run(guid("a"), "flow/one", "run-1")
        await inbox.settle(guid("a"), DISPATCHED)
        replayed = await inbox.replay(guid("a").upper())
        assert (replayed.state, replayed.replays, replayed.attempts) == (RECEIVED, 1, 0)
        (row,) = await inbox.claim(1, 30)
        assert (row.replays, row.runs, row.attempts) == (1, {}, 1)
        await inbox.note_run(guid("a"), "flow/one", "run-2")
        await inbox.settle(guid("a"), DISPATCHED)
        found = await inbox.find(guid("a"))
        assert found
        assert (found.replays, found.runs) == (1, {"flow/one": "run-2"})
        assert (await inbox.replay(guid("a"))).replays == 2

    use(story)


def test_a_replay_of_what_led_to_nothing_is_the_same_turn(use: Use) -> None:
    async def story(inbox: Inbox) -> None:
        await inbox.add([(delivery("a"), IGNORED, "no route")])
        await receive(inbox, "b")
        await inbox.settle(guid("b"), DEAD, "404")
        for name in ("a", "b"):
            replayed = await inbox.replay(guid(name))
            assert (replayed.state, replayed.replays, replayed.reason) == (RECEIVED, 0, "")
        assert len(await inbox.claim(10, 30)) == 2

    use(story)


def test_a_replay_of_what_is_being_dispatched_keeps_its_lease_and_runs(use: Use) -> None:
    async def story(inbox: Inbox) -> None:
        await receive(inbox, "a")
        await inbox.claim(1, 30)
        await inbox.note_run(guid("a"), "flow/one", "run-1")
        replayed = await inbox.replay(guid("a"))
        assert (replayed.replays, replayed.runs) == (0, {"flow/one": "run-1"})
        assert await inbox.claim(1, 30) == []

    use(story)


def test_who_was_too_late_ends_no_replay_that_a_person_has_asked_for_meanwhile(use: Use) -> None:
    async def story(inbox: Inbox) -> None:
        await receive(inbox, "a")
        (late,) = await inbox.claim(1, 30)
        await inbox.note_run(guid("a"), "f/d", "run-1", late.replays)
        await inbox.settle(guid("a"), DISPATCHED, replays=late.replays)
        await inbox.replay(guid("a"))
        await inbox.note_run(guid("a"), "f/d", "run-1", late.replays)
        await inbox.settle(guid("a"), DISPATCHED, replays=late.replays)
        (row,) = await inbox.claim(1, 30)
        assert (row.replays, row.runs) == (1, {})
        await inbox.settle(guid("a"), DISPATCHED, replays=row.replays)
        assert (await inbox.counts())[DISPATCHED] == 1

    use(story)


def test_a_replay_of_what_is_not_known_is_bad_input(use: Use) -> None:
    async def story(inbox: Inbox) -> None:
        with pytest.raises(InputError, match="no delivery of this id"):
            await inbox.replay(guid("a"))

    use(story)


def test_counts_and_the_oldest_that_waits(use: Use) -> None:
    async def story(inbox: Inbox) -> None:
        assert await inbox.counts() == dict.fromkeys(DeliveryState, 0)
        assert await inbox.oldest_waiting() is None
        await receive(inbox, "a", "b", "c")
        await inbox.add([(delivery("d", -60), IGNORED, "")])
        await inbox.settle(guid("a"), DISPATCHED)
        assert await inbox.counts() == {RECEIVED: 2, DISPATCHED: 1, IGNORED: 1, DEAD: 0}
        assert await inbox.oldest_waiting() == NOW + timedelta(seconds=1)

    use(story)


def test_the_latest_come_first(use: Use) -> None:
    async def story(inbox: Inbox) -> None:
        await receive(inbox, *range(5))
        await inbox.settle(guid(3), DEAD, "404")
        assert ids(await inbox.latest(limit=3)) == [guid(4), guid(3), guid(2)]
        assert ids(await inbox.latest(DEAD)) == [guid(3)]
        assert ids(await inbox.latest(RECEIVED, 2)) == [guid(4), guid(2)]

    use(story)


def test_which_of_many_ids_are_known(use: Use) -> None:
    names = [guid(name) for name in range(2000)]

    async def story(inbox: Inbox) -> None:
        await receive(inbox, *range(0, 2000, 2))
        assert await inbox.known(names) == set(names[::2])
        assert await inbox.known([]) == set()

    use(story)


def test_a_cursor_is_what_was_said_last(use: Use) -> None:
    async def story(inbox: Inbox) -> None:
        assert await inbox.cursor("polling") is None
        await inbox.set_cursor("polling", "v1_100")
        await inbox.set_cursor("polling", "v1_200")
        assert await inbox.cursor("polling") == "v1_200"
        assert await inbox.cursor("reconciling") is None

    use(story)


def test_what_was_settled_long_ago_is_deleted_and_what_waits_is_not(use: Use, clock: Clock) -> None:
    old, new = uuid4(), uuid4()

    async def story(inbox: Inbox) -> None:
        await receive(inbox, "waits", "done", "replayed")
        await inbox.add([(delivery("ignored"), IGNORED, "")])
        for name in ("done", "replayed"):
            await inbox.note_run(guid(name), "flow/one", "run")
        await inbox.settle(guid("done"), DISPATCHED, events=[(old, "sent"), (new, "waits")])
        await inbox.settle(guid("replayed"), DISPATCHED)
        await inbox.mark_event_sent(old)
        clock.advance(86_400)
        await inbox.replay(guid("replayed"))
        await inbox.add([(delivery("late", 86_400), IGNORED, "")])
        assert await inbox.prune(clock.now - timedelta(hours=1)) == 2
        left = {row.delivery.id for row in await inbox.latest()}
        assert left == {guid("waits"), guid("replayed"), guid("late")}
        assert await inbox.pending_events(10) == [(new, "waits")]
        await inbox.settle(guid("waits"), DISPATCHED, events=[(old, "may be sent again")])
        assert len(await inbox.pending_events(10)) == 2
        assert await inbox.prune(clock.now - timedelta(hours=1)) == 0

    use(story)


def test_thousands_are_deleted_while_others_come(use: Use, clock: Clock) -> None:
    async def story(inbox: Inbox) -> None:
        rows = [(delivery(name), IGNORED, "no route") for name in range(3000)]
        await inbox.add(rows)
        clock.advance(86_400)
        late = [receive(inbox, f"late {n}") for n in range(20)]
        deleted, *added = await asyncio.gather(inbox.prune(clock.now), *late)
        assert deleted == 3000
        assert added == [[True]] * 20
        assert await inbox.counts() == {RECEIVED: 20, DISPATCHED: 0, IGNORED: 0, DEAD: 0}

    use(story)


def test_the_file_shrinks_when_deliveries_are_deleted(tmp_path: Path, clock: Clock) -> None:
    async def story() -> None:
        async with open_at(f"sqlite:///{tmp_path}/inbox.db", clock) as inbox:
            await inbox.add([(delivery(name), IGNORED, "") for name in range(5000)])
            await inbox.prune(NOW)  # nothing is older, but the log goes into the file at the end
            clock.advance(86_400)
            before = (tmp_path / "inbox.db").stat().st_size
            assert before > 2_000_000
            assert await inbox.prune(clock.now) == 5000
            assert (tmp_path / "inbox.db").stat().st_size < before / 5
            assert await receive(inbox, "a") == [True]

    asyncio.run(story())


def test_leases_go_by_the_clock_of_the_server(url: str) -> None:
    async def story() -> None:
        async with open_at(url) as inbox:
            await receive(inbox, "a")
            began = datetime.now(UTC)
            (row,) = await inbox.claim(1, 60)
            assert row.next_attempt_at
            assert timedelta(0) <= row.next_attempt_at - began - timedelta(seconds=60)
            assert row.next_attempt_at - began < timedelta(seconds=70)
            assert await inbox.claim(1, 60) == []
            await inbox.retry(guid("a"), began, "again")
            assert len(await inbox.claim(1, 0)) == 1
            assert len(await inbox.claim(1, 0)) == 1

    asyncio.run(story())


def test_the_same_delivery_in_many_tasks_at_once_is_new_once(url: str, clock: Clock) -> None:
    async def story() -> None:
        async with open_at(url, clock) as inbox, open_at(url, clock) as other:
            names = list(range(40))
            orders = [random.sample(names, len(names)) for _ in range(24)]
            each = [receive((inbox, other)[n % 2], *order) for n, order in enumerate(orders)]
            answers = await asyncio.gather(*each)
            new = [
                name
                for order, told in zip(orders, answers, strict=True)
                for name, is_new in zip(order, told, strict=True)
                if is_new
            ]
            assert sorted(new) == names

    asyncio.run(story())


def test_what_a_reason_holds_is_kept_as_far_as_it_can_be(use: Use) -> None:
    async def story(inbox: Inbox) -> None:
        await inbox.add([(delivery("a"), IGNORED, "a\0b" + "x" * 5000)])
        found = await inbox.find(guid("a"))
        assert found
        assert found.reason.startswith("a\N{REPLACEMENT CHARACTER}bxx")
        assert len(found.reason) == 2000

    use(story)


def test_a_row_that_this_release_cannot_read_holds_up_no_other(url: str, clock: Clock) -> None:
    async def story() -> None:
        async with open_at(url, clock) as inbox:
            await receive(inbox, "a", "b")
            database = Database(url, TABLES, title="inbox", variable=VARIABLE)
            row = deliveries.update().where(deliveries.c.id == guid("a"))
            newer = row.values(delivery='{"id": "of another kind"}')
            await asyncio.to_thread(database.transact, lambda each: each.execute(newer))
            assert ids(await inbox.claim(10, 30)) == [guid("b")]
            assert (await inbox.counts())[DEAD] == 1
            (row_of_it,) = await inbox.latest(DEAD)
            assert row_of_it == await inbox.find(guid("a"))
            assert row_of_it.reason.startswith("this release cannot read")
            known = delivery("a").model_dump(include={"id", "event", "action", "repository"})
            assert known.items() <= row_of_it.delivery.model_dump().items()
            assert (await inbox.replay(guid("a"))).state is RECEIVED
            assert await inbox.claim(10, 30) == []
            assert (await inbox.counts())[DEAD] == 1

    asyncio.run(story())
