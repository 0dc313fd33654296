"""What a hook has sent against what the inbox holds: what is missing is sent again.

This covers the time in which no receiver answered: GitHub tries once. It goes by GitHub's clock,
looks back over what it has seen, and remembers what it has asked for, so that no delivery is asked
for without end. A turn waits for nothing: whether a redelivery has come is seen by the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from xops.github.errors import LimitError, NotVisibleError, RefusedError, UnavailableError
from xops.github.hook_deliveries import Attempt, HookDeliveries, connect, hook_of
from xops.github.inbox.connection import open_inbox
from xops.github.inbox.inbox import DeliveryState, Inbox, InboxRow
from xops.github.policy import GitHubPolicy

logger = logging.getLogger("xops.github.reconcile")

KEPT = timedelta(days=3)
"""How far back deliveries are listed and can be sent again: GitHub says "a few days"."""

_OVERLAP = timedelta(hours=1)
"""What is looked at once more: GitHub may put deliveries off, and list them late."""

_GRACE = timedelta(minutes=2)
"""How long one that GitHub calls taken, or under way, may be without a row."""

_STUCK = timedelta(minutes=10)
"""How long a delivery may wait for its runs before somebody is told."""

_MOST_ASKED = 5
"""Redeliveries of one delivery that the receiver answers and does not keep."""

MOST_A_TURN = 200
"""Redeliveries that one turn asks for, the oldest first: GitHub limits who writes much at once."""

_OF_THE_DELIVERY = frozenset({400, 413, 415, 422})
"""Refusals that are about what was sent. All others are about whom it was sent to."""

_MOST_SHOWN = 20


class Missing(BaseModel):
    """A delivery that was sent, and has no row.

    Attributes:
        attempt: the id of the last attempt.
        first_at, last_at: when the first and the last one that we know of was sent, by GitHub's
            clock.
        event, status, status_code: what was sent, and what GitHub says of the last attempt.
        asked: how often a redelivery was asked for.
        lost: whether it is given up.
    """

    model_config = ConfigDict(frozen=True)

    attempt: int
    first_at: AwareDatetime
    last_at: AwareDatetime
    event: str
    status: str
    status_code: int
    asked: int = 0
    lost: bool = False

    @classmethod
    def of(cls, attempt: Attempt, before: Missing | None) -> Missing:
        """What is known after one more attempt."""
        return cls(
            attempt=attempt.id,
            first_at=before.first_at if before else attempt.delivered_at,
            last_at=attempt.delivered_at,
            event=".".join(filter(None, (attempt.event, attempt.action))),
            status=attempt.status,
            status_code=attempt.status_code,
            asked=before.asked if before else 0,
            lost=before.lost if before else False,
        )

    def may_be_under_way(self, now: datetime) -> bool:
        """Whether it may become a row without anything being done."""
        return self.status_code < 400 and now - self.last_at < _GRACE

    @property
    def reached_nobody(self) -> bool:
        """Whether the last attempt says nothing of the delivery: the receiver was down, say."""
        return self.status_code >= 400 and self.status_code not in _OF_THE_DELIVERY

    def is_hopeless(self, now: datetime) -> bool:
        """Whether it is given up: the receiver refuses it, or it has tried to come for too long."""
        refused = self.asked >= _MOST_ASKED and not self.reached_nobody
        return refused or (self.asked > 0 and now - self.first_at > KEPT)


class Memory(BaseModel):
    """What one turn leaves to the next.

    Attributes:
        seen_until: up to when all that was sent is known to be in the inbox or in `missing`.
        missing: by GUID those that were asked for again, and have not come.
    """

    model_config = ConfigDict(frozen=True)

    seen_until: AwareDatetime | None = None
    missing: Mapping[str, Missing] = {}

    @classmethod
    def read(cls, text: str | None) -> Memory:
        """What a turn has written; nothing if it is none of ours."""
        try:
            return cls.model_validate_json(text or "{}")
        except ValidationError:
            return cls()

    def since(self, now: datetime) -> datetime:
        """From when on attempts are listed."""
        oldest = now - KEPT
        return oldest if self.seen_until is None else max(self.seen_until, oldest) - _OVERLAP


@dataclass(frozen=True)
class Comparison:
    """What one look has found.

    Attributes:
        compared: how many deliveries were listed.
        missing: by GUID those without a row that are not given up.
        arrived: how many of those that were missing before have come.
        lost: by GUID those that are given up from now on.
        again: of the missing those that are to be sent again now.
        memory: for the next turn; counts those of `again` as asked for.
    """

    compared: int
    missing: Mapping[str, Missing]
    arrived: int
    lost: Mapping[str, Missing]
    again: Mapping[str, Missing]
    memory: Memory


def compare(
    memory: Memory,
    attempts: Iterable[Attempt],
    known: Collection[str],
    now: datetime,
    most: int = MOST_A_TURN,
) -> Comparison:
    """Compare what was sent with what is there. Pure.

    Args:
        memory: of the turn before.
        attempts: those that were sent since `memory.since(now)`, in any order.
        known: GUIDs of deliveries that have a row, of these and of `memory.missing`.
        now: by our clock, which counts for those only of which GitHub says no failure.
        most: redeliveries that are asked for.
    """
    newest = _newest(attempts)
    sent = dict(memory.missing)
    for guid, last in newest.items():
        sent[guid] = Missing.of(last, memory.missing.get(guid))
    absent = {guid: one for guid, one in sent.items() if guid not in known}
    open_ = {guid: one for guid, one in absent.items() if not one.lost}
    due = {guid: one for guid, one in open_.items() if not one.may_be_under_way(now)}
    lost = {
        guid: one.model_copy(update={"lost": True})
        for guid, one in due.items()
        if one.is_hopeless(now)
    }
    missing = {guid: one for guid, one in open_.items() if guid not in lost}
    due = {guid: one for guid, one in due.items() if guid not in lost}
    again = dict(islice(_in_turn(due, sent.values()), most))
    arrived = sum(not one.lost and guid in known for guid, one in memory.missing.items())
    seen = max((one.delivered_at for one in newest.values()), default=memory.seen_until)
    left = _remembered(absent, lost, again, seen)
    return Comparison(len(newest), missing, arrived, lost, again, left)


def _in_turn(due: Mapping[str, Missing], sent: Iterable[Missing]) -> Iterator[tuple[str, Missing]]:
    """Those that may be asked for now, the least asked for first.

    While nothing reaches the receiver, one of those that were asked for before shows whether that
    is still so: the others keep their attempts for later.
    """
    order = sorted(due.items(), key=lambda row: (row[1].asked, row[1].first_at))
    yield from ((guid, one) for guid, one in order if not one.asked)
    last = max(sent, key=lambda one: (one.last_at, one.attempt), default=None)
    is_down = last is not None and last.reached_nobody
    before = ((guid, one) for guid, one in order if one.asked)
    yield from islice(before, 1 if is_down else None)


def _newest(attempts: Iterable[Attempt]) -> dict[str, Attempt]:
    """The last attempt at each delivery."""
    newest: dict[str, Attempt] = {}
    for one in sorted(attempts, key=lambda one: (one.delivered_at, one.id)):
        newest[one.guid] = one
    return newest


def _remembered(
    absent: Mapping[str, Missing],
    lost: Mapping[str, Missing],
    again: Mapping[str, Missing],
    seen: datetime | None,
) -> Memory:
    """What was asked for is remembered; what was not is listed again by the next turn."""
    kept = {guid: one for guid, one in absent.items() if one.asked or one.lost}
    kept.update(lost)
    kept.update(
        {guid: one.model_copy(update={"asked": one.asked + 1}) for guid, one in again.items()}
    )
    unasked = [one.last_at for guid, one in absent.items() if guid not in kept]
    until = min([*unasked, *([] if seen is None else [seen])], default=None)
    listed = {guid: one for guid, one in kept.items() if seen is None or seen - one.last_at < KEPT}
    return Memory(seen_until=until, missing=listed)


@dataclass(frozen=True)
class Turn:
    """What one turn has found and done.

    Attributes:
        hook: with which deliveries were compared; empty: with none, `note` says why.
        compared: how many were listed since the turn before, some of them again.
        missing: by GUID those without a row.
        redelivered: how many were asked for again now.
        arrived: how many of those that were missing before have come.
        lost: by GUID those that are given up from now on: told once.
        given_up: how many there are that were given up, of those that GitHub still lists.
        waiting: how many wait for their runs.
        oldest_waiting: when the oldest of these came.
        stuck: whether that is so long ago that somebody should look.
        dead: the last deliveries for which no run could be created.
        dead_count: how many of them there are.
        pruned: how many settled deliveries were deleted for their age.
        note: why it did less than it should have; empty if it did not.
    """

    hook: str = ""
    compared: int = 0
    missing: Mapping[str, Missing] = field(default_factory=dict)
    redelivered: int = 0
    arrived: int = 0
    lost: Mapping[str, Missing] = field(default_factory=dict)
    given_up: int = 0
    waiting: int = 0
    oldest_waiting: datetime | None = None
    stuck: bool = False
    dead: Sequence[InboxRow] = ()
    dead_count: int = 0
    pruned: int = 0
    note: str = ""

    @property
    def needs_attention(self) -> bool:
        """Whether a person should look: what is missing is on its way, and no reason to."""
        return bool(self.lost) or self.stuck

    def summary(self) -> str:
        """One line."""
        compared = f"{self.compared} deliveries compared" if self.hook else "none compared"
        parts = [
            compared,
            f"{len(self.missing)} missing",
            f"{self.redelivered} asked for again",
            f"{self.arrived} came late",
            f"{len(self.lost)} lost",
            f"{self.waiting} wait",
            f"{self.dead_count} dead",
            f"{self.pruned} deleted",
        ]
        return ", ".join([*parts, self.note] if self.note else parts)

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        oldest = self.oldest_waiting
        return {
            "hook": self.hook,
            "compared": self.compared,
            "missing": {guid: one.model_dump(mode="json") for guid, one in self.missing.items()},
            "redelivered": self.redelivered,
            "arrived": self.arrived,
            "lost": {guid: one.model_dump(mode="json") for guid, one in self.lost.items()},
            "given_up": self.given_up,
            "waiting": self.waiting,
            "oldest_waiting": oldest.isoformat() if oldest else None,
            "stuck": self.stuck,
            "dead": {row.delivery.id: row.reason for row in self.dead},
            "dead_count": self.dead_count,
            "pruned": self.pruned,
            "note": self.note,
        }


def reconcile(
    policy: GitHubPolicy,
    environ: Mapping[str, str],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    most: int = MOST_A_TURN,
) -> Turn:
    """One turn, on the inbox and the hook that the environment and the policy name.

    Args:
        policy: names the hook, and says how long deliveries are kept.
        environ: names the inbox and the credential.
        now: the time by our clock, with its zone.
        most: redeliveries that are asked for.

    Raises:
        TemporaryError: the inbox or GitHub does not answer.
        PermanentError: one of them does not let us in, or may not be used.
    """
    return asyncio.run(_reconcile(policy, environ, now(), most))


async def _reconcile(
    policy: GitHubPolicy, environ: Mapping[str, str], now: datetime, most: int
) -> Turn:
    async with open_inbox(environ) as inbox:
        # First: whatever GitHub says, the inbox does not grow without end.
        pruned = await inbox.prune(now - timedelta(days=policy.webhook.keep_days))
        turn = await _compared(inbox, policy, environ, now, most)
        return await _look(inbox, now, replace(turn, pruned=pruned))


async def _compared(
    inbox: Inbox, policy: GitHubPolicy, environ: Mapping[str, str], now: datetime, most: int
) -> Turn:
    if hook_of(policy) is None:
        return Turn(note="deployments/github.yaml names no hook_id, so nothing was compared")
    deliveries = await asyncio.to_thread(connect, policy, environ)
    with deliveries.client:
        return await compare_with(inbox, deliveries, now, most)


async def compare_with(
    inbox: Inbox, deliveries: HookDeliveries, now: datetime, most: int = MOST_A_TURN
) -> Turn:
    """Compare a hook's deliveries with the inbox, and ask for those that are missing.

    Raises:
        TemporaryError, PermanentError: as of the inbox and of GitHub.
    """
    name = f"reconcile {deliveries.name}"
    memory = Memory.read(await inbox.cursor(name))
    since = memory.since(now)
    attempts = await asyncio.to_thread(lambda: list(deliveries.since(since)))
    guids = {one.guid for one in attempts} | memory.missing.keys()
    found = compare(memory, attempts, await inbox.known(guids), now, most)
    # Counted before it is asked for: one at which this dies is not asked for without end.
    await inbox.set_cursor(name, found.memory.model_dump_json())
    asked = await asyncio.to_thread(_ask_again, deliveries, found.again)
    lost = {**found.lost, **{guid: found.again[guid] for guid in asked.refused}}
    if asked.refused:
        await inbox.set_cursor(name, _without(found.memory, asked.refused).model_dump_json())
    return Turn(
        hook=deliveries.name,
        compared=found.compared,
        missing={guid: one for guid, one in found.missing.items() if guid not in lost},
        redelivered=asked.count,
        arrived=found.arrived,
        lost=lost,
        given_up=sum(one.lost for one in found.memory.missing.values()) + len(asked.refused),
        note=asked.stopped,
    )


@dataclass(frozen=True)
class _Asked:
    count: int
    refused: Collection[str]
    stopped: str


def _ask_again(deliveries: HookDeliveries, again: Mapping[str, Missing]) -> _Asked:
    """Ask for each. What GitHub has no more is lost; a limit leaves the rest to the next turn."""
    count, refused = 0, []
    for guid, one in again.items():
        try:
            deliveries.redeliver(one.attempt)
        except (NotVisibleError, RefusedError) as error:
            logger.warning("%s", error)
            refused.append(guid)
        except (LimitError, UnavailableError) as error:
            return _Asked(count, refused, f"the rest is asked for next time: {error.found}")
        else:
            count += 1
    return _Asked(count, refused, "")


def _without(memory: Memory, lost: Collection[str]) -> Memory:
    rows = {
        guid: one.model_copy(update={"lost": one.lost or guid in lost})
        for guid, one in memory.missing.items()
    }
    return memory.model_copy(update={"missing": rows})


async def _look(inbox: Inbox, now: datetime, turn: Turn) -> Turn:
    """How the inbox itself is."""
    counts, oldest = await inbox.counts(), await inbox.oldest_waiting()
    return replace(
        turn,
        waiting=counts[DeliveryState.RECEIVED],
        oldest_waiting=oldest,
        stuck=oldest is not None and now - oldest > _STUCK,
        dead=await inbox.latest(DeliveryState.DEAD, _MOST_SHOWN),
        dead_count=counts[DeliveryState.DEAD],
    )
