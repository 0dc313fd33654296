"""Whose reviews release an apply."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pull_request_values import EARLIER, HEAD, SHOWN, cost, plan, review, shown
from tests.soak import examples
from xops.core.lifecycle.approval_policy import ApprovalPolicy
from xops.github.pull_request.facts import Holder, Review, ReviewState, ShownPlan
from xops.github.pull_request.reviews import (
    Judgement,
    Release,
    Withheld,
    is_machine,
    judge,
    may_apply,
    why_not_shown,
)

APPROVED, CHANGES, COMMENTED = (
    ReviewState.APPROVED,
    ReviewState.CHANGES_REQUESTED,
    ReviewState.COMMENTED,
)
DISMISSED, PENDING = ReviewState.DISMISSED, ReviewState.PENDING
RULES: dict[str, Any] = {
    "head_sha": HEAD,
    "shown_at": SHOWN,
    "authors": {"ann"},
    "approvers": {"bob", "carl"},
    "bots": ("deploy-*",),
}


def judged(*reviews: Review, **changed: Any) -> Judgement:
    return judge(reviews, **{**RULES, **changed})


def logins(reviews: Sequence[Review]) -> list[str]:
    return [each.login for each in reviews]


def test_an_approver_approves_the_commit_after_its_plan_was_shown() -> None:
    found = judged(review("bob"))
    assert (logins(found.approved_by), found.objected_by, found.reasons) == (["bob"], (), ())


@pytest.mark.parametrize(
    ("given", "changed", "why"),
    [
        (review(commit=EARLIER), {}, "that is of commit bbbbbbb, and this plan of commit aaaaaaa"),
        (review(commit=""), {}, "a commit that GitHub does not know any more"),
        (review(commit=HEAD[:39]), {}, "that is of commit"),
        (review(commit=HEAD.upper()), {}, "that is of commit"),
        (review(minutes=-1), {}, "not after 2026-11-29 10:00:00 UTC, when this plan was shown"),
        (review(minutes=0), {}, "that was not after"),
        (review(), {"shown_at": None}, "that was before this plan was shown"),
        (review("dora"), {}, "none of the approvers"),
        (review("Ann"), {"approvers": {"ann"}}, "his or her own work"),
        (review("bob"), {"authors": {"ann", "bob"}}, "his or her own work"),
        (review("bob", is_bot=True), {}, "machines neither approve nor object"),
        (review("bob[bot]"), {"approvers": {"bob[bot]"}}, "machines"),
        (review("deploy-2"), {"approvers": {"deploy-2"}}, "machines"),
        (review("Copilot"), {"approvers": {"copilot"}}, "machines"),
        (review("dora", CHANGES), {}, "dora asks for changes: he or she is none of the approvers"),
    ],
)
def test_what_does_not_count_is_told_with_its_reason(
    given: Review, changed: dict[str, Any], why: str
) -> None:
    found = judged(given, **changed)
    assert (found.approved_by, found.objected_by) == ((), ())
    [reason] = found.reasons
    assert why in reason


def test_logins_are_the_same_in_any_case() -> None:
    assert logins(judged(review("BOB")).approved_by) == ["BOB"]


def test_who_approves_twice_counts_once() -> None:
    both = (review("bob", identity=1), review("Bob", identity=2, minutes=2))
    assert [each.id for each in judged(*both).approved_by] == [2]


def test_a_comment_takes_nothing_back() -> None:
    said = (review("bob"), review("bob", COMMENTED, identity=2, minutes=2))
    assert logins(judged(*said).approved_by) == ["bob"]


def test_a_pending_review_and_one_of_a_deleted_account_are_nobodys() -> None:
    pending = replace(review("bob", PENDING, identity=2), submitted_at=None)
    assert judged(pending, review("", identity=3)) == Judgement()
    assert logins(judged(review("bob"), pending).approved_by) == ["bob"]


@pytest.mark.parametrize("state", [APPROVED, CHANGES])
def test_a_dismissed_review_brings_no_earlier_one_back(state: ReviewState) -> None:
    assert judged(review("bob", state), review("bob", DISMISSED, identity=2)) == Judgement()


def test_a_review_after_a_dismissed_one_counts() -> None:
    later = review("bob", APPROVED, identity=2, minutes=2)
    assert judged(review("bob", DISMISSED), later).approved_by == (later,)


def test_of_two_reviews_of_one_second_the_later_is_the_one_with_the_higher_number() -> None:
    first, second = review("bob", APPROVED, identity=1), review("bob", CHANGES, identity=2)
    for given_in in ((first, second), (second, first), (second, first, second)):
        assert logins(judged(*given_in).objected_by) == ["bob"]


@pytest.mark.parametrize(
    "old", [review("bob", CHANGES, commit=EARLIER), review("bob", CHANGES, minutes=-60)]
)
def test_an_objection_holds_across_pushes_and_plans(old: Review) -> None:
    assert logins(judged(old, review("carl", identity=2)).objected_by) == ["bob"]


def test_an_objection_ends_with_an_approval_of_an_earlier_commit_which_does_not_count() -> None:
    found = judged(review("bob", CHANGES), review("bob", identity=2, minutes=2, commit=EARLIER))
    assert (found.approved_by, found.objected_by) == ((), ())


def test_who_left_the_team_neither_approves_nor_objects() -> None:
    said = (review("bob"), review("carl", CHANGES, identity=2))
    found = judged(*said, approvers={"erin"})
    assert (found.approved_by, found.objected_by, len(found.reasons)) == ((), (), 2)


@pytest.mark.parametrize(
    ("login", "bots", "is_one"),
    [
        ("renovate[bot]", (), True),
        ("RENOVATE", (), True),
        ("acme-ci", ("acme-*",), True),
        ("Acme-CI", ("ACME-*",), True),
        ("robot-x", ("robo?-x",), True),
        ("abot", (), False),
        ("b", ("[ab]",), False),
        ("[ab]", ("[ab]",), True),
    ],
)
def test_machines_are_known_by_ending_name_and_pattern(
    login: str, bots: tuple[str, ...], is_one: bool
) -> None:
    assert is_machine(login, bots) is is_one


# Against an oracle that goes through the story of each person

STORIES = st.lists(
    st.builds(
        Review,
        id=st.integers(1, 8),
        login=st.sampled_from(["bob", "Bob", "carl", "ann", "dora", "x[bot]", ""]),
        is_bot=st.just(False),
        state=st.sampled_from(ReviewState),
        commit=st.sampled_from([HEAD, EARLIER, ""]),
        submitted_at=st.none()
        | st.integers(-2, 4).map(lambda minute: SHOWN + timedelta(minutes=minute)),
    ),
    max_size=8,
    unique_by=lambda each: each.id,
)


def told_by_hand(reviews: Sequence[Review], shown_at: object) -> tuple[set[str], set[str]]:
    """Who approves and who objects, person by person."""
    approving, objecting = set(), set()
    for person in ("bob", "carl"):
        word, said_at = None, SHOWN - timedelta(days=1)
        for each in sorted(reviews, key=lambda each: each.id):
            if each.login.lower() != person or each.state in (COMMENTED, PENDING):
                continue
            if each.submitted_at and each.submitted_at >= said_at:
                word, said_at = each, each.submitted_at
        if word and word.state is CHANGES:
            objecting.add(person)
        elif word and word.state is APPROVED and word.commit == HEAD and shown_at:
            approving |= {person} if said_at > SHOWN else set()
    return approving, objecting


@examples(150)
@given(STORIES, st.sampled_from([SHOWN, None]), st.randoms(use_true_random=False))
def test_every_story_of_reviews_comes_to_what_its_persons_said_last(
    story: list[Review], shown_at: Any, random: Any
) -> None:
    given_in = list(story)
    random.shuffle(given_in)
    found = judged(*given_in, shown_at=shown_at)
    approving, objecting = told_by_hand(story, shown_at)
    assert {login.lower() for login in logins(found.approved_by)} == approving
    assert {login.lower() for login in logins(found.objected_by)} == objecting
    assert len(found.approved_by) == len(approving)


@examples(100)
@given(STORIES, st.sampled_from([HEAD, EARLIER]))
def test_a_push_takes_every_approval_back(story: list[Review], pushed: str) -> None:
    found = judged(*story, head_sha="e" * 40)
    assert found.approved_by == ()
    assert judged(*story, head_sha=pushed, shown_at=None).approved_by == ()


# What an apply needs

PLAN = plan()
NOW = SHOWN + timedelta(hours=1)
HOLDER = Holder("ecs/test", "acme/platform", 7, EARLIER, SHOWN)


def asked(judgement: Judgement, **changed: Any) -> Release | Withheld:
    values: dict[str, Any] = {
        "head_sha": HEAD,
        "shown": shown(PLAN),
        "holder": None,
        "rules": ApprovalPolicy(),
        "now": NOW,
    }
    return may_apply(judgement, changed.pop("plan", PLAN), **{**values, **changed})


APPROVES = Judgement(approved_by=(review("bob"),))


def test_one_approval_releases_exactly_the_plan_that_was_shown() -> None:
    assert asked(APPROVES) == Release((review("bob"),))


@pytest.mark.parametrize(
    ("judgement", "changed", "why"),
    [
        (Judgement(), {}, "0 of 1 approvers have approved"),
        (APPROVES, {"holder": HOLDER}, "pull request #7 holds the lock of ecs/test"),
        (APPROVES, {"shown": None}, "was not shown before"),
        (APPROVES, {"shown": shown(PLAN, digest="")}, "was not shown before"),
        (APPROVES, {"shown": shown(PLAN, head_sha=EARLIER)}, "is of commit bbbbbbb"),
        (APPROVES, {"plan": plan("test", "another")}, "since the base branch or the environment"),
        (APPROVES, {"now": SHOWN + timedelta(hours=25)}, "1 given more than 24 h ago"),
        (
            Judgement((review("bob"),), (review("carl", CHANGES),)),
            {},
            "carl asks for changes",
        ),
    ],
)
def test_whatever_is_missing_withholds_it(
    judgement: Judgement, changed: dict[str, Any], why: str
) -> None:
    found = asked(judgement, **changed)
    assert isinstance(found, Withheld)
    assert why in found.reason


def test_a_file_that_exempts_everything_still_needs_one_approver() -> None:
    assert isinstance(asked(Judgement(), rules=ApprovalPolicy(required_for=("destroy",))), Withheld)


def test_as_many_people_are_needed_as_the_file_says() -> None:
    rules = ApprovalPolicy.model_construct(approvals=2, valid_hours=24)
    two = Judgement((review("bob"), review("carl", identity=2)))
    assert isinstance(asked(APPROVES, rules=rules), Withheld)
    assert asked(two, rules=rules) == Release(two.approved_by)


@pytest.mark.parametrize(
    ("before", "now", "why"),
    [
        (cost("40", "44"), cost("40", "46"), "which was not so when it was approved"),
        (cost("40", "46"), cost("40", "47"), "approved was"),
        (None, cost("40", "46"), "which was not so when it was approved"),
        (cost("40", "44"), cost("40", "45"), ""),
        (cost("40", "46"), cost("40", "46"), ""),
        (cost("40", "46"), cost("40", "44"), ""),
    ],
)
def test_a_price_that_takes_a_shown_plan_over_the_budget_asks_again(
    before: Any, now: Any, why: str
) -> None:
    dear = PLAN.model_copy(update={"cost": now})
    found = why_not_shown(shown(PLAN, cost=before), dear, HEAD)
    assert why in found
    assert bool(found) == bool(why)


@examples(200)
@given(
    st.lists(st.sampled_from(["bob", "carl"]), unique=True),
    st.booleans(),
    st.sampled_from([None, HOLDER]),
    st.sampled_from(
        [None, shown(PLAN), shown(PLAN, head_sha=EARLIER), shown(PLAN, digest="0" * 64)]
    ),
)
def test_nothing_is_released_unless_all_of_it_is_right(
    approving: list[str], objects: bool, holder: Holder | None, noted: ShownPlan | None
) -> None:
    judgement = Judgement(
        tuple(review(login, identity=index) for index, login in enumerate(approving)),
        (review("erin", CHANGES),) if objects else (),
    )
    found = asked(judgement, holder=holder, shown=noted)
    is_right = bool(approving) and not objects and holder is None and noted == shown(PLAN)
    assert isinstance(found, Release) is is_right
