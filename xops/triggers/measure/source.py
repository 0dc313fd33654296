"""Where facts come from: a file, or GitHub."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from xops.core.errors import PermanentError, TemporaryError
from xops.triggers.connection import connect
from xops.triggers.facts import Facts
from xops.triggers.measure.collect import collect, unknown
from xops.triggers.policy import Policy

Read = Callable[[Policy, date, Path | None], Facts]


def read(policy: Policy, as_of: date, file: Path | None = None) -> Facts:
    """The facts of a file, or of GitHub.

    Raises:
        InputError: the file, a mandate or the credential is wrong.
        PermanentError, TemporaryError: GitHub does not answer what was asked.
    """
    if file is not None:
        return Facts.load(file)
    with connect(policy) as client:
        return collect(policy, as_of, client)


def read_or_unknown(
    policy: Policy, as_of: date, file: Path | None = None, *, read: Read = read
) -> Facts:
    """The facts; where GitHub does not give them, facts that say so, by which every state freezes.

    Args:
        policy: the rules.
        as_of: the day.
        file: instead of GitHub.
        read: reads them; a flow passes its task, which tries again.

    Raises:
        InputError: the file, a mandate or the credential is wrong.
    """
    try:
        return read(policy, as_of, file)
    except (PermanentError, TemporaryError) as error:
        # A week that cannot be measured is entered as unknown: states freeze, none resolves.
        return unknown(policy, as_of, error, datetime.now(UTC))
