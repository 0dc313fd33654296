"""Merged infrastructure pull requests, week by week: exactly, or between which bounds.

A pull request of which it cannot be told whether it counts adds [0, 1] to its week. A repository
that cannot be read adds what is known of it, and no upper bound; weeks of it that were read before
are known all the same, since what was merged stays merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from xops.core.errors import XopsError
from xops.github.people.directory import Directory
from xops.github.records import MergedPullRequest, Records
from xops.github.repositories import RepositorySnapshot, existing_branches
from xops.triggers.facts import (
    Bounds,
    Bucket,
    PullRequestEvidence,
    RepositoryWeek,
    Week,
    week_bounds,
)
from xops.triggers.measure.branches import Bases, Sightings, Standing
from xops.triggers.measure.classification import bucket, deciding_paths
from xops.triggers.measure.matching import Match, Matcher
from xops.triggers.policy import GitHub

_SHOWN = 5

_SETTLED = timedelta(minutes=10)
"""Beyond any lag of a replica and difference of clocks: a week that was over for so long when its
repository was read was read whole."""


@dataclass(frozen=True)
class _Judged:
    """One merged pull request that counts, or of which that cannot be told (`doubt`)."""

    request: MergedPullRequest
    bucket: Bucket
    kinds: Mapping[str, str]
    doubt: str


@dataclass
class Counter:
    """Counts the merged pull requests of repositories.

    Attributes:
        matcher: tells which paths are infrastructure code.
        github: which branches count.
        directory: tells machines from people.
        sightings: what is known of branches; takes what is answered.
        now: this machine's clock.
        truncated: pull requests with more files than GitHub lists, as `owner/name#number`.
        former: by repository, what was counted although it was merged into another branch.
    """

    matcher: Matcher
    github: GitHub
    directory: Directory
    sightings: Sightings
    now: datetime
    truncated: list[str] = field(default_factory=list)
    former: dict[str, dict[str, int]] = field(default_factory=dict)

    def weeks(
        self,
        snapshots: Sequence[RepositorySnapshot],
        starts: Sequence[date],
        zone: ZoneInfo,
        refused: Mapping[str, XopsError],
    ) -> list[Week]:
        """The weeks that begin on those Mondays.

        Args:
            snapshots: the repositories, each once.
            starts: in order.
            zone: of the clocks.
            refused: selections whose repositories are not known, with why.

        Raises:
            AccessError, LimitError: nothing more can be asked.
        """
        spans = [week_bounds(start, zone) for start in starts]
        judged = self._judge(snapshots, (spans[0][0], spans[-1][1]))
        return [
            _week(start, [_Part(one, judged[id(one)], span) for one in snapshots], refused)
            for start, span in zip(starts, spans, strict=True)
        ]

    def _judge(
        self, snapshots: Sequence[RepositorySnapshot], span: tuple[datetime, datetime]
    ) -> dict[int, list[_Judged]]:
        """By snapshot (its `id()`) what counts, or may."""
        merged = _merged_once(snapshots, span)
        standings: dict[str, Standing] = {}
        for snapshot, requests in merged:
            standings |= self._standings(snapshot, requests)
        wanted = [
            (snapshot, [one for one in requests if standings[one.id].may_count])
            for snapshot, requests in merged
        ]
        matches = self.matcher.match(wanted)
        return {
            id(snapshot): list(self._those_that_count(snapshot, requests, standings, matches))
            for snapshot, requests in wanted
        }

    def _standings(
        self, snapshot: RepositorySnapshot, requests: Sequence[MergedPullRequest]
    ) -> dict[str, Standing]:
        bases = self._bases(snapshot)
        bases.look_up(requests)
        return {one.id: bases.standing(one) for one in requests}

    def _those_that_count(
        self,
        snapshot: RepositorySnapshot,
        requests: Sequence[MergedPullRequest],
        standings: Mapping[str, Standing],
        matches: Mapping[str, Match],
    ) -> Iterator[_Judged]:
        for request in requests:
            match, standing = matches[request.id], standings[request.id]
            self._note(snapshot, request, match, standing)
            if match.kinds or match.doubt:
                doubt = "; ".join(filter(None, (standing.doubt, match.doubt)))
                yield self._judged(request, match, doubt)

    def _judged(self, request: MergedPullRequest, match: Match, doubt: str) -> _Judged:
        kinds = tuple(dict.fromkeys(match.kinds.values()))
        return _Judged(request, bucket(request, kinds, self.directory), match.kinds, doubt)

    def _bases(self, snapshot: RepositorySnapshot) -> Bases:
        client, name = self.matcher.client, snapshot.name

        def existing(branches: Sequence[str]) -> set[str]:
            return existing_branches(client, name, branches)

        ask = existing if snapshot.problem is None else None
        records, patterns = snapshot.records, self.github.branches
        default = snapshot.default_branch or next(reversed(records.default_branches), "")
        seen = self.sightings.of(records.id)
        return Bases(records, seen, default, patterns, ask, self.now)

    def _note(
        self,
        snapshot: RepositorySnapshot,
        request: MergedPullRequest,
        match: Match,
        standing: Standing,
    ) -> None:
        if request.truncated:
            self.truncated.append(f"{snapshot.name}#{request.number}")
        if match.kinds and standing.former:
            counts = self.former.setdefault(snapshot.name, {})
            counts[request.base] = counts.get(request.base, 0) + 1


def _merged_once(
    snapshots: Sequence[RepositorySnapshot], span: tuple[datetime, datetime]
) -> list[tuple[RepositorySnapshot, list[MergedPullRequest]]]:
    """What was merged in [start, end), of each repository; each pull request once."""
    start, end = span
    found: list[tuple[RepositorySnapshot, list[MergedPullRequest]]] = []
    seen: set[str] = set()
    # What is remembered under a former name is a readable repository's under that of today.
    for snapshot in sorted(snapshots, key=lambda one: one.problem is not None):
        merged = [
            one
            for one in snapshot.records.pull_requests.values()
            if one.id not in seen and start <= one.merged_at < end
        ]
        seen |= {one.id for one in merged}
        found.append((snapshot, merged))
    return found


class _Part:
    """One repository's part of one week."""

    def __init__(
        self,
        snapshot: RepositorySnapshot,
        judged: Sequence[_Judged],
        span: tuple[datetime, datetime],
    ) -> None:
        start, end = span
        self._snapshot = snapshot
        self._judged = [one for one in judged if start <= one.request.merged_at < end]
        # Read now, or whole before it became unreadable.
        self._whole = snapshot.problem is None or _was_read(snapshot.records, span)

    def bounds(self) -> Bounds:
        """Between what the count lies; both are the count where it is known."""
        counted = [one for one in self._judged if _may_be(one, Bucket.COUNTED)]
        least = sum(not one.doubt for one in counted)
        return Bounds(at_least=least, at_most=len(counted) if self._whole else None)

    def week(self) -> RepositoryWeek:
        """As facts have it."""
        bounds = self.bounds()
        exact = bounds.at_least == bounds.at_most
        return RepositoryWeek(
            name=self._snapshot.name,
            id=self._snapshot.records.id,
            iac_prs=bounds.at_least if exact else None,
            bounds=None if exact else bounds,
            bots=self._count(Bucket.BOT),
            reverts=self._count(Bucket.REVERT),
            image_bumps=self._count(Bucket.IMAGE_BUMP),
            reason=self._reason(),
        )

    def evidence(self) -> Iterator[PullRequestEvidence]:
        """Those that count for certain."""
        return (_evidence(self._snapshot, one) for one in self._judged if not one.doubt)

    def _count(self, wanted: Bucket) -> int | None:
        found = [one for one in self._judged if _may_be(one, wanted)]
        known = self._whole and not any(one.doubt for one in found)
        return len(found) if known else None

    def _reason(self) -> str:
        problem = self._snapshot.problem
        if problem is not None and not self._whole:
            return problem.found
        return _some([one.doubt for one in self._judged if one.doubt], ", ")


