"""GitHub to facts: merged infrastructure pull requests a week, and the people behind them.

A week is counted only if every repository could be read for all of it. If one could not, or if one
pull request has more files than GitHub lists and none of those that it lists decides, then the week
is unknown and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from zoneinfo import ZoneInfo

from xops.core.errors import PermanentError, TemporaryError, XopsError
from xops.github.client import Client
from xops.github.people import Aliases, Directory, roster_size
from xops.github.pull_requests import merged_counts, read_all_paths
from xops.github.records import MergedPullRequest, Store
from xops.github.repositories import OF_ONE_REPOSITORY, Reader, RepositorySnapshot
from xops.triggers.connection import cache, connect, github_section
from xops.triggers.facts import (
    WEEK,
    Bucket,
    Completeness,
    Engineers,
    Facts,
    Mandate,
    PullRequestEvidence,
    RepositoryWeek,
    Week,
    last_week,
    week_bounds,
)
from xops.triggers.measure import mandates
from xops.triggers.measure.classification import Classifier, bucket, deciding_paths
from xops.triggers.measure.team import DAYS90, Team, without_people
from xops.triggers.policy import GitHub, Policy

Read = Callable[[Policy, date, Path | None], Facts]


def read(policy: Policy, as_of: date, file: Path | None = None) -> Facts:
    """The facts of a file, or of GitHub.

    Raises:
        InputError: the file, a mandate or the credential is wrong.
        PermanentError, TemporaryError: GitHub does not answer what was asked.
    """
    if file is not None:
        return Facts.load(file)
    with connect(policy) as client:
        return collect(policy, as_of, client)


def read_or_unknown(
    policy: Policy, as_of: date, file: Path | None = None, *, read: Read = read
) -> Facts:
    """The facts; where GitHub does not give them, facts that say so, by which every state freezes.

    Args:
        policy: the rules.
        as_of: the day.
        file: instead of GitHub.
        read: reads them; a flow passes its task, which tries again.

    Raises:
        InputError: the file, a mandate or the credential is wrong.
    """
    try:
        return read(policy, as_of, file)
    except (PermanentError, TemporaryError) as error:
        # A week that cannot be measured is entered as unknown: states freeze, none resolves.
        return unknown(policy, as_of, error, datetime.now(UTC))


def collect(
    policy: Policy,
    as_of: date,
    client: Client,
    *,
    folder: Path | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    log: mandates.Log | None = None,
    cross_check: bool = True,
) -> Facts:
    """Read everything that the policy's triggers need, as of the start of a day.

    Args:
        policy: repositories, branches, people, mandates, zone and how many weeks.
        as_of: weeks that are over by then are counted.
        client: the connection.
        folder: where records are kept between evaluations; `cache()` by default.
        now: the clock.
        log: the history of the mandates' folder.
        cross_check: compare the last week with GitHub's search and note a difference.

    Raises:
        InputError: a mandate or the alias file is wrong.
        AccessError: the credential is refused.
        LimitError: a limit outlasts the patience. Run again: it goes on from there.
    """
    github = github_section(policy)
    declared = _read_declared(policy, log)
    zone = ZoneInfo(policy.timezone)
    span = _Span.until(last_week(as_of), github.weeks, zone)
    store = Store((folder or cache()) / "repositories", github.api_url)
    directory = Directory(Aliases.load(policy.people.aliases), github.bots)
    snapshots = Reader(client, store, now).read(github.repositories, span.since)
    count = _Count(snapshots, github, Classifier(github.kinds), directory, client, store)
    weeks = [count.week(start, zone) for start in span.weeks]
    team = Team(snapshots, directory, policy, span.since)
    ends = [week_bounds(start, zone)[1] for start in span.weeks]
    measured = [team.engineers(end) for end in ends]
    notes = list(_notes(snapshots, client, ends[-1] if cross_check else None, zone, count))
    return Facts(
        api_version="xops/v1",
        generated_at=now(),
        as_of=as_of,
        timezone=policy.timezone,
        source="github",
        weeks=tuple(
            week.model_copy(update={"engineers": without_people(found)})
            for week, found in zip(weeks, measured, strict=True)
        ),
        engineers=measured[-1],
        mandates=declared.mandates,
        mandates_reason=declared.reason,
        completeness=_completeness(snapshots, client, count, notes),
    )


def unknown(policy: Policy, as_of: date, error: XopsError, now: datetime) -> Facts:
    """Facts of which nothing from GitHub is known, because of an error.

    For a caller who would rather have the evaluation say *insufficient data* than fail.

    Raises:
        InputError: a mandate is wrong.
    """
    declared = _read_declared(policy, None)
    span = _Span.until(last_week(as_of), github_section(policy).weeks, ZoneInfo(policy.timezone))
    reason = f"{error.attempted}: {error.found}"
    roster = policy.people.roster
    size = None if roster is None else roster_size(roster, "triggers.yaml")
    return Facts(
        api_version="xops/v1",
        generated_at=now,
        as_of=as_of,
        timezone=policy.timezone,
        source="github",
        weeks=tuple(
            Week(start=start, complete=False, reason=reason, iac_prs=None) for start in span.weeks
        ),
        engineers=Engineers(roster=size, reason=reason),
        mandates=declared.mandates,
        mandates_reason=declared.reason,
        completeness=Completeness(notes=(reason,)),
    )


@dataclass(frozen=True)
class _Span:
    """The weeks that are counted, and from when on GitHub has to be read for them."""

    weeks: tuple[date, ...]
    since: datetime

    @classmethod
    def until(cls, last: date, count: int, zone: ZoneInfo) -> _Span:
        weeks = tuple(last - WEEK * back for back in reversed(range(count)))
        first, _ = week_bounds(weeks[0], zone)
        _, end = week_bounds(last, zone)
        return cls(weeks, min(first, end - DAYS90))


@dataclass(frozen=True)
class _Declared:
    mandates: tuple[Mandate, ...] | None
    reason: str = ""


def _read_declared(policy: Policy, log: mandates.Log | None) -> _Declared:
    try:
        return _Declared(mandates.read_mandates(policy.mandates, log))
    except PermanentError as error:  # the history cannot tell who declared them
        return _Declared(None, f"{error.attempted}: {error.found}")


@dataclass
class _Count:
    """Counts the merged pull requests of a week; completes lists of files where it must."""

    snapshots: Sequence[RepositorySnapshot]
    github: GitHub
    classifier: Classifier
    directory: Directory
    client: Client
    store: Store
    truncated: dict[str, None] = field(default_factory=dict)
    unlisted: dict[str, str] = field(default_factory=dict)

    def week(self, start: date, zone: ZoneInfo) -> Week:
        bounds = week_bounds(start, zone)
        evidence: list[PullRequestEvidence] = []
        parts = [self._repository(snapshot, bounds, evidence) for snapshot in self.snapshots]
        reasons = [f"{part.name}: {part.reason}" for part in parts if part.reason]
        whole = not reasons
        return Week(
            start=start,
            complete=whole,
            reason="; ".join(reasons),
            iac_prs=_sum(part.iac_prs for part in parts) if whole else None,
            bots=_sum(part.bots for part in parts),
            reverts=_sum(part.reverts for part in parts),
            image_bumps=_sum(part.image_bumps for part in parts),
            repositories=tuple(parts),
            pull_requests=tuple(sorted(evidence, key=lambda one: (one.merged_at, one.url))),
        )

    def _repository(
        self,
        snapshot: RepositorySnapshot,
        bounds: tuple[datetime, datetime],
        evidence: list[PullRequestEvidence],
    ) -> RepositoryWeek:
        if snapshot.problem is not None:
            return RepositoryWeek(name=snapshot.name, iac_prs=None, reason=snapshot.problem.found)
        found: list[PullRequestEvidence] = []
        uncertain: list[str] = []
        for request in self._merged_within(snapshot, bounds):
            matched, reason = self._match_paths(snapshot, request)
            if reason:
                uncertain.append(reason)
            elif matched:
                found.append(self._evidence(snapshot, request, matched))
        evidence += found
        if uncertain:
            return RepositoryWeek(name=snapshot.name, iac_prs=None, reason=", ".join(uncertain))
        return _repository_week(snapshot.name, found)

    def _merged_within(
        self, snapshot: RepositorySnapshot, bounds: tuple[datetime, datetime]
    ) -> Iterator[MergedPullRequest]:
        start, end = bounds
        bases = self.github.branches or (snapshot.default_branch,)
        for request in snapshot.records.pull_requests.values():
            within = start <= request.merged_at < end
            if within and any(fnmatchcase(request.base, base) for base in bases):
                yield request

    def _match_paths(
        self, snapshot: RepositorySnapshot, request: MergedPullRequest
    ) -> tuple[dict[str, str], str]:
        """The paths that are infrastructure code; if that cannot be told, why."""
        matched = self.classifier.matched(request.paths)
        if not matched and not request.all_paths and _hides_paths(request):
            try:
                read_all_paths(self.client, snapshot.name, request)
            except OF_ONE_REPOSITORY as error:
                self.unlisted[request.url] = error.found
                return {}, f"the files of #{request.number} cannot be listed: {error.found}"
            self.store.keep(snapshot.records)
            matched = self.classifier.matched(request.paths)
        if request.truncated:
            self.truncated[f"{snapshot.name}#{request.number}"] = None
            if not matched:
                return {}, f"#{request.number} has more files than GitHub lists"
        return matched, ""

    def _evidence(
        self, snapshot: RepositorySnapshot, request: MergedPullRequest, matched: Mapping[str, str]
    ) -> PullRequestEvidence:
        kinds = tuple(dict.fromkeys(matched.values()))
        return PullRequestEvidence(
            repository=snapshot.name,
            number=request.number,
            url=request.url,
            merged_at=request.merged_at,
            author=request.author.login,
            title=request.title,
            bucket=bucket(request, kinds, self.directory),
            kinds=kinds,
            paths=deciding_paths(matched),
            truncated=request.truncated,
        )


def _hides_paths(request: MergedPullRequest) -> bool:
    """Whether GraphQL did not tell all: more than 100 files, or a file's former name."""
    return (
        request.renames
        or request.changed_files is None
        or request.changed_files > len(request.paths)
    )


