"""An evaluation: facts and policy in, a verdict for each trigger out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from pydantic import Field

from xops.core.errors import ExitCode, Finding, InputError
from xops.core.files.validation import Model
from xops.core.money import Money
from xops.triggers.facts import (
    WEEK,
    Bucket,
    Completeness,
    Engineers,
    Facts,
    Mandate,
    PullRequest,
    Week,
    last_week,
)
from xops.triggers.machine import (
    START,
    Decided,
    Phase,
    Reading,
    State,
    fold,
    label,
    mandate_reading,
    outlook,
)
from xops.triggers.policy import Measure, Metric, Policy, Trigger

SHOWN = 26
"""How many of the latest periods a verdict carries along for tables and charts."""

_LISTED = 3

# Names the activations of this project's triggers; any constant would do, a changed one would not.
_NAMESPACE = UUID("6f1b4c52-4f0f-5c0e-9d0a-6a3c6de1f0a5")


class Status(StrEnum):
    """The evaluation in a word. What is known to be active outweighs what is unknown."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    INSUFFICIENT_DATA = "insufficient_data"

    @property
    def exit_code(self) -> ExitCode:
        """What the command ends with."""
        return {
            Status.INACTIVE: ExitCode.DONE,
            Status.ACTIVE: ExitCode.FINDINGS,
            Status.INSUFFICIENT_DATA: ExitCode.INCOMPLETE,
        }[self]


class CostLine(Model):
    """One component's price a month."""

    component: str
    lowest: Money | None = None
    highest: Money | None = None
    source: str = Field(default="", description="Who says so, and when; empty is unpriced.")


class Cost(Model):
    """What the proposed components cost a month, with all they run on."""

    lowest: Money
    highest: Money
    incomplete: bool = Field(description="Some component has no price: it costs more than this.")
    lines: tuple[CostLine, ...]

    def __str__(self) -> str:
        range_ = f"{self.lowest.amount:,.2f} to {self.highest}"
        return f"{range_} a month" + (" and what is unpriced" if self.incomplete else "")


class Point(Model):
    """One period of a trigger's past, for tables and charts."""

    period: date
    value: int | None
    phase: Phase
    insufficient: bool


class Verdict(Model):
    """One trigger, and why it stands where it stands."""

    trigger: str
    kind: str = Field(description="metric or mandate.")
    value: int | None = Field(description="Of the last period; null is unknown.")
    threshold: str
    weeks_over: int | None = Field(description="In the entry's window; null for a mandate.")
    state: str
    phase: Phase
    insufficient: bool
    active: bool
    since: date | None
    activation: UUID | None = Field(description="Names this activation; null while inactive.")
    decided: Decided | None
    next: str
    action: str
    components: tuple[str, ...]
    classification: str
    needs: tuple[str, ...]
    cost: Cost
    owner: str
    review_by: date
    warnings: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    series: tuple[Point, ...] = ()


class Evaluation(Model):
    """All verdicts of one day."""

    as_of: date
    week: date = Field(description="Monday of the last week that was over.")
    timezone: str
    source: str
    status: Status
    facts: str = Field(description="SHA-256 of the facts.")
    policy: str = Field(description="SHA-256 of the policy's rules.")
    triggers: tuple[Verdict, ...]
    completeness: Completeness
    warnings: tuple[str, ...] = ()
    recorded: str = Field(default="", description="What was done to the history, if anything.")

    @property
    def active(self) -> tuple[Verdict, ...]:
        """The triggers that are active or cooling."""
        return tuple(verdict for verdict in self.triggers if verdict.active)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        values: dict[str, Any] = self.model_dump(mode="json")
        return {**values, "exit_code": int(self.status.exit_code)}


Past = Mapping[str, Sequence[tuple[Reading, State]]]
"""By trigger: each reading with the state after it, oldest first."""


def evaluate(policy: Policy, facts: Facts, as_of: date) -> Evaluation:
    """Judge the facts on their own: the states follow from their weeks, from the oldest on.

    Args:
        policy: the rules.
        facts: what is known.
        as_of: weeks over by the start of that day count, mandates as of that day.

    Raises:
        InputError: facts and policy have different time zones.
    """
    check_zones(policy, facts)
    past = {}
    for name, trigger in policy.triggers.items():
        readings = readings_of(trigger, facts, as_of)
        past[name] = list(zip(readings, fold(trigger, readings), strict=True))
    return concluded(policy, facts, as_of, past)


def check_zones(policy: Policy, facts: Facts) -> None:
    """Refuse facts whose weeks are not the policy's weeks.

    Raises:
        InputError: the time zones differ.
    """
    if facts.timezone != policy.timezone:
        text = f"is {facts.timezone}, but the policy's weeks start in {policy.timezone}"
        remedy = "Measure anew in the policy's zone: counts of other weeks cannot be converted."
        raise InputError("comparing facts with the policy", [Finding("facts", "timezone", text)],
                         remedy)  # fmt: skip


