"""One trigger's part of an evaluation that is recorded: readings, transitions, what stands then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from pydantic import ValidationError

from xops.core.errors import PermanentError
from xops.triggers.evaluation import SHOWN, EndedActivation, FormerSeries, Standing
from xops.triggers.facts import WEEK, Facts, last_week
from xops.triggers.history import activations
from xops.triggers.history.activations import Activations, told_after
from xops.triggers.history.ledger import RESTORE, Entry, Ledger, Transition
from xops.triggers.history.timeline import (
    KnownSeries,
    New,
    Timeline,
    TriggerHistory,
    due,
    needed_document,
    next_revision,
)
from xops.triggers.identity import SeriesDocument, describe, differences
from xops.triggers.machine import Reading, State, contradicts, fold, label
from xops.triggers.policy import MandateTrigger, Policy, Trigger


class EntryWriter:
    """Appends the entries of one evaluation, and keeps the documents that they follow from.

    Args:
        ledger: is appended to.
        policy: the rules.
        facts: what was measured.
        as_of: the day that is judged.
        now: the time of the entries.
    """

    def __init__(
        self, ledger: Ledger, policy: Policy, facts: Facts, as_of: date, now: datetime
    ) -> None:
        self.ledger = ledger
        self.policy = policy
        self.facts = facts
        self.as_of = as_of
        self.added = 0
        self._now = now.astimezone(UTC)
        self._documents: tuple[str, str] | None = None
        self._series: tuple[SeriesDocument, str] | None = None

    def append(self, entry: Entry, series: SeriesDocument | None) -> Entry:
        """Append it with all that it follows from."""
        facts, policy = self._keep_documents()
        changes = {"facts": facts, "policy": policy, "recorded_at": self._now}
        if series is not None:
            changes["series"] = self._keep_series(series)
        self.added += 1
        return self.ledger.append(entry.model_copy(update=changes))

    def _keep_series(self, series: SeriesDocument) -> str:
        """Its hash. A trigger's entries share one document, which may name 1,000 repositories."""
        if self._series is None or self._series[0] is not series:
            self._series = series, self.ledger.keep("series", series.model_dump(mode="json"))
        return self._series[1]

    def _keep_documents(self) -> tuple[str, str]:
        if self._documents is None:
            self._documents = (
                self.ledger.keep("facts", self.facts.document()),
                self.ledger.keep("policy", self.policy.rules()),
            )
        return self._documents

    def entry(self, name: str, period: date, before: State, after: State) -> Entry:
        """A reading's entry to be, without the reading."""
        return Entry(
            sequence=0,
            recorded_at=self._now,
            as_of=self.as_of,
            trigger=name,
            kind="reading",
            period=period,
            revision=0,
            reading=None,
            before=before,
            after=after,
            facts="",
            policy="",
            policy_name=self.policy.name,
            previous="",
        )


@dataclass(frozen=True)
class TriggerOutcome:
    """One trigger after its readings were appended.

    Attributes:
        past: each reading that stands with the state after it, oldest first.
        standing: what else the history knows.
        restated: where the readings differ from what was recorded, which stands.
        ended: activations that ended within a year.
    """

    past: list[tuple[Reading, State]]
    standing: Standing
    restated: list[str]
    ended: list[EndedActivation]


