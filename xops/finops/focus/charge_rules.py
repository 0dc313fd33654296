"""The rules between the columns of a charge: what one may be where others are something.

Source: FOCUS 1.2, the requirements of the columns.
"""

from __future__ import annotations

from collections.abc import Iterator

from xops.finops.focus.requirement import Criterion, Keyword, RowRule
from xops.finops.focus.services import SUBCATEGORIES

MUST, SHOULD = Keyword.MUST, Keyword.SHOULD

_NEAR = "0.000001"
_PRICED = "ChargeCategory IN ('Usage', 'Purchase') AND ChargeClass IS DISTINCT FROM 'Correction'"
_BY_UNIT = (
    "ContractedUnitPrice",
    "ListUnitPrice",
    "PricingCategory",
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyListUnitPrice",
    "PricingQuantity",
    "SkuId",
    "SkuPriceId",
)
_PAIRS = {
    "BillingAccountType": "BillingAccountId",
    "CommitmentDiscountCategory": "CommitmentDiscountId",
    "CommitmentDiscountType": "CommitmentDiscountId",
    "CommitmentDiscountUnit": "CommitmentDiscountQuantity",
    "ConsumedUnit": "ConsumedQuantity",
    "PricingUnit": "PricingQuantity",
    "RegionName": "RegionId",
    "ResourceType": "ResourceId",
    "SubAccountName": "SubAccountId",
    "SubAccountType": "SubAccountId",
}
"""Null and not null together."""
_NULL_WITH = {
    "CapacityReservationStatus": "CapacityReservationId",
    "CommitmentDiscountName": "CommitmentDiscountId",
    "CommitmentDiscountStatus": "CommitmentDiscountId",
    "ResourceName": "ResourceId",
    "SkuMeter": "SkuId",
    "SkuPriceDetails": "SkuPriceId",
}
"""Null where the other one is."""
_STATUSES = {
    "CapacityReservationStatus": "CapacityReservationId",
    "CommitmentDiscountStatus": "CommitmentDiscountId",
}
_PRICE_DETAILS = (
    "CoreCount",
    "DiskMaxIops",
    "DiskSpace",
    "DiskType",
    "GpuCount",
    "InstanceType",
    "InstanceSeries",
    "MemorySize",
    "NetworkMaxIops",
    "NetworkMaxThroughput",
    "OperatingSystem",
    "Redundancy",
    "StorageClass",
)


def charge_rules() -> Iterator[RowRule]:
    """All of them."""
    yield from _null_or_not()
    yield from _categories()
    yield from _periods()
    yield from _costs()


def _row(
    column: str,
    check: str,
    text: str,
    violation: str,
    needs: tuple[str, ...] = (),
    keyword: Keyword = MUST,
) -> RowRule:
    return RowRule(f"{column}.{check}", column, keyword, text, needs=needs, violation=violation)


def _null_or_not() -> Iterator[RowRule]:
    for name in _BY_UNIT:
        yield _row(
            name,
            "null-for-tax",
            "null where the charge is a tax",
            f"ChargeCategory = 'Tax' AND {name} IS NOT NULL",
            ("ChargeCategory",),
        )
        yield _row(
            name,
            "of-what-is-priced",
            "not null for usage and purchases, corrections aside",
            f"{_PRICED} AND {name} IS NULL",
            ("ChargeCategory", "ChargeClass"),
        )
    for name, other in {**_PAIRS, **_NULL_WITH}.items():
        yield _row(
            name,
            f"null-without-{other}",
            f"null where {other} is",
            f"{other} IS NULL AND {name} IS NOT NULL",
            (other,),
        )
    for name, other in _PAIRS.items():
        yield _row(
            name,
            f"with-{other}",
            f"not null where {other} is not",
            f"{other} IS NOT NULL AND {name} IS NULL",
            (other,),
        )
    for name, other in _STATUSES.items():
        yield _row(
            name,
            "of-usage",
            f"not null for usage that has a {other}",
            f"ChargeCategory = 'Usage' AND {other} IS NOT NULL AND {name} IS NULL",
            ("ChargeCategory", other),
        )
    yield from _null_by_category()
    yield from _not_null()


def _null_by_category() -> Iterator[RowRule]:
    used = "ChargeCategory = 'Usage' AND CommitmentDiscountStatus IS DISTINCT FROM 'Unused'"
    yield _row(
        "ConsumedQuantity",
        "null-unless-used",
        "null for all but usage that was used",
        f"NOT coalesce({used}, false) AND ConsumedQuantity IS NOT NULL",
        ("ChargeCategory",),
    )
    yield _row(
        "ConsumedQuantity",
        "of-usage",
        "not null for what was used, corrections aside",
        f"{used} AND ChargeClass IS DISTINCT FROM 'Correction' AND ConsumedQuantity IS NULL",
        ("ChargeCategory", "ChargeClass"),
    )
    committed = "ChargeCategory IN ('Usage', 'Purchase') AND CommitmentDiscountId IS NOT NULL"
    needs = ("ChargeCategory", "CommitmentDiscountId")
    yield _row(
        "CommitmentDiscountQuantity",
        "null-unless-committed",
        "null for all but usage and purchases of a commitment",
        f"NOT coalesce({committed}, false) AND CommitmentDiscountQuantity IS NOT NULL",
        needs,
    )
    yield _row(
        "CommitmentDiscountQuantity",
        "of-commitments",
        "not null for usage and purchases of a commitment, corrections aside",
        f"{committed} AND ChargeClass IS DISTINCT FROM 'Correction' "
        "AND CommitmentDiscountQuantity IS NULL",
        (*needs, "ChargeClass"),
    )


