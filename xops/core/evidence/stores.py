"""The evidence store: a record of every change that outlives the database of the orchestrator.

One record is one JSON object under `<subject>/<time>-<digest label>-<kind>.json`; it is written
once and never changed. Two stores exist: a folder, and an S3 bucket.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol


class EvidenceStore(Protocol):
    """Where records go. `put` returns the record's address (a path or an s3:// URI)."""

    def put(self, key: str, body: bytes) -> str:
        """Keep `body` under `key`; an existing record is never overwritten."""
        ...


class S3Client(Protocol):
    """The one call of boto3's S3 client that a store needs."""

    def put_object(self, **arguments: Any) -> Any:
        """As in boto3."""
        ...


class FolderStore:
    """Records as files of mode 0600 below one folder, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, key: str, body: bytes) -> str:
        """Write to a temporary name, then link: a reader never sees half a record."""
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(body)
            os.link(temporary, path)
        finally:
            Path(temporary).unlink()
        return str(path)


class S3Store:
    """Records as objects below one prefix of a bucket."""

    def __init__(self, client: S3Client, bucket: str, prefix: str) -> None:
        self._client = client
        self.bucket = bucket
        self.prefix = prefix.strip("/")

    def put(self, key: str, body: bytes) -> str:
        """One conditional request: S3 itself refuses to overwrite."""
        name = f"{self.prefix}/{key}"
        self._client.put_object(
            Bucket=self.bucket,
            Key=name,
            Body=body,
            ContentType="application/json",
            IfNoneMatch="*",
        )
        return f"s3://{self.bucket}/{name}"


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
