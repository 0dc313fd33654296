"""`xops decision`: a decision record recomputed and shaken."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from xops.cli.console import AsJson, escaped, out, print_json
from xops.core.errors import Finding, InputError
from xops.decision import outputs, scoring
from xops.decision import sensitivity as shaking
from xops.decision.coverage import Checkout
from xops.decision.record import ADR_005, DecisionRecord

NEEDS_A_PERSON = 1
INCOMPLETE = 3

decision = typer.Typer(
    no_args_is_help=True, help="ADR-005 as data: its scores, and how firm it is."
)

Record = Annotated[Path, typer.Option("--record", help="The record's data file.", dir_okay=False)]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Markdown, for a pull request.")]


@decision.command()
def score(
    record: Record = ADR_005,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="DATE", help="Is the review due? Today's date.")
    ] = None,
    as_markdown: AsMarkdown = False,
    as_json: AsJson = False,
) -> None:
    """Recompute the record's figures, and count which of its claims something checks.

    Exit code 1: the review is overdue, or a check that a claim names is not there. 3: whether the
    checks are there cannot be told here.
    """
    read = DecisionRecord.load(record)
    report = scoring.score(read, Checkout().coverage(read), _day(as_of, read.review.timezone))
    if as_json:
        print_json(report.to_json())
    else:
        _print(outputs.score_sections(report), as_markdown=as_markdown)
    if report.needs_a_person:
        raise typer.Exit(NEEDS_A_PERSON)
    if report.coverage.unknown:
        raise typer.Exit(INCOMPLETE)


@decision.command()
def sensitivity(
    record: Record = ADR_005,
    draws: Annotated[int, typer.Option("--draws", min=1, max=1_000_000)] = shaking.DRAWS,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="The same seed, the same answer.")
    ] = shaking.SEED,
    as_markdown: AsMarkdown = False,
    as_json: AsJson = False,
) -> None:
    """The smallest change of weights that flips the winner, and how often each option wins."""
    found = shaking.sensitivity(DecisionRecord.load(record), draws=draws, seed=seed)
    if as_json:
        print_json(found.to_json())
    else:
        _print(outputs.sensitivity_sections(found), as_markdown=as_markdown)


def _print(sections: list[outputs.Section], *, as_markdown: bool) -> None:
    out.print(escaped(outputs.markdown(sections) if as_markdown else outputs.text(sections)))


def _day(given: str | None, timezone: str) -> date:
    if given is None:
        return datetime.now(ZoneInfo(timezone)).date()
    try:
        return date.fromisoformat(given)
    except ValueError:
        finding = Finding("argument --as-of", "", f"not a date: {given!r}; write one as 2026-11-24")
        raise InputError("reading --as-of", [finding]) from None
