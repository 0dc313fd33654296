"""The files of a commit below given paths, as that commit has them, without Git.

What is written is what the commit's tree says: every tree on the way to a file is put together
again from its entries and compared with its id, and so is every file. What cannot be written safely
to a folder is refused: links, submodules, names that lead elsewhere or that are one file on some
disk. Files are as Git keeps them: ends of lines are not converted, a file of LFS is its pointer.

A tree is listed with all below it in one request. Beyond 100,000 entries or 7 MB GitHub cuts the
list; then each wanted folder is listed by itself. Files are texts as a rule, of which GraphQL gives
many in one request; what it cannot give exactly (binary, cut, in another encoding) REST gives one
by one. Sources: GitHub, "REST API endpoints for Git trees", "... for Git blobs"; GraphQL's `Blob`.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from xops.core.errors import PermanentError
from xops.github.errors import RefusedError, UnavailableError
from xops.github.pull_request.addresses import object_id, repository_path
from xops.github.pull_request.blob_cache import BlobCache
from xops.github.pull_request.git_objects import (
    EXECUTABLE,
    FILE,
    FOLDER,
    LINK,
    SUBMODULE,
    Entry,
    blob_id,
    same_on_some_disk,
    tree_id,
    unsafe_name,
)
from xops.github.pull_request.rows import Commit, Row, Sha

if TYPE_CHECKING:  # githubkit takes a second to import
    from xops.github.client import Client

MOST_FILES = 5_000
MOST_FOLDERS = 2_000
MOST_FILE_BYTES = 4 << 20
MOST_BYTES = 64 << 20
_MOST_LEVELS = 32

_TEXTS = 100
"""Files in one question: none is a list, so that it costs 1 point."""

_TEXT_BYTES = 1 << 20
"""Of all files in one question: GitHub gives up on what takes it ten seconds."""

_LONGEST_TEXT = 100_000
"""Bytes of a file that is asked for as text: longer ones may come cut."""

_REMEDY = "Change that in the branch: only files and folders can be planned."


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        tree: the id of the commit's tree.
        files: by path from the root of the repository, the id of each file.
    """

    tree: str
    files: Mapping[str, str]


class _Item(Row):
    path: str
    mode: str
    type: Literal["blob", "tree", "commit"]
    sha: Sha
    size: int | None = Field(default=None, ge=0)


class _Listing(Row):
    tree: tuple[_Item, ...]
    truncated: bool


class _Blob(Row):
    content: str
    encoding: Literal["base64"]


