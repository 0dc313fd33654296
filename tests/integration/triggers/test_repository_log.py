"""Mandates against a real Git: who committed last, signed or not, changed since or not."""

import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from xops.core.errors import PermanentError
from xops.triggers.measure.git_log import RepositoryLog
from xops.triggers.measure.mandates import read_mandates
from xops.triggers.policy import Mandates

OWNER = "platform@example.com"
AZURE = """\
apiVersion: xops/v1
cloud: azure
who: Example Bank
what: A second region outside AWS.
jurisdiction: AU
evidence: https://example.com/contract
effective_from: 2026-07-01
expires: 2027-07-01
"""

GIT = shutil.which("git") or "git"
KEYGEN = shutil.which("ssh-keygen") or "ssh-keygen"

Git = Callable[..., None]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home"
    home.mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(home)}


@pytest.fixture
def git(tmp_path: Path, environ: dict[str, str]) -> Git:
    """`git(...)` runs Git in the working copy; `author=` says whose commit it is."""

    def run(*arguments: str, author: str = OWNER) -> None:
        who = {"GIT_AUTHOR_NAME": "P", "GIT_AUTHOR_EMAIL": author, "GIT_COMMITTER_NAME": "G",
               "GIT_COMMITTER_EMAIL": "noreply@github.com"}  # fmt: skip
        subprocess.run(
            [GIT, *arguments], cwd=tmp_path / "work", env=environ | who, check=True,
            capture_output=True,
        )  # fmt: skip

    (tmp_path / "work" / "mandates").mkdir(parents=True)
    run("init", "-q", "-b", "main")
    return run


@pytest.fixture
def file(tmp_path: Path, git: Git) -> Path:
    made = tmp_path / "work" / "mandates" / "azure.yaml"
    made.write_text(AZURE)
    return made


def commit(git: Git, *options: str, author: str = OWNER) -> None:
    git("add", "-A")
    git("commit", "-qm", "Declare", *options, author=author)


def reason(file: Path, environ: dict[str, str], *, signed: bool = False) -> str:
    policy = Mandates(folder=file.parent, owners=(OWNER,), signed=signed)
    (found,) = read_mandates(policy, RepositoryLog(file.parent, environ=environ))
    return found.reason


def test_a_commit_of_an_owner_declares(file: Path, git: Git, environ: dict[str, str]) -> None:
    commit(git)
    policy = Mandates(folder=file.parent, owners=(OWNER,))
    (found,) = read_mandates(policy, RepositoryLog(file.parent, environ=environ))
    assert found.valid
    assert len(found.commit) == 40
    assert found.in_force(date(2026, 7, 1))


def test_the_last_commit_decides(file: Path, git: Git, environ: dict[str, str]) -> None:
    commit(git, author="eve@example.com")
    assert "eve@example.com" in reason(file, environ)
    file.write_text(AZURE.replace("AU", "NZ"))
    commit(git)
    assert reason(file, environ) == ""
    # A commit that touches something else is none of the record's.
    (file.parent.parent / "other").write_text("x")
    commit(git, author="eve@example.com")
    assert reason(file, environ) == ""


def test_a_change_that_is_not_committed_undoes_it(
    file: Path, git: Git, environ: dict[str, str]
) -> None:
    (file.parent / "kept").write_text("")
    git("add", "mandates/kept")
    git("commit", "-qm", "Begin")
    assert reason(file, environ) == "is not committed"
    commit(git)
    assert reason(file, environ) == ""
    file.write_text(AZURE.replace("2027", "2037"))
    assert "was changed since its last commit" in reason(file, environ)
    git("add", "-A")
    assert "was changed since its last commit" in reason(file, environ)


def test_after_a_forced_push_the_history_of_today_decides(
    file: Path, git: Git, environ: dict[str, str]
) -> None:
    commit(git)
    git("commit", "-q", "--amend", "--reset-author", "-m", "Mine", author="eve@example.com")
    assert "eve@example.com" in reason(file, environ)


def test_a_shallow_clone_cannot_tell(
    file: Path, git: Git, environ: dict[str, str], tmp_path: Path
) -> None:
    commit(git)
    (file.parent.parent / "other").write_text("x")
    commit(git)
    url = f"file://{tmp_path / 'work'}"
    git("clone", "-q", "--depth", "1", url, str(tmp_path / "shallow"))
    shallow = tmp_path / "shallow" / "mandates" / "azure.yaml"
    with pytest.raises(PermanentError, match="--unshallow"):
        reason(shallow, environ)


def test_outside_a_working_copy_nobody_can_tell(environ: dict[str, str], tmp_path: Path) -> None:
    lone = tmp_path / "azure.yaml"
    lone.write_text(AZURE)
    with pytest.raises(PermanentError, match="not a git repository"):
        reason(lone, environ)


def test_a_signature_must_be_good_and_an_owner_s(
    file: Path, git: Git, environ: dict[str, str], tmp_path: Path
) -> None:
    key = tmp_path / "key"
    subprocess.run(
        [KEYGEN, "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, env=environ
    )
    signers = tmp_path / "signers"
    public = key.with_suffix(".pub").read_text()
    git("config", "gpg.format", "ssh")
    git("config", "user.signingkey", str(key.with_suffix(".pub")))
    git("config", "gpg.ssh.allowedSignersFile", str(signers))
    commit(git)
    assert "does not verify (N)" in reason(file, environ, signed=True)
    git("commit", "-q", "--amend", "-S", "-m", "Signed")
    signers.write_text("")
    assert "does not verify" in reason(file, environ, signed=True)
    signers.write_text(f"eve@example.com {public}")
    assert "is signed by eve@example.com, not by an owner" in reason(file, environ, signed=True)
    signers.write_text(f"{OWNER} {public}")
    assert reason(file, environ, signed=True) == ""
