"""What people decide about active triggers, kept in the history."""

from __future__ import annotations

from datetime import date, datetime

from xops.core.errors import Finding, InputError
from xops.triggers.history.ledger import History, Ledger
from xops.triggers.history.record import New, Provenance, Timeline
from xops.triggers.machine import Decided, Decision, State, decide
from xops.triggers.policy import Policy


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
    ledger.append(Provenance(read.as_of, now, read.facts, rules).entry(name, new))
    return after


def _cannot_decide(found: str) -> InputError:
    remedy = "See `xops triggers evaluate` for what is active; the history must have recorded it."
    return InputError("recording a decision", [Finding("argument trigger", "", found)], remedy)
