"""The inbox: each delivery is kept once, claimed by one dispatcher at a time, and settled once.

    received -> dispatched | ignored | dead

A row that is claimed stays hidden from others until its lease is over; whoever claimed it and died
is thereby replaced. Leases begin and end by the clock of the database: of PostgreSQL's server, so
that hosts whose clocks differ agree; on SQLite of the host, which all its users share. If that
clock is set forward, a lease ends early, and two dispatchers may work on a delivery: the key of its
runs says that they are the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import batched
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import sqlalchemy as sql
from pydantic import ValidationError
from sqlalchemy.engine import Connection

from xops.core.database.concurrent import ConcurrentDatabase
from xops.core.database.upserts import insert
from xops.core.errors import Finding, InputError, TemporaryError
from xops.core.outbox import Outbox
from xops.github.delivery import Delivery
from xops.github.inbox.tables import cursors, deliveries, events, runs

_AT_A_TIME = 500
"""Rows that one statement names, and that one transaction deletes: others wait for it."""

_COLUMNS = ("id", "event", "action", "repository", "received_at")
_LONGEST_REASON = 2000

LONGEST_WAIT = timedelta(minutes=10)
"""For which one that waits is hidden at most: nobody's lease and no retry is as long."""


class DeliveryState(StrEnum):
    """What became of a delivery."""

    RECEIVED = "received"
    DISPATCHED = "dispatched"
    IGNORED = "ignored"
    DEAD = "dead"


@dataclass(frozen=True)
class InboxRow:
    """A delivery and what became of it.

    Attributes:
        delivery: what is kept of it. Of one that this release cannot read, which is dead, its id,
            event, action, repository and moment; its `body_sha256` is empty.
        state: what became of it.
        attempts: how often it was claimed since it came or was replayed.
        reason: why it is in this state, or why the last attempt failed; may be empty.
        runs: the flow run of each deployment that it led to, since it was last replayed.
        replays: how often it was replayed after it had led to a run.
        next_attempt_at: before that moment nobody else claims it; None: at any time.
        updated_at: when this row was last written.
    """

    delivery: Delivery
    state: DeliveryState
    attempts: int
    reason: str
    runs: Mapping[str, str]
    replays: int
    next_attempt_at: datetime | None
    updated_at: datetime


