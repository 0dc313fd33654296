"""The merged pull requests of a repository, all of them, read as little as possible.

They are listed by the time of their last update, the newest first, until one is older than what is
asked for. As none is merged after it was last updated, that finds every one that was merged since.
GitHub's search does not: its index lags behind, and its results end at 1,000.

A pull request that is updated during a pass over several pages moves to the top and could be
missed. So after such a pass the top is read again, down to where the pass began, until one page
holds all that has changed meanwhile, or nothing has.

A list names ids only. Files and reviews are asked for by id, for those that are not known as they
were updated last, many repositories' in one question.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from xops.core.errors import XopsError
from xops.github import queries
from xops.github.answers import Answer
from xops.github.batches import OF_ONE_PART, Batch, of_repository, read_to_the_end
from xops.github.client import Client
from xops.github.errors import (
    AccessError,
    LimitError,
    NotVisibleError,
    PartialAnswerError,
    RefusedError,
    StaleCursorError,
    UnavailableError,
)
from xops.github.moments import moment
from xops.github.people.identities import Identity
from xops.github.records import MergedPullRequest, Records, Review, Store, Walk

logger = logging.getLogger(__name__)

FILE_LIMIT = 3000
"""How many files of a pull request REST lists. Source: GitHub, "List pull requests files"."""

SEARCH_SAMPLE = 100
"""Repositories that are compared with GitHub's search, of however many."""

_ROUNDS = 5

_RECENT = 25
"""Pull requests of the first page where earlier ones are known."""

_SETTLED = timedelta(minutes=10)
"""Beyond any lag of a replica and difference of clocks: what was updated so long before it was read
was seen, even if something else was updated within the same second."""


