"""Git's objects, branches and files."""

from __future__ import annotations

import base64
import re
from typing import Any

from tests.github_actions import changes
from tests.github_data import OpenPullRequest, Reply
from tests.github_git import FOLDER, SUBMODULE, Entry
from tests.github_rest.routes import DOCUMENTATION, REPOSITORY, Call, invalid, not_found, route

COMPARED_FILES = 300


def resolve(call: Call, ref: str) -> str | None:
    """The commit that a branch, a reference or an id names."""
    repository = call.repository
    ref = ref.removeprefix("refs/").removeprefix("heads/")
    if ref in repository.heads:
        return repository.heads[ref]
    if found := re.fullmatch(r"pull/(\d+)/(head|merge)", ref):
        for one in repository.pull_requests:
            if isinstance(one, OpenPullRequest) and one.number == int(found[1]):
                return one.head_sha if found[2] == "head" else _test_merge(one)
    return ref if ref in repository.objects.revisions else None


def _test_merge(one: OpenPullRequest) -> str | None:
    return one.merge_commit if one.is_open else None


@route(f"GET {REPOSITORY}/git/ref/{{ref*}}", "contents", "read")
def _ref(call: Call) -> Reply:
    ref = call.named["ref"]
    found = resolve(call, f"refs/{ref}") if ref.startswith(("heads/", "pull/")) else None
    if found is None or found == ref:
        return not_found()
    mine = f"{call.github.url}/repos/{call.repository.name}/git"
    return Reply(
        200,
        {
            "ref": f"refs/{ref}",
            "node_id": f"REF_{ref}",
            "url": f"{mine}/refs/{ref}",
            "object": {"type": "commit", "sha": found, "url": f"{mine}/commits/{found}"},
        },
    )


@route(f"GET {REPOSITORY}/git/commits/{{commit_sha}}", "contents", "read")
def _git_commit(call: Call) -> Reply:
    sha = call.named["commit_sha"]
    if sha not in call.repository.objects.revisions:
        return not_found()
    return Reply(200, call.github.shapes.commit(call.repository, sha))


@route(f"GET {REPOSITORY}/git/trees/{{tree_sha*}}", "contents", "read")
def _tree(call: Call) -> Reply:
    repository, wanted = call.repository, call.named["tree_sha"]
    commit = resolve(call, wanted)
    tree = wanted if commit is None else repository.objects.revisions[commit].tree
    if repository.objects.read(tree, "tree") is None:
        return not_found()
    recursive = "recursive" in call.query
    listed = repository.objects.walk(tree) if recursive else repository.objects.names(tree)
    rows = [_tree_row(call, path, entry) for path, entry in listed]
    truncated = recursive and len(rows) > repository.tree_limit
    rows = rows[: repository.tree_limit] if recursive else rows
    url = f"{call.github.url}/repos/{repository.name}/git/trees/{tree}"
    return Reply(200, {"sha": tree, "url": url, "tree": rows, "truncated": truncated})


def _tree_row(call: Call, path: str, entry: Entry) -> dict[str, Any]:
    kind = {FOLDER: "tree", SUBMODULE: "commit"}.get(entry.mode, "blob")
    row: dict[str, Any] = {
        "path": path,
        "mode": entry.mode.zfill(6),
        "type": kind,
        "sha": entry.oid,
    }
    if kind == "commit":
        return row
    if kind == "blob":
        row["size"] = len(call.repository.objects.read(entry.oid, "blob") or b"")
    row["url"] = f"{call.github.url}/repos/{call.repository.name}/git/{kind}s/{entry.oid}"
    return row


@route(f"GET {REPOSITORY}/git/blobs/{{file_sha}}", "contents", "read")
def _blob(call: Call) -> Reply:
    sha, repository = call.named["file_sha"], call.repository
    content = repository.objects.read(sha, "blob")
    if content is None and repository.heads:
        return not_found()
    if content is None:  # a repository of facts only, whose one file is its mailmap
        content = (repository.mailmap or "").encode()
    return Reply(
        200,
        {
            "sha": sha,
            "node_id": f"B_{sha}",
            "size": len(content),
            "url": f"{call.github.url}/repos/{repository.name}/git/blobs/{sha}",
            "content": base64.encodebytes(content).decode(),
            "encoding": "base64",
        },
    )


