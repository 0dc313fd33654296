"""From merged pull requests on GitHub to a proposal there, and what a failure looks like."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.github_server import TOKEN, GitHubServer
from tests.secret_sources import write_sources
from tests.unit.triggers.samples import facts, policy
from xops.core.errors import InputError
from xops.triggers.evaluation import evaluate
from xops.triggers.measure import collect
from xops.triggers.policy import Policy
from xops.triggers.proposals import propose
from xops.triggers.report import chart

NAME = "octo/platform"


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path))
    monkeypatch.setenv("XOPS_GITHUB_TOKEN", TOKEN)
    with GitHubServer() as server:
        monkeypatch.setenv("XOPS_SECRETS", write_sources(tmp_path, server.url))
        server.add(NAME)
        yield server


def rules(github: GitHubServer, **values: Any) -> Policy:
    source = {"repositories": [NAME], "api_url": github.url, "weeks": 4}
    return policy(github=source, proposal={"repository": NAME}, **values)


def test_an_activation_has_one_issue_that_is_brought_up_to_date(github: GitHubServer) -> None:
    rule = rules(github)
    first, later = facts([6, 6, 6]), facts([6, 6, 6, 7])
    (made,) = propose(rule, evaluate(rule, first, first.as_of))
    (again,) = propose(rule, evaluate(rule, later, later.as_of))
    assert (made.done, again.done) == ("created", "updated")
    assert made.number == again.number
    body = github.find(NAME).issues[0]["body"]  # type: ignore[union-attr]
    assert "Nothing was activated" in body
    assert "120.00 to 190.00 USD a month and what is unpriced" in body


def test_nothing_is_written_without_need(github: GitHubServer) -> None:
    quiet = facts([0])
    assert propose(rules(github), evaluate(rules(github), quiet, quiet.as_of)) == []
    loud = facts([9, 9, 9])
    assert propose(policy(), evaluate(policy(), loud, loud.as_of)) == []


def test_github_that_refuses_leaves_every_week_unknown(
    github: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XOPS_GITHUB_TOKEN", "ghp_canary")
    as_of = datetime.now(UTC).date()
    found = collect.read_or_unknown(rules(github), as_of)
    judged = evaluate(rules(github), found, as_of)
    assert judged.status.exit_code == 11
    assert all(row.value is None for row in judged.triggers if row.kind == "metric")
    assert "canary" not in found.to_json()


def test_github_is_read_for_the_policys_weeks(github: GitHubServer) -> None:
    as_of = date(2026, 3, 16)
    found = collect.read(rules(github), as_of)
    assert [row.start for row in found.weeks] == [as_of - timedelta(weeks=n) for n in (4, 3, 2, 1)]
    assert {row.iac_prs for row in found.weeks} == {0}


def test_without_repositories_only_files_can_be_judged() -> None:
    with pytest.raises(InputError, match="facts file"):
        collect.read_or_unknown(policy(), date(2026, 3, 16))


@pytest.mark.parametrize("values", [[], [None], [6, 6, 6, None, 3]])
def test_equal_evaluations_have_equal_pictures(values: list[int | None]) -> None:
    found = facts(values)
    judged = evaluate(policy(), found, found.as_of)
    picture = chart.png(judged, policy())
    assert picture.startswith(b"\x89PNG")
    assert picture == chart.png(judged, policy())
