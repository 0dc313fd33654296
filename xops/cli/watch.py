"""The work of `xops watch`: what nobody else tells about a Prefect server, told past it."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

import typer

from xops.cli.console import print_json, say
from xops.cli.deploy import server_of
from xops.core.errors import ExitCode
from xops.core.files import settings
from xops.prefect_server import watch as rules
from xops.prefect_server.watch import Trouble

SECONDS = 60


def watch(api: str | None, *, once: bool, as_json: bool) -> None:
    """Look at a server every minute; what lasts is told once, and once a day.

    Raises:
        InputError: a variable names no server, or no place for notices.
        typer.Exit: with `once` FINDINGS where anything is wrong.
    """
    from blocks import Notification  # takes Prefect, and seconds

    profile = server_of(api, "", os.environ)
    # Nothing on the server is asked where notices go, since that may be what has gone.
    deliver = Notification.of_environment(os.environ).notify
    told = settings.home() / "watch" / "told.json"
    before: set[str] = set()
    while True:
        now = datetime.now(UTC)
        found = rules.look(profile, now)
        if once:
            rules.tell_new(found, now, deliver, told)
            _print(found, as_json)
            raise typer.Exit(ExitCode.FINDINGS if found else ExitCode.DONE)
        before = rules.tell_lasting(found, before, now, deliver, told)
        time.sleep(SECONDS)


def _print(found: list[Trouble], as_json: bool) -> None:
    if as_json:
        print_json([vars(trouble) for trouble in found])
        return
    for trouble in found:
        say("[bold yellow]{subject}[/]: {body}", subject=trouble.subject, body=trouble.body)
    if not found:
        say("Nothing is wrong.")
