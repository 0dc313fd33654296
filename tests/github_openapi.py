"""Which request bodies GitHub takes: its own OpenAPI description, as githubkit's models hold it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from githubkit_schemas.latest import models
from pydantic import BaseModel, ValidationError

_REPOSITORY = "/repos/{owner}/{repo}"
BODIES = {
    f"POST {_REPOSITORY}/statuses/{{sha}}": "ReposOwnerRepoStatusesShaPostBody",
    f"POST {_REPOSITORY}/deployments": "ReposOwnerRepoDeploymentsPostBody",
    f"POST {_REPOSITORY}/deployments/{{deployment_id}}/statuses": (
        "ReposOwnerRepoDeploymentsDeploymentIdStatusesPostBody"
    ),
    f"POST {_REPOSITORY}/issues": "ReposOwnerRepoIssuesPostBody",
    f"PATCH {_REPOSITORY}/issues/{{issue_number}}": "ReposOwnerRepoIssuesIssueNumberPatchBody",
    f"POST {_REPOSITORY}/issues/{{issue_number}}/comments": (
        "ReposOwnerRepoIssuesIssueNumberCommentsPostBody"
    ),
    f"PATCH {_REPOSITORY}/issues/comments/{{comment_id}}": (
        "ReposOwnerRepoIssuesCommentsCommentIdPatchBody"
    ),
    f"POST {_REPOSITORY}/pulls": "ReposOwnerRepoPullsPostBody",
    f"PATCH {_REPOSITORY}/pulls/{{pull_number}}": "ReposOwnerRepoPullsPullNumberPatchBody",
    f"POST {_REPOSITORY}/pulls/{{pull_number}}/reviews": (
        "ReposOwnerRepoPullsPullNumberReviewsPostBody"
    ),
    f"POST {_REPOSITORY}/pulls/{{pull_number}}/reviews/{{review_id}}/events": (
        "ReposOwnerRepoPullsPullNumberReviewsReviewIdEventsPostBody"
    ),
    f"PUT {_REPOSITORY}/pulls/{{pull_number}}/reviews/{{review_id}}/dismissals": (
        "ReposOwnerRepoPullsPullNumberReviewsReviewIdDismissalsPutBody"
    ),
    f"PUT {_REPOSITORY}/pulls/{{pull_number}}/merge": "ReposOwnerRepoPullsPullNumberMergePutBody",
    f"POST {_REPOSITORY}/hooks": "ReposOwnerRepoHooksPostBody",
    f"PATCH {_REPOSITORY}/hooks/{{hook_id}}": "ReposOwnerRepoHooksHookIdPatchBody",
    f"PATCH {_REPOSITORY}/hooks/{{hook_id}}/config": "ReposOwnerRepoHooksHookIdConfigPatchBody",
    "POST /orgs/{org}/hooks": "OrgsOrgHooksPostBody",
    "PATCH /orgs/{org}/hooks/{hook_id}": "OrgsOrgHooksHookIdPatchBody",
    "PATCH /orgs/{org}/hooks/{hook_id}/config": "OrgsOrgHooksHookIdConfigPatchBody",
    "PATCH /app/hook/config": "AppHookConfigPatchBody",
}
"""By method and path, as the description writes it, the model of a request's body."""

# One of several shapes, by the status that the body has.
_CHECK_RUN = f"POST {_REPOSITORY}/check-runs"
_CHECK_RUN_AGAIN = f"PATCH {_REPOSITORY}/check-runs/{{check_run_id}}"
_UNSET = "literal[<UNSET>]"
"""The branch of a union that means: not given."""

_STRICT = {f"POST {_REPOSITORY}/hooks"}
"""Where the description allows no other property."""


def problem(operation: str, body: Mapping[str, Any]) -> str | None:
    """What is wrong with a body, in the words of GitHub's check; None if it is taken."""
    model = _model(operation, body)
    if model is None:
        return None
    unknown = [key for key in body if key not in model.model_fields]
    if operation in _STRICT and unknown:
        return f'Invalid request.\n\n"{unknown[0]}" is not a permitted key.'
    try:
        model.model_validate(dict(body))
    except ValidationError as error:
        wrong = [row for row in error.errors() if _UNSET not in row["loc"]]
        return "Invalid request.\n\n" + "\n".join(map(_said, wrong))
    return None


def _model(operation: str, body: Mapping[str, Any]) -> type[BaseModel] | None:
    completed = body.get("status") == "completed"
    name = BODIES.get(operation, "")
    if operation == _CHECK_RUN:
        name = f"ReposOwnerRepoCheckRunsPostBodyOneof{0 if completed else 1}"
    if operation == _CHECK_RUN_AGAIN:
        completed = completed or "conclusion" in body
        name = f"ReposOwnerRepoCheckRunsCheckRunIdPatchBodyAnyof{0 if completed else 1}"
    return getattr(models, name) if name else None


def _said(error: Any) -> str:
    place = [part for part in error["loc"] if str(part).islower() or isinstance(part, int)]
    name, given = str(place[-1]), json.dumps(error["input"], default=str)[:100]
    path = "/".join(f"properties/{part}" for part in place)
    match error["type"]:
        case "missing":
            return f'"{name}" wasn\'t supplied.'
        case "string_too_long":
            most = error["ctx"]["max_length"]
            return f"Only {most} characters are allowed; {len(error['input'])} were supplied."
        case "too_long":
            return f"For '{path}', no more than {error['ctx']['max_length']} items are allowed."
        case "literal_error":
            return f"For '{path}', {given} is not a member of [{error['ctx']['expected']}]."
        case _:
            return f"For '{path}', {given} is not valid: {error['msg']}."
