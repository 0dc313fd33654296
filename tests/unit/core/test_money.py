"""Money is exact and never loses its currency."""

from collections.abc import Callable
from decimal import Decimal, Inexact
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from xops.core.money import HOURS_A_MONTH, Money

EXPONENTS = st.integers(-12, 12)
DIGITS = st.integers(-(10**30), 10**30)
LONG = st.builds(lambda digits, exponent: Decimal(digits).scaleb(exponent), DIGITS, EXPONENTS)
DECIMALS = st.decimals(-(10**9), 10**9, places=6, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("amount", [0.1, 180.0, float("nan")])
def test_a_binary_float_is_refused_with_advice(amount: float) -> None:
    with pytest.raises(ValidationError, match=f"quoted decimal, for example '{amount}'"):
        Money(amount=amount)  # type: ignore[arg-type]


def test_a_json_number_with_a_point_is_a_float_too() -> None:
    with pytest.raises(ValidationError, match="quoted decimal"):
        Money.model_validate_json('{"amount": 0.1}')


@pytest.mark.parametrize("amount", [True, "NaN", "Infinity", "1,000", "", None])
def test_what_is_no_amount_is_refused(amount: object) -> None:
    with pytest.raises(ValidationError):
        Money(amount=amount)  # type: ignore[arg-type]


@pytest.mark.parametrize(("given", "exact"), [(45, "45"), ("0.10", "0.10"), ("-1.5", "-1.5")])
def test_integers_and_written_decimals_keep_every_digit(given: object, exact: str) -> None:
    assert str(Money(amount=given).amount) == exact  # type: ignore[arg-type]


@given(DECIMALS, DECIMALS)
def test_adding_is_exact_and_survives_json(one: Decimal, other: Decimal) -> None:
    total = Money(amount=one) + Money(amount=other)

    assert total.amount == one + other
    assert Money.model_validate_json(total.model_dump_json()) == total


@given(LONG, LONG)
def test_arithmetic_keeps_every_digit(one: Decimal, other: Decimal) -> None:
    mine, yours = Money(amount=one), Money(amount=other)

    assert Fraction((mine + yours).amount) == Fraction(one) + Fraction(other)
    assert Fraction((mine - yours).amount) == Fraction(one) - Fraction(other)
    assert Fraction((mine * other).amount) == Fraction((other * mine).amount)
    assert Fraction((mine * other).amount) == Fraction(one) * Fraction(other)
    assert Fraction(mine.a_month().amount) == Fraction(one) * HOURS_A_MONTH
    assert (mine + yours) - yours == mine


def test_what_cannot_be_kept_is_not_rounded() -> None:
    with pytest.raises(Inexact):
        Money(amount=Decimal("1E+99")) + Money(amount=Decimal("0.01"))


@given(DECIMALS, DECIMALS)
def test_amounts_compare_as_numbers(one: Decimal, other: Decimal) -> None:
    mine, yours = Money(amount=one), Money(amount=other)

    assert (mine < yours, mine <= yours) == (one < other, one <= other)
    assert (mine > yours, mine >= yours) == (one > other, one >= other)
    assert (mine == yours) is (one == other)


def test_an_amount_is_multiplied_by_what_is_exact() -> None:
    rate = Money(amount=Decimal("0.0464"), currency="AUD")

    assert str(rate.a_month()) == "33.87 AUD"
    assert rate.a_month().amount == Decimal("33.8720")
    with pytest.raises(TypeError, match="a float has lost its digits"):
        rate * 1.5  # type: ignore[operator]


@pytest.mark.parametrize(
    ("verb", "operation"),
    [
        ("add", lambda one, other: one + other),
        ("subtract", lambda one, other: one - other),
        ("compare", lambda one, other: one < other),
        ("compare", lambda one, other: one >= other),
    ],
)
def test_two_currencies_do_not_mix(verb: str, operation: Callable[[Money, Money], object]) -> None:
    dollars, australian = Money(amount=Decimal(1)), Money(amount=Decimal(1), currency="AUD")

    with pytest.raises(ValueError, match=f"cannot {verb} AUD and USD: no rate is given"):
        operation(dollars, australian)
    assert dollars != australian


@pytest.mark.parametrize("currency", ["usd", "US", "DOLLAR", "", "USD\n"])
def test_a_currency_is_an_iso_code(currency: str) -> None:
    with pytest.raises(ValidationError, match="currency"):
        Money(amount=Decimal(1), currency=currency)


def test_people_read_thousands_and_cents_with_the_currency() -> None:
    assert str(Money(amount=Decimal("1234567.891"), currency="AUD")) == "1,234,567.89 AUD"
