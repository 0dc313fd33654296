"""What names and mail domains tell, and what they do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from xops.github.people.names import are_different, company_domain, is_full


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Mona Lisa", "Hubert Cumberdale"),
        ("Ann-Marie Smith", "Jörg Müller"),
        ("O'Neil Jones", "Siobhán Ní Bhriain"),
    ],
)
def test_two_full_names_without_a_word_in_common_are_two_people(one: str, other: str) -> None:
    assert are_different([one], [other])
    assert are_different([one, "nick"], [other])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Mona Lisa", "mona"),
        ("Mona Lisa", "xk"),
        ("Mona Lisa", "M. Lisa"),
        ("Mona Lisa", "Lisa Müller"),
        ("Jörg Müller", "Joerg Mueller"),
        ("Łukasz Wiśniewski", "Lukasz Wisniewski"),
        ("Søren Kierkegaard", "Soren Kierkegaard"),
        ("Иван Петров", "Ivan Petrov"),
        ("王 伟", "Wei Wang"),
        ("Mona Lisa", "root user"),
        ("Mona Lisa", "octo-cat"),
        ("Mona Lisa", "octo.cat"),
        ("Mona Lisa", "octo cat@acme.com"),
        ("Mona Lisa", "Your Name"),
    ],
)
def test_what_may_be_one_persons_is_not_different(one: str, other: str) -> None:
    assert not are_different([one], [other])
    assert not are_different([other], [one])


def test_a_nickname_in_common_may_be_one_persons() -> None:
    assert not are_different(["Mona Lisa", "xk"], ["Hubert Cumberdale", "xk"])
    assert not are_different([], ["Mona Lisa"])


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("a@acme.com", "acme.com"),
        ("a@Web.Acme.com", "web.acme.com"),
        ("a@mail.acme.com", "mail.acme.com"),
        ("a@gmail.com", ""),
        ("a@yahoo.co.uk", ""),
        ("a@mail.ru", ""),
        ("a@163.com", ""),
        ("a@laptop", ""),
        ("a@mac.local", ""),
        ("a@box.(none)", ""),
        ("a", ""),
        ("", ""),
    ],
)
def test_only_an_organisations_domain_makes_colleagues(email: str, domain: str) -> None:
    assert company_domain(email) == domain


@given(st.lists(st.text(max_size=12), max_size=3), st.lists(st.text(max_size=12), max_size=3))
@examples(100)
def test_names_are_compared_alike_from_both_sides(some: list[str], others: list[str]) -> None:
    assert are_different(some, others) == are_different(others, some)
    assert not are_different(some, some)
    assert not any(is_full(name) for name in some if " " not in name and name.isalpha())
