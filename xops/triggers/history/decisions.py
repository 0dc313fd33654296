"""What people decide about active triggers, kept in the history."""

from __future__ import annotations

from datetime import UTC, date, datetime

from xops.core.errors import Finding, InputError
from xops.triggers.evaluation import Standing
from xops.triggers.history.activations import Activations
from xops.triggers.history.ledger import Entry, History, Ledger
from xops.triggers.history.timeline import TriggerHistory, next_revision
from xops.triggers.machine import START, Decided, Decision, State
from xops.triggers.policy import Policy

_RECORDING = "recording a decision"


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
    """Record what a person decided about an activation; the trigger's state with it.

    It belongs to the open activation of that trigger of the policy of that name, and to no other.

    Args:
        history: is appended to.
        policy: whose trigger it is.
        trigger: its name.
        decision: what was decided. One that settles the matter needs a reason.
        by: who decided.
        reason: why.
        now: the time of the entry.
        today: the day of the decision.

    Raises:
        InputError: there is no such trigger, it is not active, or a reason is missing.
        PermanentError: somebody changed the history.
    """
    if trigger not in policy.triggers:
        known = ", ".join(policy.triggers)
        raise _cannot_decide(f"no trigger {trigger!r}; there are: {known}")
    if decision is not Decision.ACKNOWLEDGED and not reason.strip():
        finding = Finding("argument reason", "", f"is missing: {decision} needs one")
        raise InputError(_RECORDING, [finding], "Say why: whoever asks later reads it.")
    decided = Decided(decision=decision, by=by, reason=reason, on=today)
    return history.transact(lambda ledger: _append_decision(ledger, policy, trigger, decided, now))


def _append_decision(
    ledger: Ledger, policy: Policy, name: str, decided: Decided, now: datetime
) -> State:
    ledger.refuse_if_changed(_RECORDING)
    history = TriggerHistory.read(ledger, policy.name, name)
    book, latest = Activations.of(history, ledger), history.latest
    state = latest.timeline.state if latest else START
    if book.open is None or latest is None or latest.last is None:
        raise _cannot_decide(f"{name} is {state.phase}: there is nothing to decide about")
    read, period = latest.last, latest.last.period
    kept = "" if state.is_active else "nothing is known yet of what is measured now"
    after = Standing(since=book.open.since, decided=decided, kept=kept).complete(state)
    entry = Entry(
        sequence=0,
        recorded_at=now.astimezone(UTC),
        as_of=read.as_of,
        trigger=name,
        kind="decision",
        period=period,
        revision=next_revision(history.revisions, "decision", period),
        reading=None,
        before=state.model_copy(update={"decided": book.decided(history)}),
        after=after,
        facts=read.facts,
        policy=ledger.keep("policy", policy.rules()),
        policy_name=policy.name,
        series=read.series,
        activation=book.open.id,
        previous="",
    )
    ledger.append(entry)
    return after


def _cannot_decide(found: str) -> InputError:
    remedy = "See `xops triggers evaluate` for what is active; the history must have recorded it."
    return InputError(_RECORDING, [Finding("argument trigger", "", found)], remedy)
