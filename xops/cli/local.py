"""The work of `xops up`, `down` and `doctor`: the embedded stack and this machine."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from xops.cli.console import bar, print_json, say, styled, tell
from xops.core.errors import ExitCode
from xops.core.lifecycle.steps import OutcomeStatus
from xops.ecs.services import ServiceState
from xops.local import doctor
from xops.local.stack import Stack, running_stack
from xops.local.stack import stack as local_stack


def start(*, once: bool, as_json: bool) -> None:
    """Bring the embedded stack up and provision `local`; stay until Ctrl-C unless `once`."""
    from xops.local import up  # Prefect takes seconds to import: nothing else here needs it

    stack = local_stack()
    started = up.bring_up(stack, lambda line: tell("[cyan]{line}[/]", line=line))
    with bar("provision-ecs local") as show:
        done = up.provision(stack, lambda step: show(step.message, step.percent))
    if as_json:
        urls = {"ui": f"{stack.ui}/runs/flow-run/{done.run_id}", "aws": stack.aws_endpoint}
        print_json({**done.outcome, **urls})
    else:
        _print_provisioned(stack, done.outcome, done.done(), str(done.run_id))
    if not once:
        _stay_up(stack, started)
    elif not as_json:
        say("The servers stay up in the background; `make down` (`xops down`) ends them.")


def _stay_up(stack: Stack, started: Sequence[str]) -> None:
    tell("Everything stays up until Ctrl-C.")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    if started:
        tell("stopping {names}", names=", ".join(stack.stop()))


def _print_provisioned(
    stack: Stack, outcome: Mapping[str, Any], actions: Mapping[str, Mapping[str, int]], run_id: str
) -> None:
    if outcome["status"] == OutcomeStatus.UNCHANGED:
        say("[bold green]Nothing to change:[/] Stream 1 is as its file says.")
    for action, kinds in actions.items():
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        verb = f"{action.removesuffix('e').capitalize()}ed"
        say(
            "[bold green]{verb} {count} resources:[/] {listed}",
            verb=verb,
            count=sum(kinds.values()),
            listed=listed,
        )
    _print_verification(outcome)
    say("Prefect UI:   {ui}/runs/flow-run/{run}", ui=stack.ui, run=run_id)
    say("Embedded AWS: {endpoint} (target: embedded)", endpoint=stack.aws_endpoint)


def _print_verification(outcome: Mapping[str, Any]) -> None:
    verification = outcome["verification"]
    if verification:
        for row in verification["services"]:
            seen = ServiceState(**row)
            say("Service:      {seen}", seen=seen)
        health = verification["health"]
        say("Health:       {url} {status}", url=health["url"], status=health["status"])
    if outcome["evidence"]:
        say("Evidence:     {address}", address=outcome["evidence"])


def stop(*, as_json: bool) -> None:
    """Stop the embedded stack and say which of its services had run."""
    stopped = running_stack().stop()
    if as_json:
        print_json({"stopped": stopped})
    else:
        names = ", ".join(stopped)
        say("{said}", said=f"Stopped {names}." if stopped else "Nothing was running.")


def examine(*, as_json: bool) -> None:
    """Print every check of this machine.

    Raises:
        typer.Exit: FINDINGS where one of them is a problem.
    """
    checks = doctor.examine(os.environ)
    if as_json:
        print_json([vars(check) for check in checks])
    else:
        _print_checks(checks)
    if any(check.verdict is doctor.Verdict.PROBLEM for check in checks):
        raise typer.Exit(ExitCode.FINDINGS)


def _print_checks(checks: Sequence[doctor.Check]) -> None:
    colours = {"ok": "green", "note": "yellow", "problem": "bold red"}
    for check in checks:
        colour = colours[check.verdict]
        verdict = styled(colour, f"{check.verdict:>8}")
        say("{verdict}  {name}: {found}", verdict=verdict, name=check.name, found=check.found)
        if check.remedy:
            say("            -> {remedy}", remedy=check.remedy)