def _not_null() -> Iterator[RowRule]:
    yield _row(
        "CapacityReservationId",
        "of-unused",
        "not null for what was reserved and not used",
        "CapacityReservationStatus = 'Unused' AND CapacityReservationId IS NULL",
        ("CapacityReservationStatus",),
    )
    yield RowRule(
        "BillingAccountName.not-null",
        "BillingAccountName",
        MUST,
        "not null where accounts have names",
        frozenset({Criterion.ACCOUNT_NAMES}),
        violation="BillingAccountName IS NULL",
    )
    yield _row("PricingCurrency", "not-null", "no value is null", "PricingCurrency IS NULL")
    yield _row(
        "PricingCurrencyEffectiveCost",
        "not-null",
        "no value is null",
        'PricingCurrencyEffectiveCost IS NULL AND "PricingCurrencyEffectiveCost text" IS NULL',
    )
    yield _row(
        "ChargeDescription",
        "not-null",
        "no value is null",
        "ChargeDescription IS NULL",
        keyword=SHOULD,
    )
    yield _row(
        "SkuMeter",
        "with-SkuId",
        "not null where SkuId is not",
        "SkuId IS NOT NULL AND SkuMeter IS NULL",
        ("SkuId",),
        SHOULD,
    )


def _categories() -> Iterator[RowRule]:
    yield _row(
        "ChargeFrequency",
        "of-purchases",
        'no purchase is "Usage-Based"',
        "ChargeCategory = 'Purchase' AND ChargeFrequency = 'Usage-Based'",
        ("ChargeCategory",),
    )
    yield _row(
        "PricingCategory",
        "of-commitments",
        '"Committed" for usage under a commitment',
        "ChargeCategory = 'Usage' AND CommitmentDiscountStatus = 'Used' "
        "AND PricingCategory <> 'Committed'",
        ("ChargeCategory", "CommitmentDiscountStatus"),
    )
    yield _row(
        "PricingCategory",
        "of-spot",
        '"Dynamic" for AWS Spot: its price changes',
        "(contains(SkuMeter, 'SpotUsage') OR contains(x_UsageType, 'SpotUsage')) "
        "AND ChargeCategory = 'Usage' AND PricingCategory <> 'Dynamic'",
        ("ChargeCategory",),
    )
    cases = " ".join(
        f"WHEN '{category}' THEN ServiceSubcategory NOT IN {_listed(names)}"
        for category, names in SUBCATEGORIES.items()
    )
    yield RowRule(
        "ServiceSubcategory.of-its-category",
        "ServiceSubcategory",
        MUST,
        "a subcategory of the ServiceCategory",
        needs=("ServiceCategory",),
        violation=f"CASE ServiceCategory {cases} ELSE false END",
        decided_by=("ServiceSubcategory", "ServiceCategory"),
    )
    keys = "json_keys(SkuPriceDetails)"
    unknown = f"lambda one: NOT starts_with(one, 'x_') AND one NOT IN {_listed(_PRICE_DETAILS)}"
    yield RowRule(
        "SkuPriceDetails.keys",
        "SkuPriceDetails",
        MUST,
        "keys are FOCUS's or begin with x_",
        violation="CASE WHEN json_valid(SkuPriceDetails) "
        f"THEN len(list_filter({keys}, {unknown})) > 0 ELSE false END",
        decided_by=("SkuPriceDetails",),
    )


def _periods() -> Iterator[RowRule]:
    for kind in ("Billing", "Charge"):
        start, end = f"{kind}PeriodStart", f"{kind}PeriodEnd"
        yield _row(
            end,
            "after-start",
            f"after {start}: the end is exclusive",
            f"{end} <= {start}",
            (start,),
        )
    yield _row(
        "ChargePeriodStart",
        "in-billing-period",
        "usage is of its billing period, corrections aside",
        "ChargeCategory = 'Usage' AND ChargeClass IS DISTINCT FROM 'Correction' AND "
        "(ChargePeriodStart < BillingPeriodStart OR ChargePeriodStart >= BillingPeriodEnd)",
        ("BillingPeriodStart", "BillingPeriodEnd", "ChargeCategory"),
        SHOULD,
    )


def _costs() -> Iterator[RowRule]:
    for kind in ("List", "Contracted"):
        cost, price = f"{kind}Cost", f"{kind}UnitPrice"
        # A product of two prices of twelve places has no room in 38 digits, so that this compares
        # what is near enough; nothing is added up here.
        difference = f"abs({price}::DOUBLE * PricingQuantity::DOUBLE - {cost}::DOUBLE)"
        yield _row(
            cost,
            "price-times-quantity",
            f"{price} times PricingQuantity, to a millionth",
            f"ChargeClass IS DISTINCT FROM 'Correction' AND {difference} > "
            f"{_NEAR} * greatest(abs({cost}::DOUBLE), 1)",
            (price, "PricingQuantity", "ChargeClass"),
        )
        yield _row(
            cost,
            "of-credits",
            f"BilledCost for a credit without {price}",
            f"ChargeCategory = 'Credit' AND {price} IS NULL AND {cost} <> BilledCost",
            ("BilledCost", "ChargeCategory"),
        )
    yield _row(
        "EffectiveCost",
        "of-credits",
        "BilledCost for a credit",
        "ChargeCategory = 'Credit' AND EffectiveCost <> BilledCost",
        ("BilledCost", "ChargeCategory"),
    )
    for cost in ("EffectiveCost", "PricingCurrencyEffectiveCost"):
        yield _row(
            cost,
            "of-commitment-purchases",
            "0 for a purchase that covers later charges",
            f"ChargeCategory = 'Purchase' AND CommitmentDiscountId IS NOT NULL AND {cost} <> 0",
            ("ChargeCategory", "CommitmentDiscountId"),
        )


def _listed(values: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"'{value}'" for value in values) + ")"
