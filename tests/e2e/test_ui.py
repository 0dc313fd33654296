"""A person in the Prefect UI: a plan-only run from the form, then an apply behind the gate."""

import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.e2e.prefect_api import PrefectApi
from tests.e2e.stack import OUTPUT, SEVERAL_APPLIES, Embedded

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
PATIENCE = 120_000.0
RUN, RESUME = "create_flow_run", "resume"
"""The calls of the API with which the UI starts a run and answers a gate."""

pytestmark = [
    pytest.mark.timeout(SEVERAL_APPLIES),
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("XOPS_REQUIRE_ALL"),
        reason="no Chromium on this machine: install the package `chromium`",
    ),
]


@pytest.fixture
def browser_page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        context = browser.new_context(viewport={"width": 1400, "height": 1200})
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield page
        browser.close()


@pytest.fixture
def page(stack: Embedded, browser_page: Page) -> Page:
    """A person who has signed in through Prefect's form with one paste."""
    browser_page.goto(stack.ui)
    browser_page.locator("input[type=password]").fill(stack.secret)
    browser_page.get_by_role("button", name="Login").click()
    browser_page.wait_for_url("**/dashboard*")
    return browser_page


def submit(page: Page, button: Locator, call: str) -> None:
    """Press the button that makes this call once; it is taken at once."""
    with page.expect_response(f"**/{call}") as answered:
        button.click()
    assert answered.value.ok, answered.value.status


def picture(page: Page, name: str) -> None:
    OUTPUT.mkdir(exist_ok=True)
    page.screenshot(path=OUTPUT / f"{name}.png")


def open_form(page: Page, ui: str) -> None:
    """From the list of deployments to the form of provision-ecs."""
    page.goto(f"{ui}/deployments")
    row = page.locator(".p-table__row, tr").filter(has_text="provision-ecs")
    row.get_by_role("link", name="provision-ecs", exact=True).first.click()
    page.wait_for_url("**/deployments/deployment/*")
    page.goto(f"{page.url.split('?')[0]}/run")
    page.get_by_role("button", name="Submit").wait_for()


def choose(page: Page, shown: str, wanted: str) -> None:
    page.get_by_role("button", name=shown, exact=True).press("ArrowDown")
    page.get_by_role("option", name=wanted, exact=True).click()


def test_a_page_of_the_ui_asks_its_own_server_only(stack: Embedded, browser_page: Page) -> None:
    asked: list[str] = []
    told: list[str] = []
    browser_page.on("request", lambda request: asked.append(request.url))
    browser_page.on("console", lambda message: told.append(message.text))
    browser_page.goto(stack.ui)
    field = browser_page.locator("input[type=password]")
    field.fill("xops:guessed")
    browser_page.get_by_role("button", name="Login").click()
    expect(field).to_be_visible()
    picture(browser_page, "0-sign-in")
    field.fill(stack.secret)
    browser_page.get_by_role("button", name="Login").click()
    browser_page.wait_for_url("**/dashboard*")
    expect(browser_page.get_by_text("Flow Runs").first).to_be_visible()
    picture(browser_page, "0-signed-in")
    assert stack.secret not in browser_page.url
    local = (stack.ui, "data:", "blob:")
    # What its policy has kept from being asked is a line on the console and no request.
    assert [url for url in asked if not url.startswith(local)] == []
    assert any("Content Security Policy" in text for text in told)


ATTACK = """async (ui) => {
  const orders = {
    form: {mode: "no-cors", method: "POST", body: "{}", headers: {"content-type": "text/plain"}},
    json: {method: "POST", body: "{}", headers: {"content-type": "application/json"}},
    read: {},
    own: {credentials: "include"},
  };
  const said = {};
  for (const [name, order] of Object.entries(orders))
    said[name] = await fetch(`${ui}/api/deployments/filter`, order).then(
      (answer) => answer.type === "opaque" ? "opaque" : answer.text(), () => "refused");
  said.socket = await new Promise((tell) => {
    const socket = new WebSocket(ui.replace("http", "ws") + "/api/events/in", ["prefect"]);
    socket.onopen = () => tell("open");
    socket.onerror = () => tell("refused");
  });
  return said;
}"""


def test_a_page_of_another_origin_reads_nothing_and_gives_no_order(
    stack: Embedded, page: Page, elsewhere: str
) -> None:
    """The person has signed in here, and opens it in another tab of the same browser."""
    prefect = PrefectApi(stack)
    before = prefect.asked_for("destroy-ecs")
    evil = page.context.new_page()
    evil.goto(elsewhere)
    said = evil.evaluate(ATTACK, stack.ui)
    assert said.pop("form") in ("opaque", "refused")  # sent without a preflight, and refused
    assert set(said.values()) == {"refused"}
    aws = evil.evaluate(ATTACK.replace("/api/deployments/filter", "/moto-api/reset"), stack.aws)
    assert {aws[name] for name in ("json", "read", "own")} == {"refused"}
    assert prefect.asked_for("destroy-ecs") == before
    evil.locator("a").click()
    expect(evil.get_by_text("Flow Runs").first).to_be_visible()  # a link may lead here


