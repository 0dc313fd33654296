"""`xops triggers`: the thresholds of ADR-005, measured."""

from __future__ import annotations

import typer

from xops.cli.triggers import (
    acknowledge,
    cases,
    classify,
    evaluate,
    explain,
    mandate,
    replay,
    verify,
)

app = typer.Typer()
app.command()(evaluate.evaluate)
app.command()(replay.replay)
app.command("test")(cases.run_cases)
app.command()(acknowledge.acknowledge)
app.command()(explain.explain)
app.command()(verify.verify)
app.command()(classify.classify)
app.add_typer(mandate.app, name="mandate")
