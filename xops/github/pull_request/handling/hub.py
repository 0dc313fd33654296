"""What is open of a repository on GitHub, and of what is kept of its pull requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from xops.core.database.exclusive import Database
from xops.core.errors import Finding, InputError
from xops.core.files import settings
from xops.github.client import Client
from xops.github.policy import GitHubPolicy
from xops.github.pull_request import report
from xops.github.pull_request.api import PullRequestApi
from xops.github.pull_request.checks import Checks, checks_for
from xops.github.pull_request.comment import StickyComment
from xops.github.pull_request.deployments import Deployments
from xops.github.pull_request.locks import Locks, ShownPlans
from xops.github.pull_request.teams import TeamDirectory
from xops.github.pull_request.tree import Tree


@dataclass(frozen=True)
class Hub:
    """A repository on GitHub, owner/name, and what is kept of its pull requests."""

    repository: str
    policy: GitHubPolicy
    client: Client
    pulls: PullRequestApi
    tree: Tree
    checks: Checks
    comment: StickyComment
    deployments: Deployments
    teams: TeamDirectory
    locks: Locks
    shown: ShownPlans

    def put_checks(self, commit: str, both: report.Checks) -> None:
        """Report both checks of a commit."""
        for check in (both.plan, both.apply):
            self.checks.report(commit, check.name, check.state, check.title, url=check.url)


@contextmanager
def open_hub(policy: GitHubPolicy, repository: str, tables: Database) -> Iterator[Hub]:
    """The way to a repository with the operator's credential.

    Args:
        policy: the operator's.
        repository: owner/name.
        tables: the inbox's database.

    Raises:
        InputError: the policy does not name the repository.
        PermanentError: the credential cannot be read.
        AccessError, NotVisibleError: GitHub refuses it, or the App is not installed there.
    """
    if not policy.allows(repository):
        found = f"{repository} is not among the repositories of deployments/github.yaml"
        raise InputError(
            f"handling pull requests of {repository}", [Finding("repository", "", found)]
        )
    with Client(policy.access, installed_on=repository) as client:
        yield Hub(
            repository=repository,
            policy=policy,
            client=client,
            pulls=PullRequestApi(client, repository),
            tree=Tree(client, repository, settings.home() / "cache" / "github"),
            checks=checks_for(client, repository),
            comment=StickyComment(client, repository, report.MARKER),
            deployments=Deployments(client, repository),
            teams=TeamDirectory(client, tables),
            locks=Locks(tables),
            shown=ShownPlans(tables),
        )
