"""Real Prefect servers as the embedded stack runs them, each in a home of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.embedded_aws import free_port
from xops.local.down import stop_servers
from xops.local.stack import Stack, stack


@contextmanager
def home(folder: Path, **environ: str) -> Iterator[None]:
    """The variables of a shell whose xOps home is this folder, without a person's own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (name for name in os.environ if name.startswith(("PREFECT_", "XOPS_"))):
            if name not in ("XOPS_TERRAFORM_MIRROR", "XOPS_REQUIRE_ALL"):
                patch.delenv(name)
        for name, value in {"XOPS_HOME": str(folder), **environ}.items():
            patch.setenv(name, value)
        yield


def free_ports() -> dict[str, str]:
    """A free port for each server that listens on one, by the variable that names it."""
    names = ("XOPS_PREFECT_PORT", "XOPS_AWS_PORT", "XOPS_GITHUB_PORT")
    return {name: str(free_port()) for name in names}


def http(servers: Stack) -> httpx.Client:
    """A client for the server's API, signed in, for what Prefect's own does not show."""
    user, _, password = servers.secret.partition(":")
    return httpx.Client(base_url=servers.api, auth=(user, password), timeout=60)


@contextmanager
def running_server(folder: Path, **environ: str) -> Iterator[Stack]:
    """A Prefect server with its database; the worker is started by who needs it.

    Its variables are set while it is made, not for the block: see `home`.
    Whatever runs at the end is ended, a worker before the server that it would wait for.
    """
    with home(folder, **{**free_ports(), **environ}):
        found = stack()
    try:
        for service in found.services:
            if service in (found.postgresql, found.server):
                service.launch()
                service.wait()
        yield found
    finally:
        stop_servers(found)
