"""Evidence is written once, whole, for its owner only, and read back as it was written."""

import stat
from pathlib import Path

import pytest

from xops.core.errors import PermanentError
from xops.core.evidence.stores import FolderStore, RecordExistsError, RecordMissingError

KEY = "ecs/prod/00000001.json"


def test_a_record_is_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "evidence")
    store.put(KEY, b"{}")

    path = Path(store.address(KEY))
    assert path == tmp_path / "evidence" / KEY
    assert path.read_bytes() == b"{}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_record_is_never_overwritten_and_nothing_half_written_is_left(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put(KEY, b"first")

    with pytest.raises(RecordExistsError, match="another record under that key"):
        store.put(KEY, b"second")

    assert [path.name for path in (tmp_path / "ecs" / "prod").iterdir()] == ["00000001.json"]
    assert store.read(KEY) == b"first"


def test_the_same_record_twice_is_as_good_as_once(tmp_path: Path) -> None:
    """A store may answer with an error after it has kept the record; then it is sent again."""
    store = FolderStore(tmp_path)
    store.put(KEY, b"first")
    store.put(KEY, b"first")

    assert store.keys("ecs/prod/") == [KEY]
    assert store.read(KEY) == b"first"


def test_records_are_listed_by_prefix_and_what_was_cut_off_is_none(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for key in ("ecs/prod/00000002.json", KEY, "ecs/production/00000001.json"):
        store.put(key, b"{}")
    (tmp_path / "ecs" / "prod" / ".00000003.json.abc").write_text("half")

    assert store.keys("ecs/prod/") == [KEY, "ecs/prod/00000002.json"]
    assert store.keys("ecs/test/") == []


def test_a_record_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordMissingError, match="evidence list"):
        FolderStore(tmp_path).read(KEY)


def test_a_folder_that_cannot_be_written_is_said_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_text("a file")

    with pytest.raises(PermanentError) as caught:
        FolderStore(tmp_path / "evidence").put(KEY, b"{}")

    assert "another folder" in caught.value.remedy
