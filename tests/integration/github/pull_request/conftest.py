"""A repository, an App and a database, with the GitHub of the tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.github_data import Repository
from tests.github_server import APP_ID, INSTALLATION_ID, GitHubServer
from tests.secret_sources import allowing
from xops.core.files.secret import SecretReference
from xops.github.access import Access, App
from xops.github.client import Client

NAME = "octo/platform"

AppClient = Callable[[], Client]


@pytest.fixture
def repository(github: GitHubServer) -> Repository:
    return github.add(NAME)


@pytest.fixture(scope="session")
def app_key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An App's private key in a file, and its public key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file = tmp_path_factory.mktemp("app") / "key.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file.chmod(0o600)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return file, public.decode()


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
