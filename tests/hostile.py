"""Texts of others that try to act where they are shown, and Markdown as a browser would get it."""

from html.parser import HTMLParser

from markdown_it import MarkdownIt

HOSTILE = {
    "C0 controls": "a\x00b\x07c\x08d\x0be\x0cf\x1fg\x7fh",
    "ESC": "a\x1bb\x1b[2K\x1b[1A\x1bc",
    "OSC 52": "a\x1b]52;c;cm0gLXJmIC8=\x07b\x1b\\c",
    "OSC 8": "\x1b]8;;https://evil.example\x1b\\text\x1b]8;;\x1b\\",
    "CSI of eight bits": "a\x9b2Kb\x90c\x9c",
    "CR": "rm -rf /\rterraform plan",
    "tab and backspace": "a\tb\x08\x08c",
    "bidirectional": "a\u202eb\u202dc\u2066d\u2069e\u200ff\u061cg",
    "zero width": "a\u200bb\u200cc\u200dd\u2060e\ufefff",
    "invisible letters": "a\u3164b\u115fc\u1160d\uffa0e\u2800f\u17b4g",
    "tags": "a\U000e0061\U000e0062\U000e007fb\ufe0fc\U000e0100d",
    "soft hyphen and joiners": "a\u00adb\u034fc\u180ed\u2061e",
    "other spaces": "a\u00a0b\u2003c\u3000d\u202fe",
    "line breaks": "a\nb\x85c\u2028d\u2029e\x0bf\x0cg\r\nh",
    "private use and unassigned": "a\ue000b\U000f0000c\u0378d",
    "marks that paint over": "a" + "\u0300" * 40 + "b\u20dd\u0336c",
    "a mark at the start": "\u0336a",
    "table markup": "a | b || c |\n|---|\n| d |",
    "headings and rules": "# a\n## b\n===\n---\n> c\n- d\n* e\n1. f\n    g",
    "links": "[a](https://evil.example) <https://evil.example> [b][c] [c]: https://evil.example",
    "images": "![a](https://evil.example/x.png) ![b][c]",
    "addresses": "https://evil.example www.evil.example someone@evil.example",
    "mentions": "@everyone @org/team #123 org/repo#7 GH-9 <!channel> <@U123> <users/all>",
    "HTML": "<div hidden><details><img src=x onerror=alert(1)><script>x</script><!-- a",
    "HTML in a cell": "x |\n\n<div hidden>",
    "entities": "&lt;b&gt; &#60;b&#62; &amp;&nbsp;&zwnj;",
    "rich's markup": "[/x] [red]a[/red] [link=https://evil.example]b[/link] [@click=app.quit]c[/]",
    "half of a tag": "a [link=https://evil.example",
    "the other half": "b] c [/",
    "backslashes": "a\\",
    "backslashes before brackets": "\\[red] \\\\[red] \\\\\\[/] a\\\\\\",
    "emoji": ":bomb: :smiley: ::warning-emoji:: a:b:c",
    "backticks": "`a` ``b`` ```c\n```\n~~~",
    "emphasis": "*a* **b** _c_ __d__ ~~e~~ ***f",
    "templates": "{a} {b} {0} {{}} {a.__class__} {a!r} {",
    "math and footnotes": "$a$ $$b$$ [^1] [^1]: c",
    "empty": "",
    "spaces": "   a   ",
}
"""One text a class; each is a value of a plan, a tag, the name of a host, a commit's message."""


class _Seen(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(f"{tag} {attrs}" if attrs else tag)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def as_html(text: str) -> _Seen:
    """As a browser gets it from a renderer that lets HTML through."""
    renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return _Seen(renderer.render(text))


def readable(text: str) -> str:
    """Without the spaces of no width behind what would call somebody; browsers fold spaces."""
    return " ".join(text.replace("\u200b", "").split())
