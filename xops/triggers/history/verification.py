"""Verdicts recomputed from what the history keeps, and the history verified as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from pydantic import Field

from xops.core.errors import Finding, InputError
from xops.core.files.validation import Model
from xops.triggers.facts import Bounds, Facts
from xops.triggers.history import activations
from xops.triggers.history.activations import Activations
from xops.triggers.history.ledger import Entry, History, Ledger, Transition
from xops.triggers.history.timeline import TriggerHistory, needed_document
from xops.triggers.history.trigger_record import stored_policy
from xops.triggers.identity import SeriesDocument
from xops.triggers.machine import (
    Decided,
    Reading,
    State,
    is_above,
    is_at_or_below,
    is_learnt,
    label,
    step,
)
from xops.triggers.policy import MandateTrigger, Trigger
from xops.triggers.series import readings_of


class WindowPeriod(Model):
    """A period that the verdict looks at, and how it was counted."""

    period: date
    value: int | None
    bounds: Bounds | None = None
    counted: bool
    why: str = Field(description="What it says: above, at or below, or that it leaves it open.")


class Explanation(Model):
    """A verdict recomputed from its stored facts and rules, with what led to it."""

    entry: Entry = Field(description="The reading that it follows from.")
    agrees: bool
    state: str
    recomputed: str
    problems: tuple[str, ...] = ()
    value: int | None = None
    bounds: Bounds | None = None
    reason: str = ""
    window: tuple[WindowPeriod, ...] = ()
    decided: Decided | None = None
    decisions: tuple[Decided, ...] = Field(default=(), description="Made while it was the last.")
    transitions: tuple[Transition, ...] = Field(
        default=(), description="What it meant for the activation."
    )
    activation: UUID | None = Field(default=None, description="The one that is open now.")
    number: int | None = None
    series: dict[str, Any] | None = Field(
        default=None, description="What it was measured from; null for earlier releases' entries."
    )
    origin: tuple[str, ...] = Field(default=(), description="The same in words.")


def explain(
    history: History, trigger: str, period: date | None = None, *, policy_name: str | None = None
) -> Explanation:
    """Recompute a trigger's verdict, the latest or that of one period, and compare.

    Args:
        history: is read.
        trigger: its name.
        period: the Monday of a week, or the day of a mandate; None: the latest.
        policy_name: whose trigger it is; None: of the policy that was evaluated last.

    Raises:
        InputError: the history has no such verdict.
        PermanentError: the facts or rules it follows from are gone.
    """
    return history.transact(lambda ledger: _explain(ledger, trigger, period, policy_name))


def _explain(
    ledger: Ledger, trigger: str, period: date | None, policy_name: str | None
) -> Explanation:
    entries = ledger.entries(trigger)
    owner = policy_name if policy_name is not None else (entries[-1].policy_name if entries else "")
    history = TriggerHistory.read(ledger, owner, trigger)
    wanted = _wanted(history, period)
    if wanted is None:
        which = f" for the period {period}" if period else ""
        finding = Finding("argument trigger", "", f"no verdict on {trigger!r}{which}")
        remedy = "Run `xops triggers evaluate --record` first, or name a Monday it has recorded."
        raise InputError("looking into the history", [finding], remedy)
    return _recompute(ledger, history, wanted)


def _wanted(history: TriggerHistory, period: date | None) -> Entry | None:
    """The reading of that period in the series with the latest readings."""
    for series in history.series:
        rows = [row for row in series.timeline.readings if period in (None, row.period)]
        if rows:
            return rows[-1]
    return None


def _recompute(ledger: Ledger, history: TriggerHistory, entry: Entry) -> Explanation:
    """The same verdict from the stored facts, rules and state before it, and what differs."""
    trigger = stored_policy(ledger, entry.policy).triggers[entry.trigger]
    after = _recompute_state(ledger, history, trigger, entry)
    problems = list(ledger.chain_problems())
    if after != entry.after:
        problems.append("the stored facts and rules give another state than the one recorded")
    rows = [*history.earlier, *history.own]
    meanwhile = [row for row in rows if row.period == entry.period and row.reading is None
                 and row.sequence > entry.sequence]  # fmt: skip
    said = [row.after.decided for row in meanwhile if row.kind == "decision" and row.after.decided]
    decided = {"decided": said[-1] if said else entry.after.decided}
    reading, opened = entry.reading, Activations.of(history, ledger).open
    document = history.documents.get(entry.series)
    return Explanation(
        entry=entry,
        agrees=not problems,
        state=label(trigger, entry.after.model_copy(update=decided)),
        recomputed=label(trigger, after.model_copy(update=decided)),
        problems=tuple(problems),
        value=reading.value if reading else None,
        bounds=reading.bounds if reading else None,
        reason=reading.reason if reading else "",
        window=tuple(_window(trigger, entry.before, entry.after)),
        decided=decided["decided"],
        decisions=tuple(said),
        transitions=tuple(row.transition for row in meanwhile if row.transition),
        activation=opened.id if opened else None,
        number=opened.number if opened else None,
        series=document.model_dump(mode="json") if document else None,
        origin=_origin(ledger, history, entry, document),
    )


def _origin(
    ledger: Ledger, history: TriggerHistory, entry: Entry, document: SeriesDocument | None
) -> tuple[str, ...]:
    found = document or history.describe_unnamed(ledger, entry)
    return found.lines() if found else ()


def _window(trigger: Trigger, before: State, after: State) -> Iterator[WindowPeriod]:
    """The periods that decided: of the entry while it was not active, of the exit while it was."""
    if isinstance(trigger, MandateTrigger):
        yield from (_in_force(row) for row in after.window[-1:])
        return
    weeks = trigger.leave.of if before.is_active else trigger.enter.of
    since = before.since or date.min
    last = after.window[-1].period if after.window else date.min
    for row in after.window:
        if (last - row.period).days < 7 * weeks:
            fresh = row.period > since
            yield _counted(trigger, row, active=before.is_active, fresh=fresh)


def _in_force(reading: Reading) -> WindowPeriod:
    answer = is_above(0, reading)
    why = {None: "leaves open whether a mandate is in force", True: "a mandate is in force",
           False: "no mandate is in force"}[answer]  # fmt: skip
    return _period(reading, counted=answer is True, why=why)


def _counted(trigger: Trigger, reading: Reading, *, active: bool, fresh: bool) -> WindowPeriod:
    if isinstance(trigger, MandateTrigger):
        return _in_force(reading)
    threshold = trigger.leave.at_or_below if active else trigger.enter.above
    ask = is_at_or_below if active else is_above
    answer = ask(threshold, reading)
    words = ("at or below", "above") if active else ("above", "not above")
    amount = str(reading.value) if reading.value is not None else str(reading.bounds or "unknown")
    why = f"{amount} is {words[0] if answer else words[1]} {threshold}"
    if answer is None:
        why = amount if amount == "unknown" else f"unknown, {amount}"
    elif answer and not fresh:
        why += ", and was counted for the change before"
    return _period(reading, counted=answer is True and fresh, why=why)


def _period(reading: Reading, *, counted: bool, why: str) -> WindowPeriod:
    return WindowPeriod(
        period=reading.period, value=reading.value, bounds=reading.bounds, counted=counted, why=why
    )


def _recompute_state(
    ledger: Ledger, history: TriggerHistory, trigger: Trigger, entry: Entry
) -> State:
    """The state after a reading. What people said is no matter of facts: it stays as recorded."""
    facts = Facts.model_validate(needed_document(ledger, entry.facts))
    if not entry.series:
        facts = _valid_only(facts)
    read = {row.period: row for row in readings_of(trigger, facts, entry.as_of)}
    now = read.get(entry.period)
    before, last = _recorded_before(ledger, history, entry)
    # A week entered again behind one that became known keeps what was recorded for it first.
    present = entry.period == max(read) == last
    learnt = before and now and is_learnt(trigger, before, now, is_present=present)
    reading = now if before is None or learnt else before
    reading = reading or entry.reading
    if reading is None:
        return entry.after
    if not entry.series:
        reading = reading.model_copy(update={"subjects": ()})
    after = step(trigger, entry.before, reading)
    return after.model_copy(update={"decided": entry.after.decided})


def _valid_only(facts: Facts) -> Facts:
    """Facts as an earlier release read them: a mandate that was not valid did not exist."""
    if facts.mandates is None:
        return facts
    return facts.model_copy(update={"mandates": tuple(m for m in facts.mandates if m.valid)})


def _recorded_before(
    ledger: Ledger, history: TriggerHistory, entry: Entry
) -> tuple[Reading | None, date | None]:
    """What the same series had for that period until then, and its last period."""
    rows: Sequence[Entry] = history.earlier
    if entry.series:
        rows = history.entries_of(ledger, history.documents[entry.series])
    until = [row for row in rows if row.sequence < entry.sequence and row.reading]
    earlier = [row.reading for row in until if row.period == entry.period]
    last = max((row.period for row in until), default=None)
    return earlier[-1] if earlier else None, last


class HistoryVerification(Model):
    """The history as a whole: how much it holds, and what is wrong with it."""

    entries: int
    documents: int
    problems: tuple[str, ...] = ()


def verify(history: History) -> HistoryVerification:
    """Check that the history is whole and says nothing that contradicts itself.

    That is the hash of every entry over what was written, that each follows the one before it,
    the hash of every document, that each document that an entry names is there, and that each
    activation begins once and ends once.
    """
    return history.transact(_verify)


def _verify(ledger: Ledger) -> HistoryVerification:
    problems = list(ledger.chain_problems())
    documents = dict(ledger.document_problems())
    problems += [text for text in documents.values() if text]
    if problems:
        # What was changed cannot be relied on to be readable.
        return HistoryVerification(
            entries=ledger.count(), documents=len(documents), problems=tuple(problems)
        )
    entries = ledger.entries()
    problems += [text for entry in entries for text in _missing(entry, documents)]
    problems += activations.problems_of(entries)
    return HistoryVerification(
        entries=len(entries), documents=len(documents), problems=tuple(problems)
    )


def _missing(entry: Entry, documents: dict[str, str]) -> Iterator[str]:
    for kind, name in (("facts", entry.facts), ("policy", entry.policy), ("series", entry.series)):
        if name and name not in documents:
            yield f"entry {entry.sequence}: its {kind}, document {name}, is not there"
