"""The plots: the same bytes again, colours of the page, and names that are text."""

from datetime import date
from xml.etree import ElementTree as Xml

import pytest

from tests.hostile import HOSTILE
from tests.unit.finops.report.samples import environment, report
from xops.core.rendering import visible
from xops.finops.report.model.spending import Movers
from xops.finops.report.model.values import Label, Unknown
from xops.finops.report.plots import canvas
from xops.finops.report.plots.canvas import DARK, LIGHT
from xops.finops.report.plots.gallery import Picture, Plot, draw, plots

SVG = "{http://www.w3.org/2000/svg}"


def parsed(drawn: str) -> Xml.Element:
    return Xml.fromstring(drawn)  # noqa: S314 - ours


def plot(name: str, text: str = "a name") -> Plot:
    return next(one for one in plots(report(text)) if one.name == name)


@pytest.fixture(scope="module")
def movers() -> Picture:
    return draw(plot("movers"))


def test_there_is_a_plot_for_each_part_that_has_numbers() -> None:
    names = [one.name for one in plots(report())]
    assert names == [
        "budgets", "forecast", "services", "movers", "reconciliation-prod", "replicas", "streams",
        "anomalies", "coverage",
    ]  # fmt: skip
    assert all(len(one.alt.split()) > 8 for one in plots(report()))


def test_every_drawing_says_its_labels_itself(movers: Picture) -> None:
    assert "sample" in [text.text for text in parsed(movers.svg).iter(f"{SVG}text")]


def test_environments_may_be_as_many_as_tags() -> None:
    rows = [environment(f"pr-{number}", "1", None, "2") for number in range(500)]
    budgets, forecast, *_ = plots(report(budgets=tuple(rows)))
    assert budgets.title.endswith("the first 24 of 500")
    assert forecast.title.endswith("the first 12 of 500")
    assert max(budgets.height, forecast.height) < 15


@pytest.mark.filterwarnings("error")
def test_weeks_without_costs_are_drawn_without_a_warning() -> None:
    weeks = Movers(date(2026, 3, 9), Label.ACTUAL, (), ())
    assert draw(next(one for one in plots(report(movers=weeks)) if one.name == "movers")).png


def test_what_is_unknown_is_not_drawn() -> None:
    lost = Unknown("nothing")
    made = report(spend=lost, movers=lost, watch=lost, streams=lost, coverage=lost, budgets=(),
                  curves=(), reconciliations=())  # fmt: skip
    assert plots(made) == []


def test_the_same_report_gives_the_same_bytes(movers: Picture) -> None:
    again = draw(plot("movers"))
    assert (again.svg, again.png) == (movers.svg, movers.png)


def test_every_colour_of_a_drawing_is_one_of_the_page(movers: Picture) -> None:
    assert "var(--series-1)" in movers.svg
    assert not [colour for colour in LIGHT.variables().values() if colour in movers.svg]
    alone = canvas.standalone(movers.svg)
    assert "prefers-color-scheme:dark" in alone
    assert f"--surface:{DARK.surface};" in alone
    parsed(alone)


def test_the_hatching_of_a_partial_month_has_the_colours_of_the_page() -> None:
    drawn = draw(plot("services")).svg
    assert "<pattern" in drawn
    assert not [colour for colour in LIGHT.variables().values() if colour in drawn]


def test_a_drawing_says_what_it_shows_and_has_names_of_its_own(movers: Picture) -> None:
    root = parsed(movers.svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == movers.plot.alt
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert ids
    assert all(str(name).startswith("movers-") for name in ids)
    assert root.findall(f"{SVG}metadata") == []


def test_the_themes_have_a_colour_for_each_purpose_and_no_two_alike() -> None:
    for theme in (LIGHT, DARK):
        colours = list(theme.variables().values())
        assert len(set(colours)) == len(colours)
    assert LIGHT.variables().keys() == DARK.variables().keys()


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read_on_its_surface(theme: canvas.Theme) -> None:
    """Source: WCAG 2.2, contrast (minimum): 4.5 for text, 3 for what is drawn."""
    surface = luminance(theme.surface)
    for name, least in {"ink": 7, "muted": 4.5, "limit": 4.5, "good": 4.5, "bad": 4.5}.items():
        colour = luminance(getattr(theme, name))
        light, dark = max(surface, colour), min(surface, colour)
        assert (light + 0.05) / (dark + 0.05) >= least, name


def test_names_of_others_are_text_in_a_drawing() -> None:
    drawn = draw(plot("movers", "".join(HOSTILE.values())[:30])).svg
    root = parsed(drawn)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg", "g", "path", "use", "defs", "text", "clipPath", "rect", "title", "pattern",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["$\\frac{1}{2}$", "<script>x</script>", "a\u202eb", "汉字", ""])
def test_a_name_is_drawn_as_it_is(text: str) -> None:
    root = parsed(draw(plot("movers", text)).svg)
    shown = canvas.shown(text)
    assert shown == (visible(text) or "(no name)")
    assert shown in [element.text for element in root.iter(f"{SVG}text")]
