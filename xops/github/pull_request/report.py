"""What is told on a pull request: one comment, and two checks. Pure.

Titles, branches, logins, names of files and values of plans are strangers' texts: they come into
the comment through `Markdown` only, and into a check's title as one line that holds no markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from xops.core.plan.model import Plan
from xops.core.rendering import Markdown, visible
from xops.github.policy import People, PullRequests
from xops.github.pull_request.course import Course
from xops.github.pull_request.facts import Holder, PullRequestFacts, ShownPlan
from xops.github.pull_request.plan_excerpt import counts_of, excerpts, utf16_size
from xops.github.pull_request.reviews import SHORT, Judgement

MARKER = Markdown("<!-- xops:pull-request -->")
"""The first line of the comment, by which it is found again among our own."""

MOST_CHARACTERS = 65_536
"""Of a comment. GitHub counts characters; counted here are those of UTF-16, of which there are as
many or more."""

MOST_OF_TITLE = 140
"""Of a commit status' description. Source: GitHub's REST API, "Create a commit status"."""

PLAN_CHECK = "xops/plan"
APPLY_CHECK = "xops/apply"

_MOST_OF_REASON = 500
_MOST_REASONS = 10
_MOST_ENVIRONMENTS = 40
_MOST_PARTS = 60
_MOST_OF_NOTE = 2000
_GAP = len("\n\n")
_REPOSITORY = re.compile(r"[\w-]+/[\w.-]+", re.ASCII)
_RESERVED = 300
"""Kept for the line that tells what is left out."""


class EnvironmentState(StrEnum):
    """How far one environment has come."""

    PLANNED = "planned"
    """Shown only: a draft."""
    WAITING = "waits for a review"
    APPROVED = "approved, waits for the merge"
    UNCHANGED = "nothing to change"
    APPLYING = "is applied now"
    APPLIED = "applied"
    PLAN_FAILED = "not planned"
    APPLY_FAILED = "apply failed"
    LOCKED = "locked"


@dataclass(frozen=True)
class EnvironmentReport:
    """What is told about one environment.

    Attributes:
        name: of its file.
        plan: None where there is none.
        reason: why it is not further; may be anybody's text.
        evidence: where its record is.
        approved_by: logins of those who released what was applied.
        holder: the other pull request that holds its lock.
        judgement: of the reviews, for this plan.
        superseded: the plan that was shown before this one.
    """

    name: str
    state: EnvironmentState
    plan: Plan | None = None
    reason: str = ""
    evidence: str = ""
    approved_by: tuple[str, ...] = ()
    holder: Holder | None = None
    judgement: Judgement | None = None
    superseded: ShownPlan | None = None


@dataclass(frozen=True)
class CheckState:
    """One check: a commit status, or a check run.

    Attributes:
        title: one line of at most 140 characters, no markup.
        url: where there is more.
    """

    name: str
    state: Literal["pending", "success", "failure"]
    title: str
    url: str = ""


@dataclass(frozen=True)
class Checks:
    """Both checks."""

    plan: CheckState
    apply: CheckState


# Checks


def checks(
    reports: Sequence[EnvironmentReport], course: Course, *, merged: bool = False, url: str = ""
) -> Checks:
    """What both checks say, over all environments; pending for those that are not reported yet.

    Args:
        reports: so far.
        course: with something to report (`Course.reports`).
        merged: whether it is merged, so that no review can release it in time any more.
        url: of the run.
    """
    plan: _Verdict
    apply: _Verdict
    if text := course.green:
        plan, apply = ("success", text), ("success", text)
    elif text := course.refusal:
        plan, apply = ("failure", text), ("pending", "waits for a plan")
    elif text := course.waits:
        plan, apply = ("pending", text), ("pending", text)
    else:
        missing = [name for name in course.plan if name not in {each.name for each in reports}]
        plan = _worst([*_planning(missing), *map(_plan_verdict, reports)])
        apply = _worst([*_planning(missing), *(_apply_verdict(each, merged) for each in reports)])
    return Checks(_check(PLAN_CHECK, plan, url), _check(APPLY_CHECK, apply, url))


def broken(why: str, url: str = "") -> Checks:
    """What both checks say of a run that has ended before its work was done.

    Args:
        why: may be anybody's text.
        url: of the run.
    """
    verdict: _Verdict = ("failure", f"the run has ended before its work was done: {why}")
    return Checks(_check(PLAN_CHECK, verdict, url), _check(APPLY_CHECK, verdict, url))


_Verdict = tuple[Literal["pending", "success", "failure"], str]
_ORDER = ("failure", "pending", "success")


def _planning(names: Sequence[str]) -> Iterator[_Verdict]:
    for name in names:
        yield "pending", f"{name}: is planned now"


def _plan_verdict(report: EnvironmentReport) -> _Verdict:
    match report.state:
        case EnvironmentState.PLAN_FAILED:
            return "failure", f"{report.name}: {report.reason or report.state}"
        case EnvironmentState.LOCKED:
            return "pending", f"{report.name}: {_locked(report)}"
    return "success", f"{report.name}: {counts_of(report.plan)}"


def _apply_verdict(report: EnvironmentReport, merged: bool) -> _Verdict:
    match report.state:
        case EnvironmentState.APPLY_FAILED:
            return "failure", f"{report.name}: {report.reason or report.state}"
        case EnvironmentState.UNCHANGED | EnvironmentState.APPLIED | EnvironmentState.APPROVED:
            return "success", f"{report.name}: {report.state}"
        case EnvironmentState.LOCKED:
            return "pending", f"{report.name}: {_locked(report)}"
        case EnvironmentState.WAITING if merged:
            return "failure", f"{report.name}: merged, not applied: {report.reason}"
    return "pending", f"{report.name}: {report.state}"


def _worst(verdicts: Sequence[_Verdict]) -> _Verdict:
    """What is worst decides, and is said first."""
    ordered = sorted(verdicts, key=lambda verdict: _ORDER.index(verdict[0]))
    return ordered[0][0], "; ".join(text for _, text in ordered)


def _check(name: str, verdict: _Verdict, url: str) -> CheckState:
    state, text = verdict
    title = visible(text)
    if len(title) > MOST_OF_TITLE:
        title = f"{title[: MOST_OF_TITLE - 3]}..."
    return CheckState(name, state, title, url)


def _locked(report: EnvironmentReport) -> str:
    if report.holder is None:
        return report.reason or str(report.state)
    return f"locked by {report.holder.repository}#{report.holder.number}"


# The comment


def comment(
    facts: PullRequestFacts,
    reports: Sequence[EnvironmentReport],
    course: Course,
    *,
    rules: PullRequests,
    run_url: str = "",
) -> str:
    """The whole comment; what does not fit into it is in the artifact of the run.

    Args:
        facts: of the pull request.
        reports: of the environments that were planned, in order.
        course: that was taken.
        rules: of the base branch.
        run_url: of the run, whose artifact holds all of each plan.
    """
    first = [MARKER, _title(facts, reports, course)]
    if reports:
        first.append(_table(reports[:_MOST_ENVIRONMENTS]))
    last = _footer(run_url)
    room = MOST_CHARACTERS - sum(utf16_size(part) + _GAP for part in (*first, last))
    told = list(_fitting([*_steps(facts, reports, rules), *map(_cut_note, course.notes)], room))
    room -= sum(utf16_size(part) + _GAP for part in told)
    plans = [(report.name, report.plan) for report in reports if report.plan]
    details = excerpts(plans, room, run_url)
    return Markdown.joined("\n\n", [*first, *told, *details, last])


def _fitting(parts: Sequence[Markdown], room: int) -> Iterator[Markdown]:
    """As many parts as there is room for, with the number of the others."""
    room -= _RESERVED
    for index, part in enumerate(parts):
        room -= utf16_size(part) + _GAP
        if room < 0 or index == _MOST_PARTS:
            yield Markdown.of("{n} more remarks are left out here.", n=len(parts) - index)
            return
        yield part


def _title(
    facts: PullRequestFacts, reports: Sequence[EnvironmentReport], course: Course
) -> Markdown:
    found = course.refusal or course.waits or course.green
    if found:
        return Markdown.of("### xOps: {found}", found=_one_line(found))
    if not reports:
        return Markdown("### xOps")
    return Markdown.of(
        "### xOps: plan of {head} into {base}",
        head=Markdown.code(facts.head_sha[:SHORT]),
        base=Markdown.code(facts.base_ref),
    )


def _table(reports: Sequence[EnvironmentReport]) -> Markdown:
    header = ("environment", "state", "plan", "changes", "cost a month", "lock")
    return Markdown.table(header, [_row(report) for report in reports])


def _row(report: EnvironmentReport) -> tuple[str, ...]:
    plan = report.plan
    return (
        Markdown.code(report.name),
        Markdown.of("**{state}**", state=report.state),
        Markdown.code(plan.label) if plan else Markdown("-"),
        counts_of(plan) if plan else Markdown("-"),
        str(plan.cost) if plan and plan.cost else Markdown("unknown" if plan else "-"),
        _lock(report),
    )


def _lock(report: EnvironmentReport) -> Markdown:
    if report.holder is not None:
        return _holder(report.holder)
    is_held = report.plan is not None and report.state is not EnvironmentState.PLANNED
    return Markdown("this one" if is_held else "-")


def _holder(holder: Holder) -> Markdown:
    return Markdown.of(
        "{who} since {since} UTC", who=_reference(holder), since=f"{holder.since:%F %H:%M}"
    )


def _reference(holder: Holder) -> Markdown:
    """A link, which GitHub makes of owner/name#number; on that one it tells who waits."""
    if not _REPOSITORY.fullmatch(holder.repository):
        return Markdown.render(f"{holder.repository}#{holder.number}")
    return Markdown.of("{name}#{number}", name=holder.repository, number=holder.number)


