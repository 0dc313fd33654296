"""GitHub to facts: merged infrastructure pull requests a week, and the people behind them.

What is known decides: a repository that cannot be read, or a pull request that may or may not
count, leaves a week between bounds. Only where GitHub gives nothing at all have the facts a
failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from xops.core.errors import PermanentError, TemporaryError, XopsError
from xops.github.client import Client
from xops.github.members import count_members
from xops.github.people.aliases import Aliases
from xops.github.people.directory import Directory, roster_size
from xops.github.records import Records, Store
from xops.github.repositories import Reader, RepositorySnapshot
from xops.triggers.connection import cache, connect, github_section
from xops.triggers.facts import (
    WEEK,
    Completeness,
    Engineers,
    Facts,
    Failure,
    Mandate,
    Origin,
    Week,
    last_week,
    week_bounds,
)
from xops.triggers.measure import mandates
from xops.triggers.measure.branches import Sightings
from xops.triggers.measure.classification import Classifier
from xops.triggers.measure.cross_check import differences
from xops.triggers.measure.mandate_history import Log
from xops.triggers.measure.matching import Decisions, Matcher
from xops.triggers.measure.origin import origin_of
from xops.triggers.measure.scope import Memories, Scope, find_repositories, remembered
from xops.triggers.measure.team import DAYS90, Team, without_people
from xops.triggers.measure.weeks import Counter
from xops.triggers.policy import GitHub, Policy

Read = Callable[[Policy, date, Path | None], Facts]


def read(policy: Policy, as_of: date, file: Path | None = None) -> Facts:
    """The facts of a file, or of GitHub. A file without mandates has those of the policy's folder.

    Raises:
        InputError: the file, a selection or the credential's place is wrong.
        PermanentError, TemporaryError: GitHub does not answer what was asked.
    """
    if file is not None:
        return mandates.from_facts_file(Facts.load(file), policy.mandates)
    with connect(policy) as client:
        return collect(policy, as_of, client)


def read_or_unknown(
    policy: Policy, as_of: date, file: Path | None = None, *, read: Read = read
) -> Facts:
    """The facts; where GitHub does not give them, facts with a failure: every state freezes.

    Args:
        policy: the rules.
        as_of: the day.
        file: instead of GitHub.
        read: reads them; a flow passes its task, which tries again.

    Raises:
        InputError: the file, a selection or the credential's place is wrong.
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
    log: Log | None = None,
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
        InputError: a selection or the alias file is wrong.
        AccessError: the credential is refused.
        LimitError: a limit outlasts the patience. Run again: it goes on from there.
    """
    github = github_section(policy)
    kept = _Kept.below(folder or cache(), github)
    declared = _read_declared(policy, log)
    zone = ZoneInfo(policy.timezone)
    span = _Span.until(last_week(as_of), github.weeks, zone)
    scope = find_repositories(client, github, kept.memories, span.since, now())
    snapshots = Reader(client, kept.store, now).read(scope.names, span.since)
    counter = _counter(policy, github, client, kept, kept.see(snapshots, now()), now())
    weeks = counter.weeks(snapshots, span.weeks, zone, scope.refused)
    kept.sightings.keep()
    team = _team(policy, client, [*snapshots, *_unread(scope)], counter.directory, span, now())
    start, end = week_bounds(span.weeks[-1], zone)
    notes = list(_notes(snapshots, scope, counter))
    if cross_check:
        notes += differences(snapshots, client, start, end)
    return Facts(
        api_version="xops/v1",
        generated_at=now(),
        as_of=as_of,
        timezone=policy.timezone,
        source="github",
        origin=origin_of(policy, github, _ids(snapshots), scope.selections),
        failure=_failure(snapshots, scope),
        weeks=tuple(_with_engineers(weeks, team, zone)),
        engineers=team.engineers(end),
        mandates=declared.mandates,
        mandates_reason=declared.reason,
        completeness=_completeness(snapshots, client, counter, scope, notes),
    )


def unknown(policy: Policy, as_of: date, error: XopsError, now: datetime) -> Facts:
    """Facts of which nothing from GitHub is known, because of an error, which is their failure.

    Raises:
        InputError: the alias file, or the roster, is wrong.
    """
    declared = _read_declared(policy, None)
    github = github_section(policy)
    span = _Span.until(last_week(as_of), github.weeks, ZoneInfo(policy.timezone))
    reason = f"{error.attempted}: {error.found}"
    roster = policy.people.roster
    size = None if roster is None else roster_size(roster, "triggers.yaml")
    return Facts(
        api_version="xops/v1",
        generated_at=now,
        as_of=as_of,
        timezone=policy.timezone,
        source="github",
        origin=_remembered_origin(policy, github),
        failure=_failure_of([error]),
        weeks=tuple(
            Week(start=start, complete=False, reason=reason, iac_prs=None) for start in span.weeks
        ),
        engineers=Engineers(roster=size, reason=reason),
        mandates=declared.mandates,
        mandates_reason=declared.reason,
        completeness=Completeness(notes=(reason,)),
    )


@dataclass(frozen=True)
class _Kept:
    """What earlier evaluations left, below one folder."""

    store: Store
    memories: Memories
    decisions: Decisions
    sightings: Sightings

    @classmethod
    def below(cls, folder: Path, github: GitHub) -> _Kept:
        rules = Classifier(github.kinds, github.exclude).digest
        return cls(
            Store(folder / "repositories", github.api_url),
            Memories(folder / "selections", github.api_url),
            Decisions(folder / "contents", github.api_url, rules),
            Sightings(folder / "branches", github.api_url),
        )

    def see(self, snapshots: Sequence[RepositorySnapshot], now: datetime) -> Sightings:
        """Remember which branches are the default ones."""
        for snapshot in snapshots:
            if snapshot.records.id and snapshot.default_branch:
                self.sightings.see(snapshot.records.id, snapshot.default_branch, now)
        return self.sightings


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


def _read_declared(policy: Policy, log: Log | None) -> _Declared:
    try:
        return _Declared(mandates.read_mandates(policy.mandates, log))
    except PermanentError as error:  # the history cannot tell who declared them
        return _Declared(None, f"{error.attempted}: {error.found}")


def _counter(
    policy: Policy,
    github: GitHub,
    client: Client,
    kept: _Kept,
    sightings: Sightings,
    now: datetime,
) -> Counter:
    classifier = Classifier(github.kinds, github.exclude)
    directory = Directory(Aliases.load(policy.people.aliases), github.bots)
    matcher = Matcher(client, kept.store, classifier, kept.decisions)
    return Counter(matcher, github, directory, sightings, now)


def _unread(scope: Scope) -> Iterator[RepositorySnapshot]:
    """What stands for the repositories of selections whose lists were refused."""
    for title, error in scope.refused.items():
        yield RepositorySnapshot(title, Records(name=title), problem=error)


def _team(
    policy: Policy,
    client: Client,
    snapshots: Sequence[RepositorySnapshot],
    directory: Directory,
    span: _Span,
    now: datetime,
) -> Team:
    named = policy.people.members_of
    members = count_members(client, named, now) if named else ()
    return Team(snapshots, directory, policy, span.since, members)


def _with_engineers(weeks: Sequence[Week], team: Team, zone: ZoneInfo) -> Iterator[Week]:
    for week in weeks:
        _, end = week_bounds(week.start, zone)
        measured = without_people(team.engineers(end))
        yield week.model_copy(update={"engineers": measured})


def _ids(snapshots: Sequence[RepositorySnapshot]) -> dict[str, str]:
    """By each name that was asked for, GitHub's id, as far as it is known."""
    return {
        name.lower(): snapshot.records.id
        for snapshot in snapshots
        for name in (snapshot.asked, *snapshot.also_asked)
        if snapshot.records.id
    }


