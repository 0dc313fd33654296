"""Reading repositories: nothing is missed, nothing twice, and what cannot be read says so."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.github_data import File, Person, PullRequest, Refusal, Repository, Request
from tests.github_graphql import BLOB_TEXT
from tests.github_server import TOKEN, GitHubServer
from xops.github import queries
from xops.github.client import Client
from xops.github.errors import (
    AccessError,
    ForbiddenError,
    GoneError,
    LimitError,
    NotVisibleError,
    PartialAnswerError,
    UnavailableError,
)
from xops.github.pull_requests import (
    SEARCH_SAMPLE,
    merged_counts,
    read_all_paths,
    sampled,
)
from xops.github.records import MergedPullRequest, Store
from xops.github.repositories import Reader, RepositorySnapshot, existing_branches

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
    (asked,) = github.asked("PullRequestDetails")
    assert len(asked.variables["ids"]) == 2
    assert not github.asked("PullRequestPages")
    assert "late" in {activity.who.login for activity in reading.activities()}


def test_an_earlier_start_is_read_as_well(repository: Repository, read: Read) -> None:
    fill(repository, 60, SINCE - timedelta(minutes=30))
    assert len(numbers(read())) == 30
    assert len(numbers(read(since=SINCE - timedelta(days=1)))) == 60
    assert len(numbers(read())) == 60


def test_one_that_moves_to_the_top_meanwhile_is_not_missed(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 220)
    moved = repository.pull_requests[30]  # on the second page

    def comment(request: Request) -> None:
        if request.operation == "PullRequestPages" and request.variables["after0"]:
            moved.updated_at = NOW

    github.on_request = comment
    assert len(numbers(read())) == 220


def test_one_that_never_rests_is_unknown(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 160)
    ticks = iter(range(10_000))

    def comment(_: Request) -> None:
        for one in repository.pull_requests:
            one.updated_at = NOW + timedelta(seconds=next(ticks))

    github.on_request = comment
    reading = read()
    assert isinstance(reading.problem, PartialAnswerError)
    assert "faster than it could be read" in reading.problem.found


@pytest.mark.parametrize(("page", "left"), [(0, 3), (1, 2), (2, 0)])
def test_a_list_that_was_broken_off_goes_on_from_there(
    github: GitHubServer, repository: Repository, read: Read, page: int, left: int
) -> None:
    fill(repository, 3 * queries.PAGE)
    fault = {"operation": "PullRequestPages", "kind": "secondary", "retry_after": 5}
    github.fail(skip=page, **fault)
    with pytest.raises(LimitError):
        read(patience_seconds=0)
    github.requests.clear()
    assert len(numbers(read())) == 3 * queries.PAGE
    # The rest of the pages, and the top again after a pass of several.
    assert len(github.asked("PullRequestPages")) == left


def test_details_that_were_read_before_a_limit_are_not_asked_for_again(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 5 * queries.DETAILS)
    github.fail(operation="PullRequestDetails", kind="secondary", retry_after=5, skip=3)
    with pytest.raises(LimitError):
        read(patience_seconds=0)
    github.requests.clear()
    assert len(numbers(read())) == 5 * queries.DETAILS
    assert len(github.asked("PullRequestDetails")) == 2


def test_commits_that_were_read_before_a_limit_are_not_asked_for_again(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 3)
    for n in range(230):
        repository.commit(ALICE, SINCE + timedelta(minutes=n), str(n))
    github.fail(operation="PullRequestDetails", kind="secondary", retry_after=5)
    with pytest.raises(LimitError):
        read(patience_seconds=0)
    github.requests.clear()
    assert len(read().records.commits) == 230
    assert not github.asked("Histories")


def test_what_was_merged_while_it_was_broken_off_is_read_too(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 220)
    github.fail(operation="PullRequestPages", kind="secondary", retry_after=5, skip=1)
    with pytest.raises(LimitError):
        read(patience_seconds=0)
    repository.merge(NOW, "new.tf")
    assert len(numbers(read())) == 221


def test_a_stale_cursor_begins_anew(
    github: GitHubServer, repository: Repository, read: Read, tmp_path: Path
) -> None:
    fill(repository, 220)
    github.fail(operation="PullRequestPages", kind="secondary", retry_after=5, skip=1)
    with pytest.raises(LimitError):
        read(patience_seconds=0)
    kept = Store(tmp_path / "records", github.url).open(NAME)
    assert kept.walk
    for file in (tmp_path / "records").iterdir():
        file.write_text(file.read_text().replace(kept.walk.cursor, "stale"))
    github.requests.clear()
    assert len(numbers(read())) == 220
    assert len(github.asked("PullRequestPages")) == 1 + 3 + 1  # stale, the pass, the top again


@pytest.mark.parametrize("glob", ["octo.web-*", "repository-*", "*"])
def test_a_damaged_file_is_read_anew(
    repository: Repository, read: Read, tmp_path: Path, glob: str
) -> None:
    fill(repository, 3)
    read()
    for file in (tmp_path / "records").glob(glob):
        file.write_text(file.read_text()[:-20])
    assert len(numbers(read())) == 3


def test_a_file_of_an_earlier_release_is_read_anew(
    repository: Repository, read: Read, tmp_path: Path
) -> None:
    fill(repository, 3)
    read()
    for file in (tmp_path / "records").iterdir():
        file.write_text(file.read_text().replace('"version":2', '"version":1'))
    assert len(numbers(read())) == 3
    assert len(list((tmp_path / "records").iterdir())) == 2


def test_weeks_that_nobody_read_for_a_while_are_not_taken_for_known(
    repository: Repository, read: Read
) -> None:
    repository.merge(SINCE - timedelta(days=300), "a.tf", number=1)
    read(since=SINCE - timedelta(days=301))
    repository.merge(SINCE - timedelta(days=100), "a.tf", number=2)
    repository.merge(SINCE, "a.tf", number=3)
    assert numbers(read()) == [1, 3]
    assert numbers(read(since=SINCE - timedelta(days=200))) == [1, 2, 3]


def test_nothing_that_is_kept_holds_the_credential(
    repository: Repository, read: Read, tmp_path: Path
) -> None:
    fill(repository, 3)
    read()
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    assert not any(TOKEN in file.read_text() for file in files)
    assert {oct(file.stat().st_mode & 0o777) for file in files} == {"0o600"}


# What GitHub refuses to answer at once.


@pytest.mark.parametrize("answer", ["RESOURCE_LIMITS_EXCEEDED", "timeout", "502"])
@pytest.mark.parametrize(
    ("sizes", "pull_requests", "history"),
    [
        ({"history": 7}, 3, 40),
        ({"history": 1}, 3, 4),
        ({"listing": 12}, 60, 3),
        ({"listing": 1}, 4, 3),
        ({"details": 3}, 60, 3),
        ({"history": 12, "listing": 12, "details": 1}, 30, 30),
    ],
)
def test_pages_shrink_until_github_answers(
    github: GitHubServer,
    repository: Repository,
    connect: MakeClient,
    answer: str,
    sizes: dict[str, int],
    pull_requests: int,
    history: int,
) -> None:
    fill(repository, pull_requests)
    for n in range(history):
        repository.commit(ALICE, SINCE + timedelta(minutes=n), str(n))
    fill(github.add("octo/api"), 5)
    repository.refusal = Refusal(answer=answer, **sizes)
    store = Store(None, github.url)
    web, api = Reader(connect(), store, lambda: NOW).read([NAME, "octo/api"], SINCE)
    assert numbers(web) == list(range(1, pull_requests + 1))
    assert len(web.records.commits) == history
    assert len(numbers(api)) == 5


def test_one_repository_that_is_too_much_is_asked_for_alone(
    github: GitHubServer, connect: MakeClient
) -> None:
    names = [f"octo/r{n}" for n in range(5)]
    for name in names:
        fill(github.add(name), 2)
    github.repositories["octo/r3"].refusal = Refusal(listing=60)
    found = Reader(connect(), Store(None, github.url), lambda: NOW).read(names, SINCE)
    assert [len(numbers(one)) for one in found] == [2] * 5
    assert [request.variables.get("pulls4", 0) for request in github.asked("Repositories")] == [
        100, 0, 0,
    ]  # fmt: skip
    assert [request.variables["pulls0"] for request in github.asked("Repositories")[1:]] == [
        100, 50,
    ]  # fmt: skip


def test_a_pull_request_whose_files_github_never_tells_is_left_to_rest(
    repository: Repository, read: Read, client: Client
) -> None:
    fill(repository, 10)
    repository.pull_requests[4].unreadable = True
    reading = read()
    assert len(numbers(reading)) == 10
    (found,) = (one for one in reading.records.pull_requests.values() if one.number == 5)
    assert (found.changed_files, found.paths, found.all_reviews) == (None, [], False)
    assert any("pull/5: GitHub does not tell its reviews" in note for note in reading.notes)
    read_all_paths(client, NAME, found)
    assert found.paths == ["main.tf"]


@pytest.mark.parametrize("answer", ["RESOURCE_LIMITS_EXCEEDED", "timeout", "502"])
def test_pull_requests_are_read_where_history_is_too_much(
    repository: Repository, read: Read, answer: str
) -> None:
    fill(repository, 120)
    repository.commit(ALICE, NOW)
    repository.refusal = Refusal(history=0, answer=answer)
    reading = read()
    assert len(numbers(reading)) == 120
    assert reading.people_problem
    assert "does not answer for the commits" in reading.people_problem.found
    repository.refusal = Refusal()
    assert read().people_problem is None
    assert len(read().records.commits) == 1


def test_a_github_that_is_down_is_not_asked_a_thousand_times(
    github: GitHubServer, connect: MakeClient
) -> None:
    names = [f"octo/r{n}" for n in range(200)]
    for name in names:
        github.add(name)
    github.fail(status=503, times=99_999)
    found = Reader(connect(), Store(None, github.url)).read(names, SINCE)
    assert all(isinstance(one.problem, UnavailableError) for one in found)
    assert len(github.requests) < 30


@pytest.mark.parametrize(
    ("operation", "fault", "kind"),
    [
        ("PullRequestPages", {"kind": "partial"}, PartialAnswerError),
        ("PullRequestPages", {"kind": "partial", "error": "FORBIDDEN"}, ForbiddenError),
        ("PullRequestPages", {"status": 502}, UnavailableError),
        ("Repositories", {"kind": "partial", "error": "FORBIDDEN"}, ForbiddenError),
        ("Repositories", {"status": 502}, UnavailableError),
        (
            "PullRequestDetails",
            {"kind": "partial", "field": "files", "error": "FORBIDDEN"},
            ForbiddenError,
        ),
    ],
)
def test_one_repository_that_fails_leaves_the_others(
    github: GitHubServer,
    repository: Repository,
    connect: MakeClient,
    operation: str,
    fault: dict[str, Any],
    kind: type[Exception],
) -> None:
    fill(repository, 105)
    repository.commit(ALICE, NOW)
    fill(github.add("octo/api"), 105)
    github.fail(operation=operation, repository=NAME, times=99, **fault)
    store = Store(None, github.url)
    web, api = Reader(connect(), store, lambda: NOW).read([NAME, "octo/api"], SINCE)
    assert isinstance(web.problem, kind)
    assert len(numbers(api)) == 105


# Null where GitHub's schema allows it.


@pytest.mark.parametrize("count", [3, 150])
def test_a_list_with_a_hole_is_not_whole(repository: Repository, read: Read, count: int) -> None:
    fill(repository, count)
    repository.null_nodes = {"pullRequests"}
    reading = read()
    assert isinstance(reading.problem, PartialAnswerError)
    assert "GitHub answered null in place of a pull request" in reading.problem.found
    assert reading.default_branch == "main"


@pytest.mark.parametrize("count", [3, 150])
def test_a_history_with_a_hole_leaves_people_unknown_and_nothing_else(
    repository: Repository, read: Read, count: int
) -> None:
    fill(repository, 3)
    for n in range(count):
        repository.commit(ALICE, NOW, str(n))
    repository.null_nodes = {"history"}
    reading = read()
    assert len(numbers(reading)) == 3
    assert isinstance(reading.people_problem, PartialAnswerError)
    assert "GitHub answered null in place of a commit" in reading.people_problem.found


def test_a_file_that_is_null_is_asked_for_elsewhere(repository: Repository, read: Read) -> None:
    repository.merge(NOW, "a.tf", "b.txt")
    repository.null_nodes = {"files"}
    (found,) = read().records.pull_requests.values()
    assert (found.paths, found.changed_files) == (["b.txt"], 2)


def test_a_review_that_is_null_is_said(repository: Repository, read: Read) -> None:
    repository.merge(NOW, "a.tf", reviews=[("bob", NOW), ("carol", NOW)])
    repository.null_nodes = {"reviews"}
    (found,) = read().records.pull_requests.values()
    assert [review.who.login for review in found.reviews] == ["carol"]
    assert not found.all_reviews
    reading = read()
    assert numbers(reading) == [1]
    assert reading.people_problem
    assert "GitHub does not tell all of #1" in reading.people_problem.found


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


def test_a_deleted_repository_is_told_from_one_that_never_was(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 3)
    read()
    github.delete(NAME)
    gone = read().problem
    assert isinstance(gone, GoneError)
    assert "deleted or hidden from this credential, read last on 2026-11-23" in gone.found
    assert not isinstance(read("octo/none").problem, GoneError)


def test_a_renamed_repository_is_followed_and_told(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 3)
    read()
    github.rename(NAME, "octo/site")
    reading = read()
    assert (reading.asked, reading.name) == (NAME, "octo/site")
    assert reading.renamed_to == "octo/site"
    assert len(numbers(reading)) == 3


def test_a_repository_keeps_its_records_under_a_new_name(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 120)
    before = read()
    github.rename(NAME, "other/site")
    github.requests.clear()
    reading = read("other/site")
    assert (reading.id, reading.renamed_to) == (before.id, "")
    assert len(numbers(reading)) == 120
    assert [request.operation for request in github.requests] == ["Repositories"]


def test_a_name_that_leads_nowhere_is_looked_for_by_its_id(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 3)
    read()
    github.rename(NAME, "octo/site")
    repository.formerly.clear()  # another had the old name, and was deleted
    reading = read()
    assert (reading.asked, reading.renamed_to) == (NAME, "octo/site")
    assert len(numbers(reading)) == 3


def test_two_names_of_one_repository_are_read_once(
    github: GitHubServer, repository: Repository, connect: MakeClient, tmp_path: Path
) -> None:
    fill(repository, 3)
    github.rename(NAME, "octo/site")
    names = ["octo/site", *(f"octo/none{n}" for n in range(queries.REPOSITORIES)), NAME]
    store = Store(tmp_path / "records", github.url)
    for _ in range(2):
        first, *rest = Reader(connect(), store, lambda: NOW).read(names, SINCE)
        assert (first.asked, first.also_asked) == ("octo/site", (NAME,))
        assert len(numbers(first)) == 3
        assert len(rest) == queries.REPOSITORIES
        assert "octo/site and octo/web are one repository" in first.notes[0]
    assert len(github.asked("PullRequestDetails")) == 1


def test_an_archived_repository_is_read_and_told(repository: Repository, read: Read) -> None:
    fill(repository, 3)
    repository.archived = True
    reading = read()
    assert reading.archived
    assert reading.notes == ["octo/web is archived"]
    assert len(numbers(reading)) == 3


def test_a_new_repository_of_an_old_name_begins_anew(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    fill(repository, 3)
    repository.commit(ALICE, NOW)
    read()
    github.rename(NAME, "octo/site")
    new = github.add(NAME)
    new.merge(NOW, "a.tf", number=9)
    new.commit(BOB, SINCE)
    reading = read()
    assert numbers(reading) == [9]
    assert [one.people[0].name for one in reading.records.commits.values()] == ["Bob"]
    assert reading.notes == ["octo/web is another repository than before"]
    github.requests.clear()
    assert numbers(read("octo/site")) == [1, 2, 3]
    assert not github.asked("PullRequestDetails")
    assert numbers(read()) == [9]


def test_former_names_of_the_default_branch_are_remembered(
    repository: Repository, read: Read, client: Client
) -> None:
    repository.commit(ALICE, NOW)
    for branch in ["main", "trunk", "main", "next"]:
        repository.rename_default_branch(branch)
        found = read()
        assert found.default_branch == branch
    assert found.records.default_branches == ["trunk", "main", "next"]
    repository.branches = ["release/1"]
    known = existing_branches(client, NAME, ["main", "trunk", "next", "release/1"])
    assert known == {"next", "release/1"}


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


def test_quiet_repositories_share_their_questions(
    github: GitHubServer, connect: MakeClient, tmp_path: Path
) -> None:
    names = [f"octo/r{n}" for n in range(30)]
    for name in names:
        fill(github.add(name), 26)
    store, client = Store(tmp_path / "records", github.url), connect()
    found = Reader(client, store, lambda: NOW).read(names, SINCE)
    assert all(len(numbers(one)) == 26 for one in found)
    # 30 / 20 overviews, and 30 x 26 / 74 questions for details: 1 point each.
    assert (client.usage.queries, client.usage.points) == (2 + 11, 2 + 11)
    again = connect()
    Reader(again, store, lambda: NOW).read(names, SINCE)
    assert (again.usage.queries, again.usage.points) == (2, 2)


def test_busy_repositories_share_their_pages(github: GitHubServer, connect: MakeClient) -> None:
    names = [f"octo/r{n}" for n in range(5)]
    for name in names:
        made = github.add(name)
        fill(made, 120)
        for n in range(120):
            made.commit(ALICE, SINCE + timedelta(minutes=n), str(n))
    client = connect()
    found = Reader(client, Store(None, github.url), lambda: NOW).read(names, SINCE)
    assert all(len(numbers(one)) == 120 for one in found)
    assert all(len(one.records.commits) == 120 for one in found)
    # The second pages, the tops again, and the second pages of commits.
    assert len(github.asked("PullRequestPages")) == 2
    assert len(github.asked("Histories")) == 1


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


def test_a_push_while_history_is_read_changes_nothing(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    for n in range(230):
        repository.commit(ALICE, SINCE + timedelta(minutes=n), str(n))
    found = {commit.oid for commit in repository.commits}

    def push(request: Request) -> None:
        if request.operation == "Histories":
            repository.force_push(keep=200)

    github.on_request = push
    reading = read()
    assert reading.problem is None
    assert reading.records.commits.keys() == found


@pytest.mark.parametrize("days", [1, 60])
def test_commits_that_were_pushed_away_do_not_stay_counted(
    github: GitHubServer, repository: Repository, read: Read, days: int
) -> None:
    start = NOW - timedelta(days=days)
    for n in range(6):
        repository.commit(BOB if n > 2 else ALICE, start + timedelta(minutes=n), str(n))
    read(since=NOW - timedelta(days=90))
    repository.force_push(keep=2)
    repository.commit(ALICE, NOW, "after")
    reading = read(since=NOW - timedelta(days=90))
    assert reading.records.commits.keys() == {commit.oid for commit in repository.commits}


def test_history_that_only_grew_is_not_read_again(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    for n in range(230):
        repository.commit(ALICE, SINCE + timedelta(minutes=n), str(n))
    read()
    github.requests.clear()
    repository.commit(BOB, NOW, "new")
    assert len(read().records.commits) == 231
    (asked,) = github.requests
    assert asked.variables["since0"] > SINCE.isoformat()


def test_another_default_branch_is_another_history(repository: Repository, read: Read) -> None:
    for n in range(5):
        repository.commit(ALICE, NOW - timedelta(minutes=n), str(n))
    read()
    repository.commits.clear()
    repository.commit(BOB, NOW - timedelta(days=20), "other")
    repository.rename_default_branch("next")
    people = [one.people[0].name for one in read().records.commits.values()]
    assert people == ["Bob"]


def test_a_commit_keeps_the_first_line_of_its_message(repository: Repository, read: Read) -> None:
    repository.commit(ALICE, NOW, "Raise the number of replicas\n\nWhy")
    repository.commit(ALICE, NOW, "x" * 100)
    found = {commit.subject for commit in read().records.commits.values()}
    assert found == {"Raise the number of replicas", "x" * 72}


def test_accounts_tell_their_names(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    github.names = {"carol": "Carol Jones", "erin": "Erin Hall"}
    reviews = [("carol", NOW), ("dave", NOW)]
    repository.merge(NOW, "a.tf", author="renovate[bot]", reviews=reviews)
    repository.merge(NOW, "a.tf", author="erin")
    found = {one.who.login: one.who.name for one in read().activities()}
    assert found == {"renovate": "", "carol": "Carol Jones", "dave": "", "erin": "Erin Hall"}


@pytest.mark.parametrize(
    ("message", "merge"),
    [
        ("Merge pull request #7 from octo/topic\n\nTitle", True),
        ("Merge branch 'main' into topic", True),
        ("Merge remote-tracking branch 'origin/main'", True),
        ("Merge two tables (#7)", False),
        ("Change (#7)", False),
    ],
)
def test_a_merge_is_known_by_its_message(
    repository: Repository, read: Read, message: str, merge: bool
) -> None:
    repository.commit(ALICE, NOW, message)
    (commit,) = read().records.commits.values()
    assert commit.merge is merge


def test_a_squash_commit_links_a_login_with_an_address(repository: Repository, read: Read) -> None:
    repository.mailmap = "Robert <robert@example.com> <bob@example.com>\n"
    squashed = repository.squash(repository.merge(NOW, "a.tf", author="bobby"), BOB)
    reading = read()
    ((one, other, why),) = reading.links(mailmap=False)
    assert (one.login, other.email) == ("bobby", "bob@example.com")
    assert why == f"{squashed.oid[:7]} is the squash commit of octo/web#1"
    assert [other.email for _, other, _ in reading.links()] == ["robert@example.com"]


def test_nothing_else_links_anybody(repository: Repository, read: Read) -> None:
    def merged(**more: Any) -> PullRequest:
        return repository.merge(NOW, "a.tf", **more)

    repository.merge_with_commit(merged(author="carol"), BOB)
    repository.squash(merged(author="renovate[bot]"), BOB)
    repository.squash(merged(author=None), BOB)
    repository.squash(merged(author="carol"), ALICE)  # GitHub knows the address as hers
    by_hand = merged(author="carol")
    by_hand.merge_commit = repository.commit(BOB, NOW, "Change (#5)").oid
    other = repository.squash(merged(author="carol"), BOB)
    other.message = "Revert of something (#1)"
    reading = read()
    assert reading.problem is None
    assert list(reading.links()) == []


def test_how_people_belong_to_a_repository_is_told(repository: Repository, read: Read) -> None:
    repository.associations = {"carol": "CONTRIBUTOR", "dave": "NONE"}
    repository.merge(NOW, "a.tf", author="carol", reviews=[("dave", NOW), ("erin", NOW)])
    found = {one.who.login: one.association for one in read().activities()}
    assert found == {"carol": "CONTRIBUTOR", "dave": "NONE", "erin": "MEMBER"}


def test_a_mailmap_that_graphql_cuts_is_read_whole(repository: Repository, read: Read) -> None:
    padding = "# nobody\n" * (BLOB_TEXT // 9)
    repository.mailmap = f"{padding}Robert <robert@example.com> <bob@example.com>\n"
    repository.commit(BOB, NOW)
    assert [one.who.name for one in read().activities()] == ["Robert"]


def test_a_mailmap_that_cannot_be_read_leaves_people_unknown(
    github: GitHubServer, repository: Repository, read: Read
) -> None:
    repository.mailmap = "# nobody\n" * BLOB_TEXT
    repository.commit(BOB, NOW)
    github.fail(operation="GET .*/git/blobs/.*", status=403)
    reading = read()
    assert isinstance(reading.people_problem, ForbiddenError)
    assert reading.problem is None


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


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 502, "times": 9},
        {"kind": "secondary"},
        {"kind": "primary", "retry_after": 3000},
        {"kind": "in_answer", "error": "RATE_LIMITED", "message": "API rate limit exceeded"},
        {"status": 401},
    ],
)
def test_without_search_there_is_nothing_to_compare_with(
    github: GitHubServer,
    repository: Repository,
    client: Client,
    slept: list[float],
    fault: dict[str, Any],
) -> None:
    github.fail(operation="MergedCounts", **fault)
    assert merged_counts(client, [NAME], SINCE, NOW) == {NAME: None}
    assert sum(slept) < 30  # no limit is waited for


def test_a_limit_ends_the_comparison_and_nothing_else(github: GitHubServer, client: Client) -> None:
    names = [f"octo/r{n}" for n in range(SEARCH_SAMPLE)]
    for name in names:
        github.add(name)
    github.fail(operation="MergedCounts", kind="secondary", skip=1)
    found = merged_counts(client, names, SINCE, NOW)
    assert list(found.values()) == [0] * queries.SEARCHES + [None] * queries.SEARCHES
    assert len(github.asked("MergedCounts")) == 2


def test_a_thousand_repositories_are_compared_by_a_sample(
    github: GitHubServer, client: Client
) -> None:
    names = [f"octo/r{n}" for n in range(1000)]
    found = merged_counts(client, names, SINCE, NOW)
    assert len(found) == SEARCH_SAMPLE
    assert list(found) == sampled(names, SINCE)
    assert set(sampled(names[::-1], SINCE)) == set(found)
    assert set(sampled(names, NOW)) != set(found)
    assert client.usage.points == 2
