"""Evaluations that remember: what is new is appended to the history, and recomputed on demand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from xops.core.errors import Finding, InputError, PermanentError
from xops.core.files.validation import Model
from xops.triggers.evaluation import (
    Evaluation,
    activation,
    check_zones,
    concluded,
    readings_of,
)
from xops.triggers.facts import Facts, last_week
from xops.triggers.history.ledger import Entry, History, Ledger, Notice
from xops.triggers.machine import (
    START,
    Decided,
    Decision,
    Reading,
    State,
    decide,
    label,
    step,
)
from xops.triggers.policy import Policy, Trigger

ACTIVATED = "xops.trigger.activated"
DEACTIVATED = "xops.trigger.deactivated"


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
    """What stands of one trigger: the latest revision of each period, and a person's words."""

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
        after = _with_words(timeline, period, step(trigger, state, chosen[period]))
        revision = timeline.next_revision("reading", period)
        yield New(period, revision, state, after, chosen[period])
        state = after


def _state_before(timeline: Timeline, period: date) -> State:
    earlier = [row for row in timeline.readings if row.period < period]
    return timeline.state_after(earlier[-1]) if earlier else START


def _with_words(timeline: Timeline, period: date, state: State) -> State:
    """The state with what a person decided in that period, when it is entered anew."""
    words = [row.after.decided for row in timeline.decisions if row.period == period]
    if words and words[-1] and state.is_active:
        return decide(state, words[-1])
    return state


def record(
    history: History, policy: Policy, facts: Facts, as_of: date, now: datetime
) -> Evaluation:
    """Evaluate, append what is new, and put notices of what changed into the outbox.

    Doing it again in the same week appends nothing. Two at once append once: the second finds it
    done.

    Raises:
        InputError: the history is ahead of `as_of`, `as_of` lies in the future, or the time zones
            differ.
        TemporaryError: the database does not answer.
    """
    check_zones(policy, facts)
    _refuse_the_future(as_of, now.astimezone(ZoneInfo(policy.timezone)).date())
    return history.transact(lambda ledger: _recorded(ledger, policy, facts, as_of, now))


def _recorded(
    ledger: Ledger, policy: Policy, facts: Facts, as_of: date, now: datetime
) -> Evaluation:
    _refuse_the_past(ledger, as_of)
    hashes = (ledger.keep("facts", _document(facts)), ledger.keep("policy", policy.rules()))
    past: dict[str, list[tuple[Reading, State]]] = {}
    added, restated = 0, []
    for name, trigger in policy.triggers.items():
        before = Timeline.of(ledger.entries(name))
        readings = readings_of(trigger, facts, as_of)
        made = [
            ledger.append(_entry(name, new, as_of, now, hashes))
            for new in due(trigger, before, readings)
        ]
        after = Timeline.of(ledger.entries(name)) if made else before
        if made:
            _post_changes(ledger, policy, name, before.state, after.state, made[-1])
        past[name] = after.past()
        added += len(made)
        restated += [f"{name}: {text}" for text in _restated(trigger, past[name], readings)]
    evaluation = concluded(policy, facts, as_of, past)
    return _with_notes(evaluation, added, restated)


def _document(facts: Facts) -> Any:
    return facts.model_dump(mode="json", by_alias=True)


def _entry(name: str, new: New, as_of: date, now: datetime, hashes: tuple[str, str]) -> Entry:
    return Entry(
        sequence=0,
        recorded_at=now.astimezone(UTC),
        as_of=as_of,
        trigger=name,
        kind="reading" if new.reading else "decision",
        period=new.period,
        revision=new.revision,
        reading=new.reading,
        before=new.before,
        after=new.after,
        facts=hashes[0],
        policy=hashes[1],
        previous="",
    )


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


def _post_changes(
    ledger: Ledger, policy: Policy, name: str, before: State, after: State, last: Entry
) -> None:
    """A notice where the trigger is active now and was not, or was and is not."""
    if before.is_active == after.is_active:
        return
    identity = activation(name, after) or activation(name, before)
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
    notice = Notice(id=uuid5(identity, event), name=event, trigger=name, payload=payload)
    ledger.post(notice, last.sequence)


def _with_notes(evaluation: Evaluation, added: int, restated: Sequence[str]) -> Evaluation:
    done = f"{added} entries were added" if added else "nothing is new: it was recorded before"
    return evaluation.model_copy(
        update={"recorded": done, "warnings": (*evaluation.warnings, *restated)}
    )


def _restated(
    trigger: Trigger, past: Sequence[tuple[Reading, State]], readings: Sequence[Reading]
) -> Iterator[str]:
    """Weeks that the facts count otherwise than the history does, where both know them."""
    if trigger.metric is None:
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
    word = Decided(decision=decision, by=by, reason=reason, on=today)
    return history.transact(lambda ledger: _decided(ledger, policy, trigger, word, now))


def _decided(ledger: Ledger, policy: Policy, name: str, word: Decided, now: datetime) -> State:
    timeline = Timeline.of(ledger.entries(name))
    before = timeline.state
    if not before.is_active or before.last is None:
        raise _cannot_decide(f"{name} is {before.phase}: there is nothing to decide about")
    period = before.last.period
    after = decide(before, word)
    new = New(period, timeline.next_revision("decision", period), before, after)
    read = timeline.readings[-1]
    hashes = (read.facts, ledger.keep("policy", policy.rules()))
    ledger.append(_entry(name, new, read.as_of, now, hashes))
    return after


