"""Repositories by organisation, team, topic and pattern: which are measured, and what is said."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.app_keys import make_app_key
from tests.github_data import Person, Team
from tests.github_server import APP_ID, TOKEN, GitHubServer
from tests.integration.triggers.collecting import AS_OF, MIDWEEK, Collect
from tests.secret_sources import write_sources
from xops.core.errors import InputError
from xops.github.credential import AppCredential
from xops.triggers.facts import Bounds, Facts
from xops.triggers.measure.collect import read_or_unknown
from xops.triggers.policy import Policy

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)


@pytest.fixture
def octo(github: GitHubServer) -> GitHubServer:
    """An organisation of four repositories, each with a merged pull request, and a fork."""
    github.organisation("octo", platform=Team(repositories=["octo/infra-dns"]))
    topics = {"infra-dns": ["infra"], "infra-vpc": ["infra"], "web": [], "old": []}
    for name, found in topics.items():
        made = github.add(f"octo/{name}", topics=found, archived=name == "old")
        made.merge(MIDWEEK, "main.tf")
    github.add("octo/upstream", fork=True).merge(MIDWEEK, "main.tf")
    return github


def _names(facts: Facts) -> list[str]:
    return [one.name for one in facts.weeks[-1].repositories]


@pytest.mark.parametrize(
    ("select", "found"),
    [
        ("[{organisation: octo}]", ["infra-dns", "infra-vpc", "web"]),
        ("[{organisation: octo, archived: true, forks: true}]",
         ["infra-dns", "infra-vpc", "old", "upstream", "web"]),
        ("[{organisation: octo, topic: infra}]", ["infra-dns", "infra-vpc"]),
        ("[{organisation: octo, team: platform}]", ["infra-dns"]),
        ("[{organisation: octo, name: 'Infra-*'}]", ["infra-dns", "infra-vpc"]),
        ("[{organisation: octo, topic: infra}, {organisation: OCTO, name: w*}]",
         ["infra-dns", "infra-vpc", "web"]),
    ],
)  # fmt: skip
def test_a_selection_measures_what_it_names(
    octo: GitHubServer, read: Collect, select: str, found: list[str]
) -> None:
    facts = read(select=select)
    assert _names(facts) == [f"octo/{name}" for name in found]
    assert facts.weeks[0].iac_prs == len(found)


def test_what_is_named_and_selected_counts_once(octo: GitHubServer, read: Collect) -> None:
    facts = read("octo/web", "octo/infra-dns", select="[{organisation: octo}]")
    assert _names(facts) == ["octo/web", "octo/infra-dns", "octo/infra-vpc"]
    assert facts.weeks[0].iac_prs == 3
    octo.rename("octo/web", "octo/site")
    again = read("octo/web", select="[{organisation: octo}]")
    assert again.weeks[0].iac_prs == 3


def test_a_person_s_repositories_and_logins_of_managed_users(
    github: GitHubServer, read: Collect
) -> None:
    github.add("mona_acme/infra").merge(MIDWEEK, "main.tf")
    facts = read(select="[{organisation: mona_acme}]")
    assert (facts.weeks[0].iac_prs, _names(facts)) == (1, ["mona_acme/infra"])
    assert read("mona_acme/infra").weeks[0].iac_prs == 1


def test_a_hundred_repositories_are_listed_a_call(github: GitHubServer, read: Collect) -> None:
    github.organisation("octo")
    for number in range(201):
        github.add(f"octo/r{number:04}")
    facts = read(select="[{organisation: octo}]")
    assert facts.completeness.rest_calls == 3
    assert len(_names(facts)) == 201
    assert facts.weeks[0].iac_prs == 0


# What changes.


def test_a_new_repository_is_measured_next_time_and_told_for_a_week(
    octo: GitHubServer, read: Collect
) -> None:
    select = "[{organisation: octo}]"
    assert read(select=select, now=NOW).completeness.notes == ()
    octo.add("octo/fresh").merge(MIDWEEK, "main.tf")
    later = NOW + timedelta(days=2)
    for _ in range(2):  # a second evaluation of the same week says the same
        facts = read(select=select, now=later)
        assert facts.weeks[0].iac_prs == 4
        assert facts.completeness.notes == (
            "octo/fresh is new in the selection octo since 2026-11-25",
        )
    assert read(select=select, now=later + timedelta(days=8)).completeness.notes == ()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda octo: setattr(octo.find("octo/infra-vpc"), "archived", True), "it is archived"),
        (lambda octo: octo.find("octo/infra-vpc").topics.clear(), "it has no topic infra"),
        (lambda octo: octo.rename("octo/infra-vpc", "away/infra-vpc"), "it is listed no more"),
        (lambda octo: octo.delete("octo/infra-vpc"), "it is listed no more"),
    ],
    ids=["archived", "without the topic", "transferred", "deleted"],
)
def test_a_repository_that_no_longer_belongs_is_told(
    octo: GitHubServer, read: Collect, change: Callable[[GitHubServer], None], why: str
) -> None:
    select = "[{organisation: octo, topic: infra}]"
    read(select=select, now=NOW)
    change(octo)
    facts = read(select=select, now=NOW + timedelta(days=1))
    assert _names(facts) == ["octo/infra-dns"]
    (note,) = facts.completeness.notes
    assert note.startswith(
        "octo/infra-vpc belongs to the selection octo, topic infra no more since 2026-11-24: "
    )
    assert why in note


def test_a_repository_that_was_renamed_is_the_same(octo: GitHubServer, read: Collect) -> None:
    select = "[{organisation: octo, topic: infra}]"
    read(select=select, now=NOW)
    octo.rename("octo/infra-vpc", "octo/network")
    facts = read(select=select, now=NOW + timedelta(days=1))
    assert facts.weeks[0].iac_prs == 2
    assert facts.completeness.notes == ()
    assert facts.completeness.renamed_repositories == {"octo/infra-vpc": "octo/network"}


def test_what_was_merged_before_a_repository_was_archived_still_counts(
    octo: GitHubServer, read: Collect
) -> None:
    web = octo.find("octo/web")
    assert web
    web.archived = True
    web.commit(Person("A", "a@example.com", "a"), MIDWEEK)  # its last push
    assert read(select="[{organisation: octo}]").weeks[0].iac_prs == 3


# What is refused, or finds nothing.


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 403, "message": "Resource protected by organization SAML enforcement."},
        {"status": 500, "times": 9},
        {"kind": "html", "times": 9},
    ],
    ids=["refused", "down", "a proxy's page"],
)
def test_a_list_that_is_refused_leaves_no_upper_bound(
    octo: GitHubServer, read: Collect, fault: dict[str, object]
) -> None:
    octo.fail(operation="GET /orgs/octo/repos.*", **fault)
    facts = read("octo/web", select="[{organisation: octo, topic: infra}]")
    (week,) = facts.weeks
    assert (week.iac_prs, week.bounds, week.bots) == (None, Bounds(at_least=1), None)
    assert week.reason.startswith("the selection octo, topic infra: ")
    assert any(note.startswith("the selection octo, topic infra: ")
               for note in facts.completeness.notes)  # fmt: skip
    assert facts.failure is None
    assert facts.engineers
    assert facts.engineers.days28 is None
    assert facts.engineers.bounds["days28"] == Bounds(at_least=1)


def test_a_second_page_that_is_refused_makes_no_shorter_list(
    github: GitHubServer, read: Collect
) -> None:
    github.organisation("octo")
    for number in range(150):
        github.add(f"octo/r{number}")
    github.fail(operation="GET /orgs/octo/repos.*page=2.*", status=403)
    facts = read(select="[{organisation: octo}]")
    assert facts.weeks[0].bounds == Bounds()
    assert facts.failure


def test_selections_that_are_all_refused_are_a_failure(octo: GitHubServer, read: Collect) -> None:
    octo.fail(operation="GET /orgs/octo/repos.*", status=403, message="SAML")
    failure = read(select="[{organisation: octo}]").failure
    assert failure
    assert "SAML" in failure.found


@pytest.mark.parametrize(
    "change",
    [
        {"full_name": "../../user"},
        {"full_name": None},
        {"node_id": 7},
        {"owner": None},
        {"archived": "no"},
        {"topics": [None]},
        {"pushed_at": "yesterday"},
        {"pushed_at": "2026-11-18T00:00:00"},
    ],
    ids=str,
)
def test_a_list_of_another_shape_than_github_s_is_refused(
    octo: GitHubServer, read: Collect, change: dict[str, object]
) -> None:
    octo.change = lambda body: [*body[:-1], body[-1] | change] if isinstance(body, list) else body
    facts = read(select="[{organisation: octo}]")
    assert facts.weeks[0].bounds == Bounds()
    assert facts.failure
    assert "cannot be read" in facts.failure.found


def test_a_list_that_is_not_whole_under_single_sign_on_is_refused(
    octo: GitHubServer, read: Collect
) -> None:
    rows = b'[{"node_id": "R_1", "full_name": "octo/web", "archived": false, "fork": false}]'
    partial = {"x-github-sso": "partial-results; organizations=21955855"}
    octo.raw_answer = (rows, {"content-type": "application/json", **partial})
    failure = read(select="[{organisation: octo}]").failure
    assert failure
    assert not failure.temporary


@pytest.mark.parametrize(
    ("select", "why"),
    [
        ("[{organisation: octo, topic: nosuch}]", "matches none of the 5 repositories"),
        ("[{organisation: octo, name: 'x*'}]", "is called octo/infra-dns, which x* does not match"),
    ],
)
def test_a_selection_that_matches_nothing_is_a_wrong_policy(
    octo: GitHubServer, read: Collect, select: str, why: str
) -> None:
    with pytest.raises(InputError, match=r"github\.select\.0") as caught:
        read("octo/web", select=select)
    assert why in str(caught.value)


def test_an_owner_that_is_not_there_is_unknown_and_not_empty(
    octo: GitHubServer, read: Collect
) -> None:
    facts = read("octo/web", select="[{organisation: nobody}]")
    assert facts.weeks[0].bounds == Bounds(at_least=1)


# What the facts say they were measured from.


def test_the_origin_names_selections_by_what_outlasts_names(
    octo: GitHubServer, read: Collect
) -> None:
    select = "[{organisation: octo, topic: infra}]"
    first = read(select=select).origin
    assert first
    (text,) = first.selections
    assert text.endswith(" topic=infra name=*")
    assert not text.startswith("octo ")
    assert first.repositories == ()
    octo.add("octo/fresh", topics=["infra"])
    octo.rename("octo/infra-vpc", "octo/network")
    assert read(select=select).origin == first
    octo.fail(operation="GET /orgs/octo/repos.*", status=403)
    assert read(select=select).origin == first  # it is remembered
    assert read(select="[{organisation: octo, topic: infra, forks: true}]").origin != first


def test_a_policy_that_selects_only_connects_and_is_read(
    octo: GitHubServer,
    policy: Callable[..., Policy],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XOPS_GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("XOPS_SECRETS", write_sources(tmp_path, octo.url))
    facts = read_or_unknown(policy(select="[{organisation: octo}]"), AS_OF)
    assert (facts.weeks[0].iac_prs, facts.failure) == (3, None)
    monkeypatch.setenv("XOPS_GITHUB_TOKEN", "expired")
    expired = read_or_unknown(policy(select="[{organisation: octo}]"), AS_OF)
    assert expired.failure
    assert expired.origin == facts.origin  # as it is remembered


def test_an_app_is_found_by_the_owner_of_a_selection(
    octo: GitHubServer,
    policy: Callable[..., Policy],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    chosen = policy(select="[{organisation: octo}]")
    key = tmp_path / "key.pem"
    private, octo.app_public_key = make_app_key()
    key.write_text(private)
    key.chmod(0o600)
    sources = tmp_path / "secrets.yaml"
    sources.write_text(f"sources: [{{folder: {tmp_path}, hosts: ['{octo.url}']}}]\n")
    sources.chmod(0o600)
    monkeypatch.setenv("XOPS_SECRETS", str(sources))
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
    assert chosen.github
    credential = AppCredential(kind="app", app_id=APP_ID, file=key)
    github = chosen.github.model_copy(update={"credential": credential})
    facts = read_or_unknown(chosen.model_copy(update={"github": github}), AS_OF)
    assert (facts.weeks[0].iac_prs, facts.failure) == (3, None)
