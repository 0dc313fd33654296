"""The approval matrix: who, once, expired, other plan, remainder, half-made, asked again."""

import os
import pwd
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.stores import MemoryStore, denied
from xops.core.errors import ApprovalRequired, NotRecordedError
from xops.core.evidence.log import EvidenceLog, Record, RecordKind
from xops.core.evidence.waiting import WaitingFolder
from xops.core.files.provenance import Provenance
from xops.core.lifecycle.approval_policy import VERIFIED_WAYS, ApprovalPolicy
from xops.core.lifecycle.gate import (
    CLOCK_TOLERANCE,
    Approval,
    Decision,
    Gate,
    IdentityKind,
    PolicyInForce,
    Question,
    account,
)
from xops.core.money import Money
from xops.core.plan.cost import CostEffect, CostRange
from xops.core.plan.model import Action, Change, Plan
from xops.core.plan.values import Json, unknown

NOON = datetime(2026, 3, 11, 12, tzinfo=UTC)
FILE = Provenance("deployments/environments/prod.yaml", "f" * 64, "c" * 40, False)
ANNA = Decision("Anna", "form", IdentityKind.SELF_DECLARED)
RUN = {"by": "command", "pid": 1}

ONE = Change(action=Action.CREATE, target="one", after={"size": 1})
TWO = Change(action=Action.CREATE, target="two", after={"one": unknown(["one.id"])})
THREE = Change(action=Action.UPDATE, target="three", before={"size": 1}, after={"size": 2})


def plan(*changes: Change, **values: Any) -> Plan:
    return Plan(subject="ecs/prod", target="aws", changes=changes, **values)


WHOLE = plan(ONE, TWO, THREE)


def nothing_explains(references: tuple[str, ...], value: Json) -> bool:
    return False


@dataclass
class World:
    """A log, a clock, and people who answer what they are told to."""

    store: MemoryStore = field(default_factory=MemoryStore)
    now: datetime = NOON
    rules: ApprovalPolicy = ApprovalPolicy()  # noqa: RUF009 - frozen
    answers: list[Sequence[Decision]] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)
    waiting: Path | None = None

    def log(self) -> EvidenceLog:
        places = (WaitingFolder(self.waiting, "ecs/prod"),) if self.waiting else ()
        return EvidenceLog(self.store, "ecs/prod", places, lambda: self.now)

    def approve(self, question: Question) -> Sequence[Decision]:
        self.asked.append(question)
        if not self.answers:
            raise ApprovalRequired("applying", "nobody has approved it", "Approve it.")
        return self.answers.pop(0)

    def gate(self, run: dict[str, Any] = RUN, **values: Any) -> Gate:
        return Gate(self.log(), PolicyInForce(self.rules, FILE), self.approve, run, **values)

    def passes(self, now: Plan, **values: Any) -> Approval:
        explains = values.pop("explains", nothing_explains)
        return self.gate(**values).pass_plan(now, explains)

    def use(self, now: Plan, approval: Approval) -> None:
        """As an apply does: what it is about to do is on record."""
        facts = {"plan": now.model_dump(mode="json"), "approval": approval.model_dump(mode="json")}
        self.log().append(RecordKind.INTENT, now.digest, facts, opens=True)

    def records(self, *kinds: RecordKind) -> list[Record]:
        return list(reversed(list(self.log().newest_first(*kinds))))


@pytest.fixture
def world() -> World:
    return World()


def test_an_approval_says_who_how_verified_for_what_by_which_commit_and_until_when(
    world: World,
) -> None:
    world.answers = [[ANNA]]
    approval = world.passes(WHOLE)

    assert (approval.by, approval.how, approval.identity) == (
        "Anna",
        "form",
        IdentityKind.SELF_DECLARED,
    )
    assert (approval.subject, approval.digest) == ("ecs/prod", WHOLE.digest)
    assert approval.commit == FILE.commit
    assert (approval.given_at, approval.valid_until) == (NOON, NOON + timedelta(hours=24))
    question, answer = world.records()
    assert (question.kind, answer.kind) == ("question", "approval")
    assert (question.body["grounds"], question.body["reasons"]) == (["create", "update"], [])
    assert answer.body["approval"]["digest"] == WHOLE.digest
    assert [decision["by"] for decision in answer.body["decisions"]] == ["Anna"]
    for record in (question, answer):
        assert record.body["run"] == RUN
        assert record.body["policy"]["file"] == FILE.file
        assert Plan.model_validate(record.body["plan"]) == WHOLE


