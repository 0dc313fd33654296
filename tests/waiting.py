"""Waiting for conditions, never for seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol

import pytest

PATIENCE = float(os.environ.get("XOPS_PATIENCE", "1"))
"""By how much everything is waited for longer that shows that a test hangs: tests' own limits, and
what they wait for. A machine that does other work as well is no fault of what is under test."""


class Eventually(Protocol):
    """`eventually(look)` waits for `look()` to be true and returns what it returned."""

    def __call__[Found](self, look: Callable[[], Found], seconds: float = 60.0) -> Found: ...


def look_until_found[Found](look: Callable[[], Found], seconds: float = 60.0) -> Found:
    """Look until there is something to be seen; fail loudly, and never by waiting too short."""
    give_up = time.monotonic() + seconds * PATIENCE
    while not (found := look()):
        if time.monotonic() > give_up:
            pytest.fail(f"not seen within {seconds * PATIENCE:.0f} s; the last look gave {found!r}")
        time.sleep(0.01)
    return found
