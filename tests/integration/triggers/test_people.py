"""Engineers on the local GitHub: who is counted, why, and what is left open."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.github_data import Person, Repository, Team
from tests.github_server import GitHubServer
from tests.integration.triggers.collecting import AS_OF, END, MIDWEEK, Collect
from tests.unit.triggers.samples import POLICY, TEAM_SIZE
from xops.core.errors import InputError
from xops.triggers.evaluation import evaluate
from xops.triggers.facts import UNBOUNDED, Bounds, Engineers
from xops.triggers.measure.team import machines_digest, people_digest
from xops.triggers.policy import Policy

Count = Callable[..., Engineers]
NOW = END + timedelta(hours=6)

ALICE = Person("Alice Example", "alice@acme.com", "alice")
BOB = Person("Bob Builder", "bob@acme.com", "bob")


@pytest.fixture
def count(read: Collect) -> Count:
    """`count(*repositories, people="outsiders: false", bots="[...]")` counts the engineers."""

    def once(*names: str, people: str = "", bots: str = "[]", weeks: int = 1) -> Engineers:
        more = f"  bots: {bots}\npeople: {{{people}}}\n"
        found = read(*names, more=more, weeks=weeks, now=NOW).engineers
        assert found
        return found

    return once


def test_an_address_on_no_account_is_the_authors_of_the_squashed_pull_request(
    web: Repository, count: Count
) -> None:
    for author, email in (("alice", "alice@home.example"), ("bob", "bob@laptop")):
        web.squash(web.merge(MIDWEEK, "x.py", author=author), Person(author, email))
    found = count()
    assert (found.days28, found.days90, found.bounds) == (2, 2, {})
    assert found.people
    assert [person.identities for person in found.people] == [
        ("alice@home.example", "alice"), ("bob@laptop", "bob"),
    ]  # fmt: skip
    assert "squash commit of octo/web#1" in found.people[0].merged[0]
    assert found.people[0].doubtful == ""


def test_without_evidence_two_such_addresses_leave_two_to_four(
    web: Repository, count: Count
) -> None:
    for author, email in (("alice", "alice@home.example"), ("bob", "bob@laptop")):
        web.merge(MIDWEEK, "x.py", author=author)
        web.commit(Person(author, email), MIDWEEK)
    found = count()
    assert (found.days28, found.days90) == (None, None)
    assert found.bounds == dict.fromkeys(("days28", "days90"), Bounds(at_least=2, at_most=4))
    assert found.people
    assert [person.doubtful for person in found.people if "@" in person.identities[0]] == [
        "is on no account, may be alice, bob, bob (bob@laptop)",
        "is on no account, may be bob, alice, alice (alice@home.example)",
    ]
    assert found.reason == "2 of those who were active are doubtful"


def test_names_of_accounts_tell_them_from_an_address(
    github: GitHubServer, web: Repository, count: Count
) -> None:
    web.squash(web.merge(MIDWEEK, "x.py", reviews=[("x92", MIDWEEK)]), ALICE)
    web.commit(Person("Eve Moneypenny", "eve@home.example"), MIDWEEK)
    assert count().bounds["days28"] == Bounds(at_least=2, at_most=3)
    github.names = {"x92": "Bob Builder"}
    for request in web.pull_requests:
        request.updated_at = MIDWEEK + timedelta(hours=1)
    assert count().days28 == 3


def test_a_backport_of_somebody_elses_commit_merges_nobody(web: Repository, count: Count) -> None:
    web.commit(ALICE, MIDWEEK)
    web.squash(web.merge(MIDWEEK, "x.py"), Person("Bob Builder", "bob@home.example"))
    assert count().days28 == 2


def test_the_alias_file_settles_it(web: Repository, count: Count, tmp_path: Path) -> None:
    (tmp_path / "aliases.yaml").write_text(
        "apiVersion: xops/v1\npeople:\n  - {name: Alice, logins: [alice], emails: [alice@laptop]}\n"
        "  - {name: Eve, emails: [eve@home.example]}\n"
    )
    web.merge(MIDWEEK, "x.py", author="alice")
    for email in ("alice@laptop", "eve@home.example"):
        web.commit(Person("me", email), MIDWEEK)
    assert count().bounds["days28"] == Bounds(at_least=1, at_most=3)
    assert count(people="aliases: aliases.yaml").days28 == 2


def test_a_wrong_alias_file_is_told_with_its_line(
    web: Repository, count: Count, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"aliases\.yaml"):
        count(people="aliases: aliases.yaml")
    (tmp_path / "aliases.yaml").write_text("apiVersion: xops/v1\npeople:\n  - {nam: Alice}\n")
    with pytest.raises(InputError) as wrong:
        count(people="aliases: aliases.yaml")
    assert "aliases.yaml:3" in str(wrong.value)


def test_a_co_author_line_of_ones_own_name_is_another_address(
    web: Repository, count: Count
) -> None:
    line = "Change\n\nCo-authored-by: Alice Example <alice@laptop>"
    web.commit(ALICE, MIDWEEK, line)
    found = count()
    assert found.days28 == 1
    assert found.people
    assert any("names both" in why for why in found.people[0].merged)


def test_machines_are_left_out_and_listed_with_the_reason(web: Repository, count: Count) -> None:
    web.commit(ALICE, MIDWEEK)
    for name, email in (
        ("semantic-release-bot", "semantic-release-bot@martynus.net"),
        ("CI", "ci@argoproj.com"),
        ("Night Build", "nightly@acme.com"),
    ):
        web.commit(Person(name, email), MIDWEEK)
    web.merge(MIDWEEK, "x.py", author="dependabot[bot]")
    found = count(bots="['night*']")
    assert (found.days28, found.left_out_more) == (1, 0)
    assert {(one.name, one.why) for one in found.left_out} == {
        ("CI", "a machine: ci is a name that machines have"),
        ("Night Build", "a machine: github.bots declares night*"),
        ("dependabot", "a machine: GitHub calls it a bot"),
        (
            "semantic-release-bot",
            "a machine: semantic-release-bot is a name that machines have",
        ),
    }


def test_the_list_of_machines_has_an_end(web: Repository, count: Count) -> None:
    for n in range(60):
        web.commit(Person(f"b{n}-bot", f"b{n}-bot@acme.com"), MIDWEEK)
    found = count()
    assert (len(found.left_out), found.left_out_more) == (50, 10)


def test_who_only_pushes_one_kind_of_commit_may_be_a_machine(web: Repository, count: Count) -> None:
    web.commit(ALICE, MIDWEEK)
    deployer = Person("kube1st", "kube1st@kubefirst.io", "kube1st")
    for n in range(30):
        web.commit(deployer, MIDWEEK + timedelta(minutes=n), f"[ci skip] set next chart {n}")
    found = count()
    assert found.bounds["days28"] == Bounds(at_least=1, at_most=2)
    assert found.people
    assert "it may be a machine" in found.people[-1].doubtful
    assert count(bots="[kube1st]").days28 == 1


def test_a_machine_user_that_opens_pull_requests_of_one_shape_may_be_one(
    web: Repository, count: Count
) -> None:
    web.commit(ALICE, MIDWEEK)
    for n in range(20):
        made = web.merge(
            MIDWEEK, "x.py", author="acme-platform", title=f"chore(deps): update a to {n}"
        )
        web.squash(made, Person("acme-platform", "platform@acme.com", "acme-platform"))
    found = count()
    assert found.bounds["days28"] == Bounds(at_least=1, at_most=2)
    web.merge(MIDWEEK, "x.py", author="alice", reviews=[("acme-platform", MIDWEEK)])
    assert count().days28 == 2


def test_copilot_is_nobody_and_who_assigned_it_is_somebody(web: Repository, count: Count) -> None:
    made = web.merge(
        MIDWEEK, "x.py", author="copilot-swe-agent[bot]",
        reviews=[("copilot-pull-request-reviewer[bot]", MIDWEEK), ("alice", MIDWEEK)],
    )  # fmt: skip
    copilot = "198982749+Copilot@users.noreply.github.com"
    web.squash(made, Person("copilot-swe-agent[bot]", copilot))
    web.commits[-1].message += "\n\nCo-authored-by: bob <7+bob@users.noreply.github.com>"
    found = count()
    assert (found.days28, found.bounds) == (2, {})
    assert found.people
    assert [one.name for one in found.people] == ["alice", "bob"]


# Who is hard to tell.


def test_of_an_account_that_was_deleted_nobody_tells_whether_it_was_one_more(
    web: Repository, count: Count
) -> None:
    web.merge(MIDWEEK, "x.py", author="alice")
    web.squash(web.merge(MIDWEEK, "x.py", author=None), BOB)  # its commit has an author
    assert count().days28 == 2
    web.merge(MIDWEEK, "x.py", author=None)
    web.pull_requests[0].reviews = [("", MIDWEEK)]
    web.pull_requests[0].updated_at = MIDWEEK + timedelta(hours=1)
    found = count()
    assert found.bounds["days28"] == Bounds(at_least=2, at_most=4)
    assert found.reason == "2 merged pull requests and reviews are of accounts that were deleted"


def test_a_renamed_account_that_only_reviews_may_be_two(
    github: GitHubServer, web: Repository, count: Count
) -> None:
    github.names = {"octocat": "Mona Lisa", "mona": "Mona Lisa"}
    web.merge(MIDWEEK, "x.py", author="alice", reviews=[("octocat", MIDWEEK), ("mona", MIDWEEK)])
    found = count()
    assert found.bounds["days28"] == Bounds(at_least=2, at_most=3)
    assert found.people
    assert found.people[1].doubtful == "has the full name of Mona Lisa (octocat)"


def test_an_address_that_several_write_with_may_be_as_many(web: Repository, count: Count) -> None:
    for name in ("Alice Example", "Bob Builder"):
        web.commit(Person(name, "team@acme.com"), MIDWEEK)
    found = count()
    assert found.bounds["days28"] == Bounds(at_least=1, at_most=2)
    assert found.people
    assert found.people[0].doubtful == "bears names of 2 people"


def test_a_range_about_the_threshold_freezes_and_says_why(web: Repository, read: Collect) -> None:
    for author in ("alice", "bob", "carol"):
        web.merge(MIDWEEK, "x.py", author=author)
    web.commit(Person("al", "al@home.example"), MIDWEEK)
    measured = {"timezone": "Australia/Sydney", "triggers": {"team_size": TEAM_SIZE}}
    rules = Policy.model_validate(POLICY | measured)
    (verdict,) = evaluate(rules, read(now=NOW), AS_OF).triggers
    assert (verdict.insufficient, verdict.active) == (True, False)
    assert verdict.bounds == Bounds(at_least=3, at_most=4)
    assert verdict.warnings == (
        "the last value is 3 to 4: 1 of those who were active are doubtful",
    )
    assert [person.name for person in verdict.people] == ["al", "alice", "bob", "carol"]


# Outsiders.


def test_outsiders_count_unless_the_policy_says_otherwise(web: Repository, count: Count) -> None:
    web.associations = {"mallory": "CONTRIBUTOR", "bob": "COLLABORATOR"}
    for author in ("alice", "bob", "mallory"):
        web.merge(MIDWEEK, "x.py", author=author)
    assert count().days28 == 3


def test_whose_membership_may_be_concealed_is_a_doubtful_outsider(
    github: GitHubServer, web: Repository, count: Count
) -> None:
    web.associations = {"mallory": "CONTRIBUTOR", "bob": "COLLABORATOR", "eve": "NONE"}
    for author in ("alice", "bob", "mallory"):
        web.merge(MIDWEEK, "x.py", author=author, reviews=[("eve", MIDWEEK)])
    found = count(people="outsiders: false")
    assert found.bounds["days28"] == Bounds(at_least=2, at_most=4)
    assert found.people
    assert {person.name: person.doubtful for person in found.people}["mallory"] == (
        "GitHub says CONTRIBUTOR, and may conceal a membership of octo: name it in"
        " people.members_of"
    )


def test_who_is_no_member_of_an_organisation_that_shows_all_is_left_out(
    github: GitHubServer, web: Repository, count: Count
) -> None:
    github.organisation("octo", "alice", "carol")
    web.associations = {"mallory": "CONTRIBUTOR", "bob": "COLLABORATOR", "carol": "CONTRIBUTOR"}
    for author in ("alice", "bob", "carol", "mallory"):
        web.merge(MIDWEEK, "x.py", author=author)
    found = count(people="outsiders: false, members_of: [octo]")
    assert (found.days28, found.members) == (3, 2)
    assert [(one.name, one.why) for one in found.left_out] == [
        ("mallory", "an outsider: GitHub says CONTRIBUTOR")
    ]


def test_an_owners_repository_has_no_members_to_conceal(web: Repository, count: Count) -> None:
    web.associations = {"octo": "OWNER", "mallory": "CONTRIBUTOR"}
    for author in ("octo", "mallory"):
        web.merge(MIDWEEK, "x.py", author=author)
    assert count(people="outsiders: false").days28 == 1


def test_commits_take_the_association_of_the_same_persons_pull_requests(
    web: Repository, count: Count
) -> None:
    web.merge(MIDWEEK - timedelta(days=60), "x.py", author="alice")
    web.commit(ALICE, MIDWEEK)
    web.commit(BOB, MIDWEEK)  # of whom GitHub says nothing
    found = count(people="outsiders: false")
    assert found.bounds["days28"] == Bounds(at_least=1, at_most=2)


# Teams and organisations.


def test_members_are_counted_once_across_teams_without_machines(
    github: GitHubServer, web: Repository, count: Count, tmp_path: Path
) -> None:
    (tmp_path / "aliases.yaml").write_text(
        "apiVersion: xops/v1\npeople: [{name: Bob, logins: [bob, bob-work]}]\n"
    )
    github.organisation(
        "octo",
        platform=Team(members=["alice", "bob", "acme-ci"]),
        data=Team(members=["Alice", "bob-work", "deployer"]),
    )
    people = "members_of: [octo/platform, octo/data], aliases: aliases.yaml"
    found = count(people=people, bots="[deploy*]")
    assert (found.members, found.bounds, found.reason) == (2, {}, "")


def test_a_team_that_is_not_shown_leaves_the_number_open_with_the_remedy(
    github: GitHubServer, web: Repository, count: Count
) -> None:
    github.organisation("octo", platform=Team(members=["alice", "bob"]))
    found = count(people="members_of: [octo/platform, octo/secret]")
    assert found.members is None
    assert found.bounds["members"] == Bounds(at_least=2)
    assert "listing the members of octo/secret" in found.reason
    assert "Members: read" in found.reason


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 403},
        {"kind": "status", "status": 502, "times": 9},
        {"kind": "primary", "retry_after": 3600},
        {"kind": "html"},
    ],
    ids=lambda fault: str(fault.get("status", fault["kind"])),
)
def test_members_that_cannot_be_read_are_unknown_and_everything_else_is_known(
    github: GitHubServer, web: Repository, count: Count, fault: dict[str, Any]
) -> None:
    web.commit(ALICE, MIDWEEK)
    github.organisation("octo", platform=Team(members=["alice", "bob"]))
    github.fail(operation=r"GET /orgs/octo/teams/platform/members.*", **fault)
    found = count(people="members_of: [octo/platform]")
    assert (found.days28, found.members, found.bounds) == (1, None, {"members": UNBOUNDED})
    assert found.reason.startswith("listing the members of octo/platform: ")


@pytest.mark.parametrize("row", [{"login": None}, {"login": 3}, {}])
def test_members_of_another_shape_are_unknown(
    github: GitHubServer, web: Repository, count: Count, row: dict[str, Any]
) -> None:
    github.organisation("octo", platform=Team(members=["alice"]))
    github.change = lambda body: [row] if isinstance(body, list) else body
    found = count(people="members_of: [octo/platform]")
    assert (found.members, found.bounds["members"]) == (None, UNBOUNDED)


def test_an_organisation_that_shows_only_public_members_leaves_the_number_open(
    github: GitHubServer, web: Repository, count: Count
) -> None:
    organisation = github.organisation("octo", "alice", "bob", "carol")
    organisation.conceals, organisation.public = True, ["alice", "bob"]
    found = count(people="members_of: [octo]")
    assert found.members is None
    assert found.bounds["members"] == Bounds(at_least=2)
    assert "members who conceal it are not shown" in found.reason


def test_members_are_those_of_today_only(
    github: GitHubServer, web: Repository, read: Collect
) -> None:
    github.organisation("octo", platform=Team(members=["alice", "bob"]))
    facts = read(more="people: {members_of: [octo/platform]}", weeks=3, now=NOW)
    assert facts.engineers
    assert facts.engineers.members == 2
    engineers = [week.engineers for week in facts.weeks]
    assert [one.members for one in engineers if one] == [None, None, 2]
    assert engineers[0]
    assert engineers[0].bounds["members"] == UNBOUNDED
    assert "not who was one" in engineers[0].reason


# What is unknown.


def test_an_unreadable_repository_leaves_at_least_whom_the_others_show(
    github: GitHubServer, web: Repository, count: Count
) -> None:
    web.commit(ALICE, MIDWEEK)
    web.commit(BOB, MIDWEEK)
    found = count("octo/web", "octo/gone")
    assert (found.days28, found.days90) == (None, None)
    assert found.bounds == dict.fromkeys(("days28", "days90"), Bounds(at_least=2))
    assert "octo/gone" in found.reason
    assert found.people
    assert len(found.people) == 2


# By what rules.


def test_the_rules_have_digests_that_change_with_them(
    policy: Callable[..., Policy], tmp_path: Path
) -> None:
    file = tmp_path / "aliases.yaml"

    def digests(more: str) -> tuple[str, str]:
        made = policy(more=more)
        return machines_digest(made), people_digest(made)

    plain = digests("")
    assert digests("  bots: []\npeople: {roster: [alice]}") == plain
    machines, people = digests("  bots: [b, a]")
    assert machines == digests("  bots: [A, b]")[0] != plain[0]
    assert people == plain[1]
    for more in ("mailmap: false", "outsiders: false", "members_of: [octo]"):
        changed = digests(f"people: {{{more}}}")
        assert changed[0] == plain[0]
        assert changed[1] != plain[1]
    file.write_text("apiVersion: xops/v1\npeople: [{name: A, logins: [a]}]\n")
    first = digests("people: {aliases: aliases.yaml}")
    assert first[0] == plain[0]
    assert first[1] != plain[1]
    file.write_text("# why\napiVersion: xops/v1\npeople: [{name: A, logins: [A]}]\n")
    assert digests("people: {aliases: aliases.yaml}") == first
    file.write_text("apiVersion: xops/v1\npeople: [{name: A, logins: [a, a-ci]}]\n")
    again = digests("people: {aliases: aliases.yaml}")
    assert again[0] != plain[0]
    assert again[1] != first[1]
