"""Receiver and dispatcher of GitHub's deliveries, as services of the embedded stack.

The receiver answers whoever reaches its port, so it is told next to nothing: the inbox, and where
the webhook's secret is. It gets no key of AWS, no token of GitHub and not Prefect's secret. The
dispatcher gets that one, and listens on nothing.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from xops.core.files import installation_secret
from xops.core.files.secret_sources import VARIABLE as SOURCES_VARIABLE
from xops.github.inbox.address import VARIABLE as INBOX_VARIABLE
from xops.github.inbox.address import address
from xops.github.policy import FILE_VARIABLE, GitHubPolicy
from xops.local import postgresql
from xops.local.database import Kind, PrefectDatabase
from xops.local.services import Service, answers, python

PORT_VARIABLE = "XOPS_GITHUB_PORT"
PORT = 4580

KEY_FILE = "webhook-secret"
"""The file in an installation's home with what GitHub signs deliveries with, mode 0600."""

_SECRET_BYTES = 32
_PASSED_ON = ("HOME", "LANG", "LC_ALL", "TZ")
_FILES = (FILE_VARIABLE, SOURCES_VARIABLE)


def inbox_address(environ: Mapping[str, str], database: PrefectDatabase, home: Path) -> str:
    """The database of the inbox: the person's own, else beside Prefect's, else SQLite."""
    if database.kind is Kind.EMBEDDED and not environ.get(INBOX_VARIABLE):
        return postgresql.inbox_url(home)
    return address({**environ, "XOPS_HOME": str(home)})


def is_embedded(address: str, home: Path) -> bool:
    """Whether the inbox is in the stack's own PostgreSQL, which has to make it a database."""
    return address == postgresql.inbox_url(home)


def load_or_create_webhook_secret(home: Path) -> str:
    """What GitHub signs the deliveries to this installation with: made at random once.

    Raises:
        PermanentError: it cannot be kept or read.
    """
    return installation_secret.load_or_create_secret(
        home / KEY_FILE, lambda: secrets.token_hex(_SECRET_BYTES)
    )


def receiver(environ: Mapping[str, str], home: Path, inbox: str, port: int) -> Service:
    """The service that GitHub's deliveries come to."""

    def what_it_checks_signatures_with() -> dict[str, str]:
        load_or_create_webhook_secret(home)  # it reads the file itself, again when that changes
        webhook = GitHubPolicy.load(environ=environ).webhook
        chosen = (webhook.secret, webhook.previous_secret)
        return _of(environ, *(row.variable for row in chosen if row is not None and row.variable))

    return Service(
        name="receiver",
        argv=python("xops.cli", "github", "serve", "--port", str(port)),
        environ=_told(environ, home, inbox),
        secrets=what_it_checks_signatures_with,
        healthy=lambda: answers(f"http://127.0.0.1:{port}/readyz"),
        port=port,
        port_setting=PORT_VARIABLE,
    )


def dispatcher(
    environ: Mapping[str, str], home: Path, inbox: str, prefect: Mapping[str, str]
) -> Service:
    """The service that starts runs for what has come.

    Args:
        environ: the shell's variables.
        home: the installation.
        inbox: the inbox's database.
        prefect: the settings of who asks the Prefect server.
    """

    def is_alive() -> bool:
        from xops.prefect_server.dispatcher_beat import healthy

        return healthy(home)

    return Service(
        name="dispatcher",
        argv=python("xops.cli", "github", "dispatch"),
        environ={**_told(environ, home, inbox), **prefect},
        healthy=is_alive,
    )


def files_named(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that name files, with whole paths: a service works in another folder."""
    return {name: os.path.abspath(value) for name, value in _of(environ, *_FILES).items() if value}


def _told(environ: Mapping[str, str], home: Path, inbox: str) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "XOPS_HOME": str(home),
        INBOX_VARIABLE: inbox,
        **_of(environ, *_PASSED_ON),
        **files_named(environ),
    }


def _of(environ: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: environ[name] for name in names if name in environ}
