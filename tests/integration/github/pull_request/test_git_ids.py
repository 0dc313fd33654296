"""The ids of files and folders, against those of Git itself."""

import subprocess
from pathlib import Path

import pytest

from xops.github.pull_request.git_objects import Entry, blob_id, tree_id


def git(folder: Path, *arguments: str) -> str:
    argv = ["git", "-C", str(folder), *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_folder_of_all_kinds_has_git_s_ids(tmp_path: Path, algorithm: str) -> None:
    git(tmp_path, "init", "--quiet", f"--object-format={algorithm}")
    for name, content in {
        "a.b": b"1", "a-b": b"2", "a/x": b"3", "a0": b"4", "gr\u00fcn.tf": b"5\r\n", "empty": b"",
    }.items():  # fmt: skip
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
    (tmp_path / "run.sh").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "link").symlink_to("a0")
    git(tmp_path, "add", "--all")
    root = git(tmp_path, "write-tree").strip()
    rows = git(tmp_path, "ls-tree", "-z", root).split("\0")[:-1]
    entries = []
    for row in rows:
        mode, _, rest = row.partition(" ")
        kind, _, named = rest.partition(" ")
        id, _, name = named.partition("\t")
        entries.append(Entry(name, mode, id))
        if kind == "blob" and name != "link":
            assert blob_id((tmp_path / name).read_bytes(), id) == id
    assert len(entries) == 8
    assert tree_id(reversed(entries), root) == root
