"""On which terms prices are taken, as a person gives them."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from xops.core.errors import Finding, InputError

if TYPE_CHECKING:
    from xops.finops.prices.terms import Terms

_LONGEST = 10

Gst = Annotated[str, typer.Option("--gst", metavar="PERCENT", help="Tax on top; 10 in Australia.")]
SavingsPlan = Annotated[
    str | None,
    typer.Option(
        "--compute-savings-plan",
        metavar="PERCENT",
        help="Commit Fargate and EC2: so much off on demand where the price book has no dated"
        " price of it.",
    ),
]


def read_terms(gst: str, savings_plan: str | None) -> Terms:
    """The terms of the two options.

    Raises:
        InputError: one of them is no percentage.
    """
    from xops.finops.prices.terms import Terms

    committed = None
    if savings_plan is not None:
        committed = _percent("--compute-savings-plan", savings_plan)
    return Terms(_percent("--gst", gst), committed)


def _percent(option: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
        # NaN refuses the comparison, as what is no number refuses the conversion.
        if 0 <= value <= 100 and len(f"{value:f}") <= _LONGEST:
            return Decimal(f"{value:f}")
    except InvalidOperation:
        pass
    finding = Finding(f"argument {option}", "", f"{text!r} is no percentage from 0 to 100")
    raise InputError(f"reading {option}", [finding])