@pytest.fixture
def elsewhere(stack: Embedded, tmp_path: Path) -> Iterator[str]:
    """A page on another port of this machine: what browsers' own protection lets through."""
    (tmp_path / "index.html").write_text(f'<a href="{stack.ui}/dashboard">the dashboard</a>')
    serve = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_plan_only_run_from_the_form_changes_nothing(stack: Embedded, page: Page) -> None:
    prefect = PrefectApi(stack)
    records = len(stack.evidence())
    before = prefect.asked_for("provision-ecs")
    open_form(page, stack.ui)
    expect(page.get_by_role("switch")).to_have_attribute("aria-checked", "false")
    picture(page, "1-the-form")
    submit(page, page.get_by_role("button", name="Submit"), RUN)
    run = prefect.wait(prefect.new_run("provision-ecs", before), "Completed")
    assert run["parameters"]["apply"] is False
    assert prefect.artifacts(run["id"])["plan-ecs-local"]["description"].startswith("ecs/local: ")
    assert [record["kind"] for record in stack.evidence()[records:]] == ["plan"]
    assert "evidence-ecs-local" not in prefect.artifacts(run["id"])
    page.goto(f"{stack.ui}/runs/flow-run/{run['id']}")
    expect(page.get_by_text("Completed").first).to_be_visible()
    expect(page.get_by_text("plan: ecs/").first).to_be_visible()
    picture(page, "2-planned")


def test_an_apply_waits_for_a_person_and_the_evidence_names_them(
    stack: Embedded, page: Page
) -> None:
    prefect = PrefectApi(stack)
    before = prefect.asked_for("provision-ecs")
    open_form(page, stack.ui)
    choose(page, "local", "test")
    page.get_by_role("switch").click()
    submit(page, page.get_by_role("button", name="Submit"), RUN)
    run_id = prefect.new_run("provision-ecs", before)
    prefect.wait(run_id, "Suspended")
    assert [record["kind"] for record in stack.evidence("test")] == ["question"]

    page.goto(f"{stack.ui}/runs/flow-run/{run_id}")
    page.get_by_role("button", name="Resume").first.click()
    form = page.locator(".p-modal")
    expect(form.get_by_text("Apply this plan?")).to_be_visible()
    form.get_by_role("button", name="reject", exact=True).press("ArrowDown")
    page.get_by_role("option", name="approve", exact=True).click()
    form.locator("textarea").first.fill("Anna Example")
    form.locator("textarea").nth(1).fill("reviewed with the team")
    picture(page, "3-the-gate")
    submit(page, form.get_by_role("button", name="Submit"), RESUME)
    prefect.wait(run_id, "Completed")
    page.reload()
    expect(page.get_by_text("Completed").first).to_be_visible()
    expect(page.get_by_text("plan: ecs/").first).to_be_visible()
    picture(page, "4-applied")

    record = stack.evidence("test")[-1]
    assert record["status"] == "applied"
    assert record["approval"]["by"] == "Anna Example"
    assert record["approval"]["reason"] == "reviewed with the team"
    assert record["approval"]["digest"] == record["plan"]["digest"] == record["digest"]
    assert prefect.artifacts(run_id)["apply-ecs-test"]["data"] == 100.0


def test_a_rejected_destroy_destroys_nothing_and_an_approved_one_everything(
    stack: Embedded, page: Page
) -> None:
    prefect = PrefectApi(stack)
    parameters = {"request": {"environment": "test"}, "apply": True}
    rejected = prefect.start("destroy-ecs/destroy-ecs", parameters)
    prefect.wait(rejected, "Suspended")
    page.goto(f"{stack.ui}/runs/flow-run/{rejected}")
    page.get_by_role("button", name="Resume").first.click()
    form = page.locator(".p-modal")
    expect(form.get_by_text("Destroyed by this plan")).to_be_visible()
    picture(page, "5-a-destroy-is-asked-about")
    form.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("is a required property").first).to_be_visible()
    picture(page, "6-nobody-decides-without-a-name")
    form.locator("textarea").first.fill("Anna Example")
    submit(page, form.get_by_role("button", name="Submit"), RESUME)
    ended = prefect.wait(rejected, "Rejected")
    assert "rejected by Anna Example" in ended["state"]["message"]
    assert stack.json("ecs", "drift", "-e", "test")["status"] == "in_sync"

    plan = stack.json("ecs", "destroy", "-e", "test")
    assert plan["error"] == "ApprovalRequired"
    digest = plan["attempted"].split("(")[1].rstrip(")")
    done = stack.json("ecs", "destroy", "-e", "test", "--approve", digest)
    assert done["status"] == "applied", done
    assert stack.json("ecs", "drift", "-e", "test")["status"] == "not_provisioned"
    assert stack.evidence("test")[-1]["kind"] == "destroy"
    assert stack.json("evidence", "verify", "ecs/test")["faults"] == []
