"""The `xops` command: the flows' work from a shell, through the same library."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from xops.cli.bundle import bundles
from xops.cli.console import AsJson, bar, err, escaped, out, print_json
from xops.cli.decision import decision
from xops.cli.ecs import DRIFTED, ecs
from xops.cli.k3s import k3s
from xops.cli.triggers import triggers
from xops.core.errors import XopsError
from xops.core.files import settings
from xops.core.lifecycle.steps import OutcomeStatus
from xops.ecs.services import ServiceState
from xops.local import doctor as examination
from xops.local.stack import Stack
from xops.local.stack import stack as local_stack

__all__ = ["DRIFTED", "INTERRUPTED", "app", "main"]

INTERRUPTED = 130
EXIT_CODES = """Exit codes: 0 done, 1 failed, 2 bad input, 3 differs (drift), 4 waits for an
approval, 5 failed but trying again later may help, 130 interrupted."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=f"{__doc__}\n\n{EXIT_CODES}",
    pretty_exceptions_enable=False,  # its boxes show local variables, secrets among them
)
app.add_typer(ecs, name="ecs")
app.add_typer(k3s, name="k3s")
app.add_typer(bundles, name="bundle")
app.add_typer(triggers, name="triggers")
app.add_typer(decision, name="decision")


def main() -> None:
    """Run the command; every xOps error becomes a message and its exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except XopsError as error:
        if "--json" in sys.argv:
            print_json(error.to_json())
        err.print(f"[bold red]error[/] {escaped(str(error))}")
        sys.exit(error.exit_code)
    except OSError as error:
        if not _disk_is_full(error):
            raise
        remedy = f"Free some space at {settings.home()}, or set XOPS_HOME elsewhere."
        err.print(f"[bold red]error[/] {os.strerror(errno.ENOSPC)}\n  -> {escaped(remedy)}")
        sys.exit(XopsError.exit_code)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # Typer turns Ctrl-C into this without a word
            err.print("interrupted; run it again to go on")
        raise


def _disk_is_full(error: OSError) -> bool:
    # Copying a tree gathers its errors as text, without a number.
    full = (errno.ENOSPC, errno.EDQUOT)
    return error.errno in full or os.strerror(errno.ENOSPC) in str(error)


@app.command()
def up(
    once: Annotated[
        bool, typer.Option("--once", help="End after the summary; the servers stay up.")
    ] = False,
) -> None:
    """Start the embedded stack, deploy the flows and provision Stream 1 as `local`."""
    from xops.local import up as embedded  # Prefect takes seconds to import: only where needed

    stack = local_stack()
    started = embedded.bring_up(stack, lambda line: err.print(f"[cyan]{escaped(line)}[/]"))
    with bar("provision-ecs local") as show:
        done = embedded.provision(stack, lambda step: show(step.message, step.percent))
    _print_provisioned(stack, done.outcome, done.done(), str(done.run_id))
    if once:
        out.print("The servers stay up in the background; `make down` (`xops down`) ends them.")
        return
    _stay_up(stack, started)


def _stay_up(stack: Stack, started: Sequence[str]) -> None:
    out.print("Everything stays up until Ctrl-C.")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    if started:
        err.print(f"stopping {', '.join(stack.stop())}")


def _print_provisioned(
    stack: Stack, outcome: Mapping[str, Any], actions: Mapping[str, Mapping[str, int]], run_id: str
) -> None:
    if outcome["status"] == OutcomeStatus.UNCHANGED:
        out.print("[bold green]Nothing to change:[/] Stream 1 is as its file says.")
    for action, kinds in actions.items():
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        verb = f"{action.removesuffix('e').capitalize()}ed"
        out.print(f"[bold green]{verb} {sum(kinds.values())} resources:[/] {listed}")
    _print_verification(outcome)
    out.print(f"Prefect UI:   {stack.ui}/runs/flow-run/{run_id}")
    out.print(f"Embedded AWS: {stack.aws_endpoint} (target: embedded)")


def _print_verification(outcome: Mapping[str, Any]) -> None:
    verification = outcome["verification"]
    if verification:
        for row in verification["services"]:
            seen = ServiceState(**row)
            out.print(f"Service:      {seen}")
        out.print(
            f"Health:       {verification['health']['url']} {verification['health']['status']}"
        )
    if outcome["evidence"]:
        out.print(f"Evidence:     {outcome['evidence']}")


@app.command()
def down() -> None:
    """Stop the embedded stack. The embedded AWS keeps its state in memory: it is gone then."""
    stopped = local_stack().stop()
    out.print(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """What is installed, found and reachable; each problem with its remedy."""
    checks = examination.examine(os.environ)
    if as_json:
        print_json([vars(check) for check in checks])
    else:
        _print_checks(checks)
    if any(check.verdict is examination.Verdict.PROBLEM for check in checks):
        raise typer.Exit(1)


def _print_checks(checks: Sequence[examination.Check]) -> None:
    colours = {"ok": "green", "note": "yellow", "problem": "bold red"}
    for check in checks:
        colour = colours[check.verdict]
        out.print(f"[{colour}]{check.verdict:>8}[/]  {check.name}: {escaped(check.found)}")
        if check.remedy:
            out.print(f"            -> {escaped(check.remedy)}")


if __name__ == "__main__":
    main()
