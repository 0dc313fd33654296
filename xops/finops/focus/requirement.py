"""What a rule of FOCUS is: data, from which one question to the engine is made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from xops.finops.focus.columns import FOCUS_COLUMNS, Level

CHARGES = "charges"
"""The table of a dataset's rows, in the types of their columns."""

CHARGES_AND_TEXTS = "charges_and_texts"
"""The same, with the texts beside that columns are stored as."""

INVOICES = "invoices_with_charges"
"""The table of the charges of each invoice whose total was given, with it as `payable`."""


class Keyword(StrEnum):
    """How strongly a requirement is meant; MUST NOT and SHOULD NOT are among these."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    """Advice: it is told and breaks nothing."""


class Criterion(StrEnum):
    """What a provider, or a dataset, may support or not.

    The names are those of the FOCUS validator's model, in lower case; `invoice-totals` is ours.
    """

    ACCOUNT_NAMES = "account-naming"
    AVAILABILITY_ZONES = "availability-zone"
    CAPACITY_RESERVATIONS = "capacity-reservation"
    COMMITMENTS = "commitment-discount"
    PRICING_CATEGORIES = "multiple-pricing-categories"
    SUB_ACCOUNT_TYPES = "multiple-sub-account-types"
    BILLING_ACCOUNT_TYPES = "multiple-billing-account-types"
    NEGOTIATED_PRICES = "negotiated-pricing"
    PUBLIC_PRICES = "public-price-list"
    MEASUREMENT = "usage-measurement"
    UNIT_PRICES = "unit-pricing"
    SUB_ACCOUNTS = "sub-account"
    RESOURCES = "billing-based-on-provisioned-resources"
    RESOURCE_TYPES = "resource-type-assignment"
    PRICING_CURRENCIES = "pricing-billing-currency-differences"
    VIRTUAL_CURRENCIES = "virtual-currency"
    REGIONS = "region"
    TAGS = "tagging"
    INVOICE_TOTALS = "invoice-totals"
    """What each invoice comes to was given."""


@dataclass(frozen=True)
class Requirement:
    """One rule.

    Attributes:
        id: the column, and after the dot what is asked of it.
        column: that it is counted with.
        text: what FOCUS asks, in our words.
        criteria: what the dataset must support for it to apply; all of them.
        needs: other columns without which it cannot be told.
    """

    id: str
    column: str
    keyword: Keyword
    text: str
    criteria: frozenset[Criterion] = frozenset()
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Presence(Requirement):
    """The dataset has the column."""


@dataclass(frozen=True)
class Names(Requirement):
    """What columns are called that FOCUS does not know."""


@dataclass(frozen=True)
class RowRule(Requirement):
    """Something that holds in every row.

    Attributes:
        violation: SQL that is true in a row that breaks it, of the columns by name.
        of_text: whether only a column can break it that a file stores as text or mistyped.
        decided_by: the columns that alone decide it and have few values, so that it is asked of
            each combination once; empty: it is asked of each row.
    """

    violation: str = ""
    of_text: bool = False
    decided_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupRule(Requirement):
    """Something that holds for all rows together that have the same keys.

    Attributes:
        keys: the columns; rows in which one is null belong to no group.
        violation: SQL of aggregates that is true for a group that breaks it.
        value: SQL of aggregates that shows what the group has.
        source: the table that is asked; that of the charges by default.
    """

    keys: tuple[str, ...] = ()
    violation: str = ""
    value: str = ""
    source: str = CHARGES


type Rule = Presence | Names | RowRule | GroupRule

MANDATORY = frozenset(column.name for column in FOCUS_COLUMNS if column.level is Level.MANDATORY)

_COMMITMENTS = frozenset({Criterion.COMMITMENTS})
_RESERVATIONS = frozenset({Criterion.CAPACITY_RESERVATIONS})
_SKUS = frozenset({Criterion.PUBLIC_PRICES, Criterion.UNIT_PRICES})
_OTHER_CURRENCIES = frozenset({Criterion.PUBLIC_PRICES, Criterion.VIRTUAL_CURRENCIES})

CRITERIA: dict[str, frozenset[Criterion]] = {
    "AvailabilityZone": frozenset({Criterion.AVAILABILITY_ZONES}),
    "BillingAccountType": frozenset({Criterion.BILLING_ACCOUNT_TYPES}),
    "CapacityReservationId": _RESERVATIONS,
    "CapacityReservationStatus": _RESERVATIONS,
    "CommitmentDiscountCategory": _COMMITMENTS,
    "CommitmentDiscountId": _COMMITMENTS,
    "CommitmentDiscountName": _COMMITMENTS,
    "CommitmentDiscountQuantity": _COMMITMENTS,
    "CommitmentDiscountStatus": _COMMITMENTS,
    "CommitmentDiscountType": _COMMITMENTS,
    "CommitmentDiscountUnit": _COMMITMENTS,
    "ConsumedQuantity": frozenset({Criterion.MEASUREMENT}),
    "ConsumedUnit": frozenset({Criterion.MEASUREMENT}),
    "ContractedUnitPrice": frozenset({Criterion.NEGOTIATED_PRICES}),
    "ListUnitPrice": frozenset({Criterion.PUBLIC_PRICES}),
    "PricingCategory": frozenset({Criterion.PRICING_CATEGORIES}),
    "PricingCurrency": frozenset({Criterion.PRICING_CURRENCIES}),
    "PricingCurrencyContractedUnitPrice": _OTHER_CURRENCIES,
    "PricingCurrencyEffectiveCost": _OTHER_CURRENCIES,
    "PricingCurrencyListUnitPrice": _OTHER_CURRENCIES,
    "RegionId": frozenset({Criterion.REGIONS}),
    "RegionName": frozenset({Criterion.REGIONS}),
    "ResourceId": frozenset({Criterion.RESOURCES}),
    "ResourceName": frozenset({Criterion.RESOURCES}),
    "ResourceType": frozenset({Criterion.RESOURCES, Criterion.RESOURCE_TYPES}),
    "SkuId": _SKUS,
    "SkuMeter": _SKUS,
    "SkuPriceDetails": _SKUS,
    "SkuPriceId": _SKUS,
    "SubAccountId": frozenset({Criterion.SUB_ACCOUNTS}),
    "SubAccountName": frozenset({Criterion.SUB_ACCOUNTS}),
    "SubAccountType": frozenset({Criterion.SUB_ACCOUNT_TYPES}),
    "Tags": frozenset({Criterion.TAGS}),
}
"""What a provider supports if it has to have the column; all of them."""
