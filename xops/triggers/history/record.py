"""Readings appended to the history: what is new, what changed, and what a person decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import uuid5
from zoneinfo import ZoneInfo

from xops.core.errors import Finding, InputError
from xops.triggers.facts import Facts, last_week
from xops.triggers.history.ledger import Entry, History, Ledger, TriggerEvent
from xops.triggers.history.timeline import New, Timeline, due
from xops.triggers.machine import (
    Decided,
    Decision,
    Reading,
    State,
    activation_id,
    decide,
    label,
)
from xops.triggers.policy import MandateTrigger, Policy, Trigger

ACTIVATED = "xops.trigger.activated"
DEACTIVATED = "xops.trigger.deactivated"


@dataclass(frozen=True)
class Recorded:
    """The history after readings were appended.

    Attributes:
        past: by trigger, each reading that stands with the state after it, oldest first.
        added: how many entries are new.
        restated: where the readings differ from what was recorded, which stands.
    """

    past: dict[str, list[tuple[Reading, State]]]
    added: int
    restated: tuple[str, ...]


@dataclass(frozen=True)
class _Provenance:
    """What the entries of one evaluation follow from."""

    as_of: date
    now: datetime
    facts: str
    policy: str

    def entry(self, name: str, new: New) -> Entry:
        return Entry(
            sequence=0,
            recorded_at=self.now.astimezone(UTC),
            as_of=self.as_of,
            trigger=name,
            kind="reading" if new.reading else "decision",
            period=new.period,
            revision=new.revision,
            reading=new.reading,
            before=new.before,
            after=new.after,
            facts=self.facts,
            policy=self.policy,
            previous="",
        )


def append_readings(
    history: History,
    policy: Policy,
    facts: Facts,
    series: Mapping[str, Sequence[Reading]],
    *,
    as_of: date,
    now: datetime,
) -> Recorded:
    """Append what is new, and put events of what changed into the outbox.

    Doing it again in the same week appends nothing. Two at once append once: the second finds it
    done.

    Args:
        history: is appended to.
        policy: the rules, kept beside the entries.
        facts: of which the series were read, kept beside the entries.
        series: by trigger, its readings.
        as_of: the day for which they were read.
        now: the time of the entries.

    Raises:
        InputError: the history is ahead of `as_of`, or `as_of` lies in the future.
        TemporaryError: the database does not answer.
    """
    _refuse_the_future(as_of, now.astimezone(ZoneInfo(policy.timezone)).date())

    def append(ledger: Ledger) -> Recorded:
        _refuse_the_past(ledger, as_of)
        documents = (ledger.keep("facts", facts.document()), ledger.keep("policy", policy.rules()))
        provenance = _Provenance(as_of, now, *documents)
        rows = [_append_one(ledger, policy, name, series[name], provenance) for name in series]
        return Recorded(
            past=dict(zip(series, (past for past, _ in rows), strict=True)),
            added=sum(added for _, added in rows),
            restated=tuple(
                f"{name}: {text}"
                for name, (past, _) in zip(series, rows, strict=True)
                for text in _restated(policy.triggers[name], past, series[name])
            ),
        )

    return history.transact(append)


def _append_one(
    ledger: Ledger, policy: Policy, name: str, readings: Sequence[Reading], provenance: _Provenance
) -> tuple[list[tuple[Reading, State]], int]:
    """Append one trigger's readings: its past after that, and the number of new entries."""
    before = Timeline.of(ledger.entries(name))
    news = due(policy.triggers[name], before, readings)
    made = [ledger.append(provenance.entry(name, new)) for new in news]
    if not made:
        return before.past(), 0
    after = Timeline.of(ledger.entries(name))
    _post_change(ledger, policy, name, before.state, after.state, made[-1])
    return after.past(), len(made)


def _refuse_the_future(as_of: date, today: date) -> None:
    """An entry for a day to come would keep every day before it out of the history."""
    if as_of > today:
        raise _wrong_day(f"{as_of} lies in the future: today is {today}")


def _refuse_the_past(ledger: Ledger, as_of: date) -> None:
    last = ledger.last()
    if last is None or last_week(as_of) >= last_week(last.as_of):
        return
    raise _wrong_day(f"{as_of} lies before {last.as_of}, up to which the history goes")


