"""Who is one person: logins, addresses, .mailmap, aliases, co-authors, and who is none."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from xops.core.errors import InputError
from xops.github.people import (
    Activity,
    Alias,
    Aliases,
    Directory,
    Identity,
    Mailmap,
    co_authors,
    roster_size,
)

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def gathered(*identities: Identity, aliases: Aliases | None = None, bots: tuple[str, ...] = ()):  # type: ignore[no-untyped-def]
    directory = Directory(aliases, bots)
    for who in identities:
        directory.add(Activity(who, NOW))
    return directory.people()


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


LETTERS = st.sampled_from("abcd")
IDENTITIES = st.builds(
    Identity,
    login=st.one_of(st.just(""), LETTERS),
    email=st.one_of(st.just(""), LETTERS.map(lambda x: f"{x}@example.com")),
    name=LETTERS,
)


@given(st.lists(IDENTITIES, max_size=12), st.randoms())
@examples(60)
def test_the_order_in_which_people_appear_changes_nothing(found: list[Identity], rnd) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(found)
    rnd.shuffle(shuffled)
    groups = {person.identities for person in gathered(*found)}
    assert groups == {person.identities for person in gathered(*shuffled)}
    assert sum(len(group) for group in groups) == len({i for group in groups for i in group})
