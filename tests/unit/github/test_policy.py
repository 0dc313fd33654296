"""The file that says what deliveries lead to, and how pull requests are handled."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from xops.core.errors import InputError
from xops.github.delivery import FIELDS
from xops.github.policy import ACTIONS, EVENTS, FILE, GitHubPolicy, Route, doubts

WAKE = "handle-pull-request/handle-pull-request"


def read(folder: Path, **values: Any) -> GitHubPolicy:
    file = folder / "github.yaml"
    file.write_text(yaml.safe_dump({"apiVersion": "xops/v1", **values}))
    return GitHubPolicy.load(file)


def refused(folder: Path, **values: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(folder, **values)
    return str(caught.value)


def route(**values: Any) -> dict[str, Any]:
    return {"event": "pull_request", "deployment": WAKE, **values}


def test_the_projects_own_file_wakes_the_flow_with_what_it_takes() -> None:
    policy = GitHubPolicy.load(FILE, environ={})
    assert {each.event for each in policy.routes} == {
        "pull_request", "pull_request_review", "issue_comment", "merge_group",
    }  # fmt: skip
    assert {each.deployment for each in policy.routes} == {WAKE}
    assert policy.base_branches == ()


def test_routes_know_every_event_but_the_ping() -> None:
    assert set(ACTIONS) | {"ping"} == set(EVENTS)
    assert set(Route.model_json_schema()["properties"]["event"]["enum"]) == set(ACTIONS)


@pytest.mark.parametrize("event", sorted(set(ACTIONS) - {"push"}))
def test_actions_are_those_that_github_publishes(event: str) -> None:
    # The schemas themselves take seconds to import; the actions stand in the text.
    [schemas] = Path(yaml.__file__).parents[1].glob("githubkit_schemas/v*/webhooks")
    text = (schemas / f"{event}.py").read_text()
    published = re.findall(r'^    "(\w+)":', text, re.MULTILINE)
    assert set(published) == ACTIONS[event]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (route(actions=["openend"]), "'openend' is no action of pull_request: those are assigned,"),
        (route(event="push", actions=["created"]), "'created' is no action of push: it has none"),
        (route(paths=["terraform/**"]), "only a push tells which files it changes"),
        (route(event="push", paths=["!"]), "'!' is no pattern of .gitignore"),
        (route(parameters={"n": "{nubmer}"}), "'nubmer' is no field of a delivery"),
        (route(parameters={"r": {"x": ["a {number}"]}}), "a field within a text"),
        (route(deployment="handle-pull-request"), "deployment"),
        (route(event="star"), "event"),
        (route(repositories=["platform"]), "repositories"),
    ],
)
def test_a_route_that_would_never_match_or_fill_is_refused(
    tmp_path: Path, values: dict[str, Any], found: str
) -> None:
    message = refused(tmp_path, routes=[values])
    assert found in message
    assert "routes" in message


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"repositories": ["a/b", "c/d", "A/B"]}, "repositories.2: 'A/B' stands here twice"),
        (
            {"routes": [route(), route(actions=["opened"]), route()]},
            "routes.2: is the same as route 0",
        ),
        ({"hook_of": "acme/platform"}, "goes with hook_id"),
        ({"hook_id": 7}, "goes with hook_id"),
        ({"base_branches": ["release *"]}, "base_branches"),
        ({"repositories": ["acme"]}, "repositories"),
        (
            {"pull_requests": {"approvers": {"teams": ["platform"]}}},
            "pull_requests.approvers.teams",
        ),
        ({"pull_requests": {"approvers": {"logins": ["@bob"]}}}, "pull_requests.approvers.logins"),
        ({"pull_requests": {"modules_concern": ["Test"]}}, "pull_requests.modules_concern"),
        ({"pull_requests": {"apply": "always"}}, "pull_requests.apply"),
        ({"webhook": {"keep_days": 7}}, "webhook.keep_days"),
        ({"webhook": {"secret": {"file": "a", "variable": "B"}}}, "webhook.secret"),
        ({"token": "x"}, "token"),
    ],
)
def test_each_wrong_key_is_told_with_its_path_and_line(
    tmp_path: Path, values: dict[str, Any], found: str
) -> None:
    message = refused(tmp_path, **values)
    assert found in message
    assert re.search(r"github\.yaml:\d+: ", message)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    values = [
        route(actions=["x", "opened", "y"], parameters={"a": "{b}"}),
        route(event="push", paths=["!"]),
    ]
    message = refused(tmp_path, routes=values)
    assert message.startswith(f"reading {tmp_path}/github.yaml: 4 errors")


def test_the_allow_list_takes_names_in_any_case_and_no_part_of_one(tmp_path: Path) -> None:
    policy = read(tmp_path, repositories=["acme/*", "Other/Platform"])
    assert policy.allows("ACME/platform")
    assert policy.allows("other/platform")
    for name in ("other/platform2", "x/acme/y", "acme", "", "acme-evil/platform"):
        assert not policy.allows(name)
    assert not read(tmp_path).allows("acme/platform")


def test_another_file_is_named_by_a_variable_and_nothing_lies_over_it(tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text("apiVersion: xops/v1\nrepositories: [acme/platform]\n")
    environ = {"XOPS_GITHUB_FILE": str(file), "XOPS_GITHUB__REPOSITORIES": "[evil/x]"}
    assert GitHubPolicy.load(environ=environ).repositories == ("acme/platform",)


def test_every_field_of_a_delivery_may_be_a_parameter(tmp_path: Path) -> None:
    parameters = {name: f"{{{name}}}" for name in FIELDS}
    assert read(tmp_path, routes=[route(parameters=parameters)])


SOUND: dict[str, Any] = {
    "repositories": ["acme/platform"],
    "hook_id": 7,
    "hook_of": "acme",
    "routes": [route(), route(event="pull_request_review")],
    "pull_requests": {"approvers": {"logins": ["bob"]}},
}


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({}, ""),
        ({"repositories": []}, "repositories: names none"),
        ({"repositories": ["acme/*"]}, "acme/* trusts whoever may make a repository"),
        ({"pull_requests": {}}, "approvers: names nobody"),
        (
            {"pull_requests": {**SOUND["pull_requests"], "modules_concern": ["test", "uat"]}},
            "modules_concern: no environment file of uat",
        ),
        (
            {"pull_requests": {**SOUND["pull_requests"], "isolation": {"sandbox": "off"}}},
            "isolation.sandbox: off",
        ),
        ({"hook_id": None, "hook_of": None}, "hook_id: none"),
        ({"routes": [route()]}, "no pull_request_review leads to"),
        ({"routes": [route(deployment="a/b")]}, ""),
    ],
)
def test_what_is_allowed_and_probably_not_meant_is_told(
    tmp_path: Path, values: dict[str, Any], found: str
) -> None:
    told = list(doubts(read(tmp_path, **{**SOUND, **values}), ["test"]))
    assert len(told) == bool(found)
    assert found in "".join(told)
