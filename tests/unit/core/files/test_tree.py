"""Every byte below a folder is in its hashes, and what can be executed is told apart."""

import hashlib
import os
from pathlib import Path

import pytest

from xops.core.files.tree import hash_file, hash_tree


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "terraform"
    (made / "modules" / "net").mkdir(parents=True)
    (made / "main.tf").write_bytes(b"a")
    (made / "modules" / "net" / "main.tf").write_bytes(b"b")
    (made / ".terraform.lock.hcl").write_bytes(b"c")
    (made / "run.sh").write_bytes(b"d")
    (made / "run.sh").chmod(0o755)
    return made


def test_each_file_is_there_by_its_path(folder: Path) -> None:
    assert hash_tree(folder) == {
        ".terraform.lock.hcl": sha256(b"c"),
        "main.tf": sha256(b"a"),
        "modules/net/main.tf": sha256(b"b"),
        "run.sh": f"{sha256(b'd')} x",
    }


def test_it_is_in_one_order_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for name in reversed(list(hash_tree(folder))):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_bytes((folder / name).read_bytes())
        (other / name).chmod((folder / name).stat().st_mode)

    assert list(hash_tree(other).items()) == list(hash_tree(folder).items())


@pytest.mark.parametrize("name", [".terraform.lock.hcl", "main.tf", "modules/net/main.tf"])
def test_another_byte_another_name_and_another_mode_are_seen(folder: Path, name: str) -> None:
    before = hash_tree(folder)
    file = folder / name

    file.chmod(0o755)
    executable = hash_tree(folder)
    file.chmod(0o644)
    assert hash_tree(folder) == before
    file.write_bytes(b"another")
    rewritten = hash_tree(folder)
    file.rename(file.with_name("another"))
    renamed = hash_tree(folder)
    (folder / "new").touch()

    seen = [before, executable, rewritten, renamed, hash_tree(folder)]
    assert len({tuple(each.items()) for each in seen}) == 5


def test_what_is_ignored_is_left_out_with_all_below_it(folder: Path) -> None:
    found = hash_tree(folder, lambda path: path.name in ("net", "run.sh"))

    assert found.keys() == {".terraform.lock.hcl", "main.tf"}


def test_a_link_counts_as_what_it_leads_to(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.tf").write_bytes(b"x")
    (folder / "linked").symlink_to(outside)
    (folder / "one.tf").symlink_to(outside / "x.tf")

    found = hash_tree(folder)
    assert found["linked/x.tf"] == found["one.tf"] == sha256(b"x")
    (outside / "x.tf").write_bytes(b"y")
    assert hash_tree(folder) != found


def test_a_link_that_leads_back_is_refused(folder: Path) -> None:
    (folder / "modules" / "back").symlink_to(folder)

    with pytest.raises(OSError, match="leads back to a folder that it is in"):
        hash_tree(folder)


def test_a_link_to_nowhere_is_an_error(folder: Path) -> None:
    (folder / "gone").symlink_to(folder / "none")

    with pytest.raises(FileNotFoundError):
        hash_tree(folder)


def test_a_pipe_is_not_read(folder: Path) -> None:
    os.mkfifo(folder / "pipe")

    with pytest.raises(OSError, match="is no file"):
        hash_tree(folder)


def test_no_files_are_no_hashes(tmp_path: Path) -> None:
    assert hash_tree(tmp_path) == {}
    with pytest.raises(FileNotFoundError):
        hash_tree(tmp_path / "none")


def test_a_file_of_many_pieces(tmp_path: Path) -> None:
    content = os.urandom(3_000_001)
    (tmp_path / "large").write_bytes(content)

    assert hash_file(tmp_path / "large") == sha256(content)
