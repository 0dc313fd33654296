"""The processes that deliveries go through; each ends with a signal.

Nothing of them is imported before it runs: the receiver, which faces the network, holds neither
Prefect nor a client of AWS or GitHub.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from xops.cli.console import AsJson, print_json, tell
from xops.cli.github.inbox import with_inbox

PORT = 4580


def serve(
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; nginx or a tunnel stands before it.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, envvar="XOPS_GITHUB_PORT")
    ] = PORT,
    as_json: AsJson = False,
) -> None:
    """Take deliveries from GitHub: checks each signature and keeps them until they are dispatched.

    Which repositories, and the secret, are in deployments/github.yaml. Ends with SIGTERM.
    """
    from xops.github.policy import GitHubPolicy
    from xops.github.webhooks.serving import run

    policy, environ = GitHubPolicy.load(), with_inbox(os.environ)
    address = f"http://{host}:{port}/github"
    if as_json:
        print_json({"address": address})
    tell("taking deliveries at {address}", address=address)
    run(policy, environ, host=host, port=port)


def dispatch(as_json: AsJson = False) -> None:
    """Start the runs that deliveries ask for, on the server that PREFECT_API_URL names.

    Ends with SIGTERM, when what it has begun is done.
    """
    from xops.prefect_server.dispatch import run

    environ = with_inbox(os.environ)
    if as_json:
        print_json({"api": environ.get("PREFECT_API_URL")})
    run(environ)


def poll(
    once: Annotated[bool, typer.Option("--once", help="Ask once, and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask GitHub for the deliveries of its hook, where it cannot reach this machine.

    A delivery comes half a minute later than it would by itself, at most. Ends with SIGTERM.
    """
    from xops.github import polling
    from xops.github.policy import GitHubPolicy

    look = polling.poll(
        GitHubPolicy.load(),
        with_inbox(os.environ),
        once=once,
        say=lambda line: tell("{line}", line=line),
    )
    if as_json:
        print_json(vars(look))
