"""`xops decision`: a decision record recomputed from its data."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from xops.cli.console import AsJson, print_json, print_text
from xops.cli.inputs import parse_day, readable_file
from xops.core.errors import ExitCode

if TYPE_CHECKING:
    from xops.decision.outputs import Section

app = typer.Typer()

Record = Annotated[
    Path | None,
    typer.Option(
        "--record", callback=readable_file, help="The record's data file. Default: ADR-005's."
    ),
]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Markdown, for a pull request.")]


@app.command()
def score(
    record: Record = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="DATE", help="The day of the question. Default: today."),
    ] = None,
    as_markdown: AsMarkdown = False,
    as_json: AsJson = False,
) -> None:
    """Recompute the record's figures, and count which of its claims something checks.

    Beside them stand the figures that the record states and nothing derives, and what xOps added to
    the record, changed or left out.

    Exit code 10: the review is overdue, or a check that a claim names is missing, covers code that
    nobody can run, or says something else than the record. 11: whether the checks exist cannot be
    told here.
    """
    from xops.decision import outputs, scoring
    from xops.decision.coverage import Checkout
    from xops.decision.record import ADR_005, DecisionRecord

    read = DecisionRecord.load(record or ADR_005)
    today = datetime.now(ZoneInfo(read.review.timezone)).date()
    day = parse_day("--as-of", as_of) if as_of is not None else today
    report = scoring.score(read, Checkout().coverage(read), day)
    if as_json:
        print_json(report.to_json())
    else:
        _print(outputs.score_sections(report), as_markdown=as_markdown)
    if report.needs_a_person:
        raise typer.Exit(ExitCode.FINDINGS)
    if report.coverage.unknown:
        raise typer.Exit(ExitCode.INCOMPLETE)


@app.command()
def sensitivity(
    record: Record = None,
    draws: Annotated[
        int | None,
        typer.Option("--draws", min=1, max=1_000_000, help="How many random weightings."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, help="The same seed gives the same answer. Default: a fixed one."
        ),
    ] = None,
    as_markdown: AsMarkdown = False,
    as_json: AsJson = False,
) -> None:
    """Find the smallest change of weights that flips the winner, and how often each option wins."""
    from xops.decision import outputs
    from xops.decision import sensitivity as analysis
    from xops.decision.record import ADR_005, DecisionRecord

    found = analysis.sensitivity(
        DecisionRecord.load(record or ADR_005),
        draws=draws or analysis.DRAWS,
        seed=analysis.SEED if seed is None else seed,
    )
    if as_json:
        print_json(found.to_json())
    else:
        _print(outputs.sensitivity_sections(found), as_markdown=as_markdown)


def _print(sections: list[Section], *, as_markdown: bool) -> None:
    from xops.decision import outputs

    print_text(outputs.markdown(sections) if as_markdown else outputs.text(sections))
