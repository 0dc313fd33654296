"""Reading GitHub: an organisation of 1,000 repositories with 1,000 merged pull requests a week.

Half a year is read from the local test server, then again, and again a week later. What counts are
points and calls, which GitHub limits; on loopback a call costs nothing. The baseline is plain REST
over one week, a call for the files and one for the reviews of each pull request.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from bench.rows import Row, say
from tests.github_baseline import RestBaseline
from tests.github_data import Person, Repository
from tests.github_server import TOKEN, GitHubServer
from tests.secret_sources import write_sources
from xops.triggers.connection import connect
from xops.triggers.facts import Facts, week_bounds
from xops.triggers.measure.classification import Classifier
from xops.triggers.measure.collect import collect
from xops.triggers.policy import Policy

WEEKS = 26
WEEK, AS_OF = date(2026, 11, 16), date(2026, 11, 23)
NAMES = [f"octo/r{number}" for number in range(1_000)]
PULL_REQUESTS = 1_000
FILES = (*["main.tf", "src/app.py", "web/src/page.ts"] * 11, "deploy/web/resources.yaml")
"""What pull requests change; one in 34 is open by its path, as in five public histories."""

MANIFEST = "apiVersion: apps/v1\nkind: Deployment\n"

MOST_FIRST, MOST_AGAIN = 500, 70
BEFORE_FIRST, BEFORE_AGAIN = 837, 70
"""Points and calls of each, as they were when repositories were asked one by one."""


def measure() -> list[Row]:
    """Seconds of both ways; points and calls are told on the way."""
    row = Row(
        f"half a year of {PULL_REQUESTS:,} pull requests a week, read", "plain REST, one week"
    )
    again, later = Row("the same again", ""), Row("the same a week later", "")
    with ExitStack() as stack:
        server = stack.enter_context(GitHubServer(points=50_000, rest=50_000))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(_credential(write_sources(folder, server.url)))
        policy = _policy(server.url)
        zone = ZoneInfo(policy.timezone)
        server.organisation("octo")
        repositories = [server.add(name) for name in NAMES]
        for back in reversed(range(WEEKS)):
            _fill(repositories, WEEK - timedelta(weeks=back), zone)
        row.ours = [_told(server, policy, folder, AS_OF, (BEFORE_FIRST, MOST_FIRST))]
        again.ours = [_told(server, policy, folder, AS_OF, (BEFORE_AGAIN, MOST_AGAIN))]
        _fill(repositories, AS_OF, zone)
        next_week = AS_OF + timedelta(weeks=1)
        later.ours = [_told(server, policy, folder, next_week, None)]
        plain = RestBaseline(server.url, Classifier().infrastructure).week(
            NAMES, *week_bounds(WEEK, zone)
        )
    row.theirs = [plain.seconds]
    say(f"plain REST, one week: {plain.calls} calls, {plain.found} by their paths")
    return [row, again, later]


@contextmanager
def _credential(sources: str) -> Iterator[None]:
    """The token, for this suite only."""
    before = dict(os.environ)
    os.environ.update(XOPS_GITHUB_TOKEN=TOKEN, XOPS_SECRETS=sources)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _told(
    server: GitHubServer,
    policy: Policy,
    folder: Path,
    as_of: date,
    known: tuple[int, int] | None,
) -> float:
    """Seconds of an evaluation of which points and calls are told, beside those known of before."""
    asked = len(server.requests)
    began = time.perf_counter()
    with connect(policy, folder) as client:
        facts = collect(policy, as_of, client, folder=folder)
    seconds = time.perf_counter() - began
    beside = f" (before: {known[0]}, wanted: at most {known[1]})" if known else ""
    calls, rest = len(server.requests) - asked, facts.completeness.rest_calls
    say(
        f"{as_of}: {facts.completeness.points} points{beside}, {calls} calls, {rest} of them REST;"
        f" {_counted(facts)}"
    )
    return seconds


def _counted(facts: Facts) -> str:
    exact = sum(week.iac_prs is not None for week in facts.weeks)
    return f"{facts.weeks[-1].iac_prs} in the last week, {exact} of {len(facts.weeks)} weeks exact"


def _policy(url: str) -> Policy:
    values = {
        "XOPS_TRIGGERS__GITHUB__API_URL": url,
        "XOPS_TRIGGERS__GITHUB__REPOSITORIES": "[]",
        "XOPS_TRIGGERS__GITHUB__SELECT": "[{organisation: octo}]",
        "XOPS_TRIGGERS__GITHUB__WEEKS": str(WEEKS),
    }
    return Policy.load(environ=values)


def _fill(repositories: Sequence[Repository], monday: date, zone: ZoneInfo) -> None:
    """A week's pull requests, and a commit each."""
    start, _ = week_bounds(monday, zone)
    for number in range(PULL_REQUESTS):
        repository = repositories[number % len(repositories)]
        file = FILES[number % len(FILES)]
        request = repository.merge(start + timedelta(minutes=number), file)
        if file.endswith("yaml"):
            text = (MANIFEST, "hello: world\n")[len(repository.pull_requests) % 2]
            repository.put(request, **{file: text})
        repository.commit(Person("A", "a@example.com", "a"), start + timedelta(days=2))
