"""Which inbox a command means: the one that a variable names, or this installation's own."""

from __future__ import annotations

from collections.abc import Mapping

from xops.core.errors import PermanentError
from xops.github.inbox.address import VARIABLE


def with_inbox(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables, with the database of the inbox among them.

    Without a variable it is where the embedded stack that runs has it. Where that is down and has
    none in PostgreSQL, it is a file of SQLite.

    Raises:
        PermanentError: it is in the embedded PostgreSQL, which is down.
    """
    if environ.get(VARIABLE):
        return dict(environ)
    from xops.local import postgresql  # what runs in production has no need of it
    from xops.local.stack import running_stack

    here = running_stack(environ)
    if address := here.receiver.told(VARIABLE, "") or here.dispatcher.told(VARIABLE, ""):
        return {**environ, VARIABLE: address}
    if here.postgresql in here.services and postgresql.data_folder(here.home).is_dir():
        raise PermanentError(
            "opening the inbox of deliveries",
            "it is in the database of the embedded stack, which is down",
            f"Run `xops up --once` first, or name another database in {VARIABLE}.",
        )
    return dict(environ)
