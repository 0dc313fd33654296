"""What the history holds of one trigger, by series, and what new readings add to it. Pure.

`due` says, without a database, which entries readings call for. Only `TriggerHistory.read` asks
the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from xops.core.errors import PermanentError
from xops.triggers.facts import Facts
from xops.triggers.history.ledger import Entry, Ledger
from xops.triggers.identity import (
    SeriesDocument,
    continued,
    describe_source,
    same_but_for_github,
    teaches,
)
from xops.triggers.machine import START, Reading, State, is_learnt, step
from xops.triggers.policy import MandateTrigger, Policy, Trigger

Revisions = Mapping[tuple[str, date], int]
"""By kind and period, the latest revision of any series: the database numbers them together."""

DEFAULT_NAME = str(Policy.model_fields["name"].default)
"""Of policies that have no name, as all had none in earlier releases."""

_NO_REVISIONS: Revisions = {}


@dataclass(frozen=True)
class New:
    """An entry to be: what was read, and the states around it."""

    period: date
    revision: int
    before: State
    after: State
    reading: Reading


@dataclass(frozen=True)
class Timeline:
    """The readings of one series that stand: the latest revision of each period."""

    readings: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Timeline:
        """From the entries of one series, in the order in which they were made."""
        readings = {entry.period: entry for entry in entries if entry.kind == "reading"}
        return cls(tuple(readings[period] for period in sorted(readings)))

    @property
    def state(self) -> State:
        """The present state, as read: what people decided stands apart."""
        return _read_state(self.readings[-1]) if self.readings else START

    @property
    def last(self) -> date | None:
        """Its last period."""
        return self.readings[-1].period if self.readings else None

    @property
    def known_until(self) -> date | None:
        """The last of its periods that left no question open."""
        return self._last_known.period if self._last_known else None

    @property
    def subjects(self) -> tuple[str, ...]:
        """The clouds or sites for which a mandate was in force then."""
        reading = self._last_known.reading if self._last_known else None
        return reading.subjects if reading else ()

    @property
    def _last_known(self) -> Entry | None:
        return next((row for row in reversed(self.readings) if not row.after.insufficient), None)

    def past(self) -> list[tuple[Reading, State]]:
        """Each reading with the state after it."""
        return [(row.reading, row.after) for row in self.readings if row.reading]


def _read_state(entry: Entry) -> State:
    return entry.after.model_copy(update={"decided": None})


def revisions_of(entries: Iterable[Entry]) -> dict[tuple[str, date], int]:
    """The latest revision of each kind and period."""
    found: dict[tuple[str, date], int] = {}
    for row in entries:
        found[row.kind, row.period] = max(row.revision, found.get((row.kind, row.period), 0))
    return found


def next_revision(revisions: Revisions, kind: str, period: date) -> int:
    """The number of the next entry of that kind for that period, from 0."""
    return revisions.get((kind, period), -1) + 1


def due(
    trigger: Trigger,
    timeline: Timeline,
    readings: Sequence[Reading],
    revisions: Revisions = _NO_REVISIONS,
) -> Iterator[New]:
    """The entries that the readings call for.

    Periods after the last recorded one are entered. Where a recorded period left a question open
    that is answered now, it and all after it are entered anew. What was known stays: later facts
    do not rewrite a verdict. Only the day at hand, on which mandates are looked at, goes on.
    """
    standing = {row.period: row.reading for row in timeline.readings if row.reading}
    now = {row.period: row for row in readings}
    news = _news(trigger, standing, now)
    if not news:
        return
    first = min(news)
    chosen = {**standing, **news}
    state = _state_before(timeline, first)
    for period in sorted(period for period in chosen if period >= first):
        after = step(trigger, state, chosen[period])
        revision = next_revision(revisions, "reading", period)
        yield New(period, revision, state, after, chosen[period])
        state = after


def _news(
    trigger: Trigger, standing: Mapping[date, Reading], now: Mapping[date, Reading]
) -> dict[date, Reading]:
    """The readings that were not recorded, or say more than what was."""
    last, first = max(standing, default=date.min), min(standing, default=date.min)
    # If a later day was looked at before, the one at hand is past, whatever the clock says.
    present = last if last == max(now, default=None) else None
    return {
        period: reading
        for period, reading in now.items()
        if period > last
        or (
            period in standing
            and is_learnt(trigger, standing[period], reading, is_present=period == present)
        )
        or (first < period < last and _fills_gap(trigger, standing, reading))
    }


def _fills_gap(trigger: Trigger, standing: Mapping[date, Reading], reading: Reading) -> bool:
    """Whether it is of a week that nobody entered. Mandates are looked at on any day."""
    if isinstance(trigger, MandateTrigger) or reading.period in standing:
        return False
    return is_learnt(trigger, Reading(period=reading.period, value=None), reading)


def _state_before(timeline: Timeline, period: date) -> State:
    earlier = [row for row in timeline.readings if row.period < period]
    return _read_state(earlier[-1]) if earlier else START


@dataclass(frozen=True)
class KnownSeries:
    """A series with its entries.

    Attributes:
        root: its name; "" are the entries of releases that did not note what was measured.
        document: the latest that says what it is measured from; None for those.
        timeline: its readings that stand.
        newest: number of its latest entry; 0 while it has none.
    """

    root: str
    document: SeriesDocument | None
    timeline: Timeline
    newest: int = 0

    @property
    def last(self) -> Entry | None:
        """The reading in which it ends."""
        return self.timeline.readings[-1] if self.timeline.readings else None


@dataclass(frozen=True)
class TriggerHistory:
    """All entries of one trigger of the policy of one name.

    Attributes:
        policy: the policy's name.
        name: the trigger's.
        own: the entries of that policy's trigger.
        earlier: those of releases that noted no name, which are the policy's of the default name.
        documents: of the series, by hash.
        revisions: of all policies' entries of a trigger of that name.
    """

    policy: str
    name: str
    own: tuple[Entry, ...]
    earlier: tuple[Entry, ...]
    documents: Mapping[str, SeriesDocument]
    revisions: Revisions

    @classmethod
    def read(cls, ledger: Ledger, policy: str, name: str) -> TriggerHistory:
        """From the ledger.

        Raises:
            PermanentError: a document that its entries name is gone or was changed.
        """
        entries = ledger.entries(name)
        own = tuple(row for row in entries if row.policy_name and row.policy_name == policy)
        is_default = policy in (DEFAULT_NAME, "")
        earlier = tuple(row for row in entries if not row.policy_name and is_default)
        hashes = {row.series for row in own if row.series}
        documents = {hash_: _document(ledger, hash_) for hash_ in sorted(hashes)}
        return cls(policy, name, own, earlier, documents, revisions_of(entries))

    @property
    def transitions(self) -> tuple[Entry, ...]:
        """What happened to its activations, in order."""
        return tuple(row for row in self.own if row.kind == "transition")

    @property
    def decisions(self) -> tuple[Entry, ...]:
        """What people said of activations that have a stored id, in order."""
        return tuple(row for row in self.own if row.kind == "decision")

    @cached_property
    def series(self) -> list[KnownSeries]:
        """Its series, the one with the latest entry first; "" the last."""
        # Of two that say otherwise of the same week, a transition tells which was measured last.
        rows = [row for row in self.own if row.kind != "decision"]
        roots = dict.fromkeys(self.root_of(row) for row in reversed(rows))
        return [*(self._known(root, rows) for root in roots), *self._unnamed()]

    def root_of(self, entry: Entry) -> str:
        """The series of an entry of its own, by the name that all of its documents share."""
        return self.documents[entry.series].continues or entry.series

    def _known(self, root: str, entries: Sequence[Entry]) -> KnownSeries:
        rows = [row for row in entries if self.root_of(row) == root]
        document = self.documents[rows[-1].series]
        return KnownSeries(root, document, Timeline.of(rows), rows[-1].sequence)

    def _unnamed(self) -> Iterator[KnownSeries]:
        rows = [row for row in self.earlier if row.kind == "reading"]
        if rows:
            yield KnownSeries("", None, Timeline.of(rows), rows[-1].sequence)

    @property
    def latest(self) -> KnownSeries | None:
        """The series with the latest reading."""
        return next(iter(self.series), None)

    def continue_with(self, ledger: Ledger, facts: Facts, now: SeriesDocument) -> KnownSeries:
        """The series to which readings of these facts belong; an empty one if it is new."""
        # Where mandates are read from does not depend on GitHub.
        untold = facts.failure and (facts.origin is None or "mandate" not in now.rule)
        named = [row for row in self.series if row.document]
        if untold:
            for known in named:
                if known.document and same_but_for_github(known.document, now):
                    return known
        # One that knows the repositories by their ids goes before one that knows their names.
        for known in sorted(
            named, key=lambda row: bool(row.document and teaches(row.document, now))
        ):
            if known.document and (document := continued(known.document, now)):
                return self._with_earlier(ledger, known, document)
        return self._with_earlier(ledger, KnownSeries(now.root, now, Timeline()), now)

    def _with_earlier(
        self, ledger: Ledger, known: KnownSeries, document: SeriesDocument
    ) -> KnownSeries:
        """With the entries of earlier releases, if all of them are of that series as well."""
        rows = self.entries_of(ledger, document)
        newest = known.newest or (rows[-1].sequence if rows else 0)
        return KnownSeries(known.root, document, Timeline.of(rows), newest)

    def entries_of(self, ledger: Ledger, document: SeriesDocument) -> list[Entry]:
        """All readings of a series, those of earlier releases among them if they are of it."""
        root = document.root
        own = [row for row in self.own if row.reading and self.root_of(row) == root]
        return [*(self._unnamed_of(ledger, document) if document.source else ()), *own]

    def _unnamed_of(self, ledger: Ledger, document: SeriesDocument) -> list[Entry]:
        """The entries of earlier releases, if the facts of each were of that series."""
        rows = [row for row in self.earlier if row.reading]
        made_of = {(row.facts, row.policy) for row in rows}
        found = (_described(ledger, self, facts, policy) for facts, policy in sorted(made_of))
        return rows if all(row == document for row in found) else []

    def describe_unnamed(self, ledger: Ledger, entry: Entry) -> SeriesDocument | None:
        """What an entry of an earlier release was measured from, as far as its facts say."""
        return _described(ledger, self, entry.facts, entry.policy)


def _document(ledger: Ledger, name: str) -> SeriesDocument:
    return SeriesDocument.model_validate(needed_document(ledger, name))


def needed_document(ledger: Ledger, name: str) -> Any:
    """A document that an entry names.

    Raises:
        PermanentError: it is gone, or was changed.
    """
    document = ledger.document(name)
    if document is None:
        raise PermanentError(
            "reading the history", f"the history has no document {name}",
            "Restore the database from a backup that has it.",
        )  # fmt: skip
    return document


def _described(
    ledger: Ledger, history: TriggerHistory, facts: str, policy: str
) -> SeriesDocument | None:
    measured = needed_document(ledger, facts)
    trigger = Policy.model_validate(needed_document(ledger, policy)).triggers.get(history.name)
    if trigger is None:
        return None
    return describe_source(
        history.policy, history.name, trigger, measured["timezone"], measured["source"]
    )
