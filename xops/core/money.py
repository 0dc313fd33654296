"""Amounts of money: exact decimals that never lose their currency."""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import total_ordering
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

HOURS_A_MONTH = 730
"""A month, for rates: 8,760 hours a year over 12. Source: AWS's price calculator."""


_EXACT = Context(prec=100, traps=[Inexact, InvalidOperation])
"""Python's own context keeps 28 digits and drops the others without a word."""


_MOST_DIGITS = 100


def _exact(value: object) -> object:
    # A float has already lost the digits that were written: 0.1 is not one tenth.
    if isinstance(value, float):
        raise ValueError(f"write the amount as a quoted decimal, for example '{value}'")  # noqa: TRY004
    return str(value) if isinstance(value, int) else value


def _within_reach(value: Decimal) -> Decimal:
    # 1e-999999 is a few characters, and a fraction of a million digits.
    digits, exponent = len(value.as_tuple().digits), value.as_tuple().exponent
    if not isinstance(exponent, int) or digits > _MOST_DIGITS or abs(exponent) > _MOST_DIGITS:
        raise ValueError(f"has more than {_MOST_DIGITS} digits")
    return value


Amount = Annotated[Decimal, BeforeValidator(_exact), AfterValidator(_within_reach)]
"""A `Decimal` that refuses binary floats, and more digits than any sum of money has."""


@total_ordering
class Money(BaseModel):
    """An amount in one currency (ISO 4217). Two currencies do not add up, nor compare.

    Arithmetic keeps every digit; `decimal.Inexact` where that takes more than a hundred.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: Amount
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"

    def __add__(self, other: Money) -> Money:
        return self._with(_EXACT.add(self.amount, self._amount_of(other, "add")))

    def __sub__(self, other: Money) -> Money:
        return self._with(_EXACT.subtract(self.amount, self._amount_of(other, "subtract")))

    def __mul__(self, quantity: Decimal | int) -> Money:
        if isinstance(quantity, float):
            raise TypeError("multiply by a Decimal or an integer: a float has lost its digits")
        return self._with(_EXACT.multiply(self.amount, Decimal(quantity)))

    __rmul__ = __mul__

    def __lt__(self, other: Money) -> bool:
        return self.amount < self._amount_of(other, "compare")

    def a_month(self) -> Money:
        """A rate an hour as what it comes to in a month."""
        return self * HOURS_A_MONTH

    def _amount_of(self, other: Money, verb: str) -> Decimal:
        if other.currency != self.currency:
            raise ValueError(
                f"cannot {verb} {other.currency} and {self.currency}: no rate is given"
            )
        return other.amount

    def _with(self, amount: Decimal) -> Money:
        return Money(amount=amount, currency=self.currency)

    def __str__(self) -> str:
        return f"{self.amount:,.2f} {self.currency}"