class Tree:
    """Trees of a repository's commits.

    Args:
        client: with a credential that may read contents.
        repository: owner/name.
        cache: a folder for the files that were read; it can be deleted at any time.
    """

    def __init__(self, client: Client, repository: str, cache: Path) -> None:
        self._client = client
        self._path = repository_path(repository)
        self._repository = repository
        self._cache = BlobCache(cache, MOST_FILE_BYTES)

    def export(self, commit: str, paths: Sequence[str], folder: Path) -> Exported:
        """Write the files of a commit at or below paths; a path that is not there has none.

        Args:
            commit: its id.
            paths: files and folders, from the root of the repository.
            folder: made if missing; must be empty.

        Raises:
            PermanentError: the commit holds there what cannot be written, or more than the bounds.
            RefusedError: what was sent is not what the commit's id says.
            AccessError, NotVisibleError, LimitError, UnavailableError.
            OSError: it cannot be written.
        """
        attempted = f"reading the files of {commit[:12]} of {self._repository}"
        root = self._root(object_id(commit), attempted)
        trees = _Trees(self._client, self._path, attempted)
        wanted = [tuple(path.strip("/").split("/")) for path in paths]
        files = dict(sorted(_files(trees, root, wanted), key=itemgetter(0)))
        self._fetch_missing(list(files.values()), attempted)
        self._write(files, folder, attempted)
        return Exported(root, {path: entry.id for path, entry in files.items()})

    def _root(self, commit: str, attempted: str) -> str:
        answer = self._client.get(f"{self._path}/git/commits/{commit}", attempted)
        with self._client.translate_errors(attempted):
            found = Commit.of(answer)
        if found.sha != commit:
            raise _altered(attempted, f"commit {commit}")
        return found.tree.sha

    def _fetch_missing(self, files: Sequence[Entry], attempted: str) -> None:
        """Bring what is not in the cache there, many texts in one request."""
        missing = {one.id: one for one in files if self._cache.read(one.id) is None}
        if not missing:
            return
        for part in _parts(list(missing.values())):
            for id, content in self._texts(part, attempted).items():
                self._cache.keep(id, content)
                del missing[id]
        for id in missing:
            self._cache.keep(id, self._blob(id, attempted))
        self._cache.prune()

    def _texts(self, part: Sequence[Entry], attempted: str) -> dict[str, bytes]:
        """Of those that GraphQL gives as they are, the content by id."""
        owner, _, name = self._repository.partition("/")
        ids = {f"b{index}": entry.id for index, entry in enumerate(part)}
        variables = {"owner": owner, "name": name, **ids}
        try:
            answer = self._client.graphql(_query(len(part)), variables, attempted, patient=False)
        except UnavailableError:  # too much at once: one by one GitHub gives them
            return {}
        with self._client.translate_errors(attempted):
            rows: Mapping[str, Any] = answer.data.get("repository") or {}
            texts = {id: (rows.get(key) or {}).get("text") for key, id in ids.items()}
        return {
            id: content
            for id, text in texts.items()
            if isinstance(text, str)
            and blob_id(content := text.encode("utf-8", "surrogatepass"), id) == id
        }

    def _blob(self, id: str, attempted: str) -> bytes:
        answer = self._client.get(f"{self._path}/git/blobs/{id}", attempted)
        with self._client.translate_errors(attempted):
            content = base64.b64decode(_Blob.of(answer).content)
        if blob_id(content, id) != id:
            raise _altered(attempted, f"file {id}")
        if len(content) > MOST_FILE_BYTES:
            raise _too_much(attempted, f"a file of more than {MOST_FILE_BYTES >> 20} MiB")
        return content

    def _write(self, files: Mapping[str, Entry], folder: Path, attempted: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if next(folder.iterdir(), None) is not None:
            raise PermanentError(attempted, f"{folder} is not empty", "Name an empty folder.")
        left = MOST_BYTES
        for path, entry in files.items():
            content = self._cache.read(entry.id)
            if content is None:
                content = self._blob(entry.id, attempted)
            left -= len(content)
            if left < 0:
                raise _too_much(attempted, f"more than {MOST_BYTES >> 20} MiB")
            _write_new(folder / path, content, executable=entry.mode == EXECUTABLE)


@dataclass
class _Trees:
    """Trees of one repository, listed with as few requests as possible."""

    client: Client
    path: str
    attempted: str
    known: dict[str, tuple[Entry, ...]] = field(default_factory=dict)

    def entries(self, tree: str) -> tuple[Entry, ...]:
        """What is in a tree, compared with its id.

        Raises:
            RefusedError: it is something else.
        """
        if tree not in self.known:
            self._list(tree)
        found = self.known[tree]
        with self.client.translate_errors(self.attempted):
            same = tree_id(found, tree) == tree
        if not same:
            raise _altered(self.attempted, f"folder {tree}")
        return found

    def _list(self, tree: str) -> None:
        listing = self._answer(tree, recursive=1)
        if not listing.truncated:
            self.known |= _folders(tree, listing)
            return
        self.known[tree] = _folders(tree, self._answer(tree))[tree]

    def _answer(self, tree: str, **more: int) -> _Listing:
        answer = self.client.get(f"{self.path}/git/trees/{tree}", self.attempted, **more)
        with self.client.translate_errors(self.attempted):
            return _Listing.of(answer)


def _folders(root: str, listing: _Listing) -> dict[str, tuple[Entry, ...]]:
    """The entries of each folder of a listing, by the folder's id."""
    inside: dict[str, list[Entry]] = {"": []}
    ids = {"": root}
    for item in listing.tree:
        above, _, name = item.path.rpartition("/")
        inside.setdefault(above, []).append(Entry(name, item.mode, item.sha, item.size))
        if item.type == "tree":
            ids[item.path] = item.sha
    return {id: tuple(inside.get(path, ())) for path, id in ids.items()}


def _files(
    trees: _Trees, root: str, wanted: Sequence[tuple[str, ...]]
) -> Iterator[tuple[str, Entry]]:
    """The files at or below the wanted paths, each with its path."""
    folders = files = size = 0
    waiting: list[tuple[tuple[str, ...], str]] = [((), root)]
    while waiting:
        above, tree = waiting.pop()
        folders += 1
        if folders > MOST_FOLDERS:
            raise _too_much(trees.attempted, f"more than {MOST_FOLDERS} folders")
        if len(above) > _MOST_LEVELS:
            raise _too_much(trees.attempted, f"a folder below more than {_MOST_LEVELS} others")
        concerned = [e for e in trees.entries(tree) if _concerns((*above, e.name), wanted)]
        _check(above, concerned, trees.attempted)
        for entry in concerned:
            path = (*above, entry.name)
            if entry.mode == FOLDER:
                waiting.append((path, entry.id))
            elif _is_within(path, wanted):
                files, size = files + 1, size + (entry.size or 0)
                _check_bounds(entry, files, size, trees.attempted)
                yield "/".join(path), entry


def _is_within(path: tuple[str, ...], wanted: Sequence[tuple[str, ...]]) -> bool:
    return any(path[: len(one)] == one for one in wanted)


def _concerns(path: tuple[str, ...], wanted: Sequence[tuple[str, ...]]) -> bool:
    """Whether a path is at, below or on the way to a wanted one."""
    return _is_within(path, wanted) or any(one[: len(path)] == path for one in wanted)


def _check(above: tuple[str, ...], entries: Sequence[Entry], attempted: str) -> None:
    """Refuse what cannot be written to a folder.

    Raises:
        PermanentError: there is something.
    """
    seen: dict[str, str] = {}
    for entry in entries:
        path = "/".join((*above, entry.name))
        other = seen.setdefault(same_on_some_disk(entry.name), path)
        if other is not path:
            raise PermanentError(attempted, f"{path} and {other} are one on some disk", _REMEDY)
        if problem := unsafe_name(entry.name) or _unsafe_mode(entry.mode):
            raise PermanentError(attempted, f"{path} {problem}", _REMEDY)


def _unsafe_mode(mode: str) -> str:
    if mode in (FOLDER, FILE, EXECUTABLE):
        return ""
    kinds = {LINK: "is a symbolic link", SUBMODULE: "is a submodule"}
    return kinds.get(mode, f"has the mode {mode}")


def _check_bounds(entry: Entry, files: int, size: int, attempted: str) -> None:
    if files > MOST_FILES:
        raise _too_much(attempted, f"more than {MOST_FILES} files")
    if (entry.size or 0) > MOST_FILE_BYTES:
        raise _too_much(attempted, f"{entry.name}, of more than {MOST_FILE_BYTES >> 20} MiB")
    if size > MOST_BYTES:
        raise _too_much(attempted, f"more than {MOST_BYTES >> 20} MiB")


def _parts(files: Sequence[Entry]) -> Iterator[list[Entry]]:
    """What is asked for in one question each; files that may come cut in none."""
    part: list[Entry] = []
    size = 0
    for entry in files:
        if entry.size is None or entry.size > _LONGEST_TEXT:
            continue
        if part and (len(part) == _TEXTS or size + entry.size > _TEXT_BYTES):
            yield part
            part, size = [], 0
        part.append(entry)
        size += entry.size
    if part:
        yield part


def _query(count: int) -> str:
    declared = "".join(f", $b{i}: GitObjectID!" for i in range(count))
    asked = "\n".join(
        f"b{i}: object(oid: $b{i}) {{ ... on Blob {{ text }} }}" for i in range(count)
    )
    return (
        f"query Blobs($owner: String!, $name: String!{declared}) {{\n"
        "rateLimit { limit cost remaining resetAt }\n"
        f"repository(owner: $owner, name: $name) {{\n{asked}\n}}\n}}\n"
    )


def _write_new(file: Path, content: bytes, *, executable: bool) -> None:
    """Write a file that is not there, and nothing that a name leads to."""
    file.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(file, flags, 0o755 if executable else 0o644)
    with os.fdopen(handle, "wb") as output:
        output.write(content)


def _altered(attempted: str, what: str) -> RefusedError:
    return RefusedError(
        attempted,
        f"what came as {what} is something else",
        "Look for a proxy that alters answers; a name that is no UTF-8 has this effect as well.",
    )


def _too_much(attempted: str, found: str) -> PermanentError:
    return PermanentError(
        attempted, f"there is {found}", "Keep in those folders what belongs to the plan only."
    )
