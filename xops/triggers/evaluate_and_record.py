"""Facts to verdicts by way of the history, which remembers what earlier evaluations read."""

from __future__ import annotations

from datetime import date, datetime

from xops.triggers.evaluation import Evaluation, conclude
from xops.triggers.facts import Facts
from xops.triggers.history.ledger import History
from xops.triggers.history.record import append_readings
from xops.triggers.policy import Policy
from xops.triggers.series import read_series


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
