"""Mandates against a real Git: who committed what, and what a repository may not do."""

import subprocess
from datetime import date
from pathlib import Path

import pytest

from tests.integration.triggers.working_copy import (
    AZURE,
    GIT,
    MALLORY,
    OWNER,
    SSHKey,
    WorkingCopy,
    call,
)
from xops.core.errors import PermanentError
from xops.core.files.reading import MOST_BYTES
from xops.triggers.measure.git_log import open_log
from xops.triggers.measure.mandates import read_mandates

PROLONGED = AZURE.replace("2027-07-01", "2037-07-01")


@pytest.fixture
def copy(tmp_path: Path) -> WorkingCopy:
    return WorkingCopy(tmp_path / "work", tmp_path / "home")


def test_a_commit_of_an_owner_declares(copy: WorkingCopy) -> None:
    declared = copy.commit()
    (found,) = copy.read()
    assert (found.valid, found.commit) == (True, declared)
    assert found.in_force(date(2026, 7, 1))


def test_what_an_owner_committed_last_decides(copy: WorkingCopy) -> None:
    copy.commit(author=MALLORY)
    assert f"was committed by {MALLORY}" in copy.reason()
    copy.commit(AZURE.replace("AU", "NZ"))
    assert copy.reason() == ""
    # A commit that touches something else is none of the record's.
    (copy.folder / "other").write_text("x")
    copy.record("add", "other")
    copy.record("commit", "-qm", "Other", author=MALLORY)
    assert copy.reason() == ""
    # A formatter changes how it is written, not what it says.
    copy.commit("---\n# tidied\n" + AZURE.replace("AU", "'NZ'"), author=MALLORY)
    assert copy.reason() == ""


def test_what_is_not_committed_leaves_it_in_doubt(copy: WorkingCopy) -> None:
    (copy.mandates / "kept").write_text("")
    copy.git("add", "-A")
    copy.git("commit", "-qm", "Begin")
    copy.file.write_text(AZURE)
    assert copy.reason() == "is not committed"
    copy.git("add", "-A")
    assert copy.reason() == "is not committed"
    copy.commit()
    copy.file.write_text(PROLONGED)
    for _ in range(2):
        after, before = copy.read()
        assert "was changed since its last commit" in after.reason
        assert before.reason == "was changed or deleted here without a commit"
        copy.git("add", "-A")


def test_a_folder_before_its_first_commit_has_no_owner_s_record(copy: WorkingCopy) -> None:
    assert copy.read() == ()
    copy.file.write_text(AZURE)
    assert copy.reason() == "is not committed"


def test_a_deletion_counts_by_whose_it_is(copy: WorkingCopy) -> None:
    copy.commit()
    deleted = copy.commit(None, author=MALLORY)
    assert copy.reason() == (
        f"was deleted by {MALLORY} in {deleted[:12]}, who is not among mandates.owners"
    )
    copy.git("revert", "--no-edit", "HEAD", author=MALLORY)
    assert copy.reason() == ""
    copy.commit(None)
    assert copy.read() == ()


def test_a_record_that_somebody_moved_is_the_same_record(copy: WorkingCopy) -> None:
    declared = copy.commit()
    copy.git("mv", "deployments/mandates/azure.yaml", "deployments/mandates/bank.yml")
    copy.git("commit", "-qm", "Rename", author=MALLORY)
    (found,) = copy.read()
    assert (found.valid, found.file, found.commit) == (True, "bank.yml", declared)


def test_after_a_forced_push_the_history_of_today_decides(copy: WorkingCopy) -> None:
    copy.commit()
    copy.git("commit", "-q", "--amend", "--reset-author", "-m", "Mine", author=MALLORY)
    assert f"was committed by {MALLORY}" in copy.reason()


def test_a_pull_request_of_an_owner_counts_by_whomever_it_is_merged(copy: WorkingCopy) -> None:
    (copy.folder / "README.md").write_text("x")
    copy.git("add", "-A")
    copy.git("commit", "-qm", "Begin", author=MALLORY)
    copy.git("switch", "-qc", "declare")
    declared = copy.commit()
    copy.git("switch", "-q", "main")
    copy.git("merge", "-q", "--no-ff", "-m", "Merge", "declare", author=MALLORY)
    (found,) = copy.read()
    assert (found.valid, found.commit) == (True, declared)


