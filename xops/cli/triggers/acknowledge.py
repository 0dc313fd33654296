"""`xops triggers acknowledge`: what a person decided about an active trigger."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from xops.cli.console import AsJson, print_json, say
from xops.cli.triggers.options import PolicyFile, TriggerName
from xops.triggers.machine import Decision, label
from xops.triggers.policy import FILE, Policy


def acknowledge(
    trigger: TriggerName,
    decision: Annotated[
        Decision, typer.Option("--decision", help="What was decided about the activation.")
    ] = Decision.ACKNOWLEDGED,
    reason: Annotated[
        str,
        typer.Option(
            "--reason", help="Why; it stays in the history. accepted and rejected need one."
        ),
    ] = "",
    by: Annotated[str | None, typer.Option("--by", help="Who decided. Default: you.")] = None,
    policy: PolicyFile = FILE,
    as_json: AsJson = False,
) -> None:
    """Record what a person decided about an active trigger. Activates nothing by itself."""
    from xops.core.lifecycle.gate import account
    from xops.triggers.history import decisions
    from xops.triggers.history.ledger import History

    rules, now = Policy.load(policy), datetime.now(UTC)
    state = decisions.acknowledge(
        History.open(),
        rules,
        trigger,
        decision=decision,
        by=by or account(),
        reason=reason,
        now=now,
        today=now.astimezone(ZoneInfo(rules.timezone)).date(),
    )
    words = label(rules.triggers[trigger], state)
    if as_json:
        print_json({"trigger": trigger, "state": words, **state.model_dump(mode="json")})
    else:
        say("{trigger}: {label}", trigger=trigger, label=words)
