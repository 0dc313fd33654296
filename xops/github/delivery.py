"""What is kept of a delivery of a webhook: the few values that routes and flows use.

Texts of people (titles, descriptions, comments) are not kept: whoever needs them reads them from
GitHub when they are needed. A payload is read as what it is, JSON of strangers' texts within an
envelope of GitHub's; a field that is used and has another shape makes the whole delivery unusable.
Facts: GitHub's "Webhook events and payloads" and the examples of `@octokit/webhooks-examples`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from xops.core.errors import PermanentError

MOST_COMMITS = 2048
"""A push lists no more commits than these."""
MOST_PATHS = 3000
"""Of a push that we keep; GitHub lists no more of one commit either."""
MOST_PATH_CHARACTERS = 256 * 1024
"""Of all paths together that we keep: a row is no place for all that a branch is full of."""
LONGEST_PATH = 4096
"""Characters of a path that we keep, as systems of files take them; Git itself has no limit."""
MOST_COMMAND = 200
"""Characters of a command that are kept."""
COMMAND = "xops "
"""What a comment that is for us begins with."""

_MOST_VALUES = 1_000_000
_BRANCH = "refs/heads/"


class NotADeliveryError(PermanentError):
    """A body is not what GitHub sends for this event."""

    def __init__(self, found: str) -> None:
        super().__init__(
            "reading a delivery of GitHub",
            found,
            "Look at the delivery in the hook's list of recent deliveries; GitHub made it"
            " otherwise than its documentation says.",
        )


# Rust's regular expressions take no half of a character, and PostgreSQL no NUL.
Line = Annotated[str, StringConstraints(max_length=1024, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A name or a reference of Git on one line."""
FilePath = Annotated[
    str, StringConstraints(min_length=1, max_length=LONGEST_PATH, pattern=r"^[^\x00]*$")
]
RepositoryName = Annotated[
    str,
    StringConstraints(
        max_length=200, pattern=r"^([A-Za-z0-9_][A-Za-z0-9_-]*/\.*[A-Za-z0-9_-][A-Za-z0-9._-]*)?$"
    ),
]
"""owner/name, neither of which is a way out of an address; or empty."""
CommitHash = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})?$")]
"""Empty if there is none."""
Number = Annotated[int, Field(ge=1, le=2**31 - 1)]
Id = Annotated[int, Field(ge=0, le=2**63 - 1)]
Guid = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
EventName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Moment = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]


class Delivery(BaseModel):
    """One delivery, without its body. A text that is empty was not given, or does not apply.

    Attributes:
        id: X-GitHub-Delivery; a redelivery has the same.
        number: of the pull request; None for all that concerns none.
        base_ref: the branch's name, without `refs/heads/`.
        merged: says something of a pull request that is closed only.
        ref, before, after: of a push as sent; `before` and `after` of a pull request's new commits.
        paths: files that a push changes, each once.
        paths_complete: whether `paths` are all of them.
        commit: that a review is of.
        command: first line of a comment on a pull request that begins with `xops `.
        team: its slug; the organisation is beside it.
        received_at: when we had it, in UTC.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Guid
    event: EventName
    action: Line = ""
    hook_id: Id | None = None
    repository: RepositoryName = ""
    organisation: Line = ""
    sender: Line = ""
    sender_is_bot: bool = False
    number: Number | None = None
    head_sha: CommitHash = ""
    base_ref: Line = ""
    base_sha: CommitHash = ""
    merged: bool = False
    ref: Line = ""
    before: CommitHash = ""
    after: CommitHash = ""
    paths: tuple[FilePath, ...] = ()
    paths_complete: bool = True
    review_id: Id | None = None
    review_state: Line = ""
    commit: CommitHash = ""
    command: Annotated[Line, StringConstraints(max_length=MOST_COMMAND)] = ""
    team: Line = ""
    member: Line = ""
    body_sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    received_at: Moment
    source: Literal["webhook", "polled"] = "webhook"


FIELDS = frozenset(Delivery.model_fields)
"""Names that a route's parameters may stand for."""


