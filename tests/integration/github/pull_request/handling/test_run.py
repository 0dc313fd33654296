"""A pull request with the GitHub of the tests, from its facts to its report."""

from typing import Any

import pytest

from tests.integration.flows.pull_requests import MORE, NAME, POLICY, STACK, World
from xops.core.errors import InputError, PermanentError, TemporaryError
from xops.core.evidence.log import RecordKind
from xops.github.inbox.connection import open_tables
from xops.github.policy import GitHubPolicy
from xops.github.pull_request.handling.hub import open_hub


def test_a_pull_request_is_planned_shown_and_reported_and_waits(world: World) -> None:
    one = world.open(MORE)

    ending = world.run(one)

    assert ending.name == "Waiting for a review"
    assert world.checks(one) == {"xops/plan": "success", "xops/apply": "pending"}
    assert "three" in world.comment(one)
    assert set(world.shown(one)) == {"ecs/local", "ecs/test"}
    assert world.held() == {"ecs/local": one.number, "ecs/test": one.number}
    assert world.deployed.planned == [("local", True), ("test", True)]
    assert world.deployed.applied == []


def test_a_second_delivery_of_the_same_changes_nothing(world: World) -> None:
    one = world.open(MORE)
    world.run(one)
    world.approve(one)
    world.run(one)

    ending = world.run(one)

    assert ending.name == "Unchanged"
    assert world.deployed.applied == ["local", "test"]
    assert world.checks(one) == {"xops/plan": "success", "xops/apply": "success"}


def test_a_fork_gets_no_plan(world: World) -> None:
    fork = world.github.act.fork(NAME, "mallory")
    fork.write("topic", MORE)
    one = world.github.act.open(NAME, "topic", by="mallory", fork=fork)

    world.run(one)

    assert world.deployed.planned == []
    assert world.checks(one)["xops/plan"] == "failure"
    assert world.held() == {}


def test_a_draft_waits_and_takes_no_lock(world: World) -> None:
    one = world.open(MORE, draft=True)

    world.run(one)

    assert world.deployed.planned == []
    assert world.checks(one) == {"xops/plan": "pending", "xops/apply": "pending"}
    assert world.held() == {}


def test_of_two_pull_requests_the_second_is_told_who_holds_the_environment(world: World) -> None:
    first, second = world.open(MORE), world.open({STACK: "one\ntwo\nfour"}, "other")
    world.run(first)

    assert world.run(second).name == "Locked"
    assert f"#{first.number}" in world.comment(second)
    assert world.checks(second)["xops/plan"] == "pending"

    world.github.act.close(NAME, first.number)  # and its delivery is lost
    assert world.run(second).name == "Waiting for a review"
    assert set(world.held().values()) == {second.number}


def test_closing_releases_the_locks(world: World) -> None:
    one = world.open(MORE)
    world.run(one)
    world.github.act.close(NAME, one.number)

    world.run(one)

    assert world.held() == {}
    assert world.shown(one) == {}


def test_what_touches_nothing_is_green(world: World) -> None:
    one = world.open({"README.md": "new"})

    world.run(one)

    assert world.checks(one) == {"xops/plan": "success", "xops/apply": "success"}
    assert world.comment(one) == ""
    assert world.held() == {}


def test_what_changes_nothing_is_green(world: World) -> None:
    one = world.open({"terraform/README.md": "new"})

    assert world.run(one).name == "Unchanged"
    assert world.checks(one) == {"xops/plan": "success", "xops/apply": "success"}
    assert world.held() == {}


def test_a_base_that_has_moved_is_planned_again_and_another_plan_reviewed_again(
    world: World,
) -> None:
    one = world.open(world.retention("test", 30))
    world.base({STACK: "one\ntwo\nSIZE"})
    world.run(one)
    world.approve(one)
    world.base({STACK: "one\ntwo\nSIZE\nbase"})

    assert world.run(one).name == "Waiting for a review"
    assert world.deployed.applied == []
    assert "base" in world.comment(one)

    world.approve(one)
    assert world.run(one).name == "Applied"
    assert world.deployed.read("test") == ["one", "two", "30", "base"]


def test_a_base_that_moves_while_it_is_planned_is_planned_again(world: World) -> None:
    one = world.open(world.retention("test", 30))
    world.base({STACK: "one\ntwo\nSIZE"})
    seen: list[Any] = []

    def move(_request: Any) -> None:
        if world.deployed.planned and not seen:
            seen.append(True)
            world.base({STACK: "one\nSIZE\nmoved"})

    world.github.on_request = move

    assert world.run(one).name == "Waiting for a review"
    assert "moved" in world.comment(one)
    assert len(world.deployed.planned) == 2


