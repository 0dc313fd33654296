"""The work of `xops watch`: what nobody else tells about a Prefect server, told past it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from xops.cli.console import print_json, say, tell
from xops.cli.deploy import server_of
from xops.core.errors import ExitCode, XopsError
from xops.core.files import settings
from xops.core.files.bounded_json import parse_json
from xops.core.files.private_file import write_private
from xops.core.files.reading import UnusableTextError, read_text

if TYPE_CHECKING:
    from xops.prefect_server.watch import Trouble

URL_VARIABLE = "XOPS_NOTICE_URL"
TOPIC_VARIABLE = "XOPS_NOTICE_TOPIC_ARN"
SECONDS = 60
_AGAIN = timedelta(hours=24)


def watch(api: str | None, *, once: bool, as_json: bool) -> None:
    """Look at a server every minute; each trouble is told once, and once a day while it lasts.

    Raises:
        typer.Exit: with `once` FINDINGS where anything is wrong.
    """
    from xops.prefect_server import watch as rules  # Prefect takes seconds to import

    profile = server_of(api, "", os.environ)
    deliver = _channel(os.environ)
    while True:
        now = datetime.now(UTC)
        found = rules.look(profile, now)
        _tell_new(found, now, deliver)
        if once:
            _print(found, as_json)
            raise typer.Exit(ExitCode.FINDINGS if found else ExitCode.DONE)
        time.sleep(SECONDS)


Deliver = Callable[[str, str], None]


def _channel(environ: Mapping[str, str]) -> Deliver:
    """Where notices go: nothing on the server is asked for it, since that may be what has gone."""
    from blocks import Notification

    given: dict[str, Any] = {"kind": "log"}
    if environ.get(URL_VARIABLE):
        given = {"kind": "webhook", "url_variable": URL_VARIABLE}
    elif environ.get(TOPIC_VARIABLE):
        given = {"kind": "sns", "topic_arn": environ[TOPIC_VARIABLE]}
    return Notification.model_validate(given).notify


def _tell_new(found: list[Trouble], now: datetime, deliver: Deliver) -> None:
    file = settings.home() / "watch" / "told.json"
    told = _read(file)
    kept = {row.key: told[row.key] for row in found if row.key in told}
    for trouble in found:
        last = kept.get(trouble.key)
        if last and now - datetime.fromisoformat(last) < _AGAIN:
            continue
        try:
            deliver(trouble.subject, trouble.body)
            kept[trouble.key] = now.isoformat()
        except XopsError as error:  # told at the next look
            tell("[bold red]error[/] {error}", error=error)
    if kept != told:
        write_private(file, json.dumps(kept))


def _read(file: Path) -> dict[str, str]:
    try:
        read = parse_json(read_text(file))
        moments = {str(key): str(datetime.fromisoformat(moment)) for key, moment in read.items()}
    except (UnusableTextError, ValueError, TypeError, AttributeError):
        return {}  # none yet, or of another shape: everything is told anew
    return moments


def _print(found: list[Trouble], as_json: bool) -> None:
    if as_json:
        print_json([vars(trouble) for trouble in found])
        return
    for trouble in found:
        say("[bold yellow]{subject}[/]: {body}", subject=trouble.subject, body=trouble.body)
    if not found:
        say("Nothing is wrong.")