@pytest.mark.parametrize("is_there", [True, False], ids=["stored", "waiting"])
def test_the_cost_of_a_plan_is_on_record_with_it(
    world: World, is_there: bool, tmp_path: Path
) -> None:
    world.waiting, world.store.is_there = tmp_path, is_there
    amount = Money(amount=Decimal("46.50"))
    month = CostRange(low=amount, expected=amount, high=amount)
    priced = plan(ONE, cost=CostEffect(before=month, after=month, budget=amount))
    world.answers = [[ANNA]]
    world.passes(priced, may_wait=not is_there)

    assert [record.kind for record in world.records()] == ["question", "approval"]
    assert all(Plan.model_validate(record.body["plan"]) == priced for record in world.records())


def priced(expected: str) -> Plan:
    amount = Money(amount=Decimal(expected))
    month = CostRange(low=amount, expected=amount, high=amount)
    return plan(ONE, cost=CostEffect(before=month, after=month, budget=Money(amount=Decimal(180))))


def test_an_approval_over_the_budget_names_it_and_covers_no_dearer_plan(world: World) -> None:
    world.rules = ApprovalPolicy().strict()
    world.answers = [[ANNA], [ANNA], [ANNA]]

    assert world.passes(priced("100")).over_budget == ""
    named = world.passes(priced("200"))  # prices have changed, the plan has not
    assert named.over_budget == "200.00 USD a month is 20.00 USD over the budget of 180.00 USD"
    assert world.asked[-1].reasons == (
        f"{named.over_budget}, which was not so when it was approved",
    )
    assert "over_budget" in world.records(RecordKind.QUESTION)[-1].body["grounds"]
    assert world.passes(priced("200")).id == named.id
    assert world.passes(priced("199")).id == named.id
    assert world.passes(priced("201")).id != named.id
    assert len(world.asked) == 3


def test_the_account_is_that_of_the_process_whatever_its_variables_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = account()
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "boss")
    assert account() == before
    assert before == f"{pwd.getpwuid(os.geteuid()).pw_name}@{socket.gethostname()}"


# The policy


def test_what_the_policy_lets_pass_is_named_truthfully(world: World) -> None:
    world.rules = ApprovalPolicy(required_for=("destroy", "over_budget"))
    approval = world.passes(WHOLE)

    assert approval.identity is IdentityKind.POLICY
    assert approval.by == "policy of deployments/environments/prod.yaml"
    assert "approval.required_for [destroy, over_budget]" in approval.how
    assert "at commit cccccccccccc" in approval.how
    assert "names nothing of this plan (create, update)" in approval.how
    assert world.asked == []


@pytest.mark.parametrize("action", [Action.DELETE, Action.REPLACE])
def test_no_policy_lets_a_destroy_pass(world: World, action: Action) -> None:
    world.rules = ApprovalPolicy(required_for=("destroy",))
    with pytest.raises(ApprovalRequired):
        world.passes(plan(Change(action=action, target="one", before={"size": 1})))


# Once, and what is left


def test_what_was_approved_and_not_begun_is_not_asked_again(world: World) -> None:
    world.answers = [[ANNA]]
    first = world.passes(WHOLE)
    assert world.passes(WHOLE, run={"by": "command", "pid": 2}) == first
    assert len(world.asked) == 1


def test_the_remainder_of_an_approved_plan_is_covered(world: World) -> None:
    world.answers = [[ANNA]]
    world.use(WHOLE, world.passes(WHOLE))
    known = TWO.model_copy(update={"after": {"one": "id-1"}})

    approval = world.passes(plan(known, THREE), explains=lambda refs, value: value == "id-1")

    assert approval.by == "Anna"
    assert len(world.asked) == 1


def test_a_value_that_nothing_approved_explains_is_asked_about(world: World) -> None:
    world.answers = [[ANNA], [ANNA]]
    world.use(WHOLE, world.passes(WHOLE))
    world.passes(plan(TWO.model_copy(update={"after": {"one": "another"}})))

    assert world.asked[1].reasons == ("two: has other values than those approved",)


def test_a_use_narrows_it_to_what_was_left_then(world: World) -> None:
    """What was done and is undone by somebody else needs an approval of its own."""
    world.answers = [[ANNA], [ANNA]]
    approval = world.passes(WHOLE)
    world.use(WHOLE, approval)
    world.use(plan(THREE), approval)

    assert world.passes(plan(THREE)).id == approval.id
    world.passes(plan(ONE, THREE))
    assert world.asked[1].reasons == ("one: was not part of the approved plan",)


