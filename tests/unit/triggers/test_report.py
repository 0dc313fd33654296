"""What others wrote on GitHub is shown in reports, and does nothing there."""

from html import unescape
from typing import Any

import pytest

from tests.hostile import HOSTILE, as_html, readable
from tests.unit.triggers.samples import facts, policy
from xops.core.rendering import Markdown, visible
from xops.triggers.evaluation import Evaluation, evaluate
from xops.triggers.report import text as report

every_class = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
OURS = {"p", "strong", "code", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}


def judged(text: str) -> Evaluation:
    """An evaluation in which this text stands wherever others' may."""
    found = evaluate(policy(), facts([9, 9, 9, 9], engineers=4), facts([9, 9, 9, 9]).as_of)
    verdicts = tuple(
        verdict.model_copy(
            update={
                "warnings": (text, text),
                "evidence": (text, "https://github.com/acme/infra/pull/7"),
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
    values: dict[str, Any] = {"source": text, "warnings": (text,), "completeness": completeness}
    return found.model_copy(update={"triggers": verdicts, **values})


@every_class
def test_a_report_has_no_markup_but_ours(text: str) -> None:
    seen = as_html(report.markdown(judged(text)))

    assert set(seen.tags) <= OURS
    assert readable(visible(text)) in readable(seen.text)


@every_class
def test_a_proposal_has_no_markup_but_ours_and_links_to_what_they_say(text: str) -> None:
    found = judged(text)
    (verdict, *_) = found.active

    seen = as_html(report.proposal(verdict, found))

    links = {tag for tag in seen.tags if tag not in OURS}
    assert links == {"a [('href', 'https://github.com/acme/infra/pull/7')]"}
    assert readable(visible(text)) in readable(seen.text)
    title = report.proposal_title(verdict)
    assert visible(title) == title


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
