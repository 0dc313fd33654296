"""The GitHub of the tests refuses what GitHub refuses, with its status and its words."""

from typing import Any

import httpx
import pytest

from tests.github_data import OpenPullRequest
from tests.github_server import TOKEN, GitHubServer
from tests.integration.github.play_through import ALICE, BOB, NAME, acme, people

MINE = f"/repos/{NAME}"
NOWHERE = "f" * 40
CHECK = {"name": "xops/plan"}
HOOK = {"name": "web", "events": ["push"], "config": {"url": "https://example.com/hook"}}


@pytest.fixture
def one(github: GitHubServer) -> OpenPullRequest:
    acme(github)
    github.organisations["acme"].members.append("frank")
    github.act.push(NAME, "topic", {"terraform/main.tf": "a = 2\n"})
    return github.act.open(NAME, "topic")


def ask(
    github: GitHubServer, method: str, path: str, body: Any = None, token: str = TOKEN
) -> tuple[int, Any]:
    answer = httpx.request(
        method,
        f"{github.url}{path}",
        json=body,
        headers={"authorization": f"token {token}"},
        trust_env=False,
    )
    return answer.status_code, answer.json() if answer.content else None


TO_APPS = "You must authenticate via a GitHub App."
STATUS = {"state": "success"}
REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("POST", "statuses/{head}", {}, 422, '"state" wasn\'t supplied.'),
    ("POST", "statuses/{head}", {"state": "passed"}, 422, "is not a member of"),
    ("POST", "statuses/{head}", {**STATUS, "description": "x" * 141}, 422, "maximum is 140"),
    ("POST", "statuses/{head}", {**STATUS, "target_url": "ftp://x"}, 422, "http(s) scheme"),
    ("POST", f"statuses/{NOWHERE}", STATUS, 422, f"No commit found for SHA: {NOWHERE}"),
    ("POST", "issues/1/comments", {}, 422, '"body" wasn\'t supplied.'),
    ("POST", "issues/1/comments", {"body": "x" * 65_537}, 422, "maximum is 65536 characters"),
    ("POST", "issues/1/comments", {"body": "  "}, 422, "cannot be blank"),
    ("POST", "issues/9/comments", {"body": "x"}, 404, "Not Found"),
    ("PATCH", "issues/comments/999", {"body": "x"}, 404, "Not Found"),
    ("DELETE", "issues/comments/999", None, 404, "Not Found"),
    ("POST", "pulls", {"head": "topic", "base": "main"}, 422, "exists for acme:topic"),
    ("POST", "pulls", {"head": "nothing", "base": "main"}, 422, "Validation Failed"),
    ("POST", "pulls", {"head": "topic", "base": "nothing"}, 422, "Validation Failed"),
    ("POST", "pulls/1/reviews", {"event": "APPROVED"}, 422, "is not a member of"),
    ("POST", "pulls/1/reviews", {"event": "COMMENT"}, 422, "Body can't be blank"),
    ("PUT", "pulls/1/reviews/999/dismissals", {"message": "x"}, 404, "Not Found"),
    ("PUT", "pulls/1/merge", {"sha": NOWHERE}, 409, "Head branch was modified"),
    ("PUT", "pulls/1/merge", {"merge_method": "force"}, 422, "is not a member of"),
    ("POST", "deployments", {}, 422, '"ref" wasn\'t supplied.'),
    ("POST", "deployments", {"ref": "nothing"}, 422, "No ref found for: nothing"),
    ("POST", "deployments/9/statuses", {"state": "success"}, 404, "Not Found"),
    ("POST", "check-runs", {**CHECK, "head_sha": "{head}"}, 403, TO_APPS),
    ("POST", "hooks", {"config": {}}, 422, "url cannot be blank"),
    ("POST", "hooks", {"config": {"url": "example.com"}}, 422, "missing a scheme"),
    ("POST", "hooks", {**HOOK, "secret": "x"}, 422, '"secret" is not a permitted key.'),
    ("GET", "git/ref/heads/nothing", None, 404, "Not Found"),
    ("GET", f"git/commits/{NOWHERE}", None, 404, "Not Found"),
    ("GET", f"git/trees/{NOWHERE}", None, 404, "Not Found"),
    ("GET", f"git/blobs/{NOWHERE}", None, 404, "Not Found"),
    ("GET", "pulls/9", None, 404, "Not Found"),
    ("GET", "collaborator/bob", None, 404, "Not Found"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "status", "words"), REFUSED)
def test_what_is_wrong_is_refused(
    github: GitHubServer,
    one: OpenPullRequest,
    method: str,
    path: str,
    body: Any,
    status: int,
    words: str,
) -> None:
    path = path.replace("{head}", one.head_sha)
    found, said = ask(github, method, f"{MINE}/{path}", body)
    assert found == status, said
    assert words in str(said).replace("\\'", "'")


