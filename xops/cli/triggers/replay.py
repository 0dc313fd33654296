"""`xops triggers replay`: the past under today's policy, and under other thresholds."""

from __future__ import annotations

from typing import Annotated

import typer

from xops.cli.console import AsJson, print_json, print_text
from xops.cli.triggers.options import AsOf, FactsFile, PolicyFile, day_given, read_facts
from xops.core.errors import Finding, InputError
from xops.triggers.policy import FILE, Policy
from xops.triggers.report import past as lines


def replay(
    facts: FactsFile = None,
    github: Annotated[
        bool, typer.Option("--github", help="Read GitHub anew instead of the history.")
    ] = False,
    as_of: AsOf = None,
    weeks: Annotated[int, typer.Option("--weeks", min=1, max=520, help="How many to show.")] = 52,
    policy: PolicyFile = FILE,
    as_json: AsJson = False,
) -> None:
    """Evaluate past weeks again with today's policy and with other thresholds. Records nothing."""
    from xops.triggers import replay as past
    from xops.triggers.history import record
    from xops.triggers.history.ledger import History

    if facts and github:
        found = "goes without --facts: the weeks are those of the file, or of GitHub"
        raise InputError("replaying", [Finding("argument --github", "", found)])
    rules = Policy.load(policy).looking_back(weeks)
    if facts or github:
        done = past.replay(rules, *read_facts(rules, facts, as_of), weeks)
    else:
        known = record.recorded_readings(History.open(), rules, day_given(as_of))
        source = f"the history up to entry {known.entries}"
        done = past.replay_series(rules, known.readings, known.as_of, weeks, source=source)
    if as_json:
        print_json(done.to_json())
    else:
        print_text("\n".join(lines.replay_lines(done)))
