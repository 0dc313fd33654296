"""What typed rows hold, and whether they may be kept: totals, billing periods, tags.

Whether they follow FOCUS is told by the validation. Here is what would make totals wrong or a
query fail: money that is null, rows of another month, tags that are no JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from xops.core.errors import Finding, InputError
from xops.core.files.validation import Model
from xops.core.money import Amount
from xops.finops.store.engine import named, parquet

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

_NEVER_NULL = (
    "BilledCost",
    "EffectiveCost",
    "BillingCurrency",
    "BillingPeriodStart",
    "BillingPeriodEnd",
    "ChargePeriodStart",
    "ChargePeriodEnd",
)
_DIGITS = 60
"""Of sums: more than the engine's decimals have, and than Python keeps by itself."""

_CENTURIES = "BETWEEN TIMESTAMPTZ '1990-01-01' AND TIMESTAMPTZ '2200-01-01'"
"""Beyond them a calendar may end."""

MONTH = "strftime(BillingPeriodStart, '%Y-%m')"
"""A row's billing period as YYYY-MM. The engine's time zone is UTC."""

_VIOLATIONS: dict[str, tuple[str, str]] = {
    **{f"null_{name}": (name, f"{name} IS NULL") for name in _NEVER_NULL},
    "century": (
        "BillingPeriodStart",
        f"BillingPeriodStart NOT {_CENTURIES} OR BillingPeriodEnd NOT {_CENTURIES}",
    ),
    "charge_century": (
        "ChargePeriodStart",
        f"ChargePeriodStart NOT {_CENTURIES} OR ChargePeriodEnd NOT {_CENTURIES}",
    ),
    "future": (
        "ChargePeriodStart",
        "ChargeCategory = 'Usage' AND ChargeClass IS NULL AND ChargePeriodStart >="
        " BillingPeriodEnd",
    ),
    "backwards": ("ChargePeriodEnd", "ChargePeriodEnd < ChargePeriodStart"),
    "currency": ("BillingCurrency", "NOT regexp_full_match(BillingCurrency, '[A-Z]{3}')"),
    "tags": ("Tags", "NOT (json_valid(Tags) AND starts_with(ltrim(Tags), '{'))"),
    "details": (
        "SkuPriceDetails",
        "NOT (json_valid(SkuPriceDetails) AND starts_with(ltrim(SkuPriceDetails), '{'))",
    ),
}
_MEANS = {
    "century": "have a billing period of another century",
    "charge_century": "have a charge period of another century",
    "future": "are usage that begins after the end of its billing period",
    "backwards": "end before they begin",
    "currency": "have a currency that is none of ISO 4217",
    "tags": "have tags that are no object of JSON",
    "details": "have details of a price that are no object of JSON",
}


class Total(Model):
    """What rows of one currency come to.

    Attributes:
        billed: what is on the invoice.
        effective: with what was paid in advance spread over its use.
    """

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    rows: Annotated[int, Field(ge=0)]
    billed: Amount
    effective: Amount


@dataclass(frozen=True)
class Typed:
    """A typed part, and the file it was made of, for people."""

    part: Path
    address: str


def examine(engine: Backend, typed: Typed, month: str | None) -> dict[str, list[Total]]:
    """The totals of a part by month.

    Args:
        month: the only billing period that its rows may be of; None: any.

    Raises:
        InputError: rows may not be kept; says how many, and why.
    """
    found = _rows(
        engine,
        f"SELECT {_within('BillingPeriodStart')}, {_within('BillingPeriodEnd')},"  # noqa: S608
        " BillingCurrency, count(*),"
        f" sum(BilledCost), sum(EffectiveCost), {_counts()} FROM {parts([typed.part])}"
        " GROUP BY ALL ORDER BY 1, 3",
    )
    findings = [
        Finding(typed.address, _VIOLATIONS[rule][0], f"{count} rows {_means(rule)}")
        for position, rule in enumerate(_VIOLATIONS)
        if (count := sum(row[6 + position] for row in found))
    ]
    findings += [
        Finding(typed.address, "BillingPeriodStart", message)
        for start, end, _, rows, *_ in found
        if start and end and (message := _wrong_period(start, end, rows, month))
    ]
    if findings:
        raise InputError(
            f"reading {typed.address}",
            findings,
            "Have the provider correct it, or export it again; nothing was taken in.",
        )
    totals: dict[str, list[Total]] = {}
    for start, _, currency, rows, billed, effective, *_ in found:
        total = Total(currency=currency, rows=rows, billed=billed, effective=effective)
        totals.setdefault(f"{start:%Y-%m}", []).append(total)
    return totals


