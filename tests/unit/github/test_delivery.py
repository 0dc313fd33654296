"""What is kept of a delivery, and what is no delivery."""

import json
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.webhooks import HASH, encoded, pull_request
from xops.github.delivery import (
    FIELDS,
    LONGEST_PATH,
    MOST_COMMAND,
    MOST_COMMITS,
    MOST_PATH_CHARACTERS,
    MOST_PATHS,
    Delivery,
    NotADeliveryError,
    project,
)
from xops.github.policy import EVENTS

GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
NONE = "0" * 40


def kept(event: str, payload: Any, hook_id: int | None = None) -> Delivery:
    return project(event, GUID, hook_id, encoded(payload), NOW)


def push(**changes: Any) -> dict[str, Any]:
    commit = {"id": HASH, "message": "m", "added": ["a.tf"], "removed": ["b.tf"], "modified": []}
    return {
        "ref": "refs/heads/main",
        "before": NONE,
        "after": HASH,
        "forced": False,
        "commits": [commit],
        "repository": {"full_name": "acme/web"},
        "sender": {"login": "octocat", "type": "User"},
        **changes,
    }


def comment(body: Any, **issue: Any) -> dict[str, Any]:
    return {
        "action": "created",
        "issue": {"number": 7, "pull_request": {"url": "u"}, **issue},
        "comment": {"body": body},
        "repository": {"full_name": "acme/web"},
        "sender": {"login": "octocat", "type": "User"},
    }


def test_of_a_pull_request_the_commits_and_the_branch_are_kept() -> None:
    found = kept("pull_request", pull_request() | {"before": NONE, "after": HASH}, 5)
    assert (found.number, found.head_sha, found.base_ref, found.base_sha) == (7, HASH, "main", HASH)
    assert (found.before, found.after, found.hook_id) == (NONE, HASH, 5)
    assert (found.repository, found.sender, found.sender_is_bot) == ("acme/web", "octocat", False)
    assert "title" not in found.model_dump_json()


def test_of_a_review_its_id_its_state_in_lower_case_and_its_commit_are_kept() -> None:
    review = {"id": 9, "state": "APPROVED", "commit_id": HASH, "body": "looks good"}
    found = kept("pull_request_review", pull_request("submitted") | {"review": review})
    assert (found.review_id, found.review_state, found.commit) == (9, "approved", HASH)
    assert found.number == 7
    assert "looks good" not in found.model_dump_json()


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ("xops plan", "xops plan"),
        ("xops apply \r\nthanks", "xops apply"),
        ("xops plan\x00\x1b[2K\u202e", "xops plan[2K"),
        ("please do\nxops plan", ""),
        (" xops plan", ""),
        ("xopsplan", ""),
        ("", ""),
        (None, ""),
        ("xops " + "a" * 500, "xops " + "a" * (MOST_COMMAND - 5)),
    ],
)
def test_of_a_comment_the_first_line_is_kept_if_it_is_a_command(body: Any, command: str) -> None:
    found = kept("issue_comment", comment(body))
    assert (found.command, found.number) == (command, 7)


def test_a_comment_on_an_issue_has_no_number_and_no_command() -> None:
    found = kept("issue_comment", comment("xops plan", pull_request=None))
    assert (found.number, found.command) == (None, "")


def test_of_a_push_each_path_is_kept_once() -> None:
    commits = [{"added": ["a"], "removed": [], "modified": ["b"]}, {"modified": ["a", "c"]}]
    found = kept("push", push(commits=commits))
    assert (found.paths, found.paths_complete) == (("a", "b", "c"), True)
    assert (found.ref, found.before, found.after) == ("refs/heads/main", NONE, HASH)


@pytest.mark.parametrize(
    "changes",
    [
        {"forced": True},
        {"commits": [{"added": []}] * MOST_COMMITS},
        {"commits": [{"added": [str(n) for n in range(MOST_PATHS)]}]},
        {"commits": [{"added": [f"{c}/{n}" for n in range(1600)]} for c in range(2)]},
    ],
    ids=["forced", "as many commits as GitHub lists", "as many files", "more than are kept"],
)
def test_a_push_that_does_not_tell_all_its_paths_says_so(changes: dict[str, Any]) -> None:
    found = kept("push", push(**changes))
    assert not found.paths_complete
    assert len(found.paths) <= MOST_PATHS


