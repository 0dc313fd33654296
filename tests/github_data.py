"""What the GitHub of the tests holds: repositories, pull requests, commits, and faults to come."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


@dataclass
class Person:
    """Somebody in a commit: what Git writes, and the login GitHub knows for the address."""

    name: str
    email: str
    login: str | None = None


GITHUB = Person("GitHub", "noreply@github.com", "web-flow")
"""Who commits what somebody merges in the browser."""


@dataclass
class Commit:
    """One commit of a default branch; `previous` is its first parent."""

    author: Person
    at: datetime
    message: str = "Change"
    committer: Person | None = None
    oid: str = ""
    previous: Commit | None = field(default=None, repr=False)

    @property
    def history(self) -> Iterator[Commit]:
        """It and its ancestors, the newest first."""
        found: Commit | None = self
        while found is not None:
            yield found
            found = found.previous


@dataclass
class File:
    """One changed file."""

    path: str
    change: str = "MODIFIED"
    previous: str | None = None


@dataclass
class PullRequest:
    """One pull request; `author` None is a deleted account, `login[bot]` a bot.

    Attributes:
        merge_commit: its oid; None if GitHub knows none.
        unreadable: no question that asks for its files is answered, however small.
    """

    number: int
    merged_at: datetime | None
    files: Sequence[File]
    author: str | None = "alice"
    title: str = "Change"
    base: str = "main"
    head: str = "topic"
    updated_at: datetime | None = None
    reviews: Sequence[tuple[str, datetime]] = ()
    additions: int = 3
    deletions: int = 1
    files_hidden: bool = False
    body: str = ""
    merge_commit: str | None = None
    unreadable: bool = False

    @property
    def updated(self) -> datetime:
        """When it was updated last: at its merge unless said otherwise."""
        return self.updated_at or self.merged_at or datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Team:
    """A team of an organisation: full names of its repositories, logins of its members."""

    repositories: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=list)


@dataclass
class Organisation:
    """An organisation: its members and, by slug, its teams. Its repositories bear its name.

    Attributes:
        conceals: whether the credential sees only those who show their membership, and no team.
        public: who shows it.
    """

    login: str
    members: list[str] = field(default_factory=list)
    teams: dict[str, Team] = field(default_factory=dict)
    conceals: bool = False
    public: list[str] = field(default_factory=list)


@dataclass
class Refusal:
    """Sizes above which GitHub gives up, and how it says so.

    Attributes:
        history: the largest page of commits that it answers.
        listing: the largest page of pull requests.
        details: the most pull requests of which it tells files and reviews in one question.
        answer: `RESOURCE_LIMITS_EXCEEDED` and `timeout` are errors within the answer, at the field;
            `502` is the whole answer.
    """

    history: int = 100
    listing: int = 100
    details: int = 100
    answer: str = "RESOURCE_LIMITS_EXCEEDED"


@dataclass
class Repository:
    """One repository. `formerly` are names it had, which lead to it.

    Attributes:
        branches: that exist besides the default one.
        contents: by a commit's oid the files of its tree; binary if bytes.
        associations: by login how somebody belongs to it; a `MEMBER` if not said.
        refusal: what is too much for GitHub here.
        null_nodes: lists (`pullRequests`, `history`, `files`, `reviews`) whose first node is null.
        drops_labels: whether the credential may not label its issues, which nobody tells it.
    """

    name: str
    id: str
    default_branch: str = "main"
    pull_requests: list[PullRequest] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    mailmap: str | None = None
    formerly: list[str] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    indexed: int | None = None
    archived: bool = False
    fork: bool = False
    topics: list[str] = field(default_factory=list)
    branches: list[str] = field(default_factory=list)
    contents: dict[str, dict[str, str | bytes]] = field(default_factory=dict)
    associations: dict[str, str] = field(default_factory=dict)
    refusal: Refusal = field(default_factory=Refusal)
    null_nodes: set[str] = field(default_factory=set)
    drops_labels: bool = False
    _unreachable: list[Commit] = field(default_factory=list, repr=False)

    def merge(
        self, merged_at: datetime, *paths: str, number: int | None = None, **more: Any
    ) -> PullRequest:
        """Add a merged pull request that changed those paths; its merge commit is no one's."""
        number = number or len(self.pull_requests) + 1
        more.setdefault("merge_commit", _oid(f"{self.id} merge {number}"))
        made = PullRequest(number, merged_at, [File(path) for path in paths], **more)
        self.pull_requests.append(made)
        return made

    def put(self, request: PullRequest, **files: str | bytes) -> None:
        """Say what is in files as the pull request was merged; `put(pr, **{"a/b.yaml": "..."})`."""
        assert request.merge_commit is not None
        self.contents.setdefault(request.merge_commit, {}).update(files)

    def commit(self, author: Person, at: datetime, message: str = "Change", **more: Any) -> Commit:
        """Add a commit to the default branch."""
        made = Commit(author, at, message, **more)
        made.oid = _oid(f"{self.id}{len(self.commits)}{at}{message}")
        made.previous = self.commits[-1] if self.commits else None
        self.commits.append(made)
        return made

    def squash(self, request: PullRequest, author: Person) -> Commit:
        """Add the commit into which the button squashes a merged pull request."""
        return self._of(request, author, f"{request.title} (#{request.number})")

    def merge_with_commit(self, request: PullRequest, merger: Person) -> Commit:
        """Add the merge commit that the button makes; its author is who pressed it."""
        owner = self.name.partition("/")[0]
        return self._of(
            request, merger, f"Merge pull request #{request.number} from {owner}/{request.head}"
        )

    def _of(self, request: PullRequest, author: Person, message: str) -> Commit:
        assert request.merged_at is not None
        made = self.commit(author, request.merged_at, message, committer=GITHUB)
        if request.merge_commit in self.contents:
            self.contents[made.oid] = self.contents[request.merge_commit]
        request.merge_commit = made.oid
        return made

    def force_push(self, keep: int) -> None:
        """Throw away all but the first commits, and write another in their place."""
        last = self.commits[-1]
        self._unreachable += self.commits[keep:]
        del self.commits[keep:]
        self.commit(last.author, last.at, f"forced {len(self.commits)}")

    def rename_default_branch(self, name: str) -> None:
        """Rename it as the settings page does: merged pull requests keep the base they had."""
        self.default_branch = name

    def commit_of(self, oid: str) -> Commit | None:
        """The commit, reachable or not: GitHub answers for both."""
        return next((c for c in [*self.commits, *self._unreachable] if c.oid == oid), None)

    def has(self, oid: str) -> bool:
        """Whether there is a commit of that oid."""
        merged = (request.merge_commit for request in self.pull_requests)
        return oid in self.contents or self.commit_of(oid) is not None or oid in set(merged)

    @property
    def owner(self) -> str:
        """The user or organisation."""
        return self.name.partition("/")[0]

    @property
    def number(self) -> int:
        """The id in REST's addresses."""
        return int(hashlib.sha256(self.id.encode()).hexdigest()[:8], 16)


