"""Who made the commits of a default branch: authors, committers and co-authors.

Commits are read from the branch's tip as it is now. After a forced push the list begins anew, and
those who made commits that are no longer reachable stay known: they did the work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from xops.github import queries
from xops.github.client import Client
from xops.github.errors import PartialAnswerError
from xops.github.people import Identity, co_authors
from xops.github.records import Commit, Records

_TRIES = 3

_MARGIN = timedelta(days=7)
"""How far back an incremental reading looks: commits are often pushed days after they were made."""


def wanted_since(records: Records, since: datetime) -> datetime:
    """From when on commits have to be read, so that all since then are known."""
    if records.commits_from is None or records.commits_to is None or records.commits_from > since:
        return since
    return max(since, records.commits_to - _MARGIN)


def take(
    client: Client,
    records: Records,
    name: str,
    target: Mapping[str, Any] | None,
    since: datetime,
    now: datetime,
) -> None:
    """Put the commits of the default branch into the records.

    Args:
        client: for the pages after the first.
        records: of the repository.
        name: owner/name of today.
        target: tip of the branch with the first page of its history; None if there is no commit.
        since: from when on the history was asked for.
        now: this machine's clock.

    Raises:
        AccessError, NotVisibleError, LimitError, UnavailableError, PartialAnswerError.
    """
    with client.translate_errors(f"reading the commits of {name}"):
        for nodes in _pages(client, name, target, since):
            records.commits |= {str(node["oid"]): _commit(node) for node in nodes}
    records.commits_from = min(records.commits_from or since, since)
    records.commits_to = now


def _pages(
    client: Client, name: str, target: Mapping[str, Any] | None, since: datetime
) -> Iterator[Sequence[Mapping[str, Any]]]:
    forced = 0
    while target:
        history = target["history"]
        yield history["nodes"]
        if not history["pageInfo"]["hasNextPage"]:
            return
        following = _tip(client, name, since, history["pageInfo"]["endCursor"])
        if following and following["oid"] != target["oid"]:  # pushed to meanwhile
            forced += 1
            if forced == _TRIES:
                raise _moving(name)
            following = _tip(client, name, since, None)
        target = following


def _tip(
    client: Client, name: str, since: datetime, cursor: str | None
) -> Mapping[str, Any] | None:
    owner, _, short = name.partition("/")
    variables = {
        "owner": owner,
        "name": short,
        "since": since.isoformat(timespec="seconds"),
        "after": cursor,
    }
    attempted = f"reading the commits of {name}"
    found = client.graphql(queries.HISTORY, variables, attempted).complete(attempted)
    branch = (found["repository"] or {}).get("defaultBranchRef")
    return branch["target"] if branch else None


def _moving(name: str) -> PartialAnswerError:
    return PartialAnswerError(
        f"reading the commits of {name}",
        f"its default branch moved {_TRIES} times meanwhile",
        "Run it again later.",
    )


def _commit(node: Mapping[str, Any]) -> Commit:
    named = [_identity(node["author"]), _identity(node["committer"])]
    people = [*(who for who in named if who.known), *co_authors(node["message"])]
    return Commit(at=node["committedDate"], people=list(dict.fromkeys(people)))


def _identity(actor: Mapping[str, Any] | None) -> Identity:
    if actor is None:
        return Identity()
    login = (actor["user"] or {}).get("login", "")
    return Identity(login=login, email=actor["email"] or "", name=actor["name"] or "")
