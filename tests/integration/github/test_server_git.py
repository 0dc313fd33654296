"""The Git objects of the GitHub of the tests, held against Git itself."""

import base64
import shutil
import subprocess
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.github_data import Repository
from tests.github_git import Content, Executable, ObjectStore, Submodule, Symlink
from tests.github_server import GitHubServer
from xops.github.client import Client

NAME = "acme/platform"
FILES: dict[str, Content] = {
    "terraform/main.tf": "a = 1\n",
    "terraform.md": "Sorted before the folder of that name.\n",
    "terraform-old/b": "x",
    "bin/run.sh": Executable("#!/bin/sh\n"),
    "link": Symlink("terraform/main.tf"),
    "vendor/module": Submodule("1234567890" * 4),
    "logo.png": b"\x89PNG\x00\xff",
    "ä/ö": "ü\n",
}


def git(folder: Path, *arguments: str) -> str:
    found = shutil.which("git")
    assert found is not None
    done = subprocess.run(
        [found, "-C", folder, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout


def write_loose(objects: ObjectStore, folder: Path) -> None:
    """The objects as Git keeps them on disk, by the names they have here."""
    git(folder, "init", "-q", "-b", "main")
    for oid, (kind, content) in objects.kinds.items():
        file = folder / ".git" / "objects" / oid[:2] / oid[2:]
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(zlib.compress(f"{kind} {len(content)}\0".encode() + content))


@pytest.fixture
def repository(github: GitHubServer) -> Repository:
    made = github.add(NAME)
    at = datetime(2026, 11, 1, 12, tzinfo=UTC)
    made.write("main", FILES, message="Begin\n\nWith a body: ä", at=at)
    made.write("topic", {"terraform/main.tf": "a = 2\n", "logo.png": None}, at=at)
    return made


def test_git_finds_nothing_wrong_with_any_object(repository: Repository, tmp_path: Path) -> None:
    write_loose(repository.objects, tmp_path)
    head = repository.heads["topic"]
    git(tmp_path, "update-ref", "refs/heads/topic", head)
    assert git(tmp_path, "fsck", "--strict", "--full") == ""
    listed = git(tmp_path, "-c", "core.quotePath=off", "ls-tree", "-r", "--name-only", head)
    assert set(listed.split()) == set(FILES) - {"logo.png"}
    assert git(tmp_path, "show", f"{head}:terraform/main.tf") == "a = 2\n"
    assert git(tmp_path, "log", "-1", "--format=%an %at", head) == "alice 1793534400\n"


def test_a_tree_is_told_with_its_modes_and_kinds(repository: Repository, client: Client) -> None:
    head = repository.heads["main"]
    tree = client.get(f"/repos/{NAME}/git/trees/{head}", "reading", recursive=1)
    rows = {row["path"]: (row["mode"], row["type"], row.get("size")) for row in tree["tree"]}
    assert rows["link"] == ("120000", "blob", len("terraform/main.tf"))
    assert rows["vendor/module"] == ("160000", "commit", None)
    assert rows["bin/run.sh"] == ("100755", "blob", 10)
    assert rows["terraform"] == ("040000", "tree", None)
    assert rows["ä/ö"] == ("100644", "blob", 3)
    assert tree["truncated"] is False
    alone = client.get(f"/repos/{NAME}/git/trees/{tree['sha']}", "reading")
    assert {row["path"] for row in alone["tree"]} == {path.partition("/")[0] for path in FILES}


def test_a_tree_too_large_is_told_in_part_and_says_so(
    repository: Repository, client: Client
) -> None:
    repository.tree_limit = 3
    head = repository.heads["main"]
    tree = client.get(f"/repos/{NAME}/git/trees/{head}", "reading", recursive=1)
    assert (len(tree["tree"]), tree["truncated"]) == (3, True)
    folder = client.get(f"/repos/{NAME}/git/trees/{head}", "reading")
    assert (len(folder["tree"]), folder["truncated"]) == (8, False)


def test_a_blob_is_told_whole_whatever_is_in_it(repository: Repository, client: Client) -> None:
    oid = repository.objects.entry(FILES["logo.png"]).oid
    blob = client.get(f"/repos/{NAME}/git/blobs/{oid}", "reading")
    assert base64.b64decode(blob["content"]) == FILES["logo.png"]
    assert (blob["size"], blob["encoding"]) == (6, "base64")


def test_the_test_merge_has_both_for_parents_and_is_stale_until_it_is_looked_for(
    github: GitHubServer, repository: Repository, client: Client
) -> None:
    number = github.act.open(NAME, "topic").number
    path = f"/repos/{NAME}/pulls/{number}"
    first = client.get(path, "reading")
    assert (first["mergeable"], first["merge_commit_sha"]) == (None, None)
    second = client.get(path, "reading")
    commit = client.get(f"/repos/{NAME}/git/commits/{second['merge_commit_sha']}", "reading")
    heads = repository.heads
    assert [one["sha"] for one in commit["parents"]] == [heads["main"], heads["topic"]]
    github.act.push(NAME, "main", {"other": "moved\n"})
    third = client.get(path, "reading")
    assert (third["mergeable"], third["merge_commit_sha"]) == (None, commit["sha"])
    fourth = client.get(path, "reading")
    assert fourth["mergeable"] is True
    assert fourth["merge_commit_sha"] != commit["sha"]
    assert fourth["base"]["sha"] == first["base"]["sha"]  # it does not follow the branch
    assert fourth["base"]["sha"] != repository.heads["main"]


def test_both_sides_changing_one_file_conflict(
    github: GitHubServer, repository: Repository, client: Client
) -> None:
    number = github.act.open(NAME, "topic").number
    github.act.push(NAME, "main", {"terraform/main.tf": "a = 3\n"})
    path = f"/repos/{NAME}/pulls/{number}"
    assert client.get(path, "reading")["mergeable"] is None
    found = client.get(path, "reading")
    assert (found["mergeable"], found["mergeable_state"]) == (False, "dirty")


def test_a_merge_keeps_what_each_side_changed(repository: Repository) -> None:
    main = repository.write("main", {"terraform-old/b": "y", "ä/ö": None})
    merged = repository.objects.merge(main, repository.heads["topic"])
    assert merged.tree is not None
    files = repository.objects.files(merged.tree)
    assert "logo.png" not in files
    assert "ä/ö" not in files
    assert repository.objects.read(files["terraform/main.tf"].oid, "blob") == b"a = 2\n"
    assert repository.objects.read(files["terraform-old/b"].oid, "blob") == b"y"


def test_a_pull_request_of_a_deleted_fork_has_no_repository(
    github: GitHubServer, repository: Repository, client: Client
) -> None:
    fork = github.act.fork(NAME, "mallory")
    fork.write("theirs", {"terraform/main.tf": "evil\n"}, by="mallory")
    number = github.act.open(NAME, "theirs", by="mallory", fork=fork).number
    path = f"/repos/{NAME}/pulls/{number}"
    head = client.get(path, "reading")["head"]
    assert head["repo"]["full_name"] == "mallory/platform"
    github.act.delete_fork("mallory/platform")
    gone = client.get(path, "reading")["head"]
    assert (gone["repo"], gone["sha"], gone["label"]) == (None, head["sha"], "mallory:theirs")


def test_files_that_a_branch_changes_are_listed_since_it_left_its_base(
    github: GitHubServer, repository: Repository, client: Client
) -> None:
    change: dict[str, Content | None] = {"terraform-old/b": None, "moved/b": "x", "new": "1\n"}
    github.act.push(NAME, "topic", change)
    number = github.act.open(NAME, "topic").number
    github.act.push(NAME, "main", {"unrelated": "x"})
    rows = client.pages(f"/repos/{NAME}/pulls/{number}/files", "reading")
    found = {row["filename"]: (row["status"], row.get("previous_filename")) for row in rows}
    assert found == {
        "logo.png": ("removed", None),
        "moved/b": ("renamed", "terraform-old/b"),
        "new": ("added", None),
        "terraform/main.tf": ("modified", None),
    }


def test_no_more_than_three_thousand_files_are_listed(
    github: GitHubServer, repository: Repository, client: Client
) -> None:
    github.act.push(NAME, "topic", {f"f/{n}": str(n) for n in range(3_005)})
    number = github.act.open(NAME, "topic").number
    rows = list(client.pages(f"/repos/{NAME}/pulls/{number}/files", "reading"))
    assert len(rows) == 3_000
    assert client.get(f"/repos/{NAME}/pulls/{number}", "reading")["changed_files"] > 3_000
