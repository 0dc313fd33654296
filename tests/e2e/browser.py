"""What a person does in Prefect's UI, in a real browser: opening pages, signing in, looking."""

import os
import shutil
from contextlib import suppress
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.e2e.stack import OUTPUT
from tests.waiting import PATIENCE
from xops.prefect_server.profile import UI_PATH

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LONGEST = 120_000.0 * PATIENCE
"""Milliseconds for what a page must show."""
LOADS = 3
NEEDS_BROWSER = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("XOPS_REQUIRE_ALL"),
    reason="no Chromium on this machine: install the package `chromium`",
)


def open_page(page: Page, address: str, wanted: Locator) -> Locator:
    """Open a page and wait for what it must show. As a person would, load it again where it stays
    empty: the UI's scripts do not ask twice for what came too late from a busy machine."""
    for _ in range(LOADS - 1):
        page.goto(address)
        with suppress(PlaywrightTimeout):
            wanted.first.wait_for(timeout=LONGEST / LOADS)
            return wanted
    page.goto(address)
    expect(wanted.first).to_be_visible()
    return wanted


def open_sign_in(page: Page, ui: str) -> Locator:
    """The field for the secret."""
    return open_page(page, ui, page.locator("input[type=password]"))


def picture(page: Page, name: str) -> None:
    OUTPUT.mkdir(exist_ok=True)
    page.screenshot(path=OUTPUT / f"{name}.png")


CUT_OFF = """(region) => [...region.querySelectorAll("*")].filter((each) => {
  const style = getComputedStyle(each);
  const reads = each.getClientRects().length && (each.innerText || "").trim();
  return reads && !each.closest(".sr-only") && style.overflowX !== "visible"
    && each.scrollWidth > each.clientWidth + 1;
}).map((each) => each.innerText.trim().slice(0, 100))"""


def cut_off(region: Locator) -> list[str]:
    """Texts of which a person sees the begin alone, or must scroll sideways for the rest."""
    found: list[str] = region.evaluate(CUT_OFF)
    return found


def open_artifact(page: Page, ui: str, artifact: Any, text: str) -> Locator:
    address = f"{ui}{UI_PATH}/artifacts/artifact/{artifact['id']}"
    open_page(page, address, page.get_by_text(text))
    return page.locator("main")
