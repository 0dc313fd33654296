"""What people see on the pull request: the comment, the checks, and what counts as shown by it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from xops.core.errors import XopsError
from xops.core.plan.model import Plan
from xops.github.pull_request import report
from xops.github.pull_request.comment import CommentRef
from xops.github.pull_request.course import Comment
from xops.github.pull_request.facts import ShownPlan
from xops.github.pull_request.handling.look import Look, told
from xops.github.pull_request.handling.work import Work
from xops.github.pull_request.report import EnvironmentReport
from xops.github.pull_request.reviews import why_not_shown


def show(look: Look, works: Sequence[Work]) -> None:
    """The comment first: what people can read by then is what counts as shown."""
    for work in works:
        if _is_new(look, work):
            shown = work.shown if work.shown and work.shown.digest else None
            work.report = replace(work.report, superseded=shown)
    comment = tell(look, works)
    if comment is None:
        return
    for work in works:
        if _is_new(look, work) and work.plan:
            work.shown = look.hub.shown.show(_shown_by(look, work.name, work.plan, comment))


def _is_new(look: Look, work: Work) -> bool:
    """Whether this plan waits to be shown: not while another one is being used up."""
    if work.plan is None or work.released:
        return False
    return bool(why_not_shown(work.shown, work.plan, look.facts.head_sha))


def _shown_by(look: Look, name: str, plan: Plan, comment: CommentRef) -> ShownPlan:
    facts = look.facts
    return ShownPlan(
        repository=facts.repository,
        number=facts.number,
        subject=look.subject(name),
        head_sha=facts.head_sha,
        base_sha=facts.base_sha,
        digest=plan.digest,
        shown_at=comment.updated_at,
        comment_id=comment.id,
        cost=plan.cost,
    )


def tell(look: Look, works: Sequence[Work]) -> CommentRef | None:
    """The comment and both checks; nothing where there is nothing new to say."""
    facts, course = look.facts, look.course
    reports = [work.report for work in works]
    if not (reports or course.reports or course.notes):
        return None
    rules = look.rules.pull_requests
    body = report.comment(facts, reports, course, rules=rules, run_url=look.run.url)
    only_update = course.comment is Comment.UPDATE_ONLY
    comment = look.hub.comment.put(facts.number, body, only_update=only_update)
    report_checks(look, reports)
    return comment


def report_checks(look: Look, reports: Sequence[EnvironmentReport] = ()) -> None:
    """Both checks, by what is known so far: what is not reported yet is pending."""
    if look.course.reports:
        facts, url = look.facts, look.run.url
        both = report.checks(reports, look.course, merged=facts.merged, url=url)
        look.hub.put_checks(facts.head_sha, both)


def report_broken(look: Look, error: BaseException) -> None:
    """Say on GitHub that this run has ended before its work was done, if that can be said.

    Only where it has said that it is at work: what is not decided reddens nothing.
    """
    if not look.course.reports:
        return
    why = told(error) if isinstance(error, XopsError) else type(error).__name__
    with suppress(XopsError):
        look.hub.put_checks(look.facts.head_sha, report.broken(why, look.run.url))