def test_a_merge_that_takes_an_older_version_is_nobody_s_word(copy: WorkingCopy) -> None:
    copy.commit()
    copy.git("switch", "-qc", "old")
    copy.git("switch", "-q", "main")
    copy.commit(PROLONGED)
    copy.git("switch", "-q", "old")
    # Git's own log of the file ends at the owner's first commit now.
    copy.git("merge", "-q", "-s", "ours", "-m", "Merge", "main", author=MALLORY)
    reasons = [row.reason for row in copy.read()]
    assert reasons == [
        "is not what an owner committed last: a merge brought it",
        "was changed in a merge that is no owner's",
    ]


def test_a_merge_may_not_hide_a_change_of_its_own(copy: WorkingCopy) -> None:
    copy.commit()
    copy.git("switch", "-qc", "side")
    copy.git("commit", "-q", "--allow-empty", "-m", "Side", author=MALLORY)
    copy.git("switch", "-q", "main")
    copy.git("merge", "-q", "--no-ff", "--no-commit", "side", author=MALLORY)
    copy.file.write_text(PROLONGED)
    copy.git("add", "-A")
    copy.git("commit", "-qm", "Merge", author=MALLORY)
    after, before = copy.read()
    assert f"was committed by {MALLORY}" in after.reason
    assert f"was changed by {MALLORY}" in before.reason


def test_a_shallow_clone_cannot_tell(copy: WorkingCopy, tmp_path: Path) -> None:
    copy.commit()
    copy.commit(PROLONGED)
    url = f"file://{copy.folder}"
    copy.git("clone", "-q", "--depth", "1", url, str(tmp_path / "shallow"))
    shallow = tmp_path / "shallow" / "deployments" / "mandates"
    with pytest.raises(PermanentError, match="--unshallow"):
        read_mandates(copy.policy(folder=shallow))


def test_outside_a_working_copy_nobody_can_tell(copy: WorkingCopy, tmp_path: Path) -> None:
    lone = tmp_path / "mandates"
    lone.mkdir()
    with pytest.raises(PermanentError, match="not a git repository"):
        read_mandates(copy.policy(folder=lone))
    assert read_mandates(copy.policy(folder=lone, owners=[])) == ()


def test_a_clone_without_its_files_says_so_and_fetches_nothing(
    copy: WorkingCopy, tmp_path: Path
) -> None:
    copy.commit()
    copy.commit(PROLONGED)
    copy.git("config", "uploadpack.allowFilter", "true")
    partial = tmp_path / "partial"
    copy.git("clone", "-q", "--filter=blob:none", f"file://{copy.folder}", str(partial))
    folder = partial / "deployments" / "mandates"
    before = call(GIT, "count-objects", "-v", environ=copy.environ, cwd=partial)
    with pytest.raises(PermanentError, match=r"(?i)not a valid|could not|missing|bad file"):
        read_mandates(copy.policy(folder=folder))
    assert call(GIT, "count-objects", "-v", environ=copy.environ, cwd=partial) == before


@pytest.mark.parametrize("name", ["[a-z]*", "a b", ":(glob)x", "\u00fc\u4e2d", "-rf"])
def test_the_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    copy = WorkingCopy(tmp_path / "work", tmp_path / "home")
    copy.mandates = copy.folder / name
    copy.mandates.mkdir()
    copy.commit()
    (copy.folder / "z").mkdir()  # would match the pattern
    (copy.folder / "z" / "azure.yaml").write_text(PROLONGED)
    copy.git("add", "-A")
    copy.git("commit", "-qm", "Other", author=MALLORY)
    assert copy.reason() == ""


def test_the_folder_may_be_the_whole_working_copy(copy: WorkingCopy) -> None:
    copy.mandates = copy.folder
    copy.commit()
    assert copy.reason() == ""
    copy.commit(PROLONGED, author=MALLORY)
    assert [row.valid for row in copy.read()] == [False, False]


