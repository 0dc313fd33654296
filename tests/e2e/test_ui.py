"""A person in the UI that opens: a plan-only run from the form, then an apply behind the gate."""

import logging
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.browser import (
    NEEDS_BROWSER,
    cut_off,
    open_artifact,
    open_page,
    open_sign_in,
    picture,
)
from tests.e2e.prefect_api import PrefectApi
from tests.e2e.stack import SEVERAL_APPLIES, Embedded, FirstRun
from xops.prefect_server.profile import UI_PATH, run_page

logger = logging.getLogger(__name__)

RUN, RESUME = "create_flow_run", "resume"
"""The calls of the API with which the UI starts a run and answers a gate."""

pytestmark = [pytest.mark.timeout(SEVERAL_APPLIES), NEEDS_BROWSER]


def submit(page: Page, button: Locator, call: str) -> None:
    """Press the button that makes this call once; it is taken at once."""
    with page.expect_response(f"**/{call}") as answered:
        button.click()
    assert answered.value.ok, answered.value.status


def open_form(page: Page, ui: str) -> None:
    """From the list of deployments to the form of provision-ecs."""
    link = page.get_by_role("link", name="provision-ecs", exact=True)
    open_page(page, f"{ui}{UI_PATH}/deployments", link).first.click()
    page.wait_for_url("**/deployments/deployment/*")
    form = f"{page.url.split('?')[0]}/run"
    open_page(page, form, page.get_by_role("button", name="Submit"))


def choose(within: Page | Locator, label: str, wanted: str) -> None:
    page = within if isinstance(within, Page) else within.page
    within.get_by_label(label).click()
    page.get_by_role("option", name=wanted, exact=True).click()


def open_gate(page: Page, ui: str, run_id: str) -> Locator:
    """The form of a run that is suspended."""
    menu = page.get_by_role("button", name="Open menu")
    open_page(page, run_page(ui, run_id), menu).first.click()
    page.get_by_role("menuitem", name="Resume").click()
    form = page.get_by_role("dialog")
    expect(form.get_by_text("Apply this plan?")).to_be_visible()
    return form


def test_the_printed_link_leads_to_the_run_in_the_ui_that_opens(
    first_run: FirstRun, page: Page
) -> None:
    found = re.search(r"^Prefect UI: +(\S+)$", first_run.output, re.MULTILINE)
    assert found
    assert urlsplit(page.url).path.startswith(f"{UI_PATH}/")  # what opened by itself
    open_page(page, found[1], page.get_by_text("provision-ecs-local"))
    assert urlsplit(page.url).path == urlsplit(found[1]).path


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_form_says_what_it_asks_and_cuts_nothing_off(
    stack: Embedded, page: Page, theme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=theme)
    for name, row in PrefectApi(stack).deployments().items():
        form = f"{stack.ui}{UI_PATH}/deployments/deployment/{row['id']}/run"
        open_page(page, form, page.get_by_role("button", name="Submit"))
        for field in row["parameter_openapi_schema"]["properties"].values():
            expect(page.get_by_text(field["title"]).first).to_be_visible()
            expect(page.get_by_text(field["description"].replace("\n", " "))).to_be_visible()
        assert cut_off(page.locator("main")) == [], name
        picture(page, f"form-{name}-{theme}")


def test_a_page_of_the_ui_asks_its_own_server_only(stack: Embedded, browser_page: Page) -> None:
    asked: list[str] = []
    told: list[str] = []
    browser_page.on("request", lambda request: asked.append(request.url))
    browser_page.on("console", lambda message: told.append(message.text))
    field = open_sign_in(browser_page, stack.ui)
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
    expect(page.get_by_label("Apply the plan")).to_have_attribute("aria-checked", "false")
    picture(page, "1-the-form")
    submit(page, page.get_by_role("button", name="Submit"), RUN)
    run = prefect.wait(prefect.new_run("provision-ecs", before), "Completed")
    assert run["parameters"]["apply"] is False
    plan = prefect.artifacts(run["id"])["plan-ecs-local"]
    assert plan["description"] == "nothing to change"
    assert [record["kind"] for record in stack.evidence()[records:]] == ["plan"]
    assert "evidence-ecs-local" not in prefect.artifacts(run["id"])
    open_page(page, run_page(stack.ui, run["id"]), page.get_by_text("Planned"))
    expect(page.get_by_text("plan: ecs/").first).to_be_visible()
    picture(page, "2-planned")


def test_an_apply_waits_for_a_person_and_the_evidence_names_them(
    stack: Embedded, page: Page
) -> None:
    prefect = PrefectApi(stack)
    before = prefect.asked_for("provision-ecs")
    open_form(page, stack.ui)
    choose(page, "Select Environment", "test")
    page.get_by_label("Apply the plan").click()
    submit(page, page.get_by_role("button", name="Submit"), RUN)
    run_id = prefect.new_run("provision-ecs", before)
    prefect.wait(run_id, "Suspended")
    assert [record["kind"] for record in stack.evidence("test")] == ["question"]

    plan = prefect.artifacts(run_id)["plan-ecs-test"]
    assert cut_off(open_artifact(page, stack.ui, plan, "Changes")) == []
    picture(page, "3-the-plan")
    artifacts = f"{run_page(stack.ui, run_id)}?tab=Artifacts"
    open_page(page, artifacts, page.get_by_text(plan["description"]))
    # Of the page, the part that shows what is ours: Prefect folds the run's tags above it.
    assert cut_off(page.get_by_role("tabpanel", name="Artifacts")) == []
    form = open_gate(page, stack.ui, run_id)
    digest = stack.evidence("test")[-1]["digest"]
    for half in (digest[:32], digest[32:]):  # in full: a person compares it
        expect(form.get_by_text(half, exact=True)).to_be_visible()
    assert cut_off(form) == []
    choose(form, "Decision", "approve")
    form.get_by_label("Your name").fill("Anna Example")
    form.get_by_label("Reason").fill("reviewed with the team")
    picture(page, "3-the-gate")
    submit(page, form.get_by_role("button", name="Resume"), RESUME)
    prefect.wait(run_id, "Completed")
    open_page(page, run_page(stack.ui, run_id), page.get_by_text("Applied"))
    picture(page, "4-applied")
    evidence = prefect.artifacts(run_id)["evidence-ecs-test"]
    assert cut_off(open_artifact(page, stack.ui, evidence, "Anna Example")) == []
    picture(page, "4-the-evidence")

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
    page.emulate_media(color_scheme="dark")
    form = open_gate(page, stack.ui, rejected)
    expect(form.get_by_text("Destroyed by this plan")).to_be_visible()
    assert cut_off(form) == []
    picture(page, "5-a-destroy-is-asked-about")
    form.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("is a required property").first).to_be_visible()
    picture(page, "6-nobody-decides-without-a-name")
    form.get_by_label("Your name").fill("Anna Example")
    submit(page, form.get_by_role("button", name="Resume"), RESUME)
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
