"""The loop that leads deliveries of the inbox to runs.

A delivery is claimed for a while, its runs are created under keys that follow from it, and it is
settled together with the events that tell of it. Whatever dies in between, the next one to claim it
does all of it again: the same keys find the same runs, and the same ids the same events. A delivery
is given up only where the server says that it will never take it; one whose deployment is not there
waits for a while first, since a server that is new has no deployments for its first moments.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

from xops.core.errors import CredentialsError, PermanentError, TemporaryError, XopsError
from xops.core.rendering import Plain
from xops.github.dispatch import events as told
from xops.github.dispatch import routes
from xops.github.dispatch.backoff import Backoff
from xops.github.dispatch.runs_protocol import Events, NotThereError, Runs
from xops.github.inbox.inbox import DeliveryState, Inbox, InboxRow
from xops.github.policy import GitHubPolicy

logger = logging.getLogger("xops.github.dispatch")

_MOST_EVENTS = 50
_LONGEST_REASON = 1000
_DEPLOYING = timedelta(minutes=10)
"""How long after its arrival a delivery waits for a deployment that is not there."""

_LOOK_FOR_EVENTS_SECONDS = 5.0
"""Between two looks for events that another process has left behind."""

_MEMBERS = "team members are read anew"

MembersChanged = Callable[[str, str], Awaitable[None]]
"""Told an organisation and a team of it (empty: all of them), whose members may be others now.

Raises a TemporaryError if that could not be noted."""


@dataclass(frozen=True)
class Pace:
    """How many at once, and how often.

    Attributes:
        concurrent: deliveries in flight.
        lease_seconds: for which a claimed delivery is left to us; one that takes longer than three
            quarters of it is put back.
        idle_seconds: between two looks at an inbox in which nothing waits.
        tell_seconds: between two lines of the log that say what was done.
    """

    concurrent: int = 16
    lease_seconds: float = 60.0
    idle_seconds: float = 0.5
    tell_seconds: float = 60.0


@dataclass
class Counts:
    """What was done since the start. `retried` counts attempts, all others deliveries or events."""

    dispatched: int = 0
    ignored: int = 0
    dead: int = 0
    retried: int = 0
    events: int = 0


@dataclass(frozen=True)
class _Created:
    """What became of one start: the run, or why there is none."""

    deployment: str
    run_id: str = ""
    error: XopsError | None = None


def _may_pass(error: XopsError) -> bool:
    """Whether it is no delivery's fault: credentials are put right as well."""
    return isinstance(error, TemporaryError | CredentialsError)


