"""What is reported on a commit or a pull request: statuses, checks and comments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.github_data import OpenPullRequest, Reply, Repository, text
from tests.github_rest.git import resolve
from tests.github_rest.routes import (
    DESCRIPTION_LIMIT,
    REPOSITORY,
    ROLES,
    Call,
    invalid,
    not_found,
    route,
    wrong,
)
from tests.github_shapes import number_of

COMMENT_LIMIT = 65_536
STATUS_LIMIT = 1000
"""Statuses of one commit and context."""


# Comments.


@route(f"GET {REPOSITORY}/issues/{{issue_number}}", "issues", "read")
def _issue(call: Call) -> Reply:
    found = call.github.act.issue(call.repository, call.number("issue_number"))
    return not_found() if found is None else Reply(200, found)


@route(f"GET {REPOSITORY}/issues/{{issue_number}}/comments", "issues", "read")
def _comments(call: Call) -> Reply:
    return call.page(call.repository.comments.get(call.number("issue_number"), []))


@route(f"POST {REPOSITORY}/issues/{{issue_number}}/comments", "issues", "write")
def _comment(call: Call) -> Reply:
    number = call.number("issue_number")
    if call.github.act.issue(call.repository, number) is None:
        return not_found()
    if refused := _bad_comment(call.body["body"]):
        return refused
    for issue in call.repository.issues:
        if issue["number"] == number:
            issue["updated_at"] = text(call.github.now())
    by = call.account.login
    row = call.github.act.comment(call.repository.name, number, call.body["body"], by=by)
    return Reply(201, row)


def _bad_comment(body: str) -> Reply | None:
    if not body.strip():
        return invalid(wrong("IssueComment", "data", "unprocessable", "Body cannot be blank"))
    if len(body) > COMMENT_LIMIT:
        said = f"Body is too long (maximum is {COMMENT_LIMIT} characters)"
        return invalid(wrong("IssueComment", "data", "unprocessable", said))
    return None


@route(f"GET {REPOSITORY}/issues/comments/{{comment_id}}", "issues", "read")
def _one_comment(call: Call) -> Reply:
    found = _known_comment(call)
    return not_found() if found is None else Reply(200, found)


def _known_comment(call: Call) -> dict[str, Any] | None:
    wanted = call.number("comment_id")
    rows = (row for rows in call.repository.comments.values() for row in rows)
    return next((row for row in rows if row["id"] == wanted), None)


def _not_theirs(call: Call, row: Mapping[str, Any]) -> Reply | None:
    """Another's comment is changed by who may write only."""
    theirs = row["user"]["login"] == call.account.login
    role = call.github.role(call.repository, call.account.login)
    powerful = call.account.trusted or call.account.kind == "installation"
    if theirs or powerful or ROLES.index(role) >= ROLES.index("write"):
        return None
    return Reply(403, {"message": "Resource not accessible by personal access token"})


@route(f"PATCH {REPOSITORY}/issues/comments/{{comment_id}}", "issues", "write")
def _edit_comment(call: Call) -> Reply:
    found = _known_comment(call)
    if found is None:
        return not_found()
    refused = _not_theirs(call, found) or _bad_comment(call.body["body"])
    if refused:
        return refused
    call.github.act.edit_comment(
        call.repository.name, found["id"], call.body["body"], by=call.account.login
    )
    return Reply(200, found)


@route(f"DELETE {REPOSITORY}/issues/comments/{{comment_id}}", "issues", "write")
def _delete_comment(call: Call) -> Reply:
    found = _known_comment(call)
    if found is None:
        return not_found()
    if refused := _not_theirs(call, found):
        return refused
    call.github.act.delete_comment(call.repository.name, found["id"], by=call.account.login)
    return Reply(204)


# Statuses and checks.


@route(f"POST {REPOSITORY}/statuses/{{sha}}", "statuses", "write")
def _status(call: Call) -> Reply:
    sha, repository, body = call.named["sha"], call.repository, call.body
    if sha not in repository.objects.revisions:
        return invalid(message=f"No commit found for SHA: {sha}")
    context, description = body.get("context", "default"), body.get("description")
    if description is not None and len(description) > DESCRIPTION_LIMIT:
        said = f"description is too long (maximum is {DESCRIPTION_LIMIT} characters)"
        return invalid(wrong("Status", "description", "custom", said))
    target = body.get("target_url")
    if target and not target.startswith(("http://", "https://")):
        return invalid(
            wrong("Status", "target_url", "custom", "target_url must use http(s) scheme")
        )
    same = [row for row in _statuses_of(repository, sha) if _same(row["context"], context)]
    if len(same) >= STATUS_LIMIT:
        said = "This SHA and context has reached the maximum number of statuses."
        return invalid({"resource": "Status", "code": "custom", "message": said})
    at, number = text(call.github.now()), call.github.next_id()
    row = {
        "url": f"{call.github.url}/repos/{repository.name}/statuses/{sha}",
        "avatar_url": "https://avatars.githubusercontent.com/u/1?v=4",
        "id": number,
        "node_id": f"SC_{number}",
        "state": body["state"],
        "description": description,
        "target_url": target,
        "context": context,
        "created_at": at,
        "updated_at": at,
    }
    creator = {"creator": call.github.shapes.user(call.account.login)}
    repository.statuses.append({**row, **creator, "sha": sha})
    return Reply(201, {**row, **creator})


def _same(one: str, other: str) -> bool:
    return one.lower() == other.lower()  # contexts are told apart without their case


def _statuses_of(repository: Repository, sha: str) -> list[dict[str, Any]]:
    """The newest first."""
    return [row for row in reversed(repository.statuses) if row["sha"] == sha]