class Inbox:
    """The inbox in a database.

    All methods raise TemporaryError if the database does not answer, is locked or has no room, and
    PermanentError if it refuses what is asked of it or a newer release made its tables.

    Args:
        database: with the tables of `xops.github.inbox.tables`.
        clock: in place of the database's own.
    """

    def __init__(
        self, database: ConcurrentDatabase, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._database = database
        self._clock = clock

    def __str__(self) -> str:
        return str(self._database)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def prepare(self) -> None:
        """Bring the tables up to date now: the first use that finds old ones takes seconds."""
        await self._database.prepare()

    async def close(self) -> None:
        """Close all connections."""
        await self._database.close()

    async def add(self, arrived: Sequence[tuple[Delivery, DeliveryState, str]]) -> list[bool]:
        """Keep deliveries, each with its first state and the reason for it; durable on return.

        Returns:
            Of each whether it is new. One that is known, or stands earlier in `arrived`, is not,
            and changes nothing.
        """
        rows: dict[str, dict[str, Any]] = {}
        for delivery, state, reason in arrived:
            rows.setdefault(delivery.id, _new_row(delivery, state, reason))
        new = await self._database.transact(lambda connection: _insert(connection, rows))
        return [_take(new, delivery.id) for delivery, _, _ in arrived]

    async def claim(self, limit: int, lease_seconds: float) -> list[InboxRow]:
        """Take the oldest deliveries that wait; nobody else gets them until the lease is over.

        Args:
            limit: how many at most.
            lease_seconds: `LONGEST_WAIT` at most.
        """

        def work(connection: Connection) -> list[InboxRow]:
            now = self._now(connection)
            ids = _lock_waiting(connection, now, limit)
            if not ids:
                return []
            claimed = deliveries.update().where(deliveries.c.id.in_(ids))
            claimed = claimed.values(
                attempts=deliveries.c.attempts + 1,
                next_attempt_at=now + timedelta(seconds=lease_seconds),
                updated_at=now,
            )
            found = connection.execute(claimed.returning(deliveries)).all()
            readable = [row for row in found if _is_readable(connection, row)]
            return _with_runs(connection, sorted(readable, key=_age))

        return await self._database.transact(work)

    async def note_run(
        self, id: str, deployment: str, run_id: str, replays: int | None = None
    ) -> None:
        """Note the flow run of a deployment that a delivery led to, as soon as there is one.

        Args:
            replays: as the row said that was claimed; None: as it says now.
        """

        def work(connection: Connection) -> None:
            columns = deliveries.c
            row = sql.select(
                columns.id,
                sql.literal(deployment, sql.Text),
                columns.replays if replays is None else sql.literal(replays, sql.Integer),
                sql.literal(run_id, sql.Text),
            ).where(columns.id == id)
            noted = insert(connection, runs).from_select(
                ["delivery", "deployment", "replay", "run"], row
            )
            key = ["delivery", "deployment", "replay"]
            noted = noted.on_conflict_do_update(
                index_elements=key, set_={"run": noted.excluded.run}
            )
            connection.execute(noted)

        await self._database.transact(work)

    async def settle(
        self,
        id: str,
        state: DeliveryState,
        reason: str = "",
        events: Sequence[tuple[UUID, str]] = (),
        replays: int | None = None,
    ) -> None:
        """Say what became of a delivery that waits, and post events about it, both or neither.

        One that was settled stays as it is: who comes second held a lease that was over. So does
        one that was replayed meanwhile, where `replays` says of which turn this is the end.

        Args:
            events: the id and the body of each.
            replays: as the row said that was claimed; None: whatever it says now.
        """

        def work(connection: Connection) -> None:
            settled = _waiting(id, replays).values(
                state=state,
                reason=_bounded(reason),
                next_attempt_at=None,
                updated_at=self._now(connection),
            )
            connection.execute(settled)
            outbox = _outbox(connection)
            for event, body in events:
                outbox.post(event, body)

        await self._database.transact(work)

    async def retry(self, id: str, at: datetime, reason: str) -> None:
        """Let a delivery that waits be claimed again from a moment on.

        Args:
            at: by the caller's clock: as far as that differs, it is earlier or later; one that is
                further away than twice `LONGEST_WAIT` counts for nothing.
        """

        def work(connection: Connection) -> None:
            later = _waiting(id).values(
                next_attempt_at=at, reason=_bounded(reason), updated_at=self._now(connection)
            )
            connection.execute(later)

        await self._database.transact(work)

    async def pending_events(self, limit: int) -> list[tuple[UUID, str]]:
        """The id and the body of the events that were not sent, oldest first."""
        found = await self._database.read(lambda connection: _outbox(connection).pending(limit))
        return [(message.id, message.body) for message in found]

    async def mark_event_sent(self, id: UUID) -> None:
        """Say that an event was sent: it no longer waits."""
        await self._database.transact(
            lambda connection: _outbox(connection).mark_sent(id, self._now(connection))
        )

    async def find(self, id: str) -> InboxRow | None:
        """The delivery of that id, in either case; None if it is not known."""
        return await self._database.read(lambda connection: _find(connection, id.lower()))

    async def known(self, ids: Collection[str]) -> set[str]:
        """Those of the ids that have a row."""

        def work(connection: Connection) -> set[str]:
            found: set[str] = set()
            for some in batched(ids, _AT_A_TIME):
                wanted = sql.select(deliveries.c.id).where(deliveries.c.id.in_(some))
                found.update(connection.execute(wanted).scalars())
            return found

        return await self._database.read(work)

    async def latest(self, state: DeliveryState | None = None, limit: int = 50) -> list[InboxRow]:
        """The deliveries that came last, the newest first; those of one state, or all."""

        def work(connection: Connection) -> list[InboxRow]:
            newest = sql.select(deliveries).order_by(
                deliveries.c.received_at.desc(), deliveries.c.id.desc()
            )
            if state is not None:
                newest = newest.where(deliveries.c.state == state)
            return _with_runs(connection, connection.execute(newest.limit(limit)).all())

        return await self._database.read(work)

    async def replay(self, id: str) -> InboxRow:
        """Let a delivery that was settled be dispatched again, as new runs if it had led to any.

        One that still waits is claimed as soon as possible; it keeps its runs.

        Raises:
            InputError: there is no such delivery.
        """

        def work(connection: Connection) -> InboxRow:
            found = _find(connection, id.lower(), lock=True)
            if found is None:
                raise _unknown(id)
            settled = found.state is not DeliveryState.RECEIVED
            again = deliveries.update().where(deliveries.c.id == found.delivery.id)
            again = again.values(
                state=DeliveryState.RECEIVED,
                reason="",
                attempts=0,
                replays=found.replays + (settled and bool(found.runs)),
                next_attempt_at=None if settled else found.next_attempt_at,
                updated_at=self._now(connection),
            )
            changed = connection.execute(again.returning(deliveries)).all()
            return _with_runs(connection, changed)[0]

        return await self._database.transact(work)

    async def prune(self, before: datetime) -> int:
        """Delete the deliveries that were settled, and the events that were sent, before a moment.

        On SQLite the file becomes smaller unless others keep it locked; PostgreSQL's autovacuum
        uses the room again.

        Returns:
            How many deliveries were deleted.
        """
        settled = deliveries.c.state != DeliveryState.RECEIVED
        # By an index: what was settled before that moment had come before it.
        old = settled & (deliveries.c.received_at < before) & (deliveries.c.updated_at < before)
        sent = events.c.sent_at < before.astimezone(UTC).isoformat()
        count = await self._delete(deliveries, old)
        if count + await self._delete(events, sent):
            with suppress(TemporaryError):  # others are at it; the room is used again anyway
                await self._database.give_room_back()
        return count

    async def _delete(self, table: sql.Table, old: sql.ColumnElement[bool]) -> int:
        """Delete rows, some at a time: whoever adds one meanwhile waits for a moment only."""
        some = sql.select(table.c.id).where(old).limit(_AT_A_TIME)
        # Twice, since one of them may be replayed between the two looks.
        statement = table.delete().where(table.c.id.in_(some), old)
        total = 0
        while count := await self._database.transact(
            lambda connection: connection.execute(statement).rowcount
        ):
            total += count
        return total

    async def counts(self) -> dict[DeliveryState, int]:
        """How many deliveries there are in each state."""

        def work(connection: Connection) -> dict[DeliveryState, int]:
            state, number = deliveries.c.state, sql.func.count().label("number")
            each = sql.select(state, number).group_by(state)
            found = {row.state: row.number for row in connection.execute(each)}
            return {state: found.get(state, 0) for state in DeliveryState}

        return await self._database.read(work)

    async def oldest_waiting(self) -> datetime | None:
        """When the oldest delivery came that is not settled; None if none waits."""
        oldest = sql.select(sql.func.min(deliveries.c.received_at))
        oldest = oldest.where(deliveries.c.state == DeliveryState.RECEIVED)
        return await self._database.read(lambda connection: connection.execute(oldest).scalar())

    async def cursor(self, name: str) -> str | None:
        """How far somebody has come; None if that was never said."""
        value = sql.select(cursors.c.value).where(cursors.c.name == name)
        return await self._database.read(lambda connection: connection.execute(value).scalar())

    async def set_cursor(self, name: str, value: str) -> None:
        """Say how far somebody has come."""

        def work(connection: Connection) -> None:
            said = insert(connection, cursors).values(name=name, value=value)
            said = said.on_conflict_do_update(index_elements=["name"], set_={"value": value})
            connection.execute(said)

        await self._database.transact(work)

    def _now(self, connection: Connection) -> datetime:
        if self._clock is not None:
            return self._clock()
        if connection.dialect.name == "postgresql":
            now: datetime = connection.execute(sql.select(sql.func.clock_timestamp())).scalar_one()
            return now
        return datetime.now(UTC)


def _new_row(delivery: Delivery, state: DeliveryState, reason: str) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "event": delivery.event,
        "action": delivery.action,
        "repository": delivery.repository,
        "state": state,
        "reason": _bounded(reason),
        "attempts": 0,
        "replays": 0,
        "received_at": delivery.received_at,
        "updated_at": delivery.received_at,
        "delivery": delivery.model_dump_json(),
    }


