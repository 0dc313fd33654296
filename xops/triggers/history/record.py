"""Readings appended to the history: what is new, what changed, and the verdicts that follow.

`evaluate_and_record` leads from facts to an evaluation; `due` says, without a database, which
entries readings call for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import uuid5
from zoneinfo import ZoneInfo

from xops.core.errors import Finding, InputError
from xops.triggers.evaluation import Evaluation, conclude
from xops.triggers.facts import Facts, last_week
from xops.triggers.history.ledger import Entry, History, Ledger, TriggerEvent
from xops.triggers.machine import START, Reading, State, activation_id, decide, label, step
from xops.triggers.policy import MandateTrigger, Policy, Trigger
from xops.triggers.series import read_series

ACTIVATED = "xops.trigger.activated"
DEACTIVATED = "xops.trigger.deactivated"


def evaluate_and_record(
    history: History, policy: Policy, facts: Facts, as_of: date, now: datetime
) -> Evaluation:
    """Append what is new to the history, and judge all that it remembers.

    Raises:
        InputError: the history is ahead of `as_of`, `as_of` lies in the future, or the time zones
            differ.
        TemporaryError: the database does not answer.
        PermanentError: the database refuses what is asked of it.
    """
    series = read_series(policy, facts, as_of)
    recorded = append_readings(history, policy, facts, series, as_of=as_of, now=now)
    evaluation = conclude(policy, facts, as_of, recorded.past)
    added = recorded.added
    done = f"{added} entries were added" if added else "nothing is new: it was recorded before"
    warnings = (*evaluation.warnings, *recorded.restated)
    return evaluation.model_copy(update={"recorded": done, "warnings": warnings})


@dataclass(frozen=True)
class New:
    """An entry to be: what was read or decided, and the states around it."""

    period: date
    revision: int
    before: State
    after: State
    reading: Reading | None = None


@dataclass(frozen=True)
class Timeline:
    """What stands of one trigger: the latest revision of each period, and people's decisions."""

    readings: tuple[Entry, ...]
    decisions: tuple[Entry, ...]
    revisions: dict[tuple[str, date], int]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Timeline:
        """From all entries of one trigger, in the order in which they were made."""
        readings: dict[date, Entry] = {}
        decisions: list[Entry] = []
        revisions: dict[tuple[str, date], int] = {}
        for entry in entries:
            revisions[entry.kind, entry.period] = entry.revision
            if entry.kind == "reading":
                readings[entry.period] = entry
            else:
                decisions.append(entry)
        ordered = tuple(readings[period] for period in sorted(readings))
        return cls(ordered, tuple(decisions), revisions)

    def next_revision(self, kind: str, period: date) -> int:
        """The number of the next entry of that kind for that period, from 0."""
        return self.revisions.get((kind, period), -1) + 1

    @property
    def state(self) -> State:
        """The present state, decisions among it."""
        if not self.readings:
            return START
        return self.state_after(self.readings[-1])

    def state_after(self, reading: Entry) -> State:
        """The state after a period: a decision made within it, since it was read, counts."""
        later = [
            entry.after
            for entry in self.decisions
            if entry.period == reading.period and entry.sequence > reading.sequence
        ]
        return later[-1] if later else reading.after

    def past(self) -> list[tuple[Reading, State]]:
        """Each reading with the state after it."""
        return [(row.reading, self.state_after(row)) for row in self.readings if row.reading]


def due(trigger: Trigger, timeline: Timeline, readings: Sequence[Reading]) -> Iterator[New]:
    """The entries that the readings call for. Pure.

    Periods after the last recorded one are entered. Where a recorded period was unknown and is
    known now, it and all after it are entered anew. What was known stays: later facts do not
    rewrite a verdict.
    """
    standing = {row.period: row.reading for row in timeline.readings if row.reading}
    now = {row.period: row for row in readings}
    learnt = [
        period
        for period, reading in standing.items()
        if reading.value is None and period in now and now[period].value is not None
    ]
    last = max(standing, default=date.min)
    news = [*learnt, *(period for period in now if period > last)]
    if not news:
        return
    first = min(news)
    chosen = {period: row for period, row in now.items() if period in news}
    chosen |= {period: row for period, row in standing.items() if period not in news}
    state = _state_before(timeline, first)
    for period in sorted(period for period in chosen if period >= first):
        after = _with_decision(timeline, period, step(trigger, state, chosen[period]))
        revision = timeline.next_revision("reading", period)
        yield New(period, revision, state, after, chosen[period])
        state = after


def _state_before(timeline: Timeline, period: date) -> State:
    earlier = [row for row in timeline.readings if row.period < period]
    return timeline.state_after(earlier[-1]) if earlier else START


def _with_decision(timeline: Timeline, period: date, state: State) -> State:
    """The state with what a person decided in that period, when it is entered anew."""
    made = [row.after.decided for row in timeline.decisions if row.period == period]
    if made and made[-1] and state.is_active:
        return decide(state, made[-1])
    return state


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
class Provenance:
    """What the entries of one evaluation follow from."""

    as_of: date
    now: datetime
    facts: str
    policy: str

    def entry(self, name: str, new: New) -> Entry:
        """The entry of that trigger, not sealed yet."""
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
        provenance = Provenance(as_of, now, *documents)
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
    ledger: Ledger, policy: Policy, name: str, readings: Sequence[Reading], provenance: Provenance
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
