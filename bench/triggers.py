"""How fast a policy can be replayed, and paths classified. Neither has a baseline to compare with.

replay      10 years of facts of 100 repositories under the project's own policy, with what-if
classify    100,000 paths, as an evaluation classifies them; how many their content must decide
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from bench.rows import ROUNDS, Row, say
from xops.triggers.facts import Engineers, Facts, RepositoryWeek, Week
from xops.triggers.measure.classification import Classifier
from xops.triggers.policy import Policy
from xops.triggers.replay import replay

WEEKS, REPOSITORIES = 520, 100
PATHS = 100_000
_FIRST = date(2016, 1, 4)


def measure() -> list[Row]:
    """The rows."""
    return [replays(), classification()]


def seconds(work: Callable[[], object]) -> float:
    """Seconds of the processor: other work on the machine does not count."""
    started = time.process_time()
    work()
    return time.process_time() - started


def replays() -> Row:
    """The project's whole policy over all weeks."""
    facts, policy = _facts(), Policy.load(environ={})
    row = Row(f"replay, {WEEKS} weeks of facts, the project's policy and what-if", "")
    row.ours = [seconds(lambda: replay(policy, facts, facts.as_of, WEEKS)) for _ in range(ROUNDS)]
    return row


def _facts() -> Facts:
    chance = random.Random(1)  # noqa: S311 - data of a benchmark
    return Facts(
        api_version="xops/v1",
        generated_at=datetime(2026, 1, 1, tzinfo=UTC),
        as_of=_FIRST + timedelta(weeks=WEEKS),
        timezone="Australia/Sydney",
        source="bench",
        weeks=tuple(_week(index, chance) for index in range(WEEKS)),
        mandates=(),
    )


def _week(index: int, chance: random.Random) -> Week:
    """Weekly counts of each repository; one week in fifty is unknown."""
    counts = [chance.randrange(10) for _ in range(REPOSITORIES)]
    known = chance.random() > 0.02
    return Week(
        start=_FIRST + timedelta(weeks=index),
        complete=known,
        reason="" if known else "a repository could not be read",
        iac_prs=sum(counts) // REPOSITORIES if known else None,
        repositories=tuple(
            RepositoryWeek(name=f"example/r{number}", iac_prs=count)
            for number, count in enumerate(counts)
        ),
        engineers=Engineers(days28=index % 7),
    )


def paths() -> list[str]:
    """Distinct paths, of which about one in three is infrastructure code."""
    chance = random.Random(2)  # noqa: S311 - data of a benchmark
    tops = ("src/app", "infra/live", "charts/web", "docs", "deploy/prod", "lib/core", "k8s/base")
    names = ("main.tf", "values.yaml", "index.ts", "README.md", "service.py", "deployment.yaml")
    return [
        f"{chance.choice(tops)}/part{chance.randrange(700)}/{number}-{chance.choice(names)}"
        for number in range(PATHS)
    ]


def classification() -> Row:
    """All paths through one classifier."""
    listed, classifier = paths(), Classifier()
    row = Row(f"classify {PATHS:,} paths (target: under 2 s)", "")
    row.ours = [seconds(lambda: [classifier.judge(path) for path in listed]) for _ in range(ROUNDS)]
    opened = sum(not classifier.judge(path).certain for path in listed)
    say(f"classify: the content of {opened:,} of {PATHS:,} paths would be asked for")
    return row
