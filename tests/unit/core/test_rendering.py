"""Text of others in every place where people read it: shown as it is, and without effect."""

import io
import logging
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.hostile import HOSTILE, as_html, readable
from tests.soak import examples
from xops.core.plan.model import Action, Change, Plan
from xops.core.plan.view import markdown
from xops.core.rendering import (
    Chat,
    Markdown,
    Plain,
    Rendered,
    Terminal,
    read_markdown,
    render_logs,
    visible,
)

every_class = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
SINKS: list[type[Rendered]] = [Plain, Terminal, Markdown, Chat]

# Derived Core Property Default_Ignorable_Code_Point, DerivedCoreProperties.txt of Unicode 16.
IGNORABLE = [
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5),
    (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
]  # fmt: skip


def is_seen(text: str) -> bool:
    """Whether each character takes up space of its own, in one line and one direction."""
    ignorable = any(first <= ord(c) <= last for c in text for first, last in IGNORABLE)
    return text.isprintable() and not ignorable


# What is seen


@every_class
def test_a_line_of_text_has_only_characters_that_are_seen(text: str) -> None:
    assert is_seen(visible(text))
    assert Plain.render(text) == visible(text)
    assert is_seen(Plain.render(text))


@pytest.mark.parametrize("first_last", IGNORABLE, ids=lambda pair: f"{pair[0]:x}")
def test_what_nobody_sees_is_shown_by_its_code(first_last: tuple[int, int]) -> None:
    for code in range(first_last[0], first_last[1] + 1):
        assert visible(f"a{chr(code)}b") == f"a{_escaped(code)}b"


def _escaped(code: int) -> str:
    digits = 2 if code < 0x100 else 4 if code < 0x10000 else 8
    return f"\\{'xuU'[(2, 4, 8).index(digits)]}{code:0{digits}x}"


@pytest.mark.parametrize(
    "text",
    ["plain ASCII ~!", "Größe", "東京", "Ελλάδα", "हिन्दी", "ไทย", "שָׁלוֹם", "emoji 💥", "e\u0301"],
)
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


@examples(100)
@given(st.text(max_size=30))
def test_no_text_breaks_a_line(text: str) -> None:
    assert is_seen(visible(text))
    for sink in SINKS:
        assert "\n" not in sink.render(text)
        assert sink.lines(text).count("\n") == text.count("\n")


# A template of ours, and values of others


@every_class
@pytest.mark.parametrize("sink", SINKS)
def test_a_value_is_no_template(sink: type[Rendered], text: str) -> None:
    assert sink.of("{a} {b}", a=text, b="B") == sink.of("{a} ", a=text) + sink.render("B")
    assert sink.of("{{}} {a}", a=text) == "{} " + sink.render(text)


def test_only_what_is_of_the_same_medium_is_taken_as_it_is() -> None:
    bold = Markdown("**a**")
    assert Markdown.of("{a}", a=bold) == "**a**"
    assert Terminal.of("{a}", a=Markdown("[red]")) == Terminal.render("[red]")
    assert Markdown.of("{a}", a=Plain("*a*")) == "&#42;a&#42;"
    assert Markdown.of("{a:>4} {b}", a="*", b=1.5) == "   &#42; 1.5"
    assert Markdown.joined(" *x* ", [bold, bold]) == "**a** *x* **a**"


def test_what_was_rendered_is_text_again_once_it_is_changed() -> None:
    assert type(Markdown("a") + "<b>") is str
    assert type(Plain.render("a")) is Plain


# A terminal

_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def on_a_terminal(text: str, markup: bool = True, emoji: bool = True) -> str:
    """What a person sees; no escape sequence but those of styles is left."""
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=True, color_system="truecolor", soft_wrap=True, highlight=False
    )
    console.print(text, markup=markup, emoji=emoji)
    seen = _STYLE.sub("", out.getvalue()).removesuffix("\n")
    assert "\x1b" not in seen
    return seen


