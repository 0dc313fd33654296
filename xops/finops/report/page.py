"""The report as one page: no script, nothing that is asked for elsewhere, readable for years.

Every value is made harmless twice: characters that nobody sees by `visible`, markup by Jinja2.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from xops.core.rendering import visible
from xops.finops.report.model.report import Report
from xops.finops.report.model.values import Unknown
from xops.finops.report.plots.canvas import DARK, LIGHT
from xops.finops.report.plots.gallery import Picture
from xops.finops.report.wording import change, format_exact, money

_FOLDER = Path(__file__).parent
_TEMPLATE = "page.html.j2"


def render(report: Report, pictures: Sequence[Picture]) -> str:
    """The page, complete in itself."""
    by_part: dict[str, list[Picture]] = {}
    for picture in pictures:
        by_part.setdefault(picture.plot.part, []).append(picture)
    return _environment().get_template(_TEMPLATE).render(
        report=report,
        pictures=by_part,
        light=LIGHT.variables(),
        dark=DARK.variables(),
    )  # fmt: skip


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "money": money, "change": change, "exact": format_exact, "day": _day, "drawing": _drawing
    }  # fmt: skip
    made.tests["unknown"] = lambda value: isinstance(value, Unknown)
    return made


def _harmless(value: Any) -> Any:
    """What is shown of a value; autoescape follows."""
    return value if isinstance(value, Markup) else visible(str(value))


def _day(value: date | None) -> str:
    return "no known day" if value is None else f"{value:%d %b %Y}"


def _drawing(picture: Picture) -> Markup:
    # Made by `canvas.svg`, whose texts are escaped by the writer of XML.
    return Markup(picture.svg)  # noqa: S704
