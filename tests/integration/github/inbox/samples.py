"""Deliveries to keep."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from xops.github.delivery import Delivery

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
_SPACE = UUID("6f2f1f6e-6a0e-4d0e-9a0a-2f3c0c7d9b10")


def guid(name: object) -> str:
    """The id that stands for a name in these tests."""
    return str(uuid5(_SPACE, str(name)))


def delivery(name: object, seconds: float = 0, **others: Any) -> Delivery:
    """One that came so many seconds after `NOW`."""
    values: dict[str, Any] = {
        "event": "pull_request", "action": "synchronize", "hook_id": 7, "repository": "acme/web",
        "sender": "ann", "number": 12, "head_sha": "a" * 40, "review_id": None,
        "body_sha256": "0" * 64, "received_at": NOW + timedelta(seconds=seconds),
    }  # fmt: skip
    return Delivery(id=guid(name), **{**values, **others})
