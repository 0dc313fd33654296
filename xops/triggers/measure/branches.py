"""Into which branch a pull request counts: the default one, under whatever name it had then.

GitHub renames the base of open pull requests with a branch, but not of merged ones: what was merged
into `master` stays so. A base that is not today's default branch was it once if it was seen to be;
or if it is gone, what was merged into it lies in the history of today's default branch, and no
pull request went into that one before. A branch that exists beside the default one was not.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from xops.core.errors import XopsError
from xops.core.files.bounded_json import parse_json
from xops.core.files.private_file import write_private
from xops.core.files.reading import read_bytes
from xops.core.files.validation import Moment
from xops.github.records import MergedPullRequest, Records

logger = logging.getLogger(__name__)

_MOST_BYTES = 16 << 20

_USUAL = frozenset({"main", "master", "trunk", "default", "mainline", "develop", "dev"})
"""Names that default branches have, and branches for one change have not."""

_SEVERAL = 3
"""Pull requests into a branch of another name, from which on it was no branch for one change."""

Existing = Callable[[Sequence[str]], Collection[str]]
"""Which of some branches exist today; raises `XopsError` where that cannot be told."""


@dataclass(frozen=True)
class Standing:
    """Whether what was merged into a base counts; with a `doubt` nobody can tell.

    Attributes:
        former: whether it counts because the base was the default branch then, and is not today.
    """

    counts: bool
    doubt: str = ""
    former: bool = False

    @property
    def may_count(self) -> bool:
        """Whether it counts, or nobody can tell."""
        return self.counts or bool(self.doubt)


_COUNTS, _DOES_NOT = Standing(counts=True), Standing(counts=False)
_FORMER = Standing(counts=True, former=True)


class Sighting(BaseModel):
    """Between which moments (this machine's clock) a branch was seen to be the default one."""

    model_config = ConfigDict(extra="forbid")

    first: Moment
    last: Moment


class Answer(BaseModel):
    """Whether a branch was there when it was asked for."""

    model_config = ConfigDict(extra="forbid")

    at: Moment
    there: bool


class Seen(BaseModel):
    """What is known of one repository's branches.

    Attributes:
        default: by branch, when it was seen to be the default one.
        asked: by branch, the last answer.
    """

    model_config = ConfigDict(extra="forbid")

    default: dict[str, Sighting] = {}
    asked: dict[str, Answer] = {}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    repositories: dict[str, Seen] = {}


class Sightings:
    """When which branch was the default one, by repository's id, in one file.

    Args:
        folder: where it is; it can be deleted at any time.
        api_url: repositories of another GitHub have another file.
    """

    def __init__(self, folder: Path, api_url: str) -> None:
        self._file = folder / f"{hashlib.sha256(api_url.encode()).hexdigest()[:12]}.json"
        self._seen = self._read()

    def of(self, repository_id: str) -> Seen:
        """What is known of a repository; what is added to it is kept by `keep`."""
        return self._seen.repositories.setdefault(repository_id, Seen())

    def see(self, repository_id: str, branch: str, now: datetime) -> None:
        """Remember that it is the default one now."""
        known = self.of(repository_id).default
        before = known.get(branch, Sighting(first=now, last=now))
        # A clock that was put back takes nothing away.
        known[branch] = Sighting(first=before.first, last=max(before.last, now))

    def keep(self) -> None:
        """Write the file, whole or not at all."""
        write_private(self._file, self._seen.model_dump_json())

    def _read(self) -> _File:
        if not self._file.exists():
            return _File()
        try:
            return _File.model_validate(parse_json(read_bytes(self._file, _MOST_BYTES)))
        except (ValueError, ArithmeticError) as error:  # ValidationError is one
            name = self._file.name
            logger.warning("%s is unusable, it begins anew: %s", name, type(error).__name__)
            return _File()


class Bases:
    """Tells of one repository's pull requests whether their base counts.

    Args:
        records: all that is known of the repository.
        seen: what is known of its branches; takes what is answered.
        default: its default branch of today; empty if that is not known.
        patterns: branches that the policy names; with any, they decide alone.
        existing: asks which branches exist; None where nothing can be asked.
        now: this machine's clock.
    """

    def __init__(
        self,
        records: Records,
        seen: Seen,
        default: str,
        patterns: Sequence[str],
        existing: Existing | None,
        now: datetime,
    ) -> None:
        self._records = records
        self._seen = seen
        self._default = default
        self._patterns = patterns
        self._existing = existing
        self._now = now
        self._unanswered: dict[str, str] = {}

    def look_up(self, requests: Iterable[MergedPullRequest]) -> None:
        """Ask at once which of the bases exist for which that decides."""
        names = sorted({one.base for one in requests if self._is_open(one)})
        if not names:
            return
        if self._existing is None:
            self._unanswered |= dict.fromkeys(names, "it could not be read")
            return
        try:
            there = self._existing(names)
        except XopsError as error:
            self._unanswered |= dict.fromkeys(names, error.found)
        else:
            self._seen.asked |= {name: Answer(at=self._now, there=name in there) for name in names}

    def standing(self, request: MergedPullRequest) -> Standing:
        """Whether the request's base counts; `look_up` has to come first."""
        base = request.base
        if self._patterns:
            return _COUNTS if self._is_named(base) else _DOES_NOT
        if base == self._default:
            return _COUNTS
        if not self._default:
            return self._doubt(request, "the default branch is not known")
        if self._was_seen_after(request):
            return _FORMER
        if not self._depends(request):
            return _DOES_NOT
        if reason := self._unanswered.get(base):
            return self._doubt(request, f"whether {base} exists: {reason}")
        if self._seen.asked[base].there:
            return self._of_existing(request)
        # Once it was seen to be the default branch, it was until it was gone.
        return _FORMER if self._was_default(base) else self._of_gone(request)

    def _is_named(self, base: str) -> bool:
        return any(fnmatchcase(base, pattern) for pattern in self._patterns)

    def _is_open(self, request: MergedPullRequest) -> bool:
        """Whether it depends on the base being there, which is not known."""
        if self._patterns or request.base == self._default or not self._default:
            return False
        answer = self._seen.asked.get(request.base)
        known = answer is not None and request.merged_at <= answer.at
        return not known and not self._was_seen_after(request) and self._depends(request)

    def _depends(self, request: MergedPullRequest) -> bool:
        """Whether it depends on the base being there, as nothing else tells."""
        if self._was_other(request):
            return False
        if self._was_default(request.base):
            return True
        if self._in_history(request) is False:  # unless the default branch was rewritten since
            return request.base in _USUAL
        return self._was_replaced(request.base) or not self._was_merged_itself(request.base)

    def _was_other(self, request: MergedPullRequest) -> bool:
        """Whether today's default branch was the default one before the merge as well as after."""
        now = self._seen.default.get(self._default)
        return now is not None and now.first <= request.merged_at <= now.last

    def _of_existing(self, request: MergedPullRequest) -> Standing:
        """Of a base that exists: it was the default branch until some time, or never."""
        if not self._was_default(request.base):
            return _DOES_NOT
        return self._doubt(request, "it was the default branch, until when is not known")

    def _of_gone(self, request: MergedPullRequest) -> Standing:
        """Of a base that is gone: whether it was the default branch, under a former name."""
        base, replaced = request.base, self._was_replaced(request.base)
        usual = base in _USUAL
        plausible = usual or len(self._merged_into[base]) >= _SEVERAL
        if self._in_history(request) and replaced and plausible:
            return _FORMER
        if not self._was_merged_itself(base) and (usual or replaced):
            return self._doubt(request, f"{base} may have been the default branch")
        return _DOES_NOT

    def _was_default(self, base: str) -> bool:
        """Whether it was ever seen to be the default branch."""
        return base in self._seen.default or base in self._records.default_branches

    def _was_seen_after(self, request: MergedPullRequest) -> bool:
        """Whether its base was seen to be the default branch after it was merged."""
        seen = self._seen.default.get(request.base)
        return seen is not None and request.merged_at <= seen.last

    def _was_replaced(self, base: str) -> bool:
        """Whether pull requests went into the default branch of today only after those into it."""
        after = self._merged_into.get(self._default)
        return not after or max(self._merged_into[base]) <= min(after)

    def _was_merged_itself(self, base: str) -> bool:
        """Whether it was a branch for one change, on which others were stacked."""
        # Forks have branches of a default branch's usual names, and merge those.
        return base not in _USUAL and bool(self._merged_from.get(base, set()) - {base})

    @cached_property
    def _merged_into(self) -> dict[str, list[datetime]]:
        """By base, when pull requests were merged into it."""
        found: dict[str, list[datetime]] = {}
        for one in self._records.pull_requests.values():
            found.setdefault(one.base, []).append(one.merged_at)
        return found

    @cached_property
    def _merged_from(self) -> dict[str, set[str]]:
        """By head, into which bases it was merged."""
        found: dict[str, set[str]] = {}
        for one in self._records.pull_requests.values():
            found.setdefault(one.head, set()).add(one.base)
        return found

    def _in_history(self, request: MergedPullRequest) -> bool | None:
        """Whether its merge lies in the history of the default branch; None if nobody knows."""
        read_from = self._records.commits_from
        if not request.merge_commit or read_from is None or request.merged_at < read_from:
            return None
        return request.merge_commit in self._records.commits

    def _doubt(self, request: MergedPullRequest, why: str) -> Standing:
        return Standing(counts=False, doubt=f"#{request.number} into {request.base}: {why}")
