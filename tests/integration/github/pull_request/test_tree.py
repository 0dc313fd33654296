"""The files of a commit, and nothing but that commit's."""

import base64
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.github_data import Repository
from tests.github_git import (
    FILE,
    FOLDER,
    Actor,
    Content,
    Executable,
    Submodule,
    Symlink,
)
from tests.github_server import GitHubServer
from tests.integration.github.conftest import MakeClient
from tests.integration.github.pull_request.conftest import FAULTS, NAME, asked
from xops.core.errors import InputError, PermanentError, XopsError
from xops.github.client import Client
from xops.github.errors import (
    NotVisibleError,
    RefusedError,
)
from xops.github.pull_request import blob_cache, tree
from xops.github.pull_request.tree import Tree

FILES: Mapping[str, Content] = {
    "README.md": "# Platform\n",
    "deployments/environments/test.yaml": "name: test\n",
    "deployments/environments/prod.yaml": "name: prod\n",
    "deployments/github.yaml": "apiVersion: xops/v1\n",
    "terraform/main.tf": 'resource "a" "b" {}\n',
    "terraform/modules/net/main.tf": "# größer\r\nwith an end of line of its own\r\n",
    "terraform/empty.tf": "",
    "terraform/bootstrap.sh": Executable("#!/bin/sh\n"),
}
PATHS = ("terraform", "deployments/environments/test.yaml", "absent/file")
WANTED = [
    "deployments/environments/test.yaml",
    "terraform/bootstrap.sh",
    "terraform/empty.tf",
    "terraform/main.tf",
    "terraform/modules/net/main.tf",
]


@pytest.fixture
def trees(client: Client, tmp_path: Path) -> Tree:
    return Tree(client, NAME, tmp_path / "cache")


def written(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if not path.is_dir())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def commit_of(repository: Repository, root: str) -> str:
    """A commit of a tree that nobody could push."""
    who = Actor("mallory", "m@example.com", repository_time())
    return repository.objects.commit(root, [], who, "Change")


def repository_time() -> Any:
    from datetime import UTC, datetime

    return datetime(2026, 11, 2, tzinfo=UTC)


def tree_of(repository: Repository, *lines: tuple[str, str, str]) -> str:
    """A tree of lines as they are: mode, name, id."""
    content = b"".join(
        f"{mode} {name}\0".encode() + bytes.fromhex(oid) for mode, name, oid in lines
    )
    return repository.objects.put("tree", content)


def test_what_is_wanted_is_written_as_the_commit_has_it(
    repository: Repository, trees: Tree, tmp_path: Path
) -> None:
    commit = repository.write("main", FILES)
    found = trees.export(commit, PATHS, tmp_path / "out")
    assert list(written(tmp_path / "out")) == list(found.files) == WANTED
    for path, content in written(tmp_path / "out").items():
        expected = FILES[path]
        text = expected.content if isinstance(expected, Executable) else expected
        assert isinstance(text, str)
        assert content == text.encode()
    assert found.tree == repository.objects.revisions[commit].tree


def test_only_what_may_be_executed_may_be(
    repository: Repository, trees: Tree, tmp_path: Path
) -> None:
    trees.export(repository.write("main", FILES), PATHS, tmp_path / "out")
    executable = {
        str(path.relative_to(tmp_path / "out"))
        for path in (tmp_path / "out").rglob("*")
        if path.is_file() and path.stat().st_mode & stat.S_IXUSR
    }
    assert executable == {"terraform/bootstrap.sh"}


def test_a_path_that_is_not_there_has_no_files(
    repository: Repository, trees: Tree, tmp_path: Path
) -> None:
    commit = repository.write("main", {"README.md": "x", "terraform": "a file"})
    paths = ("absent", "terraform/main.tf", "README.md/below")
    assert trees.export(commit, paths, tmp_path / "out").files == {}
    assert written(tmp_path / "out") == {}