def latest_statuses(repository: Repository, sha: str) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in _statuses_of(repository, sha):
        shown = {key: value for key, value in row.items() if key not in ("sha", "creator")}
        found.setdefault(row["context"].lower(), shown)
    return list(found.values())


@route(f"GET {REPOSITORY}/commits/{{ref*}}/status", "statuses", "read")
def _combined(call: Call) -> Reply:
    sha = resolve(call, call.named["ref"])
    if sha is None:
        return not_found()
    latest = latest_statuses(call.repository, sha)
    states = {row["state"] for row in latest}
    state = "success"
    if not latest or "pending" in states:
        state = "pending"
    if states & {"error", "failure"}:
        state = "failure"
    page = call.page(latest)
    mine = f"{call.github.url}/repos/{call.repository.name}/commits/{sha}"
    body = {
        "state": state,
        "statuses": page.body,
        "sha": sha,
        "total_count": len(latest),
        "repository": call.github.shapes.repository(call.repository),
        "commit_url": mine,
        "url": f"{mine}/status",
    }
    return Reply(200, body, page.headers)


@route(f"GET {REPOSITORY}/commits/{{ref*}}/statuses", "statuses", "read")
def _statuses(call: Call) -> Reply:
    sha = resolve(call, call.named["ref"])
    if sha is None:
        return not_found()
    rows = [
        {key: value for key, value in row.items() if key != "sha"}
        for row in _statuses_of(call.repository, sha)
    ]
    return call.page(rows)


@route(f"POST {REPOSITORY}/check-runs", "checks", "write")
def _check_run(call: Call) -> Reply:
    sha = call.body["head_sha"]
    if sha not in call.repository.objects.revisions:
        return invalid(message=f"No commit found for SHA: {sha}")
    number = call.github.next_id()
    row: dict[str, Any] = {
        "id": number,
        "head_sha": sha,
        "node_id": f"CR_{number}",
        "external_id": "",
        "url": f"{call.github.url}/repos/{call.repository.name}/check-runs/{number}",
        "html_url": f"https://github.com/{call.repository.name}/runs/{number}",
        "details_url": "https://example.com",
        "status": "queued",
        "conclusion": None,
        "started_at": text(call.github.now()),
        "completed_at": None,
        "output": {
            "title": None,
            "summary": None,
            "text": None,
            "annotations_count": 0,
            "annotations_url": f"{call.github.url}/repos/{call.repository.name}/check-runs/"
            f"{number}/annotations",
        },
        "name": call.body["name"],
        "check_suite": {"id": number_of(f"suite {sha}")},
        "app": call.github.app_shape(),
        "pull_requests": _pulls_of(call, sha),
    }
    call.repository.checks.append(row)
    _fill(call, row)
    return Reply(201, row)


def _pulls_of(call: Call, sha: str) -> list[dict[str, Any]]:
    """Pull requests of this head; of a fork's there are none."""
    found = []
    for one in call.repository.pull_requests:
        if isinstance(one, OpenPullRequest) and one.head_sha == sha and not one.from_fork:
            shown = call.github.shapes.pull_request(call.repository, one)
            sides = {}
            for side in ("head", "base"):
                repo = {key: shown[side]["repo"][key] for key in ("id", "url", "name")}
                sides[side] = {"ref": shown[side]["ref"], "sha": shown[side]["sha"], "repo": repo}
            found.append({"id": shown["id"], "number": one.number, "url": shown["url"], **sides})
    return found


def _fill(call: Call, row: dict[str, Any]) -> None:
    body = call.body
    given = ("name", "details_url", "external_id", "started_at", "status")
    row.update({key: body[key] for key in given if key in body})
    if "conclusion" in body:  # which completes it, whatever its status says
        row["status"], row["conclusion"] = "completed", body["conclusion"]
        row["completed_at"] = body.get("completed_at") or text(call.github.now())
    shown = ("title", "summary", "text")
    row["output"].update({k: v for k, v in (body.get("output") or {}).items() if k in shown})


@route(f"PATCH {REPOSITORY}/check-runs/{{check_run_id}}", "checks", "write")
def _check_run_again(call: Call) -> Reply:
    found = _known_check(call)
    if found is None:
        return not_found()
    if found["status"] == "completed" and "conclusion" not in call.body:
        call.body.pop("status", None)  # one that is completed stays so, and nobody is told
    _fill(call, found)
    return Reply(200, found)


@route(f"GET {REPOSITORY}/check-runs/{{check_run_id}}", "checks", "read")
def _one_check(call: Call) -> Reply:
    found = _known_check(call)
    return not_found() if found is None else Reply(200, found)


def _known_check(call: Call) -> dict[str, Any] | None:
    wanted = call.number("check_run_id")
    return next((row for row in call.repository.checks if row["id"] == wanted), None)


@route(f"GET {REPOSITORY}/commits/{{ref*}}/check-runs", "checks", "read")
def _check_runs(call: Call) -> Reply:
    sha = resolve(call, call.named["ref"])
    if sha is None:
        return invalid(message=f"No commit found for SHA: {call.named['ref']}")
    asked = call.query
    rows = [
        row
        for row in reversed(call.repository.checks)
        if row["head_sha"] == sha
        and asked.get("check_name") in (None, row["name"])
        and asked.get("status") in (None, row["status"])
        and asked.get("app_id") in (None, str(row["app"]["id"]))
    ]
    if asked.get("filter", "latest") == "latest":
        newest: dict[str, dict[str, Any]] = {}
        for row in rows:
            newest.setdefault(row["name"], row)
        rows = list(newest.values())
    page = call.page(rows)
    return Reply(200, {"total_count": len(rows), "check_runs": page.body}, page.headers)
