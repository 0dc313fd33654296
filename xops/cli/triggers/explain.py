"""`xops triggers explain`: why a trigger stands where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xops.cli.console import AsJson, print_json, print_row, print_text, say
from xops.cli.inputs import parse_day
from xops.cli.triggers.options import (
    AsOf,
    FactsFile,
    PolicyFile,
    TriggerName,
    read_facts,
    trigger_named,
)
from xops.core.errors import ExitCode, Finding, InputError
from xops.triggers.facts import Facts
from xops.triggers.machine import Reading, State, fold, label
from xops.triggers.policy import FILE, Policy, Trigger
from xops.triggers.report import values

if TYPE_CHECKING:
    from xops.triggers.history.verification import Explanation


def explain(
    trigger: TriggerName,
    week: Annotated[
        str | None,
        typer.Option("--week", metavar="DATE", help="Its Monday. Default: the latest."),
    ] = None,
    facts: FactsFile = None,
    as_of: AsOf = None,
    policy: PolicyFile = FILE,
    as_json: AsJson = False,
) -> None:
    """Recompute a recorded verdict from its stored facts and rules; exit code 10 if it differs.

    It shows the value, the weeks that decided, what a person decided, and what was measured. With
    a facts file: the state after each of its weeks, or after the one given, and why.
    """
    from xops.triggers.history import verification
    from xops.triggers.history.ledger import History

    rules = Policy.load(policy)
    period = None if week is None else parse_day("--week", week)
    if facts is not None:
        _print_walk(rules, trigger, period, *read_facts(rules, facts, as_of), as_json=as_json)
        return
    found = verification.explain(History.open(), trigger, period, policy_name=rules.name)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print_explanation(found)
    if not found.agrees:
        raise typer.Exit(ExitCode.FINDINGS)


def _print_explanation(found: Explanation) -> None:
    entry = found.entry
    print_row("entry", f"{entry.sequence}, {entry.kind} of {entry.period}, as of {entry.as_of}")
    print_row("value", _value(found))
    for row in found.window:
        counted = "counts" if row.counted else "does not count"
        value = values.count(row.value, row.bounds)
        print_row("window", f"{row.period}: {value}, {counted}: {row.why}")
    print_row("before", str(entry.before.phase))
    print_row("recorded", found.state)
    print_row("recomputed", found.recomputed)
    _print_activation(found)
    for line in found.origin:
        print_row("series", line)
    print_row("facts", entry.facts)
    print_row("policy", entry.policy)
    for problem in found.problems:
        say("[bold red]differs[/] {problem}", problem=problem)
    if found.agrees:
        say("[bold green]The stored facts and rules give the same verdict.[/]")


def _value(found: Explanation) -> str:
    reason = f": {found.reason}" if found.reason else ""
    return f"{values.count(found.value, found.bounds)}{reason}"


def _print_activation(found: Explanation) -> None:
    if found.activation:
        print_row("activation", f"{found.number}, {found.activation}")
    for change in found.transitions:
        subjects = f" for {', '.join(change.subjects)}" if change.subjects else ""
        print_row(change.event, f"activation {change.number}{subjects}: {change.reason}")
    for decided in found.decisions:
        reason = f": {decided.reason}" if decided.reason else ""
        print_row("decision", f"{decided.decision} by {decided.by} on {decided.on}{reason}")


def _print_walk(
    policy: Policy, name: str, period: date | None, facts: Facts, day: date, *, as_json: bool
) -> None:
    trigger = trigger_named(policy, name)
    weeks = list(_walk(trigger, period, facts, day))
    if as_json:
        found = [_week_json(trigger, *row) for row in weeks]
        print_json({"trigger": name, "as_of": day, "source": facts.source, "weeks": found})
        return
    for reading, state in weeks:
        value = values.count(reading.value, reading.bounds)
        reason = f"  {reading.reason}" if reading.reason else ""
        print_text(f"{reading.period}  {value:>9}  {label(trigger, state)}{reason}")


def _walk(
    trigger: Trigger, period: date | None, facts: Facts, day: date
) -> Iterator[tuple[Reading, State]]:
    """Each week of the facts with the state after it, or the one week that is asked for.

    Raises:
        InputError: the facts do not have that week.
    """
    from xops.triggers.series import readings_of

    readings = readings_of(trigger, facts, day)
    if period and period not in [reading.period for reading in readings]:
        found = f"the facts have no week of {period}: name one of its Mondays"
        raise InputError("explaining", [Finding("argument --week", "", found)])
    for row in zip(readings, fold(trigger, readings), strict=True):
        if period in (None, row[0].period):
            yield row


def _week_json(trigger: Trigger, reading: Reading, state: State) -> dict[str, Any]:
    bounds = reading.bounds
    return {
        "period": str(reading.period),
        "value": reading.value,
        "bounds": None if bounds is None else bounds.model_dump(mode="json"),
        "subjects": list(reading.subjects),
        "state": label(trigger, state),
        "reason": reading.reason,
    }
