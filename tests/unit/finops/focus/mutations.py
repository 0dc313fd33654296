"""For every rule, how a good row is spoiled so that it breaks it.

Made from what columns are and what rules are called, and not from the rules' own questions.
"""

from collections.abc import Callable

from tests.unit.finops.focus.datasets import (
    CORRECTION,
    CREDIT,
    PURCHASE,
    RESERVED,
    SPOT,
    TAX,
    UNUSED,
    USAGE,
    USED,
    Row,
)
from xops.finops.focus.columns import FOCUS_COLUMNS, Column, Kind
from xops.finops.focus.requirement import RowRule

COLUMNS = {column.name: column for column in FOCUS_COLUMNS}

_SOMETHING = {
    Kind.STRING: "something",
    Kind.DECIMAL: "1",
    Kind.DATETIME: "2026-10-01T00:00:00Z",
    Kind.JSON: "{}",
}


def _good(column: str) -> Row:
    """A clean row that has a value there."""
    return next(
        row for row in (USAGE, RESERVED, UNUSED, CORRECTION, CREDIT) if row.get(column) is not None
    )


def _with(row: Row, **changed: str | None) -> Row:
    return row | changed


def _format(column: Column) -> str:
    if column.kind is Kind.DECIMAL:
        return "+1"
    if column.kind is Kind.DATETIME:
        return "2026-10-01 00:00:00"
    if column.kind is Kind.JSON:
        return '{"a": ["b"]}'
    return "dollars" if column.name.endswith("Currency") else "gigabytes/hour!"


def _something(column: str) -> str:
    return next(iter(COLUMNS[column].allowed or ()), _SOMETHING[COLUMNS[column].kind])


BY_CHECK: dict[str, Callable[[Column], Row]] = {
    "type": lambda one: _with(_good(one.name), **{one.name: "what"}),
    "format": lambda one: _with(_good(one.name), **{one.name: _format(one)}),
    "no-placeholder": lambda one: _with(_good(one.name), **{one.name: "Not Applicable"}),
    "not-null": lambda one: _with(_good(one.name), **{one.name: None}),
    "allowed": lambda one: _with(_good(one.name), **{one.name: "On-Demand"}),
    "national": lambda one: _with(USAGE, **{one.name: "XTS"}),
    "not-negative": lambda one: _with(USAGE, **{one.name: "-0.25"}),
    "null-for-tax": lambda one: _with(TAX, **{one.name: _something(one.name)}),
    "of-what-is-priced": lambda one: _with(USAGE, **{one.name: None}),
}
"""Rules that many columns have, by what stands after the dot."""

OF_ONE: dict[str, Row] = {
    "BillingPeriodEnd.after-start": _with(USAGE, BillingPeriodEnd=USAGE["BillingPeriodStart"]),
    "CapacityReservationId.of-unused": _with(RESERVED, CapacityReservationId=None),
    "CapacityReservationStatus.of-usage": _with(RESERVED, CapacityReservationStatus=None),
    "ChargeFrequency.of-purchases": _with(PURCHASE, ChargeFrequency="Usage-Based"),
    "ChargePeriodEnd.after-start": _with(USAGE, ChargePeriodEnd="2026-09-30T00:00:00Z"),
    "ChargePeriodStart.in-billing-period": _with(
        USAGE, ChargePeriodStart="2026-09-30T00:00:00Z"
    ),
    "CommitmentDiscountQuantity.null-unless-committed": _with(
        USAGE, CommitmentDiscountQuantity="1", CommitmentDiscountUnit="USD"
    ),
    "CommitmentDiscountQuantity.of-commitments": _with(USED, CommitmentDiscountQuantity=None),
    "CommitmentDiscountStatus.of-usage": _with(USED, CommitmentDiscountStatus=None),
    "ConsumedQuantity.null-unless-used": _with(UNUSED, ConsumedQuantity="1"),
    "ConsumedQuantity.of-usage": _with(USAGE, ConsumedQuantity=None),
    "ContractedCost.of-credits": _with(CREDIT, ContractedCost="-2"),
    "ContractedCost.price-times-quantity": _with(USAGE, ContractedCost="2.51"),
    "EffectiveCost.of-commitment-purchases": _with(PURCHASE, EffectiveCost="0.01"),
    "EffectiveCost.of-credits": _with(CREDIT, EffectiveCost="-2"),
    "ListCost.of-credits": _with(CREDIT, ListCost="-2"),
    "ListCost.price-times-quantity": _with(USAGE, ListCost="2.99"),
    "PricingCategory.of-commitments": _with(USED, PricingCategory="Standard"),
    "PricingCategory.of-spot": _with(SPOT, PricingCategory="Standard"),
    "PricingCurrencyEffectiveCost.of-commitment-purchases": _with(
        PURCHASE, PricingCurrencyEffectiveCost="1"
    ),
    "ServiceSubcategory.of-its-category": _with(USAGE, ServiceSubcategory="Caching"),
    "SkuPriceDetails.keys": _with(USAGE, SkuPriceDetails='{"Architecture": "ARM64"}'),
}  # fmt: skip
"""Rules of one column."""


def spoil(rule: RowRule) -> Row:
    """A row that breaks the rule."""
    if rule.id in OF_ONE:
        return OF_ONE[rule.id]
    column, check = rule.id.split(".")
    if check.startswith("null-without-"):
        other = check.removeprefix("null-without-")
        return _with(_any_with(column), **{other: None})
    if check.startswith("with-"):
        return _with(_any_with(column), **{column: None})
    return BY_CHECK[check](COLUMNS[column])


def _any_with(column: str) -> Row:
    return next(row for row in (USAGE, RESERVED, USED) if row.get(column) is not None)
