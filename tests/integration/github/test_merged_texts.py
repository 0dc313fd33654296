"""Files as pull requests left them: many in one question, and what cannot be read is missing."""

from datetime import UTC, datetime

import pytest

from tests.github_server import GitHubServer
from tests.integration.github.conftest import MakeClient
from xops.core.errors import XopsError
from xops.github.client import Client
from xops.github.errors import AccessError
from xops.github.merged_texts import TEXT_LIMIT, Wanted, read_merged_texts

AT = datetime(2026, 11, 18, tzinfo=UTC)


def _merge(github: GitHubServer, name: str, **files: str | bytes) -> Wanted:
    repository = github.repositories.get(name) or github.add(name)
    request = repository.merge(AT, *files)
    repository.put(request, **files)
    assert request.merge_commit
    return Wanted(name, request.merge_commit, tuple(files))


def _read(client: Client, *wanted: Wanted) -> list[dict[str, str | None] | XopsError]:
    return read_merged_texts(client, wanted)


def test_files_of_several_repositories_and_commits_come_in_one_question(
    github: GitHubServer, connect: MakeClient
) -> None:
    wanted = [
        _merge(github, "octo/web", **{"a.yaml": "first"}),
        _merge(github, "octo/web", **{"a.yaml": "second"}),
        _merge(github, "octo/api", **{"b/c.yaml": "third"}),
    ]
    found = _read(connect(), *wanted)
    assert found == [{"a.yaml": "first"}, {"a.yaml": "second"}, {"b/c.yaml": "third"}]
    (asked,) = github.asked("Texts")
    assert asked.cost == 1


def test_binary_files_and_files_that_are_not_there_are_told_from_unreadable_ones(
    github: GitHubServer, connect: MakeClient
) -> None:
    files: dict[str, str | bytes] = {"a.png": b"\x89", "long.yaml": "x" * (TEXT_LIMIT + 9)}
    there = _merge(github, "octo/web", **files)
    asked = Wanted(there.repository, there.revision, (*there.paths, "Chart.yaml"))
    unknown = Wanted("octo/web", "f" * 40, ("a.yaml",))
    found, nothing = _read(connect(), asked, unknown)
    assert found == {"a.png": None, "long.yaml": "x" * TEXT_LIMIT, "Chart.yaml": None}
    assert nothing == {}


def test_a_repository_that_is_gone_leaves_the_others_readable(
    github: GitHubServer, connect: MakeClient
) -> None:
    there = _merge(github, "octo/web", **{"a.yaml": "here"})
    gone, found = _read(connect(), Wanted("octo/gone", "f" * 40, ("a.yaml",)), there)
    assert isinstance(gone, XopsError)
    assert "octo/gone" in gone.found
    assert found == {"a.yaml": "here"}


def test_many_files_take_several_questions_and_less_where_that_is_too_much(
    github: GitHubServer, connect: MakeClient
) -> None:
    files = {f"{number}.yaml": str(number) for number in range(430)}
    wanted = _merge(github, "octo/web", **files)
    assert _read(connect(), wanted) == [files]
    assert len(github.asked("Texts")) == 3
    github.fail(operation="Texts", status=502, times=2)
    assert _read(connect(), wanted) == [files]


def test_a_credential_that_is_refused_is_an_error(
    github: GitHubServer, connect: MakeClient
) -> None:
    wanted = _merge(github, "octo/web", **{"a.yaml": "here"})
    with pytest.raises(AccessError):
        _read(connect(token="expired"), wanted)
