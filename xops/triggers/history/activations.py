"""Activations: when one begins, goes on for others, and ends; and what is told of it. Pure.

An activation belongs to a trigger of the policy of one name. Its id is minted when it begins and
is kept in the history until it ends, whatever is learnt or measured otherwise meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from importlib.metadata import version
from typing import Literal
from uuid import UUID, uuid5

from pydantic import Field

from xops.core.files.validation import Model
from xops.triggers.evaluation import EndedActivation, cost, evidence, threshold
from xops.triggers.facts import Bounds, Facts
from xops.triggers.history.ledger import Entry, Ledger, Transition, TriggerEvent
from xops.triggers.history.timeline import New, Timeline, TriggerHistory
from xops.triggers.machine import Decided, State, label, weeks_over, weeks_under
from xops.triggers.policy import MandateTrigger, Policy, Trigger

ACTIVATED = "xops.trigger.activated"
CHANGED = "xops.trigger.changed"
DEACTIVATED = "xops.trigger.deactivated"

# By which an earlier release named its activations.
_NAMESPACE = UUID("6f1b4c52-4f0f-5c0e-9d0a-6a3c6de1f0a5")

_EVIDENCE = 20
"""How many links an event carries; it says how many more there are."""

_REMEMBERED = timedelta(weeks=52)


@dataclass(frozen=True)
class Activation:
    """One that is open.

    Attributes:
        id: what everybody calls it.
        number: of the trigger's activations, from 1.
        since: the period in which it began.
        subjects: clouds or sites it is for; None: an earlier release did not note them.
        told: how many transitions were told of it.
        asked: number of the entry since which people are asked to decide about it as it is.
        is_noted: whether the history has its id; an earlier release only announced it.
    """

    id: UUID
    number: int
    since: date
    subjects: tuple[str, ...] | None
    told: int = 1
    asked: int = 0
    is_noted: bool = True

    def transition(
        self, event: Literal["changed", "deactivated"], subjects: tuple[str, ...], reason: str
    ) -> Transition:
        """What happens to it now."""
        return Transition(
            activation=self.id,
            number=self.number,
            event=event,
            since=self.since,
            subjects=subjects,
            reason=reason,
        )

    def with_subjects(self, subjects: tuple[str, ...], sequence: int) -> Activation:
        """The same for others; where some were added, people are asked anew."""
        added = set(subjects) - set(self.subjects or ())
        asked = sequence if added else self.asked
        return replace(self, subjects=subjects, told=self.told + 1, asked=asked)


@dataclass(frozen=True)
class Activations:
    """Those of one trigger of the policy of one name.

    Attributes:
        policy, trigger: whose they are.
        history_id: of the history that keeps them: ids are minted from it.
        open: the one that has not ended.
        count: how many there were, with the open one.
        ended: when the last one ended that did.
    """

    policy: str
    trigger: str
    history_id: UUID
    open: Activation | None = None
    count: int = 0
    ended: date | None = None

    @classmethod
    def of(cls, history: TriggerHistory, ledger: Ledger) -> Activations:
        """As the history has them."""
        found = cls(history.policy, history.name, ledger.history_id())
        if earlier := _announced(history, ledger):
            found = replace(found, open=earlier, count=1)
        for entry in history.transitions:
            found = found.after(entry)
        return found

    def after(self, entry: Entry) -> Activations:
        """As they are after the transition that the entry holds."""
        transition = entry.transition
        if transition is None:
            return self
        if transition.event == "deactivated":
            return replace(self, open=None, count=transition.number, ended=entry.period)
        if transition.event == "changed" and self.open:
            return replace(self, open=self.open.with_subjects(transition.subjects, entry.sequence))
        opened = Activation(
            id=transition.activation,
            number=transition.number,
            since=transition.since,
            subjects=transition.subjects,
            asked=entry.sequence,
        )
        return replace(self, open=opened, count=transition.number)

    def next(self, trigger: Trigger, timeline: Timeline, why: str) -> Transition | None:
        """What happens to the open one, or to one that begins; None: nothing.

        Args:
            trigger: its rule.
            timeline: of what is measured now. If it says nothing of the time since the open one
                began, it does not end it.
            why: what led to it besides what was read; "" is nothing.
        """
        state, known_until = timeline.state, timeline.known_until
        if self.open is None:
            return self._begin(trigger, timeline, why) if state.is_active else None
        if not state.is_active:
            known = known_until is not None and known_until >= self.open.since
            return self.end(_why_ended(trigger, state), why) if known else None
        return self._change(trigger, state)

    def _begin(self, trigger: Trigger, timeline: Timeline, why: str) -> Transition:
        # It does not begin before the one before it ended, however long its state goes back.
        state, number = timeline.state, self.count + 1
        since = max(state.since or date.min, self.ended or date.min)
        # The same wherever the same history goes on, that is from a restored backup, too.
        minted = f"{self.policy}/{self.trigger}: activation {number}, since {since}"
        return Transition(
            activation=uuid5(self.history_id, minted),
            number=number,
            event="activated",
            since=since,
            subjects=timeline.subjects,
            reason=_joined(why, _why_active(trigger, state)),
        )

    def end(self, reason: str, why: str = "") -> Transition | None:
        """The end of the open one, if there is one."""
        if self.open is None:
            return None
        return self.open.transition("deactivated", self.open.subjects or (), _joined(why, reason))

    def _change(self, trigger: Trigger, state: State) -> Transition | None:
        """Others are in force than those it is for; what cannot be told takes nothing away."""
        reading = state.last
        if self.open is None or self.open.subjects is None or reading is None:
            return None
        if not isinstance(trigger, MandateTrigger) or state.insufficient:
            return None
        before, now = set(self.open.subjects), set(reading.subjects)
        if reading.value is None:
            now |= before
        if before == now:
            return None
        return self.open.transition("changed", tuple(sorted(now)), "; ".join(_changes(before, now)))

    def decided(self, history: TriggerHistory) -> Decided | None:
        """What people said last about the open one as it is."""
        if self.open is None:
            return None
        said = _decided_before(history) if not self.open.is_noted else None
        for entry in history.decisions:
            if entry.activation == self.open.id and entry.sequence > self.open.asked:
                said = entry.after.decided
        return said


def _announced(history: TriggerHistory, ledger: Ledger) -> Activation | None:
    """The activation that an earlier release announced and did not see end."""
    state = Timeline.of(history.earlier).state
    if not state.is_active or state.since is None:
        return None
    events = ledger.announced(ACTIVATED, history.name)
    told = [row.payload for row in events if "policy_name" not in row.payload]
    computed = str(uuid5(_NAMESPACE, f"{history.name} active since {state.since}"))
    last = told[-1] if told else {}
    subjects = (row.reading.subjects for row in history.own if row.reading and row.reading.subjects)
    return Activation(
        id=UUID(last.get("activation", computed)),
        number=1,
        since=date.fromisoformat(last.get("since", str(state.since))),
        subjects=next(subjects, None),
        is_noted=False,
    )


def _decided_before(history: TriggerHistory) -> Decided | None:
    """What people said to an earlier release."""
    readings = Timeline.of(history.earlier).readings
    last = readings[-1] if readings else None
    decisions = [row for row in history.earlier if row.kind == "decision"]
    said = last.after.decided if last else None
    for row in decisions:
        if last is None or (row.sequence > last.sequence and row.period == last.period):
            said = row.after.decided
    return said


def _joined(why: str, reason: str) -> str:
    return f"{why}: {reason}" if why else reason


def _why_active(trigger: Trigger, state: State) -> str:
    last = state.last
    if isinstance(trigger, MandateTrigger):
        who = ", ".join(last.subjects) if last else ""
        return "a mandate is in force" + (f" for {who}" if who else "")
    enter = trigger.enter
    if last is None or last.period != state.since:
        return f"above {enter.above} since the week of {state.since}"
    count = weeks_over(enter, state.window, last.period)
    return f"{_weeks(count, enter.of)} above {enter.above}"


def _why_ended(trigger: Trigger, state: State) -> str:
    last = state.last
    if isinstance(trigger, MandateTrigger):
        return "no mandate is in force"
    leave = trigger.leave
    if last is None or last.period != state.since:
        # Of another series, or of a week that became known: it did not end with the last week.
        since = f"at or below {leave.at_or_below} since the week of {state.since}"
        return since if state.since else "active in none of its weeks"
    count = weeks_under(leave, state.window, last.period)
    return f"{_weeks(count, leave.of)} at or below {leave.at_or_below}"


def _weeks(count: int, of: int) -> str:
    if of == 1:
        return "the last week is"
    return f"{count} of the last {of} weeks {'is' if count == 1 else 'are'}"


def _changes(before: set[str], now: set[str]) -> Iterator[str]:
    yield from (f"{name} was added" for name in sorted(now - before))
    yield from (f"{name} is not in force any more" for name in sorted(before - now))


def told_after(news: Sequence[New], frontier: date | None) -> list[bool]:
    """After which of the entries what they mean for activations is told.

    Of weeks that were recorded before and are entered again, and of a series that begins, the end
    counts; of weeks that were missed, each.

    Args:
        news: in order.
        frontier: the last period that was recorded; None: the series begins.
    """
    if frontier is None:
        return [index == len(news) - 1 for index in range(len(news))]
    following = [new.period for new in news[1:]]
    return [*(period > frontier for period in following), *([True] if news else [])]


def ended(transitions: Iterable[Entry], as_of: date) -> Iterator[EndedActivation]:
    """The activations that ended within a year, by the entries of their transitions."""
    for entry in transitions:
        transition = entry.transition
        if transition is None or transition.event != "deactivated":
            continue
        if entry.as_of > as_of - _REMEMBERED:
            yield EndedActivation(
                trigger=entry.trigger,
                activation=transition.activation,
                number=transition.number,
                since=transition.since,
                ended=entry.period,
                reason=transition.reason,
            )


class CostEffect(Model):
    """What the components cost a month, as decimals."""

    lowest: str
    highest: str
    currency: str
    incomplete: bool = Field(description="Some component has no price.")


class ActivationPayload(Model):
    """What an event says: all that is needed to act without asking back."""

    version: str = Field(description="Of xOps.")
    policy_name: str
    trigger: str
    kind: str = Field(description="metric or mandate.")
    activation: UUID
    number: int
    event: str = Field(description="activated, changed or deactivated.")
    since: date = Field(description="The period in which the activation began.")
    as_of: date
    period: date = Field(description="The week or day that led to the event.")
    value: int | None
    bounds: Bounds | None
    threshold: str
    state: str
    subjects: tuple[str, ...] = Field(description="Clouds or sites; of an end, those it was for.")
    action: str
    components: tuple[str, ...] = Field(description="All that are needed, the first one first.")
    classification: str
    needs: tuple[str, ...]
    cost: CostEffect
    evidence: tuple[str, ...]
    evidence_more: int = Field(description="How many more there are.")
    reason: str
    facts: str
    policy: str
    series: str
    entry: int


def event_of(entry: Entry, told: int, policy: Policy, facts: Facts) -> TriggerEvent | None:
    """What is to be emitted of a transition.

    Args:
        entry: that holds it.
        told: how many transitions of the activation were told with this one.
        policy: the rules that say what is proposed.
        facts: whose evidence is linked.
    """
    transition = entry.transition
    if transition is None:
        return None
    trigger, state = policy.triggers[entry.trigger], entry.after
    links = list(evidence(trigger, state, facts))
    last = state.last
    payload = ActivationPayload(
        version=version("xops"),
        policy_name=entry.policy_name,
        trigger=entry.trigger,
        kind="mandate" if isinstance(trigger, MandateTrigger) else "metric",
        activation=transition.activation,
        number=transition.number,
        event=transition.event,
        since=transition.since,
        as_of=entry.as_of,
        period=entry.period,
        value=last.value if last else None,
        bounds=last.bounds if last else None,
        threshold=threshold(trigger),
        state=label(trigger, state),
        subjects=transition.subjects,
        action=trigger.action.summary,
        components=policy.all_components(trigger.action.components),
        classification=trigger.classification.value,
        needs=trigger.classification.needs,
        cost=_cost(policy, trigger),
        evidence=tuple(links[-_EVIDENCE:]),
        evidence_more=max(0, len(links) - _EVIDENCE),
        reason=transition.reason,
        facts=entry.facts,
        policy=entry.policy,
        series=entry.series,
        entry=entry.sequence,
    )
    event = {"activated": ACTIVATED, "changed": CHANGED, "deactivated": DEACTIVATED}
    return TriggerEvent(
        id=uuid5(transition.activation, f"{transition.event} {told}"),
        name=event[transition.event],
        trigger=entry.trigger,
        payload=payload.model_dump(mode="json"),
    )


def _cost(policy: Policy, trigger: Trigger) -> CostEffect:
    found = cost(policy, trigger.action.components)
    return CostEffect(
        lowest=str(found.lowest.amount),
        highest=str(found.highest.amount),
        currency=found.highest.currency,
        incomplete=found.incomplete,
    )


def problems_of(entries: Iterable[Entry]) -> Iterator[str]:
    """Where the transitions of a history do not follow each other: open, changed, ended.

    An activation that an earlier release announced has no entry of its beginning.
    """
    opened: dict[tuple[str, str], Transition | None] = {}
    unnamed: set[str] = set()
    for entry in entries:
        key = (entry.policy_name, entry.trigger)
        if not entry.policy_name and entry.kind == "reading":
            unnamed.add(entry.trigger)
        if entry.transition:
            fits = _follows(opened.get(key), entry.transition, key in opened, entry, unnamed)
            if not fits:
                yield f"entry {entry.sequence}: {entry.transition.event} does not follow"
            ends = entry.transition.event == "deactivated"
            opened[key] = None if ends else entry.transition


def _follows(
    before: Transition | None, now: Transition, seen: bool, entry: Entry, unnamed: set[str]
) -> bool:
    if before is not None:
        return now.event != "activated" and now.activation == before.activation
    return now.event == "activated" or (not seen and entry.trigger in unnamed)
