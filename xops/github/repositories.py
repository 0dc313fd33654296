"""Repositories, read together: what was merged, who worked on them, or why that is not known."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from xops.core.errors import XopsError
from xops.github import commits, queries
from xops.github.access import NEEDED
from xops.github.answers import Answer, problem_error
from xops.github.batches import OF_ONE_PART, Batch, read_to_the_end
from xops.github.client import Client
from xops.github.errors import GoneError, NotVisibleError, PartialAnswerError
from xops.github.people.identities import Activity, Identity
from xops.github.people.mailmap import Mailmap
from xops.github.pull_requests import Details, Listing, first_page, read_lists
from xops.github.records import Records, Store

logger = logging.getLogger(__name__)

OF_ONE_REPOSITORY = OF_ONE_PART
"""Errors that leave the other repositories readable. A refused credential does not, nor a limit."""


@dataclass
class RepositorySnapshot:
    """One repository as it was read.

    Attributes:
        name: its name of today, owner/name.
        records: what is known of it; all of it only if there is no `problem`.
        default_branch: empty if it has no commit yet.
        archived: whether it takes no changes any more.
        mailmap: its own table of names.
        also_asked: further names it was asked for by, each of which leads to it.
        problem: why its pull requests could not be read, or not all of them.
        people_problem: why not all who worked on it are known, though its pull requests may be.
        pages: of the list of pull requests.
        notes: what a reader of the counts should know.
    """

    name: str
    records: Records
    default_branch: str = ""
    archived: bool = False
    mailmap: Mailmap = field(default_factory=Mailmap)
    also_asked: tuple[str, ...] = ()
    problem: XopsError | None = None
    people_problem: XopsError | None = None
    pages: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        """GitHub's; empty if it was never read."""
        return self.records.id

    @property
    def asked(self) -> str:
        """The name it was asked for by; another one than `name` if it was renamed since."""
        return self.records.name

    @property
    def renamed_to(self) -> str:
        """Its name of today if it was asked for by a former one; empty otherwise."""
        return self.name if self.name.lower() != self.asked.lower() else ""

    def activities(self, *, mailmap: bool = True) -> Iterator[Activity]:
        """What people did: pull requests merged, reviews, commits of the default branch.

        Args:
            mailmap: whether names and addresses are replaced by the repository's `.mailmap`.
        """
        for who, at, association in self._people_seen():
            yield Activity(self.mailmap.proper(who) if mailmap else who, at, association)

    def links(self, *, mailmap: bool = True) -> Iterator[tuple[Identity, Identity, str]]:
        """Pairs of identities that are one person, with the evidence in words.

        A commit into which GitHub's button squashed a pull request has the author of the change as
        its author; if GitHub knows no account for that address, it is the pull request's author's.
        A merge commit's author is who merged, so none is evidence.

        Args:
            mailmap: as in `activities`.
        """
        merged = {one.merge_commit: one for one in self.records.pull_requests.values()}
        for oid, commit in commits.squash_commits(self.records):
            request, author = merged.get(oid), commit.squash_author
            if request is None or author is None or request.number != commit.squash_of:
                continue
            if request.author.bot or not request.author.login or author.login or not author.email:
                continue
            why = f"{oid[:7]} is the squash commit of {self.name}#{request.number}"
            yield request.author, self.mailmap.proper(author) if mailmap else author, why

    def _people_seen(self) -> Iterator[tuple[Identity, datetime, str]]:
        for request in self.records.pull_requests.values():
            yield request.author, request.merged_at, request.association
            for review in request.reviews:
                yield review.who, review.at, review.association
        for commit in self.records.commits.values():
            for who in commit.people:
                yield who, commit.at, ""


@dataclass
class _Part:
    """One repository's part of the first question."""

    index: int
    name: str
    records: Records
    start: datetime
    pulls: int
    size: int = queries.PAGE
    with_history: bool = True

    def shrink(self) -> bool:
        if self.size > 1:
            self.size //= 2
        elif self.with_history:  # its pull requests can be read without its commits
            self.size, self.with_history = queries.PAGE, False
        else:
            return False
        return True

    @property
    def attempted(self) -> str:
        return f"reading {self.records.name}"


