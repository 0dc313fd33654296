"""Whatever a part of GitHub's answers is: it is taken, or refused in our own words."""

import itertools
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.github_data import Repository, Team
from tests.github_server import GitHubServer
from tests.integration.github.conftest import MakeClient
from tests.integration.github.pull_request.conftest import NAME, AppClient
from tests.soak import examples
from xops.core.errors import XopsError
from xops.github.client import Client
from xops.github.inbox.address import VARIABLE
from xops.github.inbox.connection import open_tables
from xops.github.policy import People
from xops.github.pull_request.api import PullRequestApi
from xops.github.pull_request.checks import checks_for
from xops.github.pull_request.comment import StickyComment
from xops.github.pull_request.deployments import Deployments
from xops.github.pull_request.teams import TeamDirectory
from xops.github.pull_request.tree import Tree

MARKER = "<!-- xops:pull-request -->"
ODD: list[Any] = [
    None, 0, -1, 1.5, True, "", "x", "../..", "\u202e", "\x1b[31m", "2026-11-02T12:00:00",
    "a" * 40, 2**70, [], {}, [None], [[]], {"": None}, [{"sha": None}], "x" * 70_000,
]  # fmt: skip

Use = Callable[[Client, str, Path], object]


def read(client: Client, commit: str, folder: Path) -> object:
    return PullRequestApi(client, NAME, sleep=lambda seconds: None).read(1)


def read_group(client: Client, commit: str, folder: Path) -> object:
    return PullRequestApi(client, NAME).read_merge_group(commit, "main")


def export(client: Client, commit: str, folder: Path) -> object:
    return Tree(client, NAME, folder / "cache").export(commit, ["terraform"], folder / "out")


def check(client: Client, commit: str, folder: Path) -> object:
    return checks_for(client, NAME).report(commit, "xops/plan", "pending", folder.name)


def comment(client: Client, commit: str, folder: Path) -> object:
    return StickyComment(client, NAME, MARKER).put(1, f"{MARKER}\n{folder}")


def deploy(client: Client, commit: str, folder: Path) -> object:
    deployments = Deployments(client, NAME)
    deployments.succeed(deployments.begin("ecs/test", commit))
    return deployments


def members(client: Client, commit: str, folder: Path) -> object:
    database = open_tables({VARIABLE: f"sqlite:///{folder / 'inbox.db'}"})
    return TeamDirectory(client, database).members(People(teams=("octo/platform",)))


@pytest.fixture
def head(github: GitHubServer, repository: Repository) -> str:
    """The head of a pull request with a review and a comment."""
    github.organisation("octo", "alice", "bob", platform=Team(members=["bob"]))
    github.act.push(NAME, "main", {"terraform/a.tf": "x", "terraform/b/c.tf": b"\xff"})
    commit = github.act.push(NAME, "topic", {"terraform/a.tf": "y"})
    github.act.open(NAME, "topic")
    github.act.review(NAME, 1, "APPROVED", by="bob")
    github.act.comment(NAME, 1, f"{MARKER}\nold", by=github.viewer)
    return commit


def altered(body: Any, chance: random.Random) -> Any:
    """The same with one part of it replaced, or all of it."""
    if isinstance(body, dict) and body and chance.random() < 0.9:
        key = chance.choice(list(body))
        return {**body, key: altered(body[key], chance)}
    if isinstance(body, list) and body and chance.random() < 0.9:
        index = chance.randrange(len(body))
        return [*body[:index], altered(body[index], chance), *body[index + 1 :]]
    return chance.choice(ODD)


@pytest.mark.parametrize(
    ("use", "app"),
    [
        (read, False),
        (read_group, False),
        (export, False),
        (check, False),
        (check, True),
        (comment, True),
        (deploy, False),
        (members, False),
    ],
)
def test_any_part_of_an_answer_may_be_anything(
    github: GitHubServer,
    head: str,
    connect: MakeClient,
    app_client: AppClient,
    use: Use,
    app: bool,
) -> None:
    client = app_client() if app else connect()
    client.get(f"/repos/{NAME}", "asking for a token first")

    @examples(12)
    @given(st.integers(0, 2**32), st.integers(0, 6))
    def answers(seed: int, skip: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - drawn in the server's thread
        passed = itertools.count()
        github.change = lambda body: altered(body, chance) if next(passed) >= skip else body
        try:
            with TemporaryDirectory() as folder, suppress(XopsError):
                use(client, head, Path(folder))
        finally:
            github.change = lambda body: body

    answers()