def test_a_working_copy_of_a_worktree_and_of_sha256_is_read_as_well(tmp_path: Path) -> None:
    copy = WorkingCopy(tmp_path / "work", tmp_path / "home")
    copy.commit()
    copy.git("worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))
    copy.mandates = tmp_path / "tree" / "deployments" / "mandates"
    assert copy.reason() == ""
    other = WorkingCopy(tmp_path / "work256", tmp_path / "home256")
    call("rm", "-rf", str(other.folder / ".git"), environ=other.environ)
    other.git("init", "-q", "--object-format=sha256")
    declared = other.commit()
    assert (other.reason(), len(declared)) == ("", 64)


def test_a_working_copy_may_be_reached_by_a_link_and_its_folder_may_not(
    copy: WorkingCopy, tmp_path: Path
) -> None:
    copy.commit()
    (tmp_path / "current").symlink_to(copy.folder)
    named = tmp_path / "current" / "deployments" / "mandates"
    with open_log(named, environ=copy.environ) as log:
        assert [row.valid for row in read_mandates(copy.policy(folder=named), log)] == [True]
    (copy.folder / "deployments").rename(copy.folder / "former")
    for target in ("elsewhere", str(tmp_path / "other" / "deployments")):
        (copy.folder / target / "mandates").mkdir(parents=True)
        (copy.folder / target / "mandates" / "README").write_text("x")
        copy.git("init", "-q", str(tmp_path / "other"))
        (copy.folder / "deployments").symlink_to(target)
        with pytest.raises(PermanentError, match="a link within the working copy"):
            copy.read()
        (copy.folder / "deployments").unlink()


def submodule(copy: WorkingCopy, path: str, source: Path) -> None:
    """Put another repository there, as anybody can."""
    copy.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(source), path)
    copy.git("commit", "-qm", "Submodule", author=MALLORY)


@pytest.fixture
def other(tmp_path: Path) -> WorkingCopy:
    """Another repository, with a record of an owner."""
    other = WorkingCopy(tmp_path / "other", tmp_path / "home of other")
    other.commit()
    return other


def test_a_folder_of_a_submodule_has_the_history_of_the_submodule(
    copy: WorkingCopy, other: WorkingCopy
) -> None:
    copy.git("commit", "-q", "--allow-empty", "-m", "Begin")
    submodule(copy, "platform", other.folder)
    copy.mandates = copy.folder / "platform" / "deployments" / "mandates"
    assert copy.reason() == ""
    copy.file.write_text(PROLONGED)
    assert [row.valid for row in copy.read()] == [False, False]


@pytest.mark.parametrize(
    ("path", "record"),
    [("deployments/mandates", "azure.yaml"), ("deployments", "mandates/azure.yaml")],
)
def test_a_submodule_that_takes_the_folder_s_place_ends_nothing(
    copy: WorkingCopy, other: WorkingCopy, path: str, record: str
) -> None:
    copy.commit()
    copy.git("rm", "-rq", path)
    (other.folder / record).parent.mkdir(exist_ok=True)
    (other.folder / record).write_text(AZURE)
    other.git("add", "-A")
    other.git("commit", "-qm", "Declare")
    submodule(copy, path, other.folder)
    with pytest.raises(PermanentError, match="another repository has taken its place"):
        copy.read()


def test_a_submodule_of_a_submodule_ends_nothing_either(
    copy: WorkingCopy, other: WorkingCopy, tmp_path: Path
) -> None:
    between = WorkingCopy(tmp_path / "between", tmp_path / "home of between")
    between.git("commit", "-q", "--allow-empty", "-m", "Begin")
    submodule(between, "mandates", other.folder)
    copy.commit()
    copy.git("rm", "-rq", "deployments")
    submodule(copy, "deployments", between.folder)
    copy.git("-c", "protocol.file.allow=always", "submodule", "update", "-q", "--init",
             "--recursive")  # fmt: skip
    with pytest.raises(PermanentError, match="another repository has taken its place"):
        copy.read()


