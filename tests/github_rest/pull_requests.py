"""Pull requests and their reviews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.github_data import OpenPullRequest, PullRequest, Reply, Repository, Review
from tests.github_rest.routes import (
    DOCUMENTATION,
    REPOSITORY,
    Call,
    invalid,
    not_found,
    route,
    wrong,
)
from tests.github_shapes import number_of

FILE_LIMIT = 3000
_PULL = f"{REPOSITORY}/pulls/{{pull_number}}"


# Repositories and pull requests.


@route(f"GET {REPOSITORY}")
def _repository(call: Call) -> Reply:
    return Reply(200, call.github.shapes.whole_repository(call.repository))


@route(f"GET {REPOSITORY}/pulls", "pull_requests", "read")
def _pulls(call: Call) -> Reply:
    wanted, asked = call.query.get("state", "open"), call.query
    rows = [
        one
        for one in call.repository.pull_requests
        if wanted in ("all", "open" if is_open(one) else "closed")
        and asked.get("base") in (None, one.base)
        and asked.get("head") in (None, f"{_head_owner(call.repository, one)}:{one.head}")
    ]
    by = {"updated": lambda one: (one.updated, one.number)}.get(
        asked.get("sort", "created"), lambda one: (one.number, one.number)
    )
    rows.sort(key=by, reverse=asked.get("direction", "desc") == "desc")
    shapes, repository = call.github.shapes, call.repository
    return call.page(rows, lambda one: shapes.pull_request(repository, one))


@route(f"POST {REPOSITORY}/pulls", "pull_requests", "write")
def _open(call: Call) -> Reply:
    owner, _, branch = call.body["head"].rpartition(":")
    name = call.repository.name.partition("/")[2]
    source = call.github.find(f"{owner}/{name}") if owner else call.repository
    if source is None or branch not in source.heads:
        return invalid(wrong("PullRequest", "head", "invalid"))
    if call.body["base"] not in call.repository.heads:
        return invalid(wrong("PullRequest", "base", "invalid"))
    for one in call.repository.pull_requests:
        same = isinstance(one, OpenPullRequest) and one.head_repository is source
        if same and is_open(one) and (one.head, one.base) == (branch, call.body["base"]):
            said = f"A pull request already exists for {source.owner}:{branch}."
            return invalid({"resource": "PullRequest", "code": "custom", "message": said})
    made = call.github.act.open(
        call.repository.name,
        branch,
        base=call.body["base"],
        by=call.account.login,
        title=call.body.get("title") or "Change",
        body=call.body.get("body") or "",
        draft=bool(call.body.get("draft")),
        fork=source if source is not call.repository else None,
    )
    return Reply(201, call.github.shapes.whole_pull_request(call.repository, made))


@route(f"GET {_PULL}", "pull_requests", "read")
def _pull(call: Call) -> Reply:
    one = pull_request_of(call)
    if one is None:
        return not_found()
    if isinstance(one, OpenPullRequest):
        call.github.act.look(call.repository, one)
    shown = call.github.shapes.whole_pull_request(call.repository, one)
    if call.version >= "2026-03-10":  # that version has it no more
        del shown["merge_commit_sha"]
    return Reply(200, shown)


@route(f"PATCH {_PULL}", "pull_requests", "write")
def _edit(call: Call) -> Reply:
    one = pull_request_of(call)
    if not isinstance(one, OpenPullRequest):
        return not_found()
    act, name, by = call.github.act, call.repository.name, call.account.login
    if call.body.get("base") not in (None, *call.repository.heads):
        return invalid(wrong("PullRequest", "base", "invalid"))
    if call.body.get("title") or call.body.get("base"):
        changed = {key: call.body[key] for key in ("title", "base") if call.body.get(key)}
        act.edit(name, one.number, by=by, **changed)
    if call.body.get("state") == "closed" and one.is_open:
        act.close(name, one.number, by=by)
    if call.body.get("state") == "open" and not one.is_open:
        if one.merged_at is not None:
            said = "Cannot reopen a pull request that was merged"
            return invalid({"resource": "PullRequest", "code": "custom", "message": said})
        act.reopen(name, one.number, by=by)
    return Reply(200, call.github.shapes.whole_pull_request(call.repository, one))


@route(f"GET {_PULL}/files", "pull_requests", "read")
def _files(call: Call) -> Reply:
    one = pull_request_of(call)
    if one is None:
        return not_found()
    rows: Sequence[Any] = one.changes if isinstance(one, OpenPullRequest) else one.files
    head = one.head_sha if isinstance(one, OpenPullRequest) else "0" * 40
    shapes, repository = call.github.shapes, call.repository
    return call.page(rows[:FILE_LIMIT], lambda row: shapes.file(repository, head, row))


@route(f"GET {_PULL}/commits", "pull_requests", "read")
def _commits_of_pull(call: Call) -> Reply:
    one = pull_request_of(call)
    if not isinstance(one, OpenPullRequest):
        return not_found()
    objects = call.repository.objects
    known = set(objects.history(one.base_sha))
    rows = [oid for oid in objects.history(one.head_sha) if oid not in known]
    shapes, repository = call.github.shapes, call.repository
    return call.page(rows[::-1], lambda oid: shapes.listed_commit(repository, oid))


@route(f"GET {_PULL}/merge", "contents", "read")
def _merged(call: Call) -> Reply:
    one = pull_request_of(call)
    return Reply(204) if one is not None and one.merged_at else not_found()


@route(f"PUT {_PULL}/merge", "contents", "write")
def _merge(call: Call) -> Reply:
    one = pull_request_of(call)
    if not isinstance(one, OpenPullRequest):
        return not_found()
    if one.draft:
        return Reply(405, {"message": "Pull Request is still a draft"})
    if call.body.get("sha") not in (None, one.head_sha):
        said = "Head branch was modified. Review and try the merge again."
        return Reply(409, {"message": said, "documentation_url": DOCUMENTATION})
    method = call.body.get("merge_method", "merge")
    try:
        made = call.github.act.merge(
            call.repository.name, one.number, by=call.account.login, method=method
        )
    except ValueError as error:
        return Reply(405, {"message": str(error), "documentation_url": DOCUMENTATION})
    said = "Pull Request successfully merged"
    return Reply(200, {"sha": made, "merged": True, "message": said})


def pull_request_of(call: Call) -> PullRequest | None:
    wanted = call.number("pull_number")
    return next((one for one in call.repository.pull_requests if one.number == wanted), None)


def is_open(one: PullRequest) -> bool:
    return isinstance(one, OpenPullRequest) and one.is_open


def _head_owner(repository: Repository, one: PullRequest) -> str:
    return one.fork_owner if isinstance(one, OpenPullRequest) else repository.owner


# Reviews.


@route(f"GET {_PULL}/reviews", "pull_requests", "read")
def _reviews(call: Call) -> Reply:
    one = pull_request_of(call)
    if one is None:
        return not_found()
    # A pending review is shown to its author only.
    mine = call.account.login
    rows = [r for r in _reviews_of(one) if r.state != "PENDING" or r.login == mine]
    shapes, repository = call.github.shapes, call.repository
    return call.page(rows, lambda review: shapes.review(repository, one.number, review))


def _reviews_of(one: PullRequest) -> list[Review]:
    if isinstance(one, OpenPullRequest):
        return one.submitted
    return [
        Review(number_of(f"{one.number} {at}"), login, "APPROVED", None, at)
        for login, at in one.reviews
    ]


@route(f"POST {_PULL}/reviews", "pull_requests", "write")
def _review(call: Call) -> Reply:
    one = pull_request_of(call)
    if not isinstance(one, OpenPullRequest):
        return not_found()
    event, by = call.body.get("event", ""), call.account.login
    commit = call.body.get("commit_id") or one.head_sha
    if refused := _no_review(one, event, by, call.body):
        return refused
    if commit not in call.repository.objects.revisions:
        return invalid("Review Commit is not part of the pull request", message=_UNPROCESSABLE)
    made = call.github.act.review(
        call.repository.name,
        one.number,
        _STATES[event],
        by=by,
        commit=commit,
        body=call.body.get("body") or "",
    )
    return Reply(200, call.github.shapes.review(call.repository, one.number, made))


_UNPROCESSABLE = "Unprocessable Entity"
_STATES = {
    "APPROVE": "APPROVED",
    "REQUEST_CHANGES": "CHANGES_REQUESTED",
    "COMMENT": "COMMENTED",
    "": "PENDING",
}
_OWN = {
    "APPROVE": "Review Can not approve your own pull request",
    "REQUEST_CHANGES": "Review Can not request changes on your own pull request",
}


def _no_review(one: OpenPullRequest, event: str, by: str, body: Mapping[str, Any]) -> Reply | None:
    if event in _OWN and by.lower() == (one.author or "").lower():
        return invalid(_OWN[event], message=_UNPROCESSABLE)
    if event in ("REQUEST_CHANGES", "COMMENT") and not body.get("body"):
        return invalid("Review Body can't be blank", message=_UNPROCESSABLE)
    return None


def _known_review(call: Call) -> tuple[OpenPullRequest, Review] | None:
    one, wanted = pull_request_of(call), call.number("review_id")
    if not isinstance(one, OpenPullRequest):
        return None
    found = next((review for review in one.submitted if review.id == wanted), None)
    return None if found is None else (one, found)


@route(f"GET {_PULL}/reviews/{{review_id}}", "pull_requests", "read")
def _one_review(call: Call) -> Reply:
    known = _known_review(call)
    if known is None:
        return not_found()
    one, review = known
    return Reply(200, call.github.shapes.review(call.repository, one.number, review))


@route(
    f"POST {_PULL}/reviews/{{review_id}}/events",
    "pull_requests",
    "write",
)
def _submit(call: Call) -> Reply:
    known = _known_review(call)
    if known is None or known[1].login != call.account.login:
        return not_found()
    one, review = known
    if refused := _no_review(one, call.body["event"], call.account.login, call.body):
        return refused
    call.github.act.submit(call.repository.name, one.number, review, _STATES[call.body["event"]])
    return Reply(200, call.github.shapes.review(call.repository, one.number, review))


@route(
    f"PUT {_PULL}/reviews/{{review_id}}/dismissals",
    "pull_requests",
    "write",
)
def _dismiss(call: Call) -> Reply:
    known = _known_review(call)
    if known is None:
        return not_found()
    one, review = known
    if review.state not in ("APPROVED", "CHANGES_REQUESTED"):
        said = f"Can not dismiss a {review.state.lower()} pull request review"
        return invalid(said, message=_UNPROCESSABLE)
    call.github.act.dismiss(call.repository.name, one.number, review.id, by=call.account.login)
    return Reply(200, call.github.shapes.review(call.repository, one.number, review))
