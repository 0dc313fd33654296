"""Money is exact and never loses its currency."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from xops.core.money import Money

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


def test_two_currencies_cannot_be_added() -> None:
    with pytest.raises(ValueError, match="cannot add AUD to USD: no rate is given"):
        Money(amount=Decimal(1)) + Money(amount=Decimal(1), currency="AUD")


@pytest.mark.parametrize("currency", ["usd", "US", "DOLLAR", "", "USD\n"])
def test_a_currency_is_an_iso_code(currency: str) -> None:
    with pytest.raises(ValidationError, match="currency"):
        Money(amount=Decimal(1), currency=currency)


def test_people_read_thousands_and_cents_with_the_currency() -> None:
    assert str(Money(amount=Decimal("1234567.891"), currency="AUD")) == "1,234,567.89 AUD"
