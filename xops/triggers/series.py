"""What the facts say about each trigger, period by period: what the machine reads. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from xops.core.errors import Finding, InputError
from xops.triggers.facts import WEEK, Engineers, Facts, Mandate, Week, last_week
from xops.triggers.machine import Reading, mandate_reading
from xops.triggers.policy import (
    Measure,
    Policy,
    PullRequestTrigger,
    TeamSizeTrigger,
    Trigger,
)


def read_series(policy: Policy, facts: Facts, as_of: date) -> dict[str, list[Reading]]:
    """The readings of each trigger of the policy, oldest first.

    Args:
        policy: the rules.
        facts: what is known.
        as_of: weeks over by the start of that day count, mandates as of that day.

    Raises:
        InputError: facts and policy have different time zones.
    """
    _check_zones(policy, facts)
    return {name: readings_of(row, facts, as_of) for name, row in policy.triggers.items()}


def _check_zones(policy: Policy, facts: Facts) -> None:
    """Refuse facts whose weeks are not the policy's weeks.

    Raises:
        InputError: the time zones differ.
    """
    if facts.timezone != policy.timezone:
        text = f"is {facts.timezone}, but the policy's weeks start in {policy.timezone}"
        remedy = "Measure anew in the policy's zone: counts of other weeks cannot be converted."
        raise InputError("comparing facts with the policy", [Finding("facts", "timezone", text)],
                         remedy)  # fmt: skip


def readings_of(trigger: Trigger, facts: Facts, as_of: date) -> list[Reading]:
    """What the facts say for each week from their oldest to the last one over by `as_of`.

    A mandate is looked at on the Monday after each week, and last on `as_of` itself. There is
    always a reading of the last period: where the facts say nothing, it is unknown.
    """
    last = last_week(as_of)
    known = {week.start: week for week in facts.weeks if week.start <= last}
    first = min(known, default=last)
    starts = [first + WEEK * index for index in range((last - first) // WEEK + 1)]
    if isinstance(trigger, PullRequestTrigger):
        return [_pull_requests(start, known.get(start)) for start in starts]
    if isinstance(trigger, TeamSizeTrigger):
        return [_engineers(start, known.get(start), facts, trigger.measure) for start in starts]
    days = [*(start + WEEK for start in starts[:-1]), as_of]
    return [_mandates(day, trigger.mandate, facts) for day in days]


def _pull_requests(start: date, week: Week | None) -> Reading:
    if week is None:
        return Reading(period=start, value=None, reason="the facts do not have this week")
    return Reading(period=start, value=week.iac_prs, bounds=week.bounds, reason=week.reason)


def _engineers(start: date, week: Week | None, facts: Facts, measure: Measure) -> Reading:
    engineers = engineers_of(start, week, facts)
    if engineers is None:
        return Reading(period=start, value=None, reason="engineers were not counted")
    value = engineers.measured(measure)
    if value is not None:
        return Reading(period=start, value=value)
    bounds = {str(by): known for by, known in engineers.bounds.items()}
    return Reading(
        period=start,
        value=None,
        bounds=bounds.get(measure),
        reason=engineers.reason or f"{measure} is unknown",
    )


def engineers_of(start: date, week: Week | None, facts: Facts) -> Engineers | None:
    """The counts at a week's end: the facts' own as of their last week, which name the people."""
    if facts.engineers and start == last_week(facts.as_of):
        return facts.engineers
    return week.engineers if week else None


def _mandates(day: date, kind: str, facts: Facts) -> Reading:
    if facts.mandates is None:
        reason = facts.mandates_reason or "mandates could not be read"
        return Reading(period=day, value=None, reason=reason)
    if day > facts.as_of:
        reason = f"mandates were read on {facts.as_of}"
        return Reading(period=day, value=None, reason=reason)
    rows = [row for row in facts.mandates if row.kind == kind]
    valid = [row for row in rows if row.valid]
    doubtful = [row for row in rows if not row.valid]
    reading = mandate_reading(day, _spans(valid), _spans(doubtful))
    reasons = [f"{named(row)}: {row.reason}" for row in doubtful if _covers(row, day)]
    return reading.model_copy(
        update={
            "subjects": tuple(sorted({row.subject for row in valid if _covers(row, day)})),
            "reason": "; ".join(reasons),
        }
    )


def _spans(mandates: Iterable[Mandate]) -> list[tuple[date, date]]:
    return [(row.effective_from, row.expires) for row in mandates]


def _covers(mandate: Mandate, day: date) -> bool:
    """Whether the day lies in its time, whether it is valid or not."""
    return mandate.effective_from <= day < mandate.expires


def named(mandate: Mandate) -> str:
    """A mandate in words: who demands it for what, and where that is written."""
    place = f" ({mandate.file})" if mandate.file else ""
    return f"mandate of {mandate.who} for {mandate.subject}{place}"
