"""What is told on a pull request."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.hostile import HOSTILE, as_html, readable
from tests.plans import PLANS
from tests.pull_request_values import EARLIER, FACTS, HEAD, cost, facts, plan, shown
from tests.soak import examples
from xops.core.plan.model import Action, Change, Plan
from xops.core.rendering import Markdown
from xops.github.policy import People, PullRequests
from xops.github.pull_request.course import Course
from xops.github.pull_request.facts import Holder, PullRequestFacts
from xops.github.pull_request.report import (
    MARKER,
    MOST_CHARACTERS,
    MOST_OF_TITLE,
    EnvironmentReport,
    EnvironmentState,
    broken,
    checks,
    comment,
)
from xops.github.pull_request.reviews import Judgement

RULES = PullRequests(approvers=People(teams=("acme/platform",), logins=("bob",)))
RUN = "https://prefect.acme.test/runs/flow-run/0199"
TEST = ("test",)
PLANNED = Course(plan=TEST)
HOLDER = Holder("ecs/test", "acme/platform", 7, EARLIER, datetime(2026, 11, 28, 9, tzinfo=UTC))


def report(
    state: EnvironmentState = EnvironmentState.WAITING, name: str = "test", **values: Any
) -> EnvironmentReport:
    return EnvironmentReport(name, state, **{"plan": plan(name), **values})


def told(
    *reports: EnvironmentReport,
    course: Course = PLANNED,
    of: PullRequestFacts = FACTS,
    rules: PullRequests = RULES,
    run_url: str = RUN,
) -> str:
    return comment(of, reports, course, rules=rules, run_url=run_url)


def seen(text: str) -> str:
    """What a browser shows, marker and all that nobody sees left out."""
    return readable(as_html(text.removeprefix(MARKER)).text)


def size(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


# The comment


def test_the_marker_is_the_first_line() -> None:
    assert told(report()).splitlines()[0] == MARKER == "<!-- xops:pull-request -->"


def test_a_row_says_state_digest_changes_cost_and_lock() -> None:
    planned = plan("test", "a", "b", cost=cost("40", "44"))
    shown_as = seen(told(report(plan=planned)))
    for part in (
        "waits for a review",
        planned.label,
        planned.digest,
        "2 to create",
        "40.00 USD -> 44.00 USD a month, budget 45.00 USD: within",
        "this one",
    ):
        assert part in shown_as, part


def test_a_reviewer_is_told_exactly_what_to_do_and_what_that_does() -> None:
    planned = plan()
    shown_as = seen(told(report(plan=planned, reason="0 of 1 approvers have approved of it")))
    assert (
        "test: 0 of 1 approvers have approved of it. Read the plan below, then approve this pull"
        f" request (Files changed, Review changes, Approve): that applies plan {planned.label} of"
        f" commit {HEAD[:7]}. Approvers: acme/platform, bob."
    ) in shown_as


def test_what_is_lost_and_what_is_over_the_budget_is_said_to_who_approves() -> None:
    lost = Change(action=Action.DELETE, target="aws_efs_file_system.data", before={"id": "fs-1"})
    planned = plan(changes=(lost,), cost=cost("40", "46"))
    found = seen(told(report(plan=planned)))
    assert "It destroys 1 of what exists. 46.00 USD a month is 1.00 USD over the budget" in found


def test_after_the_merge_is_said_where_it_is_applied_then() -> None:
    rules = RULES.model_copy(update={"apply": "after_merge"})
    assert f"of commit {HEAD[:7]} when it is merged" in seen(told(report(), rules=rules))


def test_that_nobody_may_approve_is_said() -> None:
    assert "nobody may approve" in seen(told(report(), rules=PullRequests()))


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (report(EnvironmentState.PLANNED), "a draft is not applied. Mark it as ready for review."),
        (report(EnvironmentState.APPROVED, approved_by=("bob",)), "approved by bob. Merge it"),
        (report(EnvironmentState.UNCHANGED, plan=plan(changes=())), "nothing to do"),
        (report(EnvironmentState.APPLYING), "it is applied now"),
        (report(approved_by=("bob",)), "approved by bob. xops apply applies it"),
        (
            report(EnvironmentState.APPLIED, approved_by=("bob",), evidence="s3://x/evidence/7"),
            "applied, approved by bob. Merge this, so that the base branch says what runs."
            " Record: s3://x/evidence/7.",
        ),
        (
            report(EnvironmentState.PLAN_FAILED, plan=None, reason="invalid value.\n  main.tf:3"),
            "invalid value. main.tf:3. Push what corrects it, or write xops plan.",
        ),
        (report(EnvironmentState.APPLY_FAILED, reason="no quota"), "no quota. xops apply tries"),
        (
            report(EnvironmentState.LOCKED, plan=None, holder=HOLDER),
            "acme/platform#7 since 2026-11-28 09:00 UTC",
        ),
        (
            report(EnvironmentState.LOCKED, plan=None, holder=HOLDER),
            "until that is merged or closed. write xops plan then",
        ),
    ],
)
def test_each_state_says_what_happens_next(given: EnvironmentReport, part: str) -> None:
    assert part.lower() in seen(told(given)).lower()


def test_a_superseded_plan_is_told_with_its_whole_digest() -> None:
    old = shown(plan("test", "old"), head_sha=EARLIER)
    found = seen(told(report(superseded=old)))
    assert f"this supersedes plan {old.digest} of commit {EARLIER[:7]}, shown 2026-11-29" in found


def test_reviews_that_do_not_count_are_told_with_their_reasons() -> None:
    judgement = Judgement(reasons=tuple(f"dora{n} approved: no" for n in range(30)))
    found = seen(told(report(judgement=judgement)))
    assert "Reviews that do not count for test: dora0 approved: no; dora1" in found
    assert "and 20 more." in found


@pytest.mark.parametrize(
    "course",
    [Course(green="touches nothing"), Course(refusal="from a fork"), Course(waits="draft")],
)
def test_a_course_without_a_plan_says_why(course: Course) -> None:
    reason = course.green or course.refusal or course.waits
    assert seen(told(course=course)).startswith(f"xOps: {reason}")


def test_notes_are_told_and_texts_of_others_in_them_do_nothing() -> None:
    note = Markdown.of("New: {name}", name="@everyone <b>")
    assert "New: @everyone <b>" in seen(told(course=Course(green="g", notes=(note,))))


# Others' texts

ALLOWED = {
    "h3", "table", "thead", "tbody", "tr", "th", "td", "code", "strong", "ul", "li", "p", "em",
    "details", "summary", "pre", "code [('class', 'language-diff')]", f"a [('href', '{RUN}')]",
}  # fmt: skip


def hostile(text: str) -> str:
    value = {"cpu": text, text: [text]}
    change = Change(
        action=Action.UPDATE, target=text, before={"cpu": "a"}, after=value, reason=text
    )
    planned = Plan(
        subject="ecs/test",
        target="embedded",
        changes=(change,),
        warnings=(text,),
        inputs={text: text},
    )
    given_report = report(
        plan=planned,
        reason=text,
        evidence=text,
        approved_by=(text,),
        holder=replace(HOLDER, repository=text),
        judgement=Judgement(reasons=(text,)),
    )
    notes = (Markdown.of("a {text} b", text=text),)
    every = [
        replace(given_report, state=state, name=f"e{n}") for n, state in enumerate(EnvironmentState)
    ]
    of = replace(FACTS, base_ref=text, title=text, author=text)
    return told(*every, of=of, course=Course(plan=TEST, notes=notes))


def assert_harmless(text: str) -> None:
    first, _, rest = text.partition("\n")
    assert first == MARKER
    assert MARKER not in rest.splitlines()
    page = as_html(rest)  # raises on a comment
    assert set(page.tags) <= ALLOWED, set(page.tags) - ALLOWED
    for inline in texts(rest):
        assert not re.search(r"(?<![\w/])@\w", inline), inline
        assert not re.search(r"(?<![\w/])(#|GH-)\d", inline), inline
    assert all(char.isprintable() or char in "\n\u200b" for char in text)


def texts(markdown: str) -> list[str]:
    """Pieces of text that GitHub looks for names and numbers in: all but code."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return [
        piece.content
        for token in parser.parse(markdown)
        for piece in (token.children or [token])
        if piece.type in ("text", "html_block", "html_inline")
    ]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_texts_of_others_neither_call_nor_render_nor_end_the_marker(text: str) -> None:
    assert_harmless(hostile(text))


