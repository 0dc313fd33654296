"""A repository, an App and a database, with the GitHub of the tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.github_data import Repository
from tests.github_server import APP_ID, INSTALLATION_ID, GitHubServer
from tests.secret_sources import allowing
from xops.core.errors import XopsError
from xops.core.files.secret import SecretReference
from xops.github.access import Access, App
from xops.github.client import Client
from xops.github.errors import (
    AccessError,
    ForbiddenError,
    LimitError,
    NotVisibleError,
    RefusedError,
    UnavailableError,
)

NAME = "octo/platform"

AppClient = Callable[[], Client]

FAULTS: list[tuple[dict[str, Any], type[XopsError]]] = [
    ({"status": 401}, AccessError),
    ({"status": 403, "message": "Resource not accessible"}, ForbiddenError),
    ({"status": 404}, NotVisibleError),
    ({"status": 422}, RefusedError),
    ({"status": 502, "times": 99}, UnavailableError),
    ({"status": 503, "times": 99}, UnavailableError),
    ({"kind": "drop", "times": 99}, UnavailableError),
    ({"kind": "html"}, RefusedError),
    ({"kind": "secondary", "retry_after": 5000}, LimitError),
    ({"kind": "primary", "retry_after": 5000}, LimitError),
]
"""What goes wrong at GitHub or on the way to it, and the error that says so."""


@pytest.fixture
def repository(github: GitHubServer) -> Repository:
    return github.add(NAME)


@pytest.fixture
def app_client(
    github: GitHubServer, app_key: tuple[Path, str], slept: list[float]
) -> Iterator[AppClient]:
    """Makes a client with the credential of an App."""
    file, github.app_public_key = app_key
    access = Access(github.url, SecretReference(file=file), App(APP_ID, INSTALLATION_ID))
    with ExitStack() as stack:

        def make() -> Client:
            sources = allowing(github.url, file.parent)
            made = Client(access, environ={}, sleep=slept.append, sources=sources)
            return stack.enter_context(made)

        yield make


def asked(github: GitHubServer, since: int = 0) -> list[str]:
    """The requests from a certain one on, `METHOD /path` or the name of a query."""
    shown = github.requests[since:]
    return [one.operation or f"{one.method} {one.path.partition('?')[0]}" for one in shown]
