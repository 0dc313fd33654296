"""Pull requests on a real Prefect server: what the flow adds to their handling.

Who releases what is tried in `tests/integration/github/pull_request/handling`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows.branch_environments import EcsEnvironments
from flows.handle_pull_request import PullRequestRequest, handle
from tests.github_data import OpenPullRequest
from tests.integration.flows.pull_requests import MORE, NAME, STACK, World, opened_world
from xops.core.errors import PermanentError
from xops.core.evidence.log import RecordKind
from xops.local.stack import Stack

pytestmark = pytest.mark.xdist_group("prefect")


@pytest.fixture
def world(prefect_stack: Stack, tmp_path: Path) -> Iterator[World]:
    server = {PREFECT_API_URL: prefect_stack.api, PREFECT_API_AUTH_STRING: prefect_stack.secret}
    with opened_world(tmp_path) as found, temporary_settings(server):
        yield found


def run(world: World, one: OpenPullRequest | None, **values: Any) -> State[Any]:
    """A run as a delivery starts it, to its end."""
    named = {"repository": NAME, "number": one.number if one else None, **values}
    request = PullRequestRequest.model_validate(named)

    @flow(name="handle-pull-request-in-a-test", flow_run_name=request.name)
    def handled() -> State[Any]:
        return handle(request, EcsEnvironments(world.deployed.open))

    state: State[Any] = handled(return_state=True)
    return state


def test_a_run_plans_and_the_next_one_applies_what_a_review_has_released(world: World) -> None:
    one = world.open(world.retention("test", 30) | MORE)

    state = run(world, one)

    assert (state.name, state.type.value) == ("Waiting for a review", "COMPLETED")
    assert world.checks(one) == {"xops/plan": "success", "xops/apply": "pending"}
    assert all("/flow-run/" in row["target_url"] for row in world.statuses(one.head_sha))

    world.approve(one)
    delivery = world.deliver(one)
    state = run(world, one, delivery=delivery)

    assert (state.name, state.type.value) == ("Applied", "COMPLETED")
    assert state.result()["environments"]["test"]["state"] == "applied"
    assert world.deployed.applied == ["local", "test"]
    (record,) = world.records("test", RecordKind.APPLY)
    assert record.body["approval"]["delivery"] == delivery
    assert (record.body["run"]["by"], record.body["run"]["delivery"]) == ("prefect", delivery)


def test_a_plan_that_fails_fails_the_run(world: World) -> None:
    one = world.open(MORE)
    world.deployed.plan_fails = PermanentError("planning", "no such thing as three", "Mend it.")

    state = run(world, one)

    assert (state.name, state.type.value) == ("Plan failed", "FAILED")
    assert "no such thing as three" in world.comment(one)


class Killed(BaseException):
    """What a cancelled run is ended with."""


def test_a_run_that_is_interrupted_in_the_apply_is_finished_by_the_next_one(world: World) -> None:
    one = world.open({STACK: "one\ntwo\nthree\nfour"})
    run(world, one)
    world.approve(one)

    def die() -> None:
        world.deployed.half_way = lambda: None
        raise Killed

    world.deployed.half_way = die
    with pytest.raises(Killed):
        run(world, one)

    assert run(world, one).name == "Applied"
    assert world.deployed.read("local") == ["one", "two", "three", "four"]
    assert len(world.records("local", RecordKind.APPROVAL)) == 1


def test_a_group_of_a_merge_queue_passes(world: World) -> None:
    one = world.open(MORE)
    commit = world.github.act.queue(NAME, one.number)
    values = {"event": "merge_group", "head_sha": commit, "base_ref": "main", "number": None}

    run(world, None, merge_group=commit, base="main", delivery=world.deliver(one, **values))

    states = {row["context"]: row["state"] for row in world.statuses(commit)}
    assert states == {"xops/plan": "success", "xops/apply": "success"}


def test_a_repository_that_is_not_allowed_is_refused(world: World) -> None:
    state = run(world, None, number=1, repository="evil/platform")

    assert state.type.value == "FAILED"
    assert "evil/platform is not among" in str(state.message)
