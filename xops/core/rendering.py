"""Text of others on its way to people: made harmless for the medium in which it is shown.

Values of a plan, tags, names of hosts, messages of tools and of commits may be anybody's. In a
terminal, in Markdown or in a chat they could hide lines, forge others, fetch an image or call
somebody. So what is shown is a `Rendered` value, and only this module makes one: from a template of
ours, which is trusted, and from values, which are not.

    Markdown.of("**{subject}** on {target}", subject=plan.subject, target=plan.target)

Sources: CommonMark 0.31 and GFM 0.29 (what is markup), rich's markup, Slack's "Formatting text".
"""

from __future__ import annotations

import html
import logging
import re
import string
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, Self

# What `str.isprintable` takes for printable and nobody sees, or sees as part of its neighbour.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U0001d159\U0001d173-\U0001d17a\U000e0100-\U000e01ef]"
)
_MARKS = ("Mn", "Me")
_MOST_MARKS = 2
"""Marks above and below one letter, which some scripts need. More would paint over other lines."""

_MARKUP = re.compile(r"[!#$&*<>@\[\]\\^`{|}~]|(?<![^\W_])_|_(?![^\W_])|:(?=\S|\Z)|(?<=[Ww]{3})\.")
"""What may be markup within a line of Markdown, or makes a link of an address."""

_MARKUP_FIRST = re.compile(r"\A(\s*\d*)([-+.)](?=\s|\Z|-)|=)")
"""What may be markup where a line begins: items of lists, rules, and what makes a heading."""

_CALLS = re.compile(r"([@#]|GH-)(?=\w)")
"""What calls people, or links to an issue, wherever the text stands: a chat and GitHub look for it
after they have read the markup. A space of no width after it ends that."""

_NO_WIDTH = "\u200b"
_BACKTICKS = re.compile("`+")


def visible(text: str) -> str:
    """One line in which every character is seen: the others as their code, `\\x1b` or `\\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(text))


def _visible(text: str) -> Iterator[str]:
    marks = _MOST_MARKS  # one that begins a text would paint over what stands before it
    for char in text:
        marks = marks + 1 if unicodedata.category(char) in _MARKS else 0
        is_seen = char.isprintable() and not _INVISIBLE.match(char) and marks <= _MOST_MARKS
        yield char if is_seen else _code(char)


def _code(char: str) -> str:
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char)
    if named:
        return named
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_HIDDEN = "***"
_PLACEHOLDER = "USER:PASSWORD"
_TELLING = re.compile("pass|secret|token|signature|credential|[sie].?key$", re.IGNORECASE)


def hide_credentials(text: str) -> str:
    """The text, and of each address in it neither user and password nor options that hold secrets.

    A password may hold any character, `@` and `/` among them, so that all up to the last `@` of a
    word may be a part of it.
    """
    if "://" not in text:
        return text
    # Not `split`: what separates words stays as it is.
    return "".join(_without_credentials(word) for word in re.split(r"(\s)", text))


def _without_credentials(word: str) -> str:
    scheme, separator, rest = word.partition("://")
    user, at, after = rest.rpartition("@")
    if not separator or user == _PLACEHOLDER:
        return word
    place, question, options = after.partition("?")
    shown = "&".join(map(_without_value, options.split("&")))
    return f"{scheme}://{_HIDDEN + at if at else ''}{place}{question}{shown}"


def _without_value(option: str) -> str:
    name, equals, _ = option.partition("=")
    return f"{name}={_HIDDEN}" if equals and _TELLING.search(name) else option


class Rendered(str):
    """Text that is harmless in one medium; a subclass for each."""

    __slots__ = ()

    @classmethod
    def render(cls, text: str) -> Self:
        """One line of others' text, made harmless."""
        return cls(cls._harmless(visible(text)))

    @classmethod
    def lines(cls, text: str) -> Self:
        """Others' text of several lines, each made harmless."""
        return cls("\n".join(cls._harmless(visible(line)) for line in text.split("\n")))

    @classmethod
    def of(cls, template: str, /, **values: Any) -> Self:
        """A template of ours with values of others. Values of this class are taken as they are."""
        return cls(_Formatter(cls).vformat(template, (), values))

    @classmethod
    def joined(cls, separator: str, parts: Iterable[Self]) -> Self:
        """Several of them with a separator of ours between."""
        return cls(separator.join(parts))

    @classmethod
    def _harmless(cls, line: str) -> str:
        raise NotImplementedError


