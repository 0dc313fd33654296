"""The rows of sample exports: what was used, what it costs, and what was planted into it."""

from __future__ import annotations

import hashlib
import json
import random
from base64 import b32encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from xops.finops.focus.sample_meters import (
    CREW,
    ENVIRONMENTS,
    METERS,
    NEW_METER,
    PROD,
    SIT,
    TEST,
    Meter,
    Shape,
)
from xops.finops.prices.book import FILE, PriceBook

REGION, REGION_NAME = "ap-southeast-2", "Asia Pacific (Sydney)"
BILLING_ACCOUNT = "000000000000"
ACCOUNTS = {TEST: "000000000001", SIT: "000000000002", PROD: "000000000003"}
CURRENCY = "USD"
GST = Decimal("0.1")
CREDIT = Decimal("-5")
REFUND = Decimal("-2.5")

_ISSUER = "Amazon Web Services Australia Pty Ltd"
_PUBLISHER = "Amazon Web Services, Inc."
_WEEKEND = 5
_WEEKEND_SHARE = {Shape.STEADY: 1.0, Shape.OFFICE: 0.25, Shape.WORKDAYS: 0.0}
_NOISE = {Shape.STEADY: 0.0, Shape.OFFICE: 0.08, Shape.WORKDAYS: 0.03}
_GROWTH_A_DAY = 0.0006
_DIGITS = Decimal("0.0001")

type Row = dict[str, Any]


@dataclass(frozen=True)
class Planted:
    """Something odd in the sample, over the days from `first` to `last`, both included."""

    kind: str
    environment: str
    service: str
    usage_type: str
    first: date
    last: date
    factor: float
    """Of the usual quantity."""


def planted(until: date) -> tuple[Planted, ...]:
    """What is odd in a sample that ends before `until`."""
    traffic, tasks = "APS2-NatGateway-Bytes", "APS2-Fargate-ARM-vCPU-Hours:perCPU"
    days = [until - timedelta(days=number) for number in (6, 4, 12, 1, 20, 18)]
    return (
        Planted("spike", PROD, "Amazon Virtual Private Cloud", traffic, days[0], days[1], 12),
        Planted(
            "new service", SIT, NEW_METER.service.name, NEW_METER.usage_type, days[2], days[3], 1
        ),
        Planted("drop", SIT, "Amazon Elastic Container Service", tasks, days[4], days[5], 0),
    )


def next_month(month: date) -> date:
    """The first day of the month after that of `month`."""
    return (month + timedelta(days=32)).replace(day=1)


def rows_of(month: date, until: date, chance: random.Random) -> Iterator[Row]:
    """The rows of the month that begins on `month`, up to `until`, by `COLUMNS`.

    Args:
        chance: what is random in the quantities.
    """
    end = min(next_month(month), until)
    closed = until >= next_month(month)
    billed = dict.fromkeys(ENVIRONMENTS, Decimal())
    for number in range((end - month).days):
        for row in _usage_of(month + timedelta(days=number), until, chance):
            row["InvoiceId"] = f"SAMPLE-{month:%Y-%m}" if closed else None
            billed[_environment(row)] += row["BilledCost"]
            yield row
    for row in _other_charges(month, end, billed):
        row["InvoiceId"] = f"SAMPLE-{month:%Y-%m}" if closed else None
        yield row


def _environment(row: Row) -> str:
    return str(row["SubAccountName"]).removeprefix("xops-")


def _usage_of(day: date, until: date, chance: random.Random) -> Iterator[Row]:
    odd = planted(until)
    for place, environment in enumerate(ENVIRONMENTS):
        for meter in (*METERS, NEW_METER):
            usual = meter.daily[place]
            if meter is NEW_METER and day < odd[1].first:
                usual = 0
            quantity = _quantity(meter, usual, day, until, chance) * _factor(
                odd, meter, environment, day
            )
            if quantity:
                yield _usage_row(meter, environment, day, quantity)


def _quantity(meter: Meter, usual: float, day: date, until: date, chance: random.Random) -> Decimal:
    share = _WEEKEND_SHARE[meter.shape] if day.weekday() >= _WEEKEND else 1.0
    noise = 1 + _NOISE[meter.shape] * chance.uniform(-1, 1)
    growth = 1 - _GROWTH_A_DAY * (until - day).days if meter.shape is Shape.OFFICE else 1.0
    return Decimal(usual * share * noise * growth).quantize(_DIGITS)


def _factor(odd: Sequence[Planted], meter: Meter, environment: str, day: date) -> Decimal:
    for one in odd:
        named = (one.environment, one.service, one.usage_type)
        is_it = named == (environment, meter.service.name, meter.usage_type)
        if is_it and one.first <= day <= one.last and (one.kind != "drop" or meter.tagged == CREW):
            return Decimal(one.factor)
    return Decimal(1)


