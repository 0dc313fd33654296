"""GitHub to facts, against the local GitHub: what is counted where, and when a week is unknown."""

import subprocess
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.github_baseline import RestBaseline
from tests.github_data import File, Person, Repository
from tests.github_server import TOKEN, GitHubServer
from tests.integration.triggers.collecting import (
    AS_OF,
    END,
    MIDWEEK,
    NAME,
    POLICY,
    START,
    SYDNEY,
    WEEK,
    Collect,
)
from tests.secret_sources import allowing, write_sources
from tests.soak import examples
from xops.core.errors import InputError
from xops.github.client import Client
from xops.github.errors import AccessError, LimitError
from xops.triggers.connection import access, connect
from xops.triggers.facts import Bounds, Bucket, Facts, week_bounds
from xops.triggers.measure.classification import Classifier
from xops.triggers.measure.collect import collect, read_or_unknown, unknown
from xops.triggers.measure.collect import read as read_facts
from xops.triggers.policy import Policy


def test_a_week_is_half_open_on_the_clocks_of_the_zone(web: Repository, read: Collect) -> None:
    web.merge(START - timedelta(seconds=1), "before.tf")
    web.merge(START, "first.tf")
    web.merge(END - timedelta(seconds=1), "last.tf")
    web.merge(END, "after.tf")
    (week,) = read().weeks
    assert (week.start, week.iac_prs) == (WEEK, 2)
    assert [one.paths for one in week.pull_requests] == [("first.tf",), ("last.tf",)]


@pytest.mark.parametrize(
    ("zone", "as_of", "hours"),
    [
        ("Australia/Sydney", date(2026, 10, 5), 167),  # clocks are put forward
        ("Australia/Sydney", date(2026, 4, 6), 169),  # and back
        ("America/New_York", date(2026, 11, 2), 169),
        ("UTC", date(2027, 1, 4), 168),  # ISO week 53 of 2026
    ],
)
def test_weeks_of_every_length_follow_each_other(
    github: GitHubServer, web: Repository, read: Collect, zone: str, as_of: date, hours: int
) -> None:
    start, end = week_bounds(as_of - timedelta(days=7), ZoneInfo(zone))
    assert (end.astimezone(UTC) - start.astimezone(UTC)) / timedelta(hours=1) == hours
    at = start.astimezone(UTC) - timedelta(hours=84)
    while at < end.astimezone(UTC) + timedelta(hours=84):
        web.merge(at, "a.tf")
        at += timedelta(hours=1)
    before, week = read(as_of=as_of, zone=zone, weeks=2).weeks
    assert (before.iac_prs, week.iac_prs) == (84, hours)


@given(st.lists(st.integers(0, 5 * 7 * 24 * 3600 - 1), max_size=20))
@examples(15)
def test_the_weeks_add_up_to_everything(seconds: list[int]) -> None:
    begin, _ = week_bounds(AS_OF - timedelta(days=35), SYDNEY)
    with GitHubServer() as github:
        web = github.add(NAME)
        for offset in seconds:
            at = begin.astimezone(UTC) + timedelta(seconds=offset)
            if at < END:
                web.merge(at, "a.tf")
        values = {"url": github.url, "repositories": f"[{NAME}]", "weeks": 5, "zone": SYDNEY.key}
        chosen = Policy.model_validate(yaml.safe_load(POLICY.format(**values, more="")))
        assert chosen.github
        environ = {"XOPS_GITHUB_TOKEN": TOKEN}
        client = Client(access(chosen.github), environ=environ, sources=allowing(github.url))
        with client, TemporaryDirectory() as kept:
            facts = collect(chosen, AS_OF, client, folder=Path(kept))
        assert sum(week.iac_prs or 0 for week in facts.weeks) == len(web.pull_requests)


def test_each_pull_request_is_counted_in_one_place(web: Repository, read: Collect) -> None:
    web.merge(MIDWEEK, "main.tf")
    web.merge(MIDWEEK, "main.tf", author="dependabot[bot]")
    web.merge(MIDWEEK, "main.tf", title='Revert "Change"')
    web.merge(MIDWEEK, "k8s/web.yaml", title="chore: bump web image", additions=1, deletions=1)
    web.merge(MIDWEEK, "src/main.py", "README.md", ".terraform.lock.hcl")
    (week,) = read().weeks
    assert (week.iac_prs, week.bots, week.reverts, week.image_bumps) == (1, 1, 1, 1)
    assert {one.bucket for one in week.pull_requests} == set(Bucket)


