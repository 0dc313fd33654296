"""How fast a policy can be replayed, and paths classified.

replay, repositories    10 years x 100 repositories x 4 rules at once, against the state machine
                        that an evaluation steps through, one series after the other
replay, project         10 years of facts of 100 repositories under the project's own policy
classify                200,000 paths, against pathspec asked for one kind after the other
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import numpy as np
from pathspec import GitIgnoreSpec

from bench.rows import ROUNDS, Row, measured
from xops.triggers import machine
from xops.triggers.facts import Engineers, Facts, RepositoryWeek, Week
from xops.triggers.machine import Reading
from xops.triggers.measure.paths import APART, PATTERNS, Classifier
from xops.triggers.policy import Enter, Leave, Policy, Trigger
from xops.triggers.replay import Rules, Values, fold, replay

WEEKS, REPOSITORIES, RULES = 520, 100, 4
PATHS = 200_000
_FIRST = date(2016, 1, 4)


def measure() -> list[Row]:
    """The rows. Baselines that take long are measured once."""
    return [*replays(), classification()]


def seconds(work: Callable[[], object]) -> float:
    """Seconds of the processor: other work on the machine does not count."""
    started = time.process_time()
    work()
    return time.process_time() - started


def counts(seed: int = 1) -> Values:
    """Weekly counts of each repository; one in fifty weeks is unknown."""
    random = np.random.default_rng(seed)
    values = random.poisson(4.0, size=(WEEKS, REPOSITORIES)).astype(np.float64)
    values[random.random(values.shape) < 0.02] = np.nan
    return values


def triggers() -> list[Trigger]:
    """The project's rule, and three stricter ones."""
    base = Policy.load(environ={}).triggers["iac_prs"]
    leave = Leave(at_or_below=3)
    return [
        base.model_copy(update={"enter": Enter(above=above, weeks=3, of=4), "leave": leave})
        for above in range(5, 5 + RULES)
    ]


def replays() -> list[Row]:
    """Many series at once, and the project's whole policy."""
    values, rules = counts(), triggers()
    columns = np.tile(values, (1, RULES))
    numbers = [(r.enter, r.leave, r.dwell_weeks) for r in rules if r.enter and r.leave]
    table = Rules.of(numbers).repeated(REPOSITORIES)
    size = f"{WEEKS} weeks x {REPOSITORIES} repositories x {RULES} rules"
    row = Row(f"replay, {size} (target: under 1 s)", "the state machine, series by series")
    measured(
        row,
        lambda: seconds(lambda: fold(columns, table)),
        lambda: seconds(lambda: _one_by_one(columns, rules)),
        1,
    )
    project = Row(f"replay, {WEEKS} weeks of facts, the project's policy and what-if", "", None)
    facts, policy = _facts(values), Policy.load(environ={})
    project.ours = [
        seconds(lambda: replay(policy, facts, facts.as_of, WEEKS)) for _ in range(ROUNDS)
    ]
    return [row, project]


def _one_by_one(columns: Values, rules: list[Trigger]) -> None:
    for number in range(columns.shape[1]):
        for _ in machine.fold(rules[number // REPOSITORIES], _readings(columns[:, number])):
            pass


def _readings(column: Values) -> list[Reading]:
    return [
        Reading(
            period=_FIRST + timedelta(weeks=week), value=None if np.isnan(value) else int(value)
        )
        for week, value in enumerate(column)
    ]


def _facts(values: Values) -> Facts:
    weeks = tuple(_week(index, row) for index, row in enumerate(values))
    return Facts(
        api_version="xops/v1",
        generated_at=datetime(2026, 1, 1, tzinfo=UTC),
        as_of=_FIRST + timedelta(weeks=WEEKS),
        timezone="Australia/Sydney",
        source="bench",
        weeks=weeks,
        mandates=(),
    )


def _week(index: int, row: Values) -> Week:
    known = [None if np.isnan(value) else int(value) for value in row]
    total = None if None in known else sum(value or 0 for value in known) // REPOSITORIES
    return Week(
        start=_FIRST + timedelta(weeks=index),
        complete=total is not None,
        reason="" if total is not None else "a repository could not be read",
        iac_prs=total,
        repositories=tuple(
            RepositoryWeek(name=f"example/r{number}", iac_prs=value)
            for number, value in enumerate(known)
        ),
        engineers=Engineers(days28=index % 7),
    )


def paths() -> list[str]:
    """Distinct paths, of which about one in three is infrastructure code."""
    random = np.random.default_rng(2)
    tops = ("src/app", "infra/live", "charts/web", "docs", "deploy/prod", "lib/core", "k8s/base")
    names = ("main.tf", "values.yaml", "index.ts", "README.md", "service.py", "deployment.yaml")
    picks = random.integers(0, (len(tops), 700, len(names)), size=(PATHS, 3))
    return [
        f"{tops[top]}/part{part}/{number % 97}-{names[name]}"
        for number, (top, part, name) in enumerate(picks.tolist())
    ]


def classification() -> Row:
    """The classifier as an evaluation uses it, and the plain way through all kinds."""
    listed = paths()
    specs = [GitIgnoreSpec.from_lines(lines) for lines in (*APART.values(), *PATTERNS.values())]

    def ours() -> None:
        classifier = Classifier()
        for path in listed:
            classifier.kind(path)

    def plainly() -> None:
        for path in listed:
            next((spec for spec in specs if spec.match_file(path)), None)

    row = Row(f"classify {PATHS:,} paths (target: under 1 s)", "pathspec, kind by kind")
    return measured(row, lambda: seconds(ours), lambda: seconds(plainly), 1)
