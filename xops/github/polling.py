"""Deliveries without a public address: a hook's own list is read again and again.

The hook is at GitHub as any other; where it sends to need not answer. What it has sent is read from
its list, so that a delivery comes as much later as there is between two looks. GitHub vouches for
what it says over its own API: nothing is signed, and nothing is asked for again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from xops.core.errors import TemporaryError
from xops.github.delivery import Delivery, NotADeliveryError, project
from xops.github.dispatch import routes
from xops.github.errors import NotVisibleError, RefusedError
from xops.github.hook_deliveries import Attempt, HookDeliveries, Payload, connect
from xops.github.inbox.connection import open_inbox
from xops.github.inbox.inbox import DeliveryState, Inbox
from xops.github.policy import GitHubPolicy

logger = logging.getLogger("xops.github.polling")

SECONDS = 30.0
"""Between two looks: of the 5,000 requests an hour that a credential has, these are 120."""

_FIRST = timedelta(days=3)
_OVERLAP = timedelta(hours=1)
_UNREAD = timedelta(minutes=30)
"""How long one whose content cannot be read is tried again. Then it is dead: texts of strangers are
in it, and one of them is no reason to read no other. Less than the overlap."""

_MOST_WAIT = 600.0


@dataclass(frozen=True)
class Look:
    """What one look at a hook's list has given.

    Attributes:
        listed: deliveries that were sent since the look before, some of them seen then.
        new: those that were not known and are in the inbox now.
        ignored: those of them that lead to nothing.
        gone: those that GitHub lists and has the content of no more.
        unread: those whose content cannot be read.
        delay_seconds: between the sending of the oldest new one and its arrival, by the two clocks;
            None if none is new.
    """

    listed: int = 0
    new: int = 0
    ignored: int = 0
    gone: int = 0
    unread: int = 0
    delay_seconds: float | None = None

    def summary(self) -> str:
        """One line."""
        delay = self.delay_seconds
        late = "" if delay is None else f", the oldest {max(delay, 0.0):.0f} s after it was sent"
        gone = f", {self.gone} that GitHub has no more" if self.gone else ""
        unread = f", {self.unread} that cannot be read" if self.unread else ""
        return f"{self.new} new of {self.listed} ({self.ignored} ignored){late}{gone}{unread}"


def poll(
    policy: GitHubPolicy,
    environ: Mapping[str, str],
    *,
    once: bool = False,
    seconds: float = SECONDS,
    say: Callable[[str], None] = logger.info,
    sleep: Callable[[float], None] = time.sleep,
) -> Look:
    """Read the hook's list into the inbox, once or until a signal; what the last look gave.

    Args:
        policy: names the hook and the routes.
        environ: names the inbox and the credential.
        once: looks a single time.
        seconds: between two looks.
        say: told what each look gave, and how late deliveries come.
        sleep: waits so many seconds.

    Raises:
        InputError: the policy names no hook.
        PermanentError: GitHub or the inbox does not let us in.
        TemporaryError: one of them does not answer, and a single look was asked for.
    """
    deliveries = connect(policy, environ)
    say(f"{deliveries.name} is read every {seconds:.0f} s: a delivery comes so much later at most")
    look, failures = Look(), 0
    with deliveries.client:
        while True:
            try:
                look = asyncio.run(_look(policy, environ, deliveries))
                failures = 0
                if once or look.new or look.gone or look.unread:
                    say(look.summary())
            except TemporaryError as error:
                if once:
                    raise
                failures += 1
                say(str(error))
            if once:
                return look
            sleep(min(_MOST_WAIT, seconds * 2 ** min(failures, 10)))


async def _look(
    policy: GitHubPolicy, environ: Mapping[str, str], deliveries: HookDeliveries
) -> Look:
    async with open_inbox(environ) as inbox:
        return await take_in(inbox, deliveries, policy, datetime.now(UTC))


async def take_in(
    inbox: Inbox, deliveries: HookDeliveries, policy: GitHubPolicy, now: datetime
) -> Look:
    """Look once, and add what is not known, the oldest first.

    Raises:
        TemporaryError, PermanentError: of the inbox or of GitHub. What was added is in the inbox.
    """
    name = f"poll {deliveries.name}"
    seen = _moment(await inbox.cursor(name))
    since = now - _FIRST if seen is None else seen - _OVERLAP
    attempts = await asyncio.to_thread(lambda: list(deliveries.since(since)))
    oldest = sorted(attempts, key=lambda one: (one.delivered_at, one.id))
    first = {one.guid: one for one in reversed(oldest)}
    known = await inbox.known(first)
    look = Look(listed=len(first))
    for one in sorted(first.values(), key=lambda one: (one.delivered_at, one.id)):
        if one.guid not in known:
            look = await _take(inbox, deliveries, policy, one, look)
    if oldest:
        await inbox.set_cursor(name, oldest[-1].delivered_at.isoformat())
    return look


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


async def _take(
    inbox: Inbox, deliveries: HookDeliveries, policy: GitHubPolicy, one: Attempt, look: Look
) -> Look:
    try:
        payload = await asyncio.to_thread(deliveries.read, one.id)
    except NotVisibleError:
        return replace(look, gone=look.gone + 1)
    except RefusedError as error:
        await _give_up_if_old(inbox, one, error)
        return replace(look, unread=look.unread + 1)
    now = datetime.now(UTC)
    delivery, reason = _delivery(payload, now, policy)
    if delivery is None:
        return replace(look, gone=look.gone + 1)
    state = DeliveryState.IGNORED if reason else DeliveryState.RECEIVED
    [is_new] = await inbox.add([(delivery, state, reason)])
    late = (now - one.delivered_at).total_seconds()
    return replace(
        look,
        new=look.new + is_new,
        ignored=look.ignored + (is_new and bool(reason)),
        delay_seconds=late if look.delay_seconds is None else max(late, look.delay_seconds),
    )


async def _give_up_if_old(inbox: Inbox, one: Attempt, error: RefusedError) -> None:
    logger.warning("%s", error)
    now = datetime.now(UTC)
    bare = _bare(one, now)
    if bare is not None and now - one.delivered_at > _UNREAD:
        await inbox.add([(bare, DeliveryState.DEAD, error.found)])


def _delivery(payload: Payload, now: datetime, policy: GitHubPolicy) -> tuple[Delivery | None, str]:
    """The delivery, and why it leads to nothing; no delivery: there is nothing to be kept."""
    one = payload.attempt
    if payload.body is None:
        return None, ""
    try:
        found = project(one.event, one.guid, payload.hook_id, payload.body, now)
    except NotADeliveryError as error:
        return _bare(one, now), error.found
    delivery = found.model_copy(update={"source": "polled"})
    return delivery, routes.wanted(policy, delivery) or ""


def _bare(one: Attempt, now: datetime) -> Delivery | None:
    """What can be kept of one whose payload is none of its event's, so that it is known."""
    values = {"id": one.guid, "event": one.event, "source": "polled", "body_sha256": "0" * 64}
    try:
        return Delivery.model_validate({**values, "received_at": now})
    except ValidationError:
        return None
