"""`xops k3s`: clusters of Stream 2."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from xops.cli.console import (
    Approve,
    AsJson,
    PlanWatcher,
    approver,
    bar,
    err,
    escaped,
    out,
    print_json,
    print_outcome,
    print_row,
)
from xops.core.lifecycle.steps import run_lifecycle
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.operations import kubeconfig as configs
from xops.k3s.operations.bootstrap import K3sSteps
from xops.k3s.operations.status import ClusterStatus
from xops.k3s.operations.verify import describe_node
from xops.k3s.release.lock import Lock
from xops.k3s.ssh import known_hosts as pinning
from xops.k3s.ssh.connector import SshConnector
from xops.k3s.state.preflight import Observation, PreflightFinding, Severity

WOULD_CHANGE = 2

k3s = typer.Typer(no_args_is_help=True, help="Stream 2: K3S clusters on hosts over SSH.")

ClusterName = Annotated[
    str, typer.Argument(metavar="CLUSTER", help="A file, or a name in deployments/clusters.")
]
LockFile = Annotated[
    Path | None,
    typer.Option("--lock", help="Instead of deployments/clusters/k3s.lock.yaml.", dir_okay=False),
]


class _Watcher(PlanWatcher):
    """One line a step of a host, with its seconds."""

    def step(self, host: str, what: str, seconds: float | None) -> None:
        """Something was done on a host."""
        if seconds is None:
            self.show(f"{host}: {what}", 0.0)
        else:
            self.show(f"✔ {host:<16} {what:<32} {seconds:6.1f} s", None)


def _steps(name: str, lock: Path | None, watcher: _Watcher) -> K3sSteps:
    cluster = Cluster.load(name).completed()
    connector = SshConnector(cluster.ssh, cluster=name)
    return K3sSteps(
        cluster, connector, watcher, Lock.load(lock) if lock else Lock.configured(os.environ)
    )


@k3s.command()
def preflight(cluster: ClusterName, lock: LockFile = None, as_json: AsJson = False) -> None:
    """What is wrong with the hosts, all of it, with the command that mends it. Changes nothing."""
    with bar(f"preflight {cluster}") as show:
        steps = _steps(cluster, lock, _Watcher(show, quiet=as_json))
        observed, found = steps.preflight()
    errors = [finding for finding in found if finding.severity is Severity.ERROR]
    if as_json:
        print_json({"cluster": steps.cluster.name, "findings": [row.to_json() for row in found]})
    else:
        _print_findings(observed, found)
    if errors:
        raise typer.Exit(1)


def _print_findings(observed: Observation, found: Sequence[PreflightFinding]) -> None:
    for name, seen in observed.facts.items():
        fsync = f", fsync p99 {seen.fsync_p99_ms:.1f} ms" if seen.fsync_p99_ms else ""
        size = f"{seen.cpus} CPUs, {seen.memory_mib} MiB, {seen.disk_free_gib:.0f} GiB free"
        out.print(f"{name}: {seen.os} {seen.arch}, {size}{fsync}, K3S {seen.version or 'none'}")
    for finding in found:
        colour = "bold red" if finding.severity is Severity.ERROR else "yellow"
        out.print(f"[{colour}]{finding.severity}[/] {escaped(str(finding))}")
    if not found:
        out.print("[bold green]Nothing is wrong.[/]")


@k3s.command()
def plan(cluster: ClusterName, lock: LockFile = None, as_json: AsJson = False) -> None:
    """Every change, host by host, restarts among them; exit code 2 if there is any."""
    with bar(f"plan {cluster}") as show:
        watcher = _Watcher(show, quiet=as_json)
        steps = _steps(cluster, lock, watcher)
        outcome = run_lifecycle(steps, approver(None, as_json), watcher, apply=False)
    print_outcome(outcome, as_json=as_json)
    if not outcome.plan.is_empty:
        raise typer.Exit(WOULD_CHANGE)


@k3s.command()
def apply(
    cluster: ClusterName,
    approve: Approve = None,
    lock: LockFile = None,
    merge_kubeconfig: Annotated[
        Path | None,
        typer.Option("--merge-kubeconfig", help="Add the cluster to this kubeconfig as well."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Preflight, plan, ask for approval, apply, verify and record. Run it again to resume."""
    with bar(f"apply {cluster}") as show:
        watcher = _Watcher(show, quiet=as_json)
        steps = _steps(cluster, lock, watcher)
        outcome = run_lifecycle(steps, approver(approve, as_json), watcher, apply=True)
    print_outcome(outcome, as_json=as_json)
    if merge_kubeconfig and outcome.verification:
        name = configs.merge(Path(outcome.verification.kubeconfig), merge_kubeconfig)
        err.print(f"context {name} is in {merge_kubeconfig} now")


@k3s.command()
def status(cluster: ClusterName, lock: LockFile = None, as_json: AsJson = False) -> None:
    """Nodes, quorum and hardening as they are now; exit code 1 without quorum."""
    with bar(f"status {cluster}") as show:
        found = _steps(cluster, lock, _Watcher(show, quiet=as_json)).status()
    if as_json:
        print_json(found.to_json())
    else:
        _print_status(found)
    if not found.has_quorum:
        raise typer.Exit(1)


def _print_status(found: ClusterStatus) -> None:
    quorum = {True: "[green]kept[/]", False: "[bold red]lost[/]", None: "[yellow]unknown[/]"}
    out.print(f"{found.cluster}: quorum {quorum[found.has_quorum]}")
    for node in found.nodes or ():
        print_row(node.name, describe_node(node))
    for name, error in found.failed.items():
        out.print(f"[bold red]{name}[/] {escaped(error)}")
    unmet = [control for control in found.hardening if control.met is not True]
    for control in unmet:
        out.print(f"[yellow]{control.host}[/] {escaped(f'{control.rule}: {control.found}')}")


@k3s.command()
def trust(
    cluster: ClusterName,
    host: Annotated[
        list[str] | None, typer.Argument(help="Hosts; by default all that have no key yet.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Without a question.")] = False,
) -> None:
    """Show the keys of hosts and pin them, after you have compared them."""
    found = Cluster.load(cluster).completed()
    connector = SshConnector(found.ssh, cluster=cluster)
    names = host or [each.name for each in found.hosts]
    for name in names:
        lines = asyncio.run(pinning.scan_unpinned(found, connector, found.host(name)))
        for line in lines:
            out.print(f"{name}: {pinning.describe_key(line)}")
        if lines and (yes or typer.confirm(f"Pin {'it' if len(lines) == 1 else 'them'}?")):
            pinning.pin(found.ssh.known_hosts, lines)
            out.print(f"pinned in {found.ssh.known_hosts}")
