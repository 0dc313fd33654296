"""`xops triggers`: the thresholds of ADR-005, measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from xops.cli.console import AsJson, print_json, print_row, print_text, say
from xops.cli.inputs import parse_day, readable_file, writable_file
from xops.core.errors import ExitCode, Finding, InputError
from xops.core.rendering import Terminal
from xops.triggers import evaluation
from xops.triggers.evaluation import Evaluation, TriggerVerdict
from xops.triggers.facts import Facts
from xops.triggers.machine import Decision, fold, label
from xops.triggers.policy import FILE, Policy
from xops.triggers.report import text as report

if TYPE_CHECKING:
    from xops.triggers.history.verification import Explanation

_EVALUATE_CODES = (
    f"Exit codes: {ExitCode.DONE} nothing is active, {ExitCode.FINDINGS} something is active,"
    f" {ExitCode.INCOMPLETE} insufficient data; else as for every command."
)

app = typer.Typer()

FactsFile = Annotated[
    Path | None,
    typer.Option("--facts", callback=readable_file, help="A facts file instead of GitHub."),
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="DATE", help="Default: the day of the facts, or today."),
]
PolicyFile = Annotated[
    Path,
    typer.Option("--policy", callback=readable_file, help="Instead of deployments/triggers.yaml."),
]
TriggerName = Annotated[str, typer.Argument(metavar="TRIGGER", help="A name in the policy.")]


@app.command(epilog=_EVALUATE_CODES)
def evaluate(
    facts: FactsFile = None,
    as_of: AsOf = None,
    policy: PolicyFile = FILE,
    record: Annotated[
        bool | None,
        typer.Option(
            "--record/--no-record",
            help="Add to the history. Default: yes with GitHub, no with a facts file.",
        ),
    ] = None,
    chart: Annotated[
        Path | None,
        typer.Option("--chart", callback=writable_file, help="Write the chart there, as PNG."),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown, as for a chat.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure each trigger, and say where it stands and what would happen next."""
    rules = Policy.load(policy)
    found, day = _facts(rules, facts, as_of)
    recorded = facts is None if record is None else record
    judge = _evaluate_and_record if recorded else evaluation.evaluate
    done = judge(rules, found, day)
    if chart:
        from xops.triggers.report import chart as charts

        charts.write(done, rules, chart)
    _print_evaluation(done, as_json=as_json, markdown=markdown)
    if done.status.exit_code:
        raise typer.Exit(done.status.exit_code)


def _evaluate_and_record(rules: Policy, facts: Facts, day: date) -> Evaluation:
    from xops.triggers.history.ledger import History
    from xops.triggers.history.record import evaluate_and_record

    return evaluate_and_record(History.open(), rules, facts, day, datetime.now(UTC))


def _print_evaluation(done: Evaluation, *, as_json: bool, markdown: bool) -> None:
    if as_json:
        print_json(done.to_json())
    elif markdown:
        print_text(report.markdown(done))
    else:
        _print_table(done)


def _print_table(done: Evaluation) -> None:
    say("[bold]{summary}[/]", summary=report.summary(done))
    for verdict in done.triggers:
        print_text("\n".join(_lines(verdict)))
    for text in report.notes(done):
        say("[yellow]note[/] {text}", text=text)
    for text in report.completeness(done.completeness):
        print_row("read", text)
    if done.recorded:
        print_row("history", done.recorded)


def _lines(verdict: TriggerVerdict) -> Iterator[str]:
    since = f" since {verdict.since}" if verdict.since else ""
    over = "" if verdict.weeks_over is None else f", {verdict.weeks_over} weeks over"
    value = f"{report.format_value(verdict.value)}{over}"
    yield f"{verdict.trigger:<13} {verdict.state}{since}"
    yield f"{'':<13} value {value}; {verdict.threshold}"
    yield f"{'':<13} next: {verdict.next}"
    yield f"{'':<13} action: {verdict.action} ({verdict.classification})"


def _facts(policy: Policy, file: Path | None, as_of: str | None) -> tuple[Facts, date]:
    """The facts of a file or of GitHub, and the day they are judged on."""
    day = None if as_of is None else parse_day("--as-of", as_of)
    if file is not None:
        facts = Facts.load(file)
        return facts, day or facts.as_of
    from xops.triggers.measure import collect

    day = day or datetime.now(ZoneInfo(policy.timezone)).date()
    return collect.read_or_unknown(policy, day), day