def _wrong_day(found: str) -> InputError:
    return InputError(
        "adding to the history",
        [Finding("argument as-of", "", found)],
        "Set the clock right, or look at any day with `--no-record`, which adds nothing.",
    )


def _post_change(
    ledger: Ledger, policy: Policy, name: str, before: State, after: State, last: Entry
) -> None:
    """An event where the trigger is active now and was not, or was and is not."""
    if before.is_active == after.is_active:
        return
    identity = activation_id(name, after) or activation_id(name, before)
    if identity is None:
        return
    trigger = policy.triggers[name]
    payload = {
        "trigger": name,
        "activation": str(identity),
        "since": str(after.since),
        "value": after.last.value if after.last else None,
        "state": label(trigger, after),
        "action": trigger.action.summary,
        "components": list(policy.all_components(trigger.action.components)),
        "classification": trigger.classification.value,
        "facts": last.facts,
        "policy": last.policy,
        "entry": last.sequence,
    }
    event = ACTIVATED if after.is_active else DEACTIVATED
    ledger.post(TriggerEvent(id=uuid5(identity, event), name=event, trigger=name, payload=payload))


def _restated(
    trigger: Trigger, past: Sequence[tuple[Reading, State]], readings: Sequence[Reading]
) -> Iterator[str]:
    """Weeks that the facts count otherwise than the history does, where both know them."""
    if isinstance(trigger, MandateTrigger):
        return
    now = {row.period: row.value for row in readings if row.value is not None}
    for row, _ in past:
        if row.value is not None and now.get(row.period, row.value) != row.value:
            yield (
                f"the week of {row.period} was recorded with {row.value}, the facts now say"
                f" {now[row.period]}: the history stands"
            )


def acknowledge(
    history: History,
    policy: Policy,
    trigger: str,
    *,
    decision: Decision,
    by: str,
    reason: str,
    now: datetime,
    today: date,
) -> State:
    """Record what a person decided about an active trigger; the state after it.

    Raises:
        InputError: there is no such trigger, or it is not active.
    """
    if trigger not in policy.triggers:
        known = ", ".join(policy.triggers)
        raise _cannot_decide(f"no trigger {trigger!r}; there are: {known}")
    decided = Decided(decision=decision, by=by, reason=reason, on=today)
    return history.transact(lambda ledger: _append_decision(ledger, policy, trigger, decided, now))


def _append_decision(
    ledger: Ledger, policy: Policy, name: str, decided: Decided, now: datetime
) -> State:
    timeline = Timeline.of(ledger.entries(name))
    before = timeline.state
    if not before.is_active or before.last is None:
        raise _cannot_decide(f"{name} is {before.phase}: there is nothing to decide about")
    period = before.last.period
    after = decide(before, decided)
    new = New(period, timeline.next_revision("decision", period), before, after)
    read = timeline.readings[-1]
    rules = ledger.keep("policy", policy.rules())
    ledger.append(_Provenance(read.as_of, now, read.facts, rules).entry(name, new))
    return after


def _cannot_decide(found: str) -> InputError:
    remedy = "See `xops triggers evaluate` for what is active; the history must have recorded it."
    return InputError("recording a decision", [Finding("argument trigger", "", found)], remedy)


@dataclass(frozen=True)
class RecordedReadings:
    """What the history has read, by trigger, oldest first."""

    as_of: date
    entries: int
    readings: dict[str, list[Reading]]


def recorded_readings(history: History) -> RecordedReadings:
    """All readings that stand.

    Raises:
        InputError: the history is empty.
    """
    return history.transact(_read_readings)


def _read_readings(ledger: Ledger) -> RecordedReadings:
    last = ledger.last()
    if last is None:
        finding = Finding("the history", "", "is empty")
        raise InputError(
            "reading the history", [finding], "Name a facts file, or read GitHub with `--github`."
        )
    names = dict.fromkeys(entry.trigger for entry in ledger.entries())
    timelines = {name: Timeline.of(ledger.entries(name)) for name in names}
    readings = {name: [row for row, _ in line.past()] for name, line in timelines.items()}
    return RecordedReadings(last.as_of, last.sequence, readings)