def _may_be(one: _Judged, wanted: Bucket) -> bool:
    """Whether it is counted there, or may be: what says it is an image bump may touch more."""
    if one.bucket is wanted:
        return True
    return wanted is Bucket.COUNTED and one.bucket is Bucket.IMAGE_BUMP and not one.kinds


def _was_read(records: Records, span: tuple[datetime, datetime]) -> bool:
    """Whether an earlier reading, which was whole, covers a week."""
    start, end = span
    if records.covered_from is None or records.read_at is None:
        return False
    if records.walk is not None or records.pending:
        return False
    return records.covered_from <= start and end + _SETTLED <= records.read_at


def _week(start: date, parts: Sequence[_Part], refused: Mapping[str, XopsError]) -> Week:
    found = [part.week() for part in parts]
    bounds = _sum_bounds((part.bounds() for part in parts), known=not refused)
    exact = bounds.at_least == bounds.at_most
    evidence = (one for part in parts for one in part.evidence())
    return Week(
        start=start,
        complete=exact,
        reason=_reason(found, refused),
        iac_prs=bounds.at_least if exact else None,
        bounds=None if exact else bounds,
        bots=None if refused else _sum(part.bots for part in found),
        reverts=None if refused else _sum(part.reverts for part in found),
        image_bumps=None if refused else _sum(part.image_bumps for part in found),
        repositories=tuple(found),
        pull_requests=tuple(sorted(evidence, key=lambda one: (one.merged_at, one.url))),
    )


def _reason(found: Sequence[RepositoryWeek], refused: Mapping[str, XopsError]) -> str:
    reasons = [f"the selection {title}: {error.found}" for title, error in refused.items()]
    reasons += [f"{part.name}: {part.reason}" for part in found if part.reason]
    return _some(reasons, "; ")


def _some(reasons: Sequence[str], between: str) -> str:
    """The first of many reasons, and how many more there are."""
    more = [f"and {len(reasons) - _SHOWN} more"] if len(reasons) > _SHOWN else []
    return between.join([*reasons[:_SHOWN], *more])


def _sum_bounds(bounds: Iterable[Bounds], *, known: bool) -> Bounds:
    listed = list(bounds)
    most = _sum(one.at_most for one in listed) if known else None
    return Bounds(at_least=sum(one.at_least for one in listed), at_most=most)


def _sum(counts: Iterable[int | None]) -> int | None:
    """The sum; unknown if a part is."""
    listed = list(counts)
    known = [count for count in listed if count is not None]
    return sum(known) if len(known) == len(listed) else None


def _evidence(snapshot: RepositorySnapshot, one: _Judged) -> PullRequestEvidence:
    request = one.request
    return PullRequestEvidence(
        repository=snapshot.name,
        id=request.id,
        number=request.number,
        url=_url(request, snapshot.name),
        merged_at=request.merged_at,
        author=request.author.login,
        title=request.title,
        bucket=one.bucket,
        kinds=tuple(dict.fromkeys(one.kinds.values())),
        paths=deciding_paths(one.kinds),
        truncated=request.truncated,
    )


def _url(request: MergedPullRequest, name: str) -> str:
    """Where it is today: the address of before leads to whatever bears the old name now."""
    host, *_ = request.url.rsplit("/", 4)
    return f"{host}/{name}/pull/{request.number}"
