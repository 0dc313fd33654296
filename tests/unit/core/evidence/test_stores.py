"""Evidence is written once, whole, for its owner only."""

import errno
import stat
from pathlib import Path

import pytest

from xops.core.errors import DiskFullError, PermanentError
from xops.core.evidence.stores import FolderStore, _not_kept


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

    with pytest.raises(PermanentError, match=r"keeping the record .*exists"):
        store.put("ecs/one.json", b"second")

    assert [path.name for path in (tmp_path / "ecs").iterdir()] == ["one.json"]
    assert (tmp_path / "ecs" / "one.json").read_bytes() == b"first"


def test_a_folder_that_cannot_be_written_is_said_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_text("a file")

    with pytest.raises(PermanentError) as caught:
        FolderStore(tmp_path / "evidence").put("ecs/one.json", b"{}")

    assert "another folder" in caught.value.remedy


def test_a_full_disk_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="No space left"):
        raise _not_kept(tmp_path, OSError(errno.ENOSPC, "No space left on device"))