@pytest.mark.parametrize(
    "text",
    [
        "<!-- xops:pull-request -->", "-->", "](javascript:alert(1))", "</details>", "</summary>",
        "```\n</details>\n@everyone", "````diff", "| a | b |", "\n\n# x",
        "</code></pre><img src=x>",
        "@acme/platform", "fixes #1", "closes acme/platform#1", "GH-1", "\u202e@x", "a" * 40,
    ],
)  # fmt: skip
def test_what_github_gives_a_meaning_has_none(text: str) -> None:
    assert_harmless(hostile(text))


@examples(20)
@given(st.text(max_size=40))
def test_no_text_does_more_than_be_read(text: str) -> None:
    assert_harmless(hostile(text))


# What fits


def big(lines: int, text: str, *, lost: bool = False) -> Plan:
    action = Action.DELETE if lost else Action.CREATE
    values = {f"key{n}": f"{text}{n}" for n in range(lines)}
    return plan(
        changes=tuple(
            Change(
                action=action,
                target=f"aws_thing.number{n}",
                before=values if lost else None,
                after=None if lost else {**values, "n": n},
            )
            for n in range(4)
        )
    )


@pytest.mark.parametrize(
    "text",
    ["x" * 100, "💥" * 100, "`" * 90, "é" * 300],
    ids=["ASCII", "two units each", "backticks", "two bytes each"],
)
@pytest.mark.parametrize("count", [1, 3])
def test_a_large_plan_is_cut_between_lines_and_says_where_all_of_it_is(
    text: str, count: int
) -> None:
    reports = [report(name=f"e{n}", plan=big(350, text)) for n in range(count)]
    found = told(*reports)
    assert size(found) <= MOST_CHARACTERS
    assert size(found) > 0.8 * MOST_CHARACTERS
    assert f"more lines do not fit here.** The artifact of the run has all: <{RUN}>" in found
    assert found.count("<details>") == found.count("</details>") == count
    assert_harmless(found)


