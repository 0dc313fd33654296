"""One of each on the GitHub of the tests, as a client without knowledge of xOps does it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import jwt

from tests.app_keys import make_app_key
from tests.github_data import Team
from tests.github_git import Content, Executable, Submodule, Symlink
from tests.github_server import APP_ID, INSTALLATION_ID, TOKEN, GitHubServer

NAME = "acme/platform"
ALICE, BOB = "ghp_of_alice", "ghp_of_bob"
NOWHERE = "http://127.0.0.1:9/github"


class Person:
    """Asks with one credential.

    Args:
        http: the connection.
        authorization: the header's value.
    """

    def __init__(self, http: httpx.Client, authorization: str) -> None:
        self._http = http
        self._headers = {"authorization": authorization}

    def ask(self, method: str, path: str, body: Any = None, wanted: int = 200) -> Any:
        """The answer's JSON; it has that status."""
        answer = self._http.request(method, path, json=body, headers=self._headers)
        assert answer.status_code == wanted, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None


def acme(github: GitHubServer) -> None:
    """An organisation with a team in a team, and a repository with one of each in Git."""
    teams = {
        "platform": Team(repositories=[NAME], members=["bob"], maintainers=["bob"]),
        "on-call": Team(members=["carol"], parent="platform", pending=["dave"]),
    }
    organisation = github.organisation("acme", "alice", "bob", "carol", "xops-bot", **teams)
    organisation.owners.append("owner")
    organisation.pending.append("erin")
    repository = github.add(NAME)
    repository.collaborators = {"alice": "write", "bob": "maintain"}
    files: dict[str, Content] = {
        "terraform/main.tf": "a = 1\n",
        "terraform/old.tf": "one\ntwo\nthree\n",
        "deployments/test.yaml": "days: 14\n",
        "bin/run.sh": Executable("#!/bin/sh\n"),
        "link": Symlink("terraform/main.tf"),
        "vendor": Submodule("a" * 40),
        "logo.png": b"\x89PNG\x00\xff",
    }
    repository.write("main", files)
    github.grant(ALICE, "alice")
    github.grant(BOB, "bob")


@contextmanager
def people(github: GitHubServer) -> Iterator[tuple[Person, Person, Person, Person, Person]]:
    """The viewer, alice, bob, the App's installation, and the App itself."""
    key, github.app_public_key = make_app_key()
    now = int(datetime.now(UTC).timestamp())
    encoded = jwt.encode(
        {"iss": str(APP_ID), "iat": now - 60, "exp": now + 300}, key, algorithm="RS256"
    )
    with httpx.Client(base_url=github.url, trust_env=False) as http:
        app = Person(http, f"Bearer {encoded}")
        path = f"/app/installations/{INSTALLATION_ID}/access_tokens"
        token = app.ask("POST", path, {}, wanted=201)["token"]
        yield (
            Person(http, f"token {TOKEN}"),
            Person(http, f"token {ALICE}"),
            Person(http, f"token {BOB}"),
            Person(http, f"token {token}"),
            app,
        )


def play_through(github: GitHubServer) -> None:
    """Ask for each thing once that the server knows."""
    acme(github)
    change = {
        "terraform/main.tf": "a = 2\n",
        "terraform/new.tf": "one\ntwo\nthree\nfour\n",
        "terraform/old.tf": None,
    }
    head = github.act.push(NAME, "topic", change)
    with people(github) as (viewer, alice, bob, installation, app):
        _pull_requests(viewer, alice, bob)
        _git(viewer, head)
        _statuses(viewer, installation, head)
        _comments_and_deployments(viewer, head)
        _people(viewer)
        _hooks(viewer, "/repos/acme/platform/hooks", github)
        _hooks(viewer, "/orgs/acme/hooks", github)
        _app(app, github)
        _endings(viewer, alice)


def _pull_requests(viewer: Person, alice: Person, bob: Person) -> None:
    opened = {"title": "Change", "head": "topic", "base": "main"}
    number = alice.ask("POST", f"/repos/{NAME}/pulls", opened, wanted=201)["number"]
    mine = f"/repos/{NAME}/pulls/{number}"
    assert viewer.ask("GET", mine)["mergeable"] is None
    assert viewer.ask("GET", mine)["mergeable"] is True
    for path in ("files", "commits", "reviews"):
        viewer.ask("GET", f"{mine}/{path}")
    viewer.ask("GET", f"/repos/{NAME}/pulls?state=all")
    alice.ask("PATCH", mine, {"title": "Another"})
    viewer.ask("GET", f"{mine}/merge", wanted=404)
    review = bob.ask("POST", f"{mine}/reviews", {"event": "APPROVE"})
    viewer.ask("GET", f"{mine}/reviews/{review['id']}")
    pending = bob.ask("POST", f"{mine}/reviews", {})
    said = {"event": "REQUEST_CHANGES", "body": "No."}
    bob.ask("POST", f"{mine}/reviews/{pending['id']}/events", said)
    bob.ask("PUT", f"{mine}/reviews/{review['id']}/dismissals", {"message": "Old"})
    viewer.ask("GET", f"{mine}/reviews")


def _git(viewer: Person, head: str) -> None:
    mine = f"/repos/{NAME}"
    commit = viewer.ask("GET", f"{mine}/git/commits/{head}")
    tree = viewer.ask("GET", f"{mine}/git/trees/{commit['tree']['sha']}?recursive=1")
    blob = next(row for row in tree["tree"] if row["type"] == "blob")
    viewer.ask("GET", f"{mine}/git/blobs/{blob['sha']}")
    for path in (
        "git/ref/heads/topic",
        "git/ref/pull/1/merge",
        "branches/topic",
        f"commits/{head}",
        "compare/main...topic",
        "activity?ref=refs/heads/topic",
        "contents/terraform/main.tf?ref=topic",
        "contents/terraform",
    ):
        viewer.ask("GET", f"{mine}/{path}")
    viewer.ask("GET", mine)