def _cannot_decide(found: str) -> InputError:
    remedy = "See `xops triggers evaluate` for what is active; the history must have recorded it."
    return InputError("recording a decision", [Finding("argument trigger", "", found)], remedy)


class Explanation(Model):
    """A verdict recomputed from its stored facts and rules."""

    entry: Entry
    agrees: bool
    state: str
    recomputed: str
    problems: tuple[str, ...] = ()


def explain(history: History, trigger: str, period: date | None = None) -> Explanation:
    """Recompute a trigger's verdict, the latest or that of one week, and compare.

    Raises:
        InputError: the history has no such verdict.
        PermanentError: the facts or rules it follows from are gone.
    """
    return history.transact(lambda ledger: _explained(ledger, trigger, period))


def _explained(ledger: Ledger, trigger: str, period: date | None) -> Explanation:
    entries = ledger.entries(trigger)
    wanted = [row for row in entries if period is None or row.period == period]
    if not wanted:
        which = f" for the period {period}" if period else ""
        finding = Finding("argument trigger", "", f"no verdict on {trigger!r}{which}")
        remedy = "Run `xops triggers evaluate --record` first, or name a Monday it has recorded."
        raise InputError("looking into the history", [finding], remedy)
    return recompute(ledger, wanted[-1])


def recompute(ledger: Ledger, entry: Entry) -> Explanation:
    """The same verdict from the stored facts, rules and state before it, and what differs.

    Raises:
        PermanentError: the facts or rules it follows from are gone.
    """
    policy = _stored(ledger, Policy, entry.policy, entry)
    facts = _stored(ledger, Facts, entry.facts, entry)
    trigger = policy.triggers[entry.trigger]
    after = _again(ledger, trigger, facts, entry)
    problems = [*_broken_seals(ledger, entry)]
    if after != entry.after:
        problems.append("the stored facts and rules give another state than the one recorded")
    return Explanation(
        entry=entry,
        agrees=not problems,
        state=label(trigger, entry.after),
        recomputed=label(trigger, after),
        problems=tuple(problems),
    )


def _again(ledger: Ledger, trigger: Trigger, facts: Facts, entry: Entry) -> State:
    if entry.reading is None:
        return decide(entry.before, entry.after.decided) if entry.after.decided else entry.before
    read = {row.period: row for row in readings_of(trigger, facts, entry.as_of)}
    # A week entered again behind one that became known keeps what was recorded for it first.
    earlier = [
        row.reading
        for row in ledger.entries(entry.trigger)
        if row.period == entry.period and row.revision < entry.revision and row.reading
    ]
    known = [row for row in earlier if row.value is not None]
    reading = known[-1] if known else read.get(entry.period, entry.reading)
    after = step(trigger, entry.before, reading)
    decided = entry.after.decided
    return decide(after, decided) if decided and after.is_active else after


def _broken_seals(ledger: Ledger, entry: Entry) -> Iterator[str]:
    if entry.seal() != entry.hash:
        yield f"entry {entry.sequence} was changed after it was made"
    before = ledger.entry(entry.sequence - 1)
    if (before.hash if before else "") != entry.previous:
        yield f"entry {entry.sequence} does not follow the one before it"


def _stored[Document: (Policy, Facts)](
    ledger: Ledger, kind: type[Document], name: str, entry: Entry
) -> Document:
    document = ledger.document(name)
    if document is None:
        raise PermanentError(
            f"recomputing entry {entry.sequence}",
            f"the history has no document {name}",
            "Restore the database from a backup that has it.",
        )
    return kind.model_validate(document)


@dataclass(frozen=True)
class Remembered:
    """What the history has read, by trigger, oldest first."""

    as_of: date
    entries: int
    readings: dict[str, list[Reading]]


def remembered(history: History) -> Remembered:
    """All readings that stand.

    Raises:
        InputError: the history is empty.
    """
    return history.transact(_remembered)


def _remembered(ledger: Ledger) -> Remembered:
    last = ledger.last()
    if last is None:
        finding = Finding("the history", "", "is empty")
        raise InputError(
            "reading the history", [finding], "Name a facts file, or read GitHub with `--github`."
        )
    names = dict.fromkeys(entry.trigger for entry in ledger.entries())
    timelines = {name: Timeline.of(ledger.entries(name)) for name in names}
    readings = {name: [row for row, _ in line.past()] for name, line in timelines.items()}
    return Remembered(last.as_of, last.sequence, readings)


def verify(ledger: Ledger) -> list[str]:
    """What is wrong with the chain of all entries; empty if it is whole."""
    return [text for entry in ledger.entries() for text in _broken_seals(ledger, entry)]


def unsent(history: History) -> list[Notice]:
    """The notices that wait to be sent."""
    return history.transact(lambda ledger: ledger.pending())


def mark_sent(history: History, notice: UUID, now: datetime) -> None:
    """Say that a notice was sent."""
    history.transact(lambda ledger: ledger.sent(notice, now))
