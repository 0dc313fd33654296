"""One issue for one thing: written once, brought up to date after, found again by a hidden mark.

It is looked for among the issues of its label, not by search, whose index lags behind: two
evaluations in one minute would write two. If two did so at the same moment nevertheless, the older
stays and the others are closed as duplicates by whoever comes next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xops.core.errors import Finding, InputError
from xops.github.errors import UnavailableError

if TYPE_CHECKING:  # githubkit takes a second to import
    from xops.github.client import Client

BODY_LIMIT = 65_536
"""Characters in an issue's body. Source: GitHub's answer to a longer one."""


@dataclass(frozen=True)
class IssueDraft:
    """What the issue shall say.

    Attributes:
        key: names the thing, for ever: `trigger/iac_prs/2026-11-02`. No white space.
        title: the issue's title.
        body: Markdown.
        labels: at least one, by which it is found again.
    """

    key: str
    title: str
    body: str
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        wrong = not self.labels or not self.key or any(mark in self.key for mark in " \t\n<>")
        if wrong or len(self.marked) > BODY_LIMIT:
            problem = f"needs a label, a key of one word, and at most {BODY_LIMIT} characters"
            raise InputError("writing an issue", [Finding("issue", self.key, problem)])

    @property
    def mark(self) -> str:
        """What tells the issue apart; Markdown does not show it."""
        return f"<!-- xops:{self.key} -->"

    @property
    def marked(self) -> str:
        """The body with its mark."""
        return f"{self.body.rstrip()}\n\n{self.mark}\n"


@dataclass(frozen=True)
class Issue:
    """The issue as it is now, and what was done: `created`, `updated` or `unchanged`."""

    number: int
    url: str
    state: str
    done: str


def publish(client: Client, repository: str, draft: IssueDraft) -> Issue:
    """See to it that there is one issue that says this. A closed one stays closed.

    Args:
        client: with a credential that may write issues.
        repository: owner/name.
        draft: what it shall say.

    Raises:
        AccessError, NotVisibleError, LimitError, UnavailableError, RefusedError.
    """
    attempted = f"proposing {draft.key} in {repository}"
    with client.translate_errors(attempted):
        return _publish(client, repository, draft, attempted)


def _publish(client: Client, repository: str, draft: IssueDraft, attempted: str) -> Issue:
    found = _find(client, repository, draft, attempted)
    if found:
        return _update(client, repository, draft, found, attempted)
    body = {"title": draft.title, "body": draft.marked, "labels": list(draft.labels)}
    path = f"/repos/{repository}/issues"
    try:
        written = client.write("POST", path, body, attempted)
    except UnavailableError:
        # It may have arrived all the same: writing it again without a look would make two.
        found = _find(client, repository, draft, attempted)
        written = found[0] if found else client.write("POST", path, body, attempted)
    return _issue(written, "created")


def _find(client: Client, repository: str, draft: IssueDraft, attempted: str) -> list[Any]:
    """The issues with the mark, the oldest first."""
    listed = client.pages(
        f"/repos/{repository}/issues", attempted, labels=draft.labels[0], state="all",
        sort="created", direction="asc",
    )  # fmt: skip
    marked = [row for row in listed if draft.mark in (row["body"] or "")]
    return [row for row in marked if "pull_request" not in row]


def _update(
    client: Client, repository: str, draft: IssueDraft, found: Sequence[Any], attempted: str
) -> Issue:
    first, *others = found
    for other in others:
        _close(client, repository, other, attempted)
    same_body = (first["body"] or "").replace("\r\n", "\n").rstrip() == draft.marked.rstrip()
    if same_body and first["title"] == draft.title:
        return _issue(first, "unchanged")
    path = f"/repos/{repository}/issues/{first['number']}"
    body = {"title": draft.title, "body": draft.marked}
    return _issue(client.write("PATCH", path, body, attempted), "updated")


def _close(client: Client, repository: str, issue: Any, attempted: str) -> None:
    if issue["state"] == "open":
        path = f"/repos/{repository}/issues/{issue['number']}"
        client.write("PATCH", path, {"state": "closed", "state_reason": "not_planned"}, attempted)


def _issue(row: Any, done: str) -> Issue:
    return Issue(int(row["number"]), str(row["html_url"]), str(row["state"]), done)
