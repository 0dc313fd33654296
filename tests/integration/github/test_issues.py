"""One issue for one thing, whatever happens on the way."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.github_data import Repository
from tests.github_server import GitHubServer
from xops.github.client import Client
from xops.github.errors import ForbiddenError, NotVisibleError, UnavailableError
from xops.github.issues import Issue, IssueDraft, close, publish

NAME = "octo/platform"
NOTICE = IssueDraft("trigger/iac_prs/2026-11-02", "Activate Atlantis", "Why", ("xops-trigger",))
CREATE = "POST .*/issues"
ACTIVE = datetime(2026, 11, 2, tzinfo=UTC)
SINCE = datetime(2026, 11, 2, 11, tzinfo=timezone(timedelta(hours=11)))


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


# Without its label.


@pytest.fixture
def later(github: GitHubServer) -> None:
    github.now = lambda: ACTIVE + timedelta(days=1)


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("lost", ["dropped", "removed"])
def test_without_a_label_no_second_one_is_written(
    repository: Repository, client: Client, lost: str
) -> None:
    repository.drops_labels = lost == "dropped"
    publish(client, NAME, NOTICE, SINCE)
    repository.issues[0]["labels"] = []
    repository.issues[:0] = [
        {**repository.issues[0], "number": n + 2, "body": None} for n in range(150)
    ]
    found = publish(client, NAME, replace(NOTICE, body="Why now"), SINCE)
    assert (found.done, found.number) == ("updated", 1)
    assert publish(client, NAME, replace(NOTICE, body="Why now"), SINCE).done == "unchanged"
    assert len(repository.issues) == 151


@pytest.mark.usefixtures("later")
def test_a_stranger_s_issue_with_the_mark_is_not_taken_for_one_s_own(
    repository: Repository, client: Client
) -> None:
    publish(client, NAME, NOTICE, SINCE)
    (planted,) = repository.issues
    planted |= {"labels": [], "user": {"login": "mallory"}}
    for association, number in [("NONE", 2), ("CONTRIBUTOR", 2)]:
        planted["author_association"] = association
        assert publish(client, NAME, NOTICE, SINCE).number == number
    assert publish(client, NAME, NOTICE, SINCE).done == "unchanged"
    repository.issues[1]["labels"] = []
    planted["author_association"] = "MEMBER"
    assert publish(client, NAME, NOTICE, SINCE).number == 1


@pytest.mark.usefixtures("later")
def test_a_pull_request_with_the_mark_is_no_issue(repository: Repository, client: Client) -> None:
    publish(client, NAME, NOTICE, SINCE)
    repository.issues[0]["pull_request"] = {}
    assert publish(client, NAME, NOTICE, SINCE).number == 2
    repository.issues[0]["labels"] = []
    assert publish(client, NAME, NOTICE, SINCE).number == 2


@pytest.mark.usefixtures("later")
def test_an_answer_that_is_lost_makes_no_second_one_without_a_label_either(
    github: GitHubServer, repository: Repository, client: Client
) -> None:
    repository.drops_labels = True
    github.fail(operation=CREATE, kind="arrives")
    assert publish(client, NAME, NOTICE, SINCE).done == "created"
    assert len(repository.issues) == 1


# Closing.


def end(client: Client, since: datetime | None = None) -> Issue | None:
    return close(client, NAME, NOTICE.key, NOTICE.labels, "It is over.\n", since)


def said(repository: Repository) -> list[str]:
    return [row["body"] for rows in repository.comments.values() for row in rows]


def test_what_is_over_is_closed_with_a_comment_once(repository: Repository, client: Client) -> None:
    publish(client, NAME, NOTICE)
    first, again = end(client), end(client)
    assert first
    assert again
    assert (first.done, first.state) == ("closed", "closed")
    assert (again.done, again.state) == ("unchanged", "closed")
    assert repository.issues[0]["state_reason"] == "completed"
    (comment,) = said(repository)
    assert comment.startswith("It is over.\n\n<!-- xops:")


def test_where_there_is_no_issue_none_is_closed(repository: Repository, client: Client) -> None:
    publish(client, NAME, replace(NOTICE, key="trigger/iac_prs/other"))
    assert end(client, SINCE) is None
    assert repository.issues[0]["state"] == "open"


@pytest.mark.parametrize("kind", ["arrives", "drop", "status"])
def test_closing_that_was_broken_off_goes_on_from_there(
    github: GitHubServer, repository: Repository, client: Client, kind: str
) -> None:
    publish(client, NAME, NOTICE)
    github.fail(operation="PATCH .*", kind=kind)
    with pytest.raises(UnavailableError):
        end(client)
    end(client)
    assert repository.issues[0]["state"] == "closed"
    assert len(said(repository)) == 1


@pytest.mark.usefixtures("later")
def test_one_without_a_label_is_closed_too(repository: Repository, client: Client) -> None:
    repository.drops_labels = True
    publish(client, NAME, NOTICE, SINCE)
    found = end(client, SINCE)
    assert found
    assert found.done == "closed"


def test_one_that_a_person_closed_is_left_alone(repository: Repository, client: Client) -> None:
    publish(client, NAME, NOTICE)
    repository.issues[0]["state"] = "closed"
    assert end(client)
    assert said(repository) == []


def test_a_locked_one_is_closed_without_a_word(
    github: GitHubServer, repository: Repository, client: Client
) -> None:
    publish(client, NAME, NOTICE)
    locked = "Unable to create comment because issue is locked."
    github.fail(operation="POST .*/comments", status=403, message=locked)
    found = end(client)
    assert found
    assert (found.done, said(repository)) == ("closed", [])


def test_one_that_takes_no_comment_for_another_reason_stays_open(
    github: GitHubServer, repository: Repository, client: Client
) -> None:
    publish(client, NAME, NOTICE)
    github.fail(operation="POST .*/comments", status=403, message="Resource not accessible")
    with pytest.raises(ForbiddenError):
        end(client)
    assert repository.issues[0]["state"] == "open"


def test_a_stranger_s_comment_with_the_mark_does_not_keep_it_from_being_said(
    repository: Repository, client: Client
) -> None:
    publish(client, NAME, NOTICE)
    planted = f"me first <!-- xops:{NOTICE.key}/closed -->"
    stranger = {"user": {"login": "mallory"}, "author_association": "NONE"}
    repository.comments[1] = [{"id": 1, **stranger, "body": planted}]
    end(client)
    assert [text.partition("\n")[0] for text in said(repository)] == [planted, "It is over."]


def test_a_repository_without_issues_is_told_from_one_that_is_hidden(
    github: GitHubServer, repository: Repository, client: Client
) -> None:
    disabled = "Issues has been disabled in this repository."
    github.fail(operation="POST .*/issues", status=410, message=disabled)
    with pytest.raises(NotVisibleError, match="Enable issues"):
        publish(client, NAME, NOTICE)
