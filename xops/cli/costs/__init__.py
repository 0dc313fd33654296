"""`xops costs`: what the platform costs on AWS, against its budgets."""

from __future__ import annotations

import typer

from xops.cli.costs import (
    analysis,
    budgets,
    data,
    estimates,
    explaining,
    price_book,
    report,
    validation,
)

app = typer.Typer()
app.command()(budgets.budget)
app.command("price-plan")(estimates.price_plan)
app.command()(price_book.prices)
app.command()(data.ingest)
app.command()(validation.validate)
app.command()(analysis.anomalies)
app.command()(analysis.forecast)
app.command()(explaining.explain)
app.command()(report.report)
