"""One issue for one thing: written once, brought up to date after, found again by a hidden mark.

It is looked for among the issues of its label, not by search, whose index lags behind: two
evaluations in one minute would write two. If two did so at the same moment nevertheless, the older
stays and the others are closed as duplicates by whoever comes next.

A label may be missing: GitHub drops the labels of a credential without push access and does not say
so, and people take labels off. So an issue that is not there is looked for among all that were
updated since the thing began. There anybody may have written the mark: only issues of this
credential, or of people who belong to the repository, are taken for one's own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from xops.core.errors import Finding, InputError
from xops.github import queries
from xops.github.errors import ForbiddenError, UnavailableError

if TYPE_CHECKING:  # githubkit takes a second to import
    from xops.github.client import Client

logger = logging.getLogger(__name__)

_OWN = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})

TITLE_LIMIT = 256
BODY_LIMIT = 65_536
"""Characters in an issue's title and body. Source: GitHub's answers to longer ones."""

_CUT = "and more: it is too long for an issue"


@dataclass(frozen=True)
class IssueDraft:
    """What the issue shall say.

    Attributes:
        key: names the thing, for ever: `trigger/iac_prs/2026-11-02`. No white space.
        title: the issue's title; what is too long for GitHub is cut.
        body: Markdown; lines at its end that are too much for GitHub are left out, which it says.
        labels: at least one, by which it is found again.
    """

    key: str
    title: str
    body: str
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        wrong = not self.labels or not self.key or any(mark in self.key for mark in " \t\n<>")
        if wrong:
            problem = "needs a label, and a key of one word"
            raise InputError("writing an issue", [Finding("issue", self.key, problem)])

    @property
    def mark(self) -> str:
        """What tells the issue apart; Markdown does not show it."""
        return _mark(self.key)

    @property
    def marked(self) -> str:
        """The body with its mark, in as many characters as GitHub takes."""
        end = f"\n\n{self.mark}\n"
        body = self.body.rstrip()
        if len(body) + len(end) > BODY_LIMIT:
            room = BODY_LIMIT - len(end) - len(_CUT) - 2
            # At the end of a line: half of an escape or of a link would be markup.
            body = f"{body[: max(0, body.rfind('\n', 0, room))]}\n\n{_CUT}"
        return f"{body}{end}"

    @property
    def headline(self) -> str:
        """The title, in as many characters as GitHub takes."""
        fits = len(self.title) <= TITLE_LIMIT
        return self.title if fits else f"{self.title[: TITLE_LIMIT - 1]}…"


@dataclass(frozen=True)
class Issue:
    """The issue as it is now; what was done: `created`, `updated`, `closed` or `unchanged`."""

    number: int
    url: str
    state: str
    done: str


def publish(
    client: Client, repository: str, draft: IssueDraft, since: datetime | None = None
) -> Issue:
    """See to it that there is one issue that says this. A closed one stays closed.

    Args:
        client: with a credential that may write issues.
        repository: owner/name.
        draft: what it shall say.
        since: no such issue was updated before; None looks among those of its label only.

    Raises:
        AccessError, NotVisibleError, LimitError, UnavailableError, RefusedError.
    """
    attempted = f"proposing {draft.key} in {repository}"
    wanted = _Wanted(client, repository, draft.key, draft.labels[0], since, attempted)
    with client.translate_errors(attempted):
        return _publish(wanted, draft)


def close(
    client: Client,
    repository: str,
    key: str,
    labels: Sequence[str],
    comment: str,
    since: datetime | None = None,
) -> Issue | None:
    """Close the issue of a thing that is over, with a comment that says why; None: there is none.

    One that is closed already is left as it is, and no comment is written twice.

    Args:
        client: with a credential that may write issues.
        repository: owner/name.
        key: of the draft it was written from.
        labels: of the draft.
        comment: Markdown.
        since: as in `publish`.

    Raises:
        AccessError, NotVisibleError, LimitError, UnavailableError, RefusedError.
    """
    attempted = f"closing the issue of {key} in {repository}"
    wanted = _Wanted(client, repository, key, labels[0], since, attempted)
    with client.translate_errors(attempted):
        found = wanted.find()
        if not found:
            return None
        closed = [wanted.end(row, comment) for row in found if row["state"] == "open"]
        return _issue(closed[0], "closed") if closed else _issue(found[0], "unchanged")


def _mark(key: str) -> str:
    return f"<!-- xops:{key} -->"


@dataclass(frozen=True)
class _Wanted:
    """The issue that is looked for."""

    client: Client
    repository: str
    key: str
    label: str
    since: datetime | None
    attempted: str

    @property
    def path(self) -> str:
        return f"/repos/{self.repository}/issues"

    def find(self) -> list[Any]:
        """The issues with the mark, the oldest first."""
        marked = list(self._marked(labels=self.label))
        if marked or self.since is None:
            return marked
        since = self.since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._own(list(self._marked(since=since)))

    def _marked(self, **narrowed: str) -> Iterator[Any]:
        listed = self.client.pages(
            self.path, self.attempted, state="all", sort="created", direction="asc", **narrowed
        )
        mark = _mark(self.key)
        for row in listed:
            if mark in (row["body"] or "") and "pull_request" not in row:
                yield row

    def _own(self, marked: Sequence[Any]) -> list[Any]:
        """Those that no stranger wrote."""
        viewer = self._viewer() if marked else ""
        return [
            row
            for row in marked
            if row["author_association"] in _OWN or (row["user"] or {}).get("login") == viewer
        ]

    def _viewer(self) -> str:
        """The login behind the credential; an App's ends in [bot], as in the issues it writes."""
        answer = self.client.graphql(queries.VIEWER, {}, self.attempted)
        return str(answer.complete(self.attempted)["viewer"]["login"])

    def end(self, issue: Any, comment: str) -> Any:
        """Say why it is over, then close it; the issue as it is then.

        A conversation that people locked takes no comment of this credential, and is closed.
        """
        try:
            self.comment(issue, comment)
        except ForbiddenError as error:
            if "locked" not in error.found:
                raise
            logger.warning("%s is closed without a word: %s", issue["html_url"], error.found)
        return self.close(issue, "completed")

    def comment(self, issue: Any, text: str) -> None:
        """Write a comment unless it is there: a run may have been broken off after it."""
        path = f"{self.path}/{issue['number']}/comments"
        mark = _mark(f"{self.key}/closed")
        written = self.client.pages(path, self.attempted)
        marked = [row for row in written if mark in (row["body"] or "")]
        if not self._own(marked):
            body = {"body": f"{text.rstrip()}\n\n{mark}\n"}
            self.client.write("POST", path, body, self.attempted)

    def close(self, issue: Any, reason: str) -> Any:
        """Close it; the issue as it is then."""
        path = f"{self.path}/{issue['number']}"
        body = {"state": "closed", "state_reason": reason}
        return self.client.write("PATCH", path, body, self.attempted)


