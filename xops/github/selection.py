"""Repositories that are named together: all of an owner, of a team, with a topic, by a pattern.

They come from GitHub's lists, a hundred a call, in which a repository is known by its id. A list
that is refused, or that GitHub says is not whole, is an error: a shorter list would seem to be all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from xops.github.client import Client
from xops.github.errors import NotVisibleError, PartialAnswerError
from xops.github.moments import moment

_ORGANISATION = "Organization"
_FULL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Selection:
    """What is asked for.

    Attributes:
        owner: login of an organisation or a person.
        team: slug: only those that the team has.
        topic: only those with the topic.
        name: pattern of the name without the owner, as in a shell; upper case is lower case.
        archived: archived ones as well.
        forks: forks as well.
    """

    owner: str
    team: str | None = None
    topic: str | None = None
    name: str = "*"
    archived: bool = False
    forks: bool = False

    def __str__(self) -> str:
        parts = [self.owner if self.name == "*" else f"{self.owner}/{self.name}"]
        parts += [f"team {self.team}"] if self.team else []
        parts += [f"topic {self.topic}"] if self.topic else []
        return ", ".join(parts)


@dataclass(frozen=True)
class ListedRepository:
    """One repository as GitHub lists it.

    Attributes:
        id: GitHub's node id.
        name: owner/name of today.
        pushed_at: when something was pushed to it last; None if never, or not said.
    """

    id: str
    name: str
    archived: bool
    fork: bool
    topics: frozenset[str]
    pushed_at: datetime | None


@dataclass(frozen=True)
class Selected:
    """What GitHub has for a selection.

    Attributes:
        owner_id: GitHub's node id of the owner, which outlasts the login.
        repositories: those that are selected, by name.
        left_out: the others of the list by id, each with why it is not selected.
    """

    owner_id: str
    repositories: tuple[ListedRepository, ...]
    left_out: Mapping[str, str]


class Selector:
    """Asks GitHub for selections; a list that several need is asked for once.

    Args:
        client: the connection.
        active_since: archived repositories that were pushed to since then are selected all the
            same: what was merged before they were archived was merged.
    """

    def __init__(self, client: Client, active_since: datetime | None = None) -> None:
        self._client = client
        self._active_since = active_since
        self._lists: dict[tuple[str, str | None], tuple[str, list[ListedRepository]]] = {}

    def select(self, selection: Selection) -> Selected:
        """The repositories of a selection.

        Raises:
            AccessError, LimitError: nothing more can be asked.
            ForbiddenError, NotVisibleError, PartialAnswerError, RefusedError, UnavailableError:
                the list cannot be had, or not whole.
        """
        owner_id, listed = self._list(selection)
        reasons = {one.id: self._why_not(one, selection) for one in listed}
        chosen = (one for one in listed if not reasons[one.id])
        return Selected(
            owner_id,
            tuple(sorted(chosen, key=lambda one: one.name.lower())),
            {found: reason for found, reason in reasons.items() if reason},
        )

    def _why_not(self, one: ListedRepository, selection: Selection) -> str:
        """Why it is not selected; empty if it is."""
        if selection.topic and selection.topic not in one.topics:
            return f"has no topic {selection.topic}"
        short = one.name.partition("/")[2].lower()
        if not fnmatchcase(short, selection.name.lower()):
            return f"is called {one.name}, which {selection.name} does not match"
        if one.fork and not selection.forks:
            return "is a fork"
        if one.archived and not selection.archived and not self._was_active(one):
            return "is archived"
        return ""

    def _was_active(self, one: ListedRepository) -> bool:
        since = self._active_since
        return since is not None and one.pushed_at is not None and one.pushed_at >= since

    def _list(self, selection: Selection) -> tuple[str, list[ListedRepository]]:
        """The owner's id and all repositories of the owner, or of the team."""
        key = selection.owner.lower(), selection.team
        if key not in self._lists:
            attempted = f"listing the repositories of {selection.owner}"
            attempted += f"'s team {selection.team}" if selection.team else ""
            rows = self._rows(selection.owner, selection.team, attempted)
            with self._client.translate_errors(attempted):
                owners = [_text(row["owner"]["node_id"]) for row in rows]
                listed = [_listed(row) for row in rows]
            self._lists[key] = (owners[0] if owners else "", _once(listed))
        return self._lists[key]

    def _rows(self, owner: str, team: str | None, attempted: str) -> list[dict[str, Any]]:
        if team is not None:
            return list(self._client.pages(f"/orgs/{owner}/teams/{team}/repos", attempted))
        try:
            # In the order in which they were made: one that is made meanwhile comes last.
            order = {"sort": "created", "direction": "asc"}
            return list(self._client.pages(f"/orgs/{owner}/repos", attempted, type="all", **order))
        except NotVisibleError:
            rows = list(self._client.pages(f"/users/{owner}/repos", attempted, type="owner"))
        with self._client.translate_errors(attempted):
            hidden = any(row["owner"]["type"] == _ORGANISATION for row in rows)
        if hidden:  # an organisation's list of this kind has the public ones only
            raise PartialAnswerError(
                attempted,
                f"the organisation {owner} lists only its public repositories",
                "Give the credential access to the organisation.",
            )
        return rows


def _listed(row: Mapping[str, Any]) -> ListedRepository:
    pushed = row.get("pushed_at")
    return ListedRepository(
        id=_text(row["node_id"]),
        name=_full_name(row["full_name"]),
        archived=_flag(row["archived"]),
        fork=_flag(row["fork"]),
        topics=frozenset(_texts(row.get("topics") or ())),
        pushed_at=None if pushed is None else moment(pushed),
    )


def _once(listed: Sequence[ListedRepository]) -> list[ListedRepository]:
    """Each once: between two pages a repository that was made moves another to the next page."""
    return list({one.id: one for one in listed}.values())


def _full_name(value: Any) -> str:
    text = _text(value)
    if _FULL_NAME.fullmatch(text) is None:
        raise ValueError("is no owner/name")
    return text


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("is neither true nor false")
    return value


def _texts(values: Any) -> Iterator[str]:
    for value in values:
        yield _text(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("is no text")
    return value