def _remembered_origin(policy: Policy, github: GitHub) -> Origin:
    kept = _Kept.below(cache(), github)
    ids = {name.lower(): kept.store.open(name).id for name in github.repositories}
    return origin_of(policy, github, ids, remembered(github, kept.memories))


def _failure(snapshots: Sequence[RepositorySnapshot], scope: Scope) -> Failure | None:
    """Why nothing could be read: every repository is unreadable, every selection refused."""
    problems = [one.problem for one in snapshots]
    if any(problem is None for problem in problems):
        return None
    errors = [*(problem for problem in problems if problem), *scope.refused.values()]
    if not errors:
        return None
    return _failure_of(errors)


def _failure_of(errors: Sequence[XopsError]) -> Failure:
    first = errors[0]
    more = f"; so it is with {len(errors) - 1} more" if len(errors) > 1 else ""
    return Failure(
        attempted=first.attempted,
        found=first.found + more,
        remedy=first.remedy,
        temporary=all(isinstance(error, TemporaryError) for error in errors),
    )


def _notes(
    snapshots: Sequence[RepositorySnapshot], scope: Scope, counter: Counter
) -> Iterator[str]:
    yield from (f"the selection {title}: {error.found}" for title, error in scope.refused.items())
    yield from scope.notes
    for snapshot in snapshots:
        if snapshot.problem is None and not snapshot.default_branch:
            yield f"{snapshot.name} has no commit yet"
        yield from snapshot.notes
        if snapshot.problem is None and snapshot.people_problem is not None:
            yield f"{snapshot.name}: not all who work on it: {snapshot.people_problem.found}"
        for branch, count in counter.former.get(snapshot.name, {}).items():
            yield (
                f"{snapshot.name}: {branch} was the default branch before"
                f" {snapshot.default_branch}; {count} merged into it count"
            )
    yield from (f"{url}: {reason}" for url, reason in counter.matcher.unlisted.items())


def _renamed(snapshots: Sequence[RepositorySnapshot], scope: Scope) -> Mapping[str, str]:
    return scope.renamed | {
        asked: snapshot.name
        for snapshot in snapshots
        for asked in (snapshot.asked, *snapshot.also_asked)
        if snapshot.name.lower() != asked.lower()
    }


def _completeness(
    snapshots: Sequence[RepositorySnapshot],
    client: Client,
    counter: Counter,
    scope: Scope,
    notes: Sequence[str],
) -> Completeness:
    return Completeness(
        pages=sum(snapshot.pages for snapshot in snapshots),
        points=client.usage.points,
        rest_calls=client.usage.rest_calls,
        truncated_files=tuple(counter.truncated),
        unreadable_repositories={
            snapshot.name: snapshot.problem.found for snapshot in snapshots if snapshot.problem
        },
        renamed_repositories=dict(_renamed(snapshots, scope)),
        notes=tuple(notes),
    )