class _Formatter(string.Formatter):
    def __init__(self, kind: type[Rendered]) -> None:
        self._kind = kind

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, self._kind):
            return str(value)
        return self._kind.render(format(value, format_spec))


class Plain(Rendered):
    """For logs, state messages, names of runs and payloads of events."""

    __slots__ = ()

    @classmethod
    def _harmless(cls, line: str) -> str:
        return line


_NOTHING = "[none][/none]"
"""A tag of rich's that does nothing. What stands before it cannot be part of another tag."""

_RICH = re.compile(r"(?<!\\)(\\+)(?=\[|\Z)|\[|:(?!\s)")
"""What may begin a tag or an emoji, with what follows it in the line or in the next value."""


class Terminal(Rendered):
    """For rich's consoles, which take square brackets for markup."""

    __slots__ = ()

    @classmethod
    def _harmless(cls, line: str) -> str:
        # rich's own `escape` sees one value: a tag may begin in one and end in the next.
        return _RICH.sub(lambda found: (found[1] or "") + found[0] + _NOTHING, line)


_ADDRESS = re.compile(r"https?://[A-Za-z0-9.-]+(:\d+)?(/[\w./%#?=+~-]*)?", re.ASCII)


def _reference(char: str) -> str:
    return f"&#{ord(char)};"


def read_markdown(text: str) -> str:
    """The text that `Markdown.render` has made harmless."""
    return html.unescape(text).replace(_NO_WIDTH, "")


class Markdown(Rendered):
    """For artifacts with their descriptions and cells, forms and comments; HTML is markup, too."""

    __slots__ = ()

    @classmethod
    def _harmless(cls, line: str) -> str:
        called = _CALLS.sub(rf"\1{_NO_WIDTH}", line)
        inner = _MARKUP.sub(lambda found: _reference(found[0]), called)
        return _MARKUP_FIRST.sub(lambda found: found[1] + _reference(found[2]), inner)

    @classmethod
    def link(cls, address: str) -> Markdown:
        """A web address that can be clicked, and that is its own text; any other text as text."""
        return cls(f"<{address}>") if _ADDRESS.fullmatch(address) else cls.render(address)

    @classmethod
    def code(cls, text: str) -> Markdown:
        """Text of one line as code, for names and digests: nothing within it is markup."""
        shown = visible(text)
        if "`" in shown or "|" in shown or not shown or shown != shown.strip():
            return cls.render(text)
        return cls(f"`{shown}`")

    @classmethod
    def block(cls, lines: Iterable[str], language: str = "") -> Markdown:
        """Lines as a block of code, whose fence is longer than any run of backticks in them."""
        shown = [visible(line) for line in lines]
        longest = max((len(run) for line in shown for run in _BACKTICKS.findall(line)), default=0)
        fence = "`" * max(3, longest + 1)
        return cls("\n".join([f"{fence}{language}", *shown, fence]))

    @classmethod
    def table(cls, header: Iterable[str], rows: Iterable[Iterable[str]]) -> Markdown:
        """A table; cells are others' text unless they are Markdown already."""

        def cell(text: str) -> str:
            return text if isinstance(text, Markdown) else cls.render(text)

        titles = [cell(text) for text in header]
        lines = [titles, ["---"] * len(titles), *([cell(text) for text in row] for row in rows)]
        return cls("\n".join(f"| {' | '.join(line)} |" for line in lines))


class Chat(Rendered):
    """For messages to chat systems: Slack's markup, and the Markdown that others read."""

    __slots__ = ()

    @classmethod
    def _harmless(cls, line: str) -> str:
        # Three characters are markup to Slack; a link or an image shows another text elsewhere.
        escaped = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return re.sub(r"\](?=[(\[:])", f"]{_NO_WIDTH}", _CALLS.sub(rf"\1{_NO_WIDTH}", escaped))


class _RenderedRecord(logging.LogRecord):
    """A line of a log in which others' text cannot act, nor pass for another line."""

    def getMessage(self) -> str:  # noqa: N802 - as the base calls it
        message = super().getMessage()
        return Plain.lines(message) if self.name.partition(".")[0] == "xops" else message


def render_logs() -> None:
    """Make what xOps' own loggers say harmless, in every process that logs."""
    logging.setLogRecordFactory(_RenderedRecord)
