"""One issue for one thing, whatever happens on the way."""

from dataclasses import replace

import pytest

from tests.github_data import Repository
from tests.github_server import GitHubServer
from xops.github.client import Client
from xops.github.errors import NotVisibleError, UnavailableError
from xops.github.issues import IssueDraft, publish

NAME = "octo/platform"
NOTICE = IssueDraft("trigger/iac_prs/2026-11-02", "Activate Atlantis", "Why", ("xops-trigger",))
CREATE = "POST .*/issues"


@pytest.fixture
def repository(github: GitHubServer) -> Repository:
    return github.add(NAME)


def test_it_is_written_once_and_updated_after(repository: Repository, client: Client) -> None:
    first = publish(client, NAME, NOTICE)
    again = publish(client, NAME, NOTICE)
    later = publish(client, NAME, replace(NOTICE, body="Why now"))
    assert [first.done, again.done, later.done] == ["created", "unchanged", "updated"]
    assert {first.number, again.number, later.number} == {1}
    (issue,) = repository.issues
    assert issue["body"].startswith("Why now")
    assert issue["labels"] == [{"name": "xops-trigger"}]


def test_another_thing_has_another_issue(repository: Repository, client: Client) -> None:
    publish(client, NAME, NOTICE)
    assert publish(client, NAME, replace(NOTICE, key="trigger/team_size/1")).number == 2


def test_it_is_found_behind_many_others(repository: Repository, client: Client) -> None:
    publish(client, NAME, NOTICE)
    for n in range(150):
        publish_other = {"number": n + 2, "title": "x", "body": None, "state": "open"}
        repository.issues.insert(0, {**publish_other, "labels": [{"name": "xops-trigger"}]})
    assert publish(client, NAME, NOTICE).done == "unchanged"


def test_a_closed_one_is_updated_and_stays_closed(repository: Repository, client: Client) -> None:
    publish(client, NAME, NOTICE)
    repository.issues[0]["state"] = "closed"
    found = publish(client, NAME, replace(NOTICE, title="Still"))
    assert (found.done, found.state) == ("updated", "closed")


@pytest.mark.parametrize("kind", ["arrives", "drop", "status"])
def test_an_answer_that_is_lost_makes_no_second_one(
    github: GitHubServer, repository: Repository, client: Client, kind: str
) -> None:
    github.fail(operation=CREATE, kind=kind)
    assert publish(client, NAME, NOTICE).done == "created"
    assert len(repository.issues) == 1


def test_a_lasting_outage_is_told(
    github: GitHubServer, repository: Repository, client: Client
) -> None:
    github.fail(operation=CREATE, status=502, times=9)
    with pytest.raises(UnavailableError):
        publish(client, NAME, NOTICE)
    assert repository.issues == []


def test_the_limit_of_new_content_is_waited_for(
    github: GitHubServer, repository: Repository, client: Client, slept: list[float]
) -> None:
    github.fail(operation=CREATE, kind="secondary", retry_after=20)
    publish(client, NAME, NOTICE)
    assert slept == [21.0]
    assert len(repository.issues) == 1


def test_two_that_were_written_at_once_become_one(repository: Repository, client: Client) -> None:
    publish(client, NAME, NOTICE)
    repository.issues.append({**repository.issues[0], "number": 2})
    assert publish(client, NAME, NOTICE).number == 1
    assert [issue["state"] for issue in repository.issues] == ["open", "closed"]


def test_without_a_repository_there_is_no_issue(client: Client) -> None:
    with pytest.raises(NotVisibleError, match="Issues: write"):
        publish(client, "octo/none", NOTICE)