def test_a_replacement_of_what_failed_half_made_asks_and_says_why(world: World) -> None:
    world.answers = [[ANNA], [ANNA]]
    world.use(WHOLE, world.passes(WHOLE))
    half = Change(
        action=Action.REPLACE, target="one", before={"size": 1}, after={"size": 1}, reason="tainted"
    )
    world.passes(plan(half, TWO, THREE))

    assert world.asked[1].reasons == ("one: was made by half, and is to be replaced (tainted)",)


def test_what_others_have_on_record_meanwhile_does_not_narrow_it(world: World) -> None:
    """A plan that was only looked at, and an apply that the policy let pass."""
    world.answers = [[ANNA]]
    approval = world.passes(WHOLE)
    world.use(WHOLE, approval)
    world.log().append(RecordKind.PLAN, WHOLE.digest, {"plan": WHOLE.model_dump(mode="json")})
    other = approval.model_copy(update={"id": "another"})
    world.use(plan(THREE), other)

    assert world.passes(WHOLE) == approval
    assert len(world.asked) == 1


def test_a_plan_that_is_done_needs_another_approval_the_next_time(world: World) -> None:
    world.answers = [[ANNA], [ANNA]]
    world.use(WHOLE, world.passes(WHOLE))
    ended = [record.id for record in world.log().find_open()]
    world.log().append(RecordKind.APPLY, WHOLE.digest, {}, closes=ended)

    world.passes(WHOLE)
    assert len(world.asked) == 2


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (plan(ONE, TWO, THREE, inputs={"main.tf": "2"}), "main.tf: is not what was approved"),
        (Plan(subject="ecs/prod", target="embedded", changes=(ONE,)), "target: is embedded and"),
        (plan(ONE, key="2"), "fingerprint key: is 2 and was none"),
    ],
)
def test_another_source_target_or_key_asks_and_says_so(world: World, now: Plan, why: str) -> None:
    world.answers = [[ANNA], [ANNA]]
    world.passes(WHOLE)
    world.passes(now)
    assert world.asked[1].reasons[0].startswith(why)


def test_another_plan_takes_the_place_of_the_first(world: World) -> None:
    world.answers = [[ANNA], [ANNA]]
    world.passes(WHOLE)
    other = plan(Change(action=Action.CREATE, target="other"))
    world.passes(other)
    assert [record.digest for record in world.log().find_open()] == [other.digest]


# Time


def test_an_approval_expires(world: World) -> None:
    world.answers = [[ANNA], [ANNA]]
    world.passes(WHOLE)
    world.now = NOON + timedelta(hours=24, seconds=1)
    world.passes(WHOLE)
    assert "is over since 2026-03-12 12:00 UTC" in world.asked[1].reasons[0]


@pytest.mark.parametrize("moved", [timedelta(hours=24), -CLOCK_TOLERANCE])
def test_it_may_be_used_up_to_the_last_moment(world: World, moved: timedelta) -> None:
    world.answers = [[ANNA]]
    world.passes(WHOLE)
    world.now = NOON + moved

    assert world.passes(WHOLE).by == "Anna"


@pytest.mark.parametrize(("more", "last"), [(5, "5: "), (6, "and 1 more"), (9, "and 4 more")])
def test_the_first_of_many_reasons_are_said_and_how_many_there_are(
    world: World, more: int, last: str
) -> None:
    world.answers = [[ANNA], [ANNA]]
    world.passes(WHOLE)
    new = [Change(action=Action.CREATE, target=f"{number}") for number in range(1, more + 1)]
    world.passes(plan(*new))

    reasons = world.asked[1].reasons
    assert len(reasons) == min(more, 6)
    assert reasons[0] == "1: was not part of the approved plan"
    assert reasons[-1].startswith(last)
    assert world.records(RecordKind.QUESTION)[1].body["reasons"] == list(reasons)


def test_a_clock_that_was_set_back_does_not_lengthen_it(world: World) -> None:
    world.answers = [[ANNA], [ANNA]]
    world.passes(WHOLE)
    world.now = NOON - timedelta(hours=1)
    world.passes(WHOLE)
    assert "the clock stands before 2026-03-11 12:00 UTC" in world.asked[1].reasons[0]


# Questions


def test_a_rejection_is_on_record_and_approves_nothing(world: World) -> None:
    world.answers = [[Decision("Anna", "form", IdentityKind.SELF_DECLARED, False, "not today")]]
    approval = world.passes(WHOLE)

    assert (approval.approved, approval.reason) == (False, "not today")
    assert world.records()[-1].body["approval"]["approved"] is False
    assert world.log().find_open() == []
    with pytest.raises(ApprovalRequired):
        world.passes(WHOLE)