def test_sixty_files_take_few_requests_and_a_second_export_two(
    github: GitHubServer, repository: Repository, trees: Tree, tmp_path: Path
) -> None:
    files: dict[str, Content] = {f"terraform/m{n % 9}/f{n}.tf": f"# {n}\n" for n in range(58)}
    files |= {"terraform/logo.png": b"\x89PNG\0\xff", "terraform/latin.tf": b"# gr\xfcn\n"}
    commit = repository.write("main", files)
    trees.export(commit, ["terraform"], tmp_path / "one")
    assert len(github.requests) == 5
    assert len(written(tmp_path / "one")) == 60
    later = repository.write("main", {"README.md": "other"})
    trees.export(later, ["terraform"], tmp_path / "two")
    assert len(github.requests) == 7
    assert written(tmp_path / "one") == written(tmp_path / "two")


def test_a_file_that_is_cut_as_text_comes_by_itself(
    github: GitHubServer, repository: Repository, trees: Tree, tmp_path: Path
) -> None:
    commit = repository.write("main", {"terraform/large.tf": "# long\n" * 100_000})
    trees.export(commit, ["terraform"], tmp_path / "out")
    assert asked(github)[-1].startswith("GET /repos/octo/platform/git/blobs/")
    assert len(written(tmp_path / "out")["terraform/large.tf"]) == 700_000


def test_a_tree_that_is_cut_is_read_folder_by_folder(
    github: GitHubServer, repository: Repository, trees: Tree, tmp_path: Path
) -> None:
    others = {f"apps/{n}/{m}.txt": "x" for n in range(10) for m in range(5)}
    commit = repository.write("main", {**FILES, **others})
    repository.tree_limit = 20
    found = trees.export(commit, PATHS, tmp_path / "out")
    assert list(found.files) == WANTED
    assert [one for one in asked(github) if "apps" in one] == []


# What cannot be written.


