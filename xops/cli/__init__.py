"""The `xops` command: the flows' work from a shell, through the same library.

`xops --help` must cost little. So a group's module is imported when the group is used, and what
its commands need of the steps when one of them runs.
"""

from __future__ import annotations

import errno
import logging
import os
import platform
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from xops.cli.console import AsJson, print_json, say, tell
from xops.cli.inputs import readable_file
from xops.cli.late import late_group
from xops.core.errors import (
    DiskFullError,
    ExitCode,
    Finding,
    InputError,
    PermanentError,
    XopsError,
)
from xops.core.rendering import Terminal, render_logs

__all__ = ["app", "main"]

# After \b the help keeps lines as they are.
_EXIT_CODES = "\b\nExit codes:\n" + "\n".join(f"{code:>3}  {code.meaning}" for code in ExitCode)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=f"Run the work of the flows from a shell, through the same library.\n\n{_EXIT_CODES}",
    pretty_exceptions_enable=False,  # its boxes show local variables, secrets among them
)
app.add_typer(late_group("xops.cli.ecs", "Stream 1: ECS Fargate."), name="ecs")
app.add_typer(late_group("xops.cli.k3s", "Stream 2: K3S clusters on hosts over SSH."), name="k3s")
app.add_typer(
    late_group("xops.cli.evidence", "Records of what was planned, approved and done."),
    name="evidence",
)
app.add_typer(
    late_group("xops.cli.bundle", "Air-gap bundles: a K3S release as one file."), name="bundle"
)
app.add_typer(
    late_group("xops.cli.triggers", "When Stream 2 is activated: ADR-005's thresholds, measured."),
    name="triggers",
)
app.add_typer(
    late_group("xops.cli.costs", "What the platform costs on AWS, against its budgets."),
    name="costs",
)
app.add_typer(
    late_group("xops.cli.github", "Deliveries of GitHub's webhooks, and what they lead to."),
    name="github",
)
app.add_typer(
    late_group("xops.cli.decision", "ADR-005 recomputed from its data: scores and sensitivity."),
    name="decision",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; every xOps error becomes a message and its exit code.

    Args:
        arguments: the words after `xops`; by default those of this process.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if arguments is None:
        _prepare_process()
    render_logs()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        _refuse_other_encodings(words)
        app(words, prog_name="xops")
    except XopsError as error:
        _exit_with(error, as_json="--json" in words)
    except OSError as error:
        explained = _explained(error)
        if explained is None:
            raise
        _exit_with(explained, as_json="--json" in words)
    except SystemExit as ended:
        if ended.code == ExitCode.INTERRUPTED:  # Typer turns Ctrl-C into this without a word
            tell("{meaning}", meaning=ExitCode.INTERRUPTED.meaning)
        raise


def _prepare_process() -> None:
    # What it makes, and every server and tool that it starts, is for its owner alone: `mkdir` gives
    # its mode to the last folder of a path only, and others ask for no mode.
    os.umask(0o077)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what a terminal's encoding lacks is said as \xb1
            stream.reconfigure(errors="backslashreplace")


def _refuse_other_encodings(words: Sequence[str]) -> None:
    # Python keeps such bytes as lone surrogates, which no database, JSON or terminal takes.
    findings = [
        Finding(f"argument {number}", "", f"{word!r} is not UTF-8")
        for number, word in enumerate(words, 1)
        if not word.isascii() and word != word.encode("utf-8", "replace").decode()
    ]
    if findings:
        raise InputError("reading the arguments", findings)


def _exit_with(error: XopsError, *, as_json: bool) -> None:
    if as_json:
        print_json(error.to_json())
    tell("[bold red]error[/] {error}", error=Terminal.lines(str(error)))
    sys.exit(error.exit_code)


def _explained(error: OSError) -> XopsError | None:
    """What a file system has refused, with a remedy; None if it was something else."""
    # Copying a tree gathers its errors as text, without a number.
    full = error.errno in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error)
    attempted = f"reading or writing {error.filename or 'a file'}"
    if full:
        from xops.core.files import settings

        remedy = f"Free some space at {settings.home()}, or set XOPS_HOME elsewhere."
        return DiskFullError(attempted, os.strerror(errno.ENOSPC), remedy)
    if error.filename is None:
        return None
    remedy = "Correct the path or its permissions; XOPS_HOME says where xOps keeps its own files."
    return PermanentError(attempted, error.strerror or str(error), remedy)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        prefect = metadata.version("prefect")
        say(
            "xops {xops} (python {python}, prefect {prefect})",
            xops=metadata.version("xops"),
            python=platform.python_version(),
            prefect=prefect,
        )
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show versions and exit."
        ),
    ] = False,
) -> None: ...


@app.command()
def up(
    once: Annotated[
        bool, typer.Option("--once", help="End after the summary; the servers stay up.")
    ] = False,
    show_secret: Annotated[
        bool,
        typer.Option(
            "--show-secret", help="Print what the Prefect UI asks for, and do nothing else."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start the embedded stack, deploy the flows and provision Stream 1 as `local`."""
    if show_secret:
        from xops.cli import sign_in

        sign_in.show()
        return
    from xops.cli import local

    local.start(once=once, as_json=as_json)


@app.command()
def deploy(
    api: Annotated[
        str | None,
        typer.Option("--api", help="The server's API; by default what PREFECT_API_URL names."),
    ] = None,
    pool_file: Annotated[
        Path | None,
        typer.Option(
            "--pool-file",
            callback=readable_file,
            help="The work pool; by default processes on the worker's machine.",
        ),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it. Without it nothing is changed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a Prefect server to what the repository says: pool, slots, blocks, deployments.

    Shows what would change, and exits with 10 if anything would. What xOps once made there and has
    no longer is removed; what a person paused or made stays. The server's secret is read from
    PREFECT_API_AUTH_STRING.
    """
    from xops.cli.deploy import deploy as run

    run(api, pool_file, apply=apply, as_json=as_json)


@app.command()
def watch(
    api: Annotated[
        str | None,
        typer.Option("--api", help="The server's API; by default what PREFECT_API_URL names."),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Look once; exit code 10 if anything is wrong.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell what nobody else tells about a Prefect server: that it, or a worker, has gone.

    Also runs that do not begin, are late, or give no sign of life, and plans that nobody answers.
    Notices go to XOPS_NOTICE_URL, XOPS_NOTICE_TOPIC_ARN or the log, whatever the server says.
    """
    from xops.cli.watch import watch as run

    run(api, once=once, as_json=as_json)


@app.command()
def down(as_json: AsJson = False) -> None:
    """Cancel and await what is going on, then stop the embedded stack and with it its AWS' state.

    Exit code 5 if Terraform goes on after XOPS_DOWN_WAIT seconds: it and the embedded AWS stay.
    """
    from xops.cli import local

    local.stop(as_json=as_json)


@app.command()
def clean(as_json: AsJson = False) -> None:
    """Stop the embedded stack and remove what can be made again; state of real systems stays."""
    from xops.cli import local

    local.clean(as_json=as_json)


@app.command()
def forget(
    confirm: Annotated[
        str | None,
        typer.Option("--confirm", help="The path of xOps' home, instead of typing it when asked."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove the state of real systems: tokens and kubeconfigs of clusters, evidence, history."""
    from xops.cli import local

    local.forget(confirm, as_json=as_json)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check what is installed, found and reachable; each problem comes with its remedy."""
    from xops.cli import local

    local.examine(as_json=as_json)
