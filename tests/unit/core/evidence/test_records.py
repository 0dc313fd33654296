"""What a record holds, and under which key it is kept."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from xops.core.evidence.records import record
from xops.core.evidence.stores import FolderStore

NOON = datetime(2026, 3, 11, 12, 0, 0, 250, tzinfo=UTC)
DIGEST = "0123456789abcdef" * 4


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
