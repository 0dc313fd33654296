"""A history that is told week by week: evaluations one after the other, and what came of them."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from tests.unit.triggers.samples import (
    IAC_PRS,
    NOW,
    POLICY,
    SECOND_CLOUD,
    Value,
    facts,
    origin,
    policy,
)
from xops.triggers.evaluation import Evaluation, TriggerVerdict
from xops.triggers.history.decisions import acknowledge
from xops.triggers.history.ledger import Entry, History, TriggerEvent
from xops.triggers.history.record import evaluate_and_record
from xops.triggers.history.verification import verify
from xops.triggers.machine import Decision, State

# A single week decides, and a single week ends it: stories stay short.
QUICK: dict[str, Any] = {
    **IAC_PRS,
    "enter": {"above": 5},
    "leave": {"at_or_below": 3, "weeks": 1, "of": 1},
    "dwell_weeks": 0,
}
TWO: dict[str, Any] = {"iac_prs": QUICK, "second_cloud": SECOND_CLOUD}


@dataclass
class Story:
    """Evaluations of one policy, with the events of each."""

    file: Path
    rules: dict[str, Any] = field(default_factory=lambda: {"triggers": {"iac_prs": QUICK}})
    last: Evaluation | None = None

    @property
    def history(self) -> History:
        return History(f"sqlite:///{self.file}")

    def weeks(self, values: Sequence[Value], **others: Any) -> TriggerVerdict:
        """The first trigger's verdict after an evaluation of these weeks."""
        measured = {"origin": origin("acme/a"), **others}
        rules = {**POLICY, **self.rules}
        found = facts(values, timezone=rules.get("timezone", "Australia/Sydney"), **measured)
        self.last = evaluate_and_record(self.history, policy(**self.rules), found, found.as_of, NOW)
        return self.last.triggers[0]

    def verdict(self, name: str) -> TriggerVerdict:
        assert self.last
        return next(row for row in self.last.triggers if row.trigger == name)

    def told(self) -> list[TriggerEvent]:
        """The events since it was asked last."""
        events = self.history.pending_events()
        for event in events:
            self.history.mark_sent(event.id, NOW)
        return events

    def names(self) -> list[str]:
        return [event.name.removeprefix("xops.trigger.") for event in self.told()]

    def decide(
        self, decision: Decision = Decision.ACCEPTED, trigger: str = "iac_prs", **values: Any
    ) -> State:
        return acknowledge(
            self.history, policy(**self.rules), trigger, decision=decision, by="me",
            **{"reason": "we need it", "now": NOW, "today": NOW.date(), **values},
        )  # fmt: skip

    def entries(self) -> list[Entry]:
        return self.history.transact(lambda ledger: ledger.entries())

    def is_whole(self) -> bool:
        return verify(self.history).problems == ()

    def tamper(self, statement: str, *values: str) -> None:
        """Change the database past what guards it."""
        with closing(sqlite3.connect(self.file)) as file, file:
            for table in ("xops_trigger_entries", "xops_trigger_documents"):
                for verb in ("UPDATE", "DELETE"):
                    file.execute(f"DROP TRIGGER IF EXISTS {table}_no_{verb}")
            file.execute(statement, values)


def day(text: str) -> date:
    return date.fromisoformat(text)
