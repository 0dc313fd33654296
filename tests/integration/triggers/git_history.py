"""Real histories for the GitHub of the tests: what was merged, out of a repository's own log.

A pull request is told by what GitHub's buttons write: "Merge pull request #N from OWNER/BRANCH", or
"(#N)" at the end of the subject. Files are those that differ from the first parent, and contents
come from the repository itself when they are asked for.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.github_data import Commit, File, Person, PullRequest, Repository

RECORD, FIELD = "\x1e", "\x1f"
_MERGED = re.compile(r"Merge pull request #(\d+) from [^/\s]+/(\S+)")
_SQUASHED = re.compile(r"\(#(\d+)\)$")
_PRIVATE = re.compile(r"(?:\d+\+)?([^@]+)@users\.noreply\.github\.com")
_STATUS = {"A": "ADDED", "D": "DELETED", "R": "RENAMED", "C": "COPIED"}
_LINES = re.compile(r"(\d+) (insertion|deletion)")


@dataclass(frozen=True)
class Git:
    """One repository, bare or not."""

    folder: Path

    def run(self, *arguments: str) -> str:
        """What it prints."""
        argv = ["git", "-c", "core.quotePath=false", "-C", str(self.folder), *arguments]
        done = subprocess.run(argv, capture_output=True, check=True)
        return done.stdout.decode(errors="replace")

    def text(self, oid: str, path: str) -> str | bytes | None:
        """A file as it was then; bytes if it is binary, None if there is none."""
        argv = ["git", "-C", str(self.folder), "cat-file", "blob", f"{oid}:{path}"]
        done = subprocess.run(argv, capture_output=True, check=False)
        if done.returncode:
            return None
        try:
            return None if b"\0" in done.stdout else done.stdout.decode()
        except UnicodeDecodeError:
            return done.stdout

    @property
    def last_commit(self) -> datetime:
        """When the tip was committed."""
        return datetime.fromisoformat(self.run("log", "-1", "--format=%cI").strip())


def repositories(folder: Path) -> list[Path]:
    """The Git repositories in a folder or in folders of it, bare or not."""
    places = ("*/HEAD", "*/.git/HEAD", "*/*/HEAD", "*/*/.git/HEAD")
    heads = sorted(head for place in places for head in folder.glob(place))
    found = [head.parent for head in heads if (head.parent / "objects").is_dir()]
    return [path.parent if path.name == ".git" else path for path in found]


class _Contents(dict[str, Any]):
    """By commit the files as the repository has them."""

    def __init__(self, git: Git) -> None:
        self._git = git

    def __contains__(self, oid: object) -> bool:
        return True

    def get(self, oid: str, default: Any = None) -> Any:
        return _Tree(self._git, oid)


@dataclass(frozen=True)
class _Tree:
    git: Git
    oid: str

    def get(self, path: str) -> str | bytes | None:
        return self.git.text(self.oid, path)


def take_over(git: Git, repository: Repository, since: datetime) -> None:
    """Fill the test server's repository with what its first parents tell since a moment."""
    repository.contents = _Contents(git)
    lines = _lines(git, since)
    for fields, files in _records(git, since):
        oid, parents, at, name, address, subject, body = fields
        previous = repository.commits[-1] if repository.commits else None
        author = Person(name, address, _login(name, address))
        moment = datetime.fromisoformat(at)
        message = f"{subject}\n\n{body}"
        repository.commits.append(Commit(author, moment, message, oid=oid, previous=previous))
        if (found := _numbered(subject)) is None:
            continue
        number, head = found
        if " " in parents:  # who made it is not who merged it
            author = _person(git, parents.split(" ")[1])
        title = body.strip().partition("\n")[0] if head else _SQUASHED.sub("", subject).strip()
        login = author.login or author.name
        added, removed = lines.get(oid, (0, 0))
        repository.pull_requests.append(
            PullRequest(
                number, moment, files, author=login, title=title, head=head or "topic",
                base=repository.default_branch, merge_commit=oid,
                additions=added, deletions=removed,
            )
        )  # fmt: skip


def _numbered(subject: str) -> tuple[int, str] | None:
    if found := _MERGED.match(subject):
        return int(found[1]), found[2]
    found = _SQUASHED.search(subject)
    return (int(found[1]), "") if found else None


def _records(git: Git, since: datetime) -> Iterator[tuple[list[str], list[File]]]:
    """The first parents, the oldest first: what a commit says, and the files it changed."""
    shown = FIELD.join(("%H", "%P", "%cI", "%an", "%ae", "%s", "%b", ""))
    arguments = ["-m", "-z", "--name-status", f"--format={RECORD}{shown}"]
    for record in _log(git, since, [*arguments, "-M"], [*arguments, "--no-renames"]):
        *fields, rest = record.split(FIELD)
        yield fields, list(_files(rest.strip("\0\n").split("\0")))


def _log(git: Git, since: datetime, arguments: list[str], otherwise: list[str]) -> Iterator[str]:
    """One record a commit; of one whose files are not all in the clone, what else can be had."""
    whole = ["log", "--first-parent", "--reverse", f"--since={since.isoformat()}"]
    try:
        yield from git.run(*whole, *arguments).split(RECORD)[1:]
    except subprocess.CalledProcessError:
        for oid in git.run(*whole, "--format=%H").split():
            one = ["log", "--first-parent", "-1", oid]
            try:
                yield git.run(*one, *arguments).split(RECORD)[1]
            except subprocess.CalledProcessError:
                yield git.run(*one, *otherwise).split(RECORD)[1]


def _files(tokens: Sequence[str]) -> Iterator[File]:
    queue = iter(token.strip("\n") for token in tokens if token.strip("\n"))
    for status in queue:
        previous = next(queue) if status[0] in "RC" else None
        yield File(next(queue), _STATUS.get(status[0], "MODIFIED"), previous)


def _lines(git: Git, since: datetime) -> dict[str, tuple[int, int]]:
    """By commit the lines that were added and removed; none where that cannot be had."""
    shown = ["-m", f"--format={RECORD}%H"]
    found = {}
    for record in _log(git, since, [*shown, "--shortstat"], [*shown, "--no-patch"]):
        oid, _, rest = record.partition("\n")
        counts = {kind: int(count) for count, kind in _LINES.findall(rest)}
        found[oid] = counts.get("insertion", 0), counts.get("deletion", 0)
    return found


def _person(git: Git, oid: str) -> Person:
    name, address = git.run("log", "-1", f"--format=%an{FIELD}%ae", oid).strip().split(FIELD)
    return Person(name, address, _login(name, address))


def _login(name: str, address: str) -> str | None:
    if name.endswith("[bot]"):
        return name
    found = _PRIVATE.fullmatch(address)
    return found[1] if found else None