@pytest.mark.parametrize(
    ("content", "problem"),
    [(Symlink("/etc/passwd"), "symbolic link"), (Submodule("a" * 40), "submodule")],
)
@pytest.mark.parametrize("path", ["terraform/x", "terraform", "deployments"])
def test_links_and_submodules_are_refused_at_and_above_what_is_wanted(
    repository: Repository,
    trees: Tree,
    tmp_path: Path,
    content: Content,
    problem: str,
    path: str,
) -> None:
    commit = repository.write("main", {path: content, "README.md": "x"})
    with pytest.raises(PermanentError, match=f"{path} is a {problem}"):
        trees.export(commit, ["terraform", "deployments/github.yaml"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_elsewhere_do_not_matter(repository: Repository, trees: Tree, tmp_path: Path) -> None:
    commit = repository.write(
        "main", {**FILES, "docs/link": Symlink("/"), "sub": Submodule("a" * 40)}
    )
    assert list(trees.export(commit, PATHS, tmp_path / "out").files) == WANTED


@pytest.mark.parametrize(
    "name", ["..", ".", ".git", ".GIT", "a\\b", "a\x1b[2J", "evil\u202efdp.tf", ".g\u200cit"]
)
def test_a_hostile_name_is_refused(
    repository: Repository, trees: Tree, tmp_path: Path, name: str
) -> None:
    blob = repository.objects.put("blob", b"x")
    inner = tree_of(repository, (FILE, name, blob))
    commit = commit_of(repository, tree_of(repository, (FOLDER, "terraform", inner)))
    with pytest.raises(PermanentError) as caught:
        trees.export(commit, ["terraform"], tmp_path / "out")
    assert "\x1b" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a/../../x", "/etc/x", "caf\udce9"])
def test_a_name_that_the_listing_hides_is_found_by_the_tree_s_id(
    repository: Repository, trees: Tree, tmp_path: Path, name: str
) -> None:
    blob = repository.objects.put("blob", b"x")
    content = f"{FILE} {name}\0".encode("utf-8", "surrogateescape") + bytes.fromhex(blob)
    inner = repository.objects.put("tree", content)
    commit = commit_of(repository, tree_of(repository, (FOLDER, "terraform", inner)))
    with pytest.raises(XopsError):
        trees.export(commit, ["terraform"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("one", "other"), [("A.tf", "a.tf"), ("gr\u00fcn", "gru\u0308n")])
def test_names_that_are_one_on_some_disk_are_refused(
    repository: Repository, trees: Tree, tmp_path: Path, one: str, other: str
) -> None:
    commit = repository.write("main", {f"terraform/{one}": "x", f"terraform/{other}": "y"})
    with pytest.raises(PermanentError, match="one on some disk"):
        trees.export(commit, ["terraform"], tmp_path / "out")


def test_a_name_twice_in_a_tree_is_refused(
    repository: Repository, trees: Tree, tmp_path: Path
) -> None:
    one, other = (repository.objects.put("blob", text) for text in (b"x", b"y"))
    inner = tree_of(repository, (FILE, "a.tf", one), (FILE, "a.tf", other))
    commit = commit_of(repository, tree_of(repository, (FOLDER, "terraform", inner)))
    with pytest.raises(XopsError):
        trees.export(commit, ["terraform"], tmp_path / "out")


def test_a_mode_that_git_no_longer_writes_is_refused(
    repository: Repository, trees: Tree, tmp_path: Path
) -> None:
    inner = tree_of(repository, ("100664", "a.tf", repository.objects.put("blob", b"x")))
    commit = commit_of(repository, tree_of(repository, (FOLDER, "terraform", inner)))
    with pytest.raises(PermanentError, match="mode 100664"):
        trees.export(commit, ["terraform"], tmp_path / "out")


@pytest.mark.parametrize(
    ("bound", "limit", "problem"),
    [
        ("MOST_FILES", 3, "more than 3 files"),
        ("MOST_FOLDERS", 2, "more than 2 folders"),
        ("_MOST_LEVELS", 1, "below more than 1"),
        ("MOST_FILE_BYTES", 5, "of more than 0 MiB"),
        ("MOST_BYTES", 10, "more than 0 MiB"),
    ],
)
def test_more_than_the_bounds_is_refused(
    repository: Repository,
    trees: Tree,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bound: str,
    limit: int,
    problem: str,
) -> None:
    commit = repository.write("main", FILES)
    monkeypatch.setattr(tree, bound, limit)
    with pytest.raises(PermanentError, match=problem):
        trees.export(commit, PATHS, tmp_path / "out")


def test_a_folder_with_something_in_it_is_left_as_it_is(
    repository: Repository, trees: Tree, tmp_path: Path
) -> None:
    commit = repository.write("main", FILES)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").write_text("x")
    with pytest.raises(PermanentError, match="is not empty"):
        trees.export(commit, PATHS, tmp_path / "out")
    assert list(written(tmp_path / "out")) == ["kept"]


# What is kept.


@pytest.mark.parametrize("damage", [b"other", b"", None])
def test_a_kept_file_that_is_damaged_is_read_anew(
    github: GitHubServer,
    repository: Repository,
    trees: Tree,
    tmp_path: Path,
    damage: bytes | None,
) -> None:
    commit = repository.write("main", {"terraform/main.tf": "right"})
    trees.export(commit, ["terraform"], tmp_path / "one")
    (kept,) = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    kept.unlink()
    if damage is None:
        kept.symlink_to("/etc/passwd")
    else:
        kept.write_bytes(damage)
    trees.export(commit, ["terraform"], tmp_path / "two")
    assert written(tmp_path / "two") == {"terraform/main.tf": b"right"}
    assert kept.read_bytes() == b"right"


def test_what_nobody_reads_for_a_month_is_removed(
    repository: Repository, trees: Tree, tmp_path: Path
) -> None:
    trees.export(repository.write("main", {"terraform/a.tf": "old"}), ["terraform"], tmp_path / "1")
    (kept,) = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    long_ago = kept.stat().st_mtime - blob_cache.KEEP_SECONDS - 60
    os.utime(kept, (long_ago, long_ago))
    trees.export(repository.write("main", {"terraform/a.tf": "new"}), ["terraform"], tmp_path / "2")
    (left,) = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert left.read_bytes() == b"new"


# What is not GitHub's answer.


def alter_entries(body: Any) -> Any:
    if "tree" in body and "truncated" in body:
        body = {**body, "tree": [{**row, "mode": "100755"} if row["type"] == "blob" else row
                                 for row in body["tree"]]}  # fmt: skip
    return body


def leave_out_an_entry(body: Any) -> Any:
    if "tree" in body and "truncated" in body:
        body = {
            **body,
            "tree": [row for row in body["tree"] if not row["path"].endswith("main.tf")],
        }
    return body


def alter_blobs(body: Any) -> Any:
    if "encoding" in body:
        return {**body, "content": base64.b64encode(b"evil").decode()}
    if "data" in body:
        rows = body["data"]["repository"]
        return {"data": {**body["data"], "repository": {key: {"text": "evil"} for key in rows}}}
    return body


def alter_the_commit(body: Any) -> Any:
    return {**body, "sha": "a" * 40} if "parents" in body else body


def null_fields(body: Any) -> Any:
    return dict.fromkeys(body) if "data" not in body else body


@pytest.mark.parametrize(
    "change", [alter_entries, leave_out_an_entry, alter_blobs, alter_the_commit, null_fields]
)
def test_an_answer_that_was_altered_is_refused(
    github: GitHubServer, repository: Repository, trees: Tree, tmp_path: Path, change: Any
) -> None:
    commit = repository.write("main", FILES)
    github.change = change
    with pytest.raises(RefusedError):
        trees.export(commit, PATHS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("fault", "error"), FAULTS)
@pytest.mark.parametrize(
    "operation", ["GET .*/git/commits/.*", "GET .*/git/trees/.*", "Blobs|GET .*/git/blobs/.*"]
)
def test_a_fault_is_told_and_nothing_is_written(
    github: GitHubServer,
    repository: Repository,
    trees: Tree,
    tmp_path: Path,
    operation: str,
    fault: dict[str, Any],
    error: type[XopsError],
) -> None:
    commit = repository.write("main", FILES)
    github.fail(operation=operation, **fault)
    with pytest.raises(error):
        trees.export(commit, PATHS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["secondary", "status"])
def test_a_fault_that_passes_is_waited_for(
    github: GitHubServer, repository: Repository, trees: Tree, tmp_path: Path, kind: str
) -> None:
    commit = repository.write("main", FILES)
    for operation in ("GET .*/git/commits/.*", "GET .*/git/trees/.*", "Blobs"):
        github.fail(operation=operation, kind=kind, retry_after=3)
    assert list(trees.export(commit, PATHS, tmp_path / "out").files) == WANTED


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "partial", "field": "b0", "error": "RESOURCE_LIMITS_EXCEEDED"},
        {"status": 502},
        {"kind": "drop"},
        {"kind": "refused", "message": "Something went wrong while executing your query."},
    ],
)
def test_what_graphql_does_not_give_rest_does(
    github: GitHubServer,
    repository: Repository,
    trees: Tree,
    tmp_path: Path,
    fault: dict[str, Any],
) -> None:
    commit = repository.write("main", {"terraform/main.tf": "x"})
    github.fail(operation="Blobs", **fault)
    trees.export(commit, ["terraform"], tmp_path / "out")
    assert written(tmp_path / "out") == {"terraform/main.tf": b"x"}


def test_a_commit_that_is_not_there_is_not_visible(
    repository: Repository, trees: Tree, tmp_path: Path
) -> None:
    with pytest.raises(NotVisibleError):
        trees.export("a" * 40, PATHS, tmp_path / "out")


def test_only_whole_ids_name_a_commit(trees: Tree, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        trees.export("main", PATHS, tmp_path / "out")


def test_two_exports_at_once_do_not_disturb_one_another(
    github: GitHubServer, repository: Repository, connect: MakeClient, tmp_path: Path
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    commit = repository.write("main", FILES)
    clients = [connect() for _ in range(4)]

    def export(number: int) -> dict[str, bytes]:
        folder = tmp_path / f"out{number}"
        Tree(clients[number], NAME, tmp_path / "cache").export(commit, PATHS, folder)
        return written(folder)

    with ThreadPoolExecutor() as pool:
        first, *others = pool.map(export, range(4))
    assert list(first) == WANTED
    assert all(other == first for other in others)
