"""What is planned for GitHub: whose hook, with which address and events."""

from typing import Any

import pytest

from xops.core.errors import InputError
from xops.github.policy import GitHubPolicy
from xops.github.setup import Plan, plan

ADDRESS = "https://xops.example.com/github"


def planned(address: str = ADDRESS, *, place: str = "", **more: Any) -> Plan:
    given = {"apiVersion": "xops/v1", "repositories": ["acme/platform"], **more}
    return plan(GitHubPolicy.model_validate(given), address, place=place)


@pytest.mark.parametrize(
    "address",
    ["https://xops.example.com/github", "https://xops.example.com/github/"],
)
def test_an_address_of_the_receiver_is_taken(address: str) -> None:
    assert planned(address).url == ADDRESS


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://xops.example.com/github", "not https"),
        ("https://127.0.0.1:4580/github", "this machine, which GitHub does not reach"),
        ("http://localhost:4580/github", "not https"),
        ("https://xops.example.com", "leads elsewhere than to /github"),
        ("https://xops.example.com/hook", "leads elsewhere than to /github"),
        ("https://xops.example.com/github?a=b", "leads elsewhere than to /github"),
        ("https://user@xops.example.com/github", "no plain address"),
        ("xops.example.com/github", "no plain address"),
        ("", "no plain address"),
    ],
)
def test_an_address_that_leads_to_no_receiver_is_refused(address: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        planned(address)


@pytest.mark.parametrize(
    ("repositories", "place"),
    [
        (["acme/platform"], "acme/platform"),
        (["acme/platform", "acme/web"], "acme"),
        (["acme/*"], "acme"),
    ],
)
def test_whose_hook_it_is_follows_from_the_allow_list(repositories: list[str], place: str) -> None:
    assert planned(repositories=repositories).place == place


@pytest.mark.parametrize("repositories", [[], ["*/*"], ["acme/web", "other/web"], ["ac*/web"]])
def test_without_a_common_owner_it_has_to_be_said(repositories: list[str]) -> None:
    with pytest.raises(InputError, match="say with --on whose hook it is"):
        planned(repositories=repositories)
    assert planned(place="acme", repositories=repositories).path == "/orgs/acme/hooks"


def test_the_place_in_the_file_counts_before_the_allow_list() -> None:
    assert planned(hook_id=4, hook_of="acme").place == "acme"


@pytest.mark.parametrize(
    ("api_url", "web"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://git.example.com/api/v3", "https://git.example.com"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com"),
    ],
)
def test_a_manifest_is_posted_to_the_same_github(api_url: str, web: str) -> None:
    wanted = f"{web}/organizations/acme/settings/apps/new"
    assert planned(api_url=api_url).manifest_url == wanted


def test_a_repositorys_hook_asks_for_no_event_of_people() -> None:
    routes = [
        {"event": "membership", "deployment": "a/b"},
        {"event": "push", "deployment": "a/b"},
    ]
    assert planned(routes=routes).events == ("push",)
    of_all = planned(place="acme", routes=routes).events
    assert of_all == ("membership", "organization", "push", "team")
