"""The work of `xops up`, `down`, `clean`, `forget` and `doctor`: this machine's part of xOps."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from xops.cli import sign_in
from xops.cli.console import bar, print_json, say, styled, tell
from xops.core.errors import ExitCode, Finding, InputError, PermanentError, XopsError
from xops.core.files import settings
from xops.core.lifecycle.steps import OutcomeStatus
from xops.ecs.services import ServiceState
from xops.local import doctor, down, home
from xops.local.stack import Stack, running_stack
from xops.local.stack import stack as local_stack
from xops.prefect_server.profile import run_page


def start(*, once: bool, as_json: bool) -> None:
    """Bring the embedded stack up and provision `local`; stay until Ctrl-C unless `once`."""
    from xops.local import up  # Prefect takes seconds to import: nothing else here needs it

    stack = local_stack()
    started = up.bring_up(stack, lambda line: tell("[cyan]{line}[/]", line=line))
    # Terraform mostly waits: the report takes no time of its own.
    with ThreadPoolExecutor(1) as beside, bar("provision-ecs local") as show:
        report = beside.submit(_write_sample_report, stack.home)
        done = up.provision(stack, lambda step: show(step.message, step.percent))
    page = _sample_page(report)
    if as_json:
        places = {"ui": run_page(stack.ui, done.run_id), "aws": stack.aws_endpoint}
        print_json({**done.outcome, **places, "sample_report": page and str(page)})
    else:
        _print_provisioned(stack, done.outcome, done.done(), str(done.run_id))
        if page:
            say("Cost report:  {page} (sample data: made up)", page=page)
    if not once:
        _stay_up(stack, started)
    elif not as_json:
        say("The servers stay up in the background; `make down` (`xops down`) ends them.")


def _write_sample_report(place: Path) -> Path:
    """The cost report on made-up data, written once a day; its page."""
    from xops.cli.costs.report import write_sample_report

    today = datetime.now(UTC).date()
    page = place / home.SAMPLE_REPORT / "index.html"
    if page.exists() and datetime.fromtimestamp(page.stat().st_mtime, UTC).date() == today:
        return page
    return write_sample_report(page.parent, today)


def _sample_page(report: Future[Path]) -> Path | None:
    """The page of the report; None where it could not be written, which ends nothing else."""
    try:
        return report.result()
    except (XopsError, OSError) as error:
        tell("[yellow]the sample cost report was not written:[/] {error}", error=error)
        return None


def _stay_up(stack: Stack, started: Sequence[str]) -> None:
    tell("Everything stays up until Ctrl-C.")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # a second one ends the wait for runs
    if started:
        tell("stopping the servers")
        tell("stopped {names}", names=", ".join(_stop(stack)))


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
    say("Prefect UI:   {page}", page=run_page(stack.ui, run_id))
    sign_in.say_how(stack)
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
    """Stop the embedded stack and say which of its services had run.

    Raises:
        StillAtWorkError: a Terraform goes on; it and the embedded AWS were left running.
    """
    stopped = _stop(running_stack())
    if as_json:
        print_json({"stopped": stopped})
    else:
        names = ", ".join(stopped)
        say("{said}", said=f"Stopped {names}." if stopped else "Nothing was running.")


def clean(*, as_json: bool) -> None:
    """Stop the embedded stack and remove what can be made again; the rest is listed.

    Raises:
        StillAtWorkError: a Terraform goes on; nothing was removed.
        PermanentError: a run is at work.
    """
    found = running_stack()
    _stop(found)
    removed = home.remade(found.home)
    home.remove(found.home, removed)
    left = home.kept(found.home)
    if as_json:
        print_json({"removed": list(map(str, removed)), "kept": list(map(str, left))})
        return
    for path in removed:
        say("removed {path}", path=path)
    for path, what in left.items():
        say("kept    {path}: {what}", path=path, what=what)
    if left:
        say("`xops forget` removes the state of real systems.")


def forget(confirm: str | None, *, as_json: bool) -> None:
    """List the state of real systems in xOps' home and remove it, if that is confirmed.

    Raises:
        InputError: it was not confirmed.
        PermanentError: the embedded stack or a run is at work.
    """
    place = settings.home()
    found = home.forgettable(place)
    _refuse_while_running()
    for path, what in found.items():
        tell("{path}: {what}", path=path, what=what)
    if found:
        _confirm(place, confirm)
        home.remove(place, found)
    if as_json:
        print_json({"removed": list(map(str, found))})
    else:
        say("{said}", said=f"Removed {len(found)}." if found else "There was nothing to forget.")


def _refuse_while_running() -> None:
    running = [service.name for service in running_stack().services if service.process()]
    if running:
        raise PermanentError(
            "forgetting real systems", f"{', '.join(running)} is running", "Run `xops down` first."
        )


def _confirm(place: Path, given: str | None) -> None:
    wanted = str(place)
    if given is None:
        given = typer.prompt(
            "This cannot be undone, and the systems themselves stay as they are."
            f" Type {wanted} to remove it, anything else to stop",
            err=True,
        )
    if given != wanted:
        finding = Finding("argument confirm", "", f"{given!r} is not {wanted}")
        raise InputError(
            "forgetting real systems", [finding], "Nothing was removed. Type the whole path."
        )


def _stop(stack: Stack) -> list[str]:
    patience = settings.seconds(os.environ, down.VARIABLE, down.PATIENCE)
    return down.stop(stack, patience, lambda line: tell("[cyan]{line}[/]", line=line))


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