class _Part(BaseModel):
    """A part of a payload. What we do not use is not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


def _empty_if_null(value: Any) -> Any:
    return "" if value is None else value


_OrEmpty = BeforeValidator(_empty_if_null)
_Text = Annotated[str, _OrEmpty]
_Hash = Annotated[CommitHash, _OrEmpty]


class _Account(_Part):
    login: _Text = ""
    type: _Text = ""


class _Repository(_Part):
    full_name: _Text = ""


class _Payload(_Part):
    """What every event may have; all of what is kept of an event that we do not use."""

    action: _Text = ""
    repository: _Repository | None = None
    organization: _Account | None = None
    sender: _Account | None = None

    def kept(self) -> dict[str, Any]:
        """Values of a `Delivery` that only this event has."""
        return {}


class _Head(_Part):
    sha: str


class _Base(_Head):
    ref: str


class _PullRequest(_Part):
    number: int
    head: _Head
    base: _Base
    merged: bool | None = None

    def kept(self) -> dict[str, Any]:
        """What both events of pull requests tell of it."""
        return {
            "number": self.number,
            "head_sha": self.head.sha,
            "base_ref": self.base.ref,
            "base_sha": self.base.sha,
            "merged": bool(self.merged),
        }


class _PullRequestEvent(_Payload):
    pull_request: _PullRequest
    before: _Hash = ""
    after: _Hash = ""

    def kept(self) -> dict[str, Any]:
        return {**self.pull_request.kept(), "before": self.before, "after": self.after}


class _Review(_Part):
    id: int
    state: str
    commit_id: _Hash = ""


class _ReviewEvent(_Payload):
    pull_request: _PullRequest
    review: _Review

    def kept(self) -> dict[str, Any]:
        review = self.review
        told = {"review_id": review.id, "review_state": review.state.lower()}
        return {**self.pull_request.kept(), **told, "commit": review.commit_id}


class _Issue(_Part):
    number: int
    pull_request: _Part | None = None


class _Comment(_Part):
    body: _Text = ""


class _CommentEvent(_Payload):
    issue: _Issue
    comment: _Comment

    def kept(self) -> dict[str, Any]:
        if self.issue.pull_request is None:
            return {}
        return {"number": self.issue.number, "command": _command(self.comment.body)}


class _Commit(_Part):
    added: list[str] = []
    removed: list[str] = []
    modified: list[str] = []

    def paths(self) -> list[str]:
        return self.added + self.removed + self.modified


class _PushEvent(_Payload):
    ref: str
    before: _Hash = ""
    after: _Hash = ""
    forced: bool | None = None
    commits: list[_Commit] | None = None

    def kept(self) -> dict[str, Any]:
        moved = {"ref": self.ref, "before": self.before, "after": self.after}
        paths = dict.fromkeys(self._paths())
        kept = tuple(_kept_paths(paths))
        is_complete = self._is_complete() and len(kept) == len(paths)
        return {**moved, "paths": kept, "paths_complete": is_complete}

    def _paths(self) -> Iterator[str]:
        return (path for commit in self.commits or () for path in commit.paths())

    def _is_complete(self) -> bool:
        """A push that is forced takes commits away too, which are not listed."""
        commits = self.commits or ()
        cut = any(len(commit.paths()) >= MOST_PATHS for commit in commits)
        return not (self.forced or cut or len(commits) >= MOST_COMMITS)


def _kept_paths(paths: Iterable[str]) -> Iterator[str]:
    """The first of them, as many as there is room for, and none that is too long to be used."""
    room = MOST_PATH_CHARACTERS
    for path in islice(paths, MOST_PATHS):
        room -= len(path)
        if 0 < len(path) <= LONGEST_PATH and room >= 0:
            yield path


class _MergeGroup(_Part):
    head_sha: str
    head_ref: str
    base_sha: str
    base_ref: str


class _MergeGroupEvent(_Payload):
    merge_group: _MergeGroup

    def kept(self) -> dict[str, Any]:
        group = self.merge_group
        base = {"base_ref": group.base_ref.removeprefix(_BRANCH), "base_sha": group.base_sha}
        return {**base, "head_sha": group.head_sha, "ref": group.head_ref}


class _Team(_Part):
    slug: _Text = ""  # a team that was deleted has none any more


class _TeamEvent(_Payload):
    team: _Team
    member: _Account | None = None

    def kept(self) -> dict[str, Any]:
        return {"team": self.team.slug, "member": _login(self.member)}


class _Membership(_Part):
    user: _Account | None = None


class _OrganisationEvent(_Payload):
    membership: _Membership | None = None
    user: _Account | None = None

    def kept(self) -> dict[str, Any]:
        user = self.membership.user if self.membership else self.user
        return {"member": _login(user)}


class _Ping(_Payload):
    hook_id: int | None = None

    def kept(self) -> dict[str, Any]:
        return {} if self.hook_id is None else {"hook_id": self.hook_id}


_USED: dict[str, type[_Payload]] = {
    "issue_comment": _CommentEvent,
    "membership": _TeamEvent,
    "merge_group": _MergeGroupEvent,
    "organization": _OrganisationEvent,
    "ping": _Ping,
    "pull_request": _PullRequestEvent,
    "pull_request_review": _ReviewEvent,
    "push": _PushEvent,
    "team": _TeamEvent,
}


def project(
    event: str, delivery_id: str, hook_id: int | None, body: bytes, received_at: datetime
) -> Delivery:
    """What is kept of a delivery, of which the signature is right.

    Args:
        event: X-GitHub-Event.
        delivery_id: X-GitHub-Delivery.
        hook_id: X-GitHub-Hook-ID, if it was given.
        body: as it was sent.
        received_at: when, with its zone.

    Raises:
        NotADeliveryError: it is no such thing; says nothing of the content.
    """
    _check_values(body)
    envelope = {
        "id": delivery_id.lower(),
        "event": event,
        "hook_id": hook_id,
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "received_at": received_at,
    }
    try:
        return Delivery.model_validate(envelope | _kept(event, body))
    except ValidationError as error:
        raise NotADeliveryError(f"a payload of event {event}: {_where(error)}") from None


def _check_values(body: bytes) -> None:
    """Bound what reading takes: a value may take more memory than its text."""
    if len(body) > _MOST_VALUES and sum(map(body.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise NotADeliveryError(f"more than {_MOST_VALUES} values")


def _kept(event: str, body: bytes) -> dict[str, Any]:
    """Values of the payload.

    The body is read once, by pydantic's own reader of JSON: no Python object is made of what is
    not used, which is nearly all of it. It refuses what is no JSON in UTF-8 or is nested too deep,
    and of a key that is given twice it takes the last; nobody else reads these bytes.
    """
    used = _USED.get(event)
    if used is None:
        return _of_any_event(body)
    payload = used.model_validate_json(body)
    return _common(payload) | payload.kept()


def _of_any_event(body: bytes) -> dict[str, Any]:
    """Of an event that leads to nothing, whatever its shape is, as long as it is a JSON object."""
    try:
        common = _common(_Payload.model_validate_json(body))
        return Delivery.model_validate(_ANY | common).model_dump(include=set(common))
    except ValidationError:
        _Part.model_validate_json(body)
        return {}


_ANY = {"id": f"{0:08x}-0000-0000-0000-{0:012x}", "event": "any", "body_sha256": "0" * 64}
_ANY |= {"received_at": datetime(1970, 1, 1, tzinfo=UTC)}  # type: ignore[dict-item]


def _common(payload: _Payload) -> dict[str, Any]:
    sender = payload.sender or _Account()
    return {
        "action": payload.action,
        "repository": payload.repository.full_name if payload.repository else "",
        "organisation": _login(payload.organization),
        "sender": sender.login,
        "sender_is_bot": sender.type == "Bot",
    }


def _login(account: _Account | None) -> str:
    return account.login if account else ""


def _command(text: str) -> str:
    first = text.partition("\n")[0]
    if not first.startswith(COMMAND):
        return ""
    return "".join(filter(str.isprintable, first[:MOST_COMMAND])).strip()


def _where(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    names = [str(part) for part in first["loc"]]
    return f"{'.'.join(names)}: {first['type']}"
