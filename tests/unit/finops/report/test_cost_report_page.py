"""The page and the summary: complete in themselves, honest, and deaf to what names say."""

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from tests.hostile import HOSTILE, as_html, readable
from tests.unit.finops.report.samples import environment, report
from xops.core.rendering import read_markdown, visible
from xops.finops.report import page, text
from xops.finops.report.model.planning import Plans
from xops.finops.report.model.spending import Mover, Movers
from xops.finops.report.model.trust import Gap
from xops.finops.report.model.values import Known, Label, Unknown
from xops.finops.report.wording import money

every_class = pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
OURS = {"p", "strong", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}


class Seen(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


@pytest.fixture(scope="module")
def plain() -> Seen:
    return Seen(page.render(report("a name"), []))


@every_class
def test_names_of_others_are_text_in_the_page(plain: Seen, hostile: str) -> None:
    seen = Seen(page.render(report(hostile), []))

    assert seen.tags == plain.tags
    assert {name for name, _ in seen.attributes} == {name for name, _ in plain.attributes}
    assert readable(visible(hostile)) in readable(seen.text)


@every_class
def test_names_of_others_are_text_in_the_summary(hostile: str) -> None:
    said = text.summary(report(hostile))

    assert set(as_html(said).tags) <= OURS
    assert readable(visible(hostile)) in readable(read_markdown(said))


def test_the_page_asks_for_nothing_and_runs_nothing(plain: Seen) -> None:
    assert "script" not in plain.tags
    policy = next(value for _, value in plain.attributes if value.startswith("default-src"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    addresses = [value for name, value in plain.attributes if name in ("href", "src", "action")]
    assert addresses
    assert all(value.startswith(("#", "data:,")) for value in addresses)
    assert not [name for name, _ in plain.attributes if name.startswith("on")]


def test_every_link_leads_to_a_part_of_the_page(plain: Seen) -> None:
    parts = {value for name, value in plain.attributes if name == "id"}
    links = {value[1:] for name, value in plain.attributes if name == "href" and value[:1] == "#"}
    assert links <= parts
    assert {"coverage", "budgets", "services", "movers", "anomalies", "plan", "replicas"} <= parts


def test_sample_data_are_called_so_before_any_number() -> None:
    made_up = page.render(report(), [])
    assert made_up.index("Sample data.") < made_up.index('class="cards"')
    assert "(sample data)" in made_up
    actual = page.render(report(label=Label.ACTUAL), [])
    assert "Sample data." not in actual
    assert 'class="label actual"' in actual


def test_every_table_of_amounts_says_currency_and_label(plain: Seen) -> None:
    html = page.render(report(), [])
    captions = re.findall(r"<caption>(.*?)</caption>", html)
    amounts = [one for one in captions if "USD" in one]
    assert len(amounts) >= 8
    assert all('class="label' in one or "add up" in one for one in amounts)


def test_what_is_unknown_says_why_and_is_no_zero() -> None:
    lost = "no export of that month"
    html = page.render(
        report(
            spend=Unknown(lost), movers=Unknown(lost), watch=Unknown(lost), streams=Unknown(lost),
            coverage=Unknown(lost), restatements=Unknown(lost), reconciliations=(), curves=(),
            plans=(), budgets=(), gaps=(Gap("3 days", lost),),
        ),
        [],
    )  # fmt: skip
    assert html.count(f"unknown: {lost}") == 6
    assert f"unknown: 3 days: {lost}" in html
    assert "unknown: there is no whole month" in html
    assert "0.00" not in html.replace("0.00 USD", "").replace("$0.01", "")


def test_a_partial_month_is_marked_wherever_it_is_named() -> None:
    html = page.render(report(), [])
    assert "2026-03 (to 15 Mar)" in html
    assert not re.search(r"2026-03(?!-| \(to 15 Mar\))", html)


def test_aud_stands_with_its_dated_rate_or_not_at_all() -> None:
    html = page.render(report(), [])
    assert "AUD at 1.52 of 13 Mar 2026" in html
    assert "AUD 286.37" in html  # 188.40 x 1.52
    without = page.render(report(exchange=None), [])
    assert "no dated exchange rate is set" in without
    assert "AUD 2" not in without


def test_hours_that_are_not_set_are_said_to_be_not_set() -> None:
    html = page.render(report(), [])
    assert "not set" in html
    assert "unknown: no hours are set" in html


def test_the_summary_fits_a_chat_and_names_its_label() -> None:
    said = text.summary(report())
    assert "(sample, USD without tax)" in said
    assert "Sample data: every amount was made up" in said
    assert "| prod | 2026-03 (to 15 Mar) | 188.40 | 180.00 | 381.00 |" in read_markdown(said)
    assert len(said) < 4000


def plans(advice: str) -> tuple[Plans, ...]:
    return (replace(report().plans[0], advice=(advice,)),)


@pytest.mark.parametrize("times", ["07:00-19:00", "07:00"])
def test_a_time_of_day_is_readable_where_markdown_is_not_rendered(times: str) -> None:
    said = text.summary(report(plans=plans(f"promised: 2 MON-FRI {times} Australia/Sydney")))
    assert f"promised: 2 MON-FRI `{times}` Australia/Sydney" in said


@every_class
def test_a_time_of_day_lets_nothing_beside_it_act(hostile: str) -> None:
    for advice in (f"{hostile}07:00{hostile}", f"{hostile} 07:00 {hostile}", f"07:00\t{hostile}"):
        seen = as_html(text.summary(report(plans=plans(advice))))
        assert set(seen.tags) <= OURS | {"code"}
        assert not re.search(r"[@#]\w|GH-\d", seen.text)
        assert readable(visible(f"prod: {advice}")) in readable(seen.text)


@pytest.mark.parametrize("word", [":07:00:", "@07:00", "#07:00", "x:07:00", "5:100:5", "a07:00"])
def test_a_word_that_only_holds_a_time_stays_escaped(word: str) -> None:
    said = text.summary(report(plans=plans(f"at {word} x")))
    assert word not in said
    assert word in read_markdown(said)


def test_an_amount_that_rounds_to_nothing_has_no_sign_of_a_loss() -> None:
    tiny = Decimal("-0.001")
    made = report(
        reconciliations=(replace(report().reconciliations[0], unplanned=tiny),),
        movers=Movers(date(2026, 3, 9), Label.SAMPLE, (Mover("small", tiny, tiny * 2),), ()),
        budgets=(environment("prod", "-0.001", None, "-0.001"),),
    )
    assert "-0.00" not in page.render(made, []) + text.summary(made)
    assert money(Known(tiny, Label.ACTUAL)) == "0.00"


def test_the_summary_lists_some_environments_of_many() -> None:
    rows = tuple(environment(f"pr-{number}", "1", None, "2") for number in range(500))
    said = text.summary(report(budgets=rows))
    assert "and 480 more environments, which the page lists" in said
    assert len(said) < 6000


def test_the_summary_says_what_is_unknown() -> None:
    said = read_markdown(
        text.summary(
            report(
                movers=Unknown("no week"), watch=Unknown("no days"), coverage=Unknown("no usage"),
                spend=Unknown("nothing"), budgets=(environment("prod", "1", None, "2"),),
            )
        )
    )  # fmt: skip
    for expected in ("what moved: unknown: no week", "anomalies: unknown: no days",
                     "tag coverage: unknown: no usage", "| none |"):  # fmt: skip
        assert expected in said
