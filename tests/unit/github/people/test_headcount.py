"""How many people there are, if not all of them can be told apart."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from xops.github.people.aliases import Alias, Aliases
from xops.github.people.directory import Directory
from xops.github.people.headcount import Headcount, Range
from xops.github.people.identities import Activity, Identity

START = datetime(2026, 11, 2, tzinfo=UTC)
END = START + timedelta(days=28)

ALICE = Identity("alice", "alice@acme.com", "Alice Example")
BOB = Identity("bob", "bob@acme.com", "Bob Builder")


def headcount(
    *identities: Identity, aliases: Aliases | None = None, at: datetime = START
) -> Headcount:
    directory = Directory(aliases)
    for who in identities:
        directory.add(Activity(who, at))
    people = directory.people()
    return Headcount(people, [bool(person.doubts) for person in people])


def between(*identities: Identity, aliases: Aliases | None = None) -> tuple[int, int]:
    found = headcount(*identities, aliases=aliases).between(START, END)
    return found.at_least, found.at_most


def test_a_team_whose_addresses_are_all_on_accounts_has_a_number() -> None:
    assert between(ALICE, BOB, Identity("carol")) == (3, 3)


def test_two_people_with_an_address_on_no_account_each_are_two_to_four() -> None:
    at_home = Identity(email="alice@home.example", name="alice")
    on_laptop = Identity(email="bob@laptop", name="bob")
    assert between(Identity("alice"), Identity("bob"), at_home, on_laptop) == (2, 4)


def test_another_full_name_is_another_person() -> None:
    assert between(ALICE, BOB, Identity(email="eve@home.example", name="Eve Moneypenny")) == (3, 3)


def test_an_address_may_be_anybodys_whose_name_is_unknown() -> None:
    eve = Identity(email="eve@home.example", name="Eve Moneypenny")
    assert between(ALICE, Identity("x92"), eve) == (2, 3)


def test_one_full_name_at_two_accounts_is_one_person_or_two() -> None:
    johns = [Identity(f"js{n}", f"js{n}@gmail.com", "John Smith") for n in (1, 2)]
    assert between(*johns, ALICE) == (2, 3)
    assert headcount(*johns).others([0, 1]) == {
        0: "John Smith (js2)", 1: "John Smith (js1)",
    }  # fmt: skip
    assert between(Identity("j1", "", "John"), Identity("j2", "", "John")) == (2, 2)
    own = Alias(name="John Smith", logins=("js1",))
    assert between(*johns, aliases=Aliases(api_version="xops/v1", people=(own,))) == (2, 2)


@pytest.mark.parametrize(
    ("names", "most"),
    [
        (["Ann Moss", "Bea Nash"], 2),
        (["Ann Moss", "Bea Nash", "Cyd Orr", "Bea N."], 3),
        (["Ann Moss and Bea Nash"], 2),
        (["Ann Moss & Bea Nash & Cyd Orr"], 3),
        (["Ann Moss", "Ann Nash", "ann"], 1),
        (["\u041c\u043e\u043d\u0430 \u041b\u0438\u0441\u0430", "Mona Lisa"], 1),
        (["Moss, Ann"], 1),
        (["Ann Moss", "Acme Deploy", "Acme CI"], 1),
        (["Ann Moss", "bea-web", "bea nash@acme.com"], 1),
        (["Ann and Bea"], 1),
    ],
)
def test_what_bears_several_full_names_may_be_as_many_people(names: list[str], most: int) -> None:
    shared = [Identity(email="team@acme.com", name=name) for name in names]
    assert between(*shared) == (1, most)
    assert between(*(Identity("team", one.email, one.name) for one in shared)) == (1, most)
    team = Aliases(api_version="xops/v1", people=(Alias(name="Ann", emails=("team@acme.com",)),))
    assert between(*shared, aliases=team) == (1, 1)


def test_the_alias_file_settles_what_is_doubtful() -> None:
    eve = Identity(email="eve@home.example", name="eve")
    assert between(ALICE, BOB, eve) == (2, 3)
    own = Aliases(api_version="xops/v1", people=(Alias(name="Eve", emails=(eve.email,)),))
    assert between(ALICE, BOB, eve, aliases=own) == (3, 3)
    alias = Alias(name="Alice", logins=("alice",), emails=(eve.email,))
    hers = Aliases(api_version="xops/v1", people=(alias,))
    assert between(ALICE, BOB, eve, aliases=hers) == (2, 2)


def test_whoever_may_be_somebody_who_may_not_count_may_not_count_either() -> None:
    directory = Directory()
    for who in (Identity("deployer"), Identity(email="deploy@laptop", name="deploy")):
        directory.add(Activity(who, START))
    people = directory.people()
    uncertain = [person.name == "deployer" for person in people]
    assert Headcount(people, uncertain).between(START, END) == Range(0, 2)


def test_a_doubtful_person_is_told_whom_it_may_be_the_likeliest_first() -> None:
    found = headcount(
        *(Identity(f"x{n}") for n in range(5)), ALICE, Identity(email="alice@laptop", name="al")
    )
    active = found.active(START, END)
    assert found.others(active) == {0: "Alice Example (alice), x0, x1 or 3 more"}


def test_whoever_was_not_active_then_makes_nobody_doubtful() -> None:
    later = headcount(Identity("alice"), Identity(email="al@laptop"), at=END)
    assert later.between(START, END) == Range(0, 0)
    assert later.others(later.active(START, END)) == {}


# People as they are, and what is seen of them.

FIRST = ["Ann", "Bea", "Cyd", "Dov", "Eli", "Fay"]
LAST = ["Moss", "Nash", "Orr", "Pike"]


@dataclass(frozen=True)
class Somebody:
    """One person as he or she is: a login or none, a name, nicknames and addresses."""

    number: int
    login: str
    full: str
    nicknames: tuple[str, ...]


@st.composite
def populations(draw: st.DrawFn) -> list[Somebody]:
    """People of whom no two have one name and colleagues in common."""
    count = draw(st.integers(1, 7))
    found = []
    for number in range(count):
        full = f"{draw(st.sampled_from(FIRST))} {draw(st.sampled_from(LAST))}"
        login = draw(st.sampled_from(["", f"u{number}", f"u{number}"]))
        nicknames = tuple(
            draw(st.lists(st.sampled_from(["xk", "ann", "moss", "root"]), max_size=2))
        )
        found.append(Somebody(number, login, full, nicknames))
    return found


@st.composite
def seen(draw: st.DrawFn, person: Somebody) -> Identity:
    """One thing that is seen of somebody: with an account, a name, an address, or without."""
    initial = person.full[0] + ". " + person.full.split()[1]
    name = draw(st.sampled_from([person.full, person.full.upper(), initial, *person.nicknames]))
    if person.login and draw(st.booleans()):
        email = draw(st.sampled_from(["", f"{person.login}@acme.com"]))
        return Identity(person.login, email, name if email else "")
    home = f"{person.number}"
    emails = [f"{home}@gmail.com", f"{home}@laptop", f"{home}@of{home}.example"]
    emails += [f"{home}@users.noreply.github.com".replace(home, person.login, 1)] * bool(
        person.login
    )
    return Identity(email=draw(st.sampled_from([*emails, f"work@of{home}.example"])), name=name)


@given(st.data(), populations())
@examples(200)
def test_the_true_number_lies_between_the_bounds(
    data: st.DataObject, people: list[Somebody]
) -> None:
    directory = Directory()
    active: set[int] = set()
    for person in data.draw(st.lists(st.sampled_from(people), max_size=14)):
        who, inside = data.draw(seen(person)), data.draw(st.booleans())
        directory.add(Activity(who, START if inside else END))
        active |= {person.number} if inside else set()
        if person.login and data.draw(st.booleans()):
            directory.link(Identity(person.login), who, "octo/web#1")
    # Accounts of which it cannot be told whether they count; some do not.
    accounts = [person for person in people if person.login]
    open_ = [person for person in accounts if data.draw(st.booleans())]  # a set has no order
    for person in open_:
        directory.add(Activity(Identity(person.login), END))
    out = {person.number for person in open_ if data.draw(st.booleans())}
    everybody = directory.people()
    logins = {person.login for person in open_}
    uncertain = [not logins.isdisjoint(person.identities) for person in everybody]
    found = Headcount(everybody, uncertain).between(START, END)
    assert found.at_least <= len(active - out) <= found.at_most
