"""What all commands share: two consoles, progress, plans and approvals as people see them.

Only this module writes to a terminal. What it writes is a template of ours with values of others,
which `xops.core.rendering` makes harmless. `xops --help` imports this module, so what only a
running command needs is imported where it is used.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from xops.core.errors import ApprovalRequired, ExitCode
from xops.core.rendering import Markdown, Plain, Terminal

if TYPE_CHECKING:
    from xops.core.evidence.log import EvidenceLog
    from xops.core.lifecycle.drift import Drift
    from xops.core.lifecycle.gate import Approver, Decision, Question
    from xops.core.lifecycle.steps import Outcome, Steps
    from xops.core.lifecycle.watching import Progress
    from xops.core.plan.model import Plan

# No emoji: `:name:` in the text of others stays what it is.
_out = Console(soft_wrap=True, highlight=False, emoji=False)
_err = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Approve = Annotated[
    str | None,
    typer.Option(
        "--approve",
        help="The digest that you approve; its first 12 characters do for a plan shown before.",
    ),
]

_LEAST = 12
"""Characters of a digest that a person must give."""

_WHOLE = 64
"""Characters of a whole digest."""


def say(template: str, /, **values: Any) -> None:
    """A line on stdout: a template with rich's markup, and values that are anybody's."""
    _out.print(Terminal.of(template, **values))


def tell(template: str, /, **values: Any) -> None:
    """A line on stderr: what is not the answer itself."""
    _err.print(Terminal.of(template, **values))


def styled(style: str, text: object) -> Terminal:
    """Text of others in a style of ours, for a value of a template."""
    return Terminal(f"[{style}]{Terminal.render(str(text))}[/]")


def print_text(text: str) -> None:
    """A text of several lines on stdout, as it is but for what would act on a terminal."""
    _out.print(Plain.lines(text), markup=False)


def print_markdown(text: Markdown) -> None:
    """Markdown on stdout; its spaces of no width keep `@` from calling anybody, and stay."""
    _out.print(text, markup=False)


def print_json(values: Any) -> None:
    """One JSON object on stdout."""
    _out.print_json(json.dumps(values, default=str), ensure_ascii=True)


def print_outcome(outcome: Outcome[Any], *, as_json: bool) -> None:
    """How a request ended."""
    if as_json:
        print_json(outcome.to_json())
        return
    say("[bold]{status}[/] {summary}", status=outcome.status, summary=outcome.plan.summary())
    if outcome.plan.cost:
        print_row("cost", str(outcome.plan.cost))
    if outcome.approval:
        print_row("approval", f"{outcome.approval.by} ({outcome.approval.identity})")
    for name, seen in (outcome.verification.rows() if outcome.verification else {}).items():
        print_row(name, seen)
    for each in outcome.availability:
        print_row(each.name, str(each))
    if outcome.evidence:
        print_row("evidence", outcome.evidence)


def print_drift(found: Drift, *, as_json: bool) -> None:
    """How a subject compares with its configuration.

    Raises:
        typer.Exit: FINDINGS where it has drifted.
    """
    from xops.core.lifecycle.drift import DriftStatus

    if as_json:
        print_json(found.to_json())
    else:
        say("{subject}: {message}", subject=found.subject, message=found.message())
    if found.status is DriftStatus.DRIFTED:
        raise typer.Exit(ExitCode.FINDINGS)


def exit_if_changes(plan: Plan) -> None:
    """End a command that only plans.

    Raises:
        typer.Exit: FINDINGS where the plan has changes.
    """
    if not plan.is_empty:
        raise typer.Exit(ExitCode.FINDINGS)


def print_row(name: str, value: str) -> None:
    """A line of a summary."""
    say("{name} {value}", name=f"{f'{name[:1].upper()}{name[1:]}:':<13}", value=value)


def run_steps(
    steps: Steps[Any, Any],
    watcher: TerminalWatcher,
    approve: str | None,
    *,
    apply: bool,
    as_json: bool,
) -> Outcome[Any]:
    """The lifecycle of a step, by a command."""
    from xops.core.lifecycle.runs import command_run
    from xops.core.lifecycle.steps import run_lifecycle

    ask = approver(steps.log, approve, as_json)
    return run_lifecycle(steps, ask, watcher, apply=apply, run=command_run())


def approver(log: EvidenceLog, given: str | None, as_json: bool) -> Approver:
    """Approval by a digest on the command line, or by a person who types it.

    The first characters of a digest stand for a plan that is on record as shown, and the whole of
    that plan's digest is compared: characters alone could be those of another plan.
    """
    from xops.core.lifecycle.gate import Decision, IdentityKind, account

    shown = [] if given is None else _shown_digests(log, given)

    def approve(question: Question) -> Sequence[Decision]:
        plan = question.plan
        for reason in question.reasons:
            tell("asked again: {reason}", reason=reason)
        if plan.cost and plan.cost.excess:
            tell("[bold red]{excess}[/]", excess=plan.cost.excess)
        if given is not None:
            if given != plan.digest and shown != [plan.digest]:
                raise _not_approved(plan, given, shown)
            how = "digest given on the command line"
        elif sys.stdin.isatty() and not as_json:
            with question_asked():
                answer = typer.prompt(f"Type {plan.label} to approve it, anything else to stop")
            if answer not in (plan.label, plan.digest):
                raise _not_approved(plan, answer, [])
            how = "typed at the question"
        else:
            raise _not_approved(plan, None, [])
        return (Decision(account(), how, IdentityKind.ACCOUNT),)

    return approve


def _shown_digests(log: EvidenceLog, given: str) -> list[str]:
    """The digests of plans on record as shown that begin so, from before this command."""
    from xops.core.evidence.log import RecordKind

    if len(given) < _LEAST or len(given) == _WHOLE:
        return []  # a whole digest is compared as it is
    kinds = (RecordKind.PLAN, RecordKind.QUESTION, RecordKind.DRIFT)
    found = {record.digest for record in log.newest_first(*kinds)}
    return sorted(digest for digest in found if digest.startswith(given))


def _not_approved(plan: Plan, answer: str | None, shown: Sequence[str]) -> ApprovalRequired:
    if answer is None:
        found = "nobody has approved it"
    elif plan.digest.startswith(answer) and len(answer) >= _LEAST and not shown:
        found = f"no plan that begins with {answer!r} is on record as shown: give all 64 characters"
    else:
        found = f"{answer!r} is not its digest"
    return ApprovalRequired(
        f"applying the plan of {plan.subject} ({plan.label})",
        found,
        f"Look at the plan, then run the same command with `--approve {plan.digest}`.",
    )


@contextmanager
def question_asked() -> Iterator[None]:
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
        self._show = show
        self._quiet = quiet
        self._told = ""

    def plan_ready(self, plan: Plan) -> None:
        """The plan, unless it goes out as JSON."""
        if not self._quiet:
            print_lines(plan_lines(plan))

    def progress(self, progress: Progress) -> None:
        """What has come further: a line of its own for what took time, else the bar."""
        if progress.seconds is not None:
            self._show(f"✔ {progress.message:<49} {progress.seconds:6.1f} s", None)
            return
        line = str(progress)
        if line != self._told:
            self._told = line
            self._show(line, progress.percent)

    def note(self, message: str) -> None:
        """A line on stderr."""
        tell("[yellow]{message}[/]", message=Terminal.lines(message))


Show = Callable[[str, float | None], None]
"""Shows one line of progress, and how far the work has come in percent, if that is known."""


def print_lines(lines: Iterable[Plain]) -> None:
    """Lines on stdout that are harmless already."""
    _out.print("\n".join(lines), markup=False)


def plan_lines(plan: Plan) -> Iterator[Plain]:
    """A plan for a terminal."""
    from xops.core.plan.view import terminal_lines

    return terminal_lines(plan)


@contextmanager
def bar(title: str) -> Iterator[Show]:
    """A progress bar on a terminal's stderr; elsewhere a line for each news."""
    if not _err.is_terminal:
        yield lambda message, percent: tell("{message}", message=message)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_err, transient=True) as progress:
        task = progress.add_task(Terminal.render(title), total=100.0)

        def show(message: str, percent: float | None) -> None:
            line = Terminal.render(message)
            if percent is None:
                progress.console.print(line)
            else:
                progress.update(task, completed=percent, description=line)

        yield show