def _usage_row(meter: Meter, environment: str, day: date, quantity: Decimal) -> Row:
    price = _price(meter.item)
    spot = "SpotUsage" in meter.usage_type
    sku = _sku(meter.usage_type)
    row = _charge(environment, day, day + timedelta(days=1), price * quantity)
    return row | _resource(meter, environment, day) | _service(meter) | {
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ChargeDescription": f"${price} per {meter.unit} of {meter.usage_type}",
        "ConsumedQuantity": quantity,
        "ConsumedUnit": meter.unit,
        "PricingQuantity": quantity,
        "PricingUnit": meter.unit,
        "PricingCategory": "Dynamic" if spot else "Standard",
        **dict.fromkeys(_UNIT_PRICES, price),
        "SkuId": sku,
        "SkuMeter": meter.usage_type,
        "SkuPriceId": f"{sku}.JRTCKXETXF.6YS6EN2CT7",
        "SkuPriceDetails": _details(meter),
        "Tags": json.dumps(_tags(meter, environment)) if meter.tagged else None,
    }  # fmt: skip


_UNIT_PRICES = (
    "ListUnitPrice",
    "ContractedUnitPrice",
    "PricingCurrencyListUnitPrice",
    "PricingCurrencyContractedUnitPrice",
)


def _charge(environment: str, start: date, end: date, cost: Decimal) -> Row:
    month = start.replace(day=1)
    return {
        **dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), cost),
        "PricingCurrencyEffectiveCost": cost,
        "BillingAccountId": BILLING_ACCOUNT,
        "BillingAccountName": "xops sample",
        "BillingAccountType": "Management account",
        "BillingCurrency": CURRENCY,
        "PricingCurrency": CURRENCY,
        "BillingPeriodStart": _midnight(month),
        "BillingPeriodEnd": _midnight(next_month(month)),
        "ChargePeriodStart": _midnight(start),
        "ChargePeriodEnd": _midnight(end),
        "InvoiceIssuerName": _ISSUER,
        "ProviderName": "AWS",
        "PublisherName": _PUBLISHER,
        "SubAccountId": ACCOUNTS[environment],
        "SubAccountName": f"xops-{environment}",
        "SubAccountType": "Member account",
    }


def _resource(meter: Meter, environment: str, day: date) -> Row:
    kind, _, name = meter.resource.partition(":")
    # A task lives for a day here; what else there is stays.
    number = _digest(
        f"{meter.resource} {meter.tagged} {environment} {day if name == 'task' else ''}"
    )
    place = "" if kind == "s3" else f"{REGION}:{ACCOUNTS[environment]}"
    return {
        "ResourceId": f"arn:aws:{kind}:{place}:{name}/{number}",
        "ResourceName": f"xops-{environment}-{meter.tagged or name}",
        "ResourceType": name,
        "RegionId": REGION,
        "RegionName": REGION_NAME,
    }


def _service(meter: Meter) -> Row:
    return {
        "ServiceName": meter.service.name,
        "ServiceCategory": meter.service.category,
        "ServiceSubcategory": meter.service.subcategory,
        "x_ServiceCode": meter.service.code,
        "x_UsageType": meter.usage_type,
        "x_Operation": meter.operation,
    }


def _tags(meter: Meter, environment: str) -> dict[str, str]:
    # The file system and the log group have no owner, as happens.
    owner = {} if meter.service.category == "Storage" else {"owner": "platform"}
    return {"environment": environment, "service": str(meter.tagged), **owner}


def _details(meter: Meter) -> str | None:
    return json.dumps({"x_Architecture": "ARM64"}) if "Fargate" in meter.usage_type else None


def _other_charges(month: date, end: date, billed: dict[str, Decimal]) -> Iterator[Row]:
    """A credit and a refund in whole months, and the tax on what was billed."""
    if end == next_month(month):
        if month.month % 2:
            yield _credit(month)
            billed[PROD] += CREDIT
        else:
            yield _refund(month)
            billed[PROD] += REFUND
    for environment, cost in billed.items():
        if cost:
            yield _tax(environment, month, (cost * GST).quantize(_DIGITS))


def _credit(month: date) -> Row:
    return _one_time(PROD, month, month + timedelta(days=1), CREDIT, METERS[0]) | {
        "ChargeCategory": "Credit",
        "ChargeDescription": "Sample promotional credit",
        "PricingCategory": "Other",
    }


def _refund(month: date) -> Row:
    return _one_time(PROD, month, month + timedelta(days=1), REFUND, METERS[0]) | {
        "ChargeCategory": "Usage",
        "ChargeClass": "Correction",
        "ChargeFrequency": "Usage-Based",
        "ChargeDescription": "Sample refund for the month before",
    }


def _tax(environment: str, month: date, cost: Decimal) -> Row:
    return _one_time(environment, month, next_month(month), cost, METERS[0]) | {
        "ChargeCategory": "Tax",
        "ChargeDescription": "Sample GST at 10 %",
        "x_UsageType": None,
        "x_Operation": None,
    }


def _one_time(environment: str, start: date, end: date, cost: Decimal, meter: Meter) -> Row:
    charge = _charge(environment, start, end, cost) | _service(meter)
    return charge | {"ChargeFrequency": "One-Time", "RegionId": REGION, "RegionName": REGION_NAME}


@cache
def _price(item: str) -> Decimal:
    price = _book().find(item, REGION)
    if price is None:
        raise LookupError(f"the price book has no {item} in {REGION}")
    return price.usd


@cache
def _book() -> PriceBook:
    return PriceBook.load(FILE)


@cache
def _sku(usage_type: str) -> str:
    return b32encode(hashlib.sha256(usage_type.encode()).digest()).decode()[:16]


@cache
def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:17]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
