"""Readings appended to the history: what is new, what changed, and the verdicts that follow.

`evaluate_and_record` leads from facts to an evaluation, in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from xops.core.errors import Finding, InputError
from xops.triggers.evaluation import EndedActivation, Evaluation, conclude
from xops.triggers.facts import Facts, last_week
from xops.triggers.history import activations
from xops.triggers.history.activations import Activations
from xops.triggers.history.ledger import Entry, History, Ledger
from xops.triggers.history.timeline import DEFAULT_NAME, TriggerHistory, next_revision
from xops.triggers.history.trigger_record import (
    EntryWriter,
    TriggerRecord,
    post_event,
    stored_policy,
    transition_entry,
)
from xops.triggers.machine import Reading
from xops.triggers.policy import MandateTrigger, Policy
from xops.triggers.series import read_series

_ADDING = "adding to the history"


def evaluate_and_record(
    history: History, policy: Policy, facts: Facts, as_of: date, now: datetime
) -> Evaluation:
    """Append what is new to the history, and judge all that it remembers.

    Doing it again in the same week appends nothing. Two at once append once: the second finds it
    done. What begins, changes or ends is put into the outbox in the same transaction.

    Args:
        history: is appended to.
        policy: the rules, kept beside the entries.
        facts: what was measured, kept beside the entries. Where GitHub gave nothing at all, only
            mandates are entered: a week that nobody entered is as unknown as one that is.
        as_of: the day for which they were read.
        now: the time of the entries.

    Raises:
        InputError: the history is ahead of `as_of`, `as_of` lies in the future, or the time zones
            differ.
        TemporaryError: the database does not answer.
        PermanentError: the database refuses what is asked of it, or somebody changed the history.
    """
    series = read_series(policy, facts, as_of)
    _refuse_the_future(as_of, now.astimezone(ZoneInfo(policy.timezone)).date())

    def record(ledger: Ledger) -> Evaluation:
        ledger.refuse_if_changed(_ADDING)
        _refuse_the_past(ledger, policy.name, as_of)
        return _record(EntryWriter(ledger, policy, facts, as_of, now), series)

    return history.transact(record)


def _refuse_the_future(as_of: date, today: date) -> None:
    """An entry for a day to come would keep every day before it out of the history."""
    if as_of > today:
        raise _wrong_day(f"{as_of} lies in the future: today is {today}")


def _refuse_the_past(ledger: Ledger, policy: str, as_of: date) -> None:
    last = ledger.last_day(_names_of(policy))
    if last is None or last_week(as_of) >= last_week(last):
        return
    raise _wrong_day(f"{as_of} lies before {last}, up to which the history of {policy} goes")


def _names_of(policy: str) -> tuple[str, ...]:
    """Under which names its entries stand: earlier releases noted none."""
    return (policy, "") if policy == DEFAULT_NAME else (policy,)


def _wrong_day(found: str) -> InputError:
    return InputError(
        _ADDING,
        [Finding("argument as-of", "", found)],
        "Set the clock right, or look at any day with `--no-record`, which adds nothing.",
    )


def _record(writer: EntryWriter, series: Mapping[str, Sequence[Reading]]) -> Evaluation:
    policy, facts, as_of = writer.policy, writer.facts, writer.as_of
    ended = list(_end_removed(writer))
    rows = {name: TriggerRecord(writer, name).record(readings)
            for name, readings in series.items()}  # fmt: skip
    past = {name: row.past for name, row in rows.items()}
    standings = {name: row.standing for name, row in rows.items()}
    found = conclude(policy, facts, as_of, past, standings)
    ended += [end for row in rows.values() for end in row.ended]
    restated = [text for row in rows.values() for text in row.restated]
    added = writer.added
    return found.model_copy(
        update={
            "recorded": f"{added} entries were added" if added
            else "nothing is new: it was recorded before",
            "warnings": (*found.warnings, *restated),
            "ended": tuple(sorted(ended, key=lambda end: (end.ended, end.trigger, end.number))),
        }
    )  # fmt: skip


def _end_removed(writer: EntryWriter) -> Iterator[EndedActivation]:
    """End the activations of triggers that the policy of that name had and has no more."""
    ledger, policy = writer.ledger, writer.policy
    for name in ledger.trigger_names():
        if name in policy.triggers:
            continue
        history = TriggerHistory.read(ledger, policy.name, name)
        made = _end_one(writer, history)
        yield from activations.ended([*history.transitions, *made], writer.as_of)


def _end_one(writer: EntryWriter, history: TriggerHistory) -> list[Entry]:
    latest = history.latest
    book = Activations.of(history, writer.ledger)
    transition = book.end(f"the policy {history.policy} has no trigger {history.name} any more")
    if transition is None or latest is None or latest.last is None or book.open is None:
        return []
    state = latest.timeline.state
    revision = next_revision(history.revisions, "transition", writer.as_of)
    entry = writer.entry(history.name, writer.as_of, state, state)
    made = writer.append(transition_entry(entry, transition, revision), latest.document)
    post_event(writer, made, book.open.told, stored_policy(writer.ledger, latest.last.policy))
    return [made]


@dataclass(frozen=True)
class RecordedReadings:
    """What the history has read, by trigger, oldest first."""

    as_of: date
    entries: int
    readings: dict[str, list[Reading]]


def recorded_readings(
    history: History, policy: Policy | None = None, as_of: date | None = None
) -> RecordedReadings:
    """The readings that stand of each trigger's present series.

    Args:
        history: is read.
        policy: whose; None: of whichever policy was evaluated last.
        as_of: without what lay after that day; None: all.

    Raises:
        InputError: the history has none.
    """
    return history.transact(lambda ledger: _read_readings(ledger, policy, as_of))


def _read_readings(ledger: Ledger, policy: Policy | None, as_of: date | None) -> RecordedReadings:
    last = ledger.last()
    if last is None:
        raise _nothing("the history", "is empty")
    owner = policy.name if policy else last.policy_name
    names = [row for row in ledger.trigger_names() if policy is None or row in policy.triggers]
    found = {name: _present_readings(TriggerHistory.read(ledger, owner, name)) for name in names}
    day = as_of or ledger.last_day(_names_of(owner)) or last.as_of
    readings = {
        name: [row for row in rows if as_of is None or _is_over(policy, name, row, as_of)]
        for name, rows in found.items()
        if rows
    }
    if not any(readings.values()):
        raise _nothing("the history", f"has no reading of the policy {owner} up to {day}")
    return RecordedReadings(day, last.sequence, readings)


def _present_readings(history: TriggerHistory) -> list[Reading]:
    latest = history.latest
    return [reading for reading, _ in latest.timeline.past()] if latest else []


def _is_over(policy: Policy | None, name: str, reading: Reading, as_of: date) -> bool:
    """Whether a period was over by the start of the day; a mandate is looked at on the day."""
    trigger = policy.triggers.get(name) if policy else None
    if isinstance(trigger, MandateTrigger):
        return reading.period <= as_of
    return reading.period <= last_week(as_of)


def _nothing(where: str, found: str) -> InputError:
    return InputError(
        "reading the history",
        [Finding(where, "", found)],
        "Name a facts file, or read GitHub with `--github`.",
    )
