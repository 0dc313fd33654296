"""From merged pull requests on GitHub to a proposal there and its end; what a failure is."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.github_data import Repository
from tests.github_server import TOKEN, GitHubServer
from tests.secret_sources import write_sources
from tests.unit.triggers.samples import IAC_PRS, NOW, TEAM_SIZE, facts, policy
from xops.core.errors import InputError
from xops.github.errors import RefusedError
from xops.github.issues import Issue
from xops.triggers.evaluation import Evaluation, evaluate
from xops.triggers.history.ledger import History
from xops.triggers.history.record import evaluate_and_record
from xops.triggers.measure import collect
from xops.triggers.policy import Policy
from xops.triggers.proposals import propose
from xops.triggers.report import chart

NAME = "octo/platform"
ACTIVE = [6, 6, 6]
LATER = [*ACTIVE, 7]
ENDED = [*ACTIVE, 0, 0, 0, 0]


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path))
    monkeypatch.setenv("XOPS_GITHUB_TOKEN", TOKEN)
    with GitHubServer() as server:
        monkeypatch.setenv("XOPS_SECRETS", write_sources(tmp_path, server.url))
        yield server


@pytest.fixture
def repository(github: GitHubServer) -> Repository:
    return github.add(NAME)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(f"sqlite:///{tmp_path}/history.sqlite")


def rules(github: GitHubServer, **values: Any) -> Policy:
    source = {"repositories": [NAME], "api_url": github.url, "weeks": 4}
    return policy(github=source, proposal={"repository": NAME}, **values)


def recorded(history: History, rule: Policy, values: Sequence[int | None]) -> Evaluation:
    found = facts(values)
    return evaluate_and_record(history, rule, found, found.as_of, NOW)


@pytest.fixture
def proposed(github: GitHubServer, repository: Repository, history: History) -> Any:
    """Records weeks and proposes what follows, as a weekly run does."""

    def run(values: Sequence[int | None], **others: Any) -> list[Issue]:
        rule = rules(github, **others)
        return propose(rule, recorded(history, rule, values))

    return run


def test_an_activation_has_one_issue_that_is_brought_up_to_date(
    proposed: Any, repository: Repository
) -> None:
    (made,) = proposed(ACTIVE)
    (again,) = proposed(LATER)
    (same,) = proposed(LATER)
    assert [issue.done for issue in (made, again, same)] == ["created", "updated", "unchanged"]
    assert {issue.number for issue in (made, again, same)} == {1}
    body = repository.issues[0]["body"]
    assert "Nothing was activated" in body
    assert "120.00 to 190.00 USD a month and what is unpriced" in body
    assert "Activation 1" in body


def test_an_activation_that_ends_closes_its_issue_with_a_comment_that_says_why(
    proposed: Any, repository: Repository
) -> None:
    proposed(ACTIVE)
    (closed,) = proposed(ENDED)
    assert (closed.number, closed.state) == (1, "closed")
    assert repository.issues[0]["state"] == "closed"
    (comment,) = repository.comments[1]
    assert "This activation of **iac_prs** ended on 2025-10-27" in comment["body"]
    asked = [row.done for row in proposed(ENDED)]
    assert asked in ([], ["unchanged"])
    assert len(repository.comments[1]) == 1
    assert len(repository.issues) == 1


def test_an_end_that_github_did_not_hear_of_is_told_by_the_next_run(
    github: GitHubServer, repository: Repository, history: History, proposed: Any
) -> None:
    proposed(ACTIVE)
    recorded(history, rules(github), ENDED)  # the run that would have closed it was killed here
    proposed([*ENDED, 0])
    assert repository.issues[0]["state"] == "closed"
    assert len(repository.comments[1]) == 1


def test_the_next_activation_has_an_issue_of_its_own(proposed: Any, repository: Repository) -> None:
    proposed(ACTIVE)
    proposed(ENDED)
    proposed([*ENDED, 6, 6, 6])
    assert [issue["state"] for issue in repository.issues] == ["closed", "open"]
    assert "Activation 2" in repository.issues[1]["body"]


def test_a_renamed_trigger_closes_the_issue_of_its_old_name(
    proposed: Any, repository: Repository
) -> None:
    proposed(ACTIVE)
    proposed(ACTIVE, triggers={"pull_requests": IAC_PRS, "team_size": TEAM_SIZE})
    first, second = repository.issues
    assert (first["state"], second["state"]) == ("closed", "open")
    assert "iac_prs" in first["title"]
    assert "pull_requests" in second["title"]
    assert "iac_prs" in repository.comments[1][0]["body"]


def test_a_credential_whose_labels_github_drops_makes_one_issue_all_the_same(
    proposed: Any, repository: Repository
) -> None:
    """GitHub drops labels without a word where the credential may not push."""
    repository.drops_labels = True
    (made,) = proposed(ACTIVE)
    (again,) = proposed(LATER)
    assert (made.number, again.number, again.done) == (1, 1, "updated")
    proposed([*ENDED, 0])
    assert [issue["state"] for issue in repository.issues] == ["closed"]


def test_an_issue_whose_label_somebody_took_off_is_found(
    proposed: Any, repository: Repository
) -> None:
    proposed(ACTIVE)
    repository.issues[0]["labels"] = []
    (again,) = proposed(LATER)
    assert (again.number, len(repository.issues)) == (1, 1)
    repository.issues[0]["labels"] = []
    proposed([*LATER, 0, 0, 0, 0])
    assert repository.issues[0]["state"] == "closed"


def test_an_activation_without_a_history_has_no_id_and_no_issue(
    github: GitHubServer, repository: Repository
) -> None:
    loud = facts([9, 9, 9])
    assert propose(rules(github), evaluate(rules(github), loud, loud.as_of)) == []
    assert github.requests == []


def test_nothing_is_written_without_need(
    github: GitHubServer, repository: Repository, history: History
) -> None:
    assert propose(rules(github), recorded(history, rules(github), [0])) == []
    assert propose(policy(), recorded(history, policy(), [9, 9, 9])) == []
    assert github.requests == []


def test_github_that_refuses_leaves_every_week_unknown_and_says_what_to_do(
    github: GitHubServer, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XOPS_GITHUB_TOKEN", "ghp_canary")
    as_of = datetime.now(UTC).date()
    found = collect.read_or_unknown(rules(github), as_of)
    judged = evaluate(rules(github), found, as_of)
    assert judged.status.exit_code == 11
    assert all(row.value is None for row in judged.triggers if row.kind == "metric")
    assert judged.failure is not None
    assert judged.failure.remedy
    assert "canary" not in found.to_json()


def test_github_is_read_for_the_policys_weeks(github: GitHubServer, repository: Repository) -> None:
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


def test_an_issue_that_github_refuses_keeps_no_other_from_being_written(
    github: GitHubServer, proposed: Any, repository: Repository
) -> None:
    both = {"triggers": {"iac_prs": IAC_PRS, "other": IAC_PRS}}
    github.fail(operation="POST .*/issues", status=422, message="Validation Failed")
    with pytest.raises(RefusedError, match="Validation Failed"):
        proposed(ACTIVE, **both)
    assert ["other" in issue["title"] for issue in repository.issues] == [True]
    made = proposed(ACTIVE, **both)
    assert [issue.done for issue in made] == ["created", "unchanged"]
