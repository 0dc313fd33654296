"""A pull request from a signed delivery to an apply, while servers are killed in between."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.stack import ROOT, SEVERAL_APPLIES, Embedded
from tests.github_data import OpenPullRequest
from tests.github_hooks import Hook
from tests.github_server import GitHubServer
from tests.integration.flows.pull_requests import NAME, tracked
from tests.processes import kill_all
from tests.waiting import PATIENCE
from xops.github.pull_request.report import MARKER

pytestmark = pytest.mark.timeout(2 * SEVERAL_APPLIES)

EVENTS = ["pull_request", "pull_request_review", "issue_comment"]
POLICY = "apiVersion: xops/v1\npull_requests:\n  approvers: {logins: [bob]}\n"
LONGEST = 420.0 * PATIENCE


@pytest.fixture
def hook(stack: Embedded, github: GitHubServer) -> Iterator[Hook]:
    """Of a repository with this project's terraform/ and the environment `local`, which is what
    its file says afterwards."""
    if not stack.operator:
        pytest.skip("XOPS_TEST_HOME names a stack that asks another GitHub")
    github.organisation("acme", "alice", "bob")
    environment = "deployments/environments/local.yaml"
    files = {environment: (ROOT / environment).read_text(), "deployments/github.yaml": POLICY}
    made = github.add(NAME)
    made.write("main", {**tracked("terraform"), **files})
    hook = github.hooks.add(
        NAME,
        "repository",
        made.number,
        stack.webhook,
        secret=stack.webhook_secret,
        events=EVENTS,
        content_type="json",
    )
    file = Path(stack.operator["XOPS_GITHUB_FILE"])
    named = f"hook_id: {hook.id}\nhook_of: {NAME}\nroutes:\n"
    file.write_text(file.read_text().replace("routes:\n", named))
    yield hook
    up(stack)


def up(stack: Embedded) -> None:
    done = stack.xops("up", "--once")
    assert done.returncode == 0, done.stdout + done.stderr


def kill(stack: Embedded, *services: str) -> None:
    """Kill servers of the stack, as a machine does that runs out of memory."""
    pids = [
        json.loads((stack.home / "services" / f"{name}.json").read_text())["pid"]
        for name in services
    ]
    kill_all([psutil.Process(pid) for pid in pids])


def wait_until(look: Callable[[], Any], what: str) -> None:
    """Look until there is something to be seen."""
    started = time.monotonic()
    while not look():
        if time.monotonic() - started > LONGEST:
            pytest.fail(f"not seen within {LONGEST:.0f} s: {what}")
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
    stack: Embedded, github: GitHubServer, hook: Hook
) -> None:
    github.act.push(NAME, "topic", with_retention(14), by="alice")
    one = github.act.open(NAME, "topic", by="alice")
    wait_until(lambda: "waits for a review" in comment(github, one), "the plan")
    planned = {"xops/plan": "success", "xops/apply": "pending"}
    wait_until(lambda: checks(github, one) == planned, "the checks, which follow the comment")

    kill(stack, "receiver", "dispatcher")
    github.act.review(NAME, one.number, "APPROVED", by="bob")
    github.hooks.wait()
    brought = github.hooks.sent[-1]
    assert brought.status_code != 202  # nobody was there to take it, and GitHub does not try again
    up(stack)
    stack.json("github", "reconcile")
    wait_until(lambda: checks(github, one)["xops/apply"] == "success", "the apply")

    applied = [record for record in stack.evidence() if record["kind"] == "apply"][-1]
    approval = applied["approval"]
    assert (approval["by"], approval["identity"]) == ("bob", "verified login")
    assert approval["delivery"] == applied["run"]["delivery"] == brought.guid
    listed = stack.json("github", "deliveries")["deliveries"]
    states = {row["id"]: row for row in listed}
    assert states[brought.guid]["state"] == "dispatched"
    assert applied["run"]["id"] in str(states[brought.guid]["runs"])
    wait_until(lambda: "Merge this" in comment(github, one), "the comment on the apply")
