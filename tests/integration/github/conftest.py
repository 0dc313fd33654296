"""The GitHub of the tests, and clients of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.app_keys import make_app_key
from tests.github_server import TOKEN, GitHubServer
from tests.secret_sources import allowing
from xops.core.files.secret import SecretReference
from xops.github.access import Access
from xops.github.client import Client

VARIABLE = SecretReference(variable="XOPS_GITHUB_TOKEN")

MakeClient = Callable[..., Client]


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        yield server


@pytest.fixture(scope="session")
def app_key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An App's private key in a file, and its public key."""
    file = tmp_path_factory.mktemp("app") / "key.pem"
    private, public = make_app_key()
    file.write_text(private)
    file.chmod(0o600)
    return file, public


@pytest.fixture
def slept() -> list[float]:
    """How long clients would have waited."""
    return []


@pytest.fixture
def connect(github: GitHubServer, tmp_path: Path, slept: list[float]) -> Iterator[MakeClient]:
    """`connect(token=..., folder=..., **access)` makes a client that does not really wait."""
    with ExitStack() as stack:

        def make(token: str = TOKEN, folder: Path | None = None, **given: Any) -> Client:
            access = Access(**{"api_url": github.url, "credential": VARIABLE, **given})
            environ = {"XOPS_GITHUB_TOKEN": token}
            client = Client(
                access,
                folder=folder,
                environ=environ,
                sleep=slept.append,
                sources=allowing(github.url),
            )
            return stack.enter_context(client)

        yield make


@pytest.fixture
def client(connect: MakeClient) -> Client:
    return connect()
