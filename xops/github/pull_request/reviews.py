"""Whose reviews release an apply. Pure.

The last word of each person counts. It approves if it is of exactly the commit whose plan is to be
applied, and was given after that plan was shown. What is not certain counts for nothing: a review
of the second in which the plan was shown may have been written before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from xops.core.lifecycle.approval_policy import ApprovalPolicy
from xops.core.plan.model import DIGEST_LABEL, Plan
from xops.github.people.machines import KNOWN
from xops.github.pull_request.facts import Holder, Review, ReviewState, ShownPlan

_WORDS = (ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED, ReviewState.DISMISSED)
"""A comment takes nothing back. A review that is dismissed does: no earlier one comes to life
again, as in GitHub's `latestOpinionatedReviews`."""

SHORT = 7
"""Characters of a commit's hash that people are shown, as GitHub does."""


@dataclass(frozen=True)
class Judgement:
    """What reviews come to, for one plan.

    Attributes:
        approved_by: one review for each person who approves, the oldest first.
        objected_by: one for each approver who asks for changes: of whatever commit, until he or she
            says otherwise or it is dismissed, as on GitHub.
        reasons: why other words that look as if they counted do not; they hold logins.
    """

    approved_by: tuple[Review, ...] = ()
    objected_by: tuple[Review, ...] = ()
    reasons: tuple[str, ...] = ()


def judge(
    reviews: Iterable[Review],
    *,
    head_sha: str,
    shown_at: datetime | None,
    authors: Collection[str],
    approvers: Collection[str],
    bots: Sequence[str] = (),
) -> Judgement:
    """Who releases the plan of a commit, who objects to it, and why others do neither.

    Args:
        reviews: in any order.
        head_sha: the commit whose plan it is.
        shown_at: when people could read that plan first; None: it was not shown yet.
        authors: logins (lower case) of those whose own work it is.
        approvers: logins (lower case) of those who may approve now.
        bots: patterns of logins of machines that GitHub calls people; `*` and `?`.
    """
    counted: list[Review] = []
    reasons: list[str] = []
    for review in _last_words(reviews):
        why = _why_nobodys(review, authors, approvers, bots)
        if not why and review.state is ReviewState.APPROVED:
            why = _why_not_of_this_plan(review, head_sha, shown_at)
        if why:
            reasons.append(f"{review.login} {_SAID[review.state]}: {why}")
        else:
            counted.append(review)
    return Judgement(
        tuple(review for review in counted if review.state is ReviewState.APPROVED),
        tuple(review for review in counted if review.state is ReviewState.CHANGES_REQUESTED),
        tuple(reasons),
    )


_SAID = {ReviewState.APPROVED: "approved", ReviewState.CHANGES_REQUESTED: "asks for changes"}


def _last_words(reviews: Iterable[Review]) -> list[Review]:
    """One for each person that is not taken back, the oldest first."""
    words = [review for review in reviews if review.login and review.state in _WORDS]
    last: dict[str, Review] = {}
    for review in sorted(filter(_when, words), key=_when):
        last[review.login.lower()] = review
    in_order = sorted(last.values(), key=_when)
    return [review for review in in_order if review.state is not ReviewState.DISMISSED]


def _when(review: Review) -> tuple[datetime, int] | tuple[()]:
    """What orders reviews; empty for one that nobody has sent."""
    return (review.submitted_at, review.id) if review.submitted_at else ()


def _why_nobodys(
    review: Review, authors: Collection[str], approvers: Collection[str], bots: Sequence[str]
) -> str:
    """Why it does not count whatever it says; empty if it does."""
    login = review.login.lower()
    if review.is_bot or is_machine(login, bots):
        return "machines neither approve nor object"
    if login in authors:
        return "it is his or her own work"
    return "" if login in approvers else "he or she is none of the approvers"