def test_paths_of_a_push_take_no_more_room_than_they_are_given() -> None:
    long = [{"added": [f"{n:04}{'x' * (LONGEST_PATH - 4)}" for n in range(1000)]}]
    found = kept("push", push(commits=long))
    assert sum(map(len, found.paths)) == MOST_PATH_CHARACTERS
    assert not found.paths_complete


@pytest.mark.parametrize("path", ["", "d/" * LONGEST_PATH], ids=["empty", "too long"])
def test_a_path_that_is_of_no_use_hides_no_push(path: str) -> None:
    found = kept("push", push(commits=[{"added": ["a", path], "modified": ["b"]}]))
    assert (found.paths, found.paths_complete) == (("a", "b"), False)


@pytest.mark.parametrize(
    "changes",
    [
        {"commits": None, "after": NONE, "head_commit": None, "deleted": True},
        {"commits": [], "after": NONE},
        {"sender": None},
        {"repository": {"full_name": "acme/web", "url": None}},
        {"repository": {}, "sender": {}},
        {"repository": None},
    ],
    ids=["deleted", "without commits", "of nobody", "without an address", "empty", "of nothing"],
)
def test_a_push_that_lacks_what_others_have_is_taken(changes: dict[str, Any]) -> None:
    assert kept("push", push(**changes)).ref == "refs/heads/main"


def test_of_a_merge_group_the_base_is_named_as_that_of_a_pull_request() -> None:
    group = {
        "head_sha": HASH,
        "head_ref": "refs/heads/gh-readonly-queue/main/pr-1",
        "base_sha": HASH,
        "base_ref": "refs/heads/main",
    }
    found = kept("merge_group", {"action": "checks_requested", "merge_group": group})
    assert (found.base_ref, found.ref, found.head_sha) == ("main", group["head_ref"], HASH)


def test_of_people_team_and_login_are_kept() -> None:
    organisation = {"organization": {"login": "acme"}}
    team = {"team": {"slug": "platform"}, "member": {"login": "bob"}}
    found = kept("membership", {"action": "added", "scope": "team", **team, **organisation})
    assert (found.organisation, found.team, found.member) == ("acme", "platform", "bob")
    gone = {"team": {"id": 1, "name": "platform", "deleted": True}, "member": None}
    assert kept("membership", {"action": "removed", **gone, **organisation}).team == ""
    member = {"action": "member_added", "membership": {"user": {"login": "bob"}}}
    assert kept("organization", member | organisation).member == "bob"
    assert kept("organization", {"action": "renamed", **organisation}).member == ""
    assert kept("team", {"action": "edited", "team": {"slug": "platform"}}).team == "platform"


def test_a_ping_names_its_hook() -> None:
    assert kept("ping", {"zen": "z", "hook_id": 3, "hook": {}}, 5).hook_id == 3
    assert kept("ping", {"zen": "z"}, 5).hook_id == 5


def test_a_bot_is_told_by_its_kind_and_not_by_its_name() -> None:
    sender = {"login": "helper[bot]", "type": "User"}
    assert not kept("pull_request", pull_request() | {"sender": sender}).sender_is_bot
    assert kept("pull_request", pull_request() | {"sender": sender | {"type": "Bot"}}).sender_is_bot


def test_every_event_that_can_lead_to_something_is_read() -> None:
    for event in EVENTS:
        if event in ("ping", "organization"):  # of which nothing is needed
            assert kept(event, {}).event == event
        else:
            with pytest.raises(NotADeliveryError):
                kept(event, {})


@pytest.mark.parametrize("payload", [{}, {"action": 1, "repository": "no"}, {"sender": [1]}])
def test_an_event_that_leads_to_nothing_may_have_any_shape(payload: Any) -> None:
    found = kept("star", payload)
    assert (found.event, found.action, found.repository) == ("star", "", "")