@route(f"GET {REPOSITORY}/branches/{{branch*}}", "contents", "read")
def _branch(call: Call) -> Reply:
    name = call.named["branch"]
    found = call.repository.heads.get(name)
    if found is None:
        return Reply(404, {"message": "Branch not found", "documentation_url": DOCUMENTATION})
    mine = f"{call.github.url}/repos/{call.repository.name}/branches/{name}"
    return Reply(
        200,
        {
            "name": name,
            "commit": call.github.shapes.listed_commit(call.repository, found),
            "_links": {"self": mine, "html": f"https://github.com/{call.repository.name}"},
            "protected": False,
            "protection": {"enabled": False},
            "protection_url": f"{mine}/protection",
        },
    )


@route(f"GET {REPOSITORY}/commits/{{ref}}", "contents", "read")
def _commit(call: Call) -> Reply:
    found = resolve(call, call.named["ref"])
    if found is None:
        return invalid(message=f"No commit found for SHA: {call.named['ref']}")
    return Reply(200, call.github.shapes.listed_commit(call.repository, found))


@route(f"GET {REPOSITORY}/compare/{{basehead*}}", "contents", "read")
def _compare(call: Call) -> Reply:
    names = call.named["basehead"].split("...")
    ends = [resolve(call, name.rpartition(":")[2]) for name in names]
    if len(ends) != 2 or ends[0] is None or ends[1] is None:
        return not_found()
    base, head = ends[0], ends[1]
    repository, shapes = call.repository, call.github.shapes
    middle = repository.objects.merge_base(base, head)
    if middle is None:
        return Reply(404, {"message": f"No common ancestor between {names[0]} and {names[1]}."})
    behind, ahead = (
        [one for one in repository.objects.history(tip) if one not in known]
        for tip, known in (
            (base, set(repository.objects.history(head))),
            (head, set(repository.objects.history(base))),
        )
    )
    state = {(0, 0): "identical", (1, 0): "ahead", (0, 1): "behind", (1, 1): "diverged"}
    mine = f"{call.github.url}/repos/{repository.name}/compare/{call.named['basehead']}"
    web = f"https://github.com/{repository.name}/compare/{call.named['basehead']}"
    return Reply(
        200,
        {
            "url": mine,
            "html_url": web,
            "permalink_url": web,
            "diff_url": f"{web}.diff",
            "patch_url": f"{web}.patch",
            "base_commit": shapes.listed_commit(repository, base),
            "merge_base_commit": shapes.listed_commit(repository, middle),
            "status": state[bool(ahead), bool(behind)],
            "ahead_by": len(ahead),
            "behind_by": len(behind),
            "total_commits": len(ahead),
            "commits": [shapes.listed_commit(repository, one) for one in ahead[::-1][:250]],
            "files": [
                shapes.file(repository, head, row)
                for row in changes(repository.objects, base, head)[:COMPARED_FILES]
            ],
        },
    )


@route(f"GET {REPOSITORY}/contents/{{path*}}", "contents", "read")
def _contents(call: Call) -> Reply:
    repository, path = call.repository, call.named["path"].strip("/")
    commit = resolve(call, call.query.get("ref") or repository.default_branch)
    if commit is None:
        return Reply(404, {"message": f"No commit found for the ref {call.query.get('ref')}"})
    tree = repository.objects.revisions[commit].tree
    known = dict(repository.objects.walk(tree))
    if path not in known:
        return not_found()
    if known[path].mode != FOLDER:
        return Reply(200, _content(call, path, known[path], whole=True))
    inside = [p for p in known if p.rpartition("/")[0] == path]
    return Reply(200, [_content(call, p, known[p], whole=False) for p in inside])


def _content(call: Call, path: str, entry: Entry, *, whole: bool) -> dict[str, Any]:
    repository = call.repository
    mine = f"{call.github.url}/repos/{repository.name}"
    web = f"https://github.com/{repository.name}/blob/{repository.default_branch}/{path}"
    content = repository.objects.read(entry.oid, "blob") or b""
    git = f"{mine}/git/blobs/{entry.oid}"
    row = {
        "type": {FOLDER: "dir", SUBMODULE: "submodule", "120000": "symlink"}.get(
            entry.mode, "file"
        ),
        "size": len(content),
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": entry.oid,
        "url": f"{mine}/contents/{path}",
        "git_url": git,
        "html_url": web,
        "download_url": web,
        "_links": {"self": f"{mine}/contents/{path}", "git": git, "html": web},
    }
    encoded = {"encoding": "base64", "content": base64.encodebytes(content).decode()}
    return row | (encoded if whole else {})


@route(f"GET {REPOSITORY}/activity", "contents", "read")
def _activity(call: Call) -> Reply:
    wanted = call.query.get("ref", "")
    if wanted and not wanted.startswith("refs/"):
        wanted = f"refs/heads/{wanted}"
    rows = [row for row in call.repository.activity if wanted in ("", row["ref"])]
    return call.page(rows[::-1])
