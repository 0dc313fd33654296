"""Questions that people ask, with what the report says and the command that answers each alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from xops.finops.analysis.explanations import ExplainedDay, explain_day
from xops.finops.budget.peak import scale_up
from xops.finops.report.estimates import Estimate
from xops.finops.report.model.planning import Streams
from xops.finops.report.model.report import Question
from xops.finops.report.model.spending import Movers
from xops.finops.report.model.trust import Coverage
from xops.finops.report.model.values import Unknown
from xops.finops.report.readings import Readings
from xops.finops.report.spent import Scope, used
from xops.finops.report.wording import money

_PEAK_HOURS = 40
"""In the example of a scale-up: a working week."""


def questions(
    readings: Readings,
    scope: Scope,
    moved: Movers | Unknown,
    covered: Coverage | Unknown,
    streams: Streams | Unknown,
    estimates: Sequence[Estimate],
) -> Iterator[Question]:
    """Six of them; what is unknown is said as that."""
    one = scope.environment or _example(estimates)
    of = f" -e {scope.environment}" if scope.environment else ""
    last = readings.days.provisional.start - timedelta(days=1)
    day = explain_day(last, used(readings, scope), readings.days)
    yield Question(
        "What did yesterday cost and why?",
        _of_day(day, readings.currency),
        f"xops costs explain --day {last}{of}",
        "anomalies",
    )
    yield Question(
        "What changed since last week, and by whose change?",
        _of_movers(moved),
        f"xops costs explain --since-last-week{of}",
        "movers",
    )
    yield Question(
        "What would this pull request cost?",
        "The plan that its check makes is priced before and after, against the budget.",
        f"xops costs price-plan PLAN.json -e {one}",
        "plan",
    )
    yield Question(
        f"What happens to the month if we scale to peak for {_PEAK_HOURS} hours?",
        _of_peak(estimates, one),
        f"xops costs budget -e {one} --peak-hours {_PEAK_HOURS}",
        "replicas",
    )
    yield Question(
        "What does Stream 2 cost beside Stream 1?",
        _of_streams(streams),
        f"xops costs budget -e {one}",
        "streams",
    )
    yield Question(
        "Which resources have no owner?",
        _of_owners(covered),
        "xops costs explain --untagged",
        "coverage",
    )


def _example(estimates: Sequence[Estimate]) -> str:
    names = [one.facts.name for one in estimates]
    return "prod" if "prod" in names or not names else names[0]


def _of_day(day: ExplainedDay, currency: str) -> str:
    if day.total is None:
        return f"unknown: nothing was delivered for {day.day}"
    said = f"{day.day} is the last day that is complete: {money(day.total)} {currency}"
    if day.usual is None:
        return f"{said}; what is usual is not known yet."
    causes = ", ".join(f"{each.usage_type} {each.amount:+z,.2f}" for each in day.causes[:3])
    why = f": {causes}" if causes else ""
    return f"{said}, {day.total - day.usual:+z,.2f} against what is usual for its weekday{why}."


def _of_movers(moved: Movers | Unknown) -> str:
    if isinstance(moved, Unknown):
        return f"unknown: {moved.reason}"
    most = ", ".join(f"{row.name} {row.change:+z,.2f}" for row in moved.moved[:3])
    whose = f"{len(moved.changes)} applies of ours are on record in these weeks"
    if moved.unknown_changes:
        whose += f"; not all are known: {moved.unknown_changes}"
    return f"{moved.after - moved.before:+z,.2f} in all, most of it {most or 'nothing'}; {whose}."


def _of_peak(estimates: Sequence[Estimate], name: str) -> str:
    found = next((one for one in estimates if one.facts.name == name), None)
    if found is None:
        return f"unknown: there is no file of {name}"
    peak = scale_up(found.feasibility.own, _PEAK_HOURS, found.rates.book)
    if peak.bill.unpriced:
        return "unknown: a price is missing"
    at_least = "at least " if found.own.unpriced else ""
    return (
        f"{name} costs {peak.added} more, {at_least}{peak.total} in all: {peak.verdict} for its"
        f" budget of {found.facts.budget} (estimated)."
    )


def _of_streams(streams: Streams | Unknown) -> str:
    if isinstance(streams, Unknown):
        return f"unknown: {streams.reason}"
    rows = ", ".join(f"{row.name} {money(row.total)}" for row in streams.rows)
    hours = "" if streams.usd_an_hour is not None else " No hours are set: invoices alone are "
    invoices = ", ".join(f"{row.name} {money(row.invoice)}" for row in streams.rows)
    return f"{rows} USD a month." if not hours else f"{hours.strip()} {invoices} USD (estimated)."


def _of_owners(covered: Coverage | Unknown) -> str:
    if isinstance(covered, Unknown):
        return f"unknown: {covered.reason}"
    if not covered.without_owner:
        return "Every resource that was used has one."
    first = covered.without_owner[0]
    return (
        f"{len(covered.without_owner)}, the dearest first: {first.resource} of {first.service},"
        f" {money(first.amount)} since {covered.since}."
    )
