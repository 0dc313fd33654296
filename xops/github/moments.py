"""Moments as GitHub writes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any


def moment(value: Any) -> datetime:
    """The moment that a text of ISO 8601 says.

    Raises:
        ValueError, TypeError: it is no such text, or it is in no zone.
    """
    found = datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError("is in no zone")
    return found