def test_evidence_leads_to_each(web: Repository, read: Collect) -> None:
    web.merge(MIDWEEK, "main.tf", "charts/a/Chart.yaml", "x.py", author="alice", number=12)
    ((one,),) = [week.pull_requests for week in read().weeks]
    assert (one.repository, one.number, one.author) == (NAME, 12, "alice")
    assert one.url == f"https://github.com/{NAME}/pull/12"
    assert set(one.kinds) == {"terraform", "helm"}
    assert one.merged_at == MIDWEEK


@pytest.mark.parametrize(
    ("branches", "counted"), [("", 1), ("[main, 'release/*']", 2), ("['*']", 3)]
)
def test_only_the_default_branch_counts_unless_others_are_named(
    web: Repository, read: Collect, branches: str, counted: int
) -> None:
    for base in ("main", "release/1", "topic"):
        web.merge(MIDWEEK, "main.tf", base=base)
    more = f"  branches: {branches}" if branches else ""
    assert read(more=more).weeks[0].iac_prs == counted


def test_a_default_branch_of_another_name(github: GitHubServer, read: Collect) -> None:
    github.add(NAME, default_branch="trunk").merge(MIDWEEK, "main.tf", base="trunk")
    assert read().weeks[0].iac_prs == 1


def test_own_kinds_and_bots_are_the_policy_s(web: Repository, read: Collect) -> None:
    web.merge(MIDWEEK, "jobs/web.nomad")
    web.merge(MIDWEEK, "jobs/web.nomad", author="deployer")
    (week,) = read(more="  kinds: {nomad: ['*.nomad']}\n  bots: [deployer]").weeks
    assert (week.iac_prs, week.bots) == (1, 1)


def test_zero_is_zero(web: Repository, read: Collect) -> None:
    web.merge(START - timedelta(days=1), "main.tf")
    (week,) = read().weeks
    assert (week.complete, week.iac_prs, week.bots) == (True, 0, 0)


# Files that GraphQL does not tell.


