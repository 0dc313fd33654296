"""A pull request as GitHub has it, and what would be merged."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.github_data import OpenPullRequest, Repository
from tests.github_server import GitHubServer
from tests.integration.github.pull_request.conftest import FAULTS, NAME, asked
from xops.core.errors import InputError, PermanentError, XopsError
from xops.github.client import Client
from xops.github.errors import (
    NotVisibleError,
    RefusedError,
)
from xops.github.pull_request.api import WAITS, PullRequestApi
from xops.github.pull_request.facts import ChangedFile, ReviewState

PULL = "GET /repos/octo/platform/pulls/1"
HOSTILE = "<img src=x> @everyone \x1b[31m `|` \u202e"


@pytest.fixture
def waited() -> list[float]:
    """How long was waited for test merges."""
    return []


@pytest.fixture
def pulls(client: Client, waited: list[float]) -> PullRequestApi:
    return PullRequestApi(client, NAME, sleep=waited.append)


@pytest.fixture
def one(github: GitHubServer, repository: Repository) -> OpenPullRequest:
    """A pull request of alice that changes Terraform."""
    github.act.push(NAME, "main", {"terraform/main.tf": "a\n", "README.md": "x\n"})
    github.act.push(NAME, "topic", {"terraform/main.tf": "b\n"})
    return github.act.open(NAME, "topic", title=HOSTILE)


def test_it_is_told_as_it_is(
    repository: Repository, one: OpenPullRequest, pulls: PullRequestApi
) -> None:
    found = pulls.read(1)
    assert (found.repository, found.number, found.title) == (NAME, 1, HOSTILE)
    assert (found.author, found.pushed_by) == ("alice", "alice")
    assert (found.is_open, found.merged, found.draft, found.from_fork) == (
        True,
        False,
        False,
        False,
    )
    assert (found.head_sha, found.base_ref, found.default_branch) == (one.head_sha, "main", "main")
    assert found.base_sha == repository.heads["main"]
    assert (found.merge_sha, found.mergeable) == (one.merge_commit, True)
    assert (found.files, found.files_complete) == ((ChangedFile("terraform/main.tf"),), True)
    assert found.reviews == ()


def test_what_is_merged_is_the_head_into_the_base_of_now(
    github: GitHubServer, repository: Repository, one: OpenPullRequest, pulls: PullRequestApi
) -> None:
    first = pulls.read(1)
    github.act.push(NAME, "main", {"README.md": "y\n"})
    second = pulls.read(1)
    github.act.push(NAME, "topic", {"terraform/main.tf": "c\n"}, by="bob")
    third = pulls.read(1)
    assert one.base_sha != first.base_sha or second.base_sha != first.base_sha
    for found in (second, third):
        assert found.base_sha == repository.heads["main"]
        assert found.merge_sha is not None
        parents = repository.objects.revisions[found.merge_sha].parents
        assert parents == (found.base_sha, found.head_sha)
    assert len({first.merge_sha, second.merge_sha, third.merge_sha}) == 3
    assert (third.author, third.pushed_by) == ("alice", "bob")


def test_a_test_merge_that_is_being_made_is_waited_for(
    github: GitHubServer, repository: Repository, pulls: PullRequestApi, waited: list[float]
) -> None:
    github.looks = 3
    repository.write("main", {"a": "x"})
    repository.write("topic", {"a": "y"})
    github.act.open(NAME, "topic")
    assert pulls.read(1).merge_sha
    assert waited == list(WAITS[:3])


def test_a_test_merge_that_is_never_made_is_unknown_and_told(
    github: GitHubServer,
    repository: Repository,
    pulls: PullRequestApi,
    waited: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    github.looks = 99
    repository.write("main", {"a": "x"})
    repository.write("topic", {"a": "y"})
    github.act.open(NAME, "topic")
    found = pulls.read(1)
    assert (found.merge_sha, found.mergeable) == (None, None)
    assert waited == list(WAITS)
    assert "GitHub has made no test merge in 30 s" in caplog.text


def test_a_test_merge_of_before_the_base_moved_is_not_taken(
    repository: Repository, one: OpenPullRequest, pulls: PullRequestApi, waited: list[float]
) -> None:
    assert pulls.read(1).merge_sha
    repository.write("main", {"README.md": "moved, and GitHub has not noticed"})
    found = pulls.read(1)
    assert found.base_sha == repository.heads["main"]
    assert (found.merge_sha, found.mergeable) == (None, None)
    assert waited[-len(WAITS) :] == list(WAITS)


def test_a_conflict_is_told_at_once(
    github: GitHubServer, one: OpenPullRequest, pulls: PullRequestApi, waited: list[float]
) -> None:
    github.act.push(NAME, "main", {"terraform/main.tf": "other\n"})
    found = pulls.read(1)
    assert (found.merge_sha, found.mergeable) == (None, False)
    assert len(waited) <= github.looks + 1


def test_a_branch_s_name_is_no_part_of_an_address(
    github: GitHubServer, repository: Repository, pulls: PullRequestApi
) -> None:
    base = "release/1.2#x?y=%2e%2e&z"
    github.act.push(NAME, "main", {"a": "x"})
    github.act.push(NAME, base, {"b": "x"})
    github.act.push(NAME, "topic", {"a": "y"}, by="bob")
    github.act.open(NAME, "topic", base=base)
    found = pulls.read(1)
    assert (found.base_ref, found.base_sha) == (base, repository.heads[base])
    assert found.merge_sha


def test_a_draft_is_a_draft(
    github: GitHubServer, one: OpenPullRequest, pulls: PullRequestApi
) -> None:
    github.act.draft(NAME, 1, draft=True)
    assert pulls.read(1).draft


def test_one_that_is_closed_is_not_waited_for(
    github: GitHubServer, one: OpenPullRequest, pulls: PullRequestApi, waited: list[float]
) -> None:
    github.act.close(NAME, 1)
    found = pulls.read(1)
    assert (found.is_open, found.merged, found.merge_sha, found.mergeable) == (
        False, False, None, None,
    )  # fmt: skip
    assert waited == []


@pytest.mark.parametrize("method", ["merge", "squash"])
def test_one_that_is_merged_has_its_merge_and_what_that_was_made_on(
    github: GitHubServer,
    repository: Repository,
    one: OpenPullRequest,
    pulls: PullRequestApi,
    waited: list[float],
    method: str,
) -> None:
    before = github.act.push(NAME, "main", {"README.md": "moved\n"})
    merge = github.act.merge(NAME, 1, method=method)
    github.act.push(NAME, "main", {"README.md": "moved on\n"})
    found = pulls.read(1)
    assert (found.is_open, found.merged) == (False, True)
    assert (found.merge_sha, found.base_sha) == (merge, before)
    assert waited == []


@pytest.mark.parametrize("known", [True, False])
def test_of_commits_that_were_rebased_the_base_holds_none(
    github: GitHubServer,
    repository: Repository,
    one: OpenPullRequest,
    pulls: PullRequestApi,
    known: bool,
) -> None:
    before = github.act.push(NAME, "main", {"README.md": "moved\n"})
    github.act.merge(NAME, 1, method="squash")
    github.change = lambda body: {**body, "commits": 2} if "commits" in body else body
    if not known:
        github.fail(operation="GET .*/activity.*", status=404, times=9)
    found = pulls.read(1)
    assert found.base_sha == (before if known else one.base_sha)


def test_one_that_was_pushed_to_the_base_as_it_was_has_the_base_of_before(
    github: GitHubServer, repository: Repository, one: OpenPullRequest, pulls: PullRequestApi
) -> None:
    before = github.act.push(NAME, "main", {"README.md": "moved\n"})
    topic = repository.heads["topic"]
    who = repository.objects.revisions[topic].author
    tree = repository.objects.merge(topic, before).tree
    assert tree
    head = repository.objects.commit(tree, [topic, before], who, "Merge main into topic")
    github.act.force_push(NAME, "topic", head)
    github.act.merge(NAME, 1)
    github.act.force_push(NAME, "main", before)
    github.act.force_push(NAME, "main", head)
    one.merge_commit = head
    found = pulls.read(1)
    assert (found.merge_sha, found.base_sha) == (head, before)


def test_one_whose_base_was_deleted_is_closed(
    github: GitHubServer, repository: Repository, one: OpenPullRequest, pulls: PullRequestApi
) -> None:
    github.act.close(NAME, 1)
    github.fail(operation="GET .*/git/ref/.*", status=404)
    found = pulls.read(1)
    assert (found.is_open, found.base_sha) == (False, one.base_sha)


# Forks.


def test_a_fork_is_one_and_also_when_it_is_deleted(
    github: GitHubServer, repository: Repository, pulls: PullRequestApi
) -> None:
    github.act.push(NAME, "main", {"a": "x\n"})
    fork = github.act.fork(NAME, "mallory")
    github.act.push("mallory/platform", "topic", {"b": "y\n"}, by="mallory")
    github.act.open(NAME, "topic", fork=fork, by="mallory")
    found = pulls.read(1)
    assert (found.from_fork, found.author, found.pushed_by) == (True, "mallory", None)
    github.act.delete_fork("mallory/platform")
    assert pulls.read(1).from_fork


# Files.


def test_a_renamed_file_counts_at_both_places(
    github: GitHubServer, repository: Repository, pulls: PullRequestApi
) -> None:
    text = "\n".join(map(str, range(50)))
    github.act.push(NAME, "main", {"terraform/a.tf": text})
    github.act.push(NAME, "topic", {"terraform/a.tf": None, "old/a.tf": text})
    github.act.open(NAME, "topic")
    (file,) = pulls.read(1).files
    assert file.status == "renamed"
    assert set(file.paths) == {"terraform/a.tf", "old/a.tf"}


@pytest.mark.parametrize(("count", "listed", "complete"), [(250, 250, True), (3100, 3000, False)])
def test_all_files_are_listed_as_far_as_github_does(
    github: GitHubServer,
    repository: Repository,
    pulls: PullRequestApi,
    count: int,
    listed: int,
    complete: bool,
) -> None:
    github.act.push(NAME, "main", {"a": "x"})
    github.act.push(NAME, "topic", {f"terraform/{n}.tf": f"# {n}" for n in range(count)})
    github.act.open(NAME, "topic")
    found = pulls.read(1)
    assert (len(found.files), found.files_complete) == (listed, complete)


def test_files_that_github_counts_and_does_not_list_are_missing(
    github: GitHubServer, one: OpenPullRequest, pulls: PullRequestApi
) -> None:
    github.change = lambda body: {**body, "changed_files": 2} if "changed_files" in body else body
    assert not pulls.read(1).files_complete


# Reviews.


def test_all_reviews_are_read(
    github: GitHubServer, one: OpenPullRequest, pulls: PullRequestApi
) -> None:
    at = datetime(2026, 11, 2, 12, tzinfo=UTC)
    github.now = lambda: at
    for n in range(120):
        github.act.review(NAME, 1, "COMMENTED", by=f"person{n}")
    approved = github.act.review(NAME, 1, "APPROVED", by="Bob")
    objected = github.act.review(NAME, 1, "CHANGES_REQUESTED", by="carol", commit="a" * 40)
    github.act.dismiss(NAME, 1, objected.id, by="alice")
    github.act.review(NAME, 1, "APPROVED", by="dependabot[bot]")
    github.act.review(NAME, 1, "PENDING", by=github.viewer)
    one.submitted.append(type(approved)(9999, None, "APPROVED", None, at))
    reviews = {review.id: review for review in pulls.read(1).reviews}
    assert len(reviews) == 125
    bob = reviews[approved.id]
    assert (bob.login, bob.is_bot, bob.state) == ("Bob", False, ReviewState.APPROVED)
    assert (bob.commit, bob.submitted_at) == (one.head_sha, at)
    assert reviews[objected.id].state == ReviewState.DISMISSED
    assert [r.login for r in reviews.values() if r.is_bot] == ["dependabot[bot]"]
    assert [r.login for r in reviews.values() if r.submitted_at is None] == [github.viewer]
    assert (reviews[9999].login, reviews[9999].commit) == ("", "")


# Who pushed.


@pytest.mark.parametrize("status", [403, 404, 422])
def test_who_pushed_is_unknown_where_github_does_not_say(
    github: GitHubServer, one: OpenPullRequest, pulls: PullRequestApi, status: int
) -> None:
    github.fail(operation="GET .*/activity.*", status=status)
    assert pulls.read(1).pushed_by is None


# Merge groups.


def test_a_merge_group_changes_what_it_adds_to_its_base(
    github: GitHubServer, repository: Repository, one: OpenPullRequest, pulls: PullRequestApi
) -> None:
    group = github.act.queue(NAME, 1)
    found = pulls.read_merge_group(group, "refs/heads/main")
    assert (found.repository, found.head_sha, found.base_ref) == (NAME, group, "main")
    assert found.base_sha == repository.heads["main"]
    assert (found.files, found.files_complete) == ((ChangedFile("terraform/main.tf"),), True)


def test_of_a_large_merge_group_not_all_files_are_known(
    github: GitHubServer, repository: Repository, pulls: PullRequestApi
) -> None:
    github.act.push(NAME, "release/1.2", {"a": "x"})
    repository.default_branch = "release/1.2"
    github.act.push(NAME, "topic", {f"terraform/{n}.tf": f"# {n}" for n in range(301)})
    github.act.open(NAME, "topic")
    found = pulls.read_merge_group(github.act.queue(NAME, 1), "release/1.2")
    assert (len(found.files), found.files_complete) == (300, False)


def test_only_a_commit_s_id_is_a_merge_group(pulls: PullRequestApi) -> None:
    with pytest.raises(InputError):
        pulls.read_merge_group("main/../../x", "main")


# What is not there, or elsewhere.


def test_one_that_is_not_there_is_told(repository: Repository, pulls: PullRequestApi) -> None:
    with pytest.raises(NotVisibleError, match="#7"):
        pulls.read(7)


def test_a_repository_that_moved_is_told_by_both_names(
    github: GitHubServer, one: OpenPullRequest, pulls: PullRequestApi
) -> None:
    github.rename(NAME, "octo/renamed")
    with pytest.raises(PermanentError, match="octo/platform is octo/renamed now"):
        pulls.read(1)


def test_a_name_is_the_same_in_any_case(
    github: GitHubServer, one: OpenPullRequest, client: Client
) -> None:
    assert PullRequestApi(client, "OCTO/Platform").read(1).repository == NAME


# Faults.


def change_of(path: str, change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda body: change(body) if path in body else body


@pytest.mark.parametrize(
    "change",
    [
        change_of("mergeable", dict.fromkeys),
        change_of("mergeable", lambda body: {**body, "base": {**body["base"], "repo": None}}),
        change_of("mergeable", lambda body: {**body, "head": {**body["head"], "sha": "main"}}),
        change_of("mergeable", lambda body: {**body, "state": "OPEN"}),
        change_of("object", lambda body: {**body, "object": None}),
        change_of("parents", lambda body: {**body, "parents": None}),
        lambda body: (
            [{**row, "filename": None} if "filename" in row else row for row in body]
            if isinstance(body, list)
            else body
        ),
        lambda body: {} if isinstance(body, list) else body,
    ],
)
def test_an_answer_of_another_shape_is_refused(
    github: GitHubServer, one: OpenPullRequest, pulls: PullRequestApi, change: Any
) -> None:
    github.change = change
    with pytest.raises(RefusedError):
        pulls.read(1)


@pytest.mark.parametrize(("fault", "error"), FAULTS)
@pytest.mark.parametrize(
    "operation", [PULL, "GET .*/git/ref/.*", f"{PULL}/files.*", f"{PULL}/reviews.*"]
)
def test_a_fault_is_told(
    github: GitHubServer,
    one: OpenPullRequest,
    pulls: PullRequestApi,
    operation: str,
    fault: dict[str, Any],
    error: type[XopsError],
) -> None:
    github.fail(operation=operation, **fault)
    with pytest.raises(error):
        pulls.read(1)


@pytest.mark.parametrize("kind", ["secondary", "status", "drop"])
def test_a_fault_that_passes_is_waited_for(
    github: GitHubServer, one: OpenPullRequest, pulls: PullRequestApi, kind: str
) -> None:
    for operation in (PULL, "GET .*/git/ref/.*", f"{PULL}/files.*", f"{PULL}/reviews.*"):
        github.fail(operation=operation, kind=kind, retry_after=3)
    assert pulls.read(1).merge_sha


def test_one_read_takes_six_requests(
    github: GitHubServer, one: OpenPullRequest, pulls: PullRequestApi
) -> None:
    pulls.read(1)
    before = len(github.requests)
    pulls.read(1)
    shown = [re.sub("[0-9a-f]{40}", "SHA", path) for path in asked(github, before)]
    assert shown == [
        "GET /repos/octo/platform/pulls/1",
        "GET /repos/octo/platform/git/ref/heads/main",
        "GET /repos/octo/platform/git/commits/SHA",
        "GET /repos/octo/platform/pulls/1/files",
        "GET /repos/octo/platform/pulls/1/reviews",
        "GET /repos/octo/platform/activity",
    ]
