"""What GitHub's refusals mean, and what to do about each."""

from __future__ import annotations

from xops.core.errors import PermanentError, TemporaryError


class AccessError(PermanentError):
    """The credential is missing, or refused: 401."""


class ForbiddenError(AccessError):
    """The credential is good, and may not do this here: 403."""


class NotVisibleError(PermanentError):
    """It is gone, or hidden from this credential: GitHub answers 404 (410, 451) to both."""


class GoneError(NotVisibleError):
    """It was read before, and answers neither by its name nor by its id any more."""


class RefusedError(PermanentError):
    """GitHub understood the request and says that it is wrong; a defect here, or there."""


class LimitError(TemporaryError):
    """A rate limit is used up, and it takes longer to come back than was allowed to wait."""


class UnavailableError(TemporaryError):
    """GitHub did not answer, or answered with an error of its own (5xx, a query's timeout)."""


class PartialAnswerError(TemporaryError):
    """GraphQL answered in part: what is missing is unknown, not empty."""


class StaleCursorError(PartialAnswerError):
    """GitHub no longer knows the place in a list from which it was to go on."""
