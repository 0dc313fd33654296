"""One comment of our own, whatever others write."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.github_data import Repository
from tests.github_server import GitHubServer
from tests.integration.github.pull_request.conftest import FAULTS, NAME, AppClient
from xops.core.errors import XopsError
from xops.github.client import Client
from xops.github.errors import (
    ForbiddenError,
    NotVisibleError,
    RefusedError,
)
from xops.github.pull_request.comment import StickyComment

MARKER = "<!-- xops:pull-request -->"
BODY = f"{MARKER}\nNothing changes.\n"
OTHER = f"{MARKER}\nTwo things change.\n"
AT = datetime(2026, 11, 2, 12, tzinfo=UTC)
CREATE = "POST .*/comments"
EDIT = "PATCH .*/comments/.*"


@pytest.fixture
def repository(github: GitHubServer, repository: Repository) -> Repository:
    github.now = lambda: AT
    github.act.push(NAME, "main", {"a": "x"})
    github.act.push(NAME, "topic", {"a": "y"})
    github.act.open(NAME, "topic")
    return repository


@pytest.fixture
def sticky(client: Client) -> StickyComment:
    return StickyComment(client, NAME, MARKER)


def bodies(repository: Repository) -> list[str]:
    return [row["body"] for row in repository.comments.get(1, [])]


def test_it_is_written_once_and_edited_in_place(
    github: GitHubServer, repository: Repository, sticky: StickyComment
) -> None:
    first = sticky.put(1, BODY)
    github.now = lambda: AT + timedelta(minutes=1)
    again = sticky.put(1, BODY)
    github.now = lambda: AT + timedelta(minutes=2)
    later = sticky.put(1, OTHER)
    assert first
    assert later
    assert first == again
    assert first.updated_at == AT
    assert (later.id, later.updated_at) == (first.id, AT + timedelta(minutes=2))
    assert later.url == repository.comments[1][0]["html_url"]
    assert bodies(repository) == [OTHER]


def test_where_there_is_none_an_update_writes_none(
    repository: Repository, sticky: StickyComment
) -> None:
    assert sticky.put(1, BODY, only_update=True) is None
    assert bodies(repository) == []
    sticky.put(1, BODY)
    assert sticky.put(1, OTHER, only_update=True)
    assert bodies(repository) == [OTHER]


def test_a_stranger_s_comment_with_the_marker_is_never_taken(
    github: GitHubServer, repository: Repository, sticky: StickyComment
) -> None:
    planted = f"{MARKER}\nApproved and applied.\n"
    github.act.comment(NAME, 1, planted, by="mallory")
    found = sticky.put(1, BODY)
    assert found
    assert found.id != repository.comments[1][0]["id"]
    assert bodies(repository) == [planted, BODY]


def test_our_own_comment_that_only_quotes_the_marker_is_left_alone(
    github: GitHubServer, repository: Repository, sticky: StickyComment
) -> None:
    quoted = f"> {MARKER}\nWhat is this?\n"
    github.act.comment(NAME, 1, quoted, by=github.viewer)
    sticky.put(1, BODY)
    assert bodies(repository) == [quoted, BODY]


def test_it_is_found_behind_many_others(
    github: GitHubServer, repository: Repository, sticky: StickyComment
) -> None:
    for n in range(150):
        github.act.comment(NAME, 1, f"{n}", by="bob")
    first = sticky.put(1, BODY)
    for n in range(150):
        github.act.comment(NAME, 1, f"{n}", by="bob")
    assert sticky.put(1, BODY) == first


def test_what_somebody_wrote_over_it_is_put_right(
    github: GitHubServer, repository: Repository, sticky: StickyComment
) -> None:
    first = sticky.put(1, BODY)
    assert first
    github.act.edit_comment(NAME, first.id, f"{MARKER}\nAll is well.", by="mallory")
    sticky.put(1, BODY)
    assert bodies(repository) == [BODY]


def test_ends_of_lines_of_another_kind_are_no_change(
    github: GitHubServer, repository: Repository, sticky: StickyComment
) -> None:
    sticky.put(1, BODY)
    repository.comments[1][0]["body"] = BODY.replace("\n", "\r\n").rstrip()
    before = len(github.requests)
    sticky.put(1, BODY)
    asked_for = {one.operation or one.method for one in github.requests[before:]}
    assert asked_for == {"GET", "Viewer"}


def test_one_that_was_deleted_is_written_anew(
    github: GitHubServer, repository: Repository, sticky: StickyComment
) -> None:
    first = sticky.put(1, BODY)
    assert first
    github.act.delete_comment(NAME, first.id, by="bob")
    second = sticky.put(1, BODY)
    assert second
    assert second.id != first.id


def test_one_that_is_deleted_as_it_is_edited_is_written_anew(
    github: GitHubServer, repository: Repository, sticky: StickyComment
) -> None:
    sticky.put(1, BODY)
    github.fail(operation=EDIT, status=404)
    sticky.put(1, OTHER)
    assert bodies(repository) == [BODY, OTHER]


def test_of_two_that_were_written_at_once_the_older_stays_in_use(
    github: GitHubServer, repository: Repository, sticky: StickyComment
) -> None:
    github.act.comment(NAME, 1, BODY, by=github.viewer)
    github.act.comment(NAME, 1, BODY, by=github.viewer)
    first = repository.comments[1][0]
    found = sticky.put(1, OTHER)
    assert found
    assert found.id == first["id"]
    assert bodies(repository) == [OTHER, f"Superseded by <{first['html_url']}>."]
    assert sticky.put(1, OTHER) == found


def test_an_app_knows_its_own(
    github: GitHubServer, repository: Repository, app_client: AppClient
) -> None:
    sticky = StickyComment(app_client(), NAME, MARKER)
    first = sticky.put(1, BODY)
    assert repository.comments[1][0]["user"]["login"].endswith("[bot]")
    assert sticky.put(1, BODY) == first
    assert bodies(repository) == [BODY]


def test_a_body_without_the_marker_is_a_mistake(
    repository: Repository, sticky: StickyComment
) -> None:
    with pytest.raises(ValueError, match="marker"):
        sticky.put(1, f"Nothing changes. {MARKER}")


@pytest.mark.parametrize("kind", ["arrives", "drop", "status"])
@pytest.mark.parametrize("operation", [CREATE, EDIT])
def test_an_answer_that_is_lost_makes_no_second_one(
    github: GitHubServer,
    repository: Repository,
    sticky: StickyComment,
    kind: str,
    operation: str,
) -> None:
    github.fail(operation=operation, kind=kind)
    sticky.put(1, BODY)
    sticky.put(1, OTHER)
    assert bodies(repository) == [OTHER]


def test_a_pull_request_that_is_not_there_is_told(
    repository: Repository, sticky: StickyComment
) -> None:
    with pytest.raises(NotVisibleError):
        sticky.put(99, BODY)


def test_one_that_is_too_long_is_refused(repository: Repository, sticky: StickyComment) -> None:
    with pytest.raises(RefusedError, match="too long"):
        sticky.put(1, BODY + "x" * 65_536)


def test_a_conversation_that_is_locked_is_told(
    github: GitHubServer, repository: Repository, sticky: StickyComment
) -> None:
    locked = "Unable to create comment because issue is locked."
    github.fail(operation=CREATE, status=403, message=locked)
    with pytest.raises(ForbiddenError, match="locked"):
        sticky.put(1, BODY)


def test_hostile_text_goes_and_comes_as_it_is(
    repository: Repository, sticky: StickyComment
) -> None:
    body = f"{MARKER}\n<script> @all `\\` \u202e \ud83d\ude00 \x1b[31m\n".encode(
        "utf-16", "surrogatepass"
    ).decode("utf-16")
    first = sticky.put(1, body)
    assert sticky.put(1, body) == first
    assert bodies(repository) == [body]


def rows_of_nulls(body: Any) -> Any:
    if isinstance(body, list):
        return [dict.fromkeys(row) | {"body": BODY} for row in body]
    return dict.fromkeys(body) if "html_url" in body else body


@pytest.mark.parametrize("change", [rows_of_nulls, lambda body: {} if "data" not in body else body])
def test_an_answer_of_another_shape_is_refused(
    github: GitHubServer, repository: Repository, sticky: StickyComment, change: Any
) -> None:
    sticky.put(1, BODY)
    github.change = change
    with pytest.raises(RefusedError):
        sticky.put(1, OTHER)


def test_comments_of_deleted_accounts_and_without_a_body_are_passed_over(
    github: GitHubServer, repository: Repository, sticky: StickyComment
) -> None:
    first = sticky.put(1, BODY)
    other = repository.comments[1][0]
    repository.comments[1].insert(0, {**other, "id": 1, "user": None})
    repository.comments[1].insert(0, {**other, "id": 2, "body": None})
    assert sticky.put(1, BODY) == first


@pytest.mark.parametrize(("fault", "error"), FAULTS)
@pytest.mark.parametrize("operation", ["GET .*/comments.*", CREATE])
def test_a_fault_is_told(
    github: GitHubServer,
    repository: Repository,
    sticky: StickyComment,
    operation: str,
    fault: dict[str, Any],
    error: type[XopsError],
) -> None:
    github.fail(operation=operation, **fault)
    with pytest.raises(error):
        sticky.put(1, BODY)


def test_the_permission_that_is_missing_is_named(
    github: GitHubServer, repository: Repository, sticky: StickyComment
) -> None:
    github.fail(operation=CREATE, status=403, message="Resource not accessible")
    with pytest.raises(ForbiddenError, match="Pull requests: write"):
        sticky.put(1, BODY)


@pytest.mark.parametrize("text", [OTHER, f"{BODY}All is well.", "gone"])
def test_whoever_may_push_may_edit_it_and_that_is_seen(
    github: GitHubServer, repository: Repository, sticky: StickyComment, text: str
) -> None:
    own = sticky.put(1, BODY)
    assert own
    github.now = lambda: AT + timedelta(minutes=1)
    later = sticky.put(1, OTHER)
    assert later
    assert not sticky.is_altered(1, own.id, own.updated_at)

    github.act.edit_comment(NAME, own.id, text, by="mallory")
    github.act.edit_comment(NAME, own.id, OTHER, by="mallory")  # and back again

    assert sticky.is_altered(1, own.id, own.updated_at)
    assert not sticky.is_altered(1, own.id, AT + timedelta(minutes=2))


def test_an_edit_among_many_of_our_own_is_found(
    github: GitHubServer, repository: Repository, sticky: StickyComment
) -> None:
    own = sticky.put(1, BODY)
    assert own
    github.act.edit_comment(NAME, own.id, OTHER, by="mallory")
    for number in range(120):
        repository.edits[own.id].append(("xops-bot", f"2026-11-02T13:{number // 60:02}:00Z"))

    assert sticky.is_altered(1, own.id, own.updated_at)


def test_a_comment_that_was_deleted_shows_nothing(
    github: GitHubServer, repository: Repository, sticky: StickyComment
) -> None:
    own = sticky.put(1, BODY)
    assert own
    github.act.delete_comment(NAME, own.id, by="mallory")
    sticky.put(1, BODY)

    assert sticky.is_altered(1, own.id, own.updated_at)


def test_an_app_s_edits_are_its_own_and_those_of_a_person_of_its_name_are_not(
    github: GitHubServer, repository: Repository, app_client: AppClient
) -> None:
    sticky = StickyComment(app_client(), NAME, MARKER)
    own = sticky.put(1, BODY)
    assert own
    sticky.put(1, OTHER)
    assert not sticky.is_altered(1, own.id, own.updated_at)

    login = str(repository.comments[1][0]["user"]["login"])
    github.act.edit_comment(NAME, own.id, BODY, by=login.removesuffix("[bot]"))

    assert sticky.is_altered(1, own.id, own.updated_at)
