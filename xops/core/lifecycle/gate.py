"""The gate: who let a plan pass, how that is known, and what else that lets pass.

An approval is of one plan. It is on record before it is used, each use is on record before anything
is changed, and it covers what is left of its plan until that is done or its time is over.
"""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from xops.core.errors import ApprovalRequired, NotRecordedError, XopsError
from xops.core.evidence.log import EvidenceLog, Guard, Record, RecordKind
from xops.core.files.provenance import Provenance
from xops.core.lifecycle.approval_policy import VERIFIED_WAYS, ApprovalPolicy
from xops.core.plan.coverage import Explains, find_uncovered
from xops.core.plan.model import Plan

CLOCK_TOLERANCE = timedelta(minutes=2)
"""How far a clock may stand before the moment at which an approval was given."""

_TOLD = 5


class IdentityKind(StrEnum):
    """How it is known who has approved."""

    POLICY = "policy"
    SELF_DECLARED = "self-declared name"
    ACCOUNT = "operating-system account"
    VERIFIED = "verified login"


class Approval(BaseModel):
    """Who decided on a plan, and what that is worth.

    Attributes:
        by: a person, an account, or the policy.
        how: the way in: a form, the command line, the file whose policy it is.
        identity: how it is known who that was.
        subject, digest: the plan that was decided on, and no other.
        approved: what the decision was.
        reason: what was said with it.
        delivery: of GitHub, whose run has brought the decision; empty where none has.
        over_budget: the budget that may be exceeded, and by what; empty where none is.
        commit: the commit of the reviewed file; None where Git cannot tell.
        given_at, valid_until: when, and until when it may be used.
    """

    # Records of earlier releases hold fewer keys, and later ones may hold more.
    model_config = ConfigDict(frozen=True, extra="ignore")

    by: str
    how: str
    digest: str
    identity: IdentityKind = IdentityKind.SELF_DECLARED
    subject: str = ""
    approved: bool = True
    reason: str = ""
    delivery: str = ""
    over_budget: str = ""
    commit: str | None = None
    given_at: datetime | None = None
    valid_until: datetime | None = None
    id: str = Field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True)
class PolicyInForce:
    """The rules of a reviewed file, and which file that is."""

    rules: ApprovalPolicy
    provenance: Provenance


@dataclass(frozen=True)
class Question:
    """What a person is asked.

    Attributes:
        plan: all of what would be done.
        reasons: why it is asked although there is an approval on record.
        id: of the record of this question: another attempt is another question.
    """

    plan: Plan
    reasons: tuple[str, ...] = ()
    id: str = ""


@dataclass(frozen=True)
class Decision:
    """What one person has answered; `delivery` is GitHub's that has told of it, if one has."""

    by: str
    how: str
    identity: IdentityKind
    approved: bool = True
    reason: str = ""
    delivery: str = ""


Approver = Callable[[Question], Sequence[Decision]]
"""Asks whoever decides; empty where the question has lapsed and is to be put again.

Raises where nobody can be asked.
"""


def account() -> str:
    """The account that this process runs as: by its user id, since variables can say anything."""
    identity = os.geteuid()
    try:
        name = pwd.getpwuid(identity).pw_name
    except KeyError:  # a container's user without an entry
        name = f"uid {identity}"
    return f"{name}@{socket.gethostname()}"