def test_what_is_destroyed_is_the_last_to_be_cut() -> None:
    both = big(300, "x" * 100).changes + plan("test").changes
    lost = Change(action=Action.DELETE, target="aws_efs_file_system.data", before={"id": "fs-1"})
    warned = plan(changes=(*both, lost), warnings=("w" * 1900,) * 60)
    found = told(report(plan=warned))
    assert "- aws_efs_file_system.data" in found
    assert "+ aws_thing.number0" in found  # nor do warnings displace what is created
    assert size(found) <= MOST_CHARACTERS


def test_small_plans_are_whole_beside_a_large_one() -> None:
    small, large = report(name="local"), report(name="prod", plan=big(350, "x" * 100))
    found = told(large, small)
    assert "aws_ecs_service.crew" in found
    assert found.index("prod: 4 to create") < found.index("local: 1 to create")


@examples(15)
@given(
    st.lists(PLANS, max_size=4),
    st.sampled_from([1, 3, 15]),
    st.integers(0, 3000),
    st.sampled_from(["<@", "💥", "a", "`|"]),
    st.integers(0, 200),
)
def test_no_comment_is_longer_than_github_takes(
    plans: list[Plan], times: int, length: int, char: str, notes: int
) -> None:
    text = char * length
    reports = [
        report(
            name=f"e{n}",
            plan=each,
            reason=text,
            judgement=Judgement(reasons=(text,) * 12),
            superseded=shown(each),
        )
        for n, each in enumerate(plans * times)
    ]
    course = Course(plan=TEST, notes=(Markdown.of("{text}", text=text),) * notes)
    found = told(*reports, course=course)
    assert size(found) <= MOST_CHARACTERS
    assert found.startswith(f"{MARKER}\n")


# Checks


def both(*reports: EnvironmentReport, **values: Any) -> tuple[str, str]:
    merged = values.pop("merged", False)
    names = tuple(each.name for each in reports) or TEST
    found = checks(reports, Course(**{"plan": names, **values}), merged=merged, url=RUN)
    assert (found.plan.name, found.apply.name) == ("xops/plan", "xops/apply")
    assert found.plan.url == found.apply.url == RUN
    return (
        f"{found.plan.state}: {found.plan.title}",
        f"{found.apply.state}: {found.apply.title}",
    )


