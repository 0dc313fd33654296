"""An apply as a deployment, on which nothing depends."""

from typing import Any

import pytest

from tests.github_data import Repository
from tests.github_server import GitHubServer
from tests.integration.github.pull_request.conftest import NAME, asked
from xops.github.client import Client
from xops.github.pull_request.deployments import DESCRIPTION_LIMIT, Deployments

URL = "http://127.0.0.1:4200/runs/1"
REFUSED = "Resource not accessible by personal access token"


@pytest.fixture
def commit(repository: Repository) -> str:
    return repository.write("main", {"a": "x"})


@pytest.fixture
def deployments(client: Client) -> Deployments:
    return Deployments(client, NAME)


def shown(repository: Repository) -> list[tuple[str, list[str]]]:
    return [
        (row["environment"], [status["state"] for status in row["statuses"]])
        for row in repository.deployments
    ]


@pytest.mark.parametrize(("end", "state"), [("succeed", "success"), ("fail", "failure")])
def test_an_apply_is_told_from_its_beginning_to_its_end(
    repository: Repository, commit: str, deployments: Deployments, end: str, state: str
) -> None:
    begun = deployments.begin("ecs/test", commit, URL)
    getattr(deployments, end)(begun, URL, "2 changes")
    assert shown(repository) == [("ecs/test", ["in_progress", state])]
    (row,) = repository.deployments
    assert (row["sha"], row["task"]) == (commit, "deploy:xops")
    assert [status["log_url"] for status in row["statuses"]] == [URL, URL]
    assert row["statuses"][-1]["description"] == "2 changes"


def test_github_makes_the_earlier_ones_of_the_environment_inactive(
    repository: Repository, commit: str, deployments: Deployments
) -> None:
    for environment in ("ecs/test", "ecs/prod", "ecs/test"):
        deployments.succeed(deployments.begin(environment, commit))
    assert shown(repository) == [
        ("ecs/test", ["in_progress", "success", "inactive"]),
        ("ecs/prod", ["in_progress", "success"]),
        ("ecs/test", ["in_progress", "success"]),
    ]


def test_one_that_was_broken_off_is_taken_up_again(
    repository: Repository, commit: str, deployments: Deployments
) -> None:
    first = deployments.begin("ecs/test", commit, URL)
    again = deployments.begin("ecs/test", commit, URL)
    other = deployments.begin("ecs/prod", commit, URL)
    deployments.fail(again)
    third = deployments.begin("ecs/test", commit, URL)
    assert first == again
    assert len({first, other, third}) == 3


def test_a_deployment_of_others_is_left_alone(
    repository: Repository, commit: str, deployments: Deployments
) -> None:
    first = deployments.begin("ecs/test", commit)
    repository.deployments[0]["task"] = "deploy"
    assert deployments.begin("ecs/test", commit) != first


def test_a_check_that_waits_does_not_keep_it_from_beginning(
    repository: Repository, commit: str, deployments: Deployments
) -> None:
    repository.statuses.append({"sha": commit, "context": "xops/apply", "state": "pending"})
    assert deployments.begin("ecs/test", commit)


@pytest.mark.parametrize("kind", ["arrives", "drop", "status"])
@pytest.mark.parametrize("operation", ["POST .*/deployments", "POST .*/statuses"])
def test_an_answer_that_is_lost_makes_no_second_one(
    github: GitHubServer,
    repository: Repository,
    commit: str,
    deployments: Deployments,
    kind: str,
    operation: str,
) -> None:
    github.fail(operation=operation, kind=kind)
    assert deployments.begin("ecs/test", commit)
    assert len(repository.deployments) == 1
    assert repository.deployments[0]["statuses"][-1]["state"] == "in_progress"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_permission_that_is_missing_is_said_once_and_not_asked_for_again(
    github: GitHubServer,
    commit: str,
    deployments: Deployments,
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    github.fail(operation="POST .*", status=status, message=REFUSED, times=99)
    assert deployments.begin("ecs/test", commit) is None
    before = len(github.requests)
    assert deployments.begin("ecs/prod", commit) is None
    deployments.succeed(None)
    deployments.fail(7)
    assert len(github.requests) == before
    assert len(caplog.records) == 1
    assert "the apply goes on" in caplog.text
    assert status == 401 or "Deployments: write" in caplog.text


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 422},
        {"status": 409, "message": "Conflict merging main into topic"},
        {"status": 502, "times": 99},
        {"kind": "drop", "times": 99},
        {"kind": "html"},
        {"kind": "secondary", "retry_after": 5000, "times": 99},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_whatever_fails_the_apply_goes_on(
    github: GitHubServer,
    repository: Repository,
    commit: str,
    deployments: Deployments,
    caplog: pytest.LogCaptureFixture,
    method: str,
    fault: dict[str, Any],
) -> None:
    github.fail(operation=f"{method} .*", **fault)
    assert deployments.begin("ecs/test", commit) is None
    assert "the apply goes on" in caplog.text
    deployments.succeed(None)


@pytest.mark.parametrize(
    "change", [dict.fromkeys, lambda body: [None], lambda body: None, lambda body: {"id": "x"}]
)
def test_an_answer_of_another_shape_is_told(
    github: GitHubServer,
    commit: str,
    deployments: Deployments,
    caplog: pytest.LogCaptureFixture,
    change: Any,
) -> None:
    deployments.begin("ecs/test", commit)
    github.change = change
    assert deployments.begin("ecs/test", commit) is None
    assert "the apply goes on" in caplog.text


def test_hostile_names_are_no_part_of_an_address(
    github: GitHubServer, repository: Repository, commit: str, deployments: Deployments
) -> None:
    name = "ecs/../../x?sha=1#&environment=prod\u202e"
    begun = deployments.begin(name, commit)
    deployments.succeed(begun, description="\x1b[31m" + "ü" * 500)
    assert deployments.begin(name, commit) != begun
    assert {row["environment"] for row in repository.deployments} == {name}
    assert len(repository.deployments[0]["statuses"][1]["description"]) == DESCRIPTION_LIMIT


def test_an_apply_takes_four_requests(
    github: GitHubServer, commit: str, deployments: Deployments
) -> None:
    deployments.succeed(deployments.begin("ecs/test", commit))
    assert len(asked(github)) == 4
