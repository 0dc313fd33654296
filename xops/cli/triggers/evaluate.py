"""`xops triggers evaluate`: where each trigger stands."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from xops.cli.console import AsJson, print_json, print_markdown, print_row, print_text, say, tell
from xops.cli.inputs import writable_file
from xops.cli.triggers.options import AsOf, FactsFile, PolicyFile, day_given, read_facts, today
from xops.core.errors import XopsError
from xops.core.rendering import Terminal
from xops.triggers import evaluation
from xops.triggers.evaluation import Evaluation
from xops.triggers.facts import Facts
from xops.triggers.policy import FILE, Policy
from xops.triggers.report import text as report
from xops.triggers.report import values
from xops.triggers.report.failure import as_error


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
    """Measure each trigger, and say where it stands and what would happen next.

    Where GitHub gives nothing, states are kept and shown, and the command fails with the reason.

    Exit code 10: something is active, whatever else is unknown. 11: insufficient data: something is
    unknown, and nothing is known to be active.
    """
    rules = Policy.load(policy)
    found, day = _facts_or_failure(rules, facts, as_of)
    recorded = facts is None if record is None else record
    judge = _evaluate_and_record if recorded else evaluation.evaluate
    done = judge(rules, found, day)
    if chart:
        from xops.triggers.report import chart as charts

        charts.write(done, rules, chart)
    failure = as_error(found.failure) if found.failure else None
    code = failure.exit_code if failure else done.status.exit_code
    _print_evaluation(done, code, as_json=as_json, markdown=markdown)
    if failure:
        _end_with(failure, as_json=as_json)
    if code:
        raise typer.Exit(code)


def _facts_or_failure(policy: Policy, file: Path | None, as_of: str | None) -> tuple[Facts, date]:
    """Facts and the day they are judged on; where GitHub gives none, they are unknown."""
    if file is not None:
        return read_facts(policy, file, as_of)
    from xops.triggers.measure import collect

    day = day_given(as_of) or today(policy)
    return collect.read_or_unknown(policy, day), day


def _end_with(failure: XopsError, *, as_json: bool) -> NoReturn:
    """End a command that has shown all it knows, and that measured nothing.

    Raises:
        XopsError: the failure; as an exit code where stdout holds its one JSON object already.
    """
    if not as_json:
        raise failure
    tell("[bold red]error[/] {error}", error=Terminal.lines(str(failure)))
    raise typer.Exit(failure.exit_code)


def _evaluate_and_record(rules: Policy, facts: Facts, day: date) -> Evaluation:
    from xops.triggers.history.ledger import History
    from xops.triggers.history.record import evaluate_and_record

    return evaluate_and_record(History.open(), rules, facts, day, datetime.now(UTC))


def _print_evaluation(done: Evaluation, code: int, *, as_json: bool, markdown: bool) -> None:
    if as_json:
        print_json({**done.to_json(), "exit_code": int(code)})
    elif markdown:
        print_markdown(report.markdown(done))
    else:
        _print_table(done)


def _print_table(done: Evaluation) -> None:
    say("[bold]{summary}[/]", summary=report.summary(done))
    for verdict in done.triggers:
        print_text("\n".join(report.lines(verdict)))
    for activation in done.ended:
        print_row("ended", values.ended(activation))
    for text in report.notes(done):
        say("[yellow]note[/] {text}", text=text)
    for text in report.completeness(done.completeness):
        print_row("read", text)
    print_row("basis", report.basis(done))
    if done.recorded:
        print_row("history", done.recorded)