class TriggerRecord:
    """Appends one trigger's readings and what they mean for its activations.

    Args:
        writer: of the evaluation.
        name: of the trigger, which the policy has.
    """

    def __init__(self, writer: EntryWriter, name: str) -> None:
        self._writer = writer
        self._name = name
        self._trigger = writer.policy.triggers[name]
        self._history = TriggerHistory.read(writer.ledger, writer.policy.name, name)
        self._book = Activations.of(self._history, writer.ledger)
        self._decided = self._book.decided(self._history)
        self._before = self._history.latest
        described = describe(writer.policy.name, name, self._trigger, writer.facts)
        self._present = self._history.continue_with(writer.ledger, writer.facts, described)
        self._timeline = self._present.timeline
        self._revisions = dict(self._history.revisions)
        self._transitions = list(self._history.transitions)

    def record(self, readings: Sequence[Reading]) -> TriggerOutcome:
        """Append what is new, and say what stands then."""
        unread = self._writer.facts.failure and not isinstance(self._trigger, MandateTrigger)
        if unread:
            self._tell(self._switched())
        else:
            self._append(list(due(self._trigger, self._timeline, readings, self._revisions)))
        past = self._timeline.past()
        if unread:
            past += self._unrecorded(readings)
        return TriggerOutcome(
            past=past,
            standing=self._standing(past),
            restated=[f"{self._name}: {text}" for text in self._restated(readings)],
            ended=list(activations.ended(self._transitions, self._writer.as_of)),
        )

    def _unrecorded(self, readings: Sequence[Reading]) -> list[tuple[Reading, State]]:
        """Weeks that are shown but not entered. They begin and end nothing: nobody is told."""
        last = self._timeline.last
        later = [
            Reading(period=row.period, value=None, reason=row.reason or "GitHub gave nothing")
            for row in readings
            if last is None or row.period > last
        ]
        return list(zip(later, fold(self._trigger, later, self._timeline.state), strict=True))

    def _append(self, news: Sequence[New]) -> None:
        switched, last = self._switched(), self._timeline.last
        # Meanwhile another series was measured: what this one missed was told by that one.
        frontier = None if switched else last
        for new, told in zip(news, told_after(news, frontier), strict=True):
            entry = self._append_reading(new)
            self._timeline = Timeline.of([*self._timeline.readings, entry])
            if told:
                is_learnt = frontier is not None and new.period <= frontier
                self._tell(switched or (self._learnt(news[0]) if is_learnt else ""))
        if not news:
            # Another series went before: what it said of the activation need not hold here.
            self._tell(switched)

    def _learnt(self, new: New) -> str:
        if isinstance(self._trigger, MandateTrigger):
            return f"{new.period} was looked at again"
        return f"the week of {new.period} became known"

    def _switched(self) -> str:
        """That another series went before, and what is otherwise; "" where none did."""
        return "; ".join(["measured otherwise", *self._changes()]) if self._is_switch() else ""

    def _append_reading(self, new: New) -> Entry:
        entry = self._writer.entry(
            self._name, new.period, self._with_decision(new.before), self._with_decision(new.after)
        )
        self._revisions["reading", new.period] = new.revision
        reading = {"reading": new.reading, "revision": new.revision}
        return self._writer.append(entry.model_copy(update=reading), self._present.document)

    def _with_decision(self, state: State) -> State:
        """The state with what people said, as far as it is of the open activation."""
        opened, last = self._book.open, state.last
        is_its = opened and last and state.is_active and last.period >= opened.since
        return state.model_copy(update={"decided": self._decided if is_its else None})

    def _tell(self, why: str) -> None:
        """Append what happens to the activation, and post its event."""
        state = self._timeline.state
        transition = self._book.next(self._trigger, self._timeline, why)
        if transition is None or state.last is None:
            return
        period, was = state.last.period, self._book.open
        revision = next_revision(self._revisions, "transition", period)
        self._revisions["transition", period] = revision
        entry = self._writer.entry(self._name, period, state, self._with_decision(state))
        entry = transition_entry(entry, transition, revision)
        made = self._writer.append(entry, self._present.document)
        post_event(self._writer, made, was.told if was else 0, self._writer.policy)
        self._transitions.append(made)
        self._book = self._book.after(made)
        opened = self._book.open
        if opened is None or opened.asked == made.sequence:
            self._decided = None

    def _standing(self, past: Sequence[tuple[Reading, State]]) -> Standing:
        state = past[-1][1] if past else self._timeline.state
        opened = self._book.open
        standing = Standing(former=self._former(), warnings=tuple(self._warnings()))
        if opened is None:
            return standing
        standing = replace(standing, activation=opened.id, number=opened.number,
                           since=opened.since, decided=self._decided,
                           # An earlier release did not note them.
                           subjects=opened.subjects or self._timeline.subjects)  # fmt: skip
        if state.is_active:
            return standing
        kept = "nothing is known yet of what is measured now: the activation of before stands"
        return replace(standing, kept=kept, warnings=(*standing.warnings, kept))

    def _is_switch(self) -> bool:
        """Whether the last readings that were recorded are of another series."""
        before = self._before
        return before is not None and before.newest > self._present.newest

    def _changes(self) -> tuple[str, ...]:
        """What is measured otherwise than in the series before."""
        before, now = self._before, self._present.document
        return _changed(self._writer.ledger, self._history, before, now) if before and now else ()

    def _warnings(self) -> Iterator[str]:
        if not self._is_switch() or self._before is None:
            return
        begun = "an earlier series goes on" if self._present.newest else "a new series begins"
        before = self._before.timeline
        state = label(self._trigger, before.state)
        yield f"{begun}: {'; '.join(self._changes())}; before, up to {before.last}: {state}"

    def _former(self) -> FormerSeries | None:
        """The latest other series, for half a year."""
        now, roots = self._present, {self._present.root}
        if now.timeline.readings and not now.timeline.readings[0].policy_name:
            roots.add("")  # the entries of earlier releases are this series' own
        others = (row for row in self._history.series if row.root not in roots)
        former = next(others, None)
        if former is None or former.timeline.last is None or now.document is None:
            return None
        shown = self._timeline.last or last_week(self._writer.as_of)
        if former.timeline.last < shown - SHOWN * WEEK:
            return None
        return FormerSeries(
            last=former.timeline.last,
            state=label(_rule_of(self._writer.ledger, former, self._name) or self._trigger,
                        former.timeline.state),
            changed=_changed(self._writer.ledger, self._history, former, now.document),
        )  # fmt: skip

    def _restated(self, readings: Sequence[Reading]) -> Iterator[str]:
        """Weeks that the facts count otherwise than the history does, as far as both know them."""
        if isinstance(self._trigger, MandateTrigger):
            return
        now = {row.period: row for row in readings}
        for row, _ in self._timeline.past():
            found = now.get(row.period)
            if found is not None and contradicts(row, found):
                yield (
                    f"the week of {row.period} was recorded with {_amount(row)}, the facts now say"
                    f" {_amount(found)}: the history stands"
                )


