"""Reading repositories: nothing is missed, nothing twice, and what cannot be read says so."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.github_data import File, Person, Repository, Request
from tests.github_server import TOKEN, GitHubServer
from xops.github import queries
from xops.github.client import Client
from xops.github.errors import (
    AccessError,
    ForbiddenError,
    LimitError,
    NotVisibleError,
    PartialAnswerError,
    UnavailableError,
)
from xops.github.pull_requests import merged_counts, read_all_paths
from xops.github.records import MergedPullRequest, Store
from xops.github.repositories import Reader, RepositorySnapshot

NAME = "octo/web"
SINCE = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 23, tzinfo=UTC)
ALICE = Person("Alice", "alice@example.com", "alice")
BOB = Person("Bob", "bob@example.com")

MakeClient = Callable[..., Client]
Read = Callable[..., RepositorySnapshot]


@pytest.fixture
def repository(github: GitHubServer) -> Repository:
    return github.add(NAME)


@pytest.fixture
def read(connect: MakeClient, github: GitHubServer, tmp_path: Path) -> Read:
    """`read(name)` reads it with a new client, as another process would."""

    def once(name: str = NAME, since: datetime = SINCE, **access: Any) -> RepositorySnapshot:
        store = Store(tmp_path / "records", github.url)
        (reading,) = Reader(connect(**access), store, lambda: NOW).read([name], since)
        return reading

    return once


def fill(repository: Repository, count: int, first: datetime = SINCE) -> None:
    for n in range(count):
        repository.merge(first + timedelta(minutes=n), "main.tf")


def numbers(reading: RepositorySnapshot) -> list[int]:
    assert reading.problem is None, reading.problem
    return sorted(one.number for one in reading.records.pull_requests.values())


@pytest.mark.parametrize("count", [0, 1, queries.PAGE, queries.PAGE + 1, 3 * queries.PAGE + 5])
def test_every_merged_pull_request_is_read_once(
    repository: Repository, read: Read, count: int
) -> None:
    fill(repository, count)
    assert numbers(read()) == list(range(1, count + 1))


def test_what_was_merged_before_is_left_out(repository: Repository, read: Read) -> None:
    fill(repository, 10, SINCE - timedelta(minutes=5))
    assert numbers(read()) == [6, 7, 8, 9, 10]


def test_an_old_one_that_was_commented_on_is_no_reason_to_stop(
    repository: Repository, read: Read
) -> None:
    repository.merge(SINCE - timedelta(days=9), "a.tf", updated_at=NOW)
    repository.merge(SINCE + timedelta(days=1), "a.tf")
    assert numbers(read()) == [1, 2]


def test_a_second_reading_reads_nothing_again(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 120)
    read()
    github.requests.clear()
    assert len(numbers(read())) == 120
    assert [request.operation for request in github.requests] == ["Repositories"]


def test_a_later_reading_reads_what_is_new(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 120)
    read()
    github.requests.clear()
    repository.merge(NOW, "new.tf")
    repository.pull_requests[3].reviews = [("late", NOW)]
    repository.pull_requests[3].updated_at = NOW
    reading = read()
    assert len(numbers(reading)) == 121
    assert len(github.asked("MergedPullRequests")) == 1
    assert "late" in {activity.who.login for activity in reading.activities()}


def test_an_earlier_start_is_read_as_well(repository: Repository, read: Read) -> None:
    fill(repository, 60, SINCE - timedelta(minutes=30))
    assert len(numbers(read())) == 30
    assert len(numbers(read(since=SINCE - timedelta(days=1)))) == 60
    assert len(numbers(read())) == 60


def test_one_that_moves_to_the_top_meanwhile_is_not_missed(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 120)
    moved = repository.pull_requests[30]  # on the second page

    def comment(request: Request) -> None:
        if request.operation == "MergedPullRequests" and request.variables["after"]:
            moved.updated_at = NOW

    github.on_request = comment
    assert len(numbers(read())) == 120


def test_one_that_never_rests_is_unknown(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 60)
    ticks = iter(range(10_000))

    def comment(_: Request) -> None:
        for one in repository.pull_requests:
            one.updated_at = NOW + timedelta(seconds=next(ticks))

    github.on_request = comment
    reading = read()
    assert isinstance(reading.problem, PartialAnswerError)
    assert "faster than it could be read" in reading.problem.found


@pytest.mark.parametrize("page", [0, 1, 2])
def test_a_reading_that_was_broken_off_goes_on_from_there(
    github: GitHubServer, repository: Repository, read: Read, page: int
) -> None:
    fill(repository, 3 * queries.PAGE)
    fault = {"operation": "MergedPullRequests", "kind": "secondary", "retry_after": 5}
    github.fail(skip=page, **fault)
    with pytest.raises(LimitError):
        read(patience_seconds=0)
    github.requests.clear()
    assert len(numbers(read())) == 3 * queries.PAGE
    # The rest of the pages, and the top again after a pass of several.
    assert len(github.asked("MergedPullRequests")) == 3 - page + 1


def test_what_was_merged_while_it_was_broken_off_is_read_too(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 120)
    github.fail(operation="MergedPullRequests", kind="secondary", retry_after=5, skip=1)
    with pytest.raises(LimitError):
        read(patience_seconds=0)
    repository.merge(NOW, "new.tf")
    assert len(numbers(read())) == 121


def test_a_stale_cursor_begins_anew(
    github: GitHubServer, repository: Repository, read: Read, tmp_path: Path
) -> None:
    fill(repository, 120)
    github.fail(operation="MergedPullRequests", kind="secondary", retry_after=5, skip=1)
    with pytest.raises(LimitError):
        read(patience_seconds=0)
    (file,) = (tmp_path / "records").iterdir()
    kept = Store(tmp_path / "records", github.url).open(NAME)
    assert kept.walk
    file.write_text(file.read_text().replace(kept.walk.cursor, "stale"))
    assert len(numbers(read())) == 120


def test_a_damaged_file_is_read_anew(repository: Repository, read: Read, tmp_path: Path) -> None:
    fill(repository, 3)
    read()
    (file,) = (tmp_path / "records").iterdir()
    file.write_text(file.read_text()[:-20])
    assert len(numbers(read())) == 3


def test_nothing_that_is_kept_holds_the_credential(
    repository: Repository, read: Read, tmp_path: Path
) -> None:
    fill(repository, 3)
    read()
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    assert not any(TOKEN in file.read_text() for file in files)
    assert {oct(file.stat().st_mode & 0o777) for file in files} == {"0o600"}


def test_a_page_that_takes_too_long_is_halved(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 60)
    github.fail(operation="MergedPullRequests", above=12, times=99)
    assert len(numbers(read())) == 60
    sizes = [request.variables["first"] for request in github.asked("MergedPullRequests")]
    assert sizes[:4] == [49, 24, 12, 12]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "partial"}, PartialAnswerError),
        ({"kind": "partial", "field": "files"}, PartialAnswerError),
        ({"kind": "partial", "error": "FORBIDDEN"}, ForbiddenError),
        ({"status": 502}, UnavailableError),
    ],
)
def test_one_repository_that_fails_leaves_the_others(
    github: GitHubServer,
    repository: Repository,
    connect: MakeClient,
    fault: dict[str, Any],
    kind: type[Exception],
) -> None:
    fill(repository, 5)
    fill(github.add("octo/api"), 5)
    github.fail(operation="MergedPullRequests", repository=NAME, times=99, **fault)
    store = Store(None, github.url)
    web, api = Reader(connect(), store, lambda: NOW).read([NAME, "octo/api"], SINCE)
    assert isinstance(web.problem, kind)
    assert len(numbers(api)) == 5


def test_a_refused_credential_ends_the_work(
    repository: Repository, connect: MakeClient, github: GitHubServer
) -> None:
    with pytest.raises(AccessError):
        Reader(connect("wrong"), Store(None, github.url)).read([NAME], SINCE)


@pytest.mark.parametrize("gone", ["deleted", "hidden", "never"])
def test_a_repository_that_is_gone_is_not_empty(
    github: GitHubServer, repository: Repository, read: Read, gone: str
) -> None:
    fill(repository, 3)
    read()
    if gone == "deleted":
        github.delete(NAME)
    elif gone == "hidden":
        github.hidden.add(NAME)
    reading = read(NAME if gone != "never" else "octo/none")
    assert isinstance(reading.problem, NotVisibleError)
    assert "Could not resolve" in reading.problem.found


def test_a_renamed_repository_is_followed_and_told(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 3)
    read()
    github.rename(NAME, "octo/site")
    reading = read()
    assert (reading.asked, reading.name) == (NAME, "octo/site")
    assert len(numbers(reading)) == 3


def test_a_new_repository_of_an_old_name_begins_anew(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 3)
    repository.commit(ALICE, NOW)
    read()
    github.delete(NAME)
    new = github.add(NAME)
    new.merge(NOW, "a.tf", number=9)
    new.commit(BOB, SINCE)
    reading = read()
    assert numbers(reading) == [9]
    assert [one.people[0].name for one in reading.records.commits.values()] == ["Bob"]


def test_many_repositories_are_asked_for_together(
    github: GitHubServer, connect: MakeClient
) -> None:
    names = [f"octo/r{n}" for n in range(2 * queries.REPOSITORIES)]
    for name in names:
        github.add(name)
    client = connect()
    found = Reader(client, Store(None, github.url)).read(names, SINCE)
    assert [reading.name for reading in found] == names
    assert client.usage.points == 2


def test_a_question_that_is_too_much_is_halved(github: GitHubServer, connect: MakeClient) -> None:
    names = [f"octo/r{n}" for n in range(4)]
    for name in names[:3]:
        github.add(name)
    github.fail(operation="Repositories", times=1)
    found = Reader(connect(), Store(None, github.url)).read(names, SINCE)
    assert [bool(reading.problem) for reading in found] == [False, False, False, True]
    assert len(github.asked("Repositories")) == 3


# Files.


@pytest.fixture
def all_paths(repository: Repository, read: Read, client: Client) -> Any:
    def complete(*files: File, **more: Any) -> MergedPullRequest:
        made = repository.merge(NOW, **more)
        made.files = files
        (found,) = read().records.pull_requests.values()
        read_all_paths(client, NAME, found)
        return found

    return complete


def test_rest_tells_the_former_name_of_a_renamed_file(all_paths: Any) -> None:
    found = all_paths(File("old.txt", "RENAMED", previous="main.tf"))
    assert found.renames
    assert found.paths == ["old.txt", "main.tf"]


def test_rest_tells_more_than_a_hundred_files(all_paths: Any) -> None:
    found = all_paths(*[File(f"src/{n}.py") for n in range(250)])
    assert (len(found.paths), found.changed_files, found.truncated) == (250, 250, False)


def test_beyond_three_thousand_files_it_is_said(all_paths: Any) -> None:
    found = all_paths(*[File(f"src/{n}.py") for n in range(3001)])
    assert (len(found.paths), found.truncated) == (3000, True)


def test_files_that_graphql_does_not_tell_are_not_none(all_paths: Any) -> None:
    found = all_paths(File("main.tf"), files_hidden=True)
    assert found.changed_files is None
    assert found.paths == ["main.tf"]


# People.


def test_people_are_authors_reviewers_committers_and_co_authors(
    repository: Repository, read: Read
) -> None:
    repository.merge(NOW, "a.tf", author="carol", reviews=[("dave", NOW)])
    message = "Change\n\nCo-authored-by: Eve <eve@example.com>"
    repository.commit(ALICE, NOW, message, committer=BOB)
    people = {activity.who.login or activity.who.email for activity in read().activities()}
    assert people == {"carol", "dave", "alice", "bob@example.com", "eve@example.com"}


def test_mailmap_of_the_repository_is_used(repository: Repository, read: Read) -> None:
    repository.mailmap = "Robert <robert@example.com> <bob@example.com>\n"
    repository.commit(BOB, NOW)
    reading = read()
    assert [activity.who.name for activity in reading.activities()] == ["Robert"]
    assert [activity.who.name for activity in reading.activities(mailmap=False)] == ["Bob"]


def test_all_reviews_are_read(repository: Repository, read: Read) -> None:
    repository.merge(NOW, "a.tf", reviews=[(f"r{n}", NOW) for n in range(230)])
    assert len({activity.who.login for activity in read().activities()}) == 231


def test_all_commits_are_read(repository: Repository, read: Read) -> None:
    for n in range(230):
        repository.commit(ALICE, SINCE + timedelta(minutes=n), str(n))
    assert len(read().records.commits) == 230


def test_after_a_forced_push_history_begins_anew(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    for n in range(230):
        repository.commit(ALICE, SINCE + timedelta(minutes=n), str(n))
    pushed: list[int] = []

    def push(request: Request) -> None:
        if request.operation == "History" and not pushed:
            repository.force_push(keep=200)
            pushed.append(1)

    github.on_request = push
    reading = read()
    assert reading.problem is None
    # All that is reachable now, and those of the first page that no longer are.
    reachable = {commit.oid for commit in repository.commits}
    assert reachable <= reading.records.commits.keys()


def test_a_branch_that_never_rests_is_unknown(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    for n in range(230):
        repository.commit(ALICE, SINCE + timedelta(minutes=n), str(n))

    def push(request: Request) -> None:
        if request.operation == "History":
            repository.commit(BOB, NOW, "again")

    github.on_request = push
    problem = read().problem
    assert isinstance(problem, PartialAnswerError)
    assert "its default branch moved" in problem.found


def test_a_deleted_account_is_nobody(repository: Repository, read: Read) -> None:
    repository.merge(NOW, "a.tf", author=None)
    assert [activity.who.known for activity in read().activities()] == [False]


# Search, to compare with.


def test_search_is_compared_with(
    github: GitHubServer, repository: Repository, client: Client
) -> None:
    fill(repository, 5)
    other = github.add("octo/api")
    other.indexed = 3
    found = merged_counts(client, [NAME, "octo/api"], SINCE, SINCE + timedelta(minutes=4))
    assert found == {NAME: 4, "octo/api": 3}


def test_without_search_there_is_nothing_to_compare_with(
    github: GitHubServer, repository: Repository, client: Client
) -> None:
    github.fail(operation="MergedCounts", times=9)
    assert merged_counts(client, [NAME], SINCE, NOW) == {NAME: None}
