"""What is known of a pull request, read live from GitHub. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from xops.core.plan.cost import CostEffect

FileStatus = Literal["added", "changed", "copied", "modified", "removed", "renamed", "unchanged"]
"""What becomes of a file. Source: GitHub's REST API, "List pull requests files"."""


class ReviewState(StrEnum):
    """What a review says. Source: GitHub's REST API, "List reviews for a pull request".

    A review that is dismissed keeps its place and its time, and says nothing any more.
    """

    APPROVED = "APPROVED"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"
    COMMENTED = "COMMENTED"
    DISMISSED = "DISMISSED"
    PENDING = "PENDING"
    """Begun, and seen by nobody but its author."""


@dataclass(frozen=True)
class ChangedFile:
    """One file that a pull request changes.

    Attributes:
        path: from the root of the repository, with `/`.
        previous_path: where it was before it was renamed; empty otherwise.
    """

    path: str
    previous_path: str = ""
    status: FileStatus = "modified"

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths at which the pull request changes something."""
        return (self.path, self.previous_path) if self.previous_path else (self.path,)


@dataclass(frozen=True)
class Review:
    """One review.

    Attributes:
        id: counts up: of two reviews of one second, the later has the higher one.
        login: as GitHub spells it; empty for an account that is deleted.
        is_bot: whether GitHub says that it is no person (`user.type` is not `User`).
        commit: the head commit at that time; empty where GitHub does not know it any more.
        submitted_at: by GitHub's clock; None for a pending one.
    """

    id: int
    login: str
    is_bot: bool
    state: ReviewState
    commit: str
    submitted_at: datetime | None


@dataclass(frozen=True)
class PullRequestFacts:
    """One pull request as it is now.

    Attributes:
        repository: owner/name, as GitHub spells it.
        author: the login of who opened it; empty for an account that is deleted.
        is_open, merged: open; or closed, by a merge or without one.
        from_fork: whether the head is in another repository, or in one that is gone.
        head_sha: the commit that is to be merged.
        base_ref: the branch that it goes into, without `refs/heads/`.
        base_sha: what that branch is at now: read by itself, since a pull request's own `base.sha`
            stays behind. Of a merged one, the commit that the merge was made on: its first parent.
        merge_sha: GitHub's test merge of exactly head_sha into base_sha (its parents say so); None
            as long as there is none. Of a merged one, the merge itself.
        mergeable: False: it conflicts. None: GitHub has not tried yet.
        files_complete: whether `files` are all of them; GitHub lists 3,000 at most.
        default_branch: the repository's own.
        pushed_by: the login of who pushed head_sha; None where GitHub does not say. He or she
            reviews nothing of it, either: a push to another's branch is one's own work.
    """

    repository: str
    number: int
    title: str
    author: str
    is_open: bool
    merged: bool
    draft: bool
    from_fork: bool
    head_sha: str
    base_ref: str
    base_sha: str
    merge_sha: str | None
    mergeable: bool | None
    files: tuple[ChangedFile, ...]
    files_complete: bool
    reviews: tuple[Review, ...]
    default_branch: str
    pushed_by: str | None = None

    @property
    def authors(self) -> frozenset[str]:
        """Logins, in lower case, of those whose own work it is."""
        return frozenset(login.lower() for login in (self.author, self.pushed_by) if login)


@dataclass(frozen=True)
class MergeGroupFacts:
    """What a merge queue would make of its base: one commit with one pull request or several.

    Attributes:
        base_ref: the branch that it goes into, without `refs/heads/`.
    """

    repository: str
    head_sha: str
    base_ref: str
    base_sha: str
    files: tuple[ChangedFile, ...]
    files_complete: bool


@dataclass(frozen=True)
class Holder:
    """The pull request that holds the lock of an environment.

    Attributes:
        subject: what is locked, `ecs/test`.
        head_sha: its commit when it took the lock last.
        since: when it took the lock first.
    """

    subject: str
    repository: str
    number: int
    head_sha: str
    since: datetime


@dataclass(frozen=True)
class ShownPlan:
    """The plan of an environment that people were shown last on a pull request.

    Attributes:
        subject: `ecs/test`.
        head_sha, base_sha: what it was made from.
        digest: all 64 characters; empty once nothing of it waits to be applied any more.
        shown_at: when this digest of this head commit was in the comment first, by GitHub's clock.
        comment_id: the comment that shows it.
        applied_at: when a plan of this pull request was applied last; None: never. It outlives the
            plan: what is applied stays so when another plan is shown.
        cost: that was shown with it; None if there was none.
    """

    repository: str
    number: int
    subject: str
    head_sha: str
    base_sha: str
    digest: str
    shown_at: datetime
    comment_id: int
    applied_at: datetime | None = None
    cost: CostEffect | None = None

    @property
    def environment(self) -> str:
        """The name of its environment."""
        return self.subject.rpartition("/")[2]

    @property
    def is_open(self) -> bool:
        """Whether there is something of it that waits to be applied."""
        return bool(self.digest)
