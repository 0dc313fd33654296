"""Verdicts recomputed from what the history keeps, and the chain of its hashes verified."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from xops.core.errors import Finding, InputError, PermanentError
from xops.core.files.canonical_json import digest_of
from xops.core.files.validation import Model
from xops.triggers.facts import Facts
from xops.triggers.history.ledger import Entry, History, Ledger
from xops.triggers.machine import State, decide, label, step
from xops.triggers.policy import Policy, Trigger
from xops.triggers.series import readings_of


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
    return history.transact(lambda ledger: _explain(ledger, trigger, period))


def _explain(ledger: Ledger, trigger: str, period: date | None) -> Explanation:
    entries = ledger.entries(trigger)
    wanted = [row for row in entries if period is None or row.period == period]
    if not wanted:
        which = f" for the period {period}" if period else ""
        finding = Finding("argument trigger", "", f"no verdict on {trigger!r}{which}")
        remedy = "Run `xops triggers evaluate --record` first, or name a Monday it has recorded."
        raise InputError("looking into the history", [finding], remedy)
    return _recompute(ledger, wanted[-1])


def _recompute(ledger: Ledger, entry: Entry) -> Explanation:
    """The same verdict from the stored facts, rules and state before it, and what differs.

    Raises:
        PermanentError: the facts or rules it follows from are gone.
    """
    policy = _read_document(ledger, Policy, entry.policy, entry)
    facts = _read_document(ledger, Facts, entry.facts, entry)
    trigger = policy.triggers[entry.trigger]
    after = _recompute_state(ledger, trigger, facts, entry)
    problems = [*_broken_hashes(entry, ledger.entry(entry.sequence - 1))]
    if after != entry.after:
        problems.append("the stored facts and rules give another state than the one recorded")
    return Explanation(
        entry=entry,
        agrees=not problems,
        state=label(trigger, entry.after),
        recomputed=label(trigger, after),
        problems=tuple(problems),
    )


def _recompute_state(ledger: Ledger, trigger: Trigger, facts: Facts, entry: Entry) -> State:
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


def _broken_hashes(entry: Entry, before: Entry | None) -> Iterator[str]:
    if entry.compute_hash() != entry.hash:
        yield f"entry {entry.sequence} was changed after it was made"
    if (before.hash if before else "") != entry.previous:
        yield f"entry {entry.sequence} does not follow the one before it"


def _read_document[Document: (Policy, Facts)](
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


class HistoryVerification(Model):
    """The history as a whole: how much it holds, and what is wrong with it."""

    entries: int
    documents: int
    problems: tuple[str, ...] = ()


def verify(history: History) -> HistoryVerification:
    """Check the hash of every entry and document, and that each entry follows the one before it."""
    return history.transact(_verify)


def _verify(ledger: Ledger) -> HistoryVerification:
    entries, documents = ledger.entries(), list(ledger.documents())
    pairs = zip(entries, [None, *entries], strict=False)
    problems = [text for entry, before in pairs for text in _broken_hashes(entry, before)]
    problems += [
        f"document {name} was changed after it was kept"
        for name, document in documents
        if digest_of(document) != name
    ]
    return HistoryVerification(
        entries=len(entries), documents=len(documents), problems=tuple(problems)
    )
