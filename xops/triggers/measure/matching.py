"""Which paths of a merged pull request are infrastructure code, asked for as far as is needed.

Its listed paths decide in nearly every case. What they leave open is asked for in this order: the
paths that GraphQL does not tell, and what is in the files as they were merged. What an answer
decided is kept, so that a second evaluation by the same rules asks nothing.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from xops.core.errors import XopsError
from xops.core.files.bounded_json import parse_json
from xops.core.files.private_file import write_private
from xops.core.files.reading import read_bytes
from xops.github.client import Client
from xops.github.errors import ForbiddenError, NotVisibleError
from xops.github.merged_texts import Wanted, read_merged_texts
from xops.github.pull_requests import read_all_paths
from xops.github.records import MergedPullRequest, Store
from xops.github.repositories import OF_ONE_REPOSITORY, RepositorySnapshot
from xops.triggers.measure.classification import Classifier, Matched

logger = logging.getLogger(__name__)

_MOST_BYTES = 64 << 20
_SHOWN = 3

_ROUNDS = 2
"""The files; if they do not decide, what lies above them."""

_AT_ONCE = 200
"""Pull requests whose files are held in memory together."""


@dataclass(frozen=True)
class Match:
    """What is infrastructure code in a pull request: path to kind; with a `doubt`, who knows."""

    kinds: Mapping[str, str] = field(default_factory=dict)
    doubt: str = ""


class _Decided(BaseModel):
    """What contents decided, in one repository: by pull request's id the paths and their kinds."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    classification: str
    pull_requests: dict[str, dict[str, str]] = {}


class Decisions:
    """What the contents of files decided in earlier evaluations, below one folder.

    Args:
        folder: where they are.
        api_url: repositories of another GitHub have other files.
        classification: hash of the rules; what others decided is not looked at.
    """

    def __init__(self, folder: Path, api_url: str, classification: str) -> None:
        self._folder = folder
        self._api_url = api_url
        self._classification = classification

    def open(self, repository_id: str) -> dict[str, dict[str, str]]:
        """By pull request's id, which of its paths are of which kind."""
        file = self._file(repository_id)
        if not file.exists():
            return {}
        try:
            found = _Decided.model_validate(parse_json(read_bytes(file, _MOST_BYTES)))
        except (ValueError, ArithmeticError) as error:  # ValidationError is one
            logger.warning("%s is unusable, it begins anew: %s", file.name, type(error).__name__)
            return {}
        return found.pull_requests if found.classification == self._classification else {}

    def keep(self, repository_id: str, decided: Mapping[str, dict[str, str]]) -> None:
        """Write a repository's file, whole or not at all."""
        kept = _Decided(classification=self._classification, pull_requests=dict(decided))
        write_private(self._file(repository_id), kept.model_dump_json())

    def _file(self, repository_id: str) -> Path:
        text = f"{self._api_url}\n{repository_id}"
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"


class _Answers:
    """What is known of the files of one pull request; gathers what else is wanted."""

    def __init__(self) -> None:
        self._known: dict[str, str | None] = {}
        self._asked: set[str] = set()
        self.wanted: list[str] = []

    def texts(self, paths: Sequence[str]) -> Mapping[str, str | None]:
        """The files that are known; the others are asked for before the next round."""
        if not self.wanted:  # what comes second is asked for only if the first does not decide
            self.wanted = [path for path in paths if path not in self._asked]
            self._asked |= set(paths)
        return {path: self._known[path] for path in paths if path in self._known}

    def take(self, found: Mapping[str, str | None]) -> None:
        """What GitHub answered."""
        self._known |= found
        self.wanted = []


@dataclass
class _Open:
    """A pull request whose paths do not decide."""

    snapshot: RepositorySnapshot
    request: MergedPullRequest
    doubt: str
    answers: _Answers = field(default_factory=_Answers)
    matched: Matched = field(default_factory=lambda: Matched({}, ()))
    problem: XopsError | None = None

    def look(self, classifier: Classifier) -> bool:
        """Judge by what is known now; whether asking for more may decide."""
        self.matched = classifier.matched(self.request.paths, self.answers)
        asks = bool(self.answers.wanted) and self.problem is None
        return not self.matched.kinds and asks and _answers(self.snapshot)

    def wanted(self) -> Wanted:
        revision = self.request.merge_commit or self.snapshot.default_branch
        return Wanted(self.snapshot.name, revision, tuple(self.answers.wanted))

    def take(self, found: dict[str, str | None] | XopsError) -> None:
        if isinstance(found, XopsError):
            self.problem = found
        else:
            self.answers.take(found)

    @property
    def decided(self) -> bool:
        return bool(self.matched.kinds) or not (self.doubt or self.matched.open)

    def match(self) -> Match:
        if self.decided:
            return Match(self.matched.kinds)
        return Match(doubt=self.doubt or _unreadable(self.request, self.matched.open))


