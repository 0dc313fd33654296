"""The `xops` command: the flows' work from a shell, through the same library."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from xops.core import plan_view, settings
from xops.core.errors import ApprovalRequired, XopsError
from xops.core.plan import Plan
from xops.ecs import lifecycle, terraform_events
from xops.ecs.aws import ENDPOINT_VARIABLE
from xops.ecs.environment import Environment, Target
from xops.ecs.lifecycle import Approval, DriftStatus, Status
from xops.ecs.services import ServiceState
from xops.ecs.stream1 import Stream1, who
from xops.local import doctor as examination
from xops.local.stack import Stack
from xops.local.stack import stack as local_stack

DRIFTED = 3
INTERRUPTED = 130
EXIT_CODES = """Exit codes: 0 done, 1 failed, 2 bad input, 3 differs (drift), 4 waits for an
approval, 5 failed but trying again later may help, 130 interrupted."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=f"{__doc__}\n\n{EXIT_CODES}",
    pretty_exceptions_enable=False,  # its boxes show local variables, secrets among them
)
ecs = typer.Typer(no_args_is_help=True, help="Stream 1: ECS Fargate.")
app.add_typer(ecs, name="ecs")

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

EnvironmentName = Annotated[
    str, typer.Option("--environment", "-e", help="One of deployments/environments/*.yaml.")
]
TargetName = Annotated[
    Target | None, typer.Option("--target", help="Instead of the target in the file.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Approve = Annotated[
    str | None,
    typer.Option("--approve", help="The digest (or its first 12 characters) that you approve."),
]


def main() -> None:
    """Run the command; every xOps error becomes a message and its exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except XopsError as error:
        if "--json" in sys.argv:
            out.print_json(json.dumps(error.to_json(), default=str))
        err.print(f"[bold red]error[/] {_escaped(str(error))}")
        sys.exit(error.exit_code)
    except OSError as error:
        if not _disk_is_full(error):
            raise
        remedy = f"Free some space at {settings.home()}, or set XOPS_HOME elsewhere."
        err.print(f"[bold red]error[/] {os.strerror(errno.ENOSPC)}\n  -> {_escaped(remedy)}")
        sys.exit(XopsError.exit_code)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # Typer turns Ctrl-C into this without a word
            err.print("interrupted; run it again to go on")
        raise


def _disk_is_full(error: OSError) -> bool:
    # Copying a tree gathers its errors as text, without a number.
    full = (errno.ENOSPC, errno.EDQUOT)
    return error.errno in full or os.strerror(errno.ENOSPC) in str(error)


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")


@app.command()
def up(
    once: Annotated[
        bool, typer.Option("--once", help="End after the summary; the servers stay up.")
    ] = False,
) -> None:
    """Start the embedded stack, deploy the flows and provision Stream 1 as `local`."""
    from xops.local import up as embedded  # Prefect takes seconds to import: only where needed

    stack = local_stack()
    started = embedded.bring_up(stack, lambda line: err.print(f"[cyan]{_escaped(line)}[/]"))
    with _bar("provision-ecs local") as show:
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
    if outcome["status"] == Status.UNCHANGED:
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
        out.print_json(json.dumps([vars(check) for check in checks]))
    else:
        _print_checks(checks)
    if any(check.verdict is examination.Verdict.PROBLEM for check in checks):
        raise typer.Exit(1)


def _print_checks(checks: Sequence[examination.Check]) -> None:
    colours = {"ok": "green", "note": "yellow", "problem": "bold red"}
    for check in checks:
        colour = colours[check.verdict]
        out.print(f"[{colour}]{check.verdict:>8}[/]  {check.name}: {_escaped(check.found)}")
        if check.remedy:
            out.print(f"            -> {_escaped(check.remedy)}")


@ecs.command()
def plan(environment: EnvironmentName, target: TargetName = None, as_json: AsJson = False) -> None:
    """List every change with its reason, and the plan's digest. Changes nothing."""
    _carry_out(environment, target, as_json, apply=False)


@ecs.command()
def apply(
    environment: EnvironmentName,
    target: TargetName = None,
    approve: Approve = None,
    as_json: AsJson = False,
) -> None:
    """Plan, ask for approval where the policy wants it, apply, verify and record."""
    _carry_out(environment, target, as_json, apply=True, approve=approve)


@ecs.command()
def destroy(
    environment: EnvironmentName,
    target: TargetName = None,
    approve: Approve = None,
    as_json: AsJson = False,
) -> None:
    """Remove the environment's Stream 1, after an approval. State bucket and evidence stay."""
    _carry_out(environment, target, as_json, apply=True, destroy=True, approve=approve)


@ecs.command()
def drift(environment: EnvironmentName, target: TargetName = None, as_json: AsJson = False) -> None:
    """Compare the environment with its configuration; exit code 3 if anything differs."""
    stream = _open(environment, target)
    with _bar(f"drift {environment}") as show:
        found = lifecycle.detect_drift(stream, _Watcher(show, quiet=as_json))
    if as_json:
        out.print_json(json.dumps(found.to_json(), default=str))
    else:
        _print_drift(found)
    if found.status is DriftStatus.DRIFTED:
        raise typer.Exit(DRIFTED)


def _print_drift(found: lifecycle.Drift) -> None:
    messages = {
        DriftStatus.IN_SYNC: "In sync: nothing differs.",
        DriftStatus.DRIFTED: f"Drifted: {found.plan.summary()}",
        DriftStatus.NOT_PROVISIONED: "Not provisioned: there is nothing to compare.",
    }
    out.print(messages[found.status])


@ecs.command()
def unlock(
    environment: EnvironmentName,
    lock_id: Annotated[str, typer.Option("--lock-id", help="As the error names it.")],
    target: TargetName = None,
) -> None:
    """Clear a lock whose holder is certainly dead. xOps never does this by itself."""
    stream = _open(environment, target)
    stream.unlock(lock_id)
    out.print(f"Cleared lock {lock_id} of {stream.environment.subject}.")


def _open(name: str, target: Target | None) -> Stream1:
    """The environment's stack; the embedded AWS is started if it is the target."""
    environment = Environment.load(name, target=target)
    environ = dict(os.environ)
    if environment.target is Target.EMBEDDED and ENDPOINT_VARIABLE not in environ:
        stack = local_stack()
        if stack.aws.launch():
            err.print(f"[cyan]starting the embedded AWS on port {stack.aws.port}[/]")
        stack.aws.wait()
        environ[ENDPOINT_VARIABLE] = stack.aws_endpoint
    return Stream1.open(environment, environ)


def _carry_out(
    name: str,
    target: Target | None,
    as_json: bool,
    *,
    apply: bool,
    destroy: bool = False,
    approve: str | None = None,
) -> None:
    stream = _open(name, target)
    with _bar(f"{stream.environment.subject} on {stream.environment.target}") as show:
        watcher = _Watcher(show, quiet=as_json)
        outcome = lifecycle.carry_out(
            stream, _approver(approve, as_json), watcher, apply=apply, destroy=destroy
        )
    if as_json:
        out.print_json(json.dumps(outcome.to_json(), default=str))
    else:
        out.print(f"[bold]{outcome.status}[/] {outcome.plan.summary()}")
        _print_verification(outcome.to_json())


def _approver(given: str | None, as_json: bool) -> lifecycle.Approver:
    """Approval by a digest on the command line, or by a person who types it."""

    def approve(plan: Plan) -> Approval:
        answer = given
        if answer is None and sys.stdin.isatty() and not as_json:
            answer = typer.prompt(f"Type {plan.label} to approve this plan, anything else to stop")
        if answer is None or len(answer) < len(plan.label) or not plan.digest.startswith(answer):
            raise _not_approved(plan, answer)
        return Approval(by=who(), how="digest given on the command line", digest=plan.digest)

    return approve


def _not_approved(plan: Plan, answer: str | None) -> ApprovalRequired:
    found = "nobody has approved it" if answer is None else f"{answer!r} is not its digest"
    return ApprovalRequired(
        f"applying the plan of {plan.subject} ({plan.label})",
        found,
        f"Look at the plan, then run the same command with `--approve {plan.label}`.",
    )


class _Watcher:
    """Shows the lifecycle in a terminal, or line by line where there is none."""

    def __init__(self, show: Callable[[str, float | None], None], *, quiet: bool) -> None:
        self._show = show
        self._quiet = quiet
        self._seen = ""

    def plan_ready(self, plan: Plan) -> None:
        """The plan, unless it goes out as JSON."""
        if not self._quiet:
            out.print(_escaped("\n".join(_lines(plan))))

    def progress(self, progress: terraform_events.Progress) -> None:
        """Terraform's steps."""
        if progress.total and progress.event.startswith("apply_"):
            line = f"{progress.done}/{progress.total} {progress.message}"
            self._show(line, 100.0 * progress.done / progress.total)

    def services(self, states: Sequence[ServiceState]) -> None:
        """The services whenever they change."""
        seen = "; ".join(map(str, states))
        if seen != self._seen:
            self._seen = seen
            self._show(seen, None)

    def note(self, message: str) -> None:
        """A line on stderr."""
        err.print(f"[yellow]{_escaped(message)}[/]")


def _lines(plan: Plan) -> Iterator[str]:
    """One line a change, made to be read and to be searched with grep."""
    yield plan.summary()
    for change in plan.changes:
        details = "; ".join(plan_view.details(change))
        reason = f"({change.reason})" if change.reason else ""
        parts = [plan_view.mark(change.action).rjust(3), change.target, details, reason]
        yield " ".join(part for part in parts if part)


@contextmanager
def _bar(title: str) -> Iterator[Callable[[str, float | None], None]]:
    """A progress bar on a terminal's stderr; elsewhere a line for each news."""
    if not err.is_terminal:
        yield lambda message, percent: err.print(_escaped(message))
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task(title, total=100.0)

        def show(message: str, percent: float | None) -> None:
            if percent is None:
                progress.console.print(_escaped(message))
            else:
                progress.update(bar, completed=percent, description=_escaped(message))

        yield show


if __name__ == "__main__":
    main()
