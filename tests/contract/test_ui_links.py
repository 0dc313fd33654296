"""Links lead to a page of the UI that Prefect opens; its former UI is served as well."""

import re
from functools import cache
from pathlib import Path
from uuid import uuid4

import prefect
import pytest
from prefect.settings import PREFECT_SERVER_UI_V2_ENABLED, PREFECT_UI_URL, temporary_settings
from prefect.utilities.urls import url_for

from xops.core.files.settings import ROOT
from xops.local.stack import prefect_environment
from xops.prefect_server.profile import UI_PATH, run_page

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "deployments" / "server").glob("*.env")),
]
ADDRESS = re.compile(r"https?://(?:127\.0\.0\.1:4200|prefect\.example\.com)(/[\w./-]*)")
NO_PAGE = re.compile(r"/api\b")
ROUTE = re.compile(r"path:`(/[^`]*)`")


@cache
def routes() -> frozenset[str]:
    """The pages that the UI knows, as its own bundle names them."""
    assets = Path(str(prefect.__ui_v2_static_path__)) / "assets"
    return frozenset(
        route for file in assets.glob("index-*.js") for route in ROUTE.findall(file.read_text())
    )


def leads_to_a_page(path: str) -> bool:
    """Whether a path on the server is a page of the UI that opens."""
    within = path.removeprefix(UI_PATH)
    if within == path:
        return False
    parts = within.strip("/").split("/")
    return any(
        len(wanted := route.strip("/").split("/")) == len(parts)
        and all(one == other or one[:1] == "$" for one, other in zip(wanted, parts, strict=True))
        for route in routes()
    )


def test_the_ui_that_opens_is_the_one_that_links_lead_to() -> None:
    assert PREFECT_SERVER_UI_V2_ENABLED.value() is True
    assert {"/", "/runs/flow-run/$id", "/deployments/", "/settings"} <= routes()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_an_address_in_a_document_leads_to_a_page(page: Path) -> None:
    paths = [path for path in ADDRESS.findall(page.read_text()) if not NO_PAGE.match(path)]
    assert [path for path in paths if not leads_to_a_page(path)] == []


@pytest.mark.parametrize(
    ("path", "is_page"),
    [
        (f"{UI_PATH}/", True),
        (f"{UI_PATH}/dashboard", True),
        (f"{UI_PATH}/runs/flow-run/1", True),
        ("/runs/flow-run/1", False),
        (f"{UI_PATH}/flow-run/1", False),
        (f"{UI_PATH}/deployment", False),
    ],
)
def test_another_path_is_none(path: str, is_page: bool) -> None:
    assert leads_to_a_page(path) is is_page


def test_prefects_own_links_and_ours_lead_to_the_same_page(tmp_path: Path) -> None:
    run, server = uuid4(), "http://127.0.0.1:4200"
    environ = prefect_environment(f"{server}/api", tmp_path)
    with temporary_settings({PREFECT_UI_URL: environ["PREFECT_UI_URL"]}):
        assert url_for("flow-run", run) == run_page(server, run)
    assert leads_to_a_page(run_page("", run))


def test_the_address_of_a_run_is_written_down_once() -> None:
    files = (file for top in ("xops", "flows", "blocks") for file in (ROOT / top).rglob("*.py"))
    saying = {str(file.relative_to(ROOT)) for file in files if "runs/flow-run" in file.read_text()}
    assert saying == {"xops/prefect_server/profile.py"}
