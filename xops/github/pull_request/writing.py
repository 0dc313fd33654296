"""Writing to GitHub once, and saying which permission it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from xops.github.errors import ForbiddenError, NotVisibleError, UnavailableError


def write_once[Written](send: Callable[[], Written], find: Callable[[], Written | None]) -> Written:
    """What was written. If the answer is lost, it is looked for before it is sent once more.

    Args:
        send: writes it.
        find: what is there of it; None if it did not arrive.

    Raises:
        As `send` and `find`.
    """
    try:
        return send()
    except UnavailableError:
        found = find()
        return send() if found is None else found


@contextmanager
def needing(permission: str) -> Iterator[None]:
    """Name the permission where GitHub refuses what is done within.

    GitHub answers 403 where a permission is missing, and 404 where it would tell too much.

    Args:
        permission: in GitHub's words, "Commit statuses: write".

    Raises:
        ForbiddenError, NotVisibleError: with what is needed in their remedy.
    """
    try:
        yield
    except (ForbiddenError, NotVisibleError) as error:
        remedy = f"{error.remedy} What was attempted needs {permission}."
        raise type(error)(error.attempted, error.found, remedy) from error
