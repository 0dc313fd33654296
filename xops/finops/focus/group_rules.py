"""The rules of charges together: what is the same for all of them, and what must add up.

Source: FOCUS 1.2, the requirements of the columns and the attribute Discount Handling. The sums are
what the official validator leaves out, since its model has no question for them.
"""

from __future__ import annotations

from collections.abc import Iterator

from xops.finops.focus.requirement import INVOICES, Criterion, GroupRule, Keyword

MUST, SHOULD = Keyword.MUST, Keyword.SHOULD

CENT = "0.01"
"""Sums differ by less, in the billing currency: an invoice is in whole cents."""

SUMS = "BilledCost.invoice-sum"
"""The rule that the totals of invoices are for."""


def group_rules() -> Iterator[GroupRule]:
    """All of them."""
    yield from _of_one_kind()
    yield from _sums()


def _of_one_kind() -> Iterator[GroupRule]:
    yield _one("ServiceName", ("ServiceName",), "ServiceCategory", "a service has one category")
    yield _one(
        "ServiceName",
        ("ServiceName",),
        "ServiceSubcategory",
        "a service has one subcategory",
        SHOULD,
    )
    yield _one("SkuPriceId", ("SkuPriceId",), "SkuId", "a price belongs to one SKU")
    yield _one("SkuMeter", ("SkuId",), "SkuMeter", "a SKU has one meter", SHOULD)
    yield _one(
        "CommitmentDiscountUnit",
        ("CommitmentDiscountId",),
        "CommitmentDiscountUnit",
        "a commitment has one unit",
    )
    yield _one(
        "BillingCurrency",
        ("BillingAccountId", "BillingPeriodStart"),
        "BillingCurrency",
        "an account is billed in one currency in a period",
    )
    yield _one(
        "InvoiceId", ("InvoiceId",), "BillingAccountId", "an invoice belongs to one billing account"
    )


def _one(
    column: str, keys: tuple[str, ...], of: str, text: str, keyword: Keyword = MUST
) -> GroupRule:
    return GroupRule(
        f"{column}.one-{of}",
        column,
        keyword,
        text,
        needs=tuple(dict.fromkeys(name for name in (*keys, of) if name != column)),
        keys=keys,
        violation=f"min({of}) <> max({of})",
        value=f"min({of}) || ', ' || max({of})",
    )


def _sums() -> Iterator[GroupRule]:
    usage = "sum(EffectiveCost) FILTER (WHERE ChargeCategory = 'Usage')"
    known = (
        "coalesce(sum(EffectiveCost) FILTER (WHERE ChargeCategory = 'Usage' "
        "AND CommitmentDiscountStatus IN ('Used', 'Unused')), 0)"
    )
    needs = ("ChargeCategory", "CommitmentDiscountId", "CommitmentDiscountStatus")
    yield GroupRule(
        "EffectiveCost.used-and-unused",
        "EffectiveCost",
        MUST,
        "a commitment's usage costs what its used and unused parts cost together",
        needs=needs,
        keys=("CommitmentDiscountId",),
        violation=f"abs({usage} - {known}) >= {CENT}",
        value=f"{usage} || ' is not ' || {known}",
    )
    bought = "sum(BilledCost) FILTER (WHERE ChargeCategory = 'Purchase')"
    # Before its term has ended, a commitment has been paid and is not yet used up.
    whole = (
        "max(ChargePeriodEnd) FILTER (WHERE ChargeCategory = 'Usage') >= "
        "max(ChargePeriodEnd) FILTER (WHERE ChargeCategory = 'Purchase')"
    )
    yield GroupRule(
        "EffectiveCost.purchase-is-used",
        "EffectiveCost",
        MUST,
        "over its whole term, a commitment's usage costs what was paid for it",
        needs=(*needs, "BilledCost", "ChargePeriodEnd"),
        keys=("CommitmentDiscountId",),
        violation=f"{whole} AND abs({usage} - {bought}) >= {CENT}",
        value=f"{usage} || ' is not ' || {bought}",
    )
    total = "any_value(payable)"
    yield GroupRule(
        SUMS,
        "BilledCost",
        MUST,
        "an invoice's charges add up to its total",
        frozenset({Criterion.INVOICE_TOTALS}),
        ("InvoiceId",),
        keys=("InvoiceId",),
        violation=f"abs(coalesce(sum(BilledCost), 0) - {total}) >= {CENT}",
        value=f"coalesce(sum(BilledCost), 0) || ' is not ' || {total}",
        source=INVOICES,
    )
