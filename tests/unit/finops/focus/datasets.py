"""A dataset that keeps to every rule, with a row of each kind, and files of such rows.

The rows are texts, as in a CSV file; `None` is null.
"""

import csv
import io
from pathlib import Path

from xops.finops.focus.columns import FOCUS_COLUMNS

type Row = dict[str, str | None]

COMMITMENT = "arn:aws:savingsplans::1:savingsplan/one"
RESERVATION = "arn:aws:ec2:ap-southeast-2:1:capacity-reservation/one"

USAGE: Row = {
    "AvailabilityZone": "ap-southeast-2a",
    "BilledCost": "2.5",
    "BillingAccountId": "1",
    "BillingAccountName": "payer",
    "BillingAccountType": "Management account",
    "BillingCurrency": "USD",
    "BillingPeriodEnd": "2026-11-01T00:00:00Z",
    "BillingPeriodStart": "2026-10-01T00:00:00Z",
    "ChargeCategory": "Usage",
    "ChargeDescription": "vCPU hours",
    "ChargeFrequency": "Usage-Based",
    "ChargePeriodEnd": "2026-10-02T00:00:00Z",
    "ChargePeriodStart": "2026-10-01T00:00:00Z",
    "ConsumedQuantity": "10",
    "ConsumedUnit": "vCPU-Hours",
    "ContractedCost": "2.5",
    "ContractedUnitPrice": "0.25",
    "EffectiveCost": "2.5",
    "InvoiceId": "one",
    "InvoiceIssuerName": "Amazon Web Services, Inc.",
    "ListCost": "3.0",
    "ListUnitPrice": "0.3",
    "PricingCategory": "Standard",
    "PricingCurrency": "USD",
    "PricingCurrencyContractedUnitPrice": "0.25",
    "PricingCurrencyEffectiveCost": "2.5",
    "PricingCurrencyListUnitPrice": "0.3",
    "PricingQuantity": "10",
    "PricingUnit": "vCPU-Hours",
    "ProviderName": "AWS",
    "PublisherName": "Amazon Web Services, Inc.",
    "RegionId": "ap-southeast-2",
    "RegionName": "Asia Pacific (Sydney)",
    "ResourceId": "arn:aws:ecs:ap-southeast-2:1:task/one",
    "ResourceName": "one",
    "ResourceType": "task",
    "ServiceCategory": "Compute",
    "ServiceName": "Amazon Elastic Container Service",
    "ServiceSubcategory": "Containers",
    "SkuId": "SKU",
    "SkuMeter": "APS2-Fargate-ARM-vCPU-Hours:perCPU",
    "SkuPriceDetails": '{"x_Architecture": "ARM64", "CoreCount": 2}',
    "SkuPriceId": "SKU.ONE",
    "SubAccountId": "2",
    "SubAccountName": "prod",
    "SubAccountType": "Member account",
    "Tags": '{"environment": "prod", "ephemeral": true}',
}

_COMMITTED: Row = {
    "CommitmentDiscountCategory": "Spend",
    "CommitmentDiscountId": COMMITMENT,
    "CommitmentDiscountName": "Compute",
    "CommitmentDiscountQuantity": "2.0",
    "CommitmentDiscountType": "Compute Savings Plan",
    "CommitmentDiscountUnit": "USD",
    "PricingCategory": "Committed",
}
_UNUSED: Row = {
    "CommitmentDiscountStatus": "Unused",
    "BilledCost": "0",
    "EffectiveCost": "0.5",
    "ConsumedQuantity": None,
    "ConsumedUnit": None,
}
_PURCHASE: Row = {
    "ChargeCategory": "Purchase",
    "ChargeFrequency": "Recurring",
    "BilledCost": "2.5",
    "EffectiveCost": "0",
    "PricingCurrencyEffectiveCost": "0",
    "ConsumedQuantity": None,
    "ConsumedUnit": None,
    "PricingCategory": "Standard",
}
_TAX: Row = dict.fromkeys(
    (
        "AvailabilityZone", "ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice",
        "ListUnitPrice", "PricingCategory", "PricingCurrencyContractedUnitPrice",
        "PricingCurrencyListUnitPrice", "PricingQuantity", "PricingUnit", "RegionId", "RegionName",
        "ResourceId", "ResourceName", "ResourceType", "SkuId", "SkuMeter", "SkuPriceDetails",
        "SkuPriceId", "SubAccountId", "SubAccountName", "SubAccountType", "Tags",
    )
)  # fmt: skip
_NO_PRICE: Row = _TAX | {"ChargeFrequency": "One-Time", "PricingCurrencyEffectiveCost": "-1"}

SPOT = USAGE | {
    "PricingCategory": "Dynamic",
    "SkuId": "SPOT",
    "SkuPriceId": "SPOT.ONE",
    "SkuMeter": "APS2-SpotUsage-Fargate-ARM-vCPU-Hours:perCPU",
}
_USED: Row = {"CommitmentDiscountStatus": "Used", "BilledCost": "0", "EffectiveCost": "2"}
USED = USAGE | _COMMITTED | _USED
UNUSED = USAGE | _COMMITTED | _UNUSED
PURCHASE = USAGE | _COMMITTED | _PURCHASE
RESERVED = USAGE | {
    "CapacityReservationId": RESERVATION,
    "CapacityReservationStatus": "Unused",
}
TAX = USAGE | _TAX | {"ChargeCategory": "Tax", "ChargeFrequency": "One-Time"}
CREDIT = USAGE | _NO_PRICE | {
    "ChargeCategory": "Credit",
    **dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), "-1"),
}  # fmt: skip
CORRECTION = USAGE | _NO_PRICE | {"ChargeClass": "Correction", "BilledCost": "-1"}

CLEAN: tuple[Row, ...] = (USAGE, SPOT, USED, UNUSED, PURCHASE, RESERVED, TAX, CREDIT, CORRECTION)
"""One of each kind; together they are a dataset without a fault."""

NAMES = tuple(column.name for column in FOCUS_COLUMNS)


def csv_text(rows: list[Row], names: tuple[str, ...] = NAMES) -> str:
    """Rows as CSV: null is nothing between two commas."""
    out = io.StringIO()
    writer = csv.DictWriter(out, names, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: row.get(name) for name in names} for row in rows)
    return out.getvalue()


def write_csv(file: Path, rows: list[Row], names: tuple[str, ...] = NAMES) -> Path:
    """A CSV file of such rows."""
    file.write_text(csv_text(rows, names), encoding="utf-8")
    return file
