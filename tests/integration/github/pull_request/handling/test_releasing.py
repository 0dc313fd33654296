"""Who releases what: reviews of exactly what was shown, by those who may."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.integration.flows.pull_requests import MORE, NAME, POLICY, STACK, World
from xops.core.evidence.log import RecordKind


def test_an_approving_review_of_the_plan_that_was_shown_applies_it(world: World) -> None:
    one = world.open(MORE)
    world.run(one)
    review = world.approve(one)

    ending = world.run(one)

    assert ending.name == "Applied"
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

    ending = world.run(one, command="xops apply", sender="bob", delivery="made-up")

    assert ending.name == "Waiting for a review"
    assert world.deployed.applied == []


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


@pytest.mark.parametrize("policy", [POLICY.replace(", logins: [carol]", ""), None])
def test_who_may_not_approve_any_more_does_not_approve_of_what_was_merged_before(
    world: World, policy: str | None
) -> None:
    after = {"deployments/github.yaml": POLICY + "  apply: after_merge\n"}
    world.repository.write("main", after)
    one = world.open(MORE)
    world.run(one)
    world.github.act.merge(NAME, one.number)
    world.run(one)
    world.base({"deployments/github.yaml": policy})
    world.approve(one, "carol")

    assert world.run(one).name == "Waiting for a review"
    assert world.deployed.applied == []


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


@pytest.mark.parametrize("what", ["edited", "edited and put back", "deleted"])
def test_an_approval_of_a_comment_that_somebody_else_has_edited_releases_nothing(
    world: World, what: str
) -> None:
    """Whoever may push may edit any comment, and show the reviewer another plan."""
    one = world.open(MORE)
    world.run(one)
    (row,) = world.repository.comments[one.number]
    text = str(row["body"])
    if what == "deleted":
        world.github.act.delete_comment(NAME, row["id"], by="alice")
    else:
        world.github.act.edit_comment(NAME, row["id"], text.replace("three", "x"), by="alice")
    if what == "edited and put back":
        world.github.act.edit_comment(NAME, row["id"], text, by="alice")
    world.approve(one)

    ending = world.run(one)

    assert ending.name == "Waiting for a review"
    assert world.deployed.applied == []
    assert "three" in world.comment(one)
    assert "somebody else has edited or deleted the comment" in world.comment(one)

    world.approve(one)
    assert world.run(one).name == "Applied"


def test_a_comment_that_is_edited_while_it_is_planned_releases_nothing(world: World) -> None:
    one = world.open(MORE)
    world.run(one)
    world.approve(one)
    (row,) = world.repository.comments[one.number]
    plan = world.deployed.open

    @contextmanager
    def edited(*given: Any) -> Iterator[Any]:
        if given[-1] is None and not world.deployed.applied:  # the apply begins
            world.github.act.edit_comment(NAME, row["id"], "nothing changes", by="alice")
        with plan(*given) as steps:
            yield steps

    setattr(world.deployed, "open", edited)  # noqa: B010 - a method, to mypy
    ending = world.run(one)

    assert ending.name != "Applied"
    assert world.deployed.applied == []


def test_somebody_who_has_just_left_the_team_releases_nothing(world: World) -> None:
    """Members are known for ten minutes; before an apply they are asked for anew."""
    one = world.open(MORE)
    world.run(one)
    world.github.act.leave_team("acme", "platform", "bob")
    world.approve(one, "bob")

    ending = world.run(one)

    assert ending.name == "Waiting for a review"
    assert world.deployed.applied == []