@dataclass
class Listing:
    """Brings the list of one repository's pull requests up to date.

    Attributes:
        client: translates answers of another shape.
        store: keeps the records after every page.
        records: what is known so far.
        name: owner/name of today.
        since: merged pull requests are wanted from here on.
        now: this machine's clock.
        size: of a page.
        waiting: whether another page is wanted.
        problem: why it could not be read.
        pages: how many were read.
        notes: what is known in part.
    """

    client: Client
    store: Store
    records: Records
    name: str
    since: datetime
    now: datetime
    size: int = queries.PAGE
    waiting: bool = False
    problem: XopsError | None = None
    pages: int = 0
    notes: list[str] = field(default_factory=list)
    cursor: str | None = None
    _top: datetime | None = None
    _stop: datetime | None = None
    _pages_of_pass: int = 0
    _passes: int = 0
    _changed: bool = False

    @property
    def attempted(self) -> str:
        """What is being done, for errors."""
        return f"listing the pull requests of {self.name}"

    def begin(self, first: Mapping[str, Any]) -> None:
        """Go on where a pass was broken off, or from the first page, which was just read."""
        begun = self.records.walk
        if begun is None:
            self._begin_pass(_SETTLED)
            self._take(first)
            return
        self._begin_pass(_SETTLED)
        # It is brought to its own end where that lies further back: what it was asked for then
        # need not be read from the top again.
        self._stop = min(self._stop or begun.stop, begun.stop)
        self._top, self.cursor, self._pages_of_pass = begun.top, begun.cursor, begun.pages

    def answer(self, found: Any | XopsError) -> None:
        """Take the page that was wanted, or why there is none."""
        if isinstance(found, StaleCursorError) and self.records.walk is not None:
            logger.info("%s: the cursor of the last pass is stale, it begins anew", self.name)
            self.records.walk = None
            self._begin_pass(_SETTLED)
            return
        try:
            with self.client.translate_errors(self.attempted):
                self._take(self._page(found))
        except OF_ONE_PART as error:
            self.fail(error)

    def shrink(self) -> bool:
        """Ask for half as many; False if it is one already."""
        if self.size == 1:
            return False
        self.size //= 2
        logger.info("%s: pages of %d now", self.name, self.size)
        return True

    def fail(self, error: XopsError) -> None:
        """Give up."""
        self.problem, self.waiting = error, False

    def _page(self, found: Any | XopsError) -> Mapping[str, Any]:
        if isinstance(found, XopsError):
            raise found
        return dict(of_repository(found, self.records.id, self.attempted)["pullRequests"])

    def _begin_pass(self, margin: timedelta) -> None:
        """From the top, down to what is known, if that reaches back far enough."""
        records = self.records
        self._stop = self.since
        # What was updated up to `covered_to` is known, back to `covered_from`: only if that is
        # far enough may the pass end there. There may have been nothing to cover up to.
        if records.covered_from is not None and records.covered_from <= self.since:
            known = records.covered_to
            self._stop = max(self.since, known - margin) if known else records.covered_from
        self._top, self.cursor, self._pages_of_pass = None, None, 0
        self._changed = False
        self.waiting = True

    def _take(self, page: Mapping[str, Any]) -> None:
        nodes, info = page["nodes"], page["pageInfo"]
        if any(node is None for node in nodes):
            raise PartialAnswerError(
                self.attempted, "GitHub answered null in place of a pull request", "Run it again."
            )
        self.pages, self._pages_of_pass = self.pages + 1, self._pages_of_pass + 1
        self._top = self._top or (moment(nodes[0]["updatedAt"]) if nodes else None)
        stop = self._stop or self.since
        older = self._note(nodes, stop)
        if older or self._top is None or not info["hasNextPage"]:
            self._end_pass(stop)
        else:
            self.cursor = str(info["endCursor"])
            self.records.walk = Walk(
                top=self._top, stop=stop, cursor=self.cursor, pages=self._pages_of_pass
            )
        self.store.keep(self.records)

    def _note(self, nodes: Sequence[Mapping[str, Any]], stop: datetime) -> bool:
        """Note what is not known as it was updated last; whether there was something older."""
        for node in nodes:
            updated = moment(node["updatedAt"])
            if updated < stop:
                return True
            id = str(node["id"])
            if not self._known(id, updated) and self.records.pending.get(id) != updated:
                self.records.pending[id], self._changed = updated, True
        return False

    def _known(self, id: str, updated: datetime) -> bool:
        known, read_at = self.records.pull_requests.get(id), self.records.read_at
        same = known is not None and known.updated_at == updated
        return same and read_at is not None and read_at - updated > _SETTLED

    def _end_pass(self, stop: datetime) -> None:
        records = self.records
        records.walk = None
        # What was known before counts as covered if the pass reached it: nothing lies between.
        reached = records.covered_to or records.covered_from
        joined = reached is not None and stop <= reached
        records.covered_from = min(records.covered_from or stop, stop) if joined else stop
        records.covered_to, records.read_at = self._top, self.now
        self._passes += 1
        # More may have been updated within the second that was the newest than a page holds.
        if self._pages_of_pass == 1 or (self._passes > 1 and not self._changed):
            self.waiting = False
        elif self._passes == _ROUNDS:
            raise PartialAnswerError(
                self.attempted,
                f"it changed faster than it could be read, {_ROUNDS} times",
                "Run it again later.",
            )
        else:
            self._begin_pass(timedelta())


def first_page(records: Records, since: datetime) -> int:
    """How many pull requests are worth asking for together with the repository itself."""
    if records.walk is not None:
        return 1  # the pass that was broken off goes on
    covered = records.covered_from is not None and records.covered_from <= since
    return _RECENT if covered else queries.PAGE


def read_lists(client: Client, listings: Sequence[Listing]) -> None:
    """Read the lists to their ends. One that cannot be read has its problem.

    Raises:
        AccessError, LimitError, RefusedError: as `Batch.ask`; what was read is kept.
    """

    def send(parts: Sequence[Listing], patient: bool) -> Answer:
        variables: dict[str, Any] = {}
        for index, part in enumerate(parts):
            owner, _, short = part.name.partition("/")
            variables |= {
                f"owner{index}": owner,
                f"name{index}": short,
                f"first{index}": part.size,
                f"after{index}": part.cursor,
            }
        query = queries.pages(len(parts))
        return client.graphql(query, variables, "listing pull requests", patient=patient)

    batch = Batch(client, lambda one: one.attempted, send, lambda i: (f"p{i}",), Listing.shrink)
    read_to_the_end(batch, listings, queries.REPOSITORIES)


@dataclass(frozen=True)
class _Pending:
    """A pull request that was listed; its files and reviews are wanted."""

    listing: Listing
    id: str

    @property
    def attempted(self) -> str:
        return f"reading a pull request of {self.listing.name}"


