"""How many requests one pull request takes, from the delivery to the apply."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.github_data import Repository, Team
from tests.github_git import Content
from tests.github_server import GitHubServer
from tests.integration.github.pull_request.conftest import NAME, asked
from xops.core.database.exclusive import Database
from xops.github.client import Client
from xops.github.inbox.address import VARIABLE
from xops.github.inbox.connection import open_tables
from xops.github.policy import People
from xops.github.pull_request.api import PullRequestApi
from xops.github.pull_request.checks import checks_for
from xops.github.pull_request.comment import StickyComment
from xops.github.pull_request.deployments import Deployments
from xops.github.pull_request.facts import PullRequestFacts
from xops.github.pull_request.teams import TeamDirectory
from xops.github.pull_request.tree import Tree

MARKER = "<!-- xops:pull-request -->"
PATHS = ("terraform", "deployments/environments")


class Handling:
    """What is asked of GitHub as a pull request is planned and applied."""

    def __init__(self, client: Client, folder: Path, database: Database) -> None:
        self.client, self.folder = client, folder
        self.pulls = PullRequestApi(client, NAME, sleep=lambda seconds: None)
        self.tree = Tree(client, NAME, folder / "cache")
        self.checks = checks_for(client, NAME)
        self.comment = StickyComment(client, NAME, MARKER)
        self.deployments = Deployments(client, NAME)
        self.teams = TeamDirectory(client, database)

    def plan(self, turn: str) -> PullRequestFacts:
        """Read it, plan it, tell it."""
        facts = self.pulls.read(1)
        for name in ("xops/plan", "xops/apply"):
            self.checks.report(facts.head_sha, name, "pending", "planning")
        assert facts.merge_sha
        for commit in (facts.base_sha, facts.merge_sha):
            self.tree.export(commit, PATHS, self.folder / turn / commit)
        self.teams.members(People(teams=("octo/platform",)))
        self.comment.put(1, f"{MARKER}\nThe plan of {facts.merge_sha}.\n")
        self.checks.report(facts.head_sha, "xops/plan", "success", "1 change")
        self.checks.report(facts.head_sha, "xops/apply", "pending", "waits for a review")
        return facts

    def apply(self, facts: PullRequestFacts) -> None:
        """Apply it and tell it."""
        begun = self.deployments.begin("ecs/test", facts.head_sha)
        self.deployments.succeed(begun)
        self.checks.report(facts.head_sha, "xops/apply", "success", "applied")
        self.comment.put(1, f"{MARKER}\nApplied {facts.merge_sha}.\n")


@contextmanager
def at_most(github: GitHubServer, count: int) -> Iterator[None]:
    before = len(github.requests)
    yield
    made = asked(github, before)
    assert len(made) <= count, Counter(made)


@pytest.fixture
def handling(client: Client, tmp_path: Path) -> Handling:
    database = open_tables({VARIABLE: f"sqlite:///{tmp_path / 'inbox.db'}"})
    return Handling(client, tmp_path, database)


def test_a_pull_request_takes_some_fifty_requests_of_five_thousand_an_hour(
    github: GitHubServer, repository: Repository, handling: Handling
) -> None:
    github.organisation("octo", "alice", "bob", platform=Team(members=["bob"]))
    files: dict[str, Content] = {f"terraform/m{n % 9}/f{n}.tf": f"# {n}\n" for n in range(57)}
    environments = {f"deployments/environments/{n}.yaml": "name: x\n" for n in "abc"}
    github.act.push(NAME, "main", {**files, **environments})
    github.act.push(NAME, "topic", {"terraform/m1/f1.tf": "# other\n"})
    github.act.open(NAME, "topic")
    with at_most(github, 25):
        handling.plan("opened")
    github.act.review(NAME, 1, "APPROVED", by="bob")
    with at_most(github, 28):
        handling.apply(handling.plan("reviewed"))
    assert handling.client.usage.points <= 4
