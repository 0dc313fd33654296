"""GitHub to facts: merged infrastructure pull requests a week, and the people behind them.

A week is counted only if every repository could be read for all of it. If one could not, or if one
pull request has more files than GitHub lists and none of those that it lists decides, then the week
is unknown and says why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from zoneinfo import ZoneInfo

from xops.core.errors import Finding, InputError, PermanentError, XopsError
from xops.core.files import settings
from xops.github.access import Access, App
from xops.github.client import Client
from xops.github.people import Aliases, Directory, Person, roster_size
from xops.github.pull_requests import merged_counts, read_all_paths
from xops.github.records import PullRequest as Merged
from xops.github.records import Store
from xops.github.repositories import OF_ONE_REPOSITORY, Reader, Reading
from xops.triggers.facts import (
    WEEK,
    Bucket,
    Completeness,
    Engineers,
    Facts,
    Mandate,
    People,
    PullRequest,
    RepositoryWeek,
    Week,
    last_week,
    week_bounds,
)
from xops.triggers.measure import buckets, mandates
from xops.triggers.measure.paths import Classifier
from xops.triggers.policy import GitHub, Policy

logger = logging.getLogger(__name__)

DAYS28 = timedelta(days=28)
DAYS90 = timedelta(days=90)


def cache() -> Path:
    """Where what was read from GitHub is kept; it can be deleted at any time."""
    return settings.home() / "cache" / "github"


def access(github: GitHub) -> Access:
    """The policy's address and credential, as the client takes them."""
    credential = github.credential
    app = App(credential.app_id, credential.installation_id) if credential.app_id else None
    return Access(api_url=github.api_url, credential=credential, app=app)


def connect(policy: Policy, folder: Path | None = None) -> Client:
    """A client with the policy's credential.

    Args:
        policy: with a `github` section.
        folder: where answers are kept; `cache()` by default.

    Raises:
        InputError: there is no such section.
        PermanentError: there is no credential where it says, or others may read it.
        AccessError, NotVisibleError: the App is not installed on the first repository.
    """
    github = _github(policy)
    kept = (folder or cache()) / "etags"
    return Client(access(github), folder=kept, installed_on=github.repositories[0])


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
    github = _github(policy)
    declared = _declared(policy, log)
    zone = ZoneInfo(policy.timezone)
    span = _Span.until(last_week(as_of), github.weeks, zone)
    store = Store((folder or cache()) / "repositories", github.api_url)
    directory = Directory(Aliases.load(policy.people.aliases), github.bots)
    readings = Reader(client, store, now).read(github.repositories, span.since)
    count = _Count(readings, github, Classifier(github.kinds), directory, client, store)
    weeks = [count.week(start, zone) for start in span.weeks]
    team = _Team(readings, directory, policy, span.since)
    ends = [week_bounds(start, zone)[1] for start in span.weeks]
    measured = [team.engineers(end) for end in ends]
    notes = list(_notes(readings, client, ends[-1] if cross_check else None, zone, count))
    return Facts(
        api_version="xops/v1",
        generated_at=now(),
        as_of=as_of,
        timezone=policy.timezone,
        source="github",
        weeks=tuple(
            week.model_copy(update={"engineers": _briefly(found)})
            for week, found in zip(weeks, measured, strict=True)
        ),
        engineers=measured[-1],
        mandates=declared.mandates,
        mandates_reason=declared.reason,
        completeness=_completeness(readings, client, count, notes),
    )


def unknown(policy: Policy, as_of: date, error: XopsError, now: datetime) -> Facts:
    """Facts of which nothing from GitHub is known, because of an error.

    For a caller who would rather have the evaluation say *insufficient data* than fail.

    Raises:
        InputError: a mandate is wrong.
    """
    declared = _declared(policy, None)
    span = _Span.until(last_week(as_of), _github(policy).weeks, ZoneInfo(policy.timezone))
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


def _declared(policy: Policy, log: mandates.Log | None) -> _Declared:
    try:
        return _Declared(mandates.read_mandates(policy.mandates, log))
    except PermanentError as error:  # the history cannot tell who declared them
        return _Declared(None, f"{error.attempted}: {error.found}")


def _github(policy: Policy) -> GitHub:
    if policy.github is None:
        finding = Finding("deployments/triggers.yaml", "github", "names no repository to read")
        raise InputError("reading facts from GitHub", [finding], "Add it, or give a facts file.")
    return policy.github


