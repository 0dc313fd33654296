"""An evaluation that measured nothing, as the error with which a command and a run end."""

from __future__ import annotations

from xops.core.errors import PermanentError, TemporaryError, XopsError
from xops.triggers.facts import Failure

_REMEDY = "Correct what it names, then evaluate again."


def as_error(failure: Failure) -> XopsError:
    """The error that kept everything on GitHub from being read."""
    kind = TemporaryError if failure.temporary else PermanentError
    return kind(failure.attempted, failure.found, failure.remedy or _REMEDY)
