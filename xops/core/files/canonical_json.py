"""One canonical form of JSON, so that equal values have equal hashes."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_json(values: Any) -> str:
    """The canonical form of a JSON value: sorted keys, no spaces, characters as they are.

    It stays as it is: the hash chains of histories that exist are verified with it.
    """
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(values: Any) -> str:
    """SHA-256 (hex) of the canonical form."""
    return hashlib.sha256(canonical_json(values).encode()).hexdigest()
