"""What a record holds, and under which key it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from xops.core.evidence.stores import EvidenceStore


def record(
    store: EvidenceStore,
    subject: str,
    kind: str,
    digest: str,
    facts: Mapping[str, Any],
    now: datetime | None = None,
) -> str:
    """Keep one record and return its address.

    Args:
        store: where it goes.
        subject: what it is about, for example `ecs/prod`.
        kind: what happened: `apply`, `destroy`, `drift`.
        digest: the plan's digest that the record is bound to.
        facts: JSON values: who, outputs, timings, verification.
        now: the moment of the record (UTC); the clock's if None.
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    # The record's own identity comes last: no fact of the same name may stand in for it.
    body = {
        **facts,
        "recorded_at": moment.isoformat(),
        "subject": subject,
        "kind": kind,
        "digest": digest,
    }
    key = f"{subject}/{moment:%Y%m%dT%H%M%S.%fZ}-{digest[:12]}-{kind}.json"
    return store.put(key, json.dumps(body, indent=2, sort_keys=True, default=str).encode())
