"""Deliveries of the GitHub of the tests: signed, sent, listed and sent again as GitHub does it."""

import hashlib
import hmac
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from threading import Event
from typing import Any

import httpx
import pytest
from githubkit.webhooks import parse

from tests.github_data import Team
from tests.github_hooks import ORGANISATION_EVENTS, Hook
from tests.github_server import TOKEN, GitHubServer
from tests.http_servers import serving

NAME, SECRET = "acme/platform", "It's a Secret to Everybody"


class Receiver:
    """Takes deliveries, and answers as it is told."""

    def __init__(self) -> None:
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.status = 202
        self.go_on = Event()
        self.go_on.set()
        self.url = ""

    @property
    def guids(self) -> list[str]:
        return [headers["x-github-delivery"] for headers, _ in self.came]

    def handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.came.append(({k.lower(): v for k, v in self.headers.items()}, body))
                receiver.go_on.wait(10)
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    with serving(made.handler()) as made.url:
        try:
            yield made
        finally:
            made.go_on.set()


@pytest.fixture(autouse=True)
def acme(github: GitHubServer) -> None:
    team = Team(repositories=[NAME], members=["bob", "carol"])
    github.organisation("acme", "alice", "bob", "carol", platform=team)
    github.add(NAME).write("main", {"a.tf": "one\n", "b.tf": "two\n"})


@pytest.fixture
def hook(github: GitHubServer, receiver: Receiver) -> Hook:
    return hook_of(github, receiver.url)


def hook_of(github: GitHubServer, url: str, kind: str = "organization", **more: Any) -> Hook:
    owner = NAME if kind == "repository" else "acme"
    given = {"secret": SECRET, "events": ["*"], "content_type": "json", **more}
    return github.hooks.add(owner, kind, 7, url, **given)


def everything(github: GitHubServer) -> None:
    """What people do, one of each."""
    act = github.act
    act.push(NAME, "topic", {"a.tf": "three\n"})
    number = act.open(NAME, "topic").number
    act.push(NAME, "topic", {"c.tf": "new\n", "b.tf": None})
    act.draft(NAME, number, draft=True)
    act.draft(NAME, number, draft=False)
    act.edit(NAME, number, title="Another")
    review = act.review(NAME, number, "APPROVED", by="bob")
    act.review(NAME, number, "PENDING", by="carol")
    act.dismiss(NAME, number, review.id, by="carol")
    comment = act.comment(NAME, number, "xops plan", by="bob")
    act.edit_comment(NAME, comment["id"], "xops plan!", by="bob")
    act.delete_comment(NAME, comment["id"], by="bob")
    act.close(NAME, number)
    act.reopen(NAME, number)
    act.queue(NAME, number)
    act.merge(NAME, number, by="bob")
    act.join_team("acme", "platform", "dave")
    act.edit_team("acme", "platform")
    act.leave_team("acme", "platform", "dave")
    act.leave_organisation("acme", "dave")


TOLD = [
    "push", "pull_request.opened", "push", "pull_request.synchronize",
    "pull_request.converted_to_draft", "pull_request.ready_for_review", "pull_request.edited",
    "pull_request_review.submitted", "pull_request_review.dismissed", "issue_comment.created",
    "issue_comment.edited", "issue_comment.deleted", "pull_request.closed",
    "pull_request.reopened", "push", "merge_group.checks_requested", "pull_request.closed", "push",
    "membership.added", "team.edited", "membership.removed", "organization.member_removed",
]  # fmt: skip


def test_each_delivery_has_githubs_shape_and_comes_in_order(
    github: GitHubServer, receiver: Receiver, hook: Hook
) -> None:
    everything(github)
    github.hooks.wait()
    told = []
    for headers, body in receiver.came:
        parse(headers["x-github-event"], body)  # raises what is not as GitHub describes it
        action = json.loads(body).get("action")
        told.append(headers["x-github-event"] + (f".{action}" if action else ""))
    assert told == TOLD
    assert [one.status_code for one in github.hooks.sent] == [202] * len(TOLD)


def test_a_repositorys_hook_is_told_nothing_of_people(
    github: GitHubServer, receiver: Receiver
) -> None:
    hook_of(github, receiver.url, "repository")
    everything(github)
    github.hooks.wait()
    events = {headers["x-github-event"] for headers, _ in receiver.came}
    assert not events & {"membership", "team", "organization"}
    assert "pull_request" in events


def test_only_what_the_hook_asks_for_comes_and_nothing_if_it_is_not_active(
    github: GitHubServer, receiver: Receiver
) -> None:
    hook_of(github, receiver.url, events=["issue_comment"])
    hook_of(github, receiver.url, events=["push"], active=False)
    everything(github)
    github.hooks.wait()
    assert {headers["x-github-event"] for headers, _ in receiver.came} == {"issue_comment"}