def test_a_run_that_is_resumed_finds_its_own_question(world: World) -> None:
    with pytest.raises(ApprovalRequired):
        world.passes(WHOLE)
    world.answers = [[ANNA]]
    world.passes(WHOLE)
    assert world.asked[0].id == world.asked[1].id
    assert [record.kind for record in world.records()] == ["question", "approval"]


def test_no_run_takes_the_question_of_another_run_or_plan_for_its_own(world: World) -> None:
    for now, run in ((WHOLE, RUN), (WHOLE, {**RUN, "pid": 2}), (plan(ONE), RUN)):
        with pytest.raises(ApprovalRequired):
            world.passes(now, run=run)

    assert len({question.id for question in world.asked}) == 3
    assert [question.id for question in world.asked] == [row.id for row in world.records()]


def test_one_who_rejects_it_outweighs_those_who_approve(world: World) -> None:
    no = Decision("Ben", "form", IdentityKind.SELF_DECLARED, False, "not today")
    world.answers = [[ANNA, no]]
    approval = world.passes(WHOLE)

    assert (approval.approved, approval.by, approval.reason) == (False, "Ben", "not today")
    assert world.log().find_open() == []


def test_another_attempt_after_a_rejection_is_another_question(world: World) -> None:
    world.answers = [[Decision("Anna", "form", IdentityKind.SELF_DECLARED, False)], [ANNA]]
    world.passes(WHOLE)
    world.passes(WHOLE)
    assert world.asked[0].id != world.asked[1].id


def test_a_question_that_has_lapsed_is_put_again_under_another_number(world: World) -> None:
    world.answers = [[ANNA], [], [ANNA]]
    world.passes(plan(ONE))
    assert world.passes(WHOLE).by == "Anna"
    first, second = world.asked[1:]
    assert (first.plan, first.reasons) == (second.plan, second.reasons)
    assert (first.plan, len(first.reasons)) == (WHOLE, 2)
    ids = [record.id for record in world.records(RecordKind.QUESTION)]
    assert [first.id, second.id] == ids[1:]
    assert world.log().find_open(RecordKind.QUESTION) == []


def test_a_question_that_nobody_answers_twice_approves_nothing(world: World) -> None:
    world.answers = [[], []]
    with pytest.raises(ApprovalRequired) as error:
        world.passes(WHOLE)
    assert error.value.found == "0 of 1 people have approved it"
    assert error.value.remedy == "Have it approved by the others, then run it again."


# How many, and whose


VERIFIED = [
    Decision(name, "review", IdentityKind.VERIFIED) for name in ("anna", "ben", "anna", "cleo")
]


REVIEW = VERIFIED_WAYS[0]


@pytest.mark.parametrize(
    ("values", "answers", "found"),
    [
        ({"approvals": 2}, VERIFIED[:2], "anna, ben"),
        ({"approvals": 2}, VERIFIED[:1], None),
        ({"approvals": 2}, [VERIFIED[0], VERIFIED[2]], None),
        ({"approvals": 2}, [ANNA, Decision("Ben", "form", IdentityKind.SELF_DECLARED)], None),
        ({"approvals": 2}, [VERIFIED[0], ANNA], None),
        ({"not_the_author": True}, VERIFIED[:1], None),
        ({"not_the_author": True}, VERIFIED[1:2], "ben"),
        ({"not_the_author": True, "approvals": 2}, VERIFIED[:2], None),
        ({"not_the_author": True, "approvals": 2}, [VERIFIED[1], VERIFIED[3]], "ben, cleo"),
    ],
)
def test_people_are_counted_once_if_verified_and_not_the_author(
    world: World, values: dict[str, Any], answers: list[Decision], found: str | None
) -> None:
    world.rules = ApprovalPolicy(**values)
    world.answers = [answers]
    if found is None:
        with pytest.raises(ApprovalRequired) as error:
            world.passes(WHOLE, author="Anna", way=REVIEW)
        needed, said = values.get("approvals", 1), "people have approved it whose login is verified"
        others = " and who are not its author" if "not_the_author" in values else ""
        assert error.value.found.endswith(f" of {needed} {said}{others}")
    else:
        assert world.passes(WHOLE, author="Anna", way=REVIEW).by == found


