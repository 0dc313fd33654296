"""Whether a figure that was written down, rounded, follows from an exact one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction

type Vector = tuple[Fraction, ...]
"""One exact number a criterion, in the criteria's order."""


def band(stated: Decimal) -> tuple[Fraction, Fraction]:
    """The least and the greatest exact value that may be written as `stated`.

    Both ends belong to it: whether halves are rounded up or to even is not known of a record.
    """
    half = Fraction(Decimal(1).scaleb(-_decimals(stated))) / 2
    return Fraction(stated) - half, Fraction(stated) + half


def follows(stated: Decimal, exact: Fraction) -> bool:
    """Whether `exact`, rounded to as many decimals as `stated` has, may be `stated`."""
    low, high = band(stated)
    return low <= exact <= high


def _decimals(stated: Decimal) -> int:
    exponent = stated.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"{stated} is no finite number")  # noqa: TRY004 - a Decimal of that kind
    return max(0, -exponent)


def fractions(values: Iterable[Decimal]) -> Vector:
    """The same numbers, exact under division."""
    return tuple(Fraction(value) for value in values)


def dot(weights: Sequence[Fraction], values: Sequence[Fraction]) -> Fraction:
    """The weighted sum of `values`."""
    pairs = zip(weights, values, strict=True)
    return sum((weight * value for weight, value in pairs), Fraction(0))


def equal_weights(count: int) -> Vector:
    """The same weight for each of `count` criteria; their sum is 1."""
    return (Fraction(1, count),) * count


def decimal(value: Fraction, places: int = 2) -> str:
    """`value` as a person reads it, with `places` decimals."""
    return f"{float(value):.{places}f}"


def number(value: Fraction, places: int = 6) -> float:
    """`value` for JSON, rounded to `places` decimals."""
    return round(float(value), places)
