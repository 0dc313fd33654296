"""The cost report as a person opens it: in a browser, without a network, on a phone as well."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from tests.e2e.browser import CHROMIUM, NEEDS_BROWSER, QUIET
from tests.e2e.stack import OUTPUT, ROOT, XOPS
from xops.core.errors import ExitCode

pytestmark = NEEDS_BROWSER
Theme = Literal["light", "dark"]
SIZES: dict[str, ViewportSize] = {
    "desk": {"width": 1280, "height": 900},
    "phone": {"width": 390, "height": 844},
}
every_size = pytest.mark.parametrize("size", SIZES)
every_theme = pytest.mark.parametrize("theme", ["light", "dark"])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `xops costs report --sample` printed, with the files that it wrote."""
    home = tmp_path_factory.mktemp("home")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "XOPS_"))}
    out = home / "report"
    words = ["costs", "report", "--environment", "prod", "--sample", "--out", str(out)]
    done = subprocess.run(
        [XOPS, *words, "--as-of", "2026-11-29", "--json"],
        env={**kept, "XOPS_HOME": str(home)}, cwd=ROOT, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == ExitCode.FINDINGS, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield launched
        launched.close()


@dataclass
class Opened:
    """A page, and what it asked for and complained of."""

    page: Page
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def opened(browser: Browser, told: dict[str, Any], size: str, theme: Theme) -> Opened:
    context = browser.new_context(viewport=SIZES[size], color_scheme=theme, offline=True)
    found = Opened(context.new_page())
    found.page.on("request", lambda request: found.asked.append(request.url))
    found.page.on("console", lambda message: found.complaints.append(message.text))
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.page.goto(Path(told["page"]).as_uri())
    return found


@every_theme
@every_size
def test_the_page_opens_without_a_complaint_and_asks_nobody(
    browser: Browser, told: dict[str, Any], size: str, theme: Theme
) -> None:
    found = opened(browser, told, size, theme)
    assert found.asked == [Path(told["page"]).as_uri()]
    assert found.complaints == []
    OUTPUT.mkdir(exist_ok=True)
    found.page.screenshot(path=OUTPUT / f"cost-report-{size}-{theme}.png", full_page=True)


DRAWN = """() => [...document.querySelectorAll("figure svg")].map((svg) => {
  const box = svg.getBoundingClientRect();
  const marks = [...svg.querySelectorAll("path, use, rect")].filter((each) => {
    const style = getComputedStyle(each);
    const inks = [style.fill, style.stroke].filter((ink) => ink && ink !== "none");
    return inks.length && inks.every((ink) => !ink.includes("var("));
  });
  const texts = [...svg.querySelectorAll("text")].filter((each) => each.getBBox().width > 0);
  return {label: svg.getAttribute("aria-label"), width: box.width, height: box.height,
          marks: marks.length, texts: texts.length};
})"""


@every_size
def test_all_plots_are_drawn(browser: Browser, told: dict[str, Any], size: str) -> None:
    drawn = opened(browser, told, size, "light").page.evaluate(DRAWN)
    written = sorted((Path(told["folder"]) / "plots").glob("*.svg"))
    assert len(drawn) == len(written) == 9
    for plot in drawn:
        assert plot["label"]
        assert plot["width"] > 300, plot
        assert plot["height"] > 60, plot
        assert plot["marks"] > 5, plot
        assert plot["texts"] > 3, plot


@every_size
def test_the_page_itself_is_never_scrolled_sideways(
    browser: Browser, told: dict[str, Any], size: str
) -> None:
    page = opened(browser, told, size, "light").page
    for details in page.locator("summary").all():
        details.click()
    widths = page.evaluate(
        "() => [document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth]"
    )
    assert max(widths[:2]) <= widths[2]


def test_what_is_wider_than_a_phone_can_be_reached_with_the_keyboard(
    browser: Browser, told: dict[str, Any]
) -> None:
    page = opened(browser, told, "phone", "light").page
    unreachable = page.evaluate(
        """() => [...document.querySelectorAll("*")].filter((each) =>
          getComputedStyle(each).overflowX === "auto" && each.scrollWidth > each.clientWidth + 1
          && each.tabIndex < 0).map((each) => each.outerHTML.slice(0, 100))"""
    )
    assert unreachable == []


def test_dark_and_light_have_colours_of_their_own(browser: Browser, told: dict[str, Any]) -> None:
    colours = {
        theme: opened(browser, told, "desk", theme).page.evaluate(
            """() => [getComputedStyle(document.body).backgroundColor,
              getComputedStyle(document.querySelector("figure svg path")).fill]"""
        )
        for theme in get_args(Theme)
    }
    assert colours["light"][0] != colours["dark"][0]
    assert colours["light"][1] != colours["dark"][1]


@every_theme
def test_a_plot_opened_alone_has_the_colours_of_the_theme(
    browser: Browser, told: dict[str, Any], theme: Theme
) -> None:
    context = browser.new_context(color_scheme=theme)
    page = context.new_page()
    page.goto((Path(told["folder"]) / "plots" / "services.svg").as_uri())
    background = page.evaluate("() => getComputedStyle(document.querySelector('path')).fill")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 27, 34)"}[theme]
    context.close()


def test_pictures_for_a_chat_have_a_natural_size(browser: Browser, told: dict[str, Any]) -> None:
    page = browser.new_page()
    for file in sorted((Path(told["folder"]) / "plots").glob("*.png")):
        page.goto(file.as_uri())
        width, height = page.evaluate(
            "() => [document.images[0].naturalWidth, document.images[0].naturalHeight]"
        )
        assert width > 600, file.name
        assert height > 100, file.name
    page.close()


def test_it_says_first_that_the_costs_are_made_up(browser: Browser, told: dict[str, Any]) -> None:
    page = opened(browser, told, "phone", "light").page
    assert page.locator(".banner").first.inner_text().startswith("Sample data.")
    assert "(sample data)" in page.title()
    assert "over budget" in page.locator(".card").first.inner_text()
