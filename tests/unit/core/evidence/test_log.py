"""The log of a subject: one order, hashes that chain it, what is open, and records that wait."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.stores import MemoryStore, denied
from xops.core.errors import PermanentError, StalePlanError
from xops.core.evidence.log import EvidenceLog, RecordKind, verify_chain
from xops.core.evidence.waiting import WaitingFolder

NOON = datetime(2026, 3, 11, 12, tzinfo=UTC)
DIGEST = "0123456789abcdef" * 4


def log(store: MemoryStore | None = None, waiting: Path | None = None) -> EvidenceLog:
    places = (WaitingFolder(waiting, "ecs/prod"),) if waiting else ()
    return EvidenceLog(store or MemoryStore(), "ecs/prod", places, lambda: NOON)


def test_a_record_has_the_next_number_and_names_the_one_before() -> None:
    store = MemoryStore()
    first = log(store).append(RecordKind.PLAN, DIGEST, {"who": "ann"})
    second = log(store).append(RecordKind.APPLY, DIGEST, {})

    assert list(store.objects) == ["ecs/prod/00000001.json", "ecs/prod/00000002.json"]
    assert (first.sequence, second.sequence) == (1, 2)
    assert second.body["previous"] == first.sha256
    assert first.body["who"] == "ann"
    assert first.recorded_at == NOON


def test_no_fact_stands_in_for_what_the_record_is_bound_to() -> None:
    facts = {"digest": "another", "subject": "ecs/test", "kind": "drift", "recorded_at": "never"}
    record = log().append(RecordKind.APPLY, DIGEST, facts)

    assert (record.body["subject"], record.kind, record.digest) == ("ecs/prod", "apply", DIGEST)
    assert record.recorded_at == NOON


def test_of_two_that_write_at_the_same_moment_both_are_kept_one_after_the_other() -> None:
    store = MemoryStore()
    others = [log(store), log(store)]

    def overtake(_key: str) -> None:
        if others:
            others.pop().append(RecordKind.PLAN, "b" * 64, {})

    store.before_put = overtake
    log(store).append(RecordKind.PLAN, DIGEST, {})

    assert sorted(log(store).read(key).sequence for key in store.objects) == [1, 2, 3]
    assert verify_chain(log(store)) == []


def test_what_must_not_be_overtaken_is_refused_when_it_was() -> None:
    store = MemoryStore()
    mine = log(store)
    log(store).append(RecordKind.INTENT, "b" * 64, {}, opens=True)

    with pytest.raises(StalePlanError, match="another run has acted"):
        mine.append(RecordKind.INTENT, DIGEST, {}, guard=lambda last: last is None)

    assert len(store.objects) == 1


def test_what_is_open_is_told_until_it_is_ended() -> None:
    store = MemoryStore()
    question = log(store).append(RecordKind.QUESTION, DIGEST, {}, opens=True)
    intent = log(store).append(RecordKind.INTENT, DIGEST, {}, opens=True)
    assert [record.id for record in log(store).find_open()] == [question.id, intent.id]
    assert [record.id for record in log(store).find_open(RecordKind.INTENT)] == [intent.id]

    log(store).append(RecordKind.APPLY, DIGEST, {}, closes=[intent.id])
    assert [record.id for record in log(store).find_open()] == [question.id]
    assert log(store).last() is not None
    assert log(store).last().last_intent == intent.sequence  # type: ignore[union-attr]


# Records that wait


def test_what_the_store_does_not_take_waits_and_is_brought_in_later(tmp_path: Path) -> None:
    store = MemoryStore(is_there=False)
    first = log(store, tmp_path)
    record, place = first.wait(RecordKind.INTENT, DIGEST, {"stage": "bucket"}, opens=True)
    assert Path(place).is_file()
    assert [found.id for found in log(store, tmp_path).find_open()] == [record.id]

    store.is_there = True
    later = log(store, tmp_path)
    assert [found.id for found in later.store_waiting()] == [record.id]
    assert [found.sequence for found in later.find_open()] == [1]
    assert log(store, tmp_path).store_waiting() == []
    assert not list(tmp_path.rglob("*.json"))


def test_one_that_was_brought_in_and_then_killed_is_not_kept_twice(tmp_path: Path) -> None:
    store = MemoryStore()
    log(store, tmp_path).wait(RecordKind.APPLY, DIGEST, {})
    (file,) = tmp_path.rglob("*.json")
    content = file.read_text()
    log(store, tmp_path).store_waiting()
    file.write_text(content)

    log(store, tmp_path).store_waiting()

    assert len(store.objects) == 1


def test_while_the_store_takes_none_they_go_on_waiting(tmp_path: Path) -> None:
    store = MemoryStore()
    log(store, tmp_path).wait(RecordKind.APPLY, DIGEST, {})
    store.fails = [denied()]

    with pytest.raises(PermanentError, match="AccessDenied"):
        log(store, tmp_path).store_waiting()

    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_an_end_that_waits_ends_what_it_ends(tmp_path: Path) -> None:
    store = MemoryStore()
    intent = log(store).append(RecordKind.INTENT, DIGEST, {}, opens=True)
    log(store, tmp_path).wait(RecordKind.APPLY, DIGEST, {}, closes=[intent.id])

    assert log(store, tmp_path).find_open() == []


# Reading back


def test_records_of_the_release_before_come_first_and_are_read() -> None:
    store = MemoryStore()
    key = f"ecs/prod/20260101T000000.000000Z-{DIGEST[:12]}-apply.json"
    body = {"kind": "apply", "digest": DIGEST, "recorded_at": NOON.isoformat()}
    store.put(key, json.dumps(body).encode())
    log(store).append(RecordKind.PLAN, DIGEST, {})

    assert log(store).list_keys() == [key, "ecs/prod/00000001.json"]
    assert [record.kind for record in log(store).newest_first()] == ["plan", "apply"]
    assert [record.sequence for record in log(store).newest_first(RecordKind.APPLY)] == [0]
    assert verify_chain(log(store)) == []


def chain() -> MemoryStore:
    store = MemoryStore()
    for number in range(4):
        log(store).append(RecordKind.PLAN, DIGEST, {"number": number})
    return store


def change(store: MemoryStore, at: int, **values: Any) -> None:
    key = f"ecs/prod/{at:08d}.json"
    store.objects[key] = json.dumps({**json.loads(store.objects[key]), **values}).encode()


def test_a_whole_chain_has_no_fault() -> None:
    assert verify_chain(log(chain())) == []


def test_a_record_that_was_changed_is_found_at_the_next_one() -> None:
    store = chain()
    change(store, 2, number="another")

    assert [fault.key for fault in verify_chain(log(store))] == ["ecs/prod/00000003.json"]


def test_a_record_that_was_taken_away_is_found() -> None:
    store = chain()
    del store.objects["ecs/prod/00000002.json"]

    (fault,) = [f for f in verify_chain(log(store)) if "missing" in f.found]
    assert fault.key == "ecs/prod/00000003.json"


def test_a_record_of_another_subject_is_found() -> None:
    store = chain()
    change(store, 4, subject="ecs/test")

    assert [fault.found for fault in verify_chain(log(store))] == ["is about ecs/test"]
