"""Evidence is written once, whole, for its owner only."""

import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from xops.core.evidence.stores import FolderStore, S3Store

NOON = datetime(2026, 3, 11, 12, 0, 0, 250, tzinfo=UTC)
DIGEST = "0123456789abcdef" * 4


class RecordingS3:
    """boto3's `put_object`, exact in what it refuses: a key that is there already."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def put_object(self, **arguments: Any) -> None:
        if arguments.get("IfNoneMatch") == "*":
            assert arguments["Key"] not in [row["Key"] for row in self.requests]
        self.requests.append(arguments)


def test_a_record_is_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    address = FolderStore(tmp_path / "evidence").put("ecs/prod/one.json", b"{}")

    path = Path(address)
    assert path == tmp_path / "evidence" / "ecs" / "prod" / "one.json"
    assert path.read_bytes() == b"{}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_record_is_never_overwritten_and_nothing_half_written_is_left(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("ecs/one.json", b"first")

    with pytest.raises(FileExistsError):
        store.put("ecs/one.json", b"second")

    assert [path.name for path in (tmp_path / "ecs").iterdir()] == ["one.json"]
    assert (tmp_path / "ecs" / "one.json").read_bytes() == b"first"


def test_an_object_is_put_on_the_condition_that_none_is_there() -> None:
    client = RecordingS3()

    address = S3Store(client, "records", "/evidence/").put("ecs/one.json", b"{}")

    assert address == "s3://records/evidence/ecs/one.json"
    assert client.requests == [
        {
            "Bucket": "records",
            "Key": "evidence/ecs/one.json",
            "Body": b"{}",
            "ContentType": "application/json",
            "IfNoneMatch": "*",
        }
    ]