@dataclass
class _Reading:
    """A repository that answered, and its lists that go on."""

    snapshot: RepositorySnapshot
    history: commits.History
    listing: Listing


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
        self._readings: dict[str, _Reading] = {}

    def read(self, names: Sequence[str], since: datetime) -> list[RepositorySnapshot]:
        """All that was merged and committed since, of each repository, in their order.

        One that cannot be read has its problem; the others are read all the same. Names that lead
        to one repository give it once.

        Raises:
            AccessError: the credential is refused.
            LimitError: a limit outlasts the patience. What was read is kept.
            RefusedError: what answers is not GitHub.
        """
        self._readings = {}
        snapshots: list[RepositorySnapshot] = []
        for start in range(0, len(names), queries.REPOSITORIES):
            snapshots += self._overviews(names[start : start + queries.REPOSITORIES], since)
        readings = list(self._readings.values())
        read_to_the_end(
            commits.batch(self._client),
            [reading.history for reading in readings],
            queries.REPOSITORIES,
        )
        listings = [reading.listing for reading in readings]
        read_lists(self._client, listings)
        Details(self._client, self._store).read(listings)
        for reading in readings:
            self._end(reading)
        return snapshots

    def _end(self, reading: _Reading) -> None:
        snapshot, listing = reading.snapshot, reading.listing
        snapshot.problem = listing.problem
        unknown = reading.history.problem or _untold_reviews(snapshot)
        snapshot.people_problem = snapshot.people_problem or unknown
        snapshot.pages = listing.pages
        snapshot.notes += listing.notes
        self._store.keep(snapshot.records)

    def _overviews(self, names: Sequence[str], since: datetime) -> list[RepositorySnapshot]:
        """Several repositories in one question, each in its place; less where that is too much."""
        parts = [
            self._part(index, name, self._store.open(name), since)
            for index, name in enumerate(names)
        ]
        answered = list(self._batch().ask(parts))
        answered.sort(key=lambda row: row[0].index)
        found = (self._snapshot(part, answer, since) for part, answer in answered)
        return [snapshot for snapshot in found if snapshot is not None]

    def _part(self, index: int, name: str, records: Records, since: datetime) -> _Part:
        start = commits.wanted_since(records, since)
        return _Part(index, name, records, start, first_page(records, since))

    def _batch(self) -> Batch[_Part]:
        def send(parts: Sequence[_Part], patient: bool) -> Answer:
            attempted = parts[0].attempted + (f" and {len(parts) - 1} more" * (len(parts) > 1))
            query = queries.overview([part.with_history for part in parts])
            return self._client.graphql(query, _variables(parts), attempted, patient=patient)

        return Batch(
            self._client, lambda one: one.attempted, send, lambda i: (f"r{i}",), _Part.shrink
        )

    def _snapshot(
        self, part: _Part, found: Any | XopsError, since: datetime
    ) -> RepositorySnapshot | None:
        """What was found; None if another name gave the same repository."""
        try:
            with self._client.translate_errors(part.attempted):
                if isinstance(found, XopsError):
                    raise found
                if found is None:
                    remedy = f"Correct the name, or give the credential {NEEDED}."
                    raise NotVisibleError(part.attempted, "GitHub shows no such repository", remedy)
                return self._take(part, found, since)
        except NotVisibleError as error:
            return self._look_for(part, error, since)
        except OF_ONE_REPOSITORY as error:
            return RepositorySnapshot(part.name, part.records, problem=error)

    def _take(
        self, part: _Part, found: Mapping[str, Any], since: datetime
    ) -> RepositorySnapshot | None:
        id = _text(found["id"])
        if (known := self._readings.get(id)) is not None:
            _ask_also(known.snapshot, part.records.name)
            self._store.keep_name(part.records.name, id)
            return None
        if part.records.id not in ("", id):
            # What is known is of the repository that had this name before: that has its own file.
            records = self._store.open_id(id, part.records.name)
            snapshot = self._ask_again(part.name, records, since)
            if snapshot is not None:
                snapshot.notes.append(f"{part.name} is another repository than before")
            return snapshot
        if not part.records.id:
            part.records = self._store.open_id(id, part.records.name)
        snapshot = RepositorySnapshot(_text(found["nameWithOwner"]), part.records)
        self._describe(snapshot, found)
        self._begin(part, snapshot, found, since)
        return snapshot

    def _describe(self, snapshot: RepositorySnapshot, found: Mapping[str, Any]) -> None:
        snapshot.archived = bool(found["isArchived"])
        if snapshot.archived:
            snapshot.notes.append(f"{snapshot.name} is archived")
        branch = found["defaultBranchRef"] or {}
        snapshot.default_branch = _text(branch.get("name", ""))
        seen = snapshot.records.default_branches
        if snapshot.default_branch and snapshot.default_branch not in seen[-1:]:
            snapshot.records.default_branches = [
                *(name for name in seen if name != snapshot.default_branch),
                snapshot.default_branch,
            ]
        try:
            snapshot.mailmap = self._mailmap(snapshot.name, found["mailmap"] or {})
        except OF_ONE_REPOSITORY as error:
            snapshot.people_problem = error

    def _begin(
        self,
        part: _Part,
        snapshot: RepositorySnapshot,
        found: Mapping[str, Any],
        since: datetime,
    ) -> None:
        """Take the first pages of commits and pull requests."""
        records, now = snapshot.records, self._now()
        history = commits.History(
            self._client, self._store, records, snapshot.name, since, part.start, now
        )
        listing = Listing(self._client, self._store, records, snapshot.name, since, now)
        try:
            with self._client.translate_errors(part.attempted):
                history.begin(_target(part, found["defaultBranchRef"]))
        except OF_ONE_REPOSITORY as error:
            history.fail(error)
        try:
            with self._client.translate_errors(part.attempted):
                listing.begin(found["pullRequests"])
        except OF_ONE_REPOSITORY as error:
            listing.fail(error)
        self._readings[snapshot.id] = _Reading(snapshot, history, listing)

    def _ask_again(self, name: str, records: Records, since: datetime) -> RepositorySnapshot | None:
        """Ask for one repository alone, with what is known of it."""
        ((part, found),) = self._batch().ask([self._part(0, name, records, since)])
        return self._snapshot(part, found, since)

    def _look_for(
        self, part: _Part, error: NotVisibleError, since: datetime
    ) -> RepositorySnapshot | None:
        """Look by its id for a repository that was read before and whose name leads nowhere."""
        records = part.records
        if not records.id or part.name != records.name:
            return RepositorySnapshot(part.name, records, problem=error)
        try:
            name = self._name_of(records.id, part.attempted)
        except OF_ONE_REPOSITORY as other:
            return RepositorySnapshot(part.name, records, problem=other)
        if name:
            return self._ask_again(name, records, since)
        read = f", read last on {records.read_at:%Y-%m-%d}" if records.read_at else ""
        gone = GoneError(
            part.attempted,
            f"it is deleted or hidden from this credential{read}: {error.found}",
            f"Take it from the policy, or give the credential {NEEDED}.",
        )
        return RepositorySnapshot(part.name, records, problem=gone)

    def _name_of(self, id: str, attempted: str) -> str:
        """The name of today of the repository of an id; empty if GitHub shows none."""
        answer = self._client.graphql(queries.WHEREABOUTS, {"id": id}, attempted)
        with self._client.translate_errors(attempted):
            found = answer.data["node"]
            if found is not None:
                return _text(found["nameWithOwner"])
        unclear = [one for one in answer.problems if one.kind not in ("NOT_FOUND", "FORBIDDEN")]
        if unclear:
            raise problem_error(attempted, unclear)
        return ""

    def _mailmap(self, name: str, blob: Mapping[str, Any]) -> Mailmap:
        """The repository's table of names; GraphQL cuts one of more than 512,000 bytes."""
        if not blob.get("isTruncated"):
            return Mailmap.parse(_text(blob.get("text") or ""))
        attempted = f"reading the .mailmap of {name}"
        row = self._client.get(f"/repos/{name}/git/blobs/{_text(blob['oid'])}", attempted)
        content = base64.b64decode(_text(row["content"]))
        return Mailmap.parse(content.decode("utf-8", errors="replace"))


