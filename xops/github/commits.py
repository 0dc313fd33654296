"""Who made the commits of a default branch: authors, committers and co-authors.

History is read from the branch's last commit as it was found, page by page, so that a push in the
meantime changes nothing. If the last commit of the reading before is no ancestor of it, the branch
was rewritten: then the whole span is read anew, and commits that are on it no more go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from xops.core.errors import XopsError
from xops.github import queries
from xops.github.answers import Answer
from xops.github.batches import OF_ONE_PART, Batch, of_repository
from xops.github.client import Client
from xops.github.errors import PartialAnswerError
from xops.github.moments import moment
from xops.github.people.identities import Identity, co_authors
from xops.github.records import Commit, Records, Store

_MARGIN = timedelta(days=7)
"""How far back an incremental reading looks: commits are often pushed days after they were made."""

# The messages that Git and GitHub's button give a merge. Whether a commit has two parents would
# cost a list of each, and nobody is linked to anybody by a merge's message alone.
_MERGE = re.compile(
    r"Merge (?:pull request #\d+ from|(?:remote-tracking )?branch(?:es)?|tag|commit) "
)

_SUBJECT = 72
"""Characters that are kept of a message's first line."""

_SQUASHED = re.compile(r"\(#(\d{1,9})\)\s*$")
_OF_GITHUB = re.compile(r"noreply@", re.IGNORECASE)
"""The committer of what somebody merges in the browser: noreply@ of github.com, or of a company's
own server. Such a commit's author is whose change it is; a merge commit's is who pressed."""


def wanted_since(records: Records, since: datetime) -> datetime:
    """From when on commits have to be read, so that all since then are known.

    An incremental reading goes back to the last commit that is known, so that it is in the answer
    unless the branch was rewritten.
    """
    if records.commits_from is None or records.commits_to is None or records.commits_from > since:
        return since
    back = records.commits_to - _MARGIN
    if records.tip_at is not None:
        back = min(back, records.tip_at - timedelta(seconds=1))
    return max(since, back)


@dataclass
class History:
    """Brings the commits of one repository up to date.

    Attributes:
        client: translates answers of another shape.
        store: keeps the records when all is read.
        records: what is known so far.
        name: owner/name of today.
        since: from when on commits are wanted.
        start: from when on they are read.
        now: this machine's clock.
        size: of a page.
        waiting: whether another page is wanted.
        problem: why it could not be read.
    """

    client: Client
    store: Store
    records: Records
    name: str
    since: datetime
    start: datetime
    now: datetime
    size: int = queries.PAGE
    waiting: bool = False
    problem: XopsError | None = None
    oid: str = ""
    cursor: str | None = None
    _tip_at: datetime | None = None
    _found: dict[str, Commit] = field(default_factory=dict)

    @property
    def attempted(self) -> str:
        """What is being done, for errors."""
        return f"reading the commits of {self.name}"

    def begin(self, target: Mapping[str, Any] | None) -> None:
        """Take the branch's last commit with the first page; None if there is no commit."""
        if target is None:
            self._finish()
            return
        self.oid, self._tip_at = str(target["oid"]), moment(target["committedDate"])
        self._take(target["history"])

    def answer(self, found: Any | XopsError) -> None:
        """Take a further page, or why there is none."""
        if isinstance(found, XopsError):
            self.fail(found)
            return
        try:
            with self.client.translate_errors(self.attempted):
                self._take(self._history(found))
            if not self.waiting:
                self.store.keep(self.records)
        except OF_ONE_PART as error:
            self.fail(error)

    def shrink(self) -> bool:
        """Ask for half as many commits; False if it is one already."""
        if self.size == 1:
            return False
        self.size //= 2
        return True

    def fail(self, error: XopsError) -> None:
        """Give up."""
        self.problem, self.waiting = error, False

    def _history(self, found: Mapping[str, Any] | None) -> Mapping[str, Any]:
        found = of_repository(found, self.records.id, self.attempted)
        if found["object"] is None:
            raise PartialAnswerError(
                self.attempted, f"its commit {self.oid[:12]} is gone meanwhile", "Run it again."
            )
        return dict(found["object"]["history"])

    def _take(self, page: Mapping[str, Any]) -> None:
        for node in page["nodes"]:
            if node is None:
                raise PartialAnswerError(
                    self.attempted, "GitHub answered null in place of a commit", "Run it again."
                )
            self._found[str(node["oid"])] = _commit(node)
        self.cursor = page["pageInfo"]["endCursor"]
        self.waiting = bool(page["pageInfo"]["hasNextPage"])
        if self.waiting:
            return
        if self._rewritten():
            self.start, self.cursor, self.waiting = self.since, None, True
            self._found.clear()
            return
        self._finish()

    def _rewritten(self) -> bool:
        """Whether the last commit of the reading before should be among those found, and is not."""
        known = self.records.tip
        return self.start > self.since and bool(known) and known not in self._found

    def _finish(self) -> None:
        records = self.records
        if self.start > self.since and self.oid:
            records.commits |= self._found
        else:
            records.commits, records.commits_from = self._found, self.since
        records.commits_to = self.now
        records.tip, records.tip_at = self.oid, self._tip_at


def batch(client: Client) -> Batch[History]:
    """How further pages of histories are asked for."""

    def send(parts: Sequence[History], patient: bool) -> Answer:
        variables: dict[str, Any] = {}
        for index, part in enumerate(parts):
            owner, _, short = part.name.partition("/")
            variables |= {
                f"owner{index}": owner,
                f"name{index}": short,
                f"oid{index}": part.oid,
                f"since{index}": part.start.isoformat(timespec="seconds"),
                f"first{index}": part.size,
                f"after{index}": part.cursor,
            }
        query = queries.histories(len(parts))
        return client.graphql(query, variables, "reading commits", patient=patient)

    return Batch(client, lambda one: one.attempted, send, lambda i: (f"h{i}",), History.shrink)


def _commit(node: Mapping[str, Any]) -> Commit:
    author, committer = _identity(node["author"]), _identity(node["committer"])
    message = str(node["message"])
    people = [*(who for who in (author, committer) if who.known), *co_authors(message)]
    merge = bool(_MERGE.match(message))
    subject = message.partition("\n")[0]
    found = Commit(
        at=node["committedDate"],
        people=list(dict.fromkeys(people)),
        subject=subject[:_SUBJECT],
        merge=merge,
    )
    squashed = _SQUASHED.search(subject)
    if squashed and not merge and _OF_GITHUB.match(committer.email):
        found.squash_of, found.squash_author = int(squashed[1]), author
    return found


def _identity(actor: Mapping[str, Any] | None) -> Identity:
    if actor is None:
        return Identity()
    login = (actor["user"] or {}).get("login", "")
    return Identity(login=login, email=actor["email"] or "", name=actor["name"] or "")


def squash_commits(records: Records) -> Iterator[tuple[str, Commit]]:
    """The commits into which GitHub's button squashed a pull request, with their oids."""
    for oid, commit in records.commits.items():
        if commit.squash_author is not None:
            yield oid, commit