def test_hooks_that_are_told_of_one_event_get_one_guid(
    github: GitHubServer, receiver: Receiver
) -> None:
    hook_of(github, receiver.url)
    hook_of(github, receiver.url, "repository")
    github.act.push(NAME, "topic", {"a.tf": "three\n"})
    github.hooks.wait()
    assert len(receiver.guids) == 2
    assert len(set(receiver.guids)) == 1


def test_an_apps_delivery_names_the_installation(github: GitHubServer, receiver: Receiver) -> None:
    github.app_hook(receiver.url, SECRET, "push")
    github.act.push(NAME, "topic", {"a.tf": "three\n"})
    github.hooks.wait()
    ((headers, body),) = receiver.came
    assert json.loads(body)["installation"]["id"] == github.installation_id
    assert headers["x-github-hook-installation-target-type"] == "integration"


def test_the_signature_is_that_of_the_raw_body(
    github: GitHubServer, receiver: Receiver, hook: Hook
) -> None:
    github.act.push(NAME, "topic", {"a.tf": "ä\n"}, message="Änderung")
    github.hooks.wait()
    ((headers, body),) = receiver.came
    for name, kind in (("x-hub-signature", "sha1"), ("x-hub-signature-256", "sha256")):
        found = hmac.new(SECRET.encode(), body, getattr(hashlib, kind)).hexdigest()
        assert headers[name] == f"{kind}={found}"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("GitHub-Hookshot/")
    assert headers["x-github-hook-id"] == str(hook.id)
    assert headers["x-github-event"] == "push"


def test_githubs_own_known_answer_is_met(github: GitHubServer, receiver: Receiver) -> None:
    hook = hook_of(github, receiver.url)
    github.hooks.flood(hook, [("push", b"Hello, World!")], lines=1)
    ((headers, _),) = receiver.came
    known = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert headers["x-hub-signature-256"] == f"sha256={known}"


def test_a_hook_without_json_is_sent_a_form(github: GitHubServer, receiver: Receiver) -> None:
    hook_of(github, receiver.url, content_type="form", secret=None)
    github.act.push(NAME, "topic", {"a.tf": "three\n"})
    github.hooks.wait()
    ((headers, body),) = receiver.came
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert body.startswith(b"payload=%7B")
    assert "x-hub-signature-256" not in headers


def test_what_fails_is_listed_and_not_sent_again_by_itself(
    github: GitHubServer, receiver: Receiver, hook: Hook
) -> None:
    receiver.status = 503
    github.act.push(NAME, "topic", {"a.tf": "three\n"})
    github.hooks.wait()
    (sent,) = github.hooks.sent
    assert (sent.status_code, sent.status) == (503, "Invalid HTTP Response: 503")
    assert len(receiver.came) == 1
    assert hook.last_response["code"] == 503


def test_nobody_who_answers_is_listed_as_failed(github: GitHubServer) -> None:
    hook_of(github, "http://127.0.0.1:9/github")
    github.act.push(NAME, "topic", {"a.tf": "three\n"})
    github.hooks.wait()
    (sent,) = github.hooks.sent
    assert (sent.status_code, sent.status) == (502, "failed to connect to host")


def test_an_answer_that_takes_too_long_counts_for_none(
    github: GitHubServer, receiver: Receiver, hook: Hook
) -> None:
    github.hooks.limit_seconds = 0.1
    receiver.go_on.clear()
    github.act.push(NAME, "topic", {"a.tf": "three\n"})
    github.hooks.wait()
    (sent,) = github.hooks.sent
    assert (sent.status_code, sent.status) == (504, "timed out")


def test_deliveries_are_held_lost_doubled_and_reordered_on_request(
    github: GitHubServer, receiver: Receiver, hook: Hook
) -> None:
    course = github.hooks.course
    course.hold = True
    for number in range(4):
        github.act.push(NAME, "topic", {"a.tf": f"{number}\n"})
    held = [sent.guid for sent in github.hooks.sent]
    assert receiver.came == []
    github.hooks.release(last_first=True)
    github.hooks.wait()
    assert receiver.guids == held[::-1]
    course.lose = 1
    github.act.push(NAME, "topic", {"a.tf": "lost\n"})
    assert github.hooks.sent[-1].failed
    course.double = 1
    github.act.push(NAME, "topic", {"a.tf": "twice\n"})
    github.act.push(NAME, "topic", {"a.tf": "after it\n"})
    github.hooks.wait()
    twice = github.hooks.sent[-2].guid
    assert receiver.guids[4:] == [twice, twice, github.hooks.sent[-1].guid]