class Matcher:
    """Decides for merged pull requests, of all repositories together.

    Args:
        client: the connection.
        store: takes the paths that REST told.
        classifier: the rules.
        decisions: what contents decided before.

    Attributes:
        unlisted: by address, why the files of a pull request could not be listed or read.
        asked_contents: of how many pull requests contents were asked for.
    """

    def __init__(
        self, client: Client, store: Store, classifier: Classifier, decisions: Decisions
    ) -> None:
        self.client = client
        self._store = store
        self._classifier = classifier
        self._decisions = decisions
        self.unlisted: dict[str, str] = {}
        self.asked_contents = 0

    def match(
        self, wanted: Sequence[tuple[RepositorySnapshot, Sequence[MergedPullRequest]]]
    ) -> dict[str, Match]:
        """By id of each pull request, which of its paths are infrastructure code.

        Raises:
            AccessError, LimitError: nothing more can be asked.
        """
        found: dict[str, Match] = {}
        undecided: list[_Open] = []
        for snapshot, requests in wanted:
            for request in requests:
                matched, doubt = self._by_paths(snapshot, request)
                if matched.kinds or not matched.open:
                    found[request.id] = Match(matched.kinds, "" if matched.kinds else doubt)
                else:
                    undecided.append(_Open(snapshot, request, doubt))
        return found | self._by_contents(undecided)

    def _by_paths(
        self, snapshot: RepositorySnapshot, request: MergedPullRequest
    ) -> tuple[Matched, str]:
        """What the paths decide; and why the list of them is not whole, where it is not."""
        matched = self._classifier.matched(request.paths)
        if not matched.kinds and not request.all_paths and _hides_paths(request):
            if not _answers(snapshot):
                return matched, f"the files of #{request.number} cannot be listed"
            try:
                read_all_paths(self.client, snapshot.name, request)
            except OF_ONE_REPOSITORY as error:
                self.unlisted[request.url] = error.found
                return matched, f"the files of #{request.number} cannot be listed: {error.found}"
            self._store.keep(snapshot.records)
            matched = self._classifier.matched(request.paths)
        return matched, _cut_off(request)

    def _by_contents(self, undecided: Sequence[_Open]) -> dict[str, Match]:
        """What the files' contents decide; of each pull request once."""
        found: dict[str, Match] = {}
        by_repository: dict[str, list[_Open]] = {}
        for one in undecided:
            by_repository.setdefault(one.snapshot.records.id, []).append(one)
        kept = {repository: self._decisions.open(repository) for repository in by_repository}
        new: list[_Open] = []
        for repository, rows in by_repository.items():
            known = kept[repository]
            found |= {one.request.id: Match(known[one.request.id])
                      for one in rows if one.request.id in known}  # fmt: skip
            new += [one for one in rows if one.request.id not in known]
        for start in range(0, len(new), _AT_ONCE):
            self._ask(new[start : start + _AT_ONCE])
        self._keep(new, kept)
        return found | {one.request.id: one.match() for one in new}

    def _ask(self, rows: Sequence[_Open]) -> None:
        self.asked_contents += len(rows)
        for _ in range(_ROUNDS):
            waiting = [one for one in rows if one.look(self._classifier)]
            if not waiting:
                return
            texts = read_merged_texts(self.client, [one.wanted() for one in waiting])
            for one, found in zip(waiting, texts, strict=True):
                one.take(found)
                if one.problem is not None:
                    self.unlisted[one.request.url] = one.problem.found
        for one in rows:
            one.look(self._classifier)

    def _keep(self, new: Sequence[_Open], kept: Mapping[str, dict[str, dict[str, str]]]) -> None:
        changed = set()
        for one in new:
            if one.decided:
                repository = one.snapshot.records.id
                kept[repository][one.request.id] = dict(one.matched.kinds)
                changed.add(repository)
        for repository in changed:
            self._decisions.keep(repository, kept[repository])


def _answers(snapshot: RepositorySnapshot) -> bool:
    """Whether the repository can be asked for more: commits alone may be what is unreadable."""
    return not isinstance(snapshot.problem, ForbiddenError | NotVisibleError)


def _hides_paths(request: MergedPullRequest) -> bool:
    """Whether GraphQL did not tell all: more than 100 files, or a file's former name."""
    return (
        request.renames
        or request.changed_files is None
        or request.changed_files > len(request.paths)
    )


def _cut_off(request: MergedPullRequest) -> str:
    return f"#{request.number} has more files than GitHub lists" if request.truncated else ""


def _unreadable(request: MergedPullRequest, paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    listed = ", ".join(paths[:_SHOWN])
    return f"#{request.number}: what {listed}{more} is cannot be told without its content"
