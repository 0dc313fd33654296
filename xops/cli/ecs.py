"""`xops ecs`: Stream 1."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from xops.aws.access import ENDPOINT_VARIABLE
from xops.aws.target import Target
from xops.cli.console import (
    Approve,
    AsJson,
    PlanWatcher,
    Show,
    approver,
    bar,
    err,
    out,
    print_json,
    print_outcome,
)
from xops.core.lifecycle.steps import run_lifecycle
from xops.ecs import lifecycle, terraform_events
from xops.ecs.environment import Environment
from xops.ecs.lifecycle import DriftStatus, EcsSteps
from xops.ecs.services import ServiceState
from xops.ecs.stream1 import Stream1
from xops.local.stack import stack as local_stack

DRIFTED = 3

ecs = typer.Typer(no_args_is_help=True, help="Stream 1: ECS Fargate.")

EnvironmentName = Annotated[
    str, typer.Option("--environment", "-e", help="One of deployments/environments/*.yaml.")
]
TargetName = Annotated[
    Target | None, typer.Option("--target", help="Instead of the target in the file.")
]


class _Watcher(PlanWatcher):
    """Terraform's steps and the services on top."""

    def __init__(self, show: Show, *, quiet: bool) -> None:
        super().__init__(show, quiet=quiet)
        self._seen = ""

    def progress(self, progress: terraform_events.Progress) -> None:
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


@ecs.command()
def plan(environment: EnvironmentName, target: TargetName = None, as_json: AsJson = False) -> None:
    """List every change with its reason, and the plan's digest. Changes nothing."""
    _run_lifecycle(environment, target, as_json, apply=False)


@ecs.command()
def apply(
    environment: EnvironmentName,
    target: TargetName = None,
    approve: Approve = None,
    as_json: AsJson = False,
) -> None:
    """Plan, ask for approval where the policy wants it, apply, verify and record."""
    _run_lifecycle(environment, target, as_json, apply=True, approve=approve)


@ecs.command()
def destroy(
    environment: EnvironmentName,
    target: TargetName = None,
    approve: Approve = None,
    as_json: AsJson = False,
) -> None:
    """Remove the environment's Stream 1, after an approval. State bucket and evidence stay."""
    _run_lifecycle(environment, target, as_json, apply=True, destroy=True, approve=approve)


@ecs.command()
def drift(environment: EnvironmentName, target: TargetName = None, as_json: AsJson = False) -> None:
    """Compare the environment with its configuration; exit code 3 if anything differs."""
    stream = _open(environment, target)
    with bar(f"drift {environment}") as show:
        found = lifecycle.detect_drift(stream, _Watcher(show, quiet=as_json))
    if as_json:
        print_json(found.to_json())
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


def _run_lifecycle(
    name: str,
    target: Target | None,
    as_json: bool,
    *,
    apply: bool,
    destroy: bool = False,
    approve: str | None = None,
) -> None:
    stream = _open(name, target)
    with bar(f"{stream.environment.subject} on {stream.environment.target}") as show:
        watcher = _Watcher(show, quiet=as_json)
        steps = EcsSteps(stream, watcher, destroy)
        outcome = run_lifecycle(steps, approver(approve, as_json), watcher, apply=apply)
    print_outcome(outcome, as_json=as_json)
