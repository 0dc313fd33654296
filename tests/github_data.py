"""What the GitHub of the tests holds: repositories, pull requests, commits, and faults to come."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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


@dataclass
class Commit:
    """One commit of a default branch."""

    author: Person
    at: datetime
    message: str = "Change"
    committer: Person | None = None
    oid: str = ""


@dataclass
class File:
    """One changed file."""

    path: str
    change: str = "MODIFIED"
    previous: str | None = None


@dataclass
class PullRequest:
    """One pull request; `author` None is a deleted account, `login[bot]` a bot."""

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

    @property
    def updated(self) -> datetime:
        """When it was updated last: at its merge unless said otherwise."""
        return self.updated_at or self.merged_at or datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Repository:
    """One repository. `formerly` are names it had, which lead to it."""

    name: str
    id: str
    default_branch: str = "main"
    pull_requests: list[PullRequest] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    mailmap: str | None = None
    formerly: list[str] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    indexed: int | None = None

    def merge(
        self, merged_at: datetime, *paths: str, number: int | None = None, **more: Any
    ) -> PullRequest:
        """Add a merged pull request that changed those paths."""
        number = number or len(self.pull_requests) + 1
        made = PullRequest(number, merged_at, [File(path) for path in paths], **more)
        self.pull_requests.append(made)
        return made

    def commit(self, author: Person, at: datetime, message: str = "Change", **more: Any) -> Commit:
        """Add a commit to the default branch."""
        made = Commit(author, at, message, **more)
        made.oid = _oid(f"{self.id}{len(self.commits)}{at}{message}")
        self.commits.append(made)
        return made

    def force_push(self, keep: int) -> None:
        """Throw away all but the first commits, and write another in their place."""
        last = self.commits[-1]
        del self.commits[keep:]
        self.commit(last.author, last.at, f"forced {len(self.commits)}")

    @property
    def number(self) -> int:
        """The id in REST's addresses."""
        return int(hashlib.sha256(self.id.encode()).hexdigest()[:8], 16)


class Fault(BaseModel):
    """What happens to the next `times` requests that match, after `skip` that are let through.

    Attributes:
        operation: of a query (`MergedPullRequests`), or `METHOD /path` as a regular expression.
        repository: GraphQL only: owner/name that must be among the variables.
        above: GraphQL only: matches queries with a larger `first` than this.
        kind: `status` answers `status`; `secondary` and `primary` are rate limits; `partial` makes
            `field` null with an error of type `error`; `refused` is an error without data; `drop`
            ends the connection; `arrives` does what was asked, then ends the connection; `html`
            is a proxy's page.
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
    retry_after: int | None = None
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
