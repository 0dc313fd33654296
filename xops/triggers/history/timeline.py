"""What stands of one trigger in the history, and which entries new readings call for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from xops.triggers.history.ledger import Entry
from xops.triggers.machine import START, Reading, State, decide, step
from xops.triggers.policy import Trigger


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