def ask(github: GitHubServer, method: str, path: str, status: int = 200) -> httpx.Response:
    url = path if path.startswith("http") else f"{github.url}{path}"
    headers = {"authorization": f"token {TOKEN}"}
    answer = httpx.request(method, url, headers=headers, trust_env=False)
    assert answer.status_code == status, answer.text
    return answer


def test_the_list_goes_on_at_a_cursor_while_it_grows(
    github: GitHubServer, receiver: Receiver, hook: Hook
) -> None:
    for number in range(7):
        github.act.push(NAME, "topic", {"a.tf": f"{number}\n"})
    github.hooks.wait()
    before = [sent.guid for sent in reversed(github.hooks.sent)]
    path: str | None = f"/orgs/acme/hooks/{hook.id}/deliveries?per_page=3"
    found: list[str] = []
    while path:
        page = ask(github, "GET", path)
        found += [row["guid"] for row in page.json()]
        path = page.links.get("next", {}).get("url")
        github.act.push(NAME, "topic", {"a.tf": f"meanwhile {len(found)}\n"})
    assert found == before
    ask(github, "GET", f"/orgs/acme/hooks/{hook.id}/deliveries?cursor=v1_1", status=400)


def test_a_redelivery_has_the_same_guid_and_body_and_is_an_item_of_its_own(
    github: GitHubServer, receiver: Receiver, hook: Hook
) -> None:
    receiver.status = 500
    github.act.push(NAME, "topic", {"a.tf": "three\n"})
    github.hooks.wait()
    first = github.hooks.sent[0]
    receiver.status = 202
    mine = f"/orgs/acme/hooks/{hook.id}/deliveries"
    ask(github, "POST", f"{mine}/{first.id}/attempts", status=202)
    github.hooks.wait()
    (one, again) = receiver.came
    assert one == again
    rows = ask(github, "GET", mine).json()
    assert [(row["redelivery"], row["status_code"]) for row in rows] == [(True, 202), (False, 500)]
    assert rows[0]["guid"] == rows[1]["guid"]
    assert rows[0]["id"] != rows[1]["id"]
    failed = ask(github, "GET", f"{mine}?status=failure").json()
    assert [row["id"] for row in failed] == [first.id]
    shown = ask(github, "GET", f"{mine}/{first.id}").json()
    assert shown["request"]["payload"] == json.loads(one[1])


def test_after_three_days_a_delivery_is_gone(
    github: GitHubServer, receiver: Receiver, hook: Hook
) -> None:
    github.act.push(NAME, "topic", {"a.tf": "three\n"})
    github.hooks.wait()
    mine, number = f"/orgs/acme/hooks/{hook.id}/deliveries", github.hooks.sent[0].id
    at = github.hooks.sent[0].delivered_at + timedelta(days=3)
    github.hooks.now = lambda: at
    assert ask(github, "GET", mine).json() == []
    ask(github, "POST", f"{mine}/{number}/attempts", status=404)


def test_a_flood_is_sent_whole_over_many_connections(
    github: GitHubServer, receiver: Receiver, hook: Hook
) -> None:
    rows = [("push", json.dumps({"ref": f"refs/heads/{n}"}).encode()) for n in range(500)]
    order = random.Random(1)  # noqa: S311
    sent = github.hooks.flood(hook, rows, duplicates=0.05, shuffled=order)
    counted = Counter(receiver.guids)
    assert counted.keys() == {one.guid for one in sent}
    assert 5 < sum(times == 2 for times in counted.values()) < 60
    assert {one.status_code for one in sent} == {202}


def test_a_flood_can_be_as_slow_as_is_wanted(
    github: GitHubServer, receiver: Receiver, hook: Hook
) -> None:
    began = time.monotonic()
    github.hooks.flood(hook, [("push", b"{}")] * 20, per_second=100)
    assert time.monotonic() - began >= 0.19
    assert len(receiver.came) == 20


def test_a_flood_that_is_stopped_lists_the_rest_as_failed(
    github: GitHubServer, receiver: Receiver, hook: Hook
) -> None:
    stop = Event()
    stop.set()
    sent = github.hooks.flood(hook, [("push", b"{}")] * 5, stop=stop)
    assert receiver.came == []
    assert all(one.failed for one in sent)


@pytest.mark.parametrize("event", ["membership", "team", "organization", "nothing"])
def test_a_repositorys_hook_can_ask_for_no_event_of_an_organisation(
    github: GitHubServer, event: str
) -> None:
    body = {"config": {"url": "https://example.com/"}, "events": [event]}
    for path, status in ((f"/repos/{NAME}/hooks", 422), ("/orgs/acme/hooks", 201)):
        wanted = status if event in ORGANISATION_EVENTS else 422
        answer = httpx.post(
            f"{github.url}{path}",
            json={"name": "web", **body},
            headers={"authorization": f"token {TOKEN}"},
            trust_env=False,
        )
        assert answer.status_code == wanted, answer.text
