"""Who is one person: logins, addresses, .mailmap, aliases, co-authors, and who is none."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from xops.core.errors import InputError
from xops.github.people.aliases import Alias, Aliases
from xops.github.people.directory import Directory, Person, roster_size
from xops.github.people.identities import Activity, Identity, co_authors
from xops.github.people.mailmap import Mailmap

NOW = datetime(2026, 11, 23, tzinfo=UTC)


type Link = tuple[Identity, Identity, str]


def gathered(
    *identities: Identity,
    aliases: Aliases | None = None,
    bots: tuple[str, ...] = (),
    links: Iterable[Link] = (),
) -> list[Person]:
    directory = Directory(aliases, bots)
    for who in identities:
        directory.add(Activity(who, NOW))
    for link in links:
        directory.link(*link)
    return directory.people()


def identities_of(people: Iterable[Person]) -> list[tuple[str, ...]]:
    return [person.identities for person in people]


def test_a_shared_login_or_address_makes_one_person() -> None:
    people = gathered(
        Identity(login="alice"),
        Identity(login="Alice", email="a@example.com", name="Alice A"),
        Identity(email="A@example.com", name="alice"),
        Identity(email="12345+alice@users.noreply.github.com"),
        Identity(email="alice@users.noreply.github.com"),
    )
    assert [(p.name, p.identities) for p in people] == [("Alice A", ("a@example.com", "alice"))]


def test_a_shared_name_does_not() -> None:
    people = gathered(
        Identity(email="js@one.example", name="John Smith"),
        Identity(email="js@two.example", name="John Smith"),
    )
    assert len(people) == 2


def test_aliases_merge_and_name() -> None:
    alias = Alias(name="Alice", logins=("alice-work",), emails=("a@home.example",))
    people = gathered(
        Identity(login="Alice-Work"),
        Identity(email="A@home.example", name="al"),
        aliases=Aliases(api_version="xops/v1", people=(alias,)),
    )
    assert [person.name for person in people] == ["Alice"]


def test_an_alias_without_activity_is_nobody() -> None:
    alias = Alias(name="Alice", logins=("alice",))
    assert gathered(aliases=Aliases(api_version="xops/v1", people=(alias,))) == []


@pytest.mark.parametrize(
    "who",
    [
        Identity(login="dependabot", bot=True),
        Identity(login="renovate[bot]"),
        Identity(login="github-actions"),
        Identity(login="web-flow", email="noreply@github.com", name="GitHub"),
        Identity(email="49699333+dependabot[bot]@users.noreply.github.com"),
        Identity(email="198982749+Copilot@users.noreply.github.com"),
        Identity(email="no-reply@tool.example", name="Tool"),
        Identity(email="ci@example.com"),
        Identity(login="Deployer"),
        Identity(),
        Identity(email="  "),
    ],
)
def test_programs_and_deleted_accounts_are_no_people(who: Identity) -> None:
    assert gathered(who, bots=("ci@example.com", "deployer[bot]")) == []


def test_activity_counts_from_its_moment_up_to_the_end() -> None:
    directory = Directory()
    start = NOW - timedelta(days=28)
    for login, at in (("a", start), ("b", start - timedelta(seconds=1)), ("c", NOW)):
        directory.add(Activity(Identity(login=login), at))
    assert [p.name for p in directory.people() if p.within(start, NOW)] == ["a"]
    assert [p.last_seen(NOW) for p in directory.people()] == [
        start.date(), (start - timedelta(seconds=1)).date(), None,
    ]  # fmt: skip


def test_co_authors_are_read_from_trailers() -> None:
    message = (
        "Change\n\nCo-authored-by: Bob B <bob@example.com>\n"
        "co-authored-By:carol<carol@example.com>\nNot-co-authored-by: x <x@example.com>\n"
        "  Co-authored-by: broken\n"
    )
    assert [(who.name, who.email) for who in co_authors(message)] == [
        ("Bob B", "bob@example.com"), ("carol", "carol@example.com"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "Coauthored by: Ann Moss <ann@acme.com>",
        "Co-authored-by: Ann Moss <ann@acme.com",
        "Co-authored-by : Ann Moss < ann@acme.com >",
        "Co-autored-by: Ann Moss <ann@acme.com>",
        "Co-Authored-By: Ann Moss ann@acme.com",
        "Co-authored-by: Ann Moss (ann@acme.com)",
        "Co-authored-by: Ann Moss, ann@acme.com\r",
    ],
)
def test_a_co_author_line_that_is_mistyped_tells_who_is_meant(line: str) -> None:
    message = f"Change\n\n{line}\nNothing of ours@work"
    assert co_authors(message) == [Identity(email="ann@acme.com", name="Ann Moss")]


@pytest.mark.parametrize("text", ["@" * 60_000, "a@" * 30_000, "a@b " * 20_000, "(" * 60_000])
def test_no_message_takes_long_to_read(text: str) -> None:
    start = time.process_time()
    co_authors(f"co-authored-by: {text}!<")
    assert time.process_time() - start < 5


MAILMAP = """\
# names
Alice A <alice@example.com>
<bob@example.com> <bob@old.example>          # his former address
Carol C <carol@example.com> <c@laptop>
Dave D <dave@example.com> root <root@localhost>
not an entry
"""


@pytest.mark.parametrize(
    ("name", "email", "proper"),
    [
        ("al", "ALICE@example.com", ("Alice A", "ALICE@example.com")),
        ("bob", "bob@old.example", ("bob", "bob@example.com")),
        ("x", "C@laptop", ("Carol C", "carol@example.com")),
        ("Root", "root@localhost", ("Dave D", "dave@example.com")),
        ("other", "root@localhost", ("other", "root@localhost")),
        ("eve", "eve@example.com", ("eve", "eve@example.com")),
    ],
)
def test_mailmap_is_read_as_git_reads_it(name: str, email: str, proper: tuple[str, str]) -> None:
    found = Mailmap.parse(MAILMAP).proper(Identity(name=name, email=email))
    assert (found.name, found.email) == proper


def test_an_identity_belongs_to_one_alias(tmp_path: Path) -> None:
    file = tmp_path / "aliases.yaml"
    file.write_text(
        "apiVersion: xops/v1\npeople:\n  - {name: A, logins: [x]}\n  - {name: B, emails: [X]}\n"
    )
    with pytest.raises(InputError, match="X belongs to A and to B"):
        Aliases.load(file)


def test_nobody_is_declared_twice() -> None:
    assert roster_size(("alice", "bob"), "triggers.yaml") == 2
    with pytest.raises(InputError, match="Alice is declared twice"):
        roster_size(("alice", "Alice"), "triggers.yaml")
    with pytest.raises(InputError, match="Jo\u0308rg  M is declared twice"):
        roster_size(("J\u00f6rg M", "Jo\u0308rg  M"), "triggers.yaml")
    with pytest.raises(InputError, match=r"people\.roster\.1: names nobody"):
        roster_size(("alice", " "), "triggers.yaml")


# Addresses that are on no account.

MONA = Identity(login="mona", email="mona@acme.com", name="Mona Lisa Octocat")
AT_HOME = Identity(email="mona@laptop", name="mona")
AS_AUTHOR = Identity(login="mona")


def test_the_squash_commit_of_a_pull_request_tells_whose_an_address_is() -> None:
    why = "octo/web#1 was squashed into it"
    (person,) = gathered(AS_AUTHOR, AT_HOME, links=[(AS_AUTHOR, AT_HOME, why)])
    assert person.identities == ("mona@laptop", "mona")
    assert person.merged == (why,)


def test_an_address_for_which_two_accounts_speak_joins_neither() -> None:
    bob = Identity(login="bob")
    links = [(AS_AUTHOR, AT_HOME, "octo/web#1"), (bob, AT_HOME, "octo/web#2")]
    assert len(gathered(AS_AUTHOR, bob, AT_HOME, links=links)) == 3


def test_evidence_makes_no_one_person_of_two_accounts() -> None:
    bob = Identity(login="bob", email="bob@acme.com", name="Bob Builder")
    assert len(gathered(MONA, bob, links=[(MONA, bob, "octo/web#1")])) == 2


def test_somebody_elses_commit_in_a_pull_request_is_not_its_authors() -> None:
    picked = Identity(email="bob@home.example", name="Bob Builder")
    assert len(gathered(MONA, picked, links=[(MONA, picked, "octo/web#1")])) == 2


def test_one_name_and_one_mail_domain_are_one_person() -> None:
    other = Identity(email="octocat@acme.com", name="mona lisa  Octocat")
    (person,) = gathered(MONA, other)
    assert person.identities == ("mona@acme.com", "octocat@acme.com", "mona")
    assert person.merged == (
        "commits of the account mona bear mona@acme.com",
        "mona@acme.com and octocat@acme.com have one name and one mail domain",
    )


@pytest.mark.parametrize(
    ("email", "name"),
    [
        ("octocat@gmail.com", "Mona Lisa Octocat"),
        ("octocat@other.example", "Mona Lisa Octocat"),
        ("octocat@laptop.local", "Mona Lisa Octocat"),
        ("octocat@acme.com", "Mona"),
        ("octocat@acme.com", "Lisa Octocat"),
    ],
)
def test_less_than_one_name_and_one_company_merges_nobody(email: str, name: str) -> None:
    at_gmail = Identity(login="mona", email="mona@gmail.com", name="Mona Lisa Octocat")
    assert len(gathered(MONA, at_gmail, Identity(email=email, name=name))) == 2


def test_what_programs_fill_in_is_no_name() -> None:
    assert len(gathered(*(Identity(email=f"{x}@acme.com", name="root user") for x in "ab"))) == 2


def test_two_accounts_of_one_name_and_domain_stay_two_and_an_address_joins_neither() -> None:
    john = [Identity(f"john{n}", f"john{n}@acme.com", "John Smith") for n in (1, 2)]
    assert len(gathered(*john)) == 2
    assert len(gathered(*john, Identity(email="js@acme.com", name="John Smith"))) == 3


def test_a_renamed_account_is_one_person_by_its_number() -> None:
    found = gathered(
        Identity(email="583231+octocat@users.noreply.github.com", name="Mona"),
        Identity(email="583231+mona@users.noreply.github.com", name="Mona"),
        Identity(email="octocat@users.noreply.ghe.acme.com", name="Mona"),
    )
    assert identities_of(found) == [("mona", "octocat")]
    assert found[0].merged == ("account 583231 was called mona and octocat",)


def test_an_alias_tells_why_it_merges() -> None:
    alias = Alias(name="Mona", logins=("mona",), emails=("mona@laptop",))
    aliases = Aliases(api_version="xops/v1", people=(alias,))
    (person,) = gathered(AS_AUTHOR, AT_HOME, aliases=aliases)
    assert person.merged == ("the alias file says so of Mona",)
    assert person.declared


# Machines.


def test_a_machine_is_listed_with_the_reason() -> None:
    directory = Directory(bots=("deploy*",))
    for who in (
        Identity(login="dependabot", bot=True),
        Identity(login="dependabot", email="support@acme.com", bot=True),
        Identity(email="deployer@acme.com", name="Deployer"),
        Identity(login="alice"),
    ):
        directory.add(Activity(who, NOW))
    assert [(one.name, one.identities, one.why) for one in directory.machines()] == [
        ("dependabot", ("support@acme.com", "dependabot"), "GitHub calls it a bot"),
        ("Deployer", ("deployer@acme.com",), "github.bots declares deploy*"),
    ]
    assert [person.name for person in directory.people()] == ["alice"]


def test_an_address_on_a_machines_account_is_the_machines() -> None:
    directory = Directory(bots=("acme-deployer",))
    directory.add(Activity(Identity("acme-deployer", "ops@acme.com", "Ops"), NOW))
    directory.add(Activity(Identity(email="ops@acme.com", name="Acme Ops"), NOW))
    assert directory.people() == []
    (machine,) = directory.machines()
    assert (machine.identities, len(machine.active)) == (("ops@acme.com", "acme-deployer"), 2)


def test_what_somebodys_program_commits_in_his_name_makes_no_machine_of_him() -> None:
    directory = Directory()
    directory.add(Activity(MONA, NOW))
    directory.add(Activity(Identity("mona", "mona@acme.com", "CI"), NOW))
    assert [person.name for person in directory.people()] == ["Mona Lisa Octocat"]
    assert [(one.name, one.identities) for one in directory.machines()] == [("CI", ("mona",))]


def test_who_writes_a_persons_name_as_well_is_a_person() -> None:
    (mona,) = gathered(MONA, Identity("mona", "mona@acme.com", "Acme CI"))
    assert (mona.name, mona.doubts) == ("Mona Lisa Octocat", ())


def test_whom_the_alias_file_names_is_a_person_beside_his_machine() -> None:
    alias = Alias(name="Mona", logins=("mona", "mona-runner"))
    directory = Directory(Aliases(api_version="xops/v1", people=(alias,)), bots=("mona-runner",))
    for login in alias.logins:
        directory.add(Activity(Identity(login), NOW))
    assert [(one.name, len(one.active)) for one in directory.people()] == [("Mona", 1)]
    assert [one.identities for one in directory.machines()] == [("mona-runner",)]


def directory_of_a_committer(subjects: Iterable[str]) -> Directory:
    directory = Directory()
    who = Identity(login="kube1st", email="kube1st@acme.com", name="kube1st")
    for subject in subjects:
        directory.add(Activity(who, NOW))
        directory.committed(who, subject)
    return directory


def test_who_only_pushes_commits_of_one_shape_is_doubtful_and_says_why() -> None:
    (person,) = directory_of_a_committer(f"chore: release v1.{n}.0" for n in range(30)).people()
    assert person.doubts == (
        "30 of 30 commits are called 'chore: release v#.#.' and the like, and it reviews nothing:"
        " it may be a machine",
    )


def test_who_reviews_or_writes_differently_is_a_person() -> None:
    directory = directory_of_a_committer(f"chore: release v1.{n}.0" for n in range(30))
    directory.reviewed(Identity(login="Kube1st"))
    assert directory.people()[0].doubts == ()
    mixed = [f"{'fix: the' if n % 4 else 'add another'} {n}" for n in range(40)]
    assert directory_of_a_committer(mixed).people()[0].doubts == ()


def test_an_address_behind_a_machines_pull_request_is_doubtful() -> None:
    bot = Identity(login="acme-release-bot")
    unlinked = Identity(email="ops@acme.com", name="ops")
    (person,) = gathered(bot, unlinked, links=[(bot, unlinked, "octo/web#1")])
    assert person.doubts == ("may be acme-release-bot, a machine: octo/web#1",)
    (mona,) = gathered(bot, MONA, links=[(bot, MONA, "octo/web#1")])
    assert mona.doubts == ()


@pytest.mark.parametrize(
    ("who", "doubtful"),
    [
        (Identity(login="acmebot"), True),
        (Identity(login="svc-acme", name="Acme Service"), True),
        (Identity(login="acme-deploy", email="ops@acme.com", name="Acme"), True),
        (Identity(email="build@acme.com", name="Build Server"), True),
        (Identity(login="acme-argocd"), True),
        (Identity(login="acmebot", name="Ann Moss"), False),
        (Identity(login="ann-talbot"), False),
        (Identity(login="bchrobot", name="Ben Chrobot"), False),
        (Identity(email="travis@acme.com", name="Travis Fields"), False),
        (Identity(email="github@ann.example", name="ann"), False),
        (Identity(email="ann+build@ann.example", name="ann"), False),
        (Identity(login="annbottom"), False),
        (Identity(email="bob-builder@acme.com", name="bob"), False),
    ],
    ids=str,
)
def test_a_login_as_machine_users_have_is_doubtful_without_a_persons_name(
    who: Identity, doubtful: bool
) -> None:
    (person,) = gathered(who)
    assert bool(person.doubts) is doubtful
    name = who.login or who.email
    alias = Alias(name="Ann", logins=(name,) if who.login else (), emails=(who.email,))
    assert gathered(who, aliases=Aliases(api_version="xops/v1", people=(alias,)))[0].doubts == ()


LETTERS = st.sampled_from("abcd")
IDENTITIES = st.builds(
    Identity,
    login=st.one_of(st.just(""), LETTERS),
    email=st.one_of(st.just(""), LETTERS.map(lambda x: f"{x}@example.com")),
    name=st.sampled_from(["a", "b", "Ann Ale", "Bob Bee"]),
)
LINKS = st.tuples(IDENTITIES, IDENTITIES, st.sampled_from(["x", "y"]))


@given(st.lists(IDENTITIES, max_size=12), st.lists(LINKS, max_size=5), st.randoms())
@examples(60)
def test_the_order_in_which_people_appear_changes_nothing(
    found: list[Identity], links: list[Link], rnd: Random
) -> None:
    shuffled, linked = list(found), list(links)
    rnd.shuffle(shuffled)
    rnd.shuffle(linked)
    people = gathered(*found, links=links)
    assert people == gathered(*shuffled, links=linked)
    identities = [identity for person in people for identity in person.identities]
    assert len(identities) == len(set(identities))