def _publish(wanted: _Wanted, draft: IssueDraft) -> Issue:
    found = wanted.find()
    if found:
        return _update(wanted, draft, found)
    body = {"title": draft.headline, "body": draft.marked, "labels": list(draft.labels)}
    try:
        written = wanted.client.write("POST", wanted.path, body, wanted.attempted)
    except UnavailableError:
        # It may have arrived all the same: writing it again without a look would make two.
        found = wanted.find()
        again = found or [wanted.client.write("POST", wanted.path, body, wanted.attempted)]
        written = again[0]
    return _issue(written, "created")


def _update(wanted: _Wanted, draft: IssueDraft, found: Sequence[Any]) -> Issue:
    first, *others = found
    for other in others:
        if other["state"] == "open":
            wanted.close(other, "not_planned")
    same_body = (first["body"] or "").replace("\r\n", "\n").rstrip() == draft.marked.rstrip()
    if same_body and first["title"] == draft.headline:
        return _issue(first, "unchanged")
    path = f"{wanted.path}/{first['number']}"
    body = {"title": draft.headline, "body": draft.marked}
    return _issue(wanted.client.write("PATCH", path, body, wanted.attempted), "updated")


def _issue(row: Any, done: str) -> Issue:
    return Issue(int(row["number"]), str(row["html_url"]), str(row["state"]), done)