def _repository_week(name: str, found: Sequence[PullRequestEvidence]) -> RepositoryWeek:
    counts = {bucket: sum(one.bucket is bucket for one in found) for bucket in Bucket}
    return RepositoryWeek(
        name=name,
        iac_prs=counts[Bucket.COUNTED],
        bots=counts[Bucket.BOT],
        reverts=counts[Bucket.REVERT],
        image_bumps=counts[Bucket.IMAGE_BUMP],
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    """The sum; unknown if a part is."""
    listed = list(counts)
    known = [count for count in listed if count is not None]
    return sum(known) if len(known) == len(listed) else None


def _notes(
    snapshots: Sequence[RepositorySnapshot],
    client: Client,
    end: datetime | None,
    zone: ZoneInfo,
    count: _Count,
) -> Iterator[str]:
    for snapshot in snapshots:
        if snapshot.problem is None and not snapshot.default_branch:
            yield f"{snapshot.name} has no commit yet"
    for url, reason in count.unlisted.items():
        yield f"{url}: {reason}"
    if end is not None:
        yield from _differences(snapshots, client, end, zone)


def _differences(
    snapshots: Sequence[RepositorySnapshot], client: Client, end: datetime, zone: ZoneInfo
) -> Iterator[str]:
    """Where GitHub's search has another number of merged pull requests for the last week."""
    start, _ = week_bounds((end.astimezone(zone) - WEEK).date(), zone)
    listed = {
        one.name: sum(start <= pr.merged_at < end for pr in one.records.pull_requests.values())
        for one in snapshots
        if one.problem is None
    }
    for name, indexed in merged_counts(client, list(listed), start, end).items():
        if indexed is not None and indexed != listed[name]:
            yield (
                f"{name}: {listed[name]} merged in the last week by the list, which counts;"
                f" {indexed} by GitHub's search, whose index lags"
            )


def _completeness(
    snapshots: Sequence[RepositorySnapshot], client: Client, count: _Count, notes: Sequence[str]
) -> Completeness:
    return Completeness(
        pages=sum(snapshot.pages for snapshot in snapshots),
        points=client.usage.points,
        rest_calls=client.usage.rest_calls,
        truncated_files=tuple(count.truncated),
        unreadable_repositories={
            snapshot.name: snapshot.problem.found for snapshot in snapshots if snapshot.problem
        },
        renamed_repositories={
            snapshot.asked: snapshot.name
            for snapshot in snapshots
            if snapshot.name.lower() != snapshot.asked.lower()
        },
        notes=tuple(notes),
    )
