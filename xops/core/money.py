"""Amounts of money: exact decimals that never lose their currency."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _exact(value: object) -> object:
    # A float has already lost the digits that were written: 0.1 is not one tenth.
    if isinstance(value, float):
        raise ValueError(f"write the amount as a quoted decimal, for example '{value}'")  # noqa: TRY004
    return str(value) if isinstance(value, int) else value


Amount = Annotated[Decimal, BeforeValidator(_exact)]
"""A `Decimal` that refuses binary floats."""


class Money(BaseModel):
    """An amount in one currency (ISO 4217). Adding two currencies is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: Amount
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"

    def __add__(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise ValueError(f"cannot add {other.currency} to {self.currency}: no rate is given")
        return Money(amount=self.amount + other.amount, currency=self.currency)

    def __str__(self) -> str:
        return f"{self.amount:,.2f} {self.currency}"