def _statuses(viewer: Person, installation: Person, head: str) -> None:
    mine = f"/repos/{NAME}"
    for state in ("pending", "success"):
        body = {"state": state, "context": "xops/plan", "description": "…"}
        viewer.ask("POST", f"{mine}/statuses/{head}", body, wanted=201)
    viewer.ask("GET", f"{mine}/commits/{head}/status")
    viewer.ask("GET", f"{mine}/commits/{head}/statuses")
    body = {"name": "xops/plan", "head_sha": head, "status": "in_progress"}
    run = installation.ask("POST", f"{mine}/check-runs", body, wanted=201)["id"]
    done = {"conclusion": "success", "output": {"title": "Done", "summary": "*All*"}}
    installation.ask("PATCH", f"{mine}/check-runs/{run}", done)
    installation.ask("GET", f"{mine}/check-runs/{run}")
    viewer.ask("GET", f"{mine}/commits/{head}/check-runs?check_name=xops/plan")


def _comments_and_deployments(viewer: Person, head: str) -> None:
    mine = f"/repos/{NAME}"
    comments = f"{mine}/issues/1/comments"
    one = viewer.ask("POST", comments, {"body": "A plan"}, wanted=201)["id"]
    viewer.ask("GET", comments)
    viewer.ask("PATCH", f"{mine}/issues/comments/{one}", {"body": "A better plan"})
    viewer.ask("GET", f"{mine}/issues/comments/{one}")
    viewer.ask("GET", f"{mine}/issues/1")
    viewer.ask("DELETE", f"{mine}/issues/comments/{one}", wanted=204)
    body = {"ref": head, "environment": "test", "auto_merge": False, "required_contexts": []}
    made = viewer.ask("POST", f"{mine}/deployments", body, wanted=201)["id"]
    again = viewer.ask("POST", f"{mine}/deployments", body, wanted=201)["id"]
    for number in (made, again):
        done = {"state": "success", "log_url": "https://example.com/run"}
        viewer.ask("POST", f"{mine}/deployments/{number}/statuses", done, wanted=201)
    states = viewer.ask("GET", f"{mine}/deployments/{made}/statuses")
    assert [row["state"] for row in states] == ["inactive", "success"]
    viewer.ask("GET", f"{mine}/deployments/{made}")
    viewer.ask("GET", f"{mine}/deployments?environment=test")


def _people(viewer: Person) -> None:
    viewer.ask("GET", "/user")
    viewer.ask("GET", "/meta")
    viewer.ask("GET", f"/repos/{NAME}/collaborators/bob/permission")
    viewer.ask("GET", "/orgs/acme/teams")
    viewer.ask("GET", "/orgs/acme/teams/on-call")
    viewer.ask("GET", "/orgs/acme/teams/platform/members")
    for who in ("carol", "dave"):
        viewer.ask("GET", f"/orgs/acme/teams/on-call/memberships/{who}")


def _hooks(viewer: Person, path: str, github: GitHubServer) -> None:
    config = {"url": NOWHERE, "content_type": "json", "secret": "s" * 32}
    body = {"name": "web", "events": ["pull_request"], "config": config}
    hook = viewer.ask("POST", path, body, wanted=201)["id"]
    viewer.ask("GET", path)
    viewer.ask("GET", f"{path}/{hook}")
    viewer.ask("PATCH", f"{path}/{hook}", {"config": config, "add_events": ["push"]})
    viewer.ask("GET", f"{path}/{hook}/config")
    viewer.ask("PATCH", f"{path}/{hook}/config", {"url": NOWHERE})
    viewer.ask("POST", f"{path}/{hook}/pings", wanted=204)
    github.hooks.wait()
    rows = viewer.ask("GET", f"{path}/{hook}/deliveries")
    viewer.ask("GET", f"{path}/{hook}/deliveries/{rows[0]['id']}")
    again = f"{path}/{hook}/deliveries/{rows[0]['id']}/attempts"
    viewer.ask("POST", again, {}, wanted=202)
    github.hooks.wait()
    viewer.ask("GET", f"{path}/{hook}/deliveries")
    viewer.ask("DELETE", f"{path}/{hook}", wanted=204)


def _app(app: Person, github: GitHubServer) -> None:
    github.app_hook(NOWHERE, "s" * 32, "issue_comment")
    github.act.comment(NAME, 1, "Hello", by="bob")
    github.hooks.wait()
    app.ask("GET", "/app")
    app.ask("GET", f"/app/installations/{INSTALLATION_ID}")
    app.ask("GET", "/app/hook/config")
    app.ask("PATCH", "/app/hook/config", {"url": NOWHERE})
    rows = app.ask("GET", "/app/hook/deliveries")
    app.ask("GET", f"/app/hook/deliveries/{rows[0]['id']}")
    app.ask("POST", f"/app/hook/deliveries/{rows[0]['id']}/attempts", {}, wanted=202)
    github.hooks.wait()


def _endings(viewer: Person, alice: Person) -> None:
    mine = f"/repos/{NAME}/pulls/1"
    viewer.ask("PUT", f"{mine}/merge", {"merge_method": "squash"})
    assert viewer.ask("GET", mine)["merged"] is True
    viewer.ask("GET", f"{mine}/merge", wanted=204)
    viewer.ask("PUT", f"{mine}/merge", {}, wanted=405)