@dataclass
class _Count:
    """Counts the merged pull requests of a week; completes lists of files where it must."""

    readings: Sequence[Reading]
    github: GitHub
    classifier: Classifier
    directory: Directory
    client: Client
    store: Store
    truncated: dict[str, None] = field(default_factory=dict)
    unlisted: dict[str, str] = field(default_factory=dict)

    def week(self, start: date, zone: ZoneInfo) -> Week:
        bounds = week_bounds(start, zone)
        evidence: list[PullRequest] = []
        parts = [self._repository(reading, bounds, evidence) for reading in self.readings]
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
        reading: Reading,
        bounds: tuple[datetime, datetime],
        evidence: list[PullRequest],
    ) -> RepositoryWeek:
        if reading.problem is not None:
            return RepositoryWeek(name=reading.name, iac_prs=None, reason=reading.problem.found)
        found: list[PullRequest] = []
        uncertain: list[str] = []
        for request in self._merged(reading, bounds):
            matched, reason = self._matched(reading, request)
            if reason:
                uncertain.append(reason)
            elif matched:
                found.append(self._evidence(reading, request, matched))
        evidence += found
        if uncertain:
            return RepositoryWeek(name=reading.name, iac_prs=None, reason=", ".join(uncertain))
        return _repository_week(reading.name, found)

    def _merged(self, reading: Reading, bounds: tuple[datetime, datetime]) -> Iterator[Merged]:
        start, end = bounds
        bases = self.github.branches or (reading.default_branch,)
        for request in reading.records.pull_requests.values():
            within = start <= request.merged_at < end
            if within and any(fnmatchcase(request.base, base) for base in bases):
                yield request

    def _matched(self, reading: Reading, request: Merged) -> tuple[dict[str, str], str]:
        """The paths that are infrastructure code; if that cannot be told, why."""
        matched = self.classifier.matched(request.paths)
        if not matched and not request.all_paths and _hides_paths(request):
            try:
                read_all_paths(self.client, reading.name, request)
            except OF_ONE_REPOSITORY as error:
                self.unlisted[request.url] = error.found
                return {}, f"the files of #{request.number} cannot be listed: {error.found}"
            self.store.keep(reading.records)
            matched = self.classifier.matched(request.paths)
        if request.truncated:
            self.truncated[f"{reading.name}#{request.number}"] = None
            if not matched:
                return {}, f"#{request.number} has more files than GitHub lists"
        return matched, ""

    def _evidence(
        self, reading: Reading, request: Merged, matched: Mapping[str, str]
    ) -> PullRequest:
        kinds = tuple(dict.fromkeys(matched.values()))
        return PullRequest(
            repository=reading.name,
            number=request.number,
            url=request.url,
            merged_at=request.merged_at,
            author=request.author.login,
            title=request.title,
            bucket=buckets.bucket(request, kinds, self.directory),
            kinds=kinds,
            paths=buckets.shown(matched),
            truncated=request.truncated,
        )


def _hides_paths(request: Merged) -> bool:
    """Whether GraphQL did not tell all: more than 100 files, or a file's former name."""
    return (
        request.renames
        or request.changed_files is None
        or request.changed_files > len(request.paths)
    )


def _repository_week(name: str, found: Sequence[PullRequest]) -> RepositoryWeek:
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


class _Team:
    """How many people were active, at the end of any week."""

    def __init__(
        self, readings: Sequence[Reading], directory: Directory, policy: Policy, since: datetime
    ) -> None:
        self._since = since
        roster = policy.people.roster
        self._roster = None if roster is None else roster_size(roster, "triggers.yaml")
        unread = [f"{one.name}: {one.problem.found}" for one in readings if one.problem]
        self._reason = "; ".join(unread)
        for reading in readings:
            mailmap = policy.people.mailmap
            for activity in reading.activities(mailmap=mailmap):
                directory.add(activity)
        self._people = directory.people()

    def engineers(self, end: datetime) -> Engineers:
        """The counts at a moment. A count is unknown if not all of its days were read."""
        short = end - DAYS90 < self._since
        reason = self._reason or ("not read so far back" if short else "")
        return Engineers(
            days28=self._active(end, DAYS28),
            days90=self._active(end, DAYS90),
            roster=self._roster,
            people=None if self._reason else self._shown(end),
            reason=reason,
        )

    def _active(self, end: datetime, days: timedelta) -> int | None:
        start = end - days
        if self._reason or start < self._since:
            return None
        return sum(person.within(start, end) for person in self._people)

    def _shown(self, end: datetime) -> tuple[People, ...]:
        start = max(end - DAYS90, self._since)
        return tuple(_person(person, end) for person in self._people if person.within(start, end))


def _person(person: Person, end: datetime) -> People:
    return People(name=person.name, identities=person.identities, last_seen=person.last_seen(end))


def _briefly(engineers: Engineers) -> Engineers:
    """The counts without the people, who would stand in every week again."""
    return engineers.model_copy(update={"people": None})


def _notes(
    readings: Sequence[Reading],
    client: Client,
    end: datetime | None,
    zone: ZoneInfo,
    count: _Count,
) -> Iterator[str]:
    for reading in readings:
        if reading.problem is None and not reading.default_branch:
            yield f"{reading.name} has no commit yet"
    for url, reason in count.unlisted.items():
        yield f"{url}: {reason}"
    if end is not None:
        yield from _differences(readings, client, end, zone)


def _differences(
    readings: Sequence[Reading], client: Client, end: datetime, zone: ZoneInfo
) -> Iterator[str]:
    """Where GitHub's search has another number of merged pull requests for the last week."""
    start, _ = week_bounds((end.astimezone(zone) - WEEK).date(), zone)
    listed = {
        one.name: sum(start <= pr.merged_at < end for pr in one.records.pull_requests.values())
        for one in readings
        if one.problem is None
    }
    for name, indexed in merged_counts(client, list(listed), start, end).items():
        if indexed is not None and indexed != listed[name]:
            yield (
                f"{name}: {listed[name]} merged in the last week by the list, which counts;"
                f" {indexed} by GitHub's search, whose index lags"
            )


def _completeness(
    readings: Sequence[Reading], client: Client, count: _Count, notes: Sequence[str]
) -> Completeness:
    return Completeness(
        pages=sum(reading.pages for reading in readings),
        points=client.usage.points,
        rest_calls=client.usage.rest_calls,
        truncated_files=tuple(count.truncated),
        unreadable_repositories={
            reading.name: reading.problem.found for reading in readings if reading.problem
        },
        renamed_repositories={
            reading.asked: reading.name
            for reading in readings
            if reading.name.lower() != reading.asked.lower()
        },
        notes=tuple(notes),
    )
