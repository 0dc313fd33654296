"""What reviews release: judged once the plans are there, and again just before an apply."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from xops.core.errors import ApprovalRequired
from xops.core.lifecycle.approval_policy import VERIFIED_WAYS
from xops.core.lifecycle.gate import Decision, IdentityKind, Question
from xops.core.plan.model import Plan
from xops.github.pull_request.facts import PullRequestFacts, ShownPlan
from xops.github.pull_request.handling.look import Look
from xops.github.pull_request.handling.work import Work
from xops.github.pull_request.report import EnvironmentState
from xops.github.pull_request.reviews import (
    Judgement,
    Release,
    Withheld,
    judge,
    may_apply,
    why_not_shown,
)

logger = logging.getLogger("xops.lifecycle")

_ALTERED = (
    "somebody else has edited or deleted the comment that showed its plan: review it as it is shown"
    " now"
)


def judge_plans(look: Look, works: Sequence[Work]) -> None:
    """By the reviews as they are once the plans are there.

    Raises:
        OvertakenError: it is not the pull request any more that was planned.
    """
    if not works:
        return
    fresh = look.read_again()
    for work in works:
        plan = work.plan
        if plan is not None and not look.facts.draft:
            _judge_plan(look, fresh, work, plan)


def _judge_plan(look: Look, fresh: PullRequestFacts, work: Work, plan: Plan) -> None:
    judgement, verdict = _release(look, fresh, work, plan)
    work.report = replace(work.report, judgement=judgement)
    if isinstance(verdict, Withheld):
        work.report = replace(work.report, reason=verdict.reason)
        return
    who = tuple(review.login for review in verdict.reviews)
    work.released = work.name in look.course.apply
    state = EnvironmentState.APPLYING if work.released else _approved(look)
    work.report = replace(work.report, state=state, approved_by=who)


def _approved(look: Look) -> EnvironmentState:
    """Released, and not to be applied by this run: before the merge, or by another command."""
    after = look.rules.pull_requests.apply == "after_merge" and look.facts.is_open
    return EnvironmentState.APPROVED if after else EnvironmentState.WAITING


def decisions(look: Look, work: Work, question: Question) -> Sequence[Decision]:
    """What reviews say of exactly this plan, just before it is applied.

    Raises:
        ApprovalRequired: they do not release it, or not any more.
        OvertakenError: it is not the pull request any more that was planned.
    """
    fresh, plan = look.read_again(), question.plan
    look.rules = look.rules.with_approvers_read_anew(look.hub)
    if work.plan and plan.digest == work.plan.of_stage(work.plan.stages[0]).digest:
        plan = work.plan  # where each stage is approved by itself, the first is asked for
    _, verdict = _release(look, fresh, work, plan)
    if isinstance(verdict, Withheld):
        raise ApprovalRequired(
            f"applying the plan of {plan.subject} ({plan.label})",
            verdict.reason,
            "Review it as it is shown on the pull request.",
        )
    return [
        Decision(
            by=review.login,
            how=f"{VERIFIED_WAYS[0]}: review {review.id} of commit {review.commit} of"
            f" {fresh.repository}#{fresh.number}",
            identity=IdentityKind.VERIFIED,
            delivery=look.delivery,
        )
        for review in verdict.reviews
    ]


def _release(
    look: Look, facts: PullRequestFacts, work: Work, plan: Plan
) -> tuple[Judgement, Release | Withheld]:
    """What reviews come to."""
    shown = _as_shown(work, plan)
    is_shown = shown is not None and not why_not_shown(shown, plan, facts.head_sha)
    judgement = judge(
        facts.reviews,
        head_sha=facts.head_sha,
        shown_at=shown.shown_at if shown and is_shown else None,
        authors=facts.authors,
        approvers=look.rules.rights.approvers,
        bots=look.rules.pull_requests.bots,
    )
    verdict = may_apply(
        judgement,
        plan,
        head_sha=facts.head_sha,
        shown=shown,
        holder=None,
        rules=look.environments.approval_rules(work.name, look.branch.base_environments),
        now=datetime.now(UTC),
    )
    if isinstance(verdict, Release) and _forget_altered(look, work):
        verdict = Withheld(_ALTERED)
    return judgement, verdict


def _as_shown(work: Work, plan: Plan) -> ShownPlan | None:
    """What is left of the plan that was shown was shown with it."""
    shown = work.shown
    if shown and work.approval and work.approval.digest == shown.digest:
        return replace(shown, digest=plan.digest)
    return shown


def _forget_altered(look: Look, work: Work) -> bool:
    """Whether others have changed our comment: what people have read then is not what we have
    shown, which is shown anew."""
    shown, hub, facts = work.shown, look.hub, look.facts
    if shown is None or not hub.comment.is_altered(facts.number, shown.comment_id, shown.shown_at):
        return False
    logger.warning("somebody else has edited the comment that shows %s", shown.subject)
    hub.shown.settle(facts.repository, facts.number, shown.subject)
    work.shown = replace(shown, digest="")
    return True