def test_a_file_that_was_renamed_away_from_infrastructure_counts(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    web.merge(MIDWEEK).files = [File("old.txt", "RENAMED", previous="main.tf")]
    facts = read()
    assert facts.weeks[0].iac_prs == 1
    assert facts.completeness.rest_calls == 1
    assert read().completeness.rest_calls == 0  # it is kept


def test_beyond_a_hundred_files_rest_decides(web: Repository, read: Collect) -> None:
    web.merge(MIDWEEK, *[f"src/{n}.py" for n in range(240)], "main.tf")
    web.merge(MIDWEEK, "main.tf", *[f"src/{n}.py" for n in range(240)])
    facts = read()
    assert facts.weeks[0].iac_prs == 2
    assert facts.completeness.rest_calls == 3  # of the first only: the other's first page decides


def test_beyond_three_thousand_files_a_match_is_certain_and_none_is_unknown(
    web: Repository, read: Collect
) -> None:
    web.merge(MIDWEEK, *[f"src/{n}.py" for n in range(2999)], "main.tf", "x.py", number=1)
    facts = read()
    assert facts.weeks[0].iac_prs == 1
    assert facts.weeks[0].pull_requests[0].truncated
    assert facts.completeness.truncated_files == (f"{NAME}#1",)
    later = MIDWEEK + timedelta(minutes=1)
    web.merge(later, *[f"src/{n}.py" for n in range(3001)], number=2)
    week = read().weeks[0]
    assert (week.complete, week.iac_prs) == (False, None)
    assert week.bounds == Bounds(at_least=1, at_most=2)
    assert "#2 has more files than GitHub lists" in week.reason


def test_files_that_cannot_be_listed_leave_the_week_between_bounds(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    web.merge(MIDWEEK, "main.tf", files_hidden=True)
    github.fail(operation="GET .*/files.*", status=500, times=9)
    week = read().weeks[0]
    assert (week.iac_prs, week.bounds) == (None, Bounds(at_most=1))
    assert "the files of #1 cannot be listed" in week.reason


# What cannot be read.


def test_one_repository_that_is_gone_leaves_every_week_unknown(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    web.merge(MIDWEEK, "main.tf")
    facts = read(NAME, "octo/gone", weeks=2)
    assert [week.iac_prs for week in facts.weeks] == [None, None]
    assert [week.bounds for week in facts.weeks] == [Bounds(), Bounds(at_least=1)]
    assert "octo/gone: GraphQL: Could not resolve" in facts.weeks[-1].reason
    known, gone = facts.weeks[-1].repositories
    assert (known.iac_prs, known.bounds) == (1, None)
    assert (gone.iac_prs, gone.bounds) == (None, Bounds())
    assert facts.failure is None
    assert list(facts.completeness.unreadable_repositories) == ["octo/gone"]
    assert facts.engineers
    assert (facts.engineers.days28, facts.engineers.days90) == (None, None)
    assert "octo/gone" in facts.engineers.reason


def test_an_answer_in_part_leaves_the_week_unknown(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    web.merge(MIDWEEK, "main.tf")
    github.fail(operation="Repositories", kind="partial", field="pullRequests", times=99)
    assert read().weeks[0].bounds == Bounds()
    httpx.delete(f"{github.url}/xops/faults")
    assert read().weeks[0].iac_prs == 1


def test_a_renamed_repository_is_counted_and_told(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    web.merge(MIDWEEK, "main.tf")
    github.rename(NAME, "octo/site")
    facts = read()
    assert facts.weeks[0].iac_prs == 1
    assert facts.completeness.renamed_repositories == {NAME: "octo/site"}


def test_after_a_forced_push_what_was_merged_still_counts(web: Repository, read: Collect) -> None:
    alice = Person("Alice", "alice@example.com", "alice")
    web.merge(MIDWEEK, "main.tf")
    for n in range(3):
        web.commit(alice, MIDWEEK, str(n))
    first = read()
    web.force_push(keep=0)
    second = read()
    assert first.weeks[0].iac_prs == second.weeks[0].iac_prs == 1


def test_a_used_up_limit_ends_it_and_the_next_run_goes_on(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    for n in range(120):
        web.merge(START + timedelta(minutes=n), "main.tf")
    github.fail(operation="PullRequestDetails", kind="secondary", retry_after=5, skip=1)
    with pytest.raises(LimitError):
        read(patience=0)
    github.requests.clear()
    assert read().weeks[0].iac_prs == 120
    assert len(github.asked("PullRequestDetails")) == 1  # it went on with the rest


def test_a_refused_credential_is_an_error(web: Repository, read: Collect) -> None:
    with pytest.raises(AccessError):
        read(token="wrong")


def test_whoever_would_rather_freeze_has_facts_that_say_why(policy: Callable[..., Policy]) -> None:
    error = LimitError("reading octo/web", "the limit is used up", "Wait.")
    facts = unknown(policy(weeks=2), AS_OF, error, datetime(2026, 11, 23, tzinfo=UTC))
    assert [week.iac_prs for week in facts.weeks] == [None, None]
    assert facts.weeks[0].reason == "reading octo/web: the limit is used up"


def test_the_policy_s_credential_and_address_are_used(
    github: GitHubServer,
    web: Repository,
    policy: Callable[..., Policy],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    web.merge(MIDWEEK, files := "main.tf", files_hidden=True)
    monkeypatch.setenv("XOPS_GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("XOPS_SECRETS", write_sources(tmp_path, github.url))
    with connect(policy(), tmp_path / "cache") as client:
        facts = collect(policy(), AS_OF, client, folder=tmp_path / "cache")
    assert facts.weeks[0].pull_requests[0].paths == (files,)
    kept = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert {file.parent.name for file in kept} == {"repositories", "etags", "branches"}
    assert not any(TOKEN in file.read_text() for file in kept)
    assert TOKEN not in facts.to_json()


@pytest.mark.parametrize(
    "reference",
    [
        "{variable: AWS_SECRET_ACCESS_KEY}",
        "{variable: XOPS_SECRET_OTHER}",
        "{variable: XOPS_GITHUB_TOKEN}",
        "{file: key}",
        "{kind: app, app_id: 1, file: key}",
    ],
)
def test_a_policy_sends_no_secret_to_a_host_of_its_own(
    github: GitHubServer,
    policy: Callable[..., Policy],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    reference: str,
) -> None:
    """The file names a host and a secret beside it; evaluating is what anybody does with it."""
    for name in ("AWS_SECRET_ACCESS_KEY", "XOPS_SECRET_OTHER", "XOPS_GITHUB_TOKEN"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XOPS_SECRETS", raising=False)
    (tmp_path / "key").write_text("canary")
    (tmp_path / "key").chmod(0o600)
    policy()
    text = (tmp_path / "triggers.yaml").read_text()
    (tmp_path / "triggers.yaml").write_text(
        text.replace("{variable: XOPS_GITHUB_TOKEN}", reference)
    )
    chosen = Policy.load(tmp_path / "triggers.yaml", environ={})
    with pytest.raises(InputError, match=r"no configured source|may not be sent") as caught:
        read_or_unknown(chosen, AS_OF)
    assert "canary" not in str(caught.value)
    assert not github.requests


def test_without_a_github_section_there_is_nothing_to_read(policy: Callable[..., Policy]) -> None:
    bare = policy().model_copy(update={"github": None})
    with pytest.raises(InputError, match="names no repository"):
        connect(bare)


def test_a_difference_to_search_is_noted_and_decides_nothing(
    web: Repository, read: Collect
) -> None:
    web.merge(MIDWEEK, "main.tf")
    assert read(cross_check=True).completeness.notes == ()
    web.indexed = 0
    facts = read(cross_check=True)
    assert facts.weeks[0].iac_prs == 1
    assert "1 merged in the last week by the list, which counts; 0 by GitHub's" in str(
        facts.completeness.notes
    )


# Engineers.


def test_engineers_are_counted_over_28_and_90_days(web: Repository, read: Collect) -> None:
    web.merge(END - timedelta(days=27), "x.py", author="alice", reviews=[("bob", MIDWEEK)])
    web.merge(END - timedelta(days=80), "x.py", author="carol")
    web.merge(MIDWEEK, "x.py", author="dependabot[bot]")
    dave = Person("Dave", "dave@example.com", "dave")
    web.commit(dave, MIDWEEK, "Change\n\nCo-authored-by: Eve <eve@example.com>")
    web.commit(Person("Dave", "dave@home.example"), MIDWEEK, "Other")
    web.mailmap = "<dave@example.com> <dave@home.example>\n"
    more = "people: {roster: [alice, bob, carol]}"
    engineers = read(more=more).engineers
    assert engineers
    # Eve's address is on no account: she may be one of the others.
    assert engineers.bounds["days28"] == Bounds(at_least=3, at_most=4)
    assert engineers.bounds["days90"] == Bounds(at_least=4, at_most=5)
    assert engineers.roster == 3
    assert engineers.people
    assert [one.name for one in engineers.people] == ["alice", "bob", "carol", "Dave", "Eve"]


def test_weeks_without_ninety_days_before_them_know_only_what_was_read(
    web: Repository, read: Collect
) -> None:
    web.merge(MIDWEEK, "x.py")
    weeks = read(weeks=16).weeks
    found = [week.engineers for week in weeks]
    assert found[0]
    assert found[-1]
    assert (found[0].days28, found[0].days90) == (None, None)
    assert (found[4].days28, found[4].days90) == (0, None)  # type: ignore[union-attr]
    assert (found[-1].days28, found[-1].days90) == (1, 1)


def test_an_alias_file_merges_people(web: Repository, read: Collect, tmp_path: Path) -> None:
    (tmp_path / "aliases.yaml").write_text(
        "apiVersion: xops/v1\npeople: [{name: Alice, logins: [alice, alice-work]}]\n"
    )
    web.merge(MIDWEEK, "x.py", author="alice")
    web.merge(MIDWEEK, "x.py", author="alice-work")
    engineers = read(more="people: {aliases: aliases.yaml}").engineers
    assert engineers
    assert engineers.days28 == 1


# Mandates.


def test_without_a_history_mandates_are_unknown_and_pull_requests_known(
    web: Repository, read: Collect, tmp_path: Path
) -> None:
    web.merge(MIDWEEK, "main.tf")
    facts = read()
    assert facts.mandates is None
    assert "No such file" in facts.mandates_reason
    (tmp_path / "mandates").mkdir()
    assert read().mandates == ()
    (tmp_path / "mandates" / "azure.yaml").write_text(
        "apiVersion: xops/v1\ncloud: azure\nwho: B\nwhat: W\njurisdiction: AU\n"
        "evidence: https://example.com\neffective_from: 2026-01-01\nexpires: 2027-01-01\n"
    )
    facts = read(more="mandates: {owners: [owner@example.com]}")
    assert facts.weeks[0].iac_prs == 1
    assert facts.mandates is None
    assert "not a git repository" in facts.mandates_reason


# What it costs.


def test_a_week_of_a_thousand_pull_requests_costs_at_most_150_points(
    github: GitHubServer, read: Collect
) -> None:
    names = [f"octo/r{n}" for n in range(100)]
    for name in names:
        repository = github.add(name)
        for n in range(5):
            repository.merge(START - timedelta(days=100, hours=n), "main.tf")
        for n in range(10):
            repository.merge(START + timedelta(hours=n), "main.tf" if n % 2 else "x.py")
            repository.commit(Person("A", "a@example.com", "a"), MIDWEEK)
    facts = read(*names, cross_check=True)
    assert facts.weeks[0].iac_prs == 500
    assert facts.completeness.points <= 150
    assert facts.completeness.points == github.points


def test_the_plain_way_finds_the_same_with_a_call_for_each(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    for n in range(30):
        web.merge(START + timedelta(hours=n), "main.tf" if n % 2 else "x.py")
    found = read().weeks[0].iac_prs
    plain = RestBaseline(github.url, Classifier().infrastructure).week([NAME], START, END)
    assert (plain.found, plain.calls) == (found, 1 + 2 * 30)


# What is known decides.


def test_what_nineteen_repositories_have_is_known_though_the_twentieth_is_deleted(
    github: GitHubServer, read: Collect
) -> None:
    names = [f"octo/r{n}" for n in range(20)]
    for name in names[:19]:
        repository = github.add(name)
        for _ in range(2):
            repository.merge(MIDWEEK, "main.tf")
    (week,) = read(*names).weeks
    assert (week.iac_prs, week.bounds) == (None, Bounds(at_least=38))
    assert week.reason.startswith("octo/r19: ")


def test_a_pull_request_of_four_thousand_documents_leaves_one_week_between_two_numbers(
    web: Repository, read: Collect
) -> None:
    for _ in range(8):
        web.merge(MIDWEEK, "main.tf")
    web.merge(MIDWEEK, *[f"docs/page{n}.md" for n in range(4100)])
    (week,) = read().weeks
    assert (week.iac_prs, week.bounds) == (None, Bounds(at_least=8, at_most=9))
    assert "#9 has more files than GitHub lists" in week.reason


def test_what_a_machine_did_is_no_doubt_about_people(web: Repository, read: Collect) -> None:
    web.merge(MIDWEEK, "main.tf")
    web.merge(MIDWEEK, *[f"src/{n}.py" for n in range(3001)], author="renovate[bot]")
    (week,) = read().weeks
    assert (week.complete, week.iac_prs, week.bots) == (True, 1, None)
    assert "#2 has more files than GitHub lists" in week.reason


def test_a_comparison_that_meets_a_limit_changes_nothing(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    web.merge(MIDWEEK, "main.tf")
    github.fail(operation="MergedCounts", kind="secondary", retry_after=3600, times=9)
    facts = read(cross_check=True)
    assert (facts.weeks[0].iac_prs, facts.failure) == (1, None)
    assert facts.completeness.notes == (
        "the last week was not compared with GitHub's search: it gave no answer",
    )


def test_commits_that_cannot_be_read_spoil_the_count_of_people_only(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    web.merge(MIDWEEK, "main.tf")
    web.commit(Person("Alice", "alice@example.com", "alice"), MIDWEEK)
    github.fail(operation="Repositories", kind="partial", field="history", times=99)
    facts = read()
    assert (facts.weeks[0].iac_prs, facts.weeks[0].complete) == (1, True)
    assert facts.engineers
    assert facts.engineers.days28 is None


def test_weeks_that_were_read_stay_known_when_the_repository_is_deleted(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    web.merge(MIDWEEK, "main.tf")
    github.add("octo/other").merge(MIDWEEK, "main.tf")
    read(NAME, "octo/other", now=END + timedelta(hours=1))
    github.delete(NAME)
    later = AS_OF + timedelta(days=7)
    known, unread = read(NAME, "octo/other", weeks=2, as_of=later).weeks
    assert (known.iac_prs, known.complete) == (2, True)
    assert (unread.iac_prs, unread.bounds) == (None, Bounds())
    fresh = read(NAME, "octo/other", as_of=AS_OF, folder="elsewhere").weeks[0]
    assert (fresh.iac_prs, fresh.bounds) == (None, Bounds(at_least=1))


@given(st.data())
@examples(8)
def test_bounds_hold_whatever_cannot_be_read(data: st.DataObject) -> None:
    """Of the same pull requests, all readable, the count lies within what is said of part."""
    with GitHubServer() as github, TemporaryDirectory() as kept:
        names = [f"octo/r{n}" for n in range(3)]
        for name in names:
            repository = github.add(name)
            for _ in range(data.draw(st.integers(0, 3))):
                paths = data.draw(st.sampled_from([("main.tf",), ("x.py",)]))
                hidden = data.draw(st.booleans())
                repository.merge(MIDWEEK, *paths, files_hidden=hidden)
        whole = _collect_from(github, names, Path(kept) / "whole").weeks[0]
        github.hidden = set(data.draw(st.lists(st.sampled_from(names), max_size=2)))
        github.fail(operation="GET .*/files.*", status=500, times=data.draw(st.integers(1, 30)))
        part = _collect_from(github, names, Path(kept) / "part").weeks[0]
        bounds = part.bounds or Bounds(at_least=part.iac_prs or 0, at_most=part.iac_prs)
        assert whole.iac_prs is not None
        assert bounds.at_least <= whole.iac_prs
        assert bounds.at_most is None or whole.iac_prs <= bounds.at_most


def _collect_from(github: GitHubServer, names: list[str], kept: Path) -> Facts:
    values = {"url": github.url, "repositories": f"[{', '.join(names)}]", "weeks": 1}
    text = POLICY.format(**values, zone=SYDNEY.key, more="")
    chosen = Policy.model_validate(yaml.safe_load(text))
    assert chosen.github
    environ = {"XOPS_GITHUB_TOKEN": TOKEN}
    sources = allowing(github.url)
    client = Client(access(chosen.github), environ=environ, sources=sources, sleep=lambda _: None)
    with client:
        return collect(chosen, AS_OF, client, folder=kept, cross_check=False)


# One repository, whatever it is called.


def test_a_repository_under_two_names_counts_once_and_that_is_said(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    for _ in range(3):
        web.merge(MIDWEEK, "main.tf")
    github.rename(NAME, "octo/site")
    facts = read(NAME, "octo/site")
    assert facts.weeks[0].iac_prs == 3
    assert [one.id for one in facts.weeks[0].repositories] == [web.id]
    assert "are one repository, octo/site: it counts once" in str(facts.completeness.notes)
    assert facts.origin
    assert {(one.asked, one.id) for one in facts.origin.repositories} == {
        (NAME, web.id),
        ("octo/site", web.id),
    }


def test_what_was_known_under_a_name_that_is_gone_counts_once(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    web.merge(MIDWEEK, "main.tf")
    read(NAME, now=END + timedelta(hours=1))
    github.rename(NAME, "octo/site")
    github.add(NAME)  # another one, which the credential does not see
    github.hidden = {NAME}
    (week,) = read(NAME, "octo/site").weeks
    assert [one.url for one in week.pull_requests] == ["https://github.com/octo/site/pull/1"]
    assert (week.bounds or Bounds(at_least=week.iac_prs or 0)).at_least == 1


def test_facts_say_what_they_were_measured_from(web: Repository, read: Collect) -> None:
    first = read().origin
    assert first
    assert [(one.asked, one.id) for one in first.repositories] == [(NAME, web.id)]
    other = read(more="  bots: [deployer]\n  exclude: ['vendor/**']").origin
    assert other
    assert other.machines != first.machines
    assert other.classification != first.classification
    assert (other.people, other.mandates) == (first.people, first.mandates)
    assert read().origin == first


# A default branch that was renamed.


def _land(web: Repository, *paths: str, at: datetime = MIDWEEK, **more: Any) -> None:
    """Merge with a commit that lies in the default branch's history."""
    request = web.merge(at, *paths, **more)
    web.squash(request, Person("Alice", "alice@example.com", "alice"))


def test_a_default_branch_that_was_renamed_keeps_its_past(web: Repository, read: Collect) -> None:
    web.default_branch = "master"
    for week in range(8):
        for _ in range(8):
            base = "main" if week > 5 else "master"
            _land(web, "main.tf", at=MIDWEEK - timedelta(weeks=7 - week), base=base)
    web.default_branch = "main"
    facts = read(weeks=8)
    assert [week.iac_prs for week in facts.weeks] == [8] * 8
    assert facts.completeness.notes == (
        f"{NAME}: master was the default branch before main; 48 merged into it count",
    )


def test_a_former_default_branch_of_an_unusual_name_is_known_by_having_been_seen(
    web: Repository, read: Collect
) -> None:
    web.default_branch = "live"
    web.merge(MIDWEEK, "main.tf", base="live")
    assert read(now=END).weeks[0].iac_prs == 1
    web.rename_default_branch("next")
    web.merge(MIDWEEK + timedelta(hours=1), "main.tf", base="next")
    assert read(now=END + timedelta(days=1)).weeks[0].iac_prs == 2


def test_a_long_lived_branch_beside_the_default_one_does_not_count(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    web.branches = ["develop"]
    _land(web, "main.tf", base="develop")
    _land(web, "main.tf")
    assert read(now=END).weeks[0].iac_prs == 1
    assert len(github.asked("Branches")) == 1
    _land(web, "main.tf", base="develop", at=END + timedelta(hours=1))
    later = END + timedelta(days=7, hours=1)
    assert read(now=later, as_of=AS_OF + timedelta(days=7), weeks=2).weeks[1].iac_prs == 0
    assert len(github.asked("Branches")) == 1  # nothing is asked twice


def test_a_branch_that_was_the_default_one_and_goes_on_beside_it_counts_as_long_as_it_was(
    web: Repository, read: Collect
) -> None:
    web.default_branch = "develop"
    _land(web, "main.tf", base="develop")
    first = END - timedelta(days=1)
    assert read(now=first).weeks[0].iac_prs == 1
    _land(web, "main.tf", base="develop", at=END - timedelta(hours=3))
    web.default_branch = "main"
    web.branches = ["develop"]
    (week,) = read(now=END).weeks
    assert week.bounds == Bounds(at_least=1, at_most=2)
    assert "it was the default branch, until when is not known" in week.reason
    _land(web, "main.tf", base="develop", at=END + timedelta(hours=3))
    later = END + timedelta(days=7, hours=1)
    _, after = read(now=later, as_of=AS_OF + timedelta(days=7), weeks=2).weeks
    assert after.iac_prs == 0


def test_a_change_stacked_on_a_branch_that_was_merged_itself_does_not_count(
    web: Repository, read: Collect
) -> None:
    _land(web, "main.tf", base="feature")
    _land(web, "main.tf", head="feature", at=MIDWEEK + timedelta(hours=1))
    assert read().weeks[0].iac_prs == 1


def test_a_base_that_may_have_been_the_default_branch_leaves_bounds(
    web: Repository, read: Collect
) -> None:
    _land(web, "main.tf")
    _land(web, "main.tf", base="master", at=MIDWEEK + timedelta(hours=1))  # after one into main
    (week,) = read().weeks
    assert (week.iac_prs, week.bounds) == (None, Bounds(at_least=1, at_most=2))
    assert "#2 into master: master may have been the default branch" in week.reason


def test_branches_that_cannot_be_asked_for_leave_bounds(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    _land(web, "main.tf", base="master")
    _land(web, "main.tf", at=MIDWEEK + timedelta(hours=1))
    github.fail(operation="Branches", status=502, times=9)
    (week,) = read().weeks
    assert week.bounds == Bounds(at_least=1, at_most=2)


# What only contents tell.


MANIFEST = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"


def test_what_a_path_leaves_open_its_content_decides_once(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    manifest = web.merge(MIDWEEK, "services/web/web.yaml")
    web.put(manifest, **{"services/web/web.yaml": MANIFEST})
    other = web.merge(MIDWEEK, "services/web/messages.yaml")
    web.put(other, **{"services/web/messages.yaml": "hello: world\n"})
    assert read().weeks[0].iac_prs == 1
    assert github.asked("Texts")
    github.requests.clear()
    facts = read()
    assert facts.weeks[0].iac_prs == 1
    assert not github.asked("Texts")


def test_content_that_cannot_be_read_leaves_bounds(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    web.put(web.merge(MIDWEEK, "services/web/web.yaml"), **{"services/web/web.yaml": MANIFEST})
    web.merge(MIDWEEK, "main.tf")
    github.fail(operation="Texts", status=502, times=9)
    (week,) = read().weeks
    assert week.bounds == Bounds(at_least=1, at_most=2)
    assert "services/web/web.yaml" in week.reason
    httpx.delete(f"{github.url}/xops/faults")
    assert read().weeks[0].iac_prs == 2


# Failure: nothing at all could be read.


@pytest.mark.parametrize("token", ["", "expired"])
def test_without_a_credential_that_is_good_the_facts_have_a_failure(
    web: Repository,
    policy: Callable[..., Policy],
    github: GitHubServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    token: str,
) -> None:
    web.merge(MIDWEEK, "main.tf")
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XOPS_SECRETS", write_sources(tmp_path, github.url))
    monkeypatch.setenv("XOPS_GITHUB_TOKEN", token)
    facts = read_or_unknown(policy(weeks=2), AS_OF)
    assert facts.failure
    assert facts.failure.remedy
    assert not facts.failure.temporary
    assert ("unset or empty" if not token else "401") in facts.failure.found
    assert [week.iac_prs for week in facts.weeks] == [None, None]
    assert facts.origin
    assert [one.asked for one in facts.origin.repositories] == [NAME]


def test_a_github_that_is_down_is_a_failure(
    github: GitHubServer, web: Repository, read: Collect, policy: Callable[..., Policy]
) -> None:
    github.fail(status=503, times=99)

    def reading(chosen: Policy, as_of: date, file: Path | None) -> Facts:
        return read()

    facts = read_or_unknown(policy(), AS_OF, read=reading)
    assert facts.failure
    assert facts.failure.temporary
    assert "503" in facts.failure.found


def test_one_unreadable_repository_is_no_failure_and_all_of_them_are(
    web: Repository, read: Collect
) -> None:
    assert read(NAME, "octo/gone").failure is None
    failure = read("octo/gone", "octo/away").failure
    assert failure
    assert "Could not resolve" in failure.found
    assert "1 more" in failure.found
    assert failure.remedy


# Mandates of facts files.


def _facts_file(tmp_path: Path, mandates: str) -> Path:
    file = tmp_path / "facts.yaml"
    file.write_text(
        "apiVersion: xops/v1\ngenerated_at: 2026-11-23T00:00:00Z\nas_of: 2026-11-23\n"
        f"timezone: {SYDNEY.key}\nsource: somebody\nweeks: []\nmandates: {mandates}\n"
    )
    return file


OWN = (
    "[{kind: second_cloud, subject: azure, who: B, what: W, jurisdiction: AU, valid: true,"
    " evidence: 'https://example.com', effective_from: 2026-01-01, expires: 2027-01-01}]"
)


def test_a_facts_file_without_mandates_has_those_of_the_policy_s_folder(
    policy: Callable[..., Policy], tmp_path: Path
) -> None:
    folder = tmp_path / "mandates"
    folder.mkdir()
    chosen = policy(more="mandates: {owners: [owner@example.com]}")
    record = (
        "apiVersion: xops/v1\ncloud: azure\nwho: B\nwhat: W\njurisdiction: AU\n"
        "evidence: https://example.com\neffective_from: 2026-01-01\nexpires: 2027-01-01\n"
    )
    (folder / "azure.yaml").write_text(record)
    git = [
        "git",
        "-C",
        str(tmp_path),
        "-c",
        "user.name=Owner",
        "-c",
        "user.email=owner@example.com",
    ]
    for arguments in (["init", "-q"], ["add", "mandates"], ["commit", "-qm", "Declare"]):
        subprocess.run([*git, *arguments], check=True)
    found = read_facts(chosen, AS_OF, _facts_file(tmp_path, "null")).mandates
    assert found
    assert [(one.subject, one.valid) for one in found] == [("azure", True)]


def test_mandates_that_a_facts_file_brings_are_noted_and_never_count_as_signed(
    policy: Callable[..., Policy], tmp_path: Path
) -> None:
    file = _facts_file(tmp_path, OWN)
    facts = read_facts(policy(), AS_OF, file)
    assert facts.mandates
    assert "nobody checked who committed them" in str(facts.completeness.notes)
    signed = read_facts(policy(more="mandates: {signed: true}"), AS_OF, file)
    assert signed.mandates is None
    assert "signed" in signed.mandates_reason


# Clocks.


def test_a_clock_that_was_put_back_changes_no_count(web: Repository, read: Collect) -> None:
    web.merge(MIDWEEK, "main.tf")
    assert read(now=END + timedelta(days=3)).weeks[0].iac_prs == 1
    web.merge(MIDWEEK + timedelta(hours=1), "main.tf", number=7)
    assert read(now=END - timedelta(days=30)).weeks[0].iac_prs == 2
    web.merge(MIDWEEK + timedelta(hours=2), "main.tf", number=8)
    assert read(now=END + timedelta(days=4)).weeks[0].iac_prs == 3


@pytest.mark.parametrize("as_of", [date(2026, 10, 5), date(2026, 4, 6), date(2027, 1, 4)])
def test_bounds_follow_the_clocks_as_counts_do(
    github: GitHubServer, web: Repository, read: Collect, as_of: date
) -> None:
    start, end = week_bounds(as_of - timedelta(days=7), SYDNEY)
    for at in (start, end - timedelta(seconds=1)):
        web.merge(at, *[f"src/{n}.py" for n in range(3001)])
    web.merge(end, "main.tf")
    before, week = read(as_of=as_of, weeks=2).weeks
    assert (before.iac_prs, week.bounds) == (0, Bounds(at_most=2))