@dataclass
class Gate:
    """One subject's gate.

    Attributes:
        log: where approvals and their uses are on record.
        policy: which plans wait for a person.
        approver: asks one.
        run: which run this is, for the records.
        may_wait: whether records may wait for a store that this very plan will make.
        author: whose change it is, where that is known and verified.
        way: how the approver hears of decisions; only `VERIFIED_WAYS` can verify who decides.
        used: the record of the approval that has let the last plan pass; None for the policy.
    """

    log: EvidenceLog
    policy: PolicyInForce
    approver: Approver
    run: dict[str, Any] = field(default_factory=dict)
    may_wait: bool = False
    author: str | None = None
    way: str = ""
    used: Record | None = field(default=None, init=False)

    def pass_plan(self, plan: Plan, explains: Explains) -> Approval:
        """The decision on a plan: by the policy, by an approval on record, or by a person now.

        Raises:
            ApprovalRequired: nobody can be asked, not enough people have approved, or only verified
                people count and this way of approving verifies nobody.
            NotRecordedError: what is asked or answered cannot be put on record.
        """
        self.used = None
        if not self.policy.rules.grounds(plan):
            return self._by_policy(plan)
        self.used, reasons = self.find_approval(plan, explains)
        if self.used is not None:
            return Approval.model_validate(self.used.body["approval"])
        return self._ask(plan, reasons)

    def find_approval(
        self, plan: Plan, explains: Explains
    ) -> tuple[Record | None, tuple[str, ...]]:
        """The approval on record that lets a plan pass; None, and why the latest one does not."""
        reasons: tuple[str, ...] = ()
        for record in reversed(self.log.find_open(RecordKind.APPROVAL)):
            why = tuple(self._why_not(record, plan, explains))
            if not why:
                return record, ()
            reasons = reasons or why
        return None, reasons

    def may_still(self, seen: Record | None) -> Guard:
        """Whether what was let pass may be used: nobody has acted on it since it was looked at.

        Args:
            seen: the last record as it was before the plan was made.
        """
        used = self.used

        def guard(last: Record | None) -> bool:
            acted = (last.last_intent if last else None) != (seen.last_intent if seen else None)
            is_open = used is None or not used.sequence or (last and used.id in last.open)
            return bool(not acted and is_open)

        return guard

    def _by_policy(self, plan: Plan) -> Approval:
        rules = self.policy.rules.required_for
        does = ", ".join(action for action, count in plan.counts().items() if count)
        return self._approval(
            plan,
            Decision(
                by=f"policy of {self.policy.provenance.file}",
                how=f"approval.required_for [{', '.join(rules)}] of {self.policy.provenance}"
                f" names nothing of this plan ({does})",
                identity=IdentityKind.POLICY,
            ),
        )

    def _why_not(self, record: Record, plan: Plan, explains: Explains) -> Iterator[str]:
        """Why an approval on record does not let this plan pass; nothing if it does."""
        approval = Approval.model_validate(record.body["approval"])
        now = self.log.clock()
        if approval.valid_until and now > approval.valid_until:
            yield f"the approval by {approval.by} is over since {approval.valid_until:%F %H:%M} UTC"
        elif approval.given_at and now < approval.given_at - CLOCK_TOLERANCE:
            yield f"the clock stands before {approval.given_at:%F %H:%M} UTC, when it was approved"
        else:
            yield from self._why_too_few(record, approval)
            yield from self._why_too_dear(record, plan)
            found = find_uncovered(self._left_of(record), plan, explains)
            yield from map(str, found[:_TOLD])
            if len(found) > _TOLD:
                yield f"and {len(found) - _TOLD} more"

    def _why_too_few(self, record: Record, approval: Approval) -> Iterator[str]:
        """The policy may have become stricter since it was approved."""
        rules = self.policy.rules
        if rules.needs_verified:
            people = _people(each for each in _decisions(record) if self._is_verified_other(each))
            if len(people) < rules.approvals:
                yield (
                    f"the approval by {approval.by} is by {len(people)} of {rules.approvals} people"
                    f" {self._who_counts()}"
                )

    def _why_too_dear(self, approval: Record, plan: Plan) -> Iterator[str]:
        """The cost is no part of a digest: prices change while a plan does not."""
        if plan.cost and "over_budget" in self.policy.rules.required_for:
            why = plan.cost.why_uncovered(Plan.model_validate(approval.body["plan"]).cost)
            if why:
                yield why

    def _left_of(self, approval: Record) -> Plan:
        """The approved plan, narrowed to what its last use was about to do."""
        identity = approval.body["approval"]["id"]
        for record in self.log.newest_first():
            if record.sequence and record.sequence <= approval.sequence:
                break  # what is older cannot have used it
            if record.kind == RecordKind.INTENT and record.body["approval"]["id"] == identity:
                return Plan.model_validate(record.body["plan"])
        return Plan.model_validate(approval.body["plan"])

    def _ask(self, plan: Plan, reasons: tuple[str, ...]) -> Approval:
        if self.policy.rules.needs_verified and self.way not in VERIFIED_WAYS:
            raise self._unverifiable(plan)
        question = self._open_question(plan) or self._record_question(plan, reasons)
        decisions = self._hear(Question(plan, reasons, question.id))
        if not decisions:  # it has lapsed unanswered: another attempt is another question
            again = self._record_question(plan, reasons, lapsed=question)
            decisions = self._hear(Question(plan, reasons, again.id))
            question = again
        approval = self._judge(plan, decisions)
        lapsed = [record.id for record in self.log.find_open(RecordKind.APPROVAL)]
        self.used = self._record(
            RecordKind.APPROVAL,
            plan,
            {"approval": approval.model_dump(mode="json"), "decisions": _as_json(decisions)},
            opens=approval.approved,
            closes=[question.id, *lapsed],
        )
        return approval

    def _hear(self, question: Question) -> Sequence[Decision]:
        """What the approver has heard. Who has not come a verified way is not verified."""
        heard = self.approver(question)
        if self.way in VERIFIED_WAYS:
            return heard
        word = IdentityKind.SELF_DECLARED
        return [
            replace(each, identity=word) if each.identity is IdentityKind.VERIFIED else each
            for each in heard
        ]

    def _open_question(self, plan: Plan) -> Record | None:
        """The question that this very run has asked before it was suspended."""
        return next(
            (
                record
                for record in reversed(self.log.find_open(RecordKind.QUESTION))
                if record.digest == plan.digest and record.body.get("run") == self.run
            ),
            None,
        )

    def _record_question(
        self, plan: Plan, reasons: Sequence[str], lapsed: Record | None = None
    ) -> Record:
        facts = {"grounds": self.policy.rules.grounds(plan), "reasons": list(reasons)}
        closes = [lapsed.id] if lapsed else []
        return self._record(RecordKind.QUESTION, plan, facts, opens=True, closes=closes)

    def _judge(self, plan: Plan, decisions: Sequence[Decision]) -> Approval:
        rejected = [decision for decision in decisions if not decision.approved]
        rules = self.policy.rules
        counted = [decision for decision in decisions if self._counts(decision)]
        people = _people(counted)
        if not rejected and len(people) < rules.approvals:
            raise ApprovalRequired(
                f"applying the plan of {plan.subject} ({plan.label})",
                f"{len(people)} of {rules.approvals} people have approved it"
                + (f" {self._who_counts()}" if rules.needs_verified else ""),
                "Have it approved by the others, then run it again.",
            )
        return self._approval(plan, (rejected or counted)[0], people)

    def _unverifiable(self, plan: Plan) -> ApprovalRequired:
        wanted = self.policy.rules.approvals
        return ApprovalRequired(
            f"applying the plan of {plan.subject} ({plan.label})",
            f"{self.policy.provenance.file} counts only people {self._who_counts()} ({wanted} of"
            " them), and neither a form nor the command line verifies who somebody is",
            f"Open a pull request with the change: a {' or a '.join(VERIFIED_WAYS)} by an approver"
            " verifies who it is by, and releases the apply.",
        )

    def _who_counts(self) -> str:
        others = " and who are not its author" if self.policy.rules.not_the_author else ""
        return f"whose login is verified{others}"

    def _counts(self, decision: Decision) -> bool:
        return not self.policy.rules.needs_verified or (
            self.way in VERIFIED_WAYS and self._is_verified_other(decision)
        )

    def _is_verified_other(self, decision: Decision) -> bool:
        """GitHub's logins are the same in any case of their letters."""
        is_other = not self.policy.rules.not_the_author or (
            self.author is not None and decision.by.lower() != self.author.lower()
        )
        return decision.identity == IdentityKind.VERIFIED and is_other

    def _approval(self, plan: Plan, decision: Decision, people: set[str] | None = None) -> Approval:
        now = self.log.clock()
        return Approval(
            by=", ".join(sorted(people or {decision.by})) if decision.approved else decision.by,
            how=decision.how,
            identity=decision.identity,
            subject=plan.subject,
            digest=plan.digest,
            approved=decision.approved,
            reason=decision.reason,
            delivery=decision.delivery,
            over_budget=(plan.cost.excess if plan.cost else None) or "",
            commit=self.policy.provenance.commit,
            given_at=now,
            valid_until=now + timedelta(hours=self.policy.rules.valid_hours),
        )

    def _record(
        self,
        kind: RecordKind,
        plan: Plan,
        facts: dict[str, Any],
        *,
        opens: bool,
        closes: Sequence[str],
    ) -> Record:
        body = {
            **facts,
            "plan": plan.model_dump(mode="json"),
            "run": self.run,
            "policy": self.policy.provenance.to_json(),
        }
        try:
            return self.log.append(kind, plan.digest, body, opens=opens, closes=closes)
        except XopsError as error:
            if self.may_wait:
                return self.log.wait(kind, plan.digest, body, opens=opens, closes=closes)[0]
            raise not_recorded(kind, plan, error) from error


def _people(decisions: Iterable[Decision]) -> set[str]:
    """Who has decided; one person once, in whatever case a login is written."""
    return set({each.by.lower(): each.by for each in decisions}.values())


def not_recorded(kind: RecordKind, plan: Plan, error: XopsError) -> NotRecordedError:
    """What is raised where nothing may go on without a record, and none could be kept."""
    return NotRecordedError(
        f"recording the {kind} of {plan.subject} ({plan.label}); nothing was changed",
        f"{error.attempted}: {error.found}",
        error.remedy,
    )


def _decisions(approval: Record) -> list[Decision]:
    """What people have answered, as it is on record; later releases may say more."""
    known = Decision.__dataclass_fields__
    rows = approval.body.get("decisions", [])
    return [Decision(**{name: row[name] for name in row if name in known}) for row in rows]


def _as_json(decisions: Sequence[Decision]) -> list[dict[str, Any]]:
    return [vars(decision) for decision in decisions]
