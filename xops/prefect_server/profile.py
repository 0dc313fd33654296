"""Which Prefect server is meant. Apart from the rest: importing Prefect takes seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

API_VARIABLE = "PREFECT_API_URL"
"""Prefect's own: where its clients find the server's API."""

AUTH_VARIABLE = "PREFECT_API_AUTH_STRING"
"""Prefect's own: what its clients send. A run's process gets it as the worker has it."""

CERTIFICATE_VARIABLE = "PREFECT_API_SSL_CERT_FILE"
"""Prefect's own: the authority that has signed the server's certificate."""

SERVER_AUTH_VARIABLE = "PREFECT_SERVER_API_AUTH_STRING"
"""Prefect's own: what a server asks for."""

ORIGINS_VARIABLE = "XOPS_PREFECT_ORIGINS"
"""The addresses at which people and runs reach a server, with a comma between: scheme, host and
port as a browser writes them, for example `https://prefect.example.com`."""

LISTENER_VARIABLE = "XOPS_PREFECT_LISTENER"
"""The number of a socket that the server's process was given to listen on, instead of a port."""

UI_PATH = "/v2"
"""Where the UI lies that a server opens. Any other path of a page leads to Prefect's former one."""

TAG = "xops"
"""Every deployment of ours carries it, and names its flow below flows/."""


@dataclass(frozen=True)
class Profile:
    """One Prefect server, and where what is deployed on it runs.

    Attributes:
        api: the server's API, ending in /api.
        pool: the process work pool that takes the runs.
        environ: Prefect's settings for the commands that talk to it, its secret among them; those
            of the shell are not looked at.
    """

    api: str
    pool: str
    environ: Mapping[str, str] = field(repr=False)

    @property
    def secret(self) -> str | None:
        """`user:password` of the server, where it asks for one."""
        return self.environ.get(AUTH_VARIABLE)


def run_page(server: str, run: object) -> str:
    """The page of a run in the UI.

    Args:
        server: the server's address, without a path.
        run: the run's id.
    """
    return f"{server}{UI_PATH}/runs/flow-run/{run}"


def without_prefect(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables without Prefect's own, which a person may have set for another server."""
    return {name: value for name, value in environ.items() if not name.startswith("PREFECT_")}
