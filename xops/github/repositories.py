"""Repositories, read one after the other: what was merged, who worked on them, or why not known."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from xops.core.errors import XopsError
from xops.github import commits, queries
from xops.github.access import NEEDED
from xops.github.client import Answer, Client, problem_error
from xops.github.errors import (
    ForbiddenError,
    NotVisibleError,
    PartialAnswerError,
    RefusedError,
    UnavailableError,
)
from xops.github.people import Activity, Identity, Mailmap
from xops.github.pull_requests import Listing
from xops.github.records import Records, Store

logger = logging.getLogger(__name__)

OF_ONE_REPOSITORY = (
    ForbiddenError, NotVisibleError, PartialAnswerError, RefusedError, UnavailableError,
)  # fmt: skip
"""Errors that leave the other repositories readable. A refused credential does not, nor a limit."""


@dataclass
class RepositorySnapshot:
    """One repository as it was read.

    Attributes:
        name: its name of today, owner/name.
        default_branch: empty if it has no commit yet.
        mailmap: its own table of names.
        records: what is known of it; all of it only if there is no `problem`.
        newest: when its newest merged pull request was updated; None if it has none.
        problem: why it could not be read, or not all of it.
        pages: of the list of pull requests.
    """

    name: str
    records: Records
    default_branch: str = ""
    mailmap: Mailmap = field(default_factory=Mailmap)
    newest: datetime | None = None
    problem: XopsError | None = None
    pages: int = 0

    @property
    def asked(self) -> str:
        """The name it was asked for by; another one than `name` if it was renamed since."""
        return self.records.name

    def activities(self, *, mailmap: bool = True) -> Iterator[Activity]:
        """What people did: pull requests merged, reviews, commits of the default branch.

        Args:
            mailmap: whether names and addresses are replaced by the repository's `.mailmap`.
        """
        for who, at in self._people_seen():
            yield Activity(self.mailmap.proper(who) if mailmap else who, at)

    def _people_seen(self) -> Iterator[tuple[Identity, datetime]]:
        for request in self.records.pull_requests.values():
            yield request.author, request.merged_at
            for review in request.reviews:
                yield review.who, review.at
        for commit in self.records.commits.values():
            for who in commit.people:
                yield who, commit.at


class Reader:
    """Reads repositories, and goes on where it was broken off.

    Args:
        client: the connection.
        store: what earlier readings left.
        now: the clock.
    """

    def __init__(
        self, client: Client, store: Store, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._client = client
        self._store = store
        self._now = now

    def read(self, names: Sequence[str], since: datetime) -> list[RepositorySnapshot]:
        """All that was merged and committed since, of each repository, in their order.

        One that cannot be read has its problem; the others are read all the same.

        Raises:
            AccessError: the credential is refused.
            LimitError: a limit outlasts the patience. What was read is kept.
        """
        snapshots: list[RepositorySnapshot] = []
        for start in range(0, len(names), queries.REPOSITORIES):
            snapshots += self._overviews(names[start : start + queries.REPOSITORIES], since)
        for snapshot in snapshots:
            if snapshot.problem is None:
                self._list(snapshot, since)
        return snapshots

    def _list(self, snapshot: RepositorySnapshot, since: datetime) -> None:
        listing = Listing(self._client, self._store, snapshot.records, snapshot.name)
        try:
            listing.synchronise(since, snapshot.newest, self._now())
        except OF_ONE_REPOSITORY as error:
            snapshot.problem = error
        snapshot.pages = listing.pages
        self._store.keep(snapshot.records)

    def _overviews(self, names: Sequence[str], since: datetime) -> list[RepositorySnapshot]:
        """Several repositories in one question; if that is too much for GitHub, half of them."""
        known = [self._store.open(name) for name in names]
        starts = [commits.wanted_since(records, since) for records in known]
        attempted = f"reading {names[0]}" + (f" and {len(names) - 1} more" * (len(names) > 1))
        try:
            answer = self._client.graphql(
                queries.overview(len(names)),
                _variables(names, starts),
                attempted,
                patient=len(names) == 1,
            )
        except (UnavailableError, NotVisibleError) as error:
            if len(names) == 1:
                return [RepositorySnapshot(names[0], known[0], problem=error)]
            middle = len(names) // 2
            halves = (names[:middle], names[middle:])
            return [snapshot for half in halves for snapshot in self._overviews(half, since)]
        return [
            self._whole(records, f"r{index}", answer, starts[index], since)
            for index, records in enumerate(known)
        ]

    def _whole(
        self, records: Records, key: str, answer: Answer, commits_since: datetime, since: datetime
    ) -> RepositorySnapshot:
        try:
            with self._client.translate_errors(f"reading {records.name}"):
                return self._overview(records, key, answer, commits_since, since)
        except OF_ONE_REPOSITORY as error:
            return RepositorySnapshot(records.name, records, problem=error)

    def _overview(
        self, records: Records, key: str, answer: Answer, commits_since: datetime, since: datetime
    ) -> RepositorySnapshot:
        found, problem = answer.data.get(key), _problem(records.name, key, answer)
        if found is None or problem is not None:
            return RepositorySnapshot(records.name, records, problem=problem)
        if records.id not in ("", found["id"]):
            # What is known is of another repository, which had this name before.
            self._store.keep(Records(name=records.name))
            return self._overviews([records.name], since)[0]
        records.id = _text(found["id"])
        branch = found["defaultBranchRef"] or {}
        newest = [node["updatedAt"] for node in found["pullRequests"]["nodes"]]
        snapshot = RepositorySnapshot(
            name=_text(found["nameWithOwner"]),
            records=records,
            default_branch=_text(branch.get("name", "")),
            mailmap=Mailmap.parse((found["mailmap"] or {}).get("text") or ""),
            newest=_moment(newest[0]) if newest else None,
        )
        self._take_commits(snapshot, branch.get("target"), commits_since)
        return snapshot

    def _take_commits(
        self, snapshot: RepositorySnapshot, target: Mapping[str, Any] | None, since: datetime
    ) -> None:
        try:
            commits.take(self._client, snapshot.records, snapshot.name, target, since, self._now())
        except OF_ONE_REPOSITORY as error:
            snapshot.problem = error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("is no text")
    return value


def _moment(value: Any) -> datetime:
    found = datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError("is in no zone")
    return found


def _variables(names: Sequence[str], starts: Sequence[datetime]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for index, (name, start) in enumerate(zip(names, starts, strict=True)):
        owner, _, short = name.partition("/")
        variables[f"owner{index}"], variables[f"name{index}"] = owner, short
        variables[f"since{index}"] = start.isoformat(timespec="seconds")
    return variables


def _problem(name: str, key: str, answer: Answer) -> XopsError | None:
    """What is wrong with one repository's part of an answer; None if it is whole."""
    attempted = f"reading {name}"
    # A problem without a place may concern any of them.
    own = [problem for problem in answer.problems if problem.path[:1] in ((), (key,))]
    if own:
        return problem_error(attempted, own)
    if answer.data.get(key) is None:
        remedy = f"Correct the name, or give the credential {NEEDED}."
        return NotVisibleError(attempted, "GitHub shows no such repository", remedy)
    return None
