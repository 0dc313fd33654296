"""The merged pull requests of a repository, all of them, read as little as possible.

They are listed by the time of their last update, the newest first, until one is older than what is
asked for. As none is merged after it was last updated, that finds every one that was merged since.
GitHub's search does not: its index lags behind, and its results end at 1,000.

A pull request that is updated during a pass over several pages moves to the top and could be
missed. So after such a pass the top is read again, down to where the pass began, until one page
holds all that has changed meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from xops.github import queries
from xops.github.client import Client
from xops.github.errors import (
    ForbiddenError,
    NotVisibleError,
    PartialAnswerError,
    RefusedError,
    UnavailableError,
)
from xops.github.people import Identity
from xops.github.records import MergedPullRequest, Records, Review, Store, Walk

logger = logging.getLogger(__name__)

FILE_LIMIT = 3000
"""How many files of a pull request REST lists. Source: GitHub, "List pull requests files"."""

_ROUNDS = 5

_SETTLED = timedelta(minutes=10)
"""Beyond any lag of a replica and difference of clocks: what was updated so long before it was read
was seen, even if something else was updated within the same second."""


class _StaleCursorError(Exception):
    """GitHub no longer knows the cursor of a pass that was broken off."""


@dataclass
class Listing:
    """Brings the records of one repository up to date.

    Attributes:
        client: the connection.
        store: keeps the records after every page.
        records: what is known so far.
        name: owner/name of today.
        pages: how many were read.
    """

    client: Client
    store: Store
    records: Records
    name: str
    pages: int = 0
    _size: int = queries.PAGE

    def synchronise(self, since: datetime, newest: datetime | None, now: datetime) -> None:
        """Read everything that was updated since and is not known yet.

        Args:
            since: merged pull requests are wanted from here on.
            newest: when the newest merged pull request was updated; None if there is none.
            now: this machine's clock.

        Raises:
            AccessError, NotVisibleError, LimitError, UnavailableError, PartialAnswerError.
        """
        if self._update_without_reading(since, newest):
            return
        for _ in range(_ROUNDS):
            with self.client.translate_errors(f"listing the pull requests of {self.name}"):
                pages = self._walk(since, now)
            if pages == 1:
                return
        raise PartialAnswerError(
            f"listing the pull requests of {self.name}",
            f"it changed faster than it could be read, {_ROUNDS} times",
            "Run it again later.",
        )

    def _update_without_reading(self, since: datetime, newest: datetime | None) -> bool:
        """Bring the records up to date if that takes no page; whether it took none."""
        records = self.records
        covered = records.covered_from is not None and records.covered_from <= since
        if newest is None or newest < since:
            if not covered:
                records.covered_from, records.covered_to = since, newest
                records.walk = None
            return True
        read_at = records.read_at
        return (
            covered
            and records.walk is None
            and read_at is not None
            and newest == records.covered_to
            and read_at - newest > _SETTLED
        )

    def _walk(self, since: datetime, now: datetime) -> int:
        """One pass from the top, or from where one was broken off; how many pages it had."""
        try:
            return self._read_pages(since, now)
        except _StaleCursorError:
            logger.info("%s: the cursor of the last pass is stale, it begins anew", self.name)
            self.records.walk = None
            return self._read_pages(since, now)

    def _read_pages(self, since: datetime, now: datetime) -> int:
        """One pass, page by page, each kept; how many pages it had."""
        records, begun = self.records, self.records.walk
        stop = self._stop(since)
        top, cursor, pages = (begun.top, begun.cursor, begun.pages) if begun else (None, None, 0)
        while True:
            page = self._page(cursor)
            self.pages, pages = self.pages + 1, pages + 1
            nodes, cursor = page["nodes"], page["pageInfo"]["endCursor"]
            top = top or (_moment(nodes[0]["updatedAt"]) if nodes else None)
            older = self._take(nodes, stop)
            if older or top is None or not page["pageInfo"]["hasNextPage"]:
                break
            records.walk = Walk(top=top, stop=stop, cursor=cursor, pages=pages)
            self.store.keep(records)
        records.walk = None
        records.covered_from = min(records.covered_from or stop, stop)
        records.covered_to, records.read_at = top, now
        self.store.keep(records)
        return pages

    def _stop(self, since: datetime) -> datetime:
        """Where the pass may end: at what is known, if that reaches back far enough."""
        records = self.records
        stop = since
        # What was updated up to `covered_to` is known, back to `covered_from`: only if that is
        # far enough may the pass end there. There may have been nothing to cover up to.
        if records.covered_from is not None and records.covered_from <= since:
            stop = records.covered_to or records.covered_from
        # A pass that was broken off is brought to its own end where that lies further back: what
        # it was asked for then need not be read from the top again.
        return min(stop, records.walk.stop) if records.walk else stop

    def _take(self, nodes: Sequence[Mapping[str, Any]], stop: datetime) -> bool:
        """Keep what was updated at or after `stop`; whether there was something older."""
        for node in nodes:
            if _moment(node["updatedAt"]) < stop:
                return True
            found = _pull_request(node)
            if node["reviews"]["pageInfo"]["hasNextPage"]:
                found.reviews = list(self._all_reviews(found))
            known = self.records.pull_requests.get(found.id)
            if known and known.all_paths:  # its files have not changed since it was merged
                found.paths, found.all_paths = known.paths, True
                found.truncated = known.truncated
            self.records.pull_requests[found.id] = found
        return False

    def _page(self, cursor: str | None) -> Mapping[str, Any]:
        """One page. If GitHub takes too long over it, half of it is asked for, and so on."""
        attempted = f"listing the pull requests of {self.name}"
        owner, _, short = self.name.partition("/")
        while True:
            variables = {"owner": owner, "name": short, "first": self._size, "after": cursor}
            try:
                return self._ask(variables, attempted)
            except (UnavailableError, PartialAnswerError):
                if self._size == 1:
                    raise
                self._size //= 2
                logger.info("%s: pages of %d now", self.name, self._size)

    def _ask(self, variables: Mapping[str, Any], attempted: str) -> Mapping[str, Any]:
        patient = self._size == 1
        answer = self.client.graphql(queries.MERGED, variables, attempted, patient=patient)
        if any("cursor" in problem.message.lower() for problem in answer.problems):
            if self.records.walk is not None:
                raise _StaleCursorError
            raise RefusedError(
                attempted, answer.problems[0].message, "Run it again, it begins anew."
            )
        found = answer.complete(attempted)["repository"]
        if found is None or found["id"] != self.records.id:
            raise NotVisibleError(
                attempted, "another repository answers by that name now", "Run it again."
            )
        return dict(found["pullRequests"])

    def _all_reviews(self, request: MergedPullRequest) -> Iterator[Review]:
        attempted = f"listing the reviews of {self.name}#{request.number}"
        cursor = None
        while True:
            variables = {"id": request.id, "after": cursor}
            answer = self.client.graphql(queries.REVIEWS, variables, attempted)
            page = answer.complete(attempted)["node"]["reviews"]
            yield from _reviews(page["nodes"])
            if not page["pageInfo"]["hasNextPage"]:
                return
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


def merged_counts(
    client: Client, names: Sequence[str], start: datetime, end: datetime
) -> dict[str, int | None]:
    """How many pull requests, of whatever base, search has as merged in [start, end).

    The index lags behind by minutes to hours: it is to compare with, not to decide by. None where
    it gave no answer.
    """
    last = end - timedelta(seconds=1)  # a range of the search includes both its ends
    window = f"merged:{start.isoformat()}..{last.isoformat()}"
    found: dict[str, int | None] = {}
    for begin in range(0, len(names), queries.SEARCHES):
        part = names[begin : begin + queries.SEARCHES]
        texts = [f"repo:{name} is:pr is:merged {window}" for name in part]
        found |= dict(zip(part, _count_by_search(client, texts), strict=True))
    return found


def _count_by_search(client: Client, texts: Sequence[str]) -> list[int | None]:
    variables = {f"query{index}": text for index, text in enumerate(texts)}
    query = queries.merged_counts(len(texts))
    attempted = "comparing with GitHub's search"
    try:
        data = client.graphql(query, variables, attempted).data
        with client.translate_errors(attempted):
            rows = [data.get(f"s{index}") for index in range(len(texts))]
            return [int(row["issueCount"]) if row else None for row in rows]
    except (ForbiddenError, NotVisibleError, RefusedError, UnavailableError) as error:
        logger.info("nothing to compare with: %s", error)
        return [None] * len(texts)


def _pull_request(node: Mapping[str, Any]) -> MergedPullRequest:
    files = node["files"]
    listed = files["nodes"] if files else []
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
        reviews=list(_reviews(node["reviews"]["nodes"])),
    )


def _reviews(nodes: Sequence[Mapping[str, Any]]) -> Iterator[Review]:
    for node in nodes:
        if node["submittedAt"]:  # a review that is being written is seen by its author only
            yield Review(who=_actor(node["author"]), at=node["submittedAt"])


def _actor(node: Mapping[str, Any] | None) -> Identity:
    if node is None:  # the account was deleted
        return Identity()
    return Identity(login=node["login"], bot=node["__typename"] == "Bot")


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("is in no zone")
    return found
