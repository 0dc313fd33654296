"""What is known of one repository, and the file it is kept in between evaluations.

A merged pull request keeps its files; what can still change (a late review) moves its `updatedAt`.
So each evaluation reads only what was updated since the last one, and a pass that was broken off
goes on from its cursor. The file can be deleted at any time: everything is then read again.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from xops.core.files.bounded_json import parse_json
from xops.core.files.private_file import write_private
from xops.core.files.reading import read_bytes
from xops.core.files.validation import Moment
from xops.github.people import Identity

logger = logging.getLogger(__name__)

_VERSION: Literal[1] = 1
_MOST_BYTES = 64 << 20


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Review(_Record):
    """Who reviewed, and when."""

    who: Identity
    at: Moment


Count = Annotated[int, Field(ge=0)]
"""Of lines or files."""


class MergedPullRequest(_Record):
    """One merged pull request.

    Attributes:
        paths: the changed paths that are known, former names of renamed files among them if
            `all_paths`.
        changed_files: how many GitHub says there are; None if it does not say.
        renames: whether a file was renamed, whose former path GraphQL does not tell.
        all_paths: whether `paths` came from REST, which tells former names.
        truncated: whether there are more files than GitHub lists.
        all_reviews: False if reviews are missing.
    """

    id: str
    number: Annotated[int, Field(ge=1)]
    url: str
    title: str
    author: Identity
    base: str
    head: str
    merged_at: Moment
    updated_at: Moment
    additions: Count
    deletions: Count
    changed_files: Count | None
    paths: list[str]
    renames: bool
    all_paths: bool = False
    truncated: bool = False
    reviews: list[Review] = []
    all_reviews: bool = True


class Commit(_Record):
    """Who made one commit of the default branch: author, committer, co-authors."""

    at: Moment
    people: list[Identity]


class Walk(_Record):
    """A pass over the list that is not at its end yet.

    Attributes:
        top: `updatedAt` of the first pull request of its first page.
        stop: the pass ends at the first that was updated before.
        cursor: where it goes on.
        pages: read so far.
    """

    top: Moment
    stop: Moment
    cursor: str
    pages: int


class Records(_Record):
    """One repository.

    Attributes:
        name: the name it was asked for by, owner/name.
        id: GitHub's, empty before it was read; a new repository of an old name has another.
        covered_from: every pull request updated at or after it, up to `covered_to`, is here.
        covered_to: `updatedAt` of the newest at the time; None if there was none.
        read_at: when that was (this machine's clock).
        commits_from: every commit of the default branch committed at or after it is here.
        commits_to: when the commits were read (this machine's clock).
        walk: a pass that was broken off.
    """

    version: Literal[1] = _VERSION
    name: str
    id: str = ""
    covered_from: Moment | None = None
    covered_to: Moment | None = None
    read_at: Moment | None = None
    commits_from: Moment | None = None
    commits_to: Moment | None = None
    walk: Walk | None = None
    pull_requests: dict[str, MergedPullRequest] = {}
    commits: dict[str, Commit] = {}


class Store:
    """The files of all repositories, below one folder; without a folder nothing is kept.

    Args:
        folder: where they are.
        api_url: repositories of another GitHub have other files.
    """

    def __init__(self, folder: Path | None, api_url: str) -> None:
        self._folder = folder
        self._api_url = api_url

    def open(self, name: str) -> Records:
        """What is known of a repository, by the name it is asked for by."""
        file = self._file(name)
        if file is None or not file.exists():
            return Records(name=name)
        try:
            found = Records.model_validate(parse_json(read_bytes(file, _MOST_BYTES)))
        except (ValueError, ArithmeticError) as error:  # ValidationError is one
            logger.warning(
                "%s is read from GitHub anew, its file is unusable: %s", name, type(error).__name__
            )
            return Records(name=name)
        return found if found.name == name else Records(name=name)

    def keep(self, records: Records) -> None:
        """Write a repository's file, whole or not at all."""
        if (file := self._file(records.name)) is not None:
            write_private(file, records.model_dump_json())

    def _file(self, name: str) -> Path | None:
        if self._folder is None:
            return None
        digest = hashlib.sha256(f"{self._api_url}\n{name.lower()}".encode()).hexdigest()
        return self._folder / f"{name.replace('/', '.')}-{digest[:12]}.json"
