"""Setting the hook up at the GitHub of the tests: by a token, and by an App."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.app_keys import make_app_key
from tests.github_data import Team
from tests.github_server import APP_ID, GitHubServer
from tests.integration.github.conftest import MakeClient
from tests.secret_sources import allowing
from xops.core.errors import InputError, PermanentError
from xops.core.files.secret import SecretReference
from xops.github.access import Access, App
from xops.github.client import Client
from xops.github.credential import AppCredential
from xops.github.errors import NotVisibleError, RefusedError, UnavailableError
from xops.github.policy import GitHubPolicy
from xops.github.setup import APP_PERMISSIONS, Outcome, Plan, apply, plan

NAME = "acme/platform"
SECRET = "canary-0123456789abcdef0123456789abcdef"
ADDRESS = "http://127.0.0.1:1/github"
ROUTES = [
    {"event": event, "deployment": "handle-pull-request/handle-pull-request"}
    for event in ("pull_request", "pull_request_review", "issue_comment", "merge_group")
]


@pytest.fixture(autouse=True)
def acme(github: GitHubServer) -> None:
    github.add(NAME)
    github.organisation("acme", "alice", platform=Team(repositories=[NAME]))


def policy(github: GitHubServer, **more: Any) -> GitHubPolicy:
    given = {"apiVersion": "xops/v1", "api_url": github.url, "repositories": [NAME]}
    return GitHubPolicy.model_validate({**given, "routes": ROUTES, **more})


@pytest.fixture
def of_repository(github: GitHubServer) -> Plan:
    return plan(policy(github), ADDRESS)


def test_the_hook_of_a_repository_is_made_with_its_events_and_its_secret(
    github: GitHubServer, client: Client, of_repository: Plan
) -> None:
    outcome = apply(of_repository, SECRET, client)
    (hook,) = github.hooks.all
    assert outcome == Outcome("created", hook.id, NAME, url=ADDRESS)
    assert (hook.kind, hook.owner, hook.url) == ("repository", NAME, ADDRESS)
    assert (hook.secret, hook.content_type, hook.active) == (SECRET, "json", True)
    assert hook.events == ["issue_comment", "merge_group", "pull_request", "pull_request_review"]
    github.hooks.wait()
    (ping,) = github.hooks.sent
    assert ping.event == "ping"


def test_an_organisations_hook_is_told_of_people_as_well(
    github: GitHubServer, client: Client
) -> None:
    wanted = plan(policy(github, repositories=["acme/*"]), ADDRESS)
    apply(wanted, SECRET, client)
    (hook,) = github.hooks.all
    assert (hook.kind, hook.owner) == ("organization", "acme")
    assert set(hook.events) >= {"membership", "organization", "team", "pull_request"}


def test_to_set_it_up_again_updates_what_is_there(
    github: GitHubServer, client: Client, of_repository: Plan
) -> None:
    first = apply(of_repository, SECRET, client)
    (hook,) = github.hooks.all
    hook.events, hook.active, hook.content_type, hook.secret = ["push"], False, "form", None
    again = apply(of_repository, SECRET, client)
    assert again == Outcome("updated", first.hook_id, NAME, url=ADDRESS)
    assert github.hooks.all == [hook]
    settings: tuple[object, ...] = (hook.active, hook.content_type, hook.secret)
    assert settings == (True, "json", SECRET)
    assert "pull_request" in hook.events
    assert "push" not in hook.events


def test_hooks_that_lead_elsewhere_stay_as_they_are(
    github: GitHubServer, client: Client, of_repository: Plan
) -> None:
    repository = github.repositories[NAME]
    other = github.hooks.add(NAME, "repository", repository.number, "https://ci.example.com/")
    apply(of_repository, SECRET, client)
    assert len(github.hooks.all) == 2
    assert other.secret is None


def test_two_hooks_to_one_address_are_refused_since_all_would_come_twice(
    github: GitHubServer, client: Client, of_repository: Plan
) -> None:
    number = github.repositories[NAME].number
    for _ in range(2):
        github.hooks.add(NAME, "repository", number, ADDRESS)
    with pytest.raises(PermanentError, match=r"hooks \d+, \d+ all lead to"):
        apply(of_repository, SECRET, client)


def test_after_an_answer_that_was_lost_it_is_looked_for_and_not_made_twice(
    github: GitHubServer, client: Client, of_repository: Plan
) -> None:
    github.fail(operation="POST /repos/.*/hooks", kind="arrives")
    with pytest.raises(UnavailableError):
        apply(of_repository, SECRET, client)
    assert apply(of_repository, SECRET, client).done == "updated"
    assert len(github.hooks.all) == 1


def test_who_may_not_see_hooks_is_told_what_the_credential_needs(
    github: GitHubServer, connect: MakeClient, of_repository: Plan
) -> None:
    github.grant("github_pat_of_bob", "bob")
    with pytest.raises(NotVisibleError, match="setting up the hook of acme/platform"):
        apply(of_repository, SECRET, connect("github_pat_of_bob"))


def test_an_event_that_github_does_not_know_is_refused(
    github: GitHubServer, client: Client, of_repository: Plan
) -> None:
    wrong = Plan(**{**of_repository.__dict__, "events": ("membership",)})
    with pytest.raises(RefusedError, match=r"422.*Events is invalid: membership"):
        apply(wrong, SECRET, client)
    assert github.hooks.all == []


def test_a_short_secret_is_refused_before_anything_is_asked(
    github: GitHubServer, client: Client, of_repository: Plan
) -> None:
    with pytest.raises(InputError, match="fewer than 32 bytes"):
        apply(of_repository, "short", client)
    assert github.requests == []


def test_the_secret_stands_in_no_plan_no_outcome_no_error_and_no_log(
    github: GitHubServer,
    client: Client,
    of_repository: Plan,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    said = [repr(of_repository), json.dumps(of_repository.settings)]
    github.fail(operation="POST /repos/.*/hooks", status=422, message="Wrong")
    with pytest.raises(RefusedError) as error:
        apply(of_repository, SECRET, client)
    said += [str(error.value), repr(error.value.__cause__)]
    said += [repr(apply(of_repository, SECRET, client)), caplog.text]
    assert "canary" not in " ".join(said)


@pytest.fixture(scope="module")
def key() -> tuple[str, str]:
    return make_app_key()


def as_app(github: GitHubServer, key: tuple[str, str], folder: Path) -> Client:
    github.app_public_key = key[1]
    file = folder / "key.pem"
    file.write_text(key[0])
    file.chmod(0o600)
    access = Access(api_url=github.url, credential=SecretReference(file=file), app=App(APP_ID))
    return Client(access, sources=allowing(github.url, folder), as_app=True)


def of_app(github: GitHubServer) -> GitHubPolicy:
    credential = {"kind": "app", "app_id": APP_ID, "variable": "XOPS_GITHUB_TOKEN"}
    return policy(github, credential=AppCredential.model_validate(credential))


def test_an_apps_hook_is_told_its_address_and_secret_by_the_app_itself(
    github: GitHubServer, key: tuple[str, str], tmp_path: Path
) -> None:
    hook = github.app_hook("https://elsewhere.example.com", "before", "pull_request")
    wanted = plan(of_app(github), ADDRESS)
    with as_app(github, key, tmp_path) as client:
        assert apply(wanted, SECRET, client) == Outcome("updated", url=ADDRESS)
    assert (hook.url, hook.secret, hook.content_type) == (ADDRESS, SECRET, "json")


def test_a_token_does_not_ask_as_an_app(connect: MakeClient) -> None:
    with pytest.raises(InputError, match="only the App itself may ask this"):
        Client(Access(api_url="https://api.github.com"), as_app=True)


def test_the_manifest_asks_for_what_is_used_and_holds_no_secret(github: GitHubServer) -> None:
    made = plan(of_app(github), ADDRESS)
    assert made.manifest["default_permissions"] == APP_PERMISSIONS
    assert made.manifest["hook_attributes"] == {"url": ADDRESS, "active": True}
    assert made.manifest["public"] is False
    assert {"pull_request", "membership"} <= set(made.manifest["default_events"])
    assert "administration" not in made.permissions
    assert json.dumps(made.manifest)


def test_a_token_needs_the_right_to_hooks_besides(github: GitHubServer) -> None:
    assert plan(policy(github), ADDRESS).permissions["repository_hooks"] == "write"
    organisation = plan(policy(github, repositories=["acme/*"]), ADDRESS)
    assert organisation.permissions["organization_hooks"] == "write"