@every_class
def test_a_terminal_shows_what_it_is_given(text: str) -> None:
    line = Terminal.of("[bold]{a}[/][green] {b}[/]{a}", a=text, b="B")

    assert on_a_terminal(line) == (f"{visible(text)} B{visible(text)}")


@every_class
def test_two_values_together_are_no_markup_either(text: str) -> None:
    for other in ("]", "[/]", "x]", "[red]", "\\", "bomb:", "=https://e]"):
        line = Terminal.of("{a}{b}{a} [b]{b}[/b]{b}", a=text, b=other)

        a, b = visible(text), visible(other)
        assert on_a_terminal(line) == f"{a}{b}{a} {b}{b}"


@every_class
def test_lines_that_are_printed_without_markup_are_shown_too(text: str) -> None:
    seen = on_a_terminal(Plain.lines(text), markup=False, emoji=False)

    assert seen == "\n".join(map(visible, text.split("\n")))


@examples(100)
@given(st.text("[]/\\a:=@#", max_size=12), st.text("[]/\\a:=@#", max_size=12))
def test_no_markup_of_rich_s_is_ever_made_of_values(a: str, b: str) -> None:
    line = Terminal.of("{a}{b}[bold]{b}{a}[/]", a=a, b=b)

    assert on_a_terminal(line) == f"{a}{b}{b}{a}"


# Markdown


@every_class
def test_markdown_shows_what_it_is_given(text: str) -> None:
    seen = as_html(Markdown.of("**A {a} C**, {b} and {a}.", a=text, b="B"))

    assert seen.tags == ["p", "strong"]
    shown = visible(text)
    assert readable(seen.text) == readable(f"A {shown} C, B and {shown}.")


@every_class
def test_a_line_that_begins_with_it_is_a_paragraph(text: str) -> None:
    for rendered in (Markdown.render(text.strip()), Markdown.lines(text.strip())):
        assert set(as_html(rendered).tags) <= {"p"}


@every_class
def test_a_heading_stays_one(text: str) -> None:
    assert as_html(Markdown.of("### A {a}", a=text)).tags == ["h3"]


@every_class
def test_a_table_keeps_its_cells(text: str) -> None:
    table = Markdown.table((text, "b"), [(text, "x"), ("y", text)])
    seen = as_html(table)

    assert seen.tags == ["table", "thead", "tr", "th", "th", "tbody", *["tr", "td", "td"] * 2]
    shown = readable(visible(text))
    assert readable(seen.text) == readable(f"{shown} b {shown} x y {shown}")


@every_class
def test_code_of_one_line_stays_code_or_is_text(text: str) -> None:
    seen = as_html(Markdown.of("A {a} B", a=Markdown.code(text)))

    assert seen.tags in (["p", "code"], ["p"])
    assert readable(seen.text) == readable(f"A {visible(text)} B")
    cell = as_html(Markdown.table(("a",), [(Markdown.code(text),)]))
    assert [tag for tag in cell.tags if tag != "code"] == ["table", "thead", "tr", "th", "tbody",
                                                           "tr", "td"]  # fmt: skip


@every_class
def test_a_block_of_code_ends_where_it_ends(text: str) -> None:
    block = Markdown.block([text, "````", text, "  ```"], "diff")
    seen = as_html(Markdown.joined("\n\n", [block, Markdown("**after**")]))

    assert seen.tags == ["pre", "code [('class', 'language-diff')]", "p", "strong"]
    shown = visible(text)
    assert seen.text.split("\n")[:4] == [shown, "````", shown, "  ```"]


