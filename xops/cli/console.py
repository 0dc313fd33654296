"""What all commands share: two consoles, progress, plans and approvals as people see them.

`xops --help` imports this module, so what only a running command needs is imported where it is
used.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from xops.core.errors import ApprovalRequired, ExitCode

if TYPE_CHECKING:
    from xops.core.lifecycle.gate import Approval, Approver
    from xops.core.lifecycle.steps import Outcome
    from xops.core.plan.model import Plan

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Approve = Annotated[
    str | None,
    typer.Option("--approve", help="The digest (or its first 12 characters) that you approve."),
]

Show = Callable[[str, float | None], None]
"""Shows one line of progress, and how far the work has come in percent, if that is known."""


def escaped(text: str) -> str:
    """Text in which no bracket is taken for a colour."""
    return text.replace("[", "\\[")


def print_json(values: Any) -> None:
    """One JSON object on stdout."""
    out.print_json(json.dumps(values, default=str))


def print_outcome(outcome: Outcome[Any], *, as_json: bool) -> None:
    """How a request ended."""
    if as_json:
        print_json(outcome.to_json())
        return
    out.print(f"[bold]{outcome.status}[/] {outcome.plan.summary()}")
    for name, seen in (outcome.verification.rows() if outcome.verification else {}).items():
        print_row(name, seen)
    if outcome.evidence:
        print_row("evidence", outcome.evidence)


def exit_if_changes(plan: Plan) -> None:
    """End a command that only plans.

    Raises:
        typer.Exit: FINDINGS where the plan has changes.
    """
    if not plan.is_empty:
        raise typer.Exit(ExitCode.FINDINGS)


def print_row(name: str, value: str) -> None:
    """A line of a summary."""
    out.print(f"{f'{name.capitalize()}:':<13} {escaped(value)}")


def approver(given: str | None, as_json: bool) -> Approver:
    """Approval by a digest on the command line, or by a person who types it."""
    from xops.core.lifecycle.gate import Approval, who

    def approve(plan: Plan) -> Approval:
        answer = given
        if answer is None and sys.stdin.isatty() and not as_json:
            with question():
                answer = typer.prompt(f"Type {plan.label} to approve it, anything else to stop")
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


@contextmanager
def question() -> Iterator[None]:
    """Ctrl-C at a question ends the command as it does anywhere else.

    Raises:
        typer.Exit: INTERRUPTED.
    """
    try:
        yield
    except typer.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        raise


class TerminalWatcher:
    """Shows the lifecycle in a terminal, or line by line where there is none."""

    def __init__(self, show: Show, *, quiet: bool) -> None:
        self.show = show
        self._quiet = quiet

    def plan_ready(self, plan: Plan) -> None:
        """The plan, unless it goes out as JSON."""
        if not self._quiet:
            out.print(escaped("\n".join(_lines(plan))))

    def note(self, message: str) -> None:
        """A line on stderr."""
        err.print(f"[yellow]{escaped(message)}[/]")


def _lines(plan: Plan) -> Iterator[str]:
    """One line a change, made to be read and to be searched with grep."""
    from xops.core.plan import view as plan_view

    yield plan.summary()
    for change in plan.changes:
        details = "; ".join(plan_view.details(change))
        reason = f"({change.reason})" if change.reason else ""
        parts = [plan_view.mark(change.action).rjust(3), change.target, details, reason]
        yield " ".join(part for part in parts if part)


@contextmanager
def bar(title: str) -> Iterator[Show]:
    """A progress bar on a terminal's stderr; elsewhere a line for each news."""
    if not err.is_terminal:
        yield lambda message, percent: err.print(escaped(message))
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(title, total=100.0)

        def show(message: str, percent: float | None) -> None:
            if percent is None:
                progress.console.print(escaped(message))
            else:
                progress.update(task, completed=percent, description=escaped(message))

        yield show