@app.command()
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

    rules = Policy.load(policy).looking_back(weeks)
    if facts or github:
        done = past.replay(rules, *_facts(rules, facts, as_of), weeks)
    else:
        known = record.recorded_readings(History.open())
        source = f"the history up to entry {known.entries}"
        done = past.replay_series(rules, known.readings, known.as_of, weeks, source=source)
    if as_json:
        print_json(done.to_json())
    else:
        print_text("\n".join(report.replay_lines(done)))


@app.command(name="test")
def run_cases(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", callback=readable_file, help="Cases: series in, states out."
        ),
    ],
    policy: Annotated[
        Path | None,
        typer.Option("--policy", callback=readable_file, help="Instead of the one the file names."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a file of cases against a policy; exit code 10 if a case fails."""
    from xops.triggers import rule_tests

    cases = rule_tests.RuleTests.load(file)
    result = rule_tests.run(Policy.load(policy or cases.policy or FILE), cases)
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        for mismatch in result.mismatches:
            say("[bold red]failed[/] {mismatch}", mismatch=Terminal.lines(str(mismatch)))
        say("{held} of {cases} cases hold", held=result.cases - result.failed, cases=result.cases)
    if result.failed:
        raise typer.Exit(ExitCode.FINDINGS)


@app.command()
def acknowledge(
    trigger: TriggerName,
    decision: Annotated[
        Decision, typer.Option("--decision", help="What was decided about the activation.")
    ] = Decision.ACKNOWLEDGED,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays in the history.")] = "",
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
    if as_json:
        print_json(state.model_dump(mode="json"))
    else:
        say("{trigger}: {label}", trigger=trigger, label=label(rules.triggers[trigger], state))


@app.command()
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

    With a facts file: the state after each of its weeks, and why.
    """
    from xops.triggers.history import verification
    from xops.triggers.history.ledger import History

    if facts is not None:
        rules = Policy.load(policy)
        _print_walk(rules, trigger, *_facts(rules, facts, as_of), as_json=as_json)
        return
    period = None if week is None else parse_day("--week", week)
    found = verification.explain(History.open(), trigger, period)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print_explanation(found)
    if not found.agrees:
        raise typer.Exit(ExitCode.FINDINGS)


def _print_explanation(found: Explanation) -> None:
    entry = found.entry
    reading = entry.reading
    value = report.format_value(reading.value) if reading else f"decided by {_decider(found)}"
    print_row("entry", f"{entry.sequence}, {entry.kind} of {entry.period}, as of {entry.as_of}")
    print_row("value", value)
    print_row("before", str(entry.before.phase))
    print_row("recorded", found.state)
    print_row("recomputed", found.recomputed)
    print_row("facts", entry.facts)
    print_row("policy", entry.policy)
    for problem in found.problems:
        say("[bold red]differs[/] {problem}", problem=problem)
    if found.agrees:
        say("[bold green]The stored facts and rules give the same verdict.[/]")


def _decider(found: Explanation) -> str:
    decided = found.entry.after.decided
    return decided.by if decided else "nobody"


def _print_walk(policy: Policy, name: str, facts: Facts, day: date, *, as_json: bool) -> None:
    trigger = policy.triggers.get(name)
    if trigger is None:
        found = f"no trigger {name!r}; there are: {', '.join(policy.triggers)}"
        raise InputError("explaining", [Finding("argument trigger", "", found)])
    from xops.triggers.series import readings_of

    readings = readings_of(trigger, facts, day)
    states = list(fold(trigger, readings))
    rows = [
        {
            "period": str(reading.period),
            "value": reading.value,
            "state": label(trigger, state),
            "reason": reading.reason,
        }
        for reading, state in zip(readings, states, strict=True)
    ]
    if as_json:
        print_json(rows)
    else:
        _print_weeks(rows)


def _print_weeks(rows: Sequence[dict[str, str | int | None]]) -> None:
    for row in rows:
        value = "unknown" if row["value"] is None else row["value"]
        reason = f"  {row['reason']}" if row["reason"] else ""
        print_text(f"{row['period']}  {value!s:>7}  {row['state']}{reason}")


@app.command()
def verify(as_json: AsJson = False) -> None:
    """Check that nobody changed the history: every hash, and the chain of all entries.

    Exit code 10: something was changed.
    """
    from xops.triggers.history import verification
    from xops.triggers.history.ledger import History

    found = verification.verify(History.open())
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        for problem in found.problems:
            say("[bold red]changed[/] {problem}", problem=problem)
        counts = f"{found.entries} entries, {found.documents} documents"
        state = "changed" if found.problems else "whole"
        say("{counts}: {state}", counts=counts, state=state)
    if found.problems:
        raise typer.Exit(ExitCode.FINDINGS)
