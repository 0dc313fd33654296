"""What a person does on the GitHub of the tests, over HTTP: open, push, review, comment, merge.

All are `POST /xops/NAME` with JSON; `GET /xops/deliveries` and `GET /xops/comments` show what came
of it. The arguments are those of the methods of `Actions` of the same name.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

from tests import github_hooks
from tests.github_data import OpenPullRequest, Reply

if TYPE_CHECKING:
    from tests.github_server import GitHubServer

ACTS = (
    "close", "comment", "dismiss", "draft", "edit", "join_team", "leave_team", "merge", "open",
    "push", "queue", "reopen", "review",
)  # fmt: skip


def answer(github: GitHubServer, method: str, path: str, body: Mapping[str, Any]) -> Reply:
    """Do what is asked, and say what came of it."""
    name = path.removeprefix("/xops/")
    if method == "GET" and name == "deliveries":
        return Reply(200, [github_hooks.item(one) for one in reversed(github.hooks.sent)])
    if method == "GET" and name == "comments":
        return Reply(200, _comments(github))
    if method == "POST" and name == "redeliver":
        made = github.hooks.redeliver(int(body["id"]))
        return Reply(404 if made is None else 202, {})
    if method == "POST" and name in ACTS:
        return _act(github, name, body)
    said = f"POST /xops/({'|'.join(ACTS)}|redeliver), GET /xops/(deliveries|comments)"
    return Reply(404, {"message": said})


def _act(github: GitHubServer, name: str, body: Mapping[str, Any]) -> Reply:
    act = getattr(github.act, name)
    try:
        inspect.signature(act).bind(**body)
    except TypeError as error:
        return Reply(422, {"message": f"{name}{inspect.signature(act)}: {error}"})
    try:
        found = act(**body)
    except (LookupError, StopIteration, ValueError) as error:
        return Reply(422, {"message": f"{type(error).__name__}: {error}"})
    return Reply(200, _shown(found))


def _shown(found: Any) -> Any:
    if isinstance(found, OpenPullRequest):
        return {"number": found.number, "head": found.head_sha}
    if is_dataclass(found) and not isinstance(found, type):
        return {key: str(value) for key, value in asdict(found).items()}
    return {"commit": found} if isinstance(found, str) else found or {}


def _comments(github: GitHubServer) -> list[dict[str, Any]]:
    return [
        {"repository": repository.name, "number": number, "by": row["user"]["login"], **_text(row)}
        for repository in github.repositories.values()
        for number, rows in repository.comments.items()
        for row in rows
    ]


def _text(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: row.get(key) for key in ("id", "body", "updated_at")}
