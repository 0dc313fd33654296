"""The weekly report as a person reads it in the UI: whole, in light and in dark, chart included."""

import json
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.browser import NEEDS_BROWSER, cut_off, open_artifact, open_page, picture
from tests.e2e.prefect_api import PrefectApi
from tests.e2e.stack import SEVERAL_APPLIES, Embedded
from tests.unit.triggers.samples import MONDAY, WEEK, document, mandate, week
from xops.prefect_server.profile import UI_PATH

REASON = "example/web: GitHub answered 502; example/tools: the credential may not read it"
WIDTH = 600
"""Pixels below which nobody reads the chart's labels."""

pytestmark = [pytest.mark.timeout(SEVERAL_APPLIES), NEEDS_BROWSER]


def measured() -> dict[str, Any]:
    """Facts with everything that a report may have to show: ranges, people, doubts, evidence."""
    known = [6, 7, 9, 2, 3, 4, 8, 8, 9, 12, 11, 10, 4, 7, 8, 9]
    weeks = [week(index, value) for index, value in enumerate(known)]
    weeks[12] |= {"iac_prs": None, "complete": False, "bounds": {"at_least": 8}, "reason": REASON}
    weeks[13] |= {"iac_prs": None, "complete": False, "reason": REASON,
                  "bounds": {"at_least": 2, "at_most": 9}}  # fmt: skip
    weeks[-1]["pull_requests"] = [request(number) for number in range(1, 10)]
    names = ("Mona Lisa Octocat", "Hubert Farnsworth", "Turanga Leela", "Amy Wong")
    people = [
        {"name": name, "identities": [name.split()[0].lower(), f"{name.split()[-1]}@example.com"],
         "last_seen": str(MONDAY), "merged": ["one commit of a pull request has both"]}
        for name in names
    ]  # fmt: skip
    people.append({"name": "zoid@example.com", "identities": ["zoid@example.com"],
                   "doubtful": "no account has this address"})  # fmt: skip
    engineers = {"days28": None, "bounds": {"days28": {"at_least": 4, "at_most": 5}},
                 "days90": 6, "people": people}  # fmt: skip
    declared = mandate("2025-10-01", "2027-10-01")
    return document(known) | {"weeks": weeks, "engineers": engineers, "mandates": [declared]}


def request(number: int) -> dict[str, Any]:
    """A pull request of the last week."""
    url = f"https://github.com/example/platform/pull/{number}"
    return {"repository": "example/platform", "number": number, "url": url, "title": "Add a subnet",
            "merged_at": f"{MONDAY + 15 * WEEK}T06:00:00+11:00", "author": "mona",
            "kinds": ["terraform"], "paths": ["infra/main.tf"]}  # fmt: skip


@pytest.fixture(scope="module")
def artifacts(stack: Embedded) -> dict[str, Any]:
    """What a run by these facts has shown."""
    prefect = PrefectApi(stack)
    file = stack.home / "inputs" / "facts.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(measured()))
    parameters = {"request": {"facts": str(file)}}
    run = prefect.start("evaluate-triggers/evaluate-triggers", parameters)
    prefect.wait(run, "Completed")
    found: dict[str, Any] = prefect.artifacts(run)
    return found


def shown(page: Page, ui: str, artifact: Any, text: str, name: str) -> str:
    """The text of an artifact's page, the same in both themes; nothing of it is cut off."""
    texts = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        main = open_artifact(page, ui, artifact, text)
        expect(main.get_by_text("State Message")).to_be_visible()  # what stands beside it, too
        assert cut_off(main) == [], theme
        texts.append(main.inner_text())
        picture(page, f"{name}-{theme}")
    light, dark = texts
    assert light == dark
    return light


def test_the_report_says_where_each_trigger_stands_and_cuts_nothing_off(
    stack: Embedded, page: Page, artifacts: dict[str, Any]
) -> None:
    text = shown(page, stack.ui, artifacts["triggers-report"], "Triggers on", "triggers-report")
    for words in ("iac_prs", "team_size", "second_cloud", "edge", "Completeness",
                  "all that the history remembers", "4 to 5", "1 (azure)", "activation 1",
                  "Mona Lisa Octocat", "doubtful: no account has this address",
                  "https://github.com/example/platform/pull/9"):  # fmt: skip
        assert words in text


def test_the_table_has_a_row_for_each_trigger_and_cuts_nothing_off(
    stack: Embedded, page: Page, artifacts: dict[str, Any]
) -> None:
    text = shown(page, stack.ui, artifacts["triggers"], "iac_prs", "triggers-table")
    assert "threshold" in text


def drawn(image: Locator) -> dict[str, float]:
    found: dict[str, float] = image.evaluate(
        """(image) => { const box = image.getBoundingClientRect();
          return {natural: image.naturalWidth, left: box.left, right: box.right,
                  width: box.width, window: innerWidth}; }"""
    )
    return found


def test_the_chart_is_drawn_within_the_page(
    stack: Embedded, page: Page, artifacts: dict[str, Any]
) -> None:
    address = f"{stack.ui}{UI_PATH}/artifacts/artifact/{artifacts['triggers-chart']['id']}"
    image = open_page(page, address, page.locator("main img")).first
    page.wait_for_function("() => document.querySelector('main img').naturalWidth > 0")
    box = drawn(image)
    assert box["natural"] > WIDTH
    assert box["width"] > WIDTH
    assert 0 <= box["left"] < box["right"] <= box["window"]
    picture(page, "triggers-chart")
