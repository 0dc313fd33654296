"""What a commit's checks say: check runs of an App, commit statuses of a token."""

from typing import Any

import pytest

from tests.github_data import Repository
from tests.github_server import GitHubServer
from tests.integration.github.pull_request.conftest import FAULTS, NAME, AppClient, asked
from xops.core.errors import InputError, XopsError
from xops.github.client import Client
from xops.github.errors import (
    ForbiddenError,
    NotVisibleError,
    RefusedError,
)
from xops.github.pull_request.checks import (
    DESCRIPTION_LIMIT,
    SUMMARY_LIMIT,
    CheckRuns,
    Checks,
    CommitStatuses,
    checks_for,
)

URL = "http://127.0.0.1:4200/runs/1"
HOSTILE = "<img src=x onerror=alert(1)> @everyone \x1b[31m `|`"


@pytest.fixture
def commit(repository: Repository) -> str:
    return repository.write("main", {"a": "x"})


@pytest.fixture
def statuses(client: Client) -> Checks:
    return checks_for(client, NAME)


@pytest.fixture
def runs(repository: Repository, app_client: AppClient) -> Checks:
    return checks_for(app_client(), NAME)


def test_the_credential_decides(client: Client, runs: Checks) -> None:
    assert isinstance(checks_for(client, NAME), CommitStatuses)
    assert isinstance(runs, CheckRuns)


def test_a_name_that_leads_elsewhere_is_refused(client: Client) -> None:
    with pytest.raises(InputError):
        checks_for(client, "octo/../orgs")


# Commit statuses.


def test_a_status_is_written_once_for_each_thing_it_says(
    repository: Repository, commit: str, statuses: Checks
) -> None:
    said = [
        statuses.report(commit, "xops/plan", "pending", "planning", url=URL),
        statuses.report(commit, "xops/plan", "pending", "planning", url=URL),
        statuses.report(commit, "xops/apply", "pending", "planning", url=URL),
        statuses.report(commit, "xops/plan", "success", "no changes"),
        statuses.report(commit, "xops/plan", "pending", "planning", url=URL),
    ]
    assert said == [True, False, True, True, True]
    rows = [(row["context"], row["state"]) for row in repository.statuses]
    assert rows == [
        ("xops/plan", "pending"),
        ("xops/apply", "pending"),
        ("xops/plan", "success"),
        ("xops/plan", "pending"),
    ]


def test_the_last_status_counts_whoever_wrote_it(
    github: GitHubServer, repository: Repository, commit: str, statuses: Checks
) -> None:
    statuses.report(commit, "xops/plan", "failure", "refused")
    repository.statuses.append({**repository.statuses[0], "state": "success"})
    assert statuses.report(commit, "xops/plan", "failure", "refused")
    assert repository.statuses[-1]["state"] == "failure"


def test_a_title_is_cut_to_what_a_status_takes(
    repository: Repository, commit: str, statuses: Checks
) -> None:
    assert statuses.report(commit, "xops/plan", "success", HOSTILE + "ü" * 500)
    assert not statuses.report(commit, "xops/plan", "success", HOSTILE + "ü" * 500)
    (row,) = repository.statuses
    assert len(row["description"]) == DESCRIPTION_LIMIT
    assert row["description"].startswith(HOSTILE)


@pytest.mark.parametrize("kind", ["arrives", "drop", "status"])
def test_a_status_whose_answer_is_lost_is_there_once(
    github: GitHubServer, repository: Repository, commit: str, statuses: Checks, kind: str
) -> None:
    github.fail(operation="POST .*/statuses/.*", kind=kind)
    assert statuses.report(commit, "xops/plan", "success", "no changes")
    assert len(repository.statuses) == 1


def test_a_commit_that_is_not_there_is_refused(repository: Repository, statuses: Checks) -> None:
    with pytest.raises((RefusedError, NotVisibleError)):
        statuses.report("a" * 40, "xops/plan", "success", "x")


def test_the_permission_that_is_missing_is_named(
    github: GitHubServer, commit: str, statuses: Checks
) -> None:
    message = "Resource not accessible by personal access token"
    github.fail(operation="POST .*/statuses/.*", status=403, message=message)
    with pytest.raises(ForbiddenError, match="Commit statuses: write"):
        statuses.report(commit, "xops/plan", "success", "x")


# Check runs.


def shown(repository: Repository) -> list[tuple[str, str, str | None]]:
    return [(row["name"], row["status"], row["conclusion"]) for row in repository.checks]


def test_one_that_waits_is_updated_in_place(
    repository: Repository, commit: str, runs: Checks
) -> None:
    said = [
        runs.report(commit, "xops/plan", "pending", "planning", url=URL),
        runs.report(commit, "xops/plan", "pending", "planning", url=URL),
        runs.report(commit, "xops/plan", "success", "2 changes", "**2** changes\n", url=URL),
        runs.report(commit, "xops/plan", "success", "2 changes", "**2** changes\n", url=URL),
    ]
    assert said == [True, False, True, False]
    assert shown(repository) == [("xops/plan", "completed", "success")]
    assert repository.checks[0]["output"]["summary"] == "**2** changes\n"
    assert repository.checks[0]["details_url"] == URL


