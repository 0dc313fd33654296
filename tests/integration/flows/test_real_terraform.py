"""A pull request with the real Terraform on the embedded AWS, through the flow itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows.handle_pull_request import PullRequestRequest, handle_pull_request
from tests.embedded_aws import endpoint, reaching
from tests.github_server import TOKEN, GitHubServer
from tests.integration.flows.pull_requests import NAME, Deployed, World, evidence, tracked
from tests.prefect_servers import home
from tests.secret_sources import write_sources
from xops.core.evidence.log import RecordKind
from xops.core.files import settings
from xops.local.stack import Stack

__all__ = ["endpoint"]

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.timeout(900)]


@pytest.fixture
def world(prefect_stack: Stack, endpoint: str, tmp_path: Path) -> Iterator[World]:
    policy = tmp_path / "github.yaml"
    with (
        GitHubServer() as github,
        home(
            tmp_path / "home",
            XOPS_GITHUB_FILE=str(policy),
            XOPS_GITHUB_TOKEN=TOKEN,
            XOPS_SECRETS=write_sources(tmp_path, github.url),
            **reaching(endpoint),
        ),
        temporary_settings(
            {PREFECT_API_URL: prefect_stack.api, PREFECT_API_AUTH_STRING: prefect_stack.secret}
        ),
    ):
        policy.write_text(f"apiVersion: xops/v1\napi_url: {github.url}\nrepositories: [{NAME}]\n")
        found = World(github, Deployed(tmp_path / "deployed"))
        files = tracked("terraform")
        found.repository.write("main", {"terraform/stacks/stream1/main.tf": None})
        found.repository.write("main", files)
        yield found


def run(number: int, **values: Any) -> State[Any]:
    request = PullRequestRequest(repository=NAME, number=number, **values)
    state: State[Any] = handle_pull_request(request, return_state=True)
    return state


def test_a_branch_is_planned_in_isolation_and_applied_after_its_review(world: World) -> None:
    one = world.open(world.retention("test", 30))

    state = run(one.number)

    assert state.name == "Waiting for a review", state.message
    assert world.checks(one) == {"xops/plan": "success", "xops/apply": "pending"}
    assert "aws" in world.comment(one)
    (shown,) = world.shown(one).values()

    world.approve(one)
    delivery = world.deliver(one)
    state = run(one.number, delivery=delivery)

    assert state.name == "Applied", state.message
    (record,) = evidence_of("test")
    approval = record.body["approval"]
    assert (approval["by"], approval["identity"]) == ("bob", "verified login")
    assert (approval["digest"], approval["delivery"]) == (shown, delivery)


def evidence_of(name: str) -> list[Any]:
    """The records of applies."""
    return list(evidence(name).newest_first(RecordKind.APPLY))


def test_what_a_branch_makes_terraform_say_or_read_is_in_no_comment(world: World) -> None:
    """Everybody who reads the repository reads the comment; the worker's files are not there."""
    secret = settings.home() / "webhook-secret"
    settings.home().mkdir(parents=True, exist_ok=True)
    secret.write_text("canary-of-the-worker")
    said = 'condition = var.environment == ""\n    error_message = "canary-of-a-branch"'
    spoken = f'output "spoken" {{\n  value = 1\n  precondition {{\n    {said}\n  }}\n}}\n'
    # A path that is known at the plan only: else nothing but it is looked at.
    path = f"{secret}${{substr(var.environment, 0, 0)}}"
    stolen = f'output "stolen" {{ value = file("{path}") }}\n'
    folder = "terraform/stacks/stream1"
    one = world.open({f"{folder}/spoken.tf": spoken, f"{folder}/stolen.tf": stolen})

    state = run(one.number)

    assert state.name == "Plan failed"
    comment = world.comment(one)
    assert "precondition failed" in comment
    assert "Invalid function argument" in comment
    assert "canary" not in comment
    assert "canary" not in str(world.repository.statuses)
