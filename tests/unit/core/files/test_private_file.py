"""Files that only their owner reads are whole, and replaced only where that is wanted."""

import os
import resource
from pathlib import Path

import pytest

from xops.core.files.private_file import write_private


def test_only_its_owner_reads_the_file_and_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "token"
    previous = os.umask(0o000)
    try:
        write_private(file, "geheim-ä")
    finally:
        os.umask(previous)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.read_text(encoding="utf-8") == "geheim-ä"


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "token"
    write_private(file, "a long content that must not shine through")
    write_private(file, b"short")
    assert file.read_bytes() == b"short"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_exists_can_be_protected(tmp_path: Path) -> None:
    file = tmp_path / "record"
    write_private(file, "first", replace=False)
    with pytest.raises(FileExistsError):
        write_private(file, "second", replace=False)
    assert file.read_text() == "first"
    assert list(tmp_path.iterdir()) == [file]


def test_nothing_is_left_where_it_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_private(tmp_path / "folder", "a folder is in the way")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_write_that_fails_half_way_leaves_the_old_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "token"
    write_private(file, "old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_private(file, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
