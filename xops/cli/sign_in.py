"""What lets a person into the Prefect UI: shown on a terminal, and nowhere that is kept."""

from __future__ import annotations

import sys

from xops.cli.console import say
from xops.core.errors import PermanentError
from xops.local.stack import SIGN_IN_FILE, Stack, stack


def show() -> None:
    """Print `user:password` of this installation's Prefect server.

    Raises:
        PermanentError: the output is no terminal: it would be kept in a file or a log.
    """
    here = stack()
    if not sys.stdout.isatty():
        raise PermanentError(
            "showing what the Prefect UI asks for",
            "the output is no terminal, and would be kept where others may read it",
            f"Run it on a terminal, or read the file: {here.home / SIGN_IN_FILE}.",
        )
    _print(here)


def say_how(here: Stack) -> None:
    """A line that says with what a person signs in, or where they find it."""
    if sys.stdout.isatty():
        _print(here)
    else:
        say("Sign in:      with what `xops up --show-secret` prints on a terminal")


def _print(here: Stack) -> None:
    say("Sign in:      {secret}", secret=here.secret)