def concluded(policy: Policy, facts: Facts, as_of: date, past: Past) -> Evaluation:
    """The evaluation in which the past of each trigger ends."""
    verdicts = tuple(
        _verdict(policy, name, facts, as_of, past.get(name, ())) for name in policy.triggers
    )
    return Evaluation(
        as_of=as_of,
        week=last_week(as_of),
        timezone=policy.timezone,
        source=facts.source,
        status=_status(verdicts),
        facts=facts.digest,
        policy=policy.digest,
        triggers=verdicts,
        completeness=facts.completeness,
        warnings=tuple(_unknown_weeks(facts, as_of)),
    )


def _status(verdicts: Sequence[Verdict]) -> Status:
    if any(verdict.active for verdict in verdicts):
        return Status.ACTIVE
    if any(verdict.insufficient for verdict in verdicts):
        return Status.INSUFFICIENT_DATA
    return Status.INACTIVE


def readings_of(trigger: Trigger, facts: Facts, as_of: date) -> list[Reading]:
    """What the facts say for each week from their oldest to the last one over by `as_of`.

    A mandate is looked at on the Monday after each week, and last on `as_of` itself. There is
    always a reading of the last period: where the facts say nothing, it is unknown.
    """
    last = last_week(as_of)
    known = {week.start: week for week in facts.weeks if week.start <= last}
    first = min(known, default=last)
    starts = [first + WEEK * index for index in range((last - first) // WEEK + 1)]
    if trigger.metric is Metric.IAC_PRS:
        return [_pull_requests(start, known.get(start)) for start in starts]
    if trigger.metric is Metric.TEAM_SIZE:
        measure = trigger.measure or Measure.DAYS28
        return [_engineers(start, known.get(start), facts, measure) for start in starts]
    days = [*(start + WEEK for start in starts[:-1]), as_of]
    return [_mandates(day, trigger.mandate or "", facts) for day in days]


def _pull_requests(start: date, week: Week | None) -> Reading:
    if week is None:
        return Reading(period=start, value=None, reason="the facts do not have this week")
    return Reading(period=start, value=week.iac_prs, reason=week.reason)


def _engineers(start: date, week: Week | None, facts: Facts, measure: Measure) -> Reading:
    engineers = engineers_of(start, week, facts)
    if engineers is None:
        return Reading(period=start, value=None, reason="engineers were not counted")
    value = engineers.measured(measure)
    missing = engineers.reason or f"{measure} is unknown"
    return Reading(period=start, value=value, reason="" if value is not None else missing)


def engineers_of(start: date, week: Week | None, facts: Facts) -> Engineers | None:
    """The counts at a week's end: the week's own, or the facts' as of their last week."""
    if week and week.engineers:
        return week.engineers
    return facts.engineers if start == last_week(facts.as_of) else None


def _mandates(day: date, kind: str, facts: Facts) -> Reading:
    if facts.mandates is None:
        reason = facts.mandates_reason or "mandates could not be read"
        return Reading(period=day, value=None, reason=reason)
    if day > facts.as_of:
        reason = f"mandates were read on {facts.as_of}"
        return Reading(period=day, value=None, reason=reason)
    valid = [row for row in facts.mandates if row.kind == kind and row.valid]
    return mandate_reading(day, [(row.effective_from, row.expires) for row in valid])


def _verdict(
    policy: Policy,
    name: str,
    facts: Facts,
    as_of: date,
    past: Sequence[tuple[Reading, State]],
) -> Verdict:
    trigger = policy.triggers[name]
    state = past[-1][1] if past else START
    reading = state.last
    return Verdict(
        trigger=name,
        kind="metric" if trigger.metric else "mandate",
        value=reading.value if reading else None,
        threshold=threshold(trigger),
        weeks_over=_weeks_over(trigger, state),
        state=label(trigger, state),
        phase=state.phase,
        insufficient=state.insufficient,
        active=state.is_active,
        since=state.since,
        activation=activation(name, state),
        decided=state.decided,
        next=outlook(trigger, state),
        action=trigger.action.summary,
        components=policy.all_components(trigger.action.components),
        classification=trigger.classification,
        needs=trigger.classification.needs,
        cost=cost(policy, trigger.action.components),
        owner=trigger.owner,
        review_by=trigger.review_by,
        warnings=tuple(_warnings(trigger, state, facts, as_of)),
        evidence=tuple(_evidence(trigger, state, facts)),
        series=tuple(_point(reading, state) for reading, state in past[-SHOWN:]),
    )  # fmt: skip


def _weeks_over(trigger: Trigger, state: State) -> int | None:
    """How many weeks of the entry's window are above, whatever they were already counted for."""
    enter = trigger.enter
    if enter is None or state.last is None:
        return None
    after = state.last.period - enter.of * WEEK
    recent = [row.value for row in state.window if row.period > after]
    return sum(value is not None and value > enter.above for value in recent)


def _point(reading: Reading, state: State) -> Point:
    return Point(
        period=reading.period,
        value=reading.value,
        phase=state.phase,
        insufficient=state.insufficient,
    )


def activation(name: str, state: State) -> UUID | None:
    """The id of the present activation: the same whenever, and however often, it is computed."""
    if not state.is_active or state.since is None:
        return None
    return uuid5(_NAMESPACE, f"{name} active since {state.since}")


def threshold(trigger: Trigger) -> str:
    """The rule in words."""
    enter, leave = trigger.enter, trigger.leave
    if enter is None or leave is None:
        return f"a mandate in force: {(trigger.mandate or '').replace('_', ' ')}"
    entered = f"> {enter.above} in {enter.weeks} of {enter.of} weeks"
    if enter.of == 1:
        entered = f"> {enter.above}"
    left = f"until <= {leave.at_or_below} in {leave.weeks} of {leave.of}"
    return f"{entered}, {left}"


def cost(policy: Policy, components: tuple[str, ...]) -> Cost:
    """What components cost a month, with everything they run on."""
    lines = tuple(_cost_line(policy, name) for name in policy.all_components(components))
    zero = Money(amount=Decimal(0))
    return Cost(
        lowest=sum((line.lowest for line in lines if line.lowest), zero),
        highest=sum((line.highest for line in lines if line.highest), zero),
        incomplete=any(line.lowest is None for line in lines),
        lines=lines,
    )


def _cost_line(policy: Policy, name: str) -> CostLine:
    price = policy.components[name].monthly
    if price is None:
        return CostLine(component=name)
    return CostLine(
        component=name,
        lowest=Money(amount=price.lowest, currency=price.currency),
        highest=Money(amount=price.highest, currency=price.currency),
        source=f"{price.source}, {price.dated}",
    )


def _warnings(trigger: Trigger, state: State, facts: Facts, as_of: date) -> Iterator[str]:
    if state.insufficient and state.last:
        yield f"the last value is unknown: {state.last.reason or 'no reason is given'}"
    if as_of > trigger.review_by:
        yield f"its review was due on {trigger.review_by}: {trigger.owner} confirms or changes it"
    if trigger.metric is Metric.TEAM_SIZE:
        yield from _disagreement(trigger, state, facts)
    if trigger.mandate:
        yield from _mandate_warnings(trigger, facts, as_of)


def _disagreement(trigger: Trigger, state: State, facts: Facts) -> Iterator[str]:
    if state.last is None:
        return
    start = state.last.period
    engineers = engineers_of(start, facts.week(start), facts)
    if engineers and (text := engineers.disagreement()):
        yield f"the counts disagree: {text}; {trigger.measure} decides"


def _mandate_warnings(trigger: Trigger, facts: Facts, as_of: date) -> Iterator[str]:
    for row in facts.mandates or ():
        if row.kind != trigger.mandate:
            continue
        if not row.valid:
            yield f"not counted: {_named(row)}: {row.reason}"
        elif row.in_force(as_of) and (left := (row.expires - as_of).days) <= trigger.warn_days:
            days = "1 day" if left == 1 else f"{left} days"
            yield f"{_named(row)} expires in {days}, on {row.expires}"


def _named(mandate: Mandate) -> str:
    place = f" ({mandate.file})" if mandate.file else ""
    return f"mandate of {mandate.who} for {mandate.subject}{place}"


def _evidence(trigger: Trigger, state: State, facts: Facts) -> Iterator[str]:
    """Links to what was counted: pull requests of the window's weeks, or mandates in force."""
    if trigger.metric is Metric.IAC_PRS:
        yield from (row.url for row in counted(facts, [row.period for row in state.window]))
    elif trigger.mandate and state.last:
        day = state.last.period
        rows = [row for row in facts.mandates or () if row.kind == trigger.mandate]
        yield from (row.evidence for row in rows if row.in_force(day))


def counted(facts: Facts, weeks: Sequence[date]) -> Iterator[PullRequest]:
    """The pull requests that were counted in those weeks."""
    for week in facts.weeks:
        if week.start in weeks:
            yield from (row for row in week.pull_requests if row.bucket is Bucket.COUNTED)


def _unknown_weeks(facts: Facts, as_of: date) -> Iterator[str]:
    """The latest weeks that are unknown, and how many more there are."""
    starts = sorted(week.start for week in facts.weeks if not week.complete and week.end <= as_of)
    for start in starts[-_LISTED:]:
        week = facts.week(start)
        yield f"the week of {start} is unknown: {week.reason if week else ''}"
    if len(starts) > _LISTED:
        yield f"{len(starts) - _LISTED} earlier weeks are unknown as well"
