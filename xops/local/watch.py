"""The watch of the embedded stack: tells what none of its servers can tell, past all of them.

`python -m xops.local.watch` is the service. It looks at the processes of the stack, then at what
goes wrong on its Prefect server (`xops.prefect_server.watch`). It listens on nothing and starts
nothing anew: that is what `xops up` is for.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from xops.core.errors import InputError, XopsError
from xops.core.rendering import Plain, render_logs
from xops.local.services import Service
from xops.local.stack import POOL, Stack, stack
from xops.prefect_server import watch as rules
from xops.prefect_server.watch import TOPIC_VARIABLE, URL_VARIABLE, Deliver, Trouble

SECONDS = 30.0
"""Between two looks. What two looks after each other find is told: a server may be starting."""

_VARIABLES = (URL_VARIABLE, TOPIC_VARIABLE)

logger = logging.getLogger("xops.watch")


def main() -> None:
    """Look until a signal."""
    parser = argparse.ArgumentParser(prog="python -m xops.local.watch", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="between two looks")
    seconds = parser.parse_args().seconds
    render_logs()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    here = stack()
    watch(here, seconds, _channel(os.environ))


def watch(here: Stack, seconds: float, deliver: Deliver) -> None:
    """Look again and again, and tell what was found twice."""
    before: set[str] = set()
    while True:
        time.sleep(seconds)
        try:
            before = _look_and_tell(here, before, deliver)
        except (XopsError, OSError) as error:  # a full disk must not end what would tell of it
            logger.error("%s", Plain.render(f"looking at the stack: {error}"))


def _look_and_tell(here: Stack, before: Collection[str], deliver: Deliver) -> set[str]:
    now = datetime.now(UTC)
    told = here.home / "watch" / "stack.json"
    return rules.tell_lasting(list(look(here, now)), before, now, deliver, told)


def destination(environ: Mapping[str, str], log: Path) -> str:
    """Where notices go, for people: the name of the variable that says it, or the log."""
    named = [name for name in _VARIABLES if environ.get(name)]
    return f"where {named[0]} says" if named else str(log)


def look(here: Stack, now: datetime) -> Iterator[Trouble]:
    """What is wrong with the stack's processes, and on its Prefect server."""
    watched = [service for service in here.services if service is not here.watch]
    ill = {service.name: trouble for service in watched for trouble in _trouble_of(service)}
    missing = [file for file in here.secret_files if not file.exists()]
    if (missing or here.server.name in ill) and here.worker.process() is not None:
        ill.pop(here.worker.name, None)  # it runs, and only the server could say how it is
    yield from ill.values()
    if here.server.name in ill:
        return
    if missing:
        yield _missing(missing)  # who only looks makes no secret
    else:
        on_server = rules.look(here.profile, now)
        yield from (row for row in on_server if row.key != f"worker {POOL}")


def _missing(files: Sequence[Path]) -> Trouble:
    return Trouble(
        "secrets",
        "xOps: a secret of the embedded stack was removed",
        f"{', '.join(map(str, files))} is missing while servers run that were started with it."
        " `xops down`, then `xops up` starts everything with a new one.",
    )


def _trouble_of(service: Service) -> Iterator[Trouble]:
    try:
        ended = service.process() is None
        if not ended and service.is_up():
            return
        what = "has ended" if ended else "runs, and does not answer as it should"
    except XopsError as error:  # its secret cannot be read
        ended, what = False, Plain.render(f"cannot be asked: {error.found}")
    does = "`xops up` starts it again" if ended else "`xops doctor` looks closer"
    yield Trouble(
        f"service {service.name}",
        f"xOps: {service.name} of the embedded stack is not well",
        f"{service.name}{service.at} {what}. {does}; its log: {service.log}",
    )


def _channel(environ: Mapping[str, str]) -> Deliver:
    """Where notices go: the log, which needs nothing but this process, unless a variable says."""
    if not any(environ.get(name) for name in _VARIABLES):
        return _log
    from blocks import Notification  # takes 50 MB

    try:
        return Notification.of_environment(environ).notify
    except InputError as error:
        logger.error("%s", Plain.render(f"notices go to this log: {error}"))
        return _log


def _log(subject: str, body: str) -> None:
    logger.warning("%s", Plain.render(f"{subject}: {body}"))


if __name__ == "__main__":
    main()
