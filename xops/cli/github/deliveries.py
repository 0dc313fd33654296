"""`xops github deliveries` and `replay`: what came, what became of it, and to have it again."""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xops.cli.console import AsJson, print_json, say, styled
from xops.cli.github.inbox import with_inbox
from xops.core.errors import Finding, InputError

if TYPE_CHECKING:
    from datetime import datetime

    from xops.github.inbox.inbox import Inbox, InboxRow

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STATES = ("received", "dispatched", "ignored", "dead")
_COLOURS = {"received": "yellow", "dispatched": "green", "ignored": "dim", "dead": "bold red"}
_MOST = 50


def list_deliveries(
    state: Annotated[
        str | None, typer.Option("--state", help="received, dispatched, ignored or dead.")
    ] = None,
    last: Annotated[int, typer.Option("--last", min=1, help="How many at most.")] = _MOST,
    as_json: AsJson = False,
) -> None:
    """List deliveries, the newest first: what they were, their state, and the runs they started."""
    if state is not None and state not in _STATES:
        message = f"{state!r} is none of {', '.join(_STATES)}"
        raise InputError("reading --state", [Finding("argument --state", "", message)])
    rows, counts, oldest = asyncio.run(_read(state, last))
    if as_json:
        waiting = oldest.isoformat() if oldest else None
        shown = [_row(row) for row in rows]
        print_json({"deliveries": shown, "counts": counts, "oldest_waiting": waiting})
        return
    for row in rows:
        _say(row)
    listed = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    say("{listed}", listed=listed or "No delivery has come yet.")


async def _read(
    state: str | None, last: int
) -> tuple[list[InboxRow], dict[str, int], datetime | None]:
    from xops.github.inbox.inbox import DeliveryState

    chosen = None if state is None else DeliveryState(state)
    async with _open() as inbox:
        rows = await inbox.latest(chosen, last)
        counts = {str(each): count for each, count in (await inbox.counts()).items()}
        return list(rows), counts, await inbox.oldest_waiting()


def replay(
    delivery: Annotated[
        str, typer.Argument(metavar="DELIVERY", help="Its id, as `deliveries` lists it.")
    ],
    as_json: AsJson = False,
) -> None:
    """Have a delivery dispatched again, also where it led to runs: these are started anew.

    Safe to do: a run reads how things are now, and finds what is done already.
    """
    wanted = delivery.lower()
    if not _GUID.fullmatch(wanted):
        message = f"{delivery!r} is no id like 0b989ba4-242f-11e5-81e1-c7b6966d2516"
        raise InputError("reading DELIVERY", [Finding("argument DELIVERY", "", message)])
    row = asyncio.run(_replay(wanted))
    if as_json:
        print_json(_row(row))
    else:
        _say(row)


async def _replay(delivery: str) -> InboxRow:
    async with _open() as inbox:
        return await inbox.replay(delivery)


def _open() -> Inbox:
    from xops.github.inbox.connection import open_inbox

    return open_inbox(with_inbox(os.environ))


def _row(row: InboxRow) -> dict[str, Any]:
    """One delivery as JSON; field names are part of what others read."""
    delivery = row.delivery
    return {
        "id": delivery.id,
        "received_at": delivery.received_at.isoformat(),
        "event": delivery.event,
        "action": delivery.action,
        "repository": delivery.repository,
        "number": delivery.number,
        "sender": delivery.sender,
        "source": delivery.source,
        "state": str(row.state),
        "attempts": row.attempts,
        "replays": row.replays,
        "reason": row.reason,
        "runs": dict(row.runs),
    }


def _say(row: InboxRow) -> None:
    delivery = row.delivery
    what = ".".join(part for part in (delivery.event, delivery.action) if part)
    number = f"#{delivery.number}" if delivery.number else ""
    say(
        "{at} {id} {state} {what} {about}{reason}",
        at=f"{delivery.received_at:%Y-%m-%d %H:%M:%S}",
        id=delivery.id,
        state=styled(_COLOURS[row.state], f"{row.state:<10}"),
        what=what,
        about=f"{delivery.repository}{number}",
        reason=f": {row.reason}" if row.reason else "",
    )
    for deployment, run in row.runs.items():
        say("    run {run} of {deployment}", run=run, deployment=deployment)
