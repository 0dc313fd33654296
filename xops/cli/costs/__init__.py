"""`xops costs`: what the platform costs on AWS, against its budgets."""

from __future__ import annotations

import typer

from xops.cli.costs import estimates

app = typer.Typer()
app.command()(estimates.budget)
app.command("price-plan")(estimates.price_plan)
app.command()(estimates.prices)