class Details:
    """Reads files and reviews of what was listed, of many repositories together.

    Args:
        client: the connection.
        store: keeps the records after every question.
    """

    def __init__(self, client: Client, store: Store) -> None:
        self._client = client
        self._store = store
        self._size = queries.DETAILS
        self._sent = 0

    def read(self, listings: Sequence[Listing]) -> None:
        """Read all that is pending. A repository of which one cannot be read has its problem.

        Raises:
            AccessError, LimitError, RefusedError: as `Batch.ask`; what was read is kept.
        """
        waiting = [
            _Pending(listing, id)
            for listing in listings
            if listing.problem is None
            for id in listing.records.pending
        ]
        while waiting:
            part, waiting = waiting[: self._size], waiting[self._size :]
            self._read([one for one in part if one.listing.problem is None])

    def _read(self, part: Sequence[_Pending]) -> None:
        self._sent = 0
        try:
            for one, found in self._batch(queries.PULL_REQUESTS).ask(part):
                self._take(one, found)
        finally:
            touched = {id(one.listing): one.listing for one in part}
            for listing in touched.values():
                self._store.keep(listing.records)
        # Questions that had to be split are smaller next time, and grow again where they fit.
        split = self._sent > 1
        self._size = max(1, self._size // 2) if split else min(queries.DETAILS, self._size * 2)

    def _batch(self, query: str) -> Batch[_Pending]:
        def send(parts: Sequence[_Pending], patient: bool) -> Answer:
            self._sent += 1
            variables = {"ids": [one.id for one in parts]}
            return self._client.graphql(query, variables, "reading pull requests", patient=patient)

        return Batch(self._client, lambda one: one.attempted, send, lambda i: ("nodes", i))

    def _take(self, one: _Pending, found: Any | XopsError) -> None:
        if one.listing.problem is not None:
            return
        try:
            with self._client.translate_errors(one.attempted):
                request = self._request(one, found)
        except OF_ONE_PART as error:
            one.listing.fail(error)
            return
        records = one.listing.records
        known = records.pull_requests.get(one.id)
        if known and known.all_paths:  # its files have not changed since it was merged
            request.paths, request.all_paths = known.paths, True
            request.truncated = known.truncated
        records.pull_requests[one.id] = request
        del records.pending[one.id]

    def _request(self, one: _Pending, found: Any | XopsError) -> MergedPullRequest:
        if isinstance(found, (PartialAnswerError, UnavailableError)):
            return self._without_lists(one, found)
        if isinstance(found, XopsError):
            raise found
        if found is None:
            raise PartialAnswerError(
                one.attempted, "GitHub lists it and does not show it", "Run it again."
            )
        request = _pull_request(found)
        if (found["reviews"] or {}).get("pageInfo", {}).get("hasNextPage"):
            request.reviews, request.all_reviews = self._all_reviews(one, request)
        return request

    def _without_lists(self, one: _Pending, error: XopsError) -> MergedPullRequest:
        """One whose files and reviews are too much for GitHub: REST may tell the files."""
        ((_, found),) = self._batch(queries.WITHOUT_LISTS).ask([one])
        if not isinstance(found, Mapping):
            raise found or error
        request = _pull_request({**found, "files": None, "reviews": None})
        one.listing.notes.append(
            f"{request.url}: GitHub does not tell its reviews ({error.found}); who reviewed it"
            " is not counted"
        )
        return request

    def _all_reviews(self, one: _Pending, request: MergedPullRequest) -> tuple[list[Review], bool]:
        attempted = f"listing the reviews of {one.listing.name}#{request.number}"
        reviews: list[Review] = []
        cursor, whole = None, True
        while True:
            variables = {"id": one.id, "after": cursor}
            answer = self._client.graphql(queries.REVIEWS, variables, attempted)
            page = answer.complete(attempted)["node"]["reviews"]
            reviews += _reviews(page["nodes"])
            whole = whole and None not in page["nodes"]
            if not page["pageInfo"]["hasNextPage"]:
                return reviews, whole
            cursor = page["pageInfo"]["endCursor"]


def read_all_paths(client: Client, repository: str, request: MergedPullRequest) -> None:
    """Complete `request.paths` by what REST lists: beyond 100 files, and former names.

    Sets `truncated` if GitHub has more files than it lists.

    Raises:
        AccessError, NotVisibleError, LimitError, UnavailableError, RefusedError.
    """
    attempted = f"listing the files of {repository}#{request.number}"
    listed = list(client.pages(f"/repos/{repository}/pulls/{request.number}/files", attempted))
    with client.translate_errors(attempted):
        former = [str(row["previous_filename"]) for row in listed if row.get("previous_filename")]
        paths = list(dict.fromkeys([*(str(row["filename"]) for row in listed), *former]))
    known = request.changed_files
    request.truncated = len(listed) >= FILE_LIMIT if known is None else len(listed) < known
    request.paths = paths
    request.all_paths = True


def sampled(names: Sequence[str], start: datetime) -> list[str]:
    """The repositories that are compared with search: other ones every week, the same in a week."""

    def place(name: str) -> bytes:
        return hashlib.sha256(f"{start.isoformat()}\n{name.lower()}".encode()).digest()

    chosen = set(sorted(names, key=place)[:SEARCH_SAMPLE])
    return [name for name in names if name in chosen]


def merged_counts(
    client: Client, names: Sequence[str], start: datetime, end: datetime
) -> dict[str, int | None]:
    """How many pull requests, of whatever base, search has as merged in [start, end).

    The index lags behind by minutes to hours: it is to compare with, not to decide by. So it is
    asked for `SEARCH_SAMPLE` of the repositories at most, the only ones in the answer; no limit is
    waited for, and none is an error: None where there was no answer.
    """
    last = end - timedelta(seconds=1)  # a range of the search includes both its ends
    window = f"merged:{start.isoformat()}..{last.isoformat()}"
    found: dict[str, int | None] = {}
    chosen = sampled(names, start)
    for begin in range(0, len(chosen), queries.SEARCHES):
        part = chosen[begin : begin + queries.SEARCHES]
        texts = [f"repo:{name} is:pr is:merged {window}" for name in part]
        counts = _count_by_search(client, texts)
        if counts is None:
            return found | dict.fromkeys(chosen[begin:])
        found |= dict(zip(part, counts, strict=True))
    return found


def _count_by_search(client: Client, texts: Sequence[str]) -> list[int | None] | None:
    variables = {f"query{index}": text for index, text in enumerate(texts)}
    query = queries.merged_counts(len(texts))
    attempted = "comparing with GitHub's search"
    try:
        data = client.graphql(query, variables, attempted, await_limits=False).data
        with client.translate_errors(attempted):
            rows = [data.get(f"s{index}") for index in range(len(texts))]
            return [int(row["issueCount"]) if row else None for row in rows]
    except (AccessError, NotVisibleError, RefusedError, UnavailableError, LimitError) as error:
        logger.info("nothing to compare with: %s", error)
        return None


def _pull_request(node: Mapping[str, Any]) -> MergedPullRequest:
    files, reviews = node["files"], node["reviews"]
    # A file that is null is one of `changedFiles` whose path is not known.
    listed = [row for row in files["nodes"] if row is not None] if files else []
    reviewed = reviews["nodes"] if reviews else [None]
    return MergedPullRequest(
        id=node["id"],
        number=node["number"],
        url=node["url"],
        title=node["title"],
        author=_actor(node["author"]),
        base=node["baseRefName"],
        head=node["headRefName"],
        merged_at=node["mergedAt"],
        updated_at=node["updatedAt"],
        additions=node["additions"],
        deletions=node["deletions"],
        # Without a list of files their number is none to rely on either.
        changed_files=node["changedFiles"] if files else None,
        paths=[row["path"] for row in listed],
        renames=any(row["changeType"] == "RENAMED" for row in listed),
        reviews=list(_reviews(reviewed)),
        all_reviews=None not in reviewed,
        merge_commit=(node["mergeCommit"] or {}).get("oid", ""),
        association=node["authorAssociation"],
    )


def _reviews(nodes: Sequence[Mapping[str, Any] | None]) -> Iterator[Review]:
    for node in nodes:
        # A review that is being written is seen by its author only.
        if node is not None and node["submittedAt"]:
            who, association = _actor(node["author"]), node["authorAssociation"]
            yield Review(who=who, at=node["submittedAt"], association=association)


def _actor(node: Mapping[str, Any] | None) -> Identity:
    if node is None:  # the account was deleted
        return Identity()
    name = node.get("name") or ""  # of a person only, who may have given none
    return Identity(login=node["login"], name=name, bot=node["__typename"] == "Bot")