def test_of_an_event_that_leads_to_nothing_the_common_part_is_kept() -> None:
    found = kept("star", pull_request("created"))
    assert (found.action, found.repository, found.sender) == ("created", "acme/web", "octocat")
    assert found.number is None


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"7", b'"text"', b"{", b'{"a": 1,}', b'{"a": NAN}', b"\xff\xfe{}",
        b'{"a": "\xc3"}', b"[" * 100_000, b'{"a":' * 100_000, b'{"a": "\\ud800"}',
        b'{"number": ' + b"9" * 10_000 + b"}", b"[" + b"1," * 1_000_001 + b"1]",
        b"\x1f\x8b\x08\x00", b"payload=%7B%7D", b'{"a": ' * 300 + b"1" + b"}" * 300,
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_no_delivery(body: bytes) -> None:
    with pytest.raises(NotADeliveryError):
        project("star", GUID, None, body, NOW)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("number", "7"), ("number", -1), ("number", 10**30), ("number", True), ("number", 7.5),
        ("head", {"sha": "no hash"}), ("head", {"sha": HASH + "\n"}), ("head", None),
        ("base", {"sha": HASH, "ref": "a\x00b"}), ("base", {"sha": HASH, "ref": "a\ud800"}),
        ("base", {"sha": HASH, "ref": "a" * 2000}), ("merged", "yes"),
    ],
)  # fmt: skip
def test_a_part_that_is_used_and_has_another_shape_is_refused(part: str, value: Any) -> None:
    payload = pull_request()
    payload["pull_request"][part] = value
    with pytest.raises(NotADeliveryError) as caught:
        kept("pull_request", payload)
    assert str(value) not in str(caught.value) or part == "number"


@pytest.mark.parametrize("name", ["acme", "acme/..", "acme/.", "../web", "a/b/c", "acme/w b", "/"])
def test_a_repository_of_which_the_name_is_a_way_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(NotADeliveryError):
        kept("pull_request", pull_request(repository=name))


@pytest.mark.parametrize("name", ["acme/.github", "acme-1/a.b_c-d", "me_acme/..x", "acme/-"])
def test_names_that_github_takes_are_taken(name: str) -> None:
    assert kept("pull_request", pull_request(repository=name)).repository == name


def test_a_text_that_is_not_used_may_hold_anything() -> None:
    payload = pull_request()
    payload["pull_request"]["title"] = "\\u0000 \x00 \U0001f600 {}[],"
    assert kept("pull_request", payload).number == 7


def test_of_a_key_that_is_given_twice_the_last_counts() -> None:
    body = encoded(pull_request())[:-1] + b', "action": "closed"}'
    assert project("pull_request", GUID, None, body, NOW).action == "closed"


def test_a_delivery_outlives_being_kept() -> None:
    found = kept("push", push())
    assert Delivery.model_validate_json(found.model_dump_json()) == found
    assert set(json.loads(found.model_dump_json())) == FIELDS


def test_the_moment_is_in_utc() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=10)))
    found = project("star", GUID, None, b"{}", there)
    assert found.received_at == NOW
    assert found.received_at.tzinfo is UTC
    with pytest.raises(NotADeliveryError):
        project("star", GUID, None, b"{}", NOW.replace(tzinfo=None))


def test_the_same_delivery_in_capitals_is_the_same() -> None:
    assert project("star", GUID.upper(), None, b"{}", NOW).id == GUID


def test_a_delivery_of_another_shape_cannot_be_made() -> None:
    values = kept("star", {}).model_dump()
    for changes in ({"id": "x"}, {"event": "a b"}, {"ref": "a\nb"}, {"body_sha256": ""}):
        with pytest.raises(ValidationError):
            Delivery.model_validate(values | changes)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
KEYS = st.sampled_from(sorted(set(re.findall(r'"(\w+)":', json.dumps([pull_request(), push()])))))


def _with(payload: Any, path: list[int], value: Any) -> Any:
    """The payload with one of its parts replaced; the path chooses which."""
    if not path or not payload or not isinstance(payload, dict | list):
        return value
    keys = list(payload) if isinstance(payload, dict) else list(range(len(payload)))
    key = keys[path[0] % len(keys)]
    copied = payload.copy()
    copied[key] = _with(payload[key], path[1:], value)
    return copied


@given(
    event=st.sampled_from([*EVENTS, "star"]),
    payload=st.sampled_from([pull_request(), push(), comment("xops plan")]),
    path=st.lists(st.integers(0, 20), max_size=4),
    value=JSON | st.dictionaries(KEYS, JSON, max_size=4),
)
def test_any_payload_is_a_delivery_that_can_be_kept_or_is_none(
    event: str, payload: Any, path: list[int], value: Any
) -> None:
    try:
        found = kept(event, _with(payload, path, value))
    except NotADeliveryError:
        return
    text = found.model_dump_json()
    assert "\\u0000" not in text.replace("\\\\", "")
    assert Delivery.model_validate_json(text.encode()) == found


@given(st.binary(max_size=200))
def test_no_bytes_are_anything_but_a_delivery_or_none(body: bytes) -> None:
    for event in ("push", "star"):
        with suppress(NotADeliveryError):
            project(event, GUID, None, body, NOW)
