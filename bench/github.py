"""Reading GitHub: a week of 1,000 pull requests over 100 repositories, on the local test server.

The baseline is plain REST, a call for the files and one for the reviews of each pull request. On
loopback a call costs nothing, so that the numbers of calls say more than the seconds.
"""

from __future__ import annotations

import os
import tempfile
import time
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from bench.rows import Row, say
from tests.github_baseline import RestBaseline
from tests.github_data import Person
from tests.github_server import TOKEN, GitHubServer
from xops.triggers.connection import connect
from xops.triggers.facts import week_bounds
from xops.triggers.measure.classification import Classifier
from xops.triggers.measure.collect import collect
from xops.triggers.policy import Policy

WEEK, AS_OF = date(2026, 11, 16), date(2026, 11, 23)
NAMES = [f"octo/r{number}" for number in range(100)]
PULL_REQUESTS = 10


def measure() -> list[Row]:
    """Seconds of both ways; points and calls are told on the way."""
    row = Row("a week of 1,000 pull requests (target: 150 points)", "plain REST")
    with GitHubServer() as server, tempfile.TemporaryDirectory() as folder:
        policy = _policy(server.url)
        start, end = week_bounds(WEEK, ZoneInfo(policy.timezone))
        _fill(server, start)
        os.environ["XOPS_GITHUB_TOKEN"] = TOKEN
        began = time.perf_counter()
        client = connect(policy, Path(folder))
        facts = collect(policy, AS_OF, client, folder=Path(folder))
        row.ours = [time.perf_counter() - began]
        plain = RestBaseline(server.url, Classifier().infrastructure).week(NAMES, start, end)
    row.theirs = [plain.seconds]
    found = facts.weeks[-1].iac_prs
    say(f"xOps: {facts.completeness.points} points, {found} of infrastructure code")
    say(f"plain REST: {plain.calls} calls, {plain.found} of infrastructure code")
    return [row]


def _policy(url: str) -> Policy:
    values = {
        "XOPS_TRIGGERS__GITHUB__API_URL": url,
        "XOPS_TRIGGERS__GITHUB__REPOSITORIES": str(NAMES),
        "XOPS_TRIGGERS__GITHUB__WEEKS": "1",
    }
    return Policy.load(environ=values)


def _fill(server: GitHubServer, start: datetime) -> None:
    for name in NAMES:
        repository = server.add(name)
        for number in range(PULL_REQUESTS):
            file = "main.tf" if number % 2 else "x.py"
            repository.merge(start + timedelta(hours=number), file)
        repository.commit(Person("A", "a@example.com", "a"), start + timedelta(days=2))