def _amount(reading: Reading) -> str:
    return str(reading.bounds or "unknown") if reading.value is None else str(reading.value)


def transition_entry(entry: Entry, transition: Transition, revision: int) -> Entry:
    """An entry of a transition, from that of a reading."""
    changes = {"kind": "transition", "transition": transition, "revision": revision}
    return entry.model_copy(update=changes)


def post_event(writer: EntryWriter, entry: Entry, told: int, policy: Policy) -> None:
    """Put what a transition tells into the outbox.

    Args:
        writer: of the evaluation.
        entry: of the transition.
        told: how many transitions of the activation were told before.
        policy: that has the trigger.
    """
    if event := activations.event_of(entry, told + 1, policy, writer.facts):
        writer.ledger.post(event)


def _changed(
    ledger: Ledger, history: TriggerHistory, before: KnownSeries, now: SeriesDocument
) -> tuple[str, ...]:
    """What is measured otherwise now, in words."""
    document = before.document
    if document is None and before.last is not None:
        document = history.describe_unnamed(ledger, before.last)
    if document is None:
        return ("an earlier release did not note what it measured",)
    return differences(document, now) or ("the same repositories, known by other names",)


def _rule_of(ledger: Ledger, series: KnownSeries, name: str) -> Trigger | None:
    """The rule by which a series was read last."""
    return stored_policy(ledger, series.last.policy).triggers.get(name) if series.last else None


def stored_policy(ledger: Ledger, name: str) -> Policy:
    """The rules that entries follow from.

    Raises:
        PermanentError: they are gone, were changed, or this release cannot read them.
    """
    try:
        return Policy.model_validate(needed_document(ledger, name))
    except ValidationError as error:
        places = ", ".join(".".join(map(str, issue["loc"])) for issue in error.errors())
        raise PermanentError(
            "reading the history", f"this release cannot read the policy {name}: {places}", RESTORE
        ) from None
