"""`xops ecs`: Stream 1."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xops.aws.target import Target
from xops.cli.console import (
    Approve,
    AsJson,
    TerminalWatcher,
    approver,
    bar,
    err,
    exit_if_changes,
    out,
    print_json,
    print_outcome,
)
from xops.core.errors import ExitCode

if TYPE_CHECKING:
    from xops.core.lifecycle.steps import Outcome
    from xops.ecs.drift import Drift
    from xops.ecs.services import ServiceState
    from xops.ecs.stream1 import Stream1
    from xops.ecs.terraform_events import Progress

app = typer.Typer()

EnvironmentName = Annotated[
    str, typer.Option("--environment", "-e", help="One of deployments/environments/*.yaml.")
]
TargetName = Annotated[
    Target | None, typer.Option("--target", help="Instead of the target in the file.")
]


class EcsTerminalWatcher(TerminalWatcher):
    """Shows Terraform's steps and the services as well."""

    _seen = ""

    def progress(self, progress: Progress) -> None:
        """Terraform's steps."""
        if progress.total and progress.event.startswith("apply_"):
            line = f"{progress.done}/{progress.total} {progress.message}"
            self.show(line, 100.0 * progress.done / progress.total)

    def services(self, states: Sequence[ServiceState]) -> None:
        """The services whenever they change."""
        seen = "; ".join(map(str, states))
        if seen != self._seen:
            self._seen = seen
            self.show(seen, None)


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
    from xops.ecs.drift import DriftStatus, detect_drift

    with _open_stream(environment, target, quiet=as_json) as stream:
        found = detect_drift(stream)
    if as_json:
        print_json(found.to_json())
    else:
        _print_drift(found)
    if found.status is DriftStatus.DRIFTED:
        raise typer.Exit(ExitCode.FINDINGS)


def _print_drift(found: Drift) -> None:
    from xops.ecs.drift import DriftStatus

    messages = {
        DriftStatus.IN_SYNC: "In sync: nothing differs.",
        DriftStatus.DRIFTED: f"Drifted: {found.plan.summary()}",
        DriftStatus.NOT_PROVISIONED: "Not provisioned: there is nothing to compare.",
    }
    out.print(messages[found.status])


@app.command()
def unlock(
    environment: EnvironmentName,
    lock_id: Annotated[str, typer.Option("--lock-id", help="As the error names it.")],
    target: TargetName = None,
    as_json: AsJson = False,
) -> None:
    """Clear a lock whose holder is certainly dead. xOps never does this by itself."""
    with _open_stream(environment, target, quiet=as_json) as stream:
        stream.unlock(lock_id)
    if as_json:
        print_json({"subject": stream.environment.subject, "cleared": lock_id})
    else:
        out.print(f"Cleared lock {lock_id} of {stream.environment.subject}.")


@contextmanager
def _open_stream(
    name: str, target: Target | None, *, quiet: bool, destroy: bool = False
) -> Iterator[Stream1]:
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
            err.print(f"[cyan]starting the embedded AWS on port {stack.aws.port}[/]")
        stack.aws.wait()
        environ[ENDPOINT_VARIABLE] = stack.aws_endpoint
    with bar(f"{environment.subject} on {environment.target}") as show:
        watcher = EcsTerminalWatcher(show, quiet=quiet)
        yield Stream1.open(environment, watcher, environ, destroy=destroy)


def _run_lifecycle(
    name: str,
    target: Target | None,
    as_json: bool,
    *,
    apply: bool,
    destroy: bool = False,
    approve: str | None = None,
) -> Outcome[Any]:
    from xops.core.lifecycle.steps import run_lifecycle

    with _open_stream(name, target, quiet=as_json, destroy=destroy) as stream:
        outcome = run_lifecycle(stream, approver(approve, as_json), stream.watcher, apply=apply)
    print_outcome(outcome, as_json=as_json)
    return outcome