def test_what_is_completed_stays_and_a_new_one_says_what_changed(
    repository: Repository, commit: str, runs: Checks
) -> None:
    runs.report(commit, "xops/plan", "success", "2 changes")
    assert runs.report(commit, "xops/plan", "pending", "planning again")
    assert runs.report(commit, "xops/plan", "failure", "refused")
    assert not runs.report(commit, "xops/plan", "failure", "refused")
    assert shown(repository) == [
        ("xops/plan", "completed", "success"),
        ("xops/plan", "completed", "failure"),
    ]


def test_one_that_github_calls_stale_is_written_anew(
    repository: Repository, commit: str, runs: Checks
) -> None:
    runs.report(commit, "xops/apply", "pending", "waits for a review")
    repository.checks[0] |= {"status": "completed", "conclusion": "stale"}
    assert runs.report(commit, "xops/apply", "pending", "waits for a review")
    assert shown(repository)[-1] == ("xops/apply", "in_progress", None)


def test_a_run_of_another_app_by_that_name_is_none_of_ours(
    repository: Repository, commit: str, runs: Checks
) -> None:
    runs.report(commit, "xops/plan", "success", "no changes")
    theirs = {**repository.checks[0], "id": 999_999_999, "app": {"id": 1}}
    repository.checks.append({**theirs, "conclusion": "failure"})
    assert not runs.report(commit, "xops/plan", "success", "no changes")
    assert len(repository.checks) == 2


def test_a_summary_is_cut_at_a_line(repository: Repository, commit: str, runs: Checks) -> None:
    summary = "a line of a plan\n" * 10_000
    assert runs.report(commit, "xops/plan", "success", "many", summary)
    written = repository.checks[0]["output"]["summary"]
    assert len(written) <= SUMMARY_LIMIT
    assert written.endswith("a line of a plan\n\nand more: it is too long for a check")
    assert not runs.report(commit, "xops/plan", "success", "many", summary)


@pytest.mark.parametrize("kind", ["arrives", "drop", "status"])
@pytest.mark.parametrize("operation", ["POST .*/check-runs", "PATCH .*/check-runs/.*"])
def test_a_run_whose_answer_is_lost_is_there_once(
    github: GitHubServer,
    repository: Repository,
    commit: str,
    runs: Checks,
    kind: str,
    operation: str,
) -> None:
    github.fail(operation=operation, kind=kind)
    runs.report(commit, "xops/plan", "pending", "planning")
    runs.report(commit, "xops/plan", "success", "no changes")
    assert shown(repository) == [("xops/plan", "completed", "success")]


def test_the_permission_that_an_app_lacks_is_named(
    github: GitHubServer, commit: str, runs: Checks
) -> None:
    github.fail(operation=".*check-runs.*", status=403, message="Resource not accessible")
    with pytest.raises(ForbiddenError, match="Checks: write"):
        runs.report(commit, "xops/plan", "success", "x")


# Faults of both.


def nothing_but_nulls(body: Any) -> Any:
    return dict.fromkeys(body) if "statuses" in body or "check_runs" in body else body


def rows_of_nulls(body: Any) -> Any:
    kept = [key for key in ("statuses", "check_runs") if key in body]
    return {**body, **{key: [{"name": None}] for key in kept}}


@pytest.mark.parametrize("kind", ["statuses", "runs"])
@pytest.mark.parametrize("change", [nothing_but_nulls, rows_of_nulls])
def test_an_answer_of_another_shape_is_refused(
    github: GitHubServer, commit: str, kind: str, change: Any, request: pytest.FixtureRequest
) -> None:
    checks: Checks = request.getfixturevalue(kind)
    github.change = change
    with pytest.raises(RefusedError):
        checks.report(commit, "xops/plan", "success", "x")


@pytest.mark.parametrize(("fault", "error"), FAULTS)
@pytest.mark.parametrize("kind", ["statuses", "runs"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_fault_is_told(
    github: GitHubServer,
    commit: str,
    kind: str,
    method: str,
    fault: dict[str, Any],
    error: type[XopsError],
    request: pytest.FixtureRequest,
) -> None:
    checks: Checks = request.getfixturevalue(kind)
    github.fail(operation=f"{method} .*", **fault)
    with pytest.raises(error):
        checks.report(commit, "xops/plan", "success", "x")


@pytest.mark.parametrize("kind", ["statuses", "runs"])
def test_a_report_takes_two_requests_and_one_where_nothing_is_new(
    github: GitHubServer, commit: str, kind: str, request: pytest.FixtureRequest
) -> None:
    checks: Checks = request.getfixturevalue(kind)
    checks.report(commit, "xops/apply", "pending", "x")  # an App asks for its token once
    before = len(github.requests)
    checks.report(commit, "xops/plan", "success", "x")
    assert len(asked(github, before)) == 2
    checks.report(commit, "xops/plan", "success", "x")
    assert len(asked(github, before)) == 3