def _insert(connection: Connection, rows: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Insert those that are new; their ids."""
    if not rows:
        return set()
    # In one order: two that insert the same rows in two orders would wait for each other.
    ordered = [rows[id_] for id_ in sorted(rows)]
    added = insert(connection, deliveries).on_conflict_do_nothing().returning(deliveries.c.id)
    return set(connection.execute(added, ordered).scalars())


def _take(ids: set[str], id_: str) -> bool:
    """Whether it is among them; from now on it is not."""
    if id_ in ids:
        ids.remove(id_)
        return True
    return False


def _lock_waiting(connection: Connection, now: datetime, limit: int) -> list[str]:
    """The ids of the oldest that may be claimed; those that somebody else is claiming are left."""
    due = deliveries.c.next_attempt_at
    waiting = sql.select(deliveries.c.id).where(
        deliveries.c.state == sql.literal_column("'received'"),  # as the index says
        # A clock that was wrong has hidden others for hours or years. One that somebody else has
        # claimed since `now` is none of those: its lease ends a little later than one from here.
        due.is_(None) | (due <= now) | (due > now + 2 * LONGEST_WAIT),
    )
    oldest = waiting.order_by(deliveries.c.received_at, deliveries.c.id).limit(limit)
    locked = oldest.with_for_update(skip_locked=True)  # SQLite lets in one writer at a time anyway
    return list(connection.execute(locked).scalars())


def _waiting(id_: str, replays: int | None = None) -> sql.Update:
    columns = deliveries.c
    row = deliveries.update().where(columns.id == id_, columns.state == DeliveryState.RECEIVED)
    return row if replays is None else row.where(columns.replays == replays)


def _find(connection: Connection, id_: str, *, lock: bool = False) -> InboxRow | None:
    wanted = sql.select(deliveries).where(deliveries.c.id == id_)
    if lock:
        wanted = wanted.with_for_update()
    return next(iter(_with_runs(connection, connection.execute(wanted).all())), None)


def _with_runs(connection: Connection, rows: Sequence[sql.Row[Any]]) -> list[InboxRow]:
    ids = [row.id for row in rows]
    found: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for some in batched(ids, _AT_A_TIME):
        for run in connection.execute(sql.select(runs).where(runs.c.delivery.in_(some))):
            found[run.delivery, run.replay][run.deployment] = run.run
    return [_inbox_row(row, found[row.id, row.replays]) for row in rows]


def _is_readable(connection: Connection, row: sql.Row[Any]) -> bool:
    """Whether this release can read it. One that it cannot would hold up all others: it is dead."""
    try:
        Delivery.model_validate_json(row.delivery)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, issue["loc"])) for issue in error.errors())
        reason = f"this release cannot read what another one has kept of it: {wrong}"
        dead = _waiting(row.id).values(
            state=DeliveryState.DEAD, reason=_bounded(reason), next_attempt_at=None
        )
        connection.execute(dead)
        return False
    return True


def _delivery(row: sql.Row[Any]) -> Delivery:
    """The delivery; of one that this release cannot read, what its columns say."""
    try:
        return Delivery.model_validate_json(row.delivery)
    except ValidationError:
        columns = {name: getattr(row, name) for name in _COLUMNS}
        return Delivery.model_construct(**columns, body_sha256="")


def _inbox_row(row: sql.Row[Any], found: Mapping[str, str]) -> InboxRow:
    return InboxRow(
        delivery=_delivery(row),
        state=DeliveryState(row.state),
        attempts=row.attempts,
        reason=row.reason,
        runs=found,
        replays=row.replays,
        next_attempt_at=row.next_attempt_at,
        updated_at=row.updated_at,
    )


def _age(row: sql.Row[Any]) -> tuple[datetime, str]:
    return row.received_at, row.id


def _outbox(connection: Connection) -> Outbox:
    return Outbox(connection, events)


def _bounded(reason: str) -> str:
    """As much of it as is kept; PostgreSQL keeps no NUL, and nobody half of a character."""
    whole = reason[:_LONGEST_REASON].encode(errors="replace").decode()
    return whole.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _unknown(id_: str) -> InputError:
    finding = Finding(id_, "", "no delivery of this id is known")
    return InputError(
        "replaying a delivery",
        [finding],
        "`xops github deliveries` lists what is known; older ones are deleted after a while.",
    )