class Fault(BaseModel):
    """What happens to the next `times` requests that match, after `skip` that are let through.

    Attributes:
        operation: of a query (`PullRequestDetails`), or `METHOD /path` as a regular expression.
        repository: GraphQL only: owner/name that must be among the variables.
        above: GraphQL only: matches queries with a larger `first` than this.
        kind: `status` answers `status`; `secondary` and `primary` are rate limits, `in_answer` is
            one of GraphQL in an answer of status 200; `partial` makes `field` null with an error of
            type `error`; `refused` is an error without data; `drop` ends the connection; `arrives`
            does what was asked, then ends the connection; `html` is a proxy's page.
    """

    model_config = ConfigDict(extra="forbid")

    operation: str = ".*"
    repository: str | None = None
    above: int = 0
    kind: str = "status"
    status: int = 502
    message: str = "Injected by a test."
    error: str | None = None
    field: str = "pullRequests"
    retry_after: int | str | None = None
    delay_seconds: float = 0.0
    skip: int = Field(default=0, ge=0)
    times: int = Field(default=1, ge=1)


@dataclass
class Request:
    """One request as it came."""

    method: str
    path: str
    operation: str = ""
    variables: dict[str, Any] = field(default_factory=dict)
    cost: int = 0
    status: int = 0
    authorization: str = ""
    query: str = ""


def text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _oid(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]