def is_machine(login: str, bots: Sequence[str]) -> bool:
    """Whether a login is a machine's: by its ending, by the file's patterns, or well-known."""
    name = login.lower()
    if name.endswith("[bot]") or name in KNOWN:
        return True
    # Brackets are no class of characters here: renovate[bot] is a name.
    return any(fnmatchcase(name, bot.lower().replace("[", "[[]")) for bot in bots)


def _why_not_of_this_plan(review: Review, head_sha: str, shown_at: datetime | None) -> str:
    if not review.commit or review.commit != head_sha:
        return f"that is of {_commit(review.commit)}, and this plan of {_commit(head_sha)}"
    if shown_at is None:
        return "that was before this plan was shown"
    if review.submitted_at is None or review.submitted_at <= shown_at:
        return f"that was not after {shown_at:%F %H:%M:%S} UTC, when this plan was shown first"
    return ""


def _commit(sha: str) -> str:
    return f"commit {sha[:SHORT]}" if sha else "a commit that GitHub does not know any more"


# What an apply needs


@dataclass(frozen=True)
class Release:
    """The plan may be applied. `reviews`: those that release it, one for each person."""

    reviews: tuple[Review, ...]


@dataclass(frozen=True)
class Withheld:
    """It may not, and why, with what to do; may hold logins."""

    reason: str


def may_apply(
    judgement: Judgement,
    plan: Plan,
    *,
    head_sha: str,
    shown: ShownPlan | None,
    holder: Holder | None,
    rules: ApprovalPolicy,
    now: datetime,
) -> Release | Withheld:
    """Whether reviews let this plan be applied.

    One approver at least is needed, whatever the file exempts: what a pull request brings is
    written by people who are not trusted with an apply.

    Args:
        judgement: of the reviews, for this plan.
        plan: made just now from exactly `head_sha`.
        head_sha: the head commit just now.
        shown: what people were shown last, before this plan was made.
        holder: another pull request that holds the environment's lock.
        rules: of the base branch.
        now: in UTC.
    """
    refusals = (
        _why_locked(holder),
        why_not_shown(shown, plan, head_sha),
        _why_objected(judgement),
        _why_too_few(judgement, rules, now),
    )
    if reason := next(filter(None, refusals), ""):
        return Withheld(reason)
    return Release(tuple(_valid(judgement, rules, now)))


def _why_locked(holder: Holder | None) -> str:
    return f"pull request #{holder.number} holds the lock of {holder.subject}" if holder else ""


def why_not_shown(shown: ShownPlan | None, plan: Plan, head_sha: str) -> str:
    """Why nobody can have approved of this plan yet; empty if it is the one that was shown.

    Prices are not in a digest: one that became dearer than the budget allows is another one.
    """
    if shown is None or not shown.is_open:
        return "its plan was not shown before: review it as it is shown now"
    if shown.head_sha != head_sha:
        return f"the plan that was shown is of {_commit(shown.head_sha)}: review this one"
    if shown.digest != plan.digest:
        return (
            f"it was {shown.digest[:DIGEST_LABEL]} when it was shown and is {plan.label} now, since"
            " the base branch or the environment has changed: review this one"
        )
    dearer = plan.cost.why_uncovered(shown.cost) if plan.cost else None
    return f"{dearer}: review it again" if dearer else ""


def _why_objected(judgement: Judgement) -> str:
    who = ", ".join(review.login for review in judgement.objected_by)
    return f"{who} asks for changes: settle that, or dismiss the review" if who else ""


def _why_too_few(judgement: Judgement, rules: ApprovalPolicy, now: datetime) -> str:
    count = len(list(_valid(judgement, rules, now)))
    if count >= rules.approvals:
        return ""
    over = len(judgement.approved_by) - count
    expired = f"; {over} given more than {rules.valid_hours} h ago" if over else ""
    return f"{count} of {rules.approvals} approvers have approved of it{expired}"


def _valid(judgement: Judgement, rules: ApprovalPolicy, now: datetime) -> Iterator[Review]:
    oldest = now - timedelta(hours=rules.valid_hours)
    for review in judgement.approved_by:
        if review.submitted_at and review.submitted_at >= oldest:
            yield review
