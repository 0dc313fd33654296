"""Deployments and their statuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.github_data import Reply, text
from tests.github_rest.git import resolve
from tests.github_rest.reports import latest_statuses
from tests.github_rest.routes import (
    DESCRIPTION_LIMIT,
    REPOSITORY,
    Call,
    invalid,
    not_found,
    route,
    wrong,
)


@route(f"POST {REPOSITORY}/deployments", "deployments", "write")
def _deployment(call: Call) -> Reply:
    repository, body, ref = call.repository, call.body, call.body["ref"]
    sha = resolve(call, ref)
    if sha is None:
        return invalid(message=f"No ref found for: {ref}")
    if answer := _auto_merge(call, ref, sha) or _missing_contexts(call, ref, sha):
        return answer
    at, number = text(call.github.now()), call.github.next_id()
    mine = f"{call.github.url}/repos/{repository.name}/deployments/{number}"
    environment = body.get("environment", "production")
    row = {
        "url": mine,
        "id": number,
        "node_id": f"DE_{number}",
        "sha": sha,
        "ref": ref,
        "task": body.get("task", "deploy"),
        "payload": body.get("payload", {}),
        "original_environment": environment,
        "environment": environment,
        "description": body.get("description"),
        "creator": call.github.shapes.user(call.account.login),
        "created_at": at,
        "updated_at": at,
        "statuses_url": f"{mine}/statuses",
        "repository_url": f"{call.github.url}/repos/{repository.name}",
        "transient_environment": body.get("transient_environment", False),
        "production_environment": body.get("production_environment", environment == "production"),
        "performed_via_github_app": None,
    }
    repository.deployments.append({**row, "statuses": []})
    return Reply(201, row)


def _auto_merge(call: Call, ref: str, sha: str) -> Reply | None:
    """A branch that is behind the default branch gets that merged into it, unless told not to."""
    repository, branch = call.repository, call.repository.default_branch
    tip = repository.heads.get(branch)
    if not call.body.get("auto_merge", True) or ref not in repository.heads or tip is None:
        return None
    if tip in set(repository.objects.history(sha)):
        return None
    merged = repository.objects.merge(sha, tip)
    if merged.tree is None:
        return Reply(409, {"message": f"Conflict merging {branch} into {ref}."})
    who = repository.objects.revisions[sha].author
    made = repository.objects.commit(merged.tree, [sha, tip], who, f"Merge {branch} into {ref}")
    call.github.act.force_push(repository.name, ref, made, by=call.account.login)
    return Reply(202, {"message": f"Auto-merged {branch} into {ref} on deployment."})


def _missing_contexts(call: Call, ref: str, sha: str) -> Reply | None:
    known = {row["context"]: row["state"] for row in latest_statuses(call.repository, sha)}
    required = call.body.get("required_contexts")
    rows = [
        {"context": name, "state": known.get(name, "pending")}
        for name in (known if required is None else required)
        if known.get(name) != "success"
    ]
    if not rows:
        return None
    error = {"contexts": rows, **wrong("Deployment", "required_contexts", "invalid")}
    said = f"Conflict: Commit status checks failed for {ref}."
    return Reply(409, {"message": said, "errors": [error]})


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "statuses"}


@route(f"GET {REPOSITORY}/deployments", "deployments", "read")
def _deployments(call: Call) -> Reply:
    asked = ("sha", "ref", "task", "environment")
    rows = [
        row
        for row in reversed(call.repository.deployments)
        if all(call.query.get(key) in (None, row[key]) for key in asked)
    ]
    return call.page(rows, _shown)


def _known_deployment(call: Call) -> dict[str, Any] | None:
    wanted = call.number("deployment_id")
    return next((row for row in call.repository.deployments if row["id"] == wanted), None)


@route(f"GET {REPOSITORY}/deployments/{{deployment_id}}", "deployments", "read")
def _one_deployment(call: Call) -> Reply:
    found = _known_deployment(call)
    return not_found() if found is None else Reply(200, _shown(found))


@route(f"GET {REPOSITORY}/deployments/{{deployment_id}}/statuses", "deployments", "read")
def _deployment_statuses(call: Call) -> Reply:
    found = _known_deployment(call)
    return not_found() if found is None else call.page(found["statuses"][::-1])


@route(f"POST {REPOSITORY}/deployments/{{deployment_id}}/statuses", "deployments", "write")
def _deployment_status(call: Call) -> Reply:
    found, body = _known_deployment(call), call.body
    if found is None:
        return not_found()
    if len(body.get("description") or "") > DESCRIPTION_LIMIT:
        said = f"description is too long (maximum is {DESCRIPTION_LIMIT} characters)"
        return invalid(wrong("DeploymentStatus", "description", "custom", said))
    row = _add_deployment_status(call, found, body["state"])
    if body["state"] == "success" and body.get("auto_inactive", True):
        for other in call.repository.deployments:
            same = other["environment"] == found["environment"] and other is not found
            lasting = not (other["transient_environment"] or other["production_environment"])
            done = other["statuses"] and other["statuses"][-1]["state"] == "success"
            if same and lasting and done:
                _add_deployment_status(call, other, "inactive")
    return Reply(201, row)


def _add_deployment_status(call: Call, deployment: dict[str, Any], state: str) -> dict[str, Any]:
    at, number, body = text(call.github.now()), call.github.next_id(), call.body
    log = body.get("log_url") or body.get("target_url") or ""
    row = {
        "url": f"{deployment['statuses_url']}/{number}",
        "id": number,
        "node_id": f"DES_{number}",
        "state": state,
        "creator": call.github.shapes.user(call.account.login),
        "description": body.get("description", ""),
        "environment": body.get("environment") or deployment["environment"],
        "target_url": log,
        "created_at": at,
        "updated_at": at,
        "deployment_url": deployment["url"],
        "repository_url": deployment["repository_url"],
        "environment_url": body.get("environment_url", ""),
        "log_url": log,
        "performed_via_github_app": None,
    }
    deployment["statuses"].append(row)
    return row