def test_a_push_just_before_the_apply_stops_it(world: World) -> None:
    one = world.open(MORE)
    world.run(one)
    world.approve(one)
    done: list[str] = []

    def push(_request: Any) -> None:
        applies = [name for name, isolated in world.deployed.planned if not isolated]
        if applies and not done:
            done.append(world.github.act.push(NAME, "topic", {STACK: "evil"}))

    world.github.on_request = push

    assert world.run(one).name == "Superseded"
    assert world.deployed.applied == []
    assert world.deployed.read("test") == ["one", "two"]


def test_a_plan_that_fails_is_told_and_fails_the_run(world: World) -> None:
    one = world.open(MORE)
    world.deployed.plan_fails = PermanentError("planning", "no such thing as three", "Mend it.")

    ending = world.run(one)

    assert (ending.name, ending.failed) == ("Plan failed", True)
    assert world.checks(one) == {"xops/plan": "failure", "xops/apply": "pending"}
    assert "no such thing as three" in world.comment(one)

    world.deployed.plan_fails = None
    assert world.run(one).name == "Waiting for a review"


def test_an_apply_that_fails_is_told_and_goes_on_with_what_is_left(world: World) -> None:
    one = world.open({STACK: "one\ntwo\nthree\nfour"})
    world.run(one)
    world.approve(one)

    def fail() -> None:
        world.deployed.half_way = lambda: None
        raise PermanentError("applying", "no room for four", "Make room.")

    world.deployed.half_way = fail

    ending = world.run(one)

    assert (ending.name, ending.failed) == ("Apply failed", True)
    assert world.checks(one)["xops/apply"] == "failure"
    assert "no room for four" in world.comment(one)
    assert world.deployed.read("local") == ["one", "two", "three"]

    assert world.run(one).name == "Applied"
    assert world.deployed.read("local") == ["one", "two", "three", "four"]
    approvals = world.records("local", RecordKind.APPROVAL)
    assert len(approvals) == 1


def test_after_the_merge_is_applied_what_was_approved_before_it(world: World) -> None:
    world.repository.write("main", {"deployments/github.yaml": POLICY + "  apply: after_merge\n"})
    one = world.open(MORE)
    world.run(one)
    world.approve(one)
    assert world.run(one).name == "Approved"
    assert world.checks(one) == {"xops/plan": "success", "xops/apply": "success"}
    assert world.deployed.applied == []
    world.github.act.merge(NAME, one.number)

    assert world.run(one).name == "Applied"
    assert world.deployed.applied == ["local", "test"]
    assert world.held() == {}


def test_a_group_of_a_merge_queue_passes(world: World) -> None:
    one = world.open(MORE)
    commit = world.github.act.queue(NAME, one.number)
    values = {"event": "merge_group", "head_sha": commit, "base_ref": "main", "number": None}
    delivery = world.deliver(one, **values)

    world.run_group(commit, delivery)

    states = {row["context"]: row["state"] for row in world.statuses(commit)}
    assert states == {"xops/plan": "success", "xops/apply": "success"}


@pytest.mark.parametrize("known", ["nothing", "a review of it", "another group"])
def test_a_commit_that_somebody_calls_a_merge_group_gets_no_green_checks(
    world: World, known: str
) -> None:
    """Whoever may start a run could let his own pull request pass by that."""
    one = world.open(MORE)
    world.run(one)
    delivery = "never-sent"
    if known == "a review of it":
        delivery = world.deliver(one, head_sha=one.head_sha, base_ref="main")
    if known == "another group":
        group = {"event": "merge_group", "head_sha": "f" * 40, "base_ref": "main"}
        delivery = world.deliver(one, number=None, **group)

    with pytest.raises(InputError, match="no delivery of GitHub about it"):
        world.run_group(one.head_sha, delivery)

    assert world.checks(one) == {"xops/plan": "success", "xops/apply": "pending"}


def test_a_repository_that_is_not_allowed_is_refused(world: World) -> None:
    with (
        pytest.raises(InputError, match="evil/platform is not among"),
        open_hub(GitHubPolicy.load(), "evil/platform", open_tables()),
    ):
        pass


def test_a_base_that_never_rests_leaves_no_check_that_waits(world: World) -> None:
    one = world.open(MORE)
    seen: list[int] = [0]

    def move(_request: Any) -> None:
        if len(world.deployed.planned) > seen[-1]:
            seen.append(len(world.deployed.planned))
            world.base({"README.md": f"moved {seen}"})

    world.github.on_request = move

    with pytest.raises(TemporaryError, match="it changed 3 times"):
        world.run(one)

    assert world.checks(one) == {"xops/plan": "failure", "xops/apply": "failure"}


def test_a_policy_that_is_broken_meanwhile_leaves_no_check_that_waits(world: World) -> None:
    one = world.open(MORE)
    done: list[bool] = []

    def spoil(_request: Any) -> None:
        if world.deployed.planned and not done:
            done.append(True)
            world.base({"deployments/github.yaml": "apiVersion: another"})

    world.github.on_request = spoil

    with pytest.raises(InputError, match="apiVersion"):
        world.run(one)

    assert world.checks(one) == {"xops/plan": "failure", "xops/apply": "failure"}
