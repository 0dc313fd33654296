"""What is known of one repository, and the file it is kept in between evaluations.

A merged pull request keeps its files; what can still change (a late review) moves its `updatedAt`.
So each evaluation reads only what was updated since the last one, and a pass that was broken off
goes on from its cursor. A repository's file bears its id, so that a new name finds it and an old
name that another repository has now does not. The files can be deleted at any time: everything is
then read again.
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
from xops.github.people.identities import Identity

logger = logging.getLogger(__name__)

_VERSION: Literal[2] = 2
_MOST_BYTES = 64 << 20


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Review(_Record):
    """Who reviewed, when, and how he or she belonged to the repository (`authorAssociation`)."""

    who: Identity
    at: Moment
    association: str = ""


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
        merge_commit: the oid by which it is in its base; empty if GitHub does not say.
        association: how its author belongs to the repository (`authorAssociation`).
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
    merge_commit: str = ""
    association: str = ""


class Commit(_Record):
    """Who made one commit of the default branch: author, committer, co-authors.

    Attributes:
        subject: the first line of its message, at most 72 characters.
        merge: whether its message is a merge's: who merged has not written what is in it.
        squash_of: the number of the pull request that GitHub's button squashed into it.
        squash_author: the author of such a commit.
    """

    at: Moment
    people: list[Identity]
    subject: str = ""
    merge: bool = False
    squash_of: int | None = None
    squash_author: Identity | None = None


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
        name: the name it was asked for by last, owner/name.
        id: GitHub's, empty before it was read.
        covered_from: every pull request updated at or after it, up to `covered_to`, is here.
        covered_to: `updatedAt` of the newest at the time; None if there was none.
        read_at: when that was (this machine's clock).
        commits_from: every commit of the default branch committed at or after it is here.
        commits_to: when the commits were read (this machine's clock).
        tip: oid of the default branch's last commit then, and when that was committed.
        default_branches: the names its default branch was seen under, the latest last.
        walk: a pass that was broken off.
        pending: by id the pull requests that were listed and whose files and reviews are not
            known yet, and when each was updated.
    """

    version: Literal[2] = _VERSION
    name: str
    id: str = ""
    covered_from: Moment | None = None
    covered_to: Moment | None = None
    read_at: Moment | None = None
    commits_from: Moment | None = None
    commits_to: Moment | None = None
    tip: str = ""
    tip_at: Moment | None = None
    default_branches: list[str] = []
    walk: Walk | None = None
    pending: dict[str, Moment] = {}
    pull_requests: dict[str, MergedPullRequest] = {}
    commits: dict[str, Commit] = {}


class _Name(_Record):
    """Which repository a name led to."""

    version: Literal[2] = _VERSION
    id: str


class Store:
    """The files of all repositories, below one folder; without a folder nothing is kept.

    Args:
        folder: where they are.
        api_url: repositories of another GitHub have other files.
    """

    def __init__(self, folder: Path | None, api_url: str) -> None:
        self._folder = folder
        self._api_url = api_url
        self._names: dict[str, str] = {}

    def open(self, name: str) -> Records:
        """What is known of the repository to which a name led when it was read last."""
        file = self._file(name.lower(), name.replace("/", "."))
        found = None if file is None else _read(_Name, file, name)
        return Records(name=name) if found is None else self.open_id(found.id, name)

    def open_id(self, id: str, name: str) -> Records:
        """What is known of a repository by its id, whatever its name was.

        Args:
            id: GitHub's.
            name: the name that it is asked for by now.
        """
        file = self._file(id, "repository")
        found = None if file is None else _read(Records, file, name)
        if found is None or found.id != id:
            return Records(name=name, id=id)
        found.name = name
        return found

    def keep(self, records: Records) -> None:
        """Write a repository's file, whole or not at all. One that was never read has none."""
        file = self._file(records.id, "repository")
        if file is None or not records.id:
            return
        write_private(file, records.model_dump_json())
        self.keep_name(records.name, records.id)

    def keep_name(self, name: str, id: str) -> None:
        """Write to which repository a name leads."""
        if self._names.get(name) == id:
            return
        if (file := self._file(name.lower(), name.replace("/", "."))) is not None:
            write_private(file, _Name(id=id).model_dump_json())
            self._names[name] = id

    def _file(self, key: str, shown: str) -> Path | None:
        if self._folder is None:
            return None
        digest = hashlib.sha256(f"{self._api_url}\n{key}".encode()).hexdigest()
        return self._folder / f"{shown}-{digest[:12]}.json"


def _read[Kind: _Record](kind: type[Kind], file: Path, name: str) -> Kind | None:
    """What is in a file; None if there is none that can be used."""
    if not file.exists():
        return None
    try:
        return kind.model_validate(parse_json(read_bytes(file, _MOST_BYTES)))
    except (ValueError, ArithmeticError) as error:  # ValidationError is one
        # Of an earlier release, or damaged.
        logger.info("%s is read from GitHub anew: %s", name, type(error).__name__)
        return None
