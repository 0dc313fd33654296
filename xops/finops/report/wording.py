"""Amounts as people read them. Pure."""

from __future__ import annotations

from decimal import Decimal

from xops.finops.report.model.values import Amount, AtLeast, Known, Unknown


def money(amount: Amount | Decimal) -> str:
    """To the cent, or the word for not knowing it and why."""
    if isinstance(amount, Unknown):
        return f"unknown: {amount.reason}"
    if isinstance(amount, AtLeast):
        return f"at least {amount.amount:z,.2f}"
    return f"{amount.amount if isinstance(amount, Known) else amount:z,.2f}"


def change(difference: Decimal) -> str:
    """A difference to the cent, with its sign."""
    return f"{difference:+z,.2f}"


def format_exact(amount: Decimal) -> str:
    """All digits that an amount has, and none that it has not."""
    return f"{amount.normalize():f}"
