"""A record that says "the file allowed it" says which file that was."""

import hashlib
import json
from pathlib import Path

import pytest

from xops.core.files.provenance import Provenance, read_provenance
from xops.core.process import Command, run

PERSON = {
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": "/dev/null", "PATH": "/usr/bin:/bin",
}  # fmt: skip


def git(folder: Path, *arguments: str) -> str:
    command = Command(["git", *arguments], cwd=folder, env=PERSON, deadline=20)
    finished = run(command)
    assert finished.returncode == 0, finished.text
    return finished.text.strip()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A reviewed file in a working copy that has nothing uncommitted."""
    made = tmp_path / "deployments" / "prod.yaml"
    made.parent.mkdir()
    made.write_text("name: prod\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    return made


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_committed_file_has_its_commit(file: Path, tmp_path: Path) -> None:
    found = read_provenance(file)

    commit = git(tmp_path, "rev-parse", "HEAD")
    assert found == Provenance(str(file), sha256(file), commit, dirty=False)
    assert str(found) == f"{file} at commit {commit[:12]} (sha256 {sha256(file)[:12]})"
    assert json.loads(json.dumps(found.to_json()))["dirty"] is False


@pytest.mark.parametrize("where", ["deployments/prod.yaml", "terraform/main.tf"])
def test_what_was_not_committed_makes_it_dirty(file: Path, tmp_path: Path, where: str) -> None:
    """The sources beside the file are part of what runs."""
    commit = read_provenance(file).commit
    (tmp_path / where).parent.mkdir(exist_ok=True)
    (tmp_path / where).write_text("name: other\n")

    found = read_provenance(file)

    assert (found.commit, found.dirty, found.sha256) == (commit, True, sha256(file))
    assert "with uncommitted changes" in str(found)


def test_without_git_s_word_nothing_is_claimed(tmp_path: Path) -> None:
    file = tmp_path / "prod.yaml"
    file.write_text("x")

    found = read_provenance(file)

    assert found == Provenance(str(file), sha256(file))
    assert str(found) == f"{file} (sha256 {sha256(file)[:12]}, no commit known)"


def test_a_working_copy_without_a_commit_has_none(tmp_path: Path) -> None:
    (tmp_path / "prod.yaml").write_text("x")
    git(tmp_path, "init", "-q")

    assert read_provenance(tmp_path / "prod.yaml").commit is None


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_provenance(tmp_path / "none.yaml")
