"""The columns of FOCUS 1.2, and the three of AWS's export that tell usage types apart.

FOCUS 1.0 and 1.1 have the same columns but for those that came later; none was changed or removed.
Source: the specification of FOCUS, tags v1.0, v1.1 and v1.2, `specification/columns`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import pyarrow as pa

from xops.finops.focus.services import CATEGORY_OF, SUBCATEGORIES


class Kind(StrEnum):
    """What a cell of a column holds."""

    STRING = "string"
    DECIMAL = "decimal"
    DATETIME = "datetime"
    JSON = "json"
    """An object of JSON as text, its values no lists and no objects."""


class Level(StrEnum):
    """Whether a dataset has the column."""

    MANDATORY = "mandatory"
    CONDITIONAL = "conditional"
    """Where the provider supports what it is about."""
    RECOMMENDED = "recommended"
    CUSTOM = "custom"
    """A provider's own, whose name begins with `x_`."""


class Version(StrEnum):
    """A version of FOCUS that is read here."""

    V1_0 = "1.0"
    V1_1 = "1.1"
    V1_2 = "1.2"


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        nullable: whether FOCUS lets a cell be null, under whatever conditions.
        since: the version of FOCUS whose datasets have it first.
        allowed: the only values it may have; None: FOCUS names none.
    """

    name: str
    kind: Kind
    level: Level
    nullable: bool
    since: Version = Version.V1_0
    allowed: tuple[str, ...] | None = None

    @property
    def arrow_type(self) -> pa.DataType:
        """How the platform keeps it: money exactly, points in time in UTC."""
        return _ARROW_TYPES[self.kind]


_ARROW_TYPES: dict[Kind, pa.DataType] = {
    Kind.STRING: pa.string(),
    Kind.DECIMAL: pa.decimal128(38, 12),
    Kind.DATETIME: pa.timestamp("us", tz="UTC"),
    Kind.JSON: pa.string(),
}

_STRING, _DECIMAL, _DATETIME, _JSON = Kind.STRING, Kind.DECIMAL, Kind.DATETIME, Kind.JSON
_MANDATORY, _CONDITIONAL = Level.MANDATORY, Level.CONDITIONAL
_RECOMMENDED, _CUSTOM = Level.RECOMMENDED, Level.CUSTOM
_NULL, _NEVER_NULL = True, False
_1_0, _1_1, _1_2 = Version.V1_0, Version.V1_1, Version.V1_2
_PORTIONS = ("Used", "Unused")
_CHARGES = ("Usage", "Purchase", "Tax", "Credit", "Adjustment")
_FREQUENCIES = ("One-Time", "Recurring", "Usage-Based")
_COMMITMENTS = ("Spend", "Usage")
_PRICINGS = ("Standard", "Dynamic", "Committed", "Other")

FOCUS_COLUMNS: tuple[Column, ...] = (
    Column("AvailabilityZone", _STRING, _RECOMMENDED, _NULL, _1_0),
    Column("BilledCost", _DECIMAL, _MANDATORY, _NEVER_NULL, _1_0),
    Column("BillingAccountId", _STRING, _MANDATORY, _NEVER_NULL, _1_0),
    Column("BillingAccountName", _STRING, _MANDATORY, _NULL, _1_0),
    Column("BillingAccountType", _STRING, _CONDITIONAL, _NEVER_NULL, _1_2),
    Column("BillingCurrency", _STRING, _MANDATORY, _NEVER_NULL, _1_0),
    Column("BillingPeriodEnd", _DATETIME, _MANDATORY, _NEVER_NULL, _1_0),
    Column("BillingPeriodStart", _DATETIME, _MANDATORY, _NEVER_NULL, _1_0),
    Column("CapacityReservationId", _STRING, _CONDITIONAL, _NULL, _1_1),
    Column("CapacityReservationStatus", _STRING, _CONDITIONAL, _NULL, _1_1, _PORTIONS),
    Column("ChargeCategory", _STRING, _MANDATORY, _NEVER_NULL, _1_0, _CHARGES),
    Column("ChargeClass", _STRING, _MANDATORY, _NULL, _1_0, ("Correction",)),
    Column("ChargeDescription", _STRING, _MANDATORY, _NULL, _1_0),
    Column("ChargeFrequency", _STRING, _RECOMMENDED, _NEVER_NULL, _1_0, _FREQUENCIES),
    Column("ChargePeriodEnd", _DATETIME, _MANDATORY, _NEVER_NULL, _1_0),
    Column("ChargePeriodStart", _DATETIME, _MANDATORY, _NEVER_NULL, _1_0),
    Column("CommitmentDiscountCategory", _STRING, _CONDITIONAL, _NULL, _1_0, _COMMITMENTS),
    Column("CommitmentDiscountId", _STRING, _CONDITIONAL, _NULL, _1_0),
    Column("CommitmentDiscountName", _STRING, _CONDITIONAL, _NULL, _1_0),
    Column("CommitmentDiscountQuantity", _DECIMAL, _CONDITIONAL, _NULL, _1_1),
    Column("CommitmentDiscountStatus", _STRING, _CONDITIONAL, _NULL, _1_0, _PORTIONS),
    Column("CommitmentDiscountType", _STRING, _CONDITIONAL, _NULL, _1_0),
    Column("CommitmentDiscountUnit", _STRING, _CONDITIONAL, _NULL, _1_1),
    Column("ConsumedQuantity", _DECIMAL, _CONDITIONAL, _NULL, _1_0),
    Column("ConsumedUnit", _STRING, _CONDITIONAL, _NULL, _1_0),
    Column("ContractedCost", _DECIMAL, _MANDATORY, _NEVER_NULL, _1_0),
    Column("ContractedUnitPrice", _DECIMAL, _CONDITIONAL, _NULL, _1_0),
    Column("EffectiveCost", _DECIMAL, _MANDATORY, _NEVER_NULL, _1_0),
    Column("InvoiceId", _STRING, _RECOMMENDED, _NULL, _1_2),
    Column("InvoiceIssuerName", _STRING, _MANDATORY, _NEVER_NULL, _1_0),
    Column("ListCost", _DECIMAL, _MANDATORY, _NEVER_NULL, _1_0),
    Column("ListUnitPrice", _DECIMAL, _CONDITIONAL, _NULL, _1_0),
    Column("PricingCategory", _STRING, _CONDITIONAL, _NULL, _1_0, _PRICINGS),
    Column("PricingCurrency", _STRING, _CONDITIONAL, _NULL, _1_2),
    Column("PricingCurrencyContractedUnitPrice", _DECIMAL, _CONDITIONAL, _NULL, _1_2),
    Column("PricingCurrencyEffectiveCost", _DECIMAL, _CONDITIONAL, _NULL, _1_2),
    Column("PricingCurrencyListUnitPrice", _DECIMAL, _CONDITIONAL, _NULL, _1_2),
    Column("PricingQuantity", _DECIMAL, _MANDATORY, _NULL, _1_0),
    Column("PricingUnit", _STRING, _MANDATORY, _NULL, _1_0),
    Column("ProviderName", _STRING, _MANDATORY, _NEVER_NULL, _1_0),
    Column("PublisherName", _STRING, _MANDATORY, _NEVER_NULL, _1_0),
    Column("RegionId", _STRING, _CONDITIONAL, _NULL, _1_0),
    Column("RegionName", _STRING, _CONDITIONAL, _NULL, _1_0),
    Column("ResourceId", _STRING, _CONDITIONAL, _NULL, _1_0),
    Column("ResourceName", _STRING, _CONDITIONAL, _NULL, _1_0),
    Column("ResourceType", _STRING, _CONDITIONAL, _NULL, _1_0),
    Column("ServiceCategory", _STRING, _MANDATORY, _NEVER_NULL, _1_0, tuple(SUBCATEGORIES)),
    Column("ServiceName", _STRING, _MANDATORY, _NEVER_NULL, _1_0),
    Column("ServiceSubcategory", _STRING, _RECOMMENDED, _NEVER_NULL, _1_1, tuple(CATEGORY_OF)),
    Column("SkuId", _STRING, _CONDITIONAL, _NULL, _1_0),
    Column("SkuMeter", _STRING, _CONDITIONAL, _NULL, _1_1),
    Column("SkuPriceDetails", _JSON, _CONDITIONAL, _NULL, _1_1),
    Column("SkuPriceId", _STRING, _CONDITIONAL, _NULL, _1_0),
    Column("SubAccountId", _STRING, _CONDITIONAL, _NULL, _1_0),
    Column("SubAccountName", _STRING, _CONDITIONAL, _NULL, _1_0),
    Column("SubAccountType", _STRING, _CONDITIONAL, _NULL, _1_2),
    Column("Tags", _JSON, _CONDITIONAL, _NULL, _1_0),
)
"""Those of FOCUS 1.2 in its order, which is that of their names."""

AWS_COLUMNS: tuple[Column, ...] = (
    Column("x_UsageType", _STRING, _CUSTOM, _NULL),
    Column("x_Operation", _STRING, _CUSTOM, _NULL),
    Column("x_ServiceCode", _STRING, _CUSTOM, _NULL),
)
"""What AWS's exports have besides and the platform keeps; null where another provider wrote."""

COLUMNS: tuple[Column, ...] = (*FOCUS_COLUMNS, *AWS_COLUMNS)
"""What the platform keeps of every line of cost."""


@cache
def arrow_schema() -> pa.Schema:
    """The table of `COLUMNS` as Arrow knows it; every column may be null there."""
    return pa.schema([(column.name, column.arrow_type) for column in COLUMNS])


def columns_of(version: Version) -> tuple[Column, ...]:
    """The columns that a dataset of that version may have, AWS's own left out."""
    return tuple(column for column in FOCUS_COLUMNS if column.since <= version)
