"""An evaluation: facts and policy in, a verdict for each trigger out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from importlib.metadata import version
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from xops.core.errors import ExitCode
from xops.core.files.validation import Model
from xops.core.money import Money
from xops.triggers.facts import (
    Bounds,
    Bucket,
    Completeness,
    Engineers,
    Facts,
    Failure,
    LeftOut,
    People,
    PullRequestEvidence,
    last_week,
)
from xops.triggers.identity import entry_text, exit_text
from xops.triggers.machine import (
    START,
    Decided,
    Phase,
    Reading,
    State,
    fold,
    label,
    outlook,
    weeks_over,
    weeks_unknown,
    with_entry,
)
from xops.triggers.policy import (
    Enter,
    MandateTrigger,
    MetricTrigger,
    Policy,
    PullRequestTrigger,
    TeamSizeTrigger,
    Trigger,
)
from xops.triggers.series import engineers_of, named, read_series

SHOWN = 26
"""How many of the latest periods a verdict carries along for tables and charts."""

ALONE = "these states follow from these weeks alone: activations before them are not known"
"""Said of every evaluation without a history."""

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
    bounds: Bounds | None = None
    phase: Phase
    insufficient: bool


class OtherReading(Model):
    """What another reading of the same threshold says, beside the one that decides."""

    threshold: str
    state: str
    active: bool
    since: date | None
    why: str = Field(description="Why the two differ, or that they agree.")
    series: tuple[Point, ...] = Field(
        default=(), description="The same periods as those of the verdict, as this one reads them."
    )


class FormerSeries(Model):
    """What was recorded before something that the series is measured from changed."""

    last: date = Field(description="Its last period.")
    state: str
    changed: tuple[str, ...] = Field(description="What is measured otherwise now.")


class EndedActivation(Model):
    """An activation that is over, for whoever acted upon it."""

    trigger: str
    activation: UUID
    number: int
    since: date
    ended: date
    reason: str


class TriggerVerdict(Model):
    """One trigger, and why it stands where it stands."""

    trigger: str
    kind: str = Field(description="metric or mandate.")
    value: int | None = Field(description="Of the last period; null is unknown.")
    bounds: Bounds | None = Field(default=None, description="Between what an unknown value lies.")
    subjects: tuple[str, ...] = Field(
        default=(), description="The clouds or sites for which a mandate is in force."
    )
    threshold: str
    weeks_over: int | None = Field(description="In the entry's window; null for a mandate.")
    state: str
    phase: Phase
    insufficient: bool
    active: bool
    since: date | None
    activation: UUID | None = Field(
        description="Names this activation as the history does; null while inactive, or without it."
    )
    number: int | None = Field(
        default=None, description="Which activation of this trigger it is, from 1."
    )
    kept: str = Field(
        default="", description="Why it is active though nothing is known yet of what is measured."
    )
    beside: OtherReading | None = None
    former: FormerSeries | None = None
    people: tuple[People, ...] = Field(
        default=(), description="Of a team's size: who was counted in the last period."
    )
    left_out: tuple[LeftOut, ...] = Field(
        default=(), description="Of a team's size: who was seen and not counted."
    )
    left_out_more: int = 0
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
    policy_name: str = Field(default="", description="To whose triggers activations belong.")
    triggers: tuple[TriggerVerdict, ...]
    completeness: Completeness
    warnings: tuple[str, ...] = ()
    recorded: str = Field(default="", description="What was done to the history, if anything.")
    basis: Literal["history", "facts"] = Field(
        default="facts", description="facts: the states follow from these weeks alone."
    )
    ended: tuple[EndedActivation, ...] = Field(
        default=(), description="Activations that ended within a year, the latest last."
    )
    failure: Failure | None = Field(
        default=None, description="Why GitHub gave nothing at all, where it did."
    )
    version: str = Field(default_factory=lambda: version("xops"), description="Of xOps.")

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


@dataclass(frozen=True)
class Standing:
    """What only a history knows of a trigger.

    Attributes:
        activation: the open one, its number and the period in which it began; None: there is none.
        subjects: the clouds or sites it is for.
        decided: what a person said about it.
        former: what was recorded before something that is measured changed.
        kept: why it is active though nothing is known yet of what is measured now.
        warnings: what is to be said besides.
    """

    activation: UUID | None = None
    number: int | None = None
    since: date | None = None
    subjects: tuple[str, ...] = ()
    decided: Decided | None = None
    former: FormerSeries | None = None
    kept: str = ""
    warnings: tuple[str, ...] = ()

    def complete(self, state: State) -> State:
        """The state with what a person said, and active where nothing ended the activation."""
        if self.kept:
            changes = {"phase": Phase.ACTIVE, "since": self.since, "insufficient": True}
            state = state.model_copy(update=changes)
        return state.model_copy(update={"decided": self.decided})


_ALONE = Standing()


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


def conclude(
    policy: Policy,
    facts: Facts,
    as_of: date,
    past: Past,
    standings: Mapping[str, Standing] | None = None,
) -> Evaluation:
    """The evaluation in which the past of each trigger ends.

    Args:
        policy: the rules.
        facts: what is known.
        as_of: the day that is judged.
        past: by trigger.
        standings: by trigger, of a history; None: there is no history.
    """
    verdicts = tuple(
        _verdict(
            policy, name, facts, as_of, past.get(name, ()), (standings or {}).get(name, _ALONE)
        )
        for name in policy.triggers
    )
    alone = (ALONE,) if standings is None else ()
    return Evaluation(
        as_of=as_of,
        week=last_week(as_of),
        timezone=policy.timezone,
        source=facts.source,
        status=_status(verdicts),
        facts=facts.digest,
        policy=policy.digest,
        policy_name=policy.name,
        triggers=verdicts,
        completeness=facts.completeness,
        warnings=(*_unread(facts, as_of), *alone),
        basis="facts" if standings is None else "history",
        failure=facts.failure,
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
    standing: Standing,
) -> TriggerVerdict:
    trigger = policy.triggers[name]
    state = standing.complete(past[-1][1] if past else START)
    reading, team = state.last, _engineers(trigger, state, facts)
    return TriggerVerdict(
        trigger=name,
        kind="mandate" if isinstance(trigger, MandateTrigger) else "metric",
        value=reading.value if reading else None,
        bounds=reading.bounds if reading else None,
        subjects=_subjects(state, past, standing),
        threshold=threshold(trigger),
        weeks_over=_weeks_over(trigger, state),
        state=label(trigger, state),
        phase=state.phase,
        insufficient=state.insufficient,
        active=state.is_active,
        since=standing.since or state.since,
        activation=standing.activation,
        number=standing.number,
        kept=standing.kept,
        beside=_beside(trigger, state, past),
        former=standing.former,
        people=(team.people or ()) if team else (),
        left_out=team.left_out if team else (),
        left_out_more=team.left_out_more if team else 0,
        decided=state.decided,
        next=outlook(trigger, state),
        action=trigger.action.summary,
        components=policy.all_components(trigger.action.components),
        classification=trigger.classification,
        needs=trigger.classification.needs,
        cost=cost(policy, trigger.action.components),
        owner=trigger.owner,
        review_by=trigger.review_by,
        warnings=(*standing.warnings, *_warnings(trigger, state, facts, as_of)),
        evidence=tuple(evidence(trigger, state, facts)),
        series=points_of(past[-SHOWN:]),
    )  # fmt: skip


def _subjects(
    state: State, past: Sequence[tuple[Reading, State]], standing: Standing
) -> tuple[str, ...]:
    """For what it is active: as read, or as it was before what cannot be told now."""
    if not state.is_active:
        return ()
    if standing.activation:
        return standing.subjects
    known = (row.subjects for row, after in reversed(past) if not after.insufficient)
    return next(known, ())


def _engineers(trigger: Trigger, state: State, facts: Facts) -> Engineers | None:
    """Of a team's size: what is known of the last period."""
    if not isinstance(trigger, TeamSizeTrigger) or state.last is None:
        return None
    start = state.last.period
    return engineers_of(start, facts.week(start), facts)


