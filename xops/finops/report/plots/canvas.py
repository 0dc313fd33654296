"""What the plots share: colours of two themes, and pictures from figures.

A picture in SVG takes its colours from the page's variables, so that one drawing serves light and
dark; its text stays text. Equal figures give equal bytes.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as Xml

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from xops.core.rendering import Plain

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_DPI = 144
_WIDTH = 7.2
_LONGEST = 34
"""Characters of a name beside a bar; more would push the bars away."""


@dataclass(frozen=True)
class Theme:
    """Colours by what they are for; each is another, so that a drawing tells which one it was."""

    surface: str
    ink: str
    muted: str
    grid: str
    good: str
    bad: str
    limit: str
    series: tuple[str, ...]

    def variables(self) -> Mapping[str, str]:
        """By the names of the page's variables."""
        named = {name: getattr(self, name) for name in _NAMED}
        return named | {f"series-{number}": each for number, each in enumerate(self.series, 1)}


_NAMED = ("surface", "ink", "muted", "grid", "good", "bad", "limit")

# Told apart by people who see red and green alike: after Okabe and Ito, colour universal design.
LIGHT = Theme(
    "#ffffff", "#1c2733", "#56636f", "#dfe4e8", "#2d7d74", "#b8430e", "#8f2f6b",
    ("#2b6cb0", "#d98a1f", "#3a9d78", "#a8517f", "#6f63b3", "#857049", "#3f9ab5", "#97a1ab"),
)  # fmt: skip
DARK = Theme(
    "#161b22", "#e6ebf0", "#a3aeb9", "#323a44", "#5cc4b6", "#f2925a", "#e08cc3",
    ("#6ba7e3", "#efb04f", "#62c89f", "#d98bb4", "#a89ce2", "#c0a777", "#74c6de", "#7c8793"),
)  # fmt: skip

_SETTINGS: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar sign of others begins no formula
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "hatch.linewidth": 0.8,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.06,
}


@contextmanager
def drawing(theme: Theme, height: float) -> Iterator[Figure]:
    """A figure in the colours of a theme, `height` inches high."""
    colours: dict[Any, Any] = {
        "text.color": theme.ink,
        "axes.edgecolor": theme.muted,
        "axes.labelcolor": theme.muted,
        "axes.facecolor": theme.surface,
        "figure.facecolor": theme.surface,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "grid.color": theme.grid,
    }
    with mpl.rc_context(_SETTINGS | colours), warnings.catch_warnings():
        # A name may be in any script, the font of a picture is in few: it has a box there then.
        warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)
        figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def say_labels(figure: Figure, labels: Sequence[str], theme: Theme) -> None:
    """What kinds of numbers it shows, for where no page says it beside it; before `settle`."""
    said = ", ".join(map(str, labels))
    figure.supxlabel(said, x=0.995, ha="right", fontsize=7, color=theme.muted)


def settle(figure: Figure) -> None:
    """Lay it out once, for all pictures that are made of it; within its `drawing`."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")


def png(figure: Figure) -> bytes:
    """The figure as PNG; within its `drawing`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: Figure, name: str, alt: str, theme: Theme) -> str:
    """The figure as SVG for a page, without colours of its own; within its `drawing`.

    Args:
        figure: what was drawn.
        name: of the plot, unique in its page: what is in it is named after it.
        alt: what it shows, for people who do not see it.
        theme: in whose colours it was drawn.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    root = Xml.fromstring(buffer.getvalue())  # noqa: S314 - matplotlib's, made above
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    for definitions in root.findall(f"{{{_SVG}}}defs"):
        for style in definitions.findall(f"{{{_SVG}}}style"):  # it would be one of all the page
            definitions.remove(style)
    for measure in ("width", "height"):
        root.attrib.pop(measure, None)
    root.attrib |= {"role": "img", "aria-label": Plain.render(alt)}
    variables = {value: f"var(--{key})" for key, value in theme.variables().items()}
    for element in root.iter():
        _name_after(element, name)
        _take_colours_from(element, variables)
    return _serialised(root)


def standalone(drawn: str) -> str:
    """A drawing of `svg` as a file of its own, with the colours of both themes."""
    style = (
        f"<style>:root{{{_declared(LIGHT)}}}"
        f"@media(prefers-color-scheme:dark){{:root{{{_declared(DARK)}}}}}</style>"
    )
    opening, closing, rest = drawn.partition(">")
    return f"{opening}{closing}{style}{rest}"


def _declared(theme: Theme) -> str:
    return "".join(f"--{name}:{value};" for name, value in theme.variables().items())


def _name_after(element: Xml.Element, name: str) -> None:
    """Names within several drawings of one page are each somebody's own."""
    if "id" in element.attrib:
        element.set("id", f"{name}-{element.get('id')}")
    for key, value in element.attrib.items():
        if key == _LINK and value.startswith("#"):
            element.set(key, f"#{name}-{value[1:]}")
        elif value.startswith("url(#"):
            element.set(key, f"url(#{name}-{value[5:]}")
        elif key == "style" and "url(#" in value:
            element.set(key, value.replace("url(#", f"url(#{name}-"))


def _take_colours_from(element: Xml.Element, variables: Mapping[str, str]) -> None:
    # A pattern's colours are attributes, which know no variables.
    attributes = [key for key in ("fill", "stroke") if element.get(key) in variables]
    style = "; ".join(
        [
            *filter(None, [element.get("style")]),
            *(f"{key}: {element.attrib.pop(key)}" for key in attributes),
        ]
    )
    if not style:
        return
    for colour, variable in variables.items():
        style = style.replace(colour, variable)
    element.set("style", style.replace("'DejaVu Sans'", "system-ui, sans-serif"))


def _serialised(root: Xml.Element) -> str:
    Xml.register_namespace("", _SVG)
    Xml.register_namespace("xlink", _LINK[1:].partition("}")[0])
    return Xml.tostring(root, encoding="unicode")


def shown(name: str, longest: int = _LONGEST) -> str:
    """A name of others beside a bar: harmless, and no longer than there is room for."""
    text = Plain.render(name) or "(no name)"
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def note(axes: Axes, text: str, at: tuple[float, float], theme: Theme) -> None:
    """A number right of a mark, readable where lines cross it."""
    axes.annotate(
        text, at, (5, 0), textcoords="offset points", va="center", fontsize=8,
        bbox={"facecolor": theme.surface, "edgecolor": "none", "pad": 1.0, "alpha": 0.85},
    )  # fmt: skip


def money_axis(axes: Axes, *, vertical: bool = True) -> None:
    """An axis of money: a grid, and thousands with a comma."""
    axis = axes.yaxis if vertical else axes.xaxis
    axis.set_major_formatter(lambda value, _position: f"{value:,.10g}")
    axes.grid(visible=True, axis="y" if vertical else "x", linewidth=0.8)
    axes.tick_params(length=0)
    axes.spines["left" if vertical else "bottom"].set_visible(False)