# What happens next


def _steps(
    facts: PullRequestFacts, reports: Sequence[EnvironmentReport], rules: PullRequests
) -> Iterator[Markdown]:
    for report in reports:
        yield _step(facts, report, rules)
    for report in reports:
        yield from _reasons(report)


def _step(facts: PullRequestFacts, report: EnvironmentReport, rules: PullRequests) -> Markdown:
    name = Markdown.code(report.name)
    return Markdown.of("- {name}: {next}", name=name, next=_next(facts, report, rules))


def _next(facts: PullRequestFacts, report: EnvironmentReport, rules: PullRequests) -> Markdown:
    reason = _reason(report)
    match report.state:
        case EnvironmentState.WAITING:
            return _next_review(facts, report, rules)
        case EnvironmentState.PLANNED:
            return Markdown("a draft is not applied. Mark it as ready for review.")
        case EnvironmentState.APPROVED:
            who = Markdown.render(", ".join(report.approved_by))
            return Markdown.of("approved by {who}. Merge it: it is applied then.", who=who)
        case EnvironmentState.APPLYING:
            return Markdown("it is applied now; what comes of it is told here.")
        case EnvironmentState.APPLIED:
            return _next_applied(facts, report)
        case EnvironmentState.PLAN_FAILED:
            again = _AGAIN if facts.merged else _CORRECT
            return Markdown.of("{reason}. {again}", reason=reason, again=again)
        case EnvironmentState.APPLY_FAILED:
            return Markdown.of(
                "{reason}. `xops apply` tries again; where the plan is another one now, it is shown"
                " and reviewed first.",
                reason=reason,
            )
        case EnvironmentState.LOCKED:
            again = _AGAIN if facts.merged else Markdown("Write `xops plan` then.")
            return Markdown.of(
                "another pull request holds it, until that is merged or closed. {again}",
                again=again,
            )
    return Markdown("nothing to do.")