def test_a_body_that_is_no_json_is_refused(github: GitHubServer, one: OpenPullRequest) -> None:
    answer = httpx.post(
        f"{github.url}{MINE}/statuses/{one.head_sha}",
        content=b"{no json",
        headers={"authorization": f"token {TOKEN}"},
        trust_env=False,
    )
    assert (answer.status_code, answer.json()["message"]) == (400, "Problems parsing JSON")
    assert ask(github, "POST", f"{MINE}/statuses/{one.head_sha}", ["x"])[0] == 400


def test_nobody_approves_a_pull_request_of_their_own(
    github: GitHubServer, one: OpenPullRequest
) -> None:
    status, said = ask(github, "POST", f"{MINE}/pulls/1/reviews", {"event": "APPROVE"}, ALICE)
    assert (status, said["errors"]) == (422, ["Review Can not approve your own pull request"])


def test_there_is_a_limit_of_statuses_to_a_commit_and_context(
    github: GitHubServer, one: OpenPullRequest
) -> None:
    path = f"{MINE}/statuses/{one.head_sha}"
    assert ask(github, "POST", path, {"state": "pending", "context": "a"})[0] == 201
    (row,) = github.repositories[NAME].statuses
    github.repositories[NAME].statuses += [row] * 999
    status, said = ask(github, "POST", path, {"state": "success", "context": "A"})
    assert (status, said["errors"][0]["code"]) == (422, "custom")
    assert "maximum number of statuses" in said["errors"][0]["message"]
    assert ask(github, "POST", path, {"state": "success", "context": "b"})[0] == 201


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({"title": "t", "summary": "x" * 65_536}, "Only 65535 characters are allowed; 65536 were"),
        ({"title": "t"}, '"summary" wasn\'t supplied.'),
    ],
)
def test_a_check_run_is_for_an_app_and_bounded(
    github: GitHubServer, one: OpenPullRequest, output: dict[str, str], words: str
) -> None:
    with people(github) as (_, _, _, installation, _):
        body = {**CHECK, "head_sha": one.head_sha, "output": output}
        said = installation.ask("POST", f"{MINE}/check-runs", body, wanted=422)
        assert words in said["message"]
        body = {**CHECK, "head_sha": one.head_sha, "status": "completed"}
        said = installation.ask("POST", f"{MINE}/check-runs", body, wanted=422)
        assert '"conclusion" wasn\'t supplied.' in said["message"]


def test_a_check_run_that_is_completed_stays_so(github: GitHubServer, one: OpenPullRequest) -> None:
    with people(github) as (_, _, _, installation, _):
        body = {**CHECK, "head_sha": one.head_sha, "conclusion": "failure"}
        run = installation.ask("POST", f"{MINE}/check-runs", body, wanted=201)["id"]
        path = f"{MINE}/check-runs/{run}"
        again = installation.ask("PATCH", path, {"status": "in_progress"})
        assert (again["status"], again["conclusion"]) == ("completed", "failure")


def test_a_deployment_waits_for_statuses_and_for_the_default_branch(
    github: GitHubServer, one: OpenPullRequest
) -> None:
    path, head = f"{MINE}/deployments", one.head_sha
    ask(github, "POST", f"{MINE}/statuses/{head}", {"state": "pending", "context": "ci"})
    status, said = ask(github, "POST", path, {"ref": head})
    assert (status, said["errors"][0]["contexts"]) == (409, [{"context": "ci", "state": "pending"}])
    assert ask(github, "POST", path, {"ref": head, "required_contexts": []})[0] == 201
    github.act.push(NAME, "main", {"elsewhere": "x"})
    status, said = ask(github, "POST", path, {"ref": "topic", "required_contexts": []})
    assert (status, said["message"]) == (202, "Auto-merged main into topic on deployment.")
    github.act.push(NAME, "main", {"terraform/main.tf": "a = 9\n"})
    status, said = ask(github, "POST", path, {"ref": "topic", "required_contexts": []})
    assert (status, said["message"]) == (409, "Conflict merging main into topic.")


def test_a_draft_and_a_conflict_are_not_merged(github: GitHubServer, one: OpenPullRequest) -> None:
    github.act.draft(NAME, one.number, draft=True)
    assert ask(github, "PUT", f"{MINE}/pulls/1/merge", {})[0] == 405
    github.act.draft(NAME, one.number, draft=False)
    github.act.push(NAME, "main", {"terraform/main.tf": "a = 9\n"})
    status, said = ask(github, "PUT", f"{MINE}/pulls/1/merge", {})
    assert (status, said["message"]) == (405, "Pull Request is not mergeable")


def test_what_somebody_may_not_see_is_not_there_and_what_they_may_not_do_is_forbidden(
    github: GitHubServer, one: OpenPullRequest
) -> None:
    github.grant("ghp_of_mallory", "mallory")
    github.grant("ghp_of_frank", "frank")
    status = f"{MINE}/statuses/{one.head_sha}"
    assert ask(github, "GET", f"{MINE}/pulls/1", token="ghp_of_mallory")[0] == 404
    assert ask(github, "GET", f"{MINE}/pulls/1", token="ghp_of_frank")[0] == 200
    assert ask(github, "POST", status, {"state": "success"}, "ghp_of_frank")[0] == 403
    assert ask(github, "POST", status, {"state": "success"}, BOB)[0] == 201
    assert ask(github, "GET", f"{MINE}/hooks", token=BOB)[0] == 404
    assert ask(github, "GET", "/orgs/acme/hooks", token=BOB)[0] == 404