def _wrong_period(start: datetime, end: datetime, rows: int, month: str | None) -> str:
    """What is wrong with the billing period of so many rows."""
    first = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    if (start, end) != (first, following):
        return f"{rows} rows have a billing period that is no calendar month in UTC: {start}"
    if month is not None and f"{start:%Y-%m}" != month:
        return f"{rows} rows are of {start:%Y-%m}, not {month}"
    return ""


def add_up(totals: Sequence[Total]) -> tuple[Total, ...]:
    """One total a currency."""
    found: dict[str, Total] = {}
    with localcontext(prec=_DIGITS):
        for one in totals:
            before = found.get(one.currency)
            found[one.currency] = one if before is None else _sum(before, one)
    return tuple(found[currency] for currency in sorted(found))


def _sum(one: Total, other: Total) -> Total:
    return Total(
        currency=one.currency,
        rows=one.rows + other.rows,
        billed=one.billed + other.billed,
        effective=one.effective + other.effective,
    )


def tag_keys(engine: Backend, files: Sequence[Path]) -> frozenset[str]:
    """Every key of a tag that a row has."""
    if not files:
        return frozenset()
    rows = _rows(
        engine,
        "SELECT DISTINCT unnest(json_keys(Tags)) FROM"  # noqa: S608 - names of ours
        f" (SELECT DISTINCT Tags FROM {parts(files)} WHERE Tags IS NOT NULL)",
    )
    return frozenset(row[0] for row in rows)


def late_usage(engine: Backend, files: Sequence[Path]) -> int:
    """How many rows are usage of before their billing period, and no correction of it.

    Providers bill usage that they learn of late in the period after it.
    """
    if not files:
        return 0
    ((count,),) = _rows(
        engine,
        f"SELECT count(*) FROM {parts(files)} WHERE ChargeCategory = 'Usage' AND"  # noqa: S608
        " ChargeClass IS NULL AND ChargePeriodStart < BillingPeriodStart",
    )
    return int(count)


def carries(keys: frozenset[str], key: str) -> bool:
    """Whether a tag of people's is among them: AWS writes some with `user:` before."""
    return not keys.isdisjoint((key, f"user:{key}", f"user_{key}"))


_CHARGE = (
    "BillingAccountId", "SubAccountId", "ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory",
    "ServiceName", "ResourceId", "SkuId", "BilledCost",
)  # fmt: skip
"""What two exports of the same charge have in common, whatever their version."""


SAME_CHARGES = Decimal("0.5")
"""The share of the smaller's charges from which on two exports are of the same charges. Some rows
of any two are alike: a tax of 0, a flat fee."""


def share_in_common(engine: Backend, one: Sequence[Path], other: Sequence[Path]) -> Decimal:
    """The part of the smaller's charges that are in both, from 0 to 1; 0 where one is empty."""
    charge = ", ".join(named(name) for name in _CHARGE)

    def counted(files: Sequence[Path]) -> str:
        return f"SELECT hash({charge}) AS charge, count(*) AS n FROM {parts(files)} GROUP BY 1"  # noqa: S608

    ((common, fewest),) = _rows(
        engine,
        f"WITH one AS ({counted(one)}), other AS ({counted(other)})"  # noqa: S608 - names of ours
        " SELECT (SELECT coalesce(sum(least(one.n, other.n)), 0) FROM one JOIN other USING"
        " (charge)), (SELECT least((SELECT coalesce(sum(n), 0) FROM one),"
        " (SELECT coalesce(sum(n), 0) FROM other)))",
    )
    return Decimal(int(common)) / Decimal(int(fewest)) if fewest else Decimal(0)


def parts(files: Sequence[Path]) -> str:
    """Typed parts as a relation."""
    return parquet(files)


def _counts() -> str:
    return ", ".join(f"count(*) FILTER (WHERE {rule})" for _, rule in _VIOLATIONS.values())


def _within(column: str) -> str:
    return f"CASE WHEN {column} {_CENTURIES} THEN {column} END"


def _means(rule: str) -> str:
    return _MEANS.get(rule, "have none")


def _rows(engine: Backend, query: str) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = engine.raw_sql(query).fetchall()
    return found
