"""The evidence store: a record of every change that outlives the database of the orchestrator.

One record is one JSON object under `<subject>/<time>-<digest label>-<kind>.json`; it is written
once and never changed. Two stores exist: a folder, and an S3 bucket.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from xops.core.files.private_file import write_private


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
        """Keep it on the disk: whole, readable by its owner, and still there after a power cut."""
        path = self.folder / key
        write_private(path, body, replace=False)
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
