"""What Cost Explorer is asked, and what its answers mean as charges. Pure.

Two questions, which share all charges between them: usage by service and environment, and all that
is no usage by service and kind of record. The second is the negation of the first's condition, so
that a misspelt or new kind of record is in one of them: an unknown value in a condition is no
error to Cost Explorer, it just finds nothing. Each may be grouped by two things and no more.
Source: AWS Cost Management API reference, GetCostAndUsage.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

from xops.finops.store.changes import first_day_after
from xops.finops.store.cost_explorer.answers import Day, Group

METRICS = ("UnblendedCost", "AmortizedCost")
SERVICE = {"Type": "DIMENSION", "Key": "SERVICE"}
RECORD_TYPE = {"Type": "DIMENSION", "Key": "RECORD_TYPE"}
_USAGE = {
    "Dimensions": {
        "Key": "RECORD_TYPE",
        "Values": ["Usage", "DiscountedUsage", "SavingsPlanCoveredUsage"],
    }
}
_CATEGORIES = {
    "Tax": "Tax",
    "Credit": "Credit",
    "Fee": "Purchase",
    "RIFee": "Purchase",
    "SavingsPlanRecurringFee": "Purchase",
    "SavingsPlanUpfrontFee": "Purchase",
}
"""FOCUS' categories of kinds of record; refunds and discounts are adjustments."""

_EXACT = Decimal("1E-12")


@dataclass(frozen=True)
class Question:
    """One question; it is put for a span of days.

    Attributes:
        name: for people and for the cache.
        tag: the key of the tag that it groups by; None: it groups by kind of record.
    """

    name: str
    tag: str | None

    def parameters(self) -> dict[str, Any]:
        """Of the request, without the days and the page."""
        by = RECORD_TYPE if self.tag is None else {"Type": "TAG", "Key": self.tag}
        return {
            "Granularity": "DAILY",
            "Metrics": list(METRICS),
            "GroupBy": [SERVICE, by],
            "Filter": _USAGE if self.tag is not None else {"Not": _USAGE},
        }


def questions(environment_tag: str) -> tuple[Question, ...]:
    """The questions whose answers are all charges."""
    return Question("usage", environment_tag), Question("other", None)


def parse_groups(result: Mapping[str, Any]) -> list[Group]:
    """The groups of one day of an answer.

    Raises:
        KeyError, ArithmeticError, ValueError: it is no such answer. A day that has a total and no
            groups is none: its charges are not nothing.
    """
    totals = [Decimal(one["Amount"]) for one in (result.get("Total") or {}).values()]
    if any(totals) and not result["Groups"]:
        raise ValueError("a total without groups")
    return [
        Group(
            keys=tuple(group["Keys"]),
            currency=group["Metrics"]["UnblendedCost"]["Unit"],
            unblended=Decimal(group["Metrics"]["UnblendedCost"]["Amount"]),
            amortized=Decimal(group["Metrics"]["AmortizedCost"]["Amount"]),
        )
        for group in result["Groups"]
    ]


def charges(question: Question, day: date, answer: Day, account: str) -> list[dict[str, Any]]:
    """A day's groups as rows of FOCUS; what Cost Explorer does not know is left out."""
    month = day.strftime("%Y-%m")
    fixed = {
        "BillingAccountId": account,
        "BillingPeriodStart": _midnight(day.replace(day=1)),
        "BillingPeriodEnd": _midnight(first_day_after(month)),
        "ChargePeriodStart": _midnight(day),
        "ChargePeriodEnd": _midnight(day + timedelta(days=1)),
        "ProviderName": "AWS",
    }
    return [{**fixed, **_charge(question, group)} for group in answer.groups]


def has_tag(answers: Sequence[Day]) -> bool:
    """Whether any charge carries the tag that the question groups by."""
    return any(_tag_value(group) for answer in answers for group in answer.groups)


def _charge(question: Question, group: Group) -> dict[str, Any]:
    service, other = group.keys
    row: dict[str, Any] = {
        "ServiceName": service,
        "BillingCurrency": group.currency,
        "BilledCost": _rounded(group.unblended),
        "EffectiveCost": _rounded(group.amortized),
    }
    if question.tag is None:
        return row | {"ChargeCategory": _CATEGORIES.get(other, "Adjustment")}
    value = _tag_value(group)
    tags = json.dumps({question.tag: value}) if value else None
    return row | {"ChargeCategory": "Usage", "Tags": tags}


def _tag_value(group: Group) -> str:
    """`environment$prod`: the value after the first `$`, empty where there is no tag."""
    return group.keys[1].partition("$")[2]


def _rounded(amount: Decimal) -> Decimal:
    """To the digits that the store keeps."""
    with localcontext(prec=60):
        return amount.quantize(_EXACT, rounding=ROUND_HALF_EVEN)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
