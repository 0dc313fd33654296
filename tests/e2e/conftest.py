"""One embedded stack for all end-to-end tests, brought up the way a newcomer does it."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e.browser import CHROMIUM, LONGEST, QUIET, open_sign_in
from tests.e2e.stack import OUTPUT, ROOT, Embedded, FirstRun, free_port
from tests.github_server import TOKEN, GitHubServer
from tests.secret_sources import write_sources

logger = logging.getLogger(__name__)


@pytest.fixture(scope="session")
def github() -> Iterator[GitHubServer]:
    """The GitHub that the stack's operator uses."""
    with GitHubServer() as server:
        yield server


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory, github: GitHubServer) -> Iterator[Embedded]:
    """Nothing runs yet; whatever a test has started is stopped at the end.

    XOPS_TEST_HOME names the home of a stack that is up already: a developer who works on these
    tests keeps one, since bringing it up takes minutes.
    """
    if kept := os.environ.get("XOPS_TEST_HOME"):
        yield Embedded.found(Path(kept))
        return
    operator = _operator(github, tmp_path_factory.mktemp("operator"))
    home = tmp_path_factory.mktemp("xops-home")
    stack = Embedded(home, free_port(), free_port(), free_port(), operator)
    yield stack
    stack.xops("down")


def _operator(github: GitHubServer, folder: Path) -> dict[str, str]:
    """What an operator sets: the file of GitHub, the token, and where that may be sent."""
    file = folder / "github.yaml"
    text = (ROOT / "deployments" / "github.yaml").read_text()
    more = f"api_url: {github.url}\nrepositories: [acme/*]\n"
    file.write_text(text.replace("apiVersion: xops/v1\n", f"apiVersion: xops/v1\n{more}"))
    return {
        "XOPS_GITHUB_FILE": str(file),
        "XOPS_GITHUB_TOKEN": TOKEN,
        "XOPS_SECRETS": write_sources(folder, github.url),
    }


@pytest.fixture(scope="session")
def first_run(embedded: Embedded) -> FirstRun:
    """`xops up --once` from nothing."""
    done = embedded.xops("up", "--once")
    OUTPUT.mkdir(exist_ok=True)
    (OUTPUT / "first-run.txt").write_text(done.stderr + done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return FirstRun(embedded, done.stdout + done.stderr)


@pytest.fixture(scope="session")
def stack(first_run: FirstRun) -> Embedded:
    """The embedded stack with `local` provisioned."""
    return first_run.stack


@pytest.fixture
def browser_page() -> Iterator[Page]:
    """A browser of this test's own, at an empty page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        # Shown with a failure: why a page stayed empty.
        page.on("requestfailed", lambda one: logger.warning("%s: %s", one.url, one.failure))
        page.on("pageerror", lambda error: logger.warning("error in the page: %s", error))
        page.set_default_timeout(LONGEST)
        expect.set_options(timeout=LONGEST)
        yield page
        browser.close()


@pytest.fixture
def page(stack: Embedded, browser_page: Page) -> Page:
    """A person who has signed in through Prefect's form with one paste."""
    open_sign_in(browser_page, stack.ui).fill(stack.secret)
    browser_page.get_by_role("button", name="Login").click()
    browser_page.wait_for_url("**/dashboard*")
    return browser_page
