"""The cost report: a page, plots, data and a summary in a folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xops.cli.console import AsJson, Show, bar, print_json, print_row, say, styled
from xops.cli.costs.spent import (
    AsOf,
    EnvironmentName,
    StoreFolder,
    WithBucket,
    load_environment,
    parse_today,
    read_changes,
    unread_evidence,
)
from xops.cli.inputs import writable_folder
from xops.core.errors import Finding, InputError, XopsError

if TYPE_CHECKING:
    from xops.finops.report.build import Sources
    from xops.finops.report.estimates import EnvironmentFacts
    from xops.finops.report.files import Written
    from xops.finops.report.model.report import Report
    from xops.finops.report.spent import Changes, Scope

_HALF = 50.0
"""Percent of the work after which the report is there and is drawn."""

_STYLES = {"over budget": "red", "forecast over budget": "yellow", "within budget": "green"}


def report(
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FOLDER", callback=writable_folder, help="Where it is written."
        ),
    ],
    environment: EnvironmentName = None,
    last_month: Annotated[
        bool, typer.Option("--last-month", help="Budgets of the month before, which is over.")
    ] = False,
    sample: Annotated[
        bool, typer.Option("--sample", help="Of made-up costs, which are labelled so everywhere.")
    ] = False,
    store: StoreFolder = None,
    as_of: AsOf = None,
    with_bucket: WithBucket = False,
    as_json: AsJson = False,
) -> None:
    """Write a report on what was spent: against budgets and plans, what moved, what is odd.

    Open index.html in the folder; it needs no network. Exit code 10: over a budget, expected to be,
    or something odd that no change explains. 11: something is not known.
    """
    from xops.finops.report.spent import Scope

    if sample and store is not None:
        found = Finding("argument --sample", "", "cannot be given together with --store")
        raise InputError("reading --sample", [found])
    load_environment(environment)
    today = parse_today(as_of)
    with bar("reading costs") as show, _sources(today, store, sample, with_bucket, show) as read:
        made, written = _write(read, Scope(environment, last_month), today, out, show)
    if as_json:
        print_json(_to_json(made, written))
    else:
        _print(made, written)
    if made.exit_code:
        raise typer.Exit(made.exit_code)


def write_sample_report(out: Path, today: date) -> Path:
    """Write a report of made-up costs of all environments; returns its page.

    Raises:
        InputError: the folder cannot be written.
        DiskFullError: there is no room.
    """
    from xops.finops.report.spent import Scope

    with _sources(today, None, True, False, _show_nothing) as found:
        return _write(found, Scope(), today, out, _show_nothing)[1].page


def _show_nothing(message: str, percent: float | None) -> None:
    """For a caller that has a progress of its own."""


def _write(
    sources: Sources, scope: Scope, today: date, out: Path, show: Show
) -> tuple[Report, Written]:
    from xops.finops.report import files
    from xops.finops.report.build import build

    made = build(sources, scope, today, lambda message: show(message, None))
    return made, files.write(made, out, lambda message, percent: show(message, _HALF + percent / 2))


@contextmanager
def _sources(
    today: date, store: Path | None, sample: bool, with_bucket: bool, show: Show
) -> Iterator[Sources]:
    """What the report is made from; made-up costs are in a folder that ends with the block."""
    from xops.finops.budget.feasibility import Rates
    from xops.finops.configuration import CostConfiguration
    from xops.finops.prices.book import PriceBook
    from xops.finops.pricing import assumptions
    from xops.finops.report.build import Sources
    from xops.finops.report.sample import make_sample_store
    from xops.finops.report.spent import Changes
    from xops.finops.store.cost_store import CostStore

    rates = Rates(PriceBook.load(), assumptions.Assumptions.load(assumptions.FILE))
    with tempfile.TemporaryDirectory(prefix="xops-report-") as folder:
        spill = Path(folder) / "spill"
        configuration, facts = CostConfiguration.load(), _environments()
        if sample:
            show("making up costs", None)
            made_up = make_sample_store(Path(folder), today)
            changes = Changes(unknown="made-up costs have no evidence")
            yield Sources(made_up, configuration, facts, rates, changes, spill)
        else:
            changes = _changes(today, with_bucket=with_bucket)
            yield Sources(CostStore.open(store), configuration, facts, rates, changes, spill)


def _environments() -> list[EnvironmentFacts]:
    from xops.ecs.environment import Environment, names
    from xops.finops.report.estimates import EnvironmentFacts

    return [
        EnvironmentFacts.of(
            name,
            found.budget.money,
            found.terraform_variables(),
            found.promise.model_dump(),
        )
        for name, found in ((name, Environment.load(name)) for name in names())
    ]


def _changes(today: date, *, with_bucket: bool) -> Changes:
    """What was applied; evidence that cannot be read leaves it unknown, and the report goes on."""
    from xops.ecs.environment import names
    from xops.finops.report.spent import Changes

    in_buckets = unread_evidence(names(), with_bucket=with_bucket)
    try:
        known = read_changes(names(), today, with_bucket=with_bucket)
    except XopsError as error:
        return Changes(unknown=f"the evidence cannot be read: {error.attempted}: {error.found}")
    if in_buckets:
        kept = f"evidence of {', '.join(in_buckets)} is kept in a bucket: --with-bucket asks AWS"
        return Changes(tuple(known), kept)
    return Changes(tuple(known))


def _to_json(made: Report, written: Written) -> dict[str, Any]:
    from xops.finops.report.files import to_json

    whole = to_json(made)
    tables = whole.pop("tables")
    return {
        "page": str(written.page),
        "folder": str(written.page.parent),
        **whole,
        "budgets": tables["budgets"],
        "anomalies": tables["anomalies"],
        "gaps": tables["gaps"],
    }


def _print(made: Report, written: Written) -> None:
    label: object = made.label
    if made.label == "sample":
        label = styled("yellow", "sample data: made up, nobody was billed for them")
    say(
        "{row} {label}; {currency} without tax, days before {day} in UTC",
        row=f"{'Costs:':<13}",
        label=label,
        currency=made.currency,
        day=made.as_of,
    )
    for row in made.budgets:
        style = _STYLES.get(row.state, "yellow")
        say(
            "{state} {headline}",
            state=styled(style, f"{row.state:<20}"),
            headline=row.headline,
        )
    for line in made.other_headlines:
        say("[yellow]{line}[/]", line=line)
    print_row("this report", f"{made.cost.usd:.2f} USD for {made.cost.calls} requests to AWS")
    print_row("report", str(written.page))