_AGAIN = Markdown("Write `xops apply`: it is tried again.")
_CORRECT = Markdown("Push what corrects it, or write `xops plan`.")


def _next_review(
    facts: PullRequestFacts, report: EnvironmentReport, rules: PullRequests
) -> Markdown:
    """Exactly what a reviewer does to release it, and what is missing."""
    if report.approved_by:
        who = Markdown.render(", ".join(report.approved_by))
        return Markdown.of("approved by {who}. `xops apply` applies it.", who=who)
    plan = Markdown.code(report.plan.label if report.plan else "")
    commit = Markdown.code(facts.head_sha[:SHORT])
    if not (rules.approvers.teams or rules.approvers.logins):
        return Markdown(
            "nobody may approve: `pull_requests.approvers` in `deployments/github.yaml` of the base"
            " branch names nobody."
        )
    then = "" if rules.apply == "before_merge" else " when it is merged"
    return Markdown.of(
        "{why}. Read the plan below, then approve this pull request (*Files changed*, *Review"
        " changes*, *Approve*): that applies plan {plan} of commit {commit}{then}.{attention}"
        " Approvers: {who}.",
        why=_reason(report) or Markdown("waits for a review"),
        plan=plan,
        commit=commit,
        then=then,
        attention=_attention(report.plan),
        who=_people(rules.approvers),
    )


