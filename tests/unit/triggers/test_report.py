"""What a report tells, and that what others wrote on GitHub does nothing in it."""

from datetime import date, timedelta
from html import unescape
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes

from tests.hostile import HOSTILE, as_html, readable
from tests.unit.triggers.samples import IAC_PRS, MONDAY, TEAM_SIZE, WEEK, facts, policy
from xops.core.errors import ExitCode
from xops.core.rendering import Markdown, visible
from xops.github.issues import IssueDraft
from xops.triggers.evaluation import (
    EndedActivation,
    Evaluation,
    FormerSeries,
    OtherReading,
    Point,
    TriggerVerdict,
    evaluate,
)
from xops.triggers.facts import Bounds, Completeness, Failure, LeftOut, People
from xops.triggers.machine import Phase
from xops.triggers.policy import Policy
from xops.triggers.report import chart, proposal, values
from xops.triggers.report import text as report
from xops.triggers.report.failure import as_error

every_class = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
OURS = {"p", "strong", "code", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
ACTIVATION = UUID("2f0c51f2-6a3e-4b62-93c9-1d4f4e9b2a10")
PULL_REQUEST = "https://github.com/acme/infra/pull/7"
BESIDE = {"above": 5, "weeks": 3, "of": 4}
RULES = policy(triggers={"iac_prs": {**IAC_PRS, "beside": BESIDE}, "team_size": TEAM_SIZE})


def evaluation(**changes: Any) -> Evaluation:
    """An active trigger and one on people, with these values of the first one changed."""
    found = evaluate(RULES, facts([9, 9, 9, 9], engineers=4), MONDAY + 4 * WEEK)
    first, *others = found.triggers
    changed = first.model_copy(update={"activation": ACTIVATION, "number": 3, **changes})
    return found.model_copy(update={"triggers": (changed, *others)})


def told(found: Evaluation) -> str:
    """The Markdown as its reader sees it, the lines for a terminal below it."""
    printed = [line for verdict in found.triggers for line in report.lines(verdict)]
    return "\n".join([as_html(report.markdown(found)).text, *printed])


def issue(verdict: TriggerVerdict, found: Evaluation) -> str:
    return as_html(proposal.body(verdict, found)).text


@pytest.mark.parametrize(
    ("value", "bounds", "words"),
    [
        (6, None, "6"),
        (0, None, "0"),
        (None, None, "unknown"),
        (None, Bounds(), "unknown"),
        (None, Bounds(at_least=8), "8 or more"),
        (None, Bounds(at_least=2, at_most=5), "2 to 5"),
        (None, Bounds(at_least=0, at_most=1), "0 to 1"),
    ],
)
def test_a_count_is_told_with_what_is_known_of_it(
    value: int | None, bounds: Bounds | None, words: str
) -> None:
    assert values.count(value, bounds) == words


@given(st.integers(0, 10_000), st.none() | st.integers(0, 10_000))
def test_an_unknown_count_never_reads_as_zero_and_names_its_ends(
    least: int, more: int | None
) -> None:
    bounds = Bounds(at_least=least, at_most=None if more is None else least + more)
    words = values.count(None, bounds)
    assert words != "0" or bounds.at_most == 0
    assert str(least) in words or words == "unknown"
    assert bounds.at_most is None or str(bounds.at_most) in words


def test_a_value_with_bounds_is_told_everywhere() -> None:
    bounds = Bounds(at_least=8)
    point = Point(period=MONDAY, value=None, bounds=bounds, phase=Phase.ACTIVE, insufficient=False)
    found = evaluation(value=None, bounds=bounds, series=(point,))
    assert "value 8 or more, " in told(found)
    assert report.table(found)[0]["value"] == "8 or more"
    assert "the value is 8 or more" in issue(found.triggers[0], found)
    assert "2025-09-15: 8 or more, active" in issue(found.triggers[0], found)
    assert found.to_json()["triggers"][0]["bounds"] == {"at_least": 8, "at_most": None}


@pytest.mark.parametrize(
    ("basis", "words"),
    [("facts", "from these weeks alone"), ("history", "all that the history remembers")],
)
def test_it_says_from_what_the_states_follow(basis: str, words: str) -> None:
    found = evaluation().model_copy(update={"basis": basis})
    assert words in told(found)
    assert words in issue(found.triggers[0], found)


def test_the_other_reading_stands_beside_the_one_that_decides_with_why_they_differ() -> None:
    other = OtherReading(
        threshold="> 5 in 3 of 4 weeks", state="pending (2 of 3)", active=False, since=None,
        why="it asks for 3 weeks, and 2 are above",
    )  # fmt: skip
    found = evaluation(beside=other)
    for text in (told(found), issue(found.triggers[0], found)):
        assert "> 5 in 3 of 4 weeks: pending (2 of 3)" in text
        assert "it asks for 3 weeks, and 2 are above" in text
    assert report.table(found)[0]["beside"] == "pending (2 of 3)"


def test_a_former_series_and_what_changed_are_told() -> None:
    former = FormerSeries(last=MONDAY, state="active", changed=("acme/web is measured as well",))
    found = evaluation(former=former)
    for text in (told(found), issue(found.triggers[0], found)):
        assert "up to 2025-09-15 it was active" in text
        assert "acme/web is measured as well" in text


PEOPLE = (
    People(name="Mona", identities=("mona", "mona@acme.example"), last_seen=date(2026, 3, 1),
           merged=("one commit of a pull request",)),
    People(name="lisa@acme.example", identities=("lisa@acme.example",),
           doubtful="no account has this address"),
)  # fmt: skip


def test_who_was_counted_is_told_with_identities_and_doubts() -> None:
    found = evaluation(people=PEOPLE)
    text = told(found)
    assert "Mona (mona, mona@acme.example), last seen 2026-03-01" in text.replace("\u200b", "")
    assert "one person: one commit of a pull request" in text
    assert "doubtful: no account has this address" in text
    assert "counted: Mona; doubtful: lisa@acme.example" in text
    assert len(found.to_json()["triggers"][0]["people"]) == 2


def test_who_was_left_out_is_told_with_the_reason() -> None:
    machine = LeftOut(name="acme-ci", identities=("acme-ci", "ci@acme.example"), why="matches *-ci")
    found = evaluation(people=PEOPLE, left_out=(machine,), left_out_more=4)
    text = told(found)
    assert "acme-ci (acme-ci, ci@acme.example), not dated: matches *-ci" in text
    assert "and 4 more" in text
    assert "not counted: acme-ci and 4 more" in text


def test_an_issue_names_people_and_nobody_s_address() -> None:
    lines = tuple(f"{person.name} ({', '.join(person.identities)})" for person in PEOPLE)
    found = evaluation(people=PEOPLE, evidence=lines)
    text = issue(found.triggers[0], found)
    assert "Mona" in text
    assert "lisa, doubtful" in text
    assert "acme.example" not in text


@given(st.text(st.characters(codec="utf-8"), max_size=40), st.text("ab.-", min_size=1, max_size=9))
def test_of_an_address_nothing_behind_the_sign_is_told(before: str, after: str) -> None:
    name = f"x{before}@{after}"
    assert "@" not in values.without_address(name)
    assert values.without_address(f"x{before.replace('@', '')}") == f"x{before.replace('@', '')}"


def test_evidence_is_linked_and_counted_where_it_is_long() -> None:
    links = tuple(f"https://github.com/acme/infra/pull/{number}" for number in range(1, 31))
    found = evaluation(evidence=links)
    text = told(found)
    assert "https://github.com/acme/infra/pull/20" in text
    assert "https://github.com/acme/infra/pull/21" not in text
    assert "and 10 more" in text
    assert len(found.to_json()["triggers"][0]["evidence"]) == 30


def test_an_activation_is_told_with_number_and_for_which_clouds() -> None:
    found = evaluation(subjects=("azure", "gcp"), value=2)
    text = told(found)
    assert "(activation 3)" in text
    assert "2 (azure, gcp)" in text
    assert "iac_prs, for azure, gcp: activation 3: Atlantis on K3S" in text
    assert f"Activation 3: {ACTIVATION}" in issue(found.triggers[0], found)


ENDED = EndedActivation(
    trigger="old_name", activation=ACTIVATION, number=2, since=MONDAY, ended=MONDAY + WEEK,
    reason="the trigger is no longer in the policy.",
)  # fmt: skip


def test_an_ended_activation_is_told_and_its_issue_says_why() -> None:
    found = evaluation().model_copy(update={"ended": (ENDED,)})
    reason = "ended on 2025-09-22: the trigger is no longer in the policy"
    assert f"old_name: {reason}" in told(found)
    comment = as_html(proposal.closing_comment(ENDED, found)).text
    assert f"This activation of old_name {reason}." in comment


FAILURE = Failure(
    attempted="reading GitHub", found="the token has expired", remedy="Make a new token."
)


def test_a_failure_is_told_first_with_its_remedy() -> None:
    found = evaluation().model_copy(update={"failure": FAILURE})
    head = as_html(report.markdown(found)).text.strip().splitlines()[:3]
    assert "nothing was measured on GitHub" in head[0]
    words = "reading GitHub: the token has expired. Make a new token."
    assert words in " ".join(head)
    error = as_error(FAILURE)
    assert str(error) == "reading GitHub: the token has expired\n  -> Make a new token."
    assert as_error(FAILURE.model_copy(update={"remedy": ""})).remedy
    assert error.exit_code == ExitCode.FAILED
    down = as_error(FAILURE.model_copy(update={"temporary": True}))
    assert down.exit_code == ExitCode.TEMPORARY


def test_a_thousand_unreadable_repositories_still_make_a_readable_report_and_an_issue() -> None:
    reason = "; ".join(f"acme/repository-{number}: GitHub answered 502" for number in range(1000))
    unreadable = {f"acme/repository-{number}": "GitHub answered 502" for number in range(1000)}
    found = evaluation(warnings=(f"the last value is unknown: {reason}",) * 100)
    completeness = found.completeness.model_copy(update={"unreadable_repositories": unreadable})
    found = found.model_copy(update={"completeness": completeness})
    assert "and 980 more" in report.markdown(found)
    assert len(report.markdown(found)) < 80_000
    body = proposal.body(found.triggers[0], found)
    assert IssueDraft("trigger/iac_prs/1", "Title", body, ("label",)).marked


def judged(text: str) -> Evaluation:
    """An evaluation in which this text stands wherever others' may."""
    found = evaluate(policy(), facts([9, 9, 9, 9], engineers=4), facts([9, 9, 9, 9]).as_of)
    person = People(name=text, identities=(text,), merged=(text,), doubtful=text)
    other = OtherReading(threshold=text, state=text, active=False, since=None, why=text)
    verdicts = tuple(
        verdict.model_copy(
            update={
                "warnings": (text, text),
                "evidence": (text, PULL_REQUEST),
                "people": (person,) if verdict.trigger == "team_size" else (),
                "left_out": (LeftOut(name=text, identities=(text,), why=text or "-"),),
                "kept": text,
                "subjects": (text,),
                "beside": other,
                "former": FormerSeries(last=MONDAY, state=text, changed=(text,)),
                "owner": text,
                "action": text,
                "needs": (text,),
                "next": text,
            }
        )
        for verdict in found.triggers
    )
    completeness = found.completeness.model_copy(
        update={
            "unreadable_repositories": {text: text},
            "renamed_repositories": {text: text},
            "truncated_files": (text,),
            "notes": (text,),
        }
    )
    changed: dict[str, Any] = {
        "source": text,
        "warnings": (text,),
        "completeness": completeness,
        "ended": (ENDED.model_copy(update={"trigger": text, "reason": text}),),
        "failure": Failure(attempted=text, found=text, remedy=text),
    }
    return found.model_copy(update={"triggers": verdicts, **changed})


def links(tags: list[str]) -> set[str]:
    return {tag for tag in tags if tag not in OURS}


@every_class
def test_a_report_has_no_markup_but_ours(text: str) -> None:
    seen = as_html(report.markdown(judged(text)))

    assert links(seen.tags) == {f"a [('href', '{PULL_REQUEST}')]"}
    assert readable(visible(text)) in readable(seen.text)


@every_class
def test_a_proposal_has_no_markup_but_ours_and_links_to_what_they_say(text: str) -> None:
    found = judged(text)
    (verdict, *_) = found.active

    seen = as_html(proposal.body(verdict, found))

    assert links(seen.tags) == {f"a [('href', '{PULL_REQUEST}')]"}
    assert readable(visible(text)) in readable(seen.text)
    title = proposal.title(verdict)
    assert visible(title) == title


@every_class
def test_a_closing_comment_has_no_markup_but_ours(text: str) -> None:
    found = judged(text)
    assert set(as_html(proposal.closing_comment(found.ended[0], found)).tags) <= OURS


@every_class
def test_a_cell_of_a_table_is_read_as_markdown(text: str) -> None:
    """Prefect's UI does so with every cell that is a text."""
    for row in report.table(judged(text)):
        for cell in row.values():
            assert set(as_html(Markdown.render(cell)).tags) <= {"p"}


def test_what_is_no_markup_stays_readable() -> None:
    found = judged("plain words")

    assert unescape(report.markdown(found)).count("plain words") >= 5
    assert "\n- plain words\n" in report.markdown(found)


def drawn(found: Evaluation, rules: Policy = RULES) -> list[Axes]:
    return list(chart.draw(found, rules).axes)


def words(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_a_chart_says_what_is_counted_and_in_which_year() -> None:
    first, second = drawn(evaluation())
    assert "merged pull requests" in first.get_ylabel()
    assert second.get_ylabel() == "engineers (days28)"
    assert [label.get_text() for label in first.get_xticklabels()] == [
        "15 Sep\n2025", "22 Sep", "29 Sep", "06 Oct"
    ]  # fmt: skip


def test_a_chart_says_the_year_anew_where_it_changes() -> None:
    found = evaluation(
        series=tuple(
            Point(period=date(2025, 12, 15) + timedelta(weeks=index), value=1,
                  phase=Phase.INACTIVE, insufficient=False)
            for index in range(5)
        )
    )  # fmt: skip
    labels = [label.get_text() for label in drawn(found)[0].get_xticklabels()]
    assert labels == ["15 Dec\n2025", "22 Dec", "29 Dec", "05 Jan\n2026", "12 Jan"]


def test_a_chart_draws_what_is_known_of_an_unknown_week() -> None:
    bounds = [None, Bounds(at_least=8), Bounds(at_least=2, at_most=5), Bounds()]
    points = tuple(
        Point(period=MONDAY + WEEK * index, value=None, bounds=one, phase=Phase.PENDING,
              insufficient=True)
        for index, one in enumerate(bounds)
    )  # fmt: skip
    (axes, _) = drawn(evaluation(series=points))
    assert words(axes)[:4] == ["?", "8+", "2-5", "?"]
    bars = sorted((bar.get_y(), bar.get_height()) for group in axes.containers for bar in group)
    assert (2.0, 3.0) in bars  # from 2 up to 5
    assert any(start == 8.0 and height > 0 for start, height in bars)  # from 8 upwards


def test_a_chart_shows_the_states_by_both_readings() -> None:
    found = evaluation()
    series = tuple(
        point.model_copy(update={"phase": Phase.PENDING}) for point in found.triggers[0].series
    )
    other = OtherReading(
        threshold="", state="pending", active=False, since=None, why="", series=series
    )
    with_both = drawn(evaluation(beside=other))[0]
    alone = drawn(found.model_copy(update={"triggers": (
        found.triggers[0].model_copy(update={"beside": None}),)}))[0]  # fmt: skip
    assert [text for text in words(with_both) if "beside" in text]
    assert len(with_both.patches) == len(alone.patches) + len(series)
    assert with_both.get_ylim()[0] < alone.get_ylim()[0] < 0


def test_a_chart_is_drawn_whatever_somebody_is_called() -> None:
    # What stands between two $ is mathematics to matplotlib, and this no formula.
    found = evaluation(state="active, accepted by $\\frac{x$ \n\x1b")
    assert chart.png(found, RULES).startswith(b"\x89PNG")
    title = drawn(found)[0].get_title(loc="left")
    assert title == r"iac_prs: active, accepted by $\frac{x$ \n\x1b"


def test_a_week_that_is_not_known_exactly_is_not_told_as_no_week_over() -> None:
    unknown = "\n".join(report.lines(evaluation(value=None, weeks_over=0).triggers[0]))
    assert "over" not in unknown
    assert "1 week over" in "\n".join(report.lines(evaluation(weeks_over=1).triggers[0]))


def test_what_asked_github_nothing_does_not_tell_of_zero_pages() -> None:
    asked = Completeness(pages=3, points=2, rest_calls=1)
    assert report.completeness(Completeness()) == ["nothing was read from GitHub"]
    assert report.completeness(asked) == ["3 pages, 2 points, 1 REST calls"]


def test_a_failure_in_a_sentence_of_github_s_ends_with_one_full_stop() -> None:
    failure = Failure(
        attempted="reading acme/web", found="GitHub answered 403: Protected by SAML.",
        remedy="Authorise it.",
    )  # fmt: skip
    found = evaluation().model_copy(update={"failure": failure})
    assert "Protected by SAML. Authorise it." in as_html(report.markdown(found)).text