def _beside(
    trigger: Trigger, state: State, past: Sequence[tuple[Reading, State]]
) -> OtherReading | None:
    """The other reading of the threshold, of the same weeks."""
    if isinstance(trigger, MandateTrigger) or trigger.beside is None:
        return None
    rule = with_entry(trigger, trigger.beside)
    readings = [reading for reading, _ in past]
    states = list(fold(rule, readings))
    other = states[-1] if states else START
    return OtherReading(
        threshold=threshold(rule),
        state=label(rule, other),
        active=other.is_active,
        since=other.since,
        why=_why(trigger, state, rule, other),
        series=points_of(list(zip(readings, states, strict=True))[-SHOWN:]),
    )


def _why(trigger: MetricTrigger, state: State, rule: MetricTrigger, other: State) -> str:
    """Why two readings of one threshold differ."""
    if state.is_active == other.is_active:
        return "both agree" if state.last and not state.insufficient else "nothing new is known"
    if state.is_active:
        found = _weeks_above(rule.enter, other)
        return f"{found}; {_reason('the deciding reading', trigger, state)}"
    found = _weeks_above(trigger.enter, state)
    return f"{found}; {_reason('this reading', rule, other)}"


def _weeks_above(enter: Enter, state: State) -> str:
    count = weeks_over(enter, state.window, state.last.period) if state.last else 0
    unknown = weeks_unknown(enter, state.window, state.last.period) if state.last else 0
    if enter.of == 1:
        known = f"the last week is{'' if count else ' not'} above {enter.above}"
        return "the last week is unknown" if unknown else known
    text = f"{count} of the last {enter.of} weeks {_are(count)} above {enter.above}"
    return f"{text}, {unknown} {_are(unknown)} unknown" if unknown else text


