"""What was spent: exports and Cost Explorer's answers, taken into the store."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from xops.cli.console import AsJson, Show, bar, print_json, print_row, say, styled
from xops.core.errors import Finding, InputError
from xops.core.rendering import Terminal

if TYPE_CHECKING:
    from xops.finops.store.changes import Ingested, MonthChange
    from xops.finops.store.ingest_run import Ingest, IngestRun


class Provider(StrEnum):
    """Where charges can be asked for without an export."""

    COST_EXPLORER = "cost-explorer"


def ingest(
    location: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FOLDER|s3://BUCKET/PREFIX",
            help="An export in FOCUS. Default: those that deployments/costs.yaml names.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Under which its charges are kept. Default: by its place."),
    ] = None,
    source: Annotated[
        Provider | None,
        typer.Option("--source", help="Ask Cost Explorer instead; each request costs 0.01 USD."),
    ] = None,
    months: Annotated[
        int,
        typer.Option("--months", min=1, max=13, help="Of Cost Explorer: how many, to yesterday."),
    ] = 2,
    as_json: AsJson = False,
) -> None:
    """Take charges into the store, a partition a month; again changes nothing.

    Exit code 10: a month that was over comes to something else now. 11: one of several exports
    could not be taken in. 1: the money for Cost Explorer did not reach.
    """
    from xops.finops.configuration import CostConfiguration
    from xops.finops.store.cost_store import CostStore
    from xops.finops.store.ingest_run import Ingest

    if source is not None and (location is not None or name is not None):
        found = Finding("argument --source", "", "cannot be given together with --from or --name")
        raise InputError("reading --source", [found])
    work = Ingest(CostConfiguration.load(), CostStore.open())
    with bar("taking charges in") as show:
        done = _run(work, location, name, source, months, show)
    if as_json:
        print_json(done.to_json())
    else:
        _print(done)
    if done.exit_code:
        raise typer.Exit(done.exit_code)


def _run(
    work: Ingest,
    location: str | None,
    name: str | None,
    source: Provider | None,
    months: int,
    show: Show,
) -> IngestRun:
    from xops.finops.store.ingest_run import exports_of

    now = datetime.now(UTC)
    if source is Provider.COST_EXPLORER:
        return work.ask_cost_explorer(now=now, months=months, told=_news(show))
    exports = exports_of(work.configuration, location, name)
    return work.take_in(exports, now=now, told=_news(show))


def _news(show: Show) -> Show:
    """A bar moves with every piece; where there is none, what was said is not said again."""
    said = ""

    def tell(message: str, percent: float | None) -> None:
        nonlocal said
        if message != said or sys.stderr.isatty():
            show(message, percent)
        said = message

    return tell


def _print(done: IngestRun) -> None:
    for one in done.ingested:
        _print_export(one)
    for name, error in done.errors:
        say(
            "[bold red]not taken in[/] {name}: {error}",
            name=name,
            error=Terminal.lines(error.found),
        )
        say("  -> {remedy}", remedy=error.remedy)
    print_row("store", str(done.store))
    print_row(
        "this run",
        f"{done.usd:.2f} USD for {done.requests} requests to Cost Explorer"
        f"{f', of {done.most_usd} at most' if done.most_usd else ''}",
    )


def _print_export(one: Ingested) -> None:
    say("[bold]{name}[/] from {address}", name=one.export_id, address=one.address)
    for change in one.changes:
        _print_month(change)
    if one.unchanged:
        print_row("unchanged", ", ".join(one.unchanged))
    for note in one.notes:
        say("[yellow]note[/] {note}", note=note)


def _print_month(change: MonthChange) -> None:
    from xops.finops.store.ingest_text import restatement

    for total in change.shown:
        said = restatement(change, total)
        say(
            "{month} {rows} rows {billed} {currency}, {label}{restated}",
            month=change.month,
            rows=f"{total.rows:>10,}",
            billed=f"{total.billed:>16,.2f}",
            currency=total.currency,
            label=change.label,
            restated=styled("red", f"; {said}") if said else "",
        )
    if change.replaced:
        shown = ", ".join(f"{total.billed:,.2f} {total.currency}" for total in change.replaced)
        say("{month} takes the place of Cost Explorer's {shown}", month=change.month, shown=shown)
