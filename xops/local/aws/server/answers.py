"""Answers that are kept for a while: a call that is sent again is not carried out again.

An SDK sends a call anew, under the same invocation id, when no answer reached it. On a busy machine
Terraform's provider does so about once in eight plans: it closes a connection whose answer it seems
to have read (the server sees no reset) and asks again. AWS makes few of its calls safe to repeat;
here each one is, so that what was carried out does not become a resource that exists already and
is in nobody's state.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from werkzeug.wrappers import Response

log = logging.getLogger(__name__)

KEPT = 256
"""How many answers are kept; an SDK sends a call again within seconds."""

_READING = ("GET", "HEAD")


class Answers:
    """The latest answers to calls that may have changed something. Not thread-safe."""

    def __init__(self) -> None:
        self._kept: dict[str, Response] = {}

    def find(self, environ: Mapping[str, Any]) -> Response | None:
        """The answer to this very call, if it was given before."""
        found = self._kept.get(_invocation(environ))
        if found is not None:
            log.warning(
                "%s %s %s was sent again: the answer is repeated",
                environ["REQUEST_METHOD"],
                environ["PATH_INFO"],
                environ.get("HTTP_X_AMZ_TARGET", ""),
            )
        return found

    def keep(self, environ: Mapping[str, Any], answer: Response) -> None:
        """Remember what was done. What failed did nothing, and may be tried again."""
        invocation = _invocation(environ)
        failed = answer.status_code >= 400
        if not invocation or failed or environ["REQUEST_METHOD"] in _READING:
            return
        self._kept[invocation] = answer
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]


def _invocation(environ: Mapping[str, Any]) -> str:
    return str(environ.get("HTTP_AMZ_SDK_INVOCATION_ID", ""))