def _attention(plan: Plan | None) -> Markdown:
    """What an approval lets pass that nobody should overlook."""
    if plan is None:
        return Markdown("")
    parts = []
    if lost := len(plan.destroys):
        parts.append(Markdown.of(" **It destroys {n} of what exists.**", n=lost))
    if plan.cost and plan.cost.excess:
        parts.append(Markdown.of(" **{excess}.**", excess=plan.cost.excess))
    return Markdown.joined("", parts)


def _people(people: People) -> Markdown:
    # As code: a comment that is updated with every push must not call a team each time.
    return Markdown.joined(", ", map(Markdown.code, (*people.teams, *people.logins)))


def _next_applied(facts: PullRequestFacts, report: EnvironmentReport) -> Markdown:
    who = ", ".join(report.approved_by)
    then = "" if facts.merged else " Merge this, so that the base branch says what runs."
    record = Markdown.of(" Record: {place}.", place=Markdown.code(report.evidence))
    return Markdown.of(
        "applied, approved by {who}.{then}{record}",
        who=who or "nobody",
        then=then,
        record=record if report.evidence else Markdown(""),
    )


def _reason(report: EnvironmentReport) -> Markdown:
    return _one_line(report.reason)


def _one_line(text: str) -> Markdown:
    """Others' text where one line stands, without a full stop."""
    line = " ".join(text.split())
    cut = line if len(line) <= _MOST_OF_REASON else f"{line[:_MOST_OF_REASON]}..."
    return Markdown.render(cut.rstrip("."))


def _reasons(report: EnvironmentReport) -> Iterator[Markdown]:
    """Why some reviews do not count, and which plan this one supersedes."""
    told = report.judgement.reasons if report.judgement else ()
    lines = [Markdown.render(reason) for reason in told[:_MOST_REASONS]]
    if len(told) > _MOST_REASONS:
        lines.append(Markdown.of("and {n} more", n=len(told) - _MOST_REASONS))
    if lines:
        yield Markdown.of(
            "Reviews that do not count for {name}: {lines}.",
            name=Markdown.code(report.name),
            lines=Markdown.joined("; ", lines),
        )
    if old := report.superseded:
        yield Markdown.of(
            "For {name} this supersedes plan {plan} of commit {commit}, shown {at} UTC.",
            name=Markdown.code(report.name),
            plan=Markdown.code(old.digest),
            commit=Markdown.code(old.head_sha[:SHORT]),
            at=f"{old.shown_at:%F %H:%M}",
        )


def _cut_note(note: Markdown) -> Markdown:
    # Ours but for names in it: what is longer than that is cut as text.
    return note if len(note) <= _MOST_OF_NOTE else Markdown.render(note[:_MOST_OF_NOTE])


def _footer(run_url: str) -> Markdown:
    said = Markdown("`xops plan` · `xops apply` · `xops unlock`")
    return (
        Markdown.of("{said} · run: {url}", said=said, url=Markdown.link(run_url))
        if run_url
        else said
    )
