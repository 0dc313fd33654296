"""Which deliveries start what."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.github.dispatch.deliveries import PLAN, delivery, policy
from xops.github.delivery import FIELDS
from xops.github.dispatch.routes import MEMBERSHIP_EVENTS, Start, match, wanted
from xops.github.policy import GitHubPolicy

SHIPPED = GitHubPolicy.load().model_copy(update={"repositories": ("acme/*",)})


def test_a_route_starts_its_deployment_with_the_delivery_s_fields_in_their_types() -> None:
    request = {"number": "{number}", "deep": [{"of": "{repository}"}], "fixed": "text", "n": 3}
    route = {**PLAN, "parameters": {"request": request, "delivery": "{id}"}}
    one = delivery(action="opened").model_copy(update={"number": 12})
    [start] = match(policy(route), one)
    filled = {"number": 12, "deep": [{"of": "acme/platform"}], "fixed": "text", "n": 3}
    assert start == Start("plan/plan", {"request": filled, "delivery": one.id})


def test_a_field_that_is_not_known_is_null_and_no_text() -> None:
    [start] = match(policy({**PLAN, "parameters": {"number": "{number}"}}), delivery())
    assert start.parameters == {"number": None}


def test_a_text_of_a_stranger_is_a_value_and_never_read_as_a_field() -> None:
    route = {**PLAN, "parameters": {"branch": "{base_ref}"}}
    [start] = match(policy(route), delivery(base_ref="{sender}"))
    assert start.parameters == {"branch": "{sender}"}


def test_every_field_can_be_a_parameter_and_is_json() -> None:
    route = {**PLAN, "parameters": {name: f"{{{name}}}" for name in FIELDS}}
    [start] = match(policy(route), delivery(paths=("a", "b")))
    read = json.loads(json.dumps(start.parameters))
    assert read == start.parameters
    assert read["paths"] == ["a", "b"]
    assert read["received_at"] == "2026-11-30T09:00:00+00:00"


@pytest.mark.parametrize(
    ("route", "told", "starts"),
    [
        ({"actions": ["opened"]}, {"action": "opened"}, True),
        ({"actions": ["opened"]}, {"action": "labeled"}, False),
        ({"actions": ["opened"]}, {}, False),
        ({}, {"action": "anything"}, True),
        ({"repositories": ["acme/web"]}, {}, False),
        ({"repositories": ["acme/web", "Acme/PLAT*"]}, {}, True),
        ({}, {"repository": "other/platform"}, False),
        ({}, {"repository": "ACME/platform"}, True),
        ({"event": "push"}, {}, False),
    ],
)
def test_a_route_matches_by_event_action_and_repository(
    route: dict[str, Any], told: dict[str, Any], starts: bool
) -> None:
    read = policy({**PLAN, **route})
    one = delivery(**told)
    assert bool(match(read, one)) is starts
    assert (wanted(read, one) is None) is starts


@pytest.mark.parametrize(
    ("patterns", "push", "starts"),
    [
        (["terraform/"], {"paths": ["terraform/main.tf"]}, True),
        (["terraform/"], {"paths": ["docs/terraform.md"]}, False),
        (["*.tf"], {"paths": ["a/b/c.tf"]}, True),
        (["/*.tf"], {"paths": ["a/b/c.tf"]}, False),
        (["*", "!docs/**"], {"paths": ["docs/a.md"]}, False),
        (["terraform/"], {"paths": []}, False),
        (["terraform/"], {"paths": ["docs/a.md"], "paths_complete": False}, True),
        ([], {"paths": []}, True),
    ],
)
def test_a_push_matches_by_the_files_it_changes_and_one_that_does_not_tell_all_may(
    patterns: list[str], push: dict[str, Any], starts: bool
) -> None:
    read = policy({"event": "push", "paths": patterns, "deployment": "facts/facts"})
    one = delivery("push", **push)
    assert bool(match(read, one)) is starts
    if not starts:
        assert wanted(read, one) == "push: no file that a route is about was changed"


def test_a_deployment_is_started_once_by_the_first_route_that_matches() -> None:
    read = policy(
        {**PLAN, "parameters": {"which": 1}},
        {**PLAN, "parameters": {"which": 2}},
        {**PLAN, "deployment": "other/other"},
    )
    assert match(read, delivery()) == (Start("plan/plan", {"which": 1}), Start("other/other", {}))


@pytest.mark.parametrize(
    ("event", "more", "reason"),
    [
        ("ping", {}, "a ping: the hook is set up"),
        ("star", {"action": "created"}, "nothing is done about the event star"),
        ("pull_request", {"repository": "other/x"}, "other/x is not on the allow-list"),
        ("pull_request", {"repository": ""}, "of no name is not on the allow-list"),
        ("pull_request", {"action": "labeled"}, "no route is about pull_request.labeled"),
    ],
)
def test_what_leads_to_nothing_says_why(event: str, more: dict[str, Any], reason: str) -> None:
    assert reason in (wanted(SHIPPED, delivery(event, **more)) or "")


@pytest.mark.parametrize("event", sorted(MEMBERSHIP_EVENTS))
def test_what_tells_of_members_is_always_wanted_and_needs_no_route(event: str) -> None:
    one = delivery(event, repository="", organisation="elsewhere")
    assert wanted(policy(repositories=()), one) is None
    assert match(policy(), one) == ()


@pytest.mark.parametrize(("owner", "starts"), [("Acme", True), ("other", False), ("", False)])
def test_a_route_about_members_counts_for_organisations_of_the_allow_list(
    owner: str, starts: bool
) -> None:
    read = policy({"event": "membership", "deployment": "people/people"})
    one = delivery("membership", repository="", organisation=owner)
    assert bool(match(read, one)) is starts


@pytest.mark.parametrize(
    ("comment", "starts"),
    [
        ({"number": 3, "command": "xops plan"}, True),
        ({"number": 3, "command": ""}, False),
        ({"number": None, "command": "xops plan"}, False),
        ({"number": 3, "command": "xops plan", "sender_is_bot": True}, False),
    ],
)
def test_a_comment_leads_on_if_a_person_writes_a_command_on_a_pull_request(
    comment: dict[str, Any], starts: bool
) -> None:
    values = delivery("issue_comment", action="created").model_dump() | comment
    one = delivery("issue_comment").model_validate(values)
    assert bool(match(SHIPPED, one)) is starts
    if not starts:
        assert "no command of a person" in (wanted(SHIPPED, one) or "")


def test_a_review_that_a_machine_has_dismissed_is_looked_at() -> None:
    dismissed = delivery("pull_request_review", action="dismissed", sender_is_bot=True)
    assert match(SHIPPED, dismissed)


words = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=900)


@given(
    event=st.sampled_from(["pull_request", "push", "ping", "star", "membership", "merge_group"]),
    action=words,
    organisation=words,
    ref=words,
)
def test_no_delivery_is_refused_with_an_error_or_a_long_reason(
    event: str, action: str, organisation: str, ref: str
) -> None:
    one = delivery(event, action=action, organisation=organisation, ref=ref)
    reason = wanted(SHIPPED, one)
    assert reason is None or 0 < len(reason) <= 200
    assert reason is None or not match(SHIPPED, one)