def test_a_worktree_beside_a_bare_repository_is_read_as_well(
    copy: WorkingCopy, tmp_path: Path
) -> None:
    copy.commit()
    (tmp_path / "all").mkdir()
    copy.git("clone", "-q", "--bare", str(copy.folder), str(tmp_path / "all" / ".bare"))
    (tmp_path / "all" / ".git").write_text("gitdir: ./.bare\n")
    copy.git("-C", str(tmp_path / "all"), "worktree", "add", "-q", "main")
    copy.mandates = tmp_path / "all" / "main" / "deployments" / "mandates"
    assert copy.reason() == ""


@pytest.mark.parametrize("name", ["eu/azure.yaml", "azure.YAML", "eu/au/azure.yml"])
def test_a_record_where_none_counts_is_not_none(copy: WorkingCopy, name: str) -> None:
    copy.commit()
    (copy.mandates / name).parent.mkdir(parents=True, exist_ok=True)
    (copy.mandates / "eu.yml.md").write_text(AZURE)
    copy.git("mv", "deployments/mandates/azure.yaml", f"deployments/mandates/{name}")
    copy.git("commit", "-qm", "Sort")
    with pytest.raises(PermanentError, match="put it into the folder itself"):
        copy.read()
    (copy.mandates / name).write_text("jobs: []\n")  # somebody's YAML, and no record
    assert copy.read() == ()


def test_how_a_history_is_shown_changes_nothing(copy: WorkingCopy) -> None:
    copy.configure("log.showSignature", "true")
    copy.configure("log.mailmap", "true")
    copy.configure("log.follow", "true")
    copy.configure("log.showRoot", "false")
    copy.configure("log.diffMerges", "first-parent")
    copy.configure("diff.renames", "copies")
    copy.configure("diff.noprefix", "true")
    copy.configure("log.date", "human")
    copy.configure("color.ui", "always")
    copy.configure("core.quotePath", "true")
    (copy.folder / ".mailmap").write_text(f"<{OWNER}> <{MALLORY}>\n")
    copy.commit(author=MALLORY)
    assert f"was committed by {MALLORY}" in copy.reason()
    copy.commit("# mine\n" + AZURE)
    assert copy.reason() == ""


def test_an_address_that_holds_what_separates_fields_is_one_address(copy: WorkingCopy) -> None:
    base = copy.commit(author=MALLORY)
    for forged in (f"{MALLORY}\x1f{OWNER}", f"{MALLORY}\x1e{base}", f"\t{OWNER}", f"{OWNER} "):
        tree = copy.git("rev-parse", "HEAD^{tree}")
        text = f"tree {tree}\nauthor A <{forged}> 1750000000 +0000\n"
        text += "committer A <c> 1750000000 +0000\n\nForged\n"
        made = subprocess.run(
            [GIT, "hash-object", "-t", "commit", "-w", "--stdin", "--literally"],
            input=text, cwd=copy.folder, env=copy.environ, text=True, capture_output=True,
            check=True,
        )  # fmt: skip
        copy.git("reset", "-q", "--hard", made.stdout.strip())
        assert "who is not among mandates.owners" in copy.reason()


def test_a_file_that_is_too_large_for_a_record_is_none(copy: WorkingCopy) -> None:
    copy.commit()
    copy.commit(f"{AZURE}# {'x' * MOST_BYTES}\n")
    copy.commit(None, author=MALLORY)
    assert "was deleted by" in copy.reason()


# What a repository may not do


def test_replaced_commits_and_grafts_are_not_looked_at(copy: WorkingCopy) -> None:
    first = copy.commit(author=MALLORY)
    tree = copy.git("rev-parse", "HEAD^{tree}")
    forged = copy.git("commit-tree", tree, "-m", "Declare")
    copy.git("replace", first, forged)
    assert copy.git("log", "-1", "--format=%ae") == OWNER  # the trap works
    assert f"was committed by {MALLORY}" in copy.reason()
    copy.git("replace", "-d", first)
    copy.commit(PROLONGED, author=MALLORY)
    (copy.folder / ".git" / "info" / "grafts").write_text(copy.git("rev-parse", "HEAD") + "\n")
    assert len(copy.git("log", "--format=%H").split()) == 1
    assert [row.valid for row in copy.read()] == [False]