def existing_branches(client: Client, name: str, branches: Sequence[str]) -> set[str]:
    """Those of some branches that a repository has now; a renamed branch's old name is none.

    Args:
        client: the connection.
        name: owner/name.
        branches: their names.

    Raises:
        AccessError, NotVisibleError, LimitError, UnavailableError, PartialAnswerError,
        RefusedError.
    """
    attempted = f"looking for branches of {name}"
    owner, _, short = name.partition("/")
    found: set[str] = set()
    for start in range(0, len(branches), queries.BRANCHES):
        part = branches[start : start + queries.BRANCHES]
        variables = {"owner": owner, "name": short} | {
            f"branch{index}": f"refs/heads/{branch}" for index, branch in enumerate(part)
        }
        answer = client.graphql(queries.branches(len(part)), variables, attempted)
        with client.translate_errors(attempted):
            rows = answer.complete(attempted)["repository"]
            found |= {branch for index, branch in enumerate(part) if rows[f"b{index}"]}
    return found


def _ask_also(snapshot: RepositorySnapshot, name: str) -> None:
    snapshot.also_asked = (*snapshot.also_asked, name)
    snapshot.notes.append(
        f"{snapshot.asked} and {name} are one repository, {snapshot.name}: it counts once"
    )


def _target(part: _Part, branch: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The last commit of a branch; None if there is no branch, as nothing was committed yet."""
    if branch is None:
        return None
    if branch["target"] is None or not part.with_history:
        raise PartialAnswerError(
            f"reading the commits of {part.records.name}",
            "GitHub does not answer for the commits of its default branch, however few",
            "Run it again later; its pull requests are counted meanwhile.",
        )
    return dict(branch["target"])


def _untold_reviews(snapshot: RepositorySnapshot) -> PartialAnswerError | None:
    requests = snapshot.records.pull_requests.values()
    untold = sorted(one.number for one in requests if not one.all_reviews)
    if not untold:
        return None
    more = f" and {len(untold) - 1} more" * (len(untold) > 1)
    return PartialAnswerError(
        f"reading the reviews of {snapshot.name}",
        f"GitHub does not tell all of #{untold[0]}{more}",
        "There is nothing to do: the count of engineers is a lower bound until they are past.",
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("is no text")
    return value


def _variables(parts: Sequence[_Part]) -> dict[str, str | int]:
    variables: dict[str, str | int] = {}
    for index, part in enumerate(parts):
        owner, _, short = part.name.partition("/")
        variables |= {
            f"owner{index}": owner,
            f"name{index}": short,
            f"pulls{index}": min(part.pulls, part.size),
        }
        if part.with_history:
            variables[f"since{index}"] = part.start.isoformat(timespec="seconds")
            variables[f"commits{index}"] = part.size
    return variables
