"""A pull request as it is now, read live.

What would be merged is GitHub's test merge, which is made in the background after either branch has
moved, and may be an old one until then. So its parents are compared with both branches, and it is
waited for until they are the same. A pull request's own `base.sha` stays where the base was when
the head was pushed, and is not used for that.

Sources: GitHub, "REST API endpoints for pull requests", "... for repository activity".
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from xops.core.errors import PermanentError
from xops.github.errors import ForbiddenError, NotVisibleError, RefusedError
from xops.github.pull_request.addresses import branch_name, object_id, repository_path
from xops.github.pull_request.facts import (
    ChangedFile,
    FileStatus,
    MergeGroupFacts,
    PullRequestFacts,
    Review,
    ReviewState,
)
from xops.github.pull_request.rows import Commit, Moment, Pointer, Ref, Row, Sha, User

if TYPE_CHECKING:  # githubkit takes a second to import
    from xops.github.client import Client

logger = logging.getLogger(__name__)

FILE_LIMIT = 3000
"""How many files of a pull request GitHub lists. Source: "List pull requests files"."""

COMPARED_FILE_LIMIT = 300
"""How many files of a comparison GitHub lists. Source: "Compare two commits"."""

WAITS = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between looks at a test merge that is being made."""

_ACTIVITIES = 100


class _Repository(Row):
    full_name: str
    default_branch: str


class _End(Row):
    ref: str
    sha: Sha
    repo: _Repository | None


class _PullRequest(Row):
    number: int
    title: str
    state: Literal["open", "closed"]
    draft: bool = False
    merged: bool
    user: User | None
    head: _End
    base: _End
    merge_commit_sha: Sha | None
    mergeable: bool | None
    changed_files: int
    commits: int


class _File(Row):
    filename: str
    status: FileStatus
    previous_filename: str | None = None


class _Review(Row):
    id: int
    user: User | None
    state: ReviewState
    commit_id: Sha | None = None
    submitted_at: Moment | None = None


class _Activity(Row):
    before: Sha
    after: Sha
    actor: User | None


class _Comparison(Row):
    merge_base_commit: Pointer
    files: tuple[_File, ...] = ()


@dataclass(frozen=True)
class _Merge:
    """What is merged into what: the base's commit, and the merge of the head into it."""

    base: str
    sha: str | None
    mergeable: bool | None