def test_no_program_is_run_that_a_repository_names(copy: WorkingCopy, tmp_path: Path) -> None:
    trap, sprung = tmp_path / "trap", tmp_path / "sprung"
    trap.write_text(f"#!/bin/sh\necho $0 >> {sprung}\nexit 1\n")
    trap.chmod(0o700)
    key = SSHKey.make(tmp_path / "key")
    signers = tmp_path / "signers"
    signers.write_text(f"{OWNER} {key.public}\n")
    copy.configure("gpg.ssh.allowedSignersFile", str(signers))
    copy.commit(key=key)
    copy.commit("# again\n" + AZURE, key=key)
    (copy.folder / ".gitattributes").write_text("* filter=trap diff=trap merge=trap\n")
    copy.git("add", "-A")
    copy.git("commit", "-qm", "Attributes", author=MALLORY)
    for name in (
        "core.fsmonitor", "core.pager", "core.sshCommand", "core.editor", "core.hooksPath",
        "core.askPass", "gpg.program", "gpg.openpgp.program", "gpg.ssh.program",
        "gpg.ssh.defaultKeyCommand", "diff.external", "diff.trap.command", "diff.trap.textconv",
        "filter.trap.clean", "filter.trap.smudge", "filter.trap.process", "pager.log",
        "pager.rev-parse", "pager.ls-tree", "credential.helper", "uploadpack.packObjectsHook",
        "remote.origin.url", "remote.origin.uploadpack",
    ):  # fmt: skip
        copy.git("config", name, str(trap))
    copy.git("config", "remote.origin.promisor", "true")
    copy.git("config", "alias.rev-parse", f"!{trap}")
    copy.git("config", "gpg.ssh.allowedSignersFile", "/dev/null")
    assert copy.reason(signed=True) == ""
    copy.file.write_text(PROLONGED)
    assert "was changed since" in copy.read(signed=True)[0].reason
    assert not sprung.exists()
    with pytest.raises(AssertionError):
        copy.git("verify-commit", "HEAD^")
    assert sprung.exists()  # the trap works


def test_who_can_write_the_repository_s_settings_cannot_say_whose_key_is_whose(
    copy: WorkingCopy, tmp_path: Path
) -> None:
    key = SSHKey.make(tmp_path / "key")
    signers = tmp_path / "signers"
    signers.write_text(f"{OWNER} {key.public}\n")
    copy.git("config", "gpg.ssh.allowedSignersFile", str(signers))
    copy.commit(key=key)
    copy.git("verify-commit", "HEAD")  # the trap works
    assert "whose signature does not verify" in copy.reason(signed=True)


def test_a_repository_that_came_with_a_commit_is_not_asked(copy: WorkingCopy) -> None:
    copy.commit(author=MALLORY)
    # A bare repository, made of files that anybody can commit, whose history says otherwise.
    inner = copy.folder / "inner"
    call(GIT, "init", "-q", str(inner), environ=copy.environ)
    who = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": OWNER, "GIT_COMMITTER_NAME": "A",
           "GIT_COMMITTER_EMAIL": OWNER}  # fmt: skip
    (inner / "mandates").mkdir()
    (inner / "mandates" / "azure.yaml").write_text(AZURE)
    call(GIT, "add", "-A", environ=copy.environ, cwd=inner)
    call(GIT, "commit", "-qm", "Forged", environ=copy.environ | who, cwd=inner)
    call(GIT, "config", "core.bare", "false", environ=copy.environ, cwd=inner)
    call(GIT, "config", "core.worktree", ".", environ=copy.environ, cwd=inner)
    for part in (inner / ".git").iterdir():
        part.rename(copy.folder / "deployments" / part.name)
    assert copy.git("-C", "deployments/mandates", "log", "-1", "--format=%ae") == OWNER
    with pytest.raises(PermanentError, match=r"safe\.bareRepository"):
        copy.read()


def test_the_history_is_asked_for_as_long_as_it_is_open(copy: WorkingCopy) -> None:
    copy.commit()
    with open_log(copy.mandates, environ=copy.environ) as log:
        assert len(log.commits()) == 1
        assert set(log.head()) == {"azure.yaml"}
