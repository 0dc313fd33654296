"""`xops github`: deliveries of GitHub's webhooks, and what they lead to."""

from __future__ import annotations

import typer

from xops.cli.github import deliveries, hook, processes

app = typer.Typer()
app.command()(processes.serve)
app.command()(processes.dispatch)
app.command()(processes.poll)
app.command("deliveries")(deliveries.list_deliveries)
app.command()(deliveries.replay)
app.command()(hook.setup)
app.command()(hook.reconcile)
