"""One comment of our own on a pull request: written once, edited in place after.

Anybody may write our mark, so a comment is ours only if the login behind the credential wrote it
and it begins with the mark. If two were written at the same moment nevertheless, the older one
stays in use, and the others say so instead of a plan that is out of date.

Whoever may push may also edit the comments of others, ours too. So it is asked who has edited it
before anybody's approval of what it shows is used. Source: GitHub, "Repository roles for an
organization", "Permissions for each role"; GraphQL's `IssueComment.userContentEdits`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import Field

from xops.core.rendering import Markdown
from xops.github import queries
from xops.github.errors import NotVisibleError
from xops.github.pull_request.addresses import repository_path
from xops.github.pull_request.rows import Moment, Row, User
from xops.github.pull_request.writing import needing, write_once

if TYPE_CHECKING:  # githubkit takes a second to import
    from xops.github.client import Client


@dataclass(frozen=True)
class CommentRef:
    """Our comment.

    Attributes:
        id: GitHub's.
        updated_at: when it was edited last, by GitHub's clock, in whole seconds.
        url: where people read it.
    """

    id: int
    updated_at: datetime
    url: str


class _Comment(Row):
    id: int
    node_id: str
    user: User | None
    body: str | None
    updated_at: Moment
    html_url: str


class _Editor(Row):
    kind: str = Field(alias="__typename")
    login: str

    @property
    def name(self) -> str:
        """As REST and `viewer` spell it, in lower case."""
        return f"{self.login}[bot]".lower() if self.kind == "Bot" else self.login.lower()


class _Edit(Row):
    edited_at: Moment = Field(alias="editedAt")
    editor: _Editor | None = None


class _Edits(Row):
    class Page(Row):
        has_next: bool = Field(alias="hasNextPage")
        end: str | None = Field(default=None, alias="endCursor")

    page: Page = Field(alias="pageInfo")
    nodes: tuple[_Edit, ...]


class StickyComment:
    """Our comment on each pull request of a repository.

    Args:
        client: with a credential that may write comments.
        repository: owner/name.
        marker: the line by which the comment begins; Markdown that nobody sees.
    """

    def __init__(self, client: Client, repository: str, marker: str) -> None:
        self._client = client
        self._path = f"{repository_path(repository)}/issues"
        self._repository = repository
        self._marker = marker

    def put(self, number: int, body: str, *, only_update: bool = False) -> CommentRef | None:
        """See to it that the comment says this. If it does, nothing is written.

        Args:
            number: of the pull request.
            body: Markdown that begins with the marker, as long as GitHub takes.
            only_update: write none where there is none.

        Returns:
            The comment; None if there is none and none was to be written.

        Raises:
            ValueError: the body does not begin with the marker.
            AccessError, NotVisibleError, LimitError, UnavailableError, RefusedError.
        """
        if not _is_marked(body, self._marker):
            raise ValueError("a body begins with the marker of its comment")
        attempted = f"commenting on {self._repository}#{number}"
        with needing(
            "Pull requests: write (for comments; a conversation that is locked: Maintain)"
        ):
            own = self._own(number, attempted)
            for other in own[1:]:
                self._retire(other, own[0], attempted)
            if own:
                return _ref(self._update(number, own[0], body, attempted))
            return None if only_update else _ref(self._create(number, body, attempted))

    def is_altered(self, number: int, comment_id: int, since: datetime) -> bool:
        """Whether anybody else has edited our comment since a moment, or it is not there any more.

        Args:
            number: of the pull request.
            comment_id: of the comment that people have read.
            since: by GitHub's clock; an edit of the same second may have come after.

        Raises:
            AccessError, NotVisibleError, LimitError, UnavailableError, RefusedError.
        """
        attempted = f"asking who has edited our comment on {self._repository}#{number}"
        found = [one for one in self._own(number, attempted) if one.id == comment_id]
        return not found or any(
            edit.edited_at >= since and (edit.editor is None or edit.editor.name != self._login)
            for edit in self._edits(found[0].node_id, attempted)
        )

    def _edits(self, comment: str, attempted: str) -> Iterator[_Edit]:
        after: str | None = None
        while True:
            values = {"id": comment, "after": after}
            answer = self._client.graphql(queries.COMMENT_EDITS, values, attempted)
            row = answer.complete(attempted)
            with self._client.translate_errors(attempted):
                found = _Edits.of(row["node"]["userContentEdits"])
            yield from found.nodes
            if not found.page.has_next:
                return
            after = found.page.end

    @cached_property
    def _login(self) -> str:
        """Of the credential: a person's, or an App's, which ends in [bot]."""
        attempted = "asking who the credential belongs to"
        answer = self._client.graphql(queries.VIEWER, {}, attempted).complete(attempted)
        with self._client.translate_errors(attempted):
            return User.of(answer["viewer"]).login.lower()

    def _own(self, number: int, attempted: str) -> list[_Comment]:
        """Our comments with the marker, the oldest first."""
        listed = list(self._client.pages(f"{self._path}/{number}/comments", attempted))
        with self._client.translate_errors(attempted):
            marked = [
                comment
                for comment in map(_Comment.of, listed)
                if _is_marked(comment.body or "", self._marker)
            ]
        own = [one for one in marked if one.user and one.user.login.lower() == self._login]
        return sorted(own, key=lambda one: one.id)

    def _create(self, number: int, body: str, attempted: str) -> _Comment:
        def send() -> _Comment:
            return self._write("POST", f"{self._path}/{number}/comments", body, attempted)

        return write_once(send, lambda: next(iter(self._own(number, attempted)), None))

    def _update(self, number: int, comment: _Comment, body: str, attempted: str) -> _Comment:
        if _plain(comment.body or "") == _plain(body):
            return comment
        path = f"{self._path}/comments/{comment.id}"
        try:
            # To send the same once more is harmless.
            return write_once(lambda: self._write("PATCH", path, body, attempted), lambda: None)
        except NotVisibleError:  # somebody has deleted it since
            return self._create(number, body, attempted)

    def _retire(self, comment: _Comment, kept: _Comment, attempted: str) -> None:
        body = Markdown.of("Superseded by {kept}.", kept=Markdown.link(kept.html_url))
        self._write("PATCH", f"{self._path}/comments/{comment.id}", body, attempted)

    def _write(self, method: str, path: str, body: str, attempted: str) -> _Comment:
        answer = self._client.write(method, path, {"body": body}, attempted)
        with self._client.translate_errors(attempted):
            return _Comment.of(answer)


def _is_marked(body: str, marker: str) -> bool:
    return body.partition("\n")[0].rstrip() == marker


def _plain(body: str) -> str:
    return body.replace("\r\n", "\n").rstrip()


def _ref(comment: _Comment) -> CommentRef:
    return CommentRef(comment.id, comment.updated_at, comment.html_url)
