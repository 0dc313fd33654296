"""Pull requests on a real Prefect server and the GitHub of the tests: who releases what."""

import itertools
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from tests.github_data import OpenPullRequest
from tests.github_server import TOKEN, GitHubServer
from tests.integration.flows.pull_requests import (
    NAME,
    POLICY,
    STACK,
    Deployed,
    World,
)
from tests.prefect_servers import home
from tests.secret_sources import write_sources
from xops.core.errors import PermanentError
from xops.core.evidence.log import RecordKind
from xops.local.stack import Stack

pytestmark = pytest.mark.xdist_group("prefect")


@pytest.fixture
def world(prefect_stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    policy = tmp_path / "github.yaml"
    with (
        GitHubServer() as github,
        home(
            tmp_path / "home",
            XOPS_GITHUB_FILE=str(policy),
            XOPS_GITHUB_TOKEN=TOKEN,
            XOPS_SECRETS=write_sources(tmp_path, github.url),
        ),
        temporary_settings(
            {PREFECT_API_URL: prefect_stack.api, PREFECT_API_AUTH_STRING: prefect_stack.secret}
        ),
    ):
        policy.write_text(f"apiVersion: xops/v1\napi_url: {github.url}\nrepositories: [{NAME}]\n")
        yield World(github, Deployed(tmp_path / "deployed"))


MORE = {STACK: "one\ntwo\nthree"}


def test_a_pull_request_is_planned_shown_and_reported_and_waits(world: World) -> None:
    one = world.open(MORE)

    state = world.run(one)

    assert (state.name, state.type.value) == ("Waiting for a review", "COMPLETED")
    assert world.checks(one) == {"xops/plan": "success", "xops/apply": "pending"}
    assert "three" in world.comment(one)
    assert set(world.shown(one)) == {"ecs/local", "ecs/test"}
    assert world.held() == {"ecs/local": one.number, "ecs/test": one.number}
    assert world.deployed.planned == [("local", True), ("test", True)]
    assert world.deployed.applied == []


def test_an_approving_review_of_the_plan_that_was_shown_applies_it(world: World) -> None:
    one = world.open(MORE)
    world.run(one)
    review = world.approve(one)

    state = world.run(one)

    assert state.name == "Applied"
    assert world.deployed.applied == ["local", "test"]
    assert world.checks(one) == {"xops/plan": "success", "xops/apply": "success"}
    (record,) = world.records("test", RecordKind.APPLY)
    approval = record.body["approval"]
    assert (approval["by"], approval["identity"]) == ("bob", "verified login")
    assert f"review {review.id} of commit {one.head_sha}" in approval["how"]
    assert record.body["policy"]["commit"] == world.repository.heads["main"]
    rows = world.repository.deployments
    assert {row["environment"] for row in rows} == {"local", "test"}
    assert world.held() == {"ecs/local": one.number, "ecs/test": one.number}


def test_a_second_delivery_of_the_same_changes_nothing(world: World) -> None:
    one = world.open(MORE)
    world.run(one)
    world.approve(one)
    world.run(one)

    state = world.run(one)

    assert state.name == "Unchanged"
    assert world.deployed.applied == ["local", "test"]
    assert world.checks(one) == {"xops/plan": "success", "xops/apply": "success"}


def test_a_review_before_the_plan_was_shown_releases_nothing(world: World) -> None:
    one = world.open(MORE)
    world.approve(one)

    assert world.run(one).name == "Waiting for a review"
    assert world.deployed.applied == []


@pytest.mark.parametrize("by", ["alice", "dave", "ops-robot", "renovate[bot]"])
def test_nobody_else_releases_anything(world: World, by: str) -> None:
    one = world.open(MORE)
    world.run(one)
    world.approve(one, by)

    assert world.run(one).name == "Waiting for a review"
    assert world.deployed.applied == []
    assert world.checks(one)["xops/apply"] == "pending"


def test_a_push_after_the_approval_supersedes_it(world: World) -> None:
    one = world.open(MORE)
    world.run(one)
    world.approve(one)
    world.github.act.push(NAME, "topic", {STACK: "one\ntwo\nfour"})

    assert world.run(one).name == "Waiting for a review"
    assert world.deployed.applied == []
    assert "four" in world.comment(one)


def test_an_approval_of_an_old_commit_releases_nothing(world: World) -> None:
    one = world.open(MORE)
    old = one.head_sha
    world.github.act.push(NAME, "topic", {STACK: "one\ntwo\nfour"})
    world.run(one)
    world.approve(one, commit=old)

    assert world.run(one).name == "Waiting for a review"
    assert world.deployed.applied == []


def test_a_dismissed_review_releases_nothing(world: World) -> None:
    one = world.open(MORE)
    world.run(one)
    review = world.approve(one)
    world.github.act.dismiss(NAME, one.number, review.id, by="alice")

    assert world.run(one).name == "Waiting for a review"
    assert world.deployed.applied == []


def test_changes_that_an_approver_asks_for_withhold_it(world: World) -> None:
    one = world.open(MORE)
    world.run(one)
    world.approve(one)
    world.github.act.review(NAME, one.number, "CHANGES_REQUESTED", by="carol")

    assert world.run(one).name == "Waiting for a review"
    assert world.deployed.applied == []


def test_a_command_that_somebody_types_into_the_form_approves_nothing(world: World) -> None:
    one = world.open(MORE)
    world.run(one)

    state = world.run(one, command="xops apply", sender="bob", delivery="made-up")

    assert state.name == "Waiting for a review"
    assert world.deployed.applied == []


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


def test_policy_that_a_pull_request_changes_does_not_judge_it(world: World) -> None:
    own = POLICY.replace("carol", "dave")
    loose = world.file("test", **{"required_for: [create, update, destroy]": "approvals: 1"})
    one = world.open({**MORE, **loose, "deployments/github.yaml": own})
    world.run(one)
    world.approve(one, "dave")

    assert world.run(one).name == "Waiting for a review"
    assert world.deployed.applied == []
    assert "approval" in world.comment(one)
    assert "holds once this is merged" in world.comment(one)


def test_two_people_must_approve_where_the_base_says_so(world: World) -> None:
    path = "deployments/environments/test.yaml"
    text = world.file("test", **{"approval: {": "approval: {approvals: 2, not_the_author: true, "})
    world.repository.write("main", text)
    one = world.open(world.retention("test", 30) | {path: text[path].replace("14", "30")})
    world.base({STACK: "one\ntwo\nSIZE"})
    world.run(one)
    world.approve(one, "bob")
    assert world.run(one).name == "Waiting for a review"
    world.approve(one, "carol")

    assert world.run(one).name == "Applied"
    (record,) = world.records("test", RecordKind.APPLY)
    assert record.body["approval"]["by"] == "bob, carol"


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


def test_a_review_that_is_dismissed_just_before_the_apply_stops_it(world: World) -> None:
    one = world.open(MORE)
    world.run(one)
    review = world.approve(one)
    done: list[Any] = []

    def dismiss(_request: Any) -> None:
        applies = [name for name, isolated in world.deployed.planned if not isolated]
        if applies and not done:
            done.append(world.github.act.dismiss(NAME, one.number, review.id, by="alice"))

    world.github.on_request = dismiss

    assert world.run(one).name == "Waiting for a review"
    assert world.deployed.applied == []


def test_a_plan_that_fails_is_told_and_fails_the_run(world: World) -> None:
    one = world.open(MORE)
    world.deployed.plan_fails = PermanentError("planning", "no such thing as three", "Mend it.")

    state = world.run(one)

    assert (state.name, state.type.value) == ("Plan failed", "FAILED")
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

    state = world.run(one)

    assert (state.name, state.type.value) == ("Apply failed", "FAILED")
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


def test_the_evidence_names_the_delivery_that_brought_the_review(world: World) -> None:
    one = world.open(world.retention("test", 30) | MORE)
    world.run(one)
    world.approve(one)
    delivery = world.deliver(one)

    assert world.run(one, delivery=delivery).name == "Applied"

    (record,) = world.records("test", RecordKind.APPLY)
    assert record.body["approval"]["delivery"] == delivery
    assert record.body["run"]["delivery"] == delivery
    (approval,) = world.records("test", RecordKind.APPROVAL)
    assert approval.body["decisions"][0]["delivery"] == delivery


@pytest.mark.parametrize("other", [{"number": 99}, {"repository": "acme/other"}])
def test_a_delivery_of_something_else_is_not_named(world: World, other: dict[str, Any]) -> None:
    one = world.open(MORE)
    world.run(one)
    world.approve(one)

    assert world.run(one, delivery=world.deliver(one, **other)).name == "Applied"

    (record,) = world.records("test", RecordKind.APPLY)
    assert record.body["approval"]["delivery"] == ""
    assert "delivery" not in record.body["run"]


class Killed(BaseException):
    """What a cancelled run is ended with."""


@contextmanager
def killed_at(world: World, request: int) -> Iterator[list[bool]]:
    """The run in the block is interrupted when it writes to GitHub for the n-th time."""
    numbers, main, killed = itertools.count(1), threading.get_ident(), [False]

    def count(asked: Any) -> None:
        is_write = asked.method != "GET" and not asked.path.endswith("/graphql")
        if is_write and next(numbers) == request:
            signal.pthread_kill(main, signal.SIGUSR1)

    def die(*_: Any) -> None:
        killed[0] = True
        raise Killed

    before = signal.signal(signal.SIGUSR1, die)
    world.github.on_request = count
    try:
        with suppress(Killed):
            yield killed
    finally:
        world.github.on_request = lambda _request: None
        signal.signal(signal.SIGUSR1, before)


def run_with_interruptions(world: World, one: OpenPullRequest) -> int:
    """Runs that are ended at each write in turn, until one comes to its end; how many were."""
    for request in itertools.count(1):
        with killed_at(world, request) as killed:
            world.run(one)
        if not killed[0]:
            return request - 1
    raise AssertionError


@pytest.mark.timeout(600)
def test_runs_that_are_interrupted_at_every_step_come_to_the_same_end(world: World) -> None:
    world.base({STACK: "one\ntwo\nSIZE"})
    world.deployed.write("test", ["one", "two", "14"])
    one = world.open(world.retention("test", 30))
    assert run_with_interruptions(world, one) > 3
    assert world.checks(one) == {"xops/plan": "success", "xops/apply": "pending"}
    world.approve(one)

    assert run_with_interruptions(world, one) > 3

    assert world.run(one).name == "Unchanged"
    assert world.deployed.read("test") == ["one", "two", "30"]
    assert world.deployed.applied == ["test"]
    assert world.checks(one) == {"xops/plan": "success", "xops/apply": "success"}
    assert len(world.records("test", RecordKind.APPLY)) == 1
    assert len(world.records("test", RecordKind.APPROVAL)) == 1
    assert world.held() == {"ecs/test": one.number}
    assert {row["environment"] for row in world.repository.deployments} == {"test"}


@pytest.mark.parametrize("where", ["before_apply", "half_way"])
def test_a_run_that_is_interrupted_in_the_apply_is_finished_by_the_next_one(
    world: World, where: str
) -> None:
    one = world.open({STACK: "one\ntwo\nthree\nfour"})
    world.run(one)
    world.approve(one)

    def die() -> None:
        setattr(world.deployed, where, lambda: None)
        raise Killed

    setattr(world.deployed, where, die)
    with pytest.raises(Killed):
        world.run(one)
    assert world.checks(one)["xops/apply"] == "failure"

    assert world.run(one).name == "Applied"

    assert world.deployed.read("local") == ["one", "two", "three", "four"]
    assert world.checks(one) == {"xops/plan": "success", "xops/apply": "success"}
    assert len(world.records("local", RecordKind.APPROVAL)) == 1


def test_a_group_of_a_merge_queue_passes(world: World) -> None:
    one = world.open(MORE)
    commit = world.github.act.queue(NAME, one.number)

    world.run(one, number=None, merge_group=commit, base="main")

    states = {row["context"]: row["state"] for row in world.statuses(commit)}
    assert states == {"xops/plan": "success", "xops/apply": "success"}


def test_a_repository_that_is_not_allowed_is_refused(world: World) -> None:
    state = world.run(1, repository="evil/platform")

    assert state.type.value == "FAILED"
    assert "evil/platform is not among" in str(state.message)
