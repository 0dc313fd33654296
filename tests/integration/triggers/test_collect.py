"""GitHub to facts, against the local GitHub: what is counted where, and when a week is unknown."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
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
from tests.secret_sources import allowing, write_sources
from tests.soak import examples
from xops.core.errors import InputError
from xops.github.client import Client
from xops.github.errors import AccessError, LimitError
from xops.triggers.connection import access, connect
from xops.triggers.facts import Bucket, Facts, week_bounds
from xops.triggers.measure.classification import Classifier
from xops.triggers.measure.collect import collect, read_or_unknown, unknown
from xops.triggers.policy import Policy

SYDNEY = ZoneInfo("Australia/Sydney")
WEEK = date(2026, 11, 16)
AS_OF = date(2026, 11, 23)
START, END = week_bounds(WEEK, SYDNEY)
MIDWEEK = START + timedelta(days=2)
NAME = "octo/web"

POLICY = """
apiVersion: xops/v1
timezone: {zone}
components: {{k3s: {{title: K3S}}}}
triggers:
  iac_prs:
    metric: iac_prs
    enter: {{above: 5}}
    leave: {{at_or_below: 3}}
    action: {{summary: Atlantis, components: [k3s]}}
    classification: Service Addition
    owner: platform
    review_by: 2027-01-01
github:
  api_url: {url}
  repositories: {repositories}
  weeks: {weeks}
  credential: {{variable: XOPS_GITHUB_TOKEN}}
{more}
"""

Collect = Callable[..., Facts]


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        yield server


@pytest.fixture
def web(github: GitHubServer) -> Repository:
    return github.add(NAME)


@pytest.fixture
def policy(github: GitHubServer, tmp_path: Path) -> Callable[..., Policy]:
    """`policy(repositories, weeks=1, zone=..., more="  branches: [...]", rest=...)` reads one."""

    def written(*names: str, weeks: int = 1, zone: str = SYDNEY.key, more: str = "") -> Policy:
        file = tmp_path / "triggers.yaml"
        listed = ", ".join(names or (NAME,))
        values = {"url": github.url, "repositories": f"[{listed}]", "weeks": weeks, "zone": zone}
        file.write_text(POLICY.format(**values, more=more))
        return Policy.load(file, environ={})

    return written


@pytest.fixture
def read(github: GitHubServer, tmp_path: Path, policy: Callable[..., Policy]) -> Iterator[Collect]:
    """`read(*names, as_of=..., token=..., **policy)` collects facts, as a new process would."""
    with ExitStack() as stack:

        def once(
            *names: str, as_of: date = AS_OF, token: str = TOKEN, cross_check: bool = False,
            patience: float = 900, **given: Any,
        ) -> Facts:  # fmt: skip
            chosen = policy(*names, **given)
            assert chosen.github
            reached = access(chosen.github)
            client = Client(
                type(reached)(reached.api_url, reached.credential, patience_seconds=patience),
                environ={"XOPS_GITHUB_TOKEN": token},
                sources=allowing(github.url),
                sleep=lambda _: None,
            )
            stack.enter_context(client)
            folder = tmp_path / "cache"
            return collect(chosen, as_of, client, folder=folder, cross_check=cross_check)

        yield once


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
    assert "#2 has more files than GitHub lists" in week.reason


def test_files_that_cannot_be_listed_leave_the_week_unknown(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    web.merge(MIDWEEK, "main.tf", files_hidden=True)
    github.fail(operation="GET .*/files.*", status=500, times=9)
    week = read().weeks[0]
    assert week.iac_prs is None
    assert "the files of #1 cannot be listed" in week.reason


# What cannot be read.


def test_one_repository_that_is_gone_leaves_every_week_unknown(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    web.merge(MIDWEEK, "main.tf")
    facts = read(NAME, "octo/gone", weeks=2)
    assert [week.iac_prs for week in facts.weeks] == [None, None]
    assert "octo/gone: GraphQL: Could not resolve" in facts.weeks[-1].reason
    known, gone = facts.weeks[-1].repositories
    assert (known.iac_prs, gone.iac_prs) == (1, None)
    assert list(facts.completeness.unreadable_repositories) == ["octo/gone"]
    assert facts.engineers
    assert (facts.engineers.days28, facts.engineers.days90) == (None, None)
    assert "octo/gone" in facts.engineers.reason


def test_an_answer_in_part_leaves_the_week_unknown(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    web.merge(MIDWEEK, "main.tf")
    github.fail(operation="MergedPullRequests", kind="partial", field="files", times=99)
    assert read().weeks[0].iac_prs is None
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
    github.fail(operation="MergedPullRequests", kind="secondary", retry_after=5, skip=1)
    with pytest.raises(LimitError):
        read(patience=0)
    facts = read()
    assert facts.weeks[0].iac_prs == 120
    assert facts.completeness.pages == 3


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
    assert len(kept) == 2  # the repository's records, and REST's answer
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
    assert (engineers.days28, engineers.days90, engineers.roster) == (4, 5, 3)
    assert engineers.disagreement() == "days28 4, days90 5, roster 3"
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
    assert read().mandates == ()
    (tmp_path / "mandates").mkdir()
    (tmp_path / "mandates" / "azure.yaml").write_text(
        "apiVersion: xops/v1\ncloud: azure\nwho: B\nwhat: W\njurisdiction: AU\n"
        "evidence: https://example.com\neffective_from: 2026-01-01\nexpires: 2027-01-01\n"
    )
    facts = read()
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