class PullRequestApi:
    """The pull requests of one repository.

    Args:
        client: with a credential that may read contents and pull requests.
        repository: owner/name.
        sleep: waits so many seconds.

    Raises:
        InputError: that is no name of a repository.
    """

    def __init__(
        self, client: Client, repository: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._repository = repository
        self._path = repository_path(repository)
        self._sleep = sleep

    def read(self, number: int) -> PullRequestFacts:
        """A pull request with its files and reviews.

        Waits up to half a minute for GitHub's test merge.

        Raises:
            NotVisibleError: there is none by that number, or the credential may not see it.
            PermanentError: the repository has another name now.
            AccessError, LimitError, UnavailableError, RefusedError.
        """
        attempted = f"reading pull request {self._repository}#{number}"
        found, merge = self._settled(number, attempted)
        files = self._files(number, attempted)
        base, head = _repository_of(found.base, attempted), found.head.repo
        from_fork = head is None or head.full_name.lower() != base.full_name.lower()
        return PullRequestFacts(
            repository=base.full_name,
            number=found.number,
            title=found.title,
            author=found.user.login if found.user else "",
            is_open=found.state == "open",
            merged=found.merged,
            draft=found.draft,
            from_fork=from_fork,
            head_sha=found.head.sha,
            base_ref=found.base.ref,
            base_sha=merge.base,
            merge_sha=merge.sha,
            mergeable=merge.mergeable,
            files=files,
            files_complete=len(files) >= found.changed_files and len(files) < FILE_LIMIT,
            reviews=self._reviews(number, attempted),
            default_branch=base.default_branch,
            pushed_by=None if from_fork else self._pushed_by(found.head),
        )

    def read_merge_group(self, head_sha: str, base_ref: str) -> MergeGroupFacts:
        """A group of a merge queue: one commit, which is to become the base as it is.

        Args:
            head_sha: the group's commit.
            base_ref: the branch, with or without `refs/heads/`.

        Raises:
            As `read`, and InputError for what is no commit's id.
        """
        attempted = f"reading the merge group {head_sha[:12]} of {self._repository}"
        both = f"{branch_name(base_ref)}...{object_id(head_sha)}"
        answer = self._client.get(f"{self._path}/compare/{both}", attempted, per_page=1)
        with self._client.translate_errors(attempted):
            found = _Comparison.of(answer)
        return MergeGroupFacts(
            repository=self._repository,
            head_sha=head_sha,
            base_ref=base_ref.removeprefix("refs/heads/"),
            base_sha=found.merge_base_commit.sha,
            files=tuple(map(_changed, found.files)),
            files_complete=len(found.files) < COMPARED_FILE_LIMIT,
        )

    def tip(self, branch: str) -> str:
        """The commit that a branch is at now.

        Raises:
            As `read`.
        """
        return self._tip(branch, f"asking what {branch} of {self._repository} is at")

    def _settled(self, number: int, attempted: str) -> tuple[_PullRequest, _Merge]:
        """The pull request and what would be merged, once GitHub knows it, or as far as it does."""
        for wait in (*WAITS, None):
            found = self._pull_request(number, attempted)
            merge = self._merge(found, attempted)
            if merge.mergeable is not None or found.state == "closed":
                return found, merge
            if wait is None:
                break
            logger.info("%s: waiting %.0f s for GitHub's test merge", attempted, wait)
            self._sleep(wait)
        logger.warning("%s: GitHub has made no test merge in %.0f s", attempted, sum(WAITS))
        return found, merge

    def _pull_request(self, number: int, attempted: str) -> _PullRequest:
        answer = self._client.get(f"{self._path}/pulls/{number}", attempted)
        with self._client.translate_errors(attempted):
            found = _PullRequest.of(answer)
        name = _repository_of(found.base, attempted).full_name
        if name.lower() != self._repository.lower():
            raise PermanentError(
                attempted,
                f"{self._repository} is {name} now",
                f"Allow {name} in deployments/github.yaml in its place.",
            )
        return found

    def _merge(self, found: _PullRequest, attempted: str) -> _Merge:
        if found.merged:
            return self._done(found, attempted)
        if found.state == "closed":
            return _Merge(self._tip_of_closed(found, attempted), None, None)
        tip = self._tip(found.base.ref, attempted)
        if not found.mergeable or found.merge_commit_sha is None:
            return _Merge(tip, None, False if found.mergeable is False else None)
        parents = self._parents(found.merge_commit_sha, attempted)
        if parents != (tip, found.head.sha):  # of before one of the branches moved
            return _Merge(tip, None, None)
        return _Merge(tip, found.merge_commit_sha, True)

    def _done(self, found: _PullRequest, attempted: str) -> _Merge:
        """The merge that was made, and what it was made on.

        Of several commits that were rebased or pushed as they were, the last has another one as its
        parent, which holds a part of the pull request, by which it must not be judged. So it is
        asked what the branch was at before.
        """
        merge = found.merge_commit_sha
        if merge is None:
            return _Merge(found.base.sha, None, None)
        parents = self._parents(merge, attempted)
        of_the_button = parents[1:] == (found.head.sha,)
        if of_the_button or (len(parents) == 1 and found.commits == 1):
            return _Merge(parents[0], merge, None)
        moves = (move for move in self._activity(found.base) if move.after == merge)
        before = next((move.before for move in moves), found.base.sha)
        return _Merge(before, merge, None)

    def _tip_of_closed(self, found: _PullRequest, attempted: str) -> str:
        try:
            return self._tip(found.base.ref, attempted)
        except NotVisibleError:  # GitHub closes pull requests into a branch that is deleted
            return found.base.sha

    def _tip(self, branch: str, attempted: str) -> str:
        path = f"{self._path}/git/ref/heads/{branch_name(branch)}"
        answer = self._client.get(path, attempted)
        with self._client.translate_errors(attempted):
            return Ref.of(answer).object.sha

    def _parents(self, commit: str, attempted: str) -> tuple[str, ...]:
        try:
            answer = self._client.get(f"{self._path}/git/commits/{commit}", attempted)
        except NotVisibleError:  # an old test merge is thrown away
            return ()
        with self._client.translate_errors(attempted):
            return tuple(parent.sha for parent in Commit.of(answer).parents)

    def _files(self, number: int, attempted: str) -> tuple[ChangedFile, ...]:
        listed = list(self._client.pages(f"{self._path}/pulls/{number}/files", attempted))
        with self._client.translate_errors(attempted):
            return tuple(_changed(_File.of(row)) for row in listed)

    def _reviews(self, number: int, attempted: str) -> tuple[Review, ...]:
        listed = list(self._client.pages(f"{self._path}/pulls/{number}/reviews", attempted))
        with self._client.translate_errors(attempted):
            return tuple(_review(_Review.of(row)) for row in listed)

    def _pushed_by(self, head: _End) -> str | None:
        """Who pushed the head; None where GitHub does not say."""
        moves = (move for move in self._activity(head) if move.after == head.sha)
        return next((move.actor.login for move in moves if move.actor), None)

    def _activity(self, branch: _End) -> list[_Activity]:
        """The last moves of a branch, the newest first; none where GitHub does not say."""
        attempted = f"asking what was pushed to {branch.ref} of {self._repository}"
        path = f"{self._path}/activity"
        ref = f"refs/heads/{branch.ref}"
        try:
            rows = self._client.get(path, attempted, ref=ref, per_page=_ACTIVITIES)
        except (ForbiddenError, NotVisibleError, RefusedError) as error:
            logger.info("%s: %s", attempted, error.found)
            return []
        with self._client.translate_errors(attempted):
            return [_Activity.of(row) for row in rows]


def _repository_of(base: _End, attempted: str) -> _Repository:
    if base.repo is None:
        raise RefusedError(attempted, "it belongs to no repository", "Run it again.")
    return base.repo


def _changed(file: _File) -> ChangedFile:
    return ChangedFile(file.filename, file.previous_filename or "", file.status)


def _review(row: _Review) -> Review:
    return Review(
        id=row.id,
        login=row.user.login if row.user else "",
        is_bot=row.user is not None and row.user.is_bot,
        state=row.state,
        commit=row.commit_id or "",
        submitted_at=row.submitted_at,
    )
