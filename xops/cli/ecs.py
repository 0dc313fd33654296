"""`xops ecs`: Stream 1."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xops.aws.target import Target
from xops.cli.console import (
    Approve,
    AsJson,
    TerminalWatcher,
    bar,
    exit_if_changes,
    print_drift,
    print_json,
    print_outcome,
    print_row,
    run_steps,
    say,
    tell,
)

if TYPE_CHECKING:
    from xops.core.lifecycle.steps import Outcome
    from xops.core.plan.cost import Pricer
    from xops.ecs.state_recovery import Settled
    from xops.ecs.stream1 import Stream1

app = typer.Typer()
state = typer.Typer(
    no_args_is_help=True,
    help="A state that a run could not write: `ecs plan` names it and its run.",
)
app.add_typer(state, name="state")

RunName = Annotated[
    str | None, typer.Option("--run", help="Whose state; may be left out where there is one only.")
]
EnvironmentName = Annotated[
    str, typer.Option("--environment", "-e", help="One of deployments/environments/*.yaml.")
]
TargetName = Annotated[
    Target | None, typer.Option("--target", help="Instead of the target in the file.")
]


@app.command()
def plan(environment: EnvironmentName, target: TargetName = None, as_json: AsJson = False) -> None:
    """List every change with its reason, and the plan's digest. Changes nothing.

    Exit code 10 if there are changes.
    """
    outcome = _run_lifecycle(environment, target, as_json, apply=False)
    exit_if_changes(outcome.plan)


@app.command()
def apply(
    environment: EnvironmentName,
    target: TargetName = None,
    approve: Approve = None,
    as_json: AsJson = False,
) -> None:
    """Plan, ask for approval where the policy wants it, apply, verify and record."""
    _run_lifecycle(environment, target, as_json, apply=True, approve=approve)


@app.command()
def destroy(
    environment: EnvironmentName,
    target: TargetName = None,
    approve: Approve = None,
    as_json: AsJson = False,
) -> None:
    """Remove the environment's Stream 1, after an approval. State bucket and evidence stay."""
    _run_lifecycle(environment, target, as_json, apply=True, destroy=True, approve=approve)


@app.command()
def drift(environment: EnvironmentName, target: TargetName = None, as_json: AsJson = False) -> None:
    """Compare the environment with its configuration; exit code 10 if anything differs."""
    from xops.core.lifecycle.drift import detect_drift
    from xops.finops.pricing.pricer import TerraformPricer

    pricer = TerraformPricer.load()
    with _open_stream(environment, target, quiet=as_json, pricer=pricer) as (stream, watcher):
        found = detect_drift(stream, watcher)
    print_drift(found, as_json=as_json)


@app.command()
def unlock(
    environment: EnvironmentName,
    lock_id: Annotated[str, typer.Option("--lock-id", help="As the error names it.")],
    target: TargetName = None,
    as_json: AsJson = False,
) -> None:
    """Clear a lock whose holder is certainly dead. xOps never does this by itself."""
    with _open_stream(environment, target, quiet=as_json) as (stream, _):
        stream.unlock(lock_id)
    if as_json:
        print_json({"subject": stream.environment.subject, "cleared": lock_id})
    else:
        subject = stream.environment.subject
        say("Cleared lock {lock} of {subject}.", lock=lock_id, subject=subject)


@state.command()
def push(
    environment: EnvironmentName,
    run: RunName = None,
    target: TargetName = None,
    as_json: AsJson = False,
) -> None:
    """Put it back. Terraform refuses one that is older, or of another line; nothing is forced."""
    from xops.ecs.state_recovery import push_state

    with _open_stream(environment, target, quiet=as_json) as (stream, _):
        _print_settled(push_state(stream, run), "Put back", as_json)


@state.command()
def drop(
    environment: EnvironmentName,
    run: RunName = None,
    target: TargetName = None,
    as_json: AsJson = False,
) -> None:
    """Remove one that nobody needs; refused while it is newer than the state."""
    from xops.ecs.state_recovery import drop_state

    with _open_stream(environment, target, quiet=as_json) as (stream, _):
        _print_settled(drop_state(stream, run), "Removed", as_json)


def _print_settled(settled: Settled, done: str, as_json: bool) -> None:
    if as_json:
        print_json(vars(settled))
        return
    say("{done} {state} of {subject}.", done=done, state=settled.state, subject=settled.subject)
    print_row("evidence", settled.evidence)


@contextmanager
def _open_stream(
    name: str,
    target: Target | None,
    *,
    quiet: bool,
    destroy: bool = False,
    pricer: Pricer | None = None,
) -> Iterator[tuple[Stream1, TerminalWatcher]]:
    """The environment's stack; the embedded AWS is started if it is the target."""
    from xops.aws.access import ENDPOINT_VARIABLE
    from xops.ecs.environment import Environment
    from xops.ecs.stream1 import Stream1
    from xops.local.stack import stack as local_stack

    environment = Environment.load(name, target=target)
    environ = dict(os.environ)
    if environment.target is Target.EMBEDDED and ENDPOINT_VARIABLE not in environ:
        stack = local_stack()
        if stack.aws.launch():
            tell("[cyan]starting the embedded AWS on port {port}[/]", port=stack.aws.port)
        stack.aws.wait()
        environ[ENDPOINT_VARIABLE] = stack.aws_endpoint
    with bar(f"{environment.subject} on {environment.target}") as show:
        watcher = TerminalWatcher(show, quiet=quiet)
        stream = Stream1.open(environment, watcher, environ, destroy=destroy, pricer=pricer)
        with stream.folder:
            yield stream, watcher


def _run_lifecycle(
    name: str,
    target: Target | None,
    as_json: bool,
    *,
    apply: bool,
    destroy: bool = False,
    approve: str | None = None,
) -> Outcome[Any]:
    # Where no plan is made (a lock cleared, a state put back) no price is read: a wrong file of
    # prices must not stand in the way of that.
    from xops.finops.pricing.pricer import TerraformPricer

    pricer = TerraformPricer.load()
    opened = _open_stream(name, target, quiet=as_json, destroy=destroy, pricer=pricer)
    with opened as (stream, watcher):
        outcome = run_steps(stream, watcher, approve, apply=apply, as_json=as_json)
    print_outcome(outcome, as_json=as_json)
    return outcome