def test_a_fine_grained_token_is_held_to_its_permissions(
    github: GitHubServer, one: OpenPullRequest
) -> None:
    github.grant("github_pat_of_bob", "bob", contents="read", statuses="read")
    path = f"{MINE}/statuses/{one.head_sha}"
    status, said = ask(github, "POST", path, {"state": "success"}, "github_pat_of_bob")
    assert (status, said["message"]) == (403, "Resource not accessible by personal access token")
    ok, _ = ask(github, "GET", f"{MINE}/commits/{one.head_sha}/status", token="github_pat_of_bob")
    assert ok == 200


def test_an_installation_is_held_to_what_the_app_was_given(
    github: GitHubServer, one: OpenPullRequest
) -> None:
    del github.app_permissions["statuses"]
    with people(github) as (_, _, _, installation, app):
        path = f"{MINE}/statuses/{one.head_sha}"
        said = installation.ask("POST", path, {"state": "success"}, wanted=403)
        assert said["message"] == "Resource not accessible by integration"
        installation.ask("GET", "/user", wanted=403)
        app.ask("GET", f"{MINE}/pulls/1", wanted=401)
        installation.ask("GET", "/app/hook/deliveries", wanted=401)


def test_another_persons_comment_is_changed_by_who_may_write(
    github: GitHubServer, one: OpenPullRequest
) -> None:
    github.grant("ghp_of_frank", "frank")
    number = github.act.comment(NAME, 1, "Mine", by="dave")["id"]
    path = f"{MINE}/issues/comments/{number}"
    assert ask(github, "PATCH", path, {"body": "Yours"}, "ghp_of_frank")[0] == 403
    assert ask(github, "PATCH", path, {"body": "Yours"}, BOB)[0] == 200
    assert ask(github, "DELETE", path, token="ghp_of_frank")[0] == 403


def test_a_hook_is_made_once_and_forgets_a_secret_that_is_not_given_again(
    github: GitHubServer, one: OpenPullRequest
) -> None:
    config = {**HOOK["config"], "secret": "s" * 32}  # type: ignore[dict-item]
    status, made = ask(github, "POST", f"{MINE}/hooks", {**HOOK, "config": config})
    assert (status, made["config"]["secret"]) == (201, "********")
    status, said = ask(github, "POST", f"{MINE}/hooks", HOOK)
    assert (status, said["errors"][0]["message"]) == (422, "Hook already exists on this repository")
    ask(github, "PATCH", f"{MINE}/hooks/{made['id']}", {"active": False})
    assert github.hooks.all[0].secret == "s" * 32
    ask(github, "PATCH", f"{MINE}/hooks/{made['id']}", {"config": HOOK["config"]})
    assert github.hooks.all[0].secret is None


def test_too_many_writes_meet_the_secondary_limit(
    github: GitHubServer, one: OpenPullRequest
) -> None:
    github.writes_a_minute = 2
    path, body = f"{MINE}/issues/1/comments", {"body": "x"}
    answers = [ask(github, "POST", path, body)[0] for _ in range(3)]
    assert answers == [201, 201, 403]
    assert ask(github, "GET", path)[0] == 200


def test_a_pending_review_is_shown_to_its_author_only(
    github: GitHubServer, one: OpenPullRequest
) -> None:
    github.act.review(NAME, 1, "PENDING", by="bob")
    assert ask(github, "GET", f"{MINE}/pulls/1/reviews")[1] == []
    (mine,) = ask(github, "GET", f"{MINE}/pulls/1/reviews", token=BOB)[1]
    assert mine["state"] == "PENDING"
    assert "submitted_at" not in mine


def test_members_of_a_child_team_are_members_and_invited_people_are_not(
    github: GitHubServer, one: OpenPullRequest
) -> None:
    rows = ask(github, "GET", "/orgs/acme/teams/platform/members")[1]
    assert [(row["login"], row["inherited"]) for row in rows] == [("bob", False), ("carol", True)]
    status, said = ask(github, "GET", "/orgs/acme/teams/on-call/memberships/dave")
    assert (status, said["state"]) == (200, "pending")
    assert ask(github, "GET", "/orgs/acme/teams/on-call/memberships/erin")[0] == 404


def test_a_version_of_the_interface_that_lacks_a_field_does_not_send_it(
    github: GitHubServer, one: OpenPullRequest
) -> None:
    def read(version: str) -> httpx.Response:
        headers = {"authorization": f"token {TOKEN}", "x-github-api-version": version}
        return httpx.get(f"{github.url}{MINE}/pulls/1", headers=headers, trust_env=False)

    assert "merge_commit_sha" in read("2022-11-28").json()
    assert "merge_commit_sha" not in read("2026-03-10").json()
    assert read("1999-01-01").status_code == 400
