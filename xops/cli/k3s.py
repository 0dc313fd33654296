"""`xops k3s`: clusters of Stream 2."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    styled,
    tell,
)
from xops.cli.inputs import readable_file, writable_file_in_new_folder
from xops.core.errors import ExitCode

if TYPE_CHECKING:
    from xops.core.lifecycle.steps import Outcome
    from xops.k3s.operations.bootstrap import K3sSteps
    from xops.k3s.operations.status import ClusterStatus
    from xops.k3s.state.preflight import Observation, PreflightFinding
    from xops.k3s.validate import Validation

app = typer.Typer()

ClusterName = Annotated[
    str, typer.Argument(metavar="CLUSTER", help="A file, or a name in deployments/clusters.")
]
LockFile = Annotated[
    Path | None,
    typer.Option(
        "--lock", callback=readable_file, help="Instead of deployments/clusters/k3s.lock.yaml."
    ),
]


OnlyHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--host",
        metavar="NAME",
        help="Touch this host only; repeat it for more. Others are looked at if they answer.",
    ),
]


def _open_cluster(
    name: str, lock: Path | None, watcher: TerminalWatcher, only: Sequence[str] = ()
) -> K3sSteps:
    from xops.k3s.cluster_file.cluster import Cluster
    from xops.k3s.operations.bootstrap import K3sSteps
    from xops.k3s.release.lock import Lock
    from xops.k3s.ssh.connector import SshConnector
    from xops.k3s.state.scope import scope_of

    cluster = Cluster.load(name).completed()
    connector = SshConnector(cluster.ssh, cluster=name)
    known = Lock.load(lock) if lock else Lock.configured(os.environ)
    return K3sSteps(cluster, connector, watcher, known, scope=scope_of(cluster, only))


@app.command()
def validate(cluster: ClusterName, lock: LockFile = None, as_json: AsJson = False) -> None:
    """Check a cluster's file, its lock and its secrets' places. Asks no host, changes nothing.

    Exit code 2 with everything that is wrong, 11 if Terraform's outputs are not there yet.
    """
    from xops.k3s.validate import validate as check

    found = check(cluster, lock)
    if as_json:
        print_json(found.to_json())
    else:
        _print_validation(found)
    if found.unchecked:
        raise typer.Exit(ExitCode.INCOMPLETE)


def _print_validation(found: Validation) -> None:
    hosts = found.cluster.hosts
    servers = sum(host.is_server for host in hosts)
    say(
        "{cluster}: K3S {version}, servers: {servers}, agents: {agents}, secrets: {secrets}",
        cluster=found.cluster.name,
        version=found.cluster.k3s.version,
        servers=servers,
        agents=len(hosts) - servers,
        secrets=len(found.secrets),
    )
    for reason in found.unchecked:
        say("[yellow]not checked[/] {reason}", reason=reason)
    if not found.unchecked:
        say("[bold green]Nothing is wrong.[/]")


@app.command()
def preflight(cluster: ClusterName, lock: LockFile = None, as_json: AsJson = False) -> None:
    """Check the hosts and list every problem with the command that fixes it. Changes nothing.

    Exit code 10 if a problem stands in the way of an apply.
    """
    from xops.k3s.state.preflight import Severity

    with bar(f"preflight {cluster}") as show:
        steps = _open_cluster(cluster, lock, TerminalWatcher(show, quiet=as_json))
        observed, found = steps.preflight()
    errors = [finding for finding in found if finding.severity is Severity.ERROR]
    if as_json:
        print_json({"cluster": steps.cluster.name, "findings": [row.to_json() for row in found]})
    else:
        _print_findings(observed, found)
    if errors:
        raise typer.Exit(ExitCode.FINDINGS)


def _print_findings(observed: Observation, found: Sequence[PreflightFinding]) -> None:
    from xops.k3s.state.preflight import Severity

    for name, seen in observed.facts.items():
        fsync = f", fsync p99 {seen.fsync_p99_ms:.1f} ms" if seen.fsync_p99_ms else ""
        size = f"{seen.cpus} CPUs, {seen.memory_mib} MiB, {seen.disk_free_gib:.0f} GiB free"
        system = f"{seen.os} {seen.arch}, {size}{fsync}, K3S {seen.version or 'none'}"
        say("{name}: {system}", name=name, system=system)
    for finding in found:
        colour = "bold red" if finding.severity is Severity.ERROR else "yellow"
        say("{severity} {finding}", severity=styled(colour, finding.severity), finding=finding)
    if not found:
        say("[bold green]Nothing is wrong.[/]")


@app.command()
def plan(
    cluster: ClusterName,
    host: OnlyHosts = None,
    lock: LockFile = None,
    as_json: AsJson = False,
) -> None:
    """List every change, host by host, restarts among them; exit code 10 if there is any.

    Agents that do not answer are left out and said; if nothing else is to be changed, exit code 11.
    """
    from xops.k3s.operations.plan import LEFT_OUT

    outcome = _run_lifecycle("plan", cluster, host, lock, None, as_json=as_json)
    exit_if_changes(outcome.plan)
    if any(name.startswith(LEFT_OUT) for name in outcome.plan.inputs):
        raise typer.Exit(ExitCode.INCOMPLETE)


@app.command()
def apply(
    cluster: ClusterName,
    approve: Approve = None,
    host: OnlyHosts = None,
    lock: LockFile = None,
    merge_kubeconfig: Annotated[
        Path | None,
        typer.Option(
            "--merge-kubeconfig",
            callback=writable_file_in_new_folder,
            help="Add the cluster to this kubeconfig as well.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Preflight, plan, ask for approval, apply, verify and record. Run it again to resume."""
    from xops.k3s.operations import kubeconfig

    if merge_kubeconfig:
        kubeconfig.read(merge_kubeconfig)  # a wrong file must be known before the apply
    outcome = _run_lifecycle("apply", cluster, host, lock, approve, as_json=as_json)
    if merge_kubeconfig and outcome.verification:
        name = kubeconfig.merge(Path(outcome.verification.kubeconfig), merge_kubeconfig)
        tell("context {name} is in {file} now", name=name, file=merge_kubeconfig)