def key_of(row: InboxRow, deployment: str) -> str:
    """The key of a delivery's run of a deployment: another one after a person's replay."""
    again = f":replay-{row.replays}" if row.replays else ""
    return f"gh:{row.delivery.id}:{deployment}{again}"


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Dispatcher:
    """One dispatcher; several may work on one inbox.

    Attributes:
        inbox: where deliveries wait.
        runs, events: the server on which runs are created.
        policy: its routes.
        on_members_changed: told of deliveries about teams and organisations.
        pace: how many at once.
        backoff: after what may pass.
        clock: the time, with its zone.
        counts: what was done.
        failing: what the last attempt failed at, the inbox or the server; empty if it did not.
    """

    inbox: Inbox
    runs: Runs
    events: Events
    policy: GitHubPolicy
    on_members_changed: MembersChanged
    pace: Pace = Pace()
    backoff: Backoff = field(default_factory=Backoff)
    clock: Callable[[], datetime] = _now
    counts: Counts = field(default_factory=Counts)
    failing: str = ""
    _failures: int = 0
    _inbox_failed: bool = False
    _posted: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, and finish what is in flight then.

        Raises:
            ExceptionGroup: of a PermanentError: the inbox cannot be used as it is.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell(stop))
            group.create_task(self._send_events(stop))
            await self._claim(stop)
        await self._send_waiting()
        logger.info("ended: %s", self.counts)

    async def _claim(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            flying: set[asyncio.Task[None]] = set()
            while not stop.is_set():
                flying = {task for task in flying if not task.done()}
                room = self._room(len(flying))
                rows = await self._claimed(room) if room else []
                flying |= {group.create_task(self._dispatch(row)) for row in rows}
                if not rows:
                    await self._pause(stop, flying if room == 0 else ())

    def _room(self, flying: int) -> int:
        """How many are claimed next: many at once, or a single one that shows whether it works."""
        if self._failures:
            return int(flying == 0)
        free = self.pace.concurrent - flying
        return free if 2 * free >= self.pace.concurrent else 0

    async def _claimed(self, room: int) -> Sequence[InboxRow]:
        failures = self._failures
        try:
            rows = await self.inbox.claim(room, self.pace.lease_seconds)
        except TemporaryError as error:
            self._note_failure(error, failures, of_inbox=True)
            return ()
        if self._inbox_failed:
            self._note_success()
        return rows

    async def _pause(self, stop: asyncio.Event, flying: Iterable[asyncio.Task[None]]) -> None:
        """Until there may be something to do: time has passed, one has landed, or we are to end."""
        idle = self.pace.idle_seconds
        await _any_of(
            [stop], self.backoff.seconds(self._failures) if self._failures else idle, flying
        )

    # One delivery.

    async def _dispatch(self, row: InboxRow) -> None:
        """Lead one delivery to its runs. What the inbox does not take now is done again later."""
        failures = self._failures
        seconds = 0.75 * self.pace.lease_seconds
        try:
            try:
                async with asyncio.timeout(seconds):
                    await self._lead_on(row)
            except TimeoutError:
                error = _too_slow(row, seconds)
                self._note_failure(error, failures)
                await self._try_again(row, error)
        except TemporaryError as error:  # of the inbox: the lease ends by itself
            self._note_failure(error, failures, of_inbox=True)

    async def _lead_on(self, row: InboxRow) -> None:
        delivery = row.delivery
        if delivery.event in routes.MEMBERSHIP_EVENTS:
            await self.on_members_changed(delivery.organisation, delivery.team)
        starts = routes.match(self.policy, delivery)
        if not starts and (reason := routes.wanted(self.policy, delivery)):
            await self.inbox.settle(delivery.id, DeliveryState.IGNORED, reason, replays=row.replays)
            self.counts.ignored += 1
            return
        created = [await self._create(row, start) for start in starts]
        errors = [each.error for each in created if each.error]
        if passing := [error for error in errors if self._may_be_tried_again(row, error)]:
            await self._try_again(row, passing[0])
        else:
            await self._settle(row, created)

    def _may_be_tried_again(self, row: InboxRow, error: XopsError) -> bool:
        if isinstance(error, NotThereError):
            return abs(self.clock() - row.delivery.received_at) < _DEPLOYING
        return _may_pass(error)

    async def _create(self, row: InboxRow, start: routes.Start) -> _Created:
        failures = self._failures
        key = key_of(row, start.deployment)
        try:
            run_id = await self.runs.create(start.deployment, start.parameters, key)
        except (TemporaryError, PermanentError) as error:
            if _may_pass(error):
                self._note_failure(error, failures)
            return _Created(start.deployment, error=error)
        self._note_success()
        await self.inbox.note_run(row.delivery.id, start.deployment, run_id, row.replays)
        return _Created(start.deployment, run_id)

    async def _try_again(self, row: InboxRow, error: XopsError) -> None:
        asked = error.retry_after if isinstance(error, TemporaryError) else 0.0
        wait = timedelta(seconds=self.backoff.seconds(row.attempts, asked))
        since = f"{row.delivery.received_at:%Y-%m-%d %H:%M:%S} UTC"
        reason = f"attempt {row.attempts}, waiting since {since}: {error.found}"[:_LONGEST_REASON]
        await self.inbox.retry(row.delivery.id, self.clock() + wait, reason)
        self.counts.retried += 1

    async def _settle(self, row: InboxRow, created: Sequence[_Created]) -> None:
        found = (f"{one.deployment}: {one.error.found}" for one in created if one.error)
        reason = "; ".join(found)[:_LONGEST_REASON]
        posted = [*self._events_of(row, created, reason)]
        members = row.delivery.event in routes.MEMBERSHIP_EVENTS
        state = DeliveryState.DEAD if reason else DeliveryState.DISPATCHED
        said = reason or (_MEMBERS if members else "")
        await self.inbox.settle(row.delivery.id, state, said, posted, row.replays)
        if reason:
            self.counts.dead += 1
            logger.error("%s", Plain.render(f"{row.delivery.id} leads to no run: {reason}"))
        else:
            self.counts.dispatched += 1
        self._posted.set()

    def _events_of(
        self, row: InboxRow, created: Sequence[_Created], reason: str
    ) -> Iterator[told.Posted]:
        delivery, now = row.delivery, self.clock()
        for one in created:
            if one.run_id:
                key = key_of(row, one.deployment)
                yield told.run_created(delivery, one.deployment, one.run_id, key, now)
        if reason:
            yield told.dead(delivery, key_of(row, ""), now, reason)
        elif not created:
            yield told.members_changed(delivery, key_of(row, ""), now)

    def _note_failure(self, error: XopsError, failures: int, *, of_inbox: bool = False) -> None:
        """One more in a row; those that were under way together count as one."""
        if self._failures == failures:
            self._failures += 1
            logger.warning("%s", error)
        self.failing, self._inbox_failed = error.found, of_inbox

    def _note_success(self) -> None:
        self._failures, self.failing, self._inbox_failed = 0, "", False

    # Events.

    async def _send_events(self, stop: asyncio.Event) -> None:
        failures = 0
        while not stop.is_set():
            self._posted.clear()
            failures = 0 if await self._send_waiting() else failures + 1
            if failures:
                await _any_of([stop], self.backoff.seconds(failures))
            else:
                await _any_of([stop, self._posted], _LOOK_FOR_EVENTS_SECONDS)

    async def _send_waiting(self) -> bool:
        """Send all that waits in the outbox; whether all of it was taken."""
        try:
            while waiting := await self.inbox.pending_events(_MOST_EVENTS):
                await self._send(waiting)
        except (TemporaryError, CredentialsError) as error:
            logger.warning("%s", error)
            return False
        return True

    async def _send(self, waiting: Sequence[told.Posted]) -> None:
        try:
            await self.events.emit([body for _, body in waiting])
        except CredentialsError:
            raise
        except PermanentError as error:
            if len(waiting) > 1:
                for one in waiting:
                    await self._send([one])
                return
            logger.error("event %s is given up: %s", waiting[0][0], error)
        for identity, _ in waiting:
            await self.inbox.mark_event_sent(identity)
            self.counts.events += 1

    async def _tell(self, stop: asyncio.Event) -> None:
        before = asdict(self.counts)
        while not stop.is_set():
            await _any_of([stop], self.pace.tell_seconds)
            if (now := asdict(self.counts)) != before:
                logger.info("since the start: %s", self.counts)
                before = now


def _too_slow(row: InboxRow, seconds: float) -> TemporaryError:
    return TemporaryError(
        f"leading {row.delivery.id} to its runs",
        f"it took more than {seconds:.0f} s",
        "Look at the load of the Prefect server and of the inbox's database; it is tried again.",
        retry_after=0.0,
    )


async def _any_of(
    events: Sequence[asyncio.Event], seconds: float, tasks: Iterable[asyncio.Task[None]] = ()
) -> None:
    """Wait until one of the events is set, one of the tasks has ended, or the time has passed."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait([*waiting, *tasks], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
