"""An evaluation: facts and policy in, a verdict for each trigger out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import Field

from xops.core.errors import ExitCode
from xops.core.files.validation import Model
from xops.core.money import Money
from xops.triggers.facts import (
    WEEK,
    Bucket,
    Completeness,
    Facts,
    Mandate,
    PullRequestEvidence,
    last_week,
)
from xops.triggers.machine import (
    START,
    Decided,
    Phase,
    Reading,
    State,
    activation_id,
    fold,
    label,
    outlook,
)
from xops.triggers.policy import (
    MandateTrigger,
    Policy,
    PullRequestTrigger,
    TeamSizeTrigger,
    Trigger,
)
from xops.triggers.series import engineers_of, read_series

SHOWN = 26
"""How many of the latest periods a verdict carries along for tables and charts."""

_LISTED = 3


class TriggerStatus(StrEnum):
    """The evaluation in a word. What is known to be active outweighs what is unknown."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    INSUFFICIENT_DATA = "insufficient_data"

    @property
    def exit_code(self) -> ExitCode:
        """What the command ends with."""
        return {
            TriggerStatus.INACTIVE: ExitCode.DONE,
            TriggerStatus.ACTIVE: ExitCode.FINDINGS,
            TriggerStatus.INSUFFICIENT_DATA: ExitCode.INCOMPLETE,
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


class TriggerVerdict(Model):
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
    status: TriggerStatus
    facts: str = Field(description="SHA-256 of the facts.")
    policy: str = Field(description="SHA-256 of the policy's rules.")
    triggers: tuple[TriggerVerdict, ...]
    completeness: Completeness
    warnings: tuple[str, ...] = ()
    recorded: str = Field(default="", description="What was done to the history, if anything.")

    @property
    def active(self) -> tuple[TriggerVerdict, ...]:
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
    past = {}
    for name, readings in read_series(policy, facts, as_of).items():
        states = fold(policy.triggers[name], readings)
        past[name] = list(zip(readings, states, strict=True))
    return conclude(policy, facts, as_of, past)


def conclude(policy: Policy, facts: Facts, as_of: date, past: Past) -> Evaluation:
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


def _status(verdicts: Sequence[TriggerVerdict]) -> TriggerStatus:
    if any(verdict.active for verdict in verdicts):
        return TriggerStatus.ACTIVE
    if any(verdict.insufficient for verdict in verdicts):
        return TriggerStatus.INSUFFICIENT_DATA
    return TriggerStatus.INACTIVE


def _verdict(
    policy: Policy,
    name: str,
    facts: Facts,
    as_of: date,
    past: Sequence[tuple[Reading, State]],
) -> TriggerVerdict:
    trigger = policy.triggers[name]
    state = past[-1][1] if past else START
    reading = state.last
    return TriggerVerdict(
        trigger=name,
        kind="mandate" if isinstance(trigger, MandateTrigger) else "metric",
        value=reading.value if reading else None,
        threshold=threshold(trigger),
        weeks_over=_weeks_over(trigger, state),
        state=label(trigger, state),
        phase=state.phase,
        insufficient=state.insufficient,
        active=state.is_active,
        since=state.since,
        activation=activation_id(name, state),
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
        series=points_of(past[-SHOWN:]),
    )  # fmt: skip


def _weeks_over(trigger: Trigger, state: State) -> int | None:
    """How many weeks of the entry's window are above, whatever they were already counted for."""
    if isinstance(trigger, MandateTrigger) or state.last is None:
        return None
    after = state.last.period - trigger.enter.of * WEEK
    recent = [row.value for row in state.window if row.period > after]
    return sum(value is not None and value > trigger.enter.above for value in recent)


def points_of(past: Iterable[tuple[Reading, State]]) -> tuple[Point, ...]:
    """Readings with the states after them, as points."""
    return tuple(
        Point(
            period=reading.period,
            value=reading.value,
            phase=state.phase,
            insufficient=state.insufficient,
        )
        for reading, state in past
    )


def threshold(trigger: Trigger) -> str:
    """The rule in words."""
    if isinstance(trigger, MandateTrigger):
        return f"a mandate in force: {trigger.mandate.replace('_', ' ')}"
    enter, leave = trigger.enter, trigger.leave
    entered = f"> {enter.above} in {enter.weeks} of {enter.of} weeks"
    if enter.of == 1:
        entered = f"> {enter.above}"
    return f"{entered}, until <= {leave.at_or_below} in {leave.weeks} of {leave.of}"


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
    if isinstance(trigger, TeamSizeTrigger):
        yield from _disagreement(trigger, state, facts)
    if isinstance(trigger, MandateTrigger):
        yield from _mandate_warnings(trigger, facts, as_of)


def _disagreement(trigger: TeamSizeTrigger, state: State, facts: Facts) -> Iterator[str]:
    if state.last is None:
        return
    start = state.last.period
    engineers = engineers_of(start, facts.week(start), facts)
    if engineers and (text := engineers.disagreement()):
        yield f"the counts disagree: {text}; {trigger.measure} decides"


def _mandate_warnings(trigger: MandateTrigger, facts: Facts, as_of: date) -> Iterator[str]:
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
    if isinstance(trigger, PullRequestTrigger):
        yield from (row.url for row in counted(facts, [row.period for row in state.window]))
    elif isinstance(trigger, MandateTrigger) and state.last:
        day = state.last.period
        rows = [row for row in facts.mandates or () if row.kind == trigger.mandate]
        yield from (row.evidence for row in rows if row.in_force(day))


def counted(facts: Facts, weeks: Sequence[date]) -> Iterator[PullRequestEvidence]:
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
