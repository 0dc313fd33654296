"""A pull request from a signed delivery to an apply, on the embedded stack, with a restart."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import ROOT, SEVERAL_APPLIES, Embedded
from tests.github_data import OpenPullRequest
from tests.github_server import TOKEN, GitHubServer
from tests.integration.flows.pull_requests import NAME, tracked
from tests.secret_sources import write_sources
from xops.github.pull_request.report import MARKER

pytestmark = pytest.mark.timeout(2 * SEVERAL_APPLIES)

EVENTS = ["pull_request", "pull_request_review", "issue_comment"]
POLICY = "apiVersion: xops/v1\npull_requests:\n  approvers: {logins: [bob]}\n"
PATIENCE = 420.0


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    """A repository with this project's terraform/ and the environment `local`."""
    with GitHubServer() as server:
        server.organisation("acme", "alice", "bob")
        environment = "deployments/environments/local.yaml"
        files = {environment: (ROOT / environment).read_text(), "deployments/github.yaml": POLICY}
        server.add(NAME).write("main", {**tracked("terraform"), **files})
        yield server


@pytest.fixture
def environ(github: GitHubServer, tmp_path: Path) -> dict[str, str]:
    """What an operator sets: the file of GitHub, and the token."""
    file = tmp_path / "github.yaml"
    text = (ROOT / "deployments" / "github.yaml").read_text()
    more = f"api_url: {github.url}\nrepositories: [{NAME}]\n"
    file.write_text(text.replace("apiVersion: xops/v1\n", f"apiVersion: xops/v1\n{more}"))
    return {
        "XOPS_GITHUB_FILE": str(file),
        "XOPS_GITHUB_TOKEN": TOKEN,
        "XOPS_SECRETS": write_sources(tmp_path, github.url),
    }


def restart(stack: Embedded, environ: dict[str, str]) -> None:
    assert stack.xops("down").returncode == 0
    done = stack.xops("up", "--once", **environ)
    assert done.returncode == 0, done.stdout + done.stderr


def wait_until(look: Callable[[], Any], what: str) -> None:
    """Look until there is something to be seen."""
    started = time.monotonic()
    while not look():
        if time.monotonic() - started > PATIENCE:
            pytest.fail(f"not seen within {PATIENCE:.0f} s: {what}")
        time.sleep(0.2)


def comment(github: GitHubServer, one: OpenPullRequest) -> str:
    """Ours; empty while there is none."""
    rows = github.repositories[NAME].comments.get(one.number, [])
    bodies = [str(row["body"]) for row in rows]
    return next((body for body in bodies if body.startswith(MARKER)), "")


def checks(github: GitHubServer, one: OpenPullRequest) -> dict[str, str]:
    """The state of each check of the head now."""
    rows = [row for row in github.repositories[NAME].statuses if row["sha"] == one.head_sha]
    return {row["context"]: row["state"] for row in rows}


def with_retention(days: int) -> dict[str, str]:
    path = "deployments/environments/local.yaml"
    text = (ROOT / path).read_text()
    assert "log_retention_days: 7\n" in text
    return {path: text.replace("log_retention_days: 7\n", f"log_retention_days: {days}\n")}


def test_a_signed_delivery_leads_to_a_plan_and_a_review_to_an_apply(
    stack: Embedded, github: GitHubServer, environ: dict[str, str]
) -> None:
    restart(stack, environ)
    github.hooks.add(
        NAME,
        "repository",
        github.repositories[NAME].number,
        stack.webhook,
        secret=stack.webhook_secret,
        events=EVENTS,
    )
    github.act.push(NAME, "topic", with_retention(14), by="alice")
    one = github.act.open(NAME, "topic", by="alice")
    wait_until(lambda: "waits for a review" in comment(github, one), "the plan")
    assert checks(github, one) == {"xops/plan": "success", "xops/apply": "pending"}

    restart(stack, environ)
    github.act.review(NAME, one.number, "APPROVED", by="bob")
    github.hooks.wait()
    brought = github.hooks.sent[-1]
    wait_until(lambda: checks(github, one)["xops/apply"] == "success", "the apply")

    applied = [record for record in stack.evidence() if record["kind"] == "apply"][-1]
    approval = applied["body"]["approval"]
    assert (approval["by"], approval["identity"]) == ("bob", "verified login")
    assert approval["delivery"] == applied["body"]["run"]["delivery"] == brought.guid
    listed = stack.json("github", "deliveries", **environ)["deliveries"]
    states = {row["id"]: row for row in listed}
    assert states[brought.guid]["state"] == "dispatched"
    assert applied["body"]["run"]["id"] in str(states[brought.guid]["runs"])
    assert "Merge this" in comment(github, one)