@pytest.mark.parametrize("values", [{"approvals": 2}, {"not_the_author": True}])
def test_where_verified_people_count_a_form_says_that_a_review_is_needed(
    world: World, values: dict[str, Any]
) -> None:
    world.rules = ApprovalPolicy(**values)
    world.answers = [VERIFIED]

    with pytest.raises(ApprovalRequired, match="neither a form nor the command line") as error:
        world.passes(WHOLE, author="nobody")

    assert "a review on GitHub by an approver" in error.value.remedy
    assert world.asked == []
    assert world.records() == []


def test_what_a_person_types_never_becomes_a_verified_login(world: World) -> None:
    world.answers = [VERIFIED[:1]]

    assert world.passes(WHOLE).identity is IdentityKind.SELF_DECLARED
    assert world.records()[-1].body["decisions"][0]["identity"] == "self-declared name"


def test_a_review_is_on_record_with_its_login_and_delivery(world: World) -> None:
    review = Decision("anna", "review 7 of c0ffee", IdentityKind.VERIFIED, delivery="guid-1")
    world.answers = [[review]]

    approval = world.passes(WHOLE, way=REVIEW)

    assert (approval.by, approval.identity) == ("anna", IdentityKind.VERIFIED)
    assert approval.delivery == "guid-1"
    (answer,) = world.records(RecordKind.APPROVAL)
    assert answer.body["decisions"][0]["delivery"] == "guid-1"


def test_an_approval_of_an_earlier_release_has_no_delivery() -> None:
    kept = {"by": "Anna", "how": "form", "digest": WHOLE.digest}

    assert Approval.model_validate(kept).delivery == ""


def test_an_approval_by_too_few_lapses_when_the_policy_becomes_stricter(world: World) -> None:
    world.answers = [[ANNA], VERIFIED[:2]]
    world.passes(WHOLE)
    world.rules = ApprovalPolicy(approvals=2)

    assert world.passes(WHOLE, way=REVIEW).by == "anna, ben"

    (reason,) = world.asked[-1].reasons
    assert reason == "the approval by Anna is by 0 of 2 people whose login is verified"
    assert world.passes(WHOLE).by == "anna, ben"


# Records are a condition


def test_without_a_record_of_the_question_nobody_is_asked(world: World) -> None:
    world.store.fails = [denied()]
    with pytest.raises(NotRecordedError, match="AccessDenied") as error:
        world.passes(WHOLE)
    assert error.value.attempted == (
        f"recording the question of ecs/prod ({WHOLE.label}); nothing was changed"
    )
    assert error.value.remedy == denied().remedy
    assert world.asked == []


def test_where_the_plan_makes_the_store_records_wait_and_count(
    world: World, tmp_path: Path
) -> None:
    world.waiting = tmp_path
    world.store.is_there = False
    world.answers = [[ANNA]]
    approval = world.passes(WHOLE, may_wait=True)
    assert world.passes(WHOLE, may_wait=True) == approval
    assert world.log().find_open(RecordKind.QUESTION) == []
    assert world.store.objects == {}


def test_an_approval_is_used_by_one_run_only(world: World) -> None:
    """Of two runs with the same approval the second sees that the first has acted on it."""
    world.answers = [[ANNA]]
    world.passes(WHOLE)
    seen = world.log().last()
    gates = [world.gate({"by": "command", "pid": pid}) for pid in (1, 2)]
    approval, _ = (gate.pass_plan(WHOLE, nothing_explains) for gate in gates)
    assert gates[0].may_still(seen)(world.log().last())
    world.use(WHOLE, approval)
    assert not gates[1].may_still(seen)(world.log().last())


def test_an_approval_that_another_has_replaced_meanwhile_is_not_used(world: World) -> None:
    world.answers = [[ANNA], [ANNA]]
    world.passes(WHOLE)
    seen = world.log().last()
    gate = world.gate()
    gate.pass_plan(WHOLE, nothing_explains)
    assert gate.may_still(seen)(world.log().last())
    world.passes(plan(Change(action=Action.CREATE, target="other")))
    assert not gate.may_still(seen)(world.log().last())


def test_what_the_policy_lets_pass_is_not_bound_to_an_earlier_approval(world: World) -> None:
    """A later stage that waits for nobody goes on whatever became of the first one's approval."""
    world.rules = ApprovalPolicy(required_for=("update", "destroy"))
    world.answers = [[ANNA]]
    gate = world.gate()
    gate.pass_plan(plan(THREE), nothing_explains)
    assert gate.used is not None

    gate.pass_plan(plan(ONE), nothing_explains)

    assert gate.used is None
