"""What was found about a budget, for machines: exact decimals as texts."""

from __future__ import annotations

from typing import Any

from xops.finops.budget.feasibility import Feasibility, Option


def feasibility_to_json(found: Feasibility) -> dict[str, Any]:
    """For machines; amounts are exact."""
    largest = found.largest
    best = found.cheapest_change
    return {
        "promise": str(found.promise),
        "own_plan_keeps_promise": found.keeps_promise,
        "reachable": found.is_reachable,
        "over_by": str(found.over_by.amount) if found.over_by else None,
        "budget_needed": str(found.cheapest.total.amount),
        "cheapest_plan": option_to_json(found.cheapest),
        "spot_break_even_percent": _text(found.spot_break_even),
        "cheapest_single_change": option_to_json(best, found.own) if best else None,
        "single_changes": [option_to_json(one, found.own) for one in found.changes],
        "beyond_the_promise": [option_to_json(one, found.cheapest) for one in found.beyond],
        "largest_plan": {
            "tasks_in_business_hours": dict(largest.tasks),
            "total": str(largest.total.amount),
            "peak_hours_instead": largest.peak_hours,
            "usd_an_hour_of_peak": str(largest.usd_an_hour.amount),
        }
        if largest
        else None,
    }


def option_to_json(one: Option, start: Option | None = None) -> dict[str, Any]:
    """One way to run it; with what it saves against another."""
    bill = one.bill
    told: dict[str, Any] = {
        "summary": one.summary,
        "lever": one.lever,
        "compute": str(one.compute.total.amount),
        "fixed": str(one.fixed.total.amount),
        "total": str(one.total.amount),
        "budget": str(one.budget.amount),
        "currency": one.budget.currency,
        "verdict": one.verdict,
        "confidence": str(bill.confidence) if bill.confidence is not None else None,
        "prices_seen_on": _text(bill.seen_on),
        "unpriced": list(one.priced.unpriced),
    }
    if start is not None:
        told["saving"] = str((start.total - one.total).amount)
    return told


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def own_plan_to_json(own: Option) -> dict[str, Any]:
    """The environment as its file says, with its range and lines."""
    low, expected, high = own.priced.after
    return {
        **option_to_json(own),
        "low": str(low.total.amount),
        "expected": str(expected.total.amount),
        "high": str(high.total.amount),
        "assumed_a_month": own.assumptions.model_dump(mode="json", exclude={"api_version"}),
        "lines": [line.to_json() for line in expected.lines],
    }