def _reason(who: str, rule: MetricTrigger, state: State) -> str:
    """Why a reading is active."""
    enter = rule.enter
    count = weeks_over(enter, state.window, state.last.period) if state.last else 0
    if count < enter.weeks:
        return f"{who} is active since {state.since} and stays so until {exit_text(rule.leave)}"
    if enter.weeks == 1:
        return f"a single one is enough for {who}"
    return f"{enter.weeks} of {enter.of} are enough for {who}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _weeks_over(trigger: Trigger, state: State) -> int | None:
    """How many weeks of the entry's window are above, whatever they were already counted for."""
    if isinstance(trigger, MandateTrigger) or state.last is None:
        return None
    enter, window, last = trigger.enter, state.window, state.last.period
    count = weeks_over(enter, window, last)
    return count if count or weeks_unknown(enter, window, last) < enter.of else None


def points_of(past: Iterable[tuple[Reading, State]]) -> tuple[Point, ...]:
    """Readings with the states after them, as points."""
    return tuple(
        Point(
            period=reading.period,
            value=reading.value,
            bounds=reading.bounds,
            phase=state.phase,
            insufficient=state.insufficient,
        )
        for reading, state in past
    )


def threshold(trigger: Trigger) -> str:
    """The rule in words."""
    if isinstance(trigger, MandateTrigger):
        return f"a mandate in force: {trigger.mandate.replace('_', ' ')}"
    return f"{entry_text(trigger.enter)}, until {exit_text(trigger.leave)}"


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
    if state.last and state.last.value is None:
        yield _unknown(state.last, decides=not state.insufficient)
    if as_of > trigger.review_by:
        yield f"its review was due on {trigger.review_by}: {trigger.owner} confirms or changes it"
    if isinstance(trigger, TeamSizeTrigger):
        yield from _disagreement(trigger, state, facts)
    if isinstance(trigger, MandateTrigger):
        yield from _mandate_warnings(trigger, facts, as_of)


def _unknown(reading: Reading, *, decides: bool) -> str:
    reason = reading.reason or "no reason is given"
    decided = ", which decides all the same" if decides else ""
    return f"the last value is {reading.bounds or 'unknown'}{decided}: {reason}"


def _disagreement(trigger: TeamSizeTrigger, state: State, facts: Facts) -> Iterator[str]:
    engineers = _engineers(trigger, state, facts)
    if engineers and (text := engineers.disagreement()):
        yield f"the counts disagree: {text}; {trigger.measure} decides"


def _mandate_warnings(trigger: MandateTrigger, facts: Facts, as_of: date) -> Iterator[str]:
    for row in facts.mandates or ():
        if row.kind != trigger.mandate:
            continue
        if not row.valid:
            yield f"not counted: {named(row)}: {row.reason}"
        elif row.in_force(as_of) and (left := (row.expires - as_of).days) <= trigger.warn_days:
            days = "1 day" if left == 1 else f"{left} days"
            yield f"{named(row)} expires in {days}, on {row.expires}"


def evidence(trigger: Trigger, state: State, facts: Facts) -> Iterator[str]:
    """Links to what was counted: pull requests of the window's weeks, mandates in force; people."""
    if isinstance(trigger, PullRequestTrigger):
        yield from (row.url for row in counted(facts, [row.period for row in state.window]))
    elif isinstance(trigger, MandateTrigger) and state.last:
        day = state.last.period
        rows = [row for row in facts.mandates or () if row.kind == trigger.mandate]
        yield from (row.evidence for row in rows if row.in_force(day))
    elif engineers := _engineers(trigger, state, facts):
        yield from map(_person, engineers.people or ())


def _person(person: People) -> str:
    known = f" ({', '.join(person.identities)})" if person.identities else ""
    seen = f", last seen on {person.last_seen}" if person.last_seen else ""
    doubt = f"; doubtful: {person.doubtful}" if person.doubtful else ""
    return f"{person.name}{known}{seen}{doubt}"


def counted(facts: Facts, weeks: Sequence[date]) -> Iterator[PullRequestEvidence]:
    """The pull requests that were counted in those weeks."""
    for week in sorted(facts.weeks, key=lambda week: week.start):
        if week.start in weeks:
            yield from (row for row in week.pull_requests if row.bucket is Bucket.COUNTED)


def _unread(facts: Facts, as_of: date) -> Iterator[str]:
    """Why nothing could be read; else the latest weeks that are unknown, and how many more."""
    if failure := facts.failure:
        remedy = f"; {failure.remedy}" if failure.remedy else ""
        yield f"GitHub gave nothing: {failure.attempted}: {failure.found}{remedy}"
        return
    starts = sorted(week.start for week in facts.weeks if not week.complete and week.end <= as_of)
    for start in starts[-_LISTED:]:
        week = facts.week(start)
        yield f"the week of {start} is unknown: {week.reason if week else ''}"
    if len(starts) > _LISTED:
        yield f"{len(starts) - _LISTED} earlier weeks are unknown as well"
