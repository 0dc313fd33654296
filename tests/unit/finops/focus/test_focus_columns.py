"""The table of columns is the specification's.

The names, levels and nullability are written down here once more, as the table of the specification
(FOCUS 1.2, `specification/columns`) has them; `!` stands for "never null".
"""

from __future__ import annotations

import pyarrow as pa
import pytest

from xops.finops.focus.columns import (
    AWS_COLUMNS,
    COLUMNS,
    FOCUS_COLUMNS,
    Kind,
    Level,
    Version,
    arrow_schema,
    columns_of,
)
from xops.finops.focus.services import CATEGORY_OF, SUBCATEGORIES

MANDATORY = """
BilledCost! BillingAccountId! BillingAccountName BillingCurrency! BillingPeriodEnd!
BillingPeriodStart! ChargeCategory! ChargeClass ChargeDescription ChargePeriodEnd!
ChargePeriodStart! ContractedCost! EffectiveCost! InvoiceIssuerName! ListCost! PricingQuantity
PricingUnit ProviderName! PublisherName! ServiceCategory! ServiceName!
"""
CONDITIONAL = """
BillingAccountType! CapacityReservationId CapacityReservationStatus CommitmentDiscountCategory
CommitmentDiscountId CommitmentDiscountName CommitmentDiscountQuantity CommitmentDiscountStatus
CommitmentDiscountType CommitmentDiscountUnit ConsumedQuantity ConsumedUnit ContractedUnitPrice
ListUnitPrice PricingCategory PricingCurrency PricingCurrencyContractedUnitPrice
PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice RegionId RegionName ResourceId
ResourceName ResourceType SkuId SkuMeter SkuPriceDetails SkuPriceId SubAccountId SubAccountName
SubAccountType Tags
"""
RECOMMENDED = "AvailabilityZone ChargeFrequency! InvoiceId ServiceSubcategory!"
SINCE_1_1 = """
CapacityReservationId CapacityReservationStatus CommitmentDiscountQuantity CommitmentDiscountUnit
ServiceSubcategory SkuMeter SkuPriceDetails
"""
SINCE_1_2 = """
BillingAccountType InvoiceId PricingCurrency PricingCurrencyContractedUnitPrice
PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice SubAccountType
"""


def _listed(level: Level) -> list[str]:
    return [
        column.name + ("" if column.nullable else "!")
        for column in FOCUS_COLUMNS
        if column.level is level
    ]


def test_focus_1_2_has_57_columns_in_the_order_of_their_names() -> None:
    names = [column.name for column in FOCUS_COLUMNS]
    assert len(names) == len(set(names)) == 57
    assert names == sorted(names)


@pytest.mark.parametrize(
    ("level", "names"),
    [
        (Level.MANDATORY, MANDATORY),
        (Level.CONDITIONAL, CONDITIONAL),
        (Level.RECOMMENDED, RECOMMENDED),
    ],
)
def test_levels_and_nullability_are_the_specification_s(level: Level, names: str) -> None:
    assert _listed(level) == names.split()


def test_each_version_has_the_columns_that_it_had() -> None:
    counts = [len(columns_of(version)) for version in Version]
    assert counts == [43, 50, 57]
    new = {
        version: [column.name for column in FOCUS_COLUMNS if column.since is version]
        for version in (Version.V1_1, Version.V1_2)
    }
    assert new == {Version.V1_1: SINCE_1_1.split(), Version.V1_2: SINCE_1_2.split()}


def test_money_and_quantities_are_exact_and_points_in_time_are_in_utc() -> None:
    schema = arrow_schema()
    assert schema.names == [column.name for column in COLUMNS]
    assert schema.field("BilledCost").type == pa.decimal128(38, 12)
    assert schema.field("ChargePeriodStart").type == pa.timestamp("us", tz="UTC")
    assert schema.field("Tags").type == schema.field("x_UsageType").type == pa.string()


def test_numbers_are_the_costs_prices_and_quantities() -> None:
    numbers = [column.name for column in FOCUS_COLUMNS if column.kind is Kind.DECIMAL]
    assert all(name.endswith(("Cost", "Price", "Quantity")) for name in numbers)
    assert len(numbers) == 12


def test_columns_of_a_provider_say_so_by_their_name() -> None:
    assert [column.name for column in AWS_COLUMNS] == [
        "x_UsageType",
        "x_Operation",
        "x_ServiceCode",
    ]


def test_a_spot_price_is_dynamic_and_no_price_is_on_demand() -> None:
    allowed = {column.name: column.allowed for column in FOCUS_COLUMNS}
    assert allowed["PricingCategory"] == ("Standard", "Dynamic", "Committed", "Other")
    assert allowed["ChargeClass"] == ("Correction",)


def test_every_service_category_has_its_own_subcategories_and_one_for_the_rest() -> None:
    assert len(SUBCATEGORIES) == 19
    assert all(f"Other ({category})" in names for category, names in SUBCATEGORIES.items())
    assert len(CATEGORY_OF) == sum(map(len, SUBCATEGORIES.values()))