def _run_lifecycle(
    verb: str,
    name: str,
    only: Sequence[str] | None,
    lock: Path | None,
    approve: str | None,
    *,
    as_json: bool,
) -> Outcome[Any]:
    with bar(f"{verb} {name}") as show:
        watcher = TerminalWatcher(show, quiet=as_json)
        steps = _open_cluster(name, lock, watcher, only or ())
        outcome = run_steps(steps, watcher, approve, apply=verb == "apply", as_json=as_json)
    print_outcome(outcome, as_json=as_json)
    return outcome


@app.command()
def drift(cluster: ClusterName, lock: LockFile = None, as_json: AsJson = False) -> None:
    """Compare the hosts with the cluster's file; exit code 10 if anything differs."""
    from xops.core.lifecycle.drift import detect_drift

    with bar(f"drift {cluster}") as show:
        watcher = TerminalWatcher(show, quiet=as_json)
        steps = _open_cluster(cluster, lock, watcher)
        found = detect_drift(steps, watcher)
    print_drift(found, as_json=as_json)


@app.command()
def status(cluster: ClusterName, lock: LockFile = None, as_json: AsJson = False) -> None:
    """Show nodes, quorum, what runs and hardening as they are now.

    Exit code 10 if the quorum is lost, 11 if that cannot be told.
    """
    with bar(f"status {cluster}") as show:
        found = _open_cluster(cluster, lock, TerminalWatcher(show, quiet=as_json)).status()
    if as_json:
        print_json(found.to_json())
    else:
        _print_status(found)
    if found.has_quorum is None:
        raise typer.Exit(ExitCode.INCOMPLETE)
    if not found.has_quorum:
        raise typer.Exit(ExitCode.FINDINGS)


def _print_status(found: ClusterStatus) -> None:
    from xops.k3s.operations.verify import describe_node

    quorum = {
        True: styled("green", "kept"),
        False: styled("bold red", "lost"),
        None: styled("yellow", "unknown"),
    }[found.has_quorum]
    say("{cluster}: quorum {quorum}", cluster=found.cluster, quorum=quorum)
    for node in found.nodes or ():
        print_row(node.name, describe_node(node))
    for member in found.nodeless:
        say("[yellow]etcd[/] a member without a node: {member}", member=member)
    for name, error in found.failed.items():
        say("[bold red]{name}[/] {error}", name=name, error=error)
    _print_effects(found)
    unmet = [control for control in found.hardening if control.met is not True]
    for control in unmet:
        say(
            "[yellow]{host}[/] {rule}: {found}",
            host=control.host,
            rule=control.rule,
            found=control.found,
        )


def _print_effects(found: ClusterStatus) -> None:
    if found.effects is None:
        return
    for name, seen in found.effects.seen.items():
        print_row(name, seen)
    for each in found.effects.wrong:
        say("[yellow]not in effect[/] {found}\n  -> {remedy}", found=each.found, remedy=each.remedy)
    for name, error in found.effects.failed.items():
        say("[yellow]{name}[/] {error}", name=name, error=error)


@app.command()
def trust(
    cluster: ClusterName,
    host: Annotated[list[str] | None, typer.Argument(help="Hosts; by default all.")] = None,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Ask nothing; a key that has changed still needs --replace."),
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Where a key has changed, ask to pin it in place of the old one."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the keys of hosts, one connection each, and pin those that you have compared.

    A key that has changed is shown beside the pinned one, and takes its place with `--replace`
    only. With `--json` nothing is asked: keys are pinned with `--yes` only, and replaced with
    both. A host that is down does not keep the others from being pinned. Exit code 10 if a key has
    changed and was not replaced, or is revoked; else 5 if a host could not be reached.
    """
    from xops.cli.trust import TrustDialogue
    from xops.k3s.cluster_file.cluster import Cluster
    from xops.k3s.ssh.connector import SshConnector

    found = Cluster.load(cluster).completed()
    hosts = [found.host(name) for name in host or ()] or found.hosts
    connector, file = SshConnector(found.ssh, cluster=cluster), found.ssh.known_hosts
    dialogue = TrustDialogue(cluster, connector, file, yes=yes, replace=replace, quiet=as_json)
    dialogue.run(hosts)
    if as_json:
        rows = [row.to_json() for row in dialogue.rows.values()]
        print_json({"cluster": found.name, "hosts": rows})
    if code := dialogue.exit_code():
        raise typer.Exit(code)