State = EnvironmentState


@pytest.mark.parametrize(
    ("found", "planned", "applied"),
    [
        (both(), "pending: test: is planned now", "pending: test: is planned now"),
        (both(green="g", plan=()), "success: g", "success: g"),
        (both(refusal="r", plan=()), "failure: r", "pending: waits for a plan"),
        (both(waits="w", plan=()), "pending: w", "pending: w"),
        (both(report()), "success: test: 1 to create", "pending: test: waits for a review"),
        (
            both(report(State.UNCHANGED, plan=plan(changes=()))),
            "success: test: nothing to change",
            "success: test: nothing to change",
        ),
        (both(report(State.APPLIED)), "success: test: 1 to create", "success: test: applied"),
        (
            both(report(State.APPROVED)),
            "success: test: 1 to create",
            "success: test: approved, waits for the merge",
        ),
        (
            both(report(State.APPLYING)),
            "success: test: 1 to create",
            "pending: test: is applied now",
        ),
        (
            both(report(State.APPLY_FAILED, reason="no quota")),
            "success: test: 1 to create",
            "failure: test: no quota",
        ),
        (
            both(report(State.PLAN_FAILED, plan=None, reason="bad")),
            "failure: test: bad",
            "pending: test: not planned",
        ),
        (
            both(report(State.LOCKED, plan=None, holder=HOLDER)),
            "pending: test: locked by acme/platform#7",
            "pending: test: locked by acme/platform#7",
        ),
        (
            both(report(reason="no review"), merged=True),
            "success: test: 1 to create",
            "failure: test: merged, not applied: no review",
        ),
        (
            both(report(State.APPLIED), report(State.PLAN_FAILED, "prod", reason="bad")),
            "failure: prod: bad; test: 1 to create",
            "pending: prod: not planned; test: applied",
        ),
    ],
)
def test_the_worst_environment_decides_and_is_said_first(
    found: tuple[str, str], planned: str, applied: str
) -> None:
    assert found == (planned, applied)


@given(st.text(max_size=400))
def test_a_title_is_one_line_that_github_takes(text: str) -> None:
    found = checks((report(State.PLAN_FAILED, reason=text),), Course(plan=TEST))
    ended = broken(text, RUN)
    assert ended.apply.state == ended.plan.state == "failure"
    for check in (found.plan, found.apply, ended.plan, ended.apply):
        assert 0 < len(check.title) <= MOST_OF_TITLE
        assert check.title.isprintable()


@given(st.lists(st.sampled_from(EnvironmentState), min_size=1, max_size=5), st.booleans())
def test_a_check_passes_only_if_each_environment_does(
    states: list[EnvironmentState], merged: bool
) -> None:
    reports = [report(state, f"e{n}") for n, state in enumerate(states)]
    found = checks(reports, Course(plan=tuple(each.name for each in reports)), merged=merged)
    passing = {State.UNCHANGED, State.APPLIED, State.APPROVED}
    assert (found.apply.state == "success") is (set(states) <= passing)
    not_planned = {State.PLAN_FAILED, State.LOCKED}
    assert (found.plan.state == "success") is (not set(states) & not_planned)


@pytest.mark.parametrize("state", [State.LOCKED, State.PLAN_FAILED])
def test_what_is_merged_is_applied_by_trying_again(state: EnvironmentState) -> None:
    given_report = report(state, plan=None, holder=HOLDER, reason="no quota")
    found = seen(told(given_report, of=facts(merged=True)))
    assert "Write xops apply: it is tried again." in found
    assert "Push" not in found


def test_of_a_merged_pull_request_no_merge_is_asked() -> None:
    found = seen(told(report(State.APPLIED, approved_by=("bob",)), of=facts(merged=True)))
    assert "Merge this" not in found


def test_words_of_warnings_stay_in_the_run() -> None:
    """They are a provider's or a condition's, and may quote whatever Terraform can read."""
    found = told(report(plan=plan(warnings=("check.x: failed: canary-of-the-state", "canary"))))
    assert "canary" not in found
    assert "2 that Terraform gives: the run has their words" in found
