"""Real SSH servers on the loopback address."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.k3s import sshd as servers
from tests.integration.k3s.access import connected, host, settings
from tests.integration.k3s.sshd import Sshd
from xops.k3s.ssh.connector import SshConnector, SshTransport

MakeSshd = Callable[..., Sshd]
Use = Callable[[SshTransport], Coroutine[Any, Any, Any]]


@pytest.fixture(scope="session")
def sshd_runs() -> None:
    """Skips where no server can be run."""
    if reason := servers.why_not():
        pytest.skip(reason)


@contextmanager
def _servers() -> Iterator[MakeSshd]:
    # Not below pytest's own folder: nobody but root may enter that, and `operator` must.
    folder = Path(tempfile.mkdtemp(prefix="xops-sshd-"))
    folder.chmod(0o755)
    made: list[Sshd] = []

    def make(**values: Any) -> Sshd:
        place = folder / str(len(made))
        place.mkdir()
        made.append(Sshd(place, **values))
        made[-1].start()
        return made[-1]

    try:
        yield make
    finally:
        for server in made:
            server.stop()
        shutil.rmtree(folder)


@pytest.fixture
def make_sshd(sshd_runs: None) -> Iterator[MakeSshd]:
    """`make_sshd(sudo=..., host_keys=..., options=...)`: a server of this test's own."""
    with _servers() as make:
        yield make


@pytest.fixture(scope="module")
def sshd(sshd_runs: None) -> Iterator[Sshd]:
    """A server that the tests of a file share."""
    with _servers() as make:
        yield make()


@pytest.fixture
def on(tmp_path: Path) -> Callable[..., Any]:
    """`on(server, use, **of the host)`: connect as root, use the transport, disconnect."""

    def run(server: Sshd, use: Use, **values: Any) -> Any:
        async def connect_and_use() -> Any:
            connector = SshConnector(settings(tmp_path, server))
            async with connected(connector, host(server, **values)) as transport:
                return await use(transport)

        return asyncio.run(connect_and_use())

    return run