@every_class
def test_a_plan_s_artifact_has_no_tags_but_ours(text: str) -> None:
    change = Change(action=Action.CREATE, target=text, after={text: text}, reason=text)
    gone = Change(action=Action.DELETE, target=text, before=text)
    plan = Plan(subject=text, target=text, changes=(change, gone), inputs={text: text},
                warnings=(text,))  # fmt: skip

    seen = as_html(markdown(plan))
    known = {"p", "strong", "code", "h3", "pre", "code [('class', 'language-diff')]"}
    assert set(seen.tags) <= known
    assert f"{plan.digest[:32]} {plan.digest[32:]}" in seen.text


@every_class
@pytest.mark.parametrize("sink", [Markdown, Chat])
def test_nobody_is_called_and_no_issue_linked(sink: type[Rendered], text: str) -> None:
    """GitHub and chats look for these in the text, once the markup has been read."""
    shown = as_html(sink.render(text)).text if sink is Markdown else sink.render(text)

    assert not re.search(r"[@#]\w|GH-\d", shown)
    assert sink is Markdown or "<" not in shown


@every_class
def test_what_was_made_harmless_can_be_read_back(text: str) -> None:
    assert read_markdown(Markdown.render(text)) == visible(text).replace("\u200b", "")


@pytest.mark.parametrize(
    "text",
    ["ecs/prod: 1 to create, 2 to update (digest 514c9e1fd2c9)", "iac_prs", "120.00 to 190.00 USD"],
)
def test_common_text_stays_readable_where_it_is_not_rendered(text: str) -> None:
    assert Markdown.render(text) == text


@pytest.mark.parametrize(
    "text", ["- a", "--", "-", "+ a", "1. a", "12) a", "1.", "===", "=", "  - a", ". a", ") a"]
)
def test_what_begins_a_block_does_not(text: str) -> None:
    for template in ("{a}", "above\n{a}", "- {a}", "1{a}"):
        tags = as_html(Markdown.of(template, a=text)).tags
        assert tags == (["ul", "li"] if template == "- {a}" else ["p"])


@pytest.mark.parametrize(
    ("address", "is_link"),
    [
        ("https://github.com/acme/infra/pull/7", True),
        ("http://127.0.0.1:4200/runs/flow-run/1?x=y#z", True),
        ("https://evil.example/a b", False),
        ("https://evil.example/<b>", False),
        ("https://good.example@evil.example/", False),
        ("https://evil.example/a\u202eb", False),
        ("javascript:alert(1)", False),
        ("acme/infra#7", False),
    ],
)
def test_an_address_is_a_link_to_what_it_says(address: str, is_link: bool) -> None:
    seen = as_html(Markdown.link(address))

    assert seen.tags == (["p", f"a [('href', '{address}')]"] if is_link else ["p"])
    assert readable(seen.text) == visible(address)


# A chat


@every_class
def test_a_chat_shows_what_it_is_given(text: str) -> None:
    said = Chat.of("*A* {a}", a=text)

    assert not re.search(r"[<>]|\]\(|\]\[|\]:", said)
    back = said.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert back.replace("\u200b", "") == f"*A* {visible(text)}"
    assert re.fullmatch(r"(?:[^&]|&(?:amp|lt|gt);)*", said)


# Logs


@every_class
def test_what_our_loggers_say_is_one_line(text: str, caplog: pytest.LogCaptureFixture) -> None:
    before = logging.getLogRecordFactory()
    render_logs()
    try:
        with caplog.at_level(logging.INFO):
            logging.getLogger("xops.test").info("from %s", text)
            logging.getLogger("another").info("from %s", text)
    finally:
        logging.setLogRecordFactory(before)

    ours, another = (record.getMessage() for record in caplog.records)
    assert all(is_seen(line) for line in ours.split("\n"))
    assert another == f"from {text}"


def test_marks_are_kept_as_long_as_they_are_those_of_a_letter() -> None:
    assert visible("e\u0301\u0323x") == "e\u0301\u0323x"
    assert visible("e" + "\u0301" * 3) == "e\u0301\u0301\\u0301"
    assert all(unicodedata.category(mark) in ("Mn", "Me") for mark in "\u0301\u0336\u20dd")
