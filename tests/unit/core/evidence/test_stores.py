"""Evidence is written once, whole, for its owner only."""

import json
import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from xops.core.evidence.stores import FolderStore, S3Store, record

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


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        FolderStore(tmp_path).put("ecs/one.json", "text, not bytes")  # type: ignore[arg-type]

    assert list((tmp_path / "ecs").iterdir()) == []


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


def test_a_record_is_named_by_subject_utc_time_digest_and_kind(tmp_path: Path) -> None:
    sydney = NOON.astimezone(timezone(timedelta(hours=11)))

    address = record(FolderStore(tmp_path), "ecs/prod", "apply", DIGEST, {"who": "ann"}, sydney)

    key = Path(address).relative_to(tmp_path)
    assert str(key) == "ecs/prod/20260311T120000.000250Z-0123456789ab-apply.json"
    assert json.loads(Path(address).read_text()) == {
        "recorded_at": "2026-03-11T12:00:00.000250+00:00",
        "subject": "ecs/prod",
        "kind": "apply",
        "digest": DIGEST,
        "who": "ann",
    }


def test_no_fact_stands_in_for_what_the_record_is_bound_to(tmp_path: Path) -> None:
    facts = {"digest": "another", "subject": "ecs/test", "kind": "drift", "recorded_at": "never"}

    address = record(FolderStore(tmp_path), "ecs/prod", "apply", DIGEST, facts, NOON)

    body = json.loads(Path(address).read_text())
    assert (body["subject"], body["kind"], body["digest"]) == ("ecs/prod", "apply", DIGEST)
    assert body["recorded_at"] == NOON.isoformat()


def test_without_a_moment_the_clock_s_is_taken(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    address = record(FolderStore(tmp_path), "ecs/prod", "apply", DIGEST, {})

    recorded = datetime.fromisoformat(json.loads(Path(address).read_text())["recorded_at"])
    assert before <= recorded <= datetime.now(UTC)
